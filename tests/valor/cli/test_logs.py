"""What a command says beside its results, and that it says it once."""

import io
import logging

from tests.helpers.toy_scores import write_toy_scores
from tests.helpers.typed import typed


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
