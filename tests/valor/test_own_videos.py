"""docs/own-videos.md: every command of the page, as it stands there; without weights as the page says."""

import re
import shlex
import shutil

import pytest

from tests.conftest import ROOT
from tests.helpers.toy import write_toy_world
from tests.helpers.typed import typed
from valor.data.parse_file import OF_DRAWINGS
from valor.viewer.corrections import Corrections
from valor.viewer.sources import SourceOptions, read_document

pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = (ROOT / "docs/own-videos.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
WITHOUT_WEIGHTS = re.search(r"Without the weights.*?`(--visual .*?)`", PAGE, re.S)[1].split()
CLIPS = tuple(f"yard-{number}" for number in range(8))
SHORT = ("--set", "fit.epochs=2", "--set", "fit.warmup_epochs=1", "--device", "cpu")


def as_without_weights(words):
    """A command with what the page says to type where the weights are not to be had."""
    if words[0] == "harvest" or "--zero-shot" in words:
        words = [*words, *WITHOUT_WEIGHTS]
    if words[0] == "train":
        words = ["demo" if word == "valor-clips" else word for word in words]
    return words


def correct(sources, folder, options, clips):
    """Correct clips as the page of the viewer does."""
    document = read_document(sources, options)
    corrections = Corrections(folder, document)
    for clip in clips:
        events = [[document.class_names[0], how, 0, 4] for how in ("audio", "visual")]
        corrections.save({"clip": clip, "revision": 0, "checked": True, "events": events})
    corrections.close()


def test_every_command_of_the_page_runs(tmp_path, monkeypatch):
    """Those of a parser of one's own come first: the run of the demo that the page begins with is one of them here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("valor.viewer.server.ViewerServer.serve_forever", lambda *_, **__: None)
    monkeypatch.setattr("webbrowser.open", lambda *_: True)
    write_toy_world(tmp_path / "clips", CLIPS)
    write_toy_world(tmp_path / "films", ["film", "street"])
    rows = [f"{clip}.mkv,{('Dog', 'Rain')[n % 2]},{'train' if n < 6 else 'val'}\n" for n, clip in enumerate(CLIPS)]
    (tmp_path / "clips.csv").write_text("path,tags,split\n" + "".join(rows), encoding="utf-8")
    (tmp_path / "truth.csv").write_text("path,onset,offset,class,modality\nfilms/film.mkv,0,1.5,Dog,both\n")
    first = next(row for row, line in enumerate(COMMANDS) if line.startswith("valor new-dataset"))
    last = next(row for row, line in enumerate(COMMANDS) if line.startswith("valor train"))
    assert len(COMMANDS) == 20 and COMMANDS[0].startswith("valor doctor --weights")  # which fetches gigabytes
    for line in (*COMMANDS[first : last + 1], *COMMANDS[1:first], *COMMANDS[last + 1 :]):
        _, *words = shlex.split(line)
        if words[:2] == ["view", "yard/labels"]:
            options = SourceOptions(data=tmp_path / "yard", split="val")
            correct(["yard/labels"], tmp_path / "yard.val", options, CLIPS[6:])
        words = as_without_weights(words)
        done = typed(*words, *(SHORT if words[0] == "train" else ()))
        assert done.code == 0, (line, done)
        if words[0] in ("harvest", "search", "train", "parse"):
            assert OF_DRAWINGS in done.out, line
        if words[0] == "train":
            shutil.copytree(tmp_path / "runs/yard", tmp_path / "demo/runs/valor/seed-0")
        if words == ["view", "parses"]:
            correct(["parses"], tmp_path / "parses.corrections", SourceOptions(), ["film"])
    assert "1 of 1 test clips" in typed("evaluate", "parses", "--annotations", "parses.corrections").out
    assert (tmp_path / "found.html").is_file() and (tmp_path / "parses-2/film.json").is_file()
