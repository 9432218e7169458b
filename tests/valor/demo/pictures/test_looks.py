import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.pictures.backgrounds import FRAME_HEIGHT, FRAME_WIDTH
from valor.demo.pictures.looks import DRAWINGS, PHASES, Look, Scene, arrange, paint, sample_image

GREY = (128, 128, 128)


def painted(look: Look, time: float) -> np.ndarray:
    """uint8 [96, 128, 3]: the look alone on grey."""
    image = Image.new("RGB", (FRAME_WIDTH, FRAME_HEIGHT), GREY)
    paint(image, look, time)
    return np.asarray(image)


@pytest.mark.parametrize("class_name", ["Dog", "Helicopter", "Violin_fiddle"])
def test_a_box_holds_what_is_painted(class_name):
    look = Look(class_name, np.random.default_rng(3), place=(0.2, 0.5))
    for time in (0.0, 3.4):
        rows, columns = (painted(look, time) != GREY[0]).any(axis=2).nonzero()
        assert look.box(time) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_every_class_of_the_vocabulary_has_a_drawing():
    assert set(DRAWINGS) == set(class_names(LLP_CLASSES))


@pytest.mark.parametrize("class_name", DRAWINGS)
def test_a_look_fills_a_good_part_of_the_frame_and_moves(class_name):
    rng = np.random.default_rng(7)
    for room in (1.0, 1.0, 0.8, 0.62, 0.62, 0.62):
        look = Look(class_name, rng, place=(rng.random(), 0.52), room=room)
        frames = np.stack([painted(look, time) for time in np.arange(0, 2, 0.25)])
        covered = (frames != GREY).any(axis=-1).mean(axis=(1, 2))
        assert covered.min() > 0.002
        assert (frames[0] != frames[1:]).any(axis=(1, 2, 3)).mean() > 0.5


@pytest.mark.parametrize("class_name", DRAWINGS)
def test_a_drawing_is_animated(class_name):
    look = Look(class_name, np.random.default_rng(2))
    phases = [np.asarray(look._picture(index)).tobytes() for index in range(PHASES)]
    assert len(set(phases)) > PHASES / 3


@pytest.mark.parametrize("class_name", DRAWINGS)
def test_looks_of_a_class_differ(class_name):
    rng = np.random.default_rng(1)
    first, second = painted(Look(class_name, rng), 0.0), painted(Look(class_name, rng), 0.0)
    assert (first != second).any(axis=-1).mean() > 0.02


def test_a_drawing_never_reaches_its_pictures_edge():
    rng = np.random.default_rng(3)
    cut = [
        (class_name, index)
        for class_name in DRAWINGS
        for index in range(0, 8, 3)
        if edge_is_touched(Look(class_name, rng)._picture(index))
    ]
    assert len(cut) <= 0.08 * 3 * len(DRAWINGS), cut


def edge_is_touched(picture: Image.Image) -> bool:
    alpha = np.asarray(picture)[..., 3]
    return bool(alpha[[0, -1]].any() or alpha[:, [0, -1]].any())


def test_several_classes_stand_apart():
    rng = np.random.default_rng(5)
    centres = []
    for _ in range(40):
        looks = arrange(["Dog", "Car", "Speech"], rng)
        centres.append(sorted(look._x for look in looks))
    gaps = np.diff(np.array(centres), axis=1)
    assert np.median(gaps) > FRAME_WIDTH / 5


def test_sample_image_is_a_frame_and_depends_only_on_the_generator():
    first = sample_image(["Dog", "Singing"], np.random.default_rng(11))
    assert first.shape == (96, 128, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, sample_image(["Dog", "Singing"], np.random.default_rng(11)))
    assert not np.array_equal(first, sample_image(["Dog", "Singing"], np.random.default_rng(12)))


def test_a_frame_without_classes_is_a_background():
    frames = np.stack([sample_image([], np.random.default_rng(seed)) for seed in range(12)])
    assert frames.mean(axis=(1, 2, 3)).std() > 10
    assert frames.std(axis=(1, 2, 3)).min() > 1


def test_the_camera_moves_over_the_background_and_stays_on_it():
    for seed in range(12):
        scene = Scene(np.random.default_rng(seed))
        for time in (0.0, 2.5, 9.9):
            assert scene.canvas(time).size == (FRAME_WIDTH, FRAME_HEIGHT)
    moved = 0
    for seed in range(12):
        scene = Scene(np.random.default_rng(seed))
        moved += not np.array_equal(np.asarray(scene.canvas(0.0)), np.asarray(scene.canvas(3.0)))
    assert 3 <= moved <= 12


def test_an_unknown_class_is_refused():
    with pytest.raises(ValueError, match="must be one of Speech.* got 'Unicorn'"):
        Look("Unicorn", np.random.default_rng(0))


def test_another_process_draws_the_same_frame():
    code = (
        "import numpy, zlib; from valor.demo.pictures.looks import sample_image;"
        "print(zlib.crc32(sample_image(['Cat', 'Cello'], numpy.random.default_rng(5)).tobytes()))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1
