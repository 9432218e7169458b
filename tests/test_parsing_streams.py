import numpy as np
import pytest
import torch

from parsers.build import ParserOptions, build_parser
from valor.parsing_streams import WindowFeatures, parse_windows

NAMES = ("a", "b", "c")
OPTIONS = {
    "audio_width": 8,
    "visual_width": 6,
    "hidden_width": 16,
    "feedforward_width": 16,
    "num_heads": 2,
    "num_layers": 2,
}


def parser_of(motion=0, **changes):
    return build_parser(ParserOptions(**OPTIONS, motion_width=motion, num_classes=3, **changes), seed=0).eval()


def features_of(*, motion=0, seed=0, valid=None):
    rng = torch.Generator().manual_seed(seed)
    parts = [torch.randn(2, 5, width, generator=rng) for width in (8, 6, max(motion, 1))]
    exists = torch.ones(2, 5, dtype=torch.bool) if valid is None else valid
    return parts[0], parts[1], parts[2] if motion else None, exists


@pytest.mark.parametrize("pooling", ["attentive", "linear-softmax", "max"])
def test_both_streams_go_through_the_parser_of_a_test_set(pooling):
    parser, (audio, visual, motion, valid) = parser_of(pooling=pooling), features_of()
    found = parse_windows(parser, WindowFeatures(audio, visual, motion, valid), NAMES)
    with torch.inference_mode():
        output = parser(audio, visual, None, None)
    assert np.array_equal(found.segment, output.segment_probs.numpy())
    assert np.array_equal(found.clip, output.clip_probs.clamp_max(1).numpy())


@pytest.mark.parametrize("motion", [0, 4])
@pytest.mark.parametrize("modality", [0, 1])
def test_one_stream_is_parsed_without_the_other(motion, modality):
    parser, (audio, visual, moving, valid) = parser_of(motion), features_of(motion=motion)
    given = (audio, None, None) if modality == 0 else (None, visual, moving)
    found = parse_windows(parser, WindowFeatures(*given, valid), NAMES)
    assert np.isnan(found.segment[:, :, 1 - modality]).all() and np.isnan(found.modality[:, 1 - modality]).all()
    assert ((found.segment[:, :, modality] > 0) & (found.segment[:, :, modality] < 1)).all()
    assert np.array_equal(found.clip, found.modality[:, modality])


def test_the_answer_does_not_depend_on_weights_of_the_missing_stream():
    """What the stem makes of the absent modality is garbage: any change of it must leave the answer alone."""
    parser, (audio, _, _, valid) = parser_of(), features_of()
    before = parse_windows(parser, WindowFeatures(audio, None, None, valid), NAMES)
    with torch.no_grad():
        parser.stem.visual.bias.fill_(1e6)
        parser.stem.visual.weight.fill_(float("nan"))
    after = parse_windows(parser, WindowFeatures(audio, None, None, valid), NAMES)
    assert np.array_equal(before.segment[:, :, 0], after.segment[:, :, 0])
    assert np.array_equal(before.clip, after.clip)


@pytest.mark.parametrize("modality", [None, 0, 1])
def test_padding_does_not_matter(modality):
    valid = torch.tensor([[True, True, True, False, False]] * 2)
    parser, (audio, visual, _, _) = parser_of(), features_of()
    answers = []
    for filling in (0.0, 50.0):
        parts = [part.clone() for part in (audio, visual)]
        for number, part in enumerate(parts):
            part[:, 3:] = filling
            if modality == 1 - number:
                parts[number] = None
        answers.append(parse_windows(parser, WindowFeatures(*parts, None, valid), NAMES))
    assert np.allclose(answers[0].segment[:, :3], answers[1].segment[:, :3], equal_nan=True, atol=1e-6)
    assert np.allclose(answers[0].clip, answers[1].clip, atol=1e-6)


def test_no_stream_is_refused():
    with pytest.raises(ValueError, match="must have sound, a picture, or both, got neither"):
        parse_windows(parser_of(), WindowFeatures(None, None, None, torch.ones(2, 5, dtype=torch.bool)), NAMES)
