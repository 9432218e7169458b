"""Checkpoints that describe themselves: weights in safetensors, all else as JSON in its header; never pickled."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from parsers.build import ParserOptions, build_parser, options_of
from parsers.hybrid import HybridParser
from valor.files import replaced
from valor.run_folder import BEST

FORMAT_VERSION = 1
_HEADER = "valor"


@dataclass(frozen=True, kw_only=True)
class CheckpointCard:
    """What a checkpoint says about itself beside its weights."""

    class_names: tuple[str, ...]
    """Names of the class axis."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """The recipe as JSON values, features included."""
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
    path: Path | str, *, class_names: tuple[str, ...] | None = None
) -> tuple[HybridParser, CheckpointCard]:
    """Build the parser a checkpoint holds.

    Args:
        path: The file, or the run folder with its best.safetensors.
        class_names: What the class axis must be; None accepts any.

    Returns:
        The parser on the CPU in evaluation mode, and the card.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint of ours, is damaged or inconsistent, or is for other classes.
    """
    path = Path(path)
    path = path / BEST if path.is_dir() else path
    tensors, header = read_tensors(path)
    try:
        parser = build_parser(ParserOptions(**header.pop("parser")), seed=0)
        card = CheckpointCard(**{**header, "class_names": tuple(header["class_names"])})
        parser.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: the weights and their description do not fit this version ({error})") from error
    if class_names is not None and card.class_names != tuple(class_names):
        raise ValueError(
            f"{path}: the parser knows the {len(card.class_names)} classes {', '.join(card.class_names[:5])}, ...; "
            f"the data has {len(class_names)}: {', '.join(class_names[:5])}, ...; use data of its own vocabulary"
        )
    return parser.eval(), card


def write_tensors(path: Path | str, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write named tensors and a JSON header, whole or not at all."""
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replaced(path) as temporary:
        temporary.write_bytes(save(stored, metadata={_HEADER: json.dumps(header, allow_nan=False)}))


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
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: expected a safetensors checkpoint, which could not be read ({error})") from error
    if not isinstance(header, dict) or header.pop("format", None) != FORMAT_VERSION:
        raise ValueError(f"{path}: expected a checkpoint of format {FORMAT_VERSION} with its description in the header")
    return tensors, header


def git_revision() -> str | None:
    """Revision of the code, `-dirty` with uncommitted changes; None where it does not run from a checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12")
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
