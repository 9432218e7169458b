"""Byte ranges: what is asked for, what is nonsense, what lies outside."""

import pytest

from valor.viewer.ranges import Span, UnsatisfiableRangeError, parse_range


@pytest.mark.parametrize(("header", "span"), [
    (None, None),
    ("bytes=0-", Span(0, 100)),
    ("bytes=0-0", Span(0, 1)),
    ("bytes=40-1000", Span(40, 100)),
    ("bytes=-30", Span(70, 100)),
    ("bytes=-300", Span(0, 100)),
    (" bytes=99-99 ", Span(99, 100)),
    ("bytes=-", None),
    ("bytes=5-2", None),
    ("bytes=0-1,4-5", None),  # several ranges may be answered by the whole
    ("items=0-1", None),
    ("bytes=a-b", None),
    ("bytes=0-" + "9" * 400, None),
])  # fmt: skip
def test_what_is_asked_for(header, span):
    assert parse_range(header, 100) == span


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=7-9", 5)]
)
def test_ranges_outside_the_file_are_refused(header, size):
    with pytest.raises(UnsatisfiableRangeError, match=f"of {size}"):
        parse_range(header, size)


def test_the_answer_names_the_last_byte():
    assert Span(10, 20).content_range(100) == "bytes 10-19/100"
