"""Recommends titles with a trained run: python -m llmrec.recommend run=runs/... history='["A"]' k=10."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from llmrec.command import run_command, split_config_dir
from llmrec.errors import InputError, shortened

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from llmrec.training.run_folder import RunFolder

HELP = """\
Recommends titles of the catalogue for given histories.

  python -m llmrec.recommend run=runs/<...>/<key> \\
    history='["Title A", "Title B"]' k=10
  python -m llmrec.recommend run=runs/<...>/<key> \\
    file=histories.jsonl k=10 out=recommended.jsonl

run=FOLDER        the folder of a run
history=LIST      a JSON list of titles, oldest first
file=FILE         JSON lines, one such list per line (.gz and .zst too)
out=FILE          file to write the recommendations to, as JSON lines; finished
                  parts lie in FILE.parts until then, and the same command goes
                  on from them after an interruption
k=N               number of titles per history (default 10)

Titles that are not in the catalogue are used as text (a baseline and a run with
items=tokens ignore them), with a warning. Settings of the groups decoding and
paths can be overridden, as in decoding.exclude_history=true, and items.file and
backbone.path.
--config-dir FOLDER adds decoders of your own.
Code that the run's config names and that does not ship with llmrec is refused
unless trust=true is given: set it only for folders that you trust.
"""
OWN = ("run", "history", "file", "out", "k", "trust")
logger = logging.getLogger(__name__)


def main() -> None:
    """Entry point of `llmrec recommend` and `python -m llmrec.recommend`."""
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
    run = RunFolder(Path(own["run"]))
    config = override(run.config(trusts(own)), overrides, config_dir)

    from llmrec.decoding.list_length import lengthen_lists
    from llmrec.tasks.base import build_task

    build_task(config).check_command("recommend", run.folder)
    lengthen_lists(config.decoding, k)
    if "history" in own:
        _print_history(config, run, own["history"], k)
    else:
        _recommend_file(config, run, Path(own["file"]), k, Path(own["out"]) if "out" in own else None)


def _print_history(config: "DictConfig", run: "RunFolder", text: str, k: int) -> None:
    from llmrec.datasets.history_file import parse_history

    history = parse_history(text, "history")

    from llmrec.training.recommending import Recommender

    (row,) = Recommender(config, run).recommend([history])
    print(
        "\n".join(
            f"{rank:3d}  {entry['score']:8.3f}  {shortened(entry['title'])}" for rank, entry in enumerate(row[:k], 1)
        )
    )


def _recommend_file(config: "DictConfig", run: "RunFolder", path: Path, k: int, out: Path | None) -> None:
    from llmrec.datasets.history_file import HistoryFile

    file = HistoryFile(path)

    from llmrec.training.recommended_file import print_recommended, request_key, write_recommended
    from llmrec.training.recommending import Recommender

    if out is None:
        print_recommended(sys.stdout, file, k, Recommender(config, run))
        return
    write_recommended(out, request_key(config, run, k, file), file, k, lambda: Recommender(config, run))
    print(f"recommendations for {file.rows} histories written to {out}")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) < 2**31:
        raise InputError(f"k={text}: give a whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    main()
