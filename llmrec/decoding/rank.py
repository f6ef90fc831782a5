"""Ranks the titles of the catalogue for many prompts, in batches sized to memory."""

import logging
from collections.abc import Callable

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.memory import SHARE, attention_widths, free_bytes
from llmrec.backbones.probe import layer_count
from llmrec.catalogue.items import Items
from llmrec.catalogue.trie import Trie
from llmrec.datasets.dataset import Rows
from llmrec.datasets.prompts import Prompts
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.session import SharedPrefix

logger = logging.getLogger(__name__)
CPU_MEMORY = 1 << 30
"""Bytes that a batch's cache, masks and logits may take where no GPU says how much is free."""
MOST_ROWS = {"cpu": 16, "cuda": 512}
"""Larger batches gain nothing: on a CPU they leave the processor's caches, on a GPU it is full."""


def rank_titles(
    backbone: Backbone,
    trie: Trie,
    prompts: Prompts,
    settings: BeamSearch,
    excluded: np.ndarray | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray]:
    """The best titles of each prompt, best first: distinct titles int32 [prompts, beams], -1 = no more; scores float32.

    excluded: int64 [prompts, n] leaves that a prompt must not get, -1 = padding; progress is told the rows of each
    finished batch. Where several titles have equal tokens, the first stands for all.
    """
    backbone.eval()
    titles = np.full((len(prompts), settings.beams), -1, dtype=np.int32)
    scores = np.full((len(prompts), settings.beams), -np.inf, dtype=np.float32)
    if len(prompts) == 0:
        return titles, scores
    trie = trie.to(backbone.device)
    leaf_title = torch.cat([trie.leaf_title, trie.leaf_title.new_tensor([-1])])
    with torch.inference_mode():
        shared = SharedPrefix(backbone, prompts.shared_prefix())

    def run(rows: np.ndarray) -> None:
        out = None if excluded is None else torch.from_numpy(excluded[rows]).to(backbone.device)
        leaves, found = search(backbone, trie, [prompts.of(row) for row in rows], shared, settings, out)
        titles[rows], scores[rows] = leaf_title[leaves].cpu().numpy(), found.cpu().numpy()
        progress(len(rows))

    # Weights that autocast has to cast are cast once in here.
    with backbone.autocast():
        run_in_batches(prompts.lengths, backbone, settings.beams, settings.appended_tokens(trie), run)
    return titles, scores


def history_leaves(rows: Rows, items: Items, trie: Trie) -> np.ndarray:
    """int64 [rows, longest history]: the leaves of each history's titles, as `leaf_table`."""
    leaf = trie.title_leaf.cpu().numpy()[items.title_of[rows.history]]
    return leaf_table(rows.history_row, leaf, len(rows))


def leaf_table(row: np.ndarray, leaf: np.ndarray, rows: int) -> np.ndarray:
    """int64 [rows, most]: the leaves of each row, once each, -1 = padding; row, leaf: int [n], pairs.

    Once each, for the search counts how many of the titles below a node are excluded.
    """
    pairs = np.unique(np.stack([row, leaf.astype(np.int64)]), axis=1)
    counts = np.bincount(pairs[0], minlength=rows)
    table = np.full((rows, counts.max(initial=1)), -1, dtype=np.int64)
    table[pairs[0], np.arange(pairs.shape[1]) - np.repeat(np.cumsum(counts) - counts, counts)] = pairs[1]
    return table


def run_in_batches(
    lengths: np.ndarray, backbone: Backbone, beams: int, appended: int, run: Callable[[np.ndarray], None]
) -> None:
    """Runs rows of similar length together, longest first, as many as fit into memory.

    Where memory runs out all the same, that batch and the following ones have half as many rows.

    Args:
        lengths: Tokens of each row's prompt, int [rows].
        backbone: The model.
        beams: Beams of each row.
        appended: Tokens that are appended to a prompt, over all its beams, while it is decoded.
        run: Decodes the rows with these numbers (int64 [n]); called once more with fewer after an error.
    """
    order = np.argsort(-lengths, kind="stable")
    start, most, largest = 0, MOST_ROWS[backbone.device.type], 0
    while start < len(order):
        size = min(most, _rows_that_fit(int(lengths[order[start]]), backbone, beams, appended))
        rows = order[start : start + size]
        if _fits(rows, run):
            start, largest = start + len(rows), max(largest, len(rows))
        else:
            most = len(rows) // 2
            torch.cuda.empty_cache()
            logger.warning("out of memory: decoding goes on with at most %s rows at a time", most)
    # On a CPU it is always MOST_ROWS.
    if backbone.device.type == "cuda":
        logger.info("decoded %s rows, at most %s at a time", f"{len(order):,}", largest)


def _fits(rows: np.ndarray, run: Callable[[np.ndarray], None]) -> bool:
    try:
        run(rows)
    except torch.OutOfMemoryError:
        if len(rows) == 1:
            raise
        return False
    return True


def _rows_that_fit(length: int, backbone: Backbone, beams: int, appended: int) -> int:
    config = backbone.causal_lm.config.get_text_config()
    size = (backbone.autocast_dtype or backbone.causal_lm.dtype).itemsize
    width = max(config.hidden_size, getattr(config, "intermediate_size", None) or 0)
    if backbone.plain:
        # One sequence a beam, each with logits at every position.
        row = beams * (length + appended // beams) * (8 * width + size * config.vocab_size)
        return max(1, int(_memory(backbone.device) // row))
    columns = length + appended
    cache = 2 * layer_count(backbone) * attention_widths(config)[1] * columns * size
    # The widest activations; a mask, as bool and as numbers; float32 logits and their log-softmax for every beam.
    step = 8 * max(length, appended) * width + 5 * appended * columns + 3 * 4 * beams * config.vocab_size
    return max(1, int(_memory(backbone.device) // (cache + step)))


def _memory(device: torch.device) -> int:
    return int(SHARE * free_bytes(device)) if device.type == "cuda" else CPU_MEMORY
