from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.toy_features import CLASSES, toy_clip_set, toy_split
from valor.data.features.feature_files import FEATURE_FILES, LABEL_FOLDERS
from valor.data.features.feature_options import FeatureOptions
from valor.data.features.published_files import import_features
from valor.data.label_file import read_pseudo_labels, write_pseudo_labels
from valor.data.read_clips import read_clip_set
from valor.parsers.folding import clap_pool_matrix

PLUS_PLUS = FeatureOptions(audio="clap", visual="clip")


def _write(folder: Path, clip_id: str, array: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{clip_id[:11]}.npy", array)


@pytest.fixture
def published(tmp_path) -> Path:
    """The published layout for three clips, every feature kind and both label folders."""
    rng = np.random.default_rng(1)
    for clip_id in toy_split().clip_ids:
        for kind in FEATURE_FILES.values():
            _write(tmp_path / kind.folder, clip_id, rng.normal(size=kind.shape).astype(np.float32))
        for folder in LABEL_FOLDERS:
            _write(tmp_path / folder, clip_id, rng.integers(0, 2, size=(10, len(CLASSES))))
    return tmp_path


def _raw(root: Path, kind: str, clip_id: str) -> torch.Tensor:
    return torch.from_numpy(np.load(root / FEATURE_FILES[kind].folder / f"{clip_id[:11]}.npy"))


def test_published_features_are_folded_and_in_the_order_of_the_split(published):
    split = replace(toy_split(), clip_ids=toy_split().clip_ids[::-1])
    clips = read_clip_set(published, split, FeatureOptions())
    assert clips.widths() == {"audio_width": 128, "visual_width": 2048, "motion_width": 512, "num_classes": 3}
    for row, clip_id in enumerate(split.clip_ids):
        assert torch.equal(clips.audio[row], _raw(published, "vggish", clip_id))
        frames = _raw(published, "res152", clip_id).reshape(10, 8, 2048)
        assert torch.allclose(clips.visual[row], frames.mean(dim=1), atol=1e-6)
    audio = read_clip_set(published, split, PLUS_PLUS).audio
    expected = clap_pool_matrix(torch.float32) @ _raw(published, "clap", split.clip_ids[0])
    assert torch.allclose(audio[0], expected, atol=1e-6)


def test_features_are_read_unfolded_for_networks_that_bend_them_first(published):
    clip_ids = toy_split().clip_ids
    clips = read_clip_set(published, toy_split(), FeatureOptions(audio="clap", unfolded=True))
    assert clips.widths()["audio_width"] == 7 * 768 and clips.widths()["visual_width"] == 8 * 2048
    tokens, frames = _raw(published, "clap", clip_ids[1]), _raw(published, "res152", clip_ids[1])
    assert torch.equal(clips.audio[1].reshape(70, 768)[:64], tokens) and not clips.audio[1, 9, 768:].any()
    assert torch.equal(clips.visual[1].reshape(80, 2048), frames)
    assert torch.equal(clips.motion[1], _raw(published, "r2plus1d", clip_ids[1]))
    import_features(published, toy_split(), "res152", progress=False)
    again = read_clip_set(published, toy_split(), FeatureOptions(unfolded=True))
    assert torch.equal(again.visual, clips.visual), "what was packed is folded, and passed over"
    (published / "feats/res152").rename(published / "away")
    with pytest.raises(
        FileNotFoundError, match=r"what was packed is folded, and features.unfolded=true needs the files"
    ):
        read_clip_set(published, toy_split(), FeatureOptions(unfolded=True))


def test_published_labels_are_audio_then_visual(published):
    split = toy_split()
    clips = read_clip_set(published, split, PLUS_PLUS, labels=published)
    for modality, folder in enumerate(("CLAP", "CLIP")):
        expected = np.load(published / folder / "segment_pseudo_labels" / f"{split.clip_ids[1][:11]}.npy")
        assert np.array_equal(clips.pseudo_labels[1, :, modality], expected.astype(bool))


def test_label_file_round_trip_and_alignment(tmp_path, published):
    split = toy_split()
    labels = np.random.default_rng(0).random((3, 10, 2, 3)) < 0.5
    write_pseudo_labels(tmp_path / "out" / "pseudo_labels.npz", split.clip_ids[::-1], CLASSES, labels)
    assert np.array_equal(read_pseudo_labels(tmp_path / "out").labels, labels)
    clips = read_clip_set(published, split, PLUS_PLUS, labels=tmp_path / "out")
    assert np.array_equal(clips.pseudo_labels, labels[::-1])


def test_labels_of_other_classes_are_refused(tmp_path, published):
    labels = np.zeros((3, 10, 2, 3), dtype=bool)
    write_pseudo_labels(tmp_path / "pseudo_labels.npz", toy_split().clip_ids, ("Dog", "Bell", "Drum"), labels)
    with pytest.raises(ValueError, match=r"for the 3 classes of the split in their order, got 3 classes \(Dog, Bell"):
        read_clip_set(published, toy_split(), PLUS_PLUS, labels=tmp_path)


def test_missing_clips_are_named_or_dropped(published, caplog):
    split = toy_split(name="val")
    (published / "CLIP/features" / f"{split.clip_ids[1][:11]}.npy").unlink()
    remedy = "features.missing=drop"
    with pytest.raises(ValueError, match=rf"no clip features for 1 clip \({split.clip_ids[1]}\) of 3.*{remedy}"):
        read_clip_set(published, split, PLUS_PLUS)
    clips = read_clip_set(published, split, replace(PLUS_PLUS, missing="drop"))
    assert clips.clip_ids == (split.clip_ids[0], split.clip_ids[2])
    assert torch.equal(clips.truth, torch.from_numpy(split.truth[[0, 2]]))
    assert "leaving these clips out" in caplog.text


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"CLAP/features: no such folder; expected one <clip>\.npy"):
        read_clip_set(tmp_path, toy_split(), PLUS_PLUS)


@pytest.mark.parametrize(("content", "message"), [
    (b"", "could not be read"),
    (b"\x93NUMPY\x01\x00", "could not be read"),
    (b"PK\x03\x04 cut off", "could not be read"),
    (np.zeros((10, 512), np.float32), r"expected clip features .* of shape \(10, 768\), got float32 \(10, 512\)"),
    (np.full((10, 768), np.nan, np.float32), "must be finite floats"),
    (np.zeros((10, 768), np.int64), "must be finite floats, got int64"),
    (np.full((10, 768), None), r"could not be read \(it holds Python objects or is no \.npy file\); fetch or make"),
    (b"0 1 0\n", r"could not be read \(it holds Python objects or is no \.npy file\); fetch or make"),
])  # fmt: skip
def test_damaged_and_foreign_files_are_refused_by_name(published, content, message):
    path = published / "CLIP/features" / f"{toy_split().clip_ids[2][:11]}.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(ValueError, match=f"{path}: .*{message}"):
        read_clip_set(published, toy_split(), PLUS_PLUS)


def test_truncated_file_is_refused(published):
    path = published / "CLIP/features" / f"{toy_split().clip_ids[0][:11]}.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=f"{path}: .*could not be read"):
        read_clip_set(published, toy_split(), PLUS_PLUS)


def test_labels_other_than_zero_and_one_are_refused(published):
    path = published / LABEL_FOLDERS[1] / f"{toy_split().clip_ids[0][:11]}.npy"
    np.save(path, np.full((10, 3), 2))
    with pytest.raises(ValueError, match=f"{path}: pseudo labels must be 0 or 1, got 2..2"):
        read_clip_set(published, toy_split(), PLUS_PLUS, labels=published)


def _write_store(root: Path, arrays: dict[str, np.ndarray], clip_ids: tuple[str, ...]) -> None:
    """A store as a harvest leaves it."""
    from valor.label_harvest.store.shards import ShardRow, write_shard
    from valor.label_harvest.store.share import write_lock
    from valor.label_harvest.store.store import describe, open_store

    identity = {"teacher": "toy", "prompts": list(CLASSES), "logit_scale": 1.0, "logit_bias": 0.0}
    folder = open_store(root, describe(CLASSES, {"num_segments": 10}, {"audio": identity, "visual": identity}))
    rows = [ShardRow(clip_id, "done", "", ("Dog",)) for clip_id in clip_ids]
    with write_lock(folder):
        write_shard(folder, 0, arrays, rows)


def test_evidence_store_is_read_and_absent_evidence_is_never_zero(tmp_path):
    split = toy_split()
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(3, 10, 4)).astype(np.float16) for name in ("audio.embedding", "visual.embedding")}
    arrays["visual.embedding"][1] = np.nan
    _write_store(tmp_path / "store", arrays, split.clip_ids[::-1])
    options = FeatureOptions(audio="audio.embedding", visual="visual.embedding", motion=None)
    absent = split.clip_ids[::-1][1]
    with pytest.raises(ValueError, match=rf"no visual\.embedding features for 1 clip \({absent}\) of 3"):
        read_clip_set(tmp_path, split, options)
    clips = read_clip_set(tmp_path, split, replace(options, missing="drop"))
    assert clips.clip_ids == (split.clip_ids[0], split.clip_ids[2])
    assert np.array_equal(clips.audio, arrays["audio.embedding"][[2, 0]].astype(np.float32))
    assert clips.motion is None


def test_half_precision_is_for_keeping_only(published):
    half = read_clip_set(published, toy_split(), replace(PLUS_PLUS, precision="float16"))
    whole = read_clip_set(published, toy_split(), PLUS_PLUS)
    assert half.visual.dtype == torch.float16
    batch = half.batch(torch.tensor([2, 0]))
    assert batch.visual.dtype == torch.float32
    assert torch.equal(batch.visual, whole.visual[[2, 0]].half().float())


def test_batch_takes_rows_of_everything():
    clips = toy_clip_set(6)
    batch = clips.batch(torch.tensor([4, 1]))
    assert batch.clip_ids == (clips.clip_ids[4], clips.clip_ids[1])
    assert torch.equal(batch.audio, clips.audio[[4, 1]])
    assert torch.equal(batch.pseudo_labels, clips.pseudo_labels[[4, 1]].float())
    taken = clips.take([4, 1])
    assert taken.clip_ids == batch.clip_ids and torch.equal(taken.truth, clips.truth[[4, 1]])


def test_fingerprint_sees_order_and_values():
    clips = toy_clip_set(4)
    shuffled = replace(clips, audio=clips.audio.roll(1, dims=0))
    swapped = replace(clips, pseudo_labels=clips.pseudo_labels.flip(1))
    prints = {c.fingerprint() for c in (clips, shuffled, swapped, clips.take([1, 0, 2, 3]))}
    assert len(prints) == 4
    assert clips.fingerprint() == toy_clip_set(4).fingerprint()


@pytest.mark.parametrize(("change", "message"), [
    ({"visual": torch.zeros(3, 5, 6)}, r"visual must be float \[4, 5, features\] for 4 clips, got .*\(3, 5, 6\)"),
    ({"weak_labels": torch.zeros(4, 3)}, r"weak_labels must be torch.bool \[4, 3\].*got torch.float32"),
    ({"truth": torch.zeros(4, 10, 2, 3, dtype=torch.bool)}, r"truth must be torch.bool \[4, 5, 2, 3\]"),
    ({"audio": torch.full((4, 5, 6), torch.nan)}, r"audio features must be finite, got NaN or Inf in 4 clips \(clip0"),
    ({"valid": torch.zeros(4, 5, dtype=torch.bool)}, "every clip needs a valid segment, got none in 4 clips"),
    ({"clip_ids": ()}, "at least one clip"),
])  # fmt: skip
def test_tensors_that_do_not_belong_together_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(toy_clip_set(4), **change)


@pytest.mark.parametrize(("change", "message"), [
    ({"audio": "vgish"}, "audio must be one of vggish.*got 'vgish'"),
    ({"precision": "bfloat16"}, "precision must be one of float32, float16"),
    ({"missing": "zero"}, "missing must be 'refuse' or 'drop', got 'zero'"),
])  # fmt: skip
def test_unknown_feature_options_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FeatureOptions(**change)


def test_label_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="valor labels"):
        read_pseudo_labels(tmp_path)
    (tmp_path / "pseudo_labels.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"expected the plain arrays clip_ids, classes and pseudo_labels"):
        read_pseudo_labels(tmp_path)
    with pytest.raises(ValueError, match=r"pseudo_labels must be bool .* = \[1, T, 2, 2\], got bool \(1, 10, 3, 2\)"):
        write_pseudo_labels(tmp_path / "x.npz", ["a"], ["b", "c"], np.zeros((1, 10, 3, 2), dtype=bool))
    assert not (tmp_path / "x.npz").exists()


def test_labels_of_one_modality_are_not_taken_for_labels_of_both(tmp_path, published):
    split = toy_split()
    heard = np.ones((3, 10, 2, 3), dtype=bool)
    heard[:, :, 1] = False
    write_pseudo_labels(tmp_path / "pseudo_labels.npz", split.clip_ids, CLASSES, heard, absent=("visual",))
    with pytest.raises(ValueError, match=r"these labels are of audio alone; as labels of visual their zeros would say"):
        read_clip_set(published, split, PLUS_PLUS, labels=tmp_path)


def test_soft_labels_come_through_as_they_are(tmp_path, published):
    split = toy_split()
    soft = np.random.default_rng(0).random((3, 10, 2, 3)).astype(np.float16)
    write_pseudo_labels(tmp_path / "pseudo_labels.npz", split.clip_ids[::-1], CLASSES, soft)
    clips = read_clip_set(published, split, PLUS_PLUS, labels=tmp_path)
    assert clips.pseudo_labels.dtype == torch.float16 and np.array_equal(clips.pseudo_labels, soft[::-1])
    batch = clips.batch(torch.tensor([2]))
    assert batch.pseudo_labels.dtype == torch.float32 and np.array_equal(batch.pseudo_labels[0].half(), soft[0])
    wrong = clips.pseudo_labels.clone()
    wrong[1, 0, 0, 0] = 1.5
    with pytest.raises(ValueError, match=rf"soft pseudo_labels must be probabilities .*{split.clip_ids[1]}"):
        replace(clips, pseudo_labels=wrong)


def test_half_features_are_kept_as_half_and_batched_as_float32(tmp_path):
    clips = toy_clip_set(6)
    half = replace(clips, audio=clips.audio.half(), visual=clips.visual.half())
    rows = torch.tensor([4, 0, 5])
    batch = half.batch(rows)
    assert batch.audio.dtype == torch.float32 and torch.equal(batch.audio, half.audio[rows].float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_batch_may_be_taken_into_the_memory_of_an_older_one(dtype):
    clips = toy_clip_set(9)
    clips = replace(clips, audio=clips.audio.to(dtype), visual=clips.visual.to(dtype))
    first = clips.batch(torch.tensor([0, 1, 2]))
    for rows in (torch.tensor([8, 3, 1]), torch.tensor([7])):  # as many clips, and fewer
        fresh, taken = clips.batch(rows), clips.batch(rows, into=first)
        assert taken.clip_ids == fresh.clip_ids
        for name in ("audio", "visual", "weak_labels", "pseudo_labels"):
            assert torch.equal(getattr(taken, name), getattr(fresh, name)), name
        assert (taken.audio.data_ptr() == first.audio.data_ptr()) == (len(rows) == 3)


def test_ten_segments_of_clips_of_any_length_are_refused(published):
    split = replace(toy_split(), truth=None, valid=np.arange(12) < np.array([[12], [7], [11]]))
    with pytest.raises(ValueError, match="audio has 10 segments of each clip, .* of any length; harvest them with len"):
        read_clip_set(published, split, FeatureOptions())
