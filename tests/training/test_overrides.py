"""Overrides of a trained run's config: what they may change and what not."""

from pathlib import Path

import pytest
from omegaconf import DictConfig

from llmrec.errors import InputError
from llmrec.training.overrides import override, split_arguments
from tests.training.small import resolved


@pytest.fixture
def config(tmp_path: Path) -> DictConfig:
    """The config of a run."""
    return resolved(tmp_path)


def test_group_takes_its_whole_file(config: DictConfig) -> None:
    changed = override(config, ["decoding=vocab"]).decoding
    assert (changed.scores, changed.length_penalty) == ("vocab", 1.0)


def test_key_changes_alone(config: DictConfig) -> None:
    changed = override(config, ["decoding.beams=20", "evaluation.users=null"])
    assert changed.evaluation.users is None
    assert changed.decoding == {**config.decoding, "beams": 20}


def test_another_reference_model_may_measure_it(config: DictConfig) -> None:
    changed = override(config, ["dataset.reference={relevance: tiny, encoder: null}"]).dataset.reference
    assert changed == {"relevance": "tiny", "encoder": None}
    assert override(config, ["dataset.reference=null"]).dataset.reference is None


def test_devices_may_be_fewer_than_the_run_was_trained_with(config: DictConfig) -> None:
    config.trainer.devices = 8
    assert override(config, ["trainer.devices=1"]).trainer.devices == 1


def test_config_of_the_run_stays_as_it_is(config: DictConfig) -> None:
    override(config, ["decoding.beams=20"])
    assert config.decoding.beams == 10


@pytest.mark.parametrize("text", ["seed=1", "objective.eta=1", "trainer.epochs=1", "dataset=books", "backbone.name=x"])
def test_what_would_change_the_weights_is_refused(text: str, config: DictConfig) -> None:
    with pytest.raises(InputError, match="a trained run takes only"):
        override(config, [text])


def test_unknown_key_is_refused_by_its_name(config: DictConfig) -> None:
    with pytest.raises(InputError, match=r"decoding\.beam: did you mean decoding\.beams\?"):
        override(config, ["decoding.beam=3"])


def test_text_that_is_no_override_is_refused(config: DictConfig) -> None:
    with pytest.raises(InputError, match="cannot be parsed"):
        override(config, ["decoding.beams=[1"])


def test_own_arguments_are_kept_as_text_and_others_passed_on() -> None:
    own, others = split_arguments(['history=["a=b"]', "decoding.beams=3", "k=2"], ["history", "k"])
    assert own == {"history": '["a=b"]', "k": "2"}
    assert others == ["decoding.beams=3"]
