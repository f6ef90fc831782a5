"""The HTML page of a report: one file with its style, its script and its data, which asks the network for nothing."""

import html
import json
import re
from importlib.resources import files
from typing import Any

SCRIPTS = ("dom.js", "table.js", "provenance.js", "axes.js", "figure.js", "gains.js", "runplots.js", "page.js")
"""In one module, in this order."""


def render(report: dict[str, Any]) -> str:
    """The page of a report, complete in one text; tables, plots and provenance are drawn by its script.

    report: plain data that JSON can hold, without NaN (ValueError); "tables", "runs", "gains" and when, where and at
    which scale it was made.
    """
    parts = {
        "title": html.escape(f"llmrec results, scale {report['scale']}"),
        "style": _read("page.css"),
        "script": "\n".join(_read(name) for name in SCRIPTS),
        "report": _embedded(report),
    }
    # One pass over the template alone: what is put in may hold braces of its own.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("page.html"))


def _embedded(report: dict[str, Any]) -> str:
    # Without "<" no text of the report can close the script element or open a comment in it; json escapes all that is
    # not ASCII.
    return json.dumps(report, allow_nan=False).replace("<", "\\u003c")


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
