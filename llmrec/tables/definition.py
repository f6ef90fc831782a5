"""What experiments/<table>.yaml says: rows, columns, scales and published figures of a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from llmrec.errors import InputError

SCORES = {"next_item": ("trie", "vocab"), "rerank": (None,)}
"""Score modes by task; re-ranking has none."""


@dataclass(frozen=True)
class Metric:
    """A column: its place in a record (see measures.py), which end is better, if any, and how it is written.

    gains: whether it has gains in percent, which say nothing of a figure that may be next to 0 on either side.
    """

    name: str
    place: str
    better: str | None = None
    gains: bool = True
    digits: int = 4
    unit: str = ""


@dataclass(frozen=True)
class Row:
    """A recommender: the overrides that make its cells.

    once: no seed changes it, so it is run with the first alone; not_on: set -> why it has no cell there.
    """

    name: str
    overrides: tuple[str, ...]
    once: bool = False
    not_on: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Preset:
    """The cells of a scale: each row with each set and seed.

    scores: of its decoding; needs: "gpu" or None; seconds: of a cell, a first estimate, None = not known.
    """

    scale: str
    datasets: tuple[str, ...]
    seeds: tuple[int, ...]
    overrides: tuple[str, ...]
    scores: str | None
    needs: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Published:
    """Figures that others printed: figures[row][set][metric].

    selection: how the checkpoint was chosen; scores: trie, vocab, None = not said.
    """

    source: str
    backbone: str
    selection: str
    metrics: tuple[str, ...]
    datasets: tuple[str, ...]
    figures: dict[str, dict[str, dict[str, float]]]
    scores: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Table:
    """A table; reference: the row that gains are over; tested: the metrics that are tested for significance."""

    name: str
    title: str
    about: str
    task: str
    scores: str | None
    reference: str
    metrics: tuple[Metric, ...]
    tested: tuple[str, ...]
    rows: tuple[Row, ...]
    presets: dict[str, Preset]
    published: tuple[Published, ...] = ()
    notes: tuple[str, ...] = ()

    def preset(self, scale: str) -> Preset:
        """The preset of a scale. Raises InputError for one that the table has not."""
        if scale not in self.presets:
            raise InputError(f"scale={scale}: table {self.name} has {', '.join(self.presets)}")
        return self.presets[scale]
