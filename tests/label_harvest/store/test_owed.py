"""A store knows which clips its runs were asked for: an interrupted harvest is never taken for a whole one."""

import dataclasses
import json
import logging
import shutil

import pytest

from tests.helpers.toy_harvest import CLIPS, OPTIONS, digests, toy_harvest
from tests.helpers.toy_store import arrays_of, row_of, write_toy_store
from tests.helpers.typed import typed
from valor.label_harvest.disk import LockedError
from valor.label_harvest.store import check
from valor.label_harvest.store.check import merge_stores, repair_store, verify_store
from valor.label_harvest.store.owed import OWED, read_owed, unfinished, write_owed
from valor.label_harvest.store.shards import LIST, read_markers, sealed, write_shard
from valor.label_harvest.store.share import Share, write_lock
from valor.label_harvest.store.status import store_status
from valor.label_harvest.store.store import read_store


@pytest.fixture
def store(tmp_path):
    """Three clips of five."""
    folder = write_toy_store(tmp_path / "store", {0: [row_of("a"), row_of("b", "missing")], 1: [row_of("c")]})
    write_owed(folder, [*"abcde"], {})
    return folder


def of_share(videos, store, index, **changes):
    options = dataclasses.replace(OPTIONS, share=Share(index, 3), **changes)
    return toy_harvest(CLIPS, videos, store, options=options)


def test_a_run_that_is_interrupted_leaves_what_it_was_asked_for(videos, undisturbed, tmp_path, monkeypatch):
    from valor.label_harvest import harvest

    written, write = [], harvest.write_shard

    def once(*given):
        if written:
            raise KeyboardInterrupt
        written.append(write(*given))

    monkeypatch.setattr(harvest, "write_shard", once)
    with pytest.raises(KeyboardInterrupt):
        toy_harvest(CLIPS, videos, tmp_path)
    (path,) = tmp_path.glob(f"*/{OWED}")
    assert read_owed(path.parent) == set(CLIPS)
    found = unfinished(path.parent)
    assert (found.clips, found.owed, found.running) == (4, 6, ())
    monkeypatch.undo()
    toy_harvest(CLIPS, videos, tmp_path)
    assert digests(tmp_path) == undisturbed and not path.exists()


def test_shares_owe_what_is_of_the_others_until_all_are_there(videos, undisturbed, tmp_path):
    for index, left in ((1, 6), (3, 4), (2, 0)):
        of_share(videos, tmp_path / "one", index)
        assert store_status(tmp_path / "one").owed == left
        of_share(videos, tmp_path / str(index), index)
    two = merge_stores([tmp_path / "1", tmp_path / "2"], tmp_path / "two")
    assert (two.clips, unfinished(two.folder).owed) == (8, 2)
    merge_stores([tmp_path / "two", tmp_path / "3"], tmp_path / "all")
    assert digests(tmp_path / "one") == digests(tmp_path / "all") == undisturbed


def test_a_merge_that_is_interrupted_owes_the_rest(videos, tmp_path, monkeypatch):
    toy_harvest(CLIPS, videos, tmp_path / "store")
    monkeypatch.setattr(check, "write_shard", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        merge_stores([tmp_path / "store"], tmp_path / "out")
    assert store_status(tmp_path / "out").owed == len(CLIPS)


def test_a_longer_table_is_owed_beside_what_was_owed_before(store):
    write_owed(store, ["x", "a"], read_markers(store))
    assert read_owed(store) == {"d", "e", "x"}
    write_owed(store, ["c"], {})
    assert json.loads((store / OWED).read_text())["clips"] == ["c", "d", "e", "x"]


def test_whoever_reads_says_how_many_clips_are_there_once(store, caplog):
    with caplog.at_level(logging.WARNING):
        read_store(store)
        read_store(store)
    said = f"{store}: 3 of 5 clips, the others are in no shard; run the harvest again for these 2, or remove {OWED} "
    assert [text[: len(said)] for text in caplog.messages] == [said]
    check = verify_store(store)
    assert not check.problems and "3 of 5 clips, the others are in no shard" in check.notes[-1]
    shown = typed("store", "show", store)
    assert shown.code == 0 and "  owed         3 of 5 clips, the others are in no shard; run the harvest" in shown.out
    assert json.loads(typed("store", "show", store, "--format", "json").out)["owed"] == 2
    (store / OWED).unlink()
    assert store_status(store).owed == 0 and "owed" not in typed("store", "show", store).out


def test_a_pushed_store_says_it_on_its_card(store, tmp_path):
    done = typed("push", store, "me/it", "--out", tmp_path / "card")
    assert "3 of 5 clips, the others are in no shard" in done.err
    assert "\n> **3 of 5 clips: the others are in no shard.**\n" in (tmp_path / "card" / "README.md").read_text()


def test_while_a_run_is_at_work_readers_say_so_and_nobody_merges(store, tmp_path):
    for share, name in ((Share(), "1/1"), (Share(2, 4), "2/4")):
        with write_lock(store, share):
            assert f"share {name} is at work; wait for the end" in unfinished(store).told
            with pytest.raises(LockedError, match=r"another run is writing to this store; wait .* \(process \d+ on "):
                merge_stores([store], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def spoil(folder, index, *, marker, arrays):
    """Take away, or change, the done-marker of a shard and its arrays."""
    for path, how in ((folder / f"{index:05d}.json", marker), (folder / f"{index:05d}.safetensors", arrays)):
        if how == "gone":
            path.unlink()
        elif how:
            payload = bytearray(path.read_bytes())
            payload[-3] ^= 1
            path.write_bytes(payload)


SPOILT = [("", "spoilt"), ("", "gone"), ("spoilt", ""), ("gone", ""), ("gone", "spoilt"), ("spoilt", "gone")]


@pytest.mark.parametrize(("marker", "arrays"), SPOILT)
@pytest.mark.parametrize("listed", [True, False])
def test_a_repair_owes_the_clips_it_takes_out_and_those_of_shards_that_are_gone(tmp_path, marker, arrays, listed):
    folder = write_toy_store(tmp_path, {0: [row_of("a"), row_of("b")], 1: [row_of("c")], 2: [row_of("d")]})
    spoil(folder, 1, marker=marker, arrays=arrays)
    if not listed:
        (folder / LIST).unlink()
    done = repair_store(folder)
    vouched = listed or (marker, arrays) != ("spoilt", "gone")  # of a marker that is damaged nobody else knows them
    assert read_owed(folder) == ({"c"} if vouched else frozenset())
    assert any("lacks the clips of 00001, which nothing in the store names" in line for line in done) != vouched
    assert repair_store(folder) == () and read_owed(folder) == ({"c"} if vouched else frozenset())
    write_toy_store(tmp_path, {1: [row_of("c")]})
    write_owed(folder, (), read_markers(folder))
    assert not (folder / OWED).exists()


def test_arrays_that_a_killed_run_left_are_not_owed_where_the_list_names_no_such_shard(tmp_path):
    folder = write_toy_store(tmp_path, {0: [row_of("a")]})
    write_shard(folder, 1, arrays_of([row_of("x")]), [row_of("x")])
    (folder / "00001.json").unlink()
    assert repair_store(folder) == () and not (folder / OWED).exists()


def test_a_repaired_store_says_what_it_lacks_until_it_is_harvested_again(videos, undisturbed, tmp_path, caplog):
    folder = toy_harvest(CLIPS, videos, tmp_path / "store").folder
    spoil(folder, 1, marker="", arrays="spoilt")
    spoil(folder, 2, marker="", arrays="gone")
    repair_store(folder)
    assert read_owed(folder) == set(CLIPS[4:])
    with caplog.at_level(logging.WARNING):
        assert len(read_store(folder).clip_ids) == 4
    assert any("4 of 10 clips, the others are in no shard" in text for text in caplog.messages)
    assert "4 of 10 clips" in verify_store(folder).notes[-1]
    merged = merge_stores([folder], tmp_path / "merged").folder
    assert read_owed(merged) == read_owed(folder)
    toy_harvest(CLIPS, videos, tmp_path / "store")
    shutil.rmtree(folder / "damaged")
    toy_harvest(CLIPS, videos, tmp_path / "merged")
    assert digests(tmp_path / "store") == digests(tmp_path / "merged") == undisturbed


@pytest.mark.parametrize("step", ["rename", "write_failures", "write_list"])
def test_a_repair_that_is_killed_has_lost_sight_of_no_clip(tmp_path, monkeypatch, step):
    folder = write_toy_store(tmp_path, {n: [row_of(name, "missing")] for n, name in enumerate("abcd")})
    for index, marker in ((1, ""), (2, "spoilt"), (3, "gone")):
        spoil(folder, index, marker=marker, arrays="" if marker == "gone" else "gone")
    done, act = [], getattr(check, step)

    def once(*given, **named):
        if done or step != "rename":
            raise KeyboardInterrupt
        done.append(act(*given, **named))

    with monkeypatch.context() as patch:
        patch.setattr(check, step, once)
        with pytest.raises(KeyboardInterrupt):
            repair_store(folder)
    assert read_owed(folder) == {*"bcd"}
    repair_store(folder)
    assert (read_owed(folder), store_status(folder).owed, verify_store(folder).problems) == ({*"bcd"}, 3, ())


def test_a_damaged_list_is_a_problem_and_repair_sets_it_aside(store):
    path = store / OWED
    path.write_text(path.read_text().replace('"d"', '"f"'))
    assert "list of clips that are owed is not as it was" in str(verify_store(store).problems)
    with pytest.raises(ValueError, match="`valor store repair` sets it aside"):
        read_store(store)
    assert any(line.startswith(f"{OWED}: moved to damaged/") for line in repair_store(store))
    assert not path.exists() and not verify_store(store).problems
    path.write_bytes(sealed({"format": 2, "clips": []}))
    with pytest.raises(ValueError, match="newer version"):
        read_owed(store)
