"""LFAV: its tables with their known defects, its figures, and what is refused."""

import json
import logging

import numpy as np
import pytest

from tests.helpers.toy_lfav import LENGTHS, TAGS, write_lfav, write_lfav_store, write_lfav_world
from tests.helpers.typed import typed
from valor.data.datasets.dataset import LFAV, dataset_of
from valor.data.datasets.lfav import LFAV_SIZES
from valor.data.datasets.to_harvest import read_any_manifest
from valor.data.label_file import read_pseudo_labels
from valor.data.lint import lint_folder
from valor.data.predictions import Predictions, read_predictions, score_predictions
from valor.eval.metrics import Judged, figures_of
from valor.label_harvest.store.store import read_store

SPEECH, DOG, CAT = (LFAV.names.index(name) for name in ("speech", "dog", "cat"))


@pytest.fixture
def folder(tmp_path):
    return write_lfav(tmp_path / "lfav")


def marked(split, clip, modality, name):
    return np.flatnonzero(split.truth[clip, :, modality, name]).tolist()


def test_the_last_second_belongs_to_an_event_and_tags_are_of_their_modality(folder):
    assert dataset_of(folder) is LFAV and sum(LFAV_SIZES.values()) == 5_175 and len(LFAV.names) == 35
    split = LFAV.read_split(folder, "test")
    assert split.clip_ids == ("test-a", "test-b") and split.valid.sum(axis=1).tolist() == [8, 6]
    assert marked(split, 0, 0, SPEECH) == [1, 2, 5, 6, 7]  # 116117 is a slip of the pen, and ends with the clip
    assert marked(split, 0, 1, CAT) == [0, 1, 2, 3, 4] and marked(split, 1, 1, DOG) == [3, 4, 5]
    assert not split.truth[0, :, 0, CAT].any() and not split.truth[1, :, 0].any()
    assert split.modality_tags[0, 0, SPEECH] and not split.modality_tags[0, 1, SPEECH]
    val = LFAV.read_split(folder, "val")
    assert marked(val, 0, 1, DOG) == [2, 6, 7] and val.clip_seconds.tolist() == [9.5] and val.truth.shape[1] == 10
    train = LFAV.read_split(folder, "train")
    badminton = LFAV.names.index("playing_badminton")
    assert train.truth is None and train.modality_tags[0, 0, badminton] and not train.modality_tags[0, 1, badminton]
    assert train.weak_labels.sum(axis=1).tolist() == [2, 2]


def test_without_durations_a_clip_ends_with_its_last_row_and_this_is_said(tmp_path, caplog):
    folder = write_lfav(tmp_path / "lfav", durations=False)
    with caplog.at_level(logging.WARNING):
        split = LFAV.read_split(folder, "test")
    assert split.valid.sum(axis=1).tolist() == [6, 21] and split.clip_seconds is None
    assert marked(split, 0, 0, SPEECH) == [1, 2, 5] and "is not counted as false" in caplog.text


def test_tables_may_lie_side_by_side(folder, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for table in folder.rglob("*.csv"):
        (flat / table.name).write_bytes(table.read_bytes())
    (flat / "dataset.json").write_text('{"dataset": "lfav"}')
    assert dataset_of(flat).read_split(flat, "train").clip_ids == ("learn-a", "learn-b")


def test_every_known_defect_is_listed(folder):
    report = lint_folder(folder, dataset=LFAV)
    assert not report.severities()["refused"] and report.clips == {"train": 2, "val": 1, "test": 2}
    found = {kind: [(one.file, one.line, one.clip_id) for one in report.of(kind)] for kind in report.counts()}
    assert [at[2] for at in found["left-out-tag"]] == ["learn-b", "val-a", "test-a"]
    assert found["spaced-tag"] == [("train_audio_weakly.csv", 2, "learn-a")]
    assert found["union-differs"] == [("train_weakly.csv", 3, "learn-b")]
    assert found["one-second"] == [("val_visual.csv", 2, "val-a")]
    assert found["no-length"] == [("val_visual.csv", 3, "val-a")]
    assert found["duplicate"] == [("test_audio.csv", 3, "test-a")]
    assert found["beyond-clip"] == [("test_audio.csv", 4, "test-a"), ("test_visual.csv", 3, "test-b")]
    assert found["orphan"] == [("test_visual.csv", 4, "test-x")]
    assert found["no-rows"] == [("test_audio.csv", None, "test-b")]
    assert len(found["size"]) == 3 and "no-durations" not in found
    (folder / "durations.tsv").unlink()
    assert len(lint_folder(folder, dataset=LFAV).of("no-durations")) == 2


@pytest.mark.parametrize(
    ("table", "old", "new", "says"),
    [
        ("train/train_audio_weakly.csv", "dog", "dig", "train_audio_weakly.csv:3: learn-b: unknown class 'dig'"),
        ("train/train_audio_weakly.csv", "learn-b", "learn-a", "clip 'learn-a' stands here a second time"),
        ("train/train_audio_weakly.csv", "learn-b", "test-b", "1 clips are in test as well, such as test-b; splits"),
        ("test/test_audio.csv", "speech", "speach", "test_audio.csv:2: test-a: unknown class 'speach'"),
        ("test/test_audio.csv", "1\t2", "1.5\t2", "expected whole seconds from the start of the clip, got '1.5'"),
        ("test/test_audio.csv", "onset", "begin", "columns filename, onset, offset, event_labels"),
        ("durations.tsv", "test-b\t6\n", "", "says nothing of 1 clips, such as test-b"),
        ("durations.tsv", "test-b\t6", "test-b\t0", "expected how many seconds test-b lasts, got '0'"),
        ("durations.tsv", "test-b\t6", "test-a\t6", "test-a stands there twice"),
        ("test/test_audio_weakly.csv", "test-a", "../a", "csv:2: clip id must be a plain name without path separators"),
        ("test/test_audio_weakly.csv", "test-a", "a\x1b[2J", "csv:2: clip id must be a plain name"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(folder, table, old, new, says):
    path = folder / table
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=says):
        LFAV.read_split(folder, "train" if "train" in table else "test")
    assert lint_folder(folder, dataset=LFAV).of("refused-split")
    path.unlink()
    if table != "durations.tsv":
        with pytest.raises(FileNotFoundError, match="no such table; a folder of LFAV holds train/, val/ and test/"):
            LFAV.read_split(folder, "train" if "train" in table else "test")


def test_lengths_that_no_memory_holds_are_refused_before_it_is_taken(folder):
    more = [f"clip-{number}" for number in range(700)]
    with (folder / "test/test_audio_weakly.csv").open("a") as file:
        file.writelines(f"{clip}\tspeech\n" for clip in more)
    lasts = "".join(f"{clip}\t100000\n" for clip in ("test-a", "test-b", *more))
    (folder / "durations.tsv").write_text(f"filename\tseconds\n{lasts}")
    with pytest.raises(ValueError, match="durations.tsv: test has 4,914,000,000 marks .* more than 4,294,967,296"):
        LFAV.read_split(folder, "test")


def test_an_event_of_a_clip_beyond_an_hour_ends_where_its_row_says(folder):
    for name, old, new in (("durations.tsv", "test-a\t8", "test-a\t5000"), ("test/test_audio.csv", "116117", "3700")):
        path = folder / name
        path.write_text(path.read_text().replace(old, new))
    truth = LFAV.read_split(folder, "test").truth[0, :, 0, LFAV.names.index("speech")]
    assert truth[5:3701].all() and not truth[3701:].any()


def test_durations_that_cannot_be_read_are_not_taken_for_none(folder):
    path = folder / "durations.tsv"
    path.unlink()
    path.symlink_to("nothing")
    with pytest.raises(FileNotFoundError):
        LFAV.read_split(folder, "test")
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match="durations.tsv: expected a table, which cannot be read"):
        LFAV.read_split(folder, "test")


def test_figures_are_those_of_the_published_code(folder):
    split = LFAV.read_split(folder, "test")
    judged = Judged(predicted=split.truth, truth=split.truth, weak_labels=split.weak_labels, valid=split.valid)
    assert set(figures_of(judged, LFAV.metrics).values()) == {None}  # decisions rank nothing
    sure = Judged(**vars(judged) | {"segment_probs": np.where(split.truth, 0.9, 0.1)})
    found = figures_of(sure, LFAV.metrics)
    assert found["mAP audio"] == found["mAP visual"] == 100 and found["mAP audio-visual"] is None  # nothing is both
    assert found["selection"] is None
    both = split.truth | split.truth[:, :, ::-1]
    full = Judged(**vars(judged) | {"truth": both, "segment_probs": both.astype(float), "predicted": both})
    assert set(figures_of(full, LFAV.metrics).values()) == {100.0}
    half = Judged(**vars(full) | {"predicted": np.zeros_like(both)})
    assert figures_of(half, LFAV.metrics)["selection"] == 50


def test_longer_predictions_are_cut_and_shorter_ones_filled(folder):
    split = LFAV.read_split(folder, "test")
    for length in (12, 5):
        valid = np.arange(length) < np.array([[length], [4]])
        probs = np.full((2, length, 2, 35), 0.9, np.float32)
        held = Predictions(clip_ids=split.clip_ids, class_names=split.class_names, valid=valid, segment_probs=probs,
                           clip_probs=probs[:, 0, 0])  # fmt: skip
        scores, _ = score_predictions(held, split)
        assert scores.segment.visual > 0
    with pytest.raises(ValueError, match="must have the 8 segments"):
        score_predictions(Predictions(**{**vars(held), "valid": None}), split)


def test_the_whole_line_on_tags_of_modalities(tmp_path):
    write_lfav_world(tmp_path)
    folder, out = tmp_path / "lfav", tmp_path / "out"
    store = write_lfav_store(folder)
    assert typed("lint", folder).code == 0
    manifest = read_any_manifest(folder, LFAV.names)
    assert len(manifest.clip_ids) == 5 and np.array_equal(manifest.modality_tags, read_store(store).modality_tags)
    (tmp_path / "videos").mkdir()
    planned = typed("harvest", folder, "--videos", tmp_path / "videos", "--store", tmp_path / "s", "--plan")
    assert planned.code in (0, 3) and "5 in the manifest" in planned.out, planned
    thresholds = ("--criterion", "tag-rate", "--out", out / "thresholds.json")
    assert (done := typed("calibrate", store, *thresholds)).code == 0, done
    made = typed("labels", store, "--thresholds", out / "thresholds.json", "--out", out / "labels")
    assert made.code == 0, made
    labels = read_pseudo_labels(out / "labels")
    by_tag = {clip_id: tags for clip_id, tags in zip(manifest.clip_ids, manifest.modality_tags, strict=True)}
    for clip_id, own in zip(labels.clip_ids, labels.labels, strict=True):
        assert own.any() and not (own & ~by_tag[clip_id]).any() and own[: LENGTHS[clip_id]].any()
    small = ("hidden_width=8", "feedforward_width=8", "num_heads=1")
    sets = [word for option in small for word in ("--set", f"parser.{option}")]
    sets += ["--set", "fit.epochs=1", "--set", "fit.warmup_epochs=0", "--device", "cpu"]
    run = typed("train", "lfav-valor", "--data", folder, "--labels", out / "labels", "--out", out / "run", *sets)
    assert run.code == 0, run
    log = [json.loads(line) for line in (out / "run/log.jsonl").read_text().splitlines()]
    assert any("guided" in json.dumps(line) for line in log)
    done = typed("evaluate", out / "run", "--annotations", folder, "--data", folder, "--split", "test")
    assert done.code == 0 and "mAP audio-visual" in done.out and "tags copied" in done.out, done
    done = typed(
        "evaluate", tmp_path / "found.npz", "--annotations", folder, "--split", "test", "--json", out / "o.json"
    )
    assert done.code == 0 and typed("table", out / "o.json").code == 0, done
    assert read_predictions(tmp_path / "found.npz").clip_ids == tuple(TAGS["test_audio_weakly"])
