"""Stores the values of the golden runs anew: python -m tests.golden.update [words]."""

import logging
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from tests.golden.cases import FAMILIES
from tests.golden.stored import differences, read_stored, write_stored
from tests.golden.values import Runs, Values


def main(words: Sequence[str]) -> None:
    """Runs the cases, prints what differs from the stored values, and stores what was found.

    Args:
        words: Parts of the names of the families to run (such as `rerank`); none: all of them.
    """
    # Runs log what the updating of values need not show.
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        for family in FAMILIES:
            if not words or any(word in family for word in words):
                _update(runs, family)


def _update(runs: Runs, family: str) -> None:
    stored = read_stored(family)
    found: dict[str, Values] = {}
    for case in FAMILIES[family].cases:
        with redirect_stdout(StringIO()):
            found[case] = runs.values(family, case)
    differing = differences(stored, found)
    largest = max((difference.relative for difference in differing), default=0.0)
    summary = f"{family}: {len(found)} runs, {len(differing)} values differ, by {largest:.1g} of the larger at most"
    print(*differing, summary, sep="\n", flush=True)
    write_stored(family, found)


if __name__ == "__main__":
    main(sys.argv[1:])
