from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, frame_number, write_toy_clip
from tests.helpers.toy_parse import toy_parse, unsure_parse
from valor.data.parse_file import OF_DRAWINGS
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import read_windows
from valor.video.picture import BANDS, MediaSketch, draw_parse, strip_of, write_picture


def sketch_of(path):
    sketch, survey = MediaSketch(), survey_media(path)
    for window in read_windows(survey, Grid(sample_rate=32000), hop=5):
        sketch.watch(survey, window)
    return sketch


def test_thumbnails_are_spread_over_the_media(tmp_path):
    sketch = sketch_of(write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=22)))
    strip = sketch.strip()
    numbers = [frame_number(frame) for frame in strip]
    assert len(strip) == 11 and numbers == sorted(numbers) and numbers[0] < 25 and numbers[-1] > 200
    assert sketch.spectrogram() is None


@pytest.mark.parametrize(
    ("shape", "size"), [(Fraction(1), (48, 64)), (Fraction(3, 2), (48, 96)), (Fraction(1, 2), (48, 32))]
)
def test_thumbnails_of_anamorphic_video_are_in_shape(tmp_path, shape, size):
    strip = sketch_of(write_toy_clip(tmp_path / "v.mkv", video=ToyVideo(seconds=3, pixel_shape=shape))).strip()
    assert strip.shape[1:3] == size


def test_a_strip_without_its_first_frames_shows_the_nearest(tmp_path):
    late = write_toy_clip(tmp_path / "l.mkv", video=ToyVideo(seconds=8, start=14.0), sound=ToySound(seconds=22))
    strip = sketch_of(late).strip()
    assert [frame_number(frame) for frame in strip[:4]] == [0, 0, 0, 0] and frame_number(strip[-1]) > 60
    gapped = MediaSketch(frames={1: np.full((2, 2, 3), 1), 4: np.full((2, 2, 3), 4)}, places=6)
    assert gapped.strip()[:, 0, 0, 0].tolist() == [1, 1, 1, 4, 4, 4]


def test_each_place_shows_the_shot_it_is_over_and_a_short_one_in_its_only_place(tmp_path):
    """Eleven places of 4 s over 44 s, cut before and behind a shot of 2 s, and where a place ends early."""
    sketch = sketch_of(write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=44, rate=5)))
    numbers = np.array([frame_number(frame) for frame in sketch.strip([12.2, 14.2, 31.0], 44.0)]) / 5
    assert len(numbers) == 11 and (np.diff(numbers) > 0).all()
    assert 12.2 <= numbers[3] < 14.2 and numbers[7] < 31.0  # in the middle of 12 to 16 and of 28 to 32 lie other shots
    plain = np.array([frame_number(frame) for frame in sketch.strip()]) / 5
    assert not 12.2 <= plain[3] < 14.2
    late = replace(toy_parse(), media=replace(toy_parse().media, start_time=18.0, duration=44.0), cuts=(30.2, 32.2))
    shown = np.array([frame_number(frame) for frame in strip_of(late, sketch)]) / 5  # by the clock of the container
    assert 12.2 <= shown[3] < 14.2


def test_the_spectrogram_shows_when_and_how_high(tmp_path):
    tone = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(12 * 32000) / 32000)
    tone[: 6 * 32000] *= 1e-3
    sound = ToySound(seconds=12, rate=32000, codec="pcm_s16le", waveform=tone.astype(np.float32)[None])
    spectrogram = sketch_of(write_toy_clip(tmp_path / "a.wav", sound=sound)).spectrogram()
    assert spectrogram.shape[0] == BANDS and spectrogram.shape[1] % 12 == 0
    loud, quiet = spectrogram[:, spectrogram.shape[1] * 3 // 4], spectrogram[:, spectrogram.shape[1] // 4]
    edges = np.geomspace(60, 12000, BANDS + 1)
    peak = int(loud.argmax())
    assert edges[peak - 1] <= 1000 <= edges[peak + 2] and loud.max() - quiet.max() == pytest.approx(60, abs=3)


def test_long_media_keep_few_columns():
    from valor.video.picture import _spectra

    sketch = MediaSketch(segments=10800)
    sketch.columns = {0: _spectra(np.zeros(32000, np.float32), 32000, 1)}
    assert sketch.spectrogram().shape == (BANDS, 10800)


def test_pictures_are_written_as_png_svg_and_pdf(tmp_path):
    sketch = sketch_of(write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=12), sound=ToySound(seconds=12)))
    parse = toy_parse(name="a $x^2$ \n name.mp4")
    for ending in ("png", "svg", "pdf"):
        write_picture(tmp_path / f"p.{ending}", parse, sketch)
        assert (tmp_path / f"p.{ending}").stat().st_size > 1000
    with pytest.raises(ValueError, match=r"named \*\.png, \*\.svg, \*\.pdf"):
        write_picture(tmp_path / "p.gif", parse, sketch)
    assert len(draw_parse(parse, sketch).axes) == 3 and len(draw_parse(parse).axes) == 1


def test_a_picture_by_the_demos_teachers_says_so():
    plain = toy_parse()
    (alone,) = draw_parse(plain).axes
    (warned,) = draw_parse(replace(plain, notes=("has a gap", OF_DRAWINGS))).axes
    assert warned.get_xlabel().splitlines() == [alone.get_xlabel(), "has a gap", OF_DRAWINGS]
    assert warned.figure.get_figheight() > alone.figure.get_figheight() + 0.2
    assert plain.caveat == "" and OF_DRAWINGS not in alone.get_xlabel()


def test_a_picture_of_asked_classes_names_those_found_nowhere():
    parse = toy_parse()
    missing = [n for n, there in zip(parse.class_names, parse.predicted.any(axis=(0, 1)), strict=True) if not there]
    none = replace(parse, segment_probs=np.zeros_like(parse.segment_probs), system={"zero_shot": True})
    nowhere, nearest = draw_parse(none).axes[0].get_xlabel().splitlines()[-2:]
    assert nowhere == f"Found nowhere: {', '.join(none.class_names)}." and nearest.startswith(
        "Nearest were Speech, aud"
    )
    assert "nowhere" not in draw_parse(parse).axes[0].get_xlabel() and not missing


def test_many_and_long_notes_keep_to_the_picture():
    odd = [f"note {number} costs $5$ and goes on " + "and on " * 30 for number in range(5)]
    lines = draw_parse(replace(toy_parse(), notes=tuple(odd))).axes[0].get_xlabel().splitlines()[1:]
    assert " ".join(lines).split() == " ".join(odd).replace("$", r"\$").split() and max(map(len, lines)) < 160
    lines = draw_parse(replace(toy_parse(), notes=tuple(10 * odd))).axes[0].get_xlabel().splitlines()[1:]
    assert len(lines) == 30 and lines[-1] == "... more notes are in the JSON of the parse"


def test_a_picture_frames_what_is_unsure():
    parse = unsure_parse()
    assert 0 < parse.unsure.sum() < parse.predicted.sum() and not (parse.unsure & ~parse.predicted).any()
    said = [draw_parse(one).legends[0].get_texts() for one in (parse, toy_parse())]
    assert ["unsure" in [text.get_text() for text in texts] for texts in said] == [True, False]
    assert toy_parse().unsure is None
