"""Files larger than memory are read: the text of each is larger than the memory of the process that reads it."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MEGABYTE = 2**20
LIMIT_MEGABYTES = 512
"""Of a process; half of it is taken by the packages alone."""
BLOCKS, ROWS_A_BLOCK = 80, 10_000
NOTE = "Bought as a gift, arrived on time, works as described. " * 14

PROGRAM = """
import resource, sys
from pathlib import Path

if limit := int(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
from llmrec.datasets.readers.build import build_reader

items, events = build_reader({"_target_": sys.argv[1]}).read(Path(sys.argv[2]))
# Unlike ru_maxrss, this does not count the process that started this one.
peak_kilobytes = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(len(items), len(events.user_ids), len(events), peak_kilobytes // 1024)
"""


def write_reviews(folder: Path) -> int:
    """Writes reviews as Amazon published them in 2018; returns the bytes of the text."""
    (folder / "meta_Games.json").write_text("".join(f'{{"asin": "B{n}", "title": "Game {n}"}}\n' for n in range(10)))
    with gzip.open(folder / "Games.json.gz", "wb", compresslevel=1) as file:
        return sum(
            file.write(
                "".join(
                    json.dumps({"reviewerID": user, "asin": item, "unixReviewTime": time, "reviewText": NOTE}) + "\n"
                    for user, item, time in block
                ).encode()
            )
            for block in blocks()
        )


def write_orders(folder: Path) -> int:
    """Writes a shop's export; returns the bytes of the text."""
    (folder / "items.csv").write_text("item,title\n" + "".join(f"B{n},Game {n}\n" for n in range(10)))
    with open(folder / "interactions.csv", "w") as file:
        size = file.write("user,item,note,timestamp\n")
        text = NOTE.replace(",", ";")
        return size + sum(
            file.write("".join(f"{user},{item},{text},{time}\n" for user, item, time in block)) for block in blocks()
        )


def blocks() -> Iterator[list[tuple[str, str, int]]]:
    """Events with 1,000 users and ten items."""
    for block in range(BLOCKS):
        yield [(f"U{n % 1_000}", f"B{n % 10}", block * ROWS_A_BLOCK + n) for n in range(ROWS_A_BLOCK)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reader", "write", "limit"),
    [
        ("generic.Generic", write_orders, LIMIT_MEGABYTES * MEGABYTE),
        # polars reserves more for JSON than it uses, so that its resident memory is measured instead.
        ("amazon.Amazon2018", write_reviews, 0),
    ],
)
def test_a_file_larger_than_memory_is_read(
    reader: str, write: Callable[[Path], int], limit: int, tmp_path: Path
) -> None:
    assert write(tmp_path) > LIMIT_MEGABYTES * MEGABYTE
    done = subprocess.run(
        ["env", "POLARS_MAX_THREADS=2", sys.executable, "-c", PROGRAM, f"llmrec.datasets.readers.{reader}",
         str(tmp_path), str(limit)],
        stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    *counts, peak_megabytes = map(int, done.stdout.split())
    assert counts == [10, 1_000, BLOCKS * ROWS_A_BLOCK]
    assert peak_megabytes < LIMIT_MEGABYTES
