"""curves.csv: every logged value of a training, one line each, also across kills and resumes."""

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from llmrec.atomic import atomic_file

COLUMNS = ["step", "metric", "value"]


class CurvesLogger(Logger):
    """Appends to curves.csv (step, metric, value).

    Lightning's own CSV logger rewrites its file at each save and deletes the one it finds after a kill.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        """Lightning asks for one."""
        return "curves"

    @property
    def version(self) -> str:
        """Lightning asks for one."""
        return ""

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Drops what was logged at `step` or later: the interrupted epoch is run again."""
        kept: list[list[str]] = []
        if step > 0 and self.path.exists():
            with open(self.path, newline="") as file:
                # A kill may have cut the last line short.
                kept = [row for row in csv.reader(file) if len(row) == 3 and row[0].isdigit() and int(row[0]) < step]
        with atomic_file(self.path) as temporary, open(temporary, "w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *kept])

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends one line a value."""
        with open(self.path, "a", newline="") as file:
            csv.writer(file).writerows(
                [step, name, f"{value:.8g}"] for name, value in metrics.items() if name != "epoch"
            )

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The config stands in config.yaml already."""
