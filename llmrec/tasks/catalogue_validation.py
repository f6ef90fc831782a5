"""Validation of task next_item, by which the checkpoint is selected."""

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.decoding.catalogue_decoder import BeamSearchDecoder
from llmrec.decoding.edge_scores import edge_scores
from llmrec.decoding.rank import run_in_batches
from llmrec.evaluation.accuracy import hit, ndcg, title_ranks
from llmrec.examples.next_item import NextItemData
from llmrec.tasks.base import Validated

VALUES = ("ndcg@10", "hr@10", "loss")
"""Names of the values of `validate_titles`."""


def validate_titles(backbone: Backbone, data: NextItemData, rows: np.ndarray, beams: int) -> Validated:
    """Ranks the catalogue for validation rows and computes their values.

    The catalogue is ranked by beam search with trie scores, whatever the evaluation uses. The loss, see
    `target_losses`, distinguishes models that do not rank any target in the top 10 yet.

    Args:
        backbone: The model.
        data: Set up for training.
        rows: Validation rows, int [rows].
        beams: Number of beams.

    Returns:
        ndcg@10, hr@10 and loss of each row, and its best titles.
    """
    split = data.validation
    recommended, _scores = BeamSearchDecoder(beams).rank(backbone, data.trie, split.prompts.take(rows))
    ranks = title_ranks(recommended, data.target_titles(split.rows.take(rows)))
    values = {"ndcg@10": ndcg(ranks, 10), "hr@10": hit(ranks, 10), "loss": target_losses(backbone, data, rows)}
    tensors = {name: torch.from_numpy(np.asarray(value, dtype=np.float64)) for name, value in values.items()}
    return Validated(tensors, recommended)


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
