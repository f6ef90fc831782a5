"""Rejects what the model itself recommends wrongly (RosePO's self-hard strategy, arXiv 2410.12519)."""

import logging

import numpy as np
from tqdm import tqdm

from llmrec.backbones.kept import content_hash, kept
from llmrec.backbones.ranks import divided
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.rank import rank_titles
from llmrec.objectives.base import Preparation
from llmrec.objectives.rejected.base import Rejected, forbidden, refuse_missing

logger = logging.getLogger(__name__)


class SelfHard(Rejected):
    """The best titles of the starting model's own beam that are wrong: neither the target nor in the history.

    beams: of the search with trie scores, which leaves target and history out. Several ranks divide the rows; the
    result is kept by content. Source: the strategy's name (abstract); the search is our reading.
    """

    def __init__(self, beams: int = 10) -> None:
        if beams < 1:
            raise ValueError(f"objective.rejected.beams={beams}: give a whole number of at least 1")
        self.beams = beams

    def sample(self, preparation: Preparation, rows: np.ndarray, count: int) -> np.ndarray:
        """As Rejected.sample, best first."""
        data, backbone = preparation.data, preparation.backbone
        left_out = forbidden(data, rows)
        prompts = data.sample.prompts.take(rows)
        content = (prompts.tokens, prompts.offsets, data.titles.tokens, data.titles.offsets, left_out)
        identity = content_hash(backbone, content, "self-hard", max(self.beams, count), backbone.plain)

        def search() -> np.ndarray:
            logger.info("self-hard: what the model recommends wrongly for %s rows", f"{len(rows):,}")
            return divided(len(rows), lambda mine: self._search(preparation, rows[mine], left_out[mine], count))

        found = kept(
            preparation.cache_dir / "self_hard", identity, (len(rows), max(self.beams, count)), search, "self-hard"
        )[:, :count]
        why = "the beam found too few titles that are neither its target nor in its history"
        refuse_missing(data, rows, np.asarray((found < 0).any(axis=1)), count, why)
        return found.astype(np.int64)

    def _search(self, preparation: Preparation, rows: np.ndarray, left_out: np.ndarray, count: int) -> np.ndarray:
        data, backbone = preparation.data, preparation.backbone
        training = backbone.training
        leaf = np.append(data.trie.title_leaf.numpy(), -1).astype(np.int64)
        # Once each, for the search counts how many of the titles below a node are left out.
        leaves = np.sort(leaf[left_out], axis=1)
        leaves[:, 1:][leaves[:, 1:] == leaves[:, :-1]] = -1
        with tqdm(total=len(rows), desc="self-hard", unit="row", leave=False, disable=None) as bar:
            found, _ = rank_titles(
                backbone, data.trie, data.sample.prompts.take(rows), BeamSearch(max(self.beams, count)), leaves,
                bar.update,
            )  # fmt: skip
        backbone.train(training)
        return found
