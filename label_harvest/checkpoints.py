"""Weight files of the real teachers: read without executing anything in them, named by what they hold."""

import hashlib
import logging
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch

from .evidence import TeacherUnavailableError

logger = logging.getLogger(__name__)

RANDOM = "random"
"""The word in place of a path that asks for seeded random weights."""
RANDOM_SEED = 0
"""Seed of random weights."""

Built = TypeVar("Built")


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict from `.safetensors`, or from a pickle file whose contents are tensors and plain values only.

    Wrappers of training scripts are taken off: a `state_dict` entry and the prefix `module.`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is neither, is damaged, or would have to execute code to load (a TorchScript archive, such
            as OpenAI publishes, or a pickle of arbitrary objects).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint; give a .safetensors or .pt file")
    try:
        state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except Exception as error:  # the loaders raise whatever the bytes lead them to; all of it means one thing
        raise ValueError(
            f"{path}: not loadable without executing code in it ({_first_line(error)}); convert it once, "
            "where you trust it: safetensors.torch.save_file(torch.jit.load(path).state_dict(), 'weights.safetensors') "
            "for a TorchScript archive"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    named = state.items() if isinstance(state, dict) else ()
    tensors = {name.removeprefix("module."): value for name, value in named if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ValueError(f"{path}: expected a state dict of tensors, got {type(state).__name__} without any")
    return tensors


def state_digest(state: Mapping[str, torch.Tensor]) -> str:
    """sha256 over names, types, shapes and values of a state dict: the same weights in another file have the same."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()


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

    LAION's files were written with pickle protocol 4 and hold numpy numbers; torch's safe loader reads neither.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        with zipfile.ZipFile(path) as archive:
            return _PlainUnpickler(archive).load()


class _Ignored:
    """Stands in for a numpy number beside the weights: takes anything, does nothing."""

    def __init__(self, *_: object) -> None:
        """Forget the value."""

    def __setstate__(self, _: object) -> None:
        """Forget the state."""


_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
"""Element types by the name a torch file gives their storage."""


def _rebuild_tensor(storage: torch.Tensor, offset: int, size: tuple, stride: tuple, *_: object) -> torch.Tensor:
    """A tensor on its storage; torch checks that it stays within."""
    return torch.as_strided(storage, size, stride, offset)


def _rebuild_parameter(tensor: torch.Tensor, *_: object) -> torch.Tensor:
    """The tensor of a parameter."""
    return tensor


_NUMPY_NUMBERS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype", "_codecs.encode")
_CALLABLES = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    **dict.fromkeys(_NUMPY_NUMBERS, _Ignored),
    **{f"torch.{name}": dtype for name, dtype in _DTYPES.items()},
}
"""All that a checkpoint may name; every one of them is ours or a plain container."""


class _PlainUnpickler(pickle.Unpickler):
    """Reads a torch zip file in which nothing but `_CALLABLES` may be named, so that no foreign code can run."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        """Open the pickle inside the archive."""
        index = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        super().__init__(archive.open(index))
        self._archive, self._folder = archive, index.removesuffix("data.pkl")
        self._storages: dict[str, torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> object:
        """What a name in the file stands for; an unknown one ends the reading."""
        if f"{module}.{name}" not in _CALLABLES:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _CALLABLES[f"{module}.{name}"]

    def persistent_load(self, reference: tuple) -> torch.Tensor:
        """The flat tensor of one storage."""
        _, dtype, key, *_ = reference
        if key not in self._storages:
            data = bytearray(self._archive.read(f"{self._folder}data/{key}"))
            self._storages[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return self._storages[key]


def _first_line(error: BaseException) -> str:
    """What happened, without the pages some libraries add."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:400]}"
