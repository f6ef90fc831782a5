"""Writes the tables of finished runs, or compares chosen runs: python -m llmrec.report scale=smoke, or run=....

Heavy packages are imported inside functions, so that --help stays fast.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmrec.command import run_command
from llmrec.errors import InputError
from llmrec.installed import require_package

HELP = """\
Writes the tables of experiments/ from the records in runs/. Trains nothing.

  python -m llmrec.report
  python -m llmrec.report scale=cpu
  python -m llmrec.report tables=msl_accuracy,gdrt_fairness out=tables/two
  python -m llmrec.report run='runs/games/*' against=sft
  python -m llmrec.report pack=runs out=records.tar.gz

scale=SCALE     smoke (simulated data, default), cpu (real data) or paper (the
                papers' backbones and settings)
tables=LIST     some of msl_accuracy, gdrt_fairness, rosepo_harm, alro_rerank,
                msl_ablation, efficiency, objectives, claims; all by default
runs=FOLDER     folder of the records; $LLMREC_RUNS or ./runs by default
out=FOLDER      folder for report.html, report.md, <table>.tex, <table>.csv and
                plots/; tables/<scale> or, for run=..., tables/runs by default
run=FOLDERS     compares finished runs instead: the folder of a run or of
                several runs, a list of folders, or a pattern in quotes. Runs on
                different sets, splits or test rows are in different tables. The
                page shows 200 users with history, target and the top ten of
                each run
against=RUN     run that the others are compared with: its folder, key,
                objective or baseline; the first run by default
trust=true      reads histories with code that a run's config names and that
                does not ship with llmrec: set it only for folders that you
                trust
pack=FOLDER     writes no tables, but packs the records of all finished runs in
                a runs folder into out=FILE.tar.gz (default records.tar.gz):
                config, training.json, curves, metrics and the values per user
                that tables need; no weights, no titles

Runs in an archive in experiments/results/records/ count as finished runs.
Other runs are listed as not run: make reproduce-tables SCALE=<scale> runs them.
"""


def main() -> None:
    """Entry point of `llmrec report` and `python -m llmrec.report`."""
    run_command(HELP, _report, needs_arguments=False)


def _report(arguments: list[str]) -> None:
    from llmrec.training.overrides import split_arguments

    own, others = split_arguments(arguments, ["scale", "tables", "runs", "out", "pack", "run", "against", "trust"])
    if others:
        raise InputError(
            f"{others[0]}: a report takes only scale, tables, runs, out, pack, run, against and trust (try --help)"
        )
    if "pack" in own:
        _pack(own)
        return
    if not own.get("out", "tables") or Path(own.get("out", "tables")).is_file():
        raise InputError(f"out={own['out']}: this is no folder. Give the folder to write the report to")
    if "run" in own:
        _compare(own)
        return
    _tables(own)


def _tables(own: dict[str, str]) -> None:
    from llmrec.tables.read_table import SHIPPED

    for name in ("against", "trust"):
        if name in own:
            raise InputError(f"{name}={own[name]} needs run=... (try --help)")
    if "runs" in own:
        if not own["runs"] or not Path(own["runs"]).is_dir():
            raise InputError(f"runs={own['runs']}: there is no such folder. Give the folder of the records")
        os.environ["LLMREC_RUNS"] = own["runs"]
    names = own["tables"].split(",") if "tables" in own else list(SHIPPED)
    write_report(names, own.get("scale", "smoke"), Path(own["out"]) if "out" in own else None)


def _compare(own: dict[str, str]) -> None:
    """Writes the comparison of the runs that run= names, and prints it."""
    from llmrec.markdown_grid import unescaped
    from llmrec.run_selection import selected_runs
    from llmrec.tables.comparison import comparison_data
    from llmrec.tables.markdown import measured
    from llmrec.training.overrides import trusts

    unexpected = own.keys() - {"run", "against", "out", "trust"}
    if unexpected:
        raise InputError(f"{min(unexpected)}: a comparison of runs takes only run, against, out and trust (try --help)")
    require_package("matplotlib", "report", "the report")
    report = comparison_data(selected_runs(own["run"]), own.get("against"), trusts(own))
    folder = Path(own.get("out", "tables/runs"))
    _write(report, folder)
    tables = (unescaped(measured(table)) for table in report["tables"])
    print(*report["lines"], *tables, sep="\n\n", end="\n\n")
    _print_files(folder)


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
    require_package("matplotlib", "report", "the report")
    from llmrec.tables.read_table import shipped_table
    from llmrec.tables.report_data import report_data

    report = report_data([shipped_table(name) for name in names], scale)
    folder = folder or Path("tables") / scale
    _write(report, folder)
    _print_summary(report, folder)


def _write(report: dict[str, Any], folder: Path) -> None:
    from llmrec.atomic import atomic_file
    from llmrec.tables.plot_files import write_plots

    for name, text in _texts(report).items():
        with atomic_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_plots(report, folder / "plots")


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
        print(_progress(table))
    print()
    for table in report["tables"]:
        print(measured(table), end="\n\n")
    if any(_can_run(table["counts"]) for table in report["tables"]):
        print(f"to run what is missing: make reproduce-tables SCALE={report['scale']}")
    _print_files(folder)


def _progress(table: dict[str, Any]) -> str:
    """Returns a line such as "msl_accuracy: 3 of 30 runs done, 1 running, 26 left (not started)"."""
    summary = table["summary"]
    line = f"{table['name']}: {summary['done']} of {sum(table['counts'].values())} runs done"
    line += f", {summary['running']} running" if summary["running"] else ""
    reasons = "; ".join(summary["reasons"])
    return line + (f", {summary['left']} left ({reasons})" if summary["left"] else "")


def _print_files(folder: Path) -> None:
    print(f"page: {folder / 'report.html'}")
    print(f"texts: {folder / 'report.md'}, {folder}/<table>.tex, {folder}/<table>.csv; plots: {folder / 'plots'}")


def _can_run(counts: dict[str, int]) -> bool:
    return any(count for state, count in counts.items() if state not in ("done", "running", "cannot run"))


if __name__ == "__main__":
    main()
