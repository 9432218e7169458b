"""A clip whose name has accents is one clip, composed (NFC) or not (NFD, as macOS names files), whoever reads it."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.toy import write_toy_world
from tests.helpers.toy_harvest import CLASSES as HARVESTED
from tests.helpers.toy_harvest import GRID, digests, manifest_of, toy_harvest
from tests.helpers.toy_viewer import CLASSES, parse_record, write_parse
from valor.data.features.feature_files import read_feature_files
from valor.data.label_file import PseudoLabels
from valor.data.lint import lint_folder
from valor.data.prediction_files import (
    read_any_predictions,
    write_prediction_json,
    write_prediction_tables,
)
from valor.data.predictions import Predictions, read_predictions, score_predictions, write_predictions
from valor.data.rows import read_clip_list
from valor.data.tables import (
    EVENT_TABLES,
    WEAK_TABLES,
    Split,
    read_manifest,
    read_split,
    read_weak_table,
    write_event_table,
    write_weak_table,
)
from valor.label_harvest.inputs import KnownStore, Scope, plan_harvest
from valor.label_harvest.store.check import merge_stores, verify_store
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.store.store import read_store
from valor.video.paths import find_inputs
from valor.viewer.corrections import Corrections
from valor.viewer.options import SourceOptions
from valor.viewer.sources import read_document

NAME = "caf\u00e9_du_coin"
APART = unicodedata.normalize("NFD", NAME)
BOTH = (NAME, APART)
MARKS = np.zeros((1, 10, 2, len(CLASSES)), bool)
MARKS[0, 2:5, :, 1] = True


def annotate(folder: Path, tagged: str, heard: str) -> Path:
    """An annotation folder whose tables spell the clip in these two ways."""
    folder.mkdir(exist_ok=True)
    for name in WEAK_TABLES.values():
        write_weak_table(folder / name, [tagged], MARKS[:, 0, 0] | MARKS[:, 2, 0], CLASSES)
    for name in EVENT_TABLES["v2024"]:
        write_event_table(folder / name, [(heard, 2, 5, CLASSES[1])])
    return folder


@pytest.fixture
def split(tmp_path) -> Split:
    return read_split(annotate(tmp_path / "data", NAME, APART), "test", CLASSES)


def test_tables_of_tags_and_events_meet(split):
    assert split.clip_ids == (NAME,) and np.array_equal(split.truth, MARKS)


@pytest.mark.parametrize("ending", ["npz", "json", "tables"])
def test_predictions_are_of_the_clip(split, tmp_path, ending):
    path = tmp_path / ("said" if ending == "tables" else f"said.{ending}")
    if ending == "npz":
        np.savez(path, clip_ids=np.array([APART]), classes=np.array(CLASSES), predicted=MARKS)
    else:
        write = write_prediction_json if ending == "json" else write_prediction_tables
        write(path, [APART], CLASSES, MARKS)
    said = read_any_predictions(path, CLASSES)
    assert said.clip_ids == (NAME,) and score_predictions(said, split)[0].segment.type_av == 100


def test_parses_labels_and_python_too(split, tmp_path):
    parse = write_parse(tmp_path / "p.json", parse_record(f"{APART}.mp4", segments=10))
    assert read_any_predictions(parse, CLASSES, clip_ids=split.clip_ids).clip_ids == (NAME,)
    assert PseudoLabels((APART,), CLASSES, MARKS).clip_ids == (NAME,)
    assert Split("test", (APART,), CLASSES, MARKS.any(axis=(1, 2))).clip_ids == (NAME,)
    write_predictions(tmp_path / "p.npz", Predictions(clip_ids=(APART,), class_names=CLASSES, predicted=MARKS))
    assert read_predictions(tmp_path / "p.npz").clip_ids == (NAME,)
    (tmp_path / "clips.txt").write_text(f"{APART}\n", encoding="utf-8")
    assert read_clip_list(tmp_path / "clips.txt") == (NAME,)


def test_the_viewer_and_its_corrections_know_one_clip(split, tmp_path):
    for number, name in enumerate(BOTH):
        write_parse(tmp_path / f"{number}.json", parse_record(f"{name}.mp4", segments=10, system={"run": f"r{number}"}))
    options = SourceOptions(class_names=CLASSES, data=tmp_path / "data")
    document = read_document([str(tmp_path / f"{number}.json") for number in (0, 1)], options)
    assert [clip.clip_id for clip in document.clips] == [NAME] and document.clips[0].truth is not None
    corrections = Corrections(tmp_path / "c", document)
    for revision, name in enumerate(BOTH):
        corrections.save({"clip": name, "revision": revision, "checked": True, "events": []})
    corrections.close()
    journal = tmp_path / "c" / "journal.jsonl"
    journal.write_text(journal.read_text(encoding="utf-8").replace(NAME, APART), encoding="utf-8")
    assert Corrections(tmp_path / "c", document).current[NAME].revision == 2


def test_features_are_found_however_their_file_is_spelled(split, tmp_path):
    folder = tmp_path / "CLIP/features"
    folder.mkdir(parents=True)
    np.save(folder / f"{APART}.npy", np.ones((10, 768), np.float32))
    found = read_feature_files(tmp_path, "clip", split)
    assert not found.missing and found.tensor.sum() == 7680
    np.save(folder / f"{NAME}.npy", np.zeros((10, 768), np.float32))
    with pytest.raises(ValueError, match=f"{NAME}.npy is there twice, composed and decomposed; keep one"):
        read_feature_files(tmp_path, "clip", split)


@pytest.mark.parametrize("first", BOTH)
def test_a_store_goes_on_with_the_other_spelling(tmp_path, first):
    videos = write_toy_world(tmp_path / "videos", [NAME], seconds=2)
    folder = toy_harvest([first], videos, tmp_path / "store").folder
    before = digests(folder)
    other_way = APART if first == NAME else NAME
    teachers = {role: {"teacher": "fake"} for role in ("visual", "audio")}
    known = KnownStore(class_names=HARVESTED, grid=GRID, teachers=teachers)
    planned = plan_harvest(manifest_of(other_way), videos, tmp_path / "store", known, Scope(shard_size=4))
    assert (planned.new, planned.again, sum(planned.kept.values())) == (0, 0, 1)
    again = toy_harvest([other_way], videos, tmp_path / "store")
    assert again.skipped == 1 and digests(folder) == before
    assert read_store(folder).clip_ids == (NAME,)
    assert not verify_store(folder).problems
    other = toy_harvest([other_way], videos, tmp_path / "other").folder
    merge_stores([folder, other], tmp_path / "both")
    assert read_store(tmp_path / "both").clip_ids == (NAME,)


def test_two_spellings_in_one_place_are_refused_by_name(tmp_path):
    table = tmp_path / "t.csv"
    write_weak_table(table, BOTH, np.eye(2, 3, dtype=bool), CLASSES)
    with pytest.raises(ValueError, match=f"t.csv:3: clip '{NAME}' stands here a second time"):
        read_weak_table(table, CLASSES)
    with pytest.raises(ValueError, match=f"clip '{NAME}' stands here a second time"):
        read_manifest(table, CLASSES)
    with pytest.raises(ValueError, match=f"clip ids must be unique, 1 repeat: {NAME}"):
        HarvestManifest(BOTH, HARVESTED, np.ones((2, 2), bool))
    with pytest.raises(ValueError, match=f"clip_ids must be unique.*{NAME}"):
        Predictions(clip_ids=BOTH, class_names=CLASSES, predicted=np.repeat(MARKS, 2, axis=0))
    with pytest.raises(ValueError, match="clip_ids must be unique"):
        PseudoLabels(BOTH, CLASSES, np.repeat(MARKS, 2, axis=0))
    with pytest.raises(ValueError, match=f"listed once, got 1 more than once .{NAME}"):
        write_prediction_json(tmp_path / "p.json", BOTH, CLASSES, np.repeat(MARKS, 2, axis=0))
        read_any_predictions(tmp_path / "p.json", CLASSES)
    folder = annotate(tmp_path / "data", NAME, APART)
    assert not {"orphan"} & {finding.kind for finding in lint_folder(folder, CLASSES).findings}
    write_weak_table(folder / WEAK_TABLES["test"], BOTH, np.eye(2, 3, dtype=bool), CLASSES)
    assert "repeated-clip" in {finding.kind for finding in lint_folder(folder, CLASSES).findings}


def test_media_of_both_spellings_get_results_of_their_own(tmp_path):
    for name in BOTH:
        (tmp_path / f"{name}.mp4").touch()
    names = [media.name for media in find_inputs([str(tmp_path)])]
    assert len({unicodedata.normalize("NFC", name) for name in names}) == 2
