"""A tiny world of features in which events can be learned: each class adds its own direction where it happens."""

import numpy as np
import torch

from valor.data.clips import ClipSet
from valor.data.tables import Split
from valor.parsers.options import ParserOptions

CLASSES = ("Bell", "Dog", "Drum")
SEGMENTS, WIDTH = 5, 6
TINY = ParserOptions(
    audio_width=WIDTH,
    visual_width=WIDTH,
    motion_width=0,
    hidden_width=16,
    num_heads=2,
    feedforward_width=16,
    num_classes=len(CLASSES),
)


def toy_clip_set(num_clips: int = 24, *, seed: int = 0, noise: float = 0.3) -> ClipSet:
    """Clips whose audio and visual events are independent, with perfect pseudo labels."""
    rng = np.random.default_rng(seed)
    truth = rng.random((num_clips, SEGMENTS, 2, len(CLASSES))) < 0.3
    directions = np.random.default_rng(99).normal(size=(2, len(CLASSES), WIDTH))
    features = np.einsum("ntmc,mcd->ntmd", truth, directions) + noise * rng.normal(size=(num_clips, SEGMENTS, 2, WIDTH))
    audio, visual = torch.from_numpy(features.astype(np.float32)).unbind(2)
    return ClipSet(
        clip_ids=tuple(f"clip{seed}-{row:03d}" for row in range(num_clips)),
        class_names=CLASSES,
        audio=audio.contiguous(),
        visual=visual.contiguous(),
        weak_labels=torch.from_numpy(truth.any(axis=(1, 2))),
        pseudo_labels=torch.from_numpy(truth),
        truth=torch.from_numpy(truth),
    )


def toy_split(num_clips: int = 3, *, name: str = "train", segments: int = 10) -> Split:
    """A split of LLP-like clip names, with truth unless it is train."""
    rng = np.random.default_rng(0)
    truth = rng.random((num_clips, segments, 2, len(CLASSES))) < 0.3
    return Split(
        name=name,
        clip_ids=tuple(f"{row:011d}_10_20" for row in range(num_clips)),
        class_names=CLASSES,
        weak_labels=truth.any(axis=(1, 2)),
        truth=None if name == "train" else truth,
    )
