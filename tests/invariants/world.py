"""A small catalogue, eight training rows or lists and a random model, on which every shipped objective is tried."""

import functools
import pickle
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmrec.backbones.adapters import add_adapter
from llmrec.backbones.backbone import Backbone
from llmrec.backbones.embeddings import title_embeddings
from llmrec.backbones.tiny import train_tokenizer
from llmrec.baselines.base import Baseline, Fitting
from llmrec.baselines.open import build_baseline, open_baseline
from llmrec.catalogue.items import Items
from llmrec.datasets.dataset import Dataset, Rows
from llmrec.datasets.lists import Lists
from llmrec.examples.candidates import CandidatesData
from llmrec.examples.next_item import NextItemData
from llmrec.examples.rerank import RerankData
from llmrec.objectives.base import Objective
from llmrec.objectives.batch import Batch
from llmrec.objectives.sft import SFT
from llmrec.prompts.candidates_pretraining import CandidatesTexts
from llmrec.prompts.next_item_pretraining import NextItemTexts
from llmrec.prompts.rerank_pretraining import RerankTexts
from llmrec.training.preparation import RunPreparation
from tests.datasets.layouts import CONF, rows
from tests.objectives.given import no_titles
from tests.prompts.shipped import group
from tests.prompts.shipped import text as shipped_text

TITLES = [
    "Anno 1404", "Anno 1800", "Braid", "Celeste", "Civ 5", "Civ 6", "Doom", 'Doom" Box', "Elite", "Fez", "Fez", "Go",
]  # fmt: skip
"""With their quotes: a root with one child, eight first words, one title within another, one title twice."""

ROWS = rows(
    ("a", [0], 1, 1), ("b", [2, 3], 6, 2), ("c", [4, 5, 8], 7, 3), ("d", [9], 10, 4),
    ("e", [11, 0, 2], 3, 5), ("f", [6], 8, 6), ("g", [7, 1], 11, 7), ("h", [5], 4, 8),
)  # fmt: skip

CANDIDATES = [
    [2, 6, 1, 11], [0, 8, 6, 3], [7, 1, 9, 2], [10, 4, 5, 8], [6, 3, 1, 4], [8, 2, 11, 0], [5, 9, 3, 11], [4, 10, 7, 2],
]  # fmt: skip
"""Of each list as they are shown, four different titles."""

RATINGS = [
    [3, 5, 4, 1], [2, 2, 5, 4], [5, 1, 3, 2], [4, 1, 1, 1], [3, 4, 5, 5], [1, 2, 3, 4], [4, 5, 5, 2], [1, 4, 2, 3],
]  # fmt: skip
"""Of the candidates, some of them equal."""

CONFIG = OmegaConf.create(
    {
        "task": {"candidates": 4, "seed": 0},
        "backbone": {"max_length": 200, "gradient_checkpointing": False},
        "prompt": group("alpaca"),
        "dataset": {"wording": {"item": "game", "items": "games", "verb": "played"}},
        "trainer": {"batch_size": 8, "micro_batch_size": None, "strategy": "auto", "devices": 1},
        "seed": 1,
        "baseline": {
            "name": "sasrec",
            "_target_": "llmrec.baselines.sasrec.SASRec",
            "hidden_size": 16,
            "dropout": 0.0,
            "learning_rate": 0.01,
            "max_epochs": 60,
            "patience": 60,
        },
    }
)
LORA = OmegaConf.create(
    {"name": "lora", "rank": 4, "alpha": 8, "dropout": 0.0, "modules": ["q_proj", "v_proj"], "eight_bit": False}
)

VARIANTS = {
    "alro": [
        ["objective.alpha=0"],
        ["objective.beta=0"],
        ["objective.normalise=false", "objective.gamma=5"],
    ],
    "sft": [["task=rerank"]],
    "msl": [
        ["objective.temperature=4.5", "objective.reduction=response"],
        ["objective.statistics=same_step"],
        ["task=rerank"],
        ["task=rerank", "objective.temperature=4.5"],
    ],
    "gdrt": [
        ["objective/token_loss=msl", "objective.temperature=2", "objective.group_count=4"],
        ["objective.statistics=same_step", "objective.prior=uniform", "objective.group_count=3"],
        ["objective/token_loss=msl", "objective.groups=position", "objective.group_count=2", "objective.ema=0.9"],
        ["objective/token_loss=msl", "objective.token_loss.statistics=same_step", "objective.groups=random"],
        ["objective.weights=inverse_relevance", "objective.reference=current"],
    ],
    "apao": [["objective/token_loss=msl", "objective.beta=0.5", "objective.eta=0.5"]],
    "bear": [["objective.temperature=2", "objective.k=2", "objective.topk_weight=3"], ["task=rerank"]],
    "cft": [
        ["objective/token_loss=msl", "objective.token_loss.temperature=2", "objective.alpha=1"],
        ["task=candidates"],
    ],
    "igd": [["objective/token_loss=msl", "objective.beta=0.5"]],
    "dmpo": [["objective/rejected=popularity", "objective.negatives=2", "objective.scores=trie"]],
    "grpo": [
        ["objective.scores=trie", "objective.rollout=sample", "objective.add_target=true"],
        ["objective.inner_steps=2", "objective.ranking=0", "objective.kl=0"],
    ],
    "simpo": [["objective.scores=trie", "objective.gamma=2"]],
    "dpo": [["objective/rejected=self_hard", "objective.scores=trie"]],
    "sdpo": [
        ["objective/rejected=popularity", "objective.negatives=2", "objective.beta=1"],
        ["task=candidates", "objective/rejected=candidates", "objective.negatives=2"],
    ],
    "rosepo": [
        ["objective/rejected=semantic", "objective.oracle.cap=0.2"],
        ["objective/rejected=mixture", "objective.scores=trie", "objective.beta=0.5"],
    ],
}
"""Settings that are tried beside each YAML's own, as overrides."""

CASES = [
    (path.stem, *changes)
    for path in sorted((CONF / "objective").glob("*.yaml"))
    for changes in [[], *VARIANTS.get(path.stem, [])]
]
"""Every YAML of conf/objective with its own settings, and the variants: a new file joins by itself."""

CASES_BY_TIER = [
    pytest.param(case, marks=pytest.mark.slow if len(case) > 1 else (), id=" ".join(case)) for case in CASES
]
"""Parameters of a test; `make test` runs it with each YAML's own settings."""


SMALL = {"grpo": ["objective.group=6"]}
"""Settings that the small catalogue needs."""
COMPOSED: dict[tuple[str, ...], Any] = {}
"""The configs of cases that have been composed, which takes half a second each."""


def build_objective(case: Sequence[str]) -> Objective:
    """The objective of a case: the name of its YAML, then changes to its settings."""
    objective: Objective = hydra.utils.instantiate(composed(case).objective)
    return objective


def composed(case: Sequence[str]) -> Any:
    """The config of a case."""
    name, *changes = key = tuple(case)
    if key not in COMPOSED:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            COMPOSED[key] = compose("config", overrides=[f"objective={name}", *SMALL.get(name, []), *changes])
    return COMPOSED[key]


def task_of(case: Sequence[str]) -> str:
    """The task that a case trains for."""
    return str(composed(case).task.name)


def small_dataset(sample: Rows = ROWS, task: str = "next_item") -> Dataset:
    """The catalogue with the same rows in every split; for task rerank with the same lists, or with candidates."""
    sample = small_candidates(sample) if task == "candidates" else sample
    items = Items([str(number) for number in range(len(TITLES))], TITLES)
    lists = dict.fromkeys(("train", "sample", "valid", "test"), small_lists(sample)) if task == "rerank" else {}
    return Dataset("small", True, items, sample, sample, sample, sample, "0", {}, lists=lists)


def small_lists(sample: Rows = ROWS) -> Lists:
    """A list for each row, after the same history; the ninth has the first one's candidates, and so on."""
    number = np.arange(len(sample))
    candidates, ratings = (np.array(part)[number % len(part)] for part in (CANDIDATES, RATINGS))
    candidates, ratings = candidates.astype(np.int32), ratings.astype(np.float32)
    best = replace(sample, target=candidates[number, ratings.argmax(axis=1)])
    history_rating = np.arange(len(sample.history), dtype=np.float32) % 5 + 1
    return Lists(best, history_rating, candidates, ratings)


def small_candidates(sample: Rows = ROWS) -> Rows:
    """The rows with four candidates each: the target, and items with other titles that are not in the history."""
    generator, candidates = np.random.default_rng(0), []
    for row, target in enumerate(sample.target.tolist()):
        known = {TITLES[item] for item in [target, *sample.history_of(row).tolist()]}
        new = [TITLES.index(title) for title in dict.fromkeys(TITLES) if title not in known]
        candidates.append(generator.permutation([target, *generator.choice(new, 3, replace=False)]))
    return replace(sample, candidates=np.array(candidates, dtype=np.int32))


@functools.cache
def small_tokenizer(task: str = "next_item") -> PreTrainedTokenizerFast:
    """One token a word of the prompt, a few a title."""
    texts = {"next_item": NextItemTexts, "candidates": CandidatesTexts, "rerank": RerankTexts}[task]
    text = shipped_text(task=task, wording=CONFIG.dataset.wording)
    return train_tokenizer(400 if task == "next_item" else 500, texts(text, small_dataset(task=task)))


def random_backbone(lora: bool = False, task: str = "next_item") -> Backbone:
    """The same random weights at every call; with lora, an adapter that has moved from its start is what is trained."""
    tokenizer = small_tokenizer(task)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=512, initializer_range=0.2,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    if not lora:
        return Backbone(model, tokenizer)
    adapted = add_adapter(model, LORA)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return Backbone(adapted, tokenizer)


@dataclass
class World:
    """An objective that has looked at model and data, as before the first training step."""

    objective: Objective
    backbone: Backbone
    data: Any  # NextItemData or, for task rerank, RerankData
    preparation: RunPreparation


def build_world(case: Sequence[str], cache: Path, lora: bool = False, sample: Rows = ROWS) -> World:
    """The world of a case; `cache` may be shared by all worlds."""
    objective = build_objective(case)
    preparation = preparation_of(cache, objective, lora, sample, task_of(case))
    objective.prepare(preparation)
    return World(objective, preparation.backbone, preparation.data, preparation)


def preparation_of(
    cache: Path,
    objective: Objective | None = None,
    lora: bool = False,
    sample: Rows = ROWS,
    task: str = "next_item",
) -> RunPreparation:
    """What an objective (None: SFT) is shown before training: a random model, and a SASRec that knows the rows.

    For task rerank: a random model and small_lists.
    """
    backbone = random_backbone(lora, task)
    dataset = small_dataset(sample, task)
    if task == "rerank":
        lists = RerankData(dataset, backbone, CONFIG)
        lists.setup_training(objective or SFT(), dataset.lists["valid"])
        return RunPreparation(
            backbone, lists.trie, lists, cache, None, 1, lambda: random_backbone(task=task), no_titles
        )
    data = title_data(backbone, cache, objective, sample, task)
    return RunPreparation(
        backbone, data.trie, data, cache, None, 1, random_backbone,
        embed_titles=lambda *_: title_embeddings(random_backbone(), *data.history_free_titles()),
        open_oracle=fitted_oracle(data.dataset), fit_oracle=lambda dataset: fitted_oracle(dataset)(), oracle_key="0",
    )  # fmt: skip


def title_data(
    backbone: Backbone,
    cache: Path,
    objective: Objective | None = None,
    sample: Rows = ROWS,
    task: str = "next_item",
) -> NextItemData:
    """The rows with titles as responses, set up for an objective (None: SFT)."""
    dataset = small_dataset(sample, task)
    data = {"next_item": NextItemData, "candidates": CandidatesData}[task](dataset, backbone, CONFIG, cache)
    data.setup_training(objective or SFT(), dataset.sample)
    return data


FITTED: dict[bytes, tempfile.TemporaryDirectory[str]] = {}
"""The oracles of this process by the rows that they know; a fit takes a second."""


def fitted_oracle(dataset: Dataset) -> Callable[[], Baseline]:
    """Opens a SASRec that has learnt the small dataset by heart."""
    known = pickle.dumps(dataset.train)
    if known not in FITTED:
        FITTED[known] = tempfile.TemporaryDirectory()
        cell = Path(FITTED[known].name)
        baseline = build_baseline(CONFIG.baseline)
        baseline.fit(dataset, Fitting(0, "cpu", cell / "fit.ckpt", lambda values, step: None, progress=False))
        (cell / "weights").mkdir()
        baseline.save(cell / "weights")
    return lambda: open_baseline(Path(FITTED[known].name), CONFIG.baseline, dataset)


def micro_batches(world: World, *parts: Sequence[int]) -> list[Batch]:
    """One micro-batch for each list of rows of a step."""
    if world.objective.samples_responses:
        world.objective.sample_responses(np.unique(np.concatenate([np.array(part) for part in parts])))
    return [world.data.batch(np.array(part)) for part in parts]


@dataclass(frozen=True)
class Step:
    """What one optimizer step computed: its loss, the gradient of every weight that has one, the objective's state."""

    loss: float
    gradients: Mapping[str, Tensor]
    state: Mapping[str, Tensor]


def take_step(world: World, batches: Sequence[Batch]) -> Step:
    """One step over its micro-batches, the weights left as they are; the objective's state moves."""
    totals = add([world.objective.totals(batch) for batch in batches])
    parts = []
    for batch in batches:
        part = world.objective(world.backbone.encode(batch.packed, batch.state_index), batch, totals)
        part.loss.backward()
        parts.append({**part.statistics, "loss": part.loss.detach().double()})
    closed = add(parts)
    divisor = float(world.objective.divisor(closed))
    loss = float(closed.pop("loss")) / divisor
    world.objective.close_step(closed)
    weights = {name: weight for name, weight in world.backbone.named_parameters() if weight.grad is not None}
    gradients = {name: weight.grad / divisor for name, weight in weights.items()}
    world.backbone.zero_grad()
    return Step(loss, gradients, {name: value.clone() for name, value in world.objective.state_dict().items()})


def add(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Named sums of all micro-batches."""
    return {name: torch.stack([torch.as_tensor(part[name]) for part in parts]).sum(0) for name in parts[0]}


def assert_same_step(one: Step, other: Step) -> None:
    """Equal to float32's rounding, gradients relative to the largest of all."""
    # A loss of advantages, whose mean is 0, has only rounding errors.
    assert other.loss == pytest.approx(one.loss, rel=1e-5, abs=1e-7)
    assert one.gradients.keys() == other.gradients.keys()
    largest = max(float(gradient.abs().max()) for gradient in one.gradients.values())
    for name, gradient in one.gradients.items():
        torch.testing.assert_close(other.gradients[name], gradient, atol=2e-5 * largest, rtol=0, msg=name)
    assert one.state.keys() == other.state.keys()
    for name, value in one.state.items():
        torch.testing.assert_close(other.state[name], value, atol=1e-6, rtol=1e-6, msg=name)
