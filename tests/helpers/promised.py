"""What must come of a change to an input: refused, seen (refused, warned of, another answer), or nothing is promised.

Values that JSON may hold are told by what stands at each place: a value of another kind or out of its range must be
refused. The same for arrays by their names and for cells of tables by their column.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.helpers.mangle_text import CELLS, STRANGE, Raw

Fits = Callable[[Any], bool]


def never(value: Any) -> bool:
    return False


def always(value: Any) -> bool:
    return True


def number(lowest: float, highest: float) -> Fits:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and lowest <= value <= highest


def whole(lowest: int, highest: int) -> Fits:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


def text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Raw) and bool(value.strip())


def any_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Raw)


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def one_of(*values: Any) -> Fits:
    return lambda value: any(value == one and type(value) is type(one) for one in values)


def or_null(fits: Fits) -> Fits:
    return lambda value: value is None or fits(value)


LATEST = 1e9
"""Seconds a time may say."""
SEGMENT, GATE = number(0, 1), never
RULE = {"segment_threshold": number(0, 1), "gate": never, "clip_threshold": number(0, 1)}
EVENT = {
    "": never,
    ".event_label": never,
    ".onset": number(0, LATEST),
    ".offset": number(0, LATEST),
    ".score": or_null(number(0, 1)),
}
FIGURES = ("audio", "visual", "audio_visual", "type_av", "event_av")

PREDICTIONS: dict[str, Fits] = {
    ".format": never, ".classes": never, ".classes[]": never, ".segments": whole(1, 100_000),
    ".segment_seconds": number(1e-3, LATEST), ".clips": never, ".clips[]": never, ".clips[].clip_id": text,
    **{f".clips[].{modality}": one_of([]) for modality in ("audio", "visual")},
    **{f".clips[].{modality}[]{key}": fits for modality in ("audio", "visual") for key, fits in EVENT.items()},
}  # fmt: skip
PARSE: dict[str, Fits] = {
    ".format": never, ".version": never, ".media": never, ".media.name": text, ".media.path": any_text,
    ".media.duration": number(0, LATEST), ".media.start_time": number(-LATEST, LATEST), ".media.has_audio": flag,
    ".media.has_visual": flag, ".media.frame_rate": or_null(number(0, LATEST)), ".media.size": or_null(whole(0, 2**53)),
    ".media.width": or_null(whole(0, 2**53)), ".media.height": or_null(whole(0, 2**53)),
    ".media.sha256": or_null(any_text),
    ".media.modified": or_null(number(-(2**53), 2**53)), ".media.constant_rate": or_null(flag), ".classes": never,
    ".classes[]": text, ".segment_seconds": number(1e-3, LATEST), ".segment_probs": never,
    ".segment_probs.audio": one_of(None), ".segment_probs.visual": one_of(None), ".segment_probs.audio[]": never,
    ".segment_probs.visual[]": never, ".segment_probs.audio[][]": or_null(number(0, 1)),
    ".segment_probs.visual[][]": or_null(number(0, 1)), ".gate_probs": never, ".gate_probs[]": never,
    ".gate_probs[][]": never, ".gate_probs[][][]": or_null(number(0, 1)), ".decision": never,
    **{f".decision.{name}": fits for name, fits in RULE.items()}, ".system": one_of({}, {"x": 1}),
    ".notes": one_of([], ["x", "y"]), ".notes[]": any_text, ".cuts": one_of([], [1, 2]),
    ".cuts[]": number(-LATEST, 2 * LATEST),
}  # fmt: skip
SCORES: dict[str, Fits] = {
    **{f".{level}": never for level in ("segment", "event")},
    **{f".{level}.{figure}": number(0, 100) for level in ("segment", "event") for figure in FIGURES},
    ".clips": whole(1, 2**53), ".clips_expected": whole(1, 2**53), ".truth_sha256": or_null(text),
    ".post_processing": one_of(None), **{f".post_processing.{name}": fits for name, fits in RULE.items()},
}  # fmt: skip
SCORES |= {
    ".post_processing.segment_threshold": or_null(number(0, 1)),
    ".post_processing.clip_threshold": always,
    ".post_processing.gate": text,
}
THRESHOLDS: dict[str, Fits] = {
    ".applies_to": never, ".audio": never, ".visual": never, ".audio[]": number(-1e12, 1e12),
    ".visual[]": number(-1e12, 1e12),
    ".post_processing": one_of(None), **{f".post_processing.{name}": fits for name, fits in RULE.items()},
    ".classes": one_of(None, {}), ".note": or_null(any_text), ".criterion": or_null(any_text),
    ".split": or_null(any_text),
    ".truth_version": or_null(any_text), ".truth_sha256": or_null(any_text),
    **{f".classes.{name}": one_of({}, {"x": 1}) for name in ("Speech", "Car", "Dog")},
    **{f".classes.{name}.{role}": one_of({}, {"x": 1}) for name in ("Speech", "Car", "Dog") for role in ("audio",
        "visual")},
    **{f".classes.{name}.{role}.f": or_null(number(0, 1)) for name in ("Speech", "Car", "Dog") for role in ("audio",
        "visual")},
    **{f".classes.{name}.{role}.support": or_null(whole(0, 2**53)) for name in ("Speech", "Car",
        "Dog") for role in ("audio", "visual")},
}  # fmt: skip
FACTS: dict[str, Fits] = {
    ".random_weights": flag,
    ".teachers": one_of({}),
    ".left_out": lambda value: isinstance(value, list | dict),
}
NAMES: dict[str, Fits] = {"[]": text}
VOCABULARY: dict[str, Fits] = {
    "[]": text, "[].name": text, "[].visual_prompt": lambda value: value is None or text(value) or value == ["x", "y"],
    "[].audio_prompt": lambda value: value is None or text(value) or value == ["x", "y"], "[].audio_prompt[]": text,
    "[].visual_threshold": or_null(number(-1e308, 1e308)), "[].audio_threshold": or_null(number(-1e308, 1e308)),
}  # fmt: skip
DATASET: dict[str, Fits] = {
    ".name": text, ".title": text, ".classes": never, ".segments": whole(1, 100_000), ".tags": never,
    ".tags.test": never,
    ".events": never, ".events.v1": never, ".events.v1[]": never, ".annotated": one_of(["x", "y"]),
    ".annotated[]": text,
}  # fmt: skip
DATASET |= {f".tags.{split}": text for split in ("train", "val")}
UNLIKE = DATASET | {".segments": or_null(whole(1, 100_000)), ".unseen": one_of([]), ".unseen[]": never}
"""Of clips of unlike length, with a class that is unseen."""
OVAVE = {
    f".{clip}{key}": never for clip in ("test-a", "test-b", "test-c") for key in ("", ".category", ".label")
}  # fmt: skip

JSON_FILES: dict[str, Mapping[str, Fits]] = {
    r"events\.json": PREDICTIONS, r"parses/.*\.json": PARSE, r"s\.json|scores/.*\.json": SCORES,
    r"thresholds\.json": THRESHOLDS,
    r"labels/labels\.json": FACTS, r"data/classes\.json": NAMES, r"(own/)?classes\.json": VOCABULARY,
    r"own/dataset\.json": DATASET, r"yard/dataset\.json": UNLIKE, r"ovave/.*\.json": OVAVE,
}  # fmt: skip
"""By the path of a file, what may stand at each place."""
NEEDED = {
    ".format", ".version", ".clips", ".clips[].clip_id", ".clips[].audio", ".clips[].visual", ".media", ".media.name",
    ".segment_probs",
    ".segment_probs.audio", ".decision", ".segment", ".event", ".segment.audio", ".applies_to", ".random_weights",
    *(f".clips[].{modality}[].{key}" for modality in ("audio", "visual") for key in ("event_label", "onset", "offset")),
}  # fmt: skip
"""Keys without which a file says nothing."""
NO_JSON = (
    "key twice",
    "key twice, other value",
    "NaN",
    "-Infinity",
    "1e999",
    "whole of 400 digits",
    "deeper",
    "half a letter",
)
"""Changes that no JSON reader takes, whatever stands there; half a letter alone where text is read."""

NO_TIME = (
    "nan", "inf", "hex", "arabic three", "wide three", "1_0", "400 digits", "-1", "1e400", "comma", "in quotes",
    "empty", "blank", "true",
    "formula", "escape", "NUL", "accent", "10**12", "unknown", "two",
)  # fmt: skip
"""Cells that are no time."""
NEVER, NO_WHOLE = tuple(CELLS), (*NO_TIME, "1.5", "tiny", "10.000000001")
NOT_TRUE = tuple(name for name in CELLS if name != "true")
TABLES: dict[str, Mapping[str, Iterable[str]]] = {
    r".*AVVP_eval_\w+\.csv": dict.fromkeys("12", NO_TIME),
    r"tables/(audio|visual)\.tsv": dict.fromkeys("12", set(NO_TIME) - {"empty", "blank"}),
    r"lfav/test/test_(audio|visual)\.csv": {"1": NO_WHOLE, "2": NO_WHOLE, "3": NEVER},
    r"lfav/durations\.tsv": {"1": NO_TIME},
    r"ovave/.*\.csv": dict.fromkeys("012", NEVER),
    r"vggsounder/vggsounder\.csv": {"2": NOT_TRUE, "3": NOT_TRUE, "4": NOT_TRUE, "5": NOT_TRUE},
    r"cuts\.txt": {"0": set(NO_TIME) - {"comma", "empty", "blank"}},
    r"yard/test\.tsv": {"3": {*NO_TIME, "10**9"}},
    r"rows\.tsv": {"1": NO_TIME, "2": NO_TIME, "3": NEVER, "4": NEVER},
}
"""By the path of a table and the column, cells that must be refused. A cut may be followed by a comma and more."""
NO_ARRAY = (
    "objects",
    "bytes",
    "structured",
    "dates",
    "void",
    "axis more",
    "scalar",
    "row less",
    "none",
    "as complex64",
    "half letters",
)
"""Changes to any array of predictions or labels that leave none."""


SAME_JSON = ("CRLF", "CR", "BOM", "stranger beside")
"""Changes that leave JSON what it was, and more of it."""


def must(words: str, file: str, what: str) -> str:
    """What must come of a change to a file: `refused`, `seen`, or nothing that is known here.

    Args:
        words: The command.
        file: Its path among the inputs.
        what: What was changed, as the manglers say it.
    """
    if words.startswith("lint "):  # lists what scoring refuses, and goes on
        wanted = must("", file, what)
        return "seen" if wanted == "refused" and "classes.json" not in file else wanted
    if words.startswith("store verify"):
        alike = what.startswith("text: ") or what.rpartition(": ")[2] in SAME_JSON or "swapped" in what
        loose = alike and file.endswith("manifest.json")  # its fingerprint is over what it says
        return "" if loose else "seen"
    if file == "run/best.safetensors" and words.startswith(("predict", "evaluate")):
        return "refused"
    if file == "run/recipe.json" and words.startswith(("predict", "evaluate")):
        return "refused"
    if file.startswith("run/"):
        return ""
    if file.endswith(".json"):
        return _must_json(file, what)
    if file.endswith(".npz"):
        return _must_arrays(file, what)
    found = re.fullmatch(r"column (\d): (.*)", what)
    columns = next((columns for pattern, columns in TABLES.items() if re.fullmatch(pattern, file)), {})
    return "refused" if found and found[2] in columns.get(found[1], ()) else ""


def _must_json(file: str, what: str) -> str:
    schema = next((schema for pattern, schema in JSON_FILES.items() if re.fullmatch(pattern, file)), None)
    place, _, change = what.rpartition(": ")
    if schema is None or "; " in what or place in ("text", "bytes", "file", "lines moved"):
        return ""
    if change in SAME_JSON:
        return ""
    if file.startswith("parses/") and place in (".format", "$"):
        return "seen"  # as no parse, passed over with a warning
    if change in NO_JSON and change != "half a letter":
        return "refused"
    if place == "$" and change in STRANGE:
        return "" if file.endswith("classes.json") and change == "texts" else "refused"
    fits = schema.get(place)
    if change == "lost":
        return "refused" if place in NEEDED and place in schema else ""
    if fits is None or change not in STRANGE:
        return ""
    value = STRANGE[change]
    return "refused" if isinstance(value, Raw) and fits is not always or not fits(value) else ""


def _must_arrays(file: str, what: str) -> str:
    array, _, change = what.rpartition(": ")
    if array not in (
        "clip_ids",
        "classes",
        "segment_probs",
        "clip_probs",
        "modality_probs",
        "predicted",
        "valid",
        "pseudo_labels",
    ):
        return ""
    if change in NO_ARRAY or change in ("twice", "twice, other values", "bzip2", "lzma", "encrypted"):
        return "refused"
    if array.endswith("_probs") and change in (
        "one NaN",
        "one inf",
        "one -0.1",
        "one 1.1",
        "one 1e30",
        "as int64",
        "as S3",
        "as U5",
    ):
        return "refused"
    if array in ("clip_ids", "classes", "segment_probs", "predicted", "pseudo_labels") and change in (
        "lost",
        "renamed",
        "capitals",
        "deeper",
    ):
        return "" if change == "capitals" else "refused"
    return ""
