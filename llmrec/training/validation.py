"""Validation metrics, by which the checkpoint is selected."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.edge_scores import edge_scores
from llmrec.decoding.rank import rank_titles, run_in_batches
from llmrec.decoding.rank_lists import rank_lists
from llmrec.evaluation.accuracy import hit, ndcg, title_ranks
from llmrec.evaluation.graded import graded_ndcg
from llmrec.examples.next_item import NextItemData
from llmrec.examples.rerank import RerankData


def names_of(data: NextItemData | RerankData) -> Sequence[str]:
    """Returns the names of the values that `validate` computes."""
    return ["ndcg@10"] if isinstance(data, RerankData) else ["ndcg@10", "hr@10", "loss"]


def validate(backbone: Backbone, data: NextItemData | RerankData, rows: np.ndarray, beams: int) -> dict[str, Tensor]:
    """Computes validation metrics per row.

    The catalogue is ranked by beam search with trie scores, and candidate lists are ranked in their stored order.

    Args:
        backbone: The model.
        data: Set up for training.
        rows: Validation rows, int `[rows]`.
        beams: Number of beams.

    Returns:
        Values of each row, float64 `[rows]`, by name: ndcg@10 and, for the catalogue, hr@10 and loss (see
        `target_losses`), which distinguishes models that do not rank any target in the top 10 yet.
    """
    values = _lists(backbone, data, rows) if isinstance(data, RerankData) else _titles(backbone, data, rows, beams)
    return {name: torch.from_numpy(np.asarray(value, dtype=np.float64)) for name, value in values.items()}


def _titles(backbone: Backbone, data: NextItemData, rows: np.ndarray, beams: int) -> dict[str, np.ndarray]:
    split = data.validation
    recommended, _scores = rank_titles(backbone, data.trie, split.prompts.take(rows), BeamSearch(beams))
    ranks = title_ranks(recommended, data.target_titles(split.rows.take(rows)))
    return {"ndcg@10": ndcg(ranks, 10), "hr@10": hit(ranks, 10), "loss": target_losses(backbone, data, rows)}


@torch.inference_mode()
def target_losses(backbone: Backbone, data: NextItemData, rows: np.ndarray) -> np.ndarray:
    """Computes the negative log-probability of each validation row's target among all titles, under trie scores.

    Args:
        backbone: The model.
        data: Set up for training.
        rows: Validation rows, int `[rows]`.

    Returns:
        float64 `[rows]`, in nats; the log of the number of titles for a uniform model.
    """
    backbone.eval()
    losses, trie = np.zeros(len(rows)), data.trie.to(backbone.device)

    def run(part: np.ndarray) -> None:
        batch = data.validation_batch(rows[part]).to(backbone.device)
        owner, edge = trie.children(batch.node)
        scores = edge_scores(backbone.encode(batch.packed, batch.state_index), owner, edge, trie, "trie", None)
        target_scores = scores[trie.edge_token[edge] == batch.token[owner]]
        summed = torch.zeros(len(part), dtype=torch.float64, device=target_scores.device)
        losses[part] = -summed.index_add(0, batch.row, target_scores.double()).cpu().numpy()

    # Logits are needed wherever the trie allows several tokens, which may be at every token of a title.
    longest = trie.max_length
    run_in_batches(data.validation.prompts.lengths[rows], backbone, beams=longest, appended=longest, run=run)
    return losses


def _lists(backbone: Backbone, data: RerankData, rows: np.ndarray) -> dict[str, np.ndarray]:
    lists = data.validation.take(rows)
    order = rank_lists(backbone, data.trie, data.validation_prompts.take(rows))
    return {"ndcg@10": graded_ndcg(order, lists.gains, 10)}
