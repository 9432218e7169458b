"""Every event format is written and read back, by a parser of the standard library where there is one."""

import csv
import html
import io
import json
import re
from dataclasses import replace
from fractions import Fraction
from xml.etree import ElementTree as Xml

import numpy as np
import pytest

from tests.helpers.toy_parse import toy_parse, unsure_parse
from valor.data.parse_file import OF_DRAWINGS, SEEN_AS, Parse
from valor.data.tables import EVENT_TABLES
from valor.eval.decide import PostProcessing
from valor.eval.xml_text import xml_text
from valor.label_harvest.media.survey import survey_media
from valor.video.formats.annotation_tools import label_studio_config, label_studio_text
from valor.video.formats.formats import FORMATS, write_events
from valor.video.formats.timeline import timeline_of
from valor.video.parse import _media_info

AS_MODALITY = {how: modality for modality, how in SEEN_AS.items()}


def events_of(parse, modality=None, digits=6):
    """(class, modality, onset, offset), sorted."""
    return sorted(
        (event.class_name, event.modality, round(event.onset, digits), round(event.offset, digits))
        for event in parse.events
        if modality in (None, event.modality)
    )


def written(tmp_path, parses, name, **options):
    path = tmp_path / f"out{FORMATS[name].ending}"
    write_events(path, parses, name, **options)
    return path.read_text(encoding="utf-8")


def rows(text, delimiter):
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))


@pytest.mark.parametrize(("name", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_tables_of_several_media(tmp_path, name, delimiter):
    parses = [toy_parse(name='a "b", c.mp4'), toy_parse(name="tab\there.mp4", start=0.0)]
    read = rows(written(tmp_path, parses, name), delimiter)
    for parse in parses:
        mine = [row for row in read if row["filename"] == parse.media.name]
        found = [(r["event_labels"], r["modality"], float(r["onset"]), float(r["offset"])) for r in mine]
        assert sorted(found) == events_of(parse)
        assert [float(row["prob"]) for row in mine] == pytest.approx([e.prob for e in parse.events], abs=1e-4)


@pytest.mark.parametrize("name", [name for name, kept in FORMATS.items() if kept.many])
@pytest.mark.parametrize(
    ("one", "other", "by"),
    [
        ("a b.mp4", "a b.mp4", tuple(FORMATS)),
        ("a b.mp4", "a b.mkv", ("llp-audio", "llp-visual")),
        ("a b.mp4", "a_b.mp4", ("rttm",)),
    ],
)
def test_two_media_are_never_one_in_a_file(tmp_path, name, one, other, by):
    parses = [toy_parse(name=media, start=0.0) for media in (one, other)]
    if name in by:
        with pytest.raises(ValueError, match="would take two media for one, 'a.b.*; rename one, or write a file"):
            written(tmp_path, parses, name)
    else:
        assert written(tmp_path, parses, name)


def test_llp_tables_have_their_columns_and_one_modality_each(tmp_path):
    parse = toy_parse(start=0.0)
    for modality, name in (("audio", "llp-audio"), ("visual", "llp-visual")):
        text = written(tmp_path, [parse], name)
        assert text.splitlines()[0] == "filename\tonset\toffset\tevent_labels"
        read = rows(text, "\t")
        found = [(r["event_labels"], modality, float(r["onset"]), float(r["offset"])) for r in read]
        assert sorted(found) == events_of(parse, modality) and {r["filename"] for r in read} == {"street & dog"}
    assert len(EVENT_TABLES["v2024"]) == 2


def test_llp_tables_are_read_by_the_annotation_reader(tmp_path):
    """What is parsed on whole seconds is a dense annotation."""
    from valor.data.tables import read_event_table

    write_events(tmp_path / "audio.csv", [toy_parse(start=0.0)], "llp-audio")
    names = ("Speech", "Glass_breaking")
    found = read_event_table(tmp_path / "audio.csv", names)
    expected = [
        (names.index(name), onset, offset) for name, _, onset, offset in events_of(toy_parse(start=0.0), "audio")
    ]
    assert sorted((index, onset, offset) for _, onset, offset, index in found) == sorted(expected)


def test_names_with_quotes_come_back_from_llp_tables_and_torn_ones_are_refused(tmp_path):
    from valor.data.tables import read_event_table

    parse = toy_parse(name='He said "hi", twice.mp4', start=0.0)
    write_events(tmp_path / "audio.csv", [parse], "llp-audio")
    assert {row[0] for row in read_event_table(tmp_path / "audio.csv", parse.class_names)} == {'He said "hi", twice'}
    write_events(tmp_path / "events.tsv", [parse], "dcase")
    assert (tmp_path / "events.tsv").read_text(encoding="utf-8").count('He said "hi", twice.mp4\t') >= 1
    for name in ("llp-audio", "llp-visual", "dcase"):
        with pytest.raises(ValueError, match="cannot hold the tab or line break"):
            write_events(tmp_path / "torn", [toy_parse(name="tab\there.mp4", start=0.0)], name)


def test_dcase_and_rttm_hold_what_is_audible(tmp_path):
    parse = toy_parse()
    read = rows(written(tmp_path, [parse], "dcase"), "\t")
    found = [(r["event_label"], "audio", float(r["onset"]), float(r["offset"])) for r in read]
    assert sorted(found) == events_of(parse, "audio", 3)
    lines = [line.split(" ") for line in written(tmp_path, [parse], "rttm").splitlines()]
    assert all(len(line) == 10 and line[0] == "SPEAKER" and line[1] == "street_&_dog.mp4" for line in lines)
    found = [(l[7], "audio", float(l[3]), round(float(l[3]) + float(l[4]), 3)) for l in lines]  # noqa: E741
    assert sorted(found) == events_of(parse, "audio", 3)


def test_audacity_labels(tmp_path):
    parse = toy_parse()
    lines = [line.split("\t") for line in written(tmp_path, [parse], "audacity").splitlines()]
    named = [(label.partition(" "), float(onset), float(offset)) for onset, offset, label in lines]
    assert sorted((n[2], AS_MODALITY[n[0]], on, off) for n, on, off in named) == events_of(parse)


@pytest.mark.parametrize(
    ("name", "kind"), [("late.ts", "video/mp2t"), ("a.MKV", "video/x-matroska"), ("a.txt", "video/mp4")]
)
def test_elan_is_told_a_type_of_media(tmp_path, name, kind):
    parse = toy_parse()
    root = Xml.fromstring(written(tmp_path, [replace(parse, media=replace(parse.media, name=name))], "elan"))
    assert root.find("HEADER/MEDIA_DESCRIPTOR").get("MIME_TYPE") == kind


NOTED = ("csv", "tsv", "elan", "webvtt", "fiftyone", "label-studio")
"""Formats that have a place for a note."""


def test_elan_finds_media_from_where_its_document_lies(tmp_path):
    """After both were moved to another machine; the name of the medium is read back from it."""
    parse = toy_parse()
    parse = replace(parse, media=replace(parse.media, path=str(tmp_path / "films" / parse.media.name)))
    (tmp_path / "elan").mkdir()
    write_events(tmp_path / "elan" / "x.eaf", [parse], "elan")
    text = (tmp_path / "elan" / "x.eaf").read_text(encoding="utf-8")
    assert 'RELATIVE_MEDIA_URL="../films/street &amp; dog.mp4"' in text
    (one,) = FORMATS["elan"].read(tmp_path / "elan" / "x.eaf", lambda _: None)
    assert one.name == parse.media.name


@pytest.mark.parametrize("kind", FORMATS)
def test_that_it_is_of_drawings_stands_in_the_file_and_is_read_over(tmp_path, kind):
    plain, drawn = toy_parse(), replace(toy_parse(), notes=(OF_DRAWINGS,))
    (tmp_path / "plain").write_text(written(tmp_path, [plain], kind), encoding="utf-8")
    (tmp_path / "drawn").write_text(text := written(tmp_path, [drawn], kind), encoding="utf-8")
    assert (OF_DRAWINGS in text) == (kind in NOTED) and OF_DRAWINGS not in (tmp_path / "plain").read_text()
    assert kind not in ("csv", "tsv") or text.count(OF_DRAWINGS) == 1 < len(drawn.events)  # once for a medium
    (one,), (other,) = (FORMATS[kind].read(tmp_path / name, lambda _: 25.0) for name in ("plain", "drawn"))
    facts = [[(e.class_name, e.modality, e.onset, e.offset) for e in media.events] for media in (one, other)]
    assert facts[0] == facts[1] and facts[0]


def test_elan_has_a_tier_for_each_class_and_modality(tmp_path):
    parse = toy_parse(start=1.001)  # which is a little less in thousandths
    root = Xml.fromstring(written(tmp_path, [parse], "elan"))
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) / 1000 for slot in root.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values())
    found = []
    for tier in root.iter("TIER"):
        how, _, name = tier.get("TIER_ID").partition(" ")
        ends = [
            (slots[entry.get("TIME_SLOT_REF1")], slots[entry.get("TIME_SLOT_REF2")])
            for entry in tier.iter("ALIGNABLE_ANNOTATION")
        ]
        assert all(before[1] <= after[0] for before, after in zip(ends, ends[1:], strict=False))
        assert {value.text for value in tier.iter("ANNOTATION_VALUE")} == {name}
        found += [(name, AS_MODALITY[how], *pair) for pair in ends]
    assert sorted(found) == events_of(parse, digits=3)
    assert root.find("HEADER/MEDIA_DESCRIPTOR").get("MEDIA_URL") == "file:///films/street%20%26%20dog.mp4"
    kinds = {kind.get("LINGUISTIC_TYPE_ID") for kind in root.iter("LINGUISTIC_TYPE")}
    assert {tier.get("LINGUISTIC_TYPE_REF") for tier in root.iter("TIER")} <= kinds


def test_chapters_never_overlap_and_say_everything(tmp_path):
    parse = replace(toy_parse(), class_names=("Speech", "A & B <c>"))
    text = written(tmp_path, [parse], "webvtt")
    cues = re.findall(r"(\d+):(\d\d):(\d\d\.\d{3}) --> (\d+):(\d\d):(\d\d\.\d{3})\n(.+)\n", text)
    marked, last = set(), 0.0
    for *clock, title in cues:
        on, off = (int(h) * 3600 + int(m) * 60 + float(s) for h, m, s in (clock[:3], clock[3:]))
        assert last <= on < off
        last = off
        for part in html.unescape(title).split(" · "):
            name, how = re.fullmatch(r"(.+) \(([a-z, ]+)\)", part).groups()
            marked |= {
                (name, AS_MODALITY[h], round(on - 1.4 + k)) for h in how.split(", ") for k in range(round(off - on))
            }
    expected = {
        (name, modality, t)
        for name, modality, on, off in events_of(parse)
        for t in range(round(on - 1.4), round(off - 1.4))
    }
    assert text.startswith("WEBVTT\n\n1\n") and marked == expected and "A &amp; B &lt;c&gt;" in text


def test_subtitles_say_what_chapters_do(tmp_path):
    parse = replace(toy_parse(), class_names=("Speech", "A & B <c>"))
    chapters, subtitles = (written(tmp_path, [parse], name) for name in ("webvtt", "srt"))
    cues = re.sub(r"(\d\d:\d\d:\d\d),(\d{3})", r"\1.\2", subtitles)
    assert cues == html.unescape(chapters.removeprefix("WEBVTT\n\n")) and subtitles.startswith("1\n00:00:0")
    assert re.search(r"\d\d:\d\d:\d\d,\d{3} --> \d\d:\d\d:\d\d,\d{3}\n", subtitles)


def test_fiftyone_counts_from_the_start(tmp_path):
    parse = toy_parse()
    record = json.loads(written(tmp_path, [parse, toy_parse(name="b.mp4")], "fiftyone"))
    found = [
        (record["classes"][e["label"]], e["attributes"]["modality"], *e["timestamps"])
        for e in record["labels"]["street & dog"]
    ]
    zero = replace(parse, media=replace(parse.media, start_time=0.0))
    assert sorted(found) == events_of(zero) and set(record["labels"]) == {"street & dog", "b"}


def test_fiftyone_entries_have_the_keys_its_importer_takes(tmp_path):
    """Of FiftyOneTemporalDetectionSampleParser (1.22): others go into `attributes`, and none may stand in both."""
    record = json.loads(written(tmp_path, [toy_parse()], "fiftyone"))
    assert set(record) == {"classes", "labels"}
    for entry, event in zip(record["labels"]["street & dog"], toy_parse().events, strict=True):
        assert set(entry) == {"label", "support", "timestamps", "confidence", "attributes"}
        assert not set(entry["attributes"]) & {"label", "support", "confidence"}
        first, last = entry["support"]
        assert (first - 1) / 25 == pytest.approx(event.onset - 1.4) and last / 25 == pytest.approx(event.offset - 1.4)
    (entries,) = json.loads(written(tmp_path, [toy_parse(visual=False)], "fiftyone"))["labels"].values()
    assert all("support" not in entry and "timestamps" in entry for entry in entries)


def test_label_studio_gets_tasks_with_all_media_its_interface_names(tmp_path):
    """It refuses a task whose `data` lacks the media of any part of the interface."""
    seen, heard = toy_parse(), toy_parse(visual=False, name="b.wav")
    for parses, kinds in (([seen], {"video"}), ([heard], {"audio"}), ([seen, heard], {"video", "audio"})):
        tasks = json.loads(written(tmp_path, parses, "label-studio"))
        config = Xml.fromstring((tmp_path / "out.label-studio.config.xml").read_text(encoding="utf-8"))
        assert {part.get("value").removeprefix("$") for part in config if part.get("value")} == kinds
        for task in tasks:
            assert set(task["data"]) == kinds | {"name"} | ({"fps"} if "video" in kinds else set())
            controls = {part.get("name") for part in config if part.get("toName")}
            assert {result["from_name"] for result in task["predictions"][0]["result"]} <= controls


def test_label_studio_shows_a_waveform_where_every_video_has_sound():
    heard = toy_parse().media
    for media, tags in (
        ([heard], ["Video", "Audio"]),
        ([heard, replace(heard, has_audio=False)], ["Video"]),
        ([heard, toy_parse(visual=False).media], ["Video", "Audio"]),  # of the sound alone, as a part of its own
    ):
        view = Xml.fromstring(label_studio_config(("Dog",), media))
        assert [part.tag for part in view if part.get("value")] == tags
        synced = {part.get("name"): part.get("sync") for part in view if part.get("sync")}
        assert synced == ({"video": "waveform", "waveform": "video"} if media == [heard] else {})


def test_label_studio_names_media_where_they_are_served():
    (task,) = json.loads(label_studio_text([timeline_of(toy_parse())], "/data/local-files/?d=films/"))
    assert task["data"]["video"] == "/data/local-files/?d=films/street%20%26%20dog.mp4"
    assert task["data"]["name"] == "street & dog.mp4"


@pytest.mark.parametrize("visual", [True, False])
def test_label_studio_tasks_fit_their_interface(tmp_path, visual):
    parse = toy_parse(visual=visual)
    (task,) = json.loads(written(tmp_path, [parse], "label-studio"))
    config = Xml.fromstring((tmp_path / "out.label-studio.config.xml").read_text(encoding="utf-8"))
    controls = {entry.get("name"): entry for entry in config if entry.get("toName")}
    found = []
    for result in task["predictions"][0]["result"]:
        control, value = controls[result["from_name"]], result["value"]
        assert control.get("toName") == result["to_name"] and control.tag.lower() == result["type"]
        assert value[result["type"]][0] in {label.get("value") for label in control}
        if visual:
            (frames,) = value["ranges"]
            ends = ((frames["start"] - 1) / 25, frames["end"] / 25)
        else:
            ends = (value["start"], value["end"])
        modality = AS_MODALITY.get(result["from_name"], "audio")
        found.append((value[result["type"]][0], modality, round(ends[0], 2), round(ends[1], 2)))
    zero = replace(parse, media=replace(parse.media, start_time=0.0))
    assert sorted(found) == events_of(zero, digits=2) and list(task["data"])[0] == ("video" if visual else "audio")


def test_clock_zero_and_what_cannot_be_written(tmp_path):
    parse = toy_parse()
    assert timeline_of(parse, clock="zero").events[0].onset == pytest.approx(parse.events[0].onset - 1.4)
    early = toy_parse(start=-30.0)
    for name in ("elan", "webvtt", "srt"):
        with pytest.raises(ValueError, match="clock starts below zero"):
            written(tmp_path, [early], name)
        assert written(tmp_path, [early], name, clock="zero")
    for name in ("elan", "webvtt", "srt", "audacity"):
        with pytest.raises(ValueError, match="of one media file, got 2"):
            written(tmp_path, [parse, parse], name)
    with pytest.raises(ValueError, match="clock must be one of container, zero"):
        written(tmp_path, [parse], "csv", clock="wall")
    with pytest.raises(ValueError, match="format must be one of csv, "):
        write_events(tmp_path / "x", [parse], "mp3")


@pytest.mark.parametrize("name", FORMATS)
def test_a_parse_without_events_is_written_too(tmp_path, name):
    assert written(tmp_path, [replace(toy_parse(), decision=PostProcessing(clip_threshold=1.0))], name) is not None


@pytest.mark.parametrize("name", ["a\x1bb.mp4", "a\x00.mp4", "a\ud800b.mp4", "a\ufffe.mp4", "a\n\t\x85 & <b>.mp4"])
def test_files_of_xml_are_opened_whatever_is_in_a_name(tmp_path, name):
    parse = replace(toy_parse(name=name), class_names=(f"Speech {name}", "Dog"))
    media = replace(parse.media, path="/films/a.mp4")
    root = Xml.fromstring(written(tmp_path, [replace(parse, media=media)], "elan"))
    assert root.find("HEADER/MEDIA_DESCRIPTOR").get("RELATIVE_MEDIA_URL").rpartition("/")[2] == xml_text(name)
    tasks = label_studio_text([timeline_of(parse)])
    labels = {one["value"]["timelinelabels"][0] for one in json.loads(tasks)[0]["predictions"][0]["result"]}
    interface = Xml.fromstring(label_studio_config(parse.class_names, [parse.media]))
    assert labels <= {label.get("value") for label in interface.iter("Label")}


@pytest.mark.parametrize("name", ["elan", "label-studio"])
def test_classes_that_xml_cannot_tell_apart_are_refused(tmp_path, name):
    parse = replace(toy_parse(), class_names=("Dog\x1b", "Dog\x1c"))
    with pytest.raises(ValueError, match=r"XML cannot tell the classes .* apart"):
        written(tmp_path, [parse], name)
    assert not list(tmp_path.iterdir())


def film(tmp_path, name, times, *, container="mp4", codec="libx264"):
    """A film whose frames are shown at these times, and how it is parsed: Speech is seen from second 2 to 5."""
    import av

    size = (720, 576) if codec == "dvvideo" else (64, 48)
    base = Fraction(1, 90_000) if codec == "libx264" else Fraction(1, 25)
    with av.open(str(tmp_path / name), "w", format=container) as file:
        video = file.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.time_base = base
        for number, time in enumerate(times):
            image = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), number % 250, np.uint8), format="rgb24")
            image.pts, image.time_base = round(time / base), base
            file.mux(video.encode(image))
        file.mux(video.encode(None))
    probs = np.zeros((round(times[-1] + 0.5), 2, 1), np.float32)
    probs[2:5, 1] = 1
    info = _media_info(survey_media(tmp_path / name), hashed=False)
    return Parse(media=info, class_names=("Speech",), segment_seconds=1.0, segment_probs=probs, decision=NO_GATE)


NO_GATE = PostProcessing(gate="none")
EVEN = {rate: np.arange(10 * rate) / rate for rate in (25, 50)}
UNEVEN = np.concatenate([np.arange(0, 4, 1 / 50), np.arange(4, 10, 1 / 5)])


def shown_by_label_studio(tmp_path, parses):
    """(first, last) second of each task, as the player seeks: frame n is shown from (n - 1) / rate to n / rate."""
    tasks = json.loads(written(tmp_path, parses, "label-studio"))
    config = Xml.fromstring((tmp_path / "out.label-studio.config.xml").read_text(encoding="utf-8"))
    rate = config.find("Video").get("frameRate")
    found = []
    for task in tasks:
        own = float(task["data"][rate[1:]] if rate.startswith("$") else rate)
        ((span,),) = ([one["value"]["ranges"][0] for one in task["predictions"][0]["result"]],)
        found.append(((span["start"] - 1) / own, span["end"] / own))
    return found


def test_label_studio_shows_every_video_by_its_own_rate(tmp_path):
    parses = [film(tmp_path, f"{rate}.mp4", EVEN[rate]) for rate in (25, 50)]
    parses.append(film(tmp_path, "raw.dv", EVEN[25], container="dv", codec="dvvideo"))
    parses.append(film(tmp_path, "uneven.mp4", UNEVEN))
    assert [round(parse.media.frame_rate, 3) for parse in parses[:3]] == [25, 50, 25]
    assert [parse.media.constant_rate for parse in parses] == [True, True, True, False]
    for some in (parses, *([one] for one in parses), [parses[0], parses[2]]):
        assert np.allclose(shown_by_label_studio(tmp_path, some), [(2, 5)] * len(some), atol=0.02)
    slow = film(tmp_path, "slow.mp4", np.arange(0, 12, 1.25))
    assert np.allclose(shown_by_label_studio(tmp_path, [slow, parses[1]]), [(2, 5)] * 2, atol=0.02)


def test_fiftyone_gets_frames_only_where_they_come_evenly(tmp_path):
    even = film(tmp_path, "raw.dv", EVEN[25], container="dv", codec="dvvideo")
    uneven, late = film(tmp_path, "uneven.mp4", UNEVEN), film(tmp_path, "even.mp4", EVEN[50])
    late = replace(late, media=replace(late.media, frame_rate=60_000.0, constant_rate=None))  # a parse of before
    labels = json.loads(written(tmp_path, [even, uneven, late], "fiftyone"))["labels"]
    assert [labels[name][0].get("support") for name in ("raw", "uneven", "even")] == [[51, 125], None, None]
    assert [labels[name][0]["timestamps"] for name in ("raw", "uneven", "even")] == [[2.0, 5.0]] * 3


@pytest.mark.parametrize(("name", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_tables_say_what_is_unsure_where_somebody_asked(tmp_path, name, delimiter):
    asked, plain = unsure_parse(), toy_parse(name="plain.mp4")
    assert "unsure" not in written(tmp_path, [plain], name)
    read = rows(written(tmp_path, [asked, plain], name), delimiter)
    mine = [row for row in read if row["filename"] == asked.media.name]
    said = [(f"{e.margin:.4f}", e.next_to, "yes" if e.unsure else "no") for e in asked.events]
    assert [(row["margin"], row["next_to"], row["unsure"]) for row in mine] == said
    assert {one[2] for one in said} == {"yes", "no"} and "(background)" in {one[1] for one in said}
    assert {row["unsure"] for row in read if row["filename"] == "plain.mp4"} == {""}
