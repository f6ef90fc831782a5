"""The relevance that fairness bins are made of comes from the declared model, whatever a run trains."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from llmrec.backbones.load import build_backbone
from llmrec.backbones.scoring import log_probabilities
from llmrec.datasets.data_module import NextItemData
from llmrec.errors import InputError
from llmrec.evaluation.declared_relevance import declared_relevance
from llmrec.training.run_cell import quiet_dataset
from tests.training.small import NARROW, resolved


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("declared")


def test_tiny_is_as_it_ships_at_the_runs_scale_whatever_the_run_trains(root: Path) -> None:
    shipped = resolved(root, "evaluation.relevance_model=tiny", "backbone=tiny")
    dataset = quiet_dataset(shipped)
    expected = declared_relevance(shipped, dataset, root / "cache", "cpu")
    assert expected is not None
    assert expected.shape == (len(dataset.items.distinct_titles),)
    narrow = resolved(root, "evaluation.relevance_model=tiny", *NARROW, "seed=9")
    assert (declared_relevance(narrow, dataset, root / "cache", "cpu") == expected).all()
    # One pretraining and one pass for both.
    assert [len(list((root / "cache" / kept).iterdir())) for kept in ("tiny", "relevance")] == [1, 1]


def test_a_folder_declares_its_model(root: Path) -> None:
    config = resolved(root)
    dataset = quiet_dataset(config)
    backbone = build_backbone(config, dataset, root / "cache")
    backbone.model.save_pretrained(root / "model")
    backbone.tokenizer.save_pretrained(root / "model")
    found = declared_relevance(
        OmegaConf.merge(config, {"evaluation": {"relevance_model": str(root / "model")}}),
        dataset,
        root / "cache",
        "cpu",
    )
    data = NextItemData(dataset, backbone, config, root / "cache")
    prompt = data.prompt_tokenizer.histories([[]]).of(0)
    titles = [data.titles.of(title) for title in range(len(data.titles))]
    scored = log_probabilities(backbone, [prompt] * len(titles), titles, 0)
    np.testing.assert_allclose(found, [tokens.sum() for tokens in scored], rtol=1e-4)


def test_null_declares_nothing(root: Path) -> None:
    config = resolved(root, "evaluation.relevance_model=null")
    assert declared_relevance(config, quiet_dataset(config), root / "cache", "cpu") is None


def test_a_model_that_is_not_there_is_named(root: Path) -> None:
    config = resolved(root, "evaluation.relevance_model=/absent/model")
    with pytest.raises(InputError, match=r"evaluation\.relevance_model=/absent/model: "):
        declared_relevance(config, quiet_dataset(config), root / "cache", "cpu")
