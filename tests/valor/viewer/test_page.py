"""The page: one document, nothing from the network, no name leaves its string, and arrays lose nothing that decides."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html import escape, unescape

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.toy_parse import toy_parse
from tests.helpers.toy_viewer import NASTY, TRUTH, toy_document, without_truth
from valor.data.parse_file import write_parse
from valor.data.where import Where
from valor.eval.tables import Cell, Sheet
from valor.viewer.documents import Section
from valor.viewer.page import (
    NO_STREAM,
    SCRIPTS,
    build_page,
    content_policy,
    for_script,
    pack_clip,
    pack_index,
    pack_mask,
    pack_probs,
    section_html,
    write_page,
)
from valor.viewer.sources import SourceOptions, read_document


def steps(text):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<u2")


def test_masks_come_back():
    bits = np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(pack_mask(TRUTH))), np.uint8))
    assert np.array_equal(bits[: TRUTH.size].astype(bool).reshape(TRUTH.shape), TRUTH)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_probability_reaches_exactly_the_thresholds_it_reached_before(dtype):
    probs = np.linspace(0, 1, 101).astype(dtype)
    packed = steps(pack_probs(probs.astype(np.float32)))
    if dtype != np.float16:  # half cannot tell 0.45 from 0.4499
        assert np.array_equal(packed, np.arange(101) * 100)
    assert steps(pack_probs(np.float32([0.49999, 0.5, np.nan]))).tolist() == [4999, 5000, NO_STREAM]


def test_the_index_knows_every_clip():
    index = pack_index(toy_document())
    assert index["clips"]["id"] == ["a_clip", "b_clip", "c_clip"]
    assert index["clips"]["scores"][0][0] == 100 and index["clips"]["systemsDiffer"][0] > 0
    assert index["systems"][0] == {
        "name": "one", "kind": "predictions", "unknown": [], "thresholds": 5000, "gate": 5000,
    }  # fmt: skip
    assert json.loads(for_script(index)) == index


def test_clips_without_truth_say_so():
    packed = pack_clip(without_truth(toy_document()).clips[0])
    assert packed["truth"] is None and set(packed["systems"][0]) == {"marks", "probs", "gate", "gateRows"}


def test_no_name_can_end_a_script():
    text = for_script({"name": NASTY + "<!--\u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["name"] == NASTY + "<!--\u2028"


VIEWER = ROOT / "valor" / "viewer" / "web"


def blocks(page):
    """The script elements of a page: what lies in them, by their attributes."""
    return re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)


def with_media(tmp_path, names=("a_clip", "b_clip", "c_clip")):
    document = toy_document(names)
    (tmp_path / "videos").mkdir()
    clips = []
    for clip in document.clips[:-1]:  # the last has none
        path = tmp_path / "videos" / f"{clip.clip_id} #1.webm"
        path.write_bytes(b"media of " + clip.clip_id.encode())
        clips.append(replace(clip, media=path))
    return replace(document, clips=(*clips, document.clips[-1]))


def boot_of(path):
    return json.loads(blocks(path.read_text(encoding="utf-8"))[0][1])["boot"]


def test_names_are_text_wherever_they_stand(tmp_path):
    document = toy_document((NASTY, "$title", "<!-- slot:script -->"), title=NASTY)
    write_page(tmp_path / "p.html", document)
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    kinds = [kind for kind, _ in blocks(page)]
    assert kinds == [' type="application/json" id="index"', ' type="application/json" id="packed"', ""]
    index = json.loads(blocks(page)[0][1])
    assert index["clips"]["id"] == [NASTY, "$title", "<!-- slot:script -->"]
    assert page.count("onerror=") == 3 and "<img" not in page  # in the title, escaped, and twice in the index
    assert unescape(re.search("<title>(.*?)</title>", page, re.DOTALL)[1]) == f"{NASTY} · VALOR"


def test_a_report_is_text_wherever_it_stands(tmp_path):
    rows = [[NASTY, Cell(NASTY, bold=True), Cell("1.0", after=NASTY)], ["last", "2", "<!-- slot:script -->"]]
    sheet, spans = Sheet(columns=[NASTY, NASTY, "b"], rows=rows), {NASTY: 2}
    section = Section(title=NASTY, text=(NASTY,), sheet=sheet, spans=spans, notes=(NASTY,))
    page = build_page(toy_document(report=(section,)), {"mode": "served"})
    assert "<img" not in page and page.count(f"{escape(NASTY)}<") == 9
    assert "&lt;!-- slot:script --&gt;" in page
    assert "<table>" not in section_html(Section(title="F", text=("words",)))


def test_the_policy_allows_the_pages_own_script_and_no_network(tmp_path):
    write_page(tmp_path / "p.html", toy_document())
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    policy = unescape(re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1])
    digest = base64.b64encode(hashlib.sha256(blocks(page)[2][1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy and "http:" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert "connect-src 'self'" in content_policy("", alone=False)


def test_all_parts_of_the_script_are_joined_and_set_no_html():
    parts = {path.name for path in VIEWER.glob("*.js")}
    assert parts == set(SCRIPTS)
    source = "".join((VIEWER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source)
    assert "</script" not in source and "<!--" not in source
    page = build_page(toy_document(), {"mode": "served"})
    assert all((VIEWER / name).read_text(encoding="utf-8") in page for name in (*SCRIPTS, "viewer.css"))


def test_the_page_knows_what_browsers_do_not_play(tmp_path):
    document = toy_document()
    clips = (document.clips[0], replace(document.clips[1], unplayed=".ts"), document.clips[2])
    write_page(tmp_path / "p.html", replace(document, clips=clips))
    index = json.loads(blocks((tmp_path / "p.html").read_text(encoding="utf-8"))[0][1])
    assert index["unplayed"] == {"1": ".ts"} and index["boot"]["media"] == [None] * 3


def test_small_media_goes_into_the_page_and_large_is_linked(tmp_path):
    document = with_media(tmp_path)
    (note,) = write_page(tmp_path / "out" / "p.html", document)
    media = boot_of(tmp_path / "out" / "p.html")["media"]
    assert "2 media files" in note and "inside the page" in note
    assert media[0]["url"] == "data:video/webm;base64," + base64.b64encode(b"media of a_clip").decode()
    assert media[2] is None
    note, more = write_page(tmp_path / "out" / "p.html", document, embed=False)
    assert "linked by relative path;" in note and "2 clips without a waveform: a_clip #1.webm" in more
    assert boot_of(tmp_path / "out" / "p.html")["media"][0]["url"] == "../videos/a_clip%20%231.webm"


def test_a_page_beside_its_media_links_them_from_here(tmp_path):
    document = with_media(tmp_path, ("javascript:alert(1)", "b", "c"))
    write_page(tmp_path / "videos" / "p.html", document, embed=False)
    url = boot_of(tmp_path / "videos" / "p.html")["media"][0]["url"]
    assert url == "./javascript%3Aalert%281%29%20%231.webm"


def test_a_failed_page_leaves_the_old_one(tmp_path):
    (tmp_path / "p.html").write_text("old")
    document = with_media(tmp_path)
    document.clips[1].media.unlink()
    with pytest.raises(OSError, match="b_clip"):
        write_page(tmp_path / "p.html", document)
    assert [path.name for path in tmp_path.glob("*p.html*")] == ["p.html"] and (
        tmp_path / "p.html"
    ).read_text() == "old"


def test_a_full_disk_leaves_the_old_page(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError("no space left on device")

    (tmp_path / "p.html").write_text("old")
    monkeypatch.setattr("valor.label_harvest.disk.os.replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_page(tmp_path / "p.html", toy_document())
    assert (tmp_path / "p.html").read_text() == "old"


def test_a_page_knows_where_in_the_picture(tmp_path):
    values = np.array([[0, 0.25, 1]], np.float32)
    whole = {"class_name": "Speech", "onset": 2.4, "offset": 4.4, "time": 2.731, "method": "toy"}
    place = Where(**whole, values=values, peak=(0.833, 0.5), area=(0.0, 0.0, 1.0, 1.0))
    path = tmp_path / "street.json"
    write_parse(path, replace(toy_parse(), where=(place,)))
    document = read_document([str(path)], SourceOptions())
    held = pack_clip(document.clips[0])["systems"][0]["where"]
    area, peak = (0.0, 0.0, 1.0, 1.0), (0.833, 0.5)
    assert held == [{"class": "Speech", "at": 1.331, "peak": peak, "area": area, "values": [[0.0, 0.25, 1.0]]}]
    write_parse(path, toy_parse())
    assert "where" not in pack_clip(read_document([str(path)], SourceOptions()).clips[0])["systems"][0]
