"""Loggers: W&B without a network, TensorBoard by choice, curves.csv always."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb.proto.wandb_internal_pb2 import Record

from tests.cli.commands import DEBUG, Workplace
from tests.cli.test_resume import after_the_first_checkpoint

WANDB = ("llmrec.run", *DEBUG, "logger=wandb", "evaluation.users=5")


@pytest.mark.slow
def test_wandb_is_offline_without_a_login_and_a_resumed_run_keeps_its_id(place: Workplace, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    # No login, and nothing to reach: whatever waits for a network fails here.
    nowhere = {"HOME": str(home), "HTTPS_PROXY": "http://127.0.0.1:9"}
    offline = Workplace(place.root, place.cache, nowhere)
    offline.start(*WANDB).kill_when(lambda: any(map(after_the_first_checkpoint, runs(offline))))
    resumed = offline.run(*WANDB)
    assert resumed.status == 0, resumed.output
    assert "W&B: offline" in resumed.output

    started = sorted((resumed.run() / "wandb").glob("offline-run-*"))
    assert len(started) == 2
    assert {folder.name.rpartition("-")[2] for folder in started} == {resumed.run().name}
    assert all(list(folder.glob("*.wandb")) for folder in started)
    assert (resumed.run() / "curves.csv").is_file()


def test_wandb_shows_what_a_run_is_and_what_came_of_it(place: Workplace) -> None:
    # The group is that which a launcher gives.
    offline = Workplace(place.root, place.cache, {"WANDB_MODE": "offline", "WANDB_RUN_GROUP": "of three"})
    arguments = ("dataset=games", "objective=sft", "seed=3", *DEBUG, "trainer.epochs=1", "evaluation.users=5")
    arguments = (*arguments, "logger=wandb", "logger.artifacts=true")
    done = offline.run("llmrec.run", *arguments)
    assert done.status == 0, done.output
    (file,) = place.runs.glob("games-sim/next_item/tiny/sft/*/wandb/offline-run-*/*.wandb")
    run, summary = shown(file)
    assert run.display_name == "games-sim-next_item-sft-3"
    assert run.run_group == "of three"
    assert set(run.tags) == {"games-sim", "next_item", "sft", "tiny", "scale=debug", "simulated", "split by time"}
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (config["seed"], config["trainer"]["epochs"]) == (3, 1)
    (metrics,) = file.parents[2].glob("rankings/*/metrics.json")
    for split, measured in json.loads(metrics.read_text())["splits"].items():
        assert {name: summary[f"{split}/{name}"] for name in measured["by_title"]} == measured["by_title"]
    (table,) = file.parent.glob("files/media/table/valid/recommendations_*.table.json")
    assert len(json.loads(table.read_text())["data"]) == 10
    uploaded = {record.request.log_artifact.artifact.type or record.artifact.type for record in stored(file)} - {""}
    assert {"weights", "rankings"} <= uploaded


@pytest.mark.slow
def test_without_wandb_all_else_works(place: Workplace) -> None:
    # Found before the one that is installed.
    (place.root / "wandb.py").write_text("raise ImportError('no W&B')\n")
    done = place.run("llmrec.run", *DEBUG, "logger=wandb", "trainer.epochs=1", "evaluation.users=5")
    assert done.status == 0, done.output
    assert "W&B is not installed" in done.output
    assert (done.run() / "curves.csv").is_file()
    assert (done.record() / "metrics.json").is_file()


@pytest.mark.slow
def test_tensorboard_writes_its_events_into_the_run(place: Workplace) -> None:
    done = place.run("llmrec.run", *DEBUG, "logger=tensorboard", "trainer.epochs=1", "evaluation.users=5")
    assert done.status == 0, done.output
    assert list((done.run() / "tensorboard").glob("events.out.tfevents.*"))


def runs(place: Workplace) -> list[Path]:
    """The runs that runs in a workplace have begun."""
    return list((place.runs / "games-sim" / "next_item" / "tiny" / "msl").glob("*"))


def shown(file: Path) -> tuple[Any, dict[str, Any]]:
    """The run of an offline file of W&B, and its summary at the end."""
    written = list(stored(file))
    (run,) = [record.run for record in written if record.HasField("run")]
    updates = [item for record in written if record.HasField("summary") for item in record.summary.update]
    return run, {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in updates}


def stored(file: Path) -> Iterator[Any]:
    """The records of an offline file of W&B: a log in LevelDB's format, in blocks of 32 KiB, after seven bytes."""
    content, at, parts = file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        # Whole, or the last of its parts.
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""
