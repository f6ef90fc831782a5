"""The ID of a protocol changes with all that figures must agree in, and with nothing else."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from llmrec.compose import compose_run, shipped_config
from llmrec.protocol import protocol_id, protocol_line
from llmrec.training.run_folder import resolved_config

TRAINING = {"dataset": {"content_hash": "0123456789abcdef"}}


def composed(*overrides: str) -> DictConfig:
    with shipped_config():
        return OmegaConf.create(resolved_config(compose_run(overrides)))


@pytest.mark.parametrize(
    "override",
    [
        "objective=sft",
        "seed=7",
        "trainer.epochs=9",
        "evaluation.splits=[test]",
        "paths.cache=elsewhere",
        "baseline=popularity",
    ],
)
def test_what_is_trained_and_where_it_lies_is_no_part_of_it(override: str) -> None:
    assert protocol_id(composed(override), TRAINING, "test") == protocol_id(composed(), TRAINING, "test")


@pytest.mark.parametrize(
    "override",
    [
        "decoding.scores=vocab", "decoding.beams=20", "decoding.length_penalty=1", "decoding.exclude_history=true",
        "evaluation.users=5", "evaluation.sample_seed=1",
    ],
)  # fmt: skip
def test_decoding_and_evaluated_rows_are_part_of_it(override: str) -> None:
    assert protocol_id(composed(override), TRAINING, "test") != protocol_id(composed(), TRAINING, "test")


def test_data_and_split_are_part_of_it() -> None:
    config = composed()
    other = {"dataset": {"content_hash": "fedcba9876543210"}}
    ids = {protocol_id(config, training, split) for training in (TRAINING, other) for split in ("valid", "test")}
    assert len(ids) == 4
    assert all(len(name) == 8 for name in ids)


def test_the_line_names_every_split_and_older_records() -> None:
    assert protocol_line({"valid": {"protocol": "1f0a93cc"}, "test": {}}) == "protocol: valid 1f0a93cc, test unknown"


def test_item_tokens_are_part_of_it_for_language_models_only(tmp_path: Path) -> None:
    file = tmp_path / "tokens.index.json"
    file.write_text("{}")
    tokens = ("items=tokens", f"items.file={file}")
    titles = protocol_id(composed(), TRAINING, "test")
    assert protocol_id(composed(*tokens), TRAINING, "test") != titles
    assert (
        protocol_id(composed("baseline=popularity", "items=tokens", "items.file=none.json"), TRAINING, "test") == titles
    )
