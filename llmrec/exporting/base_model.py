"""Names the base model of an exported adapter, and tells what has to be given where it lies elsewhere."""

from pathlib import Path

from omegaconf import DictConfig

from llmrec.backbones.saved_files import local_folder


def base_model(config: DictConfig) -> str:
    """Returns the base model of an adapter: its hub name, or the absolute path of its folder."""
    folder = local_folder(str(config.backbone.path))
    return str(config.backbone.path) if folder is None else str(folder.resolve())


def local_base_note(config: DictConfig, exported: str) -> str | None:
    """Returns a line on the base model of an exported adapter, if it is a local folder; None for a hub name.

    Args:
        config: The run's config.
        exported: The exported folder, as the line names it.
    """
    base = Path(base_model(config))
    if not base.is_absolute():
        return None
    return (
        f"The adapter needs its base model, the local folder {base.name}, which is not exported. If that lies "
        f'elsewhere, give its path: llmrec.open("{exported}", ["backbone.path=BASE"]), or with transformers '
        f'AutoModelForCausalLM.from_pretrained("BASE").load_adapter("{exported}").'
    )
