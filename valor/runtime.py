"""What a run computes with: threads, versions, device, and the deterministic mode."""

import logging
import os
import platform
from collections.abc import Mapping
from typing import Any

import torch

from valor.checkpoint import git_revision

_LOG = logging.getLogger(__name__)

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_CHANGES_BITS = ("torch", "threads", "device")
"""Facts without which a resumed run may differ in the last digits."""


def make_deterministic() -> None:
    """Let torch use only operations that give the same bits every time, and refuse those that cannot.

    On the CPU a run repeats to the bit anyway, as long as the number of threads stays. On a GPU this costs some speed,
    and must come before anything is computed there.
    """
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def runtime_facts(device: torch.device) -> dict[str, Any]:
    """What the bits of a result depend on besides data and recipe, as JSON values."""
    cuda = device.type == "cuda"
    return {
        "code": git_revision(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "device": f"cuda: {torch.cuda.get_device_name(device)}" if cuda else "cpu",
        "cuda": torch.version.cuda if cuda else None,
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def note_other_runtime(begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Say what differs from the machine and the code a run was begun with, so that nobody expects the same bits."""
    other = [name for name in ("code", *_CHANGES_BITS) if name in begun and name in now and begun[name] != now[name]]
    told = {name: f"{name} {begun[name]} then, {now[name]} now" for name in other}
    code = told.pop("code", None)
    if told:
        _LOG.info(
            "going on with a run that was begun elsewhere (%s): close, but not the same bits", "; ".join(told.values())
        )
    if code:
        _LOG.info("going on with a run that other code began (%s): what changed in between is in the result", code)
