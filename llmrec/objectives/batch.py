"""What objectives exchange with the code that builds batches: examples, their branches, and micro-batches of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.packing import Packed
from llmrec.backbones.upload import move_together

FREE_TEXT = -1
"""The node of tokens of free text, which the trie does not contain."""


@dataclass(frozen=True)
class Response:
    """Tokens that continue a prompt.

    Attributes:
        tokens: The tokens, the end token included, int [length].
        nodes: The trie node reached before each token, int [length]; FREE_TEXT for text that is not in the trie.
        supervised: Whether each token is supervised, bool [length].
    """

    tokens: np.ndarray
    nodes: np.ndarray
    supervised: np.ndarray


@dataclass(frozen=True)
class Branch:
    """A prompt and the response that continues it.

    What the prompts of an example's branches begin with in common is encoded once.

    Attributes:
        prompt: The prompt's tokens, int [length].
        response: The response.
    """

    prompt: np.ndarray
    response: Response


class Example(Protocol):
    """A row of the training sample, from which an objective makes its branches.

    `title` and `prompt_for` exist in tasks next_item and candidates, `in_order` in task rerank.
    """

    @property
    def index(self) -> int:
        """Index of the row in the training sample."""

    @property
    def prompt(self) -> np.ndarray:
        """The row's own prompt, int [length]."""

    @property
    def target(self) -> Response:
        """The row's own response: the target's title, or the ranking of the candidates."""

    def generator(self) -> np.random.Generator:
        """Returns a random generator seeded by the run's seed, the epoch and the row."""

    def text_prompt(self, text: str) -> np.ndarray:
        """Returns the tokens of a prompt with any text, int [length]."""

    def text_response(self, text: str) -> Response:
        """Returns any text as a response, with the end token. All of its tokens are supervised."""

    def title(self, title: int) -> Response:
        """Returns a distinct title of the catalogue as a response."""

    def prompt_for(self, titles: Sequence[str]) -> np.ndarray:
        """Returns the prompt for another history, int [length]; in task candidates with the row's candidates.

        Args:
            titles: The titles of the history, oldest first; none for the history-free prompt.
        """

    def in_order(self, order: np.ndarray) -> Branch:
        """Returns the row's prompt with its candidates in another order, and the target ranking for it.

        Args:
            order: The candidates in the order in which they are shown, as positions in the stored order, int [m].
        """


@dataclass(frozen=True)
class Batch:
    """A micro-batch: prompts with their branches, and the N token positions that the objective supervises.

    A row is one example of the training sample.

    Attributes:
        packed: The input tokens of all rows.
        state_index: Where the state that predicts each token is, an index into the flattened packed columns, int64 [N].
        token: The token to predict, int64 [N].
        node: The trie node reached before the token, int64 [N]; FREE_TEXT for free text.
        row: The row of each position, int64 [N].
        branch: The branch of each position within its row, int64 [N].
        example: The index of each row in the training sample, int64 [rows].
        response_tokens: The number of tokens of all responses, end tokens included, supervised or not, int64 [].
        has_free_text: Whether a response is free text, for which the trie has no valid tokens.
        indices: What the objective computed from the fields above on the CPU (`Objective.batch_indices`); empty if the
            batch was built without an objective.
    """

    packed: Packed
    state_index: Tensor
    token: Tensor
    node: Tensor
    row: Tensor
    branch: Tensor
    example: Tensor
    response_tokens: Tensor
    has_free_text: bool = False
    indices: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> "Batch":
        """Returns the batch on another device."""
        return self.with_tensors(iter(move_together(self.tensors(), device)))

    def tensors(self) -> list[Tensor]:
        """Returns all tensors of the batch."""
        return [*self.packed.tensors(), *(getattr(self, name) for name in _TENSORS), *self.indices.values()]

    def with_tensors(self, tensors: Iterator[Tensor]) -> "Batch":
        """Returns a copy with other tensors, taken from an iterator in the order of `tensors`."""
        packed = self.packed.with_tensors([next(tensors) for _ in self.packed.tensors()])
        own: dict[str, Any] = {name: next(tensors) for name in _TENSORS}
        return replace(self, packed=packed, indices={name: next(tensors) for name in self.indices}, **own)


_TENSORS = ("state_index", "token", "node", "row", "branch", "example", "response_tokens")
"""The fields of a `Batch` that are tensors."""


def kept_positions(batch: Batch, kept: Tensor, indices: Mapping[str, Tensor] | None = None) -> Batch:
    """Returns a batch with some of its supervised positions.

    Args:
        batch: The batch.
        kept: The positions, as indices or as a mask; a mask waits for a GPU.
        indices: The `Batch.indices` of the kept positions.
    """
    names = ("state_index", "token", "node", "row", "branch")
    return replace(batch, indices=indices or {}, **{name: getattr(batch, name)[kept] for name in names})
