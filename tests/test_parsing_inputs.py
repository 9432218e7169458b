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


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names there are text")
def test_a_name_that_is_no_text_says_so(tmp_path):
    path = tmp_path / os.fsdecode(b"bad\xff.mp4")
    path.write_bytes(b"x")
    (found,) = find_inputs([str(path)])
    assert "no UTF-8 text" in found.problem and str(found.path).encode().endswith("bad\ufffd.mp4".encode())
