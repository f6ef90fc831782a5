"""The text of a task's prompts, as the config group prompt gives it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn, Self

from omegaconf import DictConfig

from llmrec.catalogue.items import Items, quote
from llmrec.errors import InputError
from llmrec.plain import plain
from llmrec.prompts.template import Template

Entry = Mapping[str, Any]
"""The values of an item in a template: title (with items=tokens its tokens); categories and category, if the dataset
has them; and what a task adds, such as a rating or an identifier."""
WORDS = ("item", "items", "verb")
NAMES = (*WORDS, "shown", "titles", "history")
"""Names that every template may use."""
CATEGORIES: dict[str, Any] = {"categories": ["Category 1", "Type 2"], "category": "Category 1, Type 2"}
SAMPLES: tuple[Entry, Entry] = ({"title": "Alpha 1", **CATEGORIES}, {"title": "9 zeta", **CATEGORIES})
"""Entries that differ in the first and the last character of their titles, for checks of templates."""


class PromptText(ABC):
    """Renders the prompts of a task, for any tokenizer.

    Attributes:
        key: The key of the task's template in the config group `prompt`.
        names: Names that the template may use besides NAMES.
        needs_fixed_start: Whether all prompts must begin with the same token.
        name: Name of the prompt (prompt.name).
        template: The text.
        wording: The words item, items and verb (dataset.wording).
        is_chat: Whether the text is the user's turn of the tokenizer's chat template.
        titles: Whether items are shown by their titles, and not by tokens.
    """

    key: ClassVar[str]
    names: ClassVar[Sequence[str]] = ()
    needs_fixed_start: ClassVar[bool] = False

    def __init__(self, prompt: Mapping[str, Any], wording: Mapping[str, str], titles: bool = True) -> None:
        """Compiles and checks the template of the task.

        Args:
            prompt: The config group `prompt`.
            wording: The words item, items and verb (dataset.wording).
            titles: Whether items are shown by their titles, and not by tokens.

        Raises:
            InputError: If there is no template for the task, it cannot be rendered, or it does not depend on what it
                must show; or if a word of `wording` is not a string.
        """
        _check_wording(wording)
        self.name = str(prompt.get("name", "unnamed"))
        self.require_text(prompt)
        text, chat = prompt[self.key], prompt.get("chat_template", False)
        if not isinstance(chat, bool):
            raise InputError(f"prompt.chat_template={chat}: give true or false")
        self.wording, self.is_chat, self.titles = {word: wording[word] for word in WORDS}, chat, titles
        self.template = Template(f"prompt.{self.key}", text, (*NAMES, *self.names))
        self.check()

    @classmethod
    def require_text(cls, prompt: Mapping[str, Any]) -> None:
        """Raises InputError if the config group `prompt` has no text for the task."""
        if not isinstance(prompt.get(cls.key), str):
            name = prompt.get("name", "unnamed")
            raise InputError(f"prompt={name} has no text for task={cls.key}. Add the key {cls.key} to its YAML")

    @classmethod
    def of(cls, config: DictConfig, items: Items) -> Self:
        """Returns the text of a run's prompts for a catalogue.

        Args:
            config: The resolved run config (groups prompt and dataset).
            items: The catalogue.
        """
        return cls(plain(config.prompt), plain(config.dataset.wording), items.tokens is None)

    def render(self, history: Sequence[Entry], candidates: Sequence[Entry] = (), rated: bool = False) -> str:
        """Renders a prompt.

        Args:
            history: The items of the history, oldest first.
            candidates: The candidates in the order in which they are shown, for a task that ranks candidates.
            rated: Whether the entries of `history` have ratings.

        Raises:
            InputError: If the template uses something that these entries do not have.
        """
        # The template was checked when it was compiled, so it looks up no name that its task does not have.
        values = {"history": history, "candidates": candidates, "rated": rated, "titles": self.titles}
        text = self.template.render({**self.wording, **values, "shown": quote if self.titles else str})
        # Many chat templates strip a message, so that the others should get the same text.
        return text.strip() if self.is_chat else text

    def frame(self, candidates: Sequence[Entry] = (), rated: bool = False) -> str:
        """Renders a prompt with an empty history, or with one sample item if the template needs a history."""
        try:
            return self.render([], candidates, rated)
        except InputError:
            return self.render(self.sample_history()[:1], candidates, rated)

    @abstractmethod
    def sample_history(self) -> list[Entry]:
        """Returns two entries of a history, for checks of the template: SAMPLES with what the task adds to them."""

    def sample_candidates(self, identifiers: str = "AB") -> list[Entry]:
        """Returns two candidates with these identifiers, for checks of the template; none if the task has none."""
        return []

    def samples(self) -> list[str]:
        """Renders prompts that share only what all prompts share: for histories of one and two different items."""
        first, second = self.sample_history()
        candidates = self.sample_candidates()
        pairs = (([first], candidates), ([second], candidates[::-1]), ([first, second], candidates))
        return [self.render(history, shown, rated=True) for history, shown in pairs]

    @property
    def end(self) -> str:
        """The text that all prompts end with, except one without a history and without any text."""
        texts = [*self.samples(), self.frame(self.sample_candidates(), rated=True)]
        return common_end([text for text in texts if text])

    def check(self) -> None:
        """Checks that the prompts depend on what they must show.

        Raises:
            InputError: If they do not.
        """
        first, second = (self.render([entry], self.sample_candidates(), True) for entry in self.sample_history())
        if first == second:
            self.refuse(
                "does not show the titles of the history", "{% for entry in history %}{{ shown(entry.title) }}..."
            )

    def refuse(self, problem: str, addition: str) -> NoReturn:
        """Raises InputError for the template; `addition` is the text that it lacks."""
        raise InputError(f"{self.template.key} of prompt={self.name} {problem}. Add {addition}")


def entries_of(items: Items, indices: Iterable[int]) -> list[Entry]:
    """Returns the entries of some items, by their indices."""
    return [entry_of(items, index) for index in indices]


def entry_of(items: Items, index: int) -> Entry:
    """Returns the entry of an item."""
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
