"""The published layout in: what is checked, what is refused, and that nothing is half written."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toy_line import NAMES, SPLITS
from tests.toy_published import save, write_published
from tests.typed import typed
from valor.annotations import Split, media_id
from valor.dataset import FeatureOptions, read_clip_set
from valor.feature_files import FEATURE_FILES, LABEL_FOLDERS
from valor.importing import (
    coverage_table,
    feature_coverage,
    files_of_no_clip,
    import_features,
    import_labels,
    kinds_there,
    read_clips,
)
from valor.labels_file import read_pseudo_labels
from valor.packed_store import read_packed, read_packed_card

CLIPS = len(SPLITS["train"])


@pytest.fixture
def data(tmp_path) -> Path:
    return write_published(tmp_path / "data")


def train(data: Path) -> Split:
    return read_clips(data, "train", NAMES)


def file_of(data: Path, kind: str, row: int) -> Path:
    return data / FEATURE_FILES[kind].folder / f"{media_id(SPLITS['train'][row])}.npy"


def test_packed_features_equal_the_files_they_came_from(data, tmp_path):
    options = FeatureOptions()
    before = read_clip_set(data, train(data), options)
    for kind in ("vggish", "res152", "r2plus1d"):
        card = import_features(data, train(data), kind, precision="float32", progress=False)
        assert card.exact == (kind != "res152")
    for folder in ("vggish", "res152", "r2plus1d_18"):
        (data / "feats" / folder).rename(tmp_path / folder)
    after = read_clip_set(data, train(data), options)
    for stream in ("audio", "visual", "motion"):
        assert torch.equal(getattr(before, stream), getattr(after, stream))


def test_files_are_folded_a_few_at_a_time(data, monkeypatch):
    import_features(data, train(data), "clap", precision="float32", progress=False)
    whole = read_packed(data, "clap", "train")[0].clone()
    monkeypatch.setattr("valor.importing._CHUNK", 2)
    import_features(data, train(data), "clap", precision="float32", progress=False)
    parts = read_packed(data, "clap", "train")[0].clone()
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)  # the order of summation is the matrix product's own


def test_the_default_halves_the_bytes_and_keeps_three_digits(data):
    exact = import_features(data, train(data), "clap", out=data / "a", precision="float32", progress=False)
    half = import_features(data, train(data), "clap", out=data / "b", progress=False)
    assert (exact.dtype, half.dtype, half.exact, half.source_shape) == ("float32", "float16", False, (64, 768))
    sizes = [(data / out / "packed/clap.train.safetensors").stat().st_size for out in "ab"]
    assert sizes[1] < 0.51 * sizes[0]


def test_coverage_says_what_is_missing_per_split(data):
    file_of(data, "clip", 1).unlink()
    splits = [read_clips(data, split, NAMES) for split in SPLITS]
    coverage = feature_coverage(data, splits, ("vggish", "clip"))
    assert [(row.kind, row.split, row.clips, row.missing) for row in coverage if row.missing] == [
        ("clip", "train", CLIPS, (SPLITS["train"][1],))
    ]
    row = coverage_table(coverage).splitlines()[4]
    assert row.split() == ["clip", "train", "5", "4", "1", SPLITS["train"][1]]


def test_files_of_no_clip_are_named(data):
    save(data / "feats/vggish", "stranger--1_0_10", np.zeros((10, 128), np.float32))
    splits = [read_clips(data, split, NAMES) for split in SPLITS]
    assert files_of_no_clip(data, splits, "vggish") == ("stranger--1.npy",)
    assert files_of_no_clip(data, splits, "clip") == ()


def test_missing_clips_are_refused_or_left_out_as_asked(data):
    file_of(data, "vggish", 2).unlink()
    with pytest.raises(ValueError, match=rf"vggish of train: 1 clip \({SPLITS['train'][2]}\) of 5; .*--allow-missing"):
        import_features(data, train(data), "vggish", progress=False)
    assert not (data / "packed").exists()
    card = import_features(data, train(data), "vggish", allow_missing=True, progress=False)
    assert card.missing == (SPLITS["train"][2],) and len(card.clip_ids) == CLIPS - 1
    assert read_packed_card(data, "vggish", "train").missing == card.missing


def test_a_split_without_any_file_is_refused_even_then(data):
    for path in (data / "CLIP/features").glob("*.npy"):
        path.unlink()
    with pytest.raises(ValueError, match="name fewer --splits or --kinds; nothing was written"):
        import_features(data, train(data), "clip", allow_missing=True, progress=False)


class Trap:
    """An object array that would create a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def damages(trap: Path) -> dict[str, object]:
    values = np.ones((10, 128), np.float32)
    nan, inf = values.copy(), values.copy()
    nan[3, 4], inf[3, 4] = np.nan, np.inf
    return {
        "zero bytes": b"",
        "cut off": "cut",
        "a web page": b"<html>quota exceeded</html>",
        "an object array": np.array([Trap(trap)], dtype=object),
        "another width": np.ones((10, 512), np.float32),
        "another length": np.ones((9, 128), np.float32),
        "transposed": np.ones((128, 10), np.float32),
        "whole numbers": np.ones((10, 128), np.int64),
        "NaN": nan,
        "Inf": inf,
    }


@pytest.mark.parametrize("name", list(damages(Path())))
def test_damaged_files_are_refused_by_name_and_nothing_is_written(data, tmp_path, name):
    damage, path = damages(tmp_path / "trap")[name], file_of(data, "vggish", 3)
    if isinstance(damage, np.ndarray):
        np.save(path, damage)
    else:
        path.write_bytes(path.read_bytes()[:-8] if damage == "cut" else damage)
    with pytest.raises(ValueError, match=rf"1 of 5 vggish files are damaged .*{path.name}: .*nothing was written"):
        import_features(data, train(data), "vggish", progress=False)
    assert not (data / "packed").exists() and not (tmp_path / "trap").exists()


def test_all_damaged_files_are_counted_and_an_earlier_pack_stays(data):
    import_features(data, train(data), "vggish", progress=False)
    before = (data / "packed/vggish.train.safetensors").read_bytes()
    for row in (0, 2, 4):
        file_of(data, "vggish", row).write_bytes(b"")
    with pytest.raises(ValueError, match="3 of 5 vggish files are damaged"):
        import_features(data, train(data), "vggish", progress=False)
    assert (data / "packed/vggish.train.safetensors").read_bytes() == before
    assert read_packed_card(data, "vggish", "train").clip_ids == SPLITS["train"]


def test_two_files_for_a_clip_are_refused(data):
    np.save(data / "feats/vggish" / f"{SPLITS['train'][0]}.npy", np.zeros((10, 128), np.float32))
    with pytest.raises(ValueError, match=r"1 clip \(trainclip-0_30_40\) of train have two files"):
        import_features(data, train(data), "vggish", progress=False)


def test_labels_become_one_file_with_their_provenance(data, tmp_path):
    splits = [read_clips(data, split, NAMES) for split in SPLITS]
    labels, _ = import_labels(data, splits, tmp_path / "labels")
    read = read_pseudo_labels(tmp_path / "labels")
    assert read.clip_ids == labels.clip_ids == tuple(i for ids in SPLITS.values() for i in ids)
    for modality, folder in enumerate(LABEL_FOLDERS):
        published = np.load(data / folder / f"{media_id(SPLITS['val'][1])}.npy")
        assert np.array_equal(read.labels[CLIPS + 1, :, modality], published.astype(bool))
    provenance = json.loads((tmp_path / "labels/labels.json").read_text())
    assert provenance["random_weights"] is False and provenance["imported_from"] == str(data.resolve())


def test_labels_outside_the_tags_are_refused_unless_meant(data, tmp_path):
    path = data / LABEL_FOLDERS[0] / f"{media_id(SPLITS['train'][0])}.npy"
    array = np.load(path)
    array[0, 7] = 1
    np.save(path, array)
    with pytest.raises(ValueError, match=r"1 labels of train .* outside .*tags, in 1 clip \(trainclip-0_30_40\)"):
        import_labels(data, [train(data)], tmp_path / "labels")
    assert not (tmp_path / "labels").exists()
    labels, _ = import_labels(data, [train(data)], tmp_path / "labels", allow_untagged=True)
    assert labels.labels[0, 0, 0, 7]


@pytest.mark.parametrize(("array", "message"), [
    (np.full((10, 25), 2), "must be 0 or 1, got 2..2"),
    (np.zeros((10, 24), np.int64), r"shape \(10, 25\), got int64 \(10, 24\)"),
    (np.full((10, 25), 0.5), "must be 0 or 1"),
])  # fmt: skip
def test_labels_of_another_form_are_refused(data, tmp_path, array, message):
    save(data / LABEL_FOLDERS[1], SPLITS["train"][1], array)
    with pytest.raises(ValueError, match=message):
        import_labels(data, [train(data)], tmp_path / "labels")
    assert not (tmp_path / "labels").exists()


def test_missing_labels_are_refused_or_left_out_as_asked(data, tmp_path):
    (data / LABEL_FOLDERS[1] / f"{media_id(SPLITS['train'][0])}.npy").unlink()
    with pytest.raises(ValueError, match="labels of train: 1 clip"):
        import_labels(data, [train(data)], tmp_path / "labels")
    labels, coverage = import_labels(data, [train(data)], tmp_path / "labels", allow_missing=True)
    assert labels.clip_ids == SPLITS["train"][1:] and coverage[0].missing == SPLITS["train"][:1]


def test_files_of_random_teachers_are_not_imported(data, tmp_path):
    (data / "labels.json").write_text('{"random_weights": true}')
    for act in (
        lambda: import_features(data, train(data), "clip", progress=False),
        lambda: import_labels(data, [train(data)], tmp_path / "labels"),
    ):
        with pytest.raises(ValueError, match="teachers with random weights made these files"):
            act()


def test_kinds_are_those_that_are_there(data, tmp_path):
    assert kinds_there(data) == tuple(FEATURE_FILES)
    with pytest.raises(FileNotFoundError, match="none of the published feature folders is here; expected some of"):
        kinds_there(tmp_path)
    with pytest.raises(ValueError, match="feature kinds are vggish, .*, got vgg"):
        feature_coverage(data, [train(data)], ("vgg",))


def test_the_command_packs_everything_and_shows_the_table(data):
    save(data / "feats/vggish", "stranger--1_0_10", np.zeros((10, 128), np.float32))
    done = typed("import", "features", data, "--quiet")
    assert done.code == 0 and done.err == ""
    assert done.out.count("packed ") == 5 * 3
    assert "packed res152 val: float16 [2, 10, 2048] (folded from 80 rows, rounded to float16)" in done.out
    assert "vggish: 1 files belong to no clip of these splits, such as stranger--1.npy" in done.out


def test_the_command_shows_the_table_of_what_is_missing_and_refuses(data):
    file_of(data, "vggish", 0).unlink()
    done = typed("import", "features", data, "--kinds", "vggish", "--quiet")
    assert done.code == 2 and "trainclip-0_30_40" in done.out.splitlines()[1]
    assert done.err.startswith("valor import: files are missing: vggish of train: 1 clip") and done.err.count("\n") == 1
    assert not (data / "packed").exists()
    assert typed("import", "features", data, "--kinds", "vggish", "--allow-missing", "--quiet").code == 0


def test_the_command_imports_labels(data, tmp_path):
    done = typed("import", "labels", data, "--out", tmp_path / "labels", "--splits", "train,val", "--quiet")
    assert done.code == 0 and "7 clips" in done.out
    assert read_pseudo_labels(tmp_path / "labels").labels.shape == (7, 10, 2, 25)


def test_the_doctor_says_what_is_packed(data):
    import_features(data, train(data), "clip", progress=False)
    said = typed("doctor", "--data", data).out
    assert re.search(r"^ok +packed features +clip.train; read in place of the files$", said, re.MULTILINE)


@pytest.mark.parametrize(("options", "message"), [
    (("features", "--norm-order", "pre"), "--norm-order has no meaning for `valor import features`"),
    (("labels", "--kinds", "clip"), "--kinds has no meaning for `valor import labels`"),
    (("checkpoint", "--allow-missing"), "--allow-missing has no meaning for `valor import checkpoint`"),
    (("checkpoint",), "needs --out RUN"),
    (("features", "--splits", "dev"), "split must be one of train, val, test, got 'dev'"),
])  # fmt: skip
def test_wrong_use_of_the_command(data, options, message):
    assert message in typed("import", options[0], data, *options[1:]).complaint()
