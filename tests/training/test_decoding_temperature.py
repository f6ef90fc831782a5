"""The temperature of decoding that follows from the training."""

from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from llmrec.errors import InputError
from llmrec.objectives.apao import APAO
from llmrec.objectives.bear import BEAR
from llmrec.objectives.cft import CFT
from llmrec.objectives.gdrt import GDRT
from llmrec.objectives.igd import IGD
from llmrec.objectives.msl import MSL
from llmrec.objectives.sft import SFT
from llmrec.training.open_run import resolve_temperature


def resolved(recorded: dict[str, Any], temperature: Any = "training") -> Any:
    config: DictConfig = OmegaConf.create({"decoding": {"scores": "trie", "temperature": temperature}})
    run: Any = SimpleNamespace(training=recorded, folder="runs/x")
    return resolve_temperature(config, run).decoding.temperature


def test_it_is_the_recorded_one() -> None:
    assert resolved({"temperature": 2.25}) == 2.25
    assert resolved({"temperature": 2.25}, 1.5) == 1.5


def test_a_run_that_did_not_record_it_is_named() -> None:
    with pytest.raises(InputError, match=r"^runs/x does not have the temperature that it was trained with"):
        resolved({})


def test_objectives_over_a_token_loss_have_its_temperature() -> None:
    over = (GDRT, APAO, IGD, CFT)
    assert [objective(MSL(temperature=2.5)).training_temperature for objective in over] == [2.5] * 4
    assert [objective(SFT()).training_temperature for objective in over] == [1.0] * 4
    assert BEAR(temperature=3.0).training_temperature == 3.0
