"""The notes below a table: what qualifies its values."""

import json
from pathlib import Path

from llmrec.tables.markdown import markdown
from llmrec.tables.report_data import report_data
from tests.tables.fake_runs import HISTORIES, USERS, hits, write_run
from tests.tables.small_table import SCALES, TABLE, jobs_of, small_table


def test_a_table_of_leave_one_out_says_so(root: Path) -> None:
    scales = SCALES.replace("dataset.source=simulated", "dataset.source=simulated, dataset.split=leave_one_out")
    table = small_table(root / "tables", TABLE, scales)
    write_run(jobs_of(table)["SFT", "games", 1], hits(1))
    report = report_data([table], "smoke")
    assert report["tables"][0]["datasets"] == ["games-leave-one-out-sim"]
    assert [run["dataset"] for run in report["runs"].values()] == ["games-leave-one-out-sim"]
    note = (
        "games-leave-one-out-sim: split leave_one_out: training rows of some users are later than test rows of others."
    )
    assert any(line.startswith(note) for line in report["tables"][0]["notes"])
    assert "- games-leave-one-out-sim: split leave" in markdown(report).replace("\\", "")


def test_few_test_users_are_a_note(root: Path) -> None:
    table = small_table(root / "tables")
    write_run(jobs_of(table)["SFT", "games", 1], hits(1))
    (shown,) = report_data([table], "smoke")["tables"]
    count = len(set(USERS))
    note = f"games-sim: test has {count} users, fewer than 100: standard errors and intervals are rough."
    assert shown["notes"].count(note) == 1


def test_only_more_than_one_seed_is_called_significant(root: Path) -> None:
    table = small_table(root / "tables", TABLE.replace("[NDCG@10]\n    rows", "[NDCG@10, MGU@5]\n    rows"))
    jobs = jobs_of(table)
    for seed in (1, 2):
        write_run(jobs["SFT", "games", seed], hits(2))
    write_run(jobs["MSL", "games", 1], hits(2), lists=HISTORIES)
    for seed, significant in ((1, False), (2, True)):
        if seed == 2:
            write_run(jobs["MSL", "games", seed], hits(2), lists=HISTORIES)
        cell = report_data([table], "smoke")["tables"][0]["rows"][1]["cells"]["games-sim"]["MGU@5"]
        # Every user's lists are as their history is.
        assert (cell["p"] < 0.001, cell["significant"]) == (True, significant)


def test_the_protocol_of_each_dataset_is_named(root: Path) -> None:
    table = small_table(root / "tables")
    jobs = jobs_of(table)
    write_run(jobs["SFT", "games", 1], hits(1))
    assert "Protocol on games-sim: 80b2e4d7." in report_data([table], "smoke")["tables"][0]["notes"]
    write_run(jobs["MSL", "games", 1], hits(1), protocol="1f0a93cc")
    differing = "Protocols on games-sim differ, as in items, decoding or versions: 80b2e4d7 (SFT); 1f0a93cc (MSL)."
    assert differing in report_data([table], "smoke")["tables"][0]["notes"]


def test_edited_code_is_named(root: Path) -> None:
    table = small_table(root / "tables")
    job = jobs_of(table)["SFT", "games", 1]
    run = write_run(
        job, hits(1), code={"ranking": {"edited": {"decoding/rank.py": "0123"}}, "measuring": {"edited": {}}}
    )
    assert run.edited == ["decoding/rank.py"]
    report = report_data([table], "smoke")
    assert "Made with edited code: decoding/rank.py." in report["tables"][0]["notes"]
    assert [run["edited"] for run in report["runs"].values()] == [["decoding/rank.py"]]


def test_costs_of_runs_that_shared_a_device_are_qualified(root: Path) -> None:
    table = small_table(root / "tables")
    jobs = jobs_of(table)
    for row, facts in (
        ("SFT", {"gpus": ["H100"], "jobs_at_once": 2, "jobs_per_device": 1}),
        ("MSL", {"gpus": ["H100"], "jobs_at_once": 8, "jobs_per_device": 4}),
        ("popularity", {"gpus": [], "jobs_at_once": 1}),
    ):
        file = write_run(jobs[row, "games", 1], hits(1)).job.run.folder / "training.json"
        training = json.loads(file.read_text())
        training["provenance"]["hardware"] |= facts
        file.write_text(json.dumps(training))
    note = "Measured while other jobs used the same GPU or cores, which slows runs down (epoch): MSL."
    assert note in report_data([table], "smoke")["tables"][0]["notes"]
