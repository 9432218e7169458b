"""A vision transformer of open_clip that looks at four patches, and clips that are drawn and sound."""

import numpy as np
import torch

from valor.adapted.towers import ClipTower
from valor.label_harvest.media.clip import ClipMedia, Grid
from valor.label_harvest.teachers.clip import FrameRule, OpenClipModel

NAME = "open_clip:ViT-B-16/laion2b_s34b_b88k"


def tiny_model(weights: str = "ab" * 32) -> OpenClipModel:
    """One layer of width 16 with random weights."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CLIP(
            12,
            CLIPVisionCfg(layers=1, width=16, head_width=8, patch_size=8, image_size=16),
            CLIPTextCfg(context_length=4, vocab_size=8, width=8, heads=1, layers=1),
        )
    return OpenClipModel(network.eval(), lambda texts: torch.zeros(len(texts), 4), FrameRule(size=16), weights)


def tiny_tower(weights: str = "ab" * 32) -> ClipTower:
    """The tower of that model."""
    return ClipTower(NAME, tiny_model(weights))


def clip(seed: int, segments: int = 3) -> ClipMedia:
    """Noise to see and to hear."""
    rng = np.random.default_rng(seed)
    grid = Grid(num_segments=segments, sample_rate=16000)
    frames = rng.integers(0, 256, (segments, 24, 32, 3), np.uint8)
    return ClipMedia(frames=frames, waveform=rng.normal(0, 0.1, grid.num_samples).astype(np.float32), grid=grid)
