"""What the checkpoint is chosen by: values of each validation row, by the task's own ranking."""

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
    """The values that `validate` gives."""
    return ["ndcg@10"] if isinstance(data, RerankData) else ["ndcg@10", "hr@10", "loss"]


def validate(backbone: Backbone, data: NextItemData | RerankData, rows: np.ndarray, beams: int) -> dict[str, Tensor]:
    """float64 [rows] by name, of some validation rows (int [rows]).

    The catalogue is ranked with trie scores and `beams` beams, candidate lists in their stored order. loss: the
    negative log-probability of the target title among all titles, in nats, which tells models apart whose lists hit
    nothing yet.
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
    """Returns the negative log-probability of each validation row's target under trie scores.

    Args:
        backbone: The model.
        data: Set up for training.
        rows: Validation rows, int [rows].

    Returns:
        float64 [rows], in nats; the log of the number of titles for a model that knows nothing.
    """
    backbone.eval()
    losses, trie = np.zeros(len(rows)), data.trie.to(backbone.device)

    def run(part: np.ndarray) -> None:
        batch = data.validation_batch(rows[part]).to(backbone.device)
        owner, edge = trie.children(batch.node)
        scores = edge_scores(backbone.encode(batch.packed, batch.at), owner, edge, trie, "trie", None)
        taken = scores[trie.edge_token[edge] == batch.token[owner]]
        summed = torch.zeros(len(part), dtype=torch.float64, device=taken.device)
        losses[part] = -summed.index_add(0, batch.row, taken.double()).cpu().numpy()

    # Of a title's tokens each may leave a choice, so that its logits are asked for.
    longest = trie.longest
    run_in_batches(data.validation.prompts.lengths[rows], backbone, beams=longest, appended=longest, run=run)
    return losses


def _lists(backbone: Backbone, data: RerankData, rows: np.ndarray) -> dict[str, np.ndarray]:
    lists = data.validation.take(rows)
    order = rank_lists(backbone, data.trie, data.validation_prompts.take(rows))
    return {"ndcg@10": graded_ndcg(order, lists.gains, 10)}
