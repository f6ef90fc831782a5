"""What a run cannot use is refused before the training, with what was wrong and what to do."""

import json
from pathlib import Path

import pytest
from omegaconf import DictConfig

from llmrec.errors import InputError
from llmrec.training.run_configuration import evaluate_again, run_configuration
from llmrec.training.run_folder import RunFolder, run_path
from llmrec.training.stages import stage_configs
from tests.datasets.layouts import write_generic, write_lines, write_msl
from tests.training.small import composed


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A trained run of a real set in the generic layout."""
    write_generic(tmp_path / "data" / "games")
    with composed(tmp_path, "trainer.epochs=1") as config:
        run_configuration(config)
        return RunFolder(tmp_path / "runs" / run_path(config))


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["dataset.source=real"], r"dataset games: no folder .*LLMREC_DATA"),
        (["dataset.source=nonsense"], r"dataset\.source=nonsense: choose one of auto, real, simulated"),
        (["dataset.train_samples=0"], r"dataset\.train_samples=0: give a whole number of at least 1 or null"),
        (["backbone=hf"], r"backbone\.path"),
        (["backbone=hf", "backbone.path=/absent/model"], r"backbone\.path=/absent/model"),
        (["backbone.max_length=10"], r"Raise backbone\.max_length"),
        (["backbone.max_length=60"], r"Raise backbone\.max_length by"),
        (["adapter=lora", "adapter.modules=[nonsense]"], r"no such modules. It has .*q_proj"),
        (
            ["objective.statistics=same_step", "trainer.micro_batch_size=4"],
            r"same_step .* is split into 4\. Set trainer\.micro_batch_size=null",
        ),
        (["dataset.reference={relevance: /absent/model}"], r"dataset\.reference\.relevance=/absent/model"),
        (["trainer.epochs=-1"], r"trainer\.epochs=-1: give a whole number of at least 0"),
        (["trainer.epochs=1.5"], r"trainer\.epochs=1\.5: give a whole number"),
        (["trainer.patience=0"], r"trainer\.patience=0: give a whole number of at least 1 or null"),
        (["trainer.patience=true"], r"trainer\.patience=true: give a whole number"),
        (["trainer.patience=few", "objective=dpo"], r"trainer\.patience=few: give a whole number"),
        (["trainer.micro_batch_size=0"], r"trainer\.micro_batch_size=0: give auto"),
        (["trainer.precision=16-mixed"], r"trainer\.precision=16-mixed: choose one of"),
        (["backbone.dtype=bfloat16"], r"would train bfloat16 weights"),
        (["adapter=qlora"], r"adapter=qlora holds weights in 8 bits, which needs a GPU"),
        (["objective=gdrt", "objective.groups=title"], r"choose one of relevance, random, position"),
        (["objective=gdrt", "objective.reference=sft"], r"Add stage=sft"),
        (["objective=gdrt", "objective.group_count=5000"], r"only \d+ different values of relevance"),
        (["objective.statistics=nonsense"], r"choose one of previous_step, same_step"),
        (["objective=cdpo", "objective.smoothing=1.0"], r"from 0 to below 1"),
        (["objective=rosepo", "objective.oracle.cap=-1"], r"objective\.oracle\.cap=-1"),
        (["objective=rosepo", "stage=sft"], r"Use stage=sft_and_oracle"),
        (["objective=dpo", "stage=none", "objective/rejected=semantic"], r"dataset\.reference\.relevance=tiny"),
        (["objective=dpo", "objective.max_epochs=1", "validation.every=2"], r"the 1 epochs"),
        (["baseline=sasrec", "baseline.rows=half"], r"baseline\.rows=half"),
        (["dataset.reference={encoder: /absent}"], r"dataset\.reference\.encoder=/absent"),
        (["dataset.wording.verb=[played, bought]"], r"dataset\.wording\.verb=.*give text"),
        (["objective=alro", "task.candidates=1"], r"task\.candidates=1: give a whole number of at least 2"),
        (["objective=alro", "task.candidates=27"], r"task\.candidates=27: .* at most 26 .* Lower task\.candidates"),
        (["objective=alro", "task.candidates=120"], r"catalogue's 113 titles\. Lower task\.candidates"),
        (["objective=alro", "task.negatives=3"], r"task\.negatives=3 of 10 candidates: give 9: the next item"),
        (["objective=alro", "task.relevance=stars"], r"task\.relevance=stars: choose one of auto, ratings, next_item"),
        (["objective=alro", "task.relevance=ratings"], r"games-sim has no ratings: set task\.relevance=next_item"),
        (["objective=alro", "backbone.max_length=100"], r"max_length by \d+, or lower task\.candidates"),
        (["objective=alro", "task=next_item"], r"ALRO trains for task=rerank, not for task=next_item\. Choose an"),
        (
            ["objective=gdrt", "task=rerank"],
            r"GDRT trains for task=next_item or candidates, not for task=rerank\. Choose an",
        ),
        (
            ["objective=dpo", "task=rerank"],
            r"DPO trains for task=next_item or candidates, not for task=rerank\. Choose an",
        ),
        (["objective=alro", "task=candidates"], r"ALRO trains for task=rerank, not for task=candidates\. Choose an"),
        (
            ["objective=sdpo", "objective/rejected=candidates"],
            r"SDPO trains for task=candidates, not for task=next_item",
        ),
        (["task=candidates", "decoding=trie"], r"for task=next_item, .* or decoding=candidates for task=candidates"),
        (["task=candidates", "prompt.candidates=null"], r"prompt=alpaca has no text for task=candidates"),
        (["task=candidates", "task.candidates=1"], r"task\.candidates=1: give a whole number of at least 2"),
        (["task=candidates", "task.candidates=120"], r"catalogue's 113 titles\. Lower task\.candidates"),
        (["task=candidates", "backbone.max_length=250"], r"20 candidates takes .*max_length by \d+ or more, or lower"),
        (
            ["task=rerank", "decoding=trie"],
            r"for task=next_item, .* has task=rerank: set .*decoding=permutation for task=rerank",
        ),
        (
            ["decoding=permutation"],
            r"for task=rerank, but the run has task=next_item: set decoding=trie, vocab, exact, d3 or grounding",
        ),
        (["objective=alro", "evaluation.orders=0"], r"evaluation\.orders=0: give a whole number of at least 1"),
        (["objective=alro", "evaluation.orders=null"], r"evaluation\.orders=null: give a whole number of at least 1"),
        (["objective=alro", "evaluation.orders=true"], r"evaluation\.orders=true: give a whole number of at least 1"),
        (["objective=alro", "decoding.seed=-1"], r"decoding\.seed=-1: give a whole number from 0 to"),
        (["evaluation.sample_seed=-1"], r"evaluation\.sample_seed=-1: give a whole number from 0 to"),
        (["objective=alro", "decoding.bootstrap=0"], r"decoding\.bootstrap=0: give a whole number of at least 1"),
        (["objective=alro", "objective.gamma=0"], r"objective\.gamma=0: give a number above 0"),
        (["baseline=mean_rating", "task=rerank"], r"set task=rerank and a dataset with ratings \(movielens_100k\)"),
        (["baseline=mean_rating", "dataset=movielens_100k"], r"mean_rating ranks lists by ratings: set task=rerank"),
        (["baseline=mean_rating", "baseline.damping=0"], r"baseline\.damping=0: give a number above 0"),
    ],
)
def test_setting_that_cannot_be_used_is_refused(overrides: list[str], says: str, tmp_path: Path, cache: Path) -> None:
    with composed(tmp_path, f"paths.cache={cache}", *overrides) as config, pytest.raises(InputError, match=says):
        run_configuration(config)
    # Nor has a stage been trained for it, or anything begun.
    assert not [path for name in ("training.json", "weights", "*.ckpt") for path in tmp_path.rglob(name)]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["objective=alro", "task=next_item"], r"ALRO trains for task=rerank"),
        (["prompt.next_item=null"], r"prompt=alpaca has no text for task=next_item\. Add the key next_item"),
        (["objective=alro", "task.negatives=10"], r"task\.negatives=10 of 10 candidates: give at most 9"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_before_data_is_opened(
    overrides: list[str], says: str, tmp_path: Path
) -> None:
    with composed(tmp_path, *overrides) as config, pytest.raises(InputError, match=says):
        run_configuration(config)
    assert not (tmp_path / "cache/datasets").exists()


def test_malformed_row_of_a_set_is_named(tmp_path: Path) -> None:
    write_msl(tmp_path / "data" / "games", test=['9,"[3, 4, 5]",40', '9,"[3, 4, oops]",50'])
    with composed(tmp_path) as config, pytest.raises(InputError, match=r"test\.csv, row 3: item_ids is .*oops"):
        run_configuration(config)


def test_splits_that_overlap_are_refused(tmp_path: Path) -> None:
    write_msl(tmp_path / "data" / "games", valid=['9,"[3, 4]",30'])
    with composed(tmp_path) as config, pytest.raises(InputError, match=r"train\.csv"):
        run_configuration(config)


def test_run_of_another_catalogue_is_refused(run: RunFolder, tmp_path: Path) -> None:
    items = tmp_path / "data" / "games" / "items.csv"
    write_lines(items, items.read_text().replace("Title 3", "Another title").splitlines())
    with pytest.raises(InputError, match=r"was trained with another catalogue .*LLMREC_DATA"):
        evaluate_again(run, other_decoding(run))


def test_run_whose_data_are_gone_is_not_evaluated_on_simulated_ones(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "data" / "games").rename(tmp_path / "data" / "elsewhere")
    with pytest.raises(InputError, match="was trained with another catalogue"):
        evaluate_again(run, other_decoding(run))


def test_run_of_another_tokenizer_is_refused(run: RunFolder) -> None:
    file = run.folder / "weights" / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    merges = tokenizer["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]
    file.write_text(json.dumps(tokenizer), encoding="utf-8")
    (run.folder / "checksums.json").unlink()
    with pytest.raises(InputError, match="was trained with another tokenizer"):
        evaluate_again(run, other_decoding(run))


def test_run_without_its_weights_is_refused(run: RunFolder) -> None:
    (run.folder / "weights").rename(run.folder / "elsewhere")
    with pytest.raises(InputError, match=r"weights is missing\. Train the run again"):
        evaluate_again(run, other_decoding(run))


def test_a_stage_of_another_dataset_is_refused(tmp_path: Path, cache: Path) -> None:
    with composed(tmp_path, f"paths.cache={cache}", "objective=dpo", "trainer.epochs=1") as config:
        (stage,) = stage_configs(config).values()
        run_configuration(stage)
        folder = RunFolder(tmp_path / "runs" / run_path(stage)).folder
        training = json.loads((folder / "training.json").read_text())
        training["dataset"] |= {"name": "office", "content_hash": "0123456789abcdef"}
        (folder / "training.json").write_text(json.dumps(training))
        (folder / "checksums.json").unlink()
        with pytest.raises(InputError, match=r"was trained on office \(0123456789ab\), this run is on games-sim"):
            run_configuration(config)


def test_damaged_record_is_refused_by_its_name(run: RunFolder) -> None:
    (record,) = (run.folder / "rankings").glob("*/metrics.json")
    record.write_text(record.read_text()[:50])
    with pytest.raises(InputError, match=f"{record} is damaged"):
        evaluate_again(run, run.config())


def other_decoding(run: RunFolder) -> DictConfig:
    """The run's config with a decoding that has not been measured."""
    config = run.config()
    config.decoding.beams = 2
    return config
