"""What every encoder owes, and what each is known by: who looks at whom, and what is left of one stream alone."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.encoders import CONTENDERS, told
from tests.helpers.toy_features import TINY
from valor.parsers.blocks import Sizes
from valor.parsers.build import build_parser, options_of
from valor.parsers.encoders.mbt import MbtEncoder
from valor.parsers.encoders.tcaf import TcafEncoder
from valor.parsers.options import ENCODERS, ParserOptions

pytestmark = pytest.mark.usefixtures("one_thread")

B, T, D = 3, 6, 16
OPTIONS = {
    "hybrid": replace(TINY, num_layers=2),
    "uavm": replace(TINY, encoder="uavm", num_layers=3, fusion_layer=1),
    "mbt": replace(TINY, encoder="mbt", num_layers=3, fusion_layer=1, num_latents=2),
    "joint": replace(TINY, encoder="joint", num_layers=2),
    "tcaf": replace(TINY, encoder="tcaf", num_layers=2),
    "mtcn": replace(TINY, encoder="mtcn", num_layers=2),
    "sft": replace(TINY, encoder="sft", num_layers=2, fusion_layer=1),
}
VARIANTS = {
    **OPTIONS,
    "uavm, nothing own": replace(OPTIONS["uavm"], fusion_layer=0),
    "uavm, nothing shared": replace(OPTIONS["uavm"], fusion_layer=3),
    "mbt, from the first": replace(OPTIONS["mbt"], fusion_layer=0),
    "mbt, never": replace(OPTIONS["mbt"], fusion_layer=3),
    "mbt, without latents": replace(OPTIONS["mbt"], num_latents=0),
    "sft, at once": replace(OPTIONS["sft"], fusion_layer=0),
    "hybrid, learned": replace(OPTIONS["hybrid"], positions="learned"),
    "joint, learned": replace(OPTIONS["joint"], positions="learned"),
    "hybrid, time": replace(OPTIONS["hybrid"], positions="time"),
    "joint, time": replace(OPTIONS["joint"], positions="time"),
    "hybrid, codes": replace(OPTIONS["hybrid"], time_codes=0.5),
    "joint, codes": replace(OPTIONS["joint"], time_codes=0.5),
}


def shaken(encoder: nn.Module) -> nn.Module:
    """Every parameter moved, so that nothing hides behind a zero, and double precision."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return encoder.double().eval()


def encoder_of(options: ParserOptions) -> nn.Module:
    return shaken(build_parser(options, seed=0).encoder)


def streams(seed: int = 0, segments: int = T) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    audio, visual = torch.randn(2, B, segments, D, dtype=torch.float64, generator=generator)
    return audio, visual


def test_every_encoder_is_tried_here():
    assert set(OPTIONS) == set(ENCODERS)


@pytest.mark.parametrize("name", VARIANTS)
def test_an_encoder_answers_both_streams_of_any_length_and_keeps_its_options(name):
    parser = build_parser(VARIANTS[name], seed=0)
    assert options_of(parser) == VARIANTS[name]
    for segments in (1, 4, 10):
        heard, seen = parser.encoder(*(x.float() for x in streams(segments=segments)))
        assert heard.shape == seen.shape == (B, segments, D)
    again = build_parser(VARIANTS[name], seed=0).state_dict()
    assert all(torch.equal(tensor, again[key]) for key, tensor in parser.state_dict().items())


@pytest.mark.parametrize("name", VARIANTS)
def test_answers_do_not_depend_on_segments_that_are_not_there(name):
    encoder = encoder_of(VARIANTS[name])
    valid = torch.arange(T) < torch.tensor([6, 4, 1])[:, None]
    plain, garbage = streams(0), streams(1)
    other = tuple(torch.where(valid[..., None], x, 1e3 * y) for x, y in zip(plain, garbage, strict=True))
    for one, two in zip(encoder(*plain, valid), encoder(*other, valid), strict=True):
        torch.testing.assert_close(one[valid], two[valid], rtol=0, atol=1e-12)
    for modality in (0, 1):
        pair = (
            encoder.alone(x[modality], modality, valid) if hasattr(encoder, "alone") else None for x in (plain, other)
        )
        one, two = pair
        if one is not None:
            torch.testing.assert_close(one[valid], two[valid], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", VARIANTS)
def test_answers_are_those_of_the_clip_cut_to_what_is_there(name):
    encoder = encoder_of(VARIANTS[name])
    audio, visual = streams()
    valid = (torch.arange(T) < 4).expand(B, T)
    for whole, cut in zip(encoder(audio, visual, valid), encoder(audio[:, :4], visual[:, :4]), strict=True):
        torch.testing.assert_close(whole[:, :4], cut, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_of_clips_with_missing_segments_are_finite(name):
    parser = build_parser(VARIANTS[name], seed=0)
    audio, visual = (x.float().requires_grad_() for x in streams())
    valid = torch.arange(T) < torch.tensor([6, 1, 3])[:, None]
    heard, seen = parser.encoder(audio, visual, valid)
    (heard[valid].square().sum() + seen[valid].sum()).backward()
    assert audio.grad.isfinite().all() and visual.grad.isfinite().all()
    assert not audio.grad[~valid].any() and not visual.grad[~valid].any()
    assert all(p.grad is None or p.grad.isfinite().all() for p in parser.encoder.parameters())


@pytest.mark.parametrize(("name", "knows"), [
    ("hybrid", False), ("joint", False), ("uavm", True), ("mbt", True), ("tcaf", True), ("mtcn", True), ("sft", True),
    ("hybrid, learned", True), ("joint, learned", True), ("hybrid, time", True), ("joint, time", True),
])  # fmt: skip
def test_whether_an_encoder_knows_the_order_of_segments(name, knows):
    encoder = encoder_of(VARIANTS[name])
    audio, visual = streams()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    plain, permuted = encoder(audio, visual)[0][:, order], encoder(audio[:, order], visual[:, order])[0]
    assert (plain - permuted).abs().max() > 1e-2 if knows else (plain - permuted).abs().max() < 1e-12


@pytest.mark.parametrize("name", ["uavm", "uavm, nothing own", "uavm, nothing shared", "mbt, never"])
def test_what_is_heard_is_bit_equal_under_any_picture(name):
    parser = build_parser(VARIANTS[name], seed=0).eval()
    audio, visual = (torch.rand(4, 5, 6) for _ in range(2))
    plain = parser(audio, visual).segment_logits
    other = parser(audio, 100 * torch.randn(4, 5, 6)).segment_logits
    assert torch.equal(plain[:, :, 0], other[:, :, 0])
    assert not torch.allclose(plain[:, :, 1], other[:, :, 1])


@pytest.mark.parametrize("name", ["hybrid", "mbt", "mbt, from the first", "mbt, without latents", "joint", "tcaf",
                                  "mtcn", "sft", "sft, at once"])  # fmt: skip
def test_what_is_heard_depends_on_the_picture_where_streams_meet(name):
    encoder = encoder_of(VARIANTS[name])
    (audio, visual), (_, other) = streams(), streams(1)
    assert (encoder(audio, visual)[0] - encoder(audio, other)[0]).abs().max() > 1e-3
    assert (encoder(audio, visual)[1] - encoder(other, visual)[1]).abs().max() > 1e-3


def test_both_modalities_go_through_the_same_shared_part_of_uavm():
    encoder = encoder_of(OPTIONS["uavm"])
    (x, _) = streams()
    encoder.own = nn.ModuleList([nn.Sequential(nn.Identity()), nn.Sequential(nn.Identity())])
    heard, seen = encoder(x, x)
    assert torch.equal(heard, seen)


@pytest.mark.parametrize(("fused", "exchanges"), [(0, False), (1, False), (2, True)])
def test_latents_are_read_before_they_are_written(fused, exchanges):
    encoder = shaken(MbtEncoder(Sizes(D, 2, D), 2, fusion_layer=2 - fused, num_latents=2, max_segments=(T, T)))
    audio, visual = streams()
    jacobian = torch.autograd.functional.jacobian(lambda x: encoder(audio[:1], x)[0].sum(dim=(0, 1)), visual[:1])
    assert bool(jacobian.any()) is exchanges


def test_a_segment_of_tcaf_sees_the_other_stream_and_nothing_of_its_own_in_one_layer():
    encoder = shaken(TcafEncoder(Sizes(D, 2, D), 1))
    audio, visual = streams()
    plain = encoder(audio, visual)[0]
    louder = audio.clone()
    louder[:, 1:] += 1
    assert torch.equal(encoder(louder, visual)[0][:, 0], plain[:, 0])
    assert (encoder(audio, visual + 1)[0][:, 0] - plain[:, 0]).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["uavm", "mbt", "joint", "tcaf", "mtcn", "sft"])
def test_one_stream_alone_is_encoded_as_the_network_would(name):
    encoder = encoder_of(OPTIONS[name])
    (audio, visual), (_, other) = streams(), streams(1)
    alone = encoder.alone(audio, 0)
    assert alone.shape == (B, T, D)
    if name == "uavm":
        torch.testing.assert_close(alone, encoder(audio, visual)[0], rtol=0, atol=1e-12)
    else:  # neither as beside a picture nor as beside itself
        assert all((alone - encoder(audio, seen)[0]).abs().max() > 1e-3 for seen in (visual, other, audio))
    assert (encoder.alone(audio, 1) - alone).abs().max() > 1e-3 or name == "never"


def test_a_modality_of_mbt_alone_keeps_its_latents_to_itself():
    encoder = encoder_of(OPTIONS["mbt"])
    audio, _ = streams()
    twice = MbtEncoder.forward
    encoder.stacks = nn.ModuleList([encoder.stacks[0]])  # both streams through the blocks of audio
    encoder.positions = nn.ModuleList([encoder.positions[0], encoder.positions[0]])
    torch.testing.assert_close(encoder.alone(audio, 0), twice(encoder, audio, audio)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["uavm", "mbt", "mtcn", "sft", "hybrid, learned"])
def test_clips_longer_than_what_was_learned_are_refused(name):
    options = replace(VARIANTS[name], max_segments=4)
    parser = build_parser(options, seed=0)
    parser(torch.rand(2, 4, 6), torch.rand(2, 4, 6))
    message = "at most max_segments segments, which is 4 .*, got 5; train with max_segments=5"
    with pytest.raises(ValueError, match=message):
        parser(torch.rand(2, 5, 6), torch.rand(2, 5, 6))
    with pytest.raises(ValueError, match=message):
        parser.encode_alone(torch.rand(2, 5, 16), 1)


@pytest.mark.parametrize("name", ["hybrid", "joint", "tcaf", "hybrid, time"])
def test_the_others_take_clips_of_any_length(name):
    parser = build_parser(VARIANTS[name], seed=0)
    assert parser(torch.rand(2, 40, 6), torch.rand(2, 40, 6)).segment_probs.shape == (2, 40, 2, 3)


def test_mtcn_has_one_layer_however_often_it_is_applied():
    counts = {layers: sum(p.numel() for p in build_parser(replace(OPTIONS["mtcn"], num_layers=layers)).parameters())
              for layers in (1, 4)}  # fmt: skip
    assert counts[1] == counts[4]


@pytest.mark.parametrize(("name", "fuses"), [("mbt", True), ("joint", True), ("tcaf", True), ("uavm", False)])
def test_what_neither_stream_says_alone_is_learned_where_streams_meet_and_nowhere_else(name, fuses):
    options = replace(CONTENDERS[name], hidden_width=16, num_heads=2, feedforward_width=32)
    share = told(options, "clips", steps=60, seed=0, segments=3)
    assert share > 0.95 if fuses else 0.35 < share < 0.65


def test_without_positions_the_networks_are_those_of_before():
    plain, placed = (build_parser(VARIANTS[name], seed=0) for name in ("hybrid", "hybrid, time"))
    assert not any("places" in name for name in plain.state_dict())
    shared = {
        name.removeprefix("encoder."): of for name, of in placed.encoder.state_dict().items() if "places" not in name
    }
    assert all(torch.equal(of, shared[name]) for name, of in plain.encoder.state_dict().items())


def test_time_codes_are_sines_and_no_weight_and_none_changes_no_bit():
    plain, coded = (encoder_of(VARIANTS[name]) for name in ("hybrid", "hybrid, codes"))
    assert {name.removeprefix("encoder.") for name in coded.state_dict()} == {*plain.state_dict()}
    audio, visual = streams()
    angles = torch.arange(T)[:, None] * 10000.0 ** (-torch.arange(0, D, 2) / D)
    sines = torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)
    for found, wanted in zip(coded(audio, visual), plain(audio + sines / 2, visual + sines / 2), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert type(build_parser(replace(TINY, time_codes=0.0), seed=0).encoder) is type(plain)


def test_positions_reach_streams_that_are_encoded_by_themselves():
    audio, _ = streams()
    for name in ("hybrid, learned", "hybrid, codes", "joint, time"):
        encoder = encoder_of(VARIANTS[name])
        order = torch.tensor([3, 0, 5, 1, 4, 2])
        for encode in (encoder.alone, encoder.along) if name.startswith("hybrid") else (encoder.alone,):
            assert (encode(audio, 0)[:, order] - encode(audio[:, order], 0)).abs().max() > 1e-2
    with pytest.raises(ValueError, match="cannot encode a stream without the other"):
        encoder.along(audio, 0)


@pytest.mark.parametrize(("changes", "message"), [
    ({"encoder": "tcaf", "positions": "time"}, "positions is an option of encoder=hybrid or joint, got 'time' of tcaf"),
    ({"positions": "sines"}, "positions must be one of .*learned"),
    ({"positions": "time", "network": "class-wise"}, "positions is an option of network=hybrid"),
    ({"encoder": "tcaf", "time_codes": 0.5}, "time_codes is an option of encoder=hybrid or joint, got 0.5 of tcaf"),
    ({"time_codes": 0.5, "network": "class-wise"}, "time_codes is an option of network=hybrid"),
    ({"time_codes": 0.5, "positions": "time"}, "time_codes must be at least 0, and 0 beside positions"),
    ({"time_codes": -0.5}, "time_codes must be at least 0"),
    ({"positions": "time", "max_segments": 20}, "max_segments is an option of encoder="),
])  # fmt: skip
def test_positions_that_nothing_is_made_of_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)
