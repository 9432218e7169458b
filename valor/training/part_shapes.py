"""What parts of a user's own answer to two clips, looked at before the first epoch.

A part of another shape ends in an error of a kernel that names neither file nor part; here it is one sentence.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from valor.data.clips import Batch, ClipSet
from valor.data.own_files import call_fault, own_parts
from valor.parsers.hybrid import HybridParser, ParserOutput
from valor.parsers.options import OWN, ParserOptions

_GIVEN = {
    "stem": ("audio", "visual", "motion"),
    "encoder": ("audio", "visual", "valid"),
    "pooling": ("features", "segment_probs", "valid"),
    "network": ("audio", "visual", "motion", "valid"),
}
"""What the module of each kind is called with, in this order."""

_CLIPS = 2
"""As many are shown to the parts."""


def own_of_network(options: ParserOptions) -> dict[str, str]:
    """The parts of a network that are of a user's own, by kind: what a message calls them."""
    files = {part.change: f"{part.file}: {part.title}" for part in own_parts()}
    found = {}
    for kind in ("stem", "encoder", "pooling", "network"):
        name = getattr(options, kind)
        if said := files.get(f"parser.{kind}={name}"):
            found[kind] = said
        elif name.startswith(OWN):
            found[kind] = f"{kind} {name}"
    return found


def check_parts(parser: HybridParser, options: ParserOptions, clips: ClipSet, where: torch.device) -> None:
    """Show two clips to the parts of one's own; weights and random numbers are left as they were.

    Args:
        parser: As it was built; is moved to the device where it has parts of one's own.
        options: What it was built from.
        clips: Those to train on.
        where: The device to train on.

    Raises:
        ValueError: A part is no module, or answers something else than its kind does; names file and part, what was
            expected and what came.
    """
    own = own_of_network(getattr(parser, "options", None) or options)
    if not own:
        return
    for kind, called in own.items():
        held = parser if kind == "network" else getattr(parser, kind, None)
        if not isinstance(held, nn.Module):
            raise ValueError(f"{called} must be built as an nn.Module, got {_shown(held)}")
        if kind == "stem" and not callable(getattr(held, "input_widths", None)):
            raise ValueError(f"{called} must have a method input_widths, see valor.parsers.stems; it has none")
        if said := call_fault(held.forward, _GIVEN[kind], " (valid is None where all segments exist)"):
            raise ValueError(f"{called} {said}")
    was_training = parser.training
    batch = clips.batch(torch.arange(min(_CLIPS, len(clips)))).to(where)
    devices = [batch.audio.device] if batch.audio.is_cuda else []
    parser.to(where).eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            _look(parser, options, batch, own)
    finally:
        parser.train(was_training)


def _look(parser: HybridParser, options: ParserOptions, batch: Batch, own: Mapping[str, str]) -> None:
    """Call the parts one after the other."""
    clips, segments, width, classes = *batch.audio.shape[:2], options.hidden_width, options.num_classes
    inputs = (batch.audio, batch.visual, batch.motion, batch.valid)
    if "network" in own:
        answer = parser(*inputs)
        if not isinstance(answer, ParserOutput):
            raise ValueError(f"{own['network']} must answer a ParserOutput, got {_shown(answer)}")
        _check(own["network"], ("segment_logits",), (answer.segment_logits,), [(clips, segments, 2, classes)])
        return
    stream = (clips, segments, width)
    streams = parser.streams(*inputs)
    if "stem" in own:
        _check(own["stem"], ("audio", "visual"), streams, [stream] * 2)
    if not {"encoder", "pooling"} & {*own}:
        return
    encoded = parser.encoder(*streams, batch.valid)
    if "encoder" in own:
        _check(own["encoder"], ("audio", "visual"), encoded, [stream] * 2)
    if "pooling" in own:
        features = torch.stack(encoded, dim=2)  # [B, T, M, D]
        probs = features.new_full((*features.shape[:3], classes), 0.5)
        pooled = parser.pooling(features, probs, batch.valid)
        if not all(isinstance(getattr(pooled, name, None), Tensor) for name in ("clip", "modality")):
            raise ValueError(f"{own['pooling']} must answer PooledProbs(clip, modality), got {_shown(pooled)}")
        answers = (pooled.clip, pooled.modality)
        _check(own["pooling"], ("clip", "modality"), answers, [(clips, classes), (clips, 2, classes)])


def _check(called: str, names: Sequence[str], answer: Any, shapes: Sequence[tuple[int, ...]]) -> None:  # noqa: ANN401
    """Refuse what is not tensors of these shapes."""
    answers = [*answer] if isinstance(answer, tuple | list) else [answer]
    got_shapes = [tuple(one.shape) if isinstance(one, Tensor) else None for one in answers]
    if got_shapes != [*shapes]:
        wanted = " and ".join(f"{name} {list(shape)}" for name, shape in zip(names, shapes, strict=True))
        raise ValueError(f"{called} must answer {wanted} to {shapes[0][0]} clips, got {_shown(answer)}")


def _shown(answer: Any) -> str:  # noqa: ANN401, whatever came
    """What came, in a few words."""
    if isinstance(answer, Tensor):
        return f"one tensor {list(answer.shape)}"
    if isinstance(answer, tuple | list):
        shapes = [str(list(of.shape)) if isinstance(of, Tensor) else type(of).__name__ for of in answer]
        return " and ".join(shapes) or "nothing"
    return "None, as without a `return`" if answer is None else type(answer).__name__
