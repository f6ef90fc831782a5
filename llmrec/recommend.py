"""A trained cell and histories -> the best titles: python -m llmrec.recommend run=runs/... history=["A"] k=10."""

import json
import logging
from pathlib import Path
from typing import Any

from llmrec.command import run_command
from llmrec.errors import InputError

HELP = """\
Recommends titles of the catalogue to users given by their histories.

  python -m llmrec.recommend run=runs/<...>/<fingerprint> history='["Title A", "Title B"]' k=10
  python -m llmrec.recommend run=runs/<...>/<fingerprint> file=histories.jsonl k=10 out=recommended.jsonl

run=FOLDER is a cell's folder; history is a JSON list of titles, oldest first; file holds one such list a line. k is the
number of titles (default 10). Titles unknown to the catalogue are used as text, or left out by a baseline, with a
warning. Settings of the groups decoding and paths can be overridden, as in decoding.exclude_history=true.
A run folder may be somebody else's: code of their own that its config names is refused unless trust=true is given.
"""
OWN = ("run", "history", "file", "out", "k", "trust")
logger = logging.getLogger(__name__)


def main() -> None:
    """Entry point of `llmrec-recommend` and `python -m llmrec.recommend`."""
    run_command(HELP, _recommend)


def _recommend(arguments: list[str]) -> None:
    from llmrec.training.cells import Cell
    from llmrec.training.overrides import override, refuse_other_task, split_arguments, trusts

    logging.basicConfig(level=logging.WARNING, format="llmrec: %(message)s")
    own, overrides = split_arguments(arguments, OWN)
    if "run" not in own or ("history" in own) == ("file" in own):
        raise InputError("give run=<the folder of a trained cell> and either history=<JSON list> or file=<JSON lines>")
    k = _count(own.get("k", "10"))
    histories = [_history(own["history"], "history")] if "history" in own else _histories(Path(own["file"]))
    cell = Cell(Path(own["run"]))
    config = override(cell.config(trusts(own)), overrides)
    refuse_other_task(config, cell.folder)
    # A list is no longer than the beam that made it.
    config.decoding.beams = max(k, config.decoding.beams)

    from llmrec.training.serve import recommend

    rows = [titles[:k] for titles in recommend(config, cell, histories)]
    if "out" in own:
        _write(Path(own["out"]), rows)
    elif "file" in own:
        print("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    else:
        print(
            "\n".join(f"{place:3d}  {entry['score']:8.3f}  {entry['title']}" for place, entry in enumerate(rows[0], 1))
        )


def _count(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise InputError(f"k={text}: give a whole number of at least 1")
    return int(text)


def _history(text: str, where: str) -> list[str]:
    try:
        titles = json.loads(text)
    except ValueError as error:
        raise InputError(f'{where}: not JSON ({error}). Give a list of titles, as in ["Title A", "Title B"]') from error
    if not isinstance(titles, list) or not titles or not all(isinstance(title, str) for title in titles):
        raise InputError(f'{where}: a list of at least one title is needed, as in ["Title A", "Title B"]')
    return titles


def _histories(path: Path) -> list[list[str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"file={path} cannot be read as UTF-8 text: {error}") from error
    if not lines:
        raise InputError(f"file={path} is empty: give one JSON list of titles a line")
    return [_history(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _write(path: Path, rows: list[list[dict[str, Any]]]) -> None:
    from llmrec.atomic import atomic_file

    with atomic_file(path) as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{len(rows)} lists written to {path}")


if __name__ == "__main__":
    main()
