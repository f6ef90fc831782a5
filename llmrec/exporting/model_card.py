"""The model card of an exported run: data, settings, metrics with intervals, limits, and how to open it."""

from collections.abc import Iterator
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData
from omegaconf import DictConfig

from llmrec import __version__
from llmrec.backbones.saved_files import local_folder
from llmrec.datasets.dataset import Dataset
from llmrec.exporting.base_model import local_base_note
from llmrec.plain import plain
from llmrec.prompts.text import PromptText
from llmrec.tasks.base import build_task
from llmrec.training.run_folder import RunFolder

CARD = "README.md"
SHOWN = ("task", "objective", "backbone", "adapter", "trainer", "decoding", "seed")
Z95 = 1.96
"""Half the width of a 95 % interval, in standard errors."""


def model_card(
    run: RunFolder, config: DictConfig, dataset: Dataset, record: dict[str, Any] | None, has_adapter: bool
) -> ModelCard:
    """Returns the model card.

    Args:
        run: The run's folder.
        config: The run's config.
        dataset: The run's dataset.
        record: The record of its evaluation; None if it is not evaluated.
        has_adapter: Whether the folder holds an adapter instead of a whole model.
    """
    objective = run.folder.resolve().parts[-2]
    metadata = ModelCardData(
        library_name="peft" if has_adapter else "transformers", pipeline_tag="text-generation",
        tags=["llmrec", "recommender-system", *(["simulated-data"] if dataset.simulated else [])],
        base_model=_hub_name(config),
    )  # fmt: skip
    parts = [
        f"# {objective} on {dataset.name}",
        f"A language model that recommends titles of a catalogue, tuned with llmrec {__version__}.",
        "## Data", _data(run, dataset),
        "## Metrics", *_metrics(record),
        "## Prompt", *_prompt(build_task(config).prompt(config, dataset.items)),
        "## Use", *_use(config, has_adapter),
        "## Limits", _limits(dataset, record),
        "## Settings", _code(_settings(config), "yaml"),
    ]  # fmt: skip
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")


def _hub_name(config: DictConfig) -> str | None:
    path = config.backbone.get("path")
    return str(path) if path and local_folder(path) is None else None


def _data(run: RunFolder, dataset: Dataset) -> str:
    kind = "SIMULATED: its users, events and titles are invented" if dataset.simulated else "real"
    trained, items = run.training, dataset.items
    return _bullets(
        f"Dataset: {dataset.name} ({kind})",
        f"Catalogue: {len(items):,} items with {len(items.distinct_titles):,} distinct titles",
        f"Rows for tuning: {len(dataset.sample):,} of {len(dataset.train):,}",
        f"Split by {trained['dataset']['split_by']}; content hash {dataset.content_hash}",
        f"Selected checkpoint: epoch {trained['chosen_epoch']}, by validation; seed {trained['seed']}",
    )


def _metrics(record: dict[str, Any] | None) -> Iterator[str]:
    if record is None:
        yield "The run is not evaluated with its own settings."
        return
    split = "test" if "test" in record["splits"] else next(iter(record["splits"]))
    figures = record["splits"][split]
    group = record["headline"]["path"].partition(".")[0]
    baseline = figures.get("popularity_baseline", {}).get(group, {})
    lines = [f"| Metric ({group}) | This model | 95 % interval | Popularity |", "|---|---|---|---|"]
    for name, value in figures[group].items():
        if not isinstance(value, int | float) or name.endswith("_se"):
            continue
        error = figures[group].get(f"{name}_se")
        interval = "" if error is None else f"{value - Z95 * error:.4f} to {value + Z95 * error:.4f}"
        other = baseline.get(name)
        lines.append(f"| {name} | {value:.4f} | {interval} | {'' if other is None else f'{other:.4f}'} |")
    yield f"Split {split}: {figures['rows']:,} rows of {figures['users']:,} users, {record['headline']['label']}."
    yield "\n".join(lines)
    yield "Intervals: the mean plus or minus 1.96 standard errors, with users as the sampling unit."


def _words(config: DictConfig) -> str:
    return ", ".join(f"{name} = {word!r}" for name, word in plain(config.dataset.wording).items())


def _prompt(text: PromptText) -> Iterator[str]:
    yield "The template, in Jinja's syntax; `shown(title)` is the title in double quotes, or the item's tokens:"
    yield _code(text.template.text, "")
    turn = ", which is the user's turn of the chat template" if text.is_chat else ""
    yield f"What it gives for a history of two items, to the last newline{turn}:"
    yield _code(f"prompt = {text.samples()[-1]!r}", "python")


def _use(config: DictConfig, has_adapter: bool) -> Iterator[str]:
    note = " It loads the adapter's base model, too." if has_adapter else ""
    yield f"With transformers:{note}"
    yield _code(
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'model = AutoModelForCausalLM.from_pretrained("FOLDER")\n'
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")\n'
        'generated = model.generate(**tokenizer(prompt, return_tensors="pt"), max_new_tokens=40)\n'
        "print(tokenizer.decode(generated[0]))",
        "python",
    )
    yield (
        "This generates any text. An objective that trains only the tokens at which titles differ, as MSL does, leaves "
        "quotes and the end to the constraint, so that free text may have neither."
    )
    yield "With llmrec, which decodes titles of the catalogue only (it builds the trie from catalogue.parquet):"
    yield _code('import llmrec\n\nllmrec.open("FOLDER").recommend([["Title A", "Title B"]], k=10)', "python")
    base_note = local_base_note(config, "FOLDER") if has_adapter else None
    if base_note:
        yield base_note


def _limits(dataset: Dataset, record: dict[str, Any] | None) -> str:
    splits = {} if record is None else record["splits"]
    return _bullets(
        *(["The data is simulated: the figures say nothing about real users."] if dataset.simulated else []),
        "The model knows the titles of its catalogue. It was not tuned for any other use.",
        "Only llmrec restricts its output to titles; generation without that may invent some.",
        *(f"{split}: {figures['warning']}." for split, figures in splits.items() if figures.get("warning")),
    )


def _settings(config: DictConfig) -> str:
    settings = {name: value for name, value in plain(config).items() if name in SHOWN}
    # Where it was exported says nothing about the run.
    settings["trainer"].pop("accelerator")
    path = settings["backbone"].get("path")
    if path and local_folder(path) is not None:
        settings["backbone"]["path"] = "(a local folder)"
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).strip()


def _bullets(*lines: str) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _code(text: str, language: str) -> str:
    return f"````{language}\n{text}\n````"
