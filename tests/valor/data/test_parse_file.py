import json
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.toy_parse import toy_parse
from valor.data.parse_file import OF_DRAWINGS, parse_from_json, parse_to_json, read_parse, write_parse
from valor.eval.decide import PostProcessing


@pytest.mark.parametrize("visual", [True, False])
def test_a_parse_comes_back(tmp_path, visual):
    parse = toy_parse(visual=visual, name='say "Übung" <b>.mp4')
    write_parse(tmp_path / "p.json", parse)
    back = read_parse(tmp_path / "p.json")
    assert np.nanmax(np.abs(back.segment_probs - parse.segment_probs)) <= 1.01e-4
    assert (back.media, back.class_names, back.decision, back.notes) == (
        parse.media, parse.class_names, parse.decision, parse.notes,
    )  # fmt: skip
    assert np.array_equal(back.predicted, parse.predicted) and len(back.events) == len(parse.events)
    write_parse(tmp_path / "again.json", back)
    assert (
        json.loads((tmp_path / "again.json").read_text("utf-8"))["segment_probs"]
        == parse_to_json(parse)["segment_probs"]
    )


def test_a_stream_that_is_not_there_is_null():
    record = parse_to_json(toy_parse(visual=False))
    assert record["segment_probs"]["visual"] is None and record["gate_probs"][0][1] == [None, None]
    parse = toy_parse()
    parse.segment_probs[6:, 1] = np.nan
    assert parse_to_json(parse)["segment_probs"]["visual"][6] == [None, None]


@pytest.mark.parametrize("threshold", [0.5, 1 / 3, 0.45])
def test_rounding_never_crosses_a_threshold(threshold):
    near = np.float32(threshold) + np.linspace(-1.2e-4, 1.2e-4, 4001, dtype=np.float32)
    probs = np.broadcast_to(near[:, None, None], (len(near), 2, 2)).copy()
    rule = PostProcessing(gate="none", segment_threshold=threshold)
    parse = replace(toy_parse(), segment_probs=probs, gate_probs=None, decision=rule)
    back = parse_from_json(json.loads(json.dumps(parse_to_json(parse))))
    assert np.array_equal(back.predicted, parse.predicted) and parse.predicted.any() and not parse.predicted.all()


def test_the_document_describes_every_key():
    text = (ROOT / "docs" / "parse-json.md").read_text(encoding="utf-8")
    example = json.loads(text.partition("```json")[2].partition("```")[0])
    record = parse_to_json(toy_parse())
    assert set(example) == set(record) and set(example["media"]) == set(record["media"])
    assert set(example["events"][0]) == set(record["events"][0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version 1"),
        ({"version": True}, "version 1"),
        ({"system": {"zero_shot": "yes"}}, "zero_shot must be true or false"),
        ({"segment_probs": {"audio": None, "visual": None}}, "got neither"),
        ({"classes": ["Speech"]}, "segment_probs must be"),
        ({"decision": None}, "could not be read"),
        ({"media": {"name": "x"}}, "could not be read"),
    ],
)
def test_other_files_are_refused(tmp_path, change, said):
    (tmp_path / "p.json").write_text(json.dumps(parse_to_json(toy_parse()) | change))
    with pytest.raises(ValueError, match=said):
        read_parse(tmp_path / "p.json")


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such parse"):
        read_parse(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"format": "valor-parse"')
    with pytest.raises(ValueError, match="expected the JSON of `valor parse`"):
        read_parse(tmp_path / "half.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"onset": 0.002}, "among them .* got "),
        ({"prob": 0.1}, "among them "),
        ({"class": "Dog", "modality": "smell"}, "expected one of audio, visual, got"),
        ({"onset": "1"}, "events: onset"),
        (None, "among them .* got "),
    ],
)
def test_events_that_are_not_those_of_the_arrays_are_refused(tmp_path, caplog, change, said):
    path = tmp_path / "p.json"
    write_parse(path, toy_parse())
    record = json.loads(path.read_text("utf-8"))
    if change is None:
        record["events"].pop()
    elif "onset" in change and isinstance(change["onset"], float):
        record["events"][0]["onset"] += change["onset"]
    else:
        record["events"][0] |= change
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        read_parse(path)
    made = read_parse_without(path, record)
    assert made.events and "lists no events" not in caplog.text
    path.write_text(json.dumps(record | {"events": []}), encoding="utf-8")
    assert read_parse(path).events == made.events and "lists no events" in caplog.text


def read_parse_without(path, record):
    """As a user makes events anew: the key is taken out."""
    path.write_text(json.dumps({key: value for key, value in record.items() if key != "events"}), encoding="utf-8")
    return read_parse(path)


def test_events_are_runs_on_the_clock_of_the_container():
    parse = toy_parse(start=1.4)
    marked = parse.segment_probs >= 0.5
    assert np.array_equal(parse.predicted, marked)
    for event in parse.events:
        modality, index = ("audio", "visual").index(event.modality), parse.class_names.index(event.class_name)
        first, last = round(event.onset - 1.4), round(event.offset - 1.4)
        track = np.pad(marked[:, modality, index], 1)
        assert track[first + 1 : last + 1].all() and not track[first] and not track[last + 1]
        assert event.prob == pytest.approx(parse.segment_probs[first:last, modality, index].mean())
    assert sum(round(event.offset - event.onset) for event in parse.events) == marked.sum()
    assert list(parse.events) == sorted(parse.events, key=lambda event: event.onset)
    assert parse.onsets[:2].tolist() == [1.4, 2.4]


def test_the_gate_and_the_thresholds_decide():
    parse = toy_parse()
    assert not replace(parse, decision=PostProcessing(clip_threshold=0.8)).events
    strict = replace(parse, decision=PostProcessing(gate="none", segment_threshold=((0.9,), (1.0,))))
    assert {event.modality for event in strict.events} == {"audio"} and all(
        event.prob >= 0.9 for event in strict.events
    )


def test_it_reads_well():
    text = repr(toy_parse())
    assert text.startswith("Parse of street & dog.mp4: 12.0 s, ") and "audible" in text and " s " in text
    assert "no picture" in repr(toy_parse(visual=False))
    assert repr(replace(toy_parse(), notes=("a gap", OF_DRAWINGS))) == f"{text}\n  note: {OF_DRAWINGS}"


def test_what_does_not_belong_together_is_refused():
    from dataclasses import replace

    parse = toy_parse()
    with pytest.raises(ValueError, match="segment_probs must be float32"):
        replace(parse, segment_probs=parse.segment_probs[:, :1])
    with pytest.raises(ValueError, match=r"probabilities in 0\.\.1"):
        replace(parse, segment_probs=parse.segment_probs + 1)
    with pytest.raises(ValueError, match="needs gate_probs"):
        replace(parse, gate_probs=None)
    with pytest.raises(ValueError, match="one gate for both"):
        replace(parse, decision=PostProcessing(gate=("clip", "none")))


def test_numbers_missing_in_a_segment_are_refused():
    parse = toy_parse()
    for name, said in (
        ("segment_probs", "1 of 2 null for audio in segment 1"),
        ("gate_probs", "1 of 2 null for audio"),
    ):
        held = json.loads(json.dumps(parse_to_json(parse)))
        rows = held[name]["audio"] if name == "segment_probs" else [row[0] for row in held[name]]
        rows[0][0] = None
        with pytest.raises(ValueError, match=f"{name} must have a number for every class .*, got {said}"):
            parse_from_json({**held, "events": []})
    held = json.loads(json.dumps(parse_to_json(parse)))
    held["gate_probs"][2][1] = [None] * 2
    with pytest.raises(
        ValueError, match="gate_probs must be known where segment_probs are, got none for visual in seg"
    ):
        parse_from_json({**held, "events": []})


def test_a_name_with_control_characters_is_printed_on_one_line():
    parse = toy_parse()
    odd = replace(parse, media=replace(parse.media, name="a\n\x1b[2Jb.mp4"))
    assert repr(odd).splitlines()[0].startswith("Parse of a??[2Jb.mp4: ")


def test_stretches_without_a_stream_are_counted_and_drawn():
    parse = toy_parse()
    probs = parse.segment_probs.copy()
    probs[3:6, 1] = probs[9:, 0] = np.nan
    parse = replace(parse, segment_probs=probs, decision=PostProcessing(gate="none"))
    assert parse.absent == {"audio": pytest.approx(2.96), "visual": 3.0} and not toy_parse(visual=False).absent
    assert "12.0 s, no sound for 3.0 s, no picture for 3.0 s, " in repr(parse)
    labels = [text.get_text() for text in parse.plot().legends[0].get_texts()]
    assert "no sound, or no picture" in labels
    assert not any("no sound" in text.get_text() for text in toy_parse().plot().legends[0].get_texts())
    silent = replace(parse, segment_probs=probs * 0)
    (said,) = silent.plot().axes[-1].texts
    assert said.get_text() == "no event, no sound 10.4 – 13.4 s, no picture 4.4 – 7.4 s"


def test_where_nothing_was_found_it_says_what_was_looked_for_and_came_nearest():
    parse = toy_parse()
    probs = np.full_like(parse.segment_probs, 0.1)
    probs[4, 0, 1], probs[7, 1, 0] = 0.45, 0.9
    empty = replace(parse, segment_probs=probs, gate_probs=np.full_like(probs, 0.3))
    line, looked, nearest = repr(empty).splitlines()
    assert line.endswith("0 audible and 0 visible events") and looked == "  looked for Speech, Glass_breaking"
    apart = "on where the seconds around it together have 0.5; they have 0.3"
    assert nearest == (
        f"  nearest were Glass_breaking, audible at 5.4 - 6.4 s with 0.45, marked from 0.5 {apart}; "
        f"and Speech, visible at 8.4 - 9.4 s with 0.9, marked from 0.5 {apart}"
    )
    assert parse.nearest == "" and "looked for" not in repr(parse)
    silent = np.full_like(probs, np.nan)
    assert repr(replace(parse, segment_probs=silent, gate_probs=silent)).splitlines()[-1] == looked
    ungated = replace(empty, gate_probs=None, decision=PostProcessing(gate="none", segment_threshold=0.95))
    assert ungated.nearest.endswith("; and Speech, visible at 8.4 - 9.4 s with 0.9, marked from 0.95 on")
