"""Torch files read without running anything they name: training checkpoints, and the weights of TorchScript archives.

torch's own safe loader reads neither LAION's files (pickle protocol 4 with numpy numbers in it) nor OpenAI's
(TorchScript); here every name in a file stands for one of our own functions, and an unknown name ends the reading.
"""

import ast
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch


def read_plain_pickle(path: Path) -> object:
    """Plain contents of a zip file written by `torch.save`, tensors included.

    Raises:
        pickle.UnpicklingError: The file names something that is neither a tensor nor a plain value.
    """
    with zipfile.ZipFile(path) as archive:
        return _PlainUnpickler(archive).load()


def read_script_weights(path: Path) -> dict[str, torch.Tensor]:
    """Parameters and buffers of a TorchScript archive by their state-dict names; its code is not run.

    Raises:
        pickle.UnpicklingError: The file names something unknown.
        ValueError: It holds no module.
    """
    with zipfile.ZipFile(path) as archive:
        module = _ScriptUnpickler(archive).load()
        if not isinstance(module, _ScriptModule):
            raise ValueError(f"expected a module in the archive, got {type(module).__name__}")
        return dict(_weights(module, archive, ""))


def is_script(path: Path) -> bool:
    """Whether a file is a TorchScript archive."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


class _Ignored:
    """Stands in for a value nobody needs: takes anything, does nothing."""

    def __init__(self, *_: object) -> None:
        """Forget the value."""

    def __setstate__(self, _: object) -> None:
        """Forget the state."""


class _ScriptModule:
    """A module of a TorchScript archive: its attributes and nothing else."""

    kind = ""

    def __setstate__(self, state: dict) -> None:
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


def _rebuild_tensor(storage: torch.Tensor, offset: int, size: tuple, stride: tuple, *_: object) -> torch.Tensor:
    """A tensor on its storage; torch checks that it stays within."""
    return torch.as_strided(storage, size, stride, offset)


def _rebuild_parameter(tensor: torch.Tensor, *_: object) -> torch.Tensor:
    """The tensor of a parameter."""
    return tensor


_NUMPY_NUMBERS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype", "_codecs.encode")
_SCRIPT_VALUES = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
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
