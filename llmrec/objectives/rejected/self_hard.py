"""Samples the starting model's own wrong recommendations (RosePO's self-hard strategy, arXiv 2410.12519)."""

import logging
from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from llmrec.backbones.array_cache import cached_array, content_hash
from llmrec.collectives import map_across_ranks
from llmrec.components import code
from llmrec.decoding.catalogue_decoder import BeamSearchDecoder
from llmrec.decoding.rank import pad_leaves
from llmrec.objectives.preparation import Preparation
from llmrec.objectives.rejected.base import Rejected, excluded_titles, require_candidates
from llmrec.settings.types import PositiveInt

logger = logging.getLogger(__name__)


class SelfHard(Rejected):
    """Rejects the best-scored wrong titles of the starting model's own beam search.

    A title is wrong if it is neither the target nor in the history. Rows whose beams contain too few wrong titles are
    searched again with target and history excluded. Ranks divide the rows among themselves, and the result is cached on
    disk. Source: a strategy for helpfulness is from the abstract, its name from a secondary source; the search is our
    reading.

    Args:
        beams: Number of beams of the search, which uses trie scores.
    """

    def __init__(self, beams: PositiveInt = 10) -> None:
        self.beams = beams

    def sample(self, preparation: Preparation, rows: np.ndarray, count: int) -> np.ndarray:
        """Samples rejected titles, best-scored first; see `Rejected.sample`."""
        data, backbone = preparation.catalogue, preparation.backbone
        excluded, prompts = excluded_titles(data, rows), data.sample.prompts.take(rows)
        content = (prompts.tokens, prompts.offsets, data.titles.tokens, data.titles.offsets, excluded)
        settings = ("self-hard", self.beams, count, backbone.uses_plain_path, code((), (type(self).__module__,)))

        def search() -> np.ndarray:
            logger.info("self-hard: searching for wrong recommendations of %s rows", f"{len(rows):,}")
            return map_across_ranks(
                len(rows), lambda rank_rows: self._search(preparation, rows[rank_rows], excluded[rank_rows], count)
            )

        key = content_hash(backbone, content, *settings)
        found = cached_array(preparation.cache_dir / "self_hard", key, (len(rows), count), search, "self-hard")
        reason = "the beam search found too few titles that are neither its target nor in its history"
        require_candidates(data, rows, np.asarray((found < 0).any(axis=1)), count, reason)
        return found

    def _search(self, preparation: Preparation, rows: np.ndarray, excluded: np.ndarray, count: int) -> np.ndarray:
        backbone = preparation.backbone
        training = backbone.training
        with tqdm(total=len(rows), desc="self-hard", unit="row", leave=False, disable=None) as bar:
            found = _wrong_titles(self._beam(preparation, rows, None, count, bar.update), excluded, count)
        few = np.flatnonzero((found < 0).any(axis=1))
        if len(few):
            leaves = _leaves(preparation, excluded[few])
            again = self._beam(preparation, rows[few], leaves, count, lambda done: None)
            found[few] = _wrong_titles(again, excluded[few], count)
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
        data, decoder = preparation.catalogue, BeamSearchDecoder(max(self.beams, count))
        prompts = data.sample.prompts.take(rows)
        return decoder.rank(preparation.backbone, data.trie, prompts, leaves, progress)[0]


def _wrong_titles(ranked: np.ndarray, excluded: np.ndarray, count: int) -> np.ndarray:
    """Returns each row's first `count` ranked titles that are not excluded, int64 [rows, count]; -1 = no more."""
    is_excluded = (ranked[:, :, None] == excluded[:, None, :]).any(axis=2) | (ranked < 0)
    order = np.argsort(is_excluded, axis=1, kind="stable")[:, :count]
    chosen = np.where(np.take_along_axis(is_excluded, order, 1), -1, np.take_along_axis(ranked, order, 1))
    return chosen.astype(np.int64)


def _leaves(preparation: Preparation, excluded: np.ndarray) -> np.ndarray:
    """Returns the trie leaves of the excluded titles, int64 [rows, n]."""
    row, column = np.nonzero(excluded >= 0)
    leaf = preparation.catalogue.trie.title_leaf.numpy()[excluded[row, column]]
    return pad_leaves(row, leaf, len(excluded))
