"""Checkpoints: weights in safetensors, all else as JSON in its header; never pickled.

Two kinds are in a run folder. `best.safetensors` describes itself, so that a parser is built from it alone;
`last.safetensors` is the point a stopped run goes on from: weights, optimiser, random generators and progress.
"""

import hashlib
import json
import logging
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from valor.data.own_files import note_own
from valor.label_harvest.disk import file_sha256, replaced
from valor.label_harvest.strict_json import loads
from valor.parsers.build import build_parser, options_of
from valor.parsers.hybrid import HybridParser
from valor.parsers.options import ParserOptions

from .methods.methods import METHODS, NOTHING_OWN, Methods, OwnParts, from_old_names
from .options import FitOptions
from .run_folder import BEST, RECIPE, refuse_several_seeds

_LOG = logging.getLogger(__name__)

FORMAT_VERSION = 1
_HEADER = "valor"
_CHECKSUM = re.compile(rb'\\"checksum\\": \\"([0-9a-f]{64})\\"')
"""Where the header, JSON within JSON, has the sha256 of the file; it is the first of what it says."""
_BLANK = b"0" * 64
"""What stands in the place of the checksum while it is computed."""


@dataclass(frozen=True, kw_only=True)
class CheckpointCard:
    """What a checkpoint says about itself beside its weights."""

    class_names: tuple[str, ...]
    """Names of the class axis."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """The recipe as JSON values, features included."""
    network: tuple[str, ...] = ()
    """Methods of the recipe that changed the network, without which it cannot be built."""
    epoch: int | None = None
    """Epoch the weights are from, counted from 1."""
    val_type_av: float | None = None
    """Validation segment Type@AV at that epoch, in percent."""
    selected_by: str | None = None
    """Validation figure the epoch was selected by, such as `segment.type_av`; None where it was not recorded."""
    val_score: float | None = None
    """That figure at that epoch, in percent."""
    git_revision: str | None = None
    """Revision of the code that wrote it, None outside a checkout."""
    recipe_sha256: str | None = None
    """Of the `recipe.json` beside it, None where it was written without one."""


def write_checkpoint(path: Path | str, parser: HybridParser, card: CheckpointCard) -> None:
    """Write a parser, whole or not at all.

    Args:
        path: File to write, usually RUN/best.safetensors.
        parser: On any device; stored as it is on the CPU.
        card: What it says about itself.

    Raises:
        ValueError: The card names another number of classes than the parser has.
    """
    options = options_of(parser)
    if len(card.class_names) != options.num_classes:
        raise ValueError(f"the parser has {options.num_classes} classes, got {len(card.class_names)} class names")
    header = {"format": FORMAT_VERSION, "parser": asdict(options), **asdict(card)}
    write_tensors(path, parser.state_dict(), header)


def read_checkpoint(
    path: Path | str, *, class_names: tuple[str, ...] | None = None, own: OwnParts = NOTHING_OWN
) -> tuple[HybridParser, CheckpointCard]:
    """Build the parser a checkpoint holds.

    Args:
        path: The file, or the run folder with its best.safetensors.
        class_names: What the class axis must be; None accepts any.
        own: The parts it was trained with that were given as objects.

    Returns:
        The parser on the CPU in evaluation mode, and the card.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint of ours, is damaged or inconsistent, is for other classes, or the folder holds
            runs of several seeds.
    """
    path = Path(path)
    refuse_several_seeds(path)
    folder, path = (path, path / BEST) if path.is_dir() else (None, path)
    tensors, header = read_tensors(path)
    if folder is not None:
        refuse_other_recipe(folder, header.get("recipe_sha256"))
    try:
        described = header.pop("parser")
        texts = {"class_names": tuple(header["class_names"]), "network": tuple(header.get("network", ()))}
        card = CheckpointCard(**{**header, **texts})
        parser = build_parser(ParserOptions(**described), seed=0, encoder=own.encoder, pooling=own.pooling)
        if card.network:
            methods = Methods.from_json(card.recipe.get("methods", {}), only=card.network, own=own.methods)
            with torch.random.fork_rng(devices=[]):
                parser = methods.network(parser, card.class_names)
        parser.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        note = note_own(header.get("recipe", {}), str(path))
        raise ValueError(
            f"{path}: the weights and their description do not fit this version ({error}){note}"
        ) from error
    note_own(card.recipe, str(path))
    if class_names is not None and card.class_names != tuple(class_names):
        raise ValueError(
            f"{path}: the parser knows the {len(card.class_names)} classes {', '.join(card.class_names[:5])}, ...; "
            f"the data has {len(class_names)}: {', '.join(class_names[:5])}, ...; use data of its own vocabulary"
        )
    return parser.eval(), card


def refuse_other_recipe(folder: Path, sha256: str | None) -> None:
    """Refuse a run folder whose `recipe.json` is not the one its weights were written beside.

    Args:
        folder: The run folder.
        sha256: What the weights say of it; None, of an older version, accepts any.

    Raises:
        ValueError: It is gone, or has other bytes.
    """
    recipe = folder / RECIPE
    if sha256 is None or (recipe.is_file() and file_sha256(recipe) == sha256):
        return
    what = "is not as it was written" if recipe.is_file() else "no such file"
    raise ValueError(
        f"{recipe}: {what}, and the weights beside it name its checksum; restore it, or give the weights alone "
        f"({folder / BEST})"
    )


def write_tensors(path: Path | str, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write named tensors and a JSON header, whole or not at all, with a checksum over all of the file."""
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    said = json.dumps({"checksum": _BLANK.decode(), **header}, allow_nan=False)
    blank = save(stored, metadata={_HEADER: said})
    payload = blank.replace(_BLANK, hashlib.sha256(blank).hexdigest().encode(), 1)
    with replaced(path) as temporary:
        temporary.write_bytes(payload)


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote, the format number taken off the header.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, or was not written by this project or this version of it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint; `valor train` writes one")
    try:
        payload = path.read_bytes()
        tensors = load(payload)
        length = int.from_bytes(payload[:8], "little")
        said = loads(payload[8 : 8 + length]).get("__metadata__") or {}
        header = loads(said.get(_HEADER, "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path}: expected a safetensors checkpoint, which could not be read ({error})") from error
    first = next(iter(header), None) if isinstance(header, dict) else None
    if not isinstance(header, dict) or header.pop("format", None) != FORMAT_VERSION:
        raise ValueError(f"{path}: expected a checkpoint of format {FORMAT_VERSION} with its description in the header")
    # Older versions wrote no checksum and the format first; whatever else is first was the checksum's name.
    if first == "format":
        _LOG.warning("%s: of a version that wrote no checksums; nothing tells whether it is as it was written", path)
    elif _is_damaged(payload[: 8 + length], payload, header.pop("checksum", None)):
        raise ValueError(f"{path}: not as it was written, its checksum differs; restore it from a copy")
    return tensors, header


def _is_damaged(beginning: bytes, payload: bytes, checksum: object) -> bool:
    """Whether a file is not the one its checksum is of."""
    found = _CHECKSUM.search(beginning)
    if found is None or found[1].decode() != checksum:
        return True
    digest = hashlib.sha256(payload[: found.start(1)])
    digest.update(_BLANK)
    digest.update(memoryview(payload)[found.end(1) :])
    return digest.hexdigest() != checksum


def git_revision() -> str | None:
    """Revision of the code, `-dirty` with uncommitted changes; None where it does not run from a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12")
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    epoch: int = 0
    """Epochs done."""
    best_epoch: int = 0
    """Epoch selected so far, 0 for none."""
    best_score: float | None = None
    """The figure it was selected by, in percent."""
    best_type_av: float | None = None
    """Its validation segment Type@AV, in percent."""
    files: Mapping[str, str] = field(default_factory=dict)
    """sha256 of what lies beside the resume point, by name; of the log, of the lines of these epochs."""


@dataclass(frozen=True)
class Turns:
    """How far a training on several sets has come."""

    done: int = 0
    """Steps of all of them."""
    sets: Sequence[Mapping[str, Any]] = ()
    """`Progress` of each, as JSON values."""


def write_resume_point(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    order: torch.Generator,
    *,
    progress: Progress | Turns,
    identity: Mapping[str, Any],
    extra: Mapping[str, Tensor] | None = None,
) -> None:
    """Write everything the next epoch depends on, whole or not at all.

    Args:
        path: File to write, usually RUN/last.safetensors.
        model: What is trained.
        optimiser: Over the parameters of the model.
        order: Generator of the batch order.
        progress: How far the run has come.
        identity: What makes this run this run, as JSON values; must be found again to go on.
        extra: Other tensors the next epoch depends on, by name.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    names = _in_its_order(optimiser, model)
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{names[index]}|{key}": torch.as_tensor(value) for key, value in state.items()}
    tensors |= {"random.order": order.get_state(), "random.cpu": torch.get_rng_state()}
    tensors |= {f"extra.{name}": tensor for name, tensor in (extra or {}).items()}
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    write_tensors(path, tensors, {"format": 1, "progress": asdict(progress), "identity": dict(identity)})


def read_resume_point(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    order: torch.Generator,
    *,
    identity: Mapping[str, Any],
    of: type[Any] = Progress,
) -> tuple[Any, dict[str, Tensor]]:
    """Put model, optimiser and generators back where they were.

    Args:
        path: What `write_resume_point` wrote.
        model: Changed in place.
        optimiser: Changed in place.
        order: Changed in place; torch's global generators are, too.
        identity: Of the run that wants to go on.
        of: What it says of how far the run had come, `Progress` or `Turns`.

    Returns:
        How far the run had come, and the extra tensors, on the CPU.

    Raises:
        ValueError: The file is of another run, names what differs; or it is damaged.
    """
    try:
        tensors, header = read_tensors(path)
    except ValueError as error:
        raise ValueError(f"{error}; remove it to start the run anew") from error
    stored = _brought_up_to_date(header.get("identity", {}))
    differing = sorted(key for key in {*stored, *identity} if stored.get(key) != identity.get(key))
    if differing:
        there, here = (", ".join(held.get("methods", {})) or "none" for held in (stored, identity))
        methods = "methods" if there == here else f"methods ({there} there, {here} here)"
        named = [methods if key == "methods" else key for key in differing]
        raise ValueError(
            f"{path}: belongs to a run with other {', '.join(named)}; continue that run with what it was started "
            "with, or choose another `out`"
        )
    model.load_state_dict(_group(tensors, "model."))
    optimiser.load_state_dict(_optimiser_state(_group(tensors, "optimiser."), model, optimiser))
    order.set_state(tensors["random.order"])
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return of(**header["progress"]), _group(tensors, "extra.")


def _brought_up_to_date(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity of a run that was begun when options were fewer, or had other names."""
    if "parser options" not in identity or "fit options" not in identity:
        return dict(identity)
    parser = {**asdict(ParserOptions()), **identity["parser options"]}
    fit, old = from_old_names(identity["fit options"])
    fit = {**asdict(FitOptions()), **fit}
    methods = dict(identity.get("methods") or Methods.from_json(old).to_json())
    methods |= Methods.from_json(methods, only=[name for name in methods if name in METHODS]).identity()
    return {**identity, "parser options": parser, "fit options": fit, "methods": methods}


def _group(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _in_its_order(optimiser: torch.optim.Optimizer, model: nn.Module) -> list[str]:
    """Names of the parameters as the groups of an optimiser hold them, which is how it numbers them."""
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    return [named[id(parameter)] for group in optimiser.param_groups for parameter in group["params"]]


def _optimiser_state(
    tensors: Mapping[str, Tensor], model: nn.Module, optimiser: torch.optim.Optimizer
) -> dict[str, Any]:
    """The stored moments in the form `load_state_dict` wants, options as the optimiser has them."""
    index = {name: position for position, name in enumerate(_in_its_order(optimiser, model))}
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        parameter, key = name.split("|")
        state.setdefault(index[parameter], {})[key] = tensor
    return {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
