"""Correcting in a real Chromium: drag, add, change, delete, undo, and what becomes of it; skipped without a browser."""

import json
import time

from tests.helpers.toy_browser import browser, events_list, media, opened, texts, until, viewer
from tests.helpers.toy_viewer import CLASSES, parse_record, served, toy_document, without_truth, write_parse
from valor.data.tables import EVENT_TABLES, read_split
from valor.viewer.page import write_page
from valor.viewer.sources import SourceOptions, read_document

# ruff: noqa: F401, F811  (fixtures are imported by name)


TABLES = EVENT_TABLES["v2024"]


def start_correcting(page):
    page.set_viewport_size({"width": 1400, "height": 1300})  # all rows without scrolling
    until(page, "document.getElementById('main').dataset.strip === 'done'")
    page.click("#edit")
    assert texts(page, "#lanes .lane")[0] == "corrected"


def on_disk(page):
    """The corrected events of the first clip as the journal has them."""
    journal = page.server.site.corrections.folder / "journal.jsonl"
    lines = journal.read_text().splitlines() if journal.is_file() else []
    if not lines:
        return None
    events = json.loads(lines[-1])["events"]
    return sorted((name, modality, on, off) for name, modality, on, off in events)


def saved(page, *expected):
    """Wait until these events lie on disk and the page says so."""
    end = time.monotonic() + 25
    while on_disk(page) != sorted(expected):
        assert time.monotonic() < end, f"expected {sorted(expected)} on disk, got {on_disk(page)}"
        page.wait_for_timeout(20)
    until(page, "document.getElementById('saved').textContent.startsWith('Saved to')")


def x_of(page, time):
    box = page.locator("#timeline").bounding_box()
    return box["x"] + 284 + (box["width"] - 300) * time / 10


def find_corrected(page, words, time):
    """Height of the corrected row of an event: where a click selects it."""
    box = page.locator("#timeline").bounding_box()
    y = box["y"] + 30
    while y < box["y"] + box["height"]:
        page.mouse.click(x_of(page, time), y)
        fields = page.locator("#inspector select")
        if (
            fields.count()
            and f"{fields.evaluate('s => s.selectedOptions[0].text')} {texts(page, '#inspector .button')[0].strip()}"
            == words
        ):
            return y
        y += 5
    raise AssertionError(f"no corrected row of {words}")


def drag(page, y, start, stop, *, alt=False):
    page.mouse.move(x_of(page, start), y)
    page.mouse.down()
    if alt:
        page.keyboard.down("Alt")
    page.mouse.move(x_of(page, (start + stop) / 2), y, steps=3)
    page.mouse.move(x_of(page, stop), y, steps=3)
    page.mouse.up()
    if alt:
        page.keyboard.up("Alt")


DOG, HEARD, SEEN = TRUE = ("Dog", "visual", 0, 3), ("Speech", "audio", 2, 6), ("Speech", "visual", 2, 6)


def test_drag_an_edge_save_and_reload(viewer):
    start_correcting(viewer)
    y = find_corrected(viewer, "Speech audible", 4)
    drag(viewer, y, 6, 8.2)
    saved(viewer, DOG, ("Speech", "audio", 2, 8), SEEN)
    drag(viewer, y, 2, 2.63, alt=True)
    until(viewer, "document.getElementById('inspector').querySelector('input').value > 2")
    onset = float(viewer.get_by_label("Start in seconds").input_value())
    assert 2.5 < onset < 2.75
    saved(viewer, DOG, ("Speech", "audio", onset, 8), SEEN)
    viewer.reload()
    until(viewer, "document.querySelectorAll('#lanes .lane').length === 4")
    viewer.select_option("#focus", "mine")
    assert events_list(viewer)[1][2] == f"0:0{onset:.1f} – 0:08.0"
    folder = viewer.server.site.corrections.folder
    assert "a_clip\t3\t8\tSpeech" in (folder / "AVVP_eval_audio.csv").read_text()


def test_add_change_delete_undo_and_redo(viewer):
    start_correcting(viewer)
    y = find_corrected(viewer, "Speech audible", 4)
    drag(viewer, y, 7.3, 8.6)  # on the empty part of the row
    saved(viewer, *TRUE, ("Speech", "audio", 7, 9))
    viewer.keyboard.press("m")
    saved(viewer, *TRUE, ("Speech", "visual", 7, 9))
    viewer.locator("#inspector select").select_option("2")
    saved(viewer, *TRUE, ("Car_alarm", "visual", 7, 9))
    viewer.keyboard.press("Escape")
    viewer.locator("#events .item", has_text="Car alarm").click()
    viewer.keyboard.press("Delete")
    saved(viewer, *TRUE)
    for _ in range(3):
        viewer.keyboard.press("Control+z")
    saved(viewer, *TRUE, ("Speech", "audio", 7, 9))
    viewer.keyboard.press("Control+Shift+z")
    saved(viewer, *TRUE, ("Speech", "visual", 7, 9))
    viewer.keyboard.press("Enter")  # right as it is: the next clip
    until(viewer, "document.getElementById('main').dataset.clip === 'b_clip'")
    until(viewer, "document.getElementById('saved').textContent.startsWith('Saved to')")
    assert viewer.server.site.corrections.current["a_clip"].checked
    assert texts(viewer, "#clips .badge") == ["✓"]


def test_keys_alone_can_correct(viewer):
    start_correcting(viewer)
    viewer.select_option("#new-class", "1")
    viewer.keyboard.press("Escape")
    for _ in range(5):
        viewer.keyboard.press("ArrowRight")
    viewer.keyboard.press("i")
    saved(viewer, *TRUE, ("Dog", "audio", 5, 6))
    for _ in range(3):
        viewer.keyboard.press("ArrowRight")
    viewer.keyboard.press("]")
    saved(viewer, *TRUE, ("Dog", "audio", 5, 8))
    viewer.get_by_label("Start in seconds").fill("4.5")
    viewer.keyboard.press("Enter")
    saved(viewer, *TRUE, ("Dog", "audio", 4.5, 8))


def test_what_the_server_never_got_is_sent_after_a_crash(viewer, opened):
    start_correcting(viewer)
    find_corrected(viewer, "Speech audible", 4)
    viewer.route("**/corrections", lambda route: route.abort())
    viewer.keyboard.press("Delete")
    until(viewer, "document.getElementById('saved').textContent.startsWith('Not on disk yet')")
    assert not viewer.server.site.corrections.current
    again = opened(viewer.server.url, context=viewer.context)  # as if the first had died
    again.server = viewer.server
    saved(again, DOG, SEEN)
    assert any("ERR_FAILED" in text for text in opened.troubles)
    opened.troubles.clear()


def test_a_page_without_a_server_keeps_downloads_and_loads_corrections(opened, tmp_path):
    write_page(tmp_path / "p.html", without_truth(toy_document()))
    page = opened((tmp_path / "p.html").as_uri(), accept_downloads=True)
    start_correcting(page)
    find_corrected(page, "Speech audible", 4)
    page.keyboard.press("Delete")
    assert page.locator("#saved").text_content() == "Kept in this browser"
    page.reload()
    until(page, "document.querySelectorAll('#lanes .lane').length === 3")
    downloads = []
    page.on("download", lambda one: downloads.append(one))
    page.click("#edit")
    page.click("#download")
    page.wait_for_timeout(700)
    assert [one.suggested_filename for one in downloads] == [*TABLES, "AVVP_test_pd.csv"]
    for one in downloads:
        one.save_as(tmp_path / one.suggested_filename)
    assert (tmp_path / "AVVP_eval_audio.csv").read_text() == "filename\tonset\toffset\tevent_labels\n"
    expected = "filename\tonset\toffset\tevent_labels\na_clip\t0\t3\tDog\na_clip\t2\t6\tSpeech\n"
    assert (tmp_path / "AVVP_eval_visual.csv").read_text() == expected
    split = read_split(tmp_path, "test", CLASSES)  # the tables are what `valor evaluate` reads
    assert split.clip_ids == ("a_clip",) and split.weak_labels.tolist() == [[True, True, False]]
    (tmp_path / "AVVP_eval_visual.csv").write_text(expected + "b_clip\t1\t5\tCar_alarm\n")
    page.set_input_files("#upload", [tmp_path / name for name in (*TABLES, "AVVP_test_pd.csv")])
    until(page, "document.getElementById('message').textContent === 'Loaded corrections of 2 clips.'")
    page.locator("#clips .item").nth(1).click()
    until(page, "document.getElementById('main').dataset.clip === 'b_clip'")
    until(page, "document.querySelectorAll('#events .item').length === 1")
    assert events_list(page) == (["Car alarm"], ["0:01 – 0:05"])


def test_the_page_says_what_could_not_be_written(opened, tmp_path):
    """Labels are of clips of one length: the second clip is longer than the first."""
    names = [write_parse(tmp_path / f"{t}.json", parse_record(f"{t}.mp4", segments=t)) for t in (4, 6)]
    document = read_document([str(name) for name in names], SourceOptions(class_names=CLASSES))
    with served(document, tmp_path / "c") as server:
        page = opened(server.url)
        page.click("#edit")
        for clip in ("4", "6"):
            until(page, f"document.getElementById('main').dataset.clip === '{clip}'")
            page.click("#checked")
        until(page, "document.getElementById('message').textContent.startsWith('pseudo_labels.npz: not written')")


def test_a_clip_in_which_nothing_was_found_has_a_row_to_correct(opened, tmp_path):
    """That of the class of new events, whether it was chosen now or before, and what it has then stands in the list."""
    record = parse_record(decision={"segment_threshold": 0.99, "gate": "none", "clip_threshold": 0.5})
    files = [
        write_parse(tmp_path / f"{n}.json", record | {"media": record["media"] | {"name": f"{n}.mp4"}}) for n in "ab"
    ]
    with served(read_document(list(map(str, files)), SourceOptions()), tmp_path / "c") as server:
        page = opened(server.url)
        page.set_viewport_size({"width": 1400, "height": 1300})
        page.click("#edit")
        assert "green row" in page.locator("#edit-hint").text_content()
        for clip, choose in (("a", True), ("b", False)):
            page.locator("#clips .item", has_text=f"{clip}.mp4").click()
            until(page, f"document.getElementById('main').dataset.clip === '{clip}'")
            if choose:
                page.select_option("#new-class", "1")
            box = page.locator("#timeline").bounding_box()
            drag(page, box["y"] + 30 + 4 + 7, 2.6, 6.2)  # of ten, in a clip of four seconds: 1 to 3
            until(page, "document.querySelectorAll('#events .item').length === 1")
            assert events_list(page)[0] == ["Dog"]
            assert page.locator("#clips .item", has_text=f"{clip}.mp4").locator(".what").text_content() == "Dog"


def test_seconds_that_nobody_saw_are_crossed_out_and_said(opened, tmp_path):
    """In the rows, the legend, the hint while correcting and in what is to be seen now; so in a clip with no event."""
    record = parse_record(segments=8)
    record["segment_probs"]["visual"][5:7] = [[None] * 3] * 2
    empty = json.loads(json.dumps(record))
    empty["media"]["name"], empty["decision"]["segment_threshold"] = "empty.mp4", 0.99
    files = [write_parse(tmp_path / "film.json", record), write_parse(tmp_path / "empty.json", empty)]
    document = read_document([str(files[0])], SourceOptions())
    write_page(tmp_path / "page.html", document)
    page = opened((tmp_path / "page.html").as_uri())
    until(page, "document.getElementById('main').dataset.clip === 'film'")
    assert texts(page, "#legend > span")[-1] == "no picture"
    page.click("#edit")
    said = page.locator("#edit-hint").text_content()
    assert said.endswith("No picture 0:05 – 0:07: nobody can say what is there, and a checked clip calls it nothing.")
    page.keyboard.press("a")
    assert "No picture" not in page.locator("#edit-hint").text_content()
    assert "no picture" not in texts(page, "#legend > span")
    write_page(tmp_path / "empty.html", read_document([str(files[1])], SourceOptions()))
    page = opened((tmp_path / "empty.html").as_uri())
    until(page, "document.getElementById('main').dataset.clip === 'empty'")
    page.mouse.click(x_of(page, 7.5), page.locator("#timeline").bounding_box()["y"] + 10)  # of ten: at second 6
    until(page, "document.getElementById('now').textContent.includes('no picture here')")
