"""Prompts of task next_item: renders histories in the wording of MSL (arXiv 2504.04178) and tokenises them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedTokenizerBase

from llmrec.atomic import atomic_file
from llmrec.catalogue.items import Items
from llmrec.catalogue.titles import TitleTokens, quote, tokenizer_hash
from llmrec.datasets.dataset import Rows
from llmrec.errors import InputError

HEADER = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request. "
)
PROMPT_END = "### Response:\n"


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts.

    Attributes:
        tokens: Tokens of all prompts, int32, flat.
        offsets: Start of each prompt in `tokens`, and the end of the last, int64 [prompts + 1].
        cut: Number of prompts that lost their oldest titles to the length limit.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    cut: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @staticmethod
    def joined(pieces: Sequence[np.ndarray], cut: int = 0) -> "Prompts":
        """Concatenates token sequences, int [length] each."""
        offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.int64)
        flat = np.concatenate([np.zeros(0, dtype=np.int32), *pieces]).astype(np.int32)
        return Prompts(flat, offsets, cut)

    def of(self, row: int) -> np.ndarray:
        """Returns the tokens of one prompt, int32 [length]."""
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each prompt, int64 [prompts]."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> "Prompts":
        """Returns the prompts of some rows, in that order."""
        return Prompts.joined([self.of(row) for row in rows])

    def shared_prefix(self) -> np.ndarray:
        """Returns the tokens that all prompts begin with, never including the last token of the shortest prompt."""
        columns = np.arange(self.lengths.min() - 1)
        table = self.tokens[self.offsets[:-1, None] + columns]
        same = (table == table[0]).all(axis=0)
        return self.of(0)[: len(columns) if same.all() else int(same.argmin())]


def render(wording: Mapping[str, str], titles: Sequence[str]) -> str:
    """Renders the prompt for a history.

    Args:
        wording: The keys item, items and verb (dataset.wording).
        titles: The titles of the history, oldest first.
    """
    item, items, verb = wording["item"], wording["items"], wording["verb"]
    instruction = (
        f"Given a list of {items} the user has {verb} before, please recommend a new {item} that the user likes to "
        "the user."
    )
    history = f"The user has {verb} the following {items} before: " + ", ".join(map(quote, titles))
    return f"{HEADER}\n\n### Instruction:\n{instruction}\n\n### Input:\n{history}\n \n\n{PROMPT_END}"


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
            f"the title {items.distinct_titles[int(lengths.argmax())]!r} takes {lengths.max()} tokens with EOS, but "
            f"backbone.max_length is {max_length}. Raise backbone.max_length"
        )
    return limit


def check_wording(wording: Mapping[str, str]) -> None:
    """Raises InputError if a word of `wording` is not a string."""
    for key in ("item", "items", "verb"):
        if not isinstance(wording[key], str):
            raise InputError(f"dataset.wording.{key}={wording[key]}: give one text, which is used in every prompt")


class PromptTokenizer:
    """Tokenises prompts of at most `limit` tokens; drops the oldest titles of longer ones."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, wording: Mapping[str, str], limit: int, moved: int, cache_dir: Path
    ) -> None:
        """Checks that the prompt without history fits.

        Args:
            tokenizer: The tokenizer.
            wording: The words of the prompt (dataset.wording).
            limit: Maximum number of tokens of a prompt (see `prompt_limit`).
            moved: Number of tokens at the end of the prompt that belong to the titles (`TitleTokens.moved`).
            cache_dir: Tokenised prompts are cached in its folder prompts.

        Raises:
            InputError: If the prompt without history is too long, or a word of `wording` is not a string.
        """
        self.tokenizer, self.wording, self.limit, self.moved = tokenizer, wording, limit, moved
        check_wording(wording)
        self.cache_dir = cache_dir / "prompts"
        self.identity = f"{tokenizer_hash(tokenizer)} {limit} {moved}"
        length = len(self._encode([render(wording, [])])[0])
        if length > limit:
            raise InputError(
                f"the prompt takes {length} tokens without any history, but backbone.max_length leaves {limit} beside "
                f"the longest title of the catalogue. Raise backbone.max_length by {length - limit} or more"
            )

    def rows(self, rows: Rows, items: Items) -> Prompts:
        """Tokenises the prompts of rows, or reads them from the cache."""
        return self.histories([[items.titles[i] for i in rows.history_of(r)] for r in range(len(rows))])

    def histories(self, histories: Sequence[Sequence[str]]) -> Prompts:
        """Tokenises the prompts of histories (titles, oldest first), or reads them from the cache."""
        texts = [render(self.wording, history) for history in histories]
        digest = hashlib.sha256(self.identity.encode())
        for text in texts:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        path = self.cache_dir / f"{digest.hexdigest()[:32]}.safetensors"
        if path.exists():
            stored = load_file(path)
            return Prompts(stored["tokens"], stored["offsets"], int(stored["cut"][0]))
        _, encoded, cut = self._fit(histories)
        prompts = Prompts.joined([np.array(tokens, dtype=np.int32) for tokens in encoded], cut)
        with atomic_file(path) as temporary:
            save_file({"tokens": prompts.tokens, "offsets": prompts.offsets, "cut": np.array([cut])}, temporary)
        return prompts

    def history_free(self, prompts: Prompts) -> np.ndarray:
        """Returns the prompt with an empty history, int32 [length], after checking that `prompts` share its template.

        Raises:
            InputError: If the tokens around the history differ in one of the prompts.
        """
        head, tail = self._template()
        starts, ends = prompts.offsets[:-1], prompts.offsets[1:]
        is_long_enough = prompts.lengths >= len(head) + len(tail)
        head_positions = starts[is_long_enough, None] + np.arange(len(head))
        tail_positions = ends[is_long_enough, None] - len(tail) + np.arange(len(tail))
        has_head = (prompts.tokens[head_positions] == head).all(axis=1)
        has_tail = (prompts.tokens[tail_positions] == tail).all(axis=1)
        has_template = np.zeros(len(prompts), dtype=bool)
        has_template[is_long_enough] = has_head & has_tail
        if not has_template.all():
            raise InputError(
                f"the prompt of row {int(has_template.argmin())} does not follow the dataset's template. The relevance "
                "of a title to the prompt without history is defined only if header, instruction and history phrase "
                "are the same in all rows. Use one wording, or an objective other than gdrt"
            )
        return self.histories([[]]).of(0)

    def titles_alone(self, histories: Sequence[Sequence[str]]) -> Prompts:
        """Tokenises the quoted titles and a line break, without the task text; drops the titles `histories` drops."""
        fitted, _, _ = self._fit(histories)
        encoded = self._encode([", ".join(map(quote, titles)) + "\n" for titles in fitted])
        return Prompts.joined([np.array(tokens, dtype=np.int32) for tokens in encoded])

    def _template(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the tokens before and after all histories, without the nearest two: these may merge with titles."""
        first, second = (self.histories([[title]]).of(0) for title in ("A", "9 z"))
        shorter = min(len(first), len(second))
        same_head, same_tail = first[:shorter] == second[:shorter], first[::-1][:shorter] == second[::-1][:shorter]
        return first[: int(same_head.argmin()) - 2], first[len(first) - int(same_tail.argmin()) + 2 :]

    def _fit(self, histories: Sequence[Sequence[str]]) -> tuple[list[list[str]], list[list[int]], int]:
        """Drops oldest titles until each prompt fits; returns histories, tokens and the number of shortened prompts."""
        fitted = [list(history) for history in histories]
        encoded = self._encode([render(self.wording, titles) for titles in fitted])
        too_long = [r for r, tokens in enumerate(encoded) if len(tokens) > self.limit]
        cut = len(too_long)
        while too_long:
            for r in too_long:
                fitted[r] = fitted[r][1:]
            shortened = self._encode([render(self.wording, fitted[r]) for r in too_long])
            for r, tokens in zip(too_long, shortened, strict=True):
                encoded[r] = tokens
            too_long = [r for r in too_long if len(encoded[r]) > self.limit]
        return fitted, encoded, cut

    def text(self, text: str) -> np.ndarray:
        """Tokenises a prompt with any text that ends as the dataset's prompts do, int32 [length]."""
        return np.array(self._encode([text])[0], dtype=np.int32)

    def history(self, titles: Sequence[str]) -> np.ndarray:
        """Tokenises the prompt of one history, as `histories`, without the cache: int32 [length]."""
        _, encoded, _ = self._fit([titles])
        return np.array(encoded[0], dtype=np.int32)

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [tokens[: len(tokens) - self.moved] for tokens in encode_prompts(self.tokenizer, texts)]


def encode_prompts(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Tokenises prompts with the tokenizer's leading special tokens, but without a trailing EOS."""
    encoded = tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"]
    # Some tokenizers append EOS to every text, but a response must be able to follow a prompt.
    ended = 1 if encoded[0][-1] == tokenizer.eos_token_id else 0
    return [tokens[: len(tokens) - ended] for tokens in encoded]
