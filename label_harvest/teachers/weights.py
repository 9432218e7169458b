"""Weights of teachers: files read without running anything in them, and what vouches for what they hold.

torch's own safe loader reads neither LAION's files (pickle protocol 4 with numpy numbers in it) nor OpenAI's
(TorchScript). Where it gives up, every name in a file stands for one of our own functions, and an unknown name ends the
reading.

A sha256 stands here only where it is published: OpenAI's is part of each download address, the others are pinned by
several independent public repositories (of LAION's files, 630k-fusion is in none that could be found, so the audio
preset is told apart by its name and by what its weights show).

What weights show catches untrained networks and most of other people's training. It cannot tell GELU from QuickGELU:
both fit the same tensors, so only the name of a model decides it, and weights of another training that were stored in
half precision with a scale of 100 would pass for OpenAI's. Only a sha256 settles that.
"""

import ast
import hashlib
import logging
import math
import pickle
import re
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..disk import file_sha256
from .teacher import TeacherUnavailableError

logger = logging.getLogger(__name__)

RANDOM = "random"
"""The word in place of a path that asks for seeded random weights."""
RANDOM_SEED = 0
"""Seed of random weights."""
_AGAIN = "fetch the file again"
_MOST_UNPACKED = 8
"""Unpacked over packed size of a torch file; torch packs none of it, and weights hardly get smaller."""
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
        return unwrapped(state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


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
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:  # what is wrong with it, its loader says
            claimed = sum(info.file_size for info in archive.infolist())
            twice = len(set(archive.namelist())) < len(archive.namelist())
            if claimed > _MOST_UNPACKED * size or twice:
                what = "holds two parts of one name" if twice else f"has {size:,} bytes and claims {claimed:,}"
                raise ValueError(f"{path}: the file {what}; {_AGAIN}")
            if damaged := archive.testzip():  # which no loader looks at
                raise ValueError(f"{path}: the checksum of its part {damaged:.80} differs, it is damaged; {_AGAIN}")


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
