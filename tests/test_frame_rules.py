"""Rules for frames; the published one is in test_clip_teacher, open_clip's in test_open_clip_models."""

import numpy as np
import pytest
import torch

from label_harvest.frame_rules import FrameRule, preprocess
from tests.toy import toy_media


def test_the_published_rule_is_the_one_of_the_preset():
    frames = toy_media().frames
    rule = FrameRule(size=32)
    assert torch.equal(rule(frames), preprocess(frames, 32))
    assert str(rule) == "squash to 32x32, bilinear, no antialiasing, CLIP mean and deviation"


@pytest.mark.parametrize("resize", ["shortest", "longest", "squash"])
def test_rules_of_open_clip_differ_in_what_they_show(resize):
    frames = np.zeros((1, 40, 80, 3), np.uint8)
    frames[:, :, :16] = 255  # the left fifth
    picture = FrameRule(size=40, mean=(0, 0, 0), std=(1, 1, 1), resize=resize)(frames)[0, 0]
    assert picture.shape == (40, 40)
    white = (picture[20] > 0.5).sum()
    assert white == {"shortest": 0, "longest": 8, "squash": 8}[resize]
    assert (picture[0] > 0.5).any() == (resize == "squash")
