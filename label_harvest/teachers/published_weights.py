"""Which weights are the published ones: their names, files and checksums, and what only trained weights show.

A sha256 stands here only where it is published: OpenAI's is part of each download address, the others are pinned by
several independent public repositories (of LAION's files, 630k-fusion is in none that could be found, so the audio
preset is told apart by its name and by what its weights show).

What weights show catches untrained networks and most of other people's training. It cannot tell GELU from QuickGELU:
both fit the same tensors, so only the name of a model decides it, and weights of another training that were stored in
half precision with a scale of 100 would pass for OpenAI's. Only a sha256 settles that.
"""

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ..disk import file_sha256

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedFile:
    """A file of weights whose sha256 is published."""

    teacher: str
    """The name that stands for it."""
    file: str
    where: str
    """Where it is published."""


_OPENAI = {
    "RN50": ("RN50-quickgelu", "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762"),
    "RN101": ("RN101-quickgelu", "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599"),
    "RN50x4": ("RN50x4-quickgelu", "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd"),
    "RN50x16": ("RN50x16-quickgelu", "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa"),
    "RN50x64": ("RN50x64-quickgelu", "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c"),
    "ViT-B-32": ("ViT-B-32-quickgelu", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
    "ViT-B-16": ("ViT-B-16-quickgelu", "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
    "ViT-L-14": ("ViT-L-14-quickgelu", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
    "ViT-L-14-336px": ("ViT-L-14-336-quickgelu", "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"),
}
"""OpenAI's archives: (model of open_clip, sha256 from the address the archive is fetched from)."""
_HUB = "huggingface.co/"
PUBLISHED_FILES: dict[str, PublishedFile] = {
    **{
        sha256: PublishedFile(f"open_clip:{model}/openai", f"{file}.pt", "openaipublic.azureedge.net/clip/models")
        for file, (model, sha256) in _OPENAI.items()
    },
    "9ce2e8a8ebfff3793d7d375ad6d3c35cb9aebf3de7ace0fc7308accab7cd207e": PublishedFile(
        "open_clip:ViT-L-14-quickgelu/openai",
        "open_clip_model.safetensors",
        f"{_HUB}timm/vit_large_patch14_clip_224.openai at 18d0535",
    ),
    "8053c9775516af2f4902e1e8281e356cc1bf7a85e8b761908170767b77c3f037": PublishedFile(
        "laion:630k-audioset", "630k-audioset-best.pt", f"{_HUB}lukewys/laion_clap at b370834"
    ),
    "fae3e9c087f2909c28a09dc31c8dfcdacbc42ba44c70e972b58c1bd1caf6dedd": PublishedFile(
        "laion:music-audioset", "music_audioset_epoch_15_esc_90.14.pt", f"{_HUB}lukewys/laion_clap at b370834"
    ),
    "3f648de6d030e17494be455d323b8d191233fbae0c7ce0ba745fd21a926a63a6": PublishedFile(
        "hf:laion/clap-htsat-fused", "model.safetensors", f"{_HUB}laion/clap-htsat-fused at 365dea6"
    ),
}
"""Published files by their sha256."""
_PUBLISHED_NAMES = ("open_clip:", "laion:")
"""Names that promise published weights; `hf:FOLDER` and `open_clip:local-dir:` promise those of a folder."""
_FOLDERS = ("open_clip:hf-hub:", "open_clip:local-dir:")


def promises_published(teacher: str) -> bool:
    """Whether the name of a teacher stands for published weights rather than for those of a folder."""
    return teacher.startswith(_PUBLISHED_NAMES) and not teacher.startswith(_FOLDERS)


def published_file(teacher: str, sha256: str) -> PublishedFile | None:
    """The published file of this sha256, where there is one.

    Args:
        teacher: Whose weights it should hold, as typed.
        sha256: Of the whole file.

    Raises:
        ValueError: It is a published file of other weights than the name promises.
    """
    found = PUBLISHED_FILES.get(sha256)
    if found and promises_published(teacher) and found.teacher != teacher.removesuffix("@squash"):
        raise ValueError(
            f"{teacher}: the file is {found.file} of {found.where}, whose weights are those of {found.teacher}; "
            "ask for that teacher, or give the file of this one"
        )
    return found


@dataclass(frozen=True)
class WeightsOrigin:
    """Where the weights of a teacher came from; belongs beside the fingerprint of a store, never in it.

    The same weights, pinned or not, give the same evidence.
    """

    file: str
    """Name of the file."""
    file_sha256: str
    weights: str
    """sha256 of the weights, as the identity of the teacher has it."""
    checked: str
    """`known` (a published file), `pinned` (what the user asked for) or `unverified`."""


def check_weights(
    path: Path,
    weights: str,
    *,
    teacher: str = "",
    role: str = "ROLE",
    pin: str | None = None,
    known: str | None = None,
    fetched: bool = False,
    state: Mapping[str, torch.Tensor] | None = None,
) -> WeightsOrigin:
    """Say which weights were read, refuse others than were asked for or should be there, and warn of unknown ones.

    A file in the hub's cache is named by its sha256, and is checked against its own name.

    Args:
        path: The file they were read from.
        weights: Their `state_digest`.
        teacher: Whose they should be, as typed.
        role: The role of that teacher.
        pin: What the caller wants, the `state_digest` or the sha256 of the file, at least 12 digits of it.
        known: sha256 of the published file (or its first digits), where that is known and the file claims to be it.
        fetched: Whether the file was fetched from where the teacher's name says it is published.
        state: The weights, of a file that is not known to be looked at with `check_trained`; None does not look.

    Returns:
        Where they came from, and whether that is known.

    Raises:
        ValueError: The pin is no hash, or the weights are others or show that they are.
    """
    if pin is not None and not re.fullmatch(r"[0-9a-f]{12,64}", pin.lower()):
        raise ValueError(f"the sha256 of weights must be 12 to 64 hexadecimal digits, got {pin!r}")
    digest = file_sha256(path)
    blob = path.resolve()
    in_cache = blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name)
    should_be = known or (blob.name if in_cache else None)
    if should_be and not digest.startswith(should_be):
        raise ValueError(f"{path}: the file must have sha256 {should_be}, got {digest}; it is damaged, fetch it again")
    if pin is not None and not (weights.startswith(pin.lower()) or digest.startswith(pin.lower())):
        raise ValueError(
            f"{path}: wanted weights of sha256 {pin}, got {weights} (the file: {digest}); give the checkpoint that was "
            "asked for, or ask for this one"
        )
    published = published_file(teacher, digest)
    checked = "known" if published or known or fetched else "pinned" if pin else "unverified"
    if checked != "known" and state is not None:
        check_trained(teacher, state)
    origin = WeightsOrigin(path.name, digest, weights, checked)
    _tell(origin, teacher, role)
    return origin


def _tell(origin: WeightsOrigin, teacher: str, role: str) -> None:
    """Name the weights, aloud where nothing vouches for them."""
    if origin.checked != "unverified":
        checked = "as published" if origin.checked == "known" else "as asked for"
        logger.info("%s: weights %s, file sha256 %s (%s)", origin.file, origin.weights, origin.file_sha256, checked)
        return
    logger.warning(
        "%s: UNVERIFIED weights for %s: no published sha256 is known to be theirs, and published thresholds and scores "
        "are not for others. The file has sha256 %s; if it is the one you mean, harvest with `pins` %s=%s",
        origin.file,
        teacher or "a teacher",
        origin.file_sha256,
        role,
        origin.weights,
    )


_FIRST_SCALE = 1 / 0.07
"""Logit scale before the first step of training, in CLIP and in CLAP."""
_OPENAI_SCALE, _OPENAI_SLACK = 100.0, 0.1
"""Logit scale of every published model of OpenAI, which was cut off there; half precision rounds it to 100.03."""


def check_trained(teacher: str, state: Mapping[str, torch.Tensor]) -> None:
    """Refuse weights that are visibly not the published ones their teacher is named after.

    What is asked of them: a logit scale of 100 and matrices that half precision holds exactly (OpenAI's), a logit scale
    that has left its first value and is at most 100, and batch statistics that were ever updated (LAION's).

    Args:
        teacher: Its name as typed; of names that promise nothing published, nothing is asked.
        state: Tensors by name, as the network holds them.

    Raises:
        ValueError: They show that they are others.

    Source:
        OpenAI: CLIP paper, section 2.5 (the scale is clipped at 100) and github.com/mlfoundations/open_clip/issues/541
        (it ends there); `convert_weights` of openai/CLIP (stored in half precision). LAION: `training/train.py` of
        laion_clap (the scale is learned and clipped at 100) and github.com/LAION-AI/CLAP/issues/115 (it is
        `logit_scale_a` that both directions share).
    """
    if teacher.startswith("laion:"):
        trouble = _laion_trouble(state)
    elif promises_published(teacher) and teacher.removesuffix("@squash").endswith("/openai"):
        trouble = _openai_trouble(state)
    else:
        return
    if trouble:
        other = "hf:FOLDER" if teacher.startswith("laion:") else "open_clip:local-dir:FOLDER"
        raise ValueError(
            f"{teacher}: these are not the published weights: {trouble}; give the published file, or name weights of "
            f"your own by their folder, {other}"
        )


def _openai_trouble(state: Mapping[str, torch.Tensor]) -> str:
    """What OpenAI's published weights would show otherwise, or nothing."""
    scale = math.exp(float(state["logit_scale"]))
    if abs(scale - _OPENAI_SCALE) > _OPENAI_SLACK:
        return f"their logit scale is {scale:.2f}, OpenAI's is {_OPENAI_SCALE:.2f}"
    for name, tensor in state.items():
        matrix = name.endswith((".mlp.c_fc.weight", ".conv1.weight"))
        if matrix and bool((tensor.half().to(tensor.dtype) != tensor).any()):
            return f"{name} holds values finer than the half precision OpenAI's are stored in"
    return ""


def _laion_trouble(state: Mapping[str, torch.Tensor]) -> str:
    """What LAION's published weights would show otherwise, or nothing."""
    scale = math.exp(float(state["logit_scale_a"]))
    if not 1 <= scale <= 100.01 or math.isclose(scale, _FIRST_SCALE, rel_tol=1e-4):
        return f"their logit scale is {scale:.4f}; after training it is from 1 to 100 and no longer {_FIRST_SCALE:.4f}"
    mean, variance = (state[f"audio_model.audio_encoder.batch_norm.running_{what}"] for what in ("mean", "var"))
    if bool((mean == 0).all()) and bool((variance == 1).all()):
        return "the statistics of their spectrograms were never updated, so the network is untrained"
    return ""
