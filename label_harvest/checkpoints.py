"""Weight files of the real teachers: read without executing anything in them, named by what they hold."""

import hashlib
import logging
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch

from .evidence import TeacherUnavailableError
from .plain_pickle import is_script, read_plain_pickle, read_script_weights
from .published_weights import WeightsOrigin, check_trained, published_file

logger = logging.getLogger(__name__)

RANDOM = "random"
"""The word in place of a path that asks for seeded random weights."""
RANDOM_SEED = 0
"""Seed of random weights."""
_AGAIN = "fetch the file again"

Built = TypeVar("Built")


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict from `.safetensors`, a torch file of tensors and plain values, or a TorchScript archive.

    Wrappers of training scripts are taken off: a `state_dict` entry and the prefix `module.`. Nothing in a file is run.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is none of these, is empty, cut off or damaged, or would have to execute code to load (a
            pickle of arbitrary objects).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint; give a .safetensors or .pt file")
    _check_whole(path)
    try:
        state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except Exception as error:  # the loaders raise whatever the bytes lead them to; all of it means one of two things
        if _is_broken(error):
            raise ValueError(f"{path}: the file is cut off or damaged ({_first_line(error)}); {_AGAIN}") from error
        raise ValueError(
            f"{path}: not loadable without executing code in it ({_first_line(error)}); convert it once, "
            "where you trust it: safetensors.torch.save_file(state_dict, 'weights.safetensors')"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    named = state.items() if isinstance(state, dict) else ()
    tensors = {name.removeprefix("module."): value for name, value in named if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ValueError(f"{path}: expected a state dict of tensors, got {type(state).__name__} without any")
    return tensors


def _check_whole(path: Path) -> None:
    """Refuse what a broken download leaves; no loader says so in words."""
    size = path.stat().st_size
    if not size:
        raise ValueError(f"{path}: the file is empty; {_AGAIN}")
    with path.open("rb") as file:
        begins_as_zip = file.read(4) == b"PK\x03\x04"
    if begins_as_zip and not zipfile.is_zipfile(path):  # the list of contents is at the end
        raise ValueError(f"{path}: the file is cut off after {size} bytes; {_AGAIN}")


def _is_broken(error: Exception) -> bool:
    """Whether a loader failed for want of bytes, or at a file that could not hold code in the first place."""
    from safetensors import SafetensorError

    return isinstance(error, EOFError | IndexError | SafetensorError) or "unexpected EOF" in str(error)


def state_digest(state: Mapping[str, torch.Tensor]) -> str:
    """sha256 over names, types, shapes and values of a state dict: the same weights in another file have the same."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
        role: What `--sha256` calls that teacher.
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
    digest = file_digest(path)
    should_be = known or _hub_digest(path)
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


def _hub_digest(path: Path) -> str | None:
    """sha256 a file should have by its place in the hub's cache."""
    blob = path.resolve()
    return blob.name if blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name) else None


def _tell(origin: WeightsOrigin, teacher: str, role: str) -> None:
    """Name the weights, aloud where nothing vouches for them."""
    if origin.checked != "unverified":
        checked = "as published" if origin.checked == "known" else "as asked for"
        logger.info("%s: weights %s, file sha256 %s (%s)", origin.file, origin.weights, origin.file_sha256, checked)
        return
    logger.warning(
        "%s: UNVERIFIED weights for %s: no published sha256 is known to be theirs, and published thresholds and scores "
        "are not for others. The file has sha256 %s; if it is the one you mean, valor harvest --sha256 %s=%s pins it",
        origin.file,
        teacher or "a teacher",
        origin.file_sha256,
        role,
        origin.weights,
    )


def load_exactly(network: torch.nn.Module, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Fill a network, every tensor of it and nothing else.

    Raises:
        ValueError: A tensor is missing, left over, or has another shape.
    """
    expected = network.state_dict()
    missing, extra = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    reshaped = [name for name in expected.keys() & state.keys() if expected[name].shape != state[name].shape]
    if missing or extra or reshaped:
        raise ValueError(
            f"{source}: not the weights of this network: {len(missing)} tensors missing {missing[:3]}, "
            f"{len(extra)} left over {extra[:3]}, {len(reshaped)} of another shape {sorted(reshaped)[:3]}; "
            "give the checkpoint the teacher is named after"
        )
    network.load_state_dict(dict(state))


def build_random(build: Callable[[], Built], teacher: str) -> Built:
    """Build a network with seeded random weights, leaving the caller's random numbers alone, and warn."""
    logger.warning("%s has RANDOM weights: good for trying out speed and plumbing, its labels mean nothing", teacher)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        return build()


def unreachable(teacher: str, wanted: str, error: BaseException) -> TeacherUnavailableError:
    """The error of a teacher whose weights are neither cached nor to be had."""
    return TeacherUnavailableError(
        f"{teacher}: {wanted} is not cached here and could not be fetched ({_first_line(error)}); connect once to fill "
        "the cache, or give a local file with --checkpoint ROLE=PATH (or ROLE=random to try out the plumbing)"
    )


def _read_safetensors(path: Path) -> dict:
    """State dict of a safetensors file."""
    from safetensors.torch import load_file

    return load_file(path)


def _read_pickle(path: Path) -> dict:
    """Plain contents of a torch file, by torch's own safe loader or, where that gives up, by ours.

    LAION's files were written with pickle protocol 4 and hold numpy numbers, OpenAI's are TorchScript archives; torch's
    safe loader reads neither.
    """
    if is_script(path):
        return read_script_weights(path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of something that is no torch file, the safe loader raises whatever the bytes lead to
        if zipfile.is_zipfile(path) and isinstance(error, pickle.UnpicklingError):
            return read_plain_pickle(path)
        if zipfile.is_zipfile(path) or _is_broken(error):
            raise
        raise pickle.UnpicklingError("it is a bare pickle or something else, not a file of torch.save") from error


def _first_line(error: BaseException) -> str:
    """What happened, without the pages some libraries add."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:400]}"
