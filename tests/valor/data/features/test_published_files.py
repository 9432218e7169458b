"""The published layout of a store: names, types and shapes, and nothing passed off as what it is not.

The published layout out: the bytes of the published files come back, and nothing is passed off as what it is not.

The published layout in: what is checked, what is refused, and that nothing is half written.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.toy_line import NAMES, SPLITS
from tests.helpers.toy_published import save, write_published
from tests.helpers.typed import typed
from valor.data.datasets.dataset import LLP
from valor.data.features import published_files as store_export
from valor.data.features.feature_files import FEATURE_FILES, LABEL_FOLDERS
from valor.data.features.feature_options import FeatureOptions
from valor.data.features.packed import read_packed, read_packed_card
from valor.data.features.published_files import (
    coverage_table,
    export_features,
    export_labels,
    export_store,
    exportable,
    feature_coverage,
    file_names,
    files_of_no_clip,
    import_features,
    import_labels,
    kinds_there,
    plan_export,
    unlike_published,
)
from valor.data.label_file import read_pseudo_labels
from valor.data.read_clips import read_clip_set
from valor.data.tables import Split
from valor.label_harvest.store.manifest import media_id
from valor.label_harvest.store.shards import ShardRow, write_shard
from valor.label_harvest.store.store import describe, open_store, read_store
from valor.labelling.labels import label_clips

ALL = tuple(SPLITS)
UNFOLDED = tuple(kind for kind, files in FEATURE_FILES.items() if files.fold is None)


@pytest.fixture
def data(tmp_path) -> Path:
    return write_published(tmp_path / "data")


def pack(data: Path, kinds: tuple[str, ...], precision: str = "float32", splits: tuple[str, ...] = ALL) -> None:
    for split in splits:
        for kind in kinds:
            import_features(data, LLP.read_clips(data, split, NAMES), kind, precision=precision, progress=False)


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
    labels, _ = import_labels(data, [LLP.read_clips(data, split, NAMES) for split in ALL], tmp_path / "labels")
    assert export_labels(labels, tmp_path / "out", progress=False) == 2 * len(labels.clip_ids)
    for folder in LABEL_FOLDERS:
        assert files(tmp_path / "out" / folder) == files(data / folder)
        assert np.load(next((tmp_path / "out" / folder).iterdir())).dtype == np.int64


def test_a_modality_that_is_absent_gets_no_files(data, tmp_path):
    labels, _ = import_labels(data, [LLP.read_clips(data, split, NAMES) for split in ALL], tmp_path / "labels")
    seen = labels.labels.copy()
    seen[:, :, 0] = False
    alone = replace(labels, labels=seen, absent=("audio",))
    assert export_labels(alone, tmp_path / "out", progress=False) == len(labels.clip_ids)
    assert not (tmp_path / "out" / LABEL_FOLDERS[0]).exists()
    assert files(tmp_path / "out" / LABEL_FOLDERS[1]) == files(data / LABEL_FOLDERS[1])


def test_soft_labels_are_refused(data, tmp_path):
    labels, _ = import_labels(data, [LLP.read_clips(data, split, NAMES) for split in ALL], tmp_path / "labels")
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


CLIPS = len(SPLITS["train"])


@pytest.fixture
def data_importing(tmp_path) -> Path:
    return write_published(tmp_path / "data")


def train(data_importing: Path) -> Split:
    return LLP.read_clips(data_importing, "train", NAMES)


def file_of(data_importing: Path, kind: str, row: int) -> Path:
    return data_importing / FEATURE_FILES[kind].folder / f"{media_id(SPLITS['train'][row])}.npy"


def test_packed_features_equal_the_files_they_came_from(data_importing, tmp_path):
    options = FeatureOptions()
    before = read_clip_set(data_importing, train(data_importing), options)
    for kind in ("vggish", "res152", "r2plus1d"):
        card = import_features(data_importing, train(data_importing), kind, precision="float32", progress=False)
        assert card.exact == (kind != "res152")
    for folder in ("vggish", "res152", "r2plus1d_18"):
        (data_importing / "feats" / folder).rename(tmp_path / folder)
    after = read_clip_set(data_importing, train(data_importing), options)
    for stream in ("audio", "visual", "motion"):
        assert torch.equal(getattr(before, stream), getattr(after, stream))


def test_files_are_folded_a_few_at_a_time(data_importing, monkeypatch):
    import_features(data_importing, train(data_importing), "clap", precision="float32", progress=False)
    whole = read_packed(data_importing, "clap", "train")[0].clone()
    monkeypatch.setattr("valor.data.features.published_files._CHUNK", 2)
    import_features(data_importing, train(data_importing), "clap", precision="float32", progress=False)
    parts = read_packed(data_importing, "clap", "train")[0].clone()
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)  # the order of summation is the matrix product's own


def test_the_default_halves_the_bytes_and_keeps_three_digits(data_importing):
    exact = import_features(
        data_importing, train(data_importing), "clap", out=data_importing / "a", precision="float32", progress=False
    )
    half = import_features(data_importing, train(data_importing), "clap", out=data_importing / "b", progress=False)
    assert (exact.dtype, half.dtype, half.exact, half.source_shape) == ("float32", "float16", False, (64, 768))
    sizes = [(data_importing / out / "packed/clap.train.safetensors").stat().st_size for out in "ab"]
    assert sizes[1] < 0.51 * sizes[0]


def test_coverage_says_what_is_missing_per_split(data_importing):
    file_of(data_importing, "clip", 1).unlink()
    splits = [LLP.read_clips(data_importing, split, NAMES) for split in SPLITS]
    coverage = feature_coverage(data_importing, splits, ("vggish", "clip"))
    assert [(row.kind, row.split, row.clips, row.missing) for row in coverage if row.missing] == [
        ("clip", "train", CLIPS, (SPLITS["train"][1],))
    ]
    row = coverage_table(coverage).splitlines()[4]
    assert row.split() == ["clip", "train", "5", "4", "1", SPLITS["train"][1]]


def test_files_of_no_clip_are_named(data_importing):
    save(data_importing / "feats/vggish", "stranger--1_0_10", np.zeros((10, 128), np.float32))
    splits = [LLP.read_clips(data_importing, split, NAMES) for split in SPLITS]
    assert files_of_no_clip(data_importing, splits, "vggish") == ("stranger--1.npy",)
    assert files_of_no_clip(data_importing, splits, "clip") == ()


def test_missing_clips_are_refused_or_left_out_as_asked(data_importing):
    file_of(data_importing, "vggish", 2).unlink()
    with pytest.raises(ValueError, match=rf"vggish of train: 1 clip \({SPLITS['train'][2]}\) of 5; .*allow_missing"):
        import_features(data_importing, train(data_importing), "vggish", progress=False)
    assert not (data_importing / "packed").exists()
    card = import_features(data_importing, train(data_importing), "vggish", allow_missing=True, progress=False)
    assert card.missing == (SPLITS["train"][2],) and len(card.clip_ids) == CLIPS - 1
    assert read_packed_card(data_importing, "vggish", "train").missing == card.missing


def test_a_split_without_any_file_is_refused_even_then(data_importing):
    for path in (data_importing / "CLIP/features").glob("*.npy"):
        path.unlink()
    with pytest.raises(ValueError, match="name fewer `splits` or `kinds`; nothing was written"):
        import_features(data_importing, train(data_importing), "clip", allow_missing=True, progress=False)


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
def test_damaged_files_are_refused_by_name_and_nothing_is_written(data_importing, tmp_path, name):
    damage, path = damages(tmp_path / "trap")[name], file_of(data_importing, "vggish", 3)
    if isinstance(damage, np.ndarray):
        np.save(path, damage)
    else:
        path.write_bytes(path.read_bytes()[:-8] if damage == "cut" else damage)
    with pytest.raises(ValueError, match=rf"1 of 5 vggish files are damaged .*{path.name}: .*nothing was written"):
        import_features(data_importing, train(data_importing), "vggish", progress=False)
    assert not (data_importing / "packed").exists() and not (tmp_path / "trap").exists()


def test_all_damaged_files_are_counted_and_an_earlier_pack_stays(data_importing):
    import_features(data_importing, train(data_importing), "vggish", progress=False)
    before = (data_importing / "packed/vggish.train.safetensors").read_bytes()
    for row in (0, 2, 4):
        file_of(data_importing, "vggish", row).write_bytes(b"")
    with pytest.raises(ValueError, match="3 of 5 vggish files are damaged"):
        import_features(data_importing, train(data_importing), "vggish", progress=False)
    assert (data_importing / "packed/vggish.train.safetensors").read_bytes() == before
    assert read_packed_card(data_importing, "vggish", "train").clip_ids == SPLITS["train"]


def test_two_files_for_a_clip_are_refused(data_importing):
    np.save(data_importing / "feats/vggish" / f"{SPLITS['train'][0]}.npy", np.zeros((10, 128), np.float32))
    with pytest.raises(ValueError, match=r"1 clip \(trainclip-0_30_40\) of train have two files"):
        import_features(data_importing, train(data_importing), "vggish", progress=False)


def test_labels_become_one_file_with_their_provenance(data_importing, tmp_path):
    splits = [LLP.read_clips(data_importing, split, NAMES) for split in SPLITS]
    labels, _ = import_labels(data_importing, splits, tmp_path / "labels")
    read = read_pseudo_labels(tmp_path / "labels")
    assert read.clip_ids == labels.clip_ids == tuple(i for ids in SPLITS.values() for i in ids)
    for modality, folder in enumerate(LABEL_FOLDERS):
        published = np.load(data_importing / folder / f"{media_id(SPLITS['val'][1])}.npy")
        assert np.array_equal(read.labels[CLIPS + 1, :, modality], published.astype(bool))
    provenance = json.loads((tmp_path / "labels/labels.json").read_text())
    assert provenance["random_weights"] is False and provenance["imported_from"] == str(data_importing.resolve())


def test_labels_outside_the_tags_are_refused_unless_meant(data_importing, tmp_path):
    path = data_importing / LABEL_FOLDERS[0] / f"{media_id(SPLITS['train'][0])}.npy"
    array = np.load(path)
    array[0, 7] = 1
    np.save(path, array)
    with pytest.raises(ValueError, match=r"1 labels of train .* outside .*tags, in 1 clip \(trainclip-0_30_40\)"):
        import_labels(data_importing, [train(data_importing)], tmp_path / "labels")
    assert not (tmp_path / "labels").exists()
    labels, _ = import_labels(data_importing, [train(data_importing)], tmp_path / "labels", allow_untagged=True)
    assert labels.labels[0, 0, 0, 7]


@pytest.mark.parametrize(("array", "message"), [
    (np.full((10, 25), 2), "must be 0 or 1, got 2..2"),
    (np.zeros((10, 24), np.int64), r"shape \(10, 25\), got int64 \(10, 24\)"),
    (np.full((10, 25), 0.5), "must be 0 or 1"),
])  # fmt: skip
def test_labels_of_another_form_are_refused(data_importing, tmp_path, array, message):
    save(data_importing / LABEL_FOLDERS[1], SPLITS["train"][1], array)
    with pytest.raises(ValueError, match=message):
        import_labels(data_importing, [train(data_importing)], tmp_path / "labels")
    assert not (tmp_path / "labels").exists()


def test_missing_labels_are_refused_or_left_out_as_asked(data_importing, tmp_path):
    (data_importing / LABEL_FOLDERS[1] / f"{media_id(SPLITS['train'][0])}.npy").unlink()
    with pytest.raises(ValueError, match="labels of train: 1 clip"):
        import_labels(data_importing, [train(data_importing)], tmp_path / "labels")
    labels, coverage = import_labels(data_importing, [train(data_importing)], tmp_path / "labels", allow_missing=True)
    assert labels.clip_ids == SPLITS["train"][1:] and coverage[0].missing == SPLITS["train"][:1]


def test_files_of_random_teachers_are_not_imported(data_importing, tmp_path):
    (data_importing / "labels.json").write_text('{"random_weights": true}')
    for act in (
        lambda: import_features(data_importing, train(data_importing), "clip", progress=False),
        lambda: import_labels(data_importing, [train(data_importing)], tmp_path / "labels"),
    ):
        with pytest.raises(ValueError, match="teachers with random weights made these files"):
            act()


def test_kinds_are_those_that_are_there(data_importing, tmp_path):
    assert kinds_there(data_importing) == tuple(FEATURE_FILES)
    with pytest.raises(FileNotFoundError, match="none of the published feature folders is here; expected some of"):
        kinds_there(tmp_path)
    with pytest.raises(ValueError, match="feature kinds are vggish, .*, got vgg"):
        feature_coverage(data_importing, [train(data_importing)], ("vgg",))


def test_the_command_packs_everything_and_shows_the_table(data_importing):
    save(data_importing / "feats/vggish", "stranger--1_0_10", np.zeros((10, 128), np.float32))
    done = typed("import", "features", data_importing, "--quiet")
    assert done.code == 0 and done.err == ""
    assert done.out.count("packed ") == 5 * 3
    assert "packed res152 val: float16 [2, 10, 2048] (folded from 80 rows, rounded to float16)" in done.out
    assert "vggish: 1 files belong to no clip of these splits, such as stranger--1.npy" in done.out


def test_the_command_shows_the_table_of_what_is_missing_and_refuses(data_importing):
    file_of(data_importing, "vggish", 0).unlink()
    done = typed("import", "features", data_importing, "--kinds", "vggish", "--quiet")
    assert done.code == 2 and "trainclip-0_30_40" in done.out.splitlines()[1]
    assert done.err.startswith("valor import: files are missing: vggish of train: 1 clip") and done.err.count("\n") == 1
    assert not (data_importing / "packed").exists()
    assert typed("import", "features", data_importing, "--kinds", "vggish", "--allow-missing", "--quiet").code == 0


def test_the_command_imports_labels(data_importing, tmp_path):
    done = typed("import", "labels", data_importing, "--out", tmp_path / "labels", "--splits", "train,val", "--quiet")
    assert done.code == 0 and "7 clips" in done.out
    assert read_pseudo_labels(tmp_path / "labels").labels.shape == (7, 10, 2, 25)


def test_the_doctor_says_what_is_packed(data_importing):
    import_features(data_importing, train(data_importing), "clip", progress=False)
    said = typed("doctor", "--data", data_importing).out
    assert re.search(r"^ok +packed features +clip.train; read in place of the files$", said, re.MULTILINE)


@pytest.mark.parametrize(("options", "message"), [
    (("features", "--norm-order", "pre"), "--norm-order has no meaning for `valor import features`"),
    (("labels", "--kinds", "clip"), "--kinds has no meaning for `valor import labels`"),
    (("checkpoint", "--allow-missing"), "--allow-missing has no meaning for `valor import checkpoint`"),
    (("checkpoint",), "needs --out RUN"),
    (("features", "--splits", "dev"), "split must be one of train, val, test, got 'dev'"),
])  # fmt: skip
def test_wrong_use_of_the_command(data_importing, options, message):
    assert message in typed("import", options[0], data_importing, *options[1:]).complaint()


CLASSES = ("Dog", "Cello", "Speech")
CLIPS_store_export = ("aaaaaaaaaaa_0_10", "bbbbbbbbbbb_5_15", "plain-name", "ccccccccccc_30_40")
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
        clips = CLIPS_store_export[2 * index : 2 * index + 2]
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
    assert labels.clip_ids == (CLIPS_store_export[0], *CLIPS_store_export[2:]) and counted == 6
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
    assert "with raw_maps=True for them; folded=True writes the rows to CLAP/features_folded" in clap
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
    with pytest.raises(ValueError, match="holds labels of 0 and 1, got soft ones; export hard ones"):
        plan_export(store, soft)
    labels, _ = label_clips(store, ZERO)
    twice = replace(labels, clip_ids=("aaaaaaaaaaa_0_10", "aaaaaaaaaaa_10_20", "plain-name"))
    with pytest.raises(ValueError, match="1 such names stand for several clips, such as aaaaaaaaaaa"):
        export_store(tmp_path / "out", tmp_path / "s", twice, plan_export(store, labels), progress=False)
    assert not (tmp_path / "out").exists()
