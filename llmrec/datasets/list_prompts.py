"""Prompts of task rerank: history lines with ratings, labelled candidates, a ranking of the labels as the response.

The wording is ours: the paper's template (arXiv 2403.19181) could not be had.
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
    """The part of a prompt that no order of the candidates changes.

    titles: oldest first; ratings: None = the set has none; wording has item, items and verb (the dataset's YAML).
    """
    items, verb = wording["items"], wording["verb"]
    given = f"Given a list of {items} the user has {verb} before" + (
        " and the user's ratings" if ratings is not None else ""
    )
    instruction = f"{given}, please rank the candidate {items} from the one the user likes most to the one liked least."
    marks = [""] * len(titles) if ratings is None else [f": {rating:g}" for rating in ratings]
    history = "".join(f"{quote(title)}{mark}\n" for title, mark in zip(titles, marks, strict=True))
    return (
        f"{HEADER}\n\n### Instruction:\n{instruction}\n\n### Input:\n"
        f"The user has {verb} the following {items} before:\n{history}The candidates are:\n"
    )


def render_candidates(identifiers: Sequence[str], titles: Sequence[str]) -> str:
    """The rest of a prompt; identifiers, titles: in the order in which they are shown."""
    # An identifier stands behind its title, where a causal model has read what it stands for.
    shown = "".join(f"{quote(title)}:{mark}\n" for mark, title in zip(identifiers, titles, strict=True))
    return f"{shown} \n\n{PROMPT_END}"


def render_lists_frame(wording: Mapping[str, str], lists: Lists) -> str:
    """What every prompt and ranking of these lists says besides titles and ratings."""
    identifiers = SCHEMES[0][: lists.candidates.shape[1]]
    history = render_history(wording, [], None if lists.history_rating is None else [])
    return history + render_candidates(identifiers, [""] * len(identifiers)) + "".join(identifiers)


def rankings(
    tokenizer: PreTrainedTokenizerBase, wording: Mapping[str, str], lists: Lists, items: Items, max_length: int
) -> Prompts:
    """Prompts with their target rankings and EOS, as texts to pretrain on."""
    identifiers = find_identifiers(tokenizer, lists.candidates.shape[1])
    prompts = ListPrompts(tokenizer, wording, identifiers, max_length - ranking_room(len(identifiers)), lists, items)
    ranked = identifiers.tokens[lists.target_order(seed=0)]
    eos = [tokenizer.eos_token_id]
    return Prompts.joined([np.concatenate([prompts.prompts.of(row), of, eos]) for row, of in enumerate(ranked)])


def ranking_room(candidates: int) -> int:
    """How many tokens are kept free behind a prompt."""
    # A ranking with EOS, and as much again: another order of the candidates may merge a few tokens more or less than
    # the stored one, and a free ranking may say something besides.
    return 2 * (candidates + 1)


class ListPrompts:
    """The prompts of lists for a tokenizer, in the stored order of their candidates or in any other.

    prompts: in the stored order, within `limit` tokens: longer ones lost their oldest titles (Prompts.cut counts them).
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
        """Raises InputError where the candidates alone are too long, or a word of the prompt is none."""
        check_wording(wording)
        self.tokenizer, self.identifiers, self.lists, self.items = tokenizer, identifiers, lists, items
        self.histories, self.prompts = self._fit(wording, limit)

    def shown(self, rows: np.ndarray, order: np.ndarray) -> list[np.ndarray]:
        """The prompts of some lists with candidate order[r, place] at `place`: int32 [length] each."""
        texts = [self.histories[row] + self._candidates(row, of) for row, of in zip(rows, order, strict=True)]
        return [np.array(tokens, dtype=np.int32) for tokens in encode_prompts(self.tokenizer, texts)]

    def _candidates(self, row: int, order: np.ndarray) -> str:
        titles = [self.items.titles[item] for item in self.lists.candidates[row][order]]
        return render_candidates(self.identifiers.texts, titles)

    def _fit(self, wording: Mapping[str, str], limit: int) -> tuple[list[str], Prompts]:
        lists, stored = self.lists, np.arange(self.lists.candidates.shape[1])
        candidates = [self._candidates(row, stored) for row in range(len(lists))]
        first = np.zeros(len(lists), dtype=np.int64)
        histories, encoded = [""] * len(lists), [np.zeros(0, dtype=np.int32)] * len(lists)
        over, cut = list(range(len(lists))), 0
        while over:
            for row in over:
                histories[row] = self._history(wording, row, first[row])
            tokens = encode_prompts(self.tokenizer, [histories[row] + candidates[row] for row in over])
            for row, found in zip(over, tokens, strict=True):
                encoded[row] = np.array(found, dtype=np.int32)
            over = [row for row in over if len(encoded[row]) > limit]
            self._refuse_hopeless(over, first, encoded, limit)
            cut = cut or len(over)
            first[over] += 1
        return histories, Prompts.joined(encoded, cut)

    def _history(self, wording: Mapping[str, str], row: int, first: int) -> str:
        titles = [self.items.titles[item] for item in self.lists.rows.history_of(row)[first:]]
        ratings = self.lists.ratings_of(row)
        return render_history(wording, titles, None if ratings is None else ratings[first:].tolist())

    def _refuse_hopeless(self, over: list[int], first: np.ndarray, encoded: list[np.ndarray], limit: int) -> None:
        for row in over:
            if first[row] == len(self.lists.rows.history_of(row)):
                raise InputError(
                    f"the candidates of a list of user {self.lists.rows.user[row]} take {len(encoded[row])} tokens "
                    f"without any history, but backbone.max_length leaves {limit} beside the ranking: raise "
                    f"backbone.max_length by {len(encoded[row]) - limit}, or lower task.candidates"
                )
