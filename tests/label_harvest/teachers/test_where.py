import numpy as np
import pytest
import torch

from tests.helpers.toy_parse import ToyTeacher
from valor.label_harvest.teachers.clip import ClipTeacher, FrameRule, OpenClipModel
from valor.label_harvest.teachers.demo import build_tiny
from valor.label_harvest.teachers.where import PATCHES, WINDOWS, directions_of, locate, seen_area

PLACES = [(0, 5), (3, 1), (2, 2)]
"""Rows and columns of a grid of four by six that no mirror or transposition brings to themselves."""


def frame_with(row, column, rows=4, columns=6):
    """Grey, with a red cell of 16 by 20 pixels."""
    frame = np.full((rows * 16, columns * 20, 3), 120, np.uint8)
    frame[row * 16 : (row + 1) * 16, column * 20 : (column + 1) * 20] = (255, 0, 0)
    return frame


class RedTeacher(ToyTeacher):
    """Its embedding is the mean colour."""

    def encode_segments(self, clip):
        self.given += clip.grid.num_segments
        return {"embedding": clip.frames.reshape(len(clip.frames), -1, 3).mean(axis=1).astype(np.float32) / 255}


def read(texts):
    return torch.zeros(len(texts), 4, dtype=torch.long)


def patch_tower(side=48, patch=8):
    """A vision transformer of two blocks that sees six by six patches."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CLIP(
            12,
            CLIPVisionCfg(layers=2, width=32, head_width=8, patch_size=patch, image_size=side),
            CLIPTextCfg(context_length=4, vocab_size=8, width=8, heads=1, layers=1),
        )
        with torch.no_grad():
            network.visual.positional_embedding.mul_(0.02)
    model = OpenClipModel(network.eval(), read, FrameRule(size=side), "w")
    return ClipTeacher(model, ["a", "b"], architecture="toy")


def peak_cell(maps, rows, columns):
    """The cell of a grid that the peak of the first map lies in."""
    row, column = np.unravel_index(maps.values[0].argmax(), maps.values[0].shape)
    left, top, right, bottom = maps.area
    x = left + (column + 0.5) * (right - left) / maps.values.shape[2]
    y = top + (row + 0.5) * (bottom - top) / maps.values.shape[1]
    return int(y * rows), int(x * columns)


@pytest.mark.parametrize("place", PLACES)
def test_windows_find_what_is_planted(place):
    teacher = RedTeacher("visual")
    maps = locate(teacher, frame_with(*place), np.array([[1.0, -0.5, -0.5]], np.float32))
    assert maps.method == WINDOWS and peak_cell(maps, 4, 6) == place and teacher.given == 100


@pytest.mark.parametrize("place", PLACES)
def test_patches_of_a_vision_transformer_find_what_is_planted(place):
    teacher, every = patch_tower(), np.eye(12, dtype=np.float32)
    red, grey = (locate(teacher, np.full((96, 120, 3), colour, np.uint8), every) for colour in ((255, 0, 0), 120))
    direction = (red.values - grey.values).mean(axis=(1, 2))
    maps = locate(teacher, frame_with(*place, rows=6), direction[None])
    assert maps.method == PATCHES and maps.values.shape == (1, 6, 6) and maps.area == (0, 0, 1, 1)
    assert peak_cell(maps, 6, 6) == place


def test_a_map_covers_what_the_network_sees_of_a_wide_picture():
    teacher = patch_tower()
    teacher._frame_rule = FrameRule(size=48, resize="shortest")
    assert locate(teacher, frame_with(1, 1), np.ones((2, 12), np.float32)).area == seen_area((64, 120), "shortest")
    assert seen_area((64, 96), "shortest") == pytest.approx((1 / 6, 0, 5 / 6, 1))
    assert seen_area((96, 64), "longest") == pytest.approx((-0.25, 0, 1.25, 1))


def test_a_tower_without_such_patches_shows_windows():
    class Other(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.visual = torch.nn.Identity()
            self.logit_scale = torch.nn.Parameter(torch.zeros(()))

        def encode_image(self, pictures):
            return pictures.mean(dim=(2, 3))

        def encode_text(self, tokens):
            return torch.eye(3)[: len(tokens)]

    model = OpenClipModel(Other(), read, FrameRule(size=16), "w")
    teacher = ClipTeacher(model, ["a", "b"], architecture="toy")
    maps = locate(teacher, frame_with(3, 1), np.array([[1.0, -0.5, -0.5]], np.float32))
    assert maps.method == WINDOWS and peak_cell(maps, 4, 6) == (3, 1)


def test_a_class_is_asked_for_against_all_others():
    vectors = np.eye(3, dtype=np.float32)
    assert directions_of(vectors)[1].tolist() == [-0.5, 1.0, -0.5]
    assert directions_of(vectors[:1]) is not None and directions_of(vectors[:1]).tolist() == [[1, 0, 0]]


def test_the_demos_teacher_finds_a_drawing_beside_another():
    from valor.data.vocabulary import LLP_CLASSES, class_names, prompts
    from valor.demo.pictures.looks import Scene, arrange

    names = class_names(LLP_CLASSES)
    teacher = build_tiny("visual", prompts(LLP_CLASSES, "visual"))
    rng = np.random.default_rng(4)
    scene, looks = Scene(rng), arrange(["Dog", "Car"], rng)
    image = scene.canvas(0.0)
    for look in looks:
        look.paint(image, 0.0)
    rows = [names.index(look.class_name) for look in looks]
    maps = locate(teacher, scene.expose(image), directions_of(teacher.caption_embeddings)[rows])
    for look, values in zip(looks, maps.values, strict=True):
        row, column = np.unravel_index(values.argmax(), values.shape)
        left, top, right, bottom = look.box(0.0)
        assert left <= (column + 0.5) * 128 / 8 < right and top <= (row + 0.5) * 96 / 8 < bottom


def test_windows_can_be_asked_of_a_teacher_with_patches():
    teacher, frame = patch_tower(side=16), frame_with(1, 1)
    asked = directions_of(teacher.caption_embeddings)[:1]
    assert [locate(teacher, frame, asked, by_windows=by).method for by in (False, True)] == [PATCHES, WINDOWS]
