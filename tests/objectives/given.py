"""Builds batches over titles given as tokens, and states with given logits, to test objectives without a model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.catalogue.trie import build_trie
from llmrec.examples.batches import build_batch
from llmrec.objectives.base import Objective, Sums
from llmrec.objectives.batch import Batch, Branch, Response
from llmrec.training.preparation import RunPreparation
from tests.catalogue.prefixes import token_titles

PROMPT = np.array([3, 4], dtype=np.int32)


def no_titles(*names: str | None) -> np.ndarray:
    """Stands in for `Preparation.embed_titles` in tests of objectives that use no embeddings."""
    raise AssertionError("embeddings were asked for")


def no_model() -> Backbone:
    """Stands in for `Preparation.open_base` in tests of objectives that open no other model."""
    raise AssertionError("another model was asked for")


def prepared_batch(
    objective: Objective,
    titles: Sequence[Sequence[int]],
    targets: Sequence[int],
    prompts: Sequence[np.ndarray] | None = None,
) -> Batch:
    """Prepares the objective for the titles, and builds a batch with one row per target and its positions in row order.

    prompts: one a target; without them all have the same two tokens.
    """
    tokens = token_titles(titles)
    trie, path = build_trie(tokens)
    objective.prepare(RunPreparation(None, trie, None, Path(), None, 0, no_model, no_titles))
    supervised = objective.supervised(torch.from_numpy(trie.fan_out.numpy()[path])).numpy()
    parts = [slice(tokens.offsets[target], tokens.offsets[target + 1]) for target in targets]
    responses = [Response(tokens.tokens[part], path[part], supervised[part]) for part in parts]
    prompts = [PROMPT for _ in targets] if prompts is None else prompts
    branches = [[Branch(prompt, response)] for prompt, response in zip(prompts, responses, strict=True)]
    return build_batch(np.arange(len(targets)), branches, shared_columns=0)


def given(logits: Sequence[Sequence[float]] | Tensor) -> Encoded:
    """Returns states with the given logits, one row per supervised position."""
    return Encoded(None, None, torch.as_tensor(logits, dtype=torch.float32))


def step(objective: Objective, parts: Sequence[tuple[Encoded, Batch]]) -> float:
    """Returns the loss of one optimizer step over its micro-batches, and closes the step."""
    totals = added([objective.totals(batch) for _, batch in parts])
    done = [objective(encoded, batch, totals) for encoded, batch in parts]
    statistics = added([part.statistics for part in done])
    objective.close_step(statistics)
    return float(sum(part.loss for part in done)) / float(objective.divisor(statistics))


def added(sums: Sequence[Sums]) -> Sums:
    """Adds up named sums over micro-batches."""
    return {name: torch.stack([part[name] for part in sums]).sum(0) for name in sums[0]}
