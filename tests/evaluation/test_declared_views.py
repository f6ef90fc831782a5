"""The relevance and the embeddings that records are made of come from the declared models, whatever a run trains."""

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from transformers import BertConfig, BertModel, BertTokenizer

from llmrec.backbones import embeddings
from llmrec.backbones.load import build_backbone
from llmrec.backbones.scoring import log_probabilities
from llmrec.datasets.data_module import NextItemData
from llmrec.errors import InputError
from llmrec.evaluation.declared_views import TitleViews, declared_embeddings, declared_views
from llmrec.training.open_dataset import quiet_dataset
from tests.training.small import NARROW, resolved


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("declared")


def assert_unit_length(vectors: np.ndarray | None, count: int) -> None:
    assert vectors is not None
    assert vectors.dtype == np.float32
    assert len(vectors) == count
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_tiny_is_as_it_ships_at_the_runs_scale_whatever_the_run_trains(root: Path) -> None:
    shipped = resolved(root, "evaluation.relevance_model=tiny", "backbone=tiny")
    dataset = quiet_dataset(shipped)
    expected = declared_views(shipped, dataset, root / "cache", "cpu")
    assert expected.relevance is not None
    assert expected.relevance.shape == (len(dataset.items.distinct_titles),)
    assert_unit_length(expected.embeddings, len(dataset.items.distinct_titles))
    narrow = resolved(root, "evaluation.relevance_model=tiny", *NARROW, "seed=9")
    found = declared_views(narrow, dataset, root / "cache", "cpu")
    np.testing.assert_array_equal(found.relevance, expected.relevance)
    np.testing.assert_array_equal(found.embeddings, expected.embeddings)
    # One pretraining and one pass of each kind for both.
    assert [len(list((root / "cache" / kept).iterdir())) for kept in ("tiny", "relevance", "embeddings")] == [1, 1, 1]


def test_kept_embeddings_are_not_made_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolved(root, "evaluation.relevance_model=tiny")
    dataset = quiet_dataset(config)
    expected = declared_embeddings(config, dataset, root / "cache", "cpu", "tiny", None)
    monkeypatch.setattr(embeddings, "_embed", None)
    found = declared_views(config, dataset, root / "cache", "cpu").embeddings
    np.testing.assert_array_equal(found, expected)


def test_a_folder_declares_its_model(root: Path) -> None:
    config = resolved(root)
    dataset = quiet_dataset(config)
    backbone = build_backbone(config, dataset, root / "cache")
    backbone.model.save_pretrained(root / "model")
    backbone.tokenizer.save_pretrained(root / "model")
    declaring = OmegaConf.merge(config, {"evaluation": {"relevance_model": str(root / "model")}})
    found = declared_views(declaring, dataset, root / "cache", "cpu")
    data = NextItemData(dataset, backbone, config, root / "cache")
    prompt = data.prompt_tokenizer.histories([[]]).of(0)
    titles = [data.titles.of(title) for title in range(len(data.titles))]
    # It has no more positions than the run's rows have tokens.
    assert backbone.causal_lm.config.max_position_embeddings == config.backbone.max_length < 1024
    scored = log_probabilities(backbone, [prompt] * len(titles), titles, 0)
    np.testing.assert_allclose(found.relevance, [tokens.sum() for tokens in scored], rtol=1e-4)
    assert_unit_length(found.embeddings, len(titles))


def test_null_declares_nothing(root: Path) -> None:
    config = resolved(root, "evaluation.relevance_model=null")
    assert declared_views(config, quiet_dataset(config), root / "cache", "cpu") == TitleViews(None, None)


def test_a_model_that_is_not_there_is_named(root: Path) -> None:
    config = resolved(root, "evaluation.relevance_model=/absent/model")
    with pytest.raises(InputError, match=r"evaluation\.relevance_model=/absent/model: "):
        declared_views(config, quiet_dataset(config), root / "cache", "cpu")


def test_embeddings_of_no_model_are_refused(root: Path) -> None:
    config = resolved(root)
    with pytest.raises(InputError, match=r"evaluation\.relevance_model=tiny, or evaluation\.sentence_model"):
        declared_embeddings(config, quiet_dataset(config), root / "cache", "cpu", None, None)


def test_a_sentence_model_embeds_the_titles_instead(root: Path) -> None:
    folder = sentence_model(root)
    config = resolved(root, f"evaluation.sentence_model={folder}")
    dataset = quiet_dataset(config)
    views = declared_views(config, dataset, root / "cache", "cpu")
    assert views.relevance is None
    assert_unit_length(views.embeddings, len(dataset.items.distinct_titles))
    assert views.embeddings is not None
    assert views.embeddings.shape[1] == 16
    alone = declared_embeddings(config, dataset, root / "cache", "cpu", None, str(folder))
    np.testing.assert_array_equal(alone, views.embeddings)


def test_a_sentence_model_that_is_not_there_is_named(root: Path) -> None:
    pytest.importorskip("sentence_transformers")
    config = resolved(root, "evaluation.sentence_model=/absent/model")
    with pytest.raises(InputError, match=r"evaluation\.sentence_model=/absent/model cannot be opened"):
        declared_views(config, quiet_dataset(config), root / "cache", "cpu")


def sentence_model(root: Path) -> Path:
    """The folder of a random encoder over characters, pooled by the mean."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
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
