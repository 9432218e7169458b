import os
from dataclasses import replace

import pytest

from tests.helpers.toy_parse import toy_parse
from valor.data.parse_file import write_parse
from valor.data.parse_folder import read_parse_predictions
from valor.data.parsed_media import modified_at, replaced_note, was_replaced
from valor.label_harvest.disk import file_sha256
from valor.viewer.sources import SourceOptions, read_document


@pytest.fixture
def held(tmp_path):
    path = tmp_path / "k.mp4"
    path.write_bytes(b"a film")
    facts = path.stat()
    info = {"path": str(path), "size": facts.st_size, "modified": modified_at(facts), "sha256": file_sha256(path)}
    return replace(toy_parse().media, name="k.mp4", **info)


def test_media_were_replaced_where_size_or_content_differ(held, tmp_path):
    path = tmp_path / "k.mp4"
    assert not was_replaced(held)
    os.utime(path, (0, 0))
    assert not was_replaced(held), "touched, not changed"
    path.write_bytes(b"a fell")
    assert was_replaced(held) and not was_replaced(replace(held, sha256=None)), "nothing else tells"
    path.write_bytes(b"another film")
    assert was_replaced(held) and was_replaced(replace(held, sha256=None))
    path.unlink()
    assert not was_replaced(held) and not was_replaced(replace(held, path="")), "nothing lies there"


def test_replaced_media_are_named(held):
    assert replaced_note([]) == ""
    assert replaced_note(["k.mp4"]).startswith("k.mp4 is not the file that was parsed, another lies there now")
    assert replaced_note(list("abcd")).startswith("4 media (a, b, c, ...) are not the files that were parsed")


def test_events_are_neither_shown_nor_scored_over_another_file_without_a_word(held, tmp_path, caplog):
    write_parse(tmp_path / "k.json", replace(toy_parse(), media=held))
    for content, said in ((b"a film", False), (b"another film", True)):
        (tmp_path / "k.mp4").write_bytes(content)
        document = read_document([str(tmp_path / "k.json")], SourceOptions())
        read_parse_predictions([tmp_path / "k.json"])
        note = "k.mp4 is not the file that was parsed"
        assert any(note in one for one in document.notes) is said is (note in caplog.text)
        assert any(note in one for one in document.clips[0].notes) is said
        assert (document.clips[0].media is None) is said
