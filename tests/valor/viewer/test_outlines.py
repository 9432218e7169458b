"""Waveforms and film strips of long media: made in the background where they are served, and put into pages."""

import base64
import json
import time
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_browser import browser, opened, until
from tests.helpers.toy_viewer import served, toy_document, write_webm
from tests.valor.viewer.test_page import boot_of
from tests.valor.viewer.test_server import Answer
from valor.label_harvest.media.outline import Outline
from valor.viewer import outlines
from valor.viewer.outlines import pack_outline
from valor.viewer.page import write_page

# ruff: noqa: F401, F811  (fixtures are imported by name)


@pytest.fixture
def film(tmp_path):
    return write_webm(tmp_path / "film.webm")


@pytest.fixture
def all_long(monkeypatch):
    """Films of 10 s are as films of hours."""
    monkeypatch.setattr(outlines, "DRAWN_SECONDS", 5.0)


def of(film, *more):
    document = toy_document(("a", *more))
    return replace(document, clips=tuple(replace(clip, media=film) for clip in document.clips))


def asked(server, number=0, seconds=30.0):
    end = time.monotonic() + seconds
    while (answer := json.loads(Answer(server, f"outline/{number}").body)).get("share") is not None:
        assert 0 <= answer["share"] <= 1 and time.monotonic() < end
        time.sleep(0.02)
    return answer


def test_the_server_makes_what_the_browser_does_not_draw(film, all_long, monkeypatch):
    with served(of(film)) as server:
        assert server.site._source(0)["outline"] == "outline/0"
        outline = asked(server)["outline"]
        assert outline["seconds"] == 10.0 and len(outline["pictures"]) == outlines.MOST_PICTURES
        monkeypatch.setattr(outlines.OutlineReader, "read", None)  # kept: not made a second time
        assert asked(server)["outline"] == outline
        assert Answer(server, "outline/7").status == 404


def test_short_media_are_left_to_the_browser(film):
    with served(of(film)) as server:
        assert "outline" not in server.site._source(0)


def test_large_short_media_are_made_too(film, monkeypatch):
    monkeypatch.setattr(outlines, "DRAWN_BYTES", 100)
    with served(of(film)) as server:
        assert "outline" in server.site._source(0)


def test_media_that_cannot_be_read_say_why_without_the_path(tmp_path, all_long):
    bad = tmp_path / "bad.webm"
    bad.write_bytes(b"no film")
    with served(of(bad)) as server:
        why = asked(server)["why"]
    assert "bad.webm" in why and str(tmp_path) not in why


def test_what_nobody_looks_at_any_more_is_given_up_for_what_is_looked_at(film, all_long, monkeypatch):
    monkeypatch.setattr(outlines, "_LEFT_SECONDS", 0.1)
    begun = []

    def endless(self, path, seconds, *, pictures, goes_on):
        begun.append(len(begun))
        while len(begun) == 1 and goes_on(1.0):
            time.sleep(0.01)
        return None if len(begun) == 1 else Outline(seconds, np.zeros(3, np.uint8), None)

    monkeypatch.setattr(outlines.OutlineReader, "read", endless)
    with served(of(film, "b")) as server:
        assert "share" in json.loads(Answer(server, "outline/0").body)
        assert asked(server, 1)["outline"]["pictures"] == []
    assert len(begun) == 2


def test_closing_the_server_ends_the_work(film, all_long, monkeypatch):
    ended = []

    def endless(self, path, seconds, *, pictures, goes_on):
        while goes_on(1.0):
            time.sleep(0.01)
        ended.append(True)

    monkeypatch.setattr(outlines.OutlineReader, "read", endless)
    with served(of(film)) as server:
        Answer(server, "outline/0")
    assert ended == [True]


def test_pages_have_the_waveform_of_linked_and_of_long_media_up_to_a_bound_that_is_said(film, tmp_path, monkeypatch):
    document, page = of(film, "b", "c"), tmp_path / "p.html"
    assert len(write_page(page, document)) == 1 and "outline" not in boot_of(page)["media"][0]
    monkeypatch.setattr(outlines, "PAGE_SECONDS", 25.0)
    _, note = write_page(page, document, embed=False)
    assert note.startswith("1 clip without a waveform")
    held = [media.get("outline") for media in boot_of(page)["media"]]
    assert [one and len(one["pictures"]) for one in held] == [0, 0, None]  # a browser shows pictures of linked media
    monkeypatch.setattr(outlines, "DRAWN_SECONDS", 5.0)
    write_page(page, document)
    assert len(boot_of(page)["media"][0]["outline"]["pictures"]) == outlines.MOST_PICTURES


def test_pictures_are_packed_in_their_shape():
    packed = pack_outline(Outline(1.0, None, np.zeros((1, 10, 20, 3), np.uint8), pixel_shape=2.0))
    assert packed["peaks"] is None
    file = BytesIO(base64.b64decode(packed["pictures"][0].removeprefix("data:image/jpeg;base64,")))
    assert Image.open(file).size == (40, 10)


@pytest.mark.parametrize("as_page", [False, True])
def test_long_films_have_a_strip_and_a_waveform(opened, film, tmp_path, all_long, as_page):
    document = of(film)
    clip = replace(document.clips[0], duration=10.0)
    document = replace(document, clips=(clip,))
    if as_page:
        write_page(tmp_path / "p.html", document)
    with served(document) as server:
        page = opened((tmp_path / "p.html").as_uri() if as_page else server.url)
        until(page, "document.getElementById('main').dataset.strip === 'done'")
        assert page.evaluate("document.getElementById('clip-notes').hidden")
        rows = page.evaluate("document.getElementById('extent').offsetHeight")
        asked_for = [url for url in opened.requests if "outline" in url]
    write_page(tmp_path / "bare.html", replace(document, clips=(replace(clip, media=None),)))
    bare = opened((tmp_path / "bare.html").as_uri())
    assert rows == bare.evaluate("document.getElementById('extent').offsetHeight") + 46 + 30
    assert bool(asked_for) is not as_page


def test_a_film_without_an_outline_says_why(opened, tmp_path, all_long):
    film = write_toy_clip(tmp_path / "film.mp4", video=ToyVideo(seconds=2.0), sound=ToySound(seconds=2.0))
    (tmp_path / "film.mp4").write_bytes(film.read_bytes()[:200])
    with served(of(film)) as server:
        page = opened(server.url)
        said = "document.getElementById('clip-notes').textContent"
        until(page, f"{said}.includes('No film strip and no waveform: film.mp4')")
