"""Models and adapters that were tuned elsewhere, measured by llmrec evaluate without a run."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from llmrec.backbones.load import weights_hash
from tests.cli.commands import DEBUG, Done, Workplace

COMMON = ("dataset=games", *DEBUG, "evaluation.users=5", "dataset.reference=null")


def titles(done: Done) -> list[list[str]]:
    """Returns the ranked titles of all rows."""
    assert done.status == 0, done.output
    ranked: list[list[str]] = pq.read_table(done.record() / "ranking.parquet")["titles"].to_pylist()
    return ranked


@pytest.mark.slow
def test_a_saved_model_ranks_as_the_run_that_tuned_it(trained: tuple[Workplace, Done], place: Workplace) -> None:
    # A copy, since tests of another process may evaluate the run at the same time.
    copy = shutil.copytree(trained[1].run(), place.root / "copy")
    own = place.run("llmrec.evaluate", f"run={copy}", "evaluation.users=5")
    measured = place.run("llmrec", "evaluate", f"backbone.path={trained[1].run() / 'weights'}", *COMMON)
    assert titles(measured) == titles(own)
    again = place.run("llmrec", "evaluate", f"backbone.path={trained[1].run() / 'weights'}", *COMMON)
    assert "this run is done already" in again.output
    assert again.run() == measured.run()


@pytest.mark.slow
def test_an_adapter_ranks_as_the_run_that_tuned_it_and_is_part_of_the_key(place: Workplace) -> None:
    tuned = place.train(*COMMON, "objective=sft", "adapter=lora", "trainer.learning_rate=0.01")
    hashed = json.loads((tuned.run() / "training.json").read_text())["identity"]["base_weights"]
    (base,) = (path for path in (place.cache / "tiny").iterdir() if weights_hash(str(path), place.cache) == hashed)
    alone = place.run("llmrec", "evaluate", f"backbone.path={base}", *COMMON)
    adapter = f"adapter.path={tuned.run() / 'weights'}"
    adapted = place.run("llmrec", "evaluate", f"backbone.path={base}", adapter, *COMMON)
    assert titles(adapted) == titles(tuned)
    assert titles(adapted) != titles(alone)
    assert adapted.run() != alone.run()


def test_a_folder_without_an_adapter_is_refused(trained: tuple[Workplace, Done], place: Workplace) -> None:
    (place.root / "empty").mkdir()
    weights = trained[1].run() / "weights"
    refused = place.run("llmrec", "evaluate", f"backbone.path={weights}", "adapter.path=empty", *COMMON)
    assert refused.status == 2
    assert "empty/adapter_config.json is missing" in refused.output
    assert "Traceback" not in refused.output
