"""Prompts as they ship, for tests that need one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from transformers import PreTrainedTokenizerBase

from llmrec.conf_dir import conf_dir
from llmrec.prompts.candidates_text import CandidatesText
from llmrec.prompts.next_item_text import NextItemText
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.rerank_text import RerankText
from llmrec.prompts.text import Entry, PromptText

PROMPT_END = "### Response:\n"
"""What the prompts of `alpaca` end with."""
WORDING = {"item": "game", "items": "games", "verb": "played"}
TEXTS: dict[str, type[PromptText]] = {
    "next_item": NextItemText,
    "candidates": CandidatesText,
    "rerank": RerankText,
}
"""The texts of the tasks."""


def group(name: str) -> dict[str, Any]:
    """The settings of a shipped prompt."""
    settings = OmegaConf.to_container(OmegaConf.load(Path(conf_dir()) / "prompt" / f"{name}.yaml"))
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def text(name: str = "alpaca", task: str = "next_item", wording: Mapping[str, str] = WORDING) -> PromptText:
    """The text of a shipped prompt."""
    return TEXTS[task](group(name), wording)


def prompt(
    tokenizer: PreTrainedTokenizerBase,
    name: str = "alpaca",
    task: str = "next_item",
    wording: Mapping[str, str] = WORDING,
) -> Prompt:
    """A shipped prompt for a tokenizer."""
    return Prompt(text(name, task, wording), tokenizer)


def titled(titles: Sequence[str]) -> list[Entry]:
    """Entries that have a title only."""
    return [{"title": title} for title in titles]


def render(wording: Mapping[str, str], titles: Sequence[str]) -> str:
    """Renders the prompt `alpaca` of task next_item."""
    return text(wording=wording).render(titled(titles))
