"""Items by tokens of their own: a user's file trains, evaluates, recommends and is diagnosed."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file
from transformers import AutoTokenizer

from llmrec.catalogue.items import Items
from llmrec.training.open_dataset import read_dataset
from llmrec.training.run_folder import RunFolder
from tests.cli.commands import Done, Workplace
from tests.tiers import rest_slow
from tests.training.small import resolved

TOKENS = ("items=tokens", "items.file=ids.index.json")
SHORT = ("dataset=games", "evaluation.users=5", "dataset.reference=null")


@pytest.fixture
def items(place: Workplace) -> Items:
    """The catalogue of the simulated set that the commands train on."""
    return read_dataset(resolved(place.root, "dataset=games")).items


def write_ids(place: Workplace, items: Items, shift: int = 0, **changes: Any) -> None:
    """Writes two tokens for each title, numbered from `shift`."""
    numbers = (items.title_of + shift) % len(items.distinct_titles)
    entries = {
        item: [f"<a_{number // 12}>", f"<b_{number % 12}>"] for item, number in zip(items.ids, numbers, strict=True)
    }
    (place.root / "ids.index.json").write_text(json.dumps(entries | changes))


@pytest.mark.parametrize("objective", rest_slow(["msl", "sft", "gdrt", "dpo"]))
def test_one_file_trains_and_recommends_titles(objective: str, place: Workplace, items: Items) -> None:
    write_ids(place, items)
    assert [path.name for path in place.root.iterdir() if path.is_file()] == ["ids.index.json"]
    done = place.train(f"objective={objective}", *SHORT, *TOKENS, "evaluation.unconstrained=true")
    assert re.search(r"items: \d+ new tokens represent the titles", done.output)
    ranked = pq.read_table(done.record() / "ranking.parquet").column("titles").to_pylist()
    assert all(len(set(titles)) == 10 and set(titles) <= set(items.distinct_titles) for titles in ranked)
    texts = pq.read_table(done.record() / "unconstrained.parquet").to_pylist()
    shown = {f"<a_{number // 12}><b_{number % 12}>" for number in range(len(items.distinct_titles))}
    assert all(row["is_title"] == (row["text"] in shown) for row in texts)
    history = json.dumps([items.titles[3], "Nobody's Game"])
    asked = place.run("llmrec.recommend", f"run={done.run()}", f"history={history}", "k=3")
    assert asked.status == 0, asked.output
    warning, *listed = asked.output.strip().splitlines()
    assert warning.endswith(
        '"Nobody\'s Game" is not in the catalogue of games-sim; it has no tokens and is left out of the history'
    )
    assert {re.split(r"\s{2,}", line.strip())[-1] for line in listed} <= set(items.distinct_titles)
    assert len(listed) == 3


@pytest.mark.slow
def test_an_adapter_holds_the_rows_of_the_new_tokens(place: Workplace, items: Items) -> None:
    write_ids(place, items)
    done = place.train("objective=msl", *SHORT, *TOKENS, "adapter=lora")
    weights = load_file(done.run() / "weights" / "adapter_model.safetensors")
    (rows,) = (weight for name, weight in weights.items() if "trainable_tokens_delta" in name)
    tokenizer = AutoTokenizer.from_pretrained(done.run() / "weights")
    new = [token for token in tokenizer.get_vocab() if re.fullmatch(r"<[ab]_\d+>", token)]
    assert len(rows) == len(new) == 12 + -(-len(items.distinct_titles) // 12)
    again = place.run("llmrec.evaluate", f"run={done.run()}", "decoding=vocab")
    assert again.status == 0, again.output


@pytest.mark.slow
def test_rerank_shows_candidates_by_tokens(place: Workplace, items: Items) -> None:
    write_ids(place, items)
    done = place.train("objective=alro", "task=rerank", *SHORT, *TOKENS, "task.candidates=5", "evaluation.orders=1")
    assert done.run().parts[-4] == "rerank"


@pytest.mark.slow
def test_a_run_is_diagnosed(place: Workplace, items: Items) -> None:
    write_ids(place, items)
    done = place.train("objective=sft", *SHORT, *TOKENS)
    asked = place.run("llmrec.diagnose", f"run={done.run()}", "users=5")
    assert asked.status == 0, asked.output


@pytest.mark.slow
def test_the_file_may_move_but_not_change(place: Workplace, items: Items) -> None:
    write_ids(place, items)
    done = place.train("objective=sft", *SHORT, *TOKENS, "adapter=lora")
    (place.root / "ids.index.json").rename(place.root / "moved.json")
    command = ("llmrec.evaluate", f"run={done.run()}", "decoding.beams=12")
    missing = place.run(*command)
    assert (missing.status, "ids.index.json cannot be read" in missing.last_line()) == (2, True)
    moved = place.run(*command, "items.file=moved.json")
    assert moved.status == 0, moved.output
    write_ids(place, items, shift=1)
    bases = len(list((place.cache / "tiny").iterdir()))
    changed = place.run("llmrec.evaluate", f"run={done.run()}", "decoding.beams=14")
    assert changed.status == 2
    assert len(list((place.cache / "tiny").iterdir())) == bases
    assert "was trained with other item tokens" in changed.last_line()
    assert "Point items.file to what it was trained with" in changed.last_line()


def test_files_that_do_not_fit_are_refused_before_the_training(place: Workplace, items: Items) -> None:
    write_ids(place, items, **{items.ids[0]: ["<eos>"]})
    command = ("llmrec.run", "scale=debug", "logger=csv", "objective=sft", *SHORT)
    refused = {
        (*TOKENS,): "items.file: 1 tokens are tokens of the tokenizer already, first '<eos>'",
        ("items=tokens",): "items=tokens needs a file. Set items.file=FILE",
        ("items=tokens", "items.file=nowhere.json"): "items.file=nowhere.json cannot be read",
        ("items=tokens", "items.file=few.json"): f"few.json: {len(items) - 1:,} of the {len(items):,} items of the",
    }
    (place.root / "few.json").write_text(json.dumps({items.ids[0]: ["<a_0>"]}))
    for settings, message in refused.items():
        done = place.run(*command, *settings)
        assert (done.status, message in done.last_line()) == (2, True), done.output
    assert not list(place.runs.rglob("training.json"))


def test_a_baseline_needs_no_tokens(place: Workplace) -> None:
    done = place.train("baseline=popularity", *SHORT, "items=tokens", "items.file=nowhere.json")
    assert done.run().parts[-3:-1] == ("baseline", "popularity")


def test_an_older_run_has_titles(trained: tuple[Workplace, Done], tmp_path: Path) -> None:
    stored = (trained[1].run() / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(stored.replace("items:\n  name: titles\n", "", 1))
    assert "items:\n  name:" not in (tmp_path / "config.yaml").read_text()
    assert RunFolder(tmp_path).config()["items"] == {"name": "titles"}
