"""Prompts of task rerank: the history with ratings, then the candidates, each with an identifier.

The response is a ranking of the identifiers. The wording is ours: we had no access to the paper's template
(arXiv 2403.19181).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from llmrec.catalogue.items import Items
from llmrec.catalogue.titles import quote
from llmrec.datasets.identifiers import SCHEMES, Identifiers, find_identifiers
from llmrec.datasets.lists import Lists
from llmrec.datasets.prompts import HEADER, PROMPT_END, Prompts, check_wording, encode_prompts
from llmrec.errors import InputError


def render_history(wording: Mapping[str, str], titles: Sequence[str], ratings: Sequence[float] | None) -> str:
    """Renders the part of a prompt before the candidates.

    Args:
        wording: The words for items and verb (dataset.wording).
        titles: The titles of the history, oldest first.
        ratings: The rating of each title; None if the dataset has no ratings.
    """
    items, verb = wording["items"], wording["verb"]
    given = f"Given a list of {items} the user has {verb} before" + (
        " and the user's ratings" if ratings is not None else ""
    )
    instruction = f"{given}, please rank the candidate {items} from the one the user likes most to the one liked least."
    suffixes = [""] * len(titles) if ratings is None else [f": {rating:g}" for rating in ratings]
    history = "".join(f"{quote(title)}{suffix}\n" for title, suffix in zip(titles, suffixes, strict=True))
    return (
        f"{HEADER}\n\n### Instruction:\n{instruction}\n\n### Input:\n"
        f"The user has {verb} the following {items} before:\n{history}The candidates are:\n"
    )


def render_candidates(identifiers: Sequence[str], titles: Sequence[str]) -> str:
    """Renders the rest of a prompt: the candidates' titles with their identifiers, in the order in which they come."""
    # The identifier follows its title, because a causal model must have read the title by then.
    lines = "".join(f"{quote(title)}:{text}\n" for text, title in zip(identifiers, titles, strict=True))
    return f"{lines} \n\n{PROMPT_END}"


def render_lists_frame(wording: Mapping[str, str], lists: Lists) -> str:
    """Renders a prompt and ranking without titles and ratings: the text that all prompts and rankings share."""
    identifiers = SCHEMES[0][: lists.candidates.shape[1]]
    history = render_history(wording, [], None if lists.history_rating is None else [])
    return history + render_candidates(identifiers, [""] * len(identifiers)) + "".join(identifiers)


def rankings(
    tokenizer: PreTrainedTokenizerBase, wording: Mapping[str, str], lists: Lists, items: Items, max_length: int
) -> Prompts:
    """Tokenises prompts followed by their target rankings and EOS, as texts for pretraining."""
    identifiers = find_identifiers(tokenizer, lists.candidates.shape[1])
    prompts = ListPrompts(tokenizer, wording, identifiers, max_length - ranking_room(len(identifiers)), lists, items)
    targets = identifiers.tokens[lists.target_order(seed=0)]
    eos = [tokenizer.eos_token_id]
    return Prompts.joined(
        [np.concatenate([prompts.prompts.of(row), target, eos]) for row, target in enumerate(targets)]
    )


def ranking_room(candidates: int) -> int:
    """Returns the number of tokens reserved after a prompt for the ranking."""
    # Twice the length of a ranking with EOS: with the candidates in another order a prompt may have a few tokens more
    # than in the stored order, and unconstrained decoding may emit other tokens besides the ranking.
    return 2 * (candidates + 1)


class ListPrompts:
    """Prompts of candidate lists for one tokenizer, with the candidates in their stored order or in any other.

    Attributes:
        histories: The text of each prompt before its candidates.
        prompts: The prompts in the stored order. Prompts longer than the limit lost their oldest titles; `Prompts.cut`
            counts them.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        wording: Mapping[str, str],
        identifiers: Identifiers,
        limit: int,
        lists: Lists,
        items: Items,
    ) -> None:
        """Tokenises the prompts in the stored order.

        Args:
            tokenizer: The tokenizer.
            wording: The words for items and verb (dataset.wording).
            identifiers: The identifiers of the candidates.
            limit: Maximum number of tokens of a prompt.
            lists: The candidate lists.
            items: The catalogue.

        Raises:
            InputError: If a prompt is too long even without its history, or a word of `wording` is not a string.
        """
        check_wording(wording)
        self.tokenizer, self.identifiers, self.lists, self.items = tokenizer, identifiers, lists, items
        self.histories, self.prompts = self._fit(wording, limit)

    def shown(self, rows: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
        """Tokenises the prompts of some lists with their candidates in a given order.

        Args:
            rows: Indices of the lists, int [rows].
            order: The candidates in the order in which they are shown, as positions in the stored order, int [rows, m].

        Returns:
            The tokens of each prompt, int32 [length].
        """
        texts = [
            self.histories[row] + self._candidates(row, row_order) for row, row_order in zip(rows, order, strict=True)
        ]
        return [np.array(tokens, dtype=np.int32) for tokens in encode_prompts(self.tokenizer, texts)]

    def _candidates(self, row: int, order: np.ndarray) -> str:
        titles = [self.items.titles[item] for item in self.lists.candidates[row][order]]
        return render_candidates(self.identifiers.texts, titles)

    def _fit(self, wording: Mapping[str, str], limit: int) -> tuple[list[str], Prompts]:
        """Renders and tokenises the prompts; drops the oldest titles of those longer than `limit`, one at a time."""
        lists, stored_order = self.lists, np.arange(self.lists.candidates.shape[1])
        candidates = [self._candidates(row, stored_order) for row in range(len(lists))]
        first = np.zeros(len(lists), dtype=np.int64)
        histories, encoded = [""] * len(lists), [np.zeros(0, dtype=np.int32)] * len(lists)
        pending, cut = list(range(len(lists))), 0
        while pending:
            for row in pending:
                histories[row] = self._history(wording, row, first[row])
            tokens = encode_prompts(self.tokenizer, [histories[row] + candidates[row] for row in pending])
            for row, prompt in zip(pending, tokens, strict=True):
                encoded[row] = np.array(prompt, dtype=np.int32)
            pending = [row for row in pending if len(encoded[row]) > limit]
            self._check_droppable(pending, first, encoded, limit)
            cut = cut or len(pending)
            first[pending] += 1
        return histories, Prompts.joined(encoded, cut)

    def _history(self, wording: Mapping[str, str], row: int, first: int) -> str:
        titles = [self.items.titles[item] for item in self.lists.rows.history_of(row)[first:]]
        ratings = self.lists.ratings_of(row)
        return render_history(wording, titles, None if ratings is None else ratings[first:].tolist())

    def _check_droppable(self, rows: list[int], first: np.ndarray, encoded: list[np.ndarray], limit: int) -> None:
        """Raises InputError if one of these prompts, which are too long, has no title left to drop."""
        for row in rows:
            if first[row] == len(self.lists.rows.history_of(row)):
                raise InputError(
                    f"the prompt of a list of user {self.lists.rows.user[row]} takes {len(encoded[row])} tokens "
                    f"without any history, but backbone.max_length leaves {limit} beside the ranking. Raise "
                    f"backbone.max_length by {len(encoded[row]) - limit}, or lower task.candidates"
                )
