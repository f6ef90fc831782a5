"""Logs every value of a training to curves.csv, one line each, including values from before a resume."""

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from llmrec.atomic import atomic_file

COLUMNS = ["step", "metric", "value"]


class CurvesLogger(Logger):
    """Appends values to curves.csv (step, metric, value).

    Lightning's own CSV logger rewrites its file at each save and deletes an existing one when a training resumes.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        return "curves"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Removes values logged at `step` or later, since a resumed training repeats the interrupted epoch."""
        rows: list[list[str]] = []
        if step > 0 and self.path.exists():
            with open(self.path, newline="") as file:
                # If the training was killed, the last line may be incomplete.
                rows = [row for row in csv.reader(file) if len(row) == 3 and row[0].isdigit() and int(row[0]) < step]
        with atomic_file(self.path) as temporary, open(temporary, "w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends one line per value."""
        with open(self.path, "a", newline="") as file:
            csv.writer(file).writerows(
                [step, name, f"{value:.8g}"] for name, value in metrics.items() if name != "epoch"
            )

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Does nothing, because config.yaml already holds the settings."""
