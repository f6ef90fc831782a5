"""Rankings of task candidates as tables: ranked candidates, and answers that are generated without constraints."""

from typing import Any

import numpy as np
import pyarrow as pa
from omegaconf import DictConfig

from llmrec.datasets.dataset import Dataset
from llmrec.tasks.base import Progress
from llmrec.tasks.catalogue_rankings import evaluated_rows, row_identity


def answers_table(ranker: Any, dataset: Dataset, split: str, config: DictConfig, progress: Progress) -> pa.Table:
    """Generates an answer for each row of a split; arguments as for `Task.rank`.

    Returns:
        The columns of `row_identity`, `text`, and `answer`, the title of the candidate that the text is; null if none.
    """
    rows = evaluated_rows(dataset, split, config)
    texts, answers = ranker.answers(rows, progress)
    titles = pa.array(dataset.items.distinct_titles, pa.string())
    answer = titles.take(pa.array(answers, mask=np.asarray(answers) < 0))
    return pa.table({**row_identity(rows, dataset), "text": pa.array(texts, pa.string()), "answer": answer})
