"""Values of odd kinds: objects and lists where scalars belong, and groups without an option."""

from pathlib import Path

import pytest

from llmrec.errors import InputError
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
