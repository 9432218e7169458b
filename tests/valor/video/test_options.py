"""Cuts of a film as they are given: a file of times, or values."""

import pytest

from valor.video.options import ParseOptions, read_cuts


def test_a_cut_is_a_line_and_what_stands_behind_it_is_passed_over(tmp_path):
    path = tmp_path / "cuts.txt"
    path.write_bytes(b"\xef\xbb\xbf1.5\tthe yard\r\n\r\n 4 ,the street\r61.25")
    assert read_cuts(path) == (1.5, 4, 61.25)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("1.0\u20282.0\n".encode(), "cuts.txt:1: expected a time in seconds"),
        (b"1.0\x0b2.0\n", "cuts.txt:1: expected a time in seconds"),
        (b"1\n1_0\n", "cuts.txt:2: expected a time in seconds"),
        ("\u0663\n".encode(), "cuts.txt:1: expected a time in seconds"),
        (b"nan\n", "cuts.txt:1: expected a time in seconds"),
        (b"1\n1.0\n", "cuts.txt:2: expected a time in seconds, later than the one before"),
        ("1.5\n".encode("utf-16"), "cuts.txt: expected a time in seconds on each line, got no UTF-8 text"),
        (b"1.5\tcaf\xe9\n", "cuts.txt: expected a time in seconds on each line, got no UTF-8 text"),
    ],
)
def test_what_is_no_time_is_refused_with_its_line(tmp_path, content, says):
    (tmp_path / "cuts.txt").write_bytes(content)
    with pytest.raises(ValueError, match=says):
        read_cuts(tmp_path / "cuts.txt")


@pytest.mark.parametrize("cuts", [(1.0, float("nan")), (1.0, float("inf")), (2.0, 1.0), (1.0, 1.0), [2.0, 1.0]])
def test_cuts_ascend_and_are_times(cuts):
    with pytest.raises(ValueError, match="cuts must be times in seconds, ascending"):
        ParseOptions(cuts=cuts)
