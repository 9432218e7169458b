"""docs/own-classes.md as it stands: its files, and its commands one after the other."""

import json
import re
import shlex

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.toy import write_toy_world
from tests.helpers.typed import typed
from valor.data.label_file import read_pseudo_labels
from valor.data.tables import read_weak_table
from valor.data.vocabulary import class_names, read_vocabulary

PAGE = (ROOT / "docs/own-classes.md").read_text(encoding="utf-8").partition("## Tags alone")[0]
FILES = dict(re.findall(r"`(data/[\w.]+)`[^`\n]*(?:`[^`]*`[^`\n]*)*:\n\n```\w*\n(.*?)```", PAGE, re.S))
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
DEMO = ("--visual", "demo-visual", "--audio", "demo-audio")
HORN = "Car horn, honking"
TABLES = ("train.tsv", "val.tsv")
CLIPS = tuple(f"street-{number:02}" for number in range(1, 21))


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """The folder of the page: its tables, with rows like those shown in the place of the dots, and twenty toy clips."""
    folder = tmp_path_factory.mktemp("street")
    (folder / "data").mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text.removesuffix("...\n"), encoding="utf-8")
    names = class_names(read_vocabulary(str(folder / "data/classes.json")))
    for table, clips in (("train", CLIPS[3:16]), ("val", CLIPS[17:])):
        with (folder / f"data/{table}.tsv").open("a") as file:
            file.writelines(f"{clip}\t{names[n % 5]},{names[(n + 1) % 5]}\n" for n, clip in enumerate(clips))
    with (folder / "data/audible.tsv").open("a") as file:
        file.writelines(f"{clip}\t2\t5\t{names[n % 5]}\n" for n, clip in enumerate(CLIPS[17:]))
    (folder / "data/visible.tsv").write_text((folder / "data/audible.tsv").read_text())
    write_toy_world(folder / "clips", CLIPS)
    return folder


def stand_in(line: str) -> list[str]:
    """A line of the page with the demo's teachers and parser in place of those that need weights, and two epochs."""
    _, *words = shlex.split(line)
    if words[0] == "harvest":
        words += [*DEMO, "--workers", "0"]
    if words[0] == "train":
        words = ["demo" if word == "valor-clips" else word for word in words]
        words += ["--set", "fit.epochs=2", "--set", "fit.warmup_epochs=1", "--device", "cpu"]
    if words[0] == "parse":
        words += [*(DEMO if "--zero-shot" in words else ()), "--decode-timeout", "0"]
    return words


def test_every_command_of_the_page_runs(street, monkeypatch):
    monkeypatch.chdir(street)
    assert set(FILES) == {
        f"data/{name}" for name in ("classes.json", "train.tsv", "val.tsv", "audible.tsv", "dataset.json")
    }
    assert len(COMMANDS) == 11 and all(line.startswith("valor ") for line in COMMANDS)
    said = {}
    for line in COMMANDS:
        done = typed(*stand_in(line), "--quiet")
        assert done.code == 0, (line, done)
        said[line] = done.out
    names = class_names(read_vocabulary("data/classes.json"))
    assert names[1] == HORN and len(names) == 5
    _, tags = read_weak_table("data/train.tsv", names)
    assert tags[0].tolist() == [True, True, False, False, False]
    labels = read_pseudo_labels(street / "labels")
    assert labels.class_names == names and len(labels.clip_ids) == 20 and labels.labels[:, :, :, 1].any()
    tagged = dict(zip(read_weak_table("data/train.tsv", names)[0], tags, strict=True))
    for clip, marks in zip(labels.clip_ids, labels.labels, strict=True):
        assert clip not in tagged or not marks.any(axis=(0, 1))[~tagged[clip]].any()
    held = json.loads((street / "data/thresholds.json").read_text())
    assert list(held["classes"]) == list(names) and np.isfinite(held["audio"] + held["visual"]).all()
    recipe = json.loads((street / "runs/street/recipe.json").read_text())
    assert recipe["parser"]["num_classes"] == 5
    assert HORN in next(out for line, out in said.items() if "--per-class" in line)
    for folder, wanted in (("parses", names), ("zero-shot", ("Siren", HORN))):
        (path,) = (street / folder).glob("*.json")
        assert tuple(json.loads(path.read_text())["classes"]) == wanted
    _refusals()


def _refusals():
    """What the store of the page refuses, in the same folder."""
    said = typed("labels", "data/store", "--out", "others").complaint()
    assert "there are no label thresholds" in said and "`valor calibrate STORE --criterion tag-rate --out FILE`" in said
    given = ("data/store", "--thresholds", "data/thresholds.json", "--out", "others", "--classes")
    for command in (("labels", *given), ("calibrate", "data/store", "--criterion", "tag-rate", *given[3:])):
        said = typed(*command, 'Siren,"Car horn",Dog,Glass breaking,Footsteps').complaint()
        assert 'the classes are not those of the store (Siren, "Car horn, honking", Dog, ' in said
        assert '"Car horn" not among them; "Car horn, honking" missing' in said
    train = ("train", "demo", "--data", "data", "--labels", "labels", "--out", "runs/other", "--quiet")
    assert (
        "is no class of the store"
        in typed(*train, "--classes", 'Siren,"Car horn, honking",Dog,Glass breaking,Footsteps,Wren').complaint()
    )
    assert "--annotations DIR and --split say" in typed("calibrate", "data/store", "--out", "t.json").complaint()
