"""Validation of task candidates, by which the checkpoint is selected."""

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.decoding.candidates_decoder import TitleScoreDecoder
from llmrec.evaluation.accuracy import hit, ndcg, title_ranks
from llmrec.examples.candidates import CandidatesData
from llmrec.tasks.base import Validated
from llmrec.tasks.candidates_ranker import ranked_candidates

VALUES = ("ndcg@10", "hr@1")
"""Names of the values of `validate_candidates`. NDCG selects the checkpoint, because HR@1 of few rows is coarse."""


def validate_candidates(backbone: Backbone, data: CandidatesData, rows: np.ndarray) -> Validated:
    """Ranks the candidates of validation rows (int [rows]) by trie scores, and computes NDCG@10 and HR@1 of each."""
    split, items = data.validation, data.dataset.items
    chosen = split.rows.take(rows)
    titles = chosen.candidate_titles(items)
    scores = TitleScoreDecoder().scores(backbone, data.trie, data.titles, split.prompts.take(rows), titles)
    ranked, _, _ = ranked_candidates(titles, scores)
    ranks = title_ranks(ranked, items.title_of[chosen.target])
    values = {"ndcg@10": ndcg(ranks, 10), "hr@1": hit(ranks, 1).astype(np.float64)}
    return Validated({name: torch.from_numpy(value) for name, value in values.items()}, ranked)
