"""The main job: what a run shows, what it leaves, and what it does when it is asked for again."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from tests.cli.commands import DEBUG, Done, Workplace

TRAINING_FILES = ("config.yaml", "training.json", "leakage.json", "curves.csv", "weights/model.safetensors")
EVALUATION_FILES = ("ranking.parquet", "ranking.json", "rows.parquet", "metrics.json")


def test_first_and_last_lines_of_a_simulated_run_say_so(trained: tuple[Workplace, Done]) -> None:
    lines = trained[1].output.strip().splitlines()
    assert lines[0].startswith("SIMULATED data: games-sim")
    assert lines[-1].startswith("SIMULATED data (games-sim)")


def test_run_announces_users_items_and_rows(trained: tuple[Workplace, Done]) -> None:
    _, done = trained
    announced = done.output[done.output.index("games-sim: ") :].split("\n", 2)[:2]
    for word in (" items ", " users", "train ", "tuned on 160", "valid ", "test "):
        assert word in " ".join(announced)


def test_final_table_has_six_metrics_for_model_floor_and_best_possible(trained: tuple[Workplace, Done]) -> None:
    lines = trained[1].output.splitlines()
    header = next(line.split() for line in lines if "NDCG@10" in line)
    assert header == ["split", "recommender", "NDCG@5", "NDCG@10", "HR@1", "HR@5", "HR@10", "MRR@10"]
    for split in ("validation", "test"):
        for recommender in ("model", "popularity", "best possible"):
            assert any(line.split()[: 1 + len(recommender.split())] == [split, *recommender.split()] for line in lines)


def test_final_table_shows_the_figures_of_the_record(trained: tuple[Workplace, Done]) -> None:
    _, done = trained
    splits = json.loads((done.record() / "metrics.json").read_text())["splits"]
    row = next(line.split() for line in done.output.splitlines() if line.split()[:2] == ["test", "model"])
    assert row[3] == f"{splits['test']['by_title']['ndcg@10']:.4f}"


def test_record_lies_in_the_folder_of_its_run(trained: tuple[Workplace, Done]) -> None:
    place, done = trained
    assert done.run().parent == place.runs / "games-sim" / "next_item" / "tiny" / "msl"
    assert all((done.run() / file).is_file() for file in TRAINING_FILES)
    assert all((done.record() / file).is_file() for file in EVALUATION_FILES)


def test_finished_run_keeps_no_checkpoints(trained: tuple[Workplace, Done]) -> None:
    assert not (trained[1].run() / "checkpoints").exists()


def test_curves_hold_loss_temperature_gradient_norm_throughput_and_memory(trained: tuple[Workplace, Done]) -> None:
    logged = {line.split(",")[1] for line in (trained[1].run() / "curves.csv").read_text().splitlines()[1:]}
    wanted = ("loss", "temperature", "gradient_norm", "learning_rate", "tokens_per_second", "memory_gib")
    assert {f"train/{name}" for name in wanted} | {"valid/ndcg@10"} <= logged


def test_training_says_where_it_comes_from(trained: tuple[Workplace, Done]) -> None:
    training = json.loads((trained[1].run() / "training.json").read_text())
    assert training["scale"] == "debug"
    assert training["dataset"]["name"] == "games-sim"
    assert training["dataset"]["simulated"]
    assert {"torch", "transformers", "python"} <= set(training["provenance"]["versions"])
    assert training["identity"]["catalogue"]


def test_rankings_and_values_have_one_row_per_evaluated_user(trained: tuple[Workplace, Done]) -> None:
    ranking, rows = (pq.read_table(trained[1].record() / name) for name in ("ranking.parquet", "rows.parquet"))
    assert len(ranking) == len(rows) == 40
    assert {"split", "row", "user", "target", "target_title", "titles", "scores"} <= set(ranking.column_names)
    assert {"split", "row", "user", "target", "by_title.rank", "by_item.ndcg@10"} <= set(rows.column_names)


def test_finished_run_is_read_and_not_run_again(place: Workplace) -> None:
    # A run of its own: other workers evaluate the shared one meanwhile.
    done = place.train("objective=msl", "dataset=games")
    before = written(done.run())
    again = place.train("objective=msl", "dataset=games")
    assert "done already" in again.output
    assert again.record() == done.record()
    assert written(done.run()) == before


@pytest.mark.slow
def test_stage_is_run_first_as_a_run_of_its_own_and_then_reused(place: Workplace) -> None:
    short = ("trainer.epochs=1", "evaluation.users=5")
    staged = place.train("objective=msl", "stage=sft", *short)
    (stage,) = (place.runs / "games-sim" / "next_item" / "tiny" / "sft").iterdir()
    assert "first its stage: " in staged.output
    assert json.loads((staged.run() / "training.json").read_text())["stages"] == {"start": str(stage)}

    before = written(stage)
    assert place.train("objective=sft", *short).run() == stage
    again = place.train("objective=msl", "stage=sft", "objective.temperature=2", *short)
    assert again.run() != staged.run()
    assert "first its stage: " not in again.output
    assert written(stage) == before


@pytest.mark.slow
def test_saved_huggingface_model_with_lora_and_a_fixed_temperature(place: Workplace) -> None:
    saved = save_random_llama(place.root / "llama", tokenizer_of=place.cache)
    done = place.train("backbone=hf", f"backbone.path={saved}", "adapter=lora", "objective.temperature=4.5")
    assert done.run().parent.parent.name == "hf-lora"
    weights = done.run() / "weights"
    assert (weights / "adapter_model.safetensors").is_file()
    assert not (weights / "model.safetensors").exists()
    temperatures = {
        line.split(",")[2] for line in (done.run() / "curves.csv").read_text().splitlines() if ",train/temp" in line
    }
    assert temperatures == {"4.5"}


@pytest.mark.parametrize("group", ["objective", "dataset", "backbone"])
def test_unknown_option_of_a_group_lists_the_options(group: str, tmp_path: Path) -> None:
    done = Workplace(tmp_path, tmp_path / "cache").run("llmrec.run", f"{group}=nonsense")
    assert done.status == 2
    known = {"objective": ("msl", "sft"), "dataset": ("books", "games"), "backbone": ("hf", "tiny")}[group]
    (line,) = done.output.splitlines()
    assert line.startswith(f"llmrec: {group}=nonsense: there is no such option. Choose one of ")
    assert all(option in line for option in known)


def test_absent_real_set_stops_the_run_with_its_remedy(tmp_path: Path) -> None:
    done = Workplace(tmp_path, tmp_path / "cache").run("llmrec.run", "dataset=books", "dataset.source=real")
    assert done.status == 2
    assert done.output.startswith("llmrec: dataset books: no folder ")
    assert "LLMREC_DATA" in done.output
    assert not (tmp_path / "runs").exists()


def test_runs_that_cannot_be_written_stop_the_run_with_its_remedy(tmp_path: Path) -> None:
    # Tests may run as root, whom no permission stops; a file in the folder's place stops anyone.
    (tmp_path / "runs").touch()
    done = Workplace(tmp_path, tmp_path / "cache").run("llmrec.run", *DEBUG, "logger=csv")
    assert done.status == 2
    assert done.output.startswith(f"llmrec: cannot write {tmp_path / 'runs'}")
    assert "paths.runs" in done.output


def save_random_llama(folder: Path, tokenizer_of: Path) -> Path:
    """A random Llama saved with the tokenizer of a pretrained backbone in a cache."""
    pretrained = min((tokenizer_of / "tiny").glob("games-sim-*"))
    tokenizer = AutoTokenizer.from_pretrained(pretrained)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=512, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def written(run: Path) -> dict[str, int]:
    """When each file that a training or an evaluation leaves was last written."""
    return {
        str(file.relative_to(run)): file.stat().st_mtime_ns
        for file in run.rglob("*")
        if file.is_file() and file.name not in (".lock", "run.log") and ".hydra" not in file.parts
    }
