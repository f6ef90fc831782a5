"""Tables of recommendations in W&B and TensorBoard."""

import json
from pathlib import Path

import numpy as np
import pytest
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

from llmrec.tasks.list_validation import validate_lists
from llmrec.training.curves import CurvesLogger
from llmrec.training.logged_recommendations import COLUMNS, TABLE, log_recommendations, recommendation_table
from tests.invariants.world import TITLES, build_world

NONE = -1


def test_the_table_has_history_target_and_top_five(tmp_path: Path) -> None:
    data = build_world(("sft",), tmp_path).data
    # Rank 1 of 2 validates rows 1, 3, 5 and 7 of the eight; title 10 of the distinct ones is the last, "Go".
    ranked = np.array([[0, 1, 2, 3, 4, 5], [10, NONE, NONE, NONE, NONE, NONE], [6] * 6, [7] * 6])
    first, second, *_ = recommendation_table(data, np.array([1, 3, 5, 7]), ranked)
    assert first == ["b", "Braid | Celeste", "Doom", "Anno 1404", "Anno 1800", "Braid", "Celeste", "Civ 5"]
    assert second == ["d", "Fez", "Fez", "Go", "", "", "", ""]


def test_a_user_is_shown_once(tmp_path: Path) -> None:
    data = build_world(("sft",), tmp_path).data
    rows = np.array([7, 7, 0, 0, *range(1, 7), *range(7)])
    table = recommendation_table(data, rows, np.tile(np.arange(5), (len(rows), 1)))
    assert [line[0] for line in table] == ["h", "a", "b", "c", "d", "e", "f", "g"]


def test_lists_are_shown_in_ranked_order(tmp_path: Path) -> None:
    world = build_world(("sft", "task=rerank"), tmp_path)
    rows = np.arange(3)
    titles = validate_lists(world.backbone, world.data, rows).titles
    for line, row in zip(recommendation_table(world.data, rows, titles), rows, strict=True):
        candidates = [TITLES[item] for item in world.data.validation.candidates[row]]
        assert sorted(line[3:7]) == sorted(candidates)
        assert line[7] == ""


def test_tensorboard_and_wandb_get_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    data = build_world(("sft",), tmp_path).data
    board = TensorBoardLogger(tmp_path, name=None, version="tensorboard")
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb = WandbLogger(save_dir=tmp_path, project="test")
    titles = np.tile(np.arange(5), (8, 1))
    for step in (4, 8):
        log_recommendations([CurvesLogger(tmp_path / "curves.csv"), board, wandb], data, np.arange(8), titles, step)
    board.experiment.flush()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    shown = events.Tensors(f"{TABLE}/text_summary")
    assert [event.step for event in shown] == [4, 8]
    text = shown[0].tensor_proto.string_val[0].decode()
    assert [part.strip() for part in text.splitlines()[0].strip("|").split("|")] == list(COLUMNS)
    assert "Braid \\| Celeste" in text
    files = sorted(Path(wandb.experiment.dir).glob("media/table/valid/recommendations_*.table.json"))
    wandb.experiment.finish()
    first, _ = (json.loads(file.read_text()) for file in files)
    assert first["columns"] == list(COLUMNS)
    assert first["data"][0][:4] == ["a", "Anno 1404", "Anno 1800", "Anno 1404"]
    assert not (tmp_path / "curves.csv").exists()
