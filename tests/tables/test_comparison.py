"""Comparing chosen runs: values by hand, which runs share a table, and what names the reference."""

import csv
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from llmrec import report as report_command
from llmrec.errors import InputError
from llmrec.evaluation.record import read_part, write_part
from llmrec.run_selection import selected_runs
from llmrec.tables.comparison import comparison_data
from llmrec.tables.markdown import markdown
from llmrec.tables.pack import pack_records
from llmrec.tables.tidy_csv import tidy_csv
from llmrec.training.plan import Job
from llmrec.training.run_configuration import run_configuration
from llmrec.training.run_folder import RunFolder
from tests.cli.commands import Done, Workplace
from tests.tables.fake_runs import USERS, hits, write_lists, write_run
from tests.training.small import composed

MAX_TITLES = 10


def write(
    root: Path,
    name: str,
    seed: int,
    ranks: Sequence[int],
    overrides: Sequence[str] = (),
    backbone: str = "tiny",
    **more: Any,
) -> Path:
    """Writes a finished run runs/games-sim/next_item/<backbone>/<name>/<key> and returns its folder."""
    words = [f"objective={name}", *overrides, f"seed={seed}"]
    key = hashlib.sha256(repr((words, ranks)).encode()).hexdigest()[:16]
    folder = root / "runs" / "games-sim" / "next_item" / backbone / name / key
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(words))
    job = Job(tuple(words), RunFolder(folder), folder / "rankings" / "0123456789abcdef", "", (), f"{name}-{seed}")
    write_run(job, ranks, **more)
    config = {"objective": {"settings": list(overrides)}, "seed": seed, "logger": {"wandb": seed == 1}}
    (folder / "config.yaml").write_text(json.dumps(config))
    return folder


def compared(root: Path, against: str | None = None) -> dict[str, Any]:
    return comparison_data(selected_runs(str(root / "runs")), against)


def cell(report: dict[str, Any], row: str, metric: str, table: int = 0) -> dict[str, Any]:
    (found,) = (each for each in report["tables"][table]["rows"] if each["name"] == row)
    return dict(found["cells"]["games-sim"][metric])


def test_two_runs_by_hand(tmp_path: Path) -> None:
    write(tmp_path, "sft", 1, hits(2))
    write(tmp_path, "msl", 1, hits(4))
    report = compared(tmp_path, "sft")
    sft, msl = cell(report, "sft", "NDCG@10"), cell(report, "msl", "NDCG@10")
    # 2 of 8 rows. Sums by user less their rows times the mean: 1.5, -0.25, -0.25, -0.25, -0.75; squares: 3 in sum.
    half = 1.96 * np.sqrt(5 / 4 * 3) / 8
    assert sft["mean"] == 0.25
    assert sft["interval"] == pytest.approx((0.25 - half, 0.25 + half))
    assert (msl["mean"], msl["gain"]) == (0.5, 100)
    # Rows 2 and 3, of two of five users, are one higher: half of the sign flips keep their sum of 2 or -2.
    assert msl["p"] == pytest.approx(0.5, abs=0.02)
    assert (msl["low"], msl["significant"]) == (0, False)
    assert "2 of 8" not in markdown(report)
    assert "0.2500 \\[-0.2244, 0.7244\\]" in markdown(report)
    lines = list(csv.DictReader(io.StringIO(tidy_csv(report["tables"][0]))))
    line = next(line for line in lines if (line["row"], line["metric"]) == ("sft", "NDCG@10"))
    assert (float(line["low"]), float(line["high"])) == pytest.approx(sft["interval"])


def test_costs_fairness_and_curves_are_in_the_comparison(tmp_path: Path) -> None:
    write(tmp_path, "sft", 1, hits(2))
    write(tmp_path, "msl", 1, hits(4))
    report = compared(tmp_path)
    # 30 s for two epochs, 8 rows in 4 s.
    assert [cell(report, "msl", name)["mean"] for name in ("training", "peak memory", "ranking")] == [15, 0.75, 2]
    assert cell(report, "msl", "coverage")["interval"] is None
    share = cell(report, "msl", "top-20 % popularity share")
    # All rows have the same list, and so have all samples of users.
    assert share["interval"] == pytest.approx((share["interval"][0],) * 2)
    assert report["runs"][next(iter(report["runs"]))]["curves"]["train/loss"] == [[0, 3.5], [1, 3.25]]


def test_lists_are_compared(tmp_path: Path) -> None:
    for name, ndcg in (("sft", [0.5] * 8), ("alro", [0.75] * 8)):
        folder = tmp_path / "runs" / "games-sim" / "rerank" / "tiny" / name / "0123456789abcdef"
        job = Job((f"objective={name}",), RunFolder(folder), folder / "rankings" / "0123456789abcdef", "", (), "a-1")
        folder.mkdir(parents=True)
        write_lists(job, ndcg)
    report = compared(tmp_path, "sft")
    assert report["tables"][0]["about"].startswith("All runs ranked the same 8 test lists of 5 users")
    found = cell(report, "alro", "NDCG@10")
    assert (found["mean"], found["gain"], found["interval"]) == (0.75, 50, (0.75, 0.75))
    # 8 lists in half a second.
    assert cell(report, "alro", "ranking")["mean"] == 16
    assert report["browsers"] == {"games-sim-rerank": without_rankings("alro, sft")}


def without_rankings(names: str) -> dict[str, Any]:
    """The browser of runs whose rankings are not stored."""
    line = f"Not shown: {names}, whose rankings are not stored here. "
    line += "An archive of llmrec.report pack= holds neither recommended titles nor histories."
    return {"runs": [], "users": [], "titles": [], "all_users": 0, "missing": [line]}


def test_an_unpacked_archive_is_compared_without_users(
    trained: tuple[Workplace, Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _ = trained
    for name, folder in (("DATA", place.data), ("CACHE", place.cache), ("RUNS", place.runs)):
        monkeypatch.setenv(f"LLMREC_{name}", str(folder))
    pack_records(place.runs, tmp_path / "records.tar.gz")
    with tarfile.open(tmp_path / "records.tar.gz") as archive:
        archive.extractall(tmp_path / "runs", filter="data")
    report = compared(tmp_path)
    assert report["tables"]
    for browser in report["browsers"].values():
        (line,) = browser["missing"]
        assert line.startswith("Not shown: ")
        assert browser == without_rankings(line.removeprefix("Not shown: ").partition(", whose")[0])


def test_the_browser_has_the_candidates_in_each_runs_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data", "cache", "runs"):
        monkeypatch.setenv(f"LLMREC_{name.upper()}", str(tmp_path / name))
    for baseline in ("popularity", "random"):
        with composed(tmp_path, "task=rerank", f"baseline={baseline}") as config:
            run_configuration(config)
    report = comparison_data(selected_runs(str(tmp_path / "runs")), None)
    (browser,) = report["browsers"].values()
    assert (browser["runs"], browser["missing"]) == (["popularity", "random"], [])
    folders = sorted(tmp_path.glob("runs/*/rerank/baseline/*/*/rankings/*"))
    rankings = [(read_part(folder, "ranking") or {})["test"] for folder in folders]
    # Titles, not IDs.
    assert not set(browser["titles"]) & set(rankings[0]["ranked"].combine_chunks().flatten().to_pylist())
    assert len(browser["users"]) == len(set(rankings[0]["user"].to_pylist()))
    for user in browser["users"]:
        place = rankings[0]["user"].to_pylist().index(user["user"])
        assert user["history"]
        popular, random = user["lists"]
        assert sorted(popular) == sorted(random) == sorted(title for title, _ in user["relevance"])
        for shown, table in zip(user["lists"], rankings, strict=True):
            relevance = dict(map(tuple, user["relevance"]))
            assert [relevance[title] for title in shown] == table["relevance"][place].as_py()
    assert any(user["lists"][0] != user["lists"][1] for user in browser["users"])


def test_p_values_are_corrected_over_the_comparisons(tmp_path: Path) -> None:
    write(tmp_path, "sft", 1, hits(0))
    write(tmp_path, "gdrt", 1, hits(0))
    write(tmp_path, "msl", 1, hits(8))
    report = compared(tmp_path, "sft")
    # All five users have differences of one sign: 2 of 32 flips; Holm doubles the smaller of two p-values.
    assert cell(report, "msl", "NDCG@10")["p"] == pytest.approx(2 * 2 / 32, abs=0.02)
    assert cell(report, "gdrt", "NDCG@10")["p"] == 1


def test_runs_that_differ_by_their_seed_are_one_row(tmp_path: Path) -> None:
    for seed, count in ((1, 2), (2, 4)):
        write(tmp_path, "sft", seed, hits(count))
        write(tmp_path, "msl", seed, hits(8), ["objective.temperature=2"])
        write(tmp_path, "msl", seed, hits(6))
    report = compared(tmp_path, "sft")
    names = [row["name"] for row in report["tables"][0]["rows"]]
    assert sorted(names) == ["msl", "msl, objective.temperature=2", "sft"]
    # 2 / 8 and 4 / 8; the sample standard deviation of two values is their distance / sqrt(2).
    assert cell(report, "sft", "NDCG@10")["mean"] == 0.375
    assert cell(report, "sft", "NDCG@10")["std"] == pytest.approx(0.25 / np.sqrt(2))
    assert report["title"] == "Comparison of 6 runs"


@pytest.mark.parametrize("against", ["msl", "popularity"])
def test_a_baseline_without_randomness_is_compared_with_all_seeds(tmp_path: Path, against: str) -> None:
    for seed, count in ((1, 2), (2, 4)):
        write(tmp_path, "msl", seed, hits(count))
    for seed in (1, 42):
        write(tmp_path, "popularity", seed, hits(1), backbone="baseline")
    report = compared(tmp_path, against)
    # One of eight targets against three on average.
    gain = cell(report, "msl" if against == "popularity" else "popularity", "NDCG@10")["gain"]
    assert gain == pytest.approx(200.0 if against == "popularity" else -200 / 3)
    assert cell(report, "popularity", "NDCG@10")["seeds"] == 1
    assert "Deterministic and therefore run once: popularity." in report["tables"][0]["notes"]


def test_runs_without_a_shared_seed_are_said_not_to_be_compared(tmp_path: Path) -> None:
    for seed in (1, 2):
        write(tmp_path, "sft", seed, hits(2))
    write(tmp_path, "sasrec", 42, hits(1), backbone="baseline")
    report = compared(tmp_path, "sft")
    assert cell(report, "sasrec", "NDCG@10")["gain"] is None
    note = (
        "sasrec on games-sim is not compared with sft: they have no seed in common (42 and 1, 2). Run it with "
        "a seed of the other."
    )
    assert note in report["tables"][0]["notes"]


def test_runs_on_other_rows_are_in_another_table_that_says_so(tmp_path: Path) -> None:
    write(tmp_path, "sft", 1, hits(2))
    write(tmp_path, "msl", 1, hits(3))
    write(tmp_path, "gdrt", 1, hits(3), users=("zoe", *USERS[1:]))
    report = compared(tmp_path, "sft")
    assert sorted(sorted(row["name"] for row in table["rows"]) for table in report["tables"]) == [
        ["gdrt"],
        ["msl", "sft"],
    ]
    assert sorted(table["name"] for table in report["tables"]) == ["games-sim-next_item", "games-sim-next_item-2"]
    assert "2 tables, because the runs were measured on different sets, splits or test rows." in report["lines"][0]
    assert any(
        "compared with gdrt, since it does not have the run that against= names" in line for line in report["lines"]
    )
    assert report["lines"][0] in markdown(report).replace("\\", "")


@pytest.mark.parametrize("kind", ["folder", "key", "name"])
def test_the_reference_is_named_by_folder_key_or_name(tmp_path: Path, kind: str) -> None:
    folder = write(tmp_path, "sft", 1, hits(2))
    write(tmp_path, "msl", 1, hits(3))
    against = {"folder": str(folder), "key": folder.name, "name": "sft"}[kind]
    assert compared(tmp_path, against)["tables"][0]["reference"] == "sft"
    assert compared(tmp_path)["tables"][0]["reference"] == "msl"


def test_a_reference_that_is_none_or_several_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "msl", 1, hits(2), ["objective.temperature=1"])
    second = write(tmp_path, "msl", 1, hits(3), ["objective.temperature=2"])
    with pytest.raises(InputError, match=r"against=sft: none of the runs has this .* Choose from msl"):
        compared(tmp_path, "sft")
    with pytest.raises(InputError, match=f"against=msl: 2 recommenders match. .*{second.name}"):
        compared(tmp_path, "msl")
    assert (
        compared(tmp_path, "msl, objective.temperature=2")["tables"][0]["reference"] == "msl, objective.temperature=2"
    )


def test_what_is_not_finished_is_left_out_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "games-sim" / "next_item" / "tiny" / "gdrt" / "1"
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    with pytest.raises(
        InputError, match=r"none of the 1 runs can be compared: .*gdrt/1 is left out: it is not trained"
    ):
        compared(tmp_path)
    write(tmp_path, "sft", 1, hits(2))
    assert compared(tmp_path)["lines"] == [f"{folder} is left out: it is not trained."]


def test_the_browser_has_each_users_first_row(tmp_path: Path) -> None:
    for name, title in (("sft", "right"), ("msl", "wrong </script>")):
        folder = write(tmp_path, name, 1, hits(2))
        titles = [[title, *(f"other {place}" for place in range(12))]] * len(USERS)
        target = {"target": ["item0"] * len(USERS), "target_title": ["right"] * len(USERS)}
        table = pa.table({"user": USERS, **target, "titles": titles})
        write_part(folder / "rankings" / "0123456789abcdef", "ranking", {"test": table})
    (browser,) = compared(tmp_path)["browsers"].values()
    assert browser["runs"] == ["msl", "sft"]
    assert [user["user"] for user in browser["users"]] == ["anna", "ben", "cleo", "dan", "eva"]
    shown = [[browser["titles"][title] for title in found] for found in browser["users"][0]["lists"]]
    assert [titles[0] for titles in shown] == ["wrong </script>", "right"]
    assert {len(titles) for titles in shown} == {MAX_TITLES}
    assert [(browser["titles"][title], grade) for title, grade in browser["users"][0]["relevance"]] == [("right", 1)]
    (line,) = browser["missing"]
    assert line.startswith("Histories are not shown, because the data cannot be read")


@pytest.mark.slow
def test_the_command_compares_a_trained_run_with_its_histories(
    trained: tuple[Workplace, Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place, done = trained
    for name, folder in (("DATA", place.data), ("CACHE", place.cache), ("RUNS", place.runs)):
        monkeypatch.setenv(f"LLMREC_{name}", str(folder))
    monkeypatch.setattr("sys.argv", ["llmrec.report", f"run={done.run()}", f"out={tmp_path / 'out'}"])
    report_command.main()
    assert f"page: {tmp_path / 'out' / 'report.html'}" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text()
    _, _, held = page.partition('<script type="application/json" id="report">')
    # One for each ranking, of which other tests may have added some.
    browsers = json.loads(held.partition("</script>")[0])["browsers"].values()
    assert browsers
    for browser in browsers:
        assert browser["missing"] == []
        assert all(user["history"] for user in browser["users"])
        assert all(0 <= title < len(browser["titles"]) for user in browser["users"] for title in user["history"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run=nowhere"], "run=nowhere: there is no such folder"),
        (["run=runs", "scale=cpu"], "scale: a comparison of runs takes only run, against, out and trust"),
        (["against=sft"], "against=sft needs run="),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        report_command._report(arguments)
