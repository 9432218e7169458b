"""The line as a user types it, from small MP4 files to scores: harvest, labels, train, predict, evaluate."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.toy_line import NAMES, SPLITS, TABLES, TAGS, WHOLE, write_tables, write_videos, write_weights
from tests.helpers.typed import Done, typed
from valor.data.label_file import allowed_left_out, read_pseudo_labels
from valor.data.parse_file import OF_DRAWINGS
from valor.data.prediction_files import read_any_predictions
from valor.data.predictions import decisions, read_predictions
from valor.data.tables import read_split, write_weak_table
from valor.eval.scores import score
from valor.label_harvest.store.store import read_store
from valor.label_harvest.teachers.demo import WEIGHTS

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = ("--set", "parser.hidden_width=8", "--set", "parser.num_heads=2", "--set", "parser.feedforward_width=8")
BRIEF = ("--set", "fit.epochs=2", "--set", "fit.warmup_epochs=1")


@dataclass(frozen=True)
class Line:
    """A toy data folder, harvested once."""

    data: Path
    teachers: tuple[str, ...]
    harvests: dict[str, Done]

    @property
    def store(self) -> Path:
        return self.data / "store"

    def harvest(self, split: str, *more: object, store: Path | None = None) -> Done:
        where = ("--videos", self.data / "videos", "--store", store or self.store)
        return typed("harvest", self.data / TABLES[split], *where, *self.teachers, *more)


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> Line:
    folder = tmp_path_factory.mktemp("line")
    data = write_tables(folder / "data")
    write_videos(data / "videos")
    line = Line(data, write_weights(folder), {})
    for split in SPLITS:
        line.harvests[split] = line.harvest(split)
    return line


@pytest.fixture(scope="module")
def labels(line) -> Path:
    done = typed("labels", line.store, "--out", line.data.parent / "labels", "--export", "npy")
    assert done.code == 3, done  # of the clips that failed
    return line.data.parent / "labels"


@pytest.fixture(scope="module")
def run(line, labels) -> Path:
    out = line.data.parent / "run"
    drop = ("--set", "features.missing=drop")
    done = typed("train", "demo", "--data", line.data, "--labels", labels, "--out", out, *SMALL, *BRIEF, *drop)
    assert done.code == 0, done
    return out


def test_clips_that_fail_are_listed_and_change_the_code(line):
    done = line.harvests["train"]
    assert done.code == 3
    head, *rows, last, drawings = done.out.splitlines()
    (folder,) = line.store.iterdir()
    assert (
        drawings == f"note: {OF_DRAWINGS}"
        and head == f"5 clips (3 ok, 1 missing, 1 undecodable), 0 of them cached before; wrote {folder}"
    )
    assert re.fullmatch(r"  missing +gone-------_0_10 +no file of this name among the videos", rows[0])
    assert re.fullmatch(r"  undecodable +torn-------_7_17 +torn-------\.mp4: .+", rows[1]) and len(rows) == 2
    listed = folder / "failures.csv"
    hint = "--retry undecodable reads them again, once their files are mended"
    assert last == f"2 clips failed; they are listed in {listed}; {hint}"
    assert [row.split(",")[:2] for row in listed.read_text().splitlines()[1:]] == [
        ["gone-------_0_10", "missing"],
        ["torn-------_7_17", "undecodable"],
    ]
    assert re.fullmatch(r"[0-9.]+ clips/s, bound by .+\n", done.err)  # no progress bar, which is for a terminal
    assert [line.harvests[split].code for split in ("val", "test")] == [0, 0]


def test_the_store_holds_what_the_teachers_heard_and_saw(line):
    store = read_store(line.store)
    assert store.clip_ids == tuple(TAGS)
    assert store.manifest["grid"]["sample_rate"] == 32000  # what the demo's audio teacher hears at
    assert [{*np.flatnonzero(row).tolist()} for row in store.weak_labels] == list(TAGS.values())
    complete = np.isfinite(store.arrays["visual.similarity"]).all((1, 2))
    assert tuple(clip for clip, whole in zip(store.clip_ids, complete, strict=True) if whole) == WHOLE
    assert store.arrays["audio.similarity"].shape == (9, 10, 25)
    checkpoints = [line.data.parent / f"{role}.safetensors" for role in ("audio", "visual")]
    for role, path in zip(("audio", "visual"), checkpoints, strict=True):
        assert store.manifest["teachers"][role]["weights"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_second_harvest_uses_what_is_there_and_says_so(line):
    (folder,) = line.store.iterdir()
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    done = line.harvest("test")
    said = f"2 clips (2 ok), 2 of them cached before; wrote {folder}\nnote: {OF_DRAWINGS}\n"
    assert done.code == 0 and done.out == said
    assert done.err == f"{folder}: 2 of 2 clips are cached already\n"
    again = line.harvest("train", "--quiet")
    assert (again.code, again.err) == (3, "") and "failures.csv; --retry undecodable" in again.out
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")} == before


def test_quiet_is_silent_on_stderr_even_about_a_torn_clip(line, tmp_path, capfd):
    done = line.harvest("train", "--quiet", "--shard-clips", "2", store=tmp_path)
    assert (done.code, done.err) == (3, "")
    assert capfd.readouterr().err == ""  # nor from the libraries beneath
    assert len(list(tmp_path.glob("*/*.safetensors"))) == 3


def test_labels_say_how_many_and_what_was_left_out(line, labels):
    done = typed("labels", line.store, "--out", labels, "--export", "npy", "--quiet")  # again, over what is there
    assert (done.code, done.err) == (3, "")
    held = read_pseudo_labels(labels)
    assert held.clip_ids == WHOLE and held.class_names == NAMES
    assert done.out.splitlines()[:3] == [
        f"7 clips, {held.labels.sum()} labelled seconds; wrote {labels}",
        "2 clips without complete evidence got no labels (1 missing, 1 undecodable); "
        f"{labels / 'labels.json'} lists them",
        "14 files of labels in CLAP/segment_pseudo_labels, CLIP/segment_pseudo_labels",
    ]
    provenance = json.loads((labels / "labels.json").read_text())
    assert provenance["left_out"] == {"gone-------_0_10": "missing", "torn-------_7_17": "undecodable"}
    assert provenance["random_weights"] is False
    own = json.loads((WEIGHTS / "demo_thresholds.json").read_text())
    assert provenance["thresholds"] == {role: own[role] for role in ("audio", "visual")}, "not those of CLIP and CLAP"


def test_thresholds_are_taken_from_the_file(line, tmp_path):
    store = read_store(line.store)
    middle = np.nanmedian(store.logits("audio"), axis=(0, 1))
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps({"audio": middle.tolist(), "visual": [-1000] * 25}))
    done = typed("labels", line.store, "--out", tmp_path / "l", "--thresholds", path, "--quiet")
    assert (done.code, done.err) == (3, "")
    labels = read_pseudo_labels(tmp_path / "l").labels
    tags = np.array([[index in TAGS[clip] for index in range(25)] for clip in WHOLE])[:, None]
    kept = [store.clip_ids.index(clip) for clip in WHOLE]
    assert np.array_equal(labels[:, :, 0], (store.logits("audio")[kept] > middle) & tags)
    assert np.array_equal(labels[:, :, 1], np.broadcast_to(tags, (7, 10, 25)))
    assert 0 < labels[:, :, 0].sum() < labels[:, :, 1].sum()


def test_thresholds_are_calibrated_on_a_store_and_make_better_labels(line, tmp_path):
    path, on = tmp_path / "thresholds.json", ("--annotations", line.data, "--split", "val")
    done = typed("calibrate", line.store, *on, "--out", path)
    assert (done.code, done.err) == (0, "") and "labels by segment-f on 2 of 2 val clips" in done.out
    scores = []
    for more in ((), ("--thresholds", path)):
        against = ("--against", line.data, "--split", "val")
        out = typed("labels", line.store, "--out", tmp_path / "l", *more, *against).out
        scores.append([float(value) for value in re.findall(r"segment F +([\d.]+)", out)])
    assert len(scores[0]) == 2 and all(better >= before for before, better in zip(*scores, strict=True))
    assert sum(scores[1]) > sum(scores[0])


@pytest.mark.parametrize(("content", "message"), [
    ('{"audio": [1], "visual": [1]}', r"thresholds.json: expected one threshold for each of 25 classes"),
    ('{"audio": [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}', "for fused, got .'audio'."),
    ("visual: 3", "thresholds.json: expected JSON"),
])  # fmt: skip
def test_unfit_thresholds_are_refused_and_nothing_is_written(line, tmp_path, content, message):
    (tmp_path / "thresholds.json").write_text(content)
    done = typed("labels", line.store, "--out", tmp_path / "l", "--thresholds", tmp_path / "thresholds.json")
    assert re.search(message, done.complaint()) and not (tmp_path / "l").exists()


def test_labels_of_other_classes_are_refused(line, tmp_path):
    classes = [{"name": "Dog", "visual_prompt": "a", "audio_prompt": "b", "visual_threshold": 1, "audio_threshold": 2}]
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    done = typed("labels", line.store, "--out", tmp_path / "l", "--classes", tmp_path / "classes.json")
    assert "the classes are not those of the store" in done.complaint() and "leave --classes out" in done.err


def test_labels_are_scored_against_annotations(line, tmp_path):
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps({"audio": [-1000] * 25, "visual": [1000] * 25}))
    done = typed(
        *("labels", line.store, "--out", tmp_path / "l", "--thresholds", path),
        *("--against", line.data, "--split", "val"),
    )
    audio, visual, tags = done.out.splitlines()[2:5]
    assert re.fullmatch(r"audio +precision +60\.0 +recall 100\.0 +segment F +75\.0", audio)  # 6 of 10 seconds are true
    assert re.fullmatch(r"visual +precision +0\.0 +recall +0\.0 +segment F +0\.0", visual)
    assert tags == "tags without any label: 0.0 %; 2 of 2 val clips"
    assert re.search(r"Violin_fiddle +60\.0 100\.0 +75\.0 +– +0\.0 +0\.0", done.out)


def test_the_published_layout_is_exported(labels):
    for m, folder in enumerate(("CLAP", "CLIP")):
        files = sorted(path.name for path in (labels / folder / "segment_pseudo_labels").iterdir())
        assert files == sorted(f"{clip[:11]}.npy" for clip in WHOLE)
        array = np.load(labels / folder / "segment_pseudo_labels" / f"{WHOLE[1][:11]}.npy", allow_pickle=False)
        assert (array.dtype, array.shape) == (np.int64, (10, 25))
        assert np.array_equal(array, read_pseudo_labels(labels).labels[1, :, m])
    features = np.load(labels / "CLIP" / "features" / f"{WHOLE[1][:11]}.npy", allow_pickle=False)
    assert features.dtype == np.float32 and len(features) == 10


def test_training_needs_to_be_told_to_leave_failed_clips_out(line, labels, tmp_path):
    done = typed("train", "demo", "--data", line.data, "--labels", labels, "--out", tmp_path / "run", *SMALL, *BRIEF)
    message = done.complaint()
    assert "for 2 clips (gone-------_0_10, torn-------_7_17) of 5" in message and "features.missing=drop" in message


def test_training_leaves_out_what_labels_were_allowed_to_leave_out(line, tmp_path):
    made = typed("labels", line.store, "--out", tmp_path / "labels", "--allow-failures", "50%")
    assert made.code == 0 and re.search(
        r"^2 clips have no labels \(2 without complete evidence\): no more than --allow-failures 50% \(\d+\)$",
        made.out,
        re.MULTILINE,
    )
    given = ("--data", line.data, "--labels", tmp_path / "labels", "--out", tmp_path / "run")
    done = typed("train", "demo", *given, *SMALL, *BRIEF, "--quiet")
    assert done.code == 0, done
    note = (
        "train: leaving out 2 clips (gone-------_0_10, torn-------_7_17) of 5 without complete evidence, as was allowed"
    )
    assert note in done.err
    assert json.loads((tmp_path / "run/recipe.json").read_text())["run"]["left_out"] == {"train": 2}
    again = typed("predict", tmp_path / "run", "--data", line.data, "--split", "train", "--out", tmp_path / "p.npz")
    assert (again.code, again.out.partition(";")[0]) == (0, "3 clips"), again
    card = typed("push", tmp_path / "run", "me/mine", "--out", tmp_path / "card")
    assert card.code == 0 and "- clips: 3 of the 5 of train, " in (tmp_path / "card/README.md").read_text()


def test_allowed_clips_of_no_shard_are_counted_and_left_out_too(line, tmp_path):
    table = tmp_path / "more.csv"
    write_weak_table(table, (*SPLITS["train"], "later------_0_10"), np.zeros((6, 25), np.bool_), NAMES)
    given = ("labels", line.store, "--out", tmp_path / "labels", "--manifest", table, "--allow-failures")
    refused = typed(*given, "2")
    parts = "3 clips have no labels (2 without complete evidence, 1 in no shard)"
    assert refused.code == 3 and f"{parts}: more than --allow-failures 2 (2)" in refused.out
    assert allowed_left_out(tmp_path / "labels") == frozenset()
    assert typed(*given, "3", "--overwrite").code == 0
    assert sorted(allowed_left_out(tmp_path / "labels")) == ["gone-------_0_10", "later------_0_10", "torn-------_7_17"]


def test_a_recipe_for_other_teachers_is_answered_with_those_that_fit(line, labels, tmp_path):
    given = ("--data", line.data, "--labels", labels, "--out", tmp_path / "run", "--quiet")
    motion = ("--set", "features.motion=r2plus1d.features", "--set", "parser.motion_width=512")
    said = typed("train", "valor-clips", *given, *motion).complaint()
    changes = (
        "--set features.audio=audio.embedding --set parser.audio_width=128 --set features.visual=visual.embedding "
        "--set parser.visual_width=128 --set features.motion=none --set parser.motion_width=0"
    )
    assert "valor train: valor-clips does not take what demo-audio and demo-visual made; train one of" in said
    assert "no shard holds audio.map" in said and "take what it holds (demo)" in said and changes in said
    done = typed("train", "valor-clips", *given, *changes.split(), *SMALL, *BRIEF, "--set", "features.missing=drop")
    assert done.code == 0, done


def test_a_run_is_trained_predicted_and_scored(line, run, tmp_path):
    path = tmp_path / "p.npz"
    done = typed("predict", run, "--data", line.data, "--split", "test", "--out", path, "--quiet")
    assert done == Done(0, f"2 clips; wrote {path}\n", "")
    predictions = read_predictions(path)
    assert predictions.clip_ids == SPLITS["test"] and predictions.class_names == NAMES
    assert predictions.segment_probs.shape == (2, 10, 2, 25) and predictions.clip_probs.shape == (2, 25)
    scored = typed("evaluate", path, "--annotations", line.data, "--split", "test", "--json", tmp_path / "s.json")
    report = json.loads((tmp_path / "s.json").read_text())
    assert scored.code == 0 and (report["clips"], report["clips_expected"]) == (2, 2)
    truth = read_split(line.data, "test", NAMES).truth
    expected = score(decisions(predictions)[0], truth).to_dict()
    assert {level: report[level] for level in ("segment", "event")} == {
        level: expected[level] for level in ("segment", "event")
    }
    assert typed("evaluate", path, "--annotations", line.data, "--split", "val").code == 2
    for name in ("p.json", "p", "q.visual.tsv"):
        assert typed("predict", run, "--data", line.data, "--out", tmp_path / name).code == 0
        events = read_any_predictions(tmp_path / name, NAMES)
        assert np.array_equal(events.predicted, decisions(predictions)[0]) and events.clip_ids == predictions.clip_ids
    refused = typed("predict", "no-run", "--data", line.data, "--out", tmp_path / "p.csv")
    assert "got a name that ends in .csv" in refused.complaint()
    on_val = typed("predict", run, "--data", line.data, "--split", "val", "--out", tmp_path / "val.npz")
    assert on_val.code == 0 and read_predictions(tmp_path / "val.npz").clip_ids == SPLITS["val"]


def test_a_run_says_what_it_selected_and_is_not_trained_twice(line, labels, run):
    drop = ("--set", "features.missing=drop")
    done = typed("train", "demo", "--data", line.data, "--labels", labels, "--out", run, *SMALL, *BRIEF, *drop)
    log = [json.loads(row) for row in (run / "log.jsonl").read_text().splitlines()]
    best = max(log, key=lambda record: record["val"]["segment"]["type_av"])
    figure = f"validation segment Type@AV {best['val']['segment']['type_av']:.2f}"
    first, *tables = done.out.splitlines()
    assert first == f"seed 0: selected epoch {best['epoch']} with {figure}; wrote {run}"
    report = json.loads((run / "scores.json").read_text())
    for name, ten in (("validation", best["val"]), ("test", report)):
        shown = [re.findall(r"\d+\.\d", row) for row in tables if row.startswith(f"{name} ")]
        assert shown == [[f"{value:.1f}" for value in ten[level].values()] for level in ("segment", "event")]
    assert f"{run}: trained before, nothing to do\n" in done.err
    quiet = typed("train", run, "--data", line.data, "--labels", labels, "--out", run, "--quiet")  # by its own recipe
    assert (quiet.code, quiet.out) == (0, done.out)


def test_seeds_make_a_run_folder_each(line, labels, tmp_path):
    given = ("--labels", labels, "--out", tmp_path / "runs", "--seeds", "2", *SMALL, *BRIEF)
    more = ("--set", "fit.seed=4", "--set", "features.missing=drop", "--quiet")
    done = typed("train", "demo", "--data", line.data, *given, *more)
    written = [path.name for path in sorted((tmp_path / "runs").iterdir())]
    assert done.code == 0 and written == ["scores.json", "seed-4", "seed-5", "training.png"]
    assert re.match(r"(seed [45]: selected epoch \d with .*; wrote .*/seed-[45]\n){2}\n", done.out)
    assert re.search(r"^validation \(2 seeds\)( +\d+\.\d ± \d+\.\d){5}$", done.out, re.MULTILINE)
    row = re.search(r"^test \(2 seeds\)( +\d+\.\d ± \d+\.\d){5}$", done.out, re.MULTILINE).group().split("seeds)")[1]
    assert row.split() in [
        line.split("seeds)")[-1].split()[:15] for line in typed("table", tmp_path / "runs").out.splitlines()
    ]
    recipes = [json.loads((tmp_path / f"runs/seed-{seed}/recipe.json").read_text()) for seed in (4, 5)]
    assert [recipe["fit"]["seed"] for recipe in recipes] == [4, 5]
    weights = [(tmp_path / f"runs/seed-{seed}/best.safetensors").read_bytes() for seed in (4, 5)]
    assert weights[0] != weights[1]


def test_quiet_training_is_silent_on_stderr(line, labels, tmp_path, capfd):
    given = ("--data", line.data, "--out", tmp_path / "run", *SMALL, *BRIEF, "--labels", labels)
    loud = typed("train", "demo-tags-only", *given, "--set", "features.missing=drop")
    assert "leaving these clips out" in loud.err
    kept = [clip for clip in SPLITS["train"] if clip in WHOLE]
    data = write_tables(tmp_path / "whole")
    weak_labels = np.array([[index in TAGS[clip] for index in range(25)] for clip in kept])
    write_weak_table(data / "AVVP_train.csv", kept, weak_labels, NAMES)
    (data / "store").symlink_to(line.store)
    given = ("--data", data, "--out", tmp_path / "q", *SMALL, *BRIEF, "--labels", labels)
    quiet = typed("train", "demo", *given, "--quiet")
    assert (quiet.code, quiet.err, capfd.readouterr().err) == (0, "", "")


# Random weights


@pytest.fixture(scope="module")
def noise(line, tmp_path_factory) -> Path:
    """Data, store and labels as the visual teacher with random weights makes them."""
    folder = tmp_path_factory.mktemp("noise")
    data = write_tables(folder / "data")
    teachers = ("--visual", "demo-visual", "--audio", "demo-audio", "--checkpoint", "visual=random")
    audio = ("--checkpoint", f"audio={line.data.parent / 'audio'}.safetensors")
    for split in ("train", "val"):
        where = ("--videos", line.data / "videos", "--store", data / "store")
        done = typed("harvest", data / TABLES[split], *where, *teachers, *audio, "--quiet")
        assert "RANDOM weights" in done.err and done.err.count("\n") == 1, done
    assert typed("labels", data / "store", "--out", folder / "labels").code == 3
    return folder


def test_random_weights_are_recorded_for_ever(noise):
    teachers = read_store(noise / "data/store").manifest["teachers"]
    assert teachers["visual"]["weights"] == "random" and len(teachers["audio"]["weights"]) == 64
    assert json.loads((noise / "labels/labels.json").read_text())["random_weights"] is True


def test_training_on_random_teachers_needs_a_flag(noise, line, labels, tmp_path):
    more = (*SMALL, *BRIEF, "--set", "features.missing=drop", "--quiet")
    for data, given, what in (
        (noise / "data", noise / "labels", "features and labels"),
        (noise / "data", labels, "features"),
        (line.data, noise / "labels", "labels"),
    ):
        done = typed("train", "demo", "--data", data, "--labels", given, "--out", tmp_path / "run", *more)
        assert f"the {what} were made by teachers with random weights" in done.complaint()
        assert "--allow-random-teachers" in done.err and not (tmp_path / "run").exists()
    given = ("--data", noise / "data", "--labels", noise / "labels", "--out", tmp_path / "run")
    assert typed("train", "demo", *given, *more, "--allow-random-teachers").code == 0


def test_soft_labels_are_probabilities_of_the_same_seconds(line, labels, tmp_path):
    done = typed("labels", line.store, "--out", tmp_path / "soft", "--soft", "--temperature", "2", "--quiet")
    hard, soft = read_pseudo_labels(labels), read_pseudo_labels(tmp_path / "soft")
    assert np.array_equal(soft.marked, hard.labels) and len(np.unique(soft.labels)) > 50
    first = done.out.splitlines()[0]
    assert first == f"7 clips, {hard.labels.sum()} labelled seconds (soft, above 1/2); wrote {tmp_path / 'soft'}"
    assert json.loads((tmp_path / "soft/labels.json").read_text())["soft"] == {"temperature": 2.0}
    for given, message in (
        (("--temperature", "2"), "--temperature is for soft labels; add --soft"),
        (("--soft", "--export", "npy"), "give either --soft or --export"),
        (("--soft", "--temperature", "0"), "temperature must be a positive number of logits, got 0.0"),
    ):
        assert message in typed("labels", line.store, "--out", tmp_path / "no", *given).complaint()
    assert not (tmp_path / "no").exists()
