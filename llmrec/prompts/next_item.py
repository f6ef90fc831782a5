"""Prompts that a title continues, tokenized within a length limit and cached on disk."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from llmrec.cached_files import read_arrays, write_arrays
from llmrec.catalogue.items import Items
from llmrec.catalogue.titles import TitleTokens, tokenizer_hash
from llmrec.datasets.dataset import Rows
from llmrec.errors import InputError, shortened
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.prompts import Prompts
from llmrec.prompts.text import SAMPLES, Entry, common_end, common_start, entries_of, entry_of

Entries = Sequence[Sequence[Entry]]
"""The items of several histories or lists of candidates, as the template sees them."""
NO_ITEMS = np.zeros(0, dtype=np.int32)


def prompt_limit(max_length: int, titles: TitleTokens, items: Items) -> int:
    """Returns the maximum number of tokens of a prompt, so that the longest title of the catalogue fits after it.

    Args:
        max_length: Maximum number of tokens of the backbone (backbone.max_length).
        titles: The tokens of the titles.
        items: The catalogue.

    Raises:
        InputError: If the longest title leaves no token for a prompt.
    """
    lengths = np.diff(titles.offsets)
    limit = max_length - int(lengths.max())
    if limit <= 0:
        raise InputError(
            f"the title {shortened(items.distinct_titles[int(lengths.argmax())])!r} takes {lengths.max()} tokens with "
            f"its end, but backbone.max_length is {max_length}. Raise backbone.max_length, or shorten the title"
        )
    return limit


class PromptTokenizer:
    """Tokenizes prompts of at most `limit` tokens; drops the oldest titles of longer ones."""

    def __init__(self, prompt: Prompt, items: Items, limit: int, prompt_overlap: int, cache_dir: Path) -> None:
        """Checks that the prompt without history fits.

        Args:
            prompt: The prompt of task next_item or candidates.
            items: The catalogue, in which the titles of histories are looked up.
            limit: Maximum number of tokens of a prompt (see `prompt_limit`).
            prompt_overlap: Number of tokens at the end of the prompt that belong to the titles.
            cache_dir: Tokenized prompts are cached in its folder prompts.

        Raises:
            InputError: If the prompt without history is too long.
        """
        self.prompt, self.items, self.limit, self.prompt_overlap = prompt, items, limit, prompt_overlap
        self.cache_dir = cache_dir / "prompts"
        self.identity = f"{tokenizer_hash(prompt.tokenizer)} {limit} {prompt_overlap}"
        try:
            empty = prompt.render([])
        except InputError:
            # Such a template works as long as no prompt without history is needed (see `without_history`).
            return
        length = len(self._encode([empty])[0])
        if length > limit:
            raise InputError(
                f"the prompt takes {length} tokens without any history, but backbone.max_length leaves {limit} beside "
                f"the longest title of the catalogue. Raise backbone.max_length by {length - limit} or more"
            )

    def rows(self, rows: Rows, items: Items) -> Prompts:
        """Tokenizes the prompts of rows, or reads them from the cache."""
        histories = [entries_of(items, rows.history_of(row)) for row in range(len(rows))]
        return self._prompts(histories, [entries_of(items, rows.candidates_of(row)) for row in range(len(rows))])

    def histories(self, histories: Sequence[Sequence[str]], cached: bool = True) -> Prompts:
        """Tokenizes the prompts of histories (titles, oldest first), or reads them from the cache.

        Titles need not be in the catalogue, but those that are not have no tokens and are left out with items=tokens.
        Of items with the same title, the first gives the categories.

        Args:
            histories: The histories.
            cached: Whether to use the cache; not for histories that are met once.
        """
        entries = [self._entries(titles) for titles in histories]
        return self._prompts(entries) if cached else self._tokenized(entries)

    def history_free(self, prompts: Prompts) -> np.ndarray:
        """Returns the prompt with an empty history, int32 [length], after checking that `prompts` share its frame.

        Raises:
            InputError: If the template has no form without history, or the tokens around the history differ in one of
                the prompts.
        """
        free = self.without_history()
        head, tail = self._ends()
        starts, ends = prompts.offsets[:-1], prompts.offsets[1:]
        is_long_enough = prompts.lengths >= len(head) + len(tail)
        head_positions = starts[is_long_enough, None] + np.arange(len(head))
        tail_positions = ends[is_long_enough, None] - len(tail) + np.arange(len(tail))
        has_head = (prompts.tokens[head_positions] == head).all(axis=1)
        has_tail = (prompts.tokens[tail_positions] == tail).all(axis=1)
        has_frame = np.zeros(len(prompts), dtype=bool)
        has_frame[is_long_enough] = has_head & has_tail
        if not has_frame.all():
            raise InputError(
                f"the prompt of row {int(has_frame.argmin())} does not follow the template. The relevance of a title "
                "to the prompt without history is defined only if the text around the history is the same in all rows. "
                "Use one wording, or an objective other than gdrt"
            )
        return free

    def without_history(self) -> np.ndarray:
        """Returns the prompt with an empty history, int32 [length].

        Raises:
            InputError: If the template has no form without history.
        """
        _ = self._frame
        return self._prompts([[]]).of(0)

    def start(self) -> np.ndarray:
        """Returns the tokens that prompts begin with whatever their history is, int32 [length].

        They are found from two sample histories, so the prompt of a history may begin otherwise.
        """
        return self._tokenized([[entry] for entry in SAMPLES]).shared_prefix()

    def titles_alone(self, histories: Sequence[Sequence[str]]) -> Prompts:
        """Tokenizes the template's text of the histories without the task text; drops the titles `histories` drops.

        The whitespace that prompts end with follows, because titles are tokenized as its continuation.

        Raises:
            InputError: If the template has no form without history.
        """
        before, after = self._frame
        fitted, _, _ = self._fit([self._entries(titles) for titles in histories])
        ending = after[len(after.rstrip()) :] or after[-1:]
        texts = [self.prompt.render(entries) for entries in fitted]
        encoded = self._encode([text[len(before) : len(text) - len(after)] + ending for text in texts])
        return Prompts.joined([np.array(tokens, dtype=np.int32) for tokens in encoded])

    @cached_property
    def _frame(self) -> tuple[str, str]:
        """The text before and after the history, which together are the prompt without history.

        Raises:
            InputError: If prompts with a history are not this text with the history inserted in one place.
        """
        text = self.prompt.text
        needed = (
            f"{text.template.key} of prompt={text.name} has no form without history, which objective=gdrt, negatives "
            "by the model's own embeddings and llmrec.diagnose need. Write the history in one place and the same text "
            "around every history, or choose another prompt"
        )
        try:
            empty = self.prompt.render([])
        except InputError as error:
            raise InputError(f"{needed} ({error})") from error
        samples = [self.prompt.render(list(history)) for history in (SAMPLES[:1], SAMPLES[1:], SAMPLES)]
        before = min(len(common_start([empty, sample])) for sample in samples)
        after = min(len(common_end([empty, sample])) for sample in samples)
        if before + after < len(empty) or not self._encode([empty])[0]:
            raise InputError(needed)
        return empty[:before], empty[before:]

    def _entries(self, titles: Sequence[str]) -> list[Entry]:
        """Returns what the template sees of titles."""
        found = [(title, self.items.first_item.get(title)) for title in titles]
        if self.items.tokens is not None:
            found = [(title, item) for title, item in found if item is not None]
        return [{"title": title} if item is None else entry_of(self.items, item) for title, item in found]

    def _prompts(self, histories: Entries, candidates: Entries | None = None) -> Prompts:
        """Tokenizes prompts, or reads them from the cache; arguments as for `_fit`."""
        texts = self._render(histories, candidates or [[]] * len(histories))
        digest = hashlib.sha256(self.identity.encode())
        for text in texts:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        path = self.cache_dir / f"{digest.hexdigest()[:32]}.safetensors"
        stored = read_arrays(path)
        if stored is not None:
            return Prompts(stored["tokens"], stored["offsets"], int(stored["cut"][0]))
        prompts = self._tokenized(histories, candidates)
        cut = np.array([prompts.truncated])
        write_arrays(path, {"tokens": prompts.tokens, "offsets": prompts.offsets, "cut": cut})
        return prompts

    def _tokenized(self, histories: Entries, candidates: Entries | None = None) -> Prompts:
        """Tokenizes prompts; arguments as for `_fit`."""
        _, encoded, cut = self._fit(histories, candidates)
        return Prompts.joined([np.array(tokens, dtype=np.int32) for tokens in encoded], cut)

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the tokens before and after all histories, without the nearest two: these may merge with titles."""
        first, second = (self._prompts([[entry]]).of(0) for entry in SAMPLES)
        shorter = min(len(first), len(second))
        same_head, same_tail = first[:shorter] == second[:shorter], first[::-1][:shorter] == second[::-1][:shorter]
        head, tail = max(int(same_head.argmin()) - 2, 0), max(int(same_tail.argmin()) - 2, 0)
        return first[:head], first[len(first) - tail :]

    def _fit(
        self, histories: Entries, candidates: Entries | None = None
    ) -> tuple[list[list[Entry]], list[list[int]], int]:
        """Drops oldest items of histories until each prompt fits.

        Args:
            histories: The history of each prompt.
            candidates: The candidates of each prompt, all of which are shown; None if prompts have none.

        Returns:
            The histories that fit, the tokens, and the number of shortened prompts.

        Raises:
            InputError: If a prompt is too long even without its history.
        """
        fitted, shown = [list(history) for history in histories], candidates or [[]] * len(histories)
        encoded = self._encode(self._render(fitted, shown))
        too_long = [r for r, tokens in enumerate(encoded) if len(tokens) > self.limit]
        cut = len(too_long)
        while too_long:
            for r in too_long:
                if not fitted[r]:
                    raise InputError(
                        f"a prompt with {len(shown[r])} candidates takes {len(encoded[r])} tokens without any history, "
                        f"but backbone.max_length leaves {self.limit} beside the longest title of the catalogue. Raise "
                        f"backbone.max_length by {len(encoded[r]) - self.limit} or more, or lower task.candidates"
                    )
                fitted[r] = fitted[r][1:]
            texts = self._render([fitted[r] for r in too_long], [shown[r] for r in too_long])
            for r, tokens in zip(too_long, self._encode(texts), strict=True):
                encoded[r] = tokens
            too_long = [r for r in too_long if len(encoded[r]) > self.limit]
        if not all(encoded):
            raise InputError(
                f"{self.prompt.text.template.key} gives no tokens for an empty history. Add a text around the history"
            )
        return fitted, encoded, cut

    def text(self, text: str) -> np.ndarray:
        """Tokenizes a prompt with any text that ends as the prompts of the template do, int32 [length]."""
        return np.array(self._encode([text])[0], dtype=np.int32)

    def history(self, titles: Sequence[str], candidates: np.ndarray = NO_ITEMS) -> np.ndarray:
        """Tokenizes the prompt of one history, as `histories`, without the cache.

        Args:
            titles: The history.
            candidates: Items that the prompt shows as candidates, int [m].

        Returns:
            int32 [length].
        """
        _, encoded, _ = self._fit([self._entries(titles)], [entries_of(self.items, candidates)])
        return np.array(encoded[0], dtype=np.int32)

    def _render(self, histories: Entries, candidates: Entries) -> list[str]:
        return [self.prompt.render(entries, shown) for entries, shown in zip(histories, candidates, strict=True)]

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [tokens[: len(tokens) - self.prompt_overlap] for tokens in self.prompt.encode(texts)]
