"""Which seconds are found, how they are ranked and brought together."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_search import CLASSES, SAID, write_searched_store
from valor.label_harvest.store.shards import ShardRow, write_shard
from valor.label_harvest.store.share import write_lock
from valor.label_harvest.store.store import describe, open_store
from valor.label_harvest.teachers.teacher import unit_rows
from valor.retrieval.options import SearchOptions
from valor.retrieval.run import search_store
from valor.retrieval.search import Found, Query, cosines, find, scores, standings
from valor.retrieval.seconds import Seconds, Sums


def seconds_of(*clips: list[float], other: list[list[float]] | None = None) -> Seconds:
    """Clips whose seconds have these cosines with the query (1, 0); NaN is absent."""

    def placed(levels):
        flat = np.array([level for clip in levels for level in clip], np.float32)
        return np.stack([flat, np.sqrt(1 - flat**2)], axis=1)

    vectors = {"audio": placed(clips)}
    if other is not None:
        vectors["visual"] = placed(other)
    sums = {name: Sums() for name in vectors}
    for name, rows in vectors.items():
        sums[name].add(rows)
    return Seconds(
        clip_ids=tuple(f"clip{number}" for number in range(len(clips))),
        starts=np.cumsum([0, *map(len, clips)]),
        segment_seconds=2.0,
        vectors=vectors,
        spreads={name: of.spread() for name, of in sums.items()},
    )


ASKED = np.array([1, 0], np.float32)
QUERY = Query("x", {"audio": ASKED})


def test_a_score_is_in_deviations_above_the_mean():
    seconds = seconds_of([0.1, 0.3], [0.5, np.nan])
    known = cosines(seconds, QUERY)
    there = np.array([0.1, 0.3, 0.5])
    expected = (there - there.mean()) / there.std()
    assert np.allclose(scores(seconds, QUERY, known)[:3], expected, atol=1e-4)
    assert scores(seconds, QUERY, known)[3] == -np.inf


def test_of_both_it_is_the_mean_and_an_absent_one_adds_nothing():
    query = Query("x", {"audio": ASKED, "visual": ASKED})
    seconds = seconds_of([0.1, 0.3, 0.5], other=[[0.2, np.nan, 0.6]])
    of = scores(seconds, query, cosines(seconds, query))
    sound = np.array([-1.2247449, 0, 1.2247449])
    assert np.allclose(of, (sound + [-1, 0, 1]) / 2, atol=1e-4)


def test_seconds_beside_one_another_are_one_stretch_down_to_half_of_the_best():
    first, second = [0.0] * 10, [0.0] * 10
    first[3:6], second[7] = [0.6, 0.9, 0.3], 0.8
    found = find(seconds_of(first, second), QUERY, 2)
    assert [(one.clip_id, one.onset, one.offset, one.best) for one in found] == [
        ("clip0", 6.0, 10.0, 8.0),
        ("clip1", 14.0, 16.0, 14.0),
    ]
    assert found[0].cosines == {"audio": pytest.approx(0.9)} and len(found[0].levels) == 10


def test_what_is_no_better_than_most_is_no_stretch_and_equals_stand_in_order():
    found = find(seconds_of([0.2, 0.2], [0.2, 0.2]), QUERY, 9)
    assert [(one.clip_id, one.onset, one.offset) for one in found] == [
        ("clip0", 0, 2), ("clip0", 2, 4), ("clip1", 0, 2), ("clip1", 2, 4),
    ]  # fmt: skip


def test_what_scores_below_the_mean_of_the_store_is_no_stretch():
    levels = [0.9, 0.0, 0.1, 0.0, 0.05, 0.0, 0.5, 0.0]
    found = find(seconds_of(levels), QUERY, 50)
    assert [one.best for one in found] == [0.0, 12.0] and all(one.score > 0 for one in found)
    assert len(find(seconds_of([0.3, np.nan]), QUERY, 50)) == 1, "a single second is its own mean"


PLANTED = {
    "a": [("audio", "Dog", 1, 3)],
    "b": [("visual", "Dog", 4, 5)],
    "c": [("audio", "Dog", 2, 4), ("visual", "Dog", 2, 4)],
    "d": [("audio", "Car", 0, 2)],
    "e": [],
}


@pytest.fixture
def store(tmp_path):
    write_searched_store(tmp_path / "store", PLANTED, shard_clips=2, silent=("b",))
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("within", "expected"),
    [
        ("audio", {("a", 1, 3), ("c", 2, 4)}),
        ("visual", {("b", 4, 5), ("c", 2, 4)}),
    ],
)
def test_words_find_what_is_heard_or_seen(store, within, expected):
    result = search_store(store, SearchOptions(text=SAID["Dog"], within=within, top=2))
    assert {(one.clip_id, one.onset, one.offset) for one in result.found} == expected
    counted = (24, 4) if within == "audio" else (30, 5)  # of a silent clip nothing can be heard
    assert (result.seconds, result.clips, result.compared, result.modalities) == (*counted, counted[0], (within,))


def test_of_both_what_is_heard_and_seen_at_once_is_first(store):
    result = search_store(store, SearchOptions(text=SAID["Dog"]))
    best = result.found[0]
    assert (best.clip_id, best.onset, best.offset, result.modalities) == ("c", 2, 4, ("audio", "visual"))
    mute = next(one for one in result.found if one.clip_id == "b")
    assert mute.cosines["audio"] is None and mute.cosines["visual"] > 0.7
    assert result.to_dict()["found"][0]["clip_id"] == "c"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "needs words, or a file .* got none"),
        ({"text": "a", "like": "b.mp4"}, "one of the three, got 2"),
        ({"text": " ?! "}, "must have a letter or a digit"),
        ({"text": "a", "top": 0}, "top must be at least 1"),
        ({"text": "a", "within": "smell"}, "within must be audio, visual or both"),
    ],
)
def test_what_says_nothing_is_refused(given, complaint):
    with pytest.raises(ValueError, match=complaint):
        SearchOptions(**given)


def test_a_store_that_lacks_a_teacher_is_refused(tmp_path):
    write_searched_store(tmp_path / "store", PLANTED, roles=("visual",))
    with pytest.raises(ValueError, match="has no audio teacher whose embeddings could be searched, it has visual"):
        search_store(tmp_path / "store", SearchOptions(text="a dog", within="audio"))
    assert search_store(tmp_path / "store", SearchOptions(text=SAID["Dog"])).modalities == ("visual",)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"weights": "f" * 64}, "was harvested by the audio teacher demo-audio with weights ffff.* this one has"),
        ({"teacher": "fake"}, "its audio teacher is fake, which is none that can be built here"),
        ({"teacher": "demo-visual"}, "its audio teacher is demo-visual, which is none"),
    ],
)
def test_another_teacher_is_refused(tmp_path, changes, complaint):
    from tests.helpers.toy_search import GRID, teacher

    folder = open_store(tmp_path / "s", describe(CLASSES, GRID, {"audio": {**teacher("audio").identity(), **changes}}))
    with write_lock(folder):
        arrays = {
            "audio.embedding": np.zeros((1, 6, 128), np.float16),
            "audio.similarity": np.zeros((1, 6, 4), np.float32),
        }
        write_shard(folder, 0, arrays, [ShardRow("a", "ok", "", ())])
    with pytest.raises(ValueError, match=complaint):
        search_store(tmp_path / "s", SearchOptions(text="a dog"))


def test_clips_of_any_length_are_searched_as_long_as_they_are(tmp_path):
    from tests.helpers.toy_search import GRID, features_of, teacher

    identity = {"audio": teacher("audio").identity()}
    folder = open_store(tmp_path / "s", describe(CLASSES, GRID, identity, length="whole"))
    long = np.concatenate([features_of("x", "audio", []), features_of("y", "audio", [("audio", "Dog", 4, 6)])])
    rows = [ShardRow(name, "ok", "", (), {"segments": count}) for name, count in (("long", 12), ("short", 3))]
    with write_lock(folder):
        arrays = {"audio.embedding": np.concatenate([long, long[:3]])}
        arrays["audio.similarity"] = np.zeros((15, 4), np.float32)
        write_shard(folder, 0, arrays, rows)
    result = search_store(tmp_path / "s", SearchOptions(text=SAID["Dog"], top=1))
    (one,) = result.found
    assert (one.clip_id, one.onset, one.offset, result.seconds) == ("long", 10, 12, 15)


def test_a_standing_is_counted_in_deviations_of_all_cosines_with_decoys():
    rng = np.random.default_rng(3)
    rows = {name: unit_rows(rng.normal(size=(40, 5)).astype(np.float32)) for name in ("audio", "visual")}
    decoys = {name: unit_rows(rng.normal(size=(7, 5))) for name in rows}
    rows["audio"][3] = np.nan
    spreads = {name: Sums() for name in rows}
    for name, values in rows.items():
        spreads[name].add(values)
    spreads = {name: sums.spread() for name, sums in spreads.items()}
    best = Found(clip_id="a", onset=0, offset=1, best=0, score=2, cosines={"audio": 0.9, "visual": 0.8}, levels=())
    expected = {}
    for name, cosine in best.cosines.items():
        every = rows[name][~np.isnan(rows[name][:, 0])] @ decoys[name].T
        expected[name] = (cosine - every.mean()) / every.std()
    query = Query("", {}, decoys)
    alone = replace(best, cosines={"audio": 0.9, "visual": None})
    found = standings(query, spreads, [best, alone])
    assert found == pytest.approx((max(expected.values()), expected["audio"]), rel=1e-4)
    assert standings(Query("like a.mp4", {}), spreads, [best]) == (None,)
