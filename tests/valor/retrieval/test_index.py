"""An index names candidates and changes no score; it belongs to the bytes of its store."""

import json

import numpy as np
import pytest

import valor.retrieval.index as module
from tests.helpers.toy_search import PLAIN_FAISS, SAID, world, write_searched_store
from valor.label_harvest.store.check import verify_store
from valor.retrieval.options import SearchOptions
from valor.retrieval.run import index_store, search_store

OPTIONS = SearchOptions(text=SAID["Dog"], top=5)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "faiss_library", lambda: PLAIN_FAISS)
    monkeypatch.setattr(module, "EACH", 2)
    write_searched_store(tmp_path / "store", world(16), silent=("clip-0-001",))
    return tmp_path / "store"


def told(result):
    """What was found; scores within the rounding of 16 bits."""
    return [(one.clip_id, one.onset, one.offset, pytest.approx(one.score, abs=4e-3)) for one in result.found[:3]]


def exact(store):
    return search_store(store, SearchOptions(text=OPTIONS.text, top=5, exact=True))


def test_the_answers_are_those_of_the_exact_search(store):
    built = index_store(store)
    assert (built.seconds, built.added, built.anew) == (96, 96, True)
    assert built.folder.parent == store.with_name("store.search")
    result = search_store(store, OPTIONS)
    assert result.compared < result.seconds == 96
    assert told(result) == told(exact(store))
    assert verify_store(store).problems == ()


def test_it_is_found_from_the_folder_of_the_fingerprint_too(store):
    index_store(store)
    (folder,) = (path for path in store.iterdir() if path.is_dir())
    assert search_store(folder, OPTIONS).compared < 96


def test_new_shards_are_appended_and_an_older_index_is_said(store, monkeypatch):
    first = index_store(store)
    write_searched_store(store, world(4, seed=1), first=4)
    with pytest.raises(ValueError, match=r"the index is older than its store \(1 of 5 shards are not in it\); `valor"):
        search_store(store, OPTIONS)
    assert len(exact(store).found) == 5
    read = []
    monkeypatch.setattr(
        module, "read_blocks", lambda *a, clip_ids, **k: read.append(clip_ids) or blocks(*a, clip_ids=clip_ids)
    )
    again = index_store(store)
    assert (again.seconds, again.added, again.anew, again.folder) == (120, 24, False, first.folder)
    assert read == [set(world(4, seed=1))]
    assert told(search_store(store, OPTIONS)) == told(exact(store))
    assert sorted(path.name for path in first.folder.iterdir()) == sorted(
        ["index.json", *(f"{m}-00001.{end}" for m in ("audio", "visual") for end in ("npy", "sums.npy", "faiss"))]
    )
    assert index_store(store).added == 0


blocks = module.read_blocks


def test_what_was_appended_is_what_a_new_index_has(store, tmp_path):
    write_searched_store(store, world(4, seed=1), first=4)
    whole = index_store(store, index=tmp_path / "whole").folder
    write_searched_store(tmp_path / "b", world(16), silent=("clip-0-001",))
    index_store(tmp_path / "b")
    write_searched_store(tmp_path / "b", world(4, seed=1), first=4)
    grown = index_store(tmp_path / "b").folder
    for name in ("audio", "visual"):
        assert np.array_equal(
            np.load(whole / f"{name}-00000.npy"), np.load(grown / f"{name}-00001.npy"), equal_nan=True
        )
        one, other = (np.load(f / f"{name}-0000{n}.sums.npy") for n, f in enumerate((whole, grown)))
        assert np.allclose(one, other, atol=1e-4)


def test_a_shard_that_was_rewritten_has_it_made_anew(store, caplog):
    index_store(store)
    changed = dict(list(world(16).items())[:4])
    write_searched_store(store, {**changed, "clip-0-000": []}, silent=("clip-0-001",))
    with pytest.raises(ValueError, match="its shards have changed since"):
        search_store(store, OPTIONS)
    assert (
        index_store(store).anew and "shards that are in the index have changed; the index is made anew" in caplog.text
    )
    assert told(search_store(store, OPTIONS)) == told(exact(store))


@pytest.mark.parametrize("damage", ["bit", "gone", "short"])
def test_a_damaged_index_is_refused(store, damage):
    folder = index_store(store).folder
    if damage == "bit":
        path = folder / "index.json"
        path.write_text(path.read_text().replace('"laid_out"', '"laid_Out"'))
    elif damage == "gone":
        (folder / "audio-00000.npy").unlink()
    else:
        (folder / "audio-00000.faiss").write_bytes(b"x")
    with pytest.raises(ValueError, match="the index is not as it was written .* make it anew with `valor search"):
        search_store(store, OPTIONS)
    assert index_store(store).anew
    assert search_store(store, OPTIONS).compared < 96


def test_a_changed_bit_of_its_vectors_is_seen_when_it_grows(store, caplog):
    folder = index_store(store).folder
    path = folder / "audio-00000.npy"
    payload = bytearray(path.read_bytes())
    payload[-1] ^= 1
    path.write_bytes(payload)
    assert index_store(store).anew and "audio-00000.npy: is not as it was written" in caplog.text


def test_that_of_another_store_is_refused(store, tmp_path):
    folder = index_store(store).folder
    said = json.loads((folder / "index.json").read_text())
    del said["format"], said["checksum"]
    (folder / "index.json").write_text(json.dumps({**said, "store": "f" * 64}))
    with pytest.raises(ValueError, match="the index is of another store, or of embeddings placed otherwise"):
        search_store(store, OPTIONS)
    with pytest.raises(ValueError, match="no index of this store there"):
        search_store(store, SearchOptions(text="a dog", index=tmp_path / "none"))


def test_lists_are_laid_out_anew_once_a_store_has_grown(store, monkeypatch):
    monkeypatch.setattr(module, "GROWTH", 1)
    index_store(store)
    write_searched_store(store, world(4, seed=1), first=4)
    folder = index_store(store).folder
    assert json.loads((folder / "index.json").read_text())["laid_out"] == 120
    assert told(search_store(store, OPTIONS)) == told(exact(store))


def test_without_faiss_it_is_said_how_to_get_it(store, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(ValueError, match="an index needs faiss: pip install faiss-cpu"):
        index_store(store)


def test_faiss_itself_finds_the_same(store, monkeypatch):
    pytest.importorskip("faiss", reason="faiss is not installed (.[search])")
    monkeypatch.undo()
    monkeypatch.setattr(module, "EACH", 2)
    index_store(store)
    result = search_store(store, OPTIONS)
    assert result.compared < 96 and told(result) == told(exact(store))
    write_searched_store(store, world(4, seed=1), first=4)
    assert index_store(store).added == 24
    assert told(search_store(store, OPTIONS)) == told(exact(store))


def test_more_is_named_where_one_clip_has_all_that_was(store, monkeypatch):
    monkeypatch.setattr(module, "EACH", 1)
    index_store(store)
    result = search_store(store, SearchOptions(text=SAID["Dog"], top=4))
    assert len({one.clip_id for one in result.found}) >= 3 and result.compared >= 24
