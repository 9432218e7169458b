from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.toy_features import SEGMENTS, TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.training.options import NotFiniteError
from valor.training.predict import predict_split


def test_probabilities_are_those_of_the_network():
    parser, clips = build_parser(TINY, seed=0), toy_clip_set(7)
    predictions = predict_split(parser, clips, batch_size=3)
    assert predictions.clip_ids == clips.clip_ids and predictions.class_names == clips.class_names
    parser.eval()
    with torch.inference_mode():
        output = parser(clips.audio, clips.visual)
    assert np.allclose(predictions.segment_probs, output.segment_probs, atol=1e-6)
    assert np.allclose(predictions.clip_probs, output.clip_probs, atol=1e-6)
    assert np.allclose(predictions.modality_probs, output.modality_probs, atol=1e-6)


def test_dropout_is_off_and_the_mode_is_kept():
    parser, clips = build_parser(replace(TINY, dropout=0.5), seed=0), toy_clip_set(4)
    for mode in (True, False):
        parser.train(mode)
        first, second = predict_split(parser, clips), predict_split(parser, clips)
        assert np.array_equal(first.segment_probs, second.segment_probs)
        assert parser.training is mode


def test_clip_probability_above_one_is_given_as_one():
    parser, clips = build_parser(TINY, seed=0), toy_clip_set(2)
    with torch.no_grad():  # every class certain in every segment, and attention that adds up to more than 1
        parser.classifier.bias.fill_(50)
        parser.pooling.temporal_attention.weight.mul_(300)
        parser.pooling.modality_attention.weight.mul_(300)
        assert parser.eval()(clips.audio, clips.visual).clip_probs.max() > 1
    assert predict_split(parser, clips).clip_probs.max() == 1


def test_valid_segments_are_passed_on():
    parser, clips = build_parser(TINY, seed=0), toy_clip_set(3)
    valid = torch.ones(3, SEGMENTS, dtype=torch.bool)
    valid[1, 2:] = False
    predictions = predict_split(parser, replace(clips, valid=valid))
    assert np.array_equal(predictions.valid, valid)
    alone = predict_split(parser, replace(clips.take([1]), audio=clips.audio[1:2, :2], visual=clips.visual[1:2, :2],
                                          pseudo_labels=None, truth=None))  # fmt: skip
    assert np.allclose(predictions.clip_probs[1], alone.clip_probs[0], atol=1e-6)


def test_clips_a_parser_makes_nan_of_are_named():
    clips = toy_clip_set(6)
    clips.audio[4] = 3e38
    with pytest.raises(NotFiniteError, match=rf"NaN for 1 clip \({clips.clip_ids[4]}\) of 6; either its weights .* or"):
        predict_split(build_parser(TINY, seed=0), clips, batch_size=4)
