"""`valor train` and what follows it as a user meets them: seeds, scores, pictures, and data that is refused."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.helpers.toy_run import NAMES, SMALL, SPLITS
from tests.helpers.typed import typed
from valor.data.predictions import decisions, read_predictions, score_predictions
from valor.data.provenance import Provenance
from valor.data.tables import read_split
from valor.eval.scores import FIGURES, LEVELS, TenScores, score, tags_copied
from valor.training.checkpoint import read_checkpoint

CLIP = SPLITS["train"][2]
RESNET = Path("feats/res152") / f"{CLIP[:11]}.npy"
LABELS = Path("CLIP/segment_pseudo_labels") / f"{CLIP[:11]}.npy"
BRIEF = [f"--set={change}" for change in SMALL]


@pytest.fixture(scope="module")
def trained(published, tmp_path_factory):  # noqa: F811, the fixture
    out = tmp_path_factory.mktemp("trained") / "valor"
    done = typed("train", "valor", "--data", published, "--out", out, "--seeds", 2, "--quiet", *BRIEF)
    assert (done.code, done.err) == (0, ""), done
    return out, done.out


def spoiled(content: object) -> bytes:
    """A file of these bytes, or of this array."""
    if isinstance(content, bytes):
        return content
    from io import BytesIO

    file = BytesIO()
    np.save(file, content)
    return file.getvalue()


WHOLE = spoiled(np.zeros((80, 2048), np.float32))
REFUSED = {
    "zero bytes": (RESNET, b"", "expected a plain .npy of res152 features.*fetch or make this file again"),
    "cut off": (RESNET, WHOLE[:-100], "could not be read.*fetch or make this file again"),
    "cut off in its header": (RESNET, WHOLE[:20], "could not be read.*fetch or make this file again"),
    "objects": (RESNET, np.full((80, 2048), None), "could not be read .*Python objects.*fetch or make this file again"),
    "an archive": (RESNET, b"PK\x03\x04 cut off", "could not be read"),
    "another width": (RESNET, np.zeros((80, 512), np.float32), r"of shape \(80, 2048\), got float32 \(80, 512\)"),
    "another length": (RESNET, np.zeros((10, 2048), np.float32), r"\(80, 2048\).*is this another feature kind"),
    "NaN": (RESNET, np.full((80, 2048), np.nan, np.float32), "with NaN or Inf; extract this clip again, or delete"),
    "Inf": (RESNET, np.full((80, 2048), np.inf, np.float32), "with NaN or Inf; extract this clip again, or delete"),
    "whole numbers": (RESNET, np.zeros((80, 2048), np.int64), "finite floats, got int64; extract this clip again"),
    "labels of 17 classes": (LABELS, np.zeros((10, 17), np.int64), r"of shape \(10, 25\), got int64 \(10, 17\)"),
    "labels that are none": (LABELS, np.full((10, 25), 7), "must be 0 or 1, got 7..7; fetch or make this file again"),
    "labels of objects": (LABELS, np.full((10, 25), None), "could not be read.*fetch or make this file again"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_damaged_data_is_refused_by_file_and_nothing_is_written(published, tmp_path, name):  # noqa: F811
    path, content, message = REFUSED[name]
    data = shutil.copytree(published, tmp_path / "data")
    (data / path).write_bytes(spoiled(content))
    out = tmp_path / "run"
    complaint = typed("train", "valor", "--data", data, "--out", out, *BRIEF).complaint()
    assert re.match(rf"valor train: {re.escape(str(data / path))}: .*{message}", complaint), complaint
    assert CLIP[:11] in complaint and not out.exists()


@pytest.mark.parametrize(("path", "message"), [
    (RESNET, rf"feats/res152 has no res152 features for 1 clip \({CLIP}\) of 7; add them, or leave these clips out"),
    (LABELS, rf"CLAP,CLIP}} has no pseudo labels for 1 clip \({CLIP}\) of 7; add them, or .* features.missing=drop"),
])  # fmt: skip
def test_missing_clips_are_named_or_left_out(published, tmp_path, path, message):  # noqa: F811
    data = shutil.copytree(published, tmp_path / "data")
    (data / path).unlink()
    given = ("train", "valor", "--data", data, "--out", tmp_path / "run", *BRIEF, "--no-test")
    assert re.search(message, typed(*given).complaint()) and not (tmp_path / "run").exists()
    done = typed(*given, "--set", "features.missing=drop")
    assert done.code == 0 and f"1 clip ({CLIP}) of 7: leaving these clips out" in done.err


def test_a_packed_file_that_was_changed_is_refused(published, tmp_path):  # noqa: F811
    data = shutil.copytree(published, tmp_path / "data")
    assert typed("import", "features", data, "--splits", "train,val,test", "--quiet").code == 0
    damaged = data / "packed" / "res152.train.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-2] + b"\x00\x7c")  # the last number becomes Inf
    complaint = typed("train", "valor", "--data", data, "--out", tmp_path / "run", "--quiet", *BRIEF).complaint()
    assert f"{damaged}: its sha256 is not" in complaint and "run `valor import features` again" in complaint
    assert not (tmp_path / "run").exists()


def test_a_recipe_with_an_unknown_field_is_refused(published, trained, tmp_path):  # noqa: F811
    recipe = json.loads((trained[0] / "seed-1000" / "recipe.json").read_text())
    recipe["fit"]["momentum"] = 0.9
    (tmp_path / "mine.json").write_text(json.dumps(recipe))
    complaint = typed("train", tmp_path / "mine.json", "--data", published, "--out", tmp_path / "run").complaint()
    assert "mine.json: unknown option 'fit.momentum'; known here: fit.epochs" in complaint
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_other_features_or_classes_is_refused(published, trained, tmp_path):  # noqa: F811
    run = trained[0] / "seed-1000"
    bare = tmp_path / "bare"
    shutil.copytree(published, bare, ignore=shutil.ignore_patterns("res152"))
    on = ("--annotations", bare, "--split", "test")
    assert "feats/res152: no such folder" in typed("evaluate", run, *on).complaint()
    prompts = {"visual_prompt": "a", "audio_prompt": "b", "visual_threshold": 0.0, "audio_threshold": 0.0}
    classes = [{"name": name, **prompts} for name in NAMES[::-1]]
    (tmp_path / "other.json").write_text(json.dumps(classes))
    on = ("--annotations", published, "--split", "test", "--classes", tmp_path / "other.json")
    complaint = typed("evaluate", run, *on).complaint()
    assert "trained for other classes than the split 'test' has" in complaint and "vocabulary" in complaint


def test_seeds_end_with_rows_of_mean_and_deviation(trained):
    _, said = trained
    assert re.match(r"(seed 100[01]: selected epoch \d with validation segment Type@AV .*; wrote .*\n){2}\n", said)
    for split in ("validation", "test"):
        row = rf"^{split} \(2 seeds\)( +\d+\.\d ± \d+\.\d){{5}}$"
        assert len(re.findall(row, said, re.MULTILINE)) == 2  # segments and events
    assert said.endswith("\nscored on own tables\n")


def test_what_the_tags_alone_score_stands_beside_with_the_number_of_clips(trained, published):  # noqa: F811
    for name, title in (("val", "validation"), ("test", "test")):
        split = read_split(published, name, NAMES)
        copied = score(tags_copied(split.weak_labels, split.truth.shape[1]), split.truth)
        levels = (copied.segment, copied.event)
        cells = [" +".join(f"{getattr(level, figure):.1f}" for figure in FIGURES) for level in levels]
        table = trained[1].partition(f"\n{len(split.clip_ids)} clips of {title}\n")[0]
        assert len(table) < len(trained[1]) and all(re.search(rf"(?m)^tags copied +{row}$", table) for row in cells)


def test_the_rows_are_those_of_the_table(trained):
    out, said = trained
    table = typed("table", out).out
    cells = [re.findall(r"\d+\.\d ± \d+\.\d", line) for line in said.splitlines() if line.startswith("test")]
    assert cells == [re.findall(r"\d+\.\d ± \d+\.\d", line) for line in table.splitlines() if "(2 seeds)" in line]


def test_no_test_leaves_the_test_split_alone(published, tmp_path):  # noqa: F811
    done = typed("train", "valor", "--data", published, "--out", tmp_path / "run", "--no-test", "--quiet", *BRIEF)
    assert done.code == 0 and "\ntest" not in done.out and "validation" in done.out
    assert not (tmp_path / "run/scores.json").exists() and (tmp_path / "run/training.png").is_file()


def test_a_run_folder_is_evaluated_as_its_predictions_are(published, trained):  # noqa: F811
    run = trained[0] / "seed-1000"
    done = typed("evaluate", f"A={run}", "--annotations", published, "--split", "test", "--format", "json")
    assert done.code == 0 and re.fullmatch(
        r"note: 2 clips are few: .*; beneath it: nothing predicted .*\n", done.err
    ), done
    kept = json.loads((run / "scores.json").read_text())
    found = json.loads(done.out)
    assert (found["segment"], found["event"]) == (kept["segment"], kept["event"])
    given = ("--annotations", published, "--data", published, "--format", "json")
    on_val = typed("evaluate", run, "--split", "val", *given)
    _, card = read_checkpoint(run)
    assert json.loads(on_val.out)["segment"]["type_av"] == pytest.approx(card.val_type_av)
    split = read_split(published, "test", NAMES)
    predictions = read_predictions(run / "predictions.npz")
    assert decisions(predictions)[0].shape == split.truth.shape
    assert score_predictions(predictions, split)[1]["event"] == kept["event"]


@pytest.mark.usefixtures("painted")
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_trainings_are_plotted_from_their_folders(trained, tmp_path, suffix):
    out = tmp_path / f"figure{suffix}"
    done = typed("plot", "training", f"A={trained[0]}", f"B={trained[0]}/seed-1000", "--out", out, "--width", "paper")
    assert (done.code, done.out, done.err) == (0, f"wrote {out}\n", "") and out.stat().st_size > 5_000
    assert "no such training log" in typed("plot", "training", tmp_path, "--out", out).complaint()


def test_every_row_of_a_simulated_training_says_so(published, tmp_path, monkeypatch):  # noqa: F811
    ten = TenScores.from_dict({level: dict.fromkeys(FIGURES, 50.0) for level in LEVELS} | {"clips": 4})
    fit = SimpleNamespace(best_epoch=1, val_score=50.0)
    held = {
        "seed": 1,
        "folder": tmp_path,
        "fit": fit,
        "beside": {},
        "anchors": {},
        "few": {},
        "val": ten,
        "test": ten,
        "decisions": {"tuned.json": ten},
    }
    done = [SimpleNamespace(**held, provenance=Provenance(simulated=True))]
    monkeypatch.setattr("valor.training.seeds.train_seeds", lambda *_: done)
    said = typed("train", "valor", "--data", published, "--out", tmp_path, "--quiet").out
    rows = [line for line in said.splitlines() if " 50.0 " in line]
    assert len(rows) == 6 and all(line.startswith("SIMULATED ") for line in rows)
    assert said.endswith("scored on SIMULATED\n")
