"""Data sets that are not LLP, from tables to the viewer: one described beside its tables, one with parts of its own."""

import json
import shutil

import numpy as np
import pytest
import torch

import valor
from tests.helpers.toy import ToySound, write_toy_clip
from tests.helpers.typed import typed
from tests.valor.training.test_own import BLOCKS
from valor import verbs
from valor.data.datasets.dataset import DATASETS, LLP, dataset_of
from valor.data.label_file import read_pseudo_labels
from valor.data.own_files import LOADED
from valor.data.predictions import read_predictions
from valor.data.score_file import read_scores_json
from valor.data.tables import write_event_table, write_weak_table
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.shards import ShardRow, read_markers, write_shard
from valor.label_harvest.store.share import Share, write_lock
from valor.label_harvest.store.store import describe, open_store, read_store
from valor.label_harvest.teachers.build import TEACHERS
from valor.viewer.corrections import Corrections
from valor.viewer.options import SourceOptions
from valor.viewer.sources import read_document

BIRDS = ("Wren", "Robin", "Tawny_owl")
CLIPS = {"learn": ("a", "b", "c", "d"), "dev": ("e", "f"), "final": ("g", "h", "i")}
ALL = sum(CLIPS.values(), ())
EVENTS = [
    ("e", 1, 3, "Wren"),
    ("f", 0, 5, "Robin"),
    ("g", 2, 4, "Wren"),
    ("h", 4, 5, "Tawny_owl"),
    ("i", 0, 2, "Robin"),
]
ROW = {"method": "Ears", "venue": "FIELD", "year": 2020, "features": "binoculars", "sources": ["A"]}
ROW |= {"confidence": "seen", "post_processing": None, "selection": None, "truth": None}
DESCRIPTION = {
    "name": "birds",
    "title": "Birds of the garden",
    "classes": list(BIRDS),
    "segments": 5,
    "tags": {split: f"{split}.tsv" for split in CLIPS},
    "events": {"first": ["heard.tsv", "seen.tsv"]},
    "roles": {"train": "learn", "val": "dev", "test": "final"},
    "published": "rows.json",
}
CHANGES = ["parser.hidden_width=16", "parser.feedforward_width=8", "parser.num_heads=2", "parser.num_layers=1"]
CHANGES += ["fit.epochs=2", "fit.warmup_epochs=1", "features.motion=none", "parser.motion_width=0"]
CHANGES += ["features.audio=audio.embedding", "features.visual=visual.embedding", "parser.audio_width=4"]
CHANGES += ["parser.visual_width=6", "parser.num_classes=3"]
SET = [word for change in CHANGES for word in ("--set", change)]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def _nothing_stays():
    """Parts of the test's own are known to it alone."""
    held = [dict(of) for of in (DATASETS, TEACHERS)]
    yield
    LOADED.clear()
    for of, before in zip((DATASETS, TEACHERS), held, strict=True):
        of.clear()
        of.update(before)


def write_store(root):
    """Five segments a clip of two teachers who are sure of every tag."""
    roles = {
        role: {"teacher": "sure", "weights": "ab" * 32, "prompts": list(BIRDS), "logit_scale": 1.0, "logit_bias": 0.0}
        for role in ("audio", "visual")
    }
    rng = np.random.default_rng(3)
    arrays = {f"{role}.similarity": np.full((len(ALL), 5, 3), 30, np.float32) for role in roles}
    for role, width in (("audio", 4), ("visual", 6)):
        arrays[f"{role}.embedding"] = rng.normal(size=(len(ALL), 5, width)).astype(np.float16)
    rows = [ShardRow(clip, "ok", "", tags_of(clip)) for clip in ALL]
    folder = open_store(root, describe(BIRDS, {"num_segments": 5, "segment_seconds": 1.0}, roles))
    with write_lock(folder):
        write_shard(folder, 0, arrays, rows)
        write_list(folder, read_markers(folder))


def tags_of(clip):
    found = tuple(name for one, _, _, name in EVENTS if one == clip)
    return found or (BIRDS[ALL.index(clip) % 3],)


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """Tables, a store, labels, a trained run and its scores, all made on the command line."""
    folder = tmp_path_factory.mktemp("birds")
    data = folder / "data"
    data.mkdir()
    for split, clips in CLIPS.items():
        tags = np.array([[name in tags_of(clip) for name in BIRDS] for clip in clips])
        write_weak_table(data / f"{split}.tsv", clips, tags, BIRDS)
    for table in ("heard.tsv", "seen.tsv"):
        write_event_table(data / table, EVENTS)
    (data / "dataset.json").write_text(json.dumps(DESCRIPTION))
    write_store(data / "store")
    (folder / "th.json").write_text(json.dumps({"audio": [20.0] * 3, "visual": [20.0] * 3}))
    labels = ("--out", folder / "labels", "--thresholds", folder / "th.json", "--against", data)
    assert (done := typed("labels", data / "store", *labels)).code == 0, done
    assert "3 of 3 final clips" in done.out
    run = ("--out", folder / "run", "--labels", folder / "labels")
    assert (done := typed("train", "valor", "--data", data, *run, *SET)).code == 0, done
    return folder


def test_its_tables_are_looked_through_by_its_own_names(birds, tmp_path):
    done = typed("lint", birds / "data")
    assert done.code == 0 and "4 learn, 2 dev, 3 final clips" in done.out, done
    data = shutil.copytree(birds / "data", tmp_path / "data")
    write_event_table(data / "heard.tsv", [*EVENTS, ("g", 4, 7, "Wren"), ("a", 0, 1, "Wren"), ("x", 0, 1, "Owl")])
    done = typed("lint", data)
    assert done.code == 3, done
    for said in ("heard.tsv:7: g: Wren 4 to 7, the clip ends at 5", "a: no clip of dev or final (a clip of learn)"):
        assert said in done.out, done.out
    assert "unknown class 'Owl'" in done.out and "AVVP" not in done.out
    assert "--truth must be one of first, got 'v2020'" in typed("lint", data, "--truth", "v2020").complaint()


def test_its_labels_and_its_parser_have_its_classes_and_segments(birds):
    labels = read_pseudo_labels(birds / "labels")
    assert labels.class_names == BIRDS and labels.labels.shape == (9, 5, 2, 3)
    predictions = read_predictions(birds / "run/predictions.npz")
    assert (predictions.clip_ids, predictions.class_names) == (CLIPS["final"], BIRDS)
    scores = json.loads((birds / "run/scores.json").read_text())
    assert (scores["dataset"], scores["clips"]) == ("birds", 3)


@pytest.mark.parametrize("split", ["dev", "final"])
def test_a_split_is_predicted_evaluated_and_shown_under_its_own_name(birds, tmp_path, split):
    data = birds / "data"
    predicted, scores, page = (tmp_path / name for name in ("p.npz", "s.json", "p.html"))
    chosen = ("--split", split) if split == "dev" else ()  # which is the one that is scored
    assert (done := typed("predict", birds / "run", "--data", data, *chosen, "--out", predicted)).code == 0, done
    where = ("--annotations", data, "--split", split)
    assert (done := typed("evaluate", predicted, *where, "--json", scores, "--per-class", "--anchors")).code == 0, done
    count = len(CLIPS[split])
    assert f"{count} of {count} {split} clips, truth first" in done.out and "Tawny_owl" in done.out
    assert (done := typed("table", f"mine={scores}")).code == 0 and "mine" in done.out, done
    more = ("--data", data, "--split", split, "--out", page)
    assert (done := typed("view", predicted, *more)).code == 0 and f"{count} clips" in done.out, done
    assert all(name in page.read_text() for name in (*BIRDS, *CLIPS[split]))
    found = verbs.score(predicted, data, split=split)
    assert found.segment.type_av == json.loads(scores.read_text())["segment"]["type_av"]


def test_a_split_it_has_not_is_refused(birds, tmp_path):
    for command in (("predict", birds / "run", "--data", birds / "data", "--out", tmp_path / "p.npz"),
                    ("evaluate", birds / "run/predictions.npz", "--annotations", birds / "data"),
                    ("view", birds / "run", "--data", birds / "data", "--out", tmp_path / "p.html")):  # fmt: skip
        assert "--split must be one of learn, dev, final, got 'test'" in typed(*command, "--split", "test").complaint()


def test_what_needs_dense_truth_says_which_splits_have_it(birds, tmp_path):
    where = ("--annotations", birds / "data", "--split")
    said = typed("evaluate", birds / "run", *where, "learn").complaint()
    assert "--split must be one with dense annotations, which learn has not; dev and final have" in said
    assert (
        "--split must be one of learn, dev, final, got 'test'"
        in typed("plot", "confusion", "p.npz", *where, "test").complaint()
    )
    done = typed("calibrate", birds / "run/predictions.npz", *where, "final", "--out", tmp_path / "t.json")
    assert done.code == 0 and "note:" in done.out, done  # it is the split that is scored
    store = ("--keep", birds / "th.json", "--out", tmp_path / "s.json")
    done = typed("calibrate", birds / "data/store", *where, "dev", *store)
    assert done.code == 0 and "Tawny_owl" in done.out and "note:" not in done.out, done


def test_published_rows_are_those_of_the_data_set(birds, tmp_path):
    rows = [ROW | {"segment": [60.0] * 5, "event": None}]
    held = {"dataset": "birds", "clips": 3, "features": {"binoculars": "seen through glass"}, "rows": rows}
    data = shutil.copytree(birds / "data", tmp_path / "data")
    said = typed("table", birds / "run", "--published", "--data", data).complaint()
    assert "rows.json: expected published scores" in said
    (data / "rows.json").write_text(json.dumps(held))
    assert "birds, which is not known here; give its --data" in typed("table", birds / "run", "--published").complaint()
    done = typed("table", f"mine={birds / 'run'}", "--published", "--data", data, "--baseline", "Ears")
    assert done.code == 0 and "Ears (FIELD 2020)" in done.out and "published, seen through glass" in done.out, done
    assert list(verbs.table(birds / "run", published=True, data=data).to_frame().index) == ["run", "Ears (FIELD 2020)"]
    other = tmp_path / "llp.json"
    other.write_text(json.dumps(read_scores_json(birds / "run/scores.json") | {"dataset": "llp"}))
    assert "data set birds and llp" in typed("table", birds / "run", other).complaint()
    assert "no published row may stand beside" in typed("table", other, "--published").complaint()


def test_corrections_of_it_are_a_data_folder_of_it(birds, tmp_path):
    options = SourceOptions(data=birds / "data", split="dev")
    document = read_document([str(birds / "labels/pseudo_labels.npz")], options)
    assert document.class_names == BIRDS and document.clips[0].num_segments == 5
    corrections = Corrections(tmp_path / "c", document)
    corrections.save({"clip": "e", "revision": 0, "checked": True, "events": [["Wren", "audio", 0.0, 2.0]]})
    corrections.close()
    found = dataset_of(tmp_path / "c")
    assert (found.name, found.names, found.segments, found.splits) == ("birds", BIRDS, 5, ("dev",))
    assert found.classes == dataset_of(birds / "data").classes
    assert found.read_split(tmp_path / "c", "dev").truth[0, :, 0, 0].tolist() == [True, True, False, False, False]
    predictions = verbs.predict(birds / "run", data=birds / "data", split="dev")
    assert verbs.score(predictions, tmp_path / "c", split="dev").clips == 2


@pytest.mark.usefixtures("_nothing_stays")
def test_its_clips_are_harvested_on_its_grid(birds, tmp_path):
    (tmp_path / "loudness.py").write_text(BLOCKS["loudness.py"])
    (tmp_path / "videos").mkdir()
    for clip in CLIPS["dev"]:
        write_toy_clip(tmp_path / f"videos/{clip}.mkv", sound=ToySound(seconds=5.0, rate=8000))
    done = typed("harvest", birds / "data/dev.tsv", "--videos", tmp_path / "videos", "--store", tmp_path / "store",
                 "--with", tmp_path / "loudness.py", "--audio", "loudness", "--visual", "none")  # fmt: skip
    assert done.code == 3 and "2 no_video" in done.out, done
    store = read_store(tmp_path / "store")
    assert store.class_names == BIRDS and store.arrays["audio.similarity"].shape == (2, 5, 3)
    options = valor.HarvestOptions(share=Share(2, 2), shard_size=1)
    report = valor.harvest(birds / "data/dev.tsv", videos=tmp_path / "videos", store=tmp_path / "half", options=options,
                           teachers=valor.TeacherChoice(audio="loudness", visual="none"), progress=False)  # fmt: skip
    assert len(report.rows) == 1 and read_store(tmp_path / "half").arrays["audio.similarity"].shape == (1, 5, 3)


def test_a_training_on_a_store_elsewhere_is_told_how_to_name_it(birds, tmp_path):
    shutil.copytree(birds / "data", tmp_path / "data", ignore=shutil.ignore_patterns("store"))
    where = ("--data", tmp_path / "data", "--labels", birds / "labels", "--out", tmp_path / "run")
    done = typed("train", "valor", *where, *SET)
    assert "run the harvest first, or give the --store that it wrote elsewhere" in done.complaint()


def test_what_is_of_llp_alone_refuses_it(birds, tmp_path):
    for command in (("reproduce", "valor"), ("ablate",)):
        done = typed(*command, "--data", birds / "data", "--out", tmp_path / "out")
        assert "holds Birds of the garden, and this is of LLP" in done.complaint(), done


OWN = """
import numpy as np
from pathlib import Path
from valor.data.datasets.dataset import DataSet
from valor.data.tables import Layout, Split
from valor.data.vocabulary import named_classes

CLIPS = {"learn": "abcd", "dev": "ef", "final": "ghi"}

def read(dataset, folder, split, names, version):
    truth = np.zeros((len(CLIPS[split]), 5, 2, 3), bool)
    truth[:, 1:4, :, 0] = True
    tags, valid = truth.any(axis=(1, 2)), np.ones(truth.shape[:2], bool)
    if split == "final":
        valid[-1, 4:] = False  # its last clip is shorter
    return Split(split, tuple(CLIPS[split]), names, tags, None if split == "learn" else truth, version, valid=valid)

def accuracy(judged):
    return 100 * (judged.predicted == judged.truth).mean()

def sharpness(judged):
    return None if judged.segment_probs is None else 100 * float(judged.segment_probs.max()) * judged.segment_seconds

SONGS = DataSet(name="songs", title="Songs", classes=named_classes(["Wren", "Robin", "Tawny_owl"]), segments=5,
                seconds=0.5, reader=read, metrics={"accuracy": accuracy, "sharpness": sharpness},
                layout=Layout({split: split for split in CLIPS}, {"own": ()}, ("dev", "final")),
                roles={"train": "learn", "val": "dev", "test": "final"},
                published=Path(__file__).with_name("rows.json"))
DATASETS = {"songs": SONGS}
"""


@pytest.mark.usefixtures("_nothing_stays")
def test_a_data_set_with_a_metric_and_a_grid_of_its_own(birds, tmp_path):
    data = shutil.copytree(birds / "data", tmp_path / "data")
    (data / "dataset.json").write_text('{"dataset": "songs"}')
    (tmp_path / "songs.py").write_text(OWN)
    own, run = ("--with", tmp_path / "songs.py"), tmp_path / "run"
    where = ("--data", data, "--labels", birds / "labels", "--out")
    refused = typed("train", "valor", *where, tmp_path / "x", *SET, "--set", "fit.select_by=figures.mAP", *own)
    assert "must name a metric of the data set (accuracy, sharpness), got 'mAP'" in refused.complaint()
    done = typed("train", "valor", *where, run, "--seeds", "2", *SET, "--set", "fit.select_by=figures.accuracy", *own)
    assert done.code == 0 and "validation accuracy" in done.out and "\nsharpness: " in done.out, done
    scores = json.loads((run / "seed-1000/scores.json").read_text())
    assert set(scores["figures"]) == {"accuracy", "sharpness"} and scores["selection"] == "accuracy"
    assert set(json.loads((run / "scores.json").read_text())["sd"]["figures"]) == {"accuracy", "sharpness"}
    first = run / "seed-1000/predictions.npz"
    evaluated = ("--annotations", data, "--split", "final", *own)
    done = typed("evaluate", first, *evaluated, "--json", tmp_path / "s.json")
    assert done.code == 0 and "Figures of songs, in percent" in done.out, done
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["figures"] == scores["figures"] == verbs.score(first, data).figures
    rows = [ROW | {"method": "Tuner", "figures": {"accuracy": 80.4}}]
    (tmp_path / "rows.json").write_text(json.dumps({"dataset": "songs", "clips": 3, "rows": rows}))
    for form, said in (("text", "Figures of songs"), ("csv", "figures.accuracy"), ("markdown", "| accuracy |"),
                       ("latex", "accuracy"), ("json", '"accuracy"')):  # fmt: skip
        done = typed("table", f"two={run}", "--published", "--baseline", "Tuner", "--format", form, *own)
        assert done.code == 0 and said in done.out and "80.4" in done.out, done
    page = ("--data", data, "--out", tmp_path / "p.html", *own)
    assert typed("view", first, *page).code == 0
    document = read_document([str(first)], SourceOptions(data=data))
    assert read_predictions(first).valid.sum(axis=1).tolist() == [5, 5, 4]
    assert {clip.segment_seconds for clip in document.clips} == {0.5} and document.clips[0].truth is not None
    corrections = Corrections(tmp_path / "c", document)
    corrections.save({"clip": "g", "revision": 0, "checked": True, "events": [["Wren", "audio", 0.5, 1.0]]})
    assert "segments of 0.5 s" in corrections.notes["tables"] and (tmp_path / "c/exact/audio.tsv").is_file()
    corrections.close()
    done = typed("lint", data, *own)
    assert done.code == 0 and "4 learn, 2 dev, 3 final clips" in done.out, done
    again = ("predict", run / "seed-1000", "--data", data, *own, "--out", tmp_path / "tables")
    assert "write .npz for clips of unlike length" in typed(*again).complaint()
    assert typed(*again, "--split", "dev").code == 0
    done = typed("evaluate", tmp_path / "tables", "--annotations", data, "--split", "dev", *own)
    assert done.code == 0, done  # events at half seconds


def test_a_metric_that_gives_no_percentage_is_refused():
    from valor.eval.metrics import Judged, figures_of

    marks = np.ones((1, 1, 2, 1), bool)
    judged = Judged(predicted=marks, truth=marks, weak_labels=np.ones((1, 1), bool))
    assert figures_of(judged, {"none": lambda _: None}) == {"none": None}
    for value in (101.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="the metric 'mAP' must give a percentage"):
            figures_of(judged, {"mAP": lambda _, value=value: value})


def test_llp_is_as_it_was():
    assert (LLP.splits, LLP.annotated, LLP.metrics) == (("train", "val", "test"), ("val", "test"), {})
    assert [LLP.split_for(role) for role in ("train", "val", "test")] == ["train", "val", "test"]
