"""Weights of teachers: files read without running anything in them.

torch's own safe loader reads neither LAION's files (pickle protocol 4 with numpy numbers in it) nor OpenAI's
(TorchScript). Where it gives up, every name in a file stands for one of our own functions, and an unknown name ends the
reading.
"""

import ast
import hashlib
import logging
import pickle
import re
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..arrays import opened_zip
from .teacher import TeacherUnavailableError

logger = logging.getLogger(__name__)

RANDOM = "random"
"""The word in place of a path that asks for seeded random weights."""
RANDOM_SEED = 0
"""Seed of random weights."""
_AGAIN = "fetch the file again"
_MOST_UNPACKED = 8
"""Unpacked over packed size of a torch file, and its tensors over its own; torch packs none, weights hardly shrink."""
Built = TypeVar("Built")


def read_state(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a state dict from `.safetensors`, a torch file of tensors and plain values, or a TorchScript archive.

    What training scripts wrap around the weights is taken off, see `unwrapped`. Nothing in a file is run.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is none of these, is empty, cut off or damaged, would have to execute code to load (a
            pickle of arbitrary objects), or holds several sets of weights.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint; give a .safetensors or .pt file")
    _check_whole(path)
    try:
        state: Any = load_file(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except Exception as error:  # the loaders raise whatever the bytes lead them to; all of it means one of two things
        if _is_broken(error):
            raise ValueError(f"{path}: the file is cut off or damaged ({_first_line(error)}); {_AGAIN}") from error
        raise ValueError(
            f"{path}: not loadable without executing code in it ({_first_line(error)}); convert it once, "
            "where you trust it: safetensors.torch.save_file(state_dict, 'weights.safetensors')"
        ) from error
    try:
        tensors = unwrapped(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    size, claimed = path.stat().st_size, sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if claimed > _MOST_UNPACKED * size:  # one element may be shown a billion times
        raise ValueError(f"{path}: the file has {size:,} bytes and its tensors claim {claimed:,}; {_AGAIN}")
    return tensors


_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights")
"""Under one of these keys training scripts keep the weights, beside epochs, optimisers and the like."""
_LIGHTNING = "pytorch-lightning_version"
"""Key of a checkpoint of Lightning, in which the network is one attribute of a module beside losses and metrics."""
_AVERAGED = "n_averaged"
"""Counter that torch's AveragedModel keeps beside the network."""


def unwrapped(loaded: object) -> dict[str, torch.Tensor]:
    """The weights of a network as a training script saved them: tensors under the names the network itself gives.

    Taken off are entries that hold the weights (`_WRAPPERS`), one in another too, the prefixes `module.` (DataParallel,
    AveragedModel) and `model.` (Lightning), and `_orig_mod.` of torch.compile, which may stand within a name.

    Args:
        loaded: What was in the file.

    Raises:
        ValueError: There are no tensors, several sets of them, or two of one name.

    >>> sorted(unwrapped({"epoch": 3, "state_dict": {"module._orig_mod.fc.bias": torch.zeros(2)}}))
    ['fc.bias']
    """
    state, in_lightning = loaded, False
    while isinstance(state, dict):
        in_lightning |= _LIGHTNING in state
        held = [key for key in _WRAPPERS if _holds_tensors(state.get(key))]
        if len(held) > 1:
            raise ValueError(f"holds weights under {' and '.join(held)}; save the ones that are meant alone")
        if not held:
            break
        state = state[held[0]]
    named = state.items() if isinstance(state, dict) else ()
    tensors = {str(name): value for name, value in named if isinstance(value, torch.Tensor)}
    if not tensors:
        keys = f"; its keys are {', '.join(str(key) for key in state):.200}" if isinstance(state, dict) else ""
        raise ValueError(f"expected a state dict of tensors, got {type(state).__name__} without any{keys}")
    while (shorter := _without_prefix(tensors, in_lightning=in_lightning)) is not None:
        tensors = shorter
    return tensors


def _holds_tensors(value: object) -> bool:
    """Whether there is a tensor in a dict, or in one within it."""
    held = value.values() if isinstance(value, dict) else ()
    return any(isinstance(inner, torch.Tensor) or _holds_tensors(inner) for inner in held)


def _without_prefix(tensors: Mapping[str, torch.Tensor], *, in_lightning: bool) -> dict[str, torch.Tensor] | None:
    """The tensors without one wrapper of their names; None where there is none."""
    if any("_orig_mod." in name for name in tensors):
        renamed = [(re.sub(r"(^|\.)_orig_mod\.", r"\1", name), tensor) for name, tensor in tensors.items()]
    elif any(name.startswith("module.") for name in tensors):
        renamed = [(name.removeprefix("module."), t) for name, t in tensors.items() if name != _AVERAGED]
    elif all(name.startswith("model.") for name in tensors):
        renamed = [(name.removeprefix("model."), tensor) for name, tensor in tensors.items()]
    elif in_lightning and any(
        name.startswith("model.") for name in tensors
    ):  # what is beside it are losses and metrics
        renamed = [(name.removeprefix("model."), t) for name, t in tensors.items() if name.startswith("model.")]
    else:
        return None
    if len({name for name, _ in renamed}) < len(renamed):
        twice = next(name for name, times in Counter(name for name, _ in renamed).items() if times > 1)
        raise ValueError(f"holds two tensors that are both {twice} without their prefix; save one network alone")
    return dict(renamed)


def _check_whole(path: Path) -> None:
    """Refuse what a broken download leaves, which no loader says in words, and archives that claim to hold far more."""
    size = path.stat().st_size
    if not size:
        raise ValueError(f"{path}: the file is empty; {_AGAIN}")
    with path.open("rb") as file:
        begins_as_zip = file.read(4) == b"PK\x03\x04"
    if begins_as_zip and not zipfile.is_zipfile(path):  # the list of contents is at the end
        raise ValueError(f"{path}: the file is cut off after {size} bytes; {_AGAIN}")
    if begins_as_zip:
        try:
            with opened_zip(path) as archive:
                claimed = sum(info.file_size for info in archive.infolist())
                twice = len(set(archive.namelist())) < len(archive.namelist())
                if claimed > _MOST_UNPACKED * size or twice:
                    what = "holds two parts of one name" if twice else f"has {size:,} bytes and claims {claimed:,}"
                    raise ValueError(f"{path}: the file {what}; {_AGAIN}")
                if damaged := archive.testzip():  # which no loader looks at
                    raise ValueError(f"{path}: the checksum of its part {damaged:.80} differs, it is damaged; {_AGAIN}")
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path}: the file is cut off or damaged ({_first_line(error)}); {_AGAIN}") from error


def _read_pickle(path: Path) -> object:
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


def _is_broken(error: Exception) -> bool:
    """Whether a loader failed for want of bytes, or at a file that could not hold code in the first place."""
    return isinstance(error, EOFError | IndexError | SafetensorError) or "unexpected EOF" in str(error)


def _first_line(error: BaseException) -> str:
    """What happened, without the pages some libraries add."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:400]}"


class _Ignored:
    """Stands in for a value nobody needs: takes anything, does nothing."""

    def __init__(self, *_: object) -> None:
        """Forget the value."""

    def __setstate__(self, _: object) -> None:
        """Forget the state."""


class _ScriptModule:
    """A module of a TorchScript archive: its attributes and nothing else."""

    kind = ""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Keep the attributes."""
        self.held = dict(state)


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


def _rebuild_tensor(
    storage: torch.Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> torch.Tensor:
    """A tensor on its storage; torch checks that it stays within."""
    return torch.as_strided(storage, size, stride, offset)


_NUMPY_NUMBERS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype", "_codecs.encode")
_SCRIPT_VALUES = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
_CALLABLES = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    **dict.fromkeys(_NUMPY_NUMBERS, _Ignored),
    **{f"torch.{name}": dtype for name, dtype in _DTYPES.items()},
}
"""All that a checkpoint may name; every one of them is ours or a plain container."""


def read_plain_pickle(path: Path) -> object:
    """Plain contents of a zip file written by `torch.save`, tensors included.

    Raises:
        pickle.UnpicklingError: The file names something that is neither a tensor nor a plain value.
    """
    with opened_zip(path) as archive:
        return _PlainUnpickler(archive).load()


def read_script_weights(path: Path) -> dict[str, torch.Tensor]:
    """Parameters and buffers of a TorchScript archive by their state-dict names; its code is not run.

    Raises:
        pickle.UnpicklingError: The file names something unknown.
        ValueError: It holds no module.
    """
    with opened_zip(path) as archive:
        module = _ScriptUnpickler(archive).load()
        if not isinstance(module, _ScriptModule):
            raise ValueError(f"expected a module in the archive, got {type(module).__name__}")
        return dict(_weights(module, archive, ""))


def is_script(path: Path) -> bool:
    """Whether a file is a TorchScript archive."""
    if not zipfile.is_zipfile(path):
        return False
    with opened_zip(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


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

    def persistent_load(self, reference: tuple[Any, ...]) -> torch.Tensor:
        """The flat tensor of one storage."""
        _, dtype, key, *_ = reference
        if key not in self._storages:
            data = bytearray(self._archive.read(f"{self._folder}data/{key}"))
            self._storages[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return self._storages[key]


class _ScriptUnpickler(_PlainUnpickler):
    """The same for TorchScript, whose own classes become bare `_ScriptModule`s."""

    def find_class(self, module: str, name: str) -> object:
        """What a name in the file stands for."""
        if module == "__torch__" or module.startswith("__torch__."):
            return type(name, (_ScriptModule,), {"kind": f"{module}.{name}"})
        if module == "torch.jit._pickle" and name in _SCRIPT_VALUES:
            return _Ignored
        return super().find_class(module, name)


def _weights(module: _ScriptModule, archive: zipfile.ZipFile, prefix: str) -> list[tuple[str, torch.Tensor]]:
    """(name, tensor) of a module and those inside it; other tensors it holds, such as masks, are no weights."""
    own, found = _declared(module.kind, archive), []
    for name, value in module.held.items():
        if isinstance(value, _ScriptModule):
            found += _weights(value, archive, f"{prefix}{name}.")
        elif isinstance(value, torch.Tensor) and name in own:
            found.append((prefix + name, value))
    return found


def _declared(kind: str, archive: zipfile.ZipFile) -> set[str]:
    """Names that the source of a class, read as text, declares as parameters and buffers."""
    home, _, name = kind.rpartition(".")
    root = next(entry for entry in archive.namelist() if entry.endswith("/data.pkl")).removesuffix("data.pkl")
    source = archive.read(f"{root}code/{home.replace('.', '/')}.py").decode("utf-8")
    match = re.search(rf"^class {re.escape(name)}\(Module\):\n(.*?)(?=^class |\Z)", source, re.MULTILINE | re.DOTALL)
    lists = re.findall(r"^  __(?:parameters|buffers)__ = (\[.*?\])$", match.group(1) if match else "", re.MULTILINE)
    return {entry for text in lists for entry in ast.literal_eval(text)}


def state_digest(state: Mapping[str, torch.Tensor]) -> str:
    """sha256 over names, types, shapes and values of a state dict: the same weights in another file have the same."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
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
        "the cache, or give a local file with `checkpoints` ROLE=PATH (or ROLE=random to try out the plumbing)"
    )
