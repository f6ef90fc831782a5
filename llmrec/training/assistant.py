"""The assistant of a decoder: a baseline of a run of its own, which a ranking needs and a training does not."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from llmrec.baselines.base import Baseline
from llmrec.baselines.open import open_baseline
from llmrec.conf_dir import conf_dir
from llmrec.datasets.dataset import Dataset
from llmrec.decoding.decoder import assistant_settings
from llmrec.errors import InputError
from llmrec.identity import training_key
from llmrec.plain import plain
from llmrec.training.exported import is_exported
from llmrec.training.run_folder import RunFolder, is_baseline, run_source


def assistant_config(config: DictConfig) -> DictConfig | None:
    """Returns the config of the run that fits the assistant of a run's decoder; None if it has none.

    It is the config of the run with the baseline of `decoding.assistant`, and with the default decoding.

    Args:
        config: The resolved run config.
    """
    settings = plain(config)
    assistant = assistant_settings(settings["decoding"])
    if assistant is None or is_baseline(config):
        return None
    decoding = OmegaConf.load(Path(conf_dir()) / "decoding" / "trie.yaml")
    return OmegaConf.create(settings | {"baseline": assistant, "decoding": plain(decoding)})


def assistant_run(config: DictConfig) -> RunFolder:
    """Returns the folder of the run that `assistant_config` describes, which is that of `baseline=<its name>`."""
    source = run_source(config)
    key = training_key(plain(config), source.content_hash, source.simulated, {})
    names = [source.name, config.task.name, "baseline", config.baseline.name]
    return RunFolder(Path(config.paths.runs).joinpath(*names, key))


def open_assistant(config: DictConfig, dataset: Dataset, run: RunFolder) -> Baseline:
    """Opens the fitted assistant of a run's decoder.

    Args:
        config: The resolved run config, which has an assistant.
        dataset: The run's dataset.
        run: The run.

    Raises:
        InputError: The assistant is not fitted, or belongs to other data; or the run is an exported one, without data.
    """
    fitted = assistant_config(config)
    assert fitted is not None
    if is_exported(run):
        raise InputError(
            f"{run.folder} is exported, and an export has no assistant of a decoder (decoding.assistant). Add "
            "decoding=trie"
        )
    folder = assistant_run(fitted)
    if not folder.trained:
        raise InputError(
            f"the decoding uses the baseline {fitted.baseline.name}, which is not fitted: {folder.folder} is missing. "
            f"Evaluate with this decoding first (python -m llmrec.evaluate run={run.folder} decoding=...), or add "
            "decoding=trie"
        )
    folder.check_trained_on(dataset)
    return open_baseline(folder.folder, fitted.baseline, dataset)
