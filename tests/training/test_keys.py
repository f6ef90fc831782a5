"""What makes two trainings the same run, and what does not."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from llmrec import identity
from llmrec.errors import InputError
from llmrec.evaluation import reference_model
from llmrec.evaluation.reference_model import reference_prompt
from llmrec.identity import diagnosis_key
from llmrec.training.run_folder import RunFolder, measuring_key_of, run_path
from llmrec.training.stages import stage_configs
from tests.code_changes import rewrite, users_package
from tests.datasets.layouts import write_generic
from tests.training.small import composed, resolved

TINY, FOLDER, ENCODER = (
    f"dataset.reference={{relevance: {relevance}, encoder: {encoder}}}"
    for relevance, encoder in (("tiny", "null"), ("a/folder", "null"), ("null", "an/encoder"))
)
OBJECTIVE = '"""What it is."""\n\n\nclass Mine:\n    """A class."""\n\n    weight = 1.0  # as published\n'


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without any data, so that sets are simulated."""
    return tmp_path_factory.mktemp("nowhere")


@pytest.fixture(scope="module")
def run(nowhere: Path) -> str:
    """The path of the run without any overrides."""
    return path_of(nowhere)


@pytest.fixture(scope="module")
def evaluation(nowhere: Path) -> str:
    """The key of the evaluation without any overrides."""
    return evaluation_of(nowhere)


@pytest.mark.parametrize(
    "override",
    [
        "dataset/reader=generic",
        "logger=wandb",
        "logger.project=other",
        "decoding=vocab",
        "decoding.beams=3",
        "evaluation.users=null",
        "trainer.devices=2",
        "trainer.accelerator=gpu",
        "trainer.strategy=ddp",
        "trainer.progress=true",
        "trainer.checkpoint_minutes=null",
        "trainer.checkpoint_steps=5",
        "paths.runs=elsewhere",
        "paths.cache=elsewhere",
    ],
)
def test_what_leaves_the_weights_alone_leaves_the_run_alone(override: str, run: str, nowhere: Path) -> None:
    assert path_of(nowhere, override) == run


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "objective.temperature=2",
        "objective.eta=0.3",
        "objective=sft",
        "stage=sft",
        "trainer.epochs=3",
        "trainer.learning_rate=1e-5",
        "validation.users=9",
        "backbone.hidden_size=64",
        "adapter=lora",
        "dataset.train_samples=47",
        "dataset.simulator.seed=9",
        "dataset=office",
        "prompt=plain",
        "prompt.next_item='{{ history[0].title }}.'",
    ],
)
def test_what_moves_the_weights_makes_another_run(override: str, run: str, nowhere: Path) -> None:
    assert path_of(nowhere, override).rpartition("/")[2] != run.rpartition("/")[2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("trainer.weight_decay=0", "trainer.weight_decay=0.0"),
        ("trainer.clip=1", "trainer.clip=1.0"),
        ("seed=42", "seed=42.0"),
        ("objective.bounds=[1.5,5]", "objective.bounds=[1.5,5.0]"),
        ("trainer.learning_rate=1e-3", "trainer.learning_rate=0.001"),
    ],
)
def test_a_number_is_one_setting_however_it_is_written(one: str, other: str, nowhere: Path) -> None:
    assert path_of(nowhere, one) == path_of(nowhere, other)


def test_a_local_base_model_is_known_by_its_content(nowhere: Path, tmp_path: Path) -> None:
    def path(folder: Path, end: str = "") -> str:
        return path_of(nowhere, "backbone=hf", f"backbone.path={folder}{end}", "backbone.max_length=99")

    for name in ("one", "copy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    before = path(tmp_path / "one")
    assert path(tmp_path / "one", "/") == path(tmp_path / "copy") == before
    (tmp_path / "one" / "config.json").write_text("{ }")
    assert path(tmp_path / "one") != before


def test_a_base_model_in_a_package_is_known_by_the_content_of_its_file(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ("backbone=smollm2-135m-instruct-q4_1", "adapter=lora", "backbone.gguf_file=a.gguf")
    monkeypatch.setattr(identity, "installed_folder", lambda package: tmp_path)
    paths = []
    for content in ("one", "one", "other"):
        (tmp_path / "a.gguf").write_text(content)
        paths.append(path_of(nowhere, *overrides))
    assert paths[0] == paths[1] != paths[2]


def test_a_reference_model_in_a_folder_is_known_by_its_content(nowhere: Path, tmp_path: Path) -> None:
    semantic = ("objective=rosepo", "objective/rejected=semantic")
    encoder = f"dataset.reference={{relevance: null, encoder: {tmp_path}}}"
    named = (*semantic, f"objective.rejected.embeddings={tmp_path}")
    found = []
    for content in ("one", "one", "other"):
        (tmp_path / "model.safetensors").write_text(content)
        keys = (path_of(nowhere, *semantic, encoder), path_of(nowhere, *named), measures_of(nowhere, encoder))
        found.append(keys)
    assert found[0] == found[1]
    assert all(before != after for before, after in zip(found[1], found[2], strict=True))


@pytest.mark.parametrize("target", ["Outer.Mine", "Mine"])
def test_a_nested_class_is_found_by_its_module(
    target: str, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = users_package(tmp_path, monkeypatch, "SCALE = 1")
    before = path_of(nowhere, f"objective._target_=mine.objective.{target}")
    rewrite(package / "objective.py", "SCALE = 2\n")
    assert path_of(nowhere, f"objective._target_=mine.objective.{target}") != before


def test_settings_of_the_stage_make_another_run(tmp_path: Path) -> None:
    stages = (f'stage.start=["objective=sft","seed={seed}"]' for seed in (1, 2))
    one, other = (path_of(tmp_path, "stage=sft", stage) for stage in stages)
    assert one != other


def test_content_of_the_data_makes_another_run(tmp_path: Path) -> None:
    folder = write_generic(tmp_path / "data" / "games")
    before = path_of(tmp_path)
    with open(folder / "interactions.csv", "a") as file:
        file.write("u1,i1,99999999,5\n")
    assert path_of(tmp_path) != before


def test_the_content_of_the_file_of_item_tokens_makes_another_run_and_its_path_does_not(
    run: str, nowhere: Path, tmp_path: Path
) -> None:
    paths = []
    for name, content in (("one", "{}"), ("same", "{}"), ("other", "{ }")):
        (tmp_path / name).write_text(content)
        paths.append(path_of(nowhere, "items=tokens", f"items.file={tmp_path / name}"))
    one, same, other = paths
    assert one == same
    assert len({run, one, other}) == 3
    with pytest.raises(InputError, match=r"items=tokens needs a file"):
        path_of(nowhere, "items=tokens")


def test_path_names_dataset_task_backbone_with_adapter_and_objective(tmp_path: Path) -> None:
    path = path_of(tmp_path, "adapter=lora")
    assert path.startswith("games-sim/next_item/tiny-lora/msl/")


def test_real_data_is_not_called_simulated(tmp_path: Path) -> None:
    write_generic(tmp_path / "data" / "games")
    assert path_of(tmp_path).startswith("games/")


@pytest.mark.parametrize(
    "override", ["decoding.scores=vocab", "decoding.beams=3", "decoding.exclude_history=true", "evaluation.users=3"]
)
def test_decoding_or_measuring_otherwise_makes_another_evaluation(
    override: str, evaluation: str, nowhere: Path
) -> None:
    assert evaluation_of(nowhere, override) != evaluation


@pytest.mark.parametrize("override", ["seed=1", "objective=sft", "trainer.epochs=3", "logger=wandb"])
def test_training_leaves_the_key_of_the_ranking_alone(override: str, evaluation: str, nowhere: Path) -> None:
    assert evaluation_of(nowhere, override) == evaluation


def test_another_reference_model_makes_other_metrics_of_the_same_rankings(evaluation: str, nowhere: Path) -> None:
    default, tiny, folder, encoder = (
        measures_of(nowhere, *reference) for reference in ((), (TINY,), (FOLDER,), (ENCODER,))
    )
    # The reference model is sized by the scale, which is no setting of the evaluation itself.
    sized = measures_of(nowhere, TINY, "scale=cpu", "evaluation.users=8")
    assert len({default, tiny, folder, encoder, sized}) == 5
    # The set is simulated.
    assert measures_of(nowhere, "dataset.reference={relevance: auto, encoder: auto}") == tiny
    # Nothing is ranked again.
    assert evaluation_of(nowhere, TINY) == evaluation_of(nowhere, ENCODER) == evaluation


def test_a_package_that_is_installed_later_makes_other_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_generic(tmp_path / "data" / "games")
    auto = "dataset.reference={relevance: auto, encoder: auto}"
    monkeypatch.setattr(reference_model, "installed_folder", lambda package: None)
    without, null = measures_of(tmp_path, auto), measures_of(tmp_path, "dataset.reference=null")
    monkeypatch.setattr(reference_model, "installed_folder", lambda package: tmp_path)
    assert without == null != measures_of(tmp_path, auto)


def test_the_reference_model_makes_another_run_only_where_it_is_trained_with(nowhere: Path) -> None:
    for ranker in (["objective=msl"], ["objective=rosepo", "objective/rejected=uniform"], ["baseline=sasrec"]):
        assert path_of(nowhere, *ranker, TINY) == path_of(nowhere, *ranker, FOLDER) == path_of(nowhere, *ranker)
    for rejected in ("semantic", "mixture"):
        ranker = ["objective=rosepo", f"objective/rejected={rejected}"]
        runs = {path_of(nowhere, *ranker, reference) for reference in (TINY, FOLDER, ENCODER)}
        assert len(runs) == 3
        # Relevance does not embed titles where an encoder does.
        relevant = ENCODER.replace("relevance: null", "relevance: tiny")
        assert path_of(nowhere, *ranker, relevant) == path_of(nowhere, *ranker, ENCODER)
    own = ["objective=rosepo", "objective/rejected=semantic", "objective.rejected.embeddings=an/encoder"]
    assert path_of(nowhere, *own, TINY) == path_of(nowhere, *own, FOLDER)


def test_the_prompt_of_a_later_task_makes_other_runs_of_this_task_only(nowhere: Path, run: str) -> None:
    prompt = "prompt.candidates='{{ item }}'"
    assert path_of(nowhere, prompt) == run
    assert reference_prompt().keys() == {"name", "chat_template", "next_item", "rerank"}
    candidates = ("task=candidates", "objective=sft")
    assert path_of(nowhere, *candidates, prompt) != path_of(nowhere, *candidates)


@pytest.mark.parametrize("ranker", ["objective=alro", "baseline=random"])
def test_other_lists_make_another_run_and_other_rankings_another_evaluation(ranker: str, nowhere: Path) -> None:
    arguments = (ranker, "task=rerank")
    run, evaluation = path_of(nowhere, *arguments), evaluation_of(nowhere, *arguments)
    for override in ("task.candidates=5", "task.seed=1"):
        assert path_of(nowhere, *arguments, override) != run
    assert path_of(nowhere, *arguments, "decoding.bootstrap=5") == run
    assert evaluation_of(nowhere, *arguments, "decoding.bootstrap=5") != evaluation


@pytest.mark.parametrize(
    "override",
    [
        "evaluation.orders=3",
        "evaluation.unconstrained=true",
        "+metrics.own={_target_: llmrec.metrics.accuracy.ByTitle}",
    ],
)
def test_more_rankings_and_metrics_leave_the_ranking_alone(override: str, nowhere: Path) -> None:
    arguments = ("objective=alro", "task=rerank")
    assert path_of(nowhere, *arguments, override) == path_of(nowhere, *arguments)
    assert evaluation_of(nowhere, *arguments, override) == evaluation_of(nowhere, *arguments)
    assert measures_of(nowhere, *arguments, override) != measures_of(nowhere, *arguments)


@pytest.mark.parametrize("lists", [(), ("task.candidates=5",)])
def test_a_stage_has_the_lists_of_its_run(lists: tuple[str, ...], nowhere: Path) -> None:
    with composed(nowhere, "objective=alro", "stage=sft", *lists) as config:
        stage = run_path(stage_configs(config)["start"])
    assert stage == path_of(nowhere, "objective=sft", "task=rerank", *lists)


def test_rows_and_decoding_make_another_diagnosis(nowhere: Path) -> None:
    plain = {override: settings(nowhere, *override) for override in ((), ("decoding=vocab",), ("seed=3",))}
    sample = {"users": 5, "seed": 0, "split": "valid"}
    first = diagnosis_key(plain[()], sample)
    assert diagnosis_key(plain["seed=3",], sample) == first
    assert diagnosis_key(plain["decoding=vocab",], sample) != first
    assert diagnosis_key(plain[()], sample | {"split": "test"}) != first


def test_code_of_a_users_objective_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "my_objective.py"
    file.write_text(OBJECTIVE)
    before = path_of(tmp_path, "objective._target_=my_objective.Mine")
    rewrite(file, OBJECTIVE.replace("1.0", "2.0"))
    assert path_of(tmp_path, "objective._target_=my_objective.Mine") != before


@pytest.mark.parametrize("target", ["objective", "baseline", "objective.nested", "objective.several"])
def test_code_of_a_users_helper_counts_wherever_the_target_stands(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = users_package(tmp_path, monkeypatch, "from mine.helper import SCALE")
    named = "{_target_: mine.objective.Mine}"
    overrides = {
        "objective": ["objective._target_=mine.objective.Mine"],
        "baseline": ["baseline=popularity", "baseline._target_=mine.objective.Mine"],
        "objective.nested": [f"+objective.nested={named}"],
        "objective.several": [f"+objective.several=[1,{named}]"],
    }[target]
    before = path_of(tmp_path, *overrides)
    rewrite(package / "helper.py", "SCALE = 3\n")
    assert path_of(tmp_path, *overrides) != before


def test_objective_of_an_absent_module_is_refused_by_its_name(nowhere: Path) -> None:
    with pytest.raises(InputError, match=r"no module 'nobody\.knows'.*PYTHONPATH"):
        path_of(nowhere, "objective._target_=nobody.knows.Mine")


def path_of(root: Path, *overrides: str) -> str:
    """The path of a run with overrides."""
    with composed(root, *overrides) as config:
        return run_path(config)


def evaluation_of(root: Path, *overrides: str) -> str:
    """The key of the evaluation of a run with overrides."""
    return RunFolder(root).ranking(resolved(root, *overrides)).name


def measures_of(root: Path, *overrides: str) -> str:
    """The key of the metrics of a run with overrides."""
    return measuring_key_of(resolved(root, *overrides))


def settings(root: Path, *overrides: str) -> dict[str, Any]:
    """The config of a run with overrides, as plain containers."""
    return OmegaConf.to_container(resolved(root, *overrides))  # type: ignore[return-value]
