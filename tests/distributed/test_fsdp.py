"""Two ranks with a sharded model train to what one process trains to, also after a kill."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from safetensors.torch import load_file
from torch import distributed
from transformers import OlmoConfig, OlmoForCausalLM

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.load import WEIGHTS, save_trained
from llmrec.errors import InputError
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.examples.training_data import Step
from llmrec.training.curves import CurvesLogger
from llmrec.training.module import Recommender
from llmrec.training.open_dataset import read_dataset
from llmrec.training.train import build_objective, train
from tests.cli.commands import Workplace
from tests.distributed.process_group import RANKS, run_in_group
from tests.invariants.world import random_backbone
from tests.tiers import rest_slow, selected
from tests.training.small import NARROW, SMALL, resolved

FSDP = ("trainer=fsdp", f"trainer.devices={RANKS}")
UNEVEN = ("dataset.train_samples=33", "trainer.micro_batch_size=4", "validation.users=41", "backbone.layers=2")
"""Of an epoch's three steps the last has one row, so that one rank runs a filler; validation rows do not divide."""
HF = (*UNEVEN[:-1], "backbone=hf", "adapter=none")
CASES = {
    "sft": (*UNEVEN, "objective=sft"),
    # Scores all titles before each epoch; a head of its own; layers that are run again in the backward pass.
    "gdrt": (*HF, "objective=gdrt", "objective.reference=current", "backbone.gradient_checkpointing=true"),
    # Decodes and scores with the reference's weights before each step.
    "grpo": (*UNEVEN, "objective=grpo", "objective.group=4", "objective.kl=0.5", "objective.add_target=true"),
    # A decoder with nothing but its layers to shard; one rank has nothing to validate.
    "bare": (*HF, "objective=sft", "validation.users=1"),
    "mixed": (*UNEVEN, "objective=sft", "trainer.precision=bf16-mixed"),
}
KILLED = 4
"""The step at which a training is ended, the second of its second epoch."""
BY_THE_CLOCK = ("train/tokens_per_second", "train/memory_gib")

pytestmark = pytest.mark.skipif(not distributed.is_available(), reason="needs torch.distributed (gloo)")


@pytest.fixture(scope="module")
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tested cases' runs as one process left them (one/), and two ranks that were killed (two/).

    They then went on, but for sft.
    """
    root = tmp_path_factory.mktemp("fsdp")
    backbone = random_backbone()
    save_trained(backbone, root / "gdrt")
    bare = OlmoConfig(
        vocab_size=len(backbone.tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
    )  # fmt: skip
    save_trained(Backbone(OlmoForCausalLM(bare), backbone.tokenizer), root / "bare")
    cases = selected(request, "case")
    for case in cases:
        _train(root / "one" / case, _config(root, case))
    run_in_group(_rank, root, root, cases)
    return root


@pytest.mark.parametrize("case", rest_slow(["gdrt", "grpo", "bare"], kept=0))
def test_two_ranks_that_were_killed_end_as_one_that_was_not(case: str, root: Path) -> None:
    assert_same(root / "two" / case, root / "one" / case)


@pytest.mark.parametrize("case", rest_slow(["mixed"], kept=0))
def test_mixed_precision_trains_float32_weights(case: str, root: Path) -> None:
    """What ranks compute and send is rounded, the weights that AdamW moves are not: updates of 1e-3 would vanish."""
    weights, theirs = (load_file(root / ranks / case / WEIGHTS / "model.safetensors") for ranks in ("two", "one"))
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    # A weight of bfloat16 would be its own rounding.
    assert any((weight != weight.bfloat16().float()).any() for name, weight in weights.items() if "mlp" in name)
    curves, expected = _curves(root / "two" / case), _curves(root / "one" / case)
    losses = [name for name in expected if "train/loss" in name]
    assert [curves[name] for name in losses] == pytest.approx([expected[name] for name in losses], rel=2e-2)
    assert weights.keys() == theirs.keys()


@pytest.mark.parametrize("case", rest_slow(["sft"], kept=0))
def test_one_process_goes_on_from_the_checkpoint_of_two_ranks(case: str, root: Path) -> None:
    run = root / "two" / case
    assert max(int(name.split(",")[0]) for name in _curves(run)) == KILLED - 1
    _train(run, _config(root, case))
    assert_same(run, root / "one" / case)


@pytest.mark.parametrize("case", ["sft"])
def test_command_trains_and_evaluates_as_one_process(case: str, root: Path, tmp_path: Path) -> None:
    place = Workplace(tmp_path, root / "cache")
    done = place.run("llmrec.run", *SMALL, *NARROW, *CASES[case], *FSDP)
    assert done.status == 0, done.output
    assert_same(done.run(), root / "one" / case)
    assert (done.record() / "metrics.json").exists()


def test_adapter_is_refused_before_training(tmp_path: Path) -> None:
    config = resolved(tmp_path, *FSDP, "adapter=lora")
    with pytest.raises(InputError, match=r"adapter=lora .* take trainer=ddp, or adapter=none"):
        build_objective(config, [])
    config.trainer.devices = 1
    build_objective(config, [])


def assert_same(found: Path, expected: Path) -> None:
    """Weights and curves are equal but for the order of additions; times are not compared."""
    weights, theirs = (load_file(run / WEIGHTS / "model.safetensors") for run in (found, expected))
    assert weights.keys() == theirs.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, theirs[name], atol=2e-6, rtol=0)
    curves, expected_curves = _curves(found), _curves(expected)
    assert curves.keys() == expected_curves.keys()
    # The loss of advantages, whose mean is 0, has only rounding errors.
    assert curves == pytest.approx(expected_curves, rel=1e-4, abs=1e-7)


def _curves(run: Path) -> dict[str, float]:
    """What curves.csv says, by step and name."""
    lines = [line.rsplit(",", 1) for line in (run / "curves.csv").read_text().splitlines()[1:]]
    return {name: float(value) for name, value in lines if name.split(",")[1] not in BY_THE_CLOCK}


def _config(root: Path, case: str, *changes: str) -> DictConfig:
    path = (f"backbone.path={root / case}",) if (root / case).exists() else ()
    return resolved(root, *CASES[case], *path, *changes)


def _train(folder: Path, config: DictConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    train(config, read_dataset(config), folder, {}, ReferenceFeatures(), [CurvesLogger(folder / "curves.csv")])


def _rank(_: int, root: Path, cases: Sequence[str]) -> None:
    for case in cases:
        config = _config(root, case, *FSDP)
        _train_until_killed(root / "two" / case, config)
        if case != "sft":
            _train(root / "two" / case, config)


def _train_until_killed(folder: Path, config: DictConfig) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recommender, "training_step", _step_or_end)
        with pytest.raises(_Killed):
            _train(folder, config)


class _Killed(Exception):
    """Ends a training."""


TAKE_STEP = Recommender.training_step


def _step_or_end(module: Recommender, step: Step, place: int) -> None:
    if module.global_step == KILLED:
        raise _Killed
    TAKE_STEP(module, step, place)
