"""Draws panels as inline SVG in the colors of the page's theme."""

import io
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple
from xml.etree import ElementTree

from matplotlib.figure import Figure

from llmrec.tables.plot_files import TITLE, WIDTH, add_axes
from llmrec.tables.plot_style import SVG_METADATA, plot_settings
from llmrec.tables.plots import Mark, Panel

Element = ElementTree.Element
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML does not allow, which names may contain."""
MARK_ID = re.compile(r"mark(\d+)")


class Drawing(NamedTuple):
    """A drawn panel.

    Attributes:
        panel: The panel.
        svg: The SVG element as text.
        marks: What is drawn in it.
    """

    panel: Panel
    svg: str
    marks: list[Mark]


def draw_panel(panel: Panel, prefix: str, rows: Mapping[str, int]) -> Drawing | None:
    """Draws a panel for the page.

    Args:
        panel: The panel.
        prefix: Prefix of all ids in the SVG, which keeps the ids of different SVGs of the page apart.
        rows: Position of each row in its table, which becomes the data-row of the row's marks.

    Returns:
        The drawing, or None if the panel has no data.
    """
    # Without this setting text would become paths; as text it takes the page's font and color.
    with plot_settings(**{"svg.fonttype": "none"}):
        # The page shows the title as a caption.
        figure = Figure(figsize=(WIDTH, panel.height - TITLE))
        axis = add_axes(figure, 0, 0, panel.height)
        marks = panel.draw(axis)
        if not marks:
            return None
        axis.set_title("")
        for background in (figure.patch, axis.patch):
            background.set_visible(False)
        for index, mark in enumerate(marks):
            mark.artist.set_gid(f"mark{index}")
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata=SVG_METADATA)
    label = f"{panel.topic}, {panel.dataset}: " + "; ".join(dict.fromkeys(mark.text for mark in marks))
    return Drawing(panel, embeddable(written.getvalue(), prefix, label, marks, rows), marks)


def embeddable(svg: str, prefix: str, label: str, marks: Sequence[Mark], rows: Mapping[str, int]) -> str:
    """Turns an SVG file of matplotlib into an element of the page.

    The artist with the gid mark<n> gets the text of `marks[n]` as a tooltip and the position of its row as data-row.

    Args:
        svg: Content of the SVG file.
        prefix: Prefix of all ids.
        label: Description of the panel for screen readers.
        marks: The marks of the panel.
        rows: Position of each row in its table.
    """
    root = ElementTree.fromstring(FORBIDDEN.sub("\ufffd", svg))
    for element in list(root.iter()):
        _clean(element)
        _identify(element, prefix, marks, rows)
    _unwrap_groups(root)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": FORBIDDEN.sub("\ufffd", label)}
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: Element) -> None:
    """Removes namespaces, style sheets, white space and superfluous digits; replaces colors by CSS variables."""
    element.tag = _local(element.tag)
    # matplotlib's style sheet would apply to the whole page.
    for child in [child for child in element if _local(child.tag) == "style"]:
        element.remove(child)
    if element.tag != "text":
        element.text = None
    element.tail = None
    attributes = {_local(name): " ".join(value.split()) for name, value in element.attrib.items()}
    for name in attributes.keys() & {"d", "x", "y", "transform"}:
        # A tenth of a point is precise enough.
        attributes[name] = re.sub(r"(\.\d)\d+", r"\1", attributes[name])
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    if "style" in attributes:
        # Text uses the font of the page.
        attributes["style"] = with_variables(re.sub(r"font-family: [^;]*;? ?", "", attributes["style"]))
    element.attrib = attributes


def with_variables(style: str) -> str:
    """Replaces colors in CSS by the page's variables, which differ between the light and the dark theme."""
    return re.sub(r"#[0-9a-f]{6}\b", lambda color: _variables().get(color[0], color[0]), style)


@cache
def _variables() -> dict[str, str]:
    """Returns the CSS variables of the page by their light color.

    Variables with equal light colors have equal dark ones, so that it does not matter which of them is used.
    """
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return {color: f"var(--{name})" for name, color in re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}),", style)}


def _identify(element: Element, prefix: str, marks: Sequence[Mark], rows: Mapping[str, int]) -> None:
    """Adds a mark's tooltip and row, prefixes ids and references to them, and removes unused ids."""
    attributes = element.attrib
    name = attributes.pop("id", "")
    if match := MARK_ID.fullmatch(name):
        _describe(element, marks[int(match[1])], rows)
    elif name and element.tag != "g":
        attributes["id"] = prefix + name
    if "href" in attributes:
        attributes["href"] = "#" + prefix + attributes["href"].removeprefix("#")
    if "clip-path" in attributes:
        attributes["clip-path"] = attributes["clip-path"].replace("url(#", f"url(#{prefix}")


def _describe(element: Element, mark: Mark, rows: Mapping[str, int]) -> None:
    if mark.row is not None:
        element.set("data-row", str(rows[mark.row]))
    title = Element("title")
    title.text = FORBIDDEN.sub("\ufffd", mark.text)
    element.insert(0, title)


def _unwrap_groups(element: Element) -> None:
    """Replaces groups without attributes by their children, which makes the SVG a tenth smaller."""
    for child in element:
        _unwrap_groups(child)
    element[:] = [inner for child in element for inner in (child if child.tag == "g" and not child.attrib else [child])]


def _local(name: str) -> str:
    return name.rpartition("}")[2]
