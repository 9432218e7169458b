"""Clips without a label, of one store or several: what is in the pool, what stays out, and what is refused."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.toy_run import SPLITS, write_tables
from tests.helpers.toy_store import manifest_of, row_of, write_toy_store
from valor.data.features.feature_options import FeatureOptions
from valor.data.unlabelled import read_unlabelled
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.shards import read_markers, write_shard
from valor.label_harvest.store.store import open_store, read_store

FEATURES = FeatureOptions(audio="audio.embedding", visual="visual.embedding", motion=None)


def store_of(root: Path, *clip_ids: str, status: str = "ok", **changes: Any) -> Path:
    return write_toy_store(root, {0: [row_of(name, status) for name in clip_ids]}, **changes)


def test_the_pool_is_what_the_stores_hold(tmp_path: Path) -> None:
    one, other = store_of(tmp_path / "a", "x", "y"), store_of(tmp_path / "b", "y", "z")
    pool = read_unlabelled([one, other], FEATURES, logits=True)
    assert pool.clip_ids == ("x", "y", "z")
    assert pool.widths() == {"audio_width": 4, "visual_width": 4, "motion_width": 0}
    held = read_store(other)
    assert torch.equal(pool.audio[1:], torch.from_numpy(held.arrays["audio.embedding"]))
    np.testing.assert_array_equal(pool.logits["visual"][1:], 10 * held.arrays["visual.similarity"] - 1)
    assert (pool.valid, pool.class_names, set(pool.teachers)) == (None, ("Dog", "Cat"), {"audio", "visual"})
    assert pool.fingerprint() == read_unlabelled([one, other], FEATURES, logits=True).fingerprint()
    assert (
        len({pool.fingerprint(), pool.take([0, 1]).fingerprint(), read_unlabelled([one], FEATURES).fingerprint()}) == 3
    )
    assert not read_unlabelled([one], FEATURES).logits


def test_clips_that_lack_a_feature_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [row_of("x"), row_of("deaf", "no_audio"), row_of("blind", "no_video")]
    pool = read_unlabelled([write_toy_store(tmp_path, {0: rows})], FEATURES)
    assert pool.clip_ids == ("x",)
    assert pool.left_out == {"deaf": "without audio", "blind": "without visual"}
    assert (
        "2 unlabelled clips without all their features are left out: 1 without audio, 1 without visual" in caplog.text
    )


@pytest.mark.parametrize("transductive", [False, True])
def test_annotated_clips_stay_out_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, transductive: bool
) -> None:
    test, val, train = SPLITS["test"][0], SPLITS["val"][1], SPLITS["train"][0]
    again = f"{test[:11]}_20_30"  # another excerpt of the same video
    store = store_of(tmp_path / "store", "x", test, val, train, again)
    data = write_tables(tmp_path / "data")
    caplog.set_level(logging.INFO)
    pool = read_unlabelled([store], FEATURES, data=data, transductive=transductive)
    assert pool.clip_ids == (("x", test, val, train, again) if transductive else ("x", train))
    said = f"3 clips of test and val are annotated and stay out of the unlabelled ones: {test}, {val}, {again}"
    assert (said in caplog.text) is not transductive


def test_a_data_folder_without_annotated_splits_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", "x", *SPLITS["test"])
    for data in (tmp_path / "store", tmp_path / "mistyped"):
        with pytest.raises(ValueError, match="stay out of the unlabelled ones, and has none of .*test.*; give"):
            read_unlabelled([store], FEATURES, data=data)


def other_numbers(root: Path) -> Path:
    """A store of the clip x in which nothing is as in the first."""
    folder = open_store(root, manifest_of())
    (folder / ".lock").touch()
    arrays = {f"{role}.embedding": np.full((1, 3, 4), 0.5, np.float16) for role in ("audio", "visual")}
    write_shard(folder, 0, arrays, [row_of("x")])
    write_list(folder, read_markers(folder))
    return folder


@pytest.mark.parametrize(
    ("second", "features", "said"),
    [
        (lambda p: store_of(p, "z", weights="v" * 64), FEATURES, r"its audio teacher is another than that of .*a/.*"),
        (other_numbers, FEATURES, r"the clip x is in .*a.* too, with other audio; clips of one name must be one clip"),
        (None, FeatureOptions(), r"features.audio must be an array of a store, such as audio.embedding"),
        (None, FeatureOptions(audio="audio.map", visual="visual.embedding", motion=None), "no shard holds audio.map"),
    ],
)
def test_refused(tmp_path: Path, second: Any, features: FeatureOptions, said: str) -> None:  # noqa: ANN401
    stores = [store_of(tmp_path / "a", "x"), *([second(tmp_path / "b")] if second else [])]
    with pytest.raises(ValueError, match=said):
        read_unlabelled(stores, features)


def test_a_modality_that_nobody_has_is_refused(tmp_path: Path) -> None:
    rows = [row_of("x"), row_of("deaf", "no_audio")]
    store = write_toy_store(
        tmp_path, {0: rows[1:], 1: rows[1:]} | {0: [row_of("deaf", "no_audio")], 1: [row_of("mute", "no_audio")]}
    )
    with pytest.raises(ValueError, match="no (clip has|shard holds) audio.embedding"):
        read_unlabelled([store], FEATURES)


def test_a_pool_of_annotated_clips_alone_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", *SPLITS["test"])
    data = write_tables(tmp_path / "data")
    with pytest.raises(ValueError, match="no unlabelled clip is left of 2: 2 annotated; harvest more"):
        read_unlabelled([store], FEATURES, data=data)
    with pytest.raises(ValueError, match="at least one store, got none"):
        read_unlabelled([], FEATURES)
