"""The published layout of a store: names, types and shapes, and nothing passed off as what it is not."""

from dataclasses import replace

import numpy as np
import pytest

from label_harvest.shards import ShardRow, write_shard
from label_harvest.store import describe, open_store, read_store
from valor import store_export
from valor.feature_files import FEATURE_FILES
from valor.labelling import label_clips
from valor.store_export import export_store, plan_export, unlike_published

CLASSES = ("Dog", "Cello", "Speech")
CLIPS = ("aaaaaaaaaaa_0_10", "bbbbbbbbbbb_5_15", "plain-name", "ccccccccccc_30_40")
ZERO = {"audio": np.zeros(3), "visual": np.zeros(3)}
JUDGE = {"teacher": "toy", "weights": "w", "logit_scale": 10.0, "logit_bias": 0.0, "prompts": list(CLASSES)}
TEACHERS = {
    "audio": JUDGE,
    "visual": JUDGE,
    **{role: {"teacher": role, "weights": "w"} for role in ("vggish", "res152", "r2plus1d")},
}
SHAPES = {
    "audio.map": (64, 768),
    "audio.folded": (10, 768),
    "visual.embedding": (10, 768),
    "vggish.features": (10, 128),
    "res152.features": (10, 2048),
    "r2plus1d.features": (10, 512),
}


def write_store(root, names=tuple(SHAPES), **shapes):
    """Two shards of two clips; the second clip has no sound, and the last one lost its VGGish features."""
    rng = np.random.default_rng(0)
    kinds = {name: shapes.get(name.replace(".", "_"), SHAPES[name]) for name in names}
    roles = {"audio", "visual", *(name.partition(".")[0] for name in names)}
    made = {role: identity for role, identity in TEACHERS.items() if role in roles}
    folder = open_store(root, describe(CLASSES, {"num_segments": 10}, made))
    for index in range(2):
        clips = CLIPS[2 * index : 2 * index + 2]
        arrays = {f"{role}.similarity": rng.uniform(-1, 1, (2, 10, 3)).astype(np.float32) for role in ZERO}
        arrays |= {name: rng.normal(size=(2, *shape)).astype(np.float16) for name, shape in kinds.items()}
        for name in arrays:
            if index == 0 and name.startswith(("audio", "vggish")):
                arrays[name][1] = np.nan
            if index == 1 and name.startswith("vggish"):
                arrays[name][1] = np.nan
        write_shard(folder, index, arrays, [ShardRow(clip, "ok", "", ("Dog", "Speech")) for clip in clips])
    return root


def exported(root, out, *, folded=False):
    store = read_store(root, names=[f"{role}.similarity" for role in ZERO])
    labels, _ = label_clips(store, ZERO)
    plan = plan_export(store, labels, folded=folded)
    return labels, plan, *export_store(out, root, labels, plan, progress=False)


def folders_of(out):
    return {str(path.parent.relative_to(out)) for path in out.rglob("*.npy")}


def test_every_published_kind_has_its_name_type_and_shape(tmp_path):
    root, out = write_store(tmp_path / "s"), tmp_path / "out"
    labels, plan, counted, features = exported(root, out)
    assert labels.clip_ids == (CLIPS[0], *CLIPS[2:]) and counted == 6
    published = {
        FEATURE_FILES[kind].folder: FEATURE_FILES[kind].shape for kind in ("clap", "clip", "vggish", "r2plus1d")
    }
    assert {found.folder: found.shape for found in features} == published
    assert folders_of(out) == {*published, *plan.labels} and not any(map(unlike_published, features))
    evidence = read_store(root)
    for folder, name in plan.features.items():
        array = np.load(out / folder / "plain-name.npy", allow_pickle=False)
        assert (array.dtype, array.shape) == (np.float32, published[folder])
        assert np.array_equal(array, evidence.arrays[name][2].astype(np.float32))
    for m, folder in enumerate(plan.labels):
        array = np.load(out / folder / "plain-name.npy", allow_pickle=False)
        assert array.dtype == np.int64 and np.array_equal(array, labels.labels[1, :, m])
        assert sorted(path.name for path in (out / folder).iterdir()) == [
            "aaaaaaaaaaa.npy",
            "ccccccccccc.npy",
            "plain-name.npy",
        ]


def test_a_clip_without_whole_features_has_no_file_of_them(tmp_path):
    *_, features = exported(write_store(tmp_path / "s"), tmp_path / "out")
    assert {found.folder: found.files for found in features}["feats/vggish"] == 2
    assert not (tmp_path / "out/feats/vggish/ccccccccccc.npy").exists()


def test_a_mean_of_eight_frames_is_not_passed_off_as_eighty(tmp_path):
    root = write_store(tmp_path / "s", ("res152.features", "audio.folded"))
    _, plan, *_ = exported(root, tmp_path / "out")
    assert folders_of(tmp_path / "out") == set(plan.labels)
    clap, clip, res152 = sorted(plan.lacking, key=lambda note: note.split(":")[0])
    assert clap.startswith("no CLAP/features: the store keeps audio.folded, one row per segment, of which [64, 768] ")
    assert "with --raw-maps for them; --folded writes the rows to CLAP/features_folded" in clap
    assert clip == "no CLIP/features: the store does not hold visual.embedding"
    assert res152.startswith(
        "no feats/res152: the store keeps res152.features, one row per segment, of which [80, 2048] "
    )
    _, plan, _, features = exported(root, tmp_path / "out", folded=True)
    assert {found.folder: found.shape for found in features} == {
        "CLAP/features_folded": (10, 768),
        "feats/res152_folded": (10, 2048),
    }
    assert "the rows are in feats/res152_folded" in " ".join(plan.lacking)
    assert not (tmp_path / "out/feats/res152").exists() and not (tmp_path / "out/CLAP/features").exists()


def test_shapes_that_are_not_the_published_ones_are_said(tmp_path):
    *_, features = exported(
        write_store(tmp_path / "s", ("visual.embedding",), visual_embedding=(10, 7)), tmp_path / "o"
    )
    assert [unlike_published(found) for found in features] == [" (published: [10, 768])"]


def test_one_shard_is_held_at_a_time(tmp_path, monkeypatch):
    root, alive = write_store(tmp_path / "s"), []

    def counted(path, *, names):
        assert not any(name.endswith("similarity") for name in names)
        for index in range(2):
            alive.append(index)
            shard = next(shard for n, shard in enumerate(read(path, names=names)) if n == index)
            yield shard
            written = {path.stem for path in (tmp_path / "out/CLIP/features").iterdir()}
            assert ("ccccccccccc" in written) == (index == 1), "written before the next shard is read"

    read = store_export.read_shards
    monkeypatch.setattr(store_export, "read_shards", counted)
    exported(root, tmp_path / "out")
    assert alive == [0, 1]


def test_clips_that_would_share_a_file_and_soft_labels_are_refused(tmp_path):
    store = read_store(write_store(tmp_path / "s"), names=[f"{role}.similarity" for role in ZERO])
    soft, _ = label_clips(store, ZERO, temperature=1.0)
    with pytest.raises(ValueError, match="holds labels of 0 and 1, got soft ones; export labels made without --soft"):
        plan_export(store, soft)
    labels, _ = label_clips(store, ZERO)
    twice = replace(labels, clip_ids=("aaaaaaaaaaa_0_10", "aaaaaaaaaaa_10_20", "plain-name"))
    with pytest.raises(ValueError, match="1 such names stand for several clips, such as aaaaaaaaaaa"):
        export_store(tmp_path / "out", tmp_path / "s", twice, plan_export(store, labels), progress=False)
    assert not (tmp_path / "out").exists()
