"""A shard that fills up: batches in any order, kept evidence, features that come and go with their clips."""

import dataclasses

import numpy as np

from tests.helpers.toy import FakeTeacher, toy_media
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.store.evidence import ShardEvidence, judge_batch, prepare_batch
from valor.label_harvest.store.plan import ShardPlan
from valor.label_harvest.store.shards import ShardRow
from valor.label_harvest.teachers.teacher import Evidence

GRID = Grid(num_segments=4, segment_seconds=0.5, sample_rate=8000)
ROWS = tuple(ShardRow(clip, "ok", "", ("Dog",)) for clip in "abcd")
TEACHERS = [FakeTeacher("visual"), FakeTeacher("audio", sample_rate=8000)]


def found(position: int):
    return ROWS[position], toy_media(grid=GRID, seed=position)


def lost(position: int):
    return dataclasses.replace(ROWS[position], status="missing"), None


def take_in(shard, teachers, positions, clips):
    shard.add(positions, [row for row, _ in clips], judge_batch(teachers, prepare_batch(teachers, clips))[0])


def gathered(*batches, again=None, old=None, rows=ROWS):
    known = tuple(row.known for row in rows)
    shard = ShardEvidence(ShardPlan(0, known, again), TEACHERS, 4, old and (list(rows), old), len(batches))
    for clips in batches:
        assert not shard.is_complete
        take_in(shard, TEACHERS, [ROWS.index(dataclasses.replace(row, status="ok")) for row, _ in clips], clips)
    assert shard.is_complete
    return shard


def same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    return True


WHOLE = gathered([found(0), found(1)], [found(2), found(3)])


def test_batches_may_come_in_any_order():
    other = gathered([found(2), found(3)], [found(0), found(1)])
    assert same(other.arrays(), WHOLE.arrays()) and other.rows == WHOLE.rows and WHOLE.differs(WHOLE.arrays())
    assert np.isfinite(WHOLE.arrays()["audio.embedding"]).all()


def test_a_clip_that_turns_up_takes_its_place_among_kept_ones():
    partly = gathered([found(0), lost(1)], [found(2), found(3)])
    assert np.isnan(partly.arrays()["audio.similarity"][1]).all()
    assert np.isnan(partly.arrays()["visual.embedding"]).all((1, 2)).tolist() == [False, True, False, False]
    mended = gathered([found(0), found(1)], again=frozenset({1}), old=partly.arrays(), rows=tuple(partly.rows))
    assert same(mended.arrays(), WHOLE.arrays()) and mended.rows == WHOLE.rows and mended.differs(mended.arrays())


def test_evidence_of_company_that_is_gone_stays():
    partly = gathered([found(0), lost(1)], [found(2), found(3)])
    mended = gathered([lost(0), found(1)], again=frozenset({1}), old=partly.arrays(), rows=tuple(partly.rows))
    assert same(mended.arrays(), WHOLE.arrays()) and mended.rows == WHOLE.rows


def test_a_shard_without_any_clip_has_no_features_until_one_turns_up():
    empty = gathered([lost(0), lost(1)], [lost(2), lost(3)])
    assert set(empty.arrays()) == {"audio.similarity", "visual.similarity"}
    mended = gathered([lost(0), found(1)], again=frozenset({1}), old=empty.arrays(), rows=tuple(empty.rows))
    assert set(mended.arrays()) == set(WHOLE.arrays())
    assert mended.rows[0].status == "missing" and np.isfinite(mended.arrays()["audio.embedding"][1]).all()


def test_what_has_not_changed_says_so():
    partly = gathered([found(0), lost(1)], [found(2), found(3)])
    same_again = gathered([found(0), lost(1)], again=frozenset({1}), old=partly.arrays(), rows=tuple(partly.rows))
    assert not same_again.differs(same_again.arrays()) and same(same_again.arrays(), partly.arrays())


def test_evidence_that_alone_has_changed_is_a_change():
    """A file that was replaced by one of the same length, say."""
    shard = gathered([found(0), found(1)], again=frozenset({0}), old=WHOLE.arrays(), rows=tuple(WHOLE.rows))
    assert not shard.differs(shard.arrays())
    row, _ = found(0)
    other = gathered(
        [(row, toy_media(grid=GRID, seed=9)), found(1)],
        again=frozenset({0}),
        old=WHOLE.arrays(),
        rows=tuple(WHOLE.rows),
    )
    assert other.rows == WHOLE.rows and other.differs(other.arrays())


def test_evidence_is_not_traded_for_a_failure(caplog):
    shard = gathered([lost(0), found(1)], again=frozenset({0, 1}), old=WHOLE.arrays(), rows=tuple(WHOLE.rows))
    assert same(shard.arrays(), WHOLE.arrays()) and shard.rows == WHOLE.rows
    assert "a: missing this time" in caplog.text and "it stays ok" in caplog.text


class Extractor:
    """Features alone, of all slots."""

    role, sample_rate = "res152", None

    def identity(self):
        return {"teacher": "fake", "weights": "w", "precision": "float32"}

    def encode_many(self, clips):
        return [Evidence({"features": np.ones((4, 3), np.float32)}) for _ in clips]


def test_a_feature_extractor_has_no_similarity_and_needs_its_streams():
    row, media = found(0)
    slots = np.zeros((GRID.num_slots, 2, 2, 3), np.uint8)
    seen = dataclasses.replace(media, slots=slots, frames_present=np.array([True, True, True, False]))
    shard = ShardEvidence(ShardPlan(0, ROWS[:2]), [Extractor()], 4, None, 1)
    take_in(shard, [Extractor()], [0, 1], [(row, seen), found(1)])
    arrays = shard.arrays()
    assert set(arrays) == {"res152.features"}
    assert np.isnan(arrays["res152.features"]).all(2).tolist() == [[False, False, False, True], [True] * 4]
