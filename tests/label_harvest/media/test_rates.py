"""Frames that are missing are told from times that stray."""

from fractions import Fraction

from valor.label_harvest.media.rates import FrameTimes

BASE = Fraction(1, 90000)


def times_of(places):
    times = FrameTimes()
    for place in places:
        times.add(place * 3600)
    return times


def test_frames_that_are_missing_are_counted():
    found = times_of([place for place in range(300) if place not in (50, 150, 151)]).lost(BASE)
    assert found.count == 2 and abs(found.seconds - 0.12) < 1e-9


def test_times_that_stray_lack_no_frames():
    """As of a program stream whose packets hold 18 frames, one of which says its time."""
    shifts = [(place > 50) - (place > 100) + (place > 150) - (place > 200) + (place > 250) for place in range(300)]
    assert times_of([place + shift for place, shift in enumerate(shifts)]).lost(BASE).count == 0


def test_frames_that_are_missing_where_times_stray_are_counted():
    places = [place + (50 < place <= 100) for place in range(300) if not 150 <= place < 170]
    assert times_of(places).lost(BASE).seconds > 0.7
