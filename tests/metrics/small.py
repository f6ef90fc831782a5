"""A small ranking of each task for which all figures are defined and none is 0."""

from dataclasses import replace

import numpy as np

from llmrec.evaluation.features import ReferenceFeatures
from llmrec.metrics.ranking import CatalogueRanking, ListRanking
from tests.evaluation.small import DATASET, EMBEDDINGS, RELEVANCE, TEST
from tests.tasks.given import RANKED, lists_of

REVERSED = RANKED[:, ::-1]


def catalogue_ranking() -> CatalogueRanking:
    """Returns a ranking of the titles."""
    titles = np.full((4, 10), -1, dtype=np.int32)
    titles[:, :5] = [[0, 3, 2, 4, 1], [1, 2, 3, 0, -1], [0, 2, 4, 1, 3], [1, 0, 3, -1, -1]]
    return CatalogueRanking(
        titles=titles,
        scores=np.zeros(titles.shape, dtype=np.float32),
        target_title=DATASET.items.title_of[TEST.target],
        rows=TEST,
        dataset=DATASET,
        split="test",
        exclude_history=False,
        features=ReferenceFeatures(RELEVANCE, EMBEDDINGS),
        is_title=np.array([True, False, True, True]),
    )


def list_ranking() -> ListRanking:
    """Returns a ranking of the candidate lists in three orders."""
    dataset = replace(DATASET, lists={"test": lists_of()})
    return ListRanking(np.stack([RANKED, RANKED, REVERSED]), lists_of(), dataset, "test", REVERSED, np.arange(3) == 1)
