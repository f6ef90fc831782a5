"""Writes the tables of finished runs: python -m llmrec.report scale=smoke.

Heavy packages are imported inside functions, so that --help stays fast.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmrec.command import run_command
from llmrec.errors import InputError

HELP = """\
Writes the tables of experiments/ from the records in runs/. Trains nothing.

  python -m llmrec.report
  python -m llmrec.report scale=cpu
  python -m llmrec.report tables=msl_accuracy,gdrt_fairness out=tables/two
  python -m llmrec.report pack=runs out=records.tar.gz    # no tables: packs the finished runs for another checkout

scale=SCALE     smoke (simulated data, default), cpu (real data) or paper (the
                papers' backbones and settings)
tables=LIST     some of msl_accuracy, gdrt_fairness, rosepo_harm, alro_rerank,
                msl_ablation, efficiency; all by default
runs=FOLDER     folder of the records; $LLMREC_RUNS or ./runs by default
out=FOLDER      folder for report.html, report.md, <table>.tex, <table>.csv and
                plots/; tables/<scale> by default
pack=FOLDER     packs the records of all finished runs in a runs folder into
                out=FILE.tar.gz (default records.tar.gz): config, training.json,
                curves, metrics and the values per user that tables need; no
                weights, no titles

Runs in an archive in experiments/results/records/ count as finished runs.
Other runs are listed as not run: make reproduce-tables SCALE=<scale> runs them.
"""


def main() -> None:
    """Entry point of `llmrec report` and `python -m llmrec.report`."""
    run_command(HELP, _report, alone=True)


def _report(arguments: list[str]) -> None:
    from llmrec.tables.read_table import SHIPPED
    from llmrec.training.overrides import split_arguments

    own, others = split_arguments(arguments, ["scale", "tables", "runs", "out", "pack"])
    if others:
        raise InputError(f"{others[0]}: a report takes only scale, tables, runs, out and pack (try --help)")
    if "pack" in own:
        _pack(own)
        return
    if not own.get("out", "tables") or Path(own.get("out", "tables")).is_file():
        raise InputError(f"out={own['out']}: this is no folder. Give the folder to write the report to")
    if "runs" in own:
        if not own["runs"] or not Path(own["runs"]).is_dir():
            raise InputError(f"runs={own['runs']}: there is no such folder. Give the folder of the records")
        os.environ["LLMREC_RUNS"] = own["runs"]
    names = own["tables"].split(",") if "tables" in own else list(SHIPPED)
    write_report(names, own.get("scale", "smoke"), Path(own["out"]) if "out" in own else None)


def _pack(own: dict[str, str]) -> None:
    from llmrec.tables.pack import pack_records

    unexpected = own.keys() - {"pack", "out"}
    if unexpected:
        raise InputError(f"{min(unexpected)}: pack takes only out; it packs all finished runs (try --help)")
    out = Path(own.get("out", "records.tar.gz"))
    packed = pack_records(Path(own["pack"]), out)
    print(f"{out}: {packed.finished} runs packed, {packed.unfinished} unfinished runs skipped; {packed.size:,} bytes")


def write_report(names: Sequence[str], scale: str, folder: Path | None = None) -> None:
    """Writes the report of some tables and prints a summary.

    Args:
        names: Names of the tables.
        scale: Scale of their runs.
        folder: Folder to write to; tables/<scale> by default.

    Raises:
        InputError: A table or record cannot be used, or the folder cannot be written.
    """
    from llmrec.atomic import atomic_file
    from llmrec.tables.plot_files import write_plots
    from llmrec.tables.read_table import shipped_table
    from llmrec.tables.report_data import report_data

    report = report_data([shipped_table(name) for name in names], scale)
    folder = folder or Path("tables") / scale
    for name, text in _texts(report).items():
        with atomic_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_plots(report, folder / "plots")
    _print_summary(report, folder)


def _texts(report: dict[str, Any]) -> dict[str, str]:
    from llmrec.tables.latex import latex
    from llmrec.tables.markdown import markdown
    from llmrec.tables.page import render
    from llmrec.tables.page.plots import page_plots
    from llmrec.tables.tidy_csv import tidy_csv

    texts = {"report.html": render(report, page_plots(report)), "report.md": markdown(report)}
    for table in report["tables"]:
        texts |= {f"{table['name']}.tex": latex(table), f"{table['name']}.csv": tidy_csv(table)}
    return texts


def _print_summary(report: dict[str, Any], folder: Path) -> None:
    from llmrec.tables.markdown import measured

    for table in report["tables"]:
        print(measured(table), end="\n\n")
    for table in report["tables"]:
        counts = table["counts"]
        missing = [f"{count} {state}" for state, count in counts.items() if count and state != "done"]
        print(f"{table['name']}: {counts['done']} of {sum(counts.values())} runs done", *missing, sep=", ")
    if any(_can_run(table["counts"]) for table in report["tables"]):
        print(f"to run what is missing: make reproduce-tables SCALE={report['scale']}")
    print(f"page: {folder / 'report.html'}")
    print(f"texts: {folder / 'report.md'}, {folder}/<table>.tex, {folder}/<table>.csv; plots: {folder / 'plots'}")


def _can_run(counts: dict[str, int]) -> bool:
    return any(count for state, count in counts.items() if state not in ("done", "cannot run"))


if __name__ == "__main__":
    main()
