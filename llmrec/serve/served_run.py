"""A run that the server has opened, with its queue."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from omegaconf import DictConfig

from llmrec.serve.batching import BatchQueue
from llmrec.serve.messages import Recommendation, RunAnswer, RunDescription, UnknownTitle
from llmrec.serve.titles import TitleIndex
from llmrec.training.exported import is_exported
from llmrec.training.recommending import Recommendations, Recommender
from llmrec.training.run_folder import RunFolder, is_baseline

BATCH_SIZE = 64
"""Maximum number of requests that are decoded together; the decoder divides them by the memory at hand."""
EXPLAINED = 10
"""Number of unknown titles of a history for which similar ones are looked for."""


class ServedRun:
    """A run with its catalogue and the queue of its model.

    Attributes:
        name: Objective or baseline, and the beginning of the run's key or, if it is exported, the name of its folder.
        titles: The titles of its catalogue.
    """

    def __init__(self, config: DictConfig, run: RunFolder, waiting: int) -> None:
        """Opens the run.

        Args:
            config: The run's config, with the decoding settings and paths to use.
            run: The run's folder.
            waiting: Maximum number of requests in its queue.

        Raises:
            InputError: Catalogue, tokenizer or base weights are not those that the run was trained with.
        """
        recommender = Recommender(config, run)
        self.name = _name(config, run)
        self.backbone = "baseline" if is_baseline(config) else str(config.backbone.name)
        self.dataset, self.simulated = recommender.dataset.name, recommender.dataset.simulated
        self.titles = TitleIndex(recommender.dataset.items.distinct_titles)
        self.queue: BatchQueue[list[str], Recommendations] = BatchQueue(recommender.recommend, waiting, BATCH_SIZE)

    def describe(self) -> RunDescription:
        """Describes the run as it is now."""
        return RunDescription(
            name=self.name, dataset=self.dataset, backbone=self.backbone, simulated=self.simulated,
            titles=len(self.titles.titles), waiting=self.queue.requests.qsize(),
        )  # fmt: skip

    async def answer(self, future: "Future[Recommendations]", history: list[str], k: int) -> RunAnswer:
        """Waits for the recommendations of a request that is in the queue.

        Args:
            future: The request's place in the queue.
            history: Titles, oldest first.
            k: Number of recommendations.
        """
        started = time.perf_counter()
        found = await asyncio.wrap_future(future)
        seconds = time.perf_counter() - started
        unknown = [title for title in dict.fromkeys(history) if title not in self.titles.known]
        explained = await asyncio.to_thread(self._explain, unknown) if unknown else []
        return RunAnswer(
            run=self.name, seconds=round(seconds, 4), unknown=explained,
            recommendations=[_recommendation(entry) for entry in found[:k]],
        )  # fmt: skip

    def _explain(self, unknown: list[str]) -> list[UnknownTitle]:
        near = [self.titles.near(title) for title in unknown[:EXPLAINED]]
        near += [[]] * (len(unknown) - len(near))
        return [UnknownTitle(title=title, near=titles) for title, titles in zip(unknown, near, strict=True)]


def name_apart(runs: Sequence[ServedRun]) -> None:
    """Numbers the later ones of runs that have the same name, such as exports in folders of the same name."""
    seen = Counter[str]()
    for run in runs:
        name = run.name
        seen[name] += 1
        if seen[name] > 1:
            run.name = f"{name} ({seen[name]})"


def _name(config: DictConfig, run: RunFolder) -> str:
    method, key = run.folder.resolve().parts[-2:]
    if is_exported(run):
        return f"{str(config.objective['_target_']).rpartition('.')[2].lower()} {key}"
    return f"{method} {key[:8]}"


def _recommendation(entry: dict[str, Any]) -> Recommendation:
    return Recommendation(title=entry["title"], score=entry["score"], items=entry["items"])
