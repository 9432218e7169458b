"""The page of a search in a real Chromium: every card of twenty can be read and reached; skipped without a browser."""

import re

import pytest

from tests.helpers.toy_browser import browser, until
from tests.helpers.toy_viewer import write_webm
from valor.viewer.found import FoundCard, write_found_page

# ruff: noqa: F401, F811  (fixtures are imported by name)

RESULTS = 20
"""As many as `valor search` lists unless asked for others."""


@pytest.fixture(scope="module")
def found_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("found")
    (folder / "videos").mkdir()
    write_webm(folder / "videos" / "film.webm")
    card = {"clip_id": "film", "onset": 1.0, "offset": 3.0, "best": 1.0, "facts": "sound 0.123, picture -"}
    cards = [FoundCard(score=9.0 - rank, levels=[1, 2, 9, 3], **card) for rank in range(RESULTS)]
    write_found_page(folder / "found.html", "a dog barks", "the best of 4 seconds", cards, folder / "videos")
    return folder / "found.html"


@pytest.mark.parametrize(("width", "height"), [(1400, 1000), (900, 600), (390, 800)])
def test_every_card_is_whole_and_can_be_scrolled_to(browser, found_page, width, height):
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(found_page.as_uri())
    cards = page.locator(".card")
    assert cards.count() == RESULTS
    assert page.evaluate(
        "[...document.querySelectorAll('.card')].every(card => card.scrollHeight <= card.clientHeight)"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    last = cards.last
    page.keyboard.press("End")
    until(page, "scrollY + innerHeight >= document.documentElement.scrollHeight - 1")
    box = last.locator(".said").bounding_box()
    assert box["height"] > 60
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= height
    said = " ".join(last.inner_text().split())
    assert re.fullmatch(r"20 film -10\.00 0:01 – 0:03 sound 0\.123, picture -", said)
    page.close()
