"""Prompts: the published wording, and rows of a dataset as token sequences (METHODS section 0)."""

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
    """Tokenised prompts, flat: tokens int32, offsets int64 [prompts + 1]; cut: how many lost their oldest titles."""

    tokens: np.ndarray
    offsets: np.ndarray
    cut: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @staticmethod
    def joined(pieces: Sequence[np.ndarray], cut: int = 0) -> "Prompts":
        """Token sequences, int [length] each, laid flat."""
        offsets = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])]).astype(np.int64)
        flat = np.concatenate([np.zeros(0, dtype=np.int32), *pieces]).astype(np.int32)
        return Prompts(flat, offsets, cut)

    def of(self, row: int) -> np.ndarray:
        """The tokens of one prompt, int32 [length]."""
        return self.tokens[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """int64 [prompts]."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> "Prompts":
        """The prompts of some rows, in that order."""
        return Prompts.joined([self.of(row) for row in rows])

    def shared_prefix(self) -> np.ndarray:
        """The tokens that all prompts begin with, short of the last of the shortest."""
        columns = np.arange(self.lengths.min() - 1)
        table = self.tokens[self.offsets[:-1, None] + columns]
        same = (table == table[0]).all(axis=0)
        return self.of(0)[: len(columns) if same.all() else int(same.argmin())]


def render(wording: Mapping[str, str], titles: Sequence[str]) -> str:
    """The prompt for a history of titles, oldest first; wording has item, items and verb (the dataset's YAML)."""
    item, items, verb = wording["item"], wording["items"], wording["verb"]
    instruction = (
        f"Given a list of {items} the user has {verb} before, please recommend a new {item} that the user likes to "
        "the user."
    )
    history = f"The user has {verb} the following {items} before: " + ", ".join(map(quote, titles))
    return f"{HEADER}\n\n### Instruction:\n{instruction}\n\n### Input:\n{history}\n \n\n{PROMPT_END}"


def prompt_limit(max_length: int, titles: TitleTokens, items: Items) -> int:
    """How many tokens of max_length (the backbone's) the longest title of the catalogue leaves to a prompt.

    Raises InputError, naming the title, when it leaves none.
    """
    lengths = np.diff(titles.offsets)
    limit = max_length - int(lengths.max())
    if limit <= 0:
        raise InputError(
            f"the title {items.distinct_titles[int(lengths.argmax())]!r} takes {lengths.max()} tokens with EOS, but "
            f"backbone.max_length is {max_length}: raise it"
        )
    return limit


def check_wording(wording: Mapping[str, str]) -> None:
    """Raises InputError where a word of the prompt is none."""
    for key in ("item", "items", "verb"):
        if not isinstance(wording[key], str):
            raise InputError(f"dataset.wording.{key}={wording[key]}: give one text, which stands in every row's prompt")


class PromptTokenizer:
    """Turns histories into token sequences of at most `limit` tokens, dropping the oldest titles of longer ones.

    limit leaves room for the longest title within the backbone's max_length; moved: TitleTokens.moved.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, wording: Mapping[str, str], limit: int, moved: int, cache_dir: Path
    ) -> None:
        self.tokenizer, self.wording, self.limit, self.moved = tokenizer, wording, limit, moved
        check_wording(wording)
        self.cache_dir = cache_dir / "prompts"
        self.identity = f"{tokenizer_hash(tokenizer)} {limit} {moved}"
        empty = len(self._encode([render(wording, [])])[0])
        if empty > limit:
            raise InputError(
                f"the prompt takes {empty} tokens without any history, but backbone.max_length leaves {limit} beside "
                f"the longest title of the catalogue: raise backbone.max_length by {empty - limit} at least"
            )

    def rows(self, rows: Rows, items: Items) -> Prompts:
        """The prompts of a dataset's rows, from the cache if they were tokenised before."""
        return self.histories([[items.titles[i] for i in rows.history_of(r)] for r in range(len(rows))])

    def histories(self, histories: Sequence[Sequence[str]]) -> Prompts:
        """The prompts of histories of titles, oldest first."""
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
        """The prompt with an empty history, int32 [length], which is one for all prompts.

        Raises InputError, naming the first, when some prompts say something else around their histories.
        """
        head, tail = self._template()
        starts, ends = prompts.offsets[:-1], prompts.offsets[1:]
        fits = prompts.lengths >= len(head) + len(tail)
        at = starts[fits, None] + np.arange(len(head)), ends[fits, None] - len(tail) + np.arange(len(tail))
        same = np.zeros(len(prompts), dtype=bool)
        same[fits] = (prompts.tokens[at[0]] == head).all(axis=1) & (prompts.tokens[at[1]] == tail).all(axis=1)
        if not same.all():
            raise InputError(
                f"the prompt of row {int(same.argmin())} is not of the dataset's one template: relevance to the prompt "
                "without history belongs to a title only where header, instruction and history phrase are the same "
                "for all rows; use one wording, or an objective other than gdrt"
            )
        return self.histories([[]]).of(0)

    def titles_alone(self, histories: Sequence[Sequence[str]]) -> Prompts:
        """Prompts of nothing but the quoted titles, of those that `histories` keeps, and a line break."""
        kept, _, _ = self._fit(histories)
        encoded = self._encode([", ".join(map(quote, titles)) + "\n" for titles in kept])
        return Prompts.joined([np.array(tokens, dtype=np.int32) for tokens in encoded])

    def _template(self) -> tuple[np.ndarray, np.ndarray]:
        """The tokens before and behind every history, short of two each that may merge with a title."""
        one, other = (self.histories([[title]]).of(0) for title in ("A", "9 z"))
        least = min(len(one), len(other))
        head, tail = one[:least] == other[:least], (one[::-1][:least] == other[::-1][:least])
        return one[: int(head.argmin()) - 2], one[len(one) - int(tail.argmin()) + 2 :]

    def _fit(self, histories: Sequence[Sequence[str]]) -> tuple[list[list[str]], list[list[int]], int]:
        """What the limit leaves of each history, its prompt's tokens, and how many lost titles."""
        kept = [list(history) for history in histories]
        encoded = self._encode([render(self.wording, titles) for titles in kept])
        over = [r for r, tokens in enumerate(encoded) if len(tokens) > self.limit]
        cut = len(over)
        while over:
            for r in over:
                kept[r] = kept[r][1:]
            for r, tokens in zip(over, self._encode([render(self.wording, kept[r]) for r in over]), strict=True):
                encoded[r] = tokens
            over = [r for r in over if len(encoded[r]) > self.limit]
        return kept, encoded, cut

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return [tokens[: len(tokens) - self.moved] for tokens in encode_prompts(self.tokenizer, texts)]


def encode_prompts(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """The tokens of prompts, with what the tokenizer begins every text with."""
    encoded = tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"]
    # Some tokenizers end every text with EOS by themselves; a prompt must stay open.
    ended = 1 if encoded[0][-1] == tokenizer.eos_token_id else 0
    return [tokens[: len(tokens) - ended] for tokens in encoded]
