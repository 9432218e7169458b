"""What many parses say together: seconds and events of each class, over all media in a table and by medium in a CSV.

OUT/summary.csv     a row for each medium and class of which there is an event; one without a class where there is none,
                    and one with an error for a medium that could not be parsed
"""

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from valor.data.parse_file import Parse
from valor.data.parsed_media import told_apart
from valor.eval.events import MODALITIES
from valor.label_harvest.disk import replaced

SUMMARY = "summary.csv"
"""Its name in a folder of parses."""
COLUMNS = (
    "medium",
    "seconds",
    "class",
    "audible_seconds",
    "audible_events",
    "visible_seconds",
    "visible_events",
    "parse",
    "notes",
    "error",
    "unsure_events",
)
"""Of the CSV; `parse` is the JSON beside it, empty with an `error`, `notes` what it says of its file, and how many of
the events are unsure, empty where nobody asked."""
_PARSE, _ERROR = COLUMNS.index("parse"), COLUMNS.index("error")
_BEFORE = (COLUMNS[: _PARSE + 1], COLUMNS[: _ERROR + 1])
"""Of summaries that were written before notes and errors stood in them, and before unsure events did."""


def class_totals(parse: Parse) -> dict[str, list[float]]:
    """By class of which there is an event, the longest first: seconds heard, times heard, seconds seen, times seen."""
    end = parse.media.start_time + parse.media.duration
    found: dict[str, list[float]] = {}
    for event in parse.events:
        place = 2 * MODALITIES.index(event.modality)
        totals = found.setdefault(event.class_name, [0.0, 0, 0.0, 0])
        totals[place] += max(min(event.offset, end) - event.onset, 0.0)  # a last segment reaches past the end
        totals[place + 1] += 1
    return dict(sorted(found.items(), key=lambda entry: -entry[1][0] - entry[1][2]))


def unsure_events(parse: Parse) -> Counter[str]:
    """How many events of each class are unsure."""
    return Counter(event.class_name for event in parse.events if event.unsure)


def found_nowhere(parses: Sequence[Parse]) -> list[str]:
    """Classes that were looked for in media of which none has an event of them."""
    found = {event.class_name for parse in parses for event in parse.events}
    return [name for name in dict.fromkeys(name for p in parses for name in p.class_names) if name not in found]


def summary_text(parses: Sequence[Parse]) -> str:
    """A line for each class over all media, and one for all of them; with the unsure events where somebody asked."""
    from valor.eval.tables import RULE, Sheet  # waits for pandas

    found: dict[str, list[float]] = {}
    unsure: Counter[str] = sum((unsure_events(parse) for parse in parses), Counter())
    asked = any(parse.background_probs is not None for parse in parses)
    for parse in parses:
        for name, totals in class_totals(parse).items():
            held = found.setdefault(name, [0.0, 0, 0.0, 0, 0])
            found[name] = [a + b for a, b in zip(held, [*totals, 1], strict=True)]
    order = sorted(found.items(), key=lambda entry: -entry[1][0] - entry[1][2])
    rows = [[*_shown(name, totals), *[f"{unsure[name]:,}"] * asked] for name, totals in order]
    total = [sum(column) for column in zip(*found.values(), strict=True)][:4] or [0.0, 0, 0.0, 0]
    media = sum(bool(parse.events) for parse in parses)
    rows.append([*_shown("all classes", [*total, media]), *[f"{unsure.total():,}"] * asked])
    columns = ["class", "audible s", "events", "visible s", "events", "media", *["unsure events"] * asked]
    return Sheet(columns=columns, rows=rows, gaps={len(rows) - 1: [RULE]}).to_text()


def write_summary(
    out: Path, parses: Iterable[tuple[str, Parse]], errors: Iterable[tuple[str, str]] = ()
) -> Path | None:
    """Write the CSV of a folder; media that were parsed into it before and are still there keep their rows.

    Args:
        out: The folder.
        parses: Names of the JSON files in it, and what these hold.
        errors: Names of media that could not be parsed, and why; an earlier error of a name goes.

    Returns:
        The file; None where something else has its name, which is left as it is.
    """
    from valor.eval.tables import csv_text  # waits for pandas

    path, new, failed = out / SUMMARY, dict(parses), list(errors)
    held = _read(path)
    if held is None:
        return None
    others = {row[0] for row in held if row[_PARSE] and not new.keys() & _names(row[_PARSE])}
    shown = _shown_media(new, {name for cell in others for name in _names(cell)})
    tried = {name for name, _ in failed} | {parse.media.name for parse in new.values()} | set(shown.values())
    rows: list[list[object]] = [
        [*row]
        for row in held
        if not (row[_ERROR] and tried & _names(row[0]) or new.keys() & _names(row[_PARSE]))
        and (row[_ERROR] or any((out / name).is_file() for name in _names(row[_PARSE])))
    ]
    for file, parse in new.items():
        totals = class_totals(parse) or {"": [0.0, 0, 0.0, 0]}
        begin = [shown[file], round(parse.media.duration, 3)]
        end = [file, "; ".join(parse.notes), ""]
        unsure = None if parse.background_probs is None else unsure_events(parse)
        rows += [
            [*begin, name, *(round(number, 3) for number in of), *end, "" if unsure is None else unsure[name]]
            for name, of in totals.items()
        ]
    rows += [[name, *[""] * (_ERROR - 1), " ".join(error.split()), ""] for name, error in failed]
    with replaced(path) as temporary:
        temporary.write_text(csv_text(COLUMNS, rows) + "\n", encoding="utf-8")
    return path


def _shown_media(parses: Mapping[str, Parse], others: Collection[str]) -> dict[str, str]:
    """What the media of each parse are called: apart from one another, and from those of other parses in the folder."""
    paths = [parse.media.path or parse.media.name for parse in parses.values()]
    names = dict(zip(parses, told_apart(paths), strict=True))
    return {
        file: "/".join(Path(path).parts[-2:]) if names[file] in others else names[file]
        for file, path in zip(names, paths, strict=True)
    }


def _shown(name: str, totals: Sequence[float]) -> list[str]:
    heard, times_heard, seen, times_seen, media = totals
    return [name, f"{heard:,.1f}", f"{times_heard:,.0f}", f"{seen:,.1f}", f"{times_seen:,.0f}", f"{media:,.0f}"]


def _names(cell: str) -> set[str]:
    """What a file may be called whose name stands in a cell, where an apostrophe may keep it from being a formula."""
    return {cell, cell.removeprefix("'")}


def _read(path: Path) -> list[list[str]] | None:
    """Rows of a summary that was written before, none where there is no file; None of what is no summary."""
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as opened:
            columns, *rows = csv.reader(opened)
    except (OSError, ValueError, csv.Error):
        return None
    if tuple(columns) not in (COLUMNS, *_BEFORE) or any(len(row) != len(columns) for row in rows):
        return None
    return [row + [""] * (len(COLUMNS) - len(row)) for row in rows]
