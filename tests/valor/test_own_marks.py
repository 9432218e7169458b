"""docs/own-classes.md, "Tags alone": from a table of tags over marks made in the viewer to a trained parser."""

import json
import re
import shlex
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.toy import write_toy_world
from tests.helpers.typed import typed
from valor.cli.new_dataset import next_commands
from valor.data.datasets.dataset import dataset_of
from valor.data.datasets.new_dataset import make_dataset
from valor.data.label_file import read_pseudo_labels
from valor.eval.scores import score
from valor.viewer.corrections import Corrections
from valor.viewer.sources import SourceOptions, read_document

pytestmark = pytest.mark.usefixtures("one_thread")

SECTION = (ROOT / "docs/own-classes.md").read_text(encoding="utf-8").partition("## Tags alone")[2]
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", SECTION, re.S) for line in block.splitlines()]
NAMES = ("Dog", "Wren", "Rain")
VAL = ("yard-9", "yard-10", "yard-11")
DEMO = ("--visual", "demo-visual", "--audio", "demo-audio", "--workers", "0")
TRAIN = ("train", "demo", "--data", "yard", "--labels", "yard/labels", "--device", "cpu", "--quiet")
SHORT = ("--set", "fit.epochs=2", "--set", "fit.warmup_epochs=1")


def mark(clips=VAL, *, split="val", folder="yard.val"):
    """Correct clips of the labels as the page of the viewer does; in the first nothing happens."""
    document = read_document(["yard/labels"], SourceOptions(data=Path("yard"), split=split, videos=Path("clips")))
    corrections = Corrections(Path(folder), document)
    for number, clip in enumerate(clips):
        events = [[NAMES[number % 3], "audio", 0, 4], [NAMES[number % 3], "visual", 2.6, 7]] if number else []
        corrections.save({"clip": clip, "revision": 0, "checked": True, "events": events})
    corrections.close()


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    """Twelve clips with tags, harvested and labelled as the page has it."""
    folder = tmp_path_factory.mktemp("marks")
    clips = tuple(f"yard-{number}" for number in range(12))
    write_toy_world(folder / "clips", clips)
    rows = [f"{clip}.mkv,{NAMES[n % 3]},{'val' if clip in VAL else 'train'}\n" for n, clip in enumerate(clips)]
    (folder / "clips.csv").write_text("path,tags,split\n" + "".join(rows), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in COMMANDS[:4]:
            _, *words = shlex.split(line)
            done = typed(*words, *(DEMO if words[0] == "harvest" else ()))
            assert done.code == 0, (line, done)
            if words[0] == "new-dataset":
                (folder / "said.txt").write_text(done.out)
    return folder


def test_every_command_of_the_walk_runs(yard, monkeypatch):
    monkeypatch.chdir(yard)
    assert len(COMMANDS) == 9 and COMMANDS[4].startswith("valor view yard/labels")
    told = [line.strip() for line in (yard / "said.txt").read_text().partition("next:\n")[2].splitlines()]
    assert [line.partition("  #")[0] for line in told[:6]] == COMMANDS[1:7]
    mark()
    for line in COMMANDS[5:]:
        _, *words = shlex.split(line)
        if words[0] == "train":
            words = ["demo" if word == "valor-clips" else word for word in words] + [*SHORT, "--device", "cpu"]
        if words[0] == "new-dataset":
            rows = (yard / "events.csv").read_text()
            (yard / "events.csv").write_text(f"{rows}{VAL[0]},0,1,Dog,audio,1.0000\n")  # no clip of val may be bare
        done = typed(*words)
        assert done.code == 0, (line, done)
    held = json.loads((yard / "runs/yard/recipe.json").read_text())["run"]["sources"]["truth"]
    marked = dataset_of(yard / "yard.val").read_split(yard / "yard.val", "val")
    assert held["val"]["sha256"] == marked.truth_sha256
    split = dataset_of(yard / "yard-2").read_split(yard / "yard-2", "val")
    row = split.clip_ids.index(VAL[1])
    assert np.flatnonzero(split.truth[row, :, 1, split.class_names.index(NAMES[1])]).tolist() == [3, 4, 5, 6]


def test_without_truth_the_refusal_names_the_commands(yard, monkeypatch):
    monkeypatch.chdir(yard)
    said = typed(*TRAIN, "--out", "runs/none").complaint()
    assert "val has tags alone and no truth to select the epoch by" in said
    assert "`valor view yard/labels --data yard --split val --videos DIR --corrections MARKED`" in said
    assert "give MARKED as --annotations" in said


def test_marks_that_no_epoch_may_be_chosen_on_are_refused(yard, monkeypatch):
    monkeypatch.chdir(yard)
    mark((VAL[0], VAL[1]), folder="two")
    done = typed(*TRAIN, *SHORT, "--annotations", "two", "--out", "runs/two")
    assert done.code == 0 and "two: 2 of 3 clips of val are marked, and the epoch is chosen on these" in done.err, done
    mark(("yard-0", "yard-1"), split="train", folder="other")
    said = typed(*TRAIN, "--annotations", "other", "--out", "runs/x").complaint()
    assert "other: expected truth of val, on which the epoch is chosen, got train" in said
    for file in ("val.tsv", "audible.tsv", "visible.tsv"):
        held = (yard / "two" / file).read_text()
        (yard / "two" / file).write_text(held.replace(VAL[1], "yard-3"))
    said = typed(*TRAIN, "--annotations", "two", "--out", "runs/x").complaint()
    assert "two: 1 of its 2 clips are not of val of the data (yard-3): an epoch would be chosen" in said
    assert "nowhere: no such folder" in typed(*TRAIN, "--annotations", "nowhere", "--out", "runs/x").complaint()
    assert not (yard / "runs/x").exists()


def test_what_export_writes_is_rows_of_a_data_set(tmp_path):
    (tmp_path / "clips.csv").write_text("path,tags,split\nin/a.mp4,Dog,train\nin/b.mp4,Dog,val\n")
    ways = {
        "own": "path,onset,offset,class,modality\nin/b.mp4,1,3,Dog,audio\n",
        "id": "filename,onset,offset,event_labels,modality,prob\nb,1,3,Dog,audio,1.0000\n",
        "file": "filename\tonset\toffset\tevent_labels\tmodality\nb.mp4\t1\t3\tDog\taudio\n",
    }
    held = []
    for name, text in ways.items():
        (tmp_path / f"{name}.csv").write_text(text)
        made = make_dataset(tmp_path / name, tmp_path / "clips.csv", rows=tmp_path / f"{name}.csv")
        held.append((made.dataset.annotated, (tmp_path / name / "audible.tsv").read_text()))
    assert held[0][0] == ("val",) and held == [held[0]] * 3
    assert next_commands(made, None)[3].startswith("valor train")
    (tmp_path / "id.csv").write_text(ways["id"].replace("b,1", "c,1"))
    with pytest.raises(ValueError, match=r"id.csv:2: c is no path of the table of clips"):
        make_dataset(tmp_path / "bad", tmp_path / "clips.csv", rows=tmp_path / "id.csv")
    with pytest.raises(ValueError, match=r"own: expected a table, got a folder; `valor export events .*--csv FILE`"):
        make_dataset(tmp_path / "bad", tmp_path / "clips.csv", rows=tmp_path / "own")


def test_a_test_split_of_tags_alone_is_named_before_and_val_is_scored(yard, monkeypatch):
    """As `new-dataset` draws it: the training ends well, now and when it is run again."""
    monkeypatch.chdir(yard)
    table = (yard / "clips.csv").read_text().replace("yard-0.mkv,Dog,train", "yard-0.mkv,Dog,test")
    (yard / "three.csv").write_text(table)
    assert typed("new-dataset", "three", "three.csv", "--videos", "clips").code == 0
    mark(folder="three.val")
    words = ("train", "demo", "--data", "three", "--labels", "yard/labels", "--store", "yard/store", *SHORT)
    for again in (False, True):
        done = typed(*words, "--annotations", "three.val", "--out", "runs/three", "--device", "cpu")
        assert done.code == 0 and "3 clips of validation" in done.out, done
        held, split = read_pseudo_labels("yard/labels"), dataset_of("three.val").read_split("three.val", "val")
        rows = [held.clip_ids.index(clip_id) for clip_id in split.clip_ids]
        figures = astuple(score(held.labels[rows], split.truth).segment)
        assert re.search(r"^labels learned from .*$", done.out, re.M)[0].split()[3:] == [
            f"{one:.1f}" for one in figures
        ]
        few = re.search(r"^note: 3 clips are few: segment Type@AV of other ones .* from \d+\.\d to .*$", done.out, re.M)
        assert "; the epoch was chosen on these very clips, and corrections begin from what was corrected" in few[0]
        scores = dict(re.findall(r"^(validation|tags copied)(?: +\d+\.\d){3} +(\d+\.\d)", done.out, re.M)[:2])
        said = "note: the tags copied to every second score more in segment Type@AV"
        assert (said in done.out) == (float(scores["validation"]) < float(scores["tags copied"])) and scores, done
        note = "the test split will not be scored: test has tags alone; to score it, mark its clips"
        assert done.err.count(note) == 1 and ("nothing to do" in done.err.partition(note)[2]) == again, done
    said = typed("evaluate", "runs/three", "--annotations", "three", "--split", "test", "--data", "yard").complaint()
    assert "test" in said and "use val or test" not in said
