"""Ranks the titles of the catalogue for many prompts, in batches sized to memory."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.probe import layer_count
from llmrec.catalogue.items import Items
from llmrec.catalogue.trie import Trie
from llmrec.datasets.dataset import Rows
from llmrec.datasets.prompts import Prompts
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.session import SharedPrefix

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
    # At most a whole title is fed for every beam at once.
    fed = settings.beams * int(trie.leaf_length.max())
    for rows in memory_batches(prompts.lengths, backbone, settings.beams, fed):
        out = None if excluded is None else torch.from_numpy(excluded[rows]).to(backbone.device)
        leaves, found = search(backbone, trie, [prompts.of(row) for row in rows], shared, settings, out)
        titles[rows], scores[rows] = leaf_title[leaves].cpu().numpy(), found.cpu().numpy()
        progress(len(rows))
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


def memory_batches(lengths: np.ndarray, backbone: Backbone, beams: int, fed: int) -> Iterator[np.ndarray]:
    """Rows of similar length, longest first: what does not fit fails at once, and padding is small.

    fed: how many tokens at most are appended to a prompt, over all its beams, while it is decoded.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = _rows_that_fit(int(lengths[order[start]]), backbone, beams, fed)
        yield order[start : start + size]
        start += size


def _rows_that_fit(length: int, backbone: Backbone, beams: int, fed: int) -> int:
    config = backbone.causal_lm.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    columns = length + fed
    cache = 2 * layer_count(backbone) * heads * head_size * columns * backbone.causal_lm.dtype.itemsize
    # The widest activations; a mask, as bool and as numbers; float32 logits and their log-softmax for every beam.
    activations = 8 * max(length, fed) * max(config.hidden_size, getattr(config, "intermediate_size", None) or 0)
    step = activations + 5 * fed * columns + 3 * 4 * beams * config.vocab_size
    return int(np.clip(_memory(backbone.device) // (cache + step), 1, MOST_ROWS[backbone.device.type]))


def _memory(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else CPU_MEMORY
