"""The text of a task's prompts, as the config group prompt gives it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from llmrec.catalogue.items import Items, quote
from llmrec.errors import InputError
from llmrec.plain import plain
from llmrec.prompts.template import Template

Entry = Mapping[str, Any]
"""What a template sees of an item: title (with items=tokens its tokens); categories and category, if the dataset has
them; in lists of task rerank also rating (history) and identifier (candidates)."""
WORDS = ("item", "items", "verb")
ITEM_NAMES = ("shown", "titles")
"""Names that depend on what represents items: the function that shows a title, and whether it shows titles."""
NAMES = {
    "next_item": (*WORDS, *ITEM_NAMES, "history"),
    "rerank": (*WORDS, *ITEM_NAMES, "history", "candidates", "rated"),
}
"""Names that the template of each task may use."""
CATEGORIES: dict[str, Any] = {"categories": ["Category 1", "Type 2"], "category": "Category 1, Type 2"}
SAMPLES: tuple[Entry, Entry] = ({"title": "Alpha 1", **CATEGORIES}, {"title": "9 zeta", **CATEGORIES})
"""Entries that differ in the first and the last character of their titles, for checks of templates."""


class PromptText:
    """Renders the prompts of a task, for any tokenizer.

    Attributes:
        name: Name of the prompt (prompt.name).
        task: Name of the task.
        template: The text.
        wording: The words item, items and verb (dataset.wording).
        is_chat: Whether the text is the user's turn of the tokenizer's chat template.
        titles: Whether items are shown by their titles, and not by tokens.
    """

    def __init__(self, prompt: Mapping[str, Any], task: str, wording: Mapping[str, str], titles: bool = True) -> None:
        """Compiles and checks the template of a task.

        Args:
            prompt: The config group `prompt`.
            task: Name of the task, which is the key of its template.
            wording: The words item, items and verb (dataset.wording).
            titles: Whether items are shown by their titles, and not by tokens.

        Raises:
            InputError: If there is no template for the task, it cannot be rendered, or does not show what it must; or
                if a word of `wording` is not a string.
        """
        _check_wording(wording)
        self.name, self.task = str(prompt.get("name", "unnamed")), task
        text, chat = prompt.get(task), prompt.get("chat_template", False)
        if not isinstance(text, str):
            raise InputError(f"prompt={self.name} has no text for task={task}. Add the key {task} to its YAML")
        if not isinstance(chat, bool):
            raise InputError(f"prompt.chat_template={chat}: give true or false")
        self.wording, self.is_chat, self.titles = {word: wording[word] for word in WORDS}, chat, titles
        self.template = Template(f"prompt.{task}", text, NAMES[task])
        self._check_contents()

    @staticmethod
    def of(config: DictConfig, task: str, items: Items) -> "PromptText":
        """Returns the text of a run's prompts for a task and a catalogue, from the run's resolved config."""
        return PromptText(plain(config.prompt), task, plain(config.dataset.wording), items.tokens is None)

    def render(self, history: Sequence[Entry], candidates: Sequence[Entry] = (), rated: bool = False) -> str:
        """Renders a prompt.

        Args:
            history: The items of the history, oldest first.
            candidates: The candidates in the order in which they are shown (task rerank only).
            rated: Whether the entries of `history` have ratings (task rerank only).

        Raises:
            InputError: If the template uses something that these entries do not have.
        """
        # Names for another task are never looked up, because the template was checked when it was compiled.
        values = {"history": history, "candidates": candidates, "rated": rated, "titles": self.titles}
        text = self.template.render({**self.wording, **values, "shown": quote if self.titles else str})
        # Many chat templates strip a message, so that the others should get the same text.
        return text.strip() if self.is_chat else text

    def frame(self, candidates: Sequence[Entry] = (), rated: bool = False) -> str:
        """Renders a prompt with an empty history, or with a sample of one if the template needs a history."""
        try:
            return self.render([], candidates, rated)
        except InputError:
            return self.render(self._history()[:1], candidates, rated)

    def samples(self) -> list[str]:
        """Renders prompts that share only what all prompts share: for histories of one and two different items."""
        first, second = self._history()
        candidates = self._candidates("AB")
        pairs = (([first], candidates), ([second], candidates[::-1]), ([first, second], candidates))
        return [self.render(history, shown, rated=True) for history, shown in pairs]

    @property
    def end(self) -> str:
        """The text that all prompts end with, except one without a history and without any text."""
        texts = [*self.samples(), self.frame(self._candidates("AB"), rated=True)]
        return common_end([text for text in texts if text])

    def _history(self) -> list[Entry]:
        return [{**entry, "rating": 3.5} for entry in SAMPLES] if self.task == "rerank" else list(SAMPLES)

    def _candidates(self, identifiers: str) -> list[Entry]:
        if self.task != "rerank":
            return []
        return [{**entry, "identifier": f" {text}"} for entry, text in zip(SAMPLES, identifiers, strict=True)]

    def _check_contents(self) -> None:
        """Raises InputError if the prompts do not depend on what they must show."""
        first, second = ([entry] for entry in self._history())
        shown = self._candidates("AB")
        original = self.render(first, shown, True)
        if original == self.render(second, shown, True):
            self._refuse(
                "does not show the titles of the history", "{% for entry in history %}{{ shown(entry.title) }}..."
            )
        if self.task == "rerank":
            swapped = [{**a, "title": b["title"]} for a, b in zip(shown, shown[::-1], strict=True)]
            if original == self.render(first, swapped, True):
                self._refuse("does not show the candidates", "{% for candidate in candidates %}... candidate.title ...")
            if original == self.render(first, self._candidates("CD"), True):
                self._refuse("does not show the candidates' identifiers", "{{ candidate.identifier }} in their loop")

    def _refuse(self, problem: str, addition: str) -> None:
        raise InputError(f"{self.template.key} of prompt={self.name} {problem}. Add {addition}")


def entries_of(items: Items, indices: Iterable[int]) -> list[Entry]:
    """Returns what a template sees of some items, by their indices."""
    return [entry_of(items, index) for index in indices]


def entry_of(items: Items, index: int) -> Entry:
    """Returns what a template sees of an item; see `Entry`."""
    title = items.texts[items.title_of[index]]
    if items.categories is None:
        return {"title": title}
    categories = items.categories[index]
    return {"title": title, "categories": categories, "category": ", ".join(categories)}


def common_start(texts: Sequence[str]) -> str:
    """Returns the text that all texts begin with."""
    # All texts lie between the first and the last in alphabetical order, and so do their beginnings.
    first, last = min(texts), max(texts)
    differing = (number for number, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(differing, len(first))]


def common_end(texts: Sequence[str]) -> str:
    """Returns the text that all texts end with."""
    return common_start([text[::-1] for text in texts])[::-1]


def _check_wording(wording: Mapping[str, str]) -> None:
    """Raises InputError if a word of `wording` is not a string."""
    for key in WORDS:
        if not isinstance(wording[key], str):
            raise InputError(f"dataset.wording.{key}={wording[key]}: give one text, which is used in every prompt")
