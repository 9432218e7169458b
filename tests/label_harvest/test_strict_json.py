"""JSON from outside: everything Python writes comes back, and what it would read wrongly is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valor.label_harvest.strict_json import loads

NUMBERS = st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_written_is_read(value):
    text = json.dumps(value)
    assert loads(text) == loads(text.encode()) == loads(b"\xef\xbb\xbf" + text.encode()) == value


@pytest.mark.parametrize(("text", "message"), [
    ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' stands twice"),
    ("[NaN]", "NaN is no number"),
    ("[-Infinity]", "-Infinity is no number"),
    ("[1e999]", "beyond every float"),
    (f"[{'9' * 400}]", "a number of 400 digits"),
    ("[" * 100_000, "nested deeper"),
    ('{"a":' * 100_000, "nested deeper"),
    (r'{"a": ["\ud800"]}', r"half a character in '\\ud800'"),
    (r'{"\udc00x": 1}', "half a character"),
    ("[1", "Expecting"),
    (b"\xff", "codec can't decode"),
])  # fmt: skip
def test_what_would_be_read_wrongly_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        loads(text)


def test_names_of_files_that_are_no_utf_8_are_read():
    value = {"b\udcff": ["\udc80", "\U0001f600"]}
    assert loads(json.dumps(value)) == value


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,0123456789eE+-.truefalsn \\', max_size=60))
def test_any_bytes_are_json_or_a_value_error(text):
    try:
        loads(text)
    except ValueError:
        return
