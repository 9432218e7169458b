"""The viewer in a real Chromium, used with mouse and keyboard; skipped where there is no browser to drive."""

import shutil
from dataclasses import replace

import numpy as np

from tests.helpers.toy_browser import (
    TIME,
    browser,
    events_list,
    media,
    opened,
    row_of,
    texts,
    until,
    viewer,
    wait_for_time,
)
from tests.helpers.toy_viewer import CLASSES, NASTY, marks_of, mask, served, toy_document, toy_system, write_webm
from valor.viewer.documents import Clip, Document, Marks, disagreement, segment_f, with_classes
from valor.viewer.page import write_page

# ruff: noqa: F401, F811  (fixtures are imported by name)


def test_the_video_plays_beside_a_moving_playhead(viewer):
    left = viewer.evaluate("new DOMMatrix(getComputedStyle(document.getElementById('playhead')).transform).e")
    viewer.click("#play")
    wait_for_time(viewer, "t > 0.6")
    assert (
        viewer.evaluate("new DOMMatrix(getComputedStyle(document.getElementById('playhead')).transform).e") > left + 30
    )
    assert viewer.locator("#play").get_attribute("aria-label") == "Pause"
    viewer.keyboard.press("Space")
    stopped = viewer.evaluate(TIME)
    viewer.wait_for_timeout(250)
    assert viewer.evaluate(TIME) == stopped
    assert viewer.locator("#clock").text_content().endswith(" / 0:10.0")


def test_a_click_on_an_event_jumps_there_and_loops_it(viewer):
    assert texts(viewer, "#events .class") == ["Dog", "Speech", "Speech"]
    row_of(viewer, "Dog").click()
    until(viewer, f"{TIME} > 2.4")
    viewer.evaluate("document.getElementById('video').currentTime = 2.7")
    wait_for_time(viewer, "t < 1")  # back at its start
    assert viewer.locator("#loop").get_attribute("aria-pressed") == "true"
    assert "Dog" in viewer.locator("#inspector").text_content()
    viewer.keyboard.press("l")
    assert viewer.locator("#loop").get_attribute("aria-pressed") == "false"


def test_a_click_on_the_timeline_picks_the_event_under_it_or_goes_there(viewer):
    canvas = viewer.locator("#timeline").bounding_box()
    head = viewer.evaluate("document.getElementById('timeline').getBoundingClientRect().top")
    x = canvas["x"] + 284 + (canvas["width"] - 300) * 0.41  # about second 4.1
    found = False
    for y in range(int(head) + 34, int(head) + 220, 6):
        viewer.mouse.click(x, y)
        if viewer.locator("#inspector").is_visible():
            found = True
            break
    assert found and "0:02 – 0:06" in viewer.locator("#inspector").text_content()
    assert abs(viewer.evaluate(TIME) - 2) < 1.5
    viewer.mouse.click(x, head + 20)  # the ruler
    until(viewer, f"Math.abs({TIME} - 4.1) < 0.4")
    viewer.keyboard.press("Escape")
    assert not viewer.locator("#inspector").is_visible()


def test_the_slider_decides_anew_by_the_rule(viewer):
    scores = viewer.locator("#scores").text_content
    assert scores().startswith("one F 100.0")
    viewer.select_option("#focus", "s1")
    assert events_list(viewer)[0] == ["Speech"]
    slider = viewer.locator("#threshold")
    slider.focus()
    slider.fill("0.7")  # above what the second system ever says
    assert events_list(viewer)[0] == [] and viewer.locator("#threshold-value").text_content() == "0.70"
    slider.fill("0.1")  # below everything, but the gate stays
    assert events_list(viewer) == (["Speech"], ["0:00 – 0:10"])
    viewer.uncheck("#gate")
    assert len(events_list(viewer)[0]) == 6  # three classes, heard and seen
    viewer.check("#gate")
    viewer.click("#threshold-own")
    assert events_list(viewer) == (["Speech"], ["0:02 – 0:06"]) and scores().startswith("one F 100.0")


def test_scores_are_those_of_the_scorer(viewer):
    viewer.keyboard.press("n")
    until(viewer, "document.getElementById('main').dataset.clip === 'b_clip'")
    clip = viewer.server.site.document.clips[1]
    expected = [f"F {segment_f(clip, marks.predicted):.1f}" for marks in clip.marks]
    until(viewer, f"document.getElementById('scores').textContent.includes('{expected[0]}')")
    assert texts(viewer, "#scores b") == expected


def test_classes_that_a_system_does_not_know_are_named_beside_its_score_and_left_out(opened, tmp_path):
    document = with_classes(toy_document(), ("Owl", "Rain"))
    truth = document.clips[1].truth.copy()
    truth[:4, 0, 3] = True
    clip = replace(document.clips[1], truth=truth)
    write_page(tmp_path / "p.html", replace(document, clips=(clip,)))
    page = opened((tmp_path / "p.html").as_uri())
    expected = [
        f"F {segment_f(one, one.marks[k].predicted):.1f}" for k, one in enumerate([toy_document().clips[1]] * 2)
    ]
    until(page, "document.getElementById('scores').textContent !== ''")
    assert texts(page, "#scores b") == expected
    assert texts(page, "#scores .soft") == [" without Owl, which it does not know"] * 2


def test_hits_false_alarms_and_misses_are_told_apart(viewer):
    viewer.keyboard.press("n")
    until(viewer, "document.getElementById('main').dataset.clip === 'b_clip'")
    until(viewer, "document.querySelectorAll('#events .item').length === 3")
    assert list(zip(*events_list(viewer), texts(viewer, "#events .verdict"), strict=True)) == [
        ("Speech", "0:02 – 0:06", "hit"),
        ("Speech", "0:04 – 0:08", "in part"),
        ("Car alarm", "0:07 – 0:09", "false alarm"),
    ]  # fmt: skip
    viewer.select_option("#focus", "truth")
    assert texts(viewer, "#events .verdict") == ["missed", "found", "in part"]
    assert texts(viewer, "#legend span") == [
        "truth",
        "audible, hit",
        "visible, hit",
        "false alarm",
        "missed",
        "audible and visible",
        "probability",
    ]
    viewer.select_option("#reference", "s1")
    assert "not in two" in texts(viewer, "#legend span")


def test_audible_visible_and_both(viewer):
    for key, expected in (("a", ["Speech"]), ("v", ["Dog", "Speech"]), ("b", ["Dog", "Speech", "Speech"])):
        viewer.keyboard.press(key)
        assert texts(viewer, "#events .class") == expected
    viewer.click("#show-visual")
    assert texts(viewer, "#events .class") == ["Dog", "Speech"]


def test_clips_are_searched_sorted_and_filtered(viewer):
    names = lambda: texts(viewer, "#clips .name")  # noqa: E731
    assert names() == ["a_clip", "b_clip", "c_clip"]
    viewer.select_option("#sort", "f0")
    assert names() == ["b_clip", "c_clip", "a_clip"]
    viewer.click("#direction")
    assert names()[0] == "a_clip"
    clips = viewer.server.site.document.clips
    differ = {clip.clip_id: disagreement([marks.predicted for marks in clip.marks]) for clip in clips}
    assert differ["a_clip"] > differ["b_clip"] == differ["c_clip"]
    viewer.select_option("#sort", "systems")
    assert names() == ["a_clip", "b_clip", "c_clip"]
    viewer.click("#direction")
    assert names() == ["b_clip", "c_clip", "a_clip"]
    assert viewer.locator("#clips .figure").first.text_content() == f"{differ['b_clip']:.0f} %"
    viewer.select_option("#sort", "name")
    viewer.click("#direction")
    assert names() == ["c_clip", "b_clip", "a_clip"]
    viewer.fill("#search", "B_")
    assert names() == ["b_clip"] and viewer.locator("#count").text_content() == "1 of 3 clips"
    viewer.fill("#search", "")
    viewer.select_option("#class-filter", "2")  # Car alarm, which only the wrong clips have
    assert sorted(names()) == ["b_clip", "c_clip"]
    viewer.locator("#clips .item").first.click()
    until(viewer, "document.querySelectorAll('#events .item').length === 1")
    assert texts(viewer, "#events .class") == ["Car alarm"]


def test_keys_move_through_events_clips_and_time(viewer):
    viewer.keyboard.press("ArrowRight")
    viewer.keyboard.press("ArrowRight")
    until(viewer, f"Math.abs({TIME} - 2) < 0.05")
    viewer.keyboard.press("j")
    viewer.keyboard.press("j")
    assert viewer.locator("#events [aria-selected=true] .class").text_content() == "Speech"
    viewer.keyboard.press("k")
    viewer.keyboard.press("Space")
    viewer.keyboard.press("ArrowDown")
    assert viewer.locator("#threshold-value").text_content() == "0.45"
    viewer.keyboard.press("r")
    viewer.keyboard.press("2")
    assert viewer.locator("#lanes .lane").nth(1).get_attribute("aria-pressed") == "false"
    viewer.keyboard.press("?")
    assert viewer.locator("#help").is_visible()
    sheet = viewer.locator("#help").text_content()
    assert all(
        word in sheet
        for word in ("next, previous clip", "undo", "gate", "Against auto", "own rule", "how much of a clip is right")
    )
    viewer.keyboard.press("Escape")
    assert not viewer.locator("#help").is_visible()
    viewer.keyboard.press("/")
    viewer.keyboard.type("pet")  # letters typed into the search are no commands
    assert viewer.locator("#search").input_value() == "pet"


def test_light_and_dark(opened, tmp_path):
    write_page(tmp_path / "p.html", toy_document())
    page = opened((tmp_path / "p.html").as_uri(), color_scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(18, 21, 23)"
    page.click("#theme")
    assert page.evaluate(paper) == "rgb(247, 245, 240)"
    page.reload()
    until(page, "document.querySelectorAll('#lanes .lane').length > 0")
    assert page.evaluate(paper) == "rgb(247, 245, 240)"


def test_names_are_shown_as_they_are_and_run_nothing(opened, tmp_path):
    document = toy_document((NASTY, "-rf", "b"), title=NASTY)
    document = replace(document, class_names=("<i>Speech</i>", "Dog\"'", "Car&alarm"))
    write_page(tmp_path / "p.html", document)
    page = opened((tmp_path / "p.html").as_uri())
    assert page.locator("#clip-name").text_content() == NASTY
    assert page.locator("#document-title").text_content() == NASTY
    assert "<i>Speech</i>" in texts(page, "#events .class")
    assert page.evaluate("window.hacked") is None and page.locator("img, b > i, #events i").count() == 0
    page.locator("#clips .item").nth(1).click()
    until(page, "location.hash === '#-rf'")


def test_a_phone_scrolls_downwards_only(opened, media, tmp_path):
    document = toy_document(("a clip with a name that is long enough to need more room than a phone has to spare", "b"))
    clips = (replace(document.clips[0], media=media[0]), document.clips[1])
    write_page(tmp_path / "p.html", replace(document, clips=clips))
    page = opened((tmp_path / "p.html").as_uri(), width=390, height=844, has_touch=True, device_scale_factor=3)
    fits = "document.documentElement.scrollWidth <= innerWidth && document.body.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    page.tap("#edit")
    page.locator("#events .item").first.tap()
    assert page.evaluate(fits)
    bar = page.locator("#inspector").bounding_box()  # within reach, wherever the page is scrolled to
    assert bar["y"] + bar["height"] <= 844.5 and page.locator("#inspector button").count() == 2
    page.tap("#edit")
    assert not page.locator("#side").is_visible()
    page.tap("#open-clips")
    page.locator("#clips .item").nth(1).tap()
    until(page, "document.getElementById('main').dataset.clip === 'b'")
    assert not page.locator("#side").is_visible()
    page.tap("#play")
    page.wait_for_timeout(300)
    assert page.evaluate("parseFloat(document.getElementById('clock').textContent.slice(2)) > 0")


def test_sound_alone_plays_with_its_waveform_and_no_media_keeps_a_clock(viewer):
    viewer.keyboard.press("n")
    until(viewer, "document.getElementById('video').readyState > 1")
    assert viewer.locator("#sound").is_visible()
    viewer.click("#play")
    wait_for_time(viewer, "t > 0.3")
    viewer.keyboard.press("n")
    until(viewer, "document.getElementById('main').dataset.clip === 'c_clip'")
    assert "No media file for this clip" in viewer.locator("#no-media").text_content()
    viewer.click("#play")
    until(viewer, "parseFloat(document.getElementById('clock').textContent.slice(2)) > 0.3")


def test_frames_and_waveform_are_drawn_from_the_media(viewer):
    until(viewer, "document.getElementById('main').dataset.strip === 'done'")
    with_strip = viewer.evaluate("document.getElementById('extent').offsetHeight")
    viewer.evaluate("location.hash = 'c_clip'")  # the same rows, no media
    until(viewer, "document.getElementById('main').dataset.clip === 'c_clip'")
    viewer.select_option("#class-filter", "0")
    bare = viewer.evaluate("document.getElementById('extent').offsetHeight")
    viewer.evaluate("location.hash = 'a_clip'")
    until(viewer, "document.getElementById('main').dataset.clip === 'a_clip'")
    assert with_strip > viewer.evaluate("document.getElementById('extent').offsetHeight") == bare + 46 + 30


def test_media_of_a_page_without_it_is_chosen_by_hand(opened, media, tmp_path):
    document = toy_document(("film", "other"))
    write_page(tmp_path / "p.html", document)
    page = opened((tmp_path / "p.html").as_uri())
    page.set_input_files("#pick-media", media[0])
    until(page, "document.getElementById('video').readyState > 1")
    assert not page.locator("#no-media").is_visible()
    page.click("#play")
    wait_for_time(page, "t > 0.3")


def test_linked_media_plays_from_beside_the_page(opened, media, tmp_path):
    path = tmp_path / "a #1 ü.webm"
    shutil.copy(media[0], path)
    document = toy_document(("a",))
    write_page(tmp_path / "p.html", replace(document, clips=(replace(document.clips[0], media=path),)), embed=False)
    page = opened((tmp_path / "p.html").as_uri())
    page.click("#play")
    wait_for_time(page, "t > 0.3")


def test_absent_streams_are_said_and_times_are_on_the_players_clock(opened, tmp_path):
    probs = np.where(mask((1, 0, 2, 4)), 0.9, 0.1).astype(np.float32)
    probs[:, 0] = np.nan
    marks = Marks(predicted=mask((1, 0, 2, 4)), segment_probs=probs)
    system = replace(toy_system("one"), gate_thresholds=None)
    clip = Clip(clip_id="mute", marks=(marks,), num_segments=10, streams=(False, True), start_time=1.5, duration=10.2)
    write_page(tmp_path / "p.html", Document(title="t", class_names=CLASSES, systems=(system,), clips=(clip,)))
    page = opened((tmp_path / "p.html").as_uri())
    assert "no sound stream" in page.locator("#clip-facts").text_content()
    assert texts(page, "#now .said.audio span") == ["no sound stream"]
    page.locator("#threshold").fill("0.01")
    assert events_list(page)[1][0] == "0:00 – 0:10" and page.locator("#events .event.audio").count() == 0
    page.keyboard.press("r")
    page.locator("#events .item").first.click()
    assert "file clock 3.50 – 5.50 s" in page.locator("#inspector").text_content()
    assert page.locator("#clock").text_content().startswith("0:02")


def test_media_whose_clock_starts_late_shows_what_is_there(opened, tmp_path):
    film = write_webm(tmp_path / "late.webm", start=1.5)
    document = toy_document(("late",))
    late = replace(document.clips[0], media=film, start_time=1.5, duration=10.0)
    with served(replace(document, clips=(late,))) as server:
        page = opened(server.url)
        until(page, "document.getElementById('video').readyState > 1")
        assert page.locator("#clock").text_content().startswith("0:00.0")
        page.locator("#events .item", has_text="Speech").first.click()  # from 2 to 6 seconds
        page.keyboard.press("Space")
        page.keyboard.press("Escape")
        page.keyboard.press("Home")
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        until(page, "document.getElementById('clock').textContent.startsWith('0:03.0')")
        until(page, "!document.getElementById('video').seeking")
        grey = """(() => {
            const pen = document.createElement('canvas').getContext('2d');
            pen.drawImage(document.getElementById('video'), 0, 0, 8, 8);
            return pen.getImageData(4, 4, 1, 1).data[0];
        })()"""
        until(page, f"Math.abs({grey} - 80) < 8")  # frame 30 of the film, three seconds after its start


def test_long_recordings_are_drawn_in_part_and_scroll_smoothly(opened, tmp_path):
    rng, segments, classes = np.random.default_rng(0), 10_800, tuple(f"class {c}" for c in range(25))
    probs = rng.random((segments, 2, 25), dtype=np.float32) ** 4
    system = replace(toy_system("one"), thresholds=np.full((2, 25), 0.5), gate_thresholds=None)
    clip = Clip(clip_id="long", marks=(Marks(predicted=probs >= 0.5, segment_probs=probs),), num_segments=segments)
    write_page(tmp_path / "p.html", Document(title="t", class_names=classes, systems=(system,), clips=(clip,)))
    page = opened((tmp_path / "p.html").as_uri())
    for _ in range(9):
        page.click("#zoom-in")
    assert page.locator("#overview").is_visible()
    assert page.evaluate("document.getElementById('timeline').width") <= 1400
    assert page.locator("#events .item").count() < 60
    steps = page.evaluate(
        """async () => {
            const box = document.getElementById('scroller'), steps = [];
            for (let i = 0; i < 60; i++) {
                const before = performance.now();
                box.scrollLeft += 900;
                await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
                steps.push(performance.now() - before);
            }
            return steps.sort((a, b) => a - b);
        }"""
    )
    assert steps[30] < 120, steps  # a slow machine draws at 60 a second; this one may be busy
    assert page.evaluate("document.getElementById('scroller').scrollLeft") >= 50_000


def test_twelve_hundred_clips_open_at_once(opened, tmp_path):
    marks = marks_of(mask((0, 0, 2, 6)))
    clips = tuple(Clip(clip_id=f"clip {n}", marks=(marks,), num_segments=10) for n in range(1200))
    document = Document(title="many", class_names=CLASSES, systems=(toy_system("one"),), clips=clips)
    with served(document) as server:
        page = opened(server.url)
        assert page.locator("#clips .item").count() < 40
        assert sum("/clip/" in url for url in opened.requests) <= 2
        page.evaluate("document.getElementById('clips').scrollTop = 1e9")
        page.locator("#clips .item", has_text="clip 1199").click()
        until(page, "document.getElementById('main').dataset.clip === 'clip 1199'")
        until(page, "document.querySelectorAll('#events .item').length === 1")
