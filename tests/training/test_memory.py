"""Training steps that fit into memory: checkpointing by need, micro-batches by tokens, halved where it runs out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from llmrec.backbones.backbone import Backbone, Encoded
from llmrec.backbones.packing import Packed
from llmrec.errors import InputError
from llmrec.training import memory
from llmrec.training.memory import fit_into_memory
from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from tests.invariants.world import ROWS, World, build_world
from tests.training.small import composed


def world(cache: Path, checkpointing: object, micro: object, case: tuple[str, ...] = ("sft",)) -> World:
    made = build_world(case, cache)
    made.data.config = made.data.config.copy()
    made.data.config.backbone.gradient_checkpointing = checkpointing
    made.data.config.trainer.micro_batch_size = micro
    return made


@pytest.mark.parametrize(("asked", "tight", "expected"), [
    ("auto", False, False), ("auto", True, True), (True, False, True), (False, True, False),
])  # fmt: skip
def test_activations_are_recomputed_where_they_must_be(
    asked: object, tight: bool, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "needs_checkpointing", lambda backbone, tokens, shards: tight)
    made = world(tmp_path, asked, "auto")
    shared = made.data.shared_columns
    fit_into_memory(made.backbone, made.data)
    assert made.data.checkpointing == made.backbone.causal_lm.model.gradient_checkpointing == expected
    assert made.data.shared_columns == (0 if expected else shared)


@pytest.mark.parametrize(("micro", "tokens"), [("auto", 512), (4, "rows"), (None, "step")])
def test_the_largest_micro_batch_decides(
    micro: int | str | None, tokens: int | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(memory, "needs_checkpointing", lambda backbone, tokens, shards: asked.append(tokens) and False)
    made = world(tmp_path, "auto", micro)
    row = made.data.max_row_tokens(np.arange(len(ROWS)))
    fit_into_memory(made.backbone, made.data)
    assert asked == [{512: 512, "rows": 4 * row, "step": 8 * row}[tokens]]


def test_micro_batches_hold_as_many_rows_as_tokens_fit(tmp_path: Path) -> None:
    made = world(tmp_path, False, "auto")
    rows = np.array([0, 3, 5])
    longest = made.data.max_row_tokens(rows)
    for made.data.micro_batch_tokens, expected in ((2 * longest, 2), (2 * longest - 1, 1), (1, 1)):
        assert made.data.micro_batch_rows(rows) == expected


@pytest.mark.parametrize(("case", "branches"), [(("sft",), 1), (("dpo",), 2), (("sdpo", "objective.negatives=3"), 4)])
def test_rows_of_preference_objectives_have_several_branches(
    case: tuple[str, ...], branches: int, tmp_path: Path
) -> None:
    """Which is asked before the objective has drawn its rejected titles."""
    made = world(tmp_path, "auto", "auto", case)
    data = made.data
    targets = [data.response(title, data.supervised) for title in np.unique(data.sample_titles)]
    read = [int(np.flatnonzero(target.supervised)[-1]) for target in targets]
    made.objective.__dict__.pop("titles", None)
    assert data.added_tokens == branches * int(np.quantile(read, 0.95))


def limited(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """As if the device held no more rows than `most` at a time; the rows of each pass that did not fit."""
    encode, refused = Backbone.encode, []

    def encode_if_it_fits(self: Backbone, packed: Packed, at: torch.Tensor) -> Encoded:
        if torch.is_grad_enabled() and len(packed.tokens) > most:
            refused.append(len(packed.tokens))
            raise torch.OutOfMemoryError("out of memory")
        return encode(self, packed, at)

    monkeypatch.setattr(Backbone, "encode", encode_if_it_fits)
    return refused


def losses(tmp_path: Path, cache: Path, *overrides: str) -> tuple[list[float], RunFolder]:
    with composed(tmp_path, f"paths.cache={cache}", "trainer.epochs=1", "objective=sft", *overrides) as config:
        run_configuration(config)
        run = RunFolder(tmp_path / "runs" / run_path(config))
    lines = (run.folder / "curves.csv").read_text().splitlines()
    return [float(line.split(",")[2]) for line in lines if ",train/loss," in line], run


def test_where_memory_runs_out_micro_batches_are_halved(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, one = losses(tmp_path / "whole", cache, "trainer.micro_batch_size=auto")
    refused = limited(monkeypatch, 5)
    with_halved_micro_batches, other = losses(tmp_path / "halved", cache, "trainer.micro_batch_size=auto")
    assert with_halved_micro_batches == pytest.approx(whole, rel=1e-5)
    # Once, for the limit holds for the steps to come.
    assert refused == [16, 8]
    # Of 16 rows, 8 do not fit, 4 do.
    assert (one.training["micro_batch_rows"], other.training["micro_batch_rows"]) == (16, 4)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["trainer.micro_batch_size=16"], r"does not hold a micro-batch .* smaller trainer\.micro_batch_size"),
        (["trainer.micro_batch_size=auto"], r"does not hold a micro-batch .* smaller trainer\.micro_batch_size"),
        (
            ["trainer.micro_batch_size=auto", "objective=msl", "objective.statistics=same_step"],
            r"does not hold a step .* smaller trainer\.batch_size, or statistics=previous_step",
        ),
    ],
)
def test_memory_that_holds_no_micro_batch_is_an_error_with_its_remedy(
    overrides: list[str], says: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which also pretrains the model, where no test has done so yet.
    losses(tmp_path / "fits", cache, *overrides)
    limited(monkeypatch, 0)
    with pytest.raises(InputError, match=says):
        losses(tmp_path / "does_not", cache, *overrides)
