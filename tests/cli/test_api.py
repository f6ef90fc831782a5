"""The Python API on a trained run: its figures, rankings, recommendations and probabilities, and comparisons."""

import importlib
import json
import math
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import llmrec
from llmrec.api import Comparison, InputError
from llmrec.decoding.edge_scores import NEGATIVE_INFINITY
from llmrec.hf import TitleConstraint
from tests.cli.commands import DEBUG, Done, Workplace

OVERRIDES = ["objective=msl", "dataset=games", *DEBUG, "logger=csv"]


@pytest.fixture(autouse=True)
def folders(trained: tuple[Workplace, Done], monkeypatch: pytest.MonkeyPatch) -> None:
    """Has this process use the folders of the trained run."""
    place = trained[0]
    for name in ("LLMREC_DATA", "LLMREC_CACHE", "LLMREC_RUNS"):
        monkeypatch.setenv(name, place.environment()[name])
    monkeypatch.chdir(place.root)


@pytest.fixture(scope="module")
def run(trained: tuple[Workplace, Done]) -> llmrec.Run:
    place, done = trained
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LLMREC_DATA", "LLMREC_CACHE", "LLMREC_RUNS"):
            patch.setenv(name, place.environment()[name])
        opened = llmrec.open(done.run())
        assert opened.recommender
    return opened


@pytest.fixture(scope="module")
def titles(run: llmrec.Run) -> list[str]:
    distinct: list[str] = run.recommender.dataset.items.distinct_titles
    return distinct


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'pyarrow', 'omegaconf', 'hydra'}"
    program = f"import sys, llmrec; print(sorted({heavy} & sys.modules.keys()), llmrec.__version__)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[] 0.1.0"


def test_no_function_has_the_name_of_a_module() -> None:
    for module in pkgutil.iter_modules(llmrec.__path__):
        if module.name != "__main__":
            importlib.import_module(f"llmrec.{module.name}")
    for name in ("train", "open", "compare"):
        assert callable(getattr(llmrec, name))
    assert isinstance(llmrec.Run, type)
    assert not hasattr(llmrec, "nothing_of_this_name")


def test_train_reads_a_finished_run(trained: tuple[Workplace, Done]) -> None:
    run = llmrec.train(OVERRIDES)
    assert run.folder.resolve() == trained[1].run().resolve()
    assert run.config.seed == 42
    assert run.metrics == json.loads((trained[1].record() / "metrics.json").read_text())["splits"]


def test_train_finishes_an_interrupted_run(trained: tuple[Workplace, Done], tmp_path: Path) -> None:
    run = llmrec.train(["baseline=popularity", "dataset=games", *DEBUG, "logger=csv", f"paths.runs={tmp_path}"])
    before = run.metrics
    (run.ranking / "metrics.json").unlink()
    with pytest.raises(InputError, match="no finished evaluation"):
        assert llmrec.open(run.folder).metrics
    again = llmrec.train(["baseline=popularity", "dataset=games", *DEBUG, "logger=csv", f"paths.runs={tmp_path}"])
    assert again.folder == run.folder
    assert again.metrics == before
    assert (run.folder / ".hydra" / "overrides.yaml").read_text().splitlines()[0] == "- baseline=popularity"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["objective=mls"], "did you mean objective=msl"),
        (["decoding.beam=3"], "did you mean decoding.beams"),
        (["seed=1,2"], "sweep"),
        (["-m"], "key=value"),
        (["trainer.epochs=-1"], "epochs"),
    ],
)
def test_train_refuses_what_the_command_refuses(overrides: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        llmrec.train(overrides)


def test_open_refuses_other_folders(tmp_path: Path, run: llmrec.Run) -> None:
    with pytest.raises(InputError, match="not the folder of a run"):
        llmrec.open(tmp_path)
    with pytest.raises(InputError, match="train another"):
        llmrec.open(run.folder, ["seed=1"])


def test_open_takes_the_folder_of_a_ranking(run: llmrec.Run) -> None:
    opened = llmrec.open(run.ranking)
    assert opened.folder == run.folder
    assert opened.ranking == run.ranking
    assert opened.config.decoding == run.config.decoding


def test_open_with_other_settings_has_another_ranking(run: llmrec.Run) -> None:
    opened = llmrec.open(run.folder, ["decoding.scores=vocab"])
    assert opened.config.decoding.scores == "vocab"
    assert opened.ranking.parent == run.ranking.parent
    assert opened.ranking != run.ranking


def test_rankings_are_a_data_frame_of_the_file(run: llmrec.Run) -> None:
    frame = run.rankings
    assert frame.columns[:4] == ["split", "row", "user", "target"]
    assert frame["titles"].to_list() == pq.read_table(run.ranking / "ranking.parquet")["titles"].to_pylist()
    assert frame["split"].unique(maintain_order=True).to_list() == ["valid", "test"]


def test_rankings_without_polars_name_the_install(
    trained: tuple[Workplace, Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmrec.trained_run.installed_folder", lambda package: None)
    with pytest.raises(InputError, match=r"pip install 'llmrec\[prepare\]'"):
        assert llmrec.open(trained[1].run()).rankings is not None


def test_recommend_gives_what_the_ranking_holds(run: llmrec.Run) -> None:
    first = run.rankings.filter(split="test").row(0, named=True)
    dataset = run.recommender.dataset
    history = [dataset.items.titles[item] for item in dataset.test.history_of(0)]
    (ten,) = run.recommend([history])
    assert [entry["title"] for entry in ten] == first["titles"]
    # In bfloat16, scores depend a little on the batch.
    assert [entry["score"] for entry in ten] == pytest.approx(first["scores"], abs=0.05)
    assert [len(row) for row in run.recommend([history, history[:1]], k=3)] == [3, 3]


def test_recommend_gives_more_titles_than_the_run_has_beams(run: llmrec.Run, titles: list[str]) -> None:
    (row,) = run.recommend([titles[:2]], k=25)
    assert len({entry["title"] for entry in row}) == 25
    assert run.recommender.ranker.decoder.list_length == 10


def test_one_history_instead_of_a_list_is_refused(run: llmrec.Run, titles: list[str]) -> None:
    with pytest.raises(InputError, match="list of histories"):
        run.recommend(titles[:2])
    with pytest.raises(InputError, match="k=0"):
        run.recommend([titles[:2]], k=0)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("scores", ["trie", "vocab"])
def test_log_probabilities_are_the_scores_of_the_ranking(
    run: llmrec.Run, titles: list[str], scores: str, temperature: float
) -> None:
    opened = llmrec.open(run.folder, [f"decoding.scores={scores}", f"decoding.temperature={temperature}"])
    (row,) = opened.recommend([titles[:3]], k=10)
    found = opened.log_probabilities(titles[:3], [entry["title"] for entry in row])
    assert found == pytest.approx([entry["score"] for entry in row], abs=2e-3)


def test_temperature_training_is_that_of_the_selected_checkpoint(run: llmrec.Run, titles: list[str]) -> None:
    temperature = run.training["temperature"]
    assert temperature > 1
    given, trained = (
        llmrec.open(run.folder, [f"decoding.temperature={value}"]).recommend([titles[:3]])[0]
        for value in (temperature, "training")
    )
    assert trained == given
    assert trained != run.recommend([titles[:3]])[0]


def test_trie_probabilities_of_the_catalogue_sum_to_one(run: llmrec.Run, titles: list[str]) -> None:
    trie = run.recommender.ranker.data.trie
    distinct = [titles[title] for title in trie.leaf_title.tolist()]
    assert np.exp(run.log_probabilities(titles[:2], distinct)).sum() == pytest.approx(1, abs=1e-4)


def test_vocab_log_probabilities_equal_a_plain_forward_pass(run: llmrec.Run, titles: list[str]) -> None:
    opened = llmrec.open(run.folder, ["decoding.scores=vocab"])
    ranker = opened.recommender.ranker
    prompt = ranker.data.prompt_tokenizer.histories([titles[:2]], cached=False).of(0)
    expected = []
    for title in (4, 0, 7):
        tokens = [int(token) for token in ranker.data.titles.of(title)]
        with torch.inference_mode():
            logits = ranker.backbone.causal_lm(torch.tensor([[*prompt.tolist(), *tokens]])).logits[0].double()
        steps = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        expected.append(sum(float(steps[place, token]) for place, token in enumerate(tokens)))
    found = opened.log_probabilities(titles[:2], [titles[4], titles[0], titles[7]])
    assert found == pytest.approx(expected, abs=2e-3)


def test_a_title_of_the_history_has_no_probability_if_it_is_excluded(run: llmrec.Run, titles: list[str]) -> None:
    opened = llmrec.open(run.folder, ["decoding.exclude_history=true"])
    first, other = opened.log_probabilities(titles[:1], titles[:2])
    assert first == NEGATIVE_INFINITY
    assert math.isfinite(other)


def test_an_unknown_title_is_refused_with_near_ones(run: llmrec.Run, titles: list[str]) -> None:
    with pytest.raises(InputError, match="Did you mean") as refused:
        run.log_probabilities([], [titles[0][:-1]])
    assert repr(titles[0]) in str(refused.value)


def test_near_titles_are_suggested_for_the_first_unknown_ones(
    run: llmrec.Run, titles: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    run.recommend([[title[:-1] for title in titles[:5]]], k=1)
    warned = [record.getMessage() for record in caplog.records if "is not in the catalogue" in record.getMessage()]
    assert ["Did you mean" in message for message in warned] == [True, True, True, False, False]
    assert repr(titles[0]) in warned[0]


def test_constraint_of_a_run_generates_its_titles(run: llmrec.Run, titles: list[str]) -> None:
    ranker = run.recommender.ranker
    prompt = torch.from_numpy(ranker.data.prompt_tokenizer.histories([titles[:2]], cached=False).of(0)).long()[None]
    constraint = TitleConstraint.from_run(run).after(prompt.shape[1])
    model = ranker.backbone.causal_lm
    rows = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=True, num_return_sequences=20, max_new_tokens=64,
        logits_processor=[constraint],
    )[:, prompt.shape[1] :]  # fmt: skip
    shown = {f'"{title}"' for title in titles}
    assert {ranker.backbone.tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows} <= shown


def test_compare_tests_the_difference_by_user(run: llmrec.Run, tmp_path: Path) -> None:
    baseline = llmrec.train(["baseline=popularity", "dataset=games", *DEBUG, "logger=csv"])
    found = llmrec.compare(run, baseline.folder)
    assert isinstance(found, Comparison)
    path = ("test", "by_title", "ndcg@10")
    one, other = (side.metrics[path[0]][path[1]][path[2]] for side in (run, baseline))
    assert found.difference == pytest.approx(one - other)
    assert found.rows == run.metrics["test"]["rows"]
    assert found.users == run.metrics["test"]["users"]
    assert llmrec.compare(baseline, run, "by_title.hr@5").difference == pytest.approx(
        baseline.metrics["test"]["by_title"]["hr@5"] - run.metrics["test"]["by_title"]["hr@5"]
    )


def test_compare_refuses_other_rows_data_splits_and_metrics(run: llmrec.Run, tmp_path: Path) -> None:
    common = ["baseline=popularity", *DEBUG, "logger=csv", f"paths.runs={tmp_path}"]
    fewer = llmrec.train([*common, "dataset=games", "evaluation.users=3"])
    other = llmrec.train([*common, "dataset=office", "evaluation.splits=[valid]"])
    with pytest.raises(InputError, match="did not rank the same rows"):
        llmrec.compare(run, fewer)
    with pytest.raises(InputError, match="same data"):
        llmrec.compare(run, other, split="valid")
    with pytest.raises(InputError, match="evaluated on valid, not on test"):
        llmrec.compare(run, other)
    with pytest.raises(InputError, match=r"Choose one of .*by_title.ndcg@10"):
        llmrec.compare(run, run, "by_title.ndcg@3")
