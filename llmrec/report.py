"""Tables of finished cells: python -m llmrec.report scale=smoke. Nothing heavy is imported before it is needed."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmrec.command import run_command
from llmrec.errors import InputError

HELP = """\
Makes the tables of experiments/ from the records in runs/; nothing is trained.

  python -m llmrec.report
  python -m llmrec.report scale=cpu
  python -m llmrec.report tables=msl_accuracy,gdrt_fairness out=tables/two
  python -m llmrec.report pack=runs out=records.tar.gz    # no tables: packs the finished runs for another checkout

scale=smoke     smoke (simulated sets), cpu (real sets), paper (the papers' backbones and settings)
tables=...      some of msl_accuracy, gdrt_fairness, rosepo_harm, alro_rerank, msl_ablation, efficiency; all by default
runs=FOLDER     where the records lie, $LLMREC_RUNS or ./runs by default
out=FOLDER      tables/<scale> by default: report.html, report.md, <table>.tex, <table>.csv, plots/
pack=FOLDER     writes the records of all finished runs in a runs folder to out=FILE.tar.gz (records.tar.gz by default):
                config, training.json, curves, metrics and what tables read of each user; no weights, no titles

Runs that an archive in experiments/results/records/ holds are read as if they had been run here.
A cell that is not done is listed as not run; make reproduce-tables SCALE=<scale> runs what is missing.
"""


def main() -> None:
    """Entry point of `llmrec-report` and `python -m llmrec.report`."""
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
    if "runs" in own:
        os.environ["LLMREC_RUNS"] = own["runs"]
    names = own["tables"].split(",") if "tables" in own else list(SHIPPED)
    write_report(names, own.get("scale", "smoke"), Path(own["out"]) if "out" in own else None)


def _pack(own: dict[str, str]) -> None:
    from llmrec.tables.pack import pack_records

    unfit = own.keys() - {"pack", "out"}
    if unfit:
        raise InputError(f"{min(unfit)}: pack takes only out; it packs all finished runs (try --help)")
    out = Path(own.get("out", "records.tar.gz"))
    packed = pack_records(Path(own["pack"]), out)
    print(f"{out}: runs packed {packed.finished}, unfinished and left out {packed.unfinished}; {packed.size:,} bytes")


def write_report(names: Sequence[str], scale: str, folder: Path | None = None) -> None:
    """Writes the report of the named tables at a scale into a folder, tables/<scale> by default, and prints a summary.

    Raises InputError for tables and records that cannot be used, and where nothing can be written.
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
        print(f"{table['name']}: {counts['done']} of {sum(counts.values())} cells done", *missing, sep=", ")
    if any(_can_run(table["counts"]) for table in report["tables"]):
        print(f"to run what is missing: make reproduce-tables SCALE={report['scale']}")
    print(f"page: {folder / 'report.html'}")
    print(f"texts: {folder / 'report.md'}, {folder}/<table>.tex, {folder}/<table>.csv; plots: {folder / 'plots'}")


def _can_run(counts: dict[str, int]) -> bool:
    return any(count for state, count in counts.items() if state not in ("done", "cannot run"))


if __name__ == "__main__":
    main()
