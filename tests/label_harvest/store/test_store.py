"""The evidence format: what is written is read, what is not whole does not count."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from valor.eval.spreadsheet import unformula
from valor.label_harvest.disk import write_atomic
from valor.label_harvest.store.check import verify_store
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.shards import (
    ShardRow,
    failures_table,
    read_markers,
    text_cell,
    write_failures,
    write_shard,
)
from valor.label_harvest.store.share import write_lock
from valor.label_harvest.store.store import (
    decoder_of,
    describe,
    fingerprint,
    open_store,
    read_shards,
    read_store,
    store_manifest,
)

CLASSES = ("Dog", "Cat")
IDENTITY = {"weights": "w", "prompts": ["a dog", "a cat"], "logit_scale": 10.0, "logit_bias": -1.0}
GRID = {"num_segments": 3, "sample_rate": 48000}


def manifest_of(**changes):
    return describe(CLASSES, GRID, {"visual": {**IDENTITY, **changes}})


def rows_of(*clip_ids):
    return [ShardRow(clip_id, "ok", "", ("Cat",), {"seconds": 10.0}) for clip_id in clip_ids]


def arrays_of(number_of_clips, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "visual.similarity": rng.uniform(-1, 1, (number_of_clips, 3, 2)).astype(np.float32),
        "visual.embedding": rng.normal(size=(number_of_clips, 3, 4)).astype(np.float16),
    }


@pytest.fixture
def folder(tmp_path):
    """A store of two shards, three clips."""
    folder = open_store(tmp_path / "store", manifest_of())
    write_shard(folder, 0, arrays_of(2), rows_of("a", "b"))
    write_shard(folder, 1, arrays_of(1, seed=1), rows_of("c"))
    write_list(folder, read_markers(folder))
    return folder


def test_what_is_written_is_read(folder):
    store = read_store(folder.parent)
    assert store.clip_ids == ("a", "b", "c") and store.class_names == CLASSES and store.roles == ("visual",)
    assert store.weak_labels.tolist() == [[False, True]] * 3 and store.statuses == ("ok",) * 3
    for name, first in arrays_of(2).items():
        assert (store.arrays[name] == np.concatenate([first, arrays_of(1, seed=1)[name]])).all()
        assert store.arrays[name].dtype == first.dtype
    expected = np.float32(10) * store.arrays["visual.similarity"] - 1
    assert (store.logits("visual") == expected).all() and store.logits("visual").dtype == np.float32
    assert read_store(folder).clip_ids == store.clip_ids


def test_only_the_named_arrays_are_read(folder):
    assert set(read_store(folder, names=["visual.similarity"]).arrays) == {"visual.similarity"}
    with pytest.raises(ValueError, match="no shard holds audio.map"):
        read_store(folder, names=["audio.map"])


def test_a_store_is_read_shard_by_shard(folder):
    whole, parts = read_store(folder), list(read_shards(folder.parent, names=["visual.similarity"]))
    assert [part.clip_ids for part in parts] == [("a", "b"), ("c",)]
    assert [set(part.arrays) for part in parts] == [{"visual.similarity"}] * 2
    assert np.array_equal(np.concatenate([part.logits("visual") for part in parts]), whole.logits("visual"))
    assert whole.held == parts[0].held == ("visual.embedding", "visual.similarity")
    assert next(read_shards(folder, names=["audio.map"])).arrays == {}
    assert read_store(folder, names=()).arrays == {}


def test_what_is_not_asked_for_is_not_read(folder):
    """Not a byte of the other arrays: what is wrong with them goes unseen until they are asked for."""
    path = folder / "00001.safetensors"
    data = bytearray(path.read_bytes())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    start, stop = header["visual.embedding"]["data_offsets"]
    first = len(data) - max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
    data[first + start : first + stop] = bytes(stop - start)
    path.write_bytes(data)
    assert read_store(folder, names=["visual.similarity"]).clip_ids == ("a", "b", "c")
    with pytest.raises(ValueError, match="its bytes are not those of its done-marker"):
        read_store(folder)


def test_of_shards_without_a_wanted_clip_no_array_is_read(folder):
    whole = read_store(folder, names=["visual.embedding"])
    path = folder / "00001.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    store = read_store(folder, names=["visual.embedding"], clip_ids=["b", "none"])
    assert store.clip_ids == ("b",) and store.weak_labels.tolist() == [[False, True]] and store.statuses == ("ok",)
    assert (store.arrays["visual.embedding"] == whole.arrays["visual.embedding"][1:2]).all()
    with pytest.raises(ValueError, match="00001.safetensors: its bytes are not those"):
        read_store(folder, names=["visual.embedding"], clip_ids=["b", "c"])
    write_shard(folder, 2, arrays_of(1), rows_of("b"))
    with pytest.raises(ValueError, match="1 clips occur twice, such as b"):
        read_store(folder, names=["visual.embedding"], clip_ids=["a"])


def test_a_tag_that_is_no_class_is_said(folder):
    write_shard(folder, 2, arrays_of(1), [ShardRow("d", "ok", "", ("Cow",))])
    with pytest.raises(ValueError, match="00002.json: d has the tag 'Cow', which is no class of the store"):
        read_store(folder)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"'])
def test_a_manifest_that_is_no_object_is_said(folder, text):
    (folder / "manifest.json").write_text(text)
    for use in (read_store, store_manifest):
        with pytest.raises(ValueError, match="manifest.json: expected a JSON object, got"):
            use(folder)


def test_a_shard_without_an_array_reads_as_absent(folder):
    write_shard(folder, 2, {"visual.similarity": arrays_of(1)["visual.similarity"]}, rows_of("d"))
    embedding = read_store(folder).arrays["visual.embedding"]
    assert np.isnan(embedding[3]).all() and np.isfinite(embedding[:3]).all() and embedding.dtype == np.float16


def test_the_fingerprint_covers_everything_that_changes_the_bytes():
    base = manifest_of()["fingerprint"]
    others = [manifest_of(**{key: value}) for key, value in (("weights", "v"), ("logit_scale", 11.0), ("x", 1))]
    others += [describe(CLASSES[::-1], GRID, {"visual": IDENTITY})]
    others += [describe(CLASSES, {**GRID, "sample_rate": 16000}, {"visual": IDENTITY})]
    others += [describe(CLASSES, GRID, {"fused": IDENTITY})]
    assert len({base, *(other["fingerprint"] for other in others)}) == len(others) + 1
    assert manifest_of()["fingerprint"] == base
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_a_store_of_pyav_is_what_it_was_before_there_was_a_choice():
    assert describe(CLASSES, GRID, {"visual": IDENTITY}, decoder="pyav") == manifest_of()
    assert set(manifest_of()) == {"format", "class_names", "grid", "teachers", "fingerprint"}
    assert decoder_of(manifest_of()) == "pyav"


def test_another_decoder_is_another_store(folder, tmp_path):
    other = describe(CLASSES, GRID, {"visual": IDENTITY}, decoder="decord")
    assert decoder_of(other) == "decord" and other["fingerprint"] != manifest_of()["fingerprint"]
    made = open_store(tmp_path / "other", other)
    assert store_manifest(made) == other and made.name != folder.name
    (made / "manifest.json").write_text(json.dumps({**other, "decoder": "opencv"}))
    with pytest.raises(ValueError, match="does not match its fingerprint"):
        store_manifest(made)


@pytest.mark.parametrize("inside", [False, True])
def test_a_store_is_not_resumed_with_another_decoder(folder, inside):
    before = sorted(path.name for path in folder.parent.rglob("*"))
    wanted = describe(CLASSES, GRID, {"visual": IDENTITY}, decoder="decord")
    said = "was decoded with pyav, got decoder=decord; .* give decoder=pyav to resume, or another `store`"
    with pytest.raises(ValueError, match=f"{folder.name}: {said}"):
        open_store(folder if inside else folder.parent, wanted)
    assert sorted(path.name for path in folder.parent.rglob("*")) == before
    open_store(folder.parent, describe(CLASSES, GRID, {"visual": {**IDENTITY, "weights": "v"}}, decoder="decord"))


def test_another_audio_track_is_another_store(folder, tmp_path):
    other = describe(CLASSES, GRID, {"visual": IDENTITY}, audio_track="1")
    assert other["audio_track"] == "1" and other["fingerprint"] != manifest_of()["fingerprint"]
    assert describe(CLASSES, GRID, {"visual": IDENTITY}, audio_track=None) == manifest_of()
    assert store_manifest(open_store(tmp_path / "other", other)) == other
    with pytest.raises(ValueError, match="is of the best audio track, got audio_track=1; choose the same to resume"):
        open_store(folder.parent, other)


def test_a_damaged_manifest_of_others_is_no_concern(folder):
    (folder.parent / "strange").mkdir()
    (folder.parent / "strange" / "manifest.json").write_text("{")
    assert open_store(folder.parent, manifest_of()) == folder


def test_equal_content_has_equal_bytes(folder, tmp_path):
    other = open_store(tmp_path / "other", manifest_of())
    write_shard(other, 0, dict(reversed(arrays_of(2).items())), rows_of("a", "b"))
    for name in ("00000.safetensors", "00000.json", "manifest.json"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()


def test_two_fingerprints_are_not_mixed(folder):
    open_store(folder.parent, manifest_of(weights="v"))
    with pytest.raises(ValueError, match=f"several fingerprints .*{folder.name}.*; give one of these folders"):
        read_store(folder.parent)
    assert read_store(folder).clip_ids == ("a", "b", "c")


def test_an_edited_manifest_is_refused(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["teachers"]["visual"]["logit_scale"] = 99.0
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="does not match its fingerprint"):
        read_store(folder)
    with pytest.raises(ValueError, match="holds evidence of other teachers than its name says"):
        open_store(folder.parent, manifest_of())


@pytest.mark.parametrize("spoil", ["truncate", "flip", "remove"])
def test_a_spoiled_shard_is_refused_and_does_not_count_as_done(folder, spoil):
    path = folder / "00001.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink() if spoil == "remove" else path.write_bytes(data[:-1] if spoil == "truncate" else data)
    with pytest.raises(ValueError, match="00001.safetensors: its bytes are not those of its done-marker"):
        read_store(folder)


@pytest.mark.parametrize("has_list", [True, False])
@pytest.mark.parametrize("arrays", [True, False])
def test_a_shard_that_lost_its_marker_is_missed(folder, arrays, has_list):
    (folder / "00000.json").unlink()
    if not arrays:
        (folder / "00000.safetensors").unlink()
    if not has_list:
        (folder / "shards.json").unlink()
    with pytest.raises(ValueError, match="1 shards are gone or have lost their marker, such as 00000"):
        read_store(folder)


def test_a_shard_that_is_being_made_does_not_count_and_is_not_missed(folder):
    (folder / "00002.safetensors").write_bytes((folder / "00001.safetensors").read_bytes())
    assert read_store(folder).clip_ids == ("a", "b", "c")


def test_no_store_is_said_plainly(tmp_path):
    with pytest.raises(ValueError, match="expected an evidence store .*, got none; run the harvest first"):
        read_store(tmp_path / "absent")
    open_store(tmp_path, manifest_of())
    with pytest.raises(ValueError, match="no finished shard"):
        read_store(tmp_path)


def test_a_clip_that_occurs_twice_is_refused(folder):
    write_shard(folder, 2, arrays_of(1), rows_of("a"))
    with pytest.raises(ValueError, match="1 clips occur twice, such as a"):
        read_store(folder)


def test_rows_and_arrays_must_agree(folder):
    with pytest.raises(ValueError, match=r"visual.* must have 2 rows, one per clip, got \[1, 3"):
        write_shard(folder, 2, arrays_of(1), rows_of("d", "e"))


def test_one_prompt_per_class():
    with pytest.raises(
        ValueError, match="the visual teacher must have one prompt per class, got 2 prompts for 3 classes"
    ):
        describe(("Dog", "Cat", "Cow"), GRID, {"visual": IDENTITY})
    with pytest.raises(ValueError, match="a store needs at least one teacher"):
        describe(CLASSES, GRID, {})


def test_an_unknown_role_is_refused(folder):
    with pytest.raises(ValueError, match="role must be one of visual .*, got 'audio'"):
        read_store(folder).logits("audio")


def test_a_second_writer_is_refused_until_the_first_is_gone(folder):
    script = (
        "import sys; from pathlib import Path; from valor.label_harvest.store.share import write_lock\n"
        f"with write_lock(Path({str(folder)!r})):\n    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another run is writing to this store"), write_lock(folder):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with write_lock(folder):
        pass


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomic(path, b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_store_that_cannot_be_written_is_said_plainly(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="the store cannot be written"):
        open_store(tmp_path / "file", manifest_of())


def test_failures_are_a_readable_table(tmp_path):
    path = write_failures(tmp_path, [ShardRow("a", "short", 'said "x", then\nstopped', ())])
    assert path.read_text() == 'clip_id,status,message\na,short,"said ""x"", then\nstopped"\n'


@pytest.mark.parametrize("name", ["=1+1", "+x", "-hK3l_abcde", "@x", "-5", "+1e3", "Dog", "\tx", ""])
def test_no_cell_of_the_failures_is_a_formula(tmp_path, name):
    """As in every other table: the rule stands twice, since `eval` and the harvest know nothing of each other."""
    assert text_cell(name) == unformula(name)
    content = write_failures(tmp_path, [ShardRow(name, "short", name, ())]).read_bytes().decode()
    assert content == f"clip_id,status,message\n{text_cell(name)},short,{text_cell(name)}\n"


def test_a_list_of_failures_of_an_older_version_is_still_one(tmp_path):
    rows = [ShardRow("-hK3l_abcde", "missing", "", ("Cat",), {})]
    folder = open_store(tmp_path, manifest_of())
    write_shard(folder, 0, {name: np.full_like(a, np.nan) for name, a in arrays_of(1).items()}, rows)
    write_list(folder, read_markers(folder))
    for as_they_are in (False, True):
        (folder / "failures.csv").write_bytes(failures_table(rows, as_they_are=as_they_are))
        assert not [problem for problem in verify_store(folder).problems if "failures" in problem]
