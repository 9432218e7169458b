import av
import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, frame_number, write_toy_clip
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.media.resample import resample, resampled, sound_at
from valor.label_harvest.media.sound import gapless, heard, mean_of, mono_of, samples_of
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.media.streams import frames_at, sound_of
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import read_windows


@pytest.mark.parametrize(("rate", "new_rate"), [(44100, 48000), (48000, 32000), (8000, 32000), (100, 80), (9, 9)])
def test_resampling_in_blocks_equals_resampling_at_once(rate, new_rate, monkeypatch):
    monkeypatch.setattr("valor.label_harvest.media.resample.BLOCK_SECONDS", 0.4)
    rng = np.random.default_rng(0)
    waveform = rng.standard_normal(int(2.7 * rate) + 11).astype(np.float32)
    cuts = np.sort(rng.integers(0, len(waveform), 13))
    pieces = list(resampled(iter(np.split(waveform, cuts)), rate, new_rate))
    whole = resample(waveform, rate, new_rate)
    assert len(pieces) > 1 or rate == 9
    assert np.concatenate(pieces).shape == whole.shape
    assert np.abs(np.concatenate(pieces) - whole).max() < 1e-5 * np.abs(whole).max()


def test_frames_are_those_shown_at_the_times(tmp_path):
    path = write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=6, rate=10, b_frames=2))
    times = np.array([0.0, 0.05, 0.15, 2.05, 5.95, 7.0])
    assert [frame_number(image) for image in frames_at(path, times, 6.0, Grid())] == [0, 0, 1, 20, 59, 59]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_the_last_frame_lasts_as_long_as_it_says(tmp_path, suffix):
    with (
        av.open(str(write_toy_clip(tmp_path / "v.mkv", video=ToyVideo(seconds=5)))) as source,
        av.open(str(tmp_path / f"held{suffix}"), "w") as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet in packets:
            packet.stream = stream
            packet.duration = round((5.1 if packet is packets[-1] else 0.1) / packet.time_base)
            target.mux(packet)
    clip = read_clip(tmp_path / f"held{suffix}", grid=Grid())
    assert clip.status == "no_audio" and clip.frames_present.all()
    assert [frame_number(image) for image in clip.frames][3:] == [33, 44, 49, 49, 49, 49, 49]
    survey = survey_media(tmp_path / f"held{suffix}")
    assert survey.video_seconds == pytest.approx(10, abs=0.01)
    (window,) = read_windows(survey, Grid(), hop=5)
    np.testing.assert_array_equal(window.clip.frames, clip.frames)


def test_empty_packets_repeat_the_picture(shared):
    path = shared / "cases" / "theora-repeated-frames" / "theora-repeats.ogv"
    if not path.is_file():
        pytest.skip("no such case")
    (window,) = read_windows(survey_media(path), Grid(), hop=5)
    levels = [image[8:-8, 16:-16].mean() for image in window.clip.frames]
    assert np.abs(np.diff(levels) - 20).max() < 4 and window.present.all()


def test_large_frames_are_scaled_down_and_keep_their_shape(tmp_path, monkeypatch):
    monkeypatch.setattr("valor.label_harvest.media.streams.KEPT_PIXELS", 64 * 48 // 4)
    path = write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=1))
    (image,) = frames_at(path, np.array([0.5]), 1.0, Grid())
    assert image.shape == (24, 32, 3) and frame_number(image) == 4


def test_sound_starts_with_the_clock_and_fills_gaps(tmp_path):
    path = write_toy_clip(tmp_path / "a.mkv", video=ToyVideo(seconds=3), sound=ToySound(seconds=1, start=1.5))
    waveform = np.concatenate(list(sound_at(sound_of(path, 3.0), 48000)))
    assert np.abs(waveform[: int(1.4 * 48000)]).max() == 0 and np.abs(waveform[int(1.6 * 48000) :]).max() > 0.1


def test_silence_of_a_gap_ends_with_the_media(tmp_path):
    path = write_toy_clip(tmp_path / "a.mkv", video=ToyVideo(seconds=1), sound=ToySound(seconds=1, start=90))
    assert sum(map(len, sound_at(sound_of(path, 1.0), 8000))) <= 8000 * 4


def test_damage_is_an_error(tmp_path):
    path = write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=6, noise=True))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(bytes(content))
    with pytest.raises(MediaError, match=r"v\.mp4: "):
        list(frames_at(path, np.arange(0, 6, 0.1), 6.0, Grid()))


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32])
def test_channels_are_averaged_alike_whole_and_in_pieces(channels, kind):
    samples = np.random.default_rng(0).uniform(-1, 1, (channels, 5000))
    samples = samples if kind is np.float32 else samples * (np.iinfo(kind).max // 2)
    samples = samples.astype(kind)
    pieces = [mono_of(samples[:, start : start + 700]) for start in range(0, 5000, 700)]
    np.testing.assert_array_equal(mono_of(samples), np.concatenate(pieces))


@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".m4a"), ("pcm_s16le", ".mkv"), ("flac", ".mkv")])
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_sound_of_any_number_of_channels_is_their_mean(tmp_path, channels, codec, suffix):
    tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)
    loud = np.linspace(0.1, 0.6, channels)
    loud[3:4] = 0  # of surround sound the channel of deep tones, which loses this one
    sound = ToySound(codec=codec, channels=channels, waveform=loud[:, None] * tone)
    path = write_toy_clip(tmp_path / f"many{suffix}", sound=sound)
    mono = np.concatenate([samples for _, samples in sound_of(path, 1.0)])
    assert np.abs(mono[10000:20000]).max() == pytest.approx(loud.mean(), rel=0.2 if codec == "aac" else 0.01)


@pytest.mark.parametrize(("suffix", "codec"), [(".aiff", "pcm_s16be"), (".caf", "pcm_s16le")])
def test_channels_in_an_order_of_their_own_do_not_end_the_process(tmp_path, suffix, codec):
    loud, tone = np.linspace(0.1, 0.6, 8), np.sin(np.arange(8000) / 3)
    sound = ToySound(rate=8000, codec=codec, channels=8, waveform=loud[:, None] * tone)
    path = write_toy_clip(tmp_path / f"a{suffix}", sound=sound)
    with ProcessReader() as reader:
        survey = reader.survey(path)
        heard = np.concatenate([samples for _, samples in reader.sound(survey)])
    assert survey.audio_tracks == (f"0 {codec} 8 channels",)
    np.testing.assert_allclose(heard, loud.mean() * tone, atol=1e-4)


def test_channels_in_the_order_of_films_are_heard(tmp_path):
    loud, tone = np.linspace(0.1, 0.6, 6), np.sin(np.arange(8000) / 3)
    sound = ToySound(rate=8000, codec="pcm_s16le", channels=6, waveform=loud[:, None] * tone)
    path = write_toy_clip(tmp_path / "a.mov", sound=sound)
    data = path.read_bytes()
    place = data.index(b"chan") + 8
    for order in (121, 122, 123, 124):  # kAudioChannelLayoutTag_MPEG_5_1_A to D
        path.write_bytes(data[:place] + bytes((0, order, 0, 6)) + data[place + 4 :])
        with ProcessReader() as reader:
            survey = reader.survey(path)
            heard = np.concatenate([samples for _, samples in reader.sound(survey)])
        np.testing.assert_allclose(heard, loud.mean() * tone, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2])
def test_samples_of_64_bits_are_heard(tmp_path, channels):
    path, tone = tmp_path / "a.mka", 0.5 * np.sin(np.arange(8000) / 3)
    with av.open(str(path), "w") as container:
        layout = "mono" if channels == 1 else "stereo"
        stream = container.add_stream("pcm_s64le", rate=8000, layout=layout)
        short = np.round(tone * 32767).astype(np.int16)[None].repeat(channels, axis=0)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(short.T.reshape(1, -1)), format="s16", layout=layout)
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    heard = np.concatenate([samples for _, samples in sound_of(path, 1.0)])
    np.testing.assert_allclose(heard, tone, atol=1e-4)


def sound_frames(kind, channels, count):
    """Frames of 1,000 samples of noise at 8 kHz, of a format."""
    rng, frames = np.random.default_rng(0), []
    dtype = {"u8": "u1", "s16": "i2", "s32": "i4", "flt": "f4", "dbl": "f8"}[kind.removesuffix("p")]
    for _ in range(count):
        noise = rng.uniform(-1, 1, (channels, 1000))
        noise = (noise * 100 + 128 if kind.startswith("u") else noise * 30000).astype(dtype)
        noise = noise if kind.endswith("p") else noise.T.reshape(1, -1)
        frames.append(av.AudioFrame.from_ndarray(noise, format=kind, layout=f"{channels}c"))
        frames[-1].sample_rate = 8000
    return frames


@pytest.mark.parametrize("kind", ["u8p", "s16p", "s32p", "fltp", "dblp", "s16", "flt"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_frames_of_sound_are_averaged_alike_alone_and_together(kind, channels):
    frames = sound_frames(kind, channels, 5)
    alone = np.concatenate([mono_of(samples_of(frame)) for frame in frames])
    np.testing.assert_array_equal(mean_of(frames), alone)
    mixed = [*frames, *sound_frames("fltp", 3, 1)]
    np.testing.assert_array_equal(mean_of(mixed)[: len(alone)], alone)
    timed = [(0.125 * n + (0.5 if n >= 20 else 0.0), frame) for n, frame in enumerate(sound_frames(kind, channels, 40))]
    rate, pieces = heard(iter(timed), 9.0)
    once = [(time, mono_of(samples_of(frame))[None]) for time, frame in timed]
    expected = np.concatenate(list(gapless(once, rate, 9.0)), axis=1)[0]
    found = list(pieces)
    assert len(found) == 5 and rate == 8000  # 16 and 4 frames, silence, 16 and 4
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_samples_that_are_no_numbers_are_refused():
    with pytest.raises(MediaError, match="audio samples that are no numbers"):
        mono_of(np.array([[0.0, np.nan]], np.float32))
    frame = av.AudioFrame.from_ndarray(np.array([[0.0, np.nan]], np.float32), format="fltp", layout="mono")
    with pytest.raises(MediaError, match="audio samples that are no numbers"):
        mean_of([frame])


def placed(*pieces, most=9.0):
    """What comes out of pieces of ones at two samples a second, given when each begins and how long it is."""
    ones = [(time, np.ones((1, length), np.float32)) for time, length in pieces]
    return np.concatenate(list(gapless(ones, 2, most)), axis=1)[0].astype(int).tolist()


def test_silence_fills_gaps_up_to_a_limit_and_what_lies_before_the_start_is_cut_off():
    assert placed((0.0, 2), (1.0, 1), (None, 1)) == [1, 1, 1, 1]
    assert placed((0.5, 2), (2.5, 1)) == [0, 1, 1, 0, 0, 1]
    assert placed((-1.0, 3), (0.5, 1)) == [1, 1]
    assert placed((0.0, 1), (4.0, 1), most=1.5) == [1, 0, 0, 1]
    assert placed((0.0, 4), (4.0, 1), most=1.5) == [1, 1, 1, 1, 1], "what is longer than the limit is left as it is"
    assert placed((1000.0, 1), most=1000.0)[-2:] == [0, 1]
