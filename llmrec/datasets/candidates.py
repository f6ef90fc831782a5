"""The rows of task candidates: each has its target and sampled titles that are new to the user."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmrec.datasets.dataset import Dataset
from llmrec.datasets.load import Loaded, with_lists


def with_candidates(loaded: Loaded, dataset: Mapping[str, Any], cache_dir: Path, candidates: int, seed: int) -> Dataset:
    """Returns a loaded dataset whose rows have candidates.

    They are the candidate lists of task rerank without ratings, which are made once and stored (see `with_lists`).

    Args:
        loaded: The dataset.
        dataset: The resolved Hydra group `dataset` as plain containers.
        cache_dir: llmrec's cache folder.
        candidates: Candidates of a row (m).
        seed: Seed of the sampled titles and of the order in which candidates are shown.

    Raises:
        InputError: If the catalogue has too few titles that are new to a user.
    """
    task = {"candidates": candidates, "negatives": None, "relevance": "next_item", "seed": seed}
    listed = with_lists(loaded, dataset, cache_dir, task)
    rows = {split: replace(lists.rows, candidates=lists.candidates) for split, lists in listed.lists.items()}
    return replace(listed, train=rows["train"], sample=rows["sample"], valid=rows["valid"], test=rows["test"], lists={})
