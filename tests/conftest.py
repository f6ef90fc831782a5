"""Marks that skip, visibly, what this machine cannot run: real data, the Llama-3 tokenizer, a GPU, SLURM."""

import os
import shutil
from pathlib import Path

import pytest

FOLDERS = {name: value for name, value in os.environ.items() if name.startswith("LLMREC_")}
"""The folders that the environment names when the session starts."""
PROCESSES = ("distributed", "launcher", "cli", "serve", "tables")
"""Folders whose tests start processes; their files take longest."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves tests of pages in a browser to `make test-all`, and has long files run first.

    Otherwise a worker would be left with a long file at the end and the other with nothing to do.
    """
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
    places = {name: place for place, name in enumerate(PROCESSES)}
    items.sort(key=lambda item: places.get(item.path.parent.name, len(places)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test marked `real_data("books")`, `llama3_tokenizer`, `gpu` or `slurm` where that is absent.

    A fixture that leaves the folders of its own tests in the environment would have those of real data skip.
    """
    assert {name: value for name, value in os.environ.items() if name.startswith("LLMREC_")} == FOLDERS
    for mark in item.iter_markers("real_data"):
        for name in mark.args:
            _skip_without("LLMREC_DATA", name)
    if item.get_closest_marker("llama3_tokenizer"):
        _skip_without("LLMREC_TOKENIZERS", "llama3")
    if item.get_closest_marker("gpu"):
        _skip_without_gpu()
    if item.get_closest_marker("slurm"):
        _skip_without_slurm()


def _skip_without(variable: str, name: str) -> None:
    root = os.environ.get(variable)
    if root is None or not (Path(root) / name).is_dir():
        pytest.skip(f"needs {name}/ in the folder that {variable} names")


def _skip_without_gpu() -> None:
    # Imported here so that collecting and skipping on a machine without a GPU costs nothing else.
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")


def _skip_without_slurm() -> None:
    missing = [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (apt-get install slurmctld slurmd slurm-client munge)")
    if os.geteuid() != 0 or not os.access("/etc/hosts", os.W_OK):
        pytest.skip("needs root, who starts SLURM's daemons and names its nodes in /etc/hosts")
