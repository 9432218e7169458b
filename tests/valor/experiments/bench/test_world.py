"""The simulated world: truth lent by tags, labels of the published quality, the same bytes, the mark everywhere."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_bench import TINY
from valor.data.datasets.dataset import LLP
from valor.data.label_file import read_pseudo_labels
from valor.data.provenance import of_folder, of_labels, told_by
from valor.data.tables import Split
from valor.experiments.bench import demo_world
from valor.experiments.bench.demo_world import make_demo
from valor.experiments.bench.evidence import LOOK_ALIKES, directions, draw_clips, matched_cuts, quality_noise
from valor.experiments.bench.truth import lent_truth
from valor.experiments.bench.world import QUALITY, make_llp
from valor.label_harvest.store.store import read_store


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_llp(None, tmp_path_factory.mktemp("bench"), "small", TINY, TINY.knobs)


def lenders(tags, truth):
    names = tuple(f"class {n}" for n in range(tags.shape[1]))
    ids = tuple(f"clip {n}" for n in range(len(tags)))
    return Split("val", ids, names, tags, truth)


def test_a_clip_with_the_tags_of_an_annotated_one_has_its_truth():
    rng = np.random.default_rng(0)
    tags = np.eye(4, dtype=bool)
    tags[3, 0] = True
    truth = (rng.random((4, 10, 2, 4)) < 0.5) & tags[:, None, None]
    assert (lent_truth(tags, lenders(tags, truth), rng) == truth).all()


def test_a_tag_set_nobody_has_is_lent_in_parts_and_an_unheard_class_by_another():
    tags = np.array([[True, True, False, False], [False, False, True, False]])
    truth = np.zeros((2, 10, 2, 4), bool)
    truth[0, :3, 0, 0] = truth[0, 2:5, 1, 1] = truth[1, 5:, :, 2] = True
    asked = np.array([[True, True, True, False], [False, False, True, True]])
    found = lent_truth(asked, lenders(tags, truth), np.random.default_rng(0))
    assert (found[0, :, :, :2] == truth[0, :, :, :2]).all() and (found[0, :, :, 2] == truth[1, :, :, 2]).all()
    assert found[1, :, :, 3].any(), "no annotated clip is tagged with it"
    assert not found[1, :, :, :2].any()


def test_look_alikes_lie_close_and_others_do_not():
    axes = directions(LLP.names, 256, (0,))
    likeness = axes @ axes.T
    place = {name: n for n, name in enumerate(LLP.names)}
    for one, other in LOOK_ALIKES:
        assert likeness[place[one], place[other]] == pytest.approx(0.6, abs=1e-5)
    assert np.median(np.abs(likeness[~np.eye(25, dtype=bool)])) < 0.1


def test_a_silent_class_leaves_a_trace_and_one_that_is_not_in_the_clip_none():
    truth = np.zeros((50, 10, 2, 3), bool)
    truth[:, :4, 0, 0] = True  # heard for a while, never seen
    seen = draw_clips(truth, 1, (0,))
    assert not seen.evidence(0.0).any()
    assert (seen.evidence(0.5)[:, :, 0] > 0).all() and not seen.evidence(0.5)[:, :, 1:].any()
    heard = draw_clips(truth, 0, (0,)).evidence(0.5)[:, :, 0]
    assert (heard[:, :4].min(axis=1) > heard[:, 4:].max(axis=1)).all()


def test_cuts_label_as_many_seconds_as_are_true_and_noise_is_found_by_the_figure():
    rng = np.random.default_rng(0)
    tags = rng.random((200, 2)) < 0.5
    truth = (rng.random((200, 10, 2)) < 0.3) & tags[:, None]
    scores = rng.standard_normal(truth.shape).astype(np.float32)
    labels = (scores > matched_cuts(scores, truth, tags)) & tags[:, None]
    assert labels.sum() == pytest.approx(truth.sum(), rel=0.02)
    assert quality_noise(lambda noise: 90 - 10 * noise, 65) == pytest.approx(2.5, abs=1e-3)


def test_labels_have_the_published_quality_and_the_rest_is_a_check(world):
    for kind, published in QUALITY.items():
        for figure in ("audio", "visual"):
            assert world.quality[kind][figure] == pytest.approx(published[figure], abs=3), (kind, figure)
    assert world.quality["teachers"]["type_av"] < world.quality["generator"]["type_av"]


def test_everything_in_it_says_that_it_is_simulated(world):
    store = read_store(world.data / "store")
    assert of_folder(world.data).simulated and told_by(store.manifest).simulated
    assert of_labels(world.data / "labels" / "teachers").simulated
    assert world.data.name == "SIMULATED-llp-small" and world.title.startswith("SIMULATED: tables invented")
    assert json.loads((world.data / "labels" / "label_quality.json").read_text(encoding="utf-8"))["simulated"] is True


def test_labels_are_those_of_the_scores_in_the_store(world):
    store, labels = read_store(world.data / "store"), read_pseudo_labels(world.data / "labels" / "teachers")
    rows = [store.clip_ids.index(clip_id) for clip_id in labels.clip_ids]
    for modality, role in enumerate(("audio", "visual")):
        said = (store.logits(role)[rows] > 0) & store.weak_labels[rows][:, None]
        assert (said == labels.marked[:, :, modality]).mean() > 0.9999, "float16 may round one at its threshold"


def test_the_same_world_has_the_same_bytes_and_another_is_refused(world, tmp_path):
    again = make_llp(None, tmp_path, "small", TINY, TINY.knobs)
    for file in sorted(world.data.rglob("*")):
        if file.is_file():
            assert (again.data / file.relative_to(world.data)).read_bytes() == file.read_bytes(), file
    with pytest.raises(ValueError, match="holds another simulation"):
        make_llp(None, tmp_path, "small", TINY, replace(TINY.knobs, trace=0.9))


def test_the_tables_of_llp_are_used_where_they_are(shared, tmp_path):
    found = make_llp(shared / "llp", tmp_path, "small", TINY, TINY.knobs)
    assert found.title.startswith("SIMULATED: LLP's tables")
    known = LLP.read_split(shared / "llp", "test")
    test = LLP.read_split(found.data, "test")
    assert set(test.clip_ids) < set(known.clip_ids) and len(test.clip_ids) == TINY.clips["test"]


def test_the_demo_gets_teachers_as_poor_as_llps_and_keeps_what_they_see(world, tmp_path, monkeypatch):
    source = tmp_path / "data"
    shutil.copytree(world.data, source)  # tables, and a store in the place of the demo's
    (source / "SIMULATED.json").unlink()
    (source / "world.json").write_text("{}")
    held = read_store(source / "store")
    monkeypatch.setattr(demo_world, "world_evidence", lambda *_, **__: held)
    found = make_demo(source, tmp_path / "out", "small", TINY)
    assert found.data.name == "SIMULATED-demo-small" and found.title.startswith("SIMULATED: demo world")
    assert of_folder(found.data).simulated and not of_folder(source).simulated
    store = read_store(found.data / "store")
    rows = [held.clip_ids.index(clip_id) for clip_id in store.clip_ids]
    assert (store.arrays["visual.embedding"] == held.arrays["visual.embedding"][rows]).all()
    for figure in ("audio", "visual"):
        assert found.quality["teachers"][figure] <= QUALITY["teachers"][figure] + 1.5
    monkeypatch.setattr(demo_world, "finish_world", None)  # not made again
    assert make_demo(source, tmp_path / "out", "small", TINY) == found
