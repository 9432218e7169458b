"""JSON, tables and text with one thing changed, and a word for what; see `tests.helpers.mangle`."""

import json
import random
from collections.abc import Callable
from typing import Any

Mangled = tuple[bytes, str]


class Raw(str):
    """JSON that stands as it is."""


class Pairs(list):
    """An object in which a key may stand twice."""


def to_text(value: Any) -> str:
    """JSON of a value, of `Raw` and of `Pairs`."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{to_text(key)}: {to_text(inner)}" for key, inner in value) + "}"
    if isinstance(value, dict):
        return to_text(Pairs(value.items()))
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(to_text, value)) + "]"
    return json.dumps(value)


STRANGE: dict[str, Any] = {
    "null": None, "true": True, "false": False, "0": 0, "-0.0": -0.0, "-1": -1, "2": 2, "1e300": 1e300, "1.5": 1.5,
    "-0.5": -0.5, "5e-324": 5e-324, "2**63": 2**63, "10**299": 10**299, "whole of 400 digits": Raw("9" * 400),
    "number of 400 digits": Raw("1" + "0" * 400 + ".5"), "1e999": Raw("1e999"), "NaN": Raw("NaN"),
    "-Infinity": Raw("-Infinity"), "no text": "", "blank": " ", "word": "x", "'10'": "10", "'NaN'": "NaN",
    "'0.5'": "0.5", "escape": "a\x1b[2J", "half a letter": Raw('"\\ud800"'), "turned": "a\u202eb", "NUL": "a\x00b",
    "tab": "a\tb", "line": "a\nb", "line separator": "a\u2028b", "accent": "e\u0301", "path": "../x",
    "long text": "x" * 100_000, "no list": [],
    "no object": {}, "nested": [[]], "object": {"x": 1}, "list": [1, 2], "texts": ["x", "y"],
    "deep": Raw("[" * 3000 + "]" * 3000),
    "deeper": Raw("[" * 200_000), "deep objects": Raw('{"a":' * 3000 + "1" + "}" * 3000), "long list": [0] * 20_000,
}  # fmt: skip
"""What may stand in place of any value."""


def _places(value: Any, path: str = "") -> list[tuple[Any, Any, str]]:
    """(holder, key, pattern) of everything in a JSON value."""
    found = []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += [(value, key, f"{path}.{key}"), *_places(inner, f"{path}.{key}")]
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += [(value, index, f"{path}[]"), *_places(inner, f"{path}[]")]
    return found


def _changed_value(value: Any, rng: random.Random) -> tuple[Any, str]:
    """Another value of the same kind, or one wrapped."""
    near: dict[str, Any] = {"in a list": [value], "in an object": {"x": value}, "as text": json.dumps(value)}
    if isinstance(value, bool):
        near["turned round"] = not value
    elif isinstance(value, int | float):
        scaled = value or 1  # 0 stays 0 whatever it is multiplied by
        near |= {
            "one more": value + 1,
            "negative": -scaled,
            "million fold": scaled * 1e6,
            "half more": value + 0.5,
            "halved": scaled / 2,
        }
        near |= {"one less": value - 1, "bool": bool(value)}
    elif isinstance(value, str):
        near |= {
            "upper": value.upper(),
            "blank behind": value + " ",
            "blank before": " " + value,
            "NUL behind": value + "\x00",
        }
        near |= {"cut": value[:-1], "twice": value * 2, "BOM before": "\ufeff" + value}
    elif isinstance(value, list) and value:
        near |= {"reversed": value[::-1], "first twice": [value[0], *value], "last lost": value[:-1], "empty": []}
        near |= {"null added": [*value, None], "halved": value[: len(value) // 2]}
    elif isinstance(value, dict) and value:
        near |= {
            "as pairs": [[key, inner] for key, inner in value.items()],
            "empty": {},
            "values alone": list(value.values()),
        }
    what = rng.choice(list(near))
    return near[what], what


def mangled_value(value: Any, rng: random.Random) -> tuple[Any, str]:
    """A JSON value with one part changed, lost, doubled or renamed."""
    value = json.loads(json.dumps(value))
    places = _places(value)
    if not places or rng.random() < 0.03:
        what = rng.choice(list(STRANGE))
        return STRANGE[what], f"$: {what}"
    by_pattern: dict[str, list] = {}
    for place in places:
        by_pattern.setdefault(place[2], []).append(place)
    holder, key, pattern = rng.choice(by_pattern[rng.choice(list(by_pattern))])  # every kind of place equally often
    draw = rng.random()
    if draw < 0.5:
        what = rng.choice(list(STRANGE))
        holder[key] = STRANGE[what]
    elif draw < 0.75:
        holder[key], what = _changed_value(holder[key], rng)
    elif draw < 0.82:
        what = "lost"
        del holder[key]
    elif draw < 0.88:
        other = rng.choice(places)
        what = f"swapped with {other[2]}"
        try:
            holder[key], other[0][other[1]] = other[0][other[1]], holder[key]
            json.dumps(value)
        except (ValueError, RecursionError):  # one within the other
            holder[key], what = None, "null"
    elif isinstance(holder, list):
        what = "doubled"
        holder.insert(key, holder[key])
    else:
        inner = holder[key]
        what, pairs = rng.choice([
            ("key twice", [(key, inner), (key, inner)]),
            ("key twice, other value", [(key, inner), (key, None)]),
            ("key in capitals", [(key.upper(), inner)]),
            ("key with a blank", [(key + " ", inner)]),
            ("stranger beside", [(key, inner), ("stranger", 1)]),
        ])  # fmt: skip
        rest = [(one, held) for one, held in holder.items() if one != key]
        made = Pairs([*rest, *pairs])
        if value is holder:
            value = made
        else:
            over, at = next((h, k) for h, k, _ in places if h[k] is holder)
            over[at] = made
    return value, f"{pattern}: {what}"


def mangled_json(content: bytes, rng: random.Random) -> Mangled:
    """JSON with one value, key or stretch of text changed."""
    if rng.random() < 0.12:
        return mangled_text(content, rng)
    value, what = mangled_value(json.loads(content), rng)
    if rng.random() < 0.1:
        try:
            value, more = mangled_value(json.loads(to_text(value)), rng)
            what = f"{what}; {more}"
        except (ValueError, RecursionError, OverflowError):
            pass
    return to_text(value).encode("utf-8", "surrogatepass"), what


def mangled_lines(content: bytes, rng: random.Random) -> Mangled:
    """JSON lines with one line changed, lost, doubled or moved."""
    lines = [line for line in content.split(b"\n") if line]
    row = rng.randrange(len(lines))
    draw = rng.random()
    if draw < 0.7:
        lines[row], what = mangled_json(lines[row], rng)
        return b"\n".join(lines) + b"\n", what
    if draw < 0.8:
        return mangled_text(content, rng)
    other = rng.randrange(len(lines))
    lines[row], lines[other] = lines[other], lines[row]
    if draw < 0.9:
        lines.insert(row, lines[row])
    else:
        del lines[row]
    return b"\n".join(lines) + b"\n", "lines moved"


def mangled_text(content: bytes, rng: random.Random) -> Mangled:
    """Text with its encoding, its end or a letter changed."""
    text = content.decode()
    place = rng.randrange(len(text) + 1)
    made: dict[str, Callable[[], bytes]] = {
        "empty": lambda: b"",
        "cut": lambda: text[:place].encode(),
        "BOM": lambda: b"\xef\xbb\xbf" + content,
        "BOM twice": lambda: b"\xef\xbb\xbf" * 2 + content,
        "UTF-16": lambda: text.encode("utf-16"),
        "latin-1": lambda: text[:place].encode() + b"\xe9" + text[place:].encode(),
        "NUL within": lambda: (text[:place] + "\x00" + text[place:]).encode(),
        "escape within": lambda: (text[:place] + "\x1b[2J" + text[place:]).encode(),
        "more behind": lambda: content + b" x",
        "twice": lambda: content * 2,
        "CRLF": lambda: text.replace("\n", "\r\n").encode(),
        "CR": lambda: text.replace("\n", "\r").encode(),
        "binary": lambda: rng.randbytes(200),
        "a letter lost": lambda: (text[:place] + text[place + 1 :]).encode(),
        "a letter else": lambda: (text[:place] + rng.choice('x0"[]{},:\t\n-.') + text[place + 1 :]).encode(),
        "half a letter": lambda: text[:place].encode() + b"\xed\xa0\x80" + text[place:].encode(),
    }
    what = rng.choice(list(made))
    return made[what](), f"text: {what}"


CELLS: dict[str, str] = {
    "empty": "", "blank": " ", "-1": "-1", "1_0": "1_0", "arabic three": "\u0663", "1e1": "1e1", "nan": "nan",
    "inf": "inf",
    "hex": "0x1", "400 digits": "9" * 400, "1.5": "1.5", "comma": "1,5", "in quotes": '"3"', "blank around": " 3 ",
    "+3": "+3", "1e400": "1e400", "formula": "=1+1", "escape": "\x1b[2J", "two": "Dog,Speech", "NUL": "a\x00b",
    "BOM": "\ufeff",
    "accent": "e\u0301", "open quote": '"', "10": "10", "11": "11", "10**9": "1000000000", "10**12": "1e12", "-0": "-0",
    "tiny": "0.0000001", "line separator": "a\u2028b", "next line": "a\x85b", "vertical tab": "a\x0bb",
    "no-break space": "\u00a0",
    "unknown": "Unicorn", "true": "True", "long": "x" * 200_000, "wide three": "\uff13", "turned": "a\u202eb",
    "10.000000001": "10.000000001",
}  # fmt: skip
"""What may stand in place of any cell."""


Rows = list[list[str]]


def mangled_table(content: bytes, rng: random.Random) -> Mangled:
    """A table with a cell, a row, a column or its text changed; commas separate cells where there is no tab."""
    draw = rng.random()
    if draw < 0.15:
        return mangled_text(content, rng)
    own, other = ("\t", ",") if b"\t" in content else (",", "\t")
    rows = [line.split(own) for line in content.decode().rstrip("\n").split("\n")]
    if draw < 0.8:
        what = _change_cell(rows, rng, near=draw > 0.6)
    else:
        what, rows = _changed_rows(rows, rng)
    between, end = {"table: separated otherwise": (other, "\n"), "table: CRLF": (own, "\r\n")}.get(what, (own, "\n"))
    return "".join(between.join(cells) + end for cells in rows).encode("utf-8", "surrogatepass"), what


def _change_cell(rows: Rows, rng: random.Random, *, near: bool) -> str:
    """Put another value into a cell, or one that looks like what was there; what was done."""
    row = rng.randrange(len(rows))
    column = rng.randrange(len(rows[row]))
    cell = rows[row][column]
    like = {
        "capitals": cell.upper(), "quoted": f'"{cell}"', "blank behind": cell + " ", "blank before": " " + cell,
        "NUL behind": cell + "\x00", "BOM before": "\ufeff" + cell, "cut": cell[:-1], "quote before": '"' + cell,
        "doubled": cell * 2, "comma behind": cell + ",",
    }  # fmt: skip
    choices = like if near else CELLS
    what = rng.choice(list(choices))
    rows[row][column] = choices[what]
    return f"{'header' if row == 0 else f'column {column}'}: {what}"


def _changed_rows(rows: Rows, rng: random.Random) -> tuple[str, Rows]:
    """What was done, and rows lost, doubled, mixed, longer or shorter."""
    row = rng.randrange(len(rows))
    cells, before, behind = rows[row], rows[:row], rows[row + 1 :]
    made: dict[str, Rows] = {
        "row lost": [*before, *behind],
        "row doubled": [*before, cells, cells, *behind],
        "rows mixed": rng.sample(rows, len(rows)),
        "cell more": [*before, [*cells, "x"], *behind],
        "empty cell more": [*before, [*cells, ""], *behind],
        "cell less": [*before, cells[:-1], *behind],
        "times turned": [*before, [cells[0], *cells[1:3][::-1], *cells[3:]], *behind],
        "blank row": [*before, cells, [""], *behind],
        "row of blanks": [*before, cells, [" "] * 4, *behind],
        "comment": [*before, cells, ["# a note"], *behind],
        "columns turned": [one[::-1] for one in rows],
        "header lost": rows[1:],
        "header doubled": [rows[0], *rows],
        "column more": [[*one, "audio" if number else "modality"] for number, one in enumerate(rows)],
        "column named twice": [[*one, one[-1]] for one in rows],
        "separated otherwise": rows,
        "CRLF": rows,
    }
    what = rng.choice(list(made))
    return f"table: {what}", made[what]
