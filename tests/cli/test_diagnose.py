"""The diagnosis of a trained run: what it shows and leaves, that it is read again, and what it refuses."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.commands import Done, Workplace
from tests.cli.test_run import written

SEGMENTS = ("task text", "generated prefix", "history")
SMALL = ("users=20", "trainer.progress=false")


@pytest.fixture(scope="module")
def run(trained: tuple[Workplace, Done], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the trained run: others hold the lock of the shared one meanwhile."""
    return copied(trained[1].run(), tmp_path_factory.mktemp("diagnosed") / "msl" / "0123456789abcdef")


@pytest.fixture(scope="module")
def diagnosed(trained: tuple[Workplace, Done], run: Path) -> Done:
    """The diagnosis of 20 rows, as a user types it."""
    done = trained[0].run("llmrec.diagnose", f"run={run}", *SMALL)
    assert done.status == 0, done.output
    return done


def test_simulated_data_say_so_first_and_last(diagnosed: Done) -> None:
    assert diagnosed.output.startswith("SIMULATED data: games-sim.")
    assert diagnosed.last_line().startswith("SIMULATED data (games-sim)")


def test_table_shows_the_figures_of_the_record_within_100_columns(diagnosed: Done) -> None:
    record = json.loads((folder(diagnosed) / "diagnosis.json").read_text())
    lines = diagnosed.output.splitlines()
    both = [record["before"], record["after"]]
    for kind, of in (("sum", "sum over the title"), ("per_token", "per token of the segment")):
        rows = {f"|{s}|, {of}": [f"{figures[kind][s]:.3f}" for figures in both] for s in SEGMENTS}
        rows[f"auxiliary : history, {of}"] = [f"{figures['ratio'][kind]:.2f}" for figures in both]
        for name, runs in rows.items():
            line = next(line for line in lines if line.strip().startswith(name))
            assert line.strip().removeprefix(name).split() == runs
    shares = [figures["most_relevant"]["share"] for figures in both] + [0.2]
    line = next(line for line in lines if "most relevant titles" in line)
    assert line.split()[-3:] == [f"{share:.3f}" for share in shares]
    title = "games-sim, msl: attribution of log P(title) to segments, in nats; 20 rows of valid"
    start = next(number for number, line in enumerate(lines) if line.startswith(title))
    assert max(map(len, lines[start:-3])) <= 100


def test_record_holds_the_settings_and_every_denominator(diagnosed: Done) -> None:
    record = json.loads((folder(diagnosed) / "diagnosis.json").read_text())
    assert record["sample"] == {"users": 20, "seed": 0, "split": "valid"}
    assert record["decoding"]["scores"] == "trie"
    assert record["rows"] == 20
    for state in ("before", "after"):
        figures = record[state]
        assert figures["rows_with_tokens"] == dict.fromkeys([*SEGMENTS, "auxiliary"], 20)
        assert figures["most_relevant"]["slots"] == 200
        assert 0 <= figures["most_relevant"]["share"] <= 1
        assert figures["by_position"]["rows"][0] == 20
        assert sum(figures["by_relevance"]["tokens"]) == sum(figures["by_position"]["tokens"])
        assert {name: len(means) for name, means in figures["by_position"]["mean"].items()} == dict.fromkeys(
            SEGMENTS, 11
        )
        assert all(figures["sum"][segment] > 0 for segment in SEGMENTS)


def test_tuning_changes_what_the_model_leans_on(diagnosed: Done) -> None:
    record = json.loads((folder(diagnosed) / "diagnosis.json").read_text())
    assert record["before"]["sum"] != record["after"]["sum"]


def test_plot_is_there_as_png_and_svg(diagnosed: Done) -> None:
    assert (folder(diagnosed) / "attribution.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (folder(diagnosed) / "attribution.svg").read_text()
    assert sorted(file.name for file in folder(diagnosed).iterdir()) == [
        "attribution.png",
        "attribution.svg",
        "checksums.json",
        "diagnosis.json",
    ]


def test_diagnosis_that_is_there_is_read(trained: tuple[Workplace, Done], run: Path, diagnosed: Done) -> None:
    before = written(folder(diagnosed))
    again = trained[0].run("llmrec.diagnose", f"run={run}", *SMALL)
    assert again.output.splitlines()[-12:] == diagnosed.output.splitlines()[-12:]
    assert written(folder(diagnosed)) == before


@pytest.mark.slow
def test_other_rows_or_decoding_make_another_diagnosis(
    trained: tuple[Workplace, Done], run: Path, diagnosed: Done
) -> None:
    others = [
        trained[0].run("llmrec.diagnose", f"run={run}", "users=3", "trainer.progress=false", setting)
        for setting in ("seed=1", "split=test", "decoding.beams=4")
    ]
    assert len({folder(done) for done in (diagnosed, *others)}) == 4
    records = [json.loads((folder(done) / "diagnosis.json").read_text()) for done in others]
    assert [record["sample"]["split"] for record in records] == ["valid", "test", "valid"]
    assert records[2]["after"]["most_relevant"]["slots"] == 3 * 4


def test_run_with_the_weights_it_began_with_was_changed_by_nothing(
    trained: tuple[Workplace, Done], run: Path, tmp_path: Path
) -> None:
    untuned = copied(run, tmp_path / "msl" / "0123456789abcdef")
    (base,) = trained[0].cache.glob("tiny/games-sim-*/model.safetensors")
    shutil.copy(base, untuned / "weights" / "model.safetensors")
    done = trained[0].run("llmrec.diagnose", f"run={untuned}", *SMALL)
    record = json.loads((folder(done) / "diagnosis.json").read_text())
    assert record["before"] == record["after"]


def test_beam_search_is_diagnosed_beside_the_exact_lists(trained: tuple[Workplace, Done], run: Path) -> None:
    done = trained[0].run("llmrec.diagnose", f"run={run}", "beam=true", *SMALL)
    assert done.status == 0, done.output
    place = folder(done)
    record = json.loads((place / "diagnosis.json").read_text())
    assert record["sample"] == {"users": 20, "seed": 0, "split": "valid", "beam": True}
    assert record["kept"] + sum(record["pruned"]["rows"]) == record["rows"] == 20
    assert [len(values) for values in record["by_row"].values()] == [20] * 5
    assert sum(rank is not None for rank in record["by_row"]["beam_rank"]) == record["kept"]
    assert record["widths"].keys() == {"5", "10", "20", "50"}
    assert f"{record['widths']['50']['recall']:.4f}" in done.output
    assert sorted(file.name for file in place.iterdir()) == [
        "beam.csv", "beam.png", "beam.svg", "checksums.json", "diagnosis.json",
    ]  # fmt: skip
    again = trained[0].run("llmrec.diagnose", f"run={run}", "beam=true", *SMALL)
    assert again.output.splitlines()[-12:] == done.output.splitlines()[-12:]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run={run}", "beam=true", "decoding=vocab"], "beam=true compares a beam search under trie scores"),
        (["run={run}", "beam=true", "decoding=exact"], "beam=true compares a beam search under trie scores"),
        (["run={run}", "decoding=d3"], "the decoder D3Decoder ranks by more than prompts and is not diagnosed"),
        (["run={run}", "beam=maybe"], "beam=maybe: give true or false"),
        (["run={run}", "users=0"], "users=0: give a whole number of at least 1"),
        (["run={run}", "users=some"], "users=some: give a whole number"),
        (["run={run}", "seed=-1"], "seed=-1: give a whole number of at least 0"),
        (["run={run}", "split=train"], "split=train: give valid or test"),
        (["run={run}", "objective.temperature=2"], "train another with llmrec.run"),
        (["run={run}/weights"], "is not the folder of a run"),
        (["users=20"], "run=<the folder of a trained run> is missing"),
    ],
)
def test_what_a_diagnosis_cannot_take_is_refused(
    arguments: list[str], says: str, trained: tuple[Workplace, Done], run: Path
) -> None:
    refused = trained[0].run("llmrec.diagnose", *(argument.format(run=run) for argument in arguments))
    assert refused.status == 2
    assert refused.output.startswith("llmrec: ")
    assert says in refused.output


def test_run_that_is_not_trained_is_refused(place: Workplace, run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "config.yaml", tmp_path)
    refused = place.run("llmrec.diagnose", f"run={tmp_path}")
    assert refused.status == 2
    assert "is not trained yet" in refused.output


def test_backbone_with_another_tokenizer_than_before_is_refused(place: Workplace, run: Path, tmp_path: Path) -> None:
    mine = copied(run, tmp_path / "msl" / "0123456789abcdef")
    (base,) = place.cache.glob("tiny/games-sim-*")
    shutil.copytree(place.cache, tmp_path / "cache")
    tokenizer = tmp_path / "cache" / base.relative_to(place.cache) / "tokenizer_config.json"
    settings = json.loads(tokenizer.read_text())
    tokenizer.write_text(json.dumps(settings | {"eos_token": settings["pad_token"]}))
    tokenizer.with_name("checksums.json").unlink()
    refused = Workplace(tmp_path, tmp_path / "cache").run("llmrec.diagnose", f"run={mine}", *SMALL)
    assert refused.status == 2
    assert "has another tokenizer now" in refused.output


def copied(run: Path, to: Path) -> Path:
    """What training left of a run, elsewhere."""
    shutil.copytree(run / "weights", to / "weights")
    for name in ("config.yaml", "training.json"):
        shutil.copy(run / name, to)
    return to


def folder(done: Done) -> Path:
    """The folder that a diagnosis named as its own."""
    named = re.search(r"^diagnosis: (.+)$", done.output, re.MULTILINE)
    assert named is not None, done.output
    return Path(named[1])
