"""The published layout out: the bytes of the published files come back, and nothing is passed off as what it is not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.toy_line import NAMES, SPLITS
from tests.toy_published import write_published
from tests.typed import typed
from valor.exporting import export_features, export_labels, exportable, file_names
from valor.feature_files import FEATURE_FILES, LABEL_FOLDERS
from valor.importing import import_features, import_labels, read_clips
from valor.packed_store import read_packed

ALL = tuple(SPLITS)
UNFOLDED = tuple(kind for kind, files in FEATURE_FILES.items() if files.fold is None)


@pytest.fixture
def data(tmp_path) -> Path:
    return write_published(tmp_path / "data")


def pack(data: Path, kinds: tuple[str, ...], precision: str = "float32", splits: tuple[str, ...] = ALL) -> None:
    for split in splits:
        for kind in kinds:
            import_features(data, read_clips(data, split, NAMES), kind, precision=precision, progress=False)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_unfolded_kinds_come_back_byte_for_byte(data, tmp_path):
    assert UNFOLDED == ("vggish", "r2plus1d", "clip")
    pack(data, UNFOLDED)
    for card in exportable(data, ALL, UNFOLDED):
        export_features(data, card, tmp_path / "out", progress=False)
    for kind in UNFOLDED:
        folder = FEATURE_FILES[kind].folder
        assert files(tmp_path / "out" / folder) == files(data / folder)


def test_labels_come_back_byte_for_byte(data, tmp_path):
    labels, _ = import_labels(data, [read_clips(data, split, NAMES) for split in ALL], tmp_path / "labels")
    assert export_labels(labels, tmp_path / "out", progress=False) == 2 * len(labels.clip_ids)
    for folder in LABEL_FOLDERS:
        assert files(tmp_path / "out" / folder) == files(data / folder)
        assert np.load(next((tmp_path / "out" / folder).iterdir())).dtype == np.int64


def test_a_modality_that_is_absent_gets_no_files(data, tmp_path):
    labels, _ = import_labels(data, [read_clips(data, split, NAMES) for split in ALL], tmp_path / "labels")
    seen = labels.labels.copy()
    seen[:, :, 0] = False
    alone = replace(labels, labels=seen, absent=("audio",))
    assert export_labels(alone, tmp_path / "out", progress=False) == len(labels.clip_ids)
    assert not (tmp_path / "out" / LABEL_FOLDERS[0]).exists()
    assert files(tmp_path / "out" / LABEL_FOLDERS[1]) == files(data / LABEL_FOLDERS[1])


def test_soft_labels_are_refused(data, tmp_path):
    labels, _ = import_labels(data, [read_clips(data, split, NAMES) for split in ALL], tmp_path / "labels")
    with pytest.raises(ValueError, match="holds labels of 0 and 1, got soft ones"):
        export_labels(replace(labels, labels=labels.labels * np.float32(0.9)), tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_folded_kinds_are_refused_or_written_under_another_name(data, tmp_path):
    pack(data, ("vggish", "res152", "clap"))
    with pytest.raises(ValueError, match="clap, res152 were folded to ten rows a clip and cannot be unfolded.*folded"):
        exportable(data, ALL, tuple(FEATURE_FILES))
    for card in exportable(data, ALL, tuple(FEATURE_FILES), folded=True):
        export_features(data, card, tmp_path / "out", progress=False)
    written = {str(path.parent.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.npy")}
    assert written == {"feats/vggish", "feats/res152_folded", "CLAP/features_folded"}
    packed, card = read_packed(data, "clap", "val")
    array = np.load(tmp_path / "out/CLAP/features_folded" / file_names(card.clip_ids)[1])
    assert array.dtype == np.float32 and np.array_equal(array, packed[1].numpy())


def test_rounded_features_are_float32_of_the_published_shape(data, tmp_path):
    pack(data, ("clip",), "float16")
    (card,) = exportable(data, ("train",), ("clip",))
    folder = export_features(data, card, tmp_path / "out", progress=False)
    for path in folder.iterdir():
        array, original = np.load(path), np.load(data / "CLIP/features" / path.name)
        assert (array.dtype, array.shape) == (original.dtype, original.shape)
        assert np.array_equal(array, original.astype(np.float16).astype(np.float32))


def test_an_original_in_the_way_is_not_replaced(data):
    pack(data, ("clip",), "float16")
    before = files(data / "CLIP/features")
    (card,) = exportable(data, ("train",), ("clip",))
    with pytest.raises(ValueError, match="another file is in the way; export into an empty folder"):
        export_features(data, card, data, progress=False)
    assert files(data / "CLIP/features") == before


def test_exporting_again_is_harmless(data, tmp_path):
    pack(data, ("vggish",))
    for _ in range(2):
        for card in exportable(data, ALL, ("vggish",)):
            export_features(data, card, tmp_path / "out", progress=False)
    assert files(tmp_path / "out/feats/vggish") == files(data / "feats/vggish")


def test_two_clips_of_one_file_name_are_refused():
    with pytest.raises(ValueError, match=r"1 such names stand for several clips, such as abcdefghijk\.npy"):
        file_names(("abcdefghijk_0_10", "abcdefghijk_20_30", "lmnopqrstuv_0_10"))


def test_nothing_to_export_is_said(data):
    with pytest.raises(FileNotFoundError, match="no packed features of clip for train to export"):
        exportable(data, ("train",), ("clip",))
    with pytest.raises(ValueError, match="feature kinds are vggish, .* got clips"):
        exportable(data, ("train",), ("clips",))


def test_the_commands(data, tmp_path):
    pack(data, ("vggish", "res152"), splits=("val",))
    complaint = typed("export", "features", data, "--out", tmp_path / "out", "--quiet").complaint()
    assert "res152 were folded to ten rows a clip" in complaint
    assert not (tmp_path / "out").exists()
    done = typed("export", "features", data, "--out", tmp_path / "out", "--kinds", "vggish", "--quiet")
    assert (done.code, done.out) == (0, f"vggish val: 2 files (bit for bit); wrote {tmp_path / 'out/feats/vggish'}\n")
    typed("import", "labels", data, "--out", tmp_path / "labels")
    done = typed("export", "labels", tmp_path / "labels", "--out", tmp_path / "out", "--quiet")
    assert (done.code, done.out) == (0, f"18 files; wrote {tmp_path / 'out'}\n")
    (tmp_path / "labels/labels.json").write_text('{"random_weights": true}')
    assert "random weights" in typed("export", "labels", tmp_path / "labels", "--out", tmp_path / "o").complaint()
