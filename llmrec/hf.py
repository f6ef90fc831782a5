"""Constrains Hugging Face's `generate` to the titles of a catalogue.

    constraint = TitleConstraint.from_titles(titles, tokenizer)
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    model.generate(**inputs, num_beams=10, logits_processor=[constraint.after(inputs["input_ids"].shape[1])])

This needs a model and a tokenizer, but no run of llmrec.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from llmrec.catalogue.items import quote
from llmrec.catalogue.titles import tokenize_titles
from llmrec.catalogue.trie import Trie, build_trie
from llmrec.errors import InputError

if TYPE_CHECKING:
    from llmrec.trained_run import Run


class TitleConstraint(LogitsProcessor):
    """Sets the logits of all tokens that do not continue a title to -inf, in greedy, sampled and beam search.

    A row whose title has ended may only be followed by the end token. All rows are handled at once by the trie. With
    beam search, Hugging Face normalises over the vocabulary before the constraint, which llmrec calls vocab scores;
    `renormalize_logits=True` gives trie scores. There should be at least as many titles as beams.
    """

    def __init__(self, trie: Trie, end_token: int, start: int = 0, prompt_overlap: int = 0) -> None:
        """Builds the constraint from a trie; `from_titles` and `from_run` build it from titles.

        Args:
            trie: The titles' tokens.
            end_token: The token that ends every title.
            start: Number of columns before the titles' first token; see `after`.
            prompt_overlap: See `TitleTokens.prompt_overlap`.
        """
        self.trie, self.end_token, self.start, self.prompt_overlap = trie, end_token, start, prompt_overlap

    @classmethod
    def from_titles(
        cls, titles: Sequence[str], tokenizer: PreTrainedTokenizerBase, prompt_end: str = "", quoted: bool = False
    ) -> "TitleConstraint":
        """Builds the constraint for a catalogue.

        Args:
            titles: The titles that may be generated.
            tokenizer: The model's tokenizer, whose EOS token ends a title.
            prompt_end: The text that all prompts end with, if the tokenizer may merge it with the beginning of a title.
            quoted: Whether titles are generated in double quotes, as the models that llmrec tunes do.

        Raises:
            InputError: There are no titles, or the tokenizer has no EOS token.
        """
        distinct = list(dict.fromkeys(titles))
        if not distinct or not all(distinct):
            raise InputError("titles: expected at least one title, and none that is empty")
        if tokenizer.eos_token_id is None:
            raise InputError("the tokenizer has no EOS token, which ends a title. Set tokenizer.eos_token")
        shown = quote if quoted else str
        tokens = tokenize_titles(tokenizer, distinct, prompt_end, tokenizer.eos_token_id, shown)
        return cls(build_trie(tokens)[0], tokens.end_token, prompt_overlap=tokens.prompt_overlap)

    @classmethod
    def from_run(cls, run: "Run") -> "TitleConstraint":
        """Builds the constraint from the catalogue, tokenizer and prompt of a run.

        Raises:
            InputError: The run is a baseline, which has no tokens.
        """
        data = getattr(run.recommender.ranker, "data", None)
        if data is None:
            raise InputError(
                f"{run.folder} holds a baseline, which has no tokens of titles. Give a language model's run"
            )
        return cls(data.trie, data.titles.end_token, prompt_overlap=data.titles.prompt_overlap)

    def after(self, prompt_length: int) -> "TitleConstraint":
        """Returns the constraint for prompts of a length, which shares the trie with this one.

        Args:
            prompt_length: Number of columns of `input_ids`, padding included. Prompts of different lengths must be
                padded on the left.
        """
        return type(self)(self.trie, self.end_token, prompt_length - self.prompt_overlap, self.prompt_overlap)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Applies the constraint.

        Args:
            input_ids: Prompts and generated tokens, int64 `[rows, columns]`.
            scores: Logits or log-probabilities of the next token, `[rows, vocabulary]`.
        """
        if self.trie.edge_token.device != scores.device:
            self.trie = self.trie.to(scores.device)
        node, alive = self._nodes(input_ids)
        owner, edge = self.trie.children(node)
        owner, edge = owner[alive[owner]], edge[alive[owner]]
        token = self.trie.edge_token[edge].long()
        constrained = torch.full_like(scores, float("-inf"))
        constrained[owner, token] = scores[owner, token]
        ended = ~alive | (self.trie.fan_out[node] == 0)
        constrained[ended, self.end_token] = scores[ended, self.end_token]
        return constrained

    def _nodes(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the trie's node after each row's tokens, int64 `[rows]`, and whether the row is within a title."""
        node = torch.zeros(len(input_ids), dtype=torch.long, device=input_ids.device)
        alive = torch.ones_like(node, dtype=torch.bool)
        for token in input_ids[:, self.start :].T:
            owner, edge = self.trie.children(node)
            taken = self.trie.edge_token[edge] == token[owner]
            following = torch.full_like(node, -1)
            following[owner[taken]] = edge[taken] + 1
            alive &= following >= 0
            node = torch.where(alive, following, node)
        return node, alive
