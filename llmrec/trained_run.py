"""A trained run as an object of the Python API: its metrics and rankings, and recommendations of its model."""

import copy
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from llmrec.errors import InputError
from llmrec.evaluation.record import FACTS_FILE, read_metrics, read_part
from llmrec.installed import installed_folder
from llmrec.plain import plain
from llmrec.stored_config import refuse_foreign_decoder
from llmrec.training.overrides import override
from llmrec.training.ranking_settings import with_settings_of
from llmrec.training.run_folder import RunFolder

if TYPE_CHECKING:
    import numpy as np
    import polars

    from llmrec.tables.paired_runs import Evaluation
    from llmrec.training.recommending import Recommendations, Recommender

RANKINGS, RANKING_FILE = "rankings", "ranking.parquet"


class Run:
    """A trained run with one way of decoding. `llmrec.train` and `llmrec.open` return it.

    Files are read, and the model is loaded, when they are first needed.

    Attributes:
        folder: The run's folder.
        config: The run's resolved config, with the decoding and evaluation settings in use.
        ranking: The folder of the rankings and metrics with these settings; it need not exist.
    """

    def __init__(self, folder: Path, config: DictConfig, ranking: Path | None = None) -> None:
        self.folder, self.config = folder, config
        self.ranking = ranking or RunFolder(folder).ranking(config)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of metrics.json: settings, seconds, and the metrics under `splits`."""
        return read_metrics(self.ranking)

    @cached_property
    def training(self) -> dict[str, Any]:
        """The content of training.json: dataset, versions, hardware, seconds and what training reported."""
        return RunFolder(self.folder).training

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics by split, as in `run.metrics["test"]["by_title"]["ndcg@10"]`."""
        return dict(self.record["splits"])

    @cached_property
    def rankings(self) -> "polars.DataFrame":
        """The ranked titles of every evaluated row, best first, with their scores, in the order of the splits.

        Task next_item has the columns `split`, `row`, `user`, `target` (an item's ID), `target_title`, `titles`,
        `scores`, `list_length` and `exclude_history`.

        Raises:
            InputError: polars is not installed, or the run is not evaluated.
        """
        file = self.ranking / RANKING_FILE
        if installed_folder("polars") is None:
            raise InputError(
                "run.rankings needs polars. Install it with pip install 'llmrec[prepare]', or read the file with "
                f"another library, as by pyarrow.parquet.read_table({str(file)!r})"
            )
        parts = read_part(self.ranking, "ranking")
        if parts is None:
            raise InputError(f"{file} is missing. Make it with python -m llmrec.evaluate run={self.folder}")

        import polars

        frames = [
            polars.DataFrame(table).select(polars.lit(split).alias("split"), polars.all())
            for split, table in parts.items()
        ]
        return polars.concat(frames)

    @cached_property
    def recommender(self) -> "Recommender":
        """The run's model or baseline with its catalogue.

        Raises:
            InputError: Catalogue, tokenizer or base weights are not those that the run was trained with.
        """
        from llmrec.tasks.base import build_task
        from llmrec.training.recommending import Recommender

        build_task(self.config).check_command("recommend", self.folder)
        return Recommender(self.config, RunFolder(self.folder))

    def recommend(self, histories: Sequence[Sequence[str]], k: int = 10) -> "list[Recommendations]":
        """Recommends titles of the catalogue.

        Args:
            histories: Histories, each a list of titles, oldest first. A title that is not in the catalogue is used as
                text by a language model, with a warning.
            k: Number of titles for each history.

        Returns:
            For each history its titles, best first, as dicts with `title`, `score` and `items` (the ids of its items).
        """
        if isinstance(histories, str) or any(isinstance(history, str) for history in histories):
            raise InputError('histories is a list of histories, each a list of titles: give [["Title A", "Title B"]]')
        if k < 1:
            raise InputError(f"k={k}: give a whole number of at least 1")
        recommended = self._recommender_of(k).recommend(histories)
        return [row[:k] for row in recommended]

    def log_probabilities(self, history: Sequence[str], titles: Sequence[str]) -> "np.ndarray":
        """Computes the log-probability of titles after a history.

        With trie scores (`decoding.scores=trie`), each token is normalised over the tokens that continue a title of the
        catalogue, so that the probabilities of all titles sum to 1. With vocab scores, it is normalised over the
        vocabulary. Unlike in a ranking, nothing is divided by the length of the title.

        Args:
            history: Titles, oldest first.
            titles: Titles of the catalogue.

        Returns:
            float64 `[titles]`; -inf for a title of the history if `decoding.exclude_history` is set.

        Raises:
            InputError: The run is a baseline or has a decoder of its own, or a title is not in the catalogue.
        """
        if "scores" not in self.config.decoding or self.config.baseline.name != "none":
            raise InputError(
                f"{self.folder} has no log-probabilities of titles: it needs a language model and trie or vocab scores"
            )
        return self.recommender.log_probabilities(history, titles)

    def evaluation(self, split: str) -> "Evaluation":
        """Returns the metrics by row of a split, for `llmrec.compare`.

        Raises:
            InputError: The run was not evaluated on the split.
        """
        from llmrec.tables.paired_runs import read_evaluation

        return read_evaluation(self.folder, self.ranking, split)

    def _recommender_of(self, k: int) -> "Recommender":
        """Returns the recommender with lists of at least `k` titles."""
        from llmrec.decoding.decoder import build_decoder
        from llmrec.decoding.list_length import lengthen_lists
        from llmrec.training.open_run import resolve_temperature

        if k <= self.recommender.ranker.decoder.list_length:
            return self.recommender
        config = resolve_temperature(copy.deepcopy(self.config), RunFolder(self.folder))
        lengthen_lists(config.decoding, k)
        longer = copy.copy(self.recommender)
        longer.ranker = longer.ranker.with_decoder(build_decoder(config.decoding, config.task.name))
        return longer


def open_run(folder: Path, overrides: Sequence[str], config_dir: Path | None, trust: bool) -> Run:
    """Opens a trained run; see `llmrec.open`."""
    is_ranking = folder.parent.name == RANKINGS
    run = RunFolder(folder.parents[1] if is_ranking else folder)
    config = run.config(trust)
    if not run.trained:
        raise InputError(f"{run.folder} is not trained yet. Finish it with the command that started it")
    if is_ranking:
        config = _ranked(folder, config, trust)
    elif not overrides:
        config, folder = _evaluated(run, config, trust)
    config = override(config, overrides, config_dir)
    return Run(run.folder, config, None if overrides else folder)


def _evaluated(run: RunFolder, config: DictConfig, trust: bool) -> tuple[DictConfig, Path]:
    """Returns the config and folder of the run's own ranking, or of its only one, which an older version may have made.

    Raises:
        InputError: The run has several rankings, none with its own settings.
    """
    own = run.ranking(config)
    rankings = sorted(file.parent for file in run.folder.glob(f"{RANKINGS}/*/{RANKING_FILE}"))
    if own in rankings or not rankings:
        return config, own
    if len(rankings) > 1:
        raise InputError(
            f"{run.folder} has several rankings, none with its own settings and the present code. Open one of them: "
            + ", ".join(map(str, rankings))
        )
    return _ranked(rankings[0], config, trust), rankings[0]


def _ranked(ranking: Path, config: DictConfig, trust: bool) -> DictConfig:
    """Returns the config with the settings of a ranking, whose decoder may be built from it."""
    config = with_settings_of(ranking, config)
    if not trust:
        refuse_foreign_decoder(plain(config.decoding), ranking / FACTS_FILE)
    return config
