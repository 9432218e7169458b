"""A real Chromium for tests of the viewer: it is started once, every page is watched, and tests wait by asking."""

import os
import re
import shutil
import time
from dataclasses import replace

import pytest

from tests.helpers.toy_viewer import served, toy_document, write_webm

CHROMIUM = os.environ.get("VALOR_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
"""The browser that is driven: Debian's package, or another of the family."""

TIME = "document.getElementById('video').currentTime"


@pytest.fixture(scope="module")
def browser():
    driver = pytest.importorskip("playwright.sync_api", reason="no playwright; pip install -e .[browser] runs these")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the path (apt install chromium, or set VALOR_CHROMIUM)")
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    return write_webm(folder / "film.webm"), write_webm(folder / "sound.webm", picture=False)


@pytest.fixture
def opened(browser):
    """Opens a page and watches it: at the end nothing was complained of, and nothing was asked of anyone else."""
    contexts, troubles, requests = [], [], []

    def open_page(url, *, width=1400, height=900, context=None, **options):
        context = context or browser.new_context(viewport={"width": width, "height": height}, **options)
        if context not in contexts:
            contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(url)
        until(page, "document.querySelectorAll('#lanes .lane').length > 0")
        return page

    open_page.troubles = troubles
    open_page.requests = requests
    yield open_page
    for context in contexts:
        context.close()
    elsewhere = [url for url in requests if not re.match(r"(http://127\.0\.0\.1:\d+/|file:|data:|blob:)", url)]
    assert (troubles, elsewhere) == ([], [])


@pytest.fixture
def viewer(opened, media, tmp_path):
    """A served document: a clip that plays, one of sound alone, one without media."""
    document = toy_document()
    clips = [replace(clip, media=path) for clip, path in zip(document.clips, (*media, None), strict=True)]
    with served(replace(document, clips=tuple(clips)), tmp_path / "corrections") as server:
        page = opened(server.url)
        page.server = server
        yield page


def until(page, expression, seconds=25.0):
    """Ask until it is so. (What polls inside the page needs eval, which the page's policy rightly forbids.)"""
    end = time.monotonic() + seconds
    while not (said := page.evaluate(expression)):
        assert time.monotonic() < end, f"not so after {seconds} s: {expression}"
        page.wait_for_timeout(20)
    return said


def texts(page, selector):
    return page.locator(selector).all_text_contents()


def wait_for_time(page, test):
    until(page, f"((t) => {test})({TIME})")


def events_list(page):
    return texts(page, "#events .class"), texts(page, "#events .span")


def row_of(page, words):
    """The row of the list of events that says these words."""
    rows = page.locator("#events .item")
    return rows.filter(has_text=words)
