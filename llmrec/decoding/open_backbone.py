"""Opens the backbone of a run, checked for training and for decoding."""

from pathlib import Path

from omegaconf import DictConfig

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.load import WEIGHTS, open_backbone
from llmrec.datasets.dataset import Dataset
from llmrec.decoding.probe import check_decoding
from llmrec.prompts.pretraining import PretrainingTexts


def build_backbone(
    config: DictConfig, dataset: Dataset, texts: PretrainingTexts, cache_dir: Path, start: Path | None = None
) -> Backbone:
    """Opens the backbone that training starts from, on the run's device.

    Args:
        config: The resolved run config (groups backbone, adapter, task and trainer).
        dataset: The dataset, whose items may add tokens.
        texts: The texts on which `tiny` is pretrained.
        cache_dir: llmrec's cache folder.
        start: The folder of a run whose trained weights to continue from; None for the base model with a fresh adapter.

    Raises:
        InputError: If the model or the weights cannot be opened or do not fit the config.
    """
    weights = None if start is None else start / WEIGHTS
    return open_backbone(config, dataset, texts, cache_dir, weights, trainable=True, check=check_decoding)


def trained_backbone(
    config: DictConfig, dataset: Dataset, texts: PretrainingTexts, cache_dir: Path, folder: Path
) -> Backbone:
    """Opens the backbone with the trained weights of a run, on the run's device.

    Args:
        config: The resolved run config (groups backbone, adapter, task and trainer).
        dataset: The dataset, whose items may add tokens.
        texts: The texts on which `tiny` is pretrained.
        cache_dir: llmrec's cache folder.
        folder: Folder of the run.

    Raises:
        InputError: If the model or the weights cannot be opened or do not fit the config.
    """
    return open_backbone(config, dataset, texts, cache_dir, folder / WEIGHTS, trainable=False, check=check_decoding)
