import os
import sys

import pytest

from valor.parsing_inputs import find_inputs


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
    monkeypatch.setattr("valor.parsing_inputs.os.access", lambda path, how: False)  # root may read everything
    (found,) = find_inputs([f"{folder}/b.mp4"])
    assert found.problem == "may not be read; ask for the permission"
    monkeypatch.setattr("pathlib.Path.stat", _forbidden)
    (found,) = find_inputs([f"{folder}/b.mp4"])
    assert found.problem == "Permission denied"


def _forbidden(path, **_):
    raise PermissionError(13, "Permission denied", str(path))
