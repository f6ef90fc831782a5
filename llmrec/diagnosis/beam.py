"""What beam search loses: where it prunes the target, and its list beside the exact one.

BEAR (arXiv 2601.22925) trains against pruned targets; this measures how many there are. The definitions are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone
from llmrec.catalogue.titles import TitleTokens
from llmrec.catalogue.trie import Trie
from llmrec.decoding.beam_search import BeamSearch, search
from llmrec.decoding.rank import rank_titles, search_in_batches
from llmrec.decoding.session import SharedPrefix
from llmrec.prompts.prompts import Prompts

WIDTHS = (5, 10, 20, 50)
"""Numbers of beams whose lists are compared with the exact ones."""
NEVER = 0
"""In place of a depth: the prefix was not pruned. In place of a rank: the title has none."""


@dataclass(frozen=True)
class BeamRows:
    """What beam search and exhaustive scoring give each row.

    Attributes:
        targets: The title of each row's target, int `[rows]`.
        pruned_depth: Number of tokens of the target's prefix when it left the search, int64 `[rows]`. NEVER: the target
            is in the list.
        beam_rank: Rank of the target in the list, int64 `[rows]`. NEVER: it is not in the list.
        exact_rank: Rank of the target among all titles, int64 `[rows]`. NEVER: it must not be recommended.
        found: Titles that a beam of each of `WIDTHS` found, int32 `[rows, width]`, -1 = no more.
        exact: The best titles by exhaustive scoring, best first, int64 `[rows, largest width]`, -1 = no more.
    """

    targets: np.ndarray
    pruned_depth: np.ndarray
    beam_rank: np.ndarray
    exact_rank: np.ndarray
    found: dict[int, np.ndarray]
    exact: np.ndarray


def search_beams(
    backbone: Backbone,
    trie: Trie,
    prompts: Prompts,
    settings: BeamSearch,
    targets: np.ndarray,
    target_nodes: np.ndarray,
    excluded: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Runs the beam search and follows the target of each prompt through it.

    Args:
        backbone: The model.
        trie: The titles.
        prompts: The prompts.
        settings: The beam search.
        targets: The title of each prompt's target, int `[prompts]`.
        target_nodes: See `title_nodes`.
        excluded: Leaves that a prompt must not be given, int64 `[prompts, n]`, -1 = padding.

    Returns:
        `BeamRows.pruned_depth` and `BeamRows.beam_rank`.
    """
    titles = np.full((len(prompts), settings.beams), -1, dtype=np.int32)
    scores, depth = np.zeros(titles.shape, dtype=np.float32), np.zeros(len(prompts), dtype=np.int64)
    leaves = trie.title_leaf[torch.from_numpy(targets).long()].long()

    def run(
        rows: np.ndarray, trie: Trie, batch: Sequence[np.ndarray], shared: SharedPrefix, left_out: Tensor | None
    ) -> Sequence[Tensor]:
        pruning = Pruning(torch.from_numpy(target_nodes[rows]).to(backbone.device), leaves[rows].to(backbone.device))
        found = search(backbone, trie, batch, shared, settings, left_out, pruning.observe)
        return *found, pruning.depth

    into: list[np.ndarray] = [titles, scores, depth]
    appended = settings.appended_tokens(trie)
    search_in_batches(backbone, trie, prompts, settings.beams, appended, run, into, excluded, lambda done: None)
    return depth, rank_of(titles, targets)


class Pruning:
    """Follows the target of each row through a beam search.

    Attributes:
        depth: Number of tokens of the target's prefix when it left the search, int64 `[rows]`; NEVER = not yet.
    """

    def __init__(self, nodes: Tensor, leaves: Tensor) -> None:
        """Sets the targets.

        Args:
            nodes: The nodes after each token of the target, int64 `[rows, longest]`, -1 = padding.
            leaves: The leaf of the target, int64 `[rows]`.
        """
        self.nodes, self.leaves = nodes, leaves
        self.depth = torch.full_like(leaves, NEVER)

    def observe(self, generated: int, beams: Tensor, titles: Tensor) -> None:
        """Notes the targets that a step pruned; see `OnStep` for the arguments."""
        is_listed = (titles == self.leaves[:, None]).any(1)
        is_live = torch.zeros_like(is_listed)
        if generated <= self.nodes.shape[1]:
            node = self.nodes[:, generated - 1, None]
            is_live = ((beams == node) & (node >= 0)).any(1)
        left = ~is_listed & ~is_live & (self.depth == NEVER)
        self.depth[left] = generated


def title_nodes(trie: Trie, titles: TitleTokens, path: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Returns the nodes after each token of some titles, int64 `[chosen, longest]`, -1 = padding.

    Args:
        trie: The trie of the titles, on the CPU.
        titles: The tokens of the titles.
        path: The node before each token, int `[tokens]`.
        chosen: The titles, int `[chosen]`.
    """
    starts, lengths = titles.offsets[chosen], np.diff(titles.offsets)[chosen]
    nodes = np.full((len(chosen), lengths.max(initial=1)), -1, dtype=np.int64)
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        part = slice(start, start + length)
        nodes[row, :length] = trie.edges(torch.from_numpy(path[part]), torch.from_numpy(titles.tokens[part])) + 1
    return nodes


def lists_by_width(
    backbone: Backbone, trie: Trie, prompts: Prompts, settings: BeamSearch, excluded: np.ndarray | None
) -> dict[int, np.ndarray]:
    """Returns the titles that a beam of each of `WIDTHS` finds, int32 `[prompts, width]`; arguments as above."""
    return {
        width: rank_titles(backbone, trie, prompts, replace(settings, beams=width), excluded)[0] for width in WIDTHS
    }


def rank_of(titles: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the rank of each row's target in its list (`[rows, k]`), int64 `[rows]`; NEVER if it is not in it."""
    is_target = titles == targets[:, None]
    ranks: np.ndarray = np.where(is_target.any(1), is_target.argmax(1) + 1, NEVER)
    return ranks


def exact_order(scores: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Ranks distinct titles by their scores; equal scores are in the catalogue's order.

    Args:
        scores: float64 `[titles]`, -inf for titles that must not be recommended.
        first: The first of the titles with equal tokens, which represents all, int `[titles]`.

    Returns:
        int64 `[n]`, best first.
    """
    distinct = np.flatnonzero((first == np.arange(len(first))) & (scores > -np.inf))
    return distinct[np.argsort(-scores[distinct], kind="stable")]


def beam_figures(rows: BeamRows, beams: int) -> dict[str, Any]:
    """Summarizes the rows.

    Args:
        rows: The rows.
        beams: The number of beams of the search that was followed.

    Returns:
        beams: The number of beams.
        rows: Number of rows.
        kept: Number of rows whose target is in the beam's list.
        pruned: For each depth from 1, `rows` whose target was pruned there, and how many of them have it in the exact
            list (`in_exact_list`): beam search lost these.
        same_rank: Number of rows whose target has the same rank in both lists.
        exact_in_list: Number of rows whose target is in the exact list of the same length.
        median_exact_rank: Median over the rows whose target has a rank; None without one.
        widths: By number of beams: `recall`, the mean share of the exact list that the beam's list of the same length
            holds; `hr`, the share of rows whose target is in the beam's list; `exact_hr`, that of the exact list.
    """
    in_exact = (rows.exact_rank != NEVER) & (rows.exact_rank <= beams)
    depths = range(1, int(rows.pruned_depth.max(initial=0)) + 1)
    ranked = rows.exact_rank[rows.exact_rank != NEVER]
    return {
        "beams": beams,
        "rows": len(rows.exact_rank),
        "kept": int((rows.pruned_depth == NEVER).sum()),
        "pruned": {
            "rows": [int((rows.pruned_depth == depth).sum()) for depth in depths],
            "in_exact_list": [int(((rows.pruned_depth == depth) & in_exact).sum()) for depth in depths],
        },
        "same_rank": int(((rows.beam_rank == rows.exact_rank) & (rows.beam_rank != NEVER)).sum()),
        "exact_in_list": int(in_exact.sum()),
        "median_exact_rank": float(np.median(ranked)) if len(ranked) else None,
        "widths": {str(width): _width_figures(rows, width) for width in rows.found},
    }


def _width_figures(rows: BeamRows, width: int) -> dict[str, float]:
    exact, found = rows.exact[:, :width], rows.found[width]
    held = ((exact[:, :, None] == found[:, None]) & (exact[:, :, None] >= 0)).any(2).sum(1)
    # A catalogue may have fewer titles than there are beams.
    listed = np.maximum((exact >= 0).sum(1), 1)
    return {
        "recall": float((held / listed).mean()),
        "hr": float((rank_of(found, rows.targets) != NEVER).mean()),
        "exact_hr": float((rank_of(exact, rows.targets) != NEVER).mean()),
    }
