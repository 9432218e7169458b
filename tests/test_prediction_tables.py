"""Predictions as tab-separated events."""

import numpy as np
import pytest

from valor.event_lists import SegmentGrid
from valor.prediction_tables import read_prediction_tables, write_prediction_tables

CLASSES = ("Dog", "Speech", "Frying_(food)")
CLIPS = ("b_0_10", "a_0_10", "silent_0_10")
HEADER = "filename\tonset\toffset\tevent_label\n"


def predicted(seed=0):
    marks = np.random.default_rng(seed).random((3, 10, 2, 3)) < 0.4
    marks[2] = False
    return marks


def write(folder, audio="", visual="", clips=None):
    folder.mkdir(exist_ok=True)
    (folder / "audio.tsv").write_text(HEADER + audio)
    (folder / "visual.tsv").write_text(HEADER + visual)
    if clips is not None:
        (folder / "clips.txt").write_text(clips)
    return folder


@pytest.mark.parametrize("name", ["system", "system.audio.tsv", "system.visual.tsv"])
@pytest.mark.parametrize("segment_seconds", [1.0, 0.32])
def test_tables_read_back_as_they_were_written(tmp_path, name, segment_seconds):
    write_prediction_tables(tmp_path / name, CLIPS, CLASSES, predicted(), segment_seconds=segment_seconds)
    back = read_prediction_tables(tmp_path / name, CLASSES, SegmentGrid(segment_seconds=segment_seconds))
    assert (back.clip_ids, back.class_names, back.rounding) == (CLIPS, CLASSES, None)
    assert np.array_equal(back.predicted, predicted())
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 3


def test_the_tables_have_the_documented_names_and_columns(tmp_path):
    marks = np.zeros((2, 10, 2, 3), dtype=bool)
    marks[0, 2:4, 0, 1] = marks[0, :, 1, 2] = True
    write_prediction_tables(tmp_path, ("x", "y"), CLASSES, marks)
    assert (tmp_path / "audio.tsv").read_text() == HEADER + "x\t2\t4\tSpeech\n"
    assert (tmp_path / "visual.tsv").read_text() == HEADER + "x\t0\t10\tFrying_(food)\n"
    assert (tmp_path / "clips.txt").read_text() == "x\ny\n"


def test_a_clip_without_events_is_told_from_a_missing_one(tmp_path):
    listed = write(tmp_path / "listed", audio="x\t0\t1\tDog\n", clips="y\n\nx\n")
    assert read_prediction_tables(listed, CLASSES).clip_ids == ("y", "x")
    by_row = write(tmp_path / "rows", audio="x\t0\t1\tDog\n", visual="y\t\t\t\n")
    read = read_prediction_tables(by_row, CLASSES)
    assert read.clip_ids == ("x", "y") and not read.predicted[1].any()
    unlisted = write(tmp_path / "unlisted", audio="x\t0\t1\tDog\n")
    assert read_prediction_tables(unlisted, CLASSES).clip_ids == ("x",)
    nothing = write(tmp_path / "nothing", clips="x\ny\n")
    assert not read_prediction_tables(nothing, CLASSES).predicted.any()


def test_rows_may_stand_in_any_order_and_the_header_may_be_that_of_llp(tmp_path):
    folder = write(tmp_path / "p", audio="x\t5\t6\tDog\ny\t0\t1\tDog\nx\t0\t1.0\tSpeech\n")
    (folder / "visual.tsv").write_bytes(b"\xef\xbb\xbffilename\tonset\toffset\tevent_labels\r\ny\t9\t10\tDog\r\n")
    marks = read_prediction_tables(folder, CLASSES).predicted
    assert np.argwhere(marks).tolist() == [[0, 0, 0, 1], [0, 5, 0, 0], [1, 0, 0, 0], [1, 9, 1, 0]]


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ("x\t0\t1\n", r"audio.tsv:2: expected 4 columns, got \['x', '0', '1'\]"),
        ("\t0\t1\tDog\n", r"audio.tsv:2: expected 4 columns"),
        ("x\t0\tone\tDog\n", r"audio.tsv:2: expected seconds from the start of the clip, got 'one'"),
        ("x\t\t1\tDog\n", r"audio.tsv:2: expected seconds .* got ''"),
        ("x\t0\tnan\tDog\n", r"audio.tsv:2: an event needs 0 <= onset < offset"),
        ("x\t3\t3\tDog\n", r"audio.tsv:2: an event needs 0 <= onset < offset"),
        ("x\t0\t1\tdog\n", r"audio.tsv:2: 'dog'"),
        ("x\t0\t1\t\n", r"audio.tsv:2: ''"),
        ("x\t0\t1.5\tDog\n", r"1 events do not lie on the grid .*audio.tsv:2: 0 to 1.5"),
        ("x\t9\t11\tDog\n", r"1 events do not lie on the grid of 10 segments"),
        ("", r"the tables hold no row and clips.txt is not there.* list the clips without events in clips.txt"),
    ],
)
def test_rows_that_cannot_be_read_are_refused_with_their_line(tmp_path, audio, message):
    with pytest.raises(ValueError, match=message):
        read_prediction_tables(write(tmp_path / "p", audio=audio), CLASSES)


def test_lists_that_do_not_fit_are_refused(tmp_path):
    folder = write(tmp_path / "p", audio="x\t0\t1\tDog\n", clips="y\n")
    with pytest.raises(
        ValueError, match=r"clips.txt: must list every clip that was parsed, got rows of 1 others \(x\)"
    ):
        read_prediction_tables(folder, CLASSES)
    write(folder, clips="x\ny\nx\n")
    with pytest.raises(ValueError, match=r"clips.txt: a clip is listed once, got 1 more than once \(x\)"):
        read_prediction_tables(folder, CLASSES)
    (folder / "clips.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="clips.txt: expected a list of clips, one a line"):
        read_prediction_tables(folder, CLASSES)


def test_files_that_are_no_pair_of_tables_are_refused(tmp_path):
    folder = write(tmp_path / "p")
    (folder / "visual.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"visual.tsv: no such table; events come as a pair.* header filename"):
        read_prediction_tables(folder, CLASSES)
    for content in (b"\x00\x01\x02", b"", b"a,b,c\n"):
        (folder / "visual.tsv").write_bytes(content)
        with pytest.raises(ValueError, match=r"visual.tsv: expected a tab-separated table with the columns"):
            read_prediction_tables(folder, CLASSES)
    (folder / "visual.tsv").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(ValueError, match=r"visual.tsv: expected tab-separated UTF-8 text.* binary file"):
        read_prediction_tables(folder, CLASSES)
    with pytest.raises(ValueError, match=r"one.tsv: one table cannot say which events are heard and which are seen"):
        read_prediction_tables(tmp_path / "one.tsv", CLASSES)


def test_names_that_would_tear_a_row_are_refused(tmp_path):
    with pytest.raises(ValueError, match="hold no tab, comma"):
        write_prediction_tables(tmp_path / "p", ("a\tb", "c", "d"), CLASSES, predicted())
