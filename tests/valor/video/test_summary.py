"""Seconds and events of each class over many parses."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_parse import toy_parse
from valor.data.parse_file import OF_DRAWINGS, Parse
from valor.video.summary import SUMMARY, class_totals, found_nowhere, summary_text, write_summary


@pytest.fixture(scope="module")
def parse() -> Parse:
    return toy_parse()


def read(folder):
    with (folder / SUMMARY).open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_totals_are_those_of_the_events(parse):
    totals = class_totals(parse)
    assert list(totals) == sorted(totals, key=lambda name: -totals[name][0] - totals[name][2])
    for name, (heard, times_heard, seen, times_seen) in totals.items():
        marked = parse.predicted[:, :, parse.class_names.index(name)]
        lost = 0.04 * marked[-1]  # the media end within the last segment
        assert (heard, seen) == pytest.approx(tuple(marked.sum(axis=0) - lost))
        modalities = [event.modality for event in parse.events if event.class_name == name]
        assert (times_heard, times_seen) == (modalities.count("audio"), modalities.count("visual"))


def test_the_table_adds_media_up(parse):
    silent = replace(parse, segment_probs=parse.segment_probs * 0)
    *_, of_class, _, total = summary_text([parse, parse, silent]).splitlines()
    assert of_class.split()[-1] == total.split()[-1] == "2"
    seconds = sum(of[0] for of in class_totals(parse).values())
    assert total.split()[2] == f"{2 * seconds:.1f}"
    assert summary_text([silent]).splitlines()[-1].split() == ["all", "classes", "0.0", "0", "0.0", "0", "0"]


def test_unsure_events_and_classes_found_nowhere_are_told(parse, tmp_path):
    """Against a background that is more probable than the events themselves, all of them are unsure."""
    asked = replace(parse, background_probs=np.ones_like(parse.segment_probs[..., 0]))
    parse = replace(parse, background_probs=None)
    assert "unsure" not in summary_text([parse]) and all(event.unsure for event in asked.events)
    *_, total = summary_text([parse, asked]).splitlines()
    assert total.split()[-1] == str(len(asked.events))
    found = {event.class_name for event in parse.events}
    assert found_nowhere([parse]) == [name for name in parse.class_names if name not in found]
    silent = replace(parse, segment_probs=parse.segment_probs * 0)
    assert found_nowhere([parse, silent]) == found_nowhere([parse]) and len(found_nowhere([silent])) >= len(found)
    for name in ("a.json", "b.json"):
        (tmp_path / name).touch()
    write_summary(tmp_path, [("a.json", parse)], [("c.mp4", "is empty")])
    held = (tmp_path / SUMMARY).read_text().replace(",unsure_events", "")
    (tmp_path / SUMMARY).write_text("".join(line.rpartition(",")[0] + "\n" if number else line
        for number, line in enumerate(held.splitlines(keepends=True))))  # fmt: skip
    write_summary(tmp_path, [("b.json", asked)])  # beside one of an earlier version
    counted = {(row["parse"], row["unsure_events"]) for row in read(tmp_path) if row["class"] in found}
    assert {name for name, unsure in counted if unsure} == {"b.json"} and ("a.json", "") in counted
    assert [row["error"] for row in read(tmp_path) if row["medium"] == "c.mp4"] == ["is empty"]


def test_the_file_keeps_what_is_still_there(parse, tmp_path):
    silent = replace(parse, segment_probs=parse.segment_probs * 0)
    for name in ("-a.json", "b.json"):
        (tmp_path / name).touch()
    assert write_summary(tmp_path, [("-a.json", parse), ("b.json", silent), ("gone.json", parse)])
    assert [row["class"] for row in read(tmp_path) if row["parse"] == "b.json"] == [""]
    write_summary(tmp_path, [("b.json", parse)])
    rows = read(tmp_path)
    assert {row["parse"] for row in rows} == {"'-a.json", "b.json"} and len(rows) == 2 * len(class_totals(parse))
    write_summary(tmp_path, [("-a.json", silent)])
    assert [row["audible_events"] for row in read(tmp_path) if "-a" in row["parse"]] == ["0"]


@pytest.mark.parametrize("held", ["mine\n", "", "\xff\n"])
def test_what_is_no_summary_stays(parse, tmp_path, held):
    (tmp_path / SUMMARY).write_bytes(held.encode("latin-1"))
    assert write_summary(tmp_path, [("a.json", parse)]) is None
    assert (tmp_path / SUMMARY).read_bytes() == held.encode("latin-1")


def test_what_could_not_be_parsed_has_a_row_until_it_is(parse, tmp_path):
    (tmp_path / "a.json").touch()
    write_summary(tmp_path, [("a.json", parse)], [("=b.mp4", "=b.mp4: is empty,\n fetch it again")])
    (row,) = [row for row in read(tmp_path) if row["error"]]
    assert row == dict.fromkeys(row, "") | {"medium": "'=b.mp4", "error": "'=b.mp4: is empty, fetch it again"}
    write_summary(tmp_path, [("c.json", parse)])
    assert [row["medium"] for row in read(tmp_path) if row["error"]] == ["'=b.mp4"]
    write_summary(tmp_path, [], [("=b.mp4", "no such file")])
    assert [row["error"] for row in read(tmp_path) if row["error"]] == ["no such file"]
    (tmp_path / "b.json").touch()
    write_summary(tmp_path, [("b.json", replace(parse, media=replace(parse.media, name="=b.mp4")))])
    assert {(row["parse"], row["error"]) for row in read(tmp_path)} == {("a.json", ""), ("b.json", "")}


def test_notes_of_a_file_stand_beside_it_and_an_older_summary_goes_on(parse, tmp_path):
    (tmp_path / "a.json").touch()
    write_summary(tmp_path, [("a.json", parse)])
    older = [",".join(line.split(",")[:-3]) for line in (tmp_path / SUMMARY).read_text().splitlines()]
    (tmp_path / SUMMARY).write_text("\n".join(older) + "\n")
    write_summary(tmp_path, [("b.json", replace(parse, notes=(OF_DRAWINGS, "ends early", "has gaps")))])
    said = {(row["parse"], row["notes"]) for row in read(tmp_path)}
    assert said == {("a.json", ""), ("b.json", f"{OF_DRAWINGS}; ends early; has gaps")}
