"""From option dataclasses to what is typed, and from messages of the library to what was typed.

A field of a dataclass says everything once: its name, type and default, the check in `__post_init__`, and below it the
docstring, which is the help. A command says only how it is typed where that is not `--the-name`:

    LIMITS = Fields(DecodeLimits, seconds="--decode-timeout S", memory="--decode-memory MIB")
    LIMITS.add(command)          # --decode-timeout S  seconds a clip may take (60)
    LIMITS.read(cli)             # DecodeLimits(seconds=60.0, memory=4096)

The library knows nothing of options. Its messages name parameters, in one of three ways, and `typed_words` says which
option each is:

    seconds must be positive            --decode-timeout must be positive
    choose another `out`                choose another --out
    parse with clock='zero'             parse with --clock zero
"""

import argparse
import ast
import linecache
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Generic, NamedTuple, TypeVar, get_args, get_origin

from valor.label_harvest.places.objects import ObjectPath, refuse_absent_library
from valor.label_harvest.places.place import WEB, Place, place_of, scheme_of
from valor.label_harvest.strict_json import plain_number

from .grammar import GROUP_OF, GROUPS, RENAMED
from .terminal import say, shown

T = TypeVar("T")


class Option(NamedTuple):
    """How a field is typed where `--the-name` and its type do not say it all."""

    spelled: str
    """The option and, where it takes a value that is not one of several choices, what stands for it: `--out DIR`."""
    more: Mapping[str, Any] = {}
    """Further arguments of `add_argument`; `default=None` tells apart what was typed from what was not."""
    also: str = ""
    """Another option that is the same."""


class Parser(argparse.ArgumentParser):
    """Knows which option each parameter is typed as, and takes no option for another that begins like it."""

    def __init__(self, *args: Any, **more: Any) -> None:  # noqa: ANN401
        """As argparse's."""
        self.flags: dict[str, str] = {}
        self._added: list[argparse.Action] = []
        self._groups: dict[str, argparse._ArgumentGroup] = {}
        super().__init__(*args, **{**more, "allow_abbrev": False})
        self._positionals.title = "arguments"

    def add_argument(self, *args: Any, **more: Any) -> argparse.Action:  # noqa: ANN401
        """As argparse's; what is typed stands under the name of the parameter it is, `dest`."""
        title = next((GROUP_OF[name] for name in args if name in GROUP_OF), None)
        if title is None:
            action = super().add_argument(*args, **_local(more))
        else:
            if title not in self._groups:
                self._groups[title] = self.add_argument_group(title)
            action = self._groups[title].add_argument(*args, **_local(more))
        if action.option_strings and not (more.get("action") == "store_false" and action.dest in self.flags):
            self.flags[action.dest] = action.option_strings[0]  # of --embed and --no-embed the first
        self._added.append(action)
        return action

    def also(self, **flags: str) -> None:
        """Say how parameters are typed that the library calls otherwise than the command does."""
        self.flags.update(flags)

    def format_help(self) -> str:
        """As argparse's; docstrings that name other fields name options."""
        for action in self._added:
            action.help = typed_words(action.help, self.flags) if action.help else action.help
        order = {title: number for number, title in enumerate(GROUPS, 1)}
        self._action_groups.sort(key=lambda group: order.get(group.title or "", 0))
        usage, self.usage = self.usage, self._short_usage()
        try:
            return super().format_help()
        finally:
            self.usage = usage

    def format_usage(self) -> str:
        """One line: what must be typed, and where the rest stands."""
        return f"usage: {self._short_usage().replace('%%', '%')}; see {self.prog} --help\n"

    def _short_usage(self) -> str:
        """What must be typed, as argparse takes it: with percent signs doubled."""
        words = [self.prog]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) or not action.option_strings:
                name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
                words.append({"+": f"{name}...", "?": f"[{name}]", "*": f"[{name}...]"}.get(str(action.nargs), name))
            elif action.required:
                words.append(f"{action.option_strings[0]} {action.metavar}")
        return " ".join([*words, "[options]"])

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401
        """As argparse's, and which choice was meant."""
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            from valor.label_harvest.did_you_mean import did_you_mean  # waits for numpy

            known = [str(one) for one in action.choices or ()]
            meant = " (did you mean cuda?)" if value in ("gpu", "GPU") and "cuda" in known else ""
            meant = meant or did_you_mean(str(value), known, cutoff=0.6)
            error.message = f"invalid choice: {value!r}{meant}; choose from {', '.join(known)}"
            raise

    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse's, without what would steer a terminal."""
        super()._print_message(shown(message), file)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401
        """As argparse's; the words of the chosen command stand under `flags`, and unknown options get a hint.

        Options that were called otherwise are taken, with a note on stderr.
        """
        if self._subparsers is None:
            args = self._renamed([] if args is None else args)
            self._refuse_unknown(args)
        found, rest = super().parse_known_args(args, namespace)
        if rest and self._subparsers is None:  # with its usage, not that of all commands
            taken = [action for action in self._added if not action.option_strings]
            words = " and ".join(str(action.metavar or action.dest.upper()) for action in taken)
            once = words and all(action.nargs in (None, "?") for action in taken) and not rest[0].startswith("-")
            self.error(f"unrecognized arguments: {' '.join(rest)}" + f"; {self.prog} takes one {words}" * bool(once))
        if not hasattr(found, "flags"):
            typed = {word.partition("=")[0] for word in args or ()}
            for action in self._added:  # of the two, argparse would take the last and say nothing
                names = [name for name in action.option_strings if name in typed]
                if len(names) > 1 and type(action) is argparse._StoreAction:
                    self.error(f"{' and '.join(names)} are the same; leave one out")
            same = {a.dest: name for a in self._added for name in a.option_strings[1:] if name in typed}
            found.flags = {**self.flags, **same}
            found.arguments = {a.dest: a.metavar or a.dest.upper() for a in self._actions if not a.option_strings}
        return found, rest

    def _renamed(self, typed: Sequence[str]) -> list[str]:
        """What was typed, by the names that options have now."""
        names = RENAMED.get(self.prog.partition(" ")[2], {})
        found: list[str] = []
        for place, word in enumerate(typed):
            if word == "--":
                return [*found, *typed[place:]]
            name, equals, value = word.partition("=")
            if name in names:
                say(
                    f"note: {name} is called {names[name]} now; the old name goes with the next release",
                    file=sys.stderr,
                )
                found += [*names[name].split(), *([value] if equals else [])]
            else:
                found.append(word)
        return found

    def _refuse_unknown(self, typed: Sequence[str]) -> None:
        """Refuse an option that there is not where others are like it; argparse has words for the rest."""
        known = {option: action for action in self._added for option in action.option_strings}
        for before, word in zip(["", *typed], typed, strict=False):
            name = word.partition("=")[0]
            if name == "--":
                return
            if name not in known and _DASHED.fullmatch(word):
                if before in known and known[before].nargs != 0:
                    self.error(f"argument {before}: a value that begins with a dash is typed {before}={word}")
                if similar := get_close_matches(f"-{name}", known, n=1, cutoff=0.8):
                    self.error(f"unrecognized arguments: {name} (did you mean {similar[0]}?)")
                self.error(f"there is no file {word}; one whose name begins with a dash is typed ./{word}")
            if name.startswith("--") and name not in known and " " not in name:
                begun = [option for option in known if option.startswith(name)]
                if similar := begun or get_close_matches(name, known, n=1):
                    self.error(f"unrecognized arguments: {name} (did you mean {' or '.join(similar)}?)")


_PATHS = re.compile(r"\b(DIR|FILE|PATH|RUNS?|SOURCES?|STORE|PREDICTIONS|LABELS|VIDEO|MANIFEST|RECIPE|OUT)\b")
"""What stands for a path in the help of an option, alone or as in NAME=PATH."""
_SCHEME = re.compile(r"(?:[^=/]*=)?([a-z][a-z0-9+.-]+://?)", re.IGNORECASE)
"""What an address of something else begins with, also one of whose two slashes was lost."""


def local_path(typed: str) -> Path:
    """A path as it was typed.

    Raises:
        ArgumentTypeError: It is the address of something else, whose scheme would become the name of a folder.
    """
    return Path(_local_text(typed))


_OF_FILES = frozenset(
    (".json", ".npz", ".csv", ".tsv", ".txt", ".md", ".tex", ".png", ".svg", ".pdf", ".html", ".safetensors", ".pt")
)
"""Endings of files that commands write."""


def new_folder(typed: str) -> Path:
    """A folder that is made.

    Raises:
        ArgumentTypeError: It is named as a file and is no folder yet, or is an address.
    """
    path = local_path(typed)
    if path.suffix.lower() in _OF_FILES and not path.is_dir():
        raise argparse.ArgumentTypeError(
            f"{typed}: is written as a folder and named as a file; give a folder, such as {path.with_suffix('')}"
        )
    return path


def any_place(typed: str) -> Place:
    """A path, or an address in an object store.

    Raises:
        ArgumentTypeError: It is the address of something else, or the library that reads it is not installed.
    """
    try:
        found = place_of(typed)
        if isinstance(found, ObjectPath):
            refuse_absent_library(found.scheme)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if isinstance(found, ObjectPath) and found.scheme == "memory":
        raise argparse.ArgumentTypeError("memory:// is gone when the command ends, give a local path or s3:// or gs://")
    return found


def media_place(typed: str) -> Place | str:
    """Where media lie: a path, an address in an object store, or one of the web."""
    return typed if scheme_of(typed) in WEB else any_place(typed)


def _local_text(typed: str) -> str:
    if match := _SCHEME.match(typed):
        raise argparse.ArgumentTypeError(f"{match[1]} is not supported, give a local path; got {typed!r:.200}")
    return typed


def _local(more: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `add_argument` under which every path is a local one, and every number a plain one."""
    if more.get("type") in (int, float):
        return {**more, "type": _plain(more["type"])}
    kind, said = more.get("type"), more.get("metavar")
    if kind is Path:
        return {**more, "type": local_path}
    is_path = kind in (None, str) and isinstance(said, str) and _PATHS.search(said)
    return {**more, "type": _local_text} if is_path else dict(more)


def _plain(kind: type[int] | type[float]) -> Callable[[str], int | float]:
    """What reads a typed number of a kind."""

    def read(typed: str) -> int | float:
        try:
            return plain_number(typed, kind)
        except ValueError:
            raise argparse.ArgumentTypeError(f"invalid {kind.__name__} value: {typed!r:.80}") from None

    return read


_DASHED = re.compile(r"-(?![\d.e+-]+$)[^-].+")
"""A word that is neither an option, which has one letter or two dashes, nor a number."""


def named_files(typed: Sequence[str]) -> list[str]:
    """What was typed, with ./ before a file whose name begins with a dash, as one YouTube id in 64 does."""
    return [f"./{word}" if _is_file_like_an_option(word) else word for word in typed]


def _is_file_like_an_option(word: str) -> bool:
    if _DASHED.fullmatch(word):
        return Path(word).exists()
    return word.startswith("--") and "." in word and Path(word).is_file()


class Fields(Generic[T]):
    """Some fields of one dataclass as options of a command."""

    def __init__(self, of: type[T], **options: str | Option) -> None:
        """Name the fields that can be typed.

        Args:
            of: A dataclass with a docstring below each field.
            options: By field, in the order of the help, the option and what stands for its value, such as `--out DIR`.
        """
        self.of = of
        self._known: dict[str, Field[Any]] = {field.name: field for field in fields(of)}  # type: ignore[arg-type]
        self._options = {name: Option(typed) if isinstance(typed, str) else typed for name, typed in options.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that can be typed."""
        return tuple(self._options)

    def add(self, command: Parser, *names: str) -> None:
        """Add the options of these fields, or of all; each is kept under the name of its field."""
        docs = docstrings(self.of)
        for name in names or self._options:
            (flag, *metavar), more = self._options[name].spelled.split(), dict(self._options[name].more)
            kind = _argparse_words(self._known[name])
            if metavar:
                kind["metavar"] = metavar[0]
            default = self._known[name].default if more.get("default") is None else more["default"]
            kind["help"] = _help(docs.get(name) or name.replace("_", " "), default)
            same = [also] if (also := self._options[name].also) else []
            command.add_argument(flag, *same, dest=name, **(kind | more))

    def typed(self, cli: argparse.Namespace) -> dict[str, Any]:
        """By field, what was typed or has a default on the command line."""
        typed, flags = {name: getattr(cli, name, None) for name in self._options}, getattr(cli, "flags", {})
        return {
            name: _value(self._known[name], flags.get(name, self._options[name].spelled.split()[0]), value)
            for name, value in typed.items()
            if value is not None
        }

    def read(self, cli: argparse.Namespace, **given: Any) -> T:  # noqa: ANN401
        """The dataclass as it was typed; what is not typed has its default, what is given here stands.

        Raises:
            ValueError: The dataclass refuses a value.
        """
        return self.of(**{**self.typed(cli), **given})


def _kind(field: Field[Any]) -> Any:  # noqa: ANN401
    """The type of a field, None left aside."""
    kinds = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
    return next(kind for kind in kinds if kind is not NoneType)


def _argparse_words(field: Field[Any]) -> dict[str, Any]:
    kind = _kind(field)
    if kind is bool:
        return {"action": "store_false" if field.default else "store_true"}
    default = None if field.default is MISSING else field.default
    if get_origin(kind) is not None:  # a tuple or a mapping, whose parts are read in `_value`
        return {}
    return {"type": kind, "default": default}


def _value(field: Field[Any], flag: str, typed: Any) -> Any:  # noqa: ANN401
    """A typed value as the field wants it: names joined by commas, or ROLE=VALUE typed several times, taken apart."""
    origin = get_origin(_kind(field))
    if origin is tuple:
        return tuple(name.strip() for name in typed.split(",") if name.strip()) if type(typed) is str else tuple(typed)
    return typed if origin is None or not issubclass(origin, Mapping) else by_role(typed, flag)


def by_role(typed: Sequence[str], flag: str) -> dict[str, str]:
    """ROLE=VALUE typed several times, taken apart.

    Raises:
        ValueError: An entry is none, or a role is given twice; names the option.
    """
    found: dict[str, str] = {}
    for entry in typed:
        role, _, value = entry.partition("=")
        if not role or not value or role in found:
            raise ValueError(f"{flag} must be ROLE=VALUE, once for each role, such as visual=..., got {entry!r}")
        found[role] = value
    return found


def _help(doc: str, default: object) -> str:
    """A docstring as help: half a sentence, and the default unless it goes without saying."""
    text = " ".join(doc.split()).removesuffix(".")
    if text.partition(" ")[0][1:].islower() or text[1:2] == " ":  # no name such as LLP or MiB
        text = text[0].lower() + text[1:]
    if isinstance(default, str | int | float) and not isinstance(default, bool) and default != "":
        text += f" ({default:g})" if isinstance(default, float) else f" ({default})"
    return text.replace("%", "%%")


def docstrings(of: type) -> dict[str, str]:
    """The strings below the fields of a dataclass, by field; none where the source is not installed."""
    module = sys.modules[of.__module__]
    lines = [line.rstrip("\n") for line in linecache.getlines(module.__file__ or "", vars(module))]
    if not lines:
        return {}
    first = next(number for number, line in enumerate(lines) if line.startswith(f"class {of.__name__}"))
    body = list(takewhile(lambda line: not line or line.startswith(" "), lines[first + 1 :]))
    (definition,) = ast.parse("\n".join([lines[first], *body])).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = str(ast.literal_eval(below.value))
    return found


_NAMED = re.compile(
    r"`(?P<quoted>\w+)`"
    r"|^(?P<first>\w+)(?= must\b)"
    r"|(?<![\w.`'=-])(?<!` )(?P<name>\w+)=(?P<value>'[^']*'|[\w./*-]*\w)"
    r"|(?<!-)(?:\bset )?(?<!--set )\b(?P<change>(?:features|fit|parser|methods)(?:\.\w+)+=[\w.]*\w)",
    re.MULTILINE,
)


def typed_words(text: str, flags: Mapping[str, str]) -> str:
    """Say a message of the library in the words of the command line.

    Args:
        text: A message that names parameters; one that begins with an option is a command's own.
        flags: By parameter, the option of the command.

    >>> typed_words("give another `out`, or overwrite=True; fit.epochs=3", {"out": "--out", "overwrite": "--overwrite"})
    'give another --out, or --overwrite; fit.epochs=3'
    >>> typed_words("seeds must be positive; set clock='zero'", {"seeds": "--seeds", "clock": "--clock"})
    '--seeds must be positive; set --clock zero'
    """

    def option(match: re.Match[str]) -> str:
        if match["change"]:
            return f"{flags['changes']} {match['change']}" if "changes" in flags else match[0]
        flag = flags.get(match["quoted"] or match["first"] or match["name"])
        if flag is None:
            return match[0]
        value = (match["value"] or "").strip("'")
        return flag if value in ("", "True", "False") else f"{flag} {value}"

    return text if text.startswith("--") else _NAMED.sub(option, text)
