import numpy as np
import pytest

from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.audio.sounds import EVENT_LEVEL, NOISE_LEVEL, SOUNDS, background, mix, sample_sound, synthesise
from valor.demo.audio.waves import SAMPLE_RATE, beats, pluck, to_samples, tone, wavetable, write_shape

NAMES = class_names(LLP_CLASSES)


def rms(sound):
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))


def profile(sound):
    """A coarse spectrum and how it moves: mean and spread over time of log bands."""
    spectrum = np.abs(np.fft.rfft(sound.reshape(-1, 1024) * np.hanning(1024), axis=1)) ** 2
    edges = np.unique(np.geomspace(2, 500, 25).astype(int))[:-1]
    bands = np.log(np.add.reduceat(spectrum, edges, axis=1).T + 1e-5)
    return np.concatenate([bands.mean(axis=1) - bands.mean(), bands.std(axis=1)])


def test_every_class_of_llp_has_a_sound():
    assert tuple(SOUNDS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_lasts_as_long_as_asked_and_is_heard_in_every_second(name):
    sound = synthesise(name, 10.0, np.random.default_rng(1))
    assert sound.dtype == np.float32 and sound.shape == (10 * SAMPLE_RATE,) and np.isfinite(sound).all()
    seconds = np.array([rms(second) for second in sound.reshape(10, -1)])
    assert seconds.min() > 0.1 * rms(sound), f"{name} falls silent: {seconds.round(3)}"
    assert EVENT_LEVEL[0] * 0.99 <= rms(sound) <= EVENT_LEVEL[1] * 1.01


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_of_odd_length_is_whole(name):
    assert synthesise(name, 1.2345, np.random.default_rng(2)).shape == (round(1.2345 * SAMPLE_RATE),)


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_decides_everything(name):
    first, again, other = (synthesise(name, 0.5, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert np.corrcoef(first, other)[0, 1] < 0.9


def test_classes_can_be_told_apart_but_not_all_alike():
    train = np.stack([[profile(synthesise(n, 1.024, np.random.default_rng((s, 0)))) for s in range(12)] for n in NAMES])
    probe = np.stack([[profile(synthesise(n, 1.024, np.random.default_rng((s, 1)))) for s in range(8)] for n in NAMES])
    scale = train.std(axis=(0, 1))
    distance = np.square((probe[:, :, None] - train.mean(axis=1)[None, None]) / scale).sum(axis=-1)  # [C, 8, C]
    right = distance.argmin(axis=-1) == np.arange(25)[:, None]
    assert 0.45 < right.mean() < 0.99, right.mean(axis=1)
    centres = np.square((train.mean(axis=1)[:, None] - train.mean(axis=1)[None]) / scale).sum(axis=-1)
    cello, violin, alarm = (NAMES.index(name) for name in ("Cello", "Violin_fiddle", "Fire_alarm"))
    assert centres[cello, violin] < centres[cello, alarm]


def test_background_keeps_to_its_level():
    levels = [rms(background(2.0, np.random.default_rng(seed))) for seed in range(20)]
    assert 0.5 * NOISE_LEVEL[0] < min(levels) and max(levels) < 2 * NOISE_LEVEL[1]


def test_mix_puts_an_event_where_it_belongs():
    #  seconds  0 1 2 3 4 5 6 7 8 9
    #  alarm          # # #
    loudest = [mix([("Vacuum_cleaner", 3, 6)], 10.0, np.random.default_rng(seed)) for seed in range(10)]
    seconds = np.array([[rms(second) for second in track.reshape(10, -1)] for track in loudest])
    inside, outside = seconds[:, 3:6].mean(axis=1), np.delete(seconds, [3, 4, 5], axis=1).mean(axis=1)
    assert (inside > outside).mean() >= 0.9
    assert all(np.abs(track).max() < 1 and track.shape == (320000,) for track in loudest)


def test_mix_without_events_is_background_and_cuts_what_passes_the_end():
    assert rms(mix([], 3.0, np.random.default_rng(0))) < 2 * NOISE_LEVEL[1]
    assert mix([("Dog", 2.5, 9.0)], 3.0, np.random.default_rng(0)).shape == (3 * SAMPLE_RATE,)


@pytest.mark.parametrize("event", [("Dog", 2.0, 2.0), ("Dog", -1.0, 2.0), ("Dog", 3.0, 4.0)])
def test_mix_refuses_events_outside_the_clip(event):
    with pytest.raises(ValueError, match="an event must start within the clip of 3.0 s.* got Dog"):
        mix([event], 3.0, np.random.default_rng(0))


def test_synthesise_refuses_what_it_cannot_make():
    with pytest.raises(ValueError, match="class_name must be one of Speech, .* got 'Tuba'"):
        synthesise("Tuba", 1.0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="seconds must be positive, got 0"):
        synthesise("Dog", 0, np.random.default_rng(0))


def test_sample_sound_is_one_second_of_all_its_classes():
    quiet = sample_sound([], np.random.default_rng(5))
    both = sample_sound(["Dog", "Fire_alarm"], np.random.default_rng(5))
    assert quiet.shape == both.shape == (SAMPLE_RATE,)
    assert quiet.dtype == both.dtype == np.float32
    assert rms(both) > rms(quiet)


def test_beats_never_leave_a_longer_gap_than_allowed():
    drawn = beats(20.0, np.random.default_rng(0), (0.1, 0.2), (0.3, 0.7))
    silent = np.diff([0.0, *[onset for onset, _ in drawn]])
    assert drawn[0][0] <= 0.7 and silent.max() <= 0.2 + 0.7 and drawn[-1][0] < 20


def test_a_plucked_string_rings_at_its_pitch_and_dies_away():
    note = pluck(220.0, 1.0, np.random.default_rng(0), brightness=0.5, decay=0.2)
    spectrum = np.abs(np.fft.rfft(note))
    near = spectrum[200:240]
    assert 218 <= 200 + near.argmax() <= 222 and near.max() > 5 * np.median(spectrum[200:240])
    assert rms(note[:8000]) > 3 * rms(note[-8000:])


def test_a_tone_follows_its_pitch_curve():
    table = wavetable(np.array([1.0]))
    sound = tone(np.full(501, 440.0), table, np.random.default_rng(0))
    assert np.abs(np.fft.rfft(sound[:32000])).argmax() == 440


def test_control_curves_are_drawn_linearly():
    assert to_samples(np.array([0.0, 1.0, 0.0]))[[0, 32, 64, 96]].tolist() == [0, 0.5, 1, 0.5]
    control = np.zeros(10)
    write_shape(control, 8 / 500, 1.0, (1, 1))
    assert control.tolist() == [0] * 8 + [1, 1]
