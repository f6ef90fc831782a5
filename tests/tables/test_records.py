"""Packed records: what travels, what tables make of it, and which archives are refused."""

import gzip
import io
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from llmrec import report as report_command
from llmrec import reproduce
from llmrec.errors import InputError
from llmrec.tables import planned_runs
from llmrec.tables.definition import Table
from llmrec.tables.pack import pack_records
from llmrec.tables.planned_runs import PlannedRun, plan_runs, planned
from llmrec.tables.records import read_archives
from llmrec.tables.report_data import report_data
from llmrec.tables.tidy_csv import tidy_csv
from llmrec.training.plan import Job
from llmrec.training.run_folder import RunFolder
from tests.tables.fake_runs import write_run
from tests.tables.small_table import jobs_of, small_table

RANKS = {
    ("SFT", 1): [1, 2, 0, 0, 3, 0, 0, 1],
    ("SFT", 2): [0, 2, 0, 5, 3, 0, 9, 1],
    ("MSL", 1): [1, 1, 4, 0, 3, 0, 2, 1],
}
AT_HOME = "/home/jane"
RUN = "games-sim/next_item/tiny/sft/0123456789abcdef"


@pytest.fixture
def table(root: Path) -> Table:
    return small_table(root / "tables")


@pytest.fixture
def ran(root: Path, table: Table) -> dict[tuple[str, int], Job]:
    """Three of the table's runs, with all that real ones leave beside their records."""
    jobs = {(row, seed): jobs_of(table)[row, "games", seed] for row, seed in RANKS}
    for place, job in jobs.items():
        finish(job, RANKS[place])
    return jobs


def finish(job: Job, ranks: list[int]) -> None:
    """A finished run with weights, logs and files that name the machine."""
    write_run(job, ranks)
    folder = job.run.folder
    for name in ("ranking.parquet", "unconstrained.parquet", "ranking.json"):
        (job.record / name).write_text("heavy")
    for name in ("weights/model.safetensors", "checkpoints/last.ckpt", "wandb/run.wandb", "job.log", ".lock"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("heavy")
    (folder / "config.yaml").write_text(f"seed: 1\npaths:\n  runs: {AT_HOME}/runs\n")
    (folder / "leakage.json").write_text("{}")
    training = json.loads((folder / "training.json").read_text())
    stages = {"start": f"{AT_HOME}/runs/{RUN}"}
    (folder / "training.json").write_text(json.dumps(training | {"stages": stages}))
    (folder / ".hydra").mkdir()
    OmegaConf.save([*job.overrides, f"paths.runs={AT_HOME}/runs"], folder / ".hydra" / "overrides.yaml")


def commit(root: Path, name: str = "ours.tar.gz") -> Path:
    """Packs the runs of a folder into an archive beside the tables, and removes them."""
    file = root / "experiments" / "results" / "records" / name
    pack_records(root / "runs", file)
    shutil.rmtree(root / "runs")
    return file


def contents(file: Path) -> dict[str, bytes]:
    """What an archive holds."""
    with tarfile.open(file) as archive:
        return {member.name: read(archive, member) for member in archive}


def read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(member)
    assert content is not None
    return content.read()


def planned_run(table: Table, job: Job) -> PlannedRun:
    """The table's run of a job."""
    return plan_runs([table], "smoke")[job.overrides]


def listed(table: Table, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of `make list-tables` for a table."""
    monkeypatch.setattr(planned_runs, "shipped_table", lambda name: table)
    monkeypatch.setattr(sys, "argv", ["reproduce", "list=true", "tables=small"])
    reproduce.main()
    return capsys.readouterr().out.splitlines()


def without(report: dict[str, Any], key: str) -> dict[str, Any]:
    """The runs of a report by id, without one of the things said of each."""
    return {name: {k: v for k, v in run.items() if k != key} for name, run in report["runs"].items()}


def test_tables_of_records_are_those_of_the_runs(root: Path, table: Table, ran: Mapping[Any, Job]) -> None:
    of_runs = report_data([table], "smoke")
    commit(root)
    of_records = report_data([table], "smoke")
    assert tidy_csv(of_records["tables"][0]).encode() == tidy_csv(of_runs["tables"][0]).encode()
    assert of_records["tables"] == of_runs["tables"]
    assert of_records["gains"] == of_runs["gains"]
    assert of_runs["tables"][0]["counts"]["done"] == len(ran)
    assert without(of_records, "archive") == without(of_runs, "archive")
    assert {run["archive"] for run in of_runs["runs"].values()} == {None}
    assert {run["archive"] for run in of_records["runs"].values()} == {"records/ours.tar.gz"}


def test_only_records_travel_and_nothing_names_the_machine(root: Path, ran: Mapping[Any, Job]) -> None:
    packed = contents(commit(root))
    run_files = {"config.yaml", "training.json", "curves.csv", "leakage.json", ".hydra/overrides.yaml"}
    expected = {f"{below(job.run.folder, 5)}/{name}" for job in ran.values() for name in run_files}
    expected |= {f"{below(job.record, 7)}/{n}" for job in ran.values() for n in ("metrics.json", "rows.parquet")}
    assert packed.keys() == expected
    assert not [name for name, content in packed.items() if AT_HOME.encode() in content or b"heavy" in content]
    training = json.loads(packed[f"{below(ran['SFT', 1].run.folder, 5)}/training.json"])
    assert training["stages"] == {"start": RUN}
    (columns, *_) = [pq.read_schema(io.BytesIO(packed[name])).names for name in packed if name.endswith(".parquet")]
    assert {"split", "user", "by_title.ndcg@10"} <= set(columns)
    assert not {"target", "titles", "scores", "text", "target_title"} & set(columns)


def below(folder: Path, parts: int) -> str:
    """The last parts of a path."""
    return "/".join(folder.parts[-parts:])


def test_equal_records_give_equal_bytes(root: Path, ran: Mapping[Any, Job], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = root / "experiments" / "first.tar.gz", root / "experiments" / "second.tar.gz"
    pack_records(root / "runs", first)
    shutil.copytree(root / "runs", root / "experiments" / "copied")
    for file in (root / "experiments" / "copied").rglob("*"):
        os.utime(file, (1, 1))
    monkeypatch.setattr("time.time", lambda: 1)
    pack_records(root / "experiments" / "copied", second)
    assert first.read_bytes() == second.read_bytes()
    assert list(contents(first)) == sorted(contents(first))


def test_unfinished_runs_and_evaluations_are_left_out(root: Path, ran: Mapping[Any, Job]) -> None:
    (ran["SFT", 1].run.folder / "training.json").unlink()
    (ran["SFT", 2].record / "metrics.json").unlink()
    begun = ran["MSL", 1].record.with_name("begun")
    begun.mkdir()
    shutil.copy(ran["MSL", 1].record / "rows.parquet", begun)
    file = root / "experiments" / "one.tar.gz"
    packed = pack_records(root / "runs", file)
    assert (packed.finished, packed.unfinished, packed.size) == (1, 2, file.stat().st_size)
    one = below(ran["MSL", 1].run.folder, 5)
    assert not [name for name in contents(file) if not name.startswith(f"{one}/") or "begun" in name]


def test_what_was_run_here_comes_before_records(root: Path, table: Table, ran: Mapping[Any, Job]) -> None:
    commit(root)
    here = ran["SFT", 1]
    write_run(here, [1] * 8)
    run = planned_run(table, here)
    assert (run.job, run.read_from) == (here, None)
    assert report_data([table], "smoke")["tables"][0]["rows"][0]["cells"]["games-sim"]["NDCG@10"]["mean"] > 0.5


def test_records_stand_in_for_what_failed_here_or_was_interrupted(
    root: Path, table: Table, ran: Mapping[Any, Job]
) -> None:
    commit(root)
    failed, begun = ran["SFT", 1].run, ran["SFT", 2].run
    for here in (failed, begun):
        here.folder.mkdir(parents=True)
    failed.failure.write_text("exit status 2")
    begun.config_file.touch()
    assert [planned_run(table, ran["SFT", seed]).state for seed in (1, 2)] == ["done", "done"]


def test_of_two_archives_the_first_is_read(root: Path, table: Table, ran: Mapping[Any, Job]) -> None:
    shutil.copy(commit(root, "b.tar.gz"), root / "experiments" / "results" / "records" / "a.tar.gz")
    assert planned_run(table, ran["SFT", 1]).read_from == "records/a.tar.gz"


def test_times_of_records_are_not_expected_of_this_machine(
    root: Path, table: Table, ran: Mapping[Any, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned_runs, "shipped_table", lambda name: table)

    def expected() -> set[float | None]:
        return {run.seconds for run in planned(["small"], "smoke") if "objective=msl" in run.overrides}

    assert expected() == {40}
    commit(root)
    # What the table's scale says.
    assert expected() == {60}


@pytest.mark.parametrize("changed", ["training", "evaluation"])
def test_records_of_older_code_are_named_and_not_used(
    changed: str,
    root: Path,
    table: Table,
    ran: Mapping[Any, Job],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job = ran["SFT", 1]
    shutil.rmtree(root / "runs")
    if changed == "training":
        folder = job.run.folder.with_name("0" * 16)
        older = replace(job, run=RunFolder(folder), record=folder / "rankings" / job.record.name)
    else:
        older = replace(job, record=job.record.with_name("0" * 16))
    finish(older, RANKS["SFT", 1])
    commit(root)
    found = plan_runs([table], "smoke")
    mine = found.pop(job.overrides)
    assert (mine.state, mine.read_from, mine.older_in) == ("not run", None, ("records/ours.tar.gz",))
    assert {(run.state, run.older_in) for run in found.values()} == {("not run", ())}
    assert report_data([table], "smoke")["tables"][0]["counts"]["done"] == 0
    first, second, *lines = listed(table, monkeypatch, capsys)
    assert first.startswith("5 runs: 5 not run; ")
    assert second == "experiments/results/records: 0 runs read; 1 runs of an older version, not used"
    (named,) = [line for line in lines if "older" in line]
    assert named.endswith(f"  {' '.join(job.overrides)}   (older version in records/ours.tar.gz)")


def test_archives_of_the_earlier_layout_are_older_versions(root: Path, table: Table, ran: Mapping[Any, Job]) -> None:
    """Rankings and metrics were in eval/<key>/ before they became two layers."""
    job = ran["SFT", 1]
    packed = contents(commit(root))
    rankings, rows = f"/rankings/{job.record.name}/", "/rows.parquet"
    file = root / "experiments" / "results" / "records" / "ours.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, content in packed.items():
            if name.startswith(below(job.run.folder, 5)):
                old = name.replace(rankings, f"/eval/{job.record.name}/").replace(rows, "/users_test.parquet")
                member = tarfile.TarInfo(old)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    run = planned_run(table, job)
    assert (run.state, run.read_from, run.older_in) == ("not run", None, ("records/ours.tar.gz",))


def test_what_needs_a_gpu_is_done_without_one_where_it_is_recorded(
    root: Path,
    table: Table,
    ran: Mapping[Any, Job],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    commit(root)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    big = replace(table, presets={"smoke": replace(table.presets["smoke"], needs="gpu")})
    first, _, *lines = listed(big, monkeypatch, capsys)
    assert first == "5 runs: 3 done, 2 cannot run; nothing is left to run"
    assert sum(line.endswith("   (from records/ours.tar.gz)") for line in lines) == 3
    assert sum(line.endswith("   (needs a GPU)") for line in lines) == 2


def test_without_a_folder_of_records_there_are_none(root: Path) -> None:
    # As in an installed package.
    assert read_archives() == []
    assert not (root / "cache" / "records").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-100],
        lambda content: content[:-8] + bytes(8),
        lambda content: b"version https://git-lfs",
    ],
    ids=["cut short", "another checksum", "no archive"],
)
def test_a_damaged_archive_is_named(damage: Any, root: Path, ran: Mapping[Any, Job]) -> None:
    file = commit(root)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(InputError, match=rf"{file} is damaged \(.+\)\. Restore it from version control, or remove it"):
        read_archives()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../evil", tarfile.REGTYPE),
        (f"../{RUN}/training.json", tarfile.REGTYPE),
        ("games-sim/../../../../training.json", tarfile.REGTYPE),
        (f"/{RUN}/training.json", tarfile.REGTYPE),
        (f"{RUN}/weights/model.safetensors", tarfile.REGTYPE),
        (f"{RUN}/training.json", tarfile.SYMTYPE),
        (f"{RUN}/training.json", tarfile.LNKTYPE),
        (f"{RUN}/training.json", tarfile.FIFOTYPE),
    ],
    ids=["above", "above, a record", "up and down", "absolute", "weights", "symlink", "hard link", "fifo"],
)
def test_hostile_archives_are_refused_before_anything_is_written(name: str, kind: bytes, root: Path) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    file = root / "experiments" / "results" / "records" / "theirs.tar.gz"
    file.parent.mkdir(parents=True)
    with tarfile.open(file, "w:gz") as archive:
        good = tarfile.TarInfo(f"{RUN}/config.yaml")
        archive.addfile(good, io.BytesIO())
        archive.addfile(member)
    before = sorted(root.rglob("*"))
    with pytest.raises(InputError) as error:
        read_archives()
    assert str(error.value).startswith(f"{file}: expected only regular files of records, got {name!r}. Remove the")
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pack=nowhere"], "pack=nowhere: there is no such folder"),
        (["pack=runs/games-sim"], "pack=runs/games-sim: found no finished run there, and 0 unfinished"),
        (["pack=runs", "out=records.zip"], "out=records.zip: tables read only archives that end in .tar.gz"),
        (["pack=runs", "scale=cpu"], "scale: pack takes only out"),
        (["pack=runs", "out=runs/x.tar.gz/y.tar.gz"], "cannot write runs/x.tar.gz/y.tar.gz: "),
    ],
    ids=["no folder", "no run", "name", "other", "unwritable"],
)
def test_what_cannot_be_packed_is_said(
    arguments: list[str],
    says: str,
    root: Path,
    ran: Mapping[Any, Job],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(root)
    (root / "runs" / "x.tar.gz").touch()
    monkeypatch.setattr(sys, "argv", ["report", *arguments])
    with pytest.raises(SystemExit) as end:
        report_command.main()
    assert end.value.code == 2
    assert says in capsys.readouterr().err


def test_an_older_archive_is_replaced_and_stays_when_packing_fails(root: Path, ran: Mapping[Any, Job]) -> None:
    file = root / "experiments" / "ours.tar.gz"
    file.parent.mkdir()
    file.write_text("older")
    users = ran["SFT", 1].record / "rows.parquet"
    whole = users.read_bytes()
    users.write_bytes(whole[:-10])
    with pytest.raises(InputError, match=rf"{users} is damaged"):
        pack_records(root / "runs", file)
    assert file.read_text() == "older"
    users.write_bytes(whole)
    pack_records(root / "runs", file)
    assert gzip.decompress(file.read_bytes())
    assert [left.name for left in file.parent.iterdir()] == ["ours.tar.gz"]
