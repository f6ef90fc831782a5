"""Which records may share a table, and which are refused."""

import json
from pathlib import Path

import pytest

from llmrec.errors import InputError
from llmrec.tables.report_data import report_data
from llmrec.tables.runs import Run
from tests.tables.fake_runs import USERS, hits, write_lists, write_run
from tests.tables.small_table import RERANK, TABLE, jobs_of, small_table, use_folders


def test_records_of_another_score_mode_are_refused(root: Path) -> None:
    table = small_table(root / "tables")
    write_run(jobs_of(table)["SFT", "games", 1], hits(1), decoding={"scores": "vocab"})
    with pytest.raises(InputError, match=r"scores=vocab, table small of scores=trie: tables never mix"):
        report_data([table], "smoke")


def test_records_of_another_task_are_refused(root: Path) -> None:
    table = small_table(root / "tables")
    write_lists(jobs_of(table)["SFT", "games", 1], [0.5] * len(USERS))
    with pytest.raises(InputError, match=r"task=rerank, table small of task=next_item"):
        report_data([table], "smoke")


def test_real_and_simulated_sets_never_share_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_folders(monkeypatch, tmp_path)
    folder = tmp_path / "data" / "movielens_100k"
    folder.mkdir(parents=True)
    films = [f"{film}|Film {film}|01-Jan-1995||http://x|" + "|".join(["0"] * 18 + ["1"]) for film in range(1, 31)]
    (folder / "u.item").write_text("\n".join(films) + "\n", encoding="latin-1")
    rated = [f"{user}\t{film}\t{1 + film % 5}\t{880000000 + 100 * film + user}"
             for user in range(1, 21) for film in range(1, 31)]  # fmt: skip
    (folder / "u.data").write_text("\n".join(rated) + "\n")
    scales = "smoke: {seeds: [1], overrides: [scale=debug]}"
    with pytest.raises(InputError, match=r"table small at scale=smoke has real and simulated sets"):
        report_data([small_table(tmp_path / "tables", RERANK, scales)], "smoke")


def test_records_of_another_set_are_refused(root: Path) -> None:
    table = small_table(root / "tables")
    job = jobs_of(table)["SFT", "games", 1]
    split = write_run(job, hits(1)).test | {"dataset": "games"}
    (job.record / "metrics.json").write_text(json.dumps(Run(job).record | {"splits": {"test": split}}))
    (job.record / "checksums.json").unlink()
    with pytest.raises(InputError, match=r"dataset=games, table small of dataset=games-sim: tables never mix"):
        report_data([table], "smoke")


def test_splits_by_time_and_leave_one_out_are_never_in_one_table(root: Path) -> None:
    mixed = TABLE.replace("MSL: [objective=msl]", "MSL: [objective=msl, dataset.split=leave_one_out]")
    table = small_table(root / "tables", mixed)
    jobs = jobs_of(table)
    write_run(jobs["SFT", "games", 1], hits(1))
    write_run(jobs["MSL", "games", 1], hits(2))
    message = r"dataset=games-leave-one-out-sim, table small of dataset=games-sim: tables never mix .* splits"
    with pytest.raises(InputError, match=message):
        report_data([table], "smoke")
