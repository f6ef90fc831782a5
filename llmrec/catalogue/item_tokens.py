"""Token sequences that represent items in prompts and responses, such as semantic IDs."""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmrec.catalogue.items import Items
from llmrec.errors import InputError, shortened

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ItemTokens:
    """Token sequences of the distinct titles, which represent the titles in prompts and responses.

    Attributes:
        sequences: The token texts of each distinct title, in the order of `Items.distinct_titles`. No two titles have
            the same text, but a title's sequence may be a prefix of another's, because responses end in EOS.
        vocabulary: The distinct tokens of all sequences, sorted: the new tokens of the tokenizer.
    """

    sequences: list[tuple[str, ...]]
    vocabulary: list[str]

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) over the sequences, in order."""
        return hashlib.sha256(json.dumps(self.sequences).encode()).hexdigest()


def read_item_tokens(path: Path, items: Items) -> ItemTokens:
    """Reads a file in the `.index.json` layout of semantic-ID projects: a JSON object of item id -> list of tokens.

    An entry is, for example, `"1": ["<a_12>", "<b_3>"]`. The file must have every item of the catalogue. Items that the
    catalogue does not have are ignored; the log says how many. A title that several items share is represented by the
    sequence of its first item in catalogue order, because hits are counted by title. The sequences of its other items
    are checked for their form and are not used.

    Args:
        path: The file.
        items: The catalogue.

    Raises:
        InputError: If the file cannot be read or is not in this layout, if an item of the catalogue is missing, or if
            two titles have the same tokens.
    """
    entries = _read_object(path)
    for item, tokens in entries.items():
        _check_sequence(path, item, tokens)
    missing = [item for item in items.ids if item not in entries]
    if missing:
        raise InputError(
            f"{path}: {len(missing):,} of the {len(items):,} items of the catalogue are missing, first {missing[0]!r}. "
            "Add their tokens, or make the file for this dataset with python -m llmrec.semantic_ids"
        )
    ignored = len(entries.keys() - set(items.ids))
    if ignored:
        logger.info("%s: %s items are not in the catalogue and are ignored", path, f"{ignored:,}")
    first_items: dict[str, str] = {}
    for item, title in zip(items.ids, items.titles, strict=True):
        first_items.setdefault(title, item)
    sequences = [tuple(entries[item]) for item in first_items.values()]
    _check_distinct(path, list(first_items.items()), sequences)
    return ItemTokens(sequences, sorted({token for sequence in sequences for token in sequence}))


def _read_object(path: Path) -> dict[str, Any]:
    expected = 'Expected an object of item id -> list of tokens, as in {"1": ["<a_12>", "<b_3>"]}'

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for item, tokens in pairs:
            if item in entries:
                raise InputError(f"{path}, item {item!r}: listed twice. Remove one of its entries")
            entries[item] = tokens
        return entries

    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=unique)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Give the path of an .index.json file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error.reason}). Save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, row {error.lineno}: not valid JSON ({error.msg}). {expected}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a JSON object. {expected}")
    return content


def _check_sequence(path: Path, item: str, tokens: Any) -> None:
    """Refuses what is not a list of at least one token; tokens become text of prompts and of the tokenizer."""
    if not isinstance(tokens, list) or not tokens:
        raise InputError(
            f'{path}, item {item!r}: expected a list of at least one token, as in ["<a_12>", "<b_3>"], '
            f"got {_shortened(tokens)}. Correct the entry"
        )
    for token in tokens:
        if not isinstance(token, str) or not token.strip() or not token.isprintable() or '"' in token:
            raise InputError(
                f"{path}, item {item!r}: the token {_shortened(token)} cannot be used. Give a printable text that is "
                "not blank and has no line breaks and no double quotes, as in <a_12>"
            )


def _check_distinct(path: Path, first_items: list[tuple[str, str]], sequences: list[tuple[str, ...]]) -> None:
    """Refuses two titles whose tokens read the same, because a response could not tell them apart.

    Args:
        path: The file, for the message.
        first_items: Each distinct title with the id of its first item.
        sequences: The tokens of each distinct title.
    """
    owners: dict[str, tuple[str, str]] = {}
    for (title, item), sequence in zip(first_items, sequences, strict=True):
        text = "".join(sequence)
        other_title, other = owners.setdefault(text, (title, item))
        if other != item:
            raise InputError(
                f"{path}: the items {other!r} ({_shortened(other_title)}) and {item!r} ({_shortened(title)}) have the "
                f"same tokens {shortened(text)}, but different titles. Add a token to one of them, as in <d_1>"
            )


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
