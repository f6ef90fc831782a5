"""Rejects what the model itself recommends wrongly (RosePO's self-hard strategy, arXiv 2410.12519)."""

import logging
from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from llmrec.backbones.kept import content_hash, kept
from llmrec.backbones.ranks import divided
from llmrec.code_hash import code_hash
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.rank import leaf_table, rank_titles
from llmrec.objectives.base import Preparation
from llmrec.objectives.rejected.base import Rejected, forbidden, refuse_missing

logger = logging.getLogger(__name__)


class SelfHard(Rejected):
    """The best titles of the starting model's own beam that are wrong: neither the target nor in the history.

    beams: of the search, with trie scores. Where a beam holds too few wrong titles, it is searched again without the
    others. Several ranks divide the rows; the result is kept by content. Source: the strategy's name (abstract); the
    search is our reading.
    """

    def __init__(self, beams: int = 10) -> None:
        if beams < 1:
            raise ValueError(f"objective.rejected.beams={beams}: give a whole number of at least 1")
        self.beams = beams

    def sample(self, preparation: Preparation, rows: np.ndarray, count: int) -> np.ndarray:
        """As Rejected.sample, best first."""
        data, backbone = preparation.data, preparation.backbone
        left_out, prompts = forbidden(data, rows), data.sample.prompts.take(rows)
        content = (prompts.tokens, prompts.offsets, data.titles.tokens, data.titles.offsets, left_out)
        code = code_hash(("objectives",), (type(self).__module__,))
        settings = ("self-hard", self.beams, count, backbone.plain, code)

        def search() -> np.ndarray:
            logger.info("self-hard: what the model recommends wrongly for %s rows", f"{len(rows):,}")
            return divided(len(rows), lambda mine: self._search(preparation, rows[mine], left_out[mine], count))

        identity = content_hash(backbone, content, *settings)
        found = kept(preparation.cache_dir / "self_hard", identity, (len(rows), count), search, "self-hard")
        why = "the beam found too few titles that are neither its target nor in its history"
        refuse_missing(data, rows, np.asarray((found < 0).any(axis=1)), count, why)
        return found

    def _search(self, preparation: Preparation, rows: np.ndarray, left_out: np.ndarray, count: int) -> np.ndarray:
        backbone = preparation.backbone
        training = backbone.training
        with tqdm(total=len(rows), desc="self-hard", unit="row", leave=False, disable=None) as bar:
            found = _wrong(self._beam(preparation, rows, None, count, bar.update), left_out, count)
        few = np.flatnonzero((found < 0).any(axis=1))
        if len(few):
            leaves = _leaves(preparation, left_out[few])
            again = self._beam(preparation, rows[few], leaves, count, lambda done: None)
            found[few] = _wrong(again, left_out[few], count)
        backbone.train(training)
        return found

    def _beam(
        self,
        preparation: Preparation,
        rows: np.ndarray,
        leaves: np.ndarray | None,
        count: int,
        progress: Callable[[int], None],
    ) -> np.ndarray:
        data, settings = preparation.data, BeamSearch(max(self.beams, count))
        prompts = data.sample.prompts.take(rows)
        return rank_titles(preparation.backbone, data.trie, prompts, settings, leaves, progress)[0]


def _wrong(ranked: np.ndarray, left_out: np.ndarray, count: int) -> np.ndarray:
    """The first `count` of each row's ranked titles that are not left out: int64 [rows, count], -1 = no more."""
    right = (ranked[:, :, None] == left_out[:, None, :]).any(axis=2) | (ranked < 0)
    order = np.argsort(right, axis=1, kind="stable")[:, :count]
    chosen = np.where(np.take_along_axis(right, order, 1), -1, np.take_along_axis(ranked, order, 1))
    return chosen.astype(np.int64)


def _leaves(preparation: Preparation, left_out: np.ndarray) -> np.ndarray:
    """int64 [rows, n]: the leaves of the titles that are left out."""
    row, column = np.nonzero(left_out >= 0)
    leaf = preparation.data.trie.title_leaf.numpy()[left_out[row, column]]
    return leaf_table(row, leaf, len(left_out))
