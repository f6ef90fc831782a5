"""Provenance of a result: versions, code revision and hardware."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import distributed

import llmrec
from llmrec.processes.slots import sharing_jobs

PACKAGES = (
    "torch", "transformers", "peft", "pytorch-lightning", "tokenizers", "numpy", "hydra-core", "omegaconf",
)  # fmt: skip
REVISION = "LLMREC_REVISION"


def provenance() -> dict[str, Any]:
    """Returns package versions, the code's revision (None outside a git checkout) and the hardware."""
    return {
        "versions": {
            "llmrec": llmrec.__version__,
            **{package: version(package) for package in PACKAGES},
            "python": platform.python_version(),
        },
        "revision": _revision(),
        "hardware": {
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
            "ranks": distributed.get_world_size() if distributed.is_initialized() else 1,
            "jobs_at_once": int(os.environ.get("LLMREC_JOBS", "1")),
            "jobs_per_device": sharing_jobs(),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
    }


def _revision() -> str | None:
    # A copy of the checkout without its history, as on a machine for one script, gets the revision by this variable.
    if REVISION in os.environ:
        return os.environ[REVISION]
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
