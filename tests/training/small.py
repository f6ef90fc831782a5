"""Cells so small that a test trains one in a second: a few rows, one narrow layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from llmrec.backbones.backbone import Backbone
from llmrec.compose import compose_run, shipped_config
from llmrec.decoding.open_backbone import build_backbone
from llmrec.tasks.base import build_task
from llmrec.training.open_dataset import read_dataset
from llmrec.training.run_folder import resolved_config

SMALL = (
    "scale=debug",
    "logger=csv",
    "dataset.train_samples=48",
    "trainer.accelerator=cpu",
    "trainer.batch_size=16",
    "trainer.progress=false",
    "validation.users=8",
    "evaluation.users=8",
    "dataset.reference=null",
)

NARROW = (
    "backbone.layers=1",
    "backbone.hidden_size=32",
    "backbone.intermediate_size=32",
    "backbone.heads=2",
    "backbone.vocabulary=512",
)


@contextmanager
def composed(root: Path, *overrides: str) -> Iterator[DictConfig]:
    """The config of a run whose data, cache and runs lie below `root`, with its hydra node.

    Hydra stays initialised inside the block, as it is in a run.
    """
    paths = [f"paths.{name}={root / name}" for name in ("data", "cache", "runs")]
    narrow = () if any(override.startswith("backbone=") for override in overrides) else NARROW
    with shipped_config():
        config = compose_run([*SMALL, *narrow, *paths, *overrides])
        HydraConfig.instance().set_config(config)
        yield config


def resolved(root: Path, *overrides: str) -> DictConfig:
    """The same, resolved and without the hydra node, as training and evaluation take it."""
    with composed(root, *overrides) as config:
        plain = OmegaConf.create(resolved_config(config))
    assert isinstance(plain, DictConfig)
    return plain


def opened_backbone(config: DictConfig, cache: Path) -> Backbone:
    """Opens the model that the training of a run starts from."""
    dataset = read_dataset(config)
    return build_backbone(config, dataset, build_task(config).pretraining(config, dataset), cache)
