"""What is in the tars of object stores, noted beside the store: so their headers are read once and not by every run.

A tar is known by its address, its ETag and its size; one that changes is read anew. The notes lie under a hidden name
of the folder of stores, `.tars/`, where every share of a run finds them. Losing them costs the reading again.
"""

import hashlib
from contextlib import suppress

from ..places.elsewhere import TarMember, tar_members
from ..places.objects import ObjectPath
from ..places.place import Place, place_of, signature, write_atomic
from ..strict_json import as_list, as_text, as_whole
from .shards import is_sealed, parse_json, sealed, to_json

FOLDER = ".tars"
"""In the folder of stores."""
_FORMAT = 1


class TarIndex:
    """The members of tars, as noted or as their headers say."""

    def __init__(self, store: str | Place | None = None, *, keep: bool = False) -> None:
        """Read nothing yet.

        Args:
            store: The folder of stores; None has no notes.
            keep: Whether to note what had to be read from headers.
        """
        self._folder = None if store is None else place_of(store) / FOLDER
        self._keep = keep
        self.told = set[str]()
        """Tars of which it was said that something is wrong with them."""

    def members(self, tar: Place) -> tuple[list[TarMember], str]:
        """The files of a tar, and what is wrong with it, see `tar_members`.

        Raises:
            FileNotFoundError: There is no such tar.
            UnreachableError: An object store cannot be reached.
        """
        if self._folder is None or not isinstance(tar, ObjectPath):
            return tar_members(tar)
        tar = tar if tar.facts else tar.looked_at()
        known = {"format": _FORMAT, "tar": str(tar), "version": tar.version, "bytes": tar.num_bytes}
        note = self._folder / f"{hashlib.sha256(to_json(known)).hexdigest()[:32]}.json"
        with suppress(OSError, ValueError, TypeError, KeyError):  # none, or one that is of no use
            return _read(note, tar)
        members, fault = tar_members(tar)
        if self._keep:
            rows = [[member.member, member.offset, member.size] for member in members]
            with suppress(OSError):  # of a disk that is full, where the run itself will say so
                if not isinstance(note, ObjectPath):
                    note.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(note, sealed({**known, "members": rows, "fault": fault}))
        return members, fault


def _read(note: Place, tar: ObjectPath) -> tuple[list[TarMember], str]:
    """What a note says of a tar.

    Raises:
        OSError: There is none.
        ValueError: It is not as it was written.
    """
    payload = note.read_bytes()
    content = parse_json(note, payload)
    if not is_sealed(payload):
        raise ValueError(f"{note}: its checksum differs")
    version, found = signature(tar), list[TarMember]()
    for row in as_list(content["members"], "members"):
        name, offset, size = as_list(row, "member")
        place = as_whole(offset, "offset", highest=tar.num_bytes)
        length = as_whole(size, "size", highest=tar.num_bytes - place)
        found.append(TarMember(tar, as_text(name, "name"), place, length, version))
    return found, as_text(content["fault"], "fault", blank=True)
