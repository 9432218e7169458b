"""One clip corrected in two places, and corrections that outlive a crash, in a real Chromium; skipped without one."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.conftest import ROOT
from tests.helpers.toy_browser import browser, events_list, media, opened, texts, until, viewer
from tests.helpers.toy_viewer import parse_record, served, toy_document, without_truth, write_parse
from tests.valor.viewer.test_browser_correcting import (
    DOG,
    HEARD,
    SEEN,
    TRUE,
    find_corrected,
    on_disk,
    saved,
    start_correcting,
)
from valor.viewer.page import write_page

# ruff: noqa: F401, F811  (fixtures are imported by name)


LABEL = "document.getElementById('saved').textContent"


def delete(page, words, time):
    find_corrected(page, words, time)
    page.keyboard.press("Delete")


def corrected(page):
    if page.locator("#focus").is_enabled():
        page.select_option("#focus", "mine")
    return sorted(zip(*events_list(page), strict=True))


@pytest.fixture
def crossed(viewer, opened, browser):
    """The second of two people, who has deleted the dog; the first has meanwhile saved without the heard speech."""
    other = opened(viewer.server.url, context=browser.new_context(viewport={"width": 1400, "height": 900}))
    other.server = viewer.server
    start_correcting(viewer)
    delete(viewer, "Speech audible", 4)
    saved(viewer, DOG, SEEN)
    start_correcting(other)
    delete(other, "Dog visible", 1)
    other.wait_for_selector("#message .button")
    assert "was corrected in another window too" in other.locator("#message").text_content()
    assert on_disk(viewer) == sorted((DOG, SEEN))
    yield other
    opened.troubles.clear()  # the browser notes refused messages


def test_of_two_versions_mine_can_be_kept_and_theirs_be_had_by_undo(crossed):
    crossed.get_by_text("Keep what is here").click()
    saved(crossed, HEARD, SEEN)
    crossed.keyboard.press("Control+z")
    saved(crossed, DOG, SEEN)


def test_of_two_versions_theirs_can_be_taken_and_mine_be_had_by_undo(crossed):
    crossed.get_by_text("Take the other").click()
    until(crossed, f"{LABEL}.startsWith('Saved to')")
    assert on_disk(crossed) == sorted((DOG, SEEN))
    assert texts(crossed, "#events .class") == ["Dog", "Speech"]
    crossed.keyboard.press("Control+z")
    saved(crossed, HEARD, SEEN)


def test_a_version_that_was_not_chosen_waits_through_a_reload_and_is_never_written_over(crossed):
    crossed.keyboard.press("Escape")  # the question is put off
    assert not crossed.locator("#message").is_visible()
    assert crossed.evaluate(LABEL) == "1 clip corrected elsewhere too"
    delete(crossed, "Speech visible", 4)  # goes on correcting: asked again, still not sent
    crossed.wait_for_selector("#message .button")
    crossed.wait_for_timeout(500)
    assert on_disk(crossed) == sorted((DOG, SEEN))
    crossed.reload()
    crossed.wait_for_selector("#message .button")
    assert on_disk(crossed) == sorted((DOG, SEEN))
    crossed.get_by_text("Keep what is here").click()
    saved(crossed, HEARD)


def test_two_tabs_of_one_browser_show_the_same(viewer, opened):
    other = opened(viewer.server.url, context=viewer.context)
    start_correcting(viewer)
    delete(viewer, "Speech audible", 4)
    saved(viewer, DOG, SEEN)
    until(other, f"{LABEL}.startsWith('Saved to')")
    start_correcting(other)
    assert corrected(other) == [("Dog", "0:00 – 0:03"), ("Speech", "0:02 – 0:06")]
    other.server = viewer.server
    delete(other, "Dog visible", 1)
    saved(other, SEEN)
    until(viewer, "document.querySelectorAll('#events .item').length === 1")
    viewer.bring_to_front()
    viewer.keyboard.press("Control+z")  # what stood here before the other tab
    saved(viewer, DOG, SEEN)


def test_two_tabs_of_one_file_show_the_same(opened, tmp_path):
    write_page(tmp_path / "p.html", without_truth(toy_document()))
    first = opened((tmp_path / "p.html").as_uri())
    second = opened((tmp_path / "p.html").as_uri(), context=first.context)
    start_correcting(first)
    delete(first, "Speech audible", 4)
    until(second, "document.getElementById('message').textContent.includes('undo brings back')")
    start_correcting(second)
    delete(second, "Dog visible", 1)
    until(first, "document.querySelectorAll('#events .item').length === 1")
    first.reload()
    until(first, "document.querySelectorAll('#lanes .lane').length === 3")
    assert corrected(first) == [("Speech", "0:02 – 0:06")]


def test_a_tab_that_is_closed_at_once_has_saved(viewer):
    start_correcting(viewer)
    find_corrected(viewer, "Speech audible", 4)
    viewer.evaluate("window.setTimeout = () => 0")  # what is saved a moment later never comes
    viewer.keyboard.press("Delete")
    waiting = viewer.context.new_page()
    viewer.close()
    for _ in range(200):
        if on_disk(viewer) is not None:
            break
        waiting.wait_for_timeout(50)
    assert on_disk(viewer) == sorted((DOG, SEEN))


@contextmanager
def running(source):
    """`valor view` as a process of its own, killed in the end."""
    words = [sys.executable, "-m", "valor", "view", str(source), "--no-browser"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.kill()
        process.communicate()


def test_kill_9_and_the_next_start_has_what_the_first_never_got(opened, tmp_path):
    source = write_parse(tmp_path / "film.json", parse_record())
    journal = tmp_path / "film.corrections" / "journal.jsonl"
    with running(source) as address:
        page = opened(address)
        page.click("#edit")
        page.locator("#events .item").first.click()
        page.keyboard.press("m")
        until(page, f"{LABEL}.startsWith('Saved to')")
    page.keyboard.press("i")  # nobody hears of it
    until(page, f"{LABEL}.startsWith('Not on disk yet')")
    assert "The viewer does not answer" in page.locator("#message").text_content()
    page.close(run_before_unload=False)
    assert len(journal.read_text().splitlines()) == 1
    with running(source) as address:
        again = opened(address, context=page.context)
        until(again, f"{LABEL}.startsWith('Saved to')")
    first, second = [json.loads(line)["events"] for line in journal.read_text().splitlines()]
    assert first == [["Speech", "visual", 1.0, 4.0]]
    assert second == [["Speech", "audio", 1.0, 2.0], ["Speech", "visual", 1.0, 4.0]]
    opened.troubles.clear()  # of the dead server


def test_another_viewer_at_the_same_folder_is_said(opened, tmp_path):
    with served(toy_document(), tmp_path / "c") as first, served(toy_document(), tmp_path / "c") as second:
        one, two = opened(first.url), opened(second.url)
        one.server = two.server = first
        start_correcting(one)
        delete(one, "Speech audible", 4)
        saved(one, DOG, SEEN)
        start_correcting(two)
        delete(two, "Dog visible", 1)
        until(two, "document.getElementById('message').textContent.includes('another viewer is saving to')")
        assert two.evaluate(LABEL) == "Not on disk yet, kept in this browser"
        first.site.corrections.close()
        two.wait_for_selector("#message .button")  # tried again, and the clip has changed meanwhile
        assert on_disk(one) == sorted((DOG, SEEN))
    opened.troubles.clear()  # refused messages


def test_a_browser_that_keeps_nothing_is_no_safe_place(browser, opened, tmp_path):
    write_page(tmp_path / "p.html", without_truth(toy_document()))
    forgetful = browser.new_context(viewport={"width": 1400, "height": 900})
    forgetful.add_init_script("Storage.prototype.setItem = () => { throw new Error('full'); };")
    page = opened((tmp_path / "p.html").as_uri(), context=forgetful)
    start_correcting(page)
    delete(page, "Speech audible", 4)
    assert page.evaluate(LABEL) == "Not kept by this browser, download the tables"
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.close(run_before_unload=True)
    until(opened((tmp_path / "p.html").as_uri()), "true")
    assert asked == ["beforeunload"]


def test_a_newer_page_is_not_hidden_by_what_the_browser_kept_of_an_older_one(opened, tmp_path):
    document = without_truth(toy_document())
    write_page(tmp_path / "p.html", document)
    page = opened((tmp_path / "p.html").as_uri())
    start_correcting(page)
    delete(page, "Speech audible", 4)
    newer = {"clip": "a_clip", "revision": 3, "checked": True, "events": [["Dog", "audio", 1.0, 2.0]]}
    write_page(tmp_path / "p.html", document, corrections=[newer])
    page.reload()
    page.wait_for_selector("#message .button")
    page.get_by_text("Take the other").click()
    assert corrected(page) == [("Dog", "0:01 – 0:02")]
    page.reload()
    until(page, "document.querySelectorAll('#lanes .lane').length === 3")
    assert not page.locator("#message").is_visible() and corrected(page) == [("Dog", "0:01 – 0:02")]
