"""Prompts of task rerank: a history and candidates, each with an identifier.

The response is a ranking of the identifiers. The shipped wording is ours: we had no access to the paper's template
(arXiv 2403.19181).
"""

from collections.abc import Sequence

import numpy as np

from llmrec.catalogue.items import Items
from llmrec.datasets.lists import Lists
from llmrec.errors import InputError
from llmrec.prompts.identifiers import SCHEMES, Identifiers, find_identifiers
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.prompts import Prompts
from llmrec.prompts.text import Entry, PromptText, entries_of, entry_of


def render_lists_frame(text: PromptText, lists: Lists) -> str:
    """Renders a prompt and ranking without titles and ratings: the text that all prompts and rankings share."""
    identifiers = SCHEMES[0][: lists.candidates.shape[1]]
    blank = {"title": "", "categories": [], "category": ""}
    shown = [{**blank, "identifier": identifier} for identifier in identifiers]
    return text.frame(shown, lists.history_rating is not None) + "".join(identifiers)


def rankings(prompt: Prompt, lists: Lists, items: Items, max_length: int) -> Prompts:
    """Tokenizes prompts followed by their target rankings and the end token, as texts for pretraining."""
    identifiers = find_identifiers(prompt, lists.candidates.shape[1])
    prompts = ListPrompts(prompt, identifiers, max_length - reserved_tokens(len(identifiers)), lists, items)
    targets = identifiers.tokens[lists.target_order(seed=0)]
    end = [prompt.end_token]
    return Prompts.joined(
        [np.concatenate([prompts.prompts.of(row), target, end]) for row, target in enumerate(targets)]
    )


def reserved_tokens(candidates: int) -> int:
    """Returns the number of tokens reserved after a prompt for the ranking."""
    # Twice the length of a ranking with its end: with the candidates in another order a prompt may have a few tokens
    # more than in the stored order, and unconstrained decoding may emit other tokens besides the ranking.
    return 2 * (candidates + 1)


class ListPrompts:
    """Prompts of candidate lists for one tokenizer, with the candidates in their stored order or in any other.

    Attributes:
        first: Position of the first item of each history that its prompt shows, int64 [lists].
        prompts: The prompts in the stored order. Prompts longer than the limit lost their oldest items;
            `Prompts.truncated` counts them.
    """

    def __init__(self, prompt: Prompt, identifiers: Identifiers, limit: int, lists: Lists, items: Items) -> None:
        """Tokenizes the prompts in the stored order.

        Args:
            prompt: The prompt of task rerank.
            identifiers: The identifiers of the candidates.
            limit: Maximum number of tokens of a prompt.
            lists: The candidate lists.
            items: The catalogue.

        Raises:
            InputError: If a prompt is too long even without its history.
        """
        self.prompt, self.identifiers, self.lists, self.items = prompt, identifiers, lists, items
        self.first = np.zeros(len(lists), dtype=np.int64)
        self.prompts = self._fit(limit)

    def reordered(self, rows: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
        """Tokenizes the prompts of some lists with their candidates in another order.

        Args:
            rows: Indices of the lists, int [rows].
            order: The candidates in the order in which they are shown, as positions in the stored order, int [rows, m].

        Returns:
            The tokens of each prompt, int32 [length].
        """
        texts = [self._render(row, row_order) for row, row_order in zip(rows, order, strict=True)]
        return [np.array(tokens, dtype=np.int32) for tokens in self.prompt.encode(texts)]

    def _render(self, row: int, order: Sequence[int] | np.ndarray) -> str:
        candidates = [
            {**entry_of(self.items, item), "identifier": identifier}
            for item, identifier in zip(self.lists.candidates[row][order], self.identifiers.texts, strict=True)
        ]
        return self.prompt.render(self._history(row), candidates, self.lists.history_rating is not None)

    def _history(self, row: int) -> list[Entry]:
        first = self.first[row]
        entries = entries_of(self.items, self.lists.rows.history_of(row)[first:])
        ratings = self.lists.ratings_of(row)
        if ratings is None:
            return entries
        return [{**entry, "rating": rating} for entry, rating in zip(entries, ratings[first:].tolist(), strict=True)]

    def _fit(self, limit: int) -> Prompts:
        """Tokenizes the prompts; drops the oldest items of those longer than `limit`, one at a time."""
        stored_order = np.arange(self.lists.candidates.shape[1])
        encoded = [np.zeros(0, dtype=np.int32)] * len(self.lists)
        pending, cut = list(range(len(self.lists))), 0
        while pending:
            tokens = self.prompt.encode([self._render(row, stored_order) for row in pending])
            for row, prompt in zip(pending, tokens, strict=True):
                encoded[row] = np.array(prompt, dtype=np.int32)
            pending = [row for row in pending if len(encoded[row]) > limit]
            self._check_droppable(pending, encoded, limit)
            cut = cut or len(pending)
            self.first[pending] += 1
        return Prompts.joined(encoded, cut)

    def _check_droppable(self, rows: list[int], encoded: list[np.ndarray], limit: int) -> None:
        """Raises InputError if one of these prompts, which are too long, has no item left to drop."""
        for row in rows:
            if self.first[row] == len(self.lists.rows.history_of(row)):
                raise InputError(
                    f"the prompt of a list of user {self.lists.rows.user[row]} takes {len(encoded[row])} tokens "
                    f"without any history, but backbone.max_length leaves {limit} beside the ranking. Raise "
                    f"backbone.max_length by {len(encoded[row]) - limit}, or lower task.candidates"
                )
