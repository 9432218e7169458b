"""Looking in a real Chromium: the rule behind the slider, small screens, paper, keys; skipped without a browser."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_browser import TIME, browser, events_list, media, opened, texts, until, viewer, wait_for_time
from tests.helpers.toy_viewer import CLASSES, NASTY, parse_record, toy_document, toy_system, write_parse
from valor.data.predictions import Predictions, decisions, write_predictions
from valor.data.where import Where
from valor.eval.decide import PostProcessing
from valor.eval.events import MODALITIES, events_of
from valor.eval.tables import Sheet
from valor.viewer.documents import Clip, Marks, Section
from valor.viewer.page import write_page
from valor.viewer.sources import SourceOptions, read_document

# ruff: noqa: F401, F811  (fixtures are imported by name)


LONG = "valor++ of all/seed-0"


def listed(predicted):
    """Events of bool [T, M, C] as the page lists them, sorted."""
    found = [
        (CLASSES[e.class_index].replace("_", " "), modality, f"0:{e.onset:02.0f} – 0:{e.offset:02.0f}")
        for index, modality in enumerate(MODALITIES)
        for e in events_of(predicted[:, index])
    ]
    return sorted(found)


def shown(page):
    kinds = [
        "audio" if "audio" in row.get_attribute("class") else "visual" for row in page.locator("#events .item").all()
    ]
    names, spans = events_list(page)
    assert page.locator("#event-count").text_content().split()[0] == str(len(names))  # none is hidden below
    return sorted(zip(names, kinds, spans, strict=True))


@pytest.mark.parametrize("gate", ["clip", "modality", ("modality", "none")])
def test_every_threshold_decides_as_evaluate_does(opened, tmp_path, gate):
    rng, shape = np.random.default_rng(1), (1, 12, 2, len(CLASSES))
    probs = (rng.integers(0, 21, shape) / 20).astype(np.float32)  # many of them right at a threshold
    gates = {"clip_probs": np.float32([[0.5, 0.45, 0.9]])}
    if gate != "clip":
        gates = {"modality_probs": np.float32([[[0.5, 0.45, 0.9], [0.2, 0.7, 0.5]]])}
    held = Predictions(clip_ids=("a",), class_names=CLASSES, segment_probs=probs, **gates)
    write_predictions(tmp_path / "p.npz", held)
    own = PostProcessing(segment_threshold=((0.3, 0.45, 0.7), (0.5, 0.55, 0.2)), gate=gate, clip_threshold=0.5)
    options = SourceOptions(class_names=CLASSES, rule=lambda _: own)
    write_page(tmp_path / "p.html", read_document([str(tmp_path / "p.npz")], options))
    page = opened((tmp_path / "p.html").as_uri(), height=4000)
    assert shown(page) == listed(decisions(held, own)[0][0])
    counts = set()
    for threshold in (0.05, 0.3, 0.45, 0.5, 0.55, 0.8, 0.95):
        page.locator("#threshold").fill(str(threshold))
        rule = replace(own, segment_threshold=threshold)
        assert shown(page) == listed(decisions(held, rule)[0][0]), threshold
        page.uncheck("#gate")
        assert shown(page) == listed(decisions(held, replace(rule, gate="none"))[0][0]), threshold
        page.check("#gate")
        counts.add(len(shown(page)))
    assert len(counts) > 2  # the slider did something
    page.click("#threshold-own")
    assert shown(page) == listed(decisions(held, own)[0][0])


def test_the_threshold_that_is_shown_is_that_of_the_clip(opened, tmp_path):
    rules = {"a": 0.5, "b": 0.7, "c": 0.95}
    for name, threshold in rules.items():
        decision = {"segment_threshold": threshold, "gate": "clip" if name == "b" else "none", "clip_threshold": 0.5}
        gate = [[[0.9, 0.1, 0.1]] * 2] * 4 if name == "b" else None
        write_parse(tmp_path / f"{name}.json", parse_record(f"{name}.mp4", decision=decision, gate_probs=gate))
    document = read_document([str(tmp_path)], SourceOptions())
    write_page(tmp_path / "p.html", document)
    page = opened((tmp_path / "p.html").as_uri())
    for name, clip in zip(rules, document.clips, strict=True):
        page.evaluate(f"location.hash = '{name}'")
        until(page, f"document.getElementById('main').dataset.clip === '{name}'")
        said = page.locator("#threshold-value").text_content()
        assert (said, page.locator("#gate-label").is_visible()) == (f"{rules[name]:.2f}", name == "b")
        own = shown(page)
        assert own == listed(clip.marks[0].predicted)
        for key in ("ArrowUp", "ArrowDown") if name != "c" else ():
            page.keyboard.press(key)
        assert (page.locator("#threshold-value").text_content(), shown(page)) == (said, own)
        page.keyboard.press("r")


def with_texts(browser, **options):
    """A context in which every text drawn on a canvas is noted."""
    context = browser.new_context(**options)
    context.add_init_script(
        "window.drawn = new Set(); const fill = CanvasRenderingContext2D.prototype.fillText;"
        "CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {"
        " window.drawn.add(text); return fill.call(this, text, ...rest); };"
    )
    return context


def of_long_names():
    return toy_document(title=f"{LONG} · two", systems=(toy_system(LONG), toy_system("two")))


def test_names_of_rows_are_whole_on_a_desk_and_lose_their_middle_on_a_phone(browser, opened, tmp_path):
    write_page(tmp_path / "p.html", of_long_names())
    wide = with_texts(browser, viewport={"width": 1400, "height": 900})
    page = opened((tmp_path / "p.html").as_uri(), context=wide)
    until(page, f"window.drawn.has('{LONG}')")
    phone = with_texts(browser, viewport={"width": 390, "height": 844}, has_touch=True)
    page = opened((tmp_path / "p.html").as_uri(), context=phone)
    until(page, "window.drawn.has('two')")
    (cut,) = [text for text in page.evaluate("[...window.drawn]") if "…" in text]
    assert LONG.startswith(cut.partition("…")[0]) and cut.endswith("seed-0")


def test_notes_stand_under_the_name_of_the_clip_on_paper_too(opened, tmp_path):
    first, *others = toy_document(notes=("one: its sound was made up.",)).clips
    clips = (replace(first, notes=("heard track 2 of 2", NASTY, "its sound was made up")), *others)
    write_page(tmp_path / "p.html", replace(toy_document(notes=("one: its sound was made up.",)), clips=clips))
    page = opened((tmp_path / "p.html").as_uri())
    said = page.locator("#clip-notes").text_content()
    assert said == f"Note: heard track 2 of 2\nNote: {NASTY}\nNote: its sound was made up"
    page.emulate_media(media="print")
    assert page.locator("#clip-notes").is_visible()
    page.emulate_media(media="screen")
    page.locator("#clips .clip").nth(1).click()
    until(page, "document.getElementById('clip-notes').textContent === 'Note: one: its sound was made up.'")


def test_what_is_said_of_no_single_clip_stands_beside_the_list_and_under_no_clip(opened, tmp_path):
    write_page(tmp_path / "p.html", toy_document(about=(f"40 clips are left out ({NASTY})",)))
    page = opened((tmp_path / "p.html").as_uri())
    assert page.locator("#about").text_content() == f"40 clips are left out ({NASTY})"
    assert not page.locator("#clip-notes").is_visible()


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (1000, 700), (390, 844)])
def test_notes_are_whole_and_push_scores_down_or_are_scrolled(opened, tmp_path, width, height):
    first, *others = toy_document().clips
    notes = ("heard track 2 of 2 (stereo, 6 channels); track 1 was heard", "the parser knows drawings alone " * 4)
    write_page(tmp_path / "p.html", replace(toy_document(), clips=(replace(first, notes=notes), *others)))
    page = opened((tmp_path / "p.html").as_uri(), width=width, height=height)
    assert page.locator("#clip-notes").evaluate("e => e.scrollHeight <= e.clientHeight + 1")
    notes_end, scores, now = (
        page.locator(of).evaluate(f"e => e.getBoundingClientRect().{edge}")
        for of, edge in (("#clip-notes", "bottom"), ("#scores", "top"), ("#now", "top"))
    )
    assert notes_end <= scores + 1
    head = page.locator(".panel .head")
    assert head.evaluate("e => e.getBoundingClientRect().bottom") <= now + 1
    head.evaluate("e => e.scrollTo(0, e.scrollHeight)")
    assert page.locator("#scores").evaluate("e => e.getBoundingClientRect().bottom") <= now + 1


def test_a_message_moves_nothing(viewer):
    before = viewer.locator("#timeline").bounding_box()
    viewer.keyboard.press("w")
    viewer.wait_for_selector("#message:not([hidden])")
    assert viewer.locator("#timeline").bounding_box() == before


def test_what_is_cut_is_told_under_the_pointer(opened, tmp_path):
    write_page(tmp_path / "p.html", of_long_names())
    page = opened((tmp_path / "p.html").as_uri(), width=700)
    box = page.locator("#timeline").bounding_box()
    for y in range(int(box["y"]) + 40, int(box["y"]) + 140, 8):
        page.mouse.move(box["x"] + 60, y)
        if LONG in (page.locator("#tip").text_content() or ""):
            break
    assert page.locator("#tip").text_content() == f"Speech, audible, {LONG}" and page.locator("#tip").is_visible()


@pytest.mark.parametrize(("width", "height", "top"), [(390, 844, 400), (360, 640, 400), (844, 390, 240)])
def test_the_timeline_begins_early_on_a_phone(opened, media, tmp_path, width, height, top):
    document = toy_document(title="valor/seed-0 · zero-shot")
    clips = (replace(document.clips[0], media=media[0]), *document.clips[1:])
    write_page(tmp_path / "p.html", replace(document, clips=clips))
    page = opened((tmp_path / "p.html").as_uri(), width=width, height=height, has_touch=True)
    assert page.locator(".line").bounding_box()["y"] < top
    assert page.locator("#document-title").evaluate(
        "e => e.scrollHeight <= e.clientHeight && e.scrollWidth <= e.clientWidth"
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#events .item").last.scroll_into_view_if_needed()  # all of the page can be reached
    assert page.locator("#events .item").last.bounding_box()["y"] < height


def test_media_that_browsers_do_not_play_is_called_so_with_the_way_out(opened, media, tmp_path):
    document = toy_document()
    clips = (replace(document.clips[0], unplayed=".ts"), *document.clips[1:])
    write_page(tmp_path / "p.html", replace(document, clips=clips))
    page = opened((tmp_path / "p.html").as_uri(), width=1000, height=700)
    assert "Browsers do not play .ts files" in page.locator("#no-media").text_content()
    assert page.locator("#convert-command").text_content() == "ffmpeg -i IN.ts -c copy OUT.mp4"
    assert page.locator("#no-media").evaluate("e => e.scrollHeight <= e.clientHeight")  # all of it can be read
    page.keyboard.press("n")
    until(page, "document.getElementById('no-media').textContent.includes('No media file for this clip')")
    assert not page.locator("#convert").is_visible()
    page.keyboard.press("p")
    until(page, "!document.getElementById('convert').hidden")
    page.set_input_files("#pick-media", media[0])  # whatever the new file is called
    until(page, f"document.getElementById('video').readyState >= 2 && {TIME} === 0")
    assert not page.locator("#no-media").is_visible()


def test_a_file_that_fails_to_play_can_be_converted_too(opened, tmp_path):
    (tmp_path / "a.webm").write_bytes(b"no film")
    document = toy_document()
    clips = (replace(document.clips[0], media=tmp_path / "a.webm"), *document.clips[1:])
    write_page(tmp_path / "p.html", replace(document, clips=clips))
    page = opened((tmp_path / "p.html").as_uri())
    until(page, "!document.getElementById('convert').hidden")
    assert "cannot open the media file" in page.locator("#no-media").text_content()
    assert page.locator("#convert-command").text_content() == "ffmpeg -i IN -c copy OUT.mp4"


@pytest.mark.parametrize(("width", "tallest"), [(320, 145), (390, 100), (1280, 50), (1440, 50)])
def test_correcting_takes_little_room_and_nothing_is_cut_off(opened, tmp_path, width, tallest):
    names = ("Speech", "Dog", "Vacuum_cleaner_of_the_neighbours")
    write_page(tmp_path / "p.html", replace(toy_document(), class_names=names))
    page = opened((tmp_path / "p.html").as_uri(), width=width, height=800, has_touch=width < 500)
    page.click("#edit")
    assert page.locator("#edit-bar").bounding_box()["height"] <= tallest
    assert page.evaluate("document.documentElement.scrollWidth") == width
    cut = (
        "[...document.querySelectorAll('.bar button, :is(.deck, #edit-bar) :is(button, select, output)')]"
        ".filter((e) => e.offsetParent && e.getBoundingClientRect().right > innerWidth).map((e) => e.id)"
    )
    assert page.evaluate(cut) == []
    spoken = page.locator("#edit-bar").aria_snapshot()
    assert all(f'"{name}' in spoken for name in ("Undo", "Redo", "Download", "Start from", "Class of new events"))
    if width >= 1280:  # in one line
        tops = page.evaluate("['undo', 'download', 'checked'].map((id) => document.getElementById(id).offsetTop)")
        assert len(set(tops)) == 1


def test_paper_gets_every_row_in_light_colours(opened, tmp_path):
    write_page(tmp_path / "p.html", toy_document())
    page = opened((tmp_path / "p.html").as_uri(), height=560, color_scheme="dark")
    rows = page.evaluate("document.getElementById('extent').offsetHeight")
    held = "document.getElementById('timeline').getBoundingClientRect().height"
    before = page.evaluate(held)
    assert before < rows - 20  # not all of them are on the screen
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(held) >= rows - 20
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert not page.locator("#play").is_visible() and page.locator("#clip-name").is_visible()
    assert page.locator("#legend").is_visible() and not page.locator("#side").is_visible()
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    until(page, f"{held} === {before}")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert len(page.pdf()) > 10_000


def test_tab_reaches_every_control_and_shows_where_it_is(viewer):
    viewer.click("#edit")
    reached, unseen = set(), []
    for _ in range(60):
        viewer.keyboard.press("Tab")
        name, outline = viewer.evaluate(
            "[document.activeElement.id || document.activeElement.className, (() => {"
            " const e = document.activeElement, style = getComputedStyle(e.closest('label.button') ?? e);"
            " return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1; })()]"
        )
        reached.add(name)
        if not outline and name not in ("", "editing"):  # the page itself, between the last and the first
            unseen.append(name)
    assert not unseen
    shown = viewer.evaluate(
        "[...document.querySelectorAll('button, select, input, [tabindex=\"0\"]')]"
        ".filter((e) => e.checkVisibility({visibilityProperty: true}) && !e.disabled).map((e) => e.id || e.className)"
    )
    assert set(shown) <= reached
    nameless = viewer.evaluate(
        "[...document.querySelectorAll('button, select, input, [role=listbox], #scroller')].filter((e) =>"
        " !(e.ariaLabel || e.ariaHidden || e.labels?.length || e.textContent.trim()))"
        ".map((e) => e.outerHTML.slice(0, 80))"
    )
    assert nameless == []


def test_arrows_on_the_slider_move_the_slider(viewer):
    viewer.focus("#threshold")
    viewer.keyboard.press("ArrowRight")
    viewer.keyboard.press("ArrowRight")
    assert viewer.locator("#threshold-value").text_content() == "0.52"
    assert viewer.evaluate(TIME) == 0
    viewer.keyboard.press("v")  # letters remain commands
    assert viewer.locator("#show-visual").get_attribute("aria-pressed") == "true"


def test_an_empty_timeline_says_what_to_do(browser, opened, tmp_path):
    write_page(tmp_path / "p.html", toy_document(systems=(toy_system("one"), toy_system("two"))))
    page = opened((tmp_path / "p.html").as_uri(), context=with_texts(browser))
    page.locator("#threshold").fill("0.99")
    page.keyboard.press("1")  # the truth is hidden
    until(page, "window.drawn.has('No event at this threshold')")
    page.keyboard.press("2")
    page.keyboard.press("3")
    until(page, "window.drawn.has('All rows are hidden')")


def test_a_report_comes_first_and_gives_way_to_the_clips(opened, media, tmp_path):
    section = Section(title=NASTY, text=("words",), sheet=Sheet(columns=["", "F"], rows=[["one", "50.0"]]))
    document = toy_document(report=(section,))
    document = replace(document, clips=(replace(document.clips[0], media=media[0]), *document.clips[1:]))
    write_page(tmp_path / "p.html", document)
    page = opened((tmp_path / "p.html").as_uri())
    until(page, "document.getElementById('main').dataset.clip === 'a_clip'")
    assert page.locator("#report h2").text_content() == NASTY and page.locator("#report td").text_content() == "50.0"
    assert page.locator("#timeline").is_hidden() and page.locator("#edit").is_hidden()
    page.keyboard.press("e")  # the keys of the clips are at rest
    page.keyboard.press("n")
    assert page.evaluate("[location.hash, document.getElementById('main').dataset.clip]") == ["", "a_clip"]
    page.click("#report-turn")
    assert page.locator("#report").is_hidden() and page.locator("#timeline").is_visible()
    page.keyboard.press("Space")
    wait_for_time(page, "t > 0.3")
    page.keyboard.press("s")
    assert page.evaluate("document.getElementById('video').paused") and page.locator("#report").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("location.hash") == "#a_clip"
    page.reload()
    until(page, "document.getElementById('main').dataset.clip === 'a_clip'")
    assert page.locator("#report").is_hidden() and page.locator("#report-turn").text_content() == "Results"


def test_without_a_report_nothing_speaks_of_one(viewer):
    viewer.keyboard.press("s")
    assert viewer.locator("#report").is_hidden() and viewer.locator("#report-turn").is_hidden()
    viewer.keyboard.press("?")
    assert "results" not in viewer.locator("#help").text_content()


def test_where_in_the_picture_is_laid_over_its_second(opened, media, tmp_path):
    values = np.zeros((4, 4), np.float32)
    values[0, 3] = 1  # no mirror or transposition leaves it there
    whole = {"class_name": "Speech", "onset": 4.0, "offset": 8.0, "time": 5.5, "method": "toy"}
    place = Where(**whole, values=values, peak=(0.875, 0.125), area=(0.0, 0.0, 1.0, 1.0))
    clip = toy_document().clips[1]  # the first system sees speech from 4 to 8 s
    clip = replace(clip, media=media[0], marks=(replace(clip.marks[0], where=(place,)), clip.marks[1]))
    write_page(tmp_path / "p.html", replace(toy_document(), clips=(clip,)), embed=True)
    page = opened((tmp_path / "p.html").as_uri())
    until(page, "document.getElementById('video').readyState >= 2")
    assert page.locator("#where").is_hidden()
    page.keyboard.press("w")
    until(page, "!document.getElementById('where').hidden")
    assert page.evaluate(TIME) == pytest.approx(5.5, abs=0.05)
    assert page.evaluate("document.getElementById('video').paused")
    lit, *dark = page.evaluate("""() => {
        const film = document.getElementById('video'), shade = document.getElementById('where');
        const shape = film.videoWidth / film.videoHeight, wide = Math.min(shade.width, shade.height * shape);
        const all = shade.getContext('2d').getImageData(0, 0, shade.width, shade.height);
        return [[0.95, 0.03], [0.05, 0.03], [0.95, 0.95], [0.05, 0.95]].map(([x, y]) => {
            const left = Math.round((shade.width - wide) / 2 + x * wide);
            const top = Math.round((shade.height - wide / shape) / 2 + y * (wide / shape));
            return all.data[4 * (top * shade.width + left) + 3];
        });
    }""")
    assert lit < 100 < min(dark)
    assert "13 % from the top" in page.get_by_role("button", name="where in the picture").get_attribute("title")
    page.keyboard.press("End")
    until(page, "document.getElementById('where').hidden")


def test_the_list_says_which_events_are_unsure(opened, tmp_path):
    clip = toy_document().clips[1]
    marks = clip.marks[0]
    (first, *_), unsure = events_of(marks.predicted[:, 0]), np.zeros_like(marks.predicted)
    unsure[int(first.onset) : int(first.offset), 0, first.class_index] = True
    clip = replace(clip, marks=(replace(marks, unsure=unsure), clip.marks[1]))
    write_page(tmp_path / "p.html", replace(toy_document(), clips=(clip,)), embed=True)
    page = opened((tmp_path / "p.html").as_uri())
    rows = [row.get_attribute("aria-label") for row in page.locator("#events .item").all()]
    said = [row for row in rows if "unsure" in row]
    assert len(said) == 1 and said[0].startswith(f"{CLASSES[first.class_index].replace('_', ' ')}, audible"), rows


def test_zoom_keeps_the_playhead_in_sight(opened, tmp_path):
    probs = np.zeros((600, 2, len(CLASSES)), np.float32)
    clip = Clip(clip_id="long", marks=(Marks(predicted=probs > 0, segment_probs=probs),), num_segments=600)
    write_page(tmp_path / "p.html", replace(toy_document(), systems=(toy_system("one"),), clips=(clip,)))
    page = opened((tmp_path / "p.html").as_uri())
    place = "new DOMMatrix(getComputedStyle(document.getElementById('playhead')).transform).m41"
    for key in ("Home", "Shift+ArrowRight", "Shift+ArrowRight"):
        page.keyboard.press(key)
    before = page.evaluate(place)
    for _ in range(4):
        page.keyboard.press("+")
        assert page.locator("#playhead").is_visible() and abs(page.evaluate(place) - before) < 2
    page.evaluate("document.getElementById('scroller').scrollLeft = 1e9")
    until(page, "document.getElementById('playhead').style.visibility === 'hidden'")
    page.click("#zoom-out")  # it comes back
    assert page.evaluate("document.getElementById('playhead').style.visibility") == "visible"
    page.keyboard.press("0")
    assert page.evaluate("document.getElementById('playhead').style.visibility") == "visible"
