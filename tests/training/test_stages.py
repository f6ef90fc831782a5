"""Chains of stages: a stage may have stages of its own, and rounds of self-play share the runs of earlier rounds."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig
from safetensors.numpy import load_file

from llmrec.backbones.load import WEIGHTS
from llmrec.compose import shipped_config
from llmrec.errors import InputError
from llmrec.launcher.pool import with_stages
from llmrec.training.plan import Job, plan_job
from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from llmrec.training.stages import stage_configs
from tests.training.small import NARROW, SMALL, composed

SPREC = ("objective=sprec", "objective.beta=0.5", "objective/rejected=uniform", "seed=7")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder without data, while Hydra is initialized."""
    with shipped_config():
        yield tmp_path


def planned(root: Path, *overrides: str) -> Job:
    paths = [f"paths.{name}={root / name}" for name in ("data", "cache", "runs")]
    return plan_job([*SMALL, *NARROW, *paths, *overrides])


def chain(job: Job) -> list[Job]:
    """A run, and those that it starts from, one after the other."""
    return [job, *(each for stage in job.stages for each in chain(stage))]


def names(jobs: list[Job]) -> list[str]:
    """The objectives of runs."""
    return [job.run.folder.parent.name for job in jobs]


def test_rounds_alternate_sft_and_the_objective(root: Path) -> None:
    jobs = chain(planned(root, *SPREC, "stage.rounds=2"))
    assert names(jobs) == ["sprec-uniform", "sprec_sft", "sprec-uniform", "sprec_sft", "sft"]


def test_more_rounds_start_from_the_runs_of_fewer(root: Path) -> None:
    one, two, three = (planned(root, *SPREC, f"stage.rounds={rounds}") for rounds in (1, 2, 3))
    folders = [job.run.folder for job in chain(three)]
    assert len(set(folders)) == 7
    assert [job.run.folder for job in chain(two)] == folders[2:]
    assert [job.run.folder for job in chain(one)] == folders[4:]


def test_a_sweep_over_rounds_trains_each_run_once_and_after_its_stages(root: Path) -> None:
    jobs = [planned(root, *SPREC, f"stage.rounds={rounds}") for rounds in (3, 1, 2)]
    ordered = with_stages(jobs)
    assert names(ordered) == ["sft", *["sprec_sft", "sprec-uniform"] * 3]
    position = {job.record: index for index, job in enumerate(ordered)}
    assert all(position[stage.record] < position[job.record] for job in ordered for stage in job.stages)


def test_the_first_round_is_a_chain_that_can_be_written_out(root: Path) -> None:
    first = planned(root, *SPREC, "stage.rounds=1")
    written = planned(root, *SPREC, "stage=none", 'stage.start=["objective=sprec_sft","stage=sft"]')
    assert chain(written)[1:] != []
    assert [job.run.folder for job in chain(written)] == [job.run.folder for job in chain(first)]


def test_without_sft_a_round_starts_from_the_round_before(root: Path) -> None:
    jobs = chain(planned(root, "objective=rosepo", "stage=self_play", "stage.rounds=2", "stage.round_start=null",
                         'stage.oracle=["baseline=sasrec"]'))  # fmt: skip
    rosepo = "rosepo-sasrec-self_hard"
    assert names(jobs) == [rosepo, rosepo, "sft", "sasrec", "sasrec"]
    assert jobs[3].run.folder == jobs[4].run.folder


def test_rounds_may_start_from_the_backbone(root: Path) -> None:
    assert names(chain(planned(root, *SPREC, "stage.rounds=1", "stage.start=null"))) == ["sprec-uniform", "sprec_sft"]


@pytest.mark.parametrize(
    ("overrides", "moved"),
    [
        (["objective.beta=1"], [True, True, True, False, False]),
        (['stage.round_start=["objective=sprec_sft","objective.max_epochs=2"]'], [True, True, True, True, False]),
        (["trainer.batch_size=8"], [True] * 5),
    ],
)
def test_a_setting_reaches_the_runs_that_it_concerns(overrides: list[str], moved: list[bool], root: Path) -> None:
    before, after = (chain(planned(root, *SPREC, "stage.rounds=2", *more)) for more in ([], overrides))
    assert [one.run.folder != other.run.folder for one, other in zip(before, after, strict=True)] == moved


def test_quotes_in_the_overrides_of_earlier_rounds_are_kept(tmp_path: Path) -> None:
    words = ["objective=sft", """dataset.wording.verb='didn\\'t mind'"""]
    quoted = ",".join(QuotedString(word, Quote.single).with_quotes() for word in words)
    with composed(tmp_path, *SPREC, "stage.rounds=2", f"stage.start=[{quoted}]") as config:
        while config.stage.get("start"):
            config = stage_configs(config)["start"]
        assert config.dataset.wording.verb == "didn't mind"
        assert config.hydra.runtime.choices.objective == "sft"


@pytest.mark.slow
def test_the_first_round_equals_dpo_with_greedy_titles(tmp_path: Path, cache: Path) -> None:
    rounds = ("objective=sprec", "stage.rounds=1")
    dpo = ("objective=dpo", "objective/rejected=self_greedy", "objective.max_epochs=1",
           "objective.learning_rate_factor=0.067", 'stage.start=["objective=sprec_sft","stage=sft"]')  # fmt: skip
    one, other = (trained(tmp_path, f"paths.cache={cache}", *overrides) for overrides in (rounds, dpo))
    assert one.folder != other.folder
    assert one.training["stages"] == other.training["stages"]
    assert one.training["objective"] == other.training["objective"]
    assert weights(one).keys() == weights(other).keys()
    assert all(np.array_equal(value, weights(other)[name]) for name, value in weights(one).items())
    start = weights(RunFolder(Path(one.training["stages"]["start"])))
    assert any(not np.array_equal(value, start[name]) for name, value in weights(one).items())


def trained(root: Path, *overrides: str) -> RunFolder:
    """A run, after its stages, in this process."""
    with composed(root, *overrides) as config:
        run_all(config)
        return RunFolder(Path(config.paths.runs) / run_path(config))


def run_all(config: DictConfig) -> None:
    for stage in stage_configs(config).values():
        run_all(stage)
    run_configuration(config)


def weights(run: RunFolder) -> dict[str, np.ndarray]:
    (file,) = (run.folder / WEIGHTS).glob("*.safetensors")
    return dict(load_file(file))


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["stage.rounds=0"], r"stage\.rounds=0: give a whole number of at least 1 or null"),
        (["stage.rounds=1.5"], r"stage\.rounds=1\.5: give a whole number"),
        (
            ['stage.round_start=["objective=sprec_sft","trainer.epochs=1"]'],
            r"trainer\.epochs=1 is no setting of the obj",
        ),
        (['stage.round_start=["objective=nonsense"]'], r"the stage start of this run cannot be composed: .*nonsense"),
    ],
)
def test_rounds_that_cannot_be_run_are_refused(overrides: list[str], says: str, root: Path) -> None:
    with pytest.raises(InputError, match=says):
        planned(root, *SPREC, *overrides)
    assert not (root / "runs").exists()
