"""Values of odd kinds: objects and lists where scalars belong, and groups without an option."""

from pathlib import Path

import pytest

from llmrec.errors import InputError
from llmrec.plain import plain
from llmrec.settings.check import check_classes
from llmrec.settings.composition import refuse_group_values
from tests.training.small import resolved

OBJECT = "{_target_: llmrec.objectives.sft.SFT}"


@pytest.mark.parametrize(
    "key",
    [
        "trainer.clip",
        "trainer.epochs",
        "validation.users",
        "evaluation.users",
        "backbone.heads",
        "dataset.k_core",
        "seed",
    ],
)
def test_an_object_is_no_number(key: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"{key}=.*: give a"):
        resolved(tmp_path, f"{key}={OBJECT}")


def test_an_object_is_no_item_of_a_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"evaluation\.splits="):
        resolved(tmp_path, f"evaluation.splits=[{OBJECT}]")


def test_a_list_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"seed=\[1\]: give a whole number"):
        resolved(tmp_path, "seed=[1]")


@pytest.mark.parametrize("argument", ["objective=null", "dataset=", "trainer=[single,ddp]", "+experiment=null"])
def test_a_group_has_one_option(argument: str) -> None:
    with pytest.raises(InputError, match=r"give the name of one option: "):
        refuse_group_values([argument], [])


def test_other_arguments_are_left_alone() -> None:
    refuse_group_values(["objective=sft,msl", "trainer.clip=null", "--multirun", "evaluation.splits=[test]"], [])


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    from llmrec.settings.own_keys import keys_in

    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"bad\.yaml cannot be read .*Save it as UTF-8"):
        keys_in(str(tmp_path))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["~dataset.wording"], r"dataset\.wording is not set"),
        (["dataset.wording=null"], r"dataset\.wording is not set"),
        (["~backbone.pretraining.epochs"], r"backbone\.pretraining\.epochs is not set"),
        (["decoding.length_penalty=1e308"], r"length_penalty=1e\+308 is too large: give a number from -100 to 100"),
        (["decoding.beams=1e30"], r"decoding\.beams=1e\+30 is too large: give a whole number of at least 1"),
        (["dataset.simulator.items=1e30"], r"items=1e\+30 is too large"),
        (["~task._target_"], r"task\.name=next_item without task\._target_: choose an option"),
        (["~objective._target_"], r"objective\._target_ is not set: choose an option"),
        (["+objective._partial_=true"], r"objective\._partial_: leave it out"),
        (
            ["objective._target_=llmrec.objectives.msl"],
            r"give a class that extends llmrec\.objectives\.base",
        ),
        (["task._target_=llmrec.objectives.sft.SFT"], r"give a class that extends llmrec\.tasks\.base\.Task"),
        (["dataset.reader._target_=os.system"], r"give a class that extends llmrec\.datasets\.readers\.base\.Reader"),
        (["+metrics.a={}"], r"metrics\.a\._target_ is not set"),
        (["+baseline.foo=1"], r"baseline\.foo: baseline=none has no settings"),
        (["baseline.name=foo"], r"baseline\.name=foo without baseline\._target_"),
        (["baseline=sasrec", "baseline.name=none"], r"baseline\.name=none has no class\. Choose it by baseline=none"),
    ],
)
def test_missing_settings_and_other_classes_are_refused(overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        check_classes(plain(resolved(tmp_path, *overrides)))
