"""Renders a report as one self-contained HTML file with its style, script and data, which loads nothing else."""

import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

SCRIPTS = ("dom.js", "table.js", "provenance.js", "plots.js", "users.js", "page.js")
"""Files that are joined into one JavaScript module, in this order."""
DRAWN = ("curves", "fairness", "reference")
"""Parts of a run that only the plots need."""


def render(report: dict[str, Any], plots: Mapping[str, str]) -> str:
    """Renders the page of a report. Its script builds the tables and the provenance from the embedded data.

    Args:
        report: The report (`report_data`).
        plots: The plots as HTML, by name of the table (plots.py).

    Raises:
        ValueError: A number of the report is NaN or infinite.
    """
    parts = {
        "title": html.escape(f"llmrec: {report['title']}"),
        "style": _read("page.css"),
        "script": "\n".join(_read(name) for name in SCRIPTS),
        "report": _embedded(report),
        "plots": "\n".join(
            f'<template id="plots-{html.escape(name)}">{drawn}</template>' for name, drawn in plots.items()
        ),
    }
    # A single pass over the template, since the inserted texts may contain braces, too.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("page.html"))


def _embedded(report: dict[str, Any]) -> str:
    """Serializes the report as JSON, without the parts that only the plots need."""
    runs = {name: {k: v for k, v in run.items() if k not in DRAWN} for name, run in report["runs"].items()}
    shown = {key: value for key, value in report.items() if key != "gains"} | {"runs": runs}
    # Without "<" no text of the report can close the script element or open a comment in it. json escapes all
    # characters that are not ASCII.
    return json.dumps(shown, allow_nan=False).replace("<", "\\u003c")


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
