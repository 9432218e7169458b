"""The one table of event classes: name, the prompts the two teachers read, and the thresholds on what they answer."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from valor.label_harvest.places.place import place_of, stands
from valor.label_harvest.strict_json import as_list, as_object, loads


@dataclass(frozen=True)
class EventClass:
    """One event class, as the annotation tables and both teachers know it."""

    name: str
    """The name in the annotation tables."""
    visual_prompt: str | tuple[str, ...]
    """The caption whose similarity to a frame says the class is visible; of several the embeddings are averaged."""
    audio_prompt: str | tuple[str, ...]
    """The caption whose similarity to a second of sound says the class is audible; of several likewise."""
    visual_threshold: float
    """Label threshold of the visual teacher, in its logits (scale * cosine); a label needs more than this."""
    audio_threshold: float
    """Label threshold of the audio teacher, in its logits; a label needs more than this."""

    def __post_init__(self) -> None:
        """Refuse texts that are none or blank, and thresholds that are no numbers."""
        for name in ("visual_prompt", "audio_prompt"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("name", "visual_prompt", "audio_prompt"):
            given = getattr(self, name)
            texts = given if isinstance(given, tuple) and name != "name" else (given,)
            if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
                raise TypeError(f"{name} must be text, got {given!r}")
        for name in ("visual_threshold", "audio_threshold"):
            number = getattr(self, name)
            if not isinstance(number, int | float) or isinstance(number, bool) or not math.isfinite(number):
                raise TypeError(f"{name} of {self.name} must be a number, got {number!r}")


# The captions keep the typos of the published label generator ("vaccum", "a acoustic guiter"): they reach the text
# encoder, so mending them would change the labels. Source of prompts and thresholds: the VALOR code, NeurIPS 2023.
LLP_CLASSES: tuple[EventClass, ...] = (
    EventClass("Speech", "A photo of people talking.", "This is a sound of speech", 20.0, 0.0),
    EventClass("Car", "A photo of a car.", "This is a sound of car", 15.0, 0.0),
    EventClass("Cheering", "A photo of people cheering.", "This is a sound of cheering", 18.0, 1.0),
    EventClass("Dog", "A photo of a dog.", "This is a sound of dog", 14.0, 4.0),
    EventClass("Cat", "A photo of a cat.", "This is a sound of cat", 15.0, 6.0),
    EventClass("Frying_(food)", "A photo of frying food.", "This is a sound of frying (food)", 18.0, -2.0),
    EventClass(
        "Basketball_bounce",
        "A photo of people playing basketball.",
        "This is a sound of basketball bounce",
        18.0,
        4.0,
    ),
    EventClass("Fire_alarm", "A photo of a fire alarm.", "This is a sound of fire alarm", 15.0, 4.0),
    EventClass("Chainsaw", "A photo of a chainsaw.", "This is a sound of chainsaw", 15.0, 2.0),
    EventClass("Cello", "A photo of a cello.", "This is a sound of cello", 15.0, 2.0),
    EventClass("Banjo", "A photo of a banjo.", "This is a sound of banjo", 15.0, 2.0),
    EventClass("Singing", "A photo of people singing.", "This is a sound of singing", 18.0, 1.0),
    EventClass(
        "Chicken_rooster",
        "A photo of a chicken or a rooster.",
        "This is a sound of chicken, rooster",
        15.0,
        2.0,
    ),
    EventClass("Violin_fiddle", "A photo of a violin.", "This is a sound of violin fiddle", 15.0, 3.0),
    EventClass("Vacuum_cleaner", "A photo of a vaccum cleaner.", "This is a sound of vacuum cleaner", 15.0, 0.0),
    EventClass("Baby_laughter", "A photo of a laughing baby.", "This is a sound of baby laughter", 15.0, 2.0),
    EventClass("Accordion", "A photo of an accordion.", "This is a sound of accordion", 15.0, 2.0),
    EventClass("Lawn_mower", "A photo of a lawnmower.", "This is a sound of lawn mower", 15.0, 2.0),
    EventClass("Motorcycle", "A photo of a motorcycle.", "This is a sound of motorcycle", 15.0, 0.0),
    EventClass("Helicopter", "A photo of a helicopter.", "This is a sound of helicopter", 16.0, 2.0),
    EventClass("Acoustic_guitar", "A photo of a acoustic guiter.", "This is a sound of acoustic guitar", 14.0, -1.0),
    EventClass(
        "Telephone_bell_ringing",
        "A photo of a ringing telephone.",
        "This is a sound of telephone bell ringing",
        15.0,
        2.0,
    ),
    EventClass(
        "Baby_cry_infant_cry",
        "A photo of a crying baby.",
        "This is a sound of baby cry, infant cry",
        15.0,
        3.0,
    ),
    EventClass("Blender", "A photo of a blender.", "This is a sound of blender", 15.0, 3.0),
    EventClass("Clapping", "A photo of hands clapping.", "This is a sound of clapping", 18.0, 0.0),
)
"""The 25 classes of LLP in the order of every published array."""

VOCABULARIES: dict[str, tuple[EventClass, ...]] = {"llp": LLP_CLASSES}
"""Vocabularies the command line knows by name; any other is a JSON file, see `read_vocabulary`."""

CLASSES_FILE = "classes.json"
"""File beside annotation tables that names their classes, where they are not those of LLP."""


def class_names(classes: tuple[EventClass, ...]) -> tuple[str, ...]:
    """The names of `classes` in their order, which is the order of the class axis C everywhere."""
    return tuple(event_class.name for event_class in classes)


def prompts(classes: tuple[EventClass, ...], role: str) -> tuple[str | tuple[str, ...], ...]:
    """The captions of each class for a teacher: the audio captions for `audio`, else the visual ones."""
    return tuple(entry.audio_prompt if role == "audio" else entry.visual_prompt for entry in classes)


PLAIN_VISUAL, PLAIN_AUDIO = 20.0, 6.0
"""Thresholds of classes of which only the name is known: the highest of LLP's, a cosine of 0.20 for CLIP."""


def named_classes(names: Sequence[str]) -> tuple[EventClass, ...]:
    """Classes made of mere names.

    A name that is one of LLP's gets LLP's captions, any other "A photo of NAME." and "This is a sound of NAME".

    Raises:
        ValueError: No name, or one twice.
    """
    known = {entry.name: entry for entry in LLP_CLASSES}
    return tuple(known.get(name) or _named(name) for name in _unique(list(names), "classes"))


def _named(name: str) -> EventClass:
    words = name.replace("_", " ")
    return EventClass(name, f"A photo of {words}.", f"This is a sound of {words}", PLAIN_VISUAL, PLAIN_AUDIO)


def read_vocabulary(name_or_path: str) -> tuple[EventClass, ...]:
    """Read a vocabulary by name (`llp`) or from a JSON file holding a list of EventClass fields.

    A prompt is a text or a list of texts.

    Raises:
        ValueError: Neither a known name nor a file of that form, or two classes share a name.
    """
    if name_or_path in VOCABULARIES:
        return VOCABULARIES[name_or_path]
    path = place_of(name_or_path)
    if not path.is_file():
        raise ValueError(
            f"classes must be one of {', '.join(VOCABULARIES)} or a JSON file of classes, got {name_or_path!r}, "
            "which is no file"
        )
    try:
        entries = as_list(loads(path.read_text(encoding="utf-8")), "the file")
        classes = tuple(EventClass(**as_object(entry, "a class")) for entry in entries)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path}: expected a JSON list of objects with name, visual_prompt, audio_prompt, visual_threshold and "
            f"audio_threshold, got {error}"
        ) from error
    _unique(list(class_names(classes)), str(path))
    return classes


def read_class_names(typed: str | None, folder: Path) -> tuple[str, ...]:
    """Names of the classes of annotation tables, for what needs neither captions nor thresholds.

    Args:
        typed: A vocabulary by name, a JSON file of classes or of their names, or names with commas between; None for
            the file `classes.json` beside the tables, or LLP's classes where there is none.
        folder: Folder of the tables.

    Raises:
        ValueError: None of these, or a name stands there twice.
    """
    beside = folder / CLASSES_FILE
    typed = typed or (str(beside) if stands(beside) else "llp")
    if "," in typed:
        return _unique([name.strip() for name in typed.split(",") if name.strip()], typed)
    if typed not in VOCABULARIES and Path(typed).is_file():
        try:
            held = loads(Path(typed).read_text(encoding="utf-8"))
        except ValueError:
            held = None  # read_vocabulary says what is wrong
        if isinstance(held, list) and held and all(isinstance(name, str) and name.strip() for name in held):
            return _unique(held, typed)
    return class_names(read_vocabulary(typed))


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Say which known name was probably meant; an empty string if none comes close."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f" (did you mean {close[0]}?)" if close else ""


def _unique(names: list[str], where: str) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names or twice:
        raise ValueError(
            f"{where}: class names must be unique and at least one, got {twice or 'none'}; rename or remove"
        )
    return tuple(names)
