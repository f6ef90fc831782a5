"""Rankings of task candidates as tables: ranked candidates, and answers that are generated without constraints."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig

from llmrec.datasets.dataset import Dataset, Rows
from llmrec.tasks.base import Progress
from llmrec.tasks.catalogue_rankings import evaluated_rows, with_identity
from llmrec.tasks.parts import ranked_in_parts


def answers_table(
    ranker: Any, dataset: Dataset, split: str, config: DictConfig, folder: Path, progress: Progress
) -> pa.Table:
    """Generates an answer for each row of a split; arguments as for `Task.rank`.

    Returns:
        The columns of `row_identity`, `text`, and `answer`, the title of the candidate that the text is; null if none.
    """
    titles = pa.array(dataset.items.distinct_titles, pa.string())

    def generate(rows: Rows) -> pa.Table:
        texts, answers = ranker.answers(rows, progress)
        answer = titles.take(pa.array(answers, mask=np.asarray(answers) < 0))
        return pa.table({"text": pa.array(texts, pa.string()), "answer": answer})

    rows = evaluated_rows(dataset, split, config)
    return with_identity(ranked_in_parts(rows, folder, generate, progress), rows, dataset)
