"""Simulated features: the published shapes, a signal that is there, and the mark everywhere."""

import json

import numpy as np
import pytest

from valor.data.datasets.dataset import LLP
from valor.data.features.feature_files import FEATURE_FILES, SEGMENTS
from valor.data.features.feature_options import FeatureOptions
from valor.data.features.packed import packed_cards, read_packed
from valor.data.provenance import MARK
from valor.data.read_clips import read_clip_set
from valor.data.tables import WEAK_TABLES, read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.experiments.simulated import SimulationOptions, segment_events, simulate

NAMES = class_names(LLP_CLASSES)
CLASSIC = ("vggish", "res152", "r2plus1d")
SMALL = SimulationOptions(clips=60)


def test_without_options_the_sizes_are_those_of_llp():
    assert SimulationOptions().split_sizes() == LLP.sizes
    assert sum(LLP.sizes.values()) == 11_849
    assert sum(SMALL.split_sizes().values()) == 60


def test_features_have_the_published_kinds_shapes_and_precision(tmp_path):
    out = simulate(tmp_path, FEATURE_FILES, SMALL, tmp_path, progress=False)
    assert out == tmp_path / "SIMULATED-60-clips"
    cards = packed_cards(out, tuple(WEAK_TABLES))
    assert len(cards) == len(FEATURE_FILES) * 3
    for card in cards:
        assert card.shape == (SMALL.split_sizes()[card.split], SEGMENTS, FEATURE_FILES[card.kind].shape[1])
        assert (card.dtype, card.source_shape) == ("float32", FEATURE_FILES[card.kind].shape)
        assert card.source.startswith(MARK)
    features, _ = read_packed(out, "clap", "train")
    assert 0.9 < features.std().item() < 1.1


def test_a_parser_can_be_trained_on_them(tmp_path):
    out = simulate(tmp_path, CLASSIC, SMALL, tmp_path, progress=False)
    train = read_clip_set(out, read_split(out, "train", NAMES), FeatureOptions(), labels=out)
    assert train.visual.shape[1:] == (10, 2048) and train.motion.shape[1:] == (10, 512)
    tagged = train.weak_labels[:, None, None].expand_as(train.pseudo_labels)
    assert not (train.pseudo_labels & ~tagged).any()
    assert 0.3 < train.pseudo_labels[tagged].float().mean() < 0.9


def test_there_is_a_class_signal_as_weak_as_is_asked(tmp_path):
    options = SimulationOptions(clips=600, signal=2.0)
    out = simulate(tmp_path, ("vggish",), options, tmp_path, progress=False)
    features = {s: read_packed(out, "vggish", s)[0].numpy().reshape(-1, 128) for s in ("train", "val")}
    events = {s: segment_events(read_split(out, s, NAMES), 0)[:, :, 0].reshape(-1, 25) for s in features}
    speech = NAMES.index("Speech")
    target = events["train"][:, speech]
    direction = features["train"][target].mean(0) - features["train"][~target].mean(0)
    found = features["val"] @ direction
    on, off = found[events["val"][:, speech]], found[~events["val"][:, speech]]
    ranked = (on[:, None] > off).mean()  # area under the ROC curve
    assert 0.75 < ranked < 0.98, ranked


@pytest.mark.parametrize(
    ("kind", "modality"), [("vggish", 0), ("clap", 0), ("res152", 1), ("r2plus1d", 1), ("clip", 1)]
)
def test_each_kind_speaks_of_its_own_modality(tmp_path, kind, modality):
    out = simulate(tmp_path, (kind,), SimulationOptions(clips=60, signal=200.0), tmp_path, progress=False)
    loud = read_packed(out, kind, "test")[0].numpy().std(axis=-1) > 2
    events = segment_events(read_split(out, "test", NAMES), 0)
    np.testing.assert_array_equal(loud, events[:, :, modality].any(axis=-1))


def test_events_are_drawn_within_the_tags_and_differ_between_the_modalities(tmp_path):
    out = simulate(tmp_path, (), SMALL, tmp_path, progress=False)
    train = read_split(out, "train", NAMES)
    events = segment_events(train, 0)
    assert (events.any(axis=(1, 2)) == train.weak_labels).all()
    assert (events[:, :, 0] != events[:, :, 1]).any()
    assert 0.2 < events.all(axis=1)[events.any(axis=1)].mean() < 0.8, "some events last the whole clip, some do not"
    np.testing.assert_array_equal(events, segment_events(train, 0))


def test_what_is_there_is_used_again_and_only_kinds_that_lack_are_made(tmp_path):
    out = simulate(tmp_path, ("vggish",), SMALL, tmp_path, progress=False)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    simulate(tmp_path, ("vggish", "clip"), SMALL, tmp_path, progress=False)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (out / "packed" / "clip.test.json").is_file()


def test_the_tables_of_the_data_folder_are_used_where_there_are_some(shared, tmp_path):
    for path in (shared / "llp").glob("AVVP_*.csv"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    out = simulate(tmp_path, (), SimulationOptions(clips=120), tmp_path, progress=False)
    whole, thinned = (read_split(folder, "test", NAMES) for folder in (tmp_path, out))
    row_of = {clip_id: row for row, clip_id in enumerate(whole.clip_ids)}
    rows = [row_of[clip_id] for clip_id in thinned.clip_ids]
    assert len(rows) == SimulationOptions(clips=120).split_sizes()["test"]
    np.testing.assert_array_equal(thinned.truth, whole.truth[rows])
    np.testing.assert_array_equal(thinned.weak_labels, whole.weak_labels[rows])
    assert len(json.loads((out / "SIMULATED.json").read_text())["tables"]) == 64, "by what they say, not where they are"


def test_a_folder_of_another_simulation_is_refused(tmp_path):
    out = simulate(tmp_path, (), SMALL, tmp_path, progress=False)
    assert json.loads((out / "SIMULATED.json").read_text())["tables"] == MARK
    assert json.loads((out / "labels.json").read_text())["simulated"] is True
    with pytest.raises(ValueError, match="another simulation: expected signal=1.0, got signal=8.0; remove it to make"):
        simulate(tmp_path, (), SimulationOptions(clips=60, signal=1.0), tmp_path, progress=False)
    for text in ("{", "7"):
        (out / "SIMULATED.json").write_text(text)
        with pytest.raises(ValueError, match=r"SIMULATED.json: expected the JSON of a simulation.*remove"):
            simulate(tmp_path, (), SMALL, tmp_path, progress=False)


def test_a_simulation_of_tables_that_have_moved_is_found_again(tmp_path):
    tables = simulate(tmp_path / "world", (), SMALL, tmp_path / "world", progress=False)
    for name in ("here", "there", "other"):
        (tmp_path / name).mkdir()
        for path in tables.glob("AVVP_*.csv"):
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
    options = SimulationOptions(clips=30)
    out = simulate(tmp_path / "here", (), options, tmp_path / "out", progress=False)
    assert simulate(tmp_path / "there", (), options, tmp_path / "out", progress=False) == out
    events = (tmp_path / "other/AVVP_eval_audio.csv").read_text().splitlines()
    (tmp_path / "other/AVVP_eval_audio.csv").write_text("\n".join(events[:-1]) + "\n")
    with pytest.raises(ValueError, match="another simulation: expected tables=[0-9a-f]{64}, got tables="):
        simulate(tmp_path / "other", (), options, tmp_path / "out", progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clips": 5}, "clips must be at least 12"),
        ({"signal": -1.0}, "signal must not be negative"),
        ({"label_errors": 2.0}, r"label_errors lie in \[0, 1\]"),
        ({"precision": "int8"}, "precision be one of float32, float16"),
    ],
)
def test_options_nothing_can_be_simulated_with_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SimulationOptions(**options)


def test_kinds_that_were_never_published_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"only the published kinds vggish.*got visual.embedding"):
        simulate(tmp_path, ("visual.embedding",), SMALL, tmp_path)
