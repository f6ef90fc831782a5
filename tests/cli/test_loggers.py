"""Loggers: W&B without a network, TensorBoard by choice, curves.csv always."""

from pathlib import Path

from tests.cli.commands import DEBUG, Workplace
from tests.cli.test_resume import after_the_first_checkpoint

WANDB = ("llmrec.run", *DEBUG, "logger=wandb", "evaluation.users=5")


def test_wandb_is_offline_without_a_login_and_a_resumed_run_keeps_its_id(place: Workplace, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    # No login, and nothing to reach: whatever waits for a network fails here.
    nowhere = {"HOME": str(home), "HTTPS_PROXY": "http://127.0.0.1:9"}
    offline = Workplace(place.root, place.cache, nowhere)
    offline.start(*WANDB).kill_when(lambda: any(map(after_the_first_checkpoint, cells(offline))))
    resumed = offline.run(*WANDB)
    assert resumed.status == 0, resumed.output
    assert "W&B: offline" in resumed.output

    started = sorted((resumed.cell() / "wandb").glob("offline-run-*"))
    assert len(started) == 2
    assert {folder.name.rpartition("-")[2] for folder in started} == {resumed.cell().name}
    assert all(list(folder.glob("*.wandb")) for folder in started)
    assert (resumed.cell() / "curves.csv").is_file()


def test_tensorboard_writes_its_events_into_the_cell(place: Workplace) -> None:
    done = place.run("llmrec.run", *DEBUG, "logger=tensorboard", "trainer.epochs=1", "evaluation.users=5")
    assert done.status == 0, done.output
    assert list((done.cell() / "tensorboard").glob("events.out.tfevents.*"))


def cells(place: Workplace) -> list[Path]:
    """The cells that runs in a workplace have begun."""
    return list((place.runs / "games-sim" / "next_item" / "tiny" / "msl").glob("*"))
