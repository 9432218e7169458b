"""Where the media of clips lie: nested folders, several of them, tars, object stores, and paths a table names.

A clip is found by its name: `<clip id>.*`, or `<media_id>.*`, in any folder below those given, also one that was called
after its place (`name_by_place`), since another file has its name; in a tar by the key of
its members as WebDataset has it, the base name up to its first dot. Where the table has a column `path`, what stands
there is taken: relative to one of the folders, absolute, an address, or of a member `shard.tar/clip.mp4`. Two files for
one clip, and two clips for one file, are named before anything runs.
"""

import hashlib
import logging
import os
import random
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from ..machine import machine_fault
from ..places.elsewhere import Elsewhere, Media, StoredObject, TarMember, WebFile
from ..places.objects import ObjectPath
from ..places.place import WEB, Place, each, place_of, scheme_of
from .manifest import composed, media_id, some_of
from .tars import TarIndex

logger = logging.getLogger(__name__)

_SECOND_EVENT = re.compile(r"(?<=^.{11})\+\d+$")
"""Behind the name of a video, where a clip is a further event of it; see `media_id`."""
_MEDIA = frozenset(
    ".3g2 .3gp .aac .ac3 .aif .aiff .amr .asf .avi .divx .f4v .flac .flv .m2ts .m4a .m4v .mka .mkv .mov .mp2 .mp3 .mp4 "
    ".mpeg .mpg .mts .mxf .oga .ogg .ogv .opus .rm .rmvb .ts .vob .wav .webm .wma .wmv".split()
)
"""Endings of media files; where one has the name of a clip, files of other endings beside it are no candidates."""
_SIDECARS = frozenset(
    ".ass .avif .cls .csv .description .frag .gif .html .info .jpeg .jpg .json .jsonl .lrc .m3u .m3u8 .md .md5 .mhtml "
    ".mpd .npy .npz .part .pls .png .sha256 .srt .ssa .sub .temp .tmp .torrent .ttml .txt .url .vtt .webp .xml .yaml "
    ".yml .ytdl".split()
)
"""Endings of what downloaders and writers of tars leave beside a clip; such files are never candidates."""
MEDIA_SUFFIXES = _MEDIA | frozenset(".caf .dv .gif .m2v .m4b .mj2 .nut .ra .weba .wv .y4m".split())
"""Endings by which the media of a folder are known where no clip is named."""
LONGEST_NAME = 180
"""Bytes of a name that is made for a file; with an ending and a temporary one it stays below the 255 disks allow."""
_BY_PLACE = re.compile(r"(.+)-[0-9a-f]{8}")
"""A name as `name_by_place` makes it."""
_TAR = ".tar"
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Tars in which nothing can be found without reading all of it."""

Root = Place | str
"""A folder, a tar, a prefix of an object store, or an address of the web, below which relative paths lie."""
Videos = Root | Sequence[Root]
"""One of these, or several."""


def roots_of(videos: Videos) -> list[Root]:
    """The places media lie in; local paths absolute.

    Raises:
        ValueError: One is an address that nothing reads.
    """
    found = list[Root]()
    for root in [videos] if isinstance(videos, str | Path | ObjectPath) else videos:
        if isinstance(root, str) and scheme_of(root) in WEB:
            found.append(root.rstrip("/"))
            continue
        place = place_of(root)
        found.append(place.absolute() if isinstance(place, Path) else place)
    return found


def listable(videos: Videos) -> list[Root]:
    """Those of the places in which files can be looked for by name."""
    return [root for root in roots_of(videos) if not isinstance(root, str)]


def find_media(videos: str | Path, clip_ids: Sequence[str]) -> dict[str, Path | None]:
    """Find the file of each clip in a folder of a disk and those below it; tars are left aside.

    Returns:
        A path by clip id, None where no file has that name.

    Raises:
        ValueError: The folder cannot be listed, a clip has two candidates, or two clips would share a file.
    """
    found = _by_names(_Index([Path(videos)], tars=False), clip_ids)
    _refuse_shared([Path(videos)], found)
    return {clip_id: media if isinstance(media, Path) else None for clip_id, media in found.items()}


def find_clips(
    videos: Videos, clip_ids: Sequence[str], paths: Sequence[str] = (), *, tars: TarIndex | None = None
) -> dict[str, Media | None]:
    """Find the media of each clip, wherever it is.

    Args:
        videos: Where they lie.
        clip_ids: The clips.
        paths: What a table says of each, see `HarvestManifest.paths`; without, all are found by their names.
        tars: Knows the members of tars; None reads their headers.

    Returns:
        Media by clip id, None where there is none. What lies behind an address is taken to be there.

    Raises:
        ValueError: A folder cannot be listed, a clip has two candidates, or two clips would share a file.
        UnreachableError: An object store cannot be reached.
    """
    index = _Index(roots_of(videos), members=tars or TarIndex())
    named = {clip_id: path for clip_id, path in zip(clip_ids, paths, strict=bool(paths)) if path}
    found = _by_names(index, [clip_id for clip_id in clip_ids if clip_id not in named])
    found |= {clip_id: index.at(path) for clip_id, path in named.items()}
    found = {clip_id: found[clip_id] for clip_id in clip_ids}
    _refuse_shared(index.roots, found)
    return found


def files_of_no_clip(
    videos: Videos, found: Mapping[str, Media | None], *, tars: TarIndex | None = None
) -> tuple[str, ...]:
    """Names of media files that are there and that no clip was found in; `tars` as of `find_clips`."""
    used = {str(media) for media in found.values() if media is not None}
    index = _Index(roots_of(videos), members=tars or TarIndex())
    entries = [entry for named in index.by_stem().values() for entry in named]
    return tuple(
        sorted(
            name for name, media in entries if str(media) not in used and PurePosixPath(name).suffix.lower() in _MEDIA
        )
    )


def media_below(folder: Place) -> list[tuple[str, Media]]:
    """(path below it, medium) of all media files below a folder, or of a tar, in the order of their paths.

    Raises:
        ValueError: The folder cannot be listed.
    """
    return sorted(
        (
            (name, media)
            for name, media in _Index([folder])._below(folder)
            if PurePosixPath(name).suffix.lower() in MEDIA_SUFFIXES and not PurePosixPath(name).name.startswith(".")
        ),
        key=lambda entry: entry[0],
    )


def name_by_place(media: Media) -> str:
    """A name that no file elsewhere has: that of the file, shortened, with a digest of where it lies."""
    where = media.absolute() if isinstance(media, Path) else media
    short = os.fsencode(PurePosixPath(media.name).stem)[:LONGEST_NAME].decode("utf-8", "ignore")
    return f"{short}-{hashlib.sha256(str(where).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def some_names(videos: Videos, most: int = 3) -> tuple[str, ...]:
    """Names of what lies in the first place that has anything, and `...` where there is more."""
    for root in roots_of(videos):
        names = [] if isinstance(root, str) else sorted(path.name for path in root.iterdir()) if root.is_dir() else []
        if names:
            return (*names[:most], *["..."] * (len(names) > most))
    return ()


@dataclass
class _Index:
    """What lies below the roots, listed once it is asked for."""

    roots: Sequence[Root]
    tars: bool = True
    members: TarIndex = field(default_factory=TarIndex)
    _by_stem: dict[str, list[tuple[str, Media]]] | None = None
    _by_path: dict[int, dict[str, Media]] = field(default_factory=dict)
    _members: dict[str, dict[str, TarMember]] = field(default_factory=dict)
    _absent: set[str] = field(default_factory=set)
    """Tars that a path led to and that are not there."""

    def by_stem(self) -> Mapping[str, list[tuple[str, Media]]]:
        """Candidates as (name in messages, media) by the name a clip has."""
        if self._by_stem is None:
            self._by_stem = defaultdict(list)
            several, seen = len(self.roots) > 1, set[str]()
            for root in self.roots:
                for name, media in self._below(root):
                    stem = _stem(media)
                    if stem is None or (several and str(media) in seen):  # a folder and one of those below it
                        continue
                    if several:
                        seen.add(str(media))
                    self._by_stem[composed(stem)].append((f"{root}/{name}" if several else name, media))
        return self._by_stem

    def at(self, path: str) -> Media | None:
        """What a path of a table leads to.

        Raises:
            ValueError: It is an address nothing reads, or leads to a file in two of the roots.
        """
        scheme = scheme_of(path)
        if scheme in WEB:
            return WebFile(path)
        if scheme or os.path.isabs(path):
            there = self._here(place_of(path))
            if there is None:
                self._tell_absent([path])
            return there
        found = [media for root in self.roots if (media := self._in(root, path)) is not None]
        if len(found) > 1:
            raise ValueError(f"{path!r} leads to {len(found)} files, {found[0]} and {found[1]}; write more of the path")
        if not found:
            self._tell_absent([str(root / path) for root in self.roots if not isinstance(root, str)])
        return found[0] if found else None

    def _tell_absent(self, paths: Sequence[str]) -> None:
        """Say once of the tar of some paths that it is in none of the places."""
        tars = [tar + _TAR for tar, inside, _ in (path.partition(_TAR + "/") for path in paths) if inside]
        if tars and self._absent.issuperset(tars) and tars[0] not in self.members.told:
            self.members.told.add(tars[0])
            logger.warning("%s: no such tar; clips that are to be in it are missing", ", ".join(tars))

    def _in(self, root: Root, path: str) -> Media | None:
        if isinstance(root, str):
            return WebFile(f"{root}/{quote(path)}")
        if isinstance(root, ObjectPath) and _TAR + "/" not in path:
            return self._listed(root).get(path)
        return self._here(root / path)

    def _here(self, place: Place) -> Media | None:
        """A file, an object taken to be there, or a member of a tar."""
        tar, inside, member = str(place).partition(_TAR + "/")
        if inside and not (isinstance(place, Path) and place.is_file()):
            return self._members_of(place_of(tar + _TAR)).get(member)
        if isinstance(place, ObjectPath):
            return StoredObject(place)
        return place if place.is_file() else None

    def _listed(self, root: ObjectPath) -> Mapping[str, Media]:
        """The objects below a prefix by their path below it."""
        number = self.roots.index(root)
        if number not in self._by_path:
            beginning = len(str(root)) + 1
            self._by_path[number] = {str(one)[beginning:]: StoredObject(one) for one in root.below()}
        return self._by_path[number]

    def _below(self, root: Root) -> Iterator[tuple[str, Media]]:
        """(path below the root, media) of all files below it, and of the members of tars among them."""
        if isinstance(root, str):
            raise ValueError(
                f"{root}: addresses of the web cannot be listed; name the files in a column `path` of the table"
            )
        if root.suffix == _TAR and root.is_file():
            yield from ((member, media) for member, media in self._members_of(root).items())
            return
        files: Iterable[tuple[str, Media]]
        files = self._listed(root).items() if isinstance(root, ObjectPath) else _files_below(root)
        tars, packed = dict[str, Place](), list[str]()
        for name, media in files:
            packed += [name] * name.endswith(_PACKED)
            place = media.path if isinstance(media, StoredObject) else media
            if self.tars and name.endswith(_TAR) and not isinstance(place, Elsewhere):
                tars[name] = place
            else:
                yield name, media
        if packed and self.tars:
            logger.warning("%s: compressed tars are not looked into, such as %s; unpack them once", root, packed[0])
        places = list(tars.values())
        first = random.randrange(len(places)) if places else 0  # of tasks that begin together, each notes others
        deque(each(self._members_of, places[first:] + places[:first]), maxlen=0)
        for name, place in tars.items():
            yield from ((f"{name}/{member}", media) for member, media in self._members_of(place).items())

    def _members_of(self, tar: Place) -> Mapping[str, TarMember]:
        """The members of a tar by their path; a tar that is damaged gives those before the damage, and a word."""
        if str(tar) not in self._members:
            try:
                members, fault = self.members.members(tar)
            except FileNotFoundError:
                members, fault = [], ""
                self._absent.add(str(tar))
            except OSError as error:
                if machine_fault(error):
                    raise
                members, fault = [], f"cannot be read ({error.strerror or error})"
            if fault and str(tar) not in self.members.told:
                self.members.told.add(str(tar))
                media = sum(PurePosixPath(member.member).suffix.lower() in _MEDIA for member in members)
                part = f"the {media:,} media files before that are used, clips in the rest are missing; fetch it again"
                logger.warning("%s: %s; %s", tar, fault, part if members else "clips that are to be in it are missing")
            known: dict[str, TarMember] = {}
            for member in members:
                if member.member in known:
                    raise ValueError(f"{tar}: holds {member.member} twice; remove one of them")
                known[member.member] = member
            self._members[str(tar)] = known
        return self._members[str(tar)]


def _stem(media: Media) -> str | None:
    """What the clip of a file is called; None of a file that is none, by its ending."""
    path = PurePosixPath(media.name)
    if not path.suffix or path.suffix.lower() in _SIDECARS or path.name.startswith("."):
        return None
    return path.name.partition(".")[0] if isinstance(media, TarMember) else path.stem


def _files_below(root: Path) -> Iterator[tuple[str, Path]]:
    """(path below the root, file) of a folder and all below it, sorted; hidden folders are left aside.

    Raises:
        ValueError: The folder cannot be listed.
    """
    seen = set[tuple[int, int]]()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=_refuse):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here, below = Path(folder), os.path.relpath(folder, root)
        for name in sorted(names):
            path = here / name
            if path.is_file():
                yield (name if below == "." else f"{below}/{name}"), path


def _refuse(error: OSError) -> None:
    raise ValueError(
        f"{error.filename}: the folder of videos cannot be listed ({error.strerror}); give another"
    ) from error


def _by_names(index: _Index, clip_ids: Sequence[str]) -> dict[str, Media | None]:
    """Find clips by their names.

    Raises:
        ValueError: A clip has two candidates.
    """
    found: dict[str, Media | None] = {}
    twice = []
    for clip_id in clip_ids:
        stems = dict.fromkeys(composed(name) for name in (clip_id, media_id(clip_id)))
        candidates = [entry for stem in stems for entry in index.by_stem().get(stem, [])]
        if not candidates and (made := _BY_PLACE.fullmatch(clip_id)):
            alike = index.by_stem().get(composed(made[1]), [])
            candidates = [entry for entry in alike if composed(name_by_place(entry[1])) == composed(clip_id)]
        media = [entry for entry in candidates if PurePosixPath(entry[0]).suffix.lower() in _MEDIA]
        candidates = media or candidates
        if len(candidates) > 1:
            twice.append(f"{clip_id} ({', '.join(name for name, _ in candidates)})")
        found[clip_id] = candidates[0][1] if candidates else None
    if twice:
        raise ValueError(
            f"{_told(index.roots)}: {len(twice)} clips have two candidate files: {some_of(twice)}; remove or rename "
            "one, or name the right one in a column `path` of the table"
        )
    return found


def _refuse_shared(roots: Sequence[Root], found: Mapping[str, Media | None]) -> None:
    """Refuse two clips of one file, but for the further events of a video, VIDEO+2 beside VIDEO."""
    users = defaultdict(list)
    for clip_id, media in found.items():
        if media is not None:
            users[str(media)].append(clip_id)
    shared = [
        f"{PurePosixPath(name).name} ({some_of(ids)})"
        for name, ids in users.items()
        if len({_SECOND_EVENT.sub("", clip_id) for clip_id in ids}) > 1
    ]
    if shared:
        raise ValueError(
            f"{_told(roots)}: {len(shared)} files stand for several clips each: {some_of(shared)}; use whole ids as "
            "names, or give each clip a path of its own where the table has a column `path`"
        )


def _told(roots: Sequence[Root]) -> str:
    return ", ".join(map(str, roots))
