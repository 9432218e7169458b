"""Visual towers as adapters see them: what goes in of sound and picture, the frozen layers, what comes out.

Sound goes in as a picture of its spectrum, the same in three colours, a second at a time. With closed gates what comes
out of either is what the tower says of such a picture, to the bit.
"""

from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from valor.label_harvest.media.clip import ClipMedia, audio_segments
from valor.label_harvest.media.resample import resample
from valor.label_harvest.teachers.clip import PRESET, OpenClipModel, load_open_clip, parse_name
from valor.label_harvest.teachers.demo import (
    CHANNELS,
    FEATURE_WIDTH,
    SAMPLE_RATE,
    TinyNetwork,
    Trunk,
    build_tiny,
    frame_pictures,
    shrink_frames,
    sound_pictures,
)
from valor.label_harvest.teachers.precision import chosen_device
from valor.label_harvest.teachers.teacher import stream_of
from valor.parsers.adapters import StagedStreams, TwoStreams

from .card import DEMO, SEGMENT_SECONDS, check_tower, no_transformer

_PARTS = ("ln_1", "attention", "ls_1", "ln_2", "mlp", "ls_2")
"""Of a block, as `parsers.adapters.TowerBlock` has them."""


class Tower(Protocol):
    """A frozen visual network."""

    name: str
    weights: str
    """Digest of its weights, or `random`."""
    width: int
    """Of what comes out."""
    network: nn.Module
    """The part of it that looks."""
    device: torch.device
    """Where it computes."""

    def new_adapters(self) -> nn.Module:
        """Adapters for all of it with closed gates, from torch's generator."""

    def prepare(self, clip: ClipMedia) -> tuple[Tensor, Tensor]:
        """Spectra of the seconds of a clip [T, 1, 48, 64], and its pictures as the tower takes them [T, 3, H, W]."""

    def picture_of(self, spectra: Tensor) -> Tensor:
        """Spectra [N, 1, 48, 64] as pictures the tower takes, [N, 3, H, W]."""

    def run(
        self, adapters: nn.Module, sounds: Tensor, pictures: Tensor, *, alone: bool = False
    ) -> tuple[Tensor, Tensor]:
        """What comes out of both, float32 [N, width] each, for float32 [N, 3, H, W]; see `AdaptOptions.alone`."""


def build_tower(name: str, checkpoint: str | None = None) -> Tower:
    """Build a tower by the name of a visual teacher, its weights frozen.

    Args:
        name: The teacher.
        checkpoint: Local weights, `random` for seeded random ones, or None for those the name stands for.

    Raises:
        ValueError: There is no such teacher, it does not look, or its network has no blocks for adapters.
        FileNotFoundError: There are no such weights.
        RuntimeError: They could not be fetched.
    """
    check_tower(name)
    if name == DEMO:
        return DemoTower(checkpoint)
    model = load_open_clip(PRESET if name == "clip-vit-l14" else parse_name(name), checkpoint=checkpoint)
    return ClipTower(name, model)


def spectra_of(clip: ClipMedia) -> Tensor:
    """Spectra of the segments of a clip, float32 [T, 1, 48, 64].

    Raises:
        ValueError: The clip has no sound, or its segments do not last a second.
    """
    if clip.grid.segment_seconds != SEGMENT_SECONDS:
        raise ValueError(f"adapters hear segments of {SEGMENT_SECONDS:g} s, got {clip.grid.segment_seconds:g} s")
    sound = resample(stream_of(clip, "waveform"), clip.grid.sample_rate, SAMPLE_RATE)
    pieces = audio_segments(len(sound), clip.grid.num_segments)
    return sound_pictures(torch.from_numpy(np.stack([sound[start:stop] for start, stop in pieces])))


class DemoTower:
    """The demo's tower of convolutions, which is no transformer: adapters stand behind its stages."""

    name, width, device = DEMO, FEATURE_WIDTH, torch.device("cpu")

    def __init__(self, checkpoint: str | None = None) -> None:
        """Load it."""
        teacher = build_tiny("visual", ["anything"], checkpoint)
        whole: TinyNetwork = teacher.network
        trunk = whole.trunks["visual"]
        assert isinstance(trunk, Trunk)
        self._trunk, self._head, self.weights = trunk, whole.head, teacher.weights
        self.network: nn.Module = nn.ModuleList([trunk, whole.head])

    def new_adapters(self) -> nn.Module:
        """See `Tower`."""
        return StagedStreams(CHANNELS)

    def prepare(self, clip: ClipMedia) -> tuple[Tensor, Tensor]:
        """See `Tower`."""
        return spectra_of(clip), frame_pictures(shrink_frames(torch.from_numpy(stream_of(clip, "frames"))))

    def picture_of(self, spectra: Tensor) -> Tensor:
        """See `Tower`."""
        return spectra.expand(-1, 3, -1, -1)

    def run(
        self, adapters: nn.Module, sounds: Tensor, pictures: Tensor, *, alone: bool = False
    ) -> tuple[Tensor, Tensor]:
        """See `Tower`."""
        layers = zip(self._trunk.convolutions, self._trunk.norms, strict=True)
        stages = [partial(_stage, convolution, norm) for convolution, norm in layers]
        found = adapters(sounds, pictures, stages, alone=alone)
        heard, seen = (self._head(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))[0] for x in found)
        return heard, seen


def _stage(convolution: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """Channels are last in memory, as the demo's teachers compute."""
    return functional.relu(norm(convolution(x.contiguous(memory_format=torch.channels_last))))


class ClipTower:
    """A vision transformer of open_clip."""

    def __init__(self, name: str, model: OpenClipModel) -> None:
        """Freeze it.

        Raises:
            ValueError: It has no blocks for adapters.
        """
        visual: Any = model.network.visual
        blocks = list(getattr(getattr(visual, "transformer", None), "resblocks", ()))
        whole = all(hasattr(visual, part) for part in ("_embeds", "_pool", "proj"))
        if not blocks or not whole or not all(hasattr(block, part) for block in blocks for part in _PARTS):
            raise no_transformer(name)
        self.name, self.weights, self._frame_rule = name, model.weights, model.frame_rule
        self.device = chosen_device()
        self._visual, self._blocks = visual.eval().requires_grad_(False).to(self.device), blocks
        self.network: nn.Module = visual
        self._inner = int(visual.positional_embedding.shape[-1])
        self.width = self._inner if visual.proj is None else int(visual.proj.shape[-1])

    def new_adapters(self) -> nn.Module:
        """See `Tower`."""
        return TwoStreams(self._inner, len(self._blocks))

    def prepare(self, clip: ClipMedia) -> tuple[Tensor, Tensor]:
        """See `Tower`."""
        return spectra_of(clip), self._frame_rule(stream_of(clip, "frames"))

    def picture_of(self, spectra: Tensor) -> Tensor:
        """See `Tower`."""
        size = [self._frame_rule.size] * 2
        return functional.interpolate(spectra, size, mode="bilinear").expand(-1, 3, -1, -1)

    def run(
        self, adapters: nn.Module, sounds: Tensor, pictures: Tensor, *, alone: bool = False
    ) -> tuple[Tensor, Tensor]:
        """See `Tower`; lengths are 1, as of the teacher's embeddings."""
        tokens = (self._visual._embeds(x) for x in (sounds, pictures))
        heard, seen = (self._out(x) for x in adapters(*tokens, self._blocks, alone=alone))
        return heard, seen

    def _out(self, x: Tensor) -> Tensor:
        pooled, _ = self._visual._pool(x)
        if self._visual.proj is not None:
            pooled = pooled @ self._visual.proj
        return functional.normalize(pooled.float(), dim=-1)
