"""Diagnoses the beam search of a trained run: where it prunes targets, and its lists beside the exact ones."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from llmrec.backbones.backbone import Backbone
from llmrec.datasets.dataset import Dataset
from llmrec.decoding.beam_search import BeamSearch
from llmrec.decoding.catalogue_decoder import BeamSearchDecoder
from llmrec.decoding.catalogue_scores import CatalogueScorer
from llmrec.decoding.decoder import build_decoder
from llmrec.decoding.rank import history_leaves
from llmrec.diagnosis.beam import (
    NEVER,
    WIDTHS,
    BeamRows,
    beam_figures,
    exact_order,
    lists_by_width,
    rank_of,
    search_beams,
    title_nodes,
)
from llmrec.diagnosis.beam_files import print_beam_diagnosis, write_beam_files
from llmrec.diagnosis.sample import sampled_rows
from llmrec.diagnosis.stored import Diagnosis, run_facts
from llmrec.errors import InputError
from llmrec.examples.next_item import NextItemData
from llmrec.prompts.prompts import Prompts
from llmrec.training.open_run import open_trained, resolve_temperature
from llmrec.training.run_folder import RunFolder


def diagnose_beam(config: DictConfig, dataset: Dataset, run: RunFolder, sample: dict[str, Any]) -> dict[str, Any]:
    """Computes the record of a diagnosis of beam search; arguments as in `diagnose`.

    Returns:
        The settings, the result of `beam_figures`, and `by_row`: for each row its user, target, ranks and depth.

    Raises:
        InputError: If the run does not decode with beam search and trie scores.
    """
    started = time.perf_counter()
    config = resolve_temperature(config, run)
    settings, exclude_history = _beam_search(config)
    rows = sampled_rows(dataset, sample)
    backbone = open_trained(config, dataset, run)
    backbone.eval()
    data = NextItemData(dataset, backbone, config, Path(config.paths.cache))
    excluded = history_leaves(rows, dataset.items, data.trie) if exclude_history else None
    found = _measure(backbone, data, data.split(rows).prompts, settings, data.target_titles(rows), excluded, config)
    return {
        **run_facts(config, dataset, run, sample),
        **beam_figures(found, settings.beams),
        "titles": len(dataset.items.distinct_titles),
        "by_row": {
            "user": rows.user.tolist(),
            "target": [dataset.items.distinct_titles[title] for title in found.targets.tolist()],
            "exact_rank": _without_never(found.exact_rank),
            "beam_rank": _without_never(found.beam_rank),
            "pruned_depth": _without_never(found.pruned_depth),
        },
        "seconds": time.perf_counter() - started,
    }


def _beam_search(config: DictConfig) -> tuple[BeamSearch, bool]:
    """Returns the settings of the run's beam search, and whether it excludes the history."""
    decoder = build_decoder(config.decoding, config.task.name)
    if not isinstance(decoder, BeamSearchDecoder) or decoder.settings.scores != "trie":
        raise InputError("beam=true compares a beam search under trie scores with the exact list: add decoding=trie")
    return decoder.settings, decoder.exclude_history


def _measure(
    backbone: Backbone,
    data: NextItemData,
    prompts: Prompts,
    settings: BeamSearch,
    targets: np.ndarray,
    excluded: np.ndarray | None,
    config: DictConfig,
) -> BeamRows:
    nodes = title_nodes(data.trie, data.titles, data.path, targets)
    depth, beam_rank = search_beams(backbone, data.trie, prompts, settings, targets, nodes, excluded)
    found = lists_by_width(backbone, data.trie, prompts, settings, excluded)
    exact = np.full((len(targets), max(WIDTHS)), -1, dtype=np.int64)
    exact_rank = np.full(len(targets), NEVER)
    scorer = CatalogueScorer(data.trie, data.titles, data.path)
    first, length = data.trie.leaf_title[data.trie.title_leaf.long()].numpy(), np.diff(data.titles.offsets)
    disable = None if config.trainer.progress else True
    with backbone.autocast():
        for row in tqdm(range(len(targets)), desc="all titles", unit="row", disable=disable):
            left_out = None if excluded is None else excluded[row]
            scores = scorer.scores(backbone, prompts.of(row), settings.temperature, left_out)
            order = exact_order(scores / length**settings.length_penalty, first)
            exact[row, : min(len(order), max(WIDTHS))] = order[: max(WIDTHS)]
            exact_rank[row] = rank_of(order[None], targets[row : row + 1])[0]
    return BeamRows(targets, depth, beam_rank, exact_rank, found, exact)


def _without_never(values: np.ndarray) -> list[int | None]:
    return [None if value == NEVER else value for value in values.tolist()]


BEAM = Diagnosis(diagnose_beam, write_beam_files, print_beam_diagnosis, _beam_search)
"""The diagnosis of beam search."""
