"""What the tests of the tables share: folders, a browser with one page, and a cache with the pretrained backbone."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llmrec.tables.page import render
from llmrec.tables.page.plots import page_plots
from tests.cli.conftest import place, shared, trained  # noqa: F401
from tests.tables.browsing import Open, Said
from tests.tables.page_sample import sample_report
from tests.tables.small_table import use_folders

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `root` is, for all tests of a file."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def root(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with data, runs, records and a cache; the plans in the cache are of all tests, for they take seconds."""
    use_folders(monkeypatch, kept)
    yield kept
    for folder in ("runs", "experiments", "cache/records"):
        shutil.rmtree(kept / folder, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's chromium, driven by playwright; skips where one of them is absent."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the dev extra")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium on the PATH")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def said() -> Said:
    """What `page` has said and asked for since a report was last opened in it, by event."""
    return {event: [] for event in ("console", "pageerror", "request")}


@pytest.fixture(scope="module")
def page(browser: "Browser", said: Said) -> Iterator["Page"]:
    """One page for the tests with reports of their own, with fingers and a clipboard."""
    context = browser.new_context(has_touch=True, permissions=["clipboard-read", "clipboard-write"])
    shown = context.new_page()
    shown.on("console", lambda message: said["console"].append(message.text))
    shown.on("pageerror", lambda error: said["pageerror"].append(str(error)))
    shown.on("request", lambda request: said["request"].append(request.url))
    yield shown
    context.close()


@pytest.fixture(scope="session")
def sample_plots() -> dict[str, str]:
    """The plots of the sample report, which take seconds."""
    return page_plots(sample_report())


@pytest.fixture(scope="module")
def sample(
    browser: "Browser", sample_plots: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Page"]:
    """The sample report, wide and light, for tests that only look and choose."""
    file = tmp_path_factory.mktemp("page") / "sample.html"
    file.write_text(render(sample_report(), sample_plots), encoding="utf-8")
    shown = browser.new_page(viewport={"width": 1600, "height": 900}, color_scheme="light")
    shown.goto(file.as_uri())
    yield shown
    shown.close()


@pytest.fixture
def show(page: "Page", said: Said, sample_plots: dict[str, str], tmp_path: Path) -> Open:
    """Opens a report of a test's own in the browser, with the sample's plots or its own."""

    def opened(
        report: dict[str, Any], width: int = 1600, scheme: str = "light", plots: Mapping[str, str] = sample_plots
    ) -> "Page":
        file = tmp_path / "report.html"
        file.write_text(render(report, plots), encoding="utf-8")
        for heard in said.values():
            heard.clear()
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme, media="screen")
        page.goto(file.as_uri())
        page.evaluate("localStorage.clear(); delete document.documentElement.dataset.theme")
        return page

    return opened
