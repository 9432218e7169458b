"""What a command says beside its results, and that it says it once."""

import io
import logging
import sys
from contextlib import suppress

import pytest

from tests.helpers.toy_scores import write_toy_scores
from tests.helpers.typed import typed
from valor.__main__ import main
from valor.cli.terminal import say
from valor.label_harvest.progress import progress_bar


def test_folders_that_an_output_made_are_said(tmp_path):
    toy = write_toy_scores(tmp_path)
    line = ("evaluate", toy.good, "--annotations", toy.data, "--split", "test", "--json")
    made = tmp_path / "mistyped" / "folder"
    assert f"note: made the folders {made.parent}, {made}" in typed(*line, made / "s.json").err.splitlines()
    assert "note: made" not in typed(*line, made / "t.json").err
    assert typed(*line, tmp_path / "x" / "s.json", "--quiet").err == ""
    assert "note: made" not in typed(*line, tmp_path / "y" / "s.json", "--threshold", "7").err


def test_what_a_library_prints_itself_is_not_said_again(monkeypatch):
    printed = io.StringIO()
    library = logging.getLogger("somebody")
    library.addHandler(own := logging.StreamHandler(printed))

    def run(_):
        logging.getLogger("somebody.hub").warning("Retrying in 1s")
        logging.getLogger("another").warning("of nobody's own")
        return 0

    monkeypatch.setattr("valor.cli.doctor.run", run)
    try:
        done = typed("doctor")
    finally:
        library.removeHandler(own)
    assert printed.getvalue() == "Retrying in 1s\n" and done.err == "of nobody's own\n"


def test_the_hubs_client_is_quiet_about_trying_again_where_that_is_asked(monkeypatch):
    import huggingface_hub.utils._http as http

    def run(_):
        http.logger.warning("Retrying in 1s [Retry 1/5].")
        return 0

    monkeypatch.setattr("valor.cli.doctor.run", run)
    printed = io.StringIO()
    (own,) = logging.getLogger("huggingface_hub").handlers
    before = own.setStream(printed)
    try:
        typed("doctor", "--quiet")
        assert printed.getvalue() == ""
        typed("doctor")
    finally:
        own.setStream(before)
    assert printed.getvalue() == "Retrying in 1s [Retry 1/5].\n"


@pytest.fixture
def full():
    """A stream whose disk is full."""
    stream = open("/dev/full", "w")
    yield stream
    with suppress(OSError):
        stream.close()


@pytest.mark.parametrize("code", [0, 3])
def test_a_full_disk_under_a_log_is_said_once_and_changes_no_exit_code(monkeypatch, code):
    def run(_):
        for _ in progress_bar(range(3), desc="work", every=0):
            say("done")
        return code

    monkeypatch.setattr("valor.cli.doctor.run", run)
    done = typed("doctor", "--quiet", "--log-file", "/dev/full")
    assert (done.code, done.out) == (code, "done\n" * 3)
    lines = [line for line in done.err.splitlines() if not line.startswith("work: ")]
    assert lines == ["/dev/full: no log is written any more (No space left on device)"]


def test_a_refusal_under_a_log_on_a_full_disk_is_still_one(monkeypatch):
    def run(_):
        raise ValueError("the table is torn")

    monkeypatch.setattr("valor.cli.doctor.run", run)
    done = typed("doctor", "--log-file", "/dev/full")
    assert done.code == 2 and done.err.splitlines()[1:] == ["valor doctor: the table is torn"]


@pytest.mark.parametrize(("kept", "code"), [(True, 3), (False, 2)])
def test_what_is_printed_on_a_full_disk_is_a_fault_where_it_is_the_result(
    monkeypatch, capsys, caplog, full, kept, code
):
    def run(_):
        say("24 clips")
        return 3

    monkeypatch.setattr("valor.cli.doctor.run", run)
    monkeypatch.setattr("valor.__main__.IN_FILES", ("doctor",) if kept else ())
    monkeypatch.setattr(sys, "stdout", full)
    assert main(["doctor"]) == code
    noted = "stdout: nothing is printed any more (No space left on device)"
    assert (noted in caplog.messages) == kept
    assert ("valor doctor: stdout: cannot be written (No space" in capsys.readouterr().err) != kept


def test_lines_of_progress_and_refusals_on_a_full_disk_change_no_exit_code(monkeypatch, full):
    def run(_):
        for _ in progress_bar(range(3), desc="work", every=0):
            pass
        return 3

    monkeypatch.setattr("valor.cli.doctor.run", run)
    monkeypatch.setattr(sys, "stderr", full)
    assert main(["doctor"]) == 3
    assert main(["doctor", "--quiet", "--verbose"]) == 2
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["doctor"]) == 3
