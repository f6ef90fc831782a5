"""A renamed setting is refused with its new name, on the command line and in a user's YAML."""

from pathlib import Path

import pytest

from llmrec.errors import InputError
from llmrec.renamed import RENAMED, refuse_renamed_overrides
from llmrec.training.run_folder import run_path
from tests.training.small import composed


@pytest.mark.parametrize("old", RENAMED)
def test_an_old_name_on_the_command_line_is_refused_with_the_new_one(old: str) -> None:
    for prefix in ("", "+", "++"):
        with pytest.raises(InputError, match=RENAMED[old].replace(".", r"\.")):
            refuse_renamed_overrides(["objective=dpo", f"{prefix}{old}=3"])


def test_other_settings_pass() -> None:
    refuse_renamed_overrides(["-m", "objective=dpo", "objective.max_epochs=3", "~stage", "seed=1,2"])


def test_an_old_name_in_a_yaml_is_refused_with_the_new_one(tmp_path: Path) -> None:
    with (
        composed(tmp_path, "objective=dpo", "objective/rejected=uniform", "+objective.most_epochs=3") as config,
        pytest.raises(InputError, match=r"objective\.most_epochs was renamed to objective\.max_epochs"),
    ):
        run_path(config)
