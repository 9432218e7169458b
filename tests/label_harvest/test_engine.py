"""The local engine: what runs beside what, where the time went, and how it ends."""

import dataclasses
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from tests.helpers.toy import FakeTeacher, write_toy_world
from tests.helpers.toy_harvest import GRID
from valor.label_harvest.engine import Batch, Clock, Decoding, LocalEngine
from valor.label_harvest.media import decode_pool
from valor.label_harvest.media.decoders import DECODERS
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.store.shards import ShardRow
from valor.label_harvest.teachers.teacher import StagedTeacher

pytestmark = pytest.mark.usefixtures("forked_decoders")

CLIPS = tuple("abcdefgh")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_toy_world(tmp_path_factory.mktemp("engine") / "videos", CLIPS, seconds=2.0)


def batches_of(videos, size=2):
    for start in range(0, len(CLIPS), size):
        rows = tuple(ShardRow(clip, "ok", "", ()) for clip in CLIPS[start : start + size])
        yield Batch(0, range(start, start + size), rows, tuple(videos / f"{row.clip_id}.mkv" for row in rows))


def decoding(workers=2):
    return Decoding(grid=dataclasses.replace(GRID, sample_rate=8000), limits=DecodeLimits(), workers=workers)


@pytest.mark.parametrize(("decoder", "function"), [("pyav", decode_pool.DECODE), ("decord", DECODERS["decord"])])
def test_every_engine_decodes_with_the_decoder_asked_for(videos, monkeypatch, decoder, function):
    from valor.label_harvest.ray_engine import _pool

    asked = []
    monkeypatch.setattr(decode_pool.DecodePool, "_read", lambda pool, *_: asked.append(pool._decode))
    wanted = dataclasses.replace(decoding(1), decoder=decoder)
    for pool in (wanted.pool(1), _pool(wanted)):
        with pool:
            pool.submit(videos / "a.mkv", GRID).result()
    assert asked == [function] * 2


@dataclasses.dataclass
class Staged(FakeTeacher):
    """Prepares in one place and judges in another, each for a while."""

    prepares: float = 0.0
    judges: float = 0.0
    busy: int = 0
    overlapped: bool = False
    threads: set = dataclasses.field(default_factory=set)

    def prepare_many(self, clips):
        self.threads.add(threading.current_thread().name)
        self.overlapped |= self.busy > 0
        time.sleep(self.prepares)
        return list(clips)

    def judge_many(self, prepared):
        self.busy += 1
        time.sleep(self.judges)
        self.busy -= 1
        return [self._answer(clip) for clip in prepared]


def test_the_next_batch_is_prepared_while_the_network_is_busy(videos):
    teacher = Staged("visual", prepares=0.02, judges=0.15)
    assert isinstance(teacher, StagedTeacher) and not isinstance(FakeTeacher(), StagedTeacher)
    engine = LocalEngine([teacher])
    found = list(engine.judged(batches_of(videos), decoding()))
    assert sorted(batch.positions.start for batch, _ in found) == [0, 2, 4, 6]
    assert teacher.overlapped and teacher.threads == {"prepare"}
    assert engine.clock.network > 0.6
    plain = list(LocalEngine([FakeTeacher("visual")]).judged(batches_of(videos), decoding(0)))
    for batch, judged in found:
        other = next(its for twin, its in plain if twin.positions == batch.positions)
        assert judged.rows == other.rows
        for one, two in zip(judged.answers["visual"], other.answers["visual"], strict=True):
            np.testing.assert_array_equal(one.similarity, two.similarity)


def test_a_clock_names_what_bounds_a_run():
    clock = Clock(decode=1.0, host=0.5, network=2.5)
    assert clock.shares() == {"network": 0.625, "decode": 0.25, "host": 0.125}
    assert str(clock) == "bound by network (network 62 %, decode 25 %, host 12 %)"


@dataclasses.dataclass
class Meeting(Staged):
    """Can only prepare a batch while another is being prepared."""

    both: threading.Barrier = dataclasses.field(default_factory=lambda: threading.Barrier(2, timeout=20))

    def prepare_many(self, clips):
        self.both.wait()
        return list(clips)


def test_several_threads_prepare_where_one_is_too_slow(videos):
    engine = LocalEngine([Meeting("visual")])
    found = list(engine.judged(batches_of(videos), dataclasses.replace(decoding(), preparers=2)))
    assert sorted(batch.positions.start for batch, _ in found) == [0, 2, 4, 6]
    assert not prepare_threads()


@pytest.mark.parametrize(("prepares", "judges", "bound"), [(0.1, 0.0, "host"), (0.0, 0.1, "network")])
def test_what_bounded_a_run_is_told_from_where_its_time_went(videos, prepares, judges, bound):
    engine = LocalEngine([Staged("visual", prepares=prepares, judges=judges)])
    began = time.monotonic()
    assert len(list(engine.judged(batches_of(videos), decoding(0)))) == 4
    spent = dataclasses.asdict(engine.clock)
    assert spent[bound] > 0.3 and sum(spent.values()) <= time.monotonic() - began
    assert str(engine.clock).startswith(f"bound by {bound} ({bound} ")


def test_a_run_that_waits_for_decoders_says_so(videos):
    engine = LocalEngine([Staged("visual")])
    list(engine.judged(batches_of(videos), decoding(1)))
    assert str(engine.clock).startswith("bound by decode (decode ")


def test_shares_add_up_and_an_idle_clock_has_none():
    shares = Clock(decode=1.0, host=1.0, network=2.0).shares()
    assert shares == {"network": 0.5, "decode": 0.25, "host": 0.25}
    assert set(Clock().shares().values()) == {0.0}


def prepare_threads():
    return [thread for thread in threading.enumerate() if thread.name == "prepare"]


def test_whoever_stops_asking_leaves_no_thread_behind(videos):
    with closing(LocalEngine([Staged("visual")]).judged(batches_of(videos), decoding())) as judged:
        next(judged)
        assert prepare_threads()
    assert not prepare_threads()


class BrokenError(Exception):
    """Trouble in a thread."""


@dataclasses.dataclass
class Broken(Staged):
    def prepare_many(self, clips):
        raise BrokenError


def test_trouble_in_the_preparing_is_raised_where_it_is_asked_for(videos):
    for preparers in (1, 3):
        with pytest.raises(BrokenError):
            wanted = dataclasses.replace(decoding(), preparers=preparers)
            list(LocalEngine([Broken("visual")]).judged(batches_of(videos), wanted))
    assert not prepare_threads()
