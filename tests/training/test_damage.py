"""Every stored file that is damaged is named with a remedy (results), or made anew with equal content (cache)."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.torch import load_file

from llmrec.errors import InputError
from llmrec.evaluation.record import read_metrics
from llmrec.tables.runs import Run
from llmrec.training.checkpoint_io import AtomicCheckpointIO
from llmrec.training.checkpoints import last_checkpoint
from llmrec.training.measure_again import measure_again
from llmrec.training.run_configuration import evaluate_again, run_configuration
from llmrec.training.run_folder import RunFolder
from tests.damage import DAMAGES
from tests.tiers import rest_slow
from tests.training.small import composed

TRAIN = r"Delete the folder .* and train it again: python -m llmrec\.run"
RANK = r"Delete the folder .* and repeat its command: python -m llmrec\.evaluate run="
MEASURE = r"Remove it and measure again: python -m llmrec\.measure run="
RESULTS = {
    "config.yaml": TRAIN, "training.json": TRAIN, "weights/model.safetensors": TRAIN, "weights/tokenizer.json": TRAIN,
    "rankings/*/ranking.parquet": RANK, "rankings/*/ranking.json": RANK, "rankings/*/metrics.json": MEASURE,
    "rankings/*/rows.parquet": MEASURE, "checksums.json": TRAIN, "curves.csv": TRAIN,
}  # fmt: skip
CACHED = [
    "tiny/*/model.safetensors", "tiny/*/tokenizer.json", "prompts/**/*.safetensors", "catalogue/*.safetensors",
    "datasets/*/train.parquet", "datasets/*/manifest.json", "datasets/*/lists-*/valid.parquet",
]  # fmt: skip
CACHE_RUN = ("objective=sft", "trainer.epochs=0", "evaluation.users=2", "validation.users=2")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run."""
    return made(tmp_path_factory.mktemp("finished"), "trainer.epochs=1")


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the cache of runs that have ended."""
    root = tmp_path_factory.mktemp("cached")
    fill_cache(root)
    shutil.rmtree(root / "runs")
    return root


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("damage", rest_slow(DAMAGES))
def test_a_damaged_result_is_named(name: str, damage: Callable[[Path], None], finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    (config_file,) = tmp_path.glob("runs/*/*/*/*/*/config.yaml")
    run = RunFolder(config_file.parent)
    if not name.startswith("weights"):
        read(run, name)
    (file,) = run.folder.glob(name)
    damage(file)
    with pytest.raises(InputError, match=rf"^{file} is damaged \(.+\)\. {RESULTS[name]}") as raised:
        read(run, name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("pattern", rest_slow(CACHED))
@pytest.mark.parametrize("damage", rest_slow(DAMAGES))
def test_a_damaged_file_of_the_cache_is_made_anew(
    pattern: str, damage: Callable[[Path], None], cached: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(cached, tmp_path, dirs_exist_ok=True)
    files = sorted(tmp_path.glob(f"cache/{pattern}"))
    assert files
    before = [content(file) for file in files]
    for file in files:
        damage(file)
    if pattern.startswith("prompts"):
        # Otherwise the prompts of its pretraining would not be needed again.
        shutil.rmtree(tmp_path / "cache" / "tiny")
    fill_cache(tmp_path)
    assert [content(file) for file in files] == before
    assert "it is made anew" in caplog.text


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named(damage: Callable[[Path], None], tmp_path: Path) -> None:
    last = tmp_path / "last.ckpt"
    AtomicCheckpointIO("key").save_checkpoint({"epoch": 1}, last)
    assert last_checkpoint(tmp_path, "key") == last
    damage(last)
    with pytest.raises(InputError, match=rf"{last} is damaged .*Delete the folder {tmp_path}: the same command then"):
        last_checkpoint(tmp_path, "key")


def made(root: Path, *overrides: str) -> Path:
    """Runs a configuration below a folder."""
    with composed(root, *overrides) as config:
        run_configuration(config)
    return root


def fill_cache(root: Path) -> None:
    """Runs one configuration of each task."""
    for task in ("next_item", "rerank"):
        made(root, *CACHE_RUN, f"task={task}")


def read(run: RunFolder, name: str) -> Any:
    """Reads a file of a run by the command that needs it."""
    if name.startswith("weights"):
        config = run.config()
        config.decoding.beams = 2
        return evaluate_again(run, config)
    if "ranking." in name:
        return measure_again([run.folder], [], None, False)
    (record,) = run.folder.glob("rankings/*")
    job: Any = SimpleNamespace(record=record, run=run)
    reported = Run(job)
    if name.endswith("metrics.json"):
        return read_metrics(record)
    if name.endswith("rows.parquet"):
        return reported.users
    if name == "curves.csv":
        return reported.curves
    return run.training if name == "training.json" else run.config()


def content(file: Path) -> Any:
    """The content of a file, which for weights does not depend on the order of the metadata."""
    if file.suffix != ".safetensors":
        return file.read_bytes()
    return {name: weight.tolist() for name, weight in load_file(file).items()}
