"""Random damage to files: of bytes, of rows and of columns."""

import gzip
import random
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

NUMBERS = [b"9" * 400, b"9" * 5000, b"1e999", b"-1", b"0", b"NaN", b"9223372036854775808", b"1.5", b"-0.0", b"1e18"]
VALUES = [b"null", b"true", b"[]", b"{}", b'""', b"5", b'[["x"]]', b'"\\ud83d"', b"None", b"u'x'", b"1e400", b"-"]
INSERTED = [
    b"\0",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\r",
    b"\n",
    b"\xff",
    b"\xed\xa0\x80",
    b'"',
    b",",
    b"\t",
    b"\xe2\x80\xa8",
    b"\\",
]
OTHER_FILES = [
    b"<!DOCTYPE html><html>Not found</html>",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
]
NAMES = [b"", b"x", b"item", b"user", b"title", b"timestamp"]
WORD = re.compile(rb"[A-Za-z_]{3,}")


def flip(rng: random.Random, content: bytes) -> bytes:
    """Flips some bits."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 4])):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(rng: random.Random, content: bytes) -> bytes:
    """Cuts the end off."""
    return content[: rng.randrange(len(content) + 1)]


def replace_all(rng: random.Random, content: bytes) -> bytes:
    """Leaves nothing, or puts a page or a pointer in the file's place."""
    return rng.choice([b"", b"\n", b"\0" * 100, *OTHER_FILES])


def change_rows(rng: random.Random, content: bytes) -> bytes:
    """Removes, repeats, swaps or cuts rows."""
    rows = content.split(b"\n")
    first, second = rng.randrange(len(rows)), rng.randrange(len(rows))
    change = rng.randrange(5)
    if change == 0:
        del rows[min(first, second) : max(first, second)]
    elif change == 1:
        rows[first:first] = [rows[second]] * rng.choice([1, 3])
    elif change == 2:
        rows[first], rows[second] = rows[second], rows[first]
    elif change == 3:
        rows[first] = rows[first][: rng.randrange(len(rows[first]) + 1)]
    else:
        rows.insert(first, rng.choice([b"", b" ", b"[]", b"null", b"{}", b",,,", b"x" * 100_000]))
    return b"\n".join(rows)


def change_columns(rng: random.Random, content: bytes) -> bytes:
    """Renames, repeats or reorders names in the header, or a name in every row."""
    header, end, rest = content.partition(b"\n")
    separator = max([b",", b"\t", b";", b"::", b"|"], key=header.count)
    names = header.split(separator)
    position, change = rng.randrange(len(names)), rng.randrange(5)
    if change == 0:
        names[position] = rng.choice(NAMES)
    elif change == 1:
        names.insert(position, rng.choice(names))
    elif change == 2:
        rng.shuffle(names)
    elif change == 3:
        del names[position]
    elif found := sorted(set(WORD.findall(content[:2000]))):
        return content.replace(rng.choice(found), rng.choice([*NAMES, *found]))
    return separator.join(names) + end + rest


def insert(rng: random.Random, content: bytes) -> bytes:
    """Inserts a byte sequence that some parser takes for something special."""
    place = rng.choice([0, len(content), rng.randrange(len(content) + 1)])
    return content[:place] + rng.choice(INSERTED) + content[place:]


def change_number(rng: random.Random, content: bytes) -> bytes:
    """Puts an unusual number in the place of one, or of all that are like it."""
    found = sorted(set(re.findall(rb"[0-9]+", content)))
    if not found:
        return content
    old = rng.choice(found)
    return content.replace(old, rng.choice(NUMBERS), rng.choice([1, -1]))


def change_value(rng: random.Random, content: bytes) -> bytes:
    """Puts a value of another type in the place of a text or a list."""
    found = list(re.finditer(rb'"[^"\n]*"|\'[^\'\n]*\'|\[[^\]\n]*\]', content))
    if not found:
        return content
    match = rng.choice(found)
    return content[: match.start()] + rng.choice(VALUES) + content[match.end() :]


def nest(rng: random.Random, content: bytes) -> bytes:
    """Puts deeply nested lists or objects in the place of a value or of a row."""
    depth = rng.choice([500, 100_000])
    opened, closed = rng.choice([(b"[", b"]"), (b'{"a":', b"}"), (b"(", b")"), (b"-", b"")])
    nested = opened * depth + b"1" + closed * rng.choice([0, depth])
    found = list(re.finditer(rb'"[^"\n]*"|[0-9]+|[^\n]+', content))
    if not found:
        return nested
    match = rng.choice(found)
    return content[: match.start()] + nested + content[match.end() :]


def compress(rng: random.Random, content: bytes) -> bytes:
    """Compresses a file once more."""
    return rng.choice([gzip.compress(content), pa.compress(content, "zstd", asbytes=True), content[2:]])


BYTES: list[Callable[[random.Random, bytes], bytes]] = [flip, truncate, replace_all, insert, compress]
TEXT = [
    flip,
    truncate,
    change_rows,
    change_columns,
    insert,
    change_number,
    change_value,
    nest,
    change_rows,
    change_value,
]


def mutate_table(rng: random.Random, path: Path) -> None:
    """Changes columns and rows of a Parquet file."""
    table = pq.read_table(path)
    position, change = rng.randrange(table.num_columns), rng.randrange(6)
    name = table.column_names[position]
    if change == 0:
        table = table.rename_columns(["x" if other == name else other for other in table.column_names])
    elif change == 1:
        table = table.append_column(rng.choice(table.column_names), table[name])
    elif change == 2:
        table = table.drop_columns([name])
    elif change == 3:
        table = table.slice(rng.randrange(len(table) + 1))
    elif change == 4:
        values = [None if rng.random() < 0.3 else value for value in table[name].to_pylist()]
        table = table.set_column(position, name, pa.array(values, table.schema.field(name).type))
    else:
        other = [rng.choice([float("nan"), b"x", [1], {"a": 1}, True, 2**63 - 1, "", None])] * len(table)
        table = table.set_column(position, name, pa.array(other))
    pq.write_table(table, path)


def mutate(rng: random.Random, path: Path) -> str:
    """Damages a file in one way; returns which."""
    if path.suffix == ".parquet" and rng.random() < 0.5:
        mutate_table(rng, path)
        return "mutate_table"
    content = path.read_bytes()
    if path.suffix == ".gz" and rng.random() < 0.6:
        change = rng.choice(TEXT)
        path.write_bytes(gzip.compress(change(rng, gzip.decompress(content))))
    else:
        change = rng.choice(BYTES if path.suffix in (".gz", ".zst", ".parquet") or rng.random() < 0.15 else TEXT)
        path.write_bytes(change(rng, content))
    return change.__name__
