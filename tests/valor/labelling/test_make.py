"""`valor labels` as a function: what is read, what is refused before anything is written, and what a kill leaves.

Whose files lie in a folder of labels: own ones are replaced or removed, others stop the run.
"""

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import ROOT
from valor.data.label_file import FILE_NAME, read_pseudo_labels, write_pseudo_labels
from valor.data.provenance import of_labels
from valor.data.tables import read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.world.render import write_tables
from valor.demo.world.schedule import sample_world
from valor.label_harvest.store import store as evidence
from valor.label_harvest.store.shards import ShardRow, write_shard
from valor.label_harvest.store.store import describe, open_store
from valor.labelling import make as label_stage
from valor.labelling.make import LabelOptions, make_labels, open_label_folder

CLIPS = ("aaaaaaaaaaa_0_10", "bbbbbbbbbbb_0_10")
FOLDER = "CLIP/features"


def write_earlier(path, store="s", files=("near.csv",), exported=(FOLDER,), clips=CLIPS):
    """What a run left: two exported files, a table, the labels and their provenance."""
    write_pseudo_labels(path / FILE_NAME, clips, ("Dog",), np.zeros((len(clips), 1, 2, 1), bool))
    (path / "labels.json").write_text(json.dumps({"store": store, "files": files, "exported": exported}))
    (path / "near.csv").write_text("near")
    (path / FOLDER).mkdir(parents=True)
    for clip in clips:
        (path / FOLDER / f"{clip[:11]}.npy").write_bytes(b"own")


def ask(path, store="s", files=("near.csv",), exported=(FOLDER,), **more):
    return open_label_folder(path, store, CLIPS, files, exported, **more)


@pytest.mark.parametrize("made", [False, True])
def test_an_empty_folder_is_anybodys(tmp_path, made):
    if made:
        (tmp_path / "out").mkdir()
    assert ask(tmp_path / "out").own == frozenset()


def test_what_the_same_store_left_may_be_replaced(tmp_path):
    write_earlier(tmp_path)
    place = ask(tmp_path)
    assert {path.name for path in place.own} == {
        "aaaaaaaaaaa.npy",
        "bbbbbbbbbbb.npy",
        "near.csv",
        FILE_NAME,
        "labels.json",
    }
    assert place.remove_stale(CLIPS, ("near.csv",), (FOLDER,)) == 0 and (tmp_path / "near.csv").exists()


def test_what_is_not_written_again_goes(tmp_path):
    write_earlier(tmp_path)
    place = ask(tmp_path, files=(), exported=())
    assert place.record() == {"files": ["near.csv"], "exported": [FOLDER]}  # until they are gone
    (tmp_path / "notes.txt").write_text("mine")
    assert place.remove_stale(CLIPS, (FILE_NAME,), ()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.json", "notes.txt", FILE_NAME]


def test_clips_that_lost_their_labels_lose_their_files(tmp_path):
    write_earlier(tmp_path)
    ask(tmp_path).remove_stale(CLIPS[:1], ("near.csv",), (FOLDER,))
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["aaaaaaaaaaa.npy"]


def test_published_files_of_somebody_else_stop_the_run(tmp_path):
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "ccccccccccc.npy").write_bytes(b"published")
    with pytest.raises(ValueError, match=r"no labels of this store left there: CLIP/features/ccccccccccc.npy; give "):
        ask(tmp_path)
    assert ask(tmp_path, exported=()).own == frozenset()  # nothing goes there
    write_earlier(tmp_path / "b")
    (tmp_path / "b" / FOLDER / "ccccccccccc.npy").write_bytes(b"published")
    with pytest.raises(ValueError, match="ccccccccccc.npy; give another `out`, or overwrite=True"):
        ask(tmp_path / "b")
    place = ask(tmp_path / "b", overwrite=True)
    place.remove_stale((), (), ())
    assert [path.name for path in (tmp_path / "b" / FOLDER).iterdir()] == ["ccccccccccc.npy"]


@pytest.mark.parametrize("name", [FILE_NAME, "labels.json", "near.csv"])
def test_a_file_of_unknown_origin_stops_the_run(tmp_path, name):
    (tmp_path / name).write_text("[]")
    with pytest.raises(ValueError, match=f"holds files that no labels of this store left there: {name}; give"):
        ask(tmp_path)


def test_labels_of_another_store_stop_the_run(tmp_path):
    write_earlier(tmp_path, store="another", clips=("zzzzzzzzzzz_0_10",))
    with pytest.raises(ValueError, match=r"holds labels of another store: .* and 3 more; give another `out`"):
        ask(tmp_path)
    place = ask(tmp_path, overwrite=True)
    place.remove_stale(CLIPS, ("near.csv",), (FOLDER,))
    assert not (tmp_path / FOLDER / "zzzzzzzzzzz.npy").exists()


def test_a_record_reaches_no_file_outside_the_folder(tmp_path):
    (tmp_path / "victim.csv").write_text("mine")
    write_earlier(tmp_path / "out", files=["../victim.csv", str(tmp_path / "victim.csv"), 3], exported=["..", "/"])
    place = ask(tmp_path / "out", files=(), exported=())
    place.remove_stale((), (), ())
    assert (tmp_path / "victim.csv").exists() and (tmp_path / "out" / "near.csv").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ValueError, match="out: labels go into a folder, got a file of that name; give another `out`"):
        ask(tmp_path / "out")


NAMES = class_names(LLP_CLASSES)
JUDGE = {"teacher": "toy", "weights": "w", "precision": "float32", "logit_scale": 10.0, "logit_bias": 0.0}


def write_store(data, root, splits, *, precision="float32", roles=("audio", "visual"), noise=0.1):
    """Evidence that nearly says what is annotated, with a feature nobody needs for labels."""
    teachers = {role: JUDGE | {"precision": precision, "prompts": list(NAMES)} for role in roles}
    folder = open_store(root, describe(NAMES, {"num_segments": 10, "segment_seconds": 1.0}, teachers))
    for index, name in enumerate(splits):
        split, rng = read_split(data, name, NAMES), np.random.default_rng(index)
        clean = (0.6 * split.truth + 0.2 + rng.normal(0, noise, split.truth.shape)).astype(np.float32)
        arrays = {f"{role}.similarity": clean[:, :, ("audio", "visual").index(role)] for role in roles}
        arrays["visual.embedding"] = np.ones((len(clean), 10, 768), np.float16)
        tags = [tuple(NAMES[index] for index in np.flatnonzero(row)) for row in split.weak_labels]
        write_shard(
            folder,
            index,
            arrays,
            [ShardRow(clip, "ok", "", own) for clip, own in zip(split.clip_ids, tags, strict=True)],
        )
    return root


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Annotations of a small world; stores of val, of val and test, and of one modality."""
    data = tmp_path_factory.mktemp("world")
    write_tables(data, sample_world({"train": 4, "val": 12, "test": 8}, seed=1))
    write_store(data, data / "val", ("val",))
    write_store(data, data / "both", ("val", "test"))
    write_store(data, data / "coarse", ("val",), precision="bfloat16", noise=0.25)
    write_store(data, data / "heard", ("val",), roles=("audio",))
    half = {role: [5.0] * len(NAMES) for role in ("audio", "visual")}
    (data / "half.json").write_text(json.dumps(half | {"note": "made by hand", "split": "test"}))
    return data


def labelled(world, store, out, **options):
    return make_labels(world / store, out, LabelOptions(thresholds=world / "half.json", **options), progress=False)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_only_similarities_are_read_for_labels(world, tmp_path, monkeypatch):
    asked = []
    read = evidence.read_store
    monkeypatch.setattr(
        label_stage, "read_store", lambda path, *, names: asked.append(names) or read(path, names=names)
    )
    labelled(world, "val", tmp_path)
    assert asked == [["audio.similarity", "visual.similarity"]]


def test_labels_of_published_teachers_need_no_torch(world, tmp_path):
    run = f"""
import sys
from pathlib import Path
from valor.labelling.make import LabelOptions, make_labels
options = LabelOptions(thresholds=Path({str(world / "half.json")!r}), disagreements=True, against=Path({str(world)!r}))
make_labels(Path({str(world / "val")!r}), Path({str(tmp_path)!r}), options, progress=False)
from valor.labelling.labels import thresholds_for
from valor.data.vocabulary import LLP_CLASSES
thresholds_for({{"teachers": {{"visual": {{"teacher": "clip", "logit_scale": 100.0}}}}}}, LLP_CLASSES)
assert not {{"torch", "matplotlib"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", run], check=True, cwd=ROOT)


def test_labels_remember_where_their_thresholds_came_from(world, tmp_path):
    report = labelled(world, "val", tmp_path)
    told = json.loads((tmp_path / "labels.json").read_text())["thresholds_from"]
    assert (told["file"], told["split"], told["note"]) == ("half.json", "test", "made by hand") and report.note == told[
        "note"
    ]
    assert len(told["sha256"]) == 64


def test_a_share_that_has_not_run_is_said_aloud(world, tmp_path, caplog):
    labelled(world, "both", tmp_path / "whole")
    assert "not there" not in caplog.text
    shutil.copytree(world / "both", tmp_path / "both")
    (first,) = tmp_path.glob("both/*/00000.json")
    first.unlink()
    make_labels(tmp_path / "both", tmp_path / "out", LabelOptions(thresholds=world / "half.json"), progress=False)
    assert "both: 1 shards before the last are not there, such as number 0: a share" in caplog.text


@pytest.mark.parametrize("store", ["val", "coarse"])
def test_thresholds_found_in_a_store_of_other_teachers_are_said_aloud(world, tmp_path, caplog, store):
    (own,) = world.glob("val/*/manifest.json")
    sources = {"sources": {"store": json.loads(own.read_text())["fingerprint"]}}
    path = tmp_path / "found.json"
    path.write_text(json.dumps(json.loads((world / "half.json").read_text()) | sources))
    make_labels(world / store, tmp_path / "labels", LabelOptions(thresholds=path), progress=False)
    assert ("found.json: calibrated on evidence of another fingerprint" in caplog.text) is (store == "coarse")
    told = json.loads((tmp_path / "labels" / "labels.json").read_text())["thresholds_from"]
    assert told["calibrated_on"] == sources["sources"]["store"]


def test_default_thresholds_of_weights_nobody_vouches_for_are_said_aloud(world, tmp_path, caplog):
    card = JUDGE | {"teacher": "clip", "prompts": list(NAMES)}
    store = open_store(tmp_path, describe(NAMES, {"num_segments": 10, "segment_seconds": 1.0}, {"visual": card}))
    write_shard(store, 0, {"visual.similarity": np.zeros((1, 10, 25), np.float32)}, [ShardRow("a", "ok", "", ())])
    for checked, said in (("known", False), ("unverified", True)):
        (store / "weights.json").write_text(json.dumps({"visual": {"checked": checked}}))
        make_labels(store, tmp_path / checked, LabelOptions(), progress=False)
        assert ("the visual weights are not known to be these" in caplog.text) is said
        told = json.loads((tmp_path / checked / "labels.json").read_text())["thresholds_from"]
        assert told == {"default_for": ["clip"]} | ({"unverified": ["visual"]} if said else {})


def test_classes_without_thresholds_take_the_strictest_published_ones_and_are_named(tmp_path, caplog):
    names = ("Dog", "Horn, car")
    card = JUDGE | {"teacher": "clip", "prompts": list(names), "logit_scale": 100.0, "logit_bias": 0.0}
    store = open_store(tmp_path, describe(names, {"num_segments": 10, "segment_seconds": 1.0}, {"visual": card}))
    similarity = np.tile(np.array([0.15, 0.15], np.float32), (1, 10, 1))  # above the 14 of Dog, below 20
    write_shard(store, 0, {"visual.similarity": similarity}, [ShardRow("a", "ok", "", names)])
    report = make_labels(store, tmp_path / "labels", LabelOptions(), progress=False)
    assert report.labels.labels[0, :, 1].all(axis=0).tolist() == [True, False]
    assert '"Horn, car" have no thresholds of their own and take the strictest published ones, 20 of' in caplog.text
    told = json.loads((tmp_path / "labels" / "labels.json").read_text())
    assert told["thresholds_from"]["without_thresholds"] == ["Horn, car"] and told["thresholds"]["visual"] == [14, 20]
    caplog.clear()
    (tmp_path / "own.json").write_text('["Dog", {"name": "Horn, car", "visual_threshold": 14}]')
    options = LabelOptions(classes=str(tmp_path / "own.json"))
    assert make_labels(store, tmp_path / "labels", options, progress=False).labels.labels[0, :, 1].all()
    assert "strictest" not in caplog.text
    with pytest.raises(
        ValueError, match=r'not those of the store \(Dog, "Horn, car"\): Cat not among them; Dog missing'
    ):
        make_labels(store, tmp_path / "labels", LabelOptions(classes='Cat,"Horn, car"'), progress=False)


@pytest.mark.parametrize(("options", "message"), [
    ({"margin": -1.0}, "a margin must be a positive number of logits, got -1"),
    ({"temperature": 0.0}, "temperature must be a positive number"),
    ({"against": "data", "split": "test"}, "no clip of the split 'test' has labels"),
    ({"against": "nowhere"}, "nowhere"),
    ({"compare": "nowhere"}, "expected an evidence store"),
    ({"compare": "heard"}, "no shard holds visual.similarity"),
    ({"disagreements": True, "store": "heard"}, "between an audio and a visual teacher"),
])  # fmt: skip
def test_what_cannot_be_done_is_refused_before_anything_is_written(world, tmp_path, options, message):
    labelled(world, "val", tmp_path)
    before = content(tmp_path)
    asked = dict(options)
    store = asked.pop("store", "val")
    for name in ("against", "compare"):
        if name in asked:
            asked[name] = world if asked[name] == "data" else world / asked[name]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        labelled(world, store, tmp_path if store == "val" else tmp_path / "new", **asked)
    assert content(tmp_path) == before


def test_the_split_is_the_one_the_store_holds(world, tmp_path):
    for store, options, name in (
        ("val", {}, "val"),
        ("both", {}, "test"),
        ("both", {"split": "val"}, "val"),
    ):
        report = labelled(world, store, tmp_path / name / store, against=world, **options)
        assert report.split.name == name and report.quality.scores.clips == len(report.split.clip_ids)


def test_the_split_of_no_clip_is_refused(world, tmp_path):
    write_tables(tmp_path / "other", sample_world({"train": 4, "val": 4, "test": 4}, seed=9))
    with pytest.raises(ValueError, match="no clip of test or val is in the store; harvest one of them first"):
        labelled(world, "val", tmp_path / "l", against=tmp_path / "other")


def test_published_files_of_somebody_else_are_not_replaced(world, tmp_path):
    victim = tmp_path / "CLIP/features" / f"{read_split(world, 'val', NAMES).clip_ids[0][:11]}.npy"
    victim.parent.mkdir(parents=True)
    victim.write_bytes(b"published")
    with pytest.raises(ValueError, match="holds files that no labels of this store left there: CLIP/features"):
        labelled(world, "val", tmp_path, export=True)
    assert content(tmp_path) == {str(victim.relative_to(tmp_path)): b"published"}
    labelled(world, "val", tmp_path, export=True, overwrite=True)
    assert victim.read_bytes() != b"published"


def test_a_later_run_leaves_nothing_stale_of_an_earlier_one(world, tmp_path):
    labelled(world, "both", tmp_path, export=True, margin=3.0, disagreements=True, against=world)
    first = content(tmp_path)
    assert {"near_thresholds.csv", "disagreements.csv", "label_quality.csv"} < set(first)
    told = json.loads((tmp_path / "labels.json").read_text())
    assert set(told["exported"]) == {"CLAP/segment_pseudo_labels", "CLIP/segment_pseudo_labels", "CLIP/features"}
    assert labelled(world, "both", tmp_path).removed == len(first) - 2
    assert set(content(tmp_path)) == {"labels.json", "pseudo_labels.npz"}
    with pytest.raises(ValueError, match="holds labels of another store"):
        labelled(world, "coarse", tmp_path)
    labelled(world, "coarse", tmp_path, overwrite=True)
    assert json.loads((tmp_path / "labels.json").read_text())["teachers"]["audio"]["precision"] == "bfloat16"


@pytest.mark.parametrize("at", ["write_labels", "_export", "_write_found"])
def test_a_run_that_is_killed_is_finished_by_the_next_and_not_trained_on(world, tmp_path, monkeypatch, at):
    options = {"export": True, "margin": 3.0}
    labelled(world, "both", tmp_path / "whole", **options)
    labelled(world, "both", tmp_path / "out", disagreements=True)

    def killed(*_given, **_named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(label_stage, at, killed)
        labelled(world, "both", tmp_path / "out", **options)
    with pytest.raises(ValueError, match="was interrupted while it wrote these labels; run it again"):
        of_labels(tmp_path / "out")
    labelled(world, "both", tmp_path / "out", **options)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert not of_labels(tmp_path / "out").random_teachers


def test_labels_near_their_threshold_are_listed_of_bfloat16_teachers_alone(world, tmp_path):
    assert labelled(world, "val", tmp_path / "exact").near is None
    near = labelled(world, "coarse", tmp_path / "coarse").near
    assert near.margins == {"audio": pytest.approx(0.05), "visual": pytest.approx(0.05)}
    assert (tmp_path / "coarse/near_thresholds.csv").exists() and not (tmp_path / "exact/near_thresholds.csv").exists()


def test_labels_that_differ_from_another_store_are_listed(world, tmp_path):
    found = labelled(world, "coarse", tmp_path, compare=world / "val").flipped
    rows = list(csv.DictReader((tmp_path / "flips.csv").open(encoding="utf-8")))
    assert found.clips == 12 and len(rows) == found.flipped.sum() > 0
    ours, theirs = (labelled(world, store, tmp_path / store).labels for store in ("coarse", "val"))
    assert (ours.labels != theirs.labels).sum() == len(rows)
    assert found.differing["audio.precision"] == ("bfloat16", "float32")


def test_a_store_of_one_modality_is_labelled_scored_and_exported(world, tmp_path):
    report = labelled(world, "heard", tmp_path, against=world, export=True, picture=tmp_path / "q.png")
    assert report.labels.absent == ("visual",) and list(report.quality.precision) == ["audio"]
    assert report.quality.precision["audio"] > 90 and (tmp_path / "q.png").exists()
    assert read_pseudo_labels(tmp_path).absent == ("visual",)
    assert (tmp_path / "CLAP/segment_pseudo_labels").exists() and not (tmp_path / "CLIP/segment_pseudo_labels").exists()
    rows = list(csv.DictReader((tmp_path / "label_quality.csv").open(encoding="utf-8")))
    assert {row["modality"] for row in rows} == {"audio"} and len(rows) == len(NAMES)


def test_a_disk_that_cannot_be_written_is_said_with_what_to_do(world, tmp_path, monkeypatch):
    def full(*_given):
        raise OSError(28, "No space left on device", str(tmp_path / "pseudo_labels.npz"))

    monkeypatch.setattr(label_stage, "write_labels", full)
    with pytest.raises(ValueError, match=r"pseudo_labels.npz: the labels cannot be written \(No space left .* room"):
        labelled(world, "val", tmp_path / "out")


def test_options_that_do_not_belong_together_are_refused(tmp_path):
    options = LabelOptions()
    for changed, message in (
        ({"temperature": 1.0, "export": True}, "give either `temperature` or `export`"),
        ({"folded": True}, "`folded` is for `export`"),
        ({"split": "val"}, "`split` says what `against` scores"),
        ({"picture": tmp_path / "x.png"}, "draws what `against` finds"),
        ({"picture": tmp_path / "x.jpg", "against": tmp_path}, "must end in .png, .svg or .pdf"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(options, **changed)
