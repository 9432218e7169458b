"""Frames stay dense: one of eight shows an event, and is found; what is pooled is what SFT's network pools."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tests.helpers.toy_features import TINY
from valor.parsers.blocks import Sizes
from valor.parsers.build import build_parser
from valor.parsers.encoders.sft import SftNetwork, StreamShape
from valor.parsers.folding import CLAP_TOKENS, MAP_ROWS, fold_frames
from valor.parsers.options import FRAME_POOLINGS, ParserOptions
from valor.parsers.sparse_stem import Thinned, map_windows

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMES, WIDTH = 8, 6
DENSE = replace(TINY, stem="sft", visual_width=FRAMES * WIDTH, visual_frames=FRAMES, num_layers=1)


def needles(count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Features float [N, 2, 8 * 6] of segments in half of which one frame of eight shows something."""
    truth = torch.randint(2, (count, 2), generator=generator)
    shown = functional.one_hot(torch.randint(FRAMES, (count, 2), generator=generator), FRAMES) * truth[..., None]
    frames = torch.randn(count, 2, FRAMES, WIDTH, generator=generator)
    frames[..., 0] += 4.0 * shown
    return frames.flatten(2), truth.float()


def found(options: ParserOptions, steps: int = 50) -> float:
    """Share of segments that are right, on clips that were never trained on; other stems get the mean of the frames."""
    generator = torch.Generator().manual_seed(0)
    parser = build_parser(replace(options, num_classes=1, dropout=0.0), seed=0)
    optimiser = torch.optim.AdamW(parser.parameters(), lr=1e-2)
    for _ in range(steps):
        visual, truth = needles(48, generator)
        visual = visual if options.stem == "sft" else fold_frames(visual.view(48, 2 * FRAMES, WIDTH), 2)
        logits = parser(torch.zeros(48, 2, options.audio_width), visual).segment_logits[:, :, 1, 0]
        loss = functional.binary_cross_entropy_with_logits(logits, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    visual, truth = needles(400, generator)
    visual = visual if options.stem == "sft" else fold_frames(visual.view(400, 2 * FRAMES, WIDTH), 2)
    with torch.no_grad():
        answers = parser.eval()(torch.zeros(400, 2, options.audio_width), visual).segment_logits[:, :, 1, 0] > 0
    return float((answers == truth.bool()).float().mean())


def test_one_frame_of_eight_is_found_where_it_is_not_averaged_away():
    best, folded = found(DENSE), found(replace(TINY, visual_width=WIDTH, num_layers=1))
    assert best > 0.9 > folded + 0.1


@pytest.mark.parametrize("pooling", ["max", "avg", "attn"])
def test_what_is_pooled_is_what_the_network_pools(pooling):
    """`SftNetwork` is equal to the published one (golden `sft`)."""
    torch.manual_seed(0)
    sizes = Sizes(8, 2, 8)
    network = SftNetwork([StreamShape(5, 12, 4)], sizes, 3, layers_before=2, layers_after=0, pooling=pooling).double()
    stem = Thinned(5, sizes, 2, max_tokens=12, pooling=pooling).double()
    state = stem.state_dict()
    names = {"tokenizer": network.tokenizers[0], "blocks": network.before[0], "salience": network.salience[0]}
    for name, part in names.items():
        state |= {f"{name}.{key}": of for key, of in part.state_dict().items()}
    stem.load_state_dict(state)
    tokens, windows = torch.randn(2, 12, 5, dtype=torch.float64), torch.arange(12).view(3, 4)
    expected = network.fuse([tokens])[:, 1:]
    torch.testing.assert_close(stem(tokens, windows, torch.ones(3, 4, dtype=torch.bool), None), expected)


def test_the_tokens_of_a_map_belong_to_the_seconds_they_are_of():
    windows, real = map_windows()
    held = [set(row[there].tolist()) for row, there in zip(windows, real, strict=True)]
    assert set.union(*held) == set(range(CLAP_TOKENS))
    for second, tokens in enumerate(held):
        steps = {token % 32 for token in tokens}
        assert tokens == steps | {32 + step for step in steps}
        assert all(step < 3.2 * (second + 1) and step + 1 > 3.2 * second for step in steps)


@pytest.mark.parametrize("pooling", FRAME_POOLINGS)
def test_answers_do_not_depend_on_segments_that_are_not_there(pooling):
    options = replace(
        DENSE, frame_pooling=pooling, audio_width=MAP_ROWS * 4, audio_map=True, motion_width=3, encoder="joint"
    )
    parser = build_parser(options, seed=0).double().eval()
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(2, 10, of, dtype=torch.float64, generator=generator) for of in (28, 48, 3)]
    valid = torch.ones(2, 10, dtype=torch.bool)
    valid[0, 5:] = False
    plain = parser(*inputs, valid).segment_logits
    seen = inputs[1].clone()
    seen[0, 5:] = 100.0
    torch.testing.assert_close(parser(inputs[0], seen, inputs[2], valid).segment_logits[0, :5], plain[0, :5])
    tokens = inputs[0].reshape(2, 70, 4).clone()
    tokens[0, [*range(16, 32), *range(48, 64)]] = 100.0  # steps from the sixth second on
    heard = tokens.reshape(2, 10, 28)
    torch.testing.assert_close(parser(heard, *inputs[1:], valid).segment_logits[0, :5], plain[0, :5])
    assert not torch.allclose(parser(heard, *inputs[1:]).segment_logits[0, :5], plain[0, :5])


@pytest.mark.parametrize(("changes", "message"), [
    ({"stem": "linear", "visual_frames": 1, "frame_pooling": "avg"}, "are options of stem=sft, got those of linear"),
    ({"stem": "linear"}, "visual_frames and audio_map are for the stems elu and sft"),
    ({"visual_frames": 1}, "stem=sft thins out frames and maps, and there are none"),
    ({"frame_pooling": "topk"}, "frame_pooling must be one of .*attn_topk"),
])  # fmt: skip
def test_options_that_nothing_is_made_of_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(DENSE, **changes)


def test_clips_longer_than_what_was_learned_and_rows_that_do_not_divide_are_refused():
    parser = build_parser(replace(DENSE, max_segments=3), seed=0)
    with pytest.raises(ValueError, match="at most max_segments segments"):
        parser(torch.rand(2, 4, 6), torch.rand(2, 4, FRAMES * WIDTH))
    with pytest.raises(ValueError, match="visual_width must be that of 8 rows together, got 49"):
        build_parser(replace(DENSE, visual_width=49))
    with pytest.raises(ValueError, match="this parser has no motion stream"):
        parser(torch.rand(2, 3, 6), torch.rand(2, 3, FRAMES * WIDTH), torch.rand(2, 3, 4))
