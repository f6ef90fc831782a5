"""The lists of code in keys.py hold every module that a result depends on."""

from pathlib import Path

import pytest

from llmrec import code_hash as hashing
from llmrec.code_hash import PACKAGE, imported_files
from llmrec.training import keys
from llmrec.training.keys import (
    BASELINE_CODE,
    DIAGNOSIS_CODE,
    MEASURING_CODE,
    RANKING_CODE,
    REFERENCE_CODE,
    TRAINING_CODE,
    training_key,
)
from llmrec.training.run_folder import resolved_config, run_source
from tests.training.small import composed

NO_RESULT = {
    "training/run_folder.py": "names and locks folders",
    "training/cluster.py": "starts ranks, which compute the same as one process",
    "training/curves.py": "writes what was logged",
    "training/evaluate_run.py": "has tasks rank and measure, and writes what they return",
    "training/keys.py": "makes keys",
    "training/loggers.py": "writes what was logged",
    "training/measure_again.py": "has tasks measure",
    "training/open_run.py": "opens what is checked to be the run's",
    "training/open_dataset.py": "opens what llmrec/datasets makes and prints about it",
    "training/overrides.py": "reads the command line",
    "training/plan.py": "plans what is missing",
    "training/provenance.py": "describes the machine",
    "training/quiet.py": "silences libraries",
    "training/rank.py": "starts a rank",
    "training/ranks.py": "starts ranks, which compute the same as one process",
    "training/run_configuration.py": "decides what is missing and has it done",
    "training/recommending.py": "prints recommendations, of which nothing is kept",
    "training/stages.py": "finds stages, whose own keys are part of the run's",
    "training/work.py": "calls training and evaluation",
}
"""Modules of llmrec/training that change no figure, with the reason."""
NOT_TRAINING = {
    "baselines": "opens the oracle, whose own key is part of the run's; the objective imports what it asks of it",
    "evaluation": "only types of reference features, unless the objective embeds titles",
    "metrics": "only types",
    "tasks/base.py": "the interface; what validates is listed",
    "training/open_run.py": "only hashes of the catalogue and the tokenizer",
}
NOT_FITTING = {
    "catalogue": "only the hash of the titles, for the record",
    "training/checkpoints.py": "only the name of a folder",
}
NOT_RANKING = {
    "baselines": "the key of a baseline's fit covers its code",
    "evaluation": "only types of reference features",
    "metrics": "only types",
    "objectives": "only types of batches",
    "tasks/base.py": "the interface",
}
NOT_MEASURING = {
    **NOT_RANKING,
    "backbones": "makes rankings and reference features, which have keys of their own",
    "catalogue": "as backbones",
    "datasets": "the rows and titles of the dataset, by whose hash the run's folder is named",
    "decoding": "makes rankings",
    "examples": "makes prompts",
    "prompts": "makes prompts",
    "tasks/catalogue_ranker.py": "makes rankings",
    "tasks/catalogue_rankings.py": "makes rankings",
    "tasks/list_ranker.py": "makes rankings",
    "tasks/list_rankings.py": "makes rankings",
}
NOT_DIAGNOSIS = {
    **NOT_RANKING,
    "diagnosis/plot.py": "draws",
    "diagnosis/table.py": "prints",
    "training/checkpoints.py": "training",
    "training/open_run.py": "opens what is checked to be the run's",
}


@pytest.mark.parametrize(
    ("module", "listed", "reasons"),
    [
        ("llmrec.training.train", (*TRAINING_CODE, *REFERENCE_CODE), NOT_TRAINING),
        ("llmrec.training.fit_baseline", BASELINE_CODE, NOT_FITTING),
        ("llmrec.tasks.catalogue_ranker", RANKING_CODE, NOT_RANKING),
        ("llmrec.tasks.catalogue_rankings", RANKING_CODE, NOT_RANKING),
        ("llmrec.tasks.list_ranker", RANKING_CODE, NOT_RANKING),
        ("llmrec.tasks.list_rankings", RANKING_CODE, NOT_RANKING),
        ("llmrec.tasks.catalogue_record", MEASURING_CODE, NOT_MEASURING),
        ("llmrec.tasks.list_record", MEASURING_CODE, NOT_MEASURING),
        ("llmrec.metrics.shipped", MEASURING_CODE, NOT_MEASURING),
        ("llmrec.diagnosis.diagnose_run", DIAGNOSIS_CODE, NOT_DIAGNOSIS),
    ],
)
def test_every_module_that_is_imported_is_listed_or_has_a_reason(
    module: str, listed: tuple[str, ...], reasons: dict[str, str]
) -> None:
    covered = files_of((*listed, *NO_RESULT, *reasons))
    missing = {str(file.relative_to(PACKAGE)) for file in imported_files(module) - covered if has_code(file)}
    assert not missing, f"add to a list in keys.py, or here with the reason why it changes no result: {missing}"


def test_every_module_of_training_is_listed_or_has_a_reason() -> None:
    covered = files_of((*TRAINING_CODE, *BASELINE_CODE, *RANKING_CODE, *MEASURING_CODE, *DIAGNOSIS_CODE, *NO_RESULT))
    assert not {file.name for file in (PACKAGE / "training").glob("*.py") if has_code(file)} - {f.name for f in covered}


@pytest.mark.parametrize(
    "places", [TRAINING_CODE, BASELINE_CODE, RANKING_CODE, MEASURING_CODE, DIAGNOSIS_CODE, NO_RESULT]
)
def test_every_listed_place_exists(places: tuple[str, ...]) -> None:
    assert [place for place in places if not (PACKAGE / place).exists()] == []


def test_the_clipping_of_gradients_makes_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with composed(tmp_path) as config:
        settings, source = resolved_config(config), run_source(config)
    before = training_key(settings, source, {})
    read = hashing._read
    clipped = lambda file: hashing._Code("changed", ()) if file.name == "sharded.py" else read(file)  # noqa: E731
    monkeypatch.setattr(hashing, "_read", clipped)
    assert training_key(settings, source, {}) != before
    assert "training/sharded.py" in keys.TRAINING_CODE


def files_of(places: tuple[str, ...]) -> set[Path]:
    """The files of a list of places."""
    return {file for place in places for file in hashing._files(PACKAGE / place)}


def has_code(file: Path) -> bool:
    """Whether a file holds more than a docstring."""
    return file.name != "__init__.py" or len(file.read_text(encoding="utf-8").splitlines()) > 1
