"""The report page: figures marked, text escaped, bars where the events are, the file whole or absent."""

import re
from pathlib import Path

import numpy as np
import pytest

from valor.viewer.report import ReportClip, ScoreRow, clip_card, score_table, timeline_svg, write_page

COLUMNS = (("segment level", ("A", "V")), ("event level", ("A", "V")))


def toy_clip(tmp_path: Path, name: str = "abc_0_10") -> ReportClip:
    #         0123456789
    # truth   ..####....   audible class 0
    # system  ....####..   two hits, two false alarms, two misses
    truth, system = np.zeros((2, 10, 2, 2), bool)
    truth[2:6, 0, 0] = True
    system[4:8, 0, 0] = True
    media = tmp_path / "clip.mp4"
    media.write_bytes(b"not really a film")
    return ReportClip(clip_id=name, media=media, note="tags: Dog", tracks=(("truth", truth), ("system", system)))


def test_best_figure_of_each_column_is_marked_among_systems_only() -> None:
    rows = [
        ScoreRow(name="first", cells=((50.0, 1.0), (40.0, None), (1.0, None), (2.0, None))),
        ScoreRow(name="second", cells=((60.0, 1.0), (30.0, None), (1.5, None), (1.0, None))),
        ScoreRow(name="anchor", cells=((99.0, None),) * 4, anchor=True),
    ]
    html = score_table(COLUMNS, rows)
    assert re.findall(r'<td class="best[^"]*">([\d.]+)', html) == ["40.0", "2.0", "60.0", "1.5"]
    assert "±1.0" in html


def test_bars_say_agreement_false_alarm_and_miss(tmp_path: Path) -> None:
    svg = timeline_svg(toy_clip(tmp_path), ("Dog", "Cat"))
    assert ">Dog<" in svg
    assert ">Cat<" not in svg, "a class that never occurs takes no room"
    width = 62.0
    bars = {
        css: [
            (float(x), float(w))
            for x, w in re.findall(rf'<rect class="{css}" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', svg)
        ]
        for css in ("audio", "false-audio", "miss", "visual")
    }
    assert bars["audio"] == [(270 + 2 * width + 0.8, 4 * width - 1.6), (270 + 4 * width + 0.8, 2 * width - 1.6)]
    assert bars["false-audio"] == [(270 + 6 * width + 0.8, 2 * width - 1.6)]
    assert bars["miss"] == [(270 + 2 * width + 0.8, 2 * width - 1.6)]
    assert bars["visual"] == []


def test_names_are_escaped(tmp_path: Path) -> None:
    card = clip_card(toy_clip(tmp_path, name='<img src=x onerror="boom">'), ("<b>Dog", "Cat"))
    assert "<img" not in card
    assert "<b>Dog" not in card
    assert "&lt;b&gt;Dog" in card


def test_page_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write_page(path, "a <title>", ["<p>body</p>"])
    page = path.read_text(encoding="utf-8")
    assert "<title>a &lt;title&gt;</title>" in page
    assert "<p>body</p>" in page
    assert "http" not in page.replace("http-equiv", ""), "the page asks nothing of a network"

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("valor.label_harvest.store.disk.os.replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_page(path, "second", ["<p>other</p>"])
    assert path.read_text(encoding="utf-8") == page
