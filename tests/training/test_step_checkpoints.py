"""A training that ends inside an epoch resumes from its last step and ends as an uninterrupted one, to the bit."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from llmrec.examples.training_data import Step, StepLoader
from llmrec.training.checkpoint_io import AtomicCheckpointIO
from llmrec.training.checkpoints import read_checkpoint
from llmrec.training.curves import CurvesLogger
from llmrec.training.module import Recommender
from llmrec.training.stages import ORACLE, Stage
from llmrec.training.step_checkpoints import random_state, set_random_state
from tests.invariants.world import fitted_oracle
from tests.tiers import rest_slow
from tests.training.given_validation import TAKE_STEP, Killed, curves, kill_at_step, trained, validated
from tests.training.small import resolved

RISING = (0.1, 0.2, 0.3)
SETTINGS = (
    "trainer.batch_size=8", "trainer.epochs=2", "trainer.warmup_steps=2", "trainer.learning_rate=1e-3",
    "trainer.checkpoint_minutes=null",
)  # fmt: skip
"""Two epochs of six batches."""
EVERY_STEP = (*SETTINGS, "trainer.checkpoint_steps=1")
LORA = ("adapter=lora", "adapter.dropout=0.3")
CASES = [
    ("sft", *LORA),
    ("gdrt", "objective.reference=current", "objective.ema=0.5", "objective.group_count=3"),
    ("grpo", "objective.inner_steps=2", "objective.group=4", *LORA),
    ("msl", *LORA),
    ("msl",),
    ("gdrt", "objective/token_loss=msl", "objective.group_count=3", *LORA),
    ("apao", "objective/token_loss=msl"),
    ("bear",),
    ("cft",),
    ("igd", "objective/token_loss=msl"),
    ("dmpo",),
    ("dpo", *LORA),
    ("cdpo",),
    ("simpo",),
    ("sdpo",),
    ("rosepo", "objective/rejected=popularity", *LORA),
    ("sprec",),
    ("alro", "task=rerank"),
    ("sft", "task=rerank"),
    ("sft", "trainer.micro_batch_size=3", *LORA),
]
RECORDED = ("chosen_epoch", "chosen_by", "optimizer_steps", "micro_batch_rows", "objective", "temperature")


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has RosePO's oracle know the rows of the run."""
    monkeypatch.setattr("llmrec.training.train._open_oracle", lambda stage, dataset: fitted_oracle(dataset)())
    monkeypatch.setattr("llmrec.training.train._fit_oracle", lambda *given: fitted_oracle(given[-1])())


@pytest.mark.parametrize("case", rest_slow([(case,) for case in CASES], kept=2), ids=map(" ".join, CASES))
def test_training_that_ends_inside_an_epoch_resumes_from_its_step(
    case: tuple[str, ...], tmp_path: Path, cache: Path, oracle: None
) -> None:
    name, *changes = case
    config = resolved(tmp_path, f"paths.cache={cache}", *EVERY_STEP, f"objective={name}", *changes)
    stages = {ORACLE: Stage(tmp_path / "oracle", {})} if name == "rosepo" else {}
    with validated(RISING):
        expected = trained(tmp_path / "whole", config, stages)
    steps = config.objective.get("inner_steps", 1)
    # Twice in the first epoch and once in the second, which SPRec does not have.
    moments = [batch for batch in (2, 4, 9) if batch * steps < expected["optimizer_steps"]]
    for batch in moments:
        with validated(RISING) as patch:
            kill_at_step(patch, batch * steps)
            with pytest.raises(Killed):
                trained(tmp_path / "resumed", config, stages)
    with validated(RISING):
        resumed = trained(tmp_path / "resumed", config, stages)
    assert resumed["timed_epochs"] == (expected["optimizer_steps"] / steps - moments[-1]) / 6
    assert [resumed[name] for name in RECORDED] == [expected[name] for name in RECORDED]
    assert_same_files(tmp_path / "resumed", tmp_path / "whole")


@pytest.mark.parametrize(
    ("steps", "killed", "saved"), rest_slow([(4, 11, 10), (4, 5, 4), (4, 9, 6), (2, 5, 4), (7, 11, 6), ("null", 11, 6)])
)
def test_checkpoints_come_after_so_many_optimizer_steps(
    steps: int | str, killed: int, saved: int, tmp_path: Path, cache: Path
) -> None:
    """Counted from the checkpoint before, which may be that of an epoch."""
    config = resolved(tmp_path, f"paths.cache={cache}", *SETTINGS, "objective=sft", f"trainer.checkpoint_steps={steps}")
    with validated(RISING) as patch:
        kill_at_step(patch, killed)
        with pytest.raises(Killed):
            trained(tmp_path / "run", config)
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == saved


def test_checkpoints_come_after_so_many_minutes(tmp_path: Path, cache: Path) -> None:
    config = resolved(tmp_path, f"paths.cache={cache}", *SETTINGS, "objective=sft")
    config.trainer.checkpoint_minutes = 2.0
    with validated(RISING) as patch:
        kill_at_step(patch, 4)
        minute = {"now": 0.0}
        patch.setattr("llmrec.training.step_checkpoints.time.monotonic", lambda: 60 * minute["now"])
        killed_step = Recommender.training_step

        def step_in_a_minute(module: Recommender, step: Step, place: int) -> None:
            killed_step(module, step, place)
            minute["now"] += 1

        patch.setattr(Recommender, "training_step", step_in_a_minute)
        with pytest.raises(Killed):
            trained(tmp_path / "run", config)
    place = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert place["global_step"] == 4


def test_at_most_two_checkpoints_are_kept(tmp_path: Path, cache: Path) -> None:
    config = resolved(tmp_path, f"paths.cache={cache}", *EVERY_STEP, "objective=sft")
    with validated(RISING) as patch:
        kill_at_step(patch, 10)
        with pytest.raises(Killed):
            trained(tmp_path / "run", config)
    assert checkpoints(tmp_path / "run") == ["best-0.ckpt", "last.ckpt"]
    # Nothing resumes from the best epoch.
    assert "optimizer_states" not in read_checkpoint(tmp_path / "run" / "checkpoints" / "best-0.ckpt")


def test_a_kill_between_the_best_and_the_last_checkpoint_of_an_epoch_leaves_no_third(
    tmp_path: Path, cache: Path
) -> None:
    config = resolved(tmp_path, f"paths.cache={cache}", *SETTINGS, "objective=sft", "trainer.checkpoint_steps=4")
    save = AtomicCheckpointIO.save_checkpoint

    def save_or_end(io: AtomicCheckpointIO, checkpoint: dict[str, Any], path: str | Path, **given: Any) -> None:
        if Path(path).name == "last.ckpt" and checkpoint["global_step"] == 12:
            raise Killed
        save(io, checkpoint, path, **given)

    with validated(RISING):
        expected = trained(tmp_path / "whole", config)
    with validated(RISING) as patch:
        patch.setattr(AtomicCheckpointIO, "save_checkpoint", save_or_end)
        with pytest.raises(Killed):
            trained(tmp_path / "resumed", config)
    assert checkpoints(tmp_path / "resumed") == ["best-1.ckpt", "last.ckpt"]
    with validated(RISING):
        resumed = trained(tmp_path / "resumed", config)
    assert checkpoints(tmp_path / "resumed") == ["best-1.ckpt", "last.ckpt"]
    assert resumed["chosen_epoch"] == expected["chosen_epoch"] == 1
    assert_same_files(tmp_path / "resumed", tmp_path / "whole")


def checkpoints(run: Path) -> list[str]:
    """The names of a run's checkpoints."""
    return sorted(file.name for file in (run / "checkpoints").glob("*.ckpt"))


class Ended(Exception):
    """What the handler of a signal raises in these tests."""


@pytest.fixture
def ending() -> Iterator[list[int]]:
    """SIGTERM and SIGINT raise Ended; the signals that arrived."""
    arrived: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        raise Ended

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    yield arrived
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("sent", "raised"),
    rest_slow([
        (signal.SIGUSR1, signal.SIGTERM), (signal.SIGTERM, signal.SIGTERM), (signal.SIGUSR2, signal.SIGTERM),
        (signal.SIGINT, signal.SIGINT),
    ]),
)  # fmt: skip
def test_a_signal_saves_after_the_batch_and_then_ends_the_process(
    sent: signal.Signals, raised: signal.Signals, ending: list[int], tmp_path: Path, cache: Path
) -> None:
    config = resolved(tmp_path, f"paths.cache={cache}", *SETTINGS, "objective=sft", *LORA)
    with validated(RISING):
        expected = trained(tmp_path / "whole", config)
    with validated(RISING) as patch:
        signal_in_step(patch, 3, sent)
        with pytest.raises(Ended):
            trained(tmp_path / "resumed", config)
    assert ending == [raised]
    assert read_checkpoint(tmp_path / "resumed" / "checkpoints" / "last.ckpt")["global_step"] == 4
    with validated(RISING):
        resumed = trained(tmp_path / "resumed", config)
    assert resumed["timed_epochs"] == pytest.approx(8 / 6)
    assert resumed["chosen_by"] == expected["chosen_by"]
    assert_same_files(tmp_path / "resumed", tmp_path / "whole")


def test_a_signal_in_the_last_batch_of_an_epoch_waits_for_its_validation(
    ending: list[int], tmp_path: Path, cache: Path
) -> None:
    config = resolved(tmp_path, f"paths.cache={cache}", *SETTINGS, "objective=sft")
    with validated(RISING) as patch:
        signal_in_step(patch, 5, signal.SIGTERM)
        with pytest.raises(Ended):
            trained(tmp_path / "run", config)
    last = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert (last["global_step"], last["epoch"]) == (6, 0)
    assert "6,train/loss" not in curves(tmp_path / "run")
    assert "5,valid/ndcg@10" in curves(tmp_path / "run")


def test_a_signal_in_the_last_batch_of_the_training_comes_after_it(
    ending: list[int], tmp_path: Path, cache: Path
) -> None:
    config = resolved(tmp_path, f"paths.cache={cache}", *SETTINGS, "objective=sft", "trainer.epochs=1")
    with validated(RISING) as patch:
        signal_in_step(patch, 5, signal.SIGTERM)
        with pytest.raises(Ended):
            trained(tmp_path / "run", config)
    with validated(RISING):
        assert trained(tmp_path / "run", config)["timed_epochs"] == 0


def test_a_signal_in_validation_ends_the_process_at_once(ending: list[int], tmp_path: Path, cache: Path) -> None:
    config = resolved(tmp_path, f"paths.cache={cache}", *SETTINGS, "objective=sft", "trainer.checkpoint_steps=4")
    with validated(RISING) as patch:
        validate = Recommender.validation_step

        def signalled(module: Recommender, rows: np.ndarray, place: int) -> None:
            signal.raise_signal(signal.SIGTERM)
            validate(module, rows, place)

        patch.setattr(Recommender, "validation_step", signalled)
        with pytest.raises(Ended):
            trained(tmp_path / "run", config)
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 4


def test_a_process_that_ignores_sigterm_saves_and_goes_on(tmp_path: Path, cache: Path) -> None:
    """As jobs of launcher=slurm do, which SLURM ends and submitit requeues."""
    config = resolved(tmp_path, f"paths.cache={cache}", *SETTINGS, "objective=sft")
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with validated(RISING) as patch:
            signal_in_step(patch, 3, signal.SIGUSR2)
            take_step = Recommender.training_step

            def step_or_end(module: Recommender, step: Step, place: int) -> None:
                if module.global_step == 8:
                    raise Killed
                take_step(module, step, place)
                if module.global_step == 5:
                    saved.append(read_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"])

            saved: list[int] = []
            patch.setattr(Recommender, "training_step", step_or_end)
            with pytest.raises(Killed):
                trained(tmp_path / "run", config)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    assert saved == [4]


def test_a_second_ctrl_c_ends_the_process_at_once(ending: list[int], tmp_path: Path, cache: Path) -> None:
    config = resolved(tmp_path, f"paths.cache={cache}", *SETTINGS, "objective=sft")
    with validated(RISING) as patch:
        signal_in_step(patch, 3, signal.SIGINT, times=2)
        with pytest.raises(Ended):
            trained(tmp_path / "run", config)
    assert ending == [signal.SIGINT]
    assert not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


def test_random_states_are_restored() -> None:
    device = torch.device("cpu")
    np.random.standard_normal()  # noqa: NPY002
    state = random_state(device)
    drawn = draw()
    assert draw() != drawn
    set_random_state(state, device)
    assert draw() == drawn


def draw() -> list[float]:
    """Draws from all generators; a second normal value comes from what the first one left."""
    normal = float(np.random.standard_normal())  # noqa: NPY002
    return [random.random(), normal, float(np.random.random()), float(torch.rand(()))]  # noqa: NPY002


def test_a_loader_resumes_after_the_steps_that_were_taken() -> None:
    def loader() -> StepLoader:
        return StepLoader(([np.array([number])] for number in range(5)), lambda parts: int(parts[0][0]))

    first = loader()
    steps = iter(first)
    assert [next(steps), next(steps)] == [0, 1]
    first.build_next()
    resumed = loader()
    resumed.load_state_dict(first.state_dict())
    # Lightning makes two iterators and uses the second.
    iter(resumed)
    steps = iter(resumed)
    assert (len(resumed), next(steps)) == (5, 2)
    assert resumed.state_dict() == {"taken": 3}
    assert list(steps) == [3, 4]


def test_the_values_of_a_step_are_logged_once(tmp_path: Path) -> None:
    """Whether the killed training came to log them or not."""
    logger = CurvesLogger(tmp_path / "curves.csv")
    for last in (3, 4):
        logger.rewind(0)
        for step in range(last):
            logger.log_metrics({"train/loss": step}, step)
        logger.rewind(3)
        logger.log_metrics({"train/loss": 3}, 3)
        assert [line.split(",")[0] for line in (tmp_path / "curves.csv").read_text().splitlines()[1:]] == list("0123")


def signal_in_step(patch: pytest.MonkeyPatch, number: int, sent: signal.Signals, times: int = 1) -> None:
    """Sends this process a signal before an optimizer step, counted from 0."""

    def signalled(module: Recommender, step: Step, place: int) -> None:
        if module.global_step == number:
            for _ in range(times):
                signal.raise_signal(sent)
        TAKE_STEP(module, step, place)

    patch.setattr(Recommender, "training_step", signalled)


def assert_same_files(found: Path, expected: Path) -> None:
    """Curves are equal, and the saved weights to the bit."""
    assert curves(found) == curves(expected)
    assert [*curves(found)] == [*curves(expected)]
    (file,) = (path.name for path in (expected / "weights").glob("*.safetensors"))
    weights, theirs = (load_file(run / "weights" / file) for run in (found, expected))
    assert weights.keys() == theirs.keys()
    assert all(torch.equal(weight, theirs[name]) for name, weight in weights.items())
