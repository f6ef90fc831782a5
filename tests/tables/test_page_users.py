"""The browser of users on the page of a comparison: what is shown, filtered and found."""

from typing import TYPE_CHECKING

import pytest

from tests.tables.browsing import Open, Said
from tests.tables.page_sample import BROWSER, comparison_report, rerank_report

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


@pytest.fixture
def users(show: Open) -> "Page":
    return show(comparison_report())


def shown(page: "Page") -> list[str]:
    """The users that the page shows."""
    names: list[str] = page.locator(".user").evaluate_all("all => all.map(e => e.getAttribute('aria-label'))")
    return [name.removeprefix("user ") for name in names]


def test_lists_stand_side_by_side_with_hits_and_repeats_marked(users: "Page", said: Said) -> None:
    anna = users.locator(".user").first
    assert anna.locator("h4").all_inner_texts() == ["user anna", "SFThit at 1", "MSLhit at 3"]
    past, sft, msl = anna.locator("section").all()
    assert past.locator("li").all_inner_texts() == ["Braid", "Go"]
    fez = BROWSER["titles"][1]
    assert fez in past.inner_text()
    assert [entry.text_content() for entry in sft.locator("li").all()] == [
        f"{fez} ✓ (target)", "Celeste", "Braid ↻ (in the history)",
    ]  # fmt: skip
    assert msl.locator("li.hit").count() == 1
    cleo = users.locator(".user").nth(2)
    assert cleo.locator("h4").all_inner_texts() == ["user cleo", "SFTmiss", "MSLhit at 1"]
    assert "3 of 30 users, drawn at random" in users.locator(".browser").inner_text()
    assert said["console"] == said["pageerror"] == []
    assert [url for url in said["request"] if not url.startswith(("file:", "data:"))] == []


@pytest.mark.parametrize(
    ("hit", "missed", "found"),
    [("any run", "any run", ["anna", "ben", "cleo"]), ("SFT", "MSL", ["ben"]), ("MSL", "SFT", ["cleo"]),
     ("SFT", "any run", ["anna", "ben"]), ("MSL", "MSL", [])],
)  # fmt: skip
def test_users_are_filtered_by_who_hits_and_who_misses(users: "Page", hit: str, missed: str, found: list[str]) -> None:
    users.locator(".browser").get_by_label("hit by").select_option(hit)
    users.locator(".browser").get_by_label("missed by").select_option(missed)
    assert shown(users) == found
    assert users.locator(".browser [role=status]").inner_text() == f"{len(found)} of 3 users"


@pytest.mark.parametrize(
    ("text", "found"),
    [("DOOM", ["anna", "ben", "cleo"]), ("  go ", ["anna", "ben", "cleo"]), ("nothing", []), ('</script><b>"', None)],
)
def test_users_are_found_by_any_title(users: "Page", text: str, found: list[str] | None) -> None:
    users.locator(".browser").get_by_label("search").fill(text)
    assert shown(users) == (["anna", "ben", "cleo"] if found is None else found)


def test_candidates_have_their_relevance_and_the_best_are_marked(show: Open, said: Said) -> None:
    users = show(rerank_report())
    anna, ben = users.locator(".user").all()
    assert anna.locator("h4").all_inner_texts() == ["user anna", "SFThit at 1", "ALROmiss"]
    assert ben.locator("h4").all_inner_texts() == ["user ben", "SFTmiss", "ALROhit at 1"]
    assert "target" not in anna.inner_text()
    _, sft, alro = anna.locator("section").all()
    assert [entry.text_content() for entry in sft.locator("li").all()] == [
        "Braid 5 ✓ (most relevant)", "Celeste 2.5", "Fez 5 ✓ (most relevant)",
    ]  # fmt: skip
    assert [entry.text_content() for entry in alro.locator("li:not(.hit)").all()] == ["Celeste 2.5"]
    users.locator(".browser").get_by_label("missed by").select_option("ALRO")
    assert shown(users) == ["anna"]
    assert "All users, each with the first of their test lists" in users.locator(".browser").inner_text()
    assert users.locator(".browser .notice").inner_text() == "Not shown: DPO."
    assert said["pageerror"] == []


def test_runs_without_rankings_leave_a_line(show: Open, said: Said) -> None:
    browser = {"runs": [], "users": [], "titles": [], "all_users": 0, "missing": ["Not shown: sft."]}
    section = show(comparison_report() | {"browsers": {"msl_accuracy": browser}}).locator(".browser")
    assert section.inner_text().split() == ["Users", "Not", "shown:", "sft."]
    assert said["pageerror"] == []


def test_a_title_that_only_one_user_has(show: Open, said: Said) -> None:
    report = comparison_report()
    browser = {**BROWSER, "titles": [*BROWSER["titles"], "Only"]}
    browser["users"] = [BROWSER["users"][0], BROWSER["users"][1] | {"history": [5]}]
    page = show(report | {"browsers": {"msl_accuracy": browser}})
    page.locator(".browser").get_by_label("search").fill("onl")
    assert shown(page) == ["ben"]
    assert said["pageerror"] == []


def test_twenty_users_are_shown_at_first(show: Open) -> None:
    many = [BROWSER["users"][0] | {"user": str(number)} for number in range(45)]
    page = show(comparison_report() | {"browsers": {"msl_accuracy": {**BROWSER, "users": many, "all_users": 45}}})
    more = page.get_by_role("button", name="show more")
    assert len(shown(page)) == 20
    more.click()
    assert len(shown(page)) == 40
    more.click()
    assert len(shown(page)) == 45
    assert not more.is_visible()
    assert "All users, each with" in page.locator(".browser").inner_text()


def test_titles_never_become_markup(users: "Page", said: Said) -> None:
    assert users.locator(".user b").all_text_contents() == ["target "] * 3
    assert "A line." in users.locator(".notice").inner_text()
    assert said["pageerror"] == []


@pytest.mark.parametrize("width", [400, 1280])
def test_the_browser_fits_its_window(show: Open, width: int) -> None:
    report = comparison_report()
    long = {**BROWSER, "titles": ["Averyverylongtitlewithoutanyspace" * 4, *BROWSER["titles"][1:]]}
    page = show(report | {"browsers": {"msl_accuracy": long}}, width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
