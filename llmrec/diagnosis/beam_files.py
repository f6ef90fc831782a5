"""The tables, the plot and the CSV of a diagnosis of beam search."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from llmrec.atomic import atomic_file

ROWS_FILE = "beam.csv"
SHOWN_DEPTHS = 10
"""Depths with a line of their own in the table; deeper ones share one."""
WIDTH_NOTE = "recall: mean share of the exact list that the beam's list of the same length holds"
LOST, RIGHTLY = "target in the exact list", "target not in the exact list"


def print_beam_diagnosis(record: dict[str, Any], folder: Path) -> None:
    """Prints the tables of a diagnosis, at most 80 columns wide, and the folder of the record."""
    console = Console(highlight=False)
    # The width does not depend on the terminal, because a narrower table would be truncated.
    console.width = 80
    console.print(_title(record), depth_table(record), depth_note(record), width_table(record), WIDTH_NOTE, sep="\n")
    print(f"seconds: {record['seconds']:.1f}")
    print(f"diagnosis: {folder}")
    if record["simulated"]:
        print(f"SIMULATED data ({record['dataset']}): these figures say nothing about real users.")


def depth_table(record: dict[str, Any]) -> Table:
    """Builds the table of the depths at which targets are pruned."""
    rows = record["rows"]
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("depth", "pruned targets", "share of rows", "in the exact list"):
        table.add_column(heading, justify="right", no_wrap=True)
    for label, pruned, lost in shown_depths(record):
        table.add_row(label, str(pruned), f"{pruned / rows:.3f}", str(lost))
    table.add_row("not pruned", str(record["kept"]), f"{record['kept'] / rows:.3f}", "")
    return table


def depth_note(record: dict[str, Any]) -> str:
    """Returns the explanation of the table of depths, with the figures on the exact list."""
    median = record["median_exact_rank"]
    return (
        f"depth: tokens of the target's prefix when it left the search. Exact list: the {record['beams']} best titles "
        f"by exhaustive scoring, with {record['exact_in_list']} targets. Targets with the same rank in both lists: "
        f"{record['same_rank']}. Median exact rank of the target: {'-' if median is None else f'{median:,g}'} of "
        f"{record['titles']:,} titles."
    )


def width_table(record: dict[str, Any]) -> Table:
    """Builds the table of the beam's lists beside the exact lists of the same length."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("beams", "recall", "HR, beam", "HR, exact"):
        table.add_column(heading, justify="right", no_wrap=True)
    for width, figures in record["widths"].items():
        table.add_row(width, *(f"{figures[name]:.4f}" for name in ("recall", "hr", "exact_hr")))
    return table


def shown_depths(record: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Returns label, pruned rows and how many of them are in the exact list, for each line of the table."""
    pruned, lost = record["pruned"]["rows"], record["pruned"]["in_exact_list"]
    lines = [(str(depth), *both) for depth, both in enumerate(zip(pruned, lost, strict=True), start=1)]
    if len(lines) <= SHOWN_DEPTHS:
        return lines
    rest = (f"{SHOWN_DEPTHS + 1}+", sum(pruned[SHOWN_DEPTHS:]), sum(lost[SHOWN_DEPTHS:]))
    return [*lines[:SHOWN_DEPTHS], rest]


def write_beam_files(folder: Path, record: dict[str, Any]) -> None:
    """Writes beam.csv, a line for each row, and the plot as beam.png and beam.svg."""
    columns = record["by_row"]
    with (
        atomic_file(folder / ROWS_FILE) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    figure = beam_plot(record)
    for kind in ("png", "svg"):
        with atomic_file(folder / f"beam.{kind}") as temporary:
            figure.savefig(temporary, format=kind, dpi=150)


def beam_plot(record: dict[str, Any]) -> Figure:
    """Draws the share of rows whose target is pruned, by depth, divided by whether the exact list has the target."""
    # pyplot would keep the figure in memory and select a display backend.
    figure = Figure(figsize=(7, 4), layout="constrained")
    figure.suptitle(_title(record))
    axis = figure.subplots()
    lines = shown_depths(record)
    labels = [label for label, _, _ in lines]
    pruned, lost = np.array([line[1:] for line in lines], dtype=float).reshape(-1, 2).T / record["rows"]
    axis.bar(labels, lost, label=LOST, color="#d95f02")
    axis.bar(labels, pruned - lost, bottom=lost, label=RIGHTLY, color="#1b2a6b", hatch="//")
    axis.set_xlabel("depth (tokens of the target's prefix)")
    axis.set_ylabel("share of rows whose target is pruned")
    axis.legend()
    return figure


def _title(record: dict[str, Any]) -> str:
    return (
        f"{record['dataset']}, {record['objective']}: beam search with {record['beams']} beams; "
        f"{record['rows']:,} rows of {record['sample']['split']}"
    )
