"""The forms of a template without history and without task text, and templates that have none."""

from pathlib import Path

import pytest

from llmrec.errors import InputError
from llmrec.prompts.next_item import PromptTokenizer
from llmrec.prompts.next_item_text import NextItemText
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.prompts import Prompts
from tests.catalogue.vocabularies import characters, spell
from tests.prompts.shipped import WORDING, group
from tests.prompts.test_next_item import ITEMS

LIST = "{% for entry in history %}- {{ entry.title }}\n{% endfor %}"
SHOWN = "Before:\n" + LIST + "Next: \n"
WITHOUT = {
    "the first title in the header": "For a fan of {{ history[0].title }}:\n" + LIST + "Next: ",
    "the same where there is one": "For a fan of {{ history[0].title if history }}:\n" + LIST + "Next: ",
    "another text for an empty history": "{{ 'Before' if history else 'New user' }}:\n" + LIST + "Next: ",
    "a number of titles": "The {{ history | length }} before:\n" + LIST + "Next: ",
    "nothing around the history": "{% for entry in history %}{{ entry.title }}\n{% endfor %}",
}


def tokenised(template: str, cache: Path, limit: int = 999) -> PromptTokenizer:
    text = NextItemText({"name": "mine", "next_item": template}, WORDING)
    return PromptTokenizer(Prompt(text, characters()), ITEMS, limit, 0, cache)


def texts(prompts: Prompts) -> list[str]:
    return ["".join(spell(characters(), prompts.of(row).tolist())) for row in range(len(prompts))]


def test_a_template_is_split_around_its_history(tmp_path: Path) -> None:
    prompts = tokenised(SHOWN, tmp_path)
    histories = prompts.histories([["Go", "Chess"], ["Anno"]])
    assert texts(histories) == ["Before:\n- Go\n- Chess\nNext: \n", "Before:\n- Anno\nNext: \n"]
    assert texts(Prompts.joined([prompts.history_free(histories)])) == ["Before:\nNext: \n"]
    assert texts(prompts.titles_alone([["Go", "Chess"], ["Anno"]])) == ["- Go\n- Chess\n \n", "- Anno\n \n"]


@pytest.mark.parametrize("name", ["alpaca", "plain"])
def test_shipped_prompts_have_a_form_without_history(name: str, tmp_path: Path) -> None:
    prompts = tokenised(group(name)["next_item"], tmp_path)
    free = prompts.history_free(prompts.histories([["Go", "Chess"], ["9 lives"], ['"']]))
    assert free.tolist() == prompts.histories([[]]).of(0).tolist()


@pytest.mark.parametrize("template", WITHOUT.values(), ids=WITHOUT.keys())
def test_other_templates_make_prompts_but_no_form_without_history(template: str, tmp_path: Path) -> None:
    prompts = tokenised(template, tmp_path)
    histories = prompts.histories([["Go", "Chess"], ["Anno"]])
    assert len(histories) == 2
    problem = r"prompt\.next_item of prompt=mine has no form without history, which objective=gdrt.*llmrec\.diagnose"
    with pytest.raises(InputError, match=problem):
        prompts.history_free(histories)
    with pytest.raises(InputError, match=problem):
        prompts.titles_alone([["Go"]])


def test_a_history_cut_to_nothing_needs_a_text_around_it(tmp_path: Path) -> None:
    prompts = tokenised(WITHOUT["nothing around the history"], tmp_path, limit=4)
    with pytest.raises(InputError, match=r"prompt\.next_item gives no tokens for an empty history\. Add a text around"):
        prompts.histories([["Chess"]])


def test_titles_of_the_catalogue_bring_their_categories(tmp_path: Path) -> None:
    template = "{% for entry in history %}{{ entry.title }} ({{ entry.category }}) {% endfor %}->"
    text = NextItemText({"name": "mine", "next_item": template}, WORDING)
    items = type(ITEMS)(["a", "b"], ["Go", "Chess"], [["Board"], ["Board", "War"]])
    prompts = PromptTokenizer(Prompt(text, characters()), items, 999, 0, tmp_path)
    assert texts(prompts.histories([["Chess", "Go"]])) == ["Chess (Board, War) Go (Board) ->"]
    with pytest.raises(InputError, match=r"prompt\.next_item, line 1: .*'category'"):
        prompts.histories([["A title of no item"]])
