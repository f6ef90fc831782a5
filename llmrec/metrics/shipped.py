"""The metrics that ship with llmrec, and what is known of a figure by its path in a record."""

from collections.abc import Mapping

from llmrec.metrics.accuracy import ByItem, ByTitle
from llmrec.metrics.base import Figure, Metric
from llmrec.metrics.fairness import Fairness
from llmrec.metrics.hallucination import Hallucination
from llmrec.metrics.lists import ByList, Position
from llmrec.metrics.slices import Slices
from llmrec.metrics.unconstrained import Answers, InvalidRankings, InvalidTitles

CATALOGUE: tuple[Metric, ...] = (ByTitle(), ByItem(), Fairness(), Hallucination(), Slices(), InvalidTitles())
"""The metrics of task next_item."""
CANDIDATES: tuple[Metric, ...] = (ByTitle(), Answers())
"""The metrics of task candidates."""
LISTS: tuple[Metric, ...] = (ByList(), Position(), InvalidRankings())
"""The metrics of task rerank."""
FIGURES: Mapping[str, Figure] = {
    f"{metric.name}.{path}": figure
    for metric in (*CATALOGUE, *CANDIDATES, *LISTS)
    for path, figure in metric.figures.items()
}
"""Every figure by its path in a record, such as `by_title.ndcg@10`."""
