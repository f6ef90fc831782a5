"""The assistant of a decoder: a run of its own, which the ranking needs and whose settings are in the ranking's key."""

from pathlib import Path

import pytest

from llmrec.compose import compose_run, shipped_config
from llmrec.decoding.decoder import assistant_settings
from llmrec.errors import InputError
from llmrec.exporting.export_run import export_run
from llmrec.launcher.pool import with_stages
from llmrec.plain import plain
from llmrec.training.assistant import assistant_config, assistant_run, open_assistant
from llmrec.training.open_dataset import read_dataset
from llmrec.training.overrides import override
from llmrec.training.plan import plan_job
from llmrec.training.recommending import Recommender
from llmrec.training.run_configuration import evaluate_again, run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from tests.training.small import NARROW, SMALL, composed, resolved

D3 = ("decoding=d3", "decoding.assistant.max_epochs=1", "decoding.beams=4")
BASELINE = ("baseline=sasrec", "baseline.max_epochs=1")


def path_of(root: Path, *overrides: str) -> str:
    with composed(root, *overrides) as config:
        return run_path(config)


def ranking_of(root: Path, *overrides: str) -> str:
    return RunFolder(root).ranking(resolved(root, *overrides)).name


def test_it_is_the_run_of_the_baseline_alone(tmp_path: Path) -> None:
    fitted = assistant_config(resolved(tmp_path, "objective=sft", *D3))
    assert fitted is not None
    assert assistant_run(fitted).folder == tmp_path / "runs" / path_of(tmp_path, *BASELINE)
    assert plain(fitted.decoding) == plain(resolved(tmp_path).decoding)


def test_a_baseline_and_other_decoders_have_none(tmp_path: Path) -> None:
    assert assistant_config(resolved(tmp_path)) is None
    assert assistant_config(resolved(tmp_path, "decoding=grounding")) is None
    assert assistant_config(resolved(tmp_path, *BASELINE, *D3)) is None


def test_its_settings_are_in_the_key_of_the_ranking_and_not_of_the_training(tmp_path: Path) -> None:
    assert path_of(tmp_path, *D3) == path_of(tmp_path)
    keys = {
        ranking_of(tmp_path, *overrides)
        for overrides in (
            (),
            D3,
            (*D3, "decoding.alpha=0.5"),
            ("decoding=d3", "decoding.assistant.max_epochs=2", "decoding.beams=4"),
            ("decoding=d3", "baseline@decoding.assistant=popularity", "decoding.beams=4"),
        )
    }
    assert len(keys) == 5


def test_embeddings_are_in_the_key_of_the_ranking(tmp_path: Path) -> None:
    own, reference, other = (
        ranking_of(tmp_path, "decoding=grounding", *more)
        for more in (
            (),
            ("decoding.embeddings=reference", "dataset.reference={relevance:tiny,encoder:null}"),
            ("decoding.embeddings=reference", "dataset.reference={relevance:null,encoder:some/encoder}"),
        )
    )
    assert len({own, reference, other}) == 3


def test_a_sweep_runs_it_first_and_once_even_for_a_trained_run(tmp_path: Path) -> None:
    paths = [f"paths.{name}={tmp_path / name}" for name in ("data", "cache", "runs")]
    with shipped_config():
        jobs = [plan_job([*SMALL, *NARROW, *paths, *D3, f"decoding.alpha={alpha}"]) for alpha in (0.5, 0.9)]
    fitted = assistant_config(resolved(tmp_path, *D3))
    assert fitted is not None
    (assistant,) = jobs[0].assistants
    assert assistant.run == assistant_run(fitted)
    assert [job.run for job in with_stages(jobs)] == [assistant.run, jobs[0].run, jobs[1].run]
    jobs[0].run.folder.mkdir(parents=True)
    (jobs[0].run.folder / "training.json").touch()
    assert [job.run for job in with_stages(jobs)] == [assistant.run, jobs[0].run, jobs[1].run]
    assert jobs[0].run == jobs[1].run


def test_a_stored_run_takes_an_option_with_its_assistant(tmp_path: Path) -> None:
    config = resolved(tmp_path)
    assert plain(override(config, D3).decoding) == plain(resolved(tmp_path, *D3).decoding)
    other = override(config, ["decoding=d3", "baseline@decoding.assistant=popularity"])
    assert other.decoding.assistant.name == "popularity"
    without = override(config, ["decoding=d3", "baseline@decoding.assistant=popularity", "decoding=grounding"])
    assert assistant_settings(plain(without.decoding)) is None
    with pytest.raises(InputError, match=r"decoding\.assistant\.rows"):
        override(config, ["decoding=d3", "decoding.assistant.rows=none"])
    with composed(tmp_path):
        # Hydra is initialized here, as in an application of the user's own, and still is afterwards.
        assert override(config, D3).decoding.alpha == 0.9
        assert compose_run([]).decoding.beams == 10


def test_a_run_fits_it_and_another_weight_does_not(tmp_path: Path) -> None:
    with composed(tmp_path, "trainer.epochs=0", "objective=sft", *D3) as composed_config:
        run_configuration(composed_config)
        run = RunFolder(tmp_path / "runs" / run_path(composed_config))
    paths = [f"paths.{name}={tmp_path / name}" for name in ("data", "cache", "runs")]
    config = override(run.config(), paths)
    fitted = assistant_config(config)
    assert fitted is not None
    record = assistant_run(fitted).folder / "training.json"
    written = record.stat().st_mtime_ns
    assert config.decoding.alpha == 0.9
    other = override(config, ["decoding.alpha=0.2"])
    evaluate_again(run, other)
    assert run.is_evaluated(other)
    assert record.stat().st_mtime_ns == written
    recommended = Recommender(other, run).recommend([["a title that nobody knows"]])
    assert len(recommended[0]) == 4

    with pytest.raises(InputError, match=r"is decoded with a baseline .* an export does not hold\. Add decoding=trie"):
        export_run(run, config, tmp_path / "exported", merge=False)
    unfitted, dataset = override(config, ["decoding.assistant.max_epochs=2"]), read_dataset(config)
    with pytest.raises(InputError, match=r"the baseline sasrec, which is not fitted: .* is missing\. Evaluate with"):
        open_assistant(unfitted, dataset, run)
