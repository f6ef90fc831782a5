"""The console table of a diagnosis."""

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from llmrec.diagnosis.attribution import SEGMENTS

CAPTION = (
    "attribution: decrease of log P(title | prompt) in nats without the segment; auxiliary: task text and generated "
    "prefix; relevance: log P(title | prompt without history) before tuning"
)
STATES = {"before": "before tuning", "after": "after tuning"}


def print_diagnosis(record: dict[str, Any], folder: Path) -> None:
    """Prints the table of a diagnosis, at most 100 columns wide, and the folder of the record."""
    console = Console(highlight=False)
    # The width does not depend on the terminal, because a narrower table would be truncated.
    console.width = 100
    console.print(diagnosis_table(record))
    print(f"seconds: {record['seconds']:.1f}")
    print(f"diagnosis: {folder}")
    if record["simulated"]:
        print(f"SIMULATED data ({record['dataset']}): these figures say nothing about real users.")


def diagnosis_table(record: dict[str, Any]) -> Table:
    """Builds the table: attribution of each segment as sum and per token, and the share of the most relevant titles.

    The columns are the model before tuning, after tuning, and the value expected by chance.
    """
    table = Table(title=diagnosis_title(record), title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.caption, table.caption_justify = CAPTION, "left"
    table.add_column("", no_wrap=True)
    for heading in (*STATES.values(), "by chance"):
        table.add_column(heading, justify="right", no_wrap=True)
    for kind, unit in (("sum", "sum over the title"), ("per_token", "per token of the segment")):
        for segment in SEGMENTS:
            table.add_row(f"|{segment}|, {unit}", *_both(record, ".3f", kind, segment))
        table.add_row(f"auxiliary : history, {unit}", *_both(record, ".2f", "ratio", kind))
    share = _both(record, ".3f", "most_relevant", "share")
    table.add_row("top 10 in the 20 % most relevant titles", *share, "0.200")
    return table


def _both(record: dict[str, Any], format_spec: str, part: str, name: str) -> list[str]:
    values = [record[state][part][name] for state in STATES]
    return ["-" if value is None else format(value, format_spec) for value in values]


def diagnosis_title(record: dict[str, Any]) -> str:
    """Returns the title of the table and the plot."""
    return (
        f"{record['dataset']}, {record['objective']}: attribution of log P(title) to segments, in nats; "
        f"{record['rows']:,} rows of {record['sample']['split']}"
    )
