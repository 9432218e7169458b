"""The label generator against the golden vectors: labels, index rules, quantisation and both front ends."""

import hashlib
import json

import numpy as np
import pytest
import torch

from tests.helpers.golden_recipe import uniform
from valor.label_harvest.media.clip import audio_segments, frame_indices, resample_by_index
from valor.label_harvest.pseudo_labels import pseudo_labels
from valor.label_harvest.store.manifest import MODALITIES
from valor.label_harvest.teachers.clap import quantise
from valor.label_harvest.teachers.clip import IMAGE_MEAN, IMAGE_STD, preprocess
from valor.label_harvest.teachers.mel import log_mel

SEED = 20240


def unpack(packed: np.ndarray, *shape: int) -> np.ndarray:
    """Bool [N, *shape] from rows of packed bits."""
    bits = np.unpackbits(packed, axis=1, count=int(np.prod(shape)))
    return bits.reshape(len(packed), *shape).astype(bool)


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("modality", MODALITIES)
def test_pseudo_labels_are_exact(shared, modality):
    golden = np.load(shared / "golden" / "harvest.npz", allow_pickle=False)
    weak_labels = unpack(golden["weak_labels"], 25)
    logits, thresholds = golden[f"logits_{modality}"], golden[f"thresholds_{modality}"]
    labels = pseudo_labels(logits, weak_labels, thresholds)
    assert (labels == unpack(golden[f"pseudo_{modality}"], 10, 25)).all()
    assert labels.sum() == read_json(shared / "golden" / "harvest.json")[modality]["positives"]
    ties = (logits == thresholds) & weak_labels[:, None]
    assert ties.sum() > 50 and not labels[ties].any()


def test_frame_indices_are_exact(shared):
    for num_slots, picked in read_json(shared / "golden" / "frame_index.json")["picked"].items():
        assert frame_indices(int(num_slots), 10).tolist() == picked


def test_audio_segments_are_exact(shared):
    for num_samples, segments in read_json(shared / "golden" / "audio_segments.json")["segments"].items():
        assert audio_segments(int(num_samples), 10).tolist() == segments


@pytest.mark.parametrize("num_samples", [480000, 479999, 481234, 441000, 300001])
def test_resampling_by_index_is_exact(shared, num_samples):
    golden = np.load(shared / "golden" / "clap_resample.npz", allow_pickle=False)
    index = resample_by_index(np.arange(num_samples), 480000)
    steps = golden[f"delta_{num_samples}"].astype(np.int64)
    assert (index == np.concatenate([golden[f"first_{num_samples}"], steps]).cumsum()).all()
    stated = read_json(shared / "golden" / "clap_resample.json")[str(num_samples)]
    assert hashlib.sha256(index.astype("<i4").tobytes()).hexdigest() == stated["sha256_int32_le"]


def test_quantisation_is_exact(shared):
    golden = np.load(shared / "golden" / "clap_resample.npz", allow_pickle=False)
    rounded = quantise(golden["quant_in"])
    assert rounded.dtype == np.float32 and (rounded == golden["quant_out"]).all()
    assert (np.rint(rounded * 32767) == golden["quant_int16"]).all()


@pytest.mark.parametrize("size", ["240x320", "360x202", "100x150"])
def test_frame_preprocessing(shared, size):
    golden = np.load(shared / "golden" / "preproc.npz", allow_pickle=False)
    height, width = (int(side) for side in size.split("x"))
    image = np.floor(256 * uniform(SEED, f"img:{size}", (1, height, width, 3))).astype(np.uint8)
    difference = np.abs(preprocess(image, 224)[0].numpy() - golden[f"frame_{size}"])
    assert difference.max() <= 2e-4  # seen 7e-7
    stated = read_json(shared / "golden" / "preproc.json")
    assert (list(IMAGE_MEAN), list(IMAGE_STD)) == (stated["image_mean"], stated["image_std"])


def test_log_mel(shared):
    golden = np.load(shared / "golden" / "preproc.npz", allow_pickle=False)
    waveform = uniform(SEED, "wav", (480000,), -0.8, 0.8).astype(np.float32)
    waveform[200000:240000] = 0
    difference = np.abs(log_mel(torch.from_numpy(quantise(waveform))).numpy() - golden["mel"])
    assert difference.max() <= 0.01  # dB, seen 1.2e-4
