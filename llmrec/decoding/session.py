"""Decoding sessions: incremental model states for a batch of prompts whose beams fork and grow."""

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.backbones.cache import AppendCache
from llmrec.backbones.packing import Packed, pack, predictor_columns
from llmrec.backbones.probe import layer_count
from llmrec.catalogue.trie import Trie


class Session(Protocol):
    """A batch of prompts, each with branches (beams) that are forked and extended.

    Each prompt begins with a single empty branch. States are addressed by indices that `start` and `extend` return.
    """

    def states(self, index: Tensor) -> Encoded:
        """Returns the states with the given indices, int64 `[N]`."""
        ...

    def log_normalizers(self, index: Tensor, temperature: float) -> Tensor:
        """Returns `Encoded.log_normalizers` of the states with the given indices, float32 `[N]`.

        They are computed once for all states, many at a time. All calls must have the same temperature.
        """
        ...

    def start(self, last_tokens: int) -> Tensor:
        """Runs the prompts through the model.

        Args:
            last_tokens: Number of tokens at the end of each prompt whose states are kept.

        Returns:
            Index of the first of these states, int64 `[rows, 1]`; the others have the following indices.
        """
        ...

    def extend(self, branch: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Replaces each row's branches by continuations of them.

        Args:
            branch: The old branch that each new branch continues, int64 `[rows, beams]`.
            tokens: The tokens to append, int64 `[rows, beams, longest]`.
            lengths: Number of tokens to append, possibly 0, int64 `[rows, beams]`.

        Returns:
            Index of the state of each branch's first appended token, int64 `[rows, beams]`; those of its other tokens
            have the following indices.
        """
        ...


class _States:
    """The states of a session, `encoded`, and their normalizers."""

    encoded: Encoded
    """All states, which are only ever appended to."""
    _normalizers: Tensor | None = None

    def states(self, index: Tensor) -> Encoded:
        return self.encoded[index]

    def log_normalizers(self, index: Tensor, temperature: float) -> Tensor:
        known = self._normalizers
        if known is None or len(known) < len(self.encoded):
            new = self.encoded[0 if known is None else len(known) :].log_normalizers(temperature)
            self._normalizers = known = new if known is None else torch.cat([known, new])
        return known[index]


class SharedPrefix:
    """The tokens that all prompts begin with, and their keys and values, computed once for all users.

    Attributes:
        backbone: The model, whose weights must not change.
        tokens: int `[length]`, may be empty.
    """

    def __init__(self, backbone: Backbone, tokens: np.ndarray) -> None:
        self.backbone, self.tokens = backbone, tokens

    @cached_property
    @torch.inference_mode()
    def cache(self) -> AppendCache | None:
        """Keys and values of the tokens, None if there are no tokens, or on the plain path. Computed on first use."""
        backbone, length = self.backbone, len(self.tokens)
        if length == 0 or backbone.uses_plain_path:
            return None
        cache = AppendCache(layer_count(backbone), rows=1, capacity=length)
        ids = torch.from_numpy(self.tokens.astype(np.int64))[None].to(backbone.device)
        backbone.extend(cache, ids, torch.arange(length, device=backbone.device)[None], None)
        return cache

    def begins(self, prompt: np.ndarray) -> bool:
        """Returns whether a prompt (int `[length]`) begins with the tokens and goes on after them."""
        length = len(self.tokens)
        return length < len(prompt) and np.array_equal(prompt[:length], self.tokens)


class CachedSession(_States):
    """A session with a key-value cache in which all beams of a prompt share one row.

    A prompt is run once, not once per beam. The tokens of its beams follow it in the row, in the order in which they
    are appended, and masks determine which of them each beam sees.
    """

    def __init__(self, backbone: Backbone, shared: SharedPrefix, prompts: Sequence[np.ndarray], columns: int) -> None:
        """Allocates the cache.

        Args:
            backbone: The model.
            shared: The tokens that all prompts begin with.
            prompts: One prompt per row, int `[length]` each.
            columns: Expected number of tokens that are appended to a row; the cache grows if there are more.
        """
        self.backbone, self.shared, self.prompts = backbone, shared, prompts
        device = backbone.device
        width = max(map(len, prompts))
        self.length = torch.tensor([len(prompt) for prompt in prompts], device=device)
        """Number of cached tokens of each row, int64 `[rows]`."""
        self.cache = AppendCache(layer_count(backbone), len(prompts), width + columns, shared.cache)
        self.visible = (torch.arange(width, device=device) < self.length[:, None])[:, None]
        """Cached columns that each branch's next token sees, bool `[rows, branches, columns]`."""
        self.rows = torch.arange(len(prompts), device=device)[:, None]

    def start(self, last_tokens: int) -> Tensor:
        begin = len(self.shared.tokens)
        rest = [torch.from_numpy(prompt[begin:].astype(np.int64)) for prompt in self.prompts]
        tokens = torch.nn.utils.rnn.pad_sequence(rest, batch_first=True).to(self.backbone.device)
        columns = torch.arange(self.visible.shape[2], device=tokens.device)
        causal = None if begin == 0 else (columns <= columns[begin:, None])[None]
        hidden = self.backbone.extend(self.cache, tokens, columns[None, begin:], causal)
        last_columns = self.length[:, None] - begin - last_tokens + torch.arange(last_tokens, device=tokens.device)
        self.encoded = Encoded(self.backbone.head, hidden[self.rows, last_columns].flatten(0, 1))
        return self.rows * last_tokens

    def extend(self, branch: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        new = lengths.sum(1)
        length = self.length + new
        sizes = torch.stack([new.sum(), new.max(), (new > 0).sum(), length.where(new > 0, 0).max()])
        total, width, active, columns = sizes.tolist()
        # The new tokens of all rows and branches, one after another.
        end = lengths.flatten().cumsum(0)
        owner = torch.repeat_interleave(torch.arange(len(end), device=end.device), lengths.flatten(), output_size=total)
        within = torch.arange(total, device=end.device) - (end - lengths.flatten())[owner]
        row, beam = owner // branch.shape[1], owner % branch.shape[1]
        column = self.length[row] + torch.arange(total, device=end.device) - (new.cumsum(0) - new)[row]
        inherited = self.visible[self.rows, branch]
        self.visible = pad(inherited, (0, max(columns - inherited.shape[2], 0)))
        self.visible[row, beam, column] = torch.ones_like(row, dtype=torch.bool)
        # A branch's columns ascend with its tokens, so a token sees those of its branch up to its own.
        seen = self.visible[row, beam, :columns] & (torch.arange(columns, device=end.device) <= column[:, None])
        slots = self.cache.append_at(row, column, active, width, columns)
        visible = slots.pad(seen)
        # The outputs of padding are dropped, but without anything to attend to they would not be numbers.
        visible[:, :, 0] = True
        hidden = self.backbone.extend(
            self.cache, tokens.flatten(0, 1)[owner, within][None], seen.sum(1)[None] - 1, visible
        )
        first = len(self.encoded) + end.view_as(lengths) - lengths
        self.encoded = Encoded(self.backbone.head, torch.cat([self.encoded.states, hidden[0]]))
        self.length = length
        return first


class PlainSession(_States):
    """A session for a backbone on the plain path: no cache, every branch is run again from the start of its prompt."""

    def __init__(self, backbone: Backbone, prompts: Sequence[np.ndarray]) -> None:
        self.backbone, self.prompts = backbone, prompts
        self.branches = [[prompt[:0]] for prompt in prompts]

    def start(self, last_tokens: int) -> Tensor:
        packed, _ = pack(self.prompts, [[] for _ in self.prompts])
        ends = np.arange(len(self.prompts)) * packed.tokens.shape[1] + [len(prompt) for prompt in self.prompts]
        logits = self._run(packed, (ends[:, None] - last_tokens + np.arange(last_tokens)).flatten())
        self.encoded = Encoded(self.backbone.head, None, logits)
        return torch.arange(len(self.prompts), device=self.backbone.device)[:, None] * last_tokens

    def extend(self, branch: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        appended = [
            [beam[:length] for beam, length in zip(*row, strict=True)]
            for row in zip(tokens.cpu().numpy(), lengths.tolist(), strict=True)
        ]
        self.branches = [
            [np.concatenate([old[parent], new]) for parent, new in zip(parents, row, strict=True)]
            for old, parents, row in zip(self.branches, branch.tolist(), appended, strict=True)
        ]
        # Branches without new tokens are not run through the model.
        grown = [
            [(tokens_so_far, len(new)) for tokens_so_far, new in zip(*row, strict=True) if len(new)]
            for row in zip(self.branches, appended, strict=True)
        ]
        packed, starts = pack(self.prompts, [[tokens_so_far for tokens_so_far, _ in row] for row in grown])
        positions = [
            predictor_columns(start, len(tokens_so_far) - count + 1 + np.arange(count))
            for row in zip(starts, grown, strict=True)
            for start, (tokens_so_far, count) in zip(*row, strict=True)
        ]
        end = len(self.encoded) + lengths.flatten().cumsum(0).view_as(lengths)
        logits = torch.cat([self.encoded.states, self._run(packed, np.concatenate(positions))])
        self.encoded = Encoded(self.backbone.head, None, logits)
        return end - lengths

    def _run(self, packed: Packed, positions: np.ndarray) -> Tensor:
        """Returns the logits at flat positions of the rows."""
        device = self.backbone.device
        return self.backbone.encode(packed.to(device), torch.from_numpy(positions).to(device)).states


def open_session(
    backbone: Backbone, trie: Trie, prompts: Sequence[np.ndarray], shared: SharedPrefix, columns: int
) -> tuple[Session, Tensor]:
    """Opens a session and runs the prompts, each with the tokens that all titles begin with.

    Args:
        backbone: The model.
        trie: The titles, on the backbone's device.
        prompts: One prompt per row, int `[length]` each.
        shared: The tokens that all prompts begin with.
        columns: Expected number of tokens that are appended to a row.

    Returns:
        The session, and the index of the state after each prompt, int64 `[rows, 1]`. The states after the common tokens
        of the titles have the following indices.
    """
    forced = trie.forced_tokens(torch.zeros(1, dtype=torch.long, device=backbone.device))[0][0].cpu().numpy()
    prompts = [np.concatenate([prompt, forced]) for prompt in prompts]
    session: Session
    if backbone.uses_plain_path:
        session = PlainSession(backbone, prompts)
    else:
        session = CachedSession(backbone, shared, prompts, columns)
    return session, session.start(1 + len(forced))
