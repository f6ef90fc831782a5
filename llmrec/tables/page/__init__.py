"""The HTML page of a report: one file with its style, its script and its data, which asks the network for nothing."""

import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

SCRIPTS = ("dom.js", "table.js", "provenance.js", "plots.js", "page.js")
"""In one module, in this order."""
DRAWN = ("curves", "fairness", "reference")
"""What a run has for the plots alone."""


def render(report: dict[str, Any], plots: Mapping[str, str]) -> str:
    """Renders the page of a report as one text; its script makes tables and provenance.

    Args:
        report: plain data that JSON can hold; "tables", "runs", and when, where and at which scale it was made.
        plots: by table name, its plots as HTML (plots.py).

    Raises:
        ValueError: a number of the report is NaN or infinite.
    """
    parts = {
        "title": html.escape(f"llmrec results, scale {report['scale']}"),
        "style": _read("page.css"),
        "script": "\n".join(_read(name) for name in SCRIPTS),
        "report": _embedded(report),
        "plots": "\n".join(
            f'<template id="plots-{html.escape(name)}">{drawn}</template>' for name, drawn in plots.items()
        ),
    }
    # One pass over the template alone: what is put in may hold braces of its own.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("page.html"))


def _embedded(report: dict[str, Any]) -> str:
    """The report as JSON, without what only the plots are made of."""
    runs = {name: {k: v for k, v in run.items() if k not in DRAWN} for name, run in report["runs"].items()}
    shown = {key: value for key, value in report.items() if key != "gains"} | {"runs": runs}
    # Without "<" no text of the report can close the script element or open a comment in it; json escapes all that is
    # not ASCII.
    return json.dumps(shown, allow_nan=False).replace("<", "\\u003c")


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
