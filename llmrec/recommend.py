"""Recommends titles with a trained run: python -m llmrec.recommend run=runs/... history='["A"]' k=10."""

import json
import logging
from pathlib import Path
from typing import Any

from llmrec.command import run_command, split_config_dir
from llmrec.errors import InputError, shortened

HELP = """\
Recommends titles of the catalogue for given histories.

  python -m llmrec.recommend run=runs/<...>/<key> history='["Title A", "Title B"]' k=10
  python -m llmrec.recommend run=runs/<...>/<key> file=histories.jsonl k=10 out=recommended.jsonl

run=FOLDER        the folder of a run
history=LIST      a JSON list of titles, oldest first
file=FILE         JSON lines, one such list per line
out=FILE          file to write the recommendations to, as JSON lines
k=N               number of titles per history (default 10)

Titles that are not in the catalogue are used as text (a baseline and a run with
items=tokens ignore them), with a warning. Settings of the groups decoding and
paths can be overridden, as in decoding.exclude_history=true, and items.file.
--config-dir FOLDER adds decoders of your own.
Code that the run's config names and that does not ship with llmrec is refused
unless trust=true is given: set it only for folders that you trust.
"""
OWN = ("run", "history", "file", "out", "k", "trust")
logger = logging.getLogger(__name__)


def main() -> None:
    """Entry point of `llmrec-recommend` and `python -m llmrec.recommend`."""
    run_command(HELP, _recommend)


def _recommend(arguments: list[str]) -> None:
    from llmrec.training.overrides import override, split_arguments, trusts
    from llmrec.training.run_folder import RunFolder

    logging.basicConfig(level=logging.WARNING, format="llmrec: %(message)s")
    config_dir, arguments = split_config_dir(arguments)
    own, overrides = split_arguments(arguments, OWN)
    if "run" not in own or ("history" in own) == ("file" in own):
        raise InputError("give run=<the folder of a trained run> and either history=<JSON list> or file=<JSON lines>")
    k = _count(own.get("k", "10"))
    histories = [_history(own["history"], "history")] if "history" in own else _histories(Path(own["file"]))
    run = RunFolder(Path(own["run"]))
    config = override(run.config(trusts(own)), overrides, config_dir)

    from llmrec.tasks.base import build_task

    build_task(config).check_command("recommend", run.folder)
    # Beam search returns at most as many titles as it has beams.
    if "beams" in config.decoding:
        config.decoding.beams = max(k, config.decoding.beams)

    from llmrec.training.recommending import recommend

    rows = [titles[:k] for titles in recommend(config, run, histories)]
    if "out" in own:
        _write(Path(own["out"]), rows)
    elif "file" in own:
        print("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    else:
        print(
            "\n".join(
                f"{rank:3d}  {entry['score']:8.3f}  {shortened(entry['title'])}"
                for rank, entry in enumerate(rows[0], 1)
            )
        )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) < 2**31:
        raise InputError(f"k={text}: give a whole number of at least 1")
    return int(text)


def _history(text: str, where: str) -> list[str]:
    from llmrec.datasets.text_files import without_lone_surrogates

    try:
        titles = json.loads(text)
    except ValueError as error:
        raise InputError(f'{where}: not JSON ({error}). Give a list of titles, as in ["Title A", "Title B"]') from error
    if not isinstance(titles, list) or not titles or not all(isinstance(title, str) for title in titles):
        raise InputError(f'{where}: expected a list of at least one title, as in ["Title A", "Title B"]')
    return [without_lone_surrogates(title) for title in titles]


def _histories(path: Path) -> list[list[str]]:
    from llmrec.datasets.text_files import lines_of, read_text

    try:
        lines = lines_of(read_text(path))
    except OSError as error:
        raise InputError(f"file={path} cannot be read: {error.strerror}") from error
    if not lines:
        raise InputError(f"file={path} is empty: give one JSON list of titles per line")
    return [_history(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _write(path: Path, rows: list[list[dict[str, Any]]]) -> None:
    from llmrec.atomic import atomic_file

    with atomic_file(path) as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"recommendations for {len(rows)} histories written to {path}")


if __name__ == "__main__":
    main()
