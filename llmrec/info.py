"""Shows versions, devices, data and caches, and empties the cache: python -m llmrec.info."""

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import llmrec
from llmrec.command import run_command
from llmrec.conf_dir import conf_dir
from llmrec.errors import InputError

HELP = """\
Shows versions, devices, the data and tokenizers that are found, and caches.

  llmrec info
  llmrec info --clean    # empties llmrec's cache; runs and data stay

The cache, $LLMREC_CACHE or ./.cache/llmrec, can be computed again. Do not empty
it while a run is at work.
"""
PACKAGES = ("torch", "transformers", "tokenizers", "peft", "pytorch-lightning", "hydra-core", "numpy", "pyarrow")
OPTIONAL = {"polars": "prepare", "sentence-transformers": "sentence", "gguf": "gguf", "optuna": "search"}
"""Packages of extras, with the extra that installs them."""
CACHES = {
    "catalogue": "tokenized titles", "checked": "models that passed the checks",
    "checksums": "checksums of cached files", "datasets": "prepared datasets",
    "gguf": "converted GGUF models", "hashes": "hashes of data files", "lists": "candidate lists",
    "plans.json": "plans of tables", "prompts": "tokenized prompts", "records": "unpacked records",
    "reference": "log-probabilities of reference models", "reference_features": "features of titles, for metrics",
    "relevance": "relevance of tokens", "self_hard": "rejected titles", "tiny": "base models of backbone=tiny",
}  # fmt: skip
"""What each entry of the cache holds. Nothing else is removed: LLMREC_CACHE may name a folder with other files."""


def main() -> None:
    """Entry point of `llmrec info` and `python -m llmrec.info`."""
    run_command(HELP, _info, needs_arguments=False)


def _info(arguments: list[str]) -> None:
    if arguments == ["--clean"]:
        _clean(_cache())
    elif arguments:
        raise InputError(f"{arguments[0]}: info takes only --clean (try --help)")
    else:
        for heading, lines in (
            ("versions", _versions()),
            ("devices", _devices()),
            ("data", _data()),
            ("tokenizers", _tokenizers()),
            ("cache", _caches(_cache())),
        ):
            print(heading, *(f"  {line}" for line in lines), sep="\n")


def _versions() -> Iterator[str]:
    yield f"{'llmrec':<22} {llmrec.__version__}"
    yield f"{'python':<22} {platform.python_version()}"
    for package in (*PACKAGES, *OPTIONAL):
        try:
            yield f"{package:<22} {version(package)}"
        except PackageNotFoundError:
            yield f"{package:<22} not installed (pip install 'llmrec[{OPTIONAL.get(package, 'dev')}]')"


def _devices() -> Iterator[str]:
    import torch

    yield f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} threads, {platform.machine()}"
    if not torch.cuda.is_available():
        yield "no GPU"
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        yield f"GPU {number}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def _data() -> Iterator[str]:
    root = Path(os.environ.get("LLMREC_DATA", "data"))
    yield _root("LLMREC_DATA", root)
    for file in sorted((Path(conf_dir()) / "dataset").glob("*.yaml")):
        found = (root / file.stem).is_dir()
        yield f"dataset={file.stem:<15} {'real' if found else f'simulated ({root / file.stem} is absent)'}"


def _tokenizers() -> Iterator[str]:
    root = Path(os.environ.get("LLMREC_TOKENIZERS", "tokenizers"))
    yield _root("LLMREC_TOKENIZERS", root)
    yield from sorted(folder.name for folder in root.glob("*") if folder.is_dir())


def _caches(folder: Path) -> Iterator[str]:
    yield _root("LLMREC_CACHE", folder)
    entries = _entries(folder)
    for entry in entries:
        yield f"{entry.name:<22} {_megabytes(_size(entry)):>12}  {CACHES[entry.name]}"
    yield f"{'total':<22} {_megabytes(sum(map(_size, entries))):>12}"


def _root(variable: str, folder: Path) -> str:
    source = f"${variable}" if variable in os.environ else f"{variable} is not set"
    return f"{folder} ({source}{'' if folder.is_dir() else '; there is no such folder'})"


def _cache() -> Path:
    return Path(os.environ.get("LLMREC_CACHE", ".cache/llmrec"))


def _entries(folder: Path) -> list[Path]:
    """Returns the entries of a cache folder that llmrec writes."""
    return [folder / name for name in CACHES if (folder / name).exists()]


def _clean(folder: Path) -> None:
    entries = _entries(folder)
    if not entries:
        print(f"{folder}: nothing to remove")
    total = 0
    for entry in entries:
        size = _size(entry)
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
        total += size
        print(f"removed {entry} ({_megabytes(size)})")
    if entries:
        print(f"{_megabytes(total)} freed")


def _size(path: Path) -> int:
    """Returns the size of a file, or of all files in a folder, in bytes; a link counts for itself."""
    try:
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
        return sum(_size(entry) for entry in path.iterdir())
    except FileNotFoundError:
        return 0  # Another process has removed it meanwhile.


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


if __name__ == "__main__":
    main()
