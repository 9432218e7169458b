"""Frames -> what a picture network takes in: the published rule, and each open_clip model's own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Channel means of CLIP's training images."""
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)
"""Channel deviations of CLIP's training images."""


def preprocess(
    frames: np.ndarray, size: int, mean: Sequence[float] = IMAGE_MEAN, std: Sequence[float] = IMAGE_STD
) -> torch.Tensor:
    """Scale frames to [0, 1], squash them to a square, and normalise as CLIP was trained.

    Bilinear WITHOUT antialiasing and without a centre crop: what the published pipeline did with torchvision 0.13.
    Later versions antialias, which is another teacher.

    Args:
        frames: uint8 [N, H, W, 3] RGB.
        size: Side of the square in pixels.
        mean: Channel means, of values in [0, 1].
        std: Channel deviations.

    Returns:
        float32 [N, 3, size, size].
    """
    images = torch.empty(len(frames), 3, size, size)
    for image, frame in zip(images, frames, strict=True):  # one by one: floats of large frames would fill the memory
        whole = torch.from_numpy(np.ascontiguousarray(frame)[None]).permute(0, 3, 1, 2).float().div_(255.0)
        image.copy_(
            functional.interpolate(whole, (size, size), mode="bilinear", align_corners=False, antialias=False)[0]
        )
    return images.sub_(torch.tensor(mean).view(3, 1, 1)).div_(torch.tensor(std).view(3, 1, 1))


@dataclass(frozen=True, kw_only=True)
class FrameRule:
    """How frames are brought to a network."""

    size: int
    """Side of the square the network sees, in pixels."""
    mean: tuple[float, ...] = IMAGE_MEAN
    std: tuple[float, ...] = IMAGE_STD
    resize: str | None = None
    """None for the published squash; `shortest` (and centre crop), `longest` (and padding) or `squash` for a rule of
    open_clip, which resizes with antialiasing."""
    interpolation: str = "bicubic"
    """Of open_clip's rules."""

    def __call__(self, frames: np.ndarray) -> torch.Tensor:
        """Frames uint8 [N, H, W, 3] RGB -> float32 [N, 3, size, size]."""
        if self.resize is None:
            return preprocess(frames, self.size, self.mean, self.std)
        from open_clip.transform import PreprocessCfg, image_transform_v2
        from PIL import Image

        names = {"size": self.size, "mean": self.mean, "std": self.std}
        config = PreprocessCfg(**names, interpolation=self.interpolation, resize_mode=self.resize)
        transform = image_transform_v2(config, is_train=False)
        return torch.stack([transform(Image.fromarray(np.ascontiguousarray(frame))) for frame in frames])

    def __str__(self) -> str:
        """What goes into the identity of a teacher."""
        clip = (self.mean, self.std) == (IMAGE_MEAN, IMAGE_STD)
        levels = "CLIP mean and deviation" if clip else f"mean {list(self.mean)}, deviation {list(self.std)}"
        if self.resize is None:
            return f"squash to {self.size}x{self.size}, bilinear, no antialiasing, {levels}"
        return f"open_clip {self.resize} to {self.size}x{self.size}, {self.interpolation}, antialiasing, {levels}"
