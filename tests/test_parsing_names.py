import json
from dataclasses import replace

import pytest

from tests.toy_parse import toy_parse
from valor.parse_json import write_parse
from valor.parsing_inputs import digest_name, find_inputs
from valor.parsing_names import name_results, result_paths


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def media(tmp_path, *names):
    for name in names:
        (tmp_path / name).write_bytes(b"film")
    return [tmp_path / name for name in names]


def names(paths, out, *formats, taken=()):
    return [given.name for given in name_results(find_inputs([str(path) for path in paths]), out, formats, taken)]


def parsed(out, path, name):
    """Write a parse of a file as an earlier run would have."""
    parse = toy_parse()
    write_parse(
        out / f"{name}.json", replace(parse, media=replace(parse.media, name=path.name, path=str(path), size=4))
    )


@pytest.mark.parametrize("theirs", ["a.json", "a.csv", "a.png", "a.label-studio.config.xml"])
def test_files_that_are_no_results_keep_their_name(tmp_path, out, theirs):
    (film,) = media(tmp_path, "a.mp4")
    (out / theirs).write_text(json.dumps({"my": 1}))
    assert names([film], out, "csv") == [digest_name(film)]


def test_a_name_that_is_taken_twice_is_a_problem(tmp_path, out):
    (film,) = media(tmp_path, "a.mp4")
    for name in ("a", digest_name(film)):
        (out / f"{name}.csv").write_text("mine")
    (found,) = name_results(find_inputs([str(film)]), out, ())
    assert f"its results would overwrite {out / digest_name(film)}.csv, which is not theirs" in found.problem


def test_no_two_results_of_a_batch_are_one_file(tmp_path, out):
    paths = media(tmp_path, "clip.mp4", "clip.audio.wav", "clip.label-studio.wav")
    assert names(paths, out, "csv") == ["clip", "clip.audio", "clip.label-studio"]
    formats = ("csv", "llp-audio", "label-studio")
    found = names(paths, out, *formats)
    assert found == ["clip", digest_name(paths[1]), digest_name(paths[2])]
    files = [path for name in found for path in result_paths(out, name, formats)]
    assert len(set(files)) == len(files) == 3 * 5


def test_a_file_of_a_named_output_is_no_result(tmp_path, out):
    (film,) = media(tmp_path, "a.mp4")
    assert names([film], out, "csv", taken=[out / "a.csv"]) == [digest_name(film)]


def test_what_was_parsed_keeps_its_name(tmp_path, out):
    old, new = media(tmp_path, "a.mp4", "a.mkv")
    parsed(out, old, "a")
    (out / "a.csv").write_text("of the earlier run")
    assert names([old, new], out, "csv") == ["a", digest_name(new)]
    assert names([new, old], out, "csv") == [digest_name(new), "a"]
    assert names([new], out) == [digest_name(new)]


def test_what_had_to_have_another_name_keeps_it(tmp_path, out):
    (film,) = media(tmp_path, "a.mp4")
    parsed(out, film, digest_name(film))
    assert names([film], out) == [digest_name(film)]


def test_a_medium_that_was_moved_keeps_its_results(tmp_path, out):
    (film,) = media(tmp_path, "a.mp4")
    parsed(out, tmp_path / "gone" / "a.mp4", "a")
    assert names([film], out) == ["a"]


def test_the_table_of_a_longer_name_is_not_that_of_a_shorter_one(tmp_path, out):
    short, long = media(tmp_path, "clip.mp4", "clip.audio.wav")
    parsed(out, short, "clip")
    parsed(out, long, "clip.audio")
    (out / "clip.audio.csv").write_text("events of the sound")
    assert names([short], out, "llp-audio") == [digest_name(short)]
    assert names([short, long], out, "csv") == ["clip", "clip.audio"]
