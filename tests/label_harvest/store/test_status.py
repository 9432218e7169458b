"""How far a store is, asked while others write to it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.toy_store import row_of, write_toy_store
from valor.label_harvest.disk import is_locked
from valor.label_harvest.store.share import Share, write_lock
from valor.label_harvest.store.status import Lacking, prometheus_text, store_status


@pytest.fixture
def store(tmp_path):
    """Three shards, written 100 s and 50 s apart, the first of them long ago."""
    rows = [row_of("a"), row_of("b", "no_audio"), row_of("c", "missing"), row_of("d"), row_of("e", "still")]
    folder = write_toy_store(tmp_path / "store", {0: rows[:2], 1: rows[2:4], 3: rows[4:]})
    for name, age in (("manifest", 9000), ("00000", 8000), ("00001", 50), ("00003", 0)):
        os.utime(folder / f"{name}.json", (2e9 - age, 2e9 - age))
    return folder


def test_of_a_table_it_says_what_is_done_and_what_is_left(store):
    status = store_status(store, [*"abcdefgh"])
    assert (status.clips, status.done, status.failed, status.missing, status.left, status.others) == (8, 3, 1, 1, 3, 0)
    assert status.by_status == {"ok": 2, "no_audio": 1, "missing": 1, "still": 1} and status.shards == 3
    assert (status.running, status.stopped, status.seconds_left) == ((), (), None)
    told = status.to_dict()
    assert told["newest_shard"] == "2033-05-18T03:33:20Z" and told["left"] == 3 and told["clips_per_second"] is None


def test_without_one_it_says_what_is_there(store):
    status = store_status(store)
    assert (status.clips, status.left, status.others, status.done) == (None, None, 0, 3)
    status = store_status(store, ["a", "x"])
    assert (status.clips, status.left, status.others, status.done) == (2, 1, 4, 1)


def test_the_same_as_gauges(store):
    lines = prometheus_text([store_status(store, [*"abcdefgh"]), store_status(store)]).splitlines()
    at = f'store="{store}"'
    assert lines[:4] == [
        "# HELP valor_store_clips Clips in finished shards, by what became of them.",
        "# TYPE valor_store_clips gauge",
        f'valor_store_clips{{{at},status="ok"}} 2',
        f'valor_store_clips{{{at},status="no_audio"}} 1',
    ]
    assert f"valor_store_newest_shard_timestamp_seconds{{{at}}} 2000000000" in lines
    assert lines.count(f"valor_store_clips_left{{{at}}} 3") == 1  # of the one with a table
    assert len({line for line in lines if line.startswith("# TYPE")}) == sum(line[:6] == "# TYPE" for line in lines)
    assert not [line for line in lines if "None" in line or "seconds_left" in line]
    strange = replace(store_status(store), folder=Path('a"b\\c\nd'))
    assert r'{store="a\"b\\c\nd"} 3' in prometheus_text([strange])


def test_who_is_at_work_is_told_from_who_was_killed(store):
    (store / ".lock-3-of-4").touch()
    with write_lock(store, Share(1, 4)), write_lock(store, Share(2, 4)):
        for share in (1, 2):
            os.utime(store / f".lock-{share}-of-4", (2e9 - 150, 2e9 - 150))
        status = store_status(store, [*"abcdefgh"])
        assert (status.running, status.stopped) == (("1/4", "2/4"), ("3/4",))
        assert status.clips_per_second == pytest.approx(2 * 2 / 100) and status.seconds_left == pytest.approx(75)
    with write_lock(store):
        assert store_status(store).running == ("1/1",) and store_status(store).seconds_left is None
        assert store_status(store, [*"abcde"]).seconds_left == 0
    assert store_status(store).running == ()


def test_the_rate_counts_from_the_start_of_each_share_and_the_shards_of_its_last_hour(tmp_path):
    """Two shares that began together and wrote their first shards after 100 s, within a second of each other."""
    clips = iter(f"c{n}" for n in range(40))
    shards = {n: [row_of(next(clips)) for _ in range(5)] for n in range(8)}
    folder = write_toy_store(tmp_path / "store", {n: shards[n] for n in range(2)})
    with write_lock(folder, Share(1, 4)), write_lock(folder, Share(2, 4)), write_lock(folder, Share(3, 4)):

        def rate(written, began=(0, 0, 0)):
            for number, moment in enumerate(began):
                os.utime(folder / f".lock-{number + 1}-of-4", (1e9 + moment, 1e9 + moment))
            for number, moment in written.items():
                os.utime(folder / f"{number:05d}.json", (1e9 + moment, 1e9 + moment))
            return store_status(folder).clips_per_second

        assert rate({0: 100, 1: 101}) == pytest.approx((5 / 100 + 5 / 101) / 2 * 3)  # the third goes like these
        assert rate({0: 100, 1: 101}, (0, 0, 100.5)) == pytest.approx((5 / 100 + 5 / 101) / 2 * 3)
        assert rate({0: -1, 1: 101}) is None and rate({0: -1, 1: -1}) is None  # before they began, by other runs
        write_toy_store(tmp_path / "more", {4: shards[4]})
        for path in (tmp_path / "more").glob("*/00004.*"):
            path.rename(folder / path.name)
        assert rate({0: 5000, 4: 5010, 1: 101}) == pytest.approx((10 / 5010 + 5 / 101) / 2 * 3)
        assert rate({0: 50, 4: 5010, 1: 101}) == pytest.approx((5 / (5010 - 50) + 5 / 101) / 2 * 3)
        status = store_status(folder, [f"c{n}" for n in range(100)])
        assert status.seconds_left == pytest.approx(status.left / status.clips_per_second)
    assert store_status(folder).clips_per_second is None  # nobody is at work


def test_looking_at_a_lock_keeps_nobody_from_having_it(store, monkeypatch):
    """The moment in which a lock is looked at falls on the one in which a run asks for it."""
    import fcntl

    from valor.label_harvest import disk

    asked, real = [], fcntl.flock

    def busy_at_first(file, how):
        asked.append(how)
        if len(asked) == 1:
            raise BlockingIOError
        real(file, how)

    monkeypatch.setattr(disk.fcntl, "flock", busy_at_first)
    with write_lock(store):
        assert len(asked) == 2
    assert not is_locked(store / "none")


def test_what_is_lacking_names_one_share_or_several():
    for shares, said in (
        (("3/4",), "; share 3/4 has not run or"),
        (("3/4", "4/4"), "; shares 3/4, 4/4 have not run or"),
    ):
        assert said in str(Lacking(clip_ids=("a",), clips=2, shards=(2,), shares=shares))
