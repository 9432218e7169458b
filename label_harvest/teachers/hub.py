"""Weights that would first have to be fetched: of which teachers, from where, and whether there is a network for it.

The hub's client asks five times, each time later, whatever the trouble is. Where its name is not resolved or nothing
answers there, asking again helps nobody: that is found out once, before the first file is asked for.
"""

import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from .catalogue import CATALOGUE, NamedTeacher
from .teacher import TeacherUnavailableError

logger = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds within which the hub has to take a connection, as long as its client waits for an answer."""
HUB_TOKENIZER = "roberta-base"
"""Where the tokenizer of LAION's own checkpoints is fetched from: their files are weights alone."""
_LAION, _HUB, _RANDOM = "laion:", "hf:", "random"
_BESIDE = ("tokenizer.json", "vocab.json")
"""Files of a tokenizer; with one of them beside the weights it is read from there."""


@dataclass(frozen=True)
class AbsentWeights:
    """What of a teacher is not on this machine."""

    teacher: str
    role: str
    files: Mapping[str, str]
    """By repository of the hub the one file that is needed of it; empty for all it has."""
    size: str
    """How much there is to fetch, in words."""

    @property
    def said(self) -> str:
        """What it is and where it lies, in words."""
        return f"{self.teacher} ({self.size} from huggingface.co/{' and '.join(self.files)})"

    @property
    def commands(self) -> tuple[str, ...]:
        """What fetches it into the hub's cache, here or where there is a network."""
        return tuple(f"hf download {place} {file}".rstrip() for place, file in self.files.items())


def named_teacher(name: str) -> NamedTeacher | None:
    """What is known of a teacher by its short name, or by the open name that one stands for."""
    return CATALOGUE.get(name) or next((entry for entry in CATALOGUE.values() if entry.builds == name), None)


def weights_here(name: str) -> Path | None:
    """The weights of a teacher in the hub's cache; None where they are not there, or nothing is known of the name."""
    entry = named_teacher(name)
    found = [place for file in entry.files if (place := _cached(entry.repository, file))] if entry else []
    return found[0] if found else None


def _cached(repository: str, file: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file)
    return Path(found) if isinstance(found, str) else None


def absent_weights(names: Mapping[str, str], checkpoints: Mapping[str, str] | None = None) -> tuple[AbsentWeights, ...]:
    """Which teachers would have to be fetched from the hub; asks nothing of a network.

    Args:
        names: By role. Teachers whose weights are shipped, lie in a folder, or are not the hub's are never absent.
        checkpoints: Local weights by role, or `random`.
    """
    found = []
    for role, name in names.items():
        entry, given = named_teacher(name), (checkpoints or {}).get(role)
        if given == _RANDOM or (entry is None and (given or not name.startswith(_HUB))):
            continue
        if entry is None:
            place = name.removeprefix(_HUB)
            if not Path(place).is_dir() and not _cached(place, "config.json"):
                found.append(AbsentWeights(name, role, {place: ""}, "weights"))
            continue
        weights = Path(given) if given else weights_here(name)
        files = {} if weights else {entry.repository: entry.files[0] if _alone(entry) else ""}
        if entry.builds.startswith(_LAION) and not _has_tokenizer(weights):
            files[HUB_TOKENIZER] = _BESIDE[0]
        if files:
            found.append(AbsentWeights(name, role, files, "its tokenizer" if weights else entry.size[1]))
    return tuple(found)


def _alone(entry: NamedTeacher) -> bool:
    """Whether a teacher needs nothing of its repository but the weights."""
    return entry.builds.startswith(_LAION) or "/openai" in entry.builds


def _has_tokenizer(weights: Path | None) -> bool:
    """Whether the tokenizer of a checkpoint of LAION's is beside it or in the hub's cache."""
    folder = weights.parent if weights and weights.is_file() else weights
    beside = folder is not None and any((folder / file).is_file() for file in _BESIDE)
    return beside or any(_cached(HUB_TOKENIZER, file) for file in _BESIDE)


def prepare_to_fetch(absent: Sequence[AbsentWeights]) -> None:
    """Say what is going to be fetched, or refuse at once where there is no network to fetch it by.

    Args:
        absent: All that one command needs.

    Raises:
        TeacherUnavailableError: The hub may not be asked or cannot be reached; says how to get the weights here.
    """
    if not absent:
        return
    from huggingface_hub import constants

    all_said = " and ".join(one.said for one in absent)
    if trouble := hub_trouble():
        commands = "".join(f"\n    {command}" for one in absent for command in one.commands)
        given = " and ".join(f"`checkpoints` {one.role}=FILE" for one in absent)
        raise TeacherUnavailableError(
            f"weights are not on this machine and cannot be fetched ({trouble}): {all_said}\n"
            f"  where there is a network, this fetches them into {constants.HF_HUB_CACHE}:{commands}\n"
            "  then copy that folder here to the same place and set HF_HUB_OFFLINE=1\n"
            f"  or give local files with {given}"
        )
    logger.info("to be fetched first, and kept in %s: %s", constants.HF_HUB_CACHE, all_said)


def hub_trouble() -> str | None:
    """Why nothing can be fetched from the hub, whoever asks how often; None where it takes a connection."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    address = urlsplit(constants.ENDPOINT)
    if address.scheme in getproxies():  # which knows names that this machine may not
        return None
    host = str(address.hostname)
    try:
        socket.create_connection((host, address.port or (80 if address.scheme == "http" else 443)), PATIENCE).close()
    except socket.gaierror:
        return f"the name {host} is not resolved"
    except TimeoutError:
        return f"{host} does not answer within {PATIENCE:g} s"
    except OSError as error:
        return f"{host}: {error.strerror or error}"
    return None
