"""Parses as systems of the viewer."""

import numpy as np
import pytest

from tests.toy_viewer import parse_record, write_parse
from valor.viewer.parsed import is_parse, parsed_limits, parsed_marks, read_checked, system_name

GATED = {"segment_threshold": 0.5, "gate": "modality", "clip_threshold": 0.4}


def read(tmp_path, record):
    return read_checked(write_parse(tmp_path / "a.json", record))


def test_decisions_follow_the_rule_of_the_file(tmp_path):
    gate = [[[0.9, 0.9, 0.9], [0.3, 0.9, 0.9]]] * 4
    parse = read(tmp_path, parse_record(gate_probs=gate, decision=GATED))
    marks, (segment, limits) = parsed_marks(parse), parsed_limits(parse)
    assert marks.gate_probs.shape == (1, 2, 3)
    assert marks.predicted[:, 0, 0].tolist() == [False, True, True, False]
    assert not marks.predicted[:, 1].any()  # seen, but the gate is shut
    assert (segment.tolist(), limits.tolist()) == ([[0.5] * 3] * 2, [[0.4] * 3] * 2)


def test_gates_that_change_over_time_keep_their_rows(tmp_path):
    gate = [[[t / 4] * 3, [1.0] * 3] for t in range(4)]
    marks = parsed_marks(read(tmp_path, parse_record(gate_probs=gate, decision=GATED)))
    assert marks.gate_probs.shape == (4, 2, 3)
    assert marks.predicted[:, 0, 0].tolist() == [False, False, True, False]


def test_a_missing_stream_marks_nothing(tmp_path):
    record = parse_record()
    record["segment_probs"]["audio"] = None
    parse = read(tmp_path, record)
    marks = parsed_marks(parse)
    assert np.isnan(marks.segment_probs[:, 0]).all() and not marks.predicted[:, 0].any()
    assert parsed_limits(parse)[1] is None


@pytest.mark.parametrize(("system", "name"), [
    ({"run": "runs/valor++"}, "valor++"), ({"zero_shot": True}, "zero-shot"), ({}, "parse"), ({"run": 7}, "parse"),
    ({"run": "/x/valor/seed-3"}, "valor/seed-3"),
])  # fmt: skip
def test_a_parse_is_called_by_its_run(tmp_path, system, name):
    assert system_name(read(tmp_path, parse_record(system=system))) == name


@pytest.mark.parametrize(("media", "change", "message"), [
    ({"duration": float("nan")}, {}, "duration must be seconds"),
    ({"duration": "long"}, {}, "duration must be seconds"),
    ({"start_time": None}, {}, "start_time must be seconds"),
    ({"duration": -1.0}, {}, "must be seconds"),
    ({}, {"segment_seconds": 0}, "must be seconds"),
    ({"name": ["x"]}, {}, "need names"),
    ({}, {"classes": ["a", "a", "b"]}, "need names, all different"),
    ({}, {"version": 2}, "could not be read"),
])  # fmt: skip
def test_a_strangers_parse_is_looked_at_twice(tmp_path, media, change, message):
    record = parse_record(**change)
    record["media"] |= media
    with pytest.raises(ValueError, match=rf"a\.json: .*{message}"):
        read(tmp_path, record)


@pytest.mark.parametrize(("content", "expected"), [
    (b'{"format": "valor-parse"', True), (b'{"format": "other"}', False), (b"\xff\xfe", False), (b"", False),
])  # fmt: skip
def test_a_parse_says_that_it_is_one(tmp_path, content, expected):
    (tmp_path / "a.json").write_bytes(content)
    assert is_parse(tmp_path / "a.json") is expected
    assert not is_parse(tmp_path)
