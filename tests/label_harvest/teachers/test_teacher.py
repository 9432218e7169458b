"""Captions of classes, one or several, and the streams of a clip."""

import dataclasses

import pytest
import torch

from tests.helpers.toy import toy_media
from valor.label_harvest.teachers.teacher import all_captions, as_json, check_prompts, class_embeddings, stream_of

PROMPTS = ("a dog", ("a cat", "a kitten"), ["a car"])


def test_captions_are_flattened_in_class_order():
    assert all_captions(PROMPTS) == ["a dog", "a cat", "a kitten", "a car"]
    assert as_json(PROMPTS) == ["a dog", ["a cat", "a kitten"], ["a car"]]


def test_an_ensemble_is_the_mean_of_unit_embeddings_at_length_1():
    rows = torch.tensor([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0], [0.0, 1.0]])
    classes = class_embeddings(rows, PROMPTS)
    assert torch.equal(classes[[0, 2]], rows[[0, 3]])
    mean = torch.tensor([0.8, 0.4])
    torch.testing.assert_close(classes[1], mean / mean.norm())


@pytest.mark.parametrize("prompts", [(), ("a dog", " "), ("a dog", ()), (("a dog", ""),)])
def test_blank_captions_are_refused(prompts):
    with pytest.raises(ValueError, match="prompts must be one caption per class or more"):
        check_prompts(prompts)


def test_a_stream_that_is_not_there_is_refused():
    clip = toy_media()
    assert stream_of(clip, "frames") is clip.frames
    with pytest.raises(ValueError, match=r"needs waveform got a clip without \(no_audio\); leave it out"):
        stream_of(dataclasses.replace(clip, waveform=None, status="no_audio"), "waveform")
