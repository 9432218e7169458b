"""ResNet-152 and R(2+1)D-18 through torchvision: features of the frame slots of each segment (8 a second)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from .frame_album import SLOT_PIXELS

_BATCH = 40
"""Frames that go through ResNet-152 at once."""


@dataclass(frozen=True, kw_only=True)
class PictureFeatures:
    """One of the two networks: what it is built of and what it is shown."""

    architecture: str
    """Name of the network in torchvision."""
    weights: str
    """Name of its published weights in torchvision."""
    resize: int | tuple[int, int]
    """Shorter side, or (height, width), that frames are resized to; bilinear with antialiasing."""
    crop: int
    """Side of the square cut from the middle."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    width: int
    """Length of the feature."""
    moving: bool
    """Whether the network sees the slots of a segment together, rather than one by one."""

    def build(self) -> torch.nn.Module:
        """The network without its classifier, unfilled."""
        import torchvision.models as models

        make: Callable = models.video.r2plus1d_18 if self.moving else models.resnet152
        return make(weights=None)

    def url(self) -> str:
        """Where torchvision has the weights; the name holds the first digits of their sha256."""
        import torchvision.models as models

        kinds = models.video.R2Plus1D_18_Weights if self.moving else models.ResNet152_Weights
        return kinds[self.weights].url

    def prepare(self, slots: np.ndarray) -> torch.Tensor:
        """Frames uint8 [K, H, W, 3] RGB -> float32 [K, 3, crop, crop]."""
        size = self.resize if isinstance(self.resize, tuple) else _by_short_side(slots.shape[1:3], self.resize)
        top, left = (round((side - self.crop) / 2) for side in size)
        images = torch.empty(len(slots), 3, self.crop, self.crop)
        for image, slot in zip(images, slots, strict=True):  # one by one: floats of large frames would fill the memory
            whole = torch.from_numpy(np.ascontiguousarray(slot)[None]).permute(0, 3, 1, 2).float().div_(255.0)
            small = functional.interpolate(whole, size, mode="bilinear", align_corners=False, antialias=True)[0]
            image.copy_(small[:, top : top + self.crop, left : left + self.crop])
        return images.sub_(torch.tensor(self.mean).view(3, 1, 1)).div_(torch.tensor(self.std).view(3, 1, 1))

    def look(
        self, network: torch.nn.Module, slots: np.ndarray, num_segments: int, device: torch.device
    ) -> torch.Tensor:
        """Features float32 [T, D] of the slots uint8 [T * F, H, W, 3] of a clip; those of frames are averaged."""
        images = self.prepare(slots).to(device)
        if self.moving:
            clips = images.unflatten(0, (num_segments, -1)).transpose(1, 2)  # [T, 3, F, crop, crop]
            return network(clips)
        return torch.cat([network(part) for part in images.split(_BATCH)]).unflatten(0, (num_segments, -1)).mean(1)

    def __str__(self) -> str:
        """What goes into the identity of an extractor."""
        size = self.resize if isinstance(self.resize, int) else "x".join(str(side) for side in self.resize)
        seen = "all slots of a segment together" if self.moving else "mean over the slots of a segment"
        return (
            f"slots above {SLOT_PIXELS} pixels averaged down to these, resize to {size}, bilinear, antialiasing, "
            f"centre {self.crop}x{self.crop}, {seen}"
        )


def _by_short_side(size: tuple[int, ...], short: int) -> tuple[int, int]:
    """(height, width) whose shorter side is `short`."""
    height, width = size
    if height <= width:
        return short, int(short * width / height)
    return int(short * height / width), short


RES152 = PictureFeatures(
    architecture="resnet152",
    weights="IMAGENET1K_V1",
    resize=256,
    crop=224,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    width=2048,
    moving=False,
)
"""The frame features of Look, Listen, and Parse; averaging eight frames is what the parser's stem does anyway."""
R2PLUS1D = PictureFeatures(
    architecture="r2plus1d_18",
    weights="KINETICS400_V1",
    resize=(128, 171),
    crop=112,
    mean=(0.43216, 0.394666, 0.37645),
    std=(0.22803, 0.22145, 0.216989),
    width=512,
    moving=True,
)
"""The motion features of Look, Listen, and Parse."""
