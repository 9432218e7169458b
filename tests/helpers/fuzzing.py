"""Commands on mangled inputs: what is typed, what is mangled for it, and what must hold whatever comes of it.

A command may refuse (2), list what failed (3) or be done (0). It never ends with an exception that is not for the user,
never warns in Python's words, never leaves a part of an output where it refuses, and what it writes with 0 or 3 is read
back by this project's own readers. `tests.helpers.promised` says which changes must be refused or seen.
"""

import contextlib
import hashlib
import io
import random
import re
import shutil
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import numpy as np

from tests.helpers.fuzz_kinds import Case, Kind
from tests.helpers.mangle import mangle_file
from tests.helpers.promised import must
from tests.helpers.typed import Done, typed
from valor.label_harvest.media.clip import MediaError

MOST_MESSAGE = 4000
"""Letters of a message, a page and a half; what is longer shows somebody's data and not what is wrong."""


@dataclass(frozen=True)
class Outcome:
    """What came of one try."""

    kind: str
    seed: int
    words: str
    file: str
    what: str
    code: int
    answer: str
    """`same` as on whole inputs, `other`, or `refused`."""
    said: str
    """The last line on stderr."""
    fault: str
    """What is wrong about it; nothing if all is well."""


def prepared(kind: Kind, folder: Path) -> Path:
    """The whole inputs of a kind, and what its commands answer to them."""
    whole = folder / "whole"
    whole.mkdir(parents=True)
    kind.make(whole)
    for number, case in enumerate(kind.cases):
        place = folder / f"asked-{number}"
        shutil.copytree(whole, place / "in")
        (place / "out").mkdir()
        code, _, answer, fault, said = _asked(case, place)
        assert code in (0, 3) and not fault, (case.words, code, fault, said)
        kind.whole[case.words] = (code, answer)
        shutil.rmtree(place)
    return whole


def tried(kind: Kind, whole: Path, place: Path, seed: int) -> Outcome:
    """Mangle one input of one command, or two, and see what comes of it."""
    rng = random.Random(f"{kind.name} {seed}")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(whole, place / "in")
    (place / "out").mkdir()
    case = rng.choice(kind.cases)
    files, whats = [], []
    for _ in range(2 if rng.random() < 0.05 else 1):
        found = sorted(
            path for path in (place / "in").glob(rng.choice(case.files)) if path.is_file() and path.name != ".lock"
        )
        if found:
            path = rng.choice(found)
            files.append(str(path.relative_to(place / "in")))
            whats.append(mangle_file(path, rng))
    code, said_all, answer, fault, said = _asked(case, place)
    file, what = "; ".join(files), "; ".join(whats)
    was_code, was = kind.whole[case.words]
    told = "refused" if code == 2 else "same" if (code, answer) == (was_code, was) else "other"
    if not fault and what != "same" and len(files) == 1:
        wanted = must(case.words, file, what)
        if (wanted == "refused" and told != "refused") or (wanted == "seen" and told == "same"):
            fault = f"silent: must be {wanted}, the answer is {told}"
    return Outcome(kind.name, seed, case.words, file, what, code, told, said[:400], fault)


def _asked(case: Case, place: Path) -> tuple[int, str, str, str, str]:
    """Run a command: exit code, all it said, a digest of what it answered, what is wrong about it, the last line."""
    words = [word.format(**{"in": place / "in", "out": place / "out"}) for word in case.words.split()]
    try:
        with warnings.catch_warnings(), contextlib.chdir(place / "out"):
            warnings.simplefilter("always")
            done = _called(case.call, place) if case.call else typed(*words)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        own = [
            frame
            for frame in frames
            if "/valor/" in frame.filename or "/eval/" in frame.filename or "/label_harvest/" in frame.filename
        ]
        last = (own or frames)[-1]
        where = f"{Path(last.filename).name}:{last.lineno} {last.name}"
        return 1, "", "", f"traceback: {type(error).__name__} at {where}: {str(error)[:200]}", ""
    said = done.err.strip().rpartition("\n")[2]
    written = sorted(path for path in (place / "out").rglob("*") if path.is_file())
    plain = str(place)
    notes = "" if "\r" in done.err else done.err  # a bar of progress says how fast it went
    told = re.sub(r"[\d.]+ GB free", "", done.out + notes)  # others write to this disk
    digest = hashlib.sha256(told.replace(plain, "").encode("utf-8", "replace"))
    for path in written:
        digest.update(str(path.relative_to(place)).encode() + _plain(path, plain))
    return done.code, done.err, digest.hexdigest(), _fault(case, place, done, written), said


def _called(call: Callable[[Path, Path], object], place: Path) -> Done:
    """Call a function as a command is typed: what is for the user is a refusal."""
    err = io.StringIO()
    try:
        with contextlib.redirect_stderr(err):
            answer = call(place / "in", place / "out")
    except (ValueError, OSError, MediaError) as error:
        return Done(2, "", err.getvalue() + str(error))
    return Done(0, described(answer), err.getvalue())


def described(value: object) -> str:
    """A value with the whole of its arrays, as text."""
    if isinstance(value, np.ndarray):
        return (
            f"{value.dtype} {value.shape} {zlib.crc32(np.ascontiguousarray(value).tobytes())}"
            if value.dtype != object
            else repr(value)
        )
    if isinstance(value, dict):
        return repr({key: described(inner) for key, inner in value.items()})
    if isinstance(value, list | tuple):
        return repr([described(inner) for inner in value])
    if is_dataclass(value) and not isinstance(value, type):
        return repr({entry.name: described(getattr(value, entry.name)) for entry in fields(value)})
    return repr(value)


def _plain(path: Path, place: str) -> bytes:
    """The bytes of an output without what differs from try to try."""
    content = path.read_bytes()
    if path.suffix == ".npz":  # members carry the time
        with zipfile.ZipFile(path) as archive:
            return b"".join(name.encode() + archive.read(name) for name in sorted(archive.namelist()))
    content = content.replace(place.encode(), b"")
    content = re.sub(rb"\d{4}-\d\d-\d\dT[\d:.]+(\+[\d:]+|Z)?", b"", content)
    return re.sub(rb'"sources?": \{[^}]*\}', b"", content)


def _fault(case: Case, place: Path, done, written: list[Path]) -> str:  # noqa: ANN001
    """What is wrong about a command that has ended."""
    if done.code not in (0, 2, 3):
        return f"exit code {done.code}"
    if len(done.err) > MOST_MESSAGE:
        return f"a message of {len(done.err):,} letters"
    if "Traceback (most recent" in done.err or re.search(r"\b[A-Z][a-z]+Warning: ", done.err):
        return "python's own words: " + done.err[-300:]
    if re.search("[\x00-\x08\x0b-\x1f\x7f\x1b]", (done.out + done.err).replace("\r", "")):
        return "control characters on the terminal"
    if done.code == 2:
        left = [path for path in written if not any(path.match(name) for name in case.leaves)]
        if not done.err.strip():
            return "refused without a word"
        return f"refused, and left {[str(path.relative_to(place)) for path in left][:5]}" if left else ""
    try:
        case.read(place / "out")
    except Exception as error:  # noqa: BLE001, any
        return f"what was written cannot be read: {type(error).__name__}: {error}"[:400]
    strays = [path.name for path in written if path.name.endswith((".tmp", ".part")) or ".tmp" in path.name]
    return f"temporary files stay: {strays[:3]}" if strays else ""
