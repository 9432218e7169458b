"""The visual teacher: CLIP, or any model open_clip knows by name, scores one frame per segment against the captions.

What can be silently wrong is checked: the activation (OpenAI's and some other weights were trained with QuickGELU, the
plain model names build GELU, and the weights fit both), the rule for frames (a local file does not say its own), and
which weights a file holds.
"""

import difflib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..media.clip import ClipMedia
from .precision import cast_input, cast_network, chosen_device
from .published_weights import WeightsOrigin, check_weights
from .teacher import Evidence, Prompts, all_captions, as_json, class_embeddings, stream_of, unit_rows
from .text_rule import check_text, whole_tokens
from .weights import RANDOM, build_random, is_script, load_exactly, read_state, state_digest, unreachable
from .where import PATCHES, PlaceMaps, patch_embeddings, seen_area

PREFIX = "open_clip:"
"""What a teacher's name begins with that names a model of open_clip."""
_LOCAL = "local-dir:"
_SCHEMES = ("hf-hub:", _LOCAL)
_SQUASH = "@squash"
IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
"""Channel means of CLIP's training images."""
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)
"""Channel deviations of CLIP's training images."""
Tokenize = Callable[[list[str]], torch.Tensor]


@dataclass(frozen=True)
class OpenClipName:
    """A model and its weights: `open_clip:MODEL/TAG`, `open_clip:hf-hub:ORG/NAME` or `open_clip:local-dir:FOLDER`."""

    model: str
    """What open_clip calls the network, with the scheme where there is one."""
    tag: str = ""
    """What open_clip calls the weights; empty with a scheme."""
    squash: bool = False
    """Whether frames are squashed by the published rule (`@squash` at the end) rather than the model's own."""

    def __str__(self) -> str:
        """The name as it is typed."""
        return f"{PREFIX}{self.model}{'/' if self.tag else ''}{self.tag}{_SQUASH if self.squash else ''}"


ARCHITECTURE, TAG = "ViT-L-14-quickgelu", "openai"
"""Network and weights of the published label generator. OpenAI trained with QuickGELU; the plain name builds GELU."""
PRESET = OpenClipName(ARCHITECTURE, TAG, squash=True)
"""The published visual teacher, the one whose thresholds the vocabulary holds."""


def parse_name(text: str) -> OpenClipName:
    """Read `open_clip:MODEL/TAG[@squash]`.

    Raises:
        ValueError: open_clip has no such model or tag, or the activation of the model is not that of the weights.
    """
    body = text.removeprefix(PREFIX)
    squash = body.endswith(_SQUASH)
    body = body.removesuffix(_SQUASH)
    if body.startswith(_SCHEMES):
        return OpenClipName(body, squash=squash)
    model, _, tag = body.rpartition("/")
    _check_model(model or tag, text)
    if not model:
        raise ValueError(f"{text}: say whose weights, {PREFIX}{tag}/TAG, with TAG one of {_tags(tag)}")
    _check_tag(model, tag, text)
    return OpenClipName(model, tag, squash)


def _check_model(model: str, text: str) -> None:
    """Refuse a model open_clip does not know."""
    import open_clip

    known = open_clip.list_models()
    if model.replace("/", "-") not in known:
        near = difflib.get_close_matches(model, known, 5, 0.3) or known[:5]
        raise ValueError(f"{text}: open_clip has no model {model!r}; near to it are {', '.join(near)}")


def _check_tag(model: str, tag: str, text: str) -> None:
    """Refuse weights open_clip does not know, and weights that were trained with another activation."""
    import open_clip

    config = open_clip.get_pretrained_cfg(model, tag)
    if not config:
        raise ValueError(f"{text}: open_clip knows no weights {tag!r} of {model}, but {_tags(model)}")
    built, trained = (bool(part.get("quick_gelu", False)) for part in (open_clip.get_model_config(model), config))
    if built != trained:
        stem = model.removesuffix("-quickgelu")
        right = f"{stem}-quickgelu" if trained else stem
        raise ValueError(
            f"{text}: the weights {tag} were trained with {'QuickGELU' if trained else 'GELU'} and {model} computes "
            f"{'QuickGELU' if built else 'GELU'}, which fits and is silently wrong; take {PREFIX}{right}/{tag}"
        )


def _tags(model: str) -> str:
    """What open_clip calls the weights of a model."""
    import open_clip

    return ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none; take a hf-hub: or local-dir: name"


def _tag_config(name: OpenClipName) -> dict[str, Any]:
    """What open_clip's table says of the weights."""
    import open_clip

    return dict(open_clip.get_pretrained_cfg(name.model, name.tag)) if name.tag else {}


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
    """Interpolation of open_clip's rules."""

    def __call__(self, frames: Sequence[np.ndarray] | np.ndarray) -> torch.Tensor:
        """N frames uint8 [H, W, 3] RGB, of any sizes -> float32 [N, 3, size, size]."""
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


def preprocess(
    frames: Sequence[np.ndarray] | np.ndarray,
    size: int,
    mean: Sequence[float] = IMAGE_MEAN,
    std: Sequence[float] = IMAGE_STD,
) -> torch.Tensor:
    """Scale frames to [0, 1], squash them to a square, and normalise as CLIP was trained.

    Bilinear WITHOUT antialiasing and without a centre crop: what the published pipeline did with torchvision 0.13.
    Later versions antialias, which is another teacher.

    Args:
        frames: N of uint8 [H, W, 3] RGB.
        size: Side of the square in pixels.
        mean: Channel means, of values in [0, 1].
        std: Channel deviations.

    Returns:
        float32 [N, 3, size, size].
    """
    images, centre, scale = torch.empty(len(frames), 3, size, size), torch.tensor(mean), torch.tensor(std)
    for image, frame in zip(images, frames, strict=True):  # one by one, in the cache; large ones would fill the memory
        whole = torch.from_numpy(np.ascontiguousarray(frame)[None]).permute(0, 3, 1, 2).float().div_(255.0)
        square = functional.interpolate(whole, (size, size), mode="bilinear", align_corners=False, antialias=False)[0]
        torch.sub(square, centre.view(3, 1, 1), out=image).div_(scale.view(3, 1, 1))
    return images


def frame_rule(name: OpenClipName, network: Any) -> FrameRule:
    """How frames are brought to a network: as its weights were trained, or squashed as published."""
    config = dict(getattr(network.visual, "preprocess_cfg", None) or {}) | _tag_config(name)
    size = _square(network.visual.image_size)
    levels: dict[str, Any] = {
        "mean": tuple(config.get("mean") or IMAGE_MEAN),
        "std": tuple(config.get("std") or IMAGE_STD),
    }
    if name.squash:
        return FrameRule(size=size, **levels)
    resize, interpolation = config.get("resize_mode") or "shortest", config.get("interpolation") or "bicubic"
    return FrameRule(size=size, **levels, resize=resize, interpolation=interpolation)


def _square(size: int | tuple[int, ...]) -> int:
    """Side of the square the network sees."""
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) > 1:
        raise ValueError(f"the network must see square images, got {sorted(sides)}; choose another")
    return sides.pop()


@dataclass(frozen=True)
class OpenClipModel:
    """A network with all that belongs to it."""

    network: Any
    """One of open_clip's, whose parts are known by their names alone."""
    tokenize: Tokenize
    frame_rule: FrameRule
    weights: str
    """sha256 of the weights, or `random`."""
    origin: WeightsOrigin | None = None
    """Where the weights came from; None of random ones."""


def load_open_clip(
    name: OpenClipName, *, checkpoint: str | Path | None = None, pin: str | None = None
) -> OpenClipModel:
    """Load a model.

    Args:
        name: Which.
        checkpoint: None fetches the weights from the hub (or finds them in its cache); a path is a file with the
            weights of that tag under open_clip's or OpenAI's names, beside which the tokenizer may lie where it is one
            of the hub's (tokenizer.json); `random` builds seeded random weights.
        pin: See `check_weights`.

    Raises:
        FileNotFoundError: No such checkpoint or folder.
        ValueError: The checkpoint is of another network, is damaged, is not the pinned one or visibly not the published
            one, or the network sees pictures that are not square.
        RuntimeError: The hub could not be reached.
    """
    if checkpoint == RANDOM:
        network = build_random(lambda: _build(name), str(name))
        return OpenClipModel(fused(network), _tokenizer(name, None), frame_rule(name, network), RANDOM)
    if name.model.startswith(_SCHEMES):
        _refuse_checkpoint(name, checkpoint)
        network, path = _build_from_folder(name)
    else:
        path = Path(checkpoint) if checkpoint is not None else _fetch(name)
        network = _fill(name, path, from_hub=checkpoint is None)
    state, fetched = network.state_dict(), checkpoint is None and not name.model.startswith(_LOCAL)
    weights = state_digest(state)
    known, whose = _known_digest(name, path), {"teacher": str(name), "role": "visual"}
    origin = check_weights(path, weights, **whose, pin=pin, known=known, fetched=fetched, state=state)
    tokenize = _tokenizer(name, path.parent)
    check_text(str(name), tokenize, network)
    return OpenClipModel(fused(network), tokenize, frame_rule(name, network), weights, origin)


def _refuse_checkpoint(name: OpenClipName, checkpoint: str | Path | None) -> None:
    """Refuse weights beside a name that says where they lie."""
    if checkpoint is not None:
        raise ValueError(f"{name}: its weights lie where its name says, got the checkpoint {checkpoint}; leave one out")


def fused(network: Any) -> Any:  # noqa: ANN401
    """A network whose convolutions that training has side by side are one each, in place: MobileCLIP's small ones.

    The same function to rounding (4e-8 of an embedding), on a CPU 1.4 times as fast for MobileCLIP2-S0.
    """
    if type(getattr(network.visual, "trunk", None)).__name__ == "FastVit":
        from timm.utils.model import reparameterize_model

        network.visual.trunk = reparameterize_model(network.visual.trunk, inplace=True)
    return network


def _known_digest(name: OpenClipName, path: Path) -> str | None:
    """sha256 of OpenAI's original archive, which open_clip's table has in its address."""
    found = re.search(r"/([0-9a-f]{64})/", _tag_config(name).get("url", ""))
    return found.group(1) if found and is_script(path) else None


def _build(name: OpenClipName) -> torch.nn.Module:
    """An unfilled network."""
    import open_clip

    with _without_its_own_log():
        if name.model.startswith(_SCHEMES):
            return open_clip.create_model(name.model, load_weights=False)
        return open_clip.create_model(name.model, pretrained=None, pretrained_text=False)


@contextmanager
def _without_its_own_log() -> Iterator[None]:
    """Keep open_clip from warning of random weights where they are wanted, or about to be filled in."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _fill(name: OpenClipName, path: Path, *, from_hub: bool) -> torch.nn.Module:
    """The network of a tag with the weights in a file."""
    import open_clip

    if from_hub:  # open_clip converts the older layouts among these
        network = _build(name)
        open_clip.load_checkpoint(network, str(path), strict=True, weights_only=True)
        return network
    state = clip_state(path)
    network = _build(name)
    if "text_projection" in state and hasattr(network, "text"):
        from open_clip.model import convert_to_custom_text_state_dict

        state = convert_to_custom_text_state_dict(state)
    load_exactly(network, state, str(path))
    return network


def clip_state(path: str | Path) -> dict[str, torch.Tensor]:
    """float32 state dict of a local CLIP checkpoint, without the size constants OpenAI stores among the weights."""
    constants = ("input_resolution", "context_length", "vocab_size")
    state = {name: tensor for name, tensor in read_state(path).items() if name not in constants}
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _fetch(name: OpenClipName) -> Path:
    """The file of a tag, from the hub or its cache."""
    from open_clip.pretrained import download_pretrained

    try:
        return Path(download_pretrained(_tag_config(name)))
    except Exception as error:  # hub, network and file errors share no base class
        raise unreachable(str(name), f"{name.model}/{name.tag}", error) from error


def _build_from_folder(name: OpenClipName) -> tuple[torch.nn.Module, Path]:
    """A network whose configuration lies beside its weights, and the file of these."""
    import open_clip

    scheme, _, place = name.model.partition(":")
    if scheme == "local-dir" and not Path(place).is_dir():
        raise FileNotFoundError(f"{place}: no such folder; give one with open_clip_config.json and the weights")
    try:
        with _without_its_own_log():
            network = open_clip.create_model(name.model, require_pretrained=True)
        if scheme == "hf-hub":
            return network, Path(open_clip.pretrained.download_pretrained_from_hf(place))
    except Exception as error:  # hub, network and file errors share no base class
        if scheme == "hf-hub":
            raise unreachable(str(name), name.model, error) from error
        return _fill_wrapped(name, Path(place), error)
    found = open_clip.factory._find_checkpoint_in_dir(Path(place))
    return network, Path(found)


def _fill_wrapped(name: OpenClipName, folder: Path, error: Exception) -> tuple[torch.nn.Module, Path]:
    """The network of a folder which open_clip could not fill, from weights as other training scripts save them."""
    import open_clip

    no_model = ValueError(f"{folder}: not a model folder of open_clip ({error}); it needs a config and weights")
    found = open_clip.factory._find_checkpoint_in_dir(folder)
    if not found:
        raise no_model from error
    try:
        return _fill(name, Path(found), from_hub=False), Path(found)
    except ValueError:  # says what was found
        raise
    except Exception:
        raise no_model from error


def _tokenizer(name: OpenClipName, folder: Path | None) -> Tokenize:
    """The tokenizer of a model.

    Args:
        name: Which model.
        folder: Where its weights lie, and perhaps its tokenizer; None of random weights, with which bytes stand for
            words where the tokenizer would have to be fetched.
    """
    import open_clip

    text = (open_clip.get_model_config(name.model) or {}).get("text_cfg", {})
    fetched = "hf_tokenizer_name" in text
    if fetched and folder is None:
        return _spell_bytes(text["context_length"])
    beside = folder is not None and (folder / "tokenizer.json").is_file()
    try:
        if fetched and beside:
            kwargs = text.get("tokenizer_kwargs", {})
            tokenizer = open_clip.tokenizer.HFTokenizer(str(folder), context_length=text["context_length"], **kwargs)
        else:
            tokenizer = open_clip.get_tokenizer(name.model)
    except Exception as error:  # hub, network and file errors share no base class
        raise unreachable(str(name), f"the tokenizer of {name.model}", error) from error
    return partial(whole_tokens, tokenizer)


def check_captions(name: OpenClipName, captions: list[str], place: Path | None) -> None:
    """Refuse captions that would be cut off, where the tokenizer is on this machine.

    Args:
        name: Which model.
        captions: As typed.
        place: Its weights; None where they are not here.

    Raises:
        ValueError: A file is given beside a name that says where the weights lie.
        LongCaptionError: A caption takes more tokens than the text tower reads.
    """
    import open_clip

    if name.model.startswith(_SCHEMES):
        _refuse_checkpoint(name, place)
        return
    text = (open_clip.get_model_config(name.model) or {}).get("text_cfg", {})
    if "hf_tokenizer_name" not in text or (place is not None and (place.parent / "tokenizer.json").is_file()):
        _tokenizer(name, None if place is None else place.parent)(captions)


def _spell_bytes(length: int) -> Tokenize:
    """A stand-in tokenizer whose tokens are bytes."""

    def tokenize(captions: list[str]) -> torch.Tensor:
        rows = [list(caption.encode("utf-8")[: length - 1]) for caption in captions]
        return torch.tensor([[*(byte + 2 for byte in row), 1, *[0] * (length - 1 - len(row))] for row in rows])

    return tokenize


class ClipTeacher:
    """A contrastive network whose captions are encoded once."""

    role = "visual"
    sample_rate = None

    def __init__(
        self,
        model: OpenClipModel,
        prompts: Prompts,
        *,
        architecture: str,
        name: str = "clip",
        precision: str = "float32",
    ) -> None:
        """Freeze the network and encode the captions, these in float32.

        Args:
            model: The network and what belongs to it.
            prompts: The captions of each class.
            architecture: What open_clip calls the network.
            name: What a store calls the teacher; label thresholds belong to it.
            precision: One of `PRECISIONS`.
        """
        self._device = chosen_device()
        self._network = network = model.network.eval().requires_grad_(False).to(self._device)
        self._frame_rule: FrameRule = model.frame_rule
        self._prompts = tuple(prompts)
        self._name, self._architecture, self._weights = name, architecture, model.weights
        self._precision = precision
        self.origin = model.origin
        self._tokenize = model.tokenize
        self._text = class_embeddings(self._read(all_captions(prompts)), prompts)  # [C, D]
        self._logit_scale = float(network.logit_scale.exp())
        bias = getattr(network, "logit_bias", None)
        self._logit_bias = 0.0 if bias is None else float(bias)
        cast_network(network.visual, precision)

    def _read(self, captions: list[str]) -> torch.Tensor:
        """Unit embeddings float32 [P, D] of captions."""
        with torch.inference_mode():
            tokens = self._tokenize(captions).to(self._device)
            return functional.normalize(self._network.encode_text(tokens), dim=-1)

    def encode_captions(self, captions: Sequence[str]) -> np.ndarray:
        """Other captions than those of the classes, float32 [P, D] of length 1."""
        return np.asarray(self._read(list(captions)).cpu().numpy())

    @property
    def class_vectors(self) -> np.ndarray:
        """What the captions say, float32 [C, D] of length 1, in the space of the embeddings."""
        vectors: np.ndarray = self._text.float().cpu().numpy()
        return vectors

    def identity(self) -> dict[str, object]:
        """See `Teacher.identity`."""
        return {
            "teacher": self._name,
            "architecture": self._architecture,
            "weights": self._weights,
            "prompts": as_json(self._prompts),
            "logit_scale": self._logit_scale,
            "logit_bias": self._logit_bias,
            "precision": self._precision,
            "preprocessing": str(self._frame_rule),
        }

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Embed the frames of all clips in one batch; feature `embedding` float32 [T, D] of length 1."""
        return self.judge_many(self.prepare_many(clips))

    def prepare_many(self, clips: Sequence[ClipMedia]) -> torch.Tensor:
        """Frames as the network takes them in, float32 [N, T, 3, size, size]."""
        frames = [frame for clip in clips for frame in stream_of(clip, "frames")]
        return self._frame_rule(frames).unflatten(0, (len(clips), -1))

    def judge_many(self, prepared: torch.Tensor) -> list[Evidence]:
        """See `encode_many`."""
        with torch.inference_mode():
            pictures = cast_input(prepared.flatten(0, 1).to(self._device), self._precision)
            embedding = functional.normalize(self._network.encode_image(pictures).float(), dim=-1)  # [N*T, D]
            similarity = embedding @ self._text.T  # [N*T, C]
        embeddings = embedding.cpu().numpy().reshape(len(prepared), -1, embedding.shape[-1])
        similarities = similarity.cpu().numpy().reshape(len(prepared), -1, len(self._prompts))
        return [Evidence({"embedding": row}, cosine) for row, cosine in zip(embeddings, similarities, strict=True)]

    def locate(self, frame: np.ndarray, directions: np.ndarray) -> PlaceMaps | None:
        """See `LocatingTeacher.locate`: the patches of a vision transformer."""
        pictures = cast_input(self._frame_rule(frame[None]).to(self._device), self._precision)
        patches = patch_embeddings(self._network.visual, pictures)
        if patches is None:
            return None
        values = np.einsum("rcp,ep->erc", patches[0].cpu().numpy(), directions)
        return PlaceMaps(values, PATCHES, seen_area(frame.shape, self._frame_rule.resize))

    def encode(self, media: ClipMedia) -> Evidence:
        """See `Teacher.encode`."""
        return self.encode_many([media])[0]

    of_whole_clips = ()

    def encode_segments(self, clip: ClipMedia) -> dict[str, np.ndarray]:
        """See `SegmentTeacher.encode_segments`."""
        return self.encode(clip).features

    def encode_wholes(self, clips: Sequence[ClipMedia]) -> list[dict[str, np.ndarray]]:
        """See `SegmentTeacher.encode_wholes`; there are none."""
        return [{} for _ in clips]

    @property
    def caption_embeddings(self) -> np.ndarray:
        """See `SearchedTeacher.caption_embeddings`."""
        return np.asarray(self._text.cpu().numpy())

    def among_captions(self, embedding: np.ndarray) -> np.ndarray:
        """See `SearchedTeacher.among_captions`; embeddings lie there already."""
        return unit_rows(embedding)


def build_clip(
    prompts: Prompts,
    *,
    name: OpenClipName = PRESET,
    checkpoint: str | Path | None = None,
    pin: str | None = None,
    precision: str = "float32",
) -> ClipTeacher:
    """Build a visual teacher through open_clip: the published one, ViT-L/14 with OpenAI's weights, or any other.

    Args:
        prompts: The captions of each class.
        name: Which model and weights.
        checkpoint: None fetches the weights from the hub (or finds them in its cache), a path loads a local state
            dict under open_clip's or OpenAI's own names, `random` builds seeded random weights.
        pin: sha256 the weights must have.
        precision: One of `PRECISIONS`.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: The checkpoint is of another network, not the pinned one, or cannot be loaded without executing
            code in it.
        RuntimeError: The hub could not be reached.
    """
    model = load_open_clip(name, checkpoint=checkpoint, pin=pin)
    teacher = "clip" if name == PRESET else str(name)
    architecture = f"open_clip {name.model}"
    return ClipTeacher(model, prompts, architecture=architecture, name=teacher, precision=precision)
