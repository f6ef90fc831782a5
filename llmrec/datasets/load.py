"""Loads a dataset: locates it, prepares it or reads it from the cache, and draws its training sample."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.cached_files import discard
from llmrec.datasets.dataset import Dataset, draw
from llmrec.datasets.leakage import cold_targets
from llmrec.datasets.lists import Lists
from llmrec.datasets.prepared import Prepared, Splits, has_ratings, read_interactions, read_prepared, write_prepared
from llmrec.datasets.sequences import make_sequences
from llmrec.datasets.simulator import best_ndcg10, simulate
from llmrec.datasets.source import Source, locate
from llmrec.datasets.stored_lists import list_rule, load_lists
from llmrec.errors import InputError


@dataclass(frozen=True)
class Loaded:
    """A dataset, and where it comes from.

    Attributes:
        dataset: The dataset.
        source: Where its data comes from.
        prepared: The prepared dataset.
        sample: Positions in train of the rows that language models are tuned on, int64.
    """

    dataset: Dataset
    source: Source
    prepared: Prepared
    sample: np.ndarray


def load(dataset: Mapping[str, Any], data_dir: Path, cache_dir: Path) -> Loaded:
    """Loads a dataset, ready for training.

    Args:
        dataset: The resolved Hydra group `dataset` as plain containers.
        data_dir: Real datasets are read from data_dir/<name>.
        cache_dir: Prepared and simulated datasets are cached in cache_dir/datasets/<name>-<hash>.

    Raises:
        InputError: If the data or the settings cannot be used.
    """
    source = locate(dataset, data_dir, cache_dir)
    prepared = load_prepared(source, dataset, cache_dir)
    positions = sample_positions(prepared, dataset["train_samples"], dataset["sample_seed"])
    sample = prepared.train.take(positions)
    against_sample = {split: cold_targets(getattr(prepared, split), sample) for split in ("valid", "test")}
    loaded = Dataset(
        name=source.name,
        simulated=source.simulated,
        items=prepared.items,
        train=prepared.train,
        sample=sample,
        valid=prepared.valid,
        test=prepared.test,
        content_hash=source.content_hash,
        report=prepared.report | {"sample": {"rows": len(sample), "cold_targets": against_sample}},
        best_ndcg10=prepared.best_ndcg10,
        train_file=prepared.train_file,
        only_a_sample=prepared.only_a_sample,
        valid_held_out=prepared.valid_held_out,
    )
    return Loaded(loaded, source, prepared, positions)


def load_dataset(dataset: Mapping[str, Any], data_dir: Path, cache_dir: Path) -> Dataset:
    """Loads a dataset without candidate lists; arguments and errors as for `load`."""
    return load(dataset, data_dir, cache_dir).dataset


def with_lists(loaded: Loaded, dataset: Mapping[str, Any], cache_dir: Path, task: Mapping[str, Any]) -> Dataset:
    """Returns a loaded dataset with its candidate lists (task rerank).

    Args:
        loaded: The dataset.
        dataset: The resolved Hydra group `dataset` as plain containers.
        cache_dir: Lists are cached beside the prepared dataset, or in cache_dir/lists.
        task: candidates, negatives, relevance and seed of the task.

    Raises:
        InputError: If lists cannot be made.
    """
    lists, report = _lists(loaded.source, loaded.prepared, dataset, cache_dir, task)
    drawn = draw(len(lists["train"]), dataset["train_samples"], dataset["sample_seed"])
    lists["sample"] = lists["train"].take(drawn if report["by_ratings"] else loaded.sample)
    return replace(loaded.dataset, lists=lists, report=loaded.dataset.report | {"lists": report})


def prepared_folder(source: Source, cache_dir: Path) -> Path:
    """Returns the folder of the prepared dataset: the source itself if it is prepared, else a folder in the cache."""
    if source.prepared and source.path:
        return source.path
    return cache_dir / "datasets" / f"{source.name}-{source.content_hash[:12]}"


def load_prepared(source: Source, dataset: Mapping[str, Any], cache_dir: Path) -> Prepared:
    """Reads the prepared dataset of a source; prepares and caches it first if necessary."""
    folder = prepared_folder(source, cache_dir)
    if source.prepared:
        return read_prepared(folder, source.content_hash, cache_dir)
    if folder.exists():
        try:
            return read_prepared(folder, source.content_hash, cache_dir)
        except InputError as error:
            discard(folder, str(error).partition(". Delete")[0])
    write_prepared(prepare(source, dataset), folder)
    return read_prepared(folder, source.content_hash, cache_dir)


def prepare(source: Source, dataset: Mapping[str, Any]) -> Prepared:
    """Prepares a dataset from the simulator, or from a folder with the reader of the source.

    Raises:
        InputError: The data cannot be used, or the packages that read raw data are not installed.
    """
    try:
        splits = source.reader.prepare(source.path, dataset) if source.reader and source.path else _simulated(dataset)
    except ModuleNotFoundError as error:
        if error.name != "polars":
            raise
        problem = f"{source.path}: raw data is read with polars, which is not installed"
        raise InputError(f"{problem}. Install it: pip install 'llmrec[prepare]'") from error
    return Prepared(
        **vars(splits),
        name=source.name,
        layout=source.kind,
        simulated=source.simulated,
        content_hash=source.content_hash,
    )


def sample_positions(prepared: Prepared, size: int | None, seed: int) -> np.ndarray:
    """Returns the positions in train of the rows that language models are tuned on, int64.

    These are:
        - all of train if `size` is None or at least its number of rows;
        - the published sample without held-out rows if `size` is the number of rows it was published with;
        - a random sample of the published sample if `size` is smaller than that;
        - otherwise a random sample of train.
    """
    published = prepared.sample
    if published is not None and size is not None and prepared.sample_size and size <= prepared.sample_size:
        # Held-out rows were removed from the published sample, so it may have fewer rows than its file name says.
        return published if size == prepared.sample_size else published[draw(len(published), size, seed)]
    return draw(len(prepared.train), size, seed)


def _lists(
    source: Source, prepared: Prepared, dataset: Mapping[str, Any], cache_dir: Path, task: Mapping[str, Any]
) -> tuple[dict[str, Lists], dict[str, Any]]:
    prepared_in = prepared_folder(source, cache_dir)
    problem = prepared.report.get("events", {}).get("rating_problem")
    rule = list_rule(task, dataset, source.name, has_ratings(prepared_in), problem)
    if rule.by_ratings and source.leave_one_out:
        raise InputError(
            f"{source.name}: lists by ratings are made within the periods of a split by time, and "
            "dataset.split=leave_one_out has none. Set task.relevance=next_item, or split by time"
        )
    # Lists are stored with a cached prepared dataset, but never in a prepared dataset of the user's own.
    folder = prepared_in
    if source.prepared:
        folder = cache_dir / "lists" / f"{source.name}-{source.content_hash[:12]}"
    return load_lists(prepared, lambda: read_interactions(prepared_in, prepared.items), rule, folder)


def _simulated(dataset: Mapping[str, Any]) -> Splits:
    world, events = simulate(dataset["simulator"])
    sequences = make_sequences(world.items, events, dataset, "dataset.simulator")
    targets = {split: sequences.target_event[split] for split in ("valid", "test")}
    return sequences.splits(best_ndcg10(world, events, sequences.item_index, targets))
