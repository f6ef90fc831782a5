"""Golden values that are computed without a run: prepared data, prompts, tries, batches, features, a diagnosis."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from llmrec.backbones.backbone import Backbone
from llmrec.backbones.embeddings import title_embeddings
from llmrec.backbones.relevance import title_relevance
from llmrec.catalogue.cached import load_catalogue
from llmrec.catalogue.trie import Trie
from llmrec.conf_dir import conf_dir
from llmrec.datasets.load import load, prepare
from llmrec.datasets.source import locate
from llmrec.decoding.open_backbone import build_backbone
from llmrec.diagnosis.beam_run import diagnose_beam
from llmrec.diagnosis.diagnose_run import diagnose_run
from llmrec.evaluation.reference_features import reference_features
from llmrec.prompts.next_item import PromptTokenizer
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.text import Entry
from llmrec.tasks.base import build_task
from llmrec.training.run_folder import RunFolder
from llmrec.training.train import build_objective
from tests.datasets.dumps import write_amazon, write_minionerec, write_recbole, write_sdpo
from tests.datasets.layouts import group, write_generic, write_movielens, write_msl
from tests.datasets.review_dumps import write_goodreads, write_lastfm, write_lcrec, write_steam, write_yelp
from tests.golden import program
from tests.golden.cases import CANDIDATE_ROWS, NEXT_ITEM, REFERENCE, RERANK, UNTUNED
from tests.golden.digests import array_values, text_values
from tests.prompts.shipped import group as group_of_prompt
from tests.prompts.shipped import text

Values = dict[str, dict[str, Any]]
Fill = Callable[[str], str]
"""Replaces what stands for paths in overrides."""
HISTORY: list[Entry] = [
    {"title": "Iron Harbor", "categories": ["Action"], "rating": 4.0},
    {"title": 'Rock & Roll, "Live"', "categories": [], "rating": 2.5},
]
CANDIDATES: list[Entry] = [{"title": "Neon Squad", "identifier": " A"}, {"title": "Lost Moon", "identifier": " B"}]
TITLES = ["Iron Harbor", "Iron Harbor 2", "Neon Squad", 'Rock & Roll, "Live"']


def simulated(root: Path, fill: Fill) -> Values:
    """The simulated sets without and with ratings."""
    simulators = {name: group(name, source="simulated") for name in ("games", "movielens_100k")}
    return {name: {"prepared": _prepared(dataset, root)} for name, dataset in simulators.items()}


def sampled(root: Path, fill: Fill) -> Values:
    """The training sample of a simulated set."""
    dataset = group("games", source="simulated", train_samples=50)
    sample = load(dataset, root, root / "cache").dataset.sample
    return {"games": {"target": array_values(sample.target), "user": text_values(sample.user.tolist())}}


def read(write: Callable[[Path], Path], name: str, root: Path, fill: Fill, split: Any = (0.8, 0.1, 0.1)) -> Values:
    """A small folder in the layout of a reader."""
    data = root / f"data of {name}"
    if not data.exists():
        write(data / "own")
    return {"small": {"prepared": _prepared(group(name="own", source="real", split=split), data)}}


def amazon(root: Path, fill: Fill) -> Values:
    """A small dump of each year."""
    years = (2014, 2018, 2023)
    return {str(year): read(partial(write_amazon, year=year), f"amazon {year}", root, fill)["small"] for year in years}


def goodreads(root: Path, fill: Fill) -> Values:
    """A small dump, read with each choice of events and of dates."""
    data = root / "data of goodreads"
    if not data.exists():
        write_goodreads(data / "own")
    dates = ("date_added", "date_updated", "read_at", "started_at")
    values: Values = {}
    for key, value in (*product(["events"], ["read", "rated", "all"]), *product(["time"], dates)):
        reader = {"_target_": "llmrec.datasets.readers.goodreads.Goodreads", key: value}
        dataset = group(name="own", source="real", k_core=1, min_history=1, reader=reader)
        values[f"{key}={value}"] = {"prepared": _prepared(dataset, data)}
    return values


def lastfm(root: Path, fill: Fill) -> Values:
    """A small dump, read by tracks and by artists."""
    data = root / "data of lastfm"
    if not data.exists():
        write_lastfm(data / "own")
    values: Values = {}
    for item in ("track", "artist"):
        reader = {"_target_": "llmrec.datasets.readers.lastfm.LastFM", "item": item}
        values[f"item={item}"] = {"prepared": _prepared(group(name="own", source="real", reader=reader), data)}
    return values


def prompts(root: Path, fill: Fill) -> Values:
    """The shipped prompts, rendered with and without a history, and the tokens of one."""
    values: Values = {}
    for file in sorted((Path(conf_dir()) / "prompt").glob("*.yaml")):
        candidates = text(file.stem, "candidates")
        values[f"{file.stem}, candidates"] = {
            "candidates": [candidates.render(HISTORY, CANDIDATES), candidates.render([], CANDIDATES)]
        }
        if "next_item" not in group_of_prompt(file.stem):
            continue
        next_item, rerank = text(file.stem, "next_item"), text(file.stem, "rerank")
        values[file.stem] = {
            "next item": [next_item.render(HISTORY), next_item.render([])],
            "rerank": [rerank.render(HISTORY, CANDIDATES, rated=True), rerank.render(HISTORY, CANDIDATES)],
        }
    config, dataset = program.open_run(root, fill(f"{NEXT_ITEM} {UNTUNED}").split())
    backbone = _backbone(root, fill, NEXT_ITEM)
    prompt = Prompt(build_task(config).prompt(config, dataset.items), backbone.tokenizer)
    tokenizer = PromptTokenizer(prompt, dataset.items, 120, 0, root)
    cut = tokenizer.histories([TITLES * 3, TITLES[:1], []])
    return values | {"tokens": {"cut to 120": array_values(cut.tokens), "lengths": cut.lengths.tolist()}}


def catalogue(root: Path, fill: Fill) -> Values:
    """The trie of the titles of a simulated set."""
    _, dataset = program.open_run(root, fill(f"{NEXT_ITEM} {UNTUNED}").split())
    tokenizer = _backbone(root, fill, NEXT_ITEM).tokenizer
    end = tokenizer.eos_token_id
    assert isinstance(end, int)
    titles, trie, path = load_catalogue(tokenizer, dataset.items, "### Response:\n", end, root / "catalogue")
    arrays = {field.name: array_values(getattr(trie, field.name).numpy()) for field in fields(Trie)}
    return {"titles": {**arrays, "tokens": array_values(titles.tokens), "path": array_values(path)}}


def examples(root: Path, fill: Fill) -> Values:
    """The first step of training batches of one and of several branches."""
    values: Values = {}
    for name, settings, objective in (
        ("next item, one branch", NEXT_ITEM, "objective=msl"),
        ("next item, several branches", NEXT_ITEM, "objective=sdpo"),
        ("candidates, two prompts", CANDIDATE_ROWS, "objective=cft"),
        ("rerank", RERANK, "objective=alro"),
    ):
        config, dataset = program.open_run(root, fill(f"{settings} {objective}").split())
        task, built = build_task(config), build_objective(config, ("start",))
        data = task.data(dataset, _backbone(root, fill, settings), config, root / "cache")
        data.setup_training(built, task.validation_sample(dataset, config))
        if objective == "objective=sdpo":
            built.titles = np.arange(len(data.sample_prompts) * built.negatives).reshape(-1, built.negatives) % 9
        batch = data.batch(np.arange(6))
        packed = batch.packed
        values[name] = {
            field.name: array_values(getattr(packed, field.name).numpy())
            for field in fields(packed)
            if hasattr(getattr(packed, field.name), "numpy")
        } | {"token": array_values(batch.token.numpy()), "node": array_values(batch.node.numpy())}
    return values


def backbones(root: Path, fill: Fill) -> Values:
    """Log-probabilities and embeddings of titles by the base model."""
    config, dataset = program.open_run(root, fill(f"{NEXT_ITEM} {UNTUNED}").split())
    backbone = _backbone(root, fill, NEXT_ITEM)
    data = build_task(config).data(dataset, backbone, config, root / "cache")
    titles = data.history_free_titles()  # type: ignore[attr-defined]
    relevance = np.array([tokens.sum() for tokens in title_relevance(backbone, *titles, cache_dir=None)])
    embeddings = array_values(title_embeddings(backbone, *titles))
    return {"titles": {"relevance": relevance.tolist(), "embeddings": embeddings}}


def reference(root: Path, fill: Fill) -> Values:
    """Reference features by the base model and by the tiny model."""
    values: Values = {}
    for name, overrides in (("a saved model", REFERENCE), ("tiny", "dataset.reference={relevance:tiny,encoder:null}")):
        config, dataset = program.open_run(root, fill(f"{NEXT_ITEM} {UNTUNED} {overrides}").split())
        features = reference_features(config, dataset, root / "cache", "cpu")
        assert features.relevance is not None
        assert features.embeddings is not None
        # The embeddings of a model are determined up to its training, so a few similarities are enough.
        near = features.embeddings[:5] @ features.embeddings[:5].T
        values[name] = {"relevance": features.relevance.tolist(), "similarities": near.tolist()}
    return values


def diagnosis(root: Path, fill: Fill) -> Values:
    """The diagnoses of a tuned run."""
    folder = program.run(root, fill(f"{NEXT_ITEM} objective=sft").split())
    config, dataset = program.open_run(root, fill(f"{NEXT_ITEM} objective=sft").split())
    sample = {"users": 6, "seed": 0, "split": "valid"}
    record = diagnose_run(config, dataset, RunFolder(folder), sample)
    beam = diagnose_beam(config, dataset, RunFolder(folder), sample)
    return {
        "sft": {state: record[state] for state in ("before", "after")},
        "sft, beam": {name: beam[name] for name in ("pruned", "widths", "by_row")},
    }


COMPONENTS: dict[str, Callable[[Path, Fill], Values]] = {
    "backbones": backbones,
    "catalogue": catalogue,
    "datasets": sampled,
    "datasets.readers.amazon": amazon,
    "datasets.readers.generic": partial(read, write_generic, "generic"),
    "datasets.readers.movielens": partial(read, partial(write_movielens, layout="100k"), "movielens"),
    "datasets.readers.msl": partial(read, write_msl, "msl"),
    "datasets.readers.goodreads": goodreads,
    "datasets.readers.lastfm": lastfm,
    "datasets.readers.lcrec": partial(read, write_lcrec, "lcrec", split="leave_one_out"),
    "datasets.readers.minionerec": partial(read, write_minionerec, "minionerec"),
    "datasets.readers.recbole": partial(read, write_recbole, "recbole"),
    "datasets.readers.sdpo": partial(read, write_sdpo, "sdpo"),
    "datasets.readers.steam": partial(read, write_steam, "steam"),
    "datasets.readers.yelp": partial(read, write_yelp, "yelp"),
    "datasets.simulator": simulated,
    "diagnosis": diagnosis,
    "examples": examples,
    "prompts": prompts,
    "reference": reference,
}
"""By the name of the component."""


def _prepared(dataset: dict[str, Any], root: Path) -> dict[str, Any]:
    prepared = prepare(locate(dataset, root, root / "cache"), dataset)
    values: dict[str, Any] = {"titles": text_values(prepared.items.titles), "ids": text_values(prepared.items.ids)}
    for split in ("train", "valid", "test"):
        rows = getattr(prepared, split)
        numbers = ("history", "offsets", "target", "timestamp")
        values[split] = {name: array_values(getattr(rows, name)) for name in numbers}
        values[split]["user"] = text_values(rows.user.tolist())
    return values


def _backbone(root: Path, fill: Fill, settings: str) -> Backbone:
    config, dataset = program.open_run(root, fill(f"{settings} {UNTUNED}").split())
    texts = build_task(config).pretraining(config, dataset)
    return build_backbone(config, dataset, texts, root / "cache")
