"""The one table of event classes: name, the prompts the two teachers read, and the thresholds on what they answer."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Any

from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.places.place import Place, matching, place_of, stands
from valor.label_harvest.store.manifest import composed
from valor.label_harvest.strict_json import as_list, as_object, as_text, loads

from .names import list_names, split_names


@dataclass(frozen=True)
class EventClass:
    """One event class, as the annotation tables and both teachers know it."""

    name: str
    """The name in the annotation tables."""
    visual_prompt: str | tuple[str, ...]
    """The caption whose similarity to a frame says the class is visible; of several the embeddings are averaged."""
    audio_prompt: str | tuple[str, ...]
    """The caption whose similarity to a second of sound says the class is audible; of several likewise."""
    visual_threshold: float | None = None
    """Label threshold of CLIP, in its logits (scale * cosine); a label needs more than this. None where nobody knows
    one yet: a harvest needs none, and `valor calibrate` makes them."""
    audio_threshold: float | None = None
    """Label threshold of CLAP, in its logits, likewise."""

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
            for text in texts:
                as_text(text, name)  # no half of a character, which no tokenizer and no file takes
        for name in ("visual_threshold", "audio_threshold"):
            number = getattr(self, name)
            if number is None:
                continue
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
STORE = "store"
"""Folder beside annotation tables that holds the evidence of their clips."""


def class_names(classes: tuple[EventClass, ...]) -> tuple[str, ...]:
    """The names of `classes` in their order, which is the order of the class axis C everywhere."""
    return tuple(event_class.name for event_class in classes)


def prompts(classes: tuple[EventClass, ...], role: str) -> tuple[str | tuple[str, ...], ...]:
    """The captions of each class for a teacher: the audio captions for `audio`, else the visual ones."""
    return tuple(entry.audio_prompt if role == "audio" else entry.visual_prompt for entry in classes)


PLAIN_VISUAL, PLAIN_AUDIO = 20.0, 6.0
"""What stands in for thresholds of CLIP and CLAP that nobody knows: the highest of LLP's, a cosine of 0.20 for CLIP."""


def named_class(name: str) -> EventClass:
    """The class of a mere name: LLP's where it has one of this name, else with captions made of the name.

    >>> named_class("glass_breaking").audio_prompt
    'This is a sound of glass breaking'
    """
    known = next((entry for entry in LLP_CLASSES if entry.name == name), None)
    words = name.replace("_", " ")
    return known or EventClass(name, f"A photo of {words}.", f"This is a sound of {words}")


def read_vocabulary(typed: str, known: Sequence[str] = ()) -> tuple[EventClass, ...]:
    """Read a vocabulary: by name (`llp`), from a JSON file, or of names with commas between (`valor.data.names`).

    The file holds a list of names, or of objects with `name` and whatever else of EventClass is to be other than what
    `named_class` makes of it. A prompt is a text or a list of texts. A file .txt holds a name on each line.

    Args:
        typed: What was typed.
        known: Names of classes of which one may be meant by a word that is none of these, beside those of LLP.

    Raises:
        ValueError: None of these, or two classes share a name.
    """
    if typed in VOCABULARIES:
        return VOCABULARIES[typed]
    if "," in typed and "://" not in typed and not is_file(typed):
        return tuple(map(named_class, _unique(split_names(typed), typed)))
    return vocabulary_file(place_of(typed), known)


def vocabulary_file(path: Place, known: Sequence[str] = ()) -> tuple[EventClass, ...]:
    """Read a vocabulary from a file, see `read_vocabulary`.

    Raises:
        ValueError: There is no such file, it is of another form, or two classes share a name.
    """
    if not path.is_file():
        raise ValueError(
            f"classes must be one of {', '.join(VOCABULARIES)} or a JSON file of classes, got {str(path)!r}"
            f"{did_you_mean(str(path), [*VOCABULARIES, *known, *class_names(LLP_CLASSES)])}, "
            "which is no file; names of classes have commas between, and one alone a comma behind it"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".txt" and not text.lstrip().startswith("["):
            return named_classes([line.strip() for line in text.splitlines() if line.strip()])
        entries = as_list(loads(text), "the file")
        classes = tuple(_entry(entry) for entry in entries)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path}: expected a JSON list of names, or of objects with name and, where they are known, visual_prompt, "
            f"audio_prompt, visual_threshold and audio_threshold, got {error}"
        ) from error
    _unique(list(class_names(classes)), str(path))
    return classes


def _entry(entry: object) -> EventClass:
    """A class as it stands in a file."""
    if isinstance(entry, str):
        return named_class(entry.strip())
    given = as_object(entry, "a class")
    if not isinstance(name := given.get("name"), str):
        raise TypeError(f"name must be text, got {name!r}")
    known = [field.name for field in fields(EventClass)]
    if strange := next((key for key in given if key not in known), None):
        raise ValueError(f"an unknown key {strange!r:.200}{did_you_mean(strange, known)}")
    captions = named_class(name)
    made = {"visual_prompt": captions.visual_prompt, "audio_prompt": captions.audio_prompt}
    return EventClass(**{**made, **given})


def is_file(text: str) -> bool:
    """Whether a text is the path of a file; many names in a row are longer than a path may be."""
    try:
        return place_of(text).is_file()
    except OSError:
        return False


def named_classes(names: Sequence[str]) -> tuple[EventClass, ...]:
    """The vocabulary of a list of names in their order, see `named_class`.

    Raises:
        ValueError: No name, or one twice.
    """
    return tuple(map(named_class, _unique(list(names), "classes")))


def stored_classes(*stores: Place, captions: bool = True) -> tuple[EventClass, ...]:
    """The classes of the evidence in a store, with the captions its teachers read; LLP's where there is none.

    Args:
        stores: Stores, or folders of them, that need not be there.
        captions: Whether more than the names will be used.

    Raises:
        ValueError: There is evidence of several vocabularies.
    """
    from valor.label_harvest.store.store import store_manifest

    held = set()
    for path in (
        path for store in stores for at in ("manifest.json", "*/manifest.json") for path in matching(store, at)
    ):
        with suppress(ValueError):  # of others, or damaged: whoever reads it will say so
            held.add(_classes_in(store_manifest(path.parent)))
    if len(held if captions else {class_names(classes) for classes in held}) > 1:
        raise ValueError(f"{stores[0]}: holds evidence of several vocabularies; say which with classes=FILE")
    return next(iter(held), LLP_CLASSES)


def _classes_in(manifest: Mapping[str, Any]) -> tuple[EventClass, ...]:
    """The classes of a store with the captions its teachers read."""
    teachers, names = manifest["teachers"], manifest["class_names"]
    visual, audio = ((teachers.get(role) or {}).get("prompts") for role in ("visual", "audio"))
    classes = []
    for index, name in enumerate(names):
        known = named_class(name)
        seen, heard = (held[index] if held and len(held) == len(names) else None for held in (visual, audio))
        own = EventClass(name, seen or known.visual_prompt, heard or known.audio_prompt)
        same = (own.visual_prompt, own.audio_prompt) == (known.visual_prompt, known.audio_prompt)
        classes.append(known if same else own)
    return tuple(classes)


def refuse_other_classes(names: Sequence[str], held: Sequence[str], where: str) -> None:
    """Refuse classes that are not those of a store, by name.

    Raises:
        ValueError: They differ, or stand in another order.
    """
    if tuple(names) == tuple(held):
        return
    strange, lacking = ([name for name in one if name not in other] for one, other in ((names, held), (held, names)))
    parts = ((strange, "not among them"), (lacking, "missing"))
    told = [f"{list_names(part, 5)} {what}" for part, what in parts if part]
    raise ValueError(
        f"{where}: the classes are not those of the store ({list_names(held, 5)}): "
        f"{'; '.join(told) or 'they stand in another order'}; leave `classes` out, or give those it was harvested with"
    )


def read_class_names(typed: str | None, folder: Place, known: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the classes of annotation tables.

    Args:
        typed: As for `read_vocabulary`; None for the file `classes.json` beside the tables, else for what the store in
            their folder knows, or LLP's.
        folder: Folder of the tables.
        known: As for `read_vocabulary`.

    Raises:
        ValueError: None of these, or a name stands there twice.
    """
    if typed is None and not stands(folder / CLASSES_FILE):
        return class_names(stored_classes(folder / STORE, folder, captions=False))
    return class_names(read_vocabulary(typed, known) if typed is not None else vocabulary_file(folder / CLASSES_FILE))


def _unique(names: list[str], where: str) -> tuple[str, ...]:
    counts = Counter(map(composed, names))  # an accent behind its letter looks the same
    twice = sorted({name for name in names if counts[composed(name)] > 1})
    if not names or twice:
        raise ValueError(
            f"{where}: class names must be unique and at least one, got {twice or 'none'}; rename or remove"
        )
    return tuple(names)
