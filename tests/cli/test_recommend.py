"""Recommendations of a trained run: from the command line, from a file, for titles it does not know."""

import json
import re
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llmrec.datasets.dataset import draw
from llmrec.datasets.history_file import HistoryFile
from llmrec.training.open_dataset import read_dataset
from llmrec.training.recommended_file import request_key
from llmrec.training.recommending import Recommender
from llmrec.training.recommending_workers import recommend_in_workers
from llmrec.training.run_folder import RunFolder
from tests.cli.commands import Done, Workplace, ended_by_sigterm

TEST = [("split", "=", "test")]


@pytest.fixture(scope="module")
def titles(trained: tuple[Workplace, Done]) -> list[str]:
    """Some titles of the catalogue."""
    recommended = pq.read_table(trained[1].record() / "ranking.parquet", filters=TEST).column("titles").to_pylist()
    return sorted({title for titles in recommended for title in titles})


def test_history_on_the_command_line_gives_k_titles_best_first(
    trained: tuple[Workplace, Done], titles: list[str]
) -> None:
    place, done = trained
    asked = place.run("llmrec.recommend", f"run={done.run()}", f"history={json.dumps(titles[:2])}", "k=3")
    assert asked.status == 0, asked.output
    places, scores, given = zip(*map(parts, asked.output.strip().splitlines()), strict=True)
    assert places == ("1", "2", "3")
    assert sorted(map(float, scores), reverse=True) == list(map(float, scores))
    assert len(set(given)) == 3


def test_file_gives_one_list_a_line_and_out_takes_them(trained: tuple[Workplace, Done], tmp_path: Path) -> None:
    place, done = trained
    (tmp_path / "histories.jsonl").write_text('["A title that nobody knows"]\n' * 2, encoding="utf-8")
    out = tmp_path / "made" / "lists.jsonl"
    asked = place.run("llmrec.recommend", f"run={done.run()}", f"file={tmp_path / 'histories.jsonl'}", f"out={out}")
    assert asked.status == 0, asked.output
    first, second = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    assert first == second
    assert len(first) == 10
    assert set(first[0]) == {"title", "score", "items"}


def test_file_in_a_batch_gives_what_each_history_gives_alone(
    trained: tuple[Workplace, Done], titles: list[str], tmp_path: Path
) -> None:
    place, done = trained
    histories = [titles[:1], titles[1:6], titles[3:4]]
    lines = "\n".join(json.dumps(history) for history in histories)
    (tmp_path / "histories.jsonl").write_text(lines, encoding="utf-8")
    together = place.run("llmrec.recommend", f"run={done.run()}", f"file={tmp_path / 'histories.jsonl'}", "k=4")
    alone = place.run("llmrec.recommend", f"run={done.run()}", f"history={json.dumps(histories[1])}", "k=4")
    listed = [entry["title"] for entry in json.loads(together.output.splitlines()[1])]
    assert listed == [parts(line)[2] for line in alone.output.strip().splitlines()]


def test_lines_end_at_line_feeds_only(trained: tuple[Workplace, Done], titles: list[str], tmp_path: Path) -> None:
    place, done = trained
    file = tmp_path / "histories.jsonl"
    known = json.dumps(titles[0])
    file.write_bytes(
        f'\ufeff[{known}, "Red\u2028Kettle"]\r\n[{known}, "Blue\x85Lamp"]\n[{known}, "\\ud83d"]\n\n'.encode()
    )
    asked = place.run("llmrec.recommend", f"run={done.run()}", f"file={file}", "k=2", f"out={tmp_path / 'out.jsonl'}")
    assert asked.status == 0, asked.output
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 3
    warned = [line.split(" is not in")[0] for line in asked.output.splitlines() if line.startswith("llmrec: ")]
    assert warned == [f"llmrec: {title!r}" for title in ("Red\u2028Kettle", "Blue\x85Lamp", "\ufffd")]


def test_history_of_an_evaluated_user_gives_the_titles_of_the_record(trained: tuple[Workplace, Done]) -> None:
    place, done = trained
    config = RunFolder(done.run()).config()
    config.paths = {"data": str(place.data), "cache": str(place.cache), "runs": str(place.runs)}
    dataset = read_dataset(config)
    evaluated = draw(len(dataset.test), config.evaluation.users, config.evaluation.sample_seed)
    history = json.dumps([dataset.items.titles[item] for item in dataset.test.history_of(evaluated[7])])
    asked = place.run("llmrec.recommend", f"run={done.run()}", f"history={history}", "k=10")
    recorded = pq.read_table(done.record() / "ranking.parquet", filters=TEST).column("titles")[7].as_py()
    assert [parts(line)[2] for line in asked.output.strip().splitlines()] == recorded


def test_unknown_title_is_used_as_text_with_a_warning(trained: tuple[Workplace, Done], titles: list[str]) -> None:
    place, done = trained
    history = json.dumps([titles[0], 'Nobody knows "é"'], ensure_ascii=False)
    asked = place.run("llmrec.recommend", f"run={done.run()}", f"history={history}", "k=1")
    assert asked.status == 0
    warnings = [line for line in asked.output.splitlines() if line.startswith("llmrec: ")]
    assert len(warnings) == 1
    assert "Nobody knows" in warnings[0]
    assert "a language model reads it as text" in warnings[0]


def test_more_titles_than_beams_can_be_asked_for(trained: tuple[Workplace, Done], titles: list[str]) -> None:
    place, done = trained
    asked = place.run("llmrec.recommend", f"run={done.run()}", f"history={json.dumps(titles[:1])}", "k=25")
    assert len(asked.output.strip().splitlines()) == 25


def test_more_titles_than_the_catalogue_has_gives_all_of_it(trained: tuple[Workplace, Done], titles: list[str]) -> None:
    place, done = trained
    asked = place.run("llmrec.recommend", f"run={done.run()}", f"history={json.dumps(titles[:1])}", "k=1000")
    given = [parts(line)[2] for line in asked.output.strip().splitlines()]
    assert len(set(given)) == len(given)
    announced = re.search(r"\(([0-9]+) titles\)", done.output)
    assert announced is not None
    assert len(given) == int(announced[1])


def test_history_can_be_left_out_of_the_list(trained: tuple[Workplace, Done], titles: list[str]) -> None:
    place, done = trained
    arguments = (f"run={done.run()}", f"history={json.dumps(titles[:5])}", "k=1000", "decoding.exclude_history=true")
    asked = place.run("llmrec.recommend", *arguments)
    given = {parts(line)[2] for line in asked.output.strip().splitlines()}
    assert not given & set(titles[:5])
    assert set(titles[5:]) <= given


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (['history=["A"', "k=3"], "not JSON"),
        (["history=[]"], "at least one title"),
        (["history=[1, 2]"], "at least one title"),
        (['history=["A"]', "k=0"], "whole number"),
        (["k=3"], "either history="),
        (["file=absent.jsonl"], "absent.jsonl cannot be read"),
        (['history=["A"]', "seed=1"], "train another with llmrec.run"),
    ],
)
def test_what_cannot_be_answered_is_refused(arguments: list[str], says: str, trained: tuple[Workplace, Done]) -> None:
    place, done = trained
    refused = place.run("llmrec.recommend", f"run={done.run()}", *arguments)
    assert refused.status == 2
    assert says in refused.output
    assert "Traceback" not in refused.output


def test_malformed_line_of_a_file_is_named(trained: tuple[Workplace, Done], tmp_path: Path) -> None:
    place, done = trained
    (tmp_path / "histories.jsonl").write_text('["A"]\n"A"\n', encoding="utf-8")
    refused = place.run("llmrec.recommend", f"run={done.run()}", f"file={tmp_path / 'histories.jsonl'}")
    assert refused.status == 2
    assert "histories.jsonl, line 2" in refused.output


def test_a_request_is_its_run_settings_k_and_file(trained: tuple[Workplace, Done], tmp_path: Path) -> None:
    run = RunFolder(trained[1].run())
    config, other = run.config(), run.config()
    other.decoding.beams = 3
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    first.write_text('["A"]\n')
    second.write_text('["B"]\n')
    file = HistoryFile(first)
    requests = [
        request_key(config, run, 1, file),
        request_key(config, run, 2, file),
        request_key(other, run, 1, file),
        request_key(config, run, 1, HistoryFile(second)),
    ]
    assert len(set(requests)) == 4
    assert request_key(run.config(), run, 1, HistoryFile(file.path)) == requests[0]


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_file_goes_on_and_equals_an_uninterrupted_one_and_the_plain_path(
    by: signal.Signals, trained: tuple[Workplace, Done], titles: list[str], tmp_path: Path
) -> None:
    place, done = trained
    # Three parts of 1,024, 1,024 and 252 histories.
    histories = [[titles[number % len(titles)], titles[number * 7 % len(titles)]] for number in range(2300)]
    file, out, whole = (tmp_path / name for name in ("histories.jsonl", "out.jsonl", "whole.jsonl"))
    file.write_text("".join(json.dumps(history) + "\n" for history in histories), encoding="utf-8")
    command = ("llmrec.recommend", f"run={done.run()}", f"file={file}", "k=3", "decoding.beams=3")
    parts = tmp_path / "out.jsonl.parts"
    started = place.start(*command, f"out={out}")
    started.kill_when(lambda: bool(list(parts.glob("*.jsonl"))), by)
    if by == signal.SIGTERM:
        assert ended_by_sigterm(started.wait(), "llmrec.recommend")
        assert not list(parts.glob(".*.partial"))
    assert not out.exists()

    resumed = place.run(*command, f"out={out}")
    assert resumed.status == 0, resumed.output
    assert "resuming after 1,024 of 2,300 histories" in resumed.output
    assert not parts.exists()
    assert place.run(*command, f"out={whole}").status == 0
    assert out.read_bytes() == whole.read_bytes()

    run = RunFolder(done.run())
    config = run.config()
    config.decoding.beams = 3
    config.paths = {"data": str(place.data), "cache": str(place.cache), "runs": str(place.runs)}
    chunks = [histories[start : start + 1024] for start in range(0, len(histories), 1024)]
    finished: list[int] = []
    in_workers = recommend_in_workers(config, run, iter(chunks), 2, finished.append)
    assert [row[:3] for rows in in_workers for row in rows] == list(map(json.loads, out.read_text().splitlines()))
    assert finished == [1024, 1024, 252]
    plain = Recommender(config, run).recommend(histories)
    streamed = list(map(json.loads, out.read_text(encoding="utf-8").splitlines()))
    assert [[entry["title"] for entry in row] for row in streamed] == [
        [entry["title"] for entry in row] for row in plain
    ]
    for row, expected in zip(streamed, plain, strict=True):
        assert [entry["score"] for entry in row] == pytest.approx([entry["score"] for entry in expected], abs=2e-4)


def parts(line: str) -> tuple[str, str, str]:
    """Place, score and title of a printed recommendation."""
    place, score, title = line.split(maxsplit=2)
    return place, score, title
