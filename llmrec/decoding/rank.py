"""Ranks the catalogue's titles for many prompts, in batches sized to the available memory."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.memory import FREE_MEMORY_FRACTION, attention_widths, free_bytes
from llmrec.backbones.probe import layer_count
from llmrec.catalogue.items import Items
from llmrec.catalogue.trie import Trie
from llmrec.datasets.dataset import Rows
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.session import SharedPrefix
from llmrec.prompts.prompts import Prompts

Search = Callable[[np.ndarray, Trie, Sequence[np.ndarray], SharedPrefix, Tensor | None], Sequence[Tensor]]
"""Searches a batch.

Called with the rows' indices (int64 `[rows]`), the trie on the model's device, one prompt per row, the tokens that all
prompts begin with, and the leaves that a row must not return (int64 `[rows, n]`, -1 = padding; None excludes none).
Returns the leaves that it found, int64 `[rows, k]`, -1 = no further title, and other tensors `[rows, ...]`.
"""
logger = logging.getLogger(__name__)
CPU_MEMORY_BYTES = 1 << 30
"""Memory for the key-value cache, masks and logits of a batch on a CPU, where free memory is not queried."""
MAX_ROWS = {"cpu": 16, "cuda": 512}
"""Largest batch, in rows. Larger ones are not faster: on a CPU they exceed its caches, and a GPU is fully used."""


def rank_titles(
    backbone: Backbone,
    trie: Trie,
    prompts: Prompts,
    settings: BeamSearch,
    excluded: np.ndarray | None = None,
    progress: Callable[[int], None] = lambda done: None,
    seeds: np.ndarray | None = None,
    start: SharedPrefix | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Ranks the full catalogue for each prompt with constrained beam search, or samples titles from it.

    Args:
        backbone: The model.
        trie: The titles.
        prompts: The prompts.
        settings: The beam search.
        excluded: Leaves that a prompt must not be given, int64 `[prompts, n]`, -1 = padding.
        progress: Called with the number of rows of each finished batch.
        seeds: Seeds of the prompts, int64 `[prompts]`, to sample titles without replacement; see `search`.
        start: See `search_in_batches`.

    Returns:
        titles: Indices of distinct titles, best first, int32 `[prompts, beams]`, -1 = no further title. Of several
            titles with equal tokens, the first represents all.
        scores: float32 `[prompts, beams]`, -inf where there is no title.
    """
    titles = np.full((len(prompts), settings.beams), -1, dtype=np.int32)
    scores = np.full((len(prompts), settings.beams), -np.inf, dtype=np.float32)

    def run(
        rows: np.ndarray, trie: Trie, batch: Sequence[np.ndarray], shared: SharedPrefix, left_out: Tensor | None
    ) -> Sequence[Tensor]:
        row_seeds = None if seeds is None else torch.from_numpy(seeds[rows]).to(backbone.device)
        return search(backbone, trie, batch, shared, settings, left_out, seeds=row_seeds)

    appended = settings.appended_tokens(trie)
    into = [titles, scores]
    search_in_batches(backbone, trie, prompts, settings.beams, appended, run, into, excluded, progress, start)
    return titles, scores


def search_in_batches(
    backbone: Backbone,
    trie: Trie,
    prompts: Prompts,
    beams: int,
    appended: int,
    run: Search,
    found: Sequence[np.ndarray],
    excluded: np.ndarray | None,
    progress: Callable[[int], None],
    start: SharedPrefix | None = None,
) -> None:
    """Runs a search for all prompts, in batches.

    Args:
        backbone: The model.
        trie: The titles.
        prompts: The prompts.
        beams: Number of prefixes of a row that a model call runs.
        appended: Number of tokens that are appended to a prompt, over all its prefixes.
        run: Searches a batch; see `Search`.
        found: Arrays `[prompts, ...]` to write the results to, the titles first.
        excluded: Leaves that a prompt must not be given, int64 `[prompts, n]`, -1 = padding.
        progress: Called with the number of rows of each finished batch.
        start: Tokens that most prompts begin with, whose keys and values are kept from call to call.
    """
    backbone.eval()
    if len(prompts) == 0:
        return
    trie = trie.to(backbone.device)
    leaf_title = torch.cat([trie.leaf_title, trie.leaf_title.new_tensor([-1])])
    shared = _shared_prefix(backbone, prompts, start)

    def run_rows(rows: np.ndarray) -> None:
        row_excluded = None if excluded is None else torch.from_numpy(excluded[rows]).to(backbone.device)
        leaves, *values = run(rows, trie, [prompts.of(row) for row in rows], shared, row_excluded)
        for array, tensor in zip(found, [leaf_title[leaves], *values], strict=True):
            array[rows] = tensor.cpu().numpy()
        progress(len(rows))

    # Within one autocast context, weights that need a cast are cast only once.
    with backbone.autocast():
        run_in_batches(prompts.lengths, backbone, beams, appended, run_rows)


def _shared_prefix(backbone: Backbone, prompts: Prompts, start: SharedPrefix | None) -> SharedPrefix:
    """Returns what all prompts begin with: `start` if it is that, so that its keys and values are not computed again.

    A lone prompt shares nothing with others, so it is not divided in two except after `start`.
    """
    if len(prompts) == 1:
        return start if start and start.begins(prompts.of(0)) else SharedPrefix(backbone, prompts.of(0)[:0])
    tokens = prompts.shared_prefix()
    return start if start and np.array_equal(start.tokens, tokens) else SharedPrefix(backbone, tokens)


def history_leaves(rows: Rows, items: Items, trie: Trie) -> np.ndarray:
    """Returns the leaves of the titles in each row's history, int64 `[rows, most]`, laid out as by `pad_leaves`."""
    leaf = trie.title_leaf.cpu().numpy()[items.title_of[rows.history]]
    return pad_leaves(rows.history_row, leaf, len(rows))


def pad_leaves(row: np.ndarray, leaf: np.ndarray, rows: int) -> np.ndarray:
    """Lays out pairs of row and leaf as one padded table.

    Args:
        row: The pairs' rows, int `[n]`.
        leaf: The pairs' leaves, int `[n]`.
        rows: Number of rows.

    Returns:
        The distinct leaves of each row, int64 `[rows, most]`, -1 = padding. They must be distinct because the search
        counts how many of the titles below a node are excluded.
    """
    pairs = np.unique(np.stack([row, leaf.astype(np.int64)]), axis=1)
    counts = np.bincount(pairs[0], minlength=rows)
    table = np.full((rows, counts.max(initial=1)), -1, dtype=np.int64)
    table[pairs[0], np.arange(pairs.shape[1]) - np.repeat(np.cumsum(counts) - counts, counts)] = pairs[1]
    return table


def run_in_batches(
    lengths: np.ndarray, backbone: Backbone, beams: int, appended: int, run: Callable[[np.ndarray], None]
) -> None:
    """Decodes rows of similar length together, longest first, as many at a time as are estimated to fit into memory.

    If a batch runs out of memory nevertheless, it is repeated with half as many rows, and so are the following ones.

    Args:
        lengths: Number of tokens of each row's prompt, int `[rows]`.
        backbone: The model.
        beams: Number of beams per row.
        appended: Number of tokens that are appended to a prompt during decoding, over all its beams.
        run: Decodes the rows with the given indices, int64 `[n]`. Called again with fewer rows after an out-of-memory
            error.
    """
    order = np.argsort(-lengths, kind="stable")
    start, limit, largest = 0, MAX_ROWS[backbone.device.type], 0
    while start < len(order):
        size = min(limit, _rows_that_fit(int(lengths[order[start]]), backbone, beams, appended))
        rows = order[start : start + size]
        if _fits(rows, run):
            start, largest = start + len(rows), max(largest, len(rows))
        else:
            limit = len(rows) // 2
            torch.cuda.empty_cache()
            logger.warning("out of memory: decoding continues with at most %s rows at a time", limit)
    # On a CPU the batch size is nearly always MAX_ROWS, so it is not logged.
    if backbone.device.type == "cuda":
        logger.info("decoded %s rows, at most %s at a time", f"{len(order):,}", largest)


def _fits(rows: np.ndarray, run: Callable[[np.ndarray], None]) -> bool:
    """Runs the rows and returns whether they fitted into memory; a single row that does not raises the error."""
    try:
        run(rows)
    except torch.OutOfMemoryError:
        if len(rows) == 1:
            raise
        return False
    return True


def _rows_that_fit(length: int, backbone: Backbone, beams: int, appended: int) -> int:
    config = backbone.causal_lm.config.get_text_config()
    query_width, key_width = attention_widths(config)
    size = (backbone.autocast_dtype or backbone.causal_lm.dtype).itemsize
    width = max(config.hidden_size, getattr(config, "intermediate_size", None) or 0)
    if backbone.uses_plain_path:
        # The plain path runs one sequence per beam and computes logits at every position.
        row_bytes = beams * (length + appended // beams) * (8 * width + size * config.vocab_size)
        return max(1, int(_memory_bytes(backbone.device) // row_bytes))
    columns = length + appended
    cache_bytes = 2 * layer_count(backbone) * key_width * columns * size
    # The widest activations; the mask as bool, and as float for each query head of a key head; float32 logits and their
    # log-softmax for every beam.
    mask_bytes = (2 + size * query_width // max(key_width, 1)) * appended * columns
    step_bytes = 8 * max(length, appended) * width + mask_bytes + 3 * 4 * beams * config.vocab_size
    return max(1, int(_memory_bytes(backbone.device) // (cache_bytes + step_bytes)))


def _memory_bytes(device: torch.device) -> int:
    return int(FREE_MEMORY_FRACTION * free_bytes(device)) if device.type == "cuda" else CPU_MEMORY_BYTES
