"""The visual teacher: CLIP scores one frame per segment against one caption per class."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from .checkpoints import RANDOM, build_random, load_exactly, read_state, state_digest, unreachable
from .evidence import Evidence
from .media import ClipMedia

ARCHITECTURE, TAG = "ViT-L-14-quickgelu", "openai"
"""Network and weights of the published label generator. OpenAI trained with QuickGELU; the plain name builds GELU."""
_HUB = "timm/vit_large_patch14_clip_224.openai"
HUB_FILES = ((_HUB, "open_clip_model.safetensors"), (_HUB, "open_clip_pytorch_model.bin"))
"""Where open_clip keeps these weights on the hub: (repository, file), the first there is."""
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Channel means of CLIP's training images."""
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)
"""Channel deviations of CLIP's training images."""


def preprocess(frames: np.ndarray, size: int) -> torch.Tensor:
    """Scale frames to [0, 1], squash them to a square, and normalise as CLIP was trained.

    Bilinear WITHOUT antialiasing and without a centre crop: what the published pipeline did with torchvision 0.13.
    Later versions antialias, which is another teacher.

    Args:
        frames: uint8 [N, H, W, 3] RGB.
        size: Side of the square in pixels.

    Returns:
        float32 [N, 3, size, size].
    """
    images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255.0
    images = functional.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=False)
    mean, std = torch.tensor(IMAGE_MEAN).view(3, 1, 1), torch.tensor(IMAGE_STD).view(3, 1, 1)
    return (images - mean) / std


class ClipTeacher:
    """A CLIP network whose captions are encoded once."""

    role = "visual"
    sample_rate = None

    def __init__(
        self,
        network: torch.nn.Module,
        tokenize: Callable[[list[str]], torch.Tensor],
        prompts: Sequence[str],
        *,
        architecture: str,
        weights: str,
    ) -> None:
        """Freeze the network and encode the captions.

        Args:
            network: An open_clip model.
            tokenize: Captions to int64 [C, L], the tokenizer of that model.
            prompts: One caption per class.
            architecture: What open_clip calls the network.
            weights: sha256 of its weights, or `random`.
        """
        torch.backends.cudnn.allow_tf32 = False  # the identity says float32, on every device
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.eval().requires_grad_(False).to(self._device)
        self._size = _square(network.visual.image_size)
        self._prompts = tuple(prompts)
        self._architecture, self._weights = architecture, weights
        with torch.inference_mode():
            self._text = network.encode_text(tokenize(list(prompts)).to(self._device), normalize=True)  # [C, D]
        self._logit_scale = float(network.logit_scale.exp())
        bias = getattr(network, "logit_bias", None)
        self._logit_bias = 0.0 if bias is None else float(bias)

    def identity(self) -> dict[str, object]:
        """See `Teacher.identity`."""
        return {
            "teacher": "clip",
            "architecture": self._architecture,
            "weights": self._weights,
            "prompts": list(self._prompts),
            "logit_scale": self._logit_scale,
            "logit_bias": self._logit_bias,
            "precision": "float32",
            "preprocessing": f"squash to {self._size}x{self._size}, bilinear, no antialiasing, CLIP mean and deviation",
        }

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Embed the frames of all clips in one batch; feature `embedding` float32 [T, D] of length 1."""
        images = torch.cat([preprocess(clip.frames, self._size) for clip in clips])
        with torch.inference_mode():
            embedding = self._network.encode_image(images.to(self._device), normalize=True)  # [N*T, D]
            similarity = embedding @ self._text.T  # [N*T, C]
        embeddings = embedding.float().cpu().numpy().reshape(len(clips), -1, embedding.shape[-1])
        similarities = similarity.float().cpu().numpy().reshape(len(clips), -1, len(self._prompts))
        return [Evidence({"embedding": row}, cosine) for row, cosine in zip(embeddings, similarities, strict=True)]

    def encode(self, media: ClipMedia) -> Evidence:
        """See `Teacher.encode`."""
        return self.encode_many([media])[0]


def build_clip(prompts: Sequence[str], *, checkpoint: str | Path | None = None) -> ClipTeacher:
    """Build the published visual teacher, ViT-L/14 with OpenAI's weights, through open_clip.

    Args:
        prompts: One caption per class.
        checkpoint: None fetches the weights from the hub (or finds them in its cache), a path loads a local
            state dict under open_clip's or OpenAI's own names, `random` builds seeded random weights.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: The checkpoint is of another network or cannot be loaded without executing code in it.
        RuntimeError: The hub could not be reached.
    """
    import open_clip

    @_without_its_own_log()
    def empty() -> torch.nn.Module:
        return open_clip.create_model(ARCHITECTURE, pretrained=None)

    if checkpoint is None:
        try:
            network = open_clip.create_model(ARCHITECTURE, pretrained=TAG)
        except Exception as error:  # hub, network and file errors share no base class
            raise unreachable("clip-vit-l14", f"{ARCHITECTURE}/{TAG}", error) from error
    elif checkpoint == RANDOM:
        network = build_random(empty, "clip-vit-l14")
    else:
        state = clip_state(checkpoint)
        network = empty()
        load_exactly(network, state, str(checkpoint))
    weights = RANDOM if checkpoint == RANDOM else state_digest(network.state_dict())
    tokenize = open_clip.get_tokenizer(ARCHITECTURE)
    return ClipTeacher(network, tokenize, prompts, architecture=f"open_clip {ARCHITECTURE}", weights=weights)


@contextmanager
def _without_its_own_log() -> Iterator[None]:
    """Keep open_clip from warning of random weights where they are wanted, or about to be filled in."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def clip_state(path: str | Path) -> dict[str, torch.Tensor]:
    """float32 state dict of a local CLIP checkpoint, without the size constants OpenAI stores among the weights."""
    constants = ("input_resolution", "context_length", "vocab_size")
    state = {name: tensor for name, tensor in read_state(path).items() if name not in constants}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _square(size: int | Sequence[int]) -> int:
    """Side of the square the network sees."""
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) > 1:
        raise ValueError(f"the network must see square images, got {sorted(sides)}; choose another")
    return sides.pop()
