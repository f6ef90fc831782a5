"""Templates of prompts: what they may use, and how they are refused, with the key and the line."""

from typing import Any

import pytest

from llmrec.catalogue.items import Items
from llmrec.errors import InputError
from llmrec.prompts.next_item_text import NextItemText
from llmrec.prompts.prompt import Prompt
from llmrec.prompts.rerank_text import RerankText
from llmrec.prompts.text import PromptText, common_end, common_start, entries_of
from tests.catalogue.vocabularies import characters
from tests.prompts.shipped import TEXTS, WORDING, titled

LOOP = '{% for entry in history %}"{{ entry.title }}" {% endfor %}'
CANDIDATES = "{% for candidate in candidates %}{{ candidate.identifier }}: {{ candidate.title }}\n{% endfor %}"


def own(text: str, task: str = "next_item") -> PromptText:
    return TEXTS[task]({"name": "mine", task: text}, WORDING)


def test_a_template_may_use_the_words_and_whatever_items_have() -> None:
    items = Items(["a", "b"], ["Go", "Chess"], [["Board", "Old"], []])
    text = "{{ items }}/{{ item }}/{{ verb }}: "
    text += "{% for entry in history %}{{ entry.title }} ({{ entry.category }}, {{ entry.categories | length }}) "
    rendered = own(text + "{% endfor %}\nnext:").render(entries_of(items, [1, 0]))
    assert rendered == "games/game/played: Chess (, 0) Go (Board, Old, 2) \nnext:"


def test_ratings_are_numbers() -> None:
    liked = "{% for entry in history if entry.rating > 3 %}{{ entry.title }} {% endfor %}" + CANDIDATES
    text = own("liked: " + liked + "best:", "rerank")
    rated = [{"title": "Go", "rating": 3.0}, {"title": "Chess", "rating": 4.0}]
    assert text.render(rated, [{"title": "Anno", "identifier": "A"}], rated=True) == "liked: Chess A: Anno\nbest:"


def test_titles_are_never_read_as_templates_or_escaped() -> None:
    assert own(LOOP + ".").render(titled(["{{ verb }} <&>"])) == '"{{ verb }} <&>" .'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "a\n" + LOOP + "{{ persona }}",
            r"prompt\.next_item, line 2: 'persona' is undefined\. Use history, item,",
        ),
        ("a\n\n{% for entry in history %}", r"prompt\.next_item, line 3: .*[Uu]nexpected end of template"),
        ("a\n{{ history[0].stars }}", r"prompt\.next_item, line 2: .*'stars'"),
        (LOOP + "{{ candidates }}", "line 1: 'candidates' is undefined"),
        (LOOP + "{{ history[0].rating }}", "'rating'"),
        (LOOP + "\n{{ ''.__class__.__mro__ }}", r"line 2: access to attribute '__class__' of 'str' object is unsafe"),
        (LOOP + "{{ history.append(1) }}", "'append'"),
        (LOOP + "{% include 'secrets.txt' %}", "line 1: .*loader"),
        (LOOP + "{{ history | random }}", "No filter named 'random'"),
        (LOOP + "{{ 1 / 0 }}", "line 1: division by zero"),
        (LOOP + "{{ range(999999999) }}", "line 1: .*[Rr]ange"),
        ("Recommend a {{ item }}.", "prompt.next_item of prompt=mine does not show the titles of the history"),
        ("{{ history | length }} items.", "does not show the titles of the history"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        own(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LOOP, "does not show the candidates. Add"),
        (LOOP + "{% for candidate in candidates %}{{ candidate.identifier }}{% endfor %}", "not show the candidates"),
        (LOOP + "{% for candidate in candidates %}{{ candidate.title }}{% endfor %}", "candidates' identifiers"),
        (CANDIDATES, "does not show the titles of the history"),
        (CANDIDATES + "{{ candidates[0].rating }}", "'rating'"),
    ],
)
def test_a_rerank_template_shows_history_candidates_and_identifiers(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        own(text, "rerank")


def test_a_task_without_a_text_is_refused() -> None:
    with pytest.raises(InputError, match="prompt=mine has no text for task=rerank"):
        RerankText({"name": "mine", "next_item": LOOP}, WORDING)


def test_a_switch_that_is_no_boolean_is_refused() -> None:
    settings: dict[str, Any] = {"name": "mine", "next_item": LOOP, "chat_template": "chatml"}
    with pytest.raises(InputError, match=r"prompt\.chat_template=chatml: give true or false"):
        NextItemText(settings, WORDING)


def test_an_end_that_depends_on_the_history_is_refused() -> None:
    with pytest.raises(InputError, match=r"prompt\.next_item of prompt=mine ends with a text that depends on"):
        Prompt(own("After {{ history[-1].title }}"), characters())


def test_a_rerank_prompt_that_begins_with_a_candidate_is_refused() -> None:
    text = "{% for c in candidates %}{{ c.title }}:{{ c.identifier }}\n{% endfor %}" + LOOP + "\nbest:"
    with pytest.raises(InputError, match=r"prompt\.rerank of prompt=mine begins with a text that depends on the user"):
        Prompt(own(text, "rerank"), characters())


def test_the_end_is_the_last_line_that_all_prompts_share() -> None:
    assert Prompt(own(LOOP + "\nthe same\n \nnext: \n"), characters()).end == "next: \n"
    assert Prompt(own(LOOP + "->"), characters()).end == "->"


def test_common_beginnings_and_ends() -> None:
    assert (common_start(["abc", "abd", "ab"]), common_start(["", "a"]), common_start(["x"])) == ("ab", "", "x")
    assert (common_end(["xbc", "abc", "c"]), common_end(["ab", "bc"])) == ("c", "")
