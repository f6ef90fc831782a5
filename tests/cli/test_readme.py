"""The examples of README.md and docs/ work as they are printed: their files are written and their commands run."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from llmrec.training.run_folder import RunFolder
from tests.cli.commands import DEBUG, Done, Workplace
from tests.tiers import rest_slow

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = "\n".join(page.read_text(encoding="utf-8") for page in sorted((REPOSITORY / "docs").rglob("*.md")))
FILE = re.compile(r"^`([\w./-]+)`:\n\n```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def followed(trained: tuple[Workplace, Done], tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A folder in which every file that the pages show has been written."""
    root = tmp_path_factory.mktemp("readme")
    for name, content in FILE.findall(PAGES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    return Workplace(root, trained[0].cache)


def test_own_objective_trains(followed: Workplace) -> None:
    done = followed.run("llmrec.run", *arguments("mine/conf objective=smoothed"), *DEBUG, "logger=csv")
    assert done.status == 0, done.output
    assert done.run().parent == followed.runs / "games-sim" / "next_item" / "tiny" / "smoothed"


@pytest.mark.slow
def test_own_token_loss_goes_under_gdrt(followed: Workplace) -> None:
    done = followed.run("llmrec.run", *arguments("objective/token_loss=smoothed"), *DEBUG, "logger=csv")
    assert done.status == 0, done.output
    assert done.run().parent == followed.runs / "games-sim" / "next_item" / "tiny" / "gdrt-smoothed"


@pytest.mark.parametrize("task", rest_slow(["next_item", "rerank"]))
def test_own_prompt_is_one_file_and_trains(task: str, followed: Workplace) -> None:
    assert [name for name, content in FILE.findall(PAGES) if "prompt=recent" in content] == [
        "mine/conf/prompt/recent.yaml"
    ]
    task_arguments = ["task=rerank", "objective=sft"] if task == "rerank" else []
    done = followed.run("llmrec.run", *arguments("prompt=recent"), *task_arguments, *DEBUG, "logger=csv")
    assert done.status == 0, done.output
    assert RunFolder(done.run()).config().prompt.name == "recent"


@pytest.mark.slow
def test_own_objective_with_a_history_free_branch_trains(followed: Workplace) -> None:
    assert files_that_name("with_history") == {"mine/with_history.py", "mine/conf/objective/with_history.yaml"}
    done = followed.run("llmrec.run", *arguments("objective=with_history"), *DEBUG, "logger=csv")
    assert done.status == 0, done.output
    assert done.run().parent == followed.runs / "games-sim" / "next_item" / "tiny" / "with_history"


def test_own_metric_joins_record_console_and_existing_rankings(followed: Workplace) -> None:
    assert files_that_name("novelty") == {"mine/novelty.py", "mine/conf/metrics/novelty.yaml"}
    done = followed.run("llmrec.run", *arguments("metrics=novelty"), *DEBUG, "logger=csv", "objective=sft")
    assert done.status == 0, done.output
    novelty = {split: record["novelty"]["mean"] for split, record in splits(done).items()}
    for split, mean in novelty.items():
        rows = pq.read_table(done.record() / "rows.parquet", filters=[("split", "=", split)])
        assert mean > 0
        assert rows["novelty.mean"].to_numpy().mean() == pytest.approx(mean)
        assert f"{mean:.4f}" in done.output
    # A run that was measured without it.
    plain = followed.run("llmrec.run", "objective=sft", *DEBUG, "logger=csv")
    assert plain.run() == done.run()
    assert all("novelty" not in record for record in splits(plain).values())
    rankings = {file: file.stat().st_mtime_ns for file in done.run().rglob("ranking.parquet")}
    again = followed.run("llmrec.measure", f"run={done.run()}", "metrics=novelty", "--config-dir", "mine/conf")
    assert again.status == 0, again.output
    assert {split: record["novelty"]["mean"] for split, record in splits(plain).items()} == novelty
    assert {file: file.stat().st_mtime_ns for file in rankings} == rankings


def test_own_decoder_ranks(followed: Workplace) -> None:
    assert files_that_name("wide") == {"mine/wide.py", "mine/conf/decoding/wide.yaml"}
    done = followed.run("llmrec.run", *arguments("decoding=wide"), *DEBUG, "logger=csv", "objective=sft")
    assert done.status == 0, done.output
    ranked = pq.read_table(done.record() / "ranking.parquet")["titles"].to_pylist()
    assert {len(titles) for titles in ranked} == {10}
    # With 20 beams the first ten are those of a search that returns them all.
    wide = ("decoding=wide", "decoding.keep=20", "--config-dir", "mine/conf")
    again = followed.run("llmrec.evaluate", f"run={done.run()}", *wide)
    assert again.status == 0, again.output
    assert [titles[:10] for titles in pq.read_table(again.record() / "ranking.parquet")["titles"].to_pylist()] == ranked


def test_own_data_in_the_generic_layout_train(followed: Workplace) -> None:
    # The default reference of a real set takes minutes to open where its packages are installed.
    reference = "dataset.reference.relevance=tiny"
    done = followed.run("llmrec.run", *arguments("dataset=shop"), *DEBUG, "logger=csv", reference)
    assert done.status == 0, done.output
    assert done.run().parents[3] == followed.runs / "shop"
    assert "SIMULATED" not in done.output


def test_an_export_is_brought_without_renaming(followed: Workplace) -> None:
    exports = followed.root / "exports"
    exports.mkdir()
    days = [f"2024-01-{1 + (user + step):02}T12:00:00" for user in range(9) for step in range(9)]
    orders = [f"c{user};p{(user + step) % 9}" for user in range(9) for step in range(9)]
    lines = ["customer_id;sku;ordered_at", *(f"{order};{day}" for order, day in zip(orders, days, strict=True))]
    (exports / "orders.csv").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    (exports / "products.csv").write_text("\n".join(["sku,name", *(f"p{n},Product {n}" for n in range(9))]))
    made = followed.run("llmrec.prepare", *arguments("columns.user=", "llmrec.prepare"))
    assert made.status == 0, made.output
    assert "81 interactions of 9 users with 9 items in the 5-core" in made.output
    assert "times: 81 dates without zone, taken as UTC" in made.output
    reference = "dataset.reference.relevance=tiny"
    done = followed.run("llmrec.run", *arguments("dataset=orders"), *DEBUG, "logger=csv", reference)
    assert done.status == 0, done.output
    assert done.run().parents[3].name == "orders"


def test_own_reader_reads_what_the_generic_layout_holds(followed: Workplace) -> None:
    for stem in ("events", "items"):
        source = "interactions" if stem == "events" else stem
        table = pyarrow.csv.read_csv(followed.data / "shop" / f"{source}.csv")
        lines = [json.dumps(row) for row in table.to_pylist()]
        (followed.root / "dumps/shop").mkdir(parents=True, exist_ok=True)
        (followed.root / f"dumps/shop/{stem}.jsonl").write_text("\n".join(lines))
    command = arguments("reader=json_lines", "llmrec.prepare")
    own = followed.run("llmrec.prepare", *command, "out=own/shop")
    assert own.status == 0, own.output
    generic = followed.run(
        "llmrec.prepare", "reader=generic", f"path={followed.data}/shop", *command[-2:], "out=generic/shop"
    )
    assert own.output.splitlines()[:-2] == generic.output.splitlines()[:-2]
    assert "12 interactions of 3 users with 4 items in the 1-core" in own.output
    for split in ("items", "train", "valid", "test", "interactions"):
        found, expected = (pq.read_table(followed.root / made / f"shop/{split}.parquet") for made in ("own", "generic"))
        assert found == expected


def test_own_reader_is_chosen_by_the_command(followed: Workplace) -> None:
    done = followed.run(
        "llmrec.run", *arguments("dataset/reader=json_lines"), "--cfg", "job", "--package", "dataset.reader"
    )
    assert done.output.splitlines()[-1] == "_target_: mine.json_lines.JsonLines"


def test_every_file_that_a_link_names_is_there() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target


def test_config_groups_of_the_table_are_those_that_are_shipped() -> None:
    groups = {folder.name for folder in (REPOSITORY / "conf").iterdir() if folder.is_dir()} - {"hydra"}
    settings = (REPOSITORY / "docs/howto/settings.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", settings, re.MULTILINE)) == groups


def arguments(words: str, module: str = "llmrec.run") -> list[str]:
    """The arguments of the first command of a module in docs/ that holds some words."""
    lines = PAGES.replace("\\\n", " ").splitlines()
    command = next(line for line in lines if f"-m {module} " in line and words in line)
    return shlex.split(command.partition(f"-m {module} ")[2], comments=True)


def files_that_name(word: str) -> set[str]:
    """The files in docs/ whose name holds a word: what it takes to add such a part."""
    return {name for name, _ in FILE.findall(PAGES) if Path(name).stem == word}


def splits(done: Done) -> dict[str, Any]:
    """The record's metrics by split."""
    found: dict[str, Any] = json.loads((done.record() / "metrics.json").read_text())["splits"]
    return found
