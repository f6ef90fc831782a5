"""The definition of a table, as read from experiments/<table>.yaml: rows, metrics, scales and published values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from llmrec.errors import InputError

SCORES = {"next_item": ("trie", "vocab"), "candidates": ("trie", "vocab"), "rerank": (None,)}
"""Score modes of each task; re-ranking has none."""


@dataclass(frozen=True)
class Metric:
    """A column of a table.

    Attributes:
        name: Heading of the column.
        metric_path: Path of the metric in a record, such as `by_title.ndcg@10` (see measures.py).
        direction: Whether "higher" or "lower" is better; None for a metric without a direction. By default that of the
            metric's definition.
        gains: Whether gains in percent are shown. They mean nothing for a metric that may be close to 0 on either side.
        digits: Digits after the decimal point.
        unit: Unit, or "" for none.
    """

    name: str
    metric_path: str
    direction: str | None = None
    gains: bool = True
    digits: int = 4
    unit: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table: a recommender.

    Attributes:
        name: Name of the row.
        overrides: The overrides that all runs of the row share.
        once: Whether the recommender is deterministic and therefore run with the first seed only.
        excluded_datasets: Datasets on which the recommender is not run, with the reason.
    """

    name: str
    overrides: tuple[str, ...]
    once: bool = False
    excluded_datasets: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Preset:
    """What is run of a table at a scale: each row on each dataset with each seed.

    Attributes:
        scale: Name of the scale.
        datasets: Names of the datasets.
        seeds: Seeds.
        overrides: Overrides that all runs of the scale share.
        scores: Score mode of the decoding, or None for re-ranking.
        needs: "gpu", or None if the runs need no GPU.
        seconds: First estimate of the duration of a run in seconds, or None if unknown.
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
    """Values that others published.

    Attributes:
        source: Paper or other source, with the table.
        backbone: Backbone of the published runs.
        selection: How the checkpoint was chosen.
        metrics: Names of the metrics.
        datasets: Names of the datasets.
        figures: Values as `figures[row][dataset][metric]`.
        scores: Score mode, "trie" or "vocab"; None if the source does not state it.
        note: Remark for the reader, or None.
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
    """A table that compares recommenders.

    Attributes:
        name: Name of the YAML file without its suffix.
        title: Title.
        about: The question that the table answers.
        task: "next_item", "candidates" or "rerank".
        scores: Score mode of the decoding, or None for re-ranking.
        reference: Name of the row that the others are compared with.
        metrics: Columns.
        intervals: Whether each value is shown with its 95 % interval.
        own_metrics: Names of a user's own metrics (group `metrics`) among the columns.
        tested: Names of the metrics whose differences are tested for significance.
        rows: Rows.
        presets: What is run at each scale, by name of the scale.
        published: Published values that are shown below the table.
        notes: Notes below the table.
    """

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
    intervals: bool = False
    own_metrics: tuple[str, ...] = ()

    def preset(self, scale: str) -> Preset:
        """Returns the preset of a scale.

        Raises:
            InputError: The table does not have the scale.
        """
        if scale not in self.presets:
            raise InputError(f"scale={scale}: table {self.name} has {', '.join(self.presets)}. Choose one of these")
        return self.presets[scale]
