"""Processes that can be killed: what each end of one sends, and that nothing said before an end is lost."""

import re
import socket

import pytest

from valor.label_harvest.media import process as module
from valor.label_harvest.media.process import ChildProcess, DecodeLimits, DiedError, keep_memory

BAD = "tests.helpers.bad_services:Bad"
GOES_ON = {
    "tell": {"outcome": "told", "given": ["one", "two"]},
    "refuse": {"outcome": "refused", "status": "missing", "message": "a.mp4: is empty", "salvageable": False},
    "stumble": {
        "outcome": "refused",
        "status": "undecodable",
        "message": "a.mp4: cannot be decoded (KeyError: 'a mistake'); leave it out",
    },
}
ENDS = {
    "eat": {"outcome": "out of memory"},
    "starve": {"outcome": "out of memory"},
    "lack": {"outcome": "unusable", "message": "libX11.so.6: no such file"},
}


@pytest.fixture
def process():
    started = ChildProcess(DecodeLimits(seconds=30), BAD, "one", "two")
    yield started
    started.end()


def test_answers_say_what_they_are_about_and_mistakes_are_answers(process):
    for word, answer in GOES_ON.items():
        process.send({"do": word, "stream": word})
        assert process.receive(60) == {"stream": word, **answer}


@pytest.mark.parametrize("word", ENDS)
def test_what_was_said_before_the_end_arrives_whatever_is_asked_meanwhile(process, word):
    """The process answers the first request and goes; the others were never read, and the last cannot even be sent."""
    for _ in range(2):
        process.send({"do": word})
    process._process.wait(60)
    process.send({"do": "tell"})
    assert process.receive(60) == {"stream": None, **ENDS[word]}
    with pytest.raises(DiedError, match="ended itself with exit code 0"):
        process.receive(60)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("open", r"\(Too many open files\); allow more than \d+ open files, by `ulimit -n`"),
        ("share", r"\(no shared memory \(File too large\)\); allow files of more than 40 KiB, by `ulimit -f"),
    ],
)
def test_a_limit_that_is_met_is_named_and_costs_no_file(process, word, said):
    process.send({"do": word})
    answer = process.receive(60)
    assert answer["outcome"] == "unusable"
    assert re.search(said, str(module.unusable(answer))) and "--workers" not in str(module.unusable(answer))


def test_a_file_that_cannot_be_taken_for_want_of_descriptors_is_no_death(process, monkeypatch):
    lost = (b"12345678", [], socket.MSG_CTRUNC, None)
    monkeypatch.setattr(module.socket, "recv_fds", lambda *given: lost)
    with pytest.raises(OSError, match="Too many open files; allow more than"):
        process.receive(60)


@pytest.mark.parametrize("name", ["", "MALLOC_TRIM_THRESHOLD_"])
def test_memory_is_kept_unless_the_environment_says_how_much(name, monkeypatch):
    kept = []
    library = type("Library", (), {"mallopt": staticmethod(lambda *given: kept.append(given))})
    monkeypatch.setattr(module.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(module.sys, "platform", "linux")
    for variable in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"):
        monkeypatch.delenv(variable, raising=False)
    if name:
        monkeypatch.setenv(name, "1000")
    keep_memory()
    assert [what for what, _ in kept] == ([] if name else [-1, -3])
    monkeypatch.setattr(module.ctypes, "CDLL", lambda name: object())  # a library without it
    keep_memory()
