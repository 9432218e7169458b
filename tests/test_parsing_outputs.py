import os
from pathlib import Path

import pytest

from valor.parsing_outputs import check_outputs
from valor.run_folder import BEST


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
    with pytest.raises(ValueError, match="--out .*film.mp4 is no folder"):
        check_outputs({}, film, [film])
    with pytest.raises(ValueError, match="--out .*film.mp4 is no folder"):
        check_outputs({}, film / "deeper", [film])


def test_a_folder_that_may_not_be_written(film, tmp_path, monkeypatch):
    monkeypatch.setattr("valor.parsing_outputs.os.access", lambda path, how: False)  # root may write everywhere
    with pytest.raises(ValueError, match="--csv .* may not be written"):
        check_outputs({"--csv": tmp_path / "new" / "a.csv"}, None, [film])
