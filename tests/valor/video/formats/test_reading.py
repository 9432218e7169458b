"""Files of events are read back as they were written, and as other tools leave them; what is no event is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_parse import toy_parse
from valor.data.parse_file import Parse
from valor.eval.decide import PostProcessing
from valor.video.formats.formats import FORMATS, read_events, write_events

NAMES = ("Speech", "=Glass breaking, (loud)")


def small(name="street & dog.mp4", *, visual=True) -> Parse:
    parse = toy_parse(name=name, start=0.0, visual=visual)
    return replace(parse, class_names=NAMES)


def said_by(parse, modalities, digits):
    return sorted(
        (e.class_name, e.modality, round(e.onset, digits), round(e.offset, digits))
        for e in parse.events
        if e.modality in modalities
    )


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read_back(tmp_path, name):
    kept, path = FORMATS[name], tmp_path / f"street & dog{FORMATS[name].ending}"
    parses = [small(), small("b.mp4")][: 1 + kept.many]
    write_events(path, parses, name, clock="zero")
    found, media = read_events(path)
    assert found == name and len(media) == len(parses)
    for parse, one in zip(parses, media, strict=True):
        called = {parse.media.name, kept.called(parse.media.name), parse.media.name.rpartition(".")[0], ""}
        assert one.name in called
        read = sorted((e.class_name, e.modality, e.onset, e.offset) for e in one.events)
        expected = said_by(parse, one.modalities, 6)
        if name == "rttm":
            expected = [(label.replace(" ", "_"), *rest) for label, *rest in expected]
        assert [row[:2] for row in read] == [tuple(row[:2]) for row in expected]
        assert np.allclose([row[2:] for row in read], [row[2:] for row in expected], atol=0.0011)


def test_sound_alone_comes_back_from_label_studio(tmp_path):
    write_events(tmp_path / "x.json", [small("b.wav", visual=False)], "label-studio")
    _, (one,) = read_events(tmp_path / "x.json")
    assert len(one.events) == len(small("b.wav", visual=False).events) and one.name == "b.wav"


EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="a" DATE="2026-01-01" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/films/my%20yard.mp4" MIME_TYPE="video/mp4"/>
    <PROPERTY NAME="lastUsedAnnotationId">3</PROPERTY>
  </HEADER>
  <TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1250"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="3000"/>{slot}</TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="event" TIER_ID="{tier}">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>{value}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
      <ANNOTATION_VALUE>Cat</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="note" TIER_ID="remarks" PARENT_REF="{tier}">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1"><ANNOTATION_VALUE>why?</ANNOTATION_VALUE>
    </REF_ANNOTATION></ANNOTATION></TIER>
</ANNOTATION_DOCUMENT>
"""
TASKS = [
    {
        "id": 7,
        "data": {"video": "/data/local-files/?d=films/my%20yard.mp4", "fps": 10},
        "annotations": [
            {"updated_at": "2026-02-02", "result": [
                {"id": "r", "type": "timelinelabels", "from_name": "visible",
                 "value": {"ranges": [{"start": 1, "end": 15}], "timelinelabels": ["Dog"]}},
                {"id": "s", "type": "choices", "from_name": "quality", "value": {"choices": ["good"]}},
            ]},
            {"updated_at": "2026-01-01", "result": []},
            {"updated_at": "2026-03-03", "was_cancelled": True, "result": []},
        ],
        "predictions": [{"result": []}],
    }
]  # fmt: skip
VTT = "WEBVTT - yard\n\nNOTE a\nremark\n\nSTYLE\n::cue { }\n\n00:01.000 --> 00:02.500 align:start\nDog (audible)\n\n"
TOOLS = {
    "yard.eaf": (EAF.format(tier="audible Dog", value="", slot=""), [("Dog", 0, 1.25), ("Cat", 1.25, 3)]),
    "tier.eaf": (EAF.format(tier="Audible", value=" Dog ", slot=""), [("Dog", 0, 1.25), ("Cat", 1.25, 3)]),
    "yard.txt": ("0.5\t2\taudible Dog\n\\\t100.0\t900.0\n3\t4.25\tAudible Baby cry\n",
                 [("Dog", 0.5, 2), ("Baby cry", 3, 4.25)]),
    "yard.vtt": (VTT + "x\n01:02.500 --> 01:03.000\nDog (audible)\n\n00:00:02.500 --> 00:00:03.000\nDog (audible)\n",
                 [("Dog", 1, 3), ("Dog", 62.5, 63)]),
    "yard.srt": ("1\n00:00:01,000 --> 00:00:02,500 X1:0 X2:9\n<i>Dog (audible)</i>\n\n2\n"
                 "00:00:02,500 --> 00:00:03,000\n{\\an8}Dog (audible)\n\n\n7\n"
                 "00:01:02.500 --> 00:01:03.000\nDog\n(audible)\n",
                 [("Dog", 1, 3), ("Dog", 62.5, 63)]),
    "yard.rttm": ("SPKR-INFO yard 1 <NA> <NA> <NA> x Dog <NA> <NA>\nSPEAKER yard 1 0.50 1.50 <NA> <NA> Dog <NA>\n",
                  [("Dog", 0.5, 2)]),
    "yard.csv": ("modality,event_labels,filename,onset,offset,who\naudible,'=Dog,yard.mp4,1,2,me\n", [("=Dog", 1, 2)]),
    "own.csv": ("path;Onset;offset;class;modality\nyard.mp4;1,25;2;Dog;Audio\n", [("Dog", 1.25, 2)]),
    "tabs.csv": ('filename\tonset\toffset\tevent_label\tmodality\nyard.mp4\t1,25\t2\t"Dog"\taudio\n',
                 [("Dog", 1.25, 2)]),
    "AVVP_eval_audio.csv": ("filename\tonset\toffset\tevent_labels\nyard\t1\t2\tDog\n", [("Dog", 1, 2)]),
}  # fmt: skip


@pytest.mark.parametrize("name", TOOLS)
def test_what_tools_leave_is_read(tmp_path, name):
    text, expected = TOOLS[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    _, (one,) = read_events(tmp_path / name)
    assert [(e.class_name, e.onset, e.offset) for e in one.events] == expected
    assert {e.modality for e in one.events} == {"audio"}
    assert name != "yard.eaf" or one.name == "my yard.mp4"


def test_media_that_were_moved_in_elan_have_their_own_times(tmp_path):
    text = EAF.replace("MIME_TYPE", 'TIME_ORIGIN="1500" MIME_TYPE').format(tier="audible Dog", value="", slot="")
    (tmp_path / "x.eaf").write_text(text, encoding="utf-8")
    _, (one,) = read_events(tmp_path / "x.eaf")
    assert [(e.onset, e.offset) for e in one.events] == [(1.5, 2.75), (2.75, 4.5)]


def test_the_annotation_that_was_changed_last_counts(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(TASKS), encoding="utf-8")
    _, (one,) = read_events(tmp_path / "x.json")
    (event,) = one.events
    assert (one.name, event.class_name, event.modality, event.onset, event.offset) == (
        "my yard.mp4", "Dog", "visual", 0.0, 1.5,
    )  # fmt: skip
    (tmp_path / "x.json").write_text(json.dumps([{**TASKS[0], "data": {"video": "yard.mp4"}}]), encoding="utf-8")
    with pytest.raises(ValueError, match="nothing says how many a second has; put fps"):
        read_events(tmp_path / "x.json")
    assert read_events(tmp_path / "x.json", None, {"yard.mp4": 5.0}.get)[1][0].events[0].offset == 3.0


FIFTYONE = {"classes": ["Dog"], "labels": {"yard": [{"label": 0, "support": [11, 20], "attributes": {}}]}}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.eaf", '<!DOCTYPE a [<!ENTITY b "c">]><a/>', "defines XML of its own"),
        ("x.eaf", "<a", "cannot be read"),
        ("x.eaf", "<a/>", "expected an ELAN document .*, got a <a>"),
        ("x.eaf", EAF.format(tier="audibel Dog", value="", slot=""), "tier 'audibel Dog': expected a label such as"),
        ("x.eaf", EAF.format(tier="Dog_audible", value="", slot=""), "tier 'Dog_audible': expected a label such as"),
        ("x.eaf", EAF.format(tier="audible", value="", slot=""), "expected the name of a class, got none"),
        (
            "x.eaf",
            EAF.replace('TIME_VALUE="1250"', "").format(tier="audible Dog", value="", slot=""),
            "align it",
        ),
        ("x.txt", "1\t1\taudible Dog\n", "x.txt:1: expected an onset from 0 on and a later offset"),
        ("x.txt", "1\t2\tvisble Dog\n", "x.txt:1: expected a label such as `audible Dog`"),
        ("x.txt", "1\t2\taudible\n", "x.txt:1: expected a label such as `audible Dog`"),
        ("x.txt", "1\t2\t \n", "x.txt:1: expected a label such as `audible Dog`"),
        ("x.txt", "1;5\t2\taudible Dog\n", "x.txt:1: expected seconds, got '1;5'"),
        ("x.vtt", "Dog", "whose first line is WEBVTT"),
        ("x.vtt", "WEBVTT\n\n00:01 --> 00:02\nDog (audible)\n", "x.vtt:3: expected times such as"),
        ("x.vtt", VTT.replace("Dog (audible)", "Dog (audibel)"), "expected a title such as"),
        ("x.srt", "Dog", "expected subtitles with lines such as 00:01:02,500 -->"),
        ("x.srt", "1\n00:01,000 --> 00:02,000\nDog (audible)\n", "x.srt:2: expected times such as 00:01:02,500"),
        ("x.srt", "1\n00:00:01,000 --> 00:00:02,000\nDog, audible\n", "x.srt:3: expected a title such as"),
        ("x.rttm", "SPEAKER yard 1 0.5\n", "eight at least"),
        ("x.csv", "filename,onset\n", "got no offset, class or event_labels or event_label, modality in its header"),
        (
            "x.csv",
            "filename,onset,offset,event_labels,modality\na,1,2,Dog,sound\n",
            "modality must be audio, visual or both",
        ),
        ("x.dcase.tsv", "filename\tonset\toffset\tevent_label\na\tx\t2\tDog\n", "x.dcase.tsv:2: expected seconds"),
        ("x.json", '{"a": 1}', "its name does not say which format it is"),
        ("x.json", '[{"audible": []}]', "export as JSON, not as JSON-MIN"),
        ("x.json", json.dumps(FIFTYONE).replace("{}", '{"modality": "audibel"}'), "expected the attribute modality"),
        (
            "x.json",
            json.dumps(TASKS).replace('"visible"', '"visibel"'),
            "task 7: expected the rows audible and visible",
        ),
        ("x.json", json.dumps(FIFTYONE).replace("{}", '{"modality": "audio"}'), "got frames alone; export with"),
        ("x.mp4", "", "its name does not say which format"),
        ("x.eaf", EAF.replace("milliseconds", "PAL-frames").format(tier="audible Dog", value="", slot=""),
            "expected times in milliseconds, got TIME_UNITS 'PAL-frames'"),
        ("x.eaf", EAF.format(tier="audible Dog", value="", slot='<TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="9"/>'),
            "each time slot once, got 'ts2' twice"),
        ("x.eaf", EAF.replace("1250", "9" * 400).format(tier="audible Dog", value="", slot=""), "align it"),
        ("x.eaf", EAF.replace('MIME_TYPE', 'TIME_ORIGIN="1e3" MIME_TYPE').format(tier="audible Dog", value="", slot=""),
            "expected TIME_ORIGIN in milliseconds, got '1e3'"),
        ("x.eaf", "<ANNOTATION_DOCUMENT/>", "without a TIME_ORDER; was it cut"),
        ("x.vtt", VTT.replace("\n\nNOTE", "\nX-TIMESTAMP-MAP=MPEGTS:9,LOCAL:0\n\nNOTE"), "got those of a stream"),
        ("x.rttm", "speaker a 1 5 1 <NA> <NA> Dog <NA>\n", "x.rttm:1: expected a line of RTTM"),
        ("x.vtt", f"WEBVTT\n\n{'9' * 400}:00:01.000 --> 00:02.000\nDog (audible)\n", "x.vtt:3: expected times such as"),
        ("x.srt", f"1\n{'9' * 5000}:00:01,000 --> 00:00:02,000\nDog (audible)\n", "x.srt:2: expected times such as"),
        ("x.csv", "filename,onset,offset,event_labels,modality,onset\na,1,2,Dog,audio,0\n", "got onset twice"),
        ("x.csv", "filename,onset,offset,modality,event_labels\na,1,2,audio,Horn, loud\n", "got ' loud' behind them"),
        ("x.json", json.dumps(FIFTYONE).replace("{}", '{"modality": ["audio"]}'), "expected the attribute modality"),
        ("x.json", '{"classes": ["Dog"], "labels": {"yard": 0}}', "yard: expected a list, got 0"),
        ("x.json", json.dumps(TASKS).replace('"result"', '"results"'), "task 7: result: expected a list, got None"),
        ("x.json", json.dumps([{**TASKS[0], "annotations": 0}]), "task 7: annotations: expected a list, got 0"),
        ("x.json", json.dumps([{**TASKS[0], "data": {"name": 0, "video": "a.mp4"}}]), "name: expected text, got 0"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(tmp_path, name, text, said):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        read_events(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "label"),
    [
        ("x.eaf", EAF.format(tier="my notes", value="", slot=""), "my notes"),
        ("x.txt", "1\t2\taudition at the gate\n", "audition at the gate"),
        ("x.vtt", VTT.replace("Dog (audible)", "a dog barks · Dog (audible)"), "a dog barks"),
        ("x.srt", "1\n00:00:01,000 --> 00:00:02,000\nhello (aside)\n", "hello (aside)"),
        ("x.json", json.dumps(FIFTYONE), "Dog"),
        ("x.json", json.dumps(TASKS), "quality"),
    ],
)
def test_what_says_nothing_of_audible_or_visible_is_named_and_no_event(tmp_path, name, text, label):
    (tmp_path / name).write_text(text, encoding="utf-8")
    _, (one,) = read_events(tmp_path / name, None, lambda _: 10.0)
    assert {found for found, _ in one.others} == {label} and all("x." in where for _, where in one.others)
    assert label not in [event.class_name for event in one.events]


def test_a_file_without_events_says_so(tmp_path):
    parse = replace(small(), decision=PostProcessing(clip_threshold=1.0))
    for name in ("audacity", "elan", "webvtt", "srt", "label-studio", "fiftyone"):
        write_events(tmp_path / f"x{FORMATS[name].ending}", [parse], name)
        assert [one.events for one in read_events(tmp_path / f"x{FORMATS[name].ending}")[1]] == [()]
    with pytest.raises(FileNotFoundError, match="no such file of events"):
        read_events(tmp_path / "none.eaf")
