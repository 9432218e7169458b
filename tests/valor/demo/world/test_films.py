"""Films: what is drawn about them holds, and what is rendered is what was drawn."""

import csv
from pathlib import Path

import av
import numpy as np
import pytest

from valor.demo.world import films, render
from valor.demo.world.films import FILM_CLASSES, FilmEvent, FilmPlan, build_films, render_film, sample_films

SIZES = {"train": 30, "val": 4, "test": 6}


@pytest.fixture(scope="module")
def plans() -> tuple[FilmPlan, ...]:
    return sample_films(SIZES, 5)


def spans(plan: FilmPlan, modality: str) -> list[tuple[str, float, float]]:
    return [(event.class_name, event.onset, event.offset) for event in plan.events if event.modality == modality]


def test_films_are_the_same_for_a_seed_and_others_for_another(plans):
    assert sample_films(SIZES, 5) == plans and sample_films(SIZES, 6) != plans
    assert len({plan.clip_id for plan in plans}) == 40 and [plan.split for plan in plans].count("val") == 4


def test_films_have_unlike_lengths_cuts_and_classes_about_as_often_as_one_another(plans):
    seconds = np.array([plan.seconds for plan in plans])
    assert films.SHORTEST <= seconds.min() < 30 and 90 < seconds.max() <= films.LONGEST
    assert sum(len(plan.cuts) for plan in plans) > seconds.sum() / 15
    train = [tag for plan in plans if plan.split == "train" for tag in plan.tags]
    counts = [train.count(name) for name in FILM_CLASSES]
    assert max(counts) - min(counts) <= 2 and min(counts) > 0


def test_events_are_heard_only_seen_only_and_both_and_overlap_others(plans):
    pairs = [(tag in {n for n, *_ in spans(p, "audio")}, tag in {n for n, *_ in spans(p, "visual")})
             for p in plans for tag in p.tags]  # fmt: skip
    assert {(True, False), (False, True), (True, True)} == set(pairs)
    overlapping = [
        (one, other)
        for plan in plans
        for one in spans(plan, "audio")
        for other in spans(plan, "audio")
        if one[0] < other[0] and max(one[1], other[1]) < min(one[2], other[2])
    ]
    assert len(overlapping) > 10
    assert all(0 <= e.onset and e.onset + 1 <= e.offset <= p.seconds for p in plans for e in p.events)


def test_nothing_sounds_in_silence_and_nothing_comes_or_goes_in_a_still_picture(plans):
    assert sum(bool(plan.silences) for plan in plans) > 10 and sum(bool(plan.stills) for plan in plans) > 10
    for plan in plans:
        for onset, offset in plan.silences:
            assert not [span for span in spans(plan, "audio") if max(onset, span[1]) < min(offset, span[2])]
        for onset, offset in plan.stills:
            assert not [end for _, *ends in spans(plan, "visual") for end in ends if onset < end < offset]
            assert not [cut for cut in plan.cuts if onset < cut < offset]


def test_a_rendered_film_is_as_long_as_planned_silent_still_and_cut_where_it_should_be(tmp_path):
    events = (FilmEvent("Dog", "audio", 0, 3), FilmEvent("Car", "visual", 1, 5))
    plan = FilmPlan("film", "train", 8.5, (5.0,), ((3.0, 5.0),), ((2.0, 4.0),), events)
    render_film(plan, tmp_path / "film.mp4", 1)
    render_film(plan, tmp_path / "again.mp4", 1)
    assert (tmp_path / "film.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()
    with av.open(str(tmp_path / "film.mp4")) as media:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in media.decode(video=0)]
    with av.open(str(tmp_path / "film.mp4")) as media:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in media.decode(audio=0)])
    assert len(frames) == 68
    assert np.abs(sound[int(3.1 * 32000) : int(4.9 * 32000)]).max() < 1e-3 < np.abs(sound[: 3 * 32000]).max()
    moved = [np.abs(one - other).mean() for one, other in zip(frames, frames[1:], strict=False)]
    assert max(moved[17:30]) < 1 and int(np.argmax(moved)) == 39  # between the frames before and at 5 s


def test_what_is_there_is_kept_and_other_films_are_refused(tmp_path: Path, monkeypatch):
    for name, value in (("SHORTEST", 2), ("LONGEST", 4), ("SECONDS_BETWEEN", 4)):
        monkeypatch.setattr(films, name, value)
    monkeypatch.setattr(render, "FRAME_RATE", 2)
    sizes = {"train": 2, "val": 1, "test": 1}
    made = build_films(tmp_path / "films", sizes, 3, workers=1, progress=False)
    before = {path: path.stat().st_mtime_ns for path in made.videos.iterdir()}
    (made.videos / "val-000.mp4").unlink()
    assert build_films(tmp_path / "films", sizes, 3, workers=1, progress=False).plans == made.plans
    kept = [path for path in before if path.stat().st_mtime_ns == before[path]]
    assert len(kept) == 3 and (made.videos / "val-000.mp4").is_file()
    rows = list(csv.DictReader(made.clips.open()))
    assert [row["path"] for row in rows] == [f"{plan.clip_id}.mp4" for plan in made.plans]
    assert [float(row["seconds"]) for row in rows] == [plan.seconds for plan in made.plans]
    with pytest.raises(ValueError, match="films holds another world"):
        build_films(tmp_path / "films", sizes, 4, workers=1, progress=False)
