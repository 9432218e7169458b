"""What a teacher's name means, and the one function that builds teachers.

Besides the names in `TEACHERS`, three kinds of names are open: `open_clip:MODEL/TAG` (and `open_clip:hf-hub:ORG/NAME`,
`open_clip:local-dir:FOLDER`) look, `laion:CHECKPOINT` and `hf:ORG/NAME|FOLDER` listen. Short names, in `CATALOGUE`,
stand for some of these.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..did_you_mean import did_you_mean
from .catalogue import CATALOGUE, FRAME_SECONDS, opened
from .hub import weights_here
from .own import check_members
from .teacher import CaptionError, Prompts, Teacher, all_captions, check_prompts

if TYPE_CHECKING:
    from .clap import MapOptions

TEACHERS: dict[str, str | tuple[str, Callable[[Prompts], Teacher]]] = {
    "clip-vit-l14": "visual",
    "clap-630k-fusion": "audio",
    "demo-visual": "visual",
    "demo-audio": "audio",
    "demo-fused": "fused",
}
"""Role of each named teacher; the first two are those of the published label generator. One that is not ours has
its role and a function that builds it from the prompts."""
OPEN_NAMES: dict[str, str] = {"open_clip:": "visual", "laion:": "audio", "hf:": "audio"}
"""Role of the names that begin so."""
_DEMO, _RANDOM = "demo-", "random"
_FORMS = ("open_clip:MODEL/TAG", "laion:CHECKPOINT", "hf:ORG/NAME")


@dataclass(frozen=True, eq=False, kw_only=True)
class TeacherOptions:
    """How a real teacher is built; the demo's have no options."""

    pin: str | None = None
    """sha256 the weights must have (of the state dict, as a store names them, or of the file), 12 digits or more."""
    precision: str = "float32"
    """`float32` as published, or `bfloat16`."""
    maps: "MapOptions | None" = None
    """What an audio teacher keeps of the map of a whole clip; None for the map itself."""
    skip_self_test: bool = False
    """Take a teacher that fails `self_test`; it is not asked of random weights, of ours, and of the two published ones
    where their file is known."""


def role_of(name: str) -> str:
    """The role of a teacher by its name.

    Raises:
        ValueError: There is no such name.
    """
    if name in TEACHERS:
        known = TEACHERS[name]
        return known if isinstance(known, str) else known[0]
    if name in CATALOGUE:
        return CATALOGUE[name].role
    for prefix, role in OPEN_NAMES.items():
        if name.startswith(prefix):
            return role
    near = difflib.get_close_matches(name, CATALOGUE, 3, 0.5)
    short = f"a short name ({', '.join(near) or 'siglip2-b16-256'}; all in `valor doctor --teachers`)"
    meant = did_you_mean(name, (*TEACHERS, *CATALOGUE))
    raise ValueError(f"teacher must be one of {', '.join((*TEACHERS, short, *_FORMS))}, got {name!r}{meant}")


def check_teacher(name: str) -> str:
    """The role of a teacher, once its name is sure to mean something; nothing is loaded.

    Raises:
        ValueError: There is no such name, or what it names would be silently wrong.
    """
    role = role_of(name)
    if name in TEACHERS:
        return role
    if role == "visual":
        from .clip import parse_name

        parse_name(opened(name))
    else:
        from .clap_models import check_name

        check_name(opened(name))
    return role


def finest_seconds(name: str, checkpoint: str | Path | None = None) -> float | None:
    """Shortest segments a teacher can tell from their neighbours, by its name; None of one that is not ours.

    Who looks gets one of eight frames a second; who listens speaks of segments of a second, unless it says more often
    what it hears.
    """
    if isinstance(TEACHERS.get(name), tuple):
        return None
    if role_of(name) == "visual":
        return FRAME_SECONDS
    if name in CATALOGUE:
        return CATALOGUE[name].finest
    from .pe_audio import finest_of

    return finest_of(name, checkpoint) if name.startswith("hf:") else 1.0


def check_build(
    name: str, prompts: Prompts, *, checkpoint: str | Path | None = None, options: TeacherOptions | None = None
) -> None:
    """Refuse what `build_teacher` refuses, as far as that is known without its network; arguments as there.

    Raises:
        CaptionError: The prompts are empty, one is blank or longer than the teacher reads (where its tokenizer is on
            this machine), or several stand for one class and it reads one.
        ValueError: The name is unknown, or takes no weights or not this precision.
    """
    role = role_of(name)
    _check_given(name, prompts, checkpoint, options or TeacherOptions())
    if name.startswith(_DEMO) or isinstance(TEACHERS.get(name), tuple):
        return
    place = where_weights_are(name) if checkpoint is None else None if checkpoint == _RANDOM else Path(checkpoint)
    if role == "visual":
        from .clip import check_captions, parse_name

        check_captions(parse_name(opened(name)), all_captions(prompts), place)
        return
    from .clap_models import check_captions as check_clap_captions
    from .pe_audio import is_pe_audio

    if checkpoint != _RANDOM and not is_pe_audio(opened(name), checkpoint):  # whose length its network says
        check_clap_captions(all_captions(prompts), place)


def _check_given(name: str, prompts: Prompts, checkpoint: str | Path | None, options: TeacherOptions) -> None:
    """Refuse what a teacher does not take, by its name."""
    check_prompts(prompts)
    is_float = options.precision == "float32"
    if isinstance(TEACHERS.get(name), tuple):
        if checkpoint is not None or options.pin is not None or not is_float:
            raise ValueError(
                f"the teacher {name} is none of ours and takes neither weights nor a precision; leave them"
            )
    elif name.startswith(_DEMO):
        if not is_float or options.pin is not None:
            raise ValueError(
                "the demo's teachers are shipped with the project and compute in float32; leave the options out"
            )
        if several := [place for place, entry in enumerate(prompts) if not isinstance(entry, str)]:
            raise CaptionError(
                f"the demo's teachers read one caption per class, got {len(prompts[several[0]])}; give one, or take "
                "another teacher",
                several,
            )
    elif opened(name).startswith("hf:"):
        from .pe_audio import is_pe_audio

        if is_pe_audio(opened(name), checkpoint) and (not is_float or (options.maps is not None and options.maps.raw)):
            raise ValueError(f"{opened(name)} computes in float32 and has no maps; leave precision and raw_maps out")


def longest_seconds(name: str, checkpoint: str | Path | None = None) -> float | None:
    """Longest segments a teacher takes, by its name; None where there is no such limit, or it is not ours."""
    if isinstance(TEACHERS.get(name), tuple) or role_of(name) == "visual":
        return None
    if name.startswith(_DEMO):
        return 1.0
    from .pe_audio import is_pe_audio

    return None if opened(name).startswith("hf:") and is_pe_audio(opened(name), checkpoint) else 10.0


def build_teacher(
    name: str, prompts: Prompts, *, checkpoint: str | Path | None = None, options: TeacherOptions | None = None
) -> Teacher:
    """Build a named teacher and encode its prompts once.

    Args:
        name: A key of `TEACHERS` or `CATALOGUE`, or an open name.
        prompts: The captions of each class, one or several, in class order.
        checkpoint: A local weight file, the word `random` for seeded random weights (for trying out speed and
            plumbing), or None for the weights the name stands for (from a hub, or shipped with the project).
        options: None for the published ones.

    Raises:
        ValueError: As `check_build`; or the weights are of another network, a network would be silently wrong with
            them, or it fails its self-test.
        FileNotFoundError: The checkpoint is no file.
        RuntimeError: The weights could not be fetched; the message says which local file to give.
    """
    role, options = role_of(name), options or TeacherOptions()
    _check_given(name, prompts, checkpoint, options)
    known = TEACHERS.get(name)
    if isinstance(known, tuple):
        teacher = known[1](prompts)
        check_members(teacher, role)
        return teacher
    if name.startswith(_DEMO):
        from .demo import build_tiny

        captions = [entry for entry in prompts if isinstance(entry, str)]  # all are
        return build_tiny(role, captions, None if checkpoint is None else Path(checkpoint))
    teacher = _build_real(opened(name), role, prompts, checkpoint, options)
    if not options.skip_self_test:
        from .self_test import self_test
        from .weights import RANDOM

        published = name in TEACHERS and getattr(getattr(teacher, "origin", None), "checked", "") == "known"
        if checkpoint != RANDOM and not published:
            self_test(teacher, name)
    return teacher


def _build_real(
    name: str, role: str, prompts: Prompts, checkpoint: str | Path | None, options: TeacherOptions
) -> Teacher:
    """A teacher of an open name."""
    given: dict[str, Any] = {"checkpoint": checkpoint, "pin": options.pin, "precision": options.precision}
    if role == "visual":
        from .clip import build_clip, parse_name

        return build_clip(prompts, name=parse_name(name), **given)
    from .clap import build_clap
    from .clap_models import HUB_PREFIX, check_name
    from .pe_audio import build_pe_audio, is_pe_audio

    if name.startswith(HUB_PREFIX) and is_pe_audio(name, checkpoint):
        return build_pe_audio(prompts, name=name, checkpoint=checkpoint, pin=options.pin)
    return build_clap(prompts, name=check_name(name), maps=options.maps, **given)


def where_weights_are(name: str) -> Path | None:
    """Find the weights a name stands for on this machine, asking nothing of a network.

    Args:
        name: A key of `TEACHERS` or `CATALOGUE`, or the open name of one.

    Returns:
        The weight file, or None where it would first have to be fetched, or where nothing is known of the name.
    """
    if name.startswith(_DEMO):
        from .demo import WEIGHTS

        path = WEIGHTS / f"demo_{role_of(name)}.safetensors"
        return path if path.is_file() else None
    return weights_here(name)
