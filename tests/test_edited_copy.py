"""Edits in a copy of llmrec: which keys they change. Each copy computes its keys in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llmrec.code_hash import PACKAGE
from llmrec.training.run_folder import resolved_config
from tests.datasets.layouts import write_generic
from tests.training.small import composed

Keys = dict[str, str]
PRINT_KEYS = """
import json, sys
from pathlib import Path
from llmrec.components import PACKAGE
from llmrec.datasets.source import locate
from llmrec.identity import measuring_key, ranking_key, training_key

config = json.load(sys.stdin)
assert PACKAGE == Path.cwd() / "llmrec"
source = locate(config["dataset"], Path(config["paths"]["data"]), Path(config["paths"]["cache"]))
print(json.dumps({
    "data": source.content_hash,
    "training": training_key(config, source.content_hash, source.simulated, {}),
    "ranking": ranking_key(config, simulated=True),
    "measuring": measuring_key(config, source.simulated),
}))
"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Keys]:
    """Computes the keys of a small run on a set of the generic layout, by the code in a folder."""
    root = tmp_path_factory.mktemp("run")
    write_generic(root / "data" / "games")
    with composed(root) as config:
        settings = json.dumps(resolved_config(config))

    def keys_by(folder: Path) -> Keys:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        command = [sys.executable, "-c", PRINT_KEYS]
        printed = subprocess.run(
            command, input=settings, cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
        return dict(json.loads(printed.stdout))

    return keys_by


@pytest.fixture(scope="module")
def before(keys: Callable[[Path], Keys], tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """The keys by an unchanged copy."""
    return keys(copied(tmp_path_factory.mktemp("unchanged")))


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        pytest.param(
            "training/sharded.py", "norm_(part, max_norm, norm)", "norm_(part, 100 * max_norm, norm)", {"training"},
            id="clipping times 100",
        ),
        pytest.param(
            "training/module.py", "optimizer.step()\n", "[optimizer.step() for _ in range(2)]\n", {"training"},
            id="AdamW steps twice",
        ),
        pytest.param(
            "datasets/readers/from_tables.py", 'read["title"].to_list()', 'read["title"].str.to_uppercase().to_list()',
            {"data", "training"}, id="titles in upper case",
        ),
        pytest.param(
            "prompts/template.py", "self._compiled.render(values)", 'self._compiled.render(values) + " "',
            {"training", "ranking", "measuring"}, id="one more space in prompts",
        ),
        pytest.param(
            "objectives/msl.py",
            "self.tau.to(valid.logits.dtype)",
            "1.01 * self.tau.to(valid.logits.dtype)",
            {"training"},
            id="temperature off by 1 %",
        ),
        pytest.param("evaluation/significance.py", "2.5, 97.5", "5, 95", {"measuring"}, id="another interval"),
        pytest.param(
            "tasks/catalogue_tables.py", '"fairness and harm"', '"harm and fairness"', set(), id="another heading"
        ),
        pytest.param(
            "tasks/next_item.py", "config.validation.sample_seed", "config.validation.sample_seed + 1",
            {"training", "ranking"}, id="another sample of validation rows",
        ),
        pytest.param("objectives/sft.py", "class ", "# A comment.\nclass ", set(), id="a comment"),
    ],
)  # fmt: skip
def test_an_edit_changes_the_keys_of_what_it_affects(
    file: str, old: str, new: str, changed: set[str], keys: Callable[[Path], Keys], before: Keys, tmp_path: Path
) -> None:
    folder = copied(tmp_path)
    source = (folder / "llmrec" / file).read_text(encoding="utf-8")
    assert old in source
    (folder / "llmrec" / file).write_text(source.replace(old, new), encoding="utf-8")
    after = keys(folder)
    assert {step for step in before if after[step] != before[step]} == changed


def test_a_new_file_that_nothing_imports_changes_no_key(
    keys: Callable[[Path], Keys], before: Keys, tmp_path: Path
) -> None:
    folder = copied(tmp_path)
    (folder / "llmrec" / "datasets" / "unused.py").write_text("x = 1\n")
    assert keys(folder) == before


def copied(root: Path) -> Path:
    """Copies the package and conf/ as they lie in a checkout."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, root / "llmrec", ignore=ignored)
    shutil.copytree(PACKAGE.parent / "conf", root / "conf", ignore=ignored)
    return root
