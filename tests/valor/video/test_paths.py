import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.toy_parse import toy_parse
from valor.data.parse_file import write_parse
from valor.label_harvest.store.videos import name_by_place
from valor.training.run_folder import BEST
from valor.video.paths import check_outputs, find_inputs, name_results, result_paths


@pytest.fixture
def folder(tmp_path):
    for name in ("b.mp4", "a.MKV", "sub/c.wav", "sub/.hidden/d.mp4", ".e.mp4", "note.txt", "f'\" ü.webm", "-g.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    return tmp_path


def names(inputs):
    return [media.path.name for media in inputs]


def test_a_folder_stands_for_its_media(folder):
    assert sorted(names(find_inputs([str(folder)]))) == sorted(["b.mp4", "a.MKV", "c.wav", "f'\" ü.webm", "-g.mp4"])


def test_patterns_and_files(folder):
    assert names(find_inputs([f"{folder}/*.mp4"])) == ["-g.mp4", "b.mp4"]
    assert names(find_inputs([f"{folder}/**/*.wav"])) == ["c.wav"]
    assert names(find_inputs([f"{folder}/note.txt", f"{folder}/note.txt"])) == ["note.txt"]


def test_a_name_with_a_star_is_a_name_first(folder):
    (folder / "what[1]*.mp4").write_bytes(b"x")
    assert names(find_inputs([f"{folder}/what[1]*.mp4"])) == ["what[1]*.mp4"]


@pytest.mark.parametrize(
    ("text", "problem"), [("none.mp4", "no such file"), ("none*.mp4", "no file has a name"), ("empty", "without media")]
)
def test_what_leads_nowhere_says_so(folder, text, problem):
    (found,) = find_inputs([f"{folder}/{text}"])
    assert problem in found.problem


def test_results_have_names_of_their_own(folder):
    (folder / "sub" / "b.avi").write_bytes(b"x")
    found = find_inputs([str(folder)])
    assert len({media.name for media in found}) == len(found)
    twins = [media.name for media in found if media.path.stem == "b"]
    assert all(name.startswith("b-") for name in twins) and [m.name for m in find_inputs([f"{folder}/b.mp4"])] == ["b"]


def test_a_name_does_not_depend_on_what_is_not_there(folder):
    found = find_inputs([f"{folder}/b.mp4", f"{folder}/none/b.mp4"])
    assert found[0].name == "b" and found[1].problem


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names there are text")
def test_a_name_that_is_no_text_says_so(tmp_path):
    path = tmp_path / os.fsdecode(b"bad\xff.mp4")
    path.write_bytes(b"x")
    (found,) = find_inputs([str(path)])
    assert "no UTF-8 text" in found.problem and str(found.path).encode().endswith("bad\ufffd.mp4".encode())


def test_a_file_typed_twice_comes_once(folder, monkeypatch):
    monkeypatch.chdir(folder)
    typed = ["b.mp4", str(folder / "b.mp4"), "sub/../b.mp4", "./b.mp4", "*b.mp4"]
    assert names(find_inputs(typed)) == ["b.mp4"]
    (folder / "also.mp4").symlink_to(folder / "b.mp4")
    assert names(find_inputs(["b.mp4", "also.mp4"])) == ["b.mp4", "also.mp4"]


def test_long_names_are_cut_and_stay_apart(folder):
    for ending in ("x", "y"):
        (folder / f"{'ü' * 120}{ending}.mp4").write_bytes(b"x")
    found = [media.name for media in find_inputs([f"{folder}/ü*.mp4"])]
    assert len(set(found)) == 2 and all(len(f".{name}.label-studio.json.12345678.tmp".encode()) < 255 for name in found)


def test_what_is_no_file_says_what_it_is(folder):
    os.mkfifo(folder / "pipe.mp4")
    (folder / "gone.mp4").symlink_to(folder / "nothing.mp4")
    said = {
        media.path.name: media.problem
        for media in find_inputs([f"{folder}/pipe.mp4", f"{folder}/gone.mp4", "/dev/zero"])
    }
    assert said["pipe.mp4"].startswith("is a pipe") and said["zero"].startswith("is a device")
    assert said["gone.mp4"].startswith(f"is a link to {folder}/nothing.mp4")
    (too_long,) = find_inputs(["n" * 300 + ".mp4"])
    assert "name too long" in too_long.problem.lower()


def test_a_file_without_permission_says_so(folder, monkeypatch):
    monkeypatch.setattr("valor.video.paths.os.access", lambda path, how: False)  # root may read everything
    (found,) = find_inputs([f"{folder}/b.mp4"])
    assert found.problem == "may not be read; ask for the permission"
    monkeypatch.setattr("pathlib.Path.stat", _forbidden)
    (found,) = find_inputs([f"{folder}/b.mp4"])
    assert found.problem == "Permission denied"


def _forbidden(path, **_):
    raise PermissionError(13, "Permission denied", str(path))


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def media(tmp_path, *names_parsing_names):
    for name in names_parsing_names:
        (tmp_path / name).write_bytes(b"film")
    return [tmp_path / name for name in names_parsing_names]


def names_parsing_names(paths, out, *formats, taken=()):
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
    assert names_parsing_names([film], out, "csv") == [name_by_place(film)]


def test_a_name_that_is_taken_twice_is_a_problem(tmp_path, out):
    (film,) = media(tmp_path, "a.mp4")
    for name in ("a", name_by_place(film)):
        (out / f"{name}.csv").write_text("mine")
    (found,) = name_results(find_inputs([str(film)]), out, ())
    assert f"its results would overwrite {out / name_by_place(film)}.csv, which is not theirs" in found.problem


def test_no_two_results_of_a_batch_are_one_file(tmp_path, out):
    paths = media(tmp_path, "clip.mp4", "clip.audio.wav", "clip.label-studio.wav")
    assert names_parsing_names(paths, out, "csv") == ["clip", "clip.audio", "clip.label-studio"]
    formats = ("csv", "llp-audio", "label-studio")
    found = names_parsing_names(paths, out, *formats)
    assert found == ["clip", name_by_place(paths[1]), name_by_place(paths[2])]
    files = [path for name in found for path in result_paths(out, name, formats)]
    assert len(set(files)) == len(files) == 3 * 5


def test_a_file_of_a_named_output_is_no_result(tmp_path, out):
    (film,) = media(tmp_path, "a.mp4")
    assert names_parsing_names([film], out, "csv", taken=[out / "a.csv"]) == [name_by_place(film)]


def test_what_was_parsed_keeps_its_name(tmp_path, out):
    old, new = media(tmp_path, "a.mp4", "a.mkv")
    parsed(out, old, "a")
    (out / "a.csv").write_text("of the earlier run")
    assert names_parsing_names([old, new], out, "csv") == ["a", name_by_place(new)]
    assert names_parsing_names([new, old], out, "csv") == [name_by_place(new), "a"]
    assert names_parsing_names([new], out) == [name_by_place(new)]


def test_what_had_to_have_another_name_keeps_it(tmp_path, out):
    (film,) = media(tmp_path, "a.mp4")
    parsed(out, film, name_by_place(film))
    assert names_parsing_names([film], out) == [name_by_place(film)]


def test_a_medium_that_was_moved_keeps_its_results(tmp_path, out):
    (film,) = media(tmp_path, "a.mp4")
    parsed(out, tmp_path / "gone" / "a.mp4", "a")
    assert names_parsing_names([film], out) == ["a"]


def test_the_table_of_a_longer_name_is_not_that_of_a_shorter_one(tmp_path, out):
    short, long = media(tmp_path, "clip.mp4", "clip.audio.wav")
    parsed(out, short, "clip")
    parsed(out, long, "clip.audio")
    (out / "clip.audio.csv").write_text("events of the sound")
    assert names_parsing_names([short], out, "llp-audio") == [name_by_place(short)]
    assert names_parsing_names([short, long], out, "csv") == ["clip", "clip.audio"]


@pytest.fixture
def film(tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"x")
    return tmp_path / "film.mp4"


def test_folders_that_are_not_there_are_no_trouble(film, tmp_path):
    check_outputs({"--csv": tmp_path / "a/b/c.csv", "--json": Path("c.json")}, tmp_path / "x/y", [film])
    assert os.listdir(tmp_path) == ["film.mp4"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".", "--csv names a file to write, got the folder"),
        ("film.mp4", "--csv .*film.mp4 would overwrite the VIDEO of that name"),
        ("link.csv", "--csv .*link.csv would overwrite the VIDEO of that name"),
        ("film.mp4/x.csv", "film.mp4 is no folder, so nothing can be written there"),
    ],
)
def test_what_cannot_be_or_must_not_be_written(film, tmp_path, name, said):
    (tmp_path / "link.csv").symlink_to(film)
    with pytest.raises(ValueError, match=said):
        check_outputs({"--csv": tmp_path / name}, None, [film])


def test_two_outputs_are_two_files(film, tmp_path):
    with pytest.raises(ValueError, match="--tsv and --csv are both to be written to"):
        check_outputs({"--csv": tmp_path / "a.txt", "--tsv": tmp_path / "x" / ".." / "a.txt"}, None, [film])


def test_the_interface_of_label_studio_is_a_file_too(film, tmp_path):
    files = {"--label-studio": tmp_path / "ls.json", "--json": tmp_path / "ls.config.xml"}
    with pytest.raises(ValueError, match="its interface.* and --json are both to be written to"):
        check_outputs(files, None, [film])


def test_nothing_is_written_into_what_is_read(film, tmp_path):
    run, weights = tmp_path / "run", tmp_path / "w.pt"
    run.mkdir()
    weights.write_bytes(b"w")
    (tmp_path / "link.pt").symlink_to(weights)
    for path, source, given in (
        (run / "recipe.json", "--checkpoint", run),
        (run / "deep" / "a.csv", "--checkpoint", run / BEST),
        (tmp_path / "link.pt", "--teacher-checkpoint audio", weights),
    ):
        with pytest.raises(ValueError, match=f"--csv {path} would be written into {source} {given}; choose another"):
            check_outputs({"--csv": path}, None, [film], {source: given})
    check_outputs({"--csv": tmp_path / "run.csv"}, run / "parses", [film], {"--checkpoint": run})


def test_a_dash_is_no_name(film):
    with pytest.raises(ValueError, match="--json needs the name of a file, got -"):
        check_outputs({"--json": Path("-")}, None, [film])


def test_the_folder_of_results_is_a_folder(film, tmp_path):
    with pytest.raises(ValueError, match="`out` .*film.mp4 is no folder"):
        check_outputs({}, film, [film])
    with pytest.raises(ValueError, match="`out` .*film.mp4 is no folder"):
        check_outputs({}, film / "deeper", [film])


def test_a_folder_that_may_not_be_written(film, tmp_path, monkeypatch):
    monkeypatch.setattr("valor.video.paths.os.access", lambda path, how: False)  # root may write everywhere
    with pytest.raises(ValueError, match="--csv .* may not be written"):
        check_outputs({"--csv": tmp_path / "new" / "a.csv"}, None, [film])
