"""What a run imports before its first training step; docs/howto/performance.md gives the reasons."""

import ast
import gc
import subprocess
import sys

import pytest

from llmrec.command import garbage_collection_paused
from tests.test_imports import at_load, imported, tree

TRAINING_PATH = "llmrec.training.run_configuration"
NEEDED = {
    "huggingface_hub",
    "hydra",
    "jinja2",
    "numpy",
    "omegaconf",
    "pyarrow",
    "pydantic",
    "pytorch_lightning",
    "rich",
    "safetensors",
    "tokenizers",
    "torch",
    "torchmetrics",
    "tqdm",
    "transformers",
    "yaml",
}
UNNEEDED = {"bitsandbytes", "fastapi", "gguf", "optuna", "pandas", "peft", "polars", "sentence_transformers", "sklearn"}
UNNEEDED |= {"submitit", "tensorboard"}
"""scipy and matplotlib are not listed: transformers and torchmetrics import them where they are installed."""


def test_a_run_imports_only_the_packages_that_it_needs() -> None:
    assert _packages(_reached(TRAINING_PATH)) <= NEEDED


@pytest.mark.slow
def test_wandb_is_imported_before_torch_and_unneeded_packages_are_not() -> None:
    program = "import sys, llmrec.run; llmrec.run._import_packages(True); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert UNNEEDED.isdisjoint(modules)
    assert modules.index("wandb.sdk.launch") < modules.index("torch") < modules.index(TRAINING_PATH)


def test_imported_objects_are_excluded_from_garbage_collection() -> None:
    before = gc.get_freeze_count()
    try:
        with garbage_collection_paused():
            assert not gc.isenabled()
            made: list[object] = []
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        assert not any(found is made for found in gc.get_objects())
    finally:
        gc.unfreeze()


def _reached(module: str) -> set[str]:
    """Returns the modules of llmrec that are loaded with a module, but for the __init__ of packages."""
    waiting, reached = [module], set[str]()
    while waiting:
        current = waiting.pop()
        if current not in reached:
            reached.add(current)
            waiting += imported(current, at_load(tree(current)))
    return reached


def _packages(modules: set[str]) -> set[str]:
    """Returns the packages, beside the standard library and llmrec, that modules import when they are loaded."""
    names = set[str]()
    for module in modules:
        for node in at_load(tree(module)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"llmrec"}
