from dataclasses import replace

import pytest
import torch

from valor.parsers.build import build_parser
from valor.parsers.hybrid import Stem
from valor.parsers.options import ParserOptions

SMALL = ParserOptions(
    audio_width=6, visual_width=5, motion_width=4, hidden_width=16, num_heads=4, feedforward_width=8, num_classes=3
)


def _inputs(segments: int = 7) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    widths = {"audio": 6, "visual": 5, "motion": 4}
    return {name: torch.randn(2, segments, width, generator=generator) for name, width in widths.items()}


def test_output_axes_and_ranges():
    output = build_parser(SMALL, seed=0)(**_inputs())
    assert output.segment_logits.shape == (2, 7, 2, 3)
    assert output.clip_probs.shape == (2, 3) and output.modality_probs.shape == (2, 2, 3)
    assert torch.equal(output.segment_probs, output.segment_logits.sigmoid())


def test_visual_stream_is_fused_from_appearance_then_motion():
    parser = build_parser(SMALL, seed=0)
    inputs = _inputs()
    heard, seen = parser.stem(**inputs)
    both = torch.cat((parser.stem.visual(inputs["visual"]), parser.stem.motion(inputs["motion"])), dim=-1)
    assert torch.equal(seen, parser.stem.fusion(both))
    assert torch.equal(heard, parser.stem.audio(inputs["audio"]))


def test_without_motion_there_is_no_motion_stream():
    parser = build_parser(replace(SMALL, motion_width=0), seed=0)
    assert not [name for name in parser.state_dict() if "motion" in name or "fusion" in name]
    inputs = _inputs()
    assert parser(inputs["audio"], inputs["visual"]).segment_logits.shape == (2, 7, 2, 3)
    with pytest.raises(ValueError, match="has no motion stream, got some motion features"):
        parser(**inputs)


@pytest.mark.parametrize("norm_order", ["post", "pre"])
@pytest.mark.parametrize("pooling", ["attentive", "linear-softmax", "max"])
def test_padding_changes_nothing(norm_order, pooling):
    parser = build_parser(replace(SMALL, norm_order=norm_order, pooling=pooling, num_layers=2), seed=0).eval()
    inputs = _inputs()
    expected = parser(**{name: x[:, :4] for name, x in inputs.items()})
    valid = torch.tensor([[True] * 4 + [False] * 3] * 2)
    got = parser(**inputs, valid=valid)
    assert torch.allclose(got.segment_logits[:, :4], expected.segment_logits, atol=1e-5)
    assert torch.allclose(got.clip_probs, expected.clip_probs, atol=1e-6)
    assert torch.allclose(got.modality_probs, expected.modality_probs, atol=1e-6)


def test_inputs_that_do_not_fit_are_refused():
    parser = build_parser(SMALL, seed=0)
    inputs = _inputs()
    with pytest.raises(ValueError, match="has a motion stream, got none motion features"):
        parser(inputs["audio"], inputs["visual"])
    with pytest.raises(ValueError, match=r"visual features must be .* = \(2, 7, 5\), got \(2, 56, 5\); .*folded"):
        parser(**{**inputs, "visual": torch.zeros(2, 56, 5)})
    with pytest.raises(ValueError, match=r"valid must be bool \(2, 7\), got \(2, 8\)"):
        parser(**inputs, valid=torch.ones(2, 8, dtype=torch.bool))
    with pytest.raises(ValueError, match="give both, or neither"):
        Stem(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), motion=torch.nn.Linear(2, 2))


@pytest.mark.parametrize("pooling", ["attentive", "linear-softmax", "max"])
def test_one_picture_answers_as_ten_copies_of_it_unless_segments_know_when_they_are(pooling):
    one = _inputs(segments=1)
    ten = {name: x.expand(-1, 10, -1) for name, x in one.items()}
    for codes, alike in ((0.0, True), (0.5, False)):
        parser = build_parser(replace(SMALL, pooling=pooling, time_codes=codes, dropout=0.0), seed=0).eval()
        single, still = parser(**one), parser(**ten)
        for name in ("segment_logits", "clip_probs", "modality_probs"):
            assert (
                torch.allclose(getattr(single, name).expand_as(getattr(still, name)), getattr(still, name), atol=1e-6)
                == alike
            )
