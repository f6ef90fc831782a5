"""The command `llmrec`: its table of subcommands, words that it does not know, and the small commands."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import llmrec
from llmrec import cli, info, new
from llmrec.cli import COMMANDS
from tests.cli.commands import DEBUG, Done, Workplace


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """Returns the module whose `main` is called for a command line, and the arguments that it finds."""
    found = []
    for command in COMMANDS.values():
        module = importlib.import_module(command.module)
        monkeypatch.setattr(module, "main", lambda name=command.module: found.extend([name, *sys.argv[1:]]))
    monkeypatch.setattr(sys, "argv", ["llmrec", *words])
    cli.main()
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_calls_its_module_with_the_other_arguments(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert called(monkeypatch, name, "a=b", "--help") == [COMMANDS[name].module, "a=b", "--help"]


@pytest.mark.parametrize("words", [["objective=msl"], ["-m", "seed=1,2"], ["--cfg", "job"], ["+trainer.x=1"]])
def test_a_setting_or_a_flag_means_run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert called(monkeypatch, *words) == ["llmrec.run", *words]


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_subcommand_in_80_columns(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(monkeypatch, *words) == []
    page = capsys.readouterr().out
    assert all(f"\n  {name} " in page and command.help in page for name, command in COMMANDS.items())
    assert max(map(len, page.splitlines())) <= 80


def test_version_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(monkeypatch, "--version") == []
    assert capsys.readouterr().out == f"llmrec {llmrec.__version__}\n"


@pytest.mark.parametrize(
    ("word", "says"), [("recomend", "did you mean llmrec recommend?"), ("xyz", "Choose one of run,")]
)
def test_an_unknown_word_is_refused_with_the_nearest(
    word: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        called(monkeypatch, word)
    assert refused.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"llmrec: {word}: ")
    assert says in printed


def test_python_m_llmrec_starts_without_heavy_imports() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "llmrec"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("llmrec tunes language models")
    assert not any(f" {name}\n" in done.stderr for name in ("torch", "numpy", "hydra", "omegaconf"))


def test_compare_prints_the_difference_with_its_interval(trained: tuple[Workplace, Done]) -> None:
    place, done = trained
    baseline = place.train("baseline=popularity", "dataset=games")
    compared = place.run("llmrec", "compare", f"run={done.run()},{baseline.run()}")
    assert compared.status == 0, compared.output
    lines = compared.output.splitlines()
    figures = [
        json.loads((run.record() / "metrics.json").read_text())["splits"]["test"]["by_title"]["ndcg@10"]
        for run in (done, baseline)
    ]
    assert [line.split()[1] for line in lines[:2]] == [f"{figure:.4f}" for figure in figures]
    assert lines[2].startswith(f"A - B  {figures[0] - figures[1]:+.4f}  [")
    assert " p = " in lines[2]
    assert lines[3].startswith("by_title.ndcg@10, test: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["k=3"], "did you mean|there is no such"), (["split=test"], "run=<two"), (["seed=1"], "takes only")],
)
def test_compare_refuses_what_it_cannot_use(arguments: list[str], says: str) -> None:
    from llmrec.compare_runs import _compare
    from llmrec.errors import InputError

    with pytest.raises(InputError, match=says):
        _compare(arguments)


def test_compare_needs_two_runs(trained: tuple[Workplace, Done]) -> None:
    from llmrec.compare_runs import _compare
    from llmrec.errors import InputError

    with pytest.raises(InputError, match="names 1 runs"):
        _compare([f"run={trained[1].run()}"])


def test_info_names_versions_data_and_the_sizes_of_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data" / "games").mkdir(parents=True)
    (tmp_path / "cache" / "prompts").mkdir(parents=True)
    (tmp_path / "cache" / "prompts" / "a").write_bytes(bytes(1_500_000))
    for name in ("DATA", "CACHE"):
        monkeypatch.setenv(f"LLMREC_{name}", str(tmp_path / name.lower()))
    info._info([])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert f"llmrec {llmrec.__version__}" in lines
    assert "dataset=games real" in lines
    assert f"dataset=office simulated ({tmp_path}/data/office is absent)" in lines
    assert "prompts 1.5 MB tokenized prompts" in lines


def test_clean_removes_what_llmrec_caches_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLMREC_CACHE", str(tmp_path))
    for name, size in (
        ("tiny/model/weights", 2_000_000),
        ("catalogue/a", 500_000),
        ("plans.json", 0),
        ("mine/notes", 9),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    info._info(["--clean"])
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["notes"]
    printed = capsys.readouterr().out
    assert f"removed {tmp_path}/tiny (2.0 MB)\n" in printed
    assert printed.endswith("2.5 MB freed\n")
    info._info(["--clean"])
    assert "nothing to remove" in capsys.readouterr().out


def test_clean_knows_every_folder_that_a_run_caches(trained: tuple[Workplace, Done]) -> None:
    assert {entry.name for entry in trained[0].cache.iterdir()} - {"locks"} <= info.CACHES.keys()


@pytest.mark.slow
def test_a_new_projects_own_tests_pass(tmp_path: Path) -> None:
    new.make_project(tmp_path / "my-project")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=tmp_path / "my-project",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_new_project_trains_its_objective_on_its_dataset(trained: tuple[Workplace, Done], tmp_path: Path) -> None:
    new.make_project(tmp_path / "my-project")
    place = Workplace(tmp_path / "my-project", trained[0].cache)
    common = ("--config-dir", "conf", "objective=smoothed", "dataset=shop", "dataset.reference=null")
    done = place.run("llmrec", *common, *DEBUG, "logger=csv", "evaluation.users=5")
    assert done.status == 0, done.output
    assert done.run().parents[3].name == "shop-sim"


@pytest.mark.parametrize(
    ("name", "says"), [("1st", "cannot be the name"), ("data", "cannot be"), ("there", "exists already")]
)
def test_new_refuses_names_and_folders_that_exist(name: str, says: str, tmp_path: Path) -> None:
    from llmrec.errors import InputError

    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match=says):
        new.make_project(tmp_path / name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["there"]
