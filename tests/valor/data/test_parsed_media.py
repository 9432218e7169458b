import os
from dataclasses import replace

import pytest

from tests.helpers.toy_parse import toy_parse
from valor.data.parse_file import read_parse, write_parse
from valor.data.parse_folder import DROPPED, parse_files, read_parse_predictions
from valor.data.parsed_media import modified_at, replaced_note, told_apart, was_replaced
from valor.exchange.sources import events_files, open_source, timelines_of
from valor.exchange.taken_in import ImportOptions, import_events
from valor.label_harvest.disk import file_sha256
from valor.video.formats.written import write_text
from valor.video.summary import write_summary
from valor.viewer.sources import SourceOptions, read_document


@pytest.fixture
def held(tmp_path):
    path = tmp_path / "k.mp4"
    path.write_bytes(b"a film")
    facts = path.stat()
    info = {"path": str(path), "size": facts.st_size, "modified": modified_at(facts), "sha256": file_sha256(path)}
    return replace(toy_parse().media, name="k.mp4", **info)


def written(lines, folder):
    files = events_files(lines, folder, "elan")
    for file, text in files.items():
        write_text(file, text)
    return list(files)


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
        read_parse_predictions([tmp_path / "k.json"], gates=DROPPED)  # looked at for its length alone
        assert not caplog.text
        read_parse_predictions([tmp_path / "k.json"], ["k"], gates=DROPPED)
        note = "k.mp4 is not the file that was parsed"
        assert any(note in one for one in document.about) is said is (note in caplog.text)
        assert any(note in one for one in document.clips[0].notes) is said
        assert (document.clips[0].media is None) is said


def test_files_of_one_name_are_told_apart_by_their_folders():
    paths = ["/f/a/x.mp4", "/f/b/x.mp4", "/g/b/x.mp4", "/f/y.mp4", "/f/y.mp4", "x.mp4", ""]
    assert told_apart(paths) == ["a/x.mp4", "f/b/x.mp4", "g/b/x.mp4", "y.mp4", "y.mp4", "x.mp4", ""]
    assert told_apart(["/x.mp4", "/a/x.mp4"]) == ["/x.mp4", "a/x.mp4"] and told_apart([]) == []


def test_what_is_parsed_later_changes_no_name_and_no_correction_of_media_of_its_name(tmp_path):
    toy, folder = toy_parse(), tmp_path / "parses"
    folder.mkdir()

    def parse(file: str, place: str) -> None:
        write_parse(folder / file, replace(toy, media=replace(toy.media, name="x.mp4", path=f"/films/{place}/x.mp4")))

    def exported() -> dict[str, str]:
        lines = timelines_of(open_source(folder, SourceOptions()))
        files = written(lines, tmp_path / "elan")
        return {file.name: line.media.path for file, line in zip(files, lines, strict=True)}

    parse("x.json", "b")
    parse("x-cccccccc.json", "c")
    before = exported()
    assert before == {"x-cccccccc.eaf": "/films/c/x.mp4", "x.eaf": "/films/b/x.mp4"}
    parse("x-aaaaaaaa.json", "a")
    assert exported() == {**before, "x-aaaaaaaa.eaf": "/films/a/x.mp4"}
    files = parse_files(folder)
    assert read_parse_predictions(files, gates=DROPPED).clip_ids == ("x-aaaaaaaa", "x-cccccccc", "x")
    assert read_parse_predictions(files, ["x", "x-cccccccc"], gates=DROPPED).clip_ids == ("x-cccccccc", "x")


def test_a_file_that_goes_by_one_name_and_gives_the_address_of_another_is_refused(tmp_path):
    toy = toy_parse()
    for name in ("one", "two"):
        media = replace(toy.media, name=f"{name}.mp4", path=f"/f/{name}.mp4")
        write_parse(tmp_path / f"{name}.json", replace(toy, media=media))
    files = written(timelines_of(open_source(tmp_path, SourceOptions())), tmp_path / "elan")
    files[0].rename(files[1])
    options = ImportOptions(exported_from=tmp_path, clock="zero")
    with pytest.raises(
        ValueError, match=r"two.eaf: its name is that of two, and the media it gives, .*one.mp4, that of one"
    ):
        import_events([files[1]], tmp_path / "fixed", options)
    assert import_events([f"one={files[1]}"], tmp_path / "fixed", options).corrections[0].clip_id == "one"


def test_parses_of_two_media_of_one_name_are_told_apart_in_viewer_export_and_summary(tmp_path):
    toy = toy_parse()
    for folder, start in (("a", 0.0), ("b", 7.0)):
        media = replace(toy.media, name="x.mp4", path=f"/films/{folder}/x.mp4", start_time=start)
        write_parse(tmp_path / f"x-{folder * 8}.json", replace(toy, media=media))
    opened = open_source(tmp_path, SourceOptions())
    assert [clip.name for clip in opened.document.clips] == ["a/x.mp4", "b/x.mp4"]
    assert [opened.media[clip.clip_id].start_time for clip in opened.document.clips] == [0.0, 7.0]
    files = written(timelines_of(opened), tmp_path / "elan")
    assert [file.name for file in files] == ["x-aaaaaaaa.eaf", "x-bbbbbbbb.eaf"] and len(
        set(map(file_sha256, files))
    ) == 2
    found = import_events(files, tmp_path / "c", ImportOptions(exported_from=tmp_path, clock="zero"))
    assert [one.clip_id for one in found.corrections] == ["x-aaaaaaaa", "x-bbbbbbbb"] and found.changed == 0
    parses = {name: read_parse(tmp_path / name) for name in ("x-aaaaaaaa.json", "x-bbbbbbbb.json")}
    write_summary(tmp_path, parses.items())
    assert {line.partition(",")[0] for line in (tmp_path / "summary.csv").read_text().splitlines()[1:]} == {
        "a/x.mp4", "b/x.mp4",
    }  # fmt: skip
    (tmp_path / "summary.csv").unlink()
    for item in parses.items():
        write_summary(tmp_path, [item])
    assert {line.partition(",")[0] for line in (tmp_path / "summary.csv").read_text().splitlines()[1:]} == {
        "x.mp4", "b/x.mp4",
    }  # fmt: skip
