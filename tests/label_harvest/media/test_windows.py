import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, frame_number, write_toy_clip
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import num_segments, read_windows, window_starts

GRID = Grid(num_segments=4, sample_rate=8000)


def windows_of(path, grid=GRID, **options):
    return list(read_windows(survey_media(path), grid, **{"hop": 2, **options}))


def both(path, seconds, **sound):
    return write_toy_clip(
        path, video=ToyVideo(seconds=seconds), sound=ToySound(seconds=sound.pop("sound", seconds), **sound)
    )


@pytest.mark.parametrize("seconds", [3.6, 4.0, 4.4])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_a_clip_is_one_window_equal_to_the_clip_to_the_bit(tmp_path, seconds, rate):
    path = both(tmp_path / "clip.mp4", seconds, rate=rate)
    (window,), clip = windows_of(path, slots=True), read_clip(path, grid=GRID, slots=True)
    assert np.array_equal(window.clip.frames, clip.frames) and np.array_equal(window.clip.waveform, clip.waveform)
    assert np.array_equal(window.clip.slots, clip.slots)
    assert window.valid.all() and window.present.all() and window.start == 0
    assert np.array_equal(windows_of(path)[0].clip.frames, clip.frames)


def test_a_window_is_what_a_file_cut_there_would_be(tmp_path):
    long = write_toy_clip(tmp_path / "long.mkv", video=ToyVideo(seconds=9, codec="ffv1"))
    cut = write_toy_clip(tmp_path / "cut.mkv", video=ToyVideo(seconds=4, codec="ffv1", first_number=40))
    windows = windows_of(long)
    assert [window.start for window in windows] == [0, 2, 4, 5]
    assert np.array_equal(windows[2].clip.frames, read_clip(cut, grid=GRID).frames)
    assert [frame_number(image) for image in windows[0].clip.frames] == [0, 13, 26, 39]
    assert [frame_number(image) for image in windows[3].clip.frames] == [50, 63, 76, 89]


def test_sound_of_windows_overlaps_and_joins(tmp_path):
    waveform = np.sin(np.arange(9 * 8000) ** 1.2 / 900, dtype=np.float32)[None] / 2
    path = write_toy_clip(
        tmp_path / "a.wav", sound=ToySound(seconds=9, rate=8000, codec="pcm_s16le", waveform=waveform)
    )
    windows = windows_of(path)
    for window in windows:
        assert window.clip.frames is None and not window.present[:, 1].any() and window.present[:, 0].all()
        expected = waveform[0, window.start * 8000 : (window.start + 4) * 8000]
        assert np.abs(window.clip.waveform - expected).max() < 1e-4


def test_short_media_are_padded_and_masked(tmp_path):
    (window,) = windows_of(both(tmp_path / "short.mp4", 2.3))
    assert window.valid.tolist() == [True, True, True, False]
    assert window.present.tolist() == [[True, True]] * 3 + [[False, False]]
    assert [frame_number(image) for image in window.clip.frames] == [0, 10, 21, 21]
    assert np.abs(window.clip.waveform[round(2.4 * 8000) :]).max() == 0
    (tiny,) = windows_of(both(tmp_path / "tiny.mp4", 0.4))
    assert tiny.valid.sum() == 1 and tiny.present[0].all()


def test_streams_of_unlike_length(tmp_path):
    windows = windows_of(both(tmp_path / "u.mkv", 3.0, sound=9.0))
    assert [window.clip.frames is None for window in windows] == [False, False, True, True]
    assert np.concatenate([windows[0].present, windows[2].present, windows[3].present[3:]])[:, 1].sum() == 3
    assert all(window.clip.waveform is not None and window.present[:, 0].all() for window in windows)


def test_streams_that_begin_late(tmp_path):
    tone = ToySound(seconds=9, rate=8000, codec="pcm_s16le")
    late = write_toy_clip(tmp_path / "v.mkv", video=ToyVideo(seconds=3, start=6.0), sound=tone)
    windows = windows_of(late)
    assert [window.clip.frames is None for window in windows] == [True, True, False, False]
    assert windows[2].present[:, 1].tolist() == [False, False, True, True]
    assert frame_number(windows[3].clip.frames[-1]) == 29 and all(window.present[:, 0].all() for window in windows)
    wave = np.sin(np.arange(3 * 8000) ** 1.2 / 900, dtype=np.float32)[None] / 2
    sound = ToySound(seconds=3, start=6.0, rate=8000, codec="pcm_s16le", waveform=wave)
    windows = windows_of(write_toy_clip(tmp_path / "a.mkv", video=ToyVideo(seconds=9), sound=sound))
    assert [window.clip.waveform is None for window in windows] == [True, True, False, False]
    assert windows[3].present[:, 0].tolist() == [False, True, True, True]
    assert not windows[2].clip.waveform[:16000].any()
    for window in windows[2:]:
        skipped = (6 - window.start) * 8000
        assert np.abs(window.clip.waveform[skipped:] - wave[0, : 32000 - skipped]).max() < 1e-4


@pytest.mark.parametrize(("start", "first"), [(0.4, 0), (0.8, 0), (1.0, 1), (2.5, 2)])
def test_a_clip_whose_stream_begins_a_little_late_is_whole(tmp_path, start, first):
    late = ToyVideo(seconds=4 - start, start=start)
    path = write_toy_clip(tmp_path / "c.mkv", video=late, sound=ToySound(seconds=4, rate=8000, codec="pcm_s16le"))
    (window,) = windows_of(path)
    assert window.present[:, 1].tolist() == [segment >= first for segment in range(4)]
    assert np.array_equal(window.clip.frames, read_clip(path, grid=GRID).frames)


def test_a_clock_that_does_not_start_at_zero_changes_nothing(tmp_path):
    sound = {"codec": "mp2", "rate": 48000}
    early, late = (
        write_toy_clip(
            tmp_path / f"{start}.ts",
            video=ToyVideo(seconds=5, start=start),
            sound=ToySound(seconds=5, start=start, **sound),
        )
        for start in (0.0, 7.0)
    )
    for one, other in zip(windows_of(early), windows_of(late), strict=True):
        assert np.array_equal(one.clip.frames, other.clip.frames)
        assert np.array_equal(one.clip.waveform, other.clip.waveform)


def test_starts_cover_everything_and_end_with_the_media():
    for segments in range(1, 50):
        for hop in (1, 3, 5, 10):
            starts = window_starts(segments, 10, hop)
            covered = {start + offset for start in starts for offset in range(10)}
            assert set(range(segments)) <= covered and starts[-1] == max(0, segments - 10)
            assert len(set(starts)) == len(starts) and starts == tuple(sorted(starts))


def test_a_hop_that_leaves_gaps_is_refused():
    for hop in (0, 11):
        with pytest.raises(ValueError, match="hop must be 1 to 10 segments"):
            window_starts(30, 10, hop)


def test_segments_of_a_length():
    assert [num_segments(s, Grid()) for s in (0.01, 9.4, 9.5, 10.5, 10.51, 10.9, 11.05, 11.2)] == [
        1,
        10,
        10,
        10,
        11,
        11,
        11,
        12,
    ]


def test_few_frames_are_held_at_a_time(tmp_path):
    """However long the media, a window takes its ten frames and what the next one needs."""

    class Counting(DirectReader):
        def frames(self, survey, cutoffs, grid):
            for image in super().frames(survey, cutoffs, grid):
                given.append(1)
                yield image

    given = []
    path = write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=20))
    windows = read_windows(survey_media(path), GRID, hop=2, reader=Counting())
    for number, window in enumerate(windows, start=1):
        assert len(given) <= 8 * number and window.clip.frames is not None
    assert len(given) > 20


def test_a_rate_that_cannot_be_resampled_names_the_file(tmp_path):
    path = write_toy_clip(tmp_path / "odd.wav", sound=ToySound(seconds=5, rate=8011, codec="pcm_s16le"))
    with pytest.raises(MediaError, match=r"^odd\.wav: 8011 Hz audio has no small ratio to 8000 Hz"):
        windows_of(path)


def test_damage_ends_the_reading(tmp_path):
    path = write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=9, noise=True))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    path.write_bytes(bytes(content))
    with pytest.raises(MediaError, match=r"v\.mp4"):
        windows_of(path)


def test_the_lead_of_the_sound_is_no_time_of_its_own(tmp_path):
    sound = ToySound(seconds=20, rate=12000)
    path = write_toy_clip(tmp_path / "a.ts", video=ToyVideo(seconds=20), sound=sound)
    survey = survey_media(path)
    assert survey.video_start == pytest.approx(1024 / 12000, abs=1e-3) and survey.lead == survey.video_start
    assert survey.seconds > 20.1
    windows = list(read_windows(survey, GRID, hop=4))
    assert [window.start for window in windows] == [0, 4, 8, 12, 16] and windows[-1].valid.all()
    assert [frame_number(window.clip.frames[0]) for window in windows] == [0, 40, 80, 120, 160]
    late = write_toy_clip(tmp_path / "b.mkv", video=ToyVideo(seconds=3, start=0.3), sound=ToySound(seconds=3))
    assert survey_media(late).lead == 0


def test_pictures_of_short_media_are_of_their_segments(tmp_path):
    path = write_toy_clip(tmp_path / "a.mkv", video=ToyVideo(seconds=2.07, rate=100))
    (window,) = read_windows(survey_media(path), GRID, hop=4)
    assert window.valid.tolist() == [True, True, False, False]
    assert frame_number(window.clip.frames[1]) < 200


def test_sound_that_is_late_by_its_lead_is_in_no_segment_behind_a_stretch(tmp_path):
    sound = ToySound(seconds=2, rate=12000)
    path = write_toy_clip(tmp_path / "a.ts", video=ToyVideo(seconds=2), sound=sound)
    survey = survey_media(path)
    assert survey.lead > 0.08 and survey.audio_seconds > 2.05
    (window,) = read_windows(survey, GRID, hop=4)
    assert window.present.sum(axis=0).tolist() == [2, 2]
