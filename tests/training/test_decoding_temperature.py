"""The temperature of decoding that follows from the training."""

from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from llmrec.errors import InputError
from llmrec.training.open_run import resolve_temperature


def resolved(objective: str, recorded: dict[str, Any], temperature: Any = "training") -> Any:
    config: DictConfig = OmegaConf.create(
        {"objective": {"_target_": objective}, "decoding": {"scores": "trie", "temperature": temperature}}
    )
    run: Any = SimpleNamespace(training={"objective": recorded}, folder="runs/x")
    return resolve_temperature(config, run).decoding.temperature


def test_it_is_the_recorded_one_or_1() -> None:
    assert resolved("llmrec.objectives.msl.MSL", {"temperature": 2.25}) == 2.25
    assert resolved("llmrec.objectives.sft.SFT", {}) == 1.0
    assert resolved("llmrec.objectives.msl.MSL", {"temperature": 2.25}, 1.5) == 1.5


def test_a_run_that_did_not_record_it_is_named() -> None:
    with pytest.raises(InputError, match=r"^runs/x does not have the temperature that it was trained with"):
        resolved("llmrec.objectives.msl.MSL", {})
