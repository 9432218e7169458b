"""No command writes over a file that it reads, whatever option names it."""

import shutil

import pytest

from tests.helpers.fuzz_worlds import write_viewed
from tests.helpers.typed import typed


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    write_viewed(folder)
    return folder


@pytest.mark.parametrize(("line", "said"), [
    ("evaluate clip.npz --annotations data --split test --json clip.npz", "--json clip.npz would overwrite the PRED"),
    ("evaluate a=clip.npz --annotations data --split test --json clip.npz", "would overwrite the PREDICTIONS"),
    ("evaluate clip.npz --annotations data --split test --json link.npz", "--json link.npz would overwrite the PRED"),
    ("evaluate clip.npz --annotations data --split test --log-file clip.npz", "--log-file clip.npz would overwrite"),
    ("evaluate clip.npz --compare marks.npz --annotations data --split test --json marks.npz", "what --compare names,"),
    ("evaluate clip.npz --annotations data --split test --thresholds thresholds.json --json thresholds.json",
        "would overwrite what --thresholds names, of that name; choose another"),
    ("evaluate clip.npz --annotations data --split test --out data/AVVP_test_pd.csv",
        "would overwrite a file of what --annotations names, data; choose another"),
    ("evaluate parses --annotations data --split test --json parses/b.json", "a file of the PREDICTIONS parses"),
    ("calibrate clip.npz --annotations data --split test --out data/AVVP_eval_audio.csv", "file of what --annotations"),
    ("table s.json --out s.json", "--out s.json would overwrite the RUN"),
    ("table s.json --out -", "--out needs the name of a file, got -"),
    ("evaluate clip.npz --annotations data --split test --json s.svg", "--json must end in .json, got s.svg; give"),
    ("export events parses --webvtt clip.srt", "must end in .vtt, got clip.srt; give such a name, or take --srt"),
    ("evaluate clip.npz --annotations data --split test --json -", "--json needs the name of a file, got -"),
])  # fmt: skip
def test_what_is_read_is_not_written_over(whole, tmp_path, monkeypatch, line, said):
    shutil.copytree(whole, tmp_path / "in")
    (tmp_path / "in" / "link.npz").symlink_to("clip.npz")
    monkeypatch.chdir(tmp_path / "in")
    before = {path: path.read_bytes() for path in (tmp_path / "in").rglob("*") if path.is_file()}
    assert said in typed(*line.split()).complaint()
    assert {path: path.read_bytes() for path in (tmp_path / "in").rglob("*") if path.is_file()} == before


def test_scores_of_before_are_written_anew(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "in")
    monkeypatch.chdir(tmp_path / "in")
    line = "evaluate clip.npz --annotations data --split test --json data/s.json --out data/t.csv"
    assert typed(*line.split()).code == 0 and typed(*line.split()).code == 0
