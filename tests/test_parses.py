from dataclasses import replace

import numpy as np
import pytest

from eval.post_processing import PostProcessing
from tests.toy_parse import toy_parse


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
    assert not parse.decided_by(PostProcessing(clip_threshold=0.8)).events
    strict = parse.decided_by(PostProcessing(gate="none", segment_threshold=((0.9,), (1.0,))))
    assert {event.modality for event in strict.events} == {"audio"} and all(
        event.prob >= 0.9 for event in strict.events
    )


def test_it_reads_well():
    text = repr(toy_parse())
    assert text.startswith("Parse of street & dog.mp4: 12.0 s, ") and "audible" in text and " s " in text
    assert "no picture" in repr(toy_parse(visual=False))


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


def test_a_name_with_control_characters_is_printed_on_one_line():
    parse = toy_parse()
    odd = replace(parse, media=replace(parse.media, name="a\n\x1b[2Jb.mp4"))
    assert repr(odd).splitlines()[0].startswith("Parse of a??[2Jb.mp4: ")
