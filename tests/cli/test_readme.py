"""The README's examples work as they are printed: its files are written and its commands run."""

import re
import shlex
from pathlib import Path

import pytest

from llmrec.training.run_folder import RunFolder
from tests.cli.commands import DEBUG, Done, Workplace

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def followed(trained: tuple[Workplace, Done], tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A folder in which every file that the README shows has been written."""
    root = tmp_path_factory.mktemp("readme")
    for name, content in FILE.findall(README):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return Workplace(root, trained[0].cache)


def test_own_objective_trains(followed: Workplace) -> None:
    done = followed.run("llmrec.run", *arguments("objective=smoothed"), *DEBUG, "logger=csv")
    assert done.status == 0, done.output
    assert done.run().parent == followed.runs / "games-sim" / "next_item" / "tiny" / "smoothed"


def test_own_token_loss_goes_under_gdrt(followed: Workplace) -> None:
    done = followed.run("llmrec.run", *arguments("objective/token_loss=smoothed"), *DEBUG, "logger=csv")
    assert done.status == 0, done.output
    assert done.run().parent == followed.runs / "games-sim" / "next_item" / "tiny" / "gdrt-smoothed"


@pytest.mark.parametrize("task", ["next_item", "rerank"])
def test_own_prompt_is_one_file_and_trains(task: str, followed: Workplace) -> None:
    assert [name for name, content in FILE.findall(README) if "prompt=recent" in content] == [
        "mine/conf/prompt/recent.yaml"
    ]
    task_arguments = ["task=rerank", "objective=sft"] if task == "rerank" else []
    done = followed.run("llmrec.run", *arguments("prompt=recent"), *task_arguments, *DEBUG, "logger=csv")
    assert done.status == 0, done.output
    assert RunFolder(done.run()).config().prompt.name == "recent"


def test_own_data_in_the_generic_layout_train(followed: Workplace) -> None:
    # The default reference of a real set takes minutes to open where its packages are installed.
    reference = "dataset.reference.relevance=tiny"
    done = followed.run("llmrec.run", *arguments("dataset=shop"), *DEBUG, "logger=csv", reference)
    assert done.status == 0, done.output
    assert done.run().parents[3] == followed.runs / "shop"
    assert "SIMULATED" not in done.output


def test_every_file_that_a_link_names_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target


def test_config_groups_of_the_table_are_those_that_are_shipped() -> None:
    groups = {folder.name for folder in (REPOSITORY / "conf").iterdir() if folder.is_dir()} - {"hydra"}
    assert set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)) == groups


def arguments(words: str) -> list[str]:
    """The arguments of the README's llmrec.run command that holds some words."""
    command = next(line for line in README.splitlines() if "-m llmrec.run " in line and words in line)
    return shlex.split(command.partition("-m llmrec.run ")[2], comments=True)
