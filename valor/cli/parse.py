"""`valor parse`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from valor.adapted.card import ROLE as ADAPTED
from valor.data.names import list_names
from valor.data.parse_file import Parse, write_parse
from valor.data.parsed_media import told_apart
from valor.data.thresholds import apply_calibration, read_calibration
from valor.data.vocabulary import is_file
from valor.eval.decide import PostProcessing
from valor.eval.figures.style import ENDINGS, PICTURES, THEMES, Style
from valor.label_harvest.decoys import THRESHOLD
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.teachers.teacher import ROLES
from valor.video.formats.formats import FORMATS, refuse_same_names, write_events
from valor.video.formats.timeline import CLOCKS
from valor.video.options import (
    AUTO,
    DEFAULT_TEACHERS,
    EVIDENCE,
    FRAMES,
    NONE,
    WHERE_BY,
    BatchOptions,
    ParseOptions,
    ZeroShotOptions,
    read_cuts,
)
from valor.video.picture import write_picture
from valor.video.summary import SUMMARY, found_nowhere, summary_text, write_summary

from .command import DONE, FAILURES_LISTED, Commands, new_command, unswept
from .options import Fields, Option, Parser, by_role, new_folder, typed_words
from .scored import RULE, add_thresholds
from .terminal import say

if TYPE_CHECKING:
    from valor.data.vocabulary import EventClass
    from valor.video.batch import Outcome
    from valor.video.paths import MediaInput
    from valor.video.trained import ParsingSystem

OUTPUTS = Fields(
    BatchOptions,
    formats="--formats LIST",
    again="--again",
    clock=Option("--clock", {"choices": CLOCKS}),
)
STYLE = Fields(Style, theme=Option("--theme", {"choices": tuple(THEMES)}))
PARSING = Fields(
    ParseOptions,
    hop="--hop N",
    where="--where",
    where_by=Option("--where-by", {"choices": WHERE_BY}),
    audio_track="--audio-track N|LANG",
    frames=Option("--frames", {"choices": FRAMES}),
    salvage="--salvage",
)
ZERO_SHOT = Fields(
    ZeroShotOptions,
    temperature=Option("--temperature LOGITS", {"default": None}),
    segment_seconds=Option("--segment-seconds S", {"default": None}),
    decoys=Option("--decoys FILE|none", {"default": None, "type": str}),
)
LIMITS = Fields(
    DecodeLimits,
    seconds=Option(
        "--decode-timeout S",
        {"help": f"seconds decoding may stand still ({DecodeLimits.seconds:g}); 0 decodes without limits"},
    ),
    memory=Option("--decode-memory MIB", {"help": f"memory decoding may take ({DecodeLimits.memory})"}),
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "parse",
        "VIDEO is any file FFmpeg reads, of any length, with or without sound or a picture; a folder; or a quoted\n"
        "pattern. Long media go through overlapping windows. --zero-shot needs no training: the teachers alone look\n"
        "for the classes you name.\n\n"
        "One VIDEO and a FILE option write that file. Otherwise results go to --out, NAME.json and what --formats\n"
        "names, and media that are done are skipped. Folders that are not there are made. Media that cannot be\n"
        "parsed are listed; the rest goes on.",
        "valor parse holiday.mp4 --run runs/valor-clips --png holiday.png --elan holiday.eaf\n"
        "valor parse films 'more/*.mkv' --run runs/valor-clips --out parses --formats png,webvtt\n"
        "valor parse street.mp4 --zero-shot 'Dog,glass breaking,siren'",
    )
    command.add_argument(
        "videos", nargs="+", metavar="VIDEO", help="files, folders, patterns; ./-NAME where it begins with -"
    )
    command.add_argument(
        *("--run", "--checkpoint"),
        dest="checkpoint",
        type=Path,
        metavar="RUN",
        help="run folder of `valor train`; --checkpoint is the same",
    )
    command.add_argument(
        "--zero-shot",
        metavar="NAME|FILE|NAMES",
        help=f"classes to look for without training; beside decoys segments are marked from {THRESHOLD:g} on, unless "
        "--threshold says otherwise (docs/zero-shot.md)",
    )
    command.add_argument(
        "--classes", metavar="NAME|FILE|NAMES", help="other classes for a run with parser.head=words (those of the run)"
    )
    _add_outputs(command)
    _add_rule(command)
    command.add_argument(
        "--teacher-checkpoint",
        action="append",
        default=[],
        metavar="ROLE=PATH",
        help="local weights of a teacher; lavish=RUN of adapters, raw=RUN of towers",
    )
    for role, does in (("audio", "listens"), ("visual", "looks")):
        usual = DEFAULT_TEACHERS[role]
        command.add_argument(
            f"--{role}", metavar="NAME", help=f"who {does} with --zero-shot, see `valor doctor --teachers` ({usual})"
        )
    segments = Grid.num_segments
    command.add_argument("--window", type=int, default=segments, metavar="N", help=f"segments of a window ({segments})")
    command.add_argument(
        "--cuts",
        default=AUTO,
        metavar="auto|none|FILE",
        help="no window lies across a cut: looked for in media longer than a window (auto), none, or a file with a "
        "time in seconds on each line",
    )
    command.add_argument(
        "--evidence",
        metavar="DIR|none",
        help="folder for what the teachers find in media longer than a window, which later parses take from there "
        f"({EVIDENCE} in the folder of --out; without that, none)",
    )
    PARSING.add(command)
    LIMITS.add(command)
    command.also(checkpoints="--teacher-checkpoint", teacher_checkpoints="--teacher-checkpoint")
    return command


def _add_outputs(command: Parser) -> None:
    """Where results go."""
    command.add_argument("--json", type=Path, metavar="FILE", help="everything, see docs/parse-json.md")
    command.add_argument("--png", type=Path, metavar="FILE", help="the picture (.png, .svg or .pdf)")
    command.add_argument("--html", type=Path, metavar="FILE", help="a page that plays it, see `valor view`")
    for name, kept in FORMATS.items():
        command.add_argument(f"--{name}", type=Path, metavar="FILE", help=kept.what)
    command.add_argument("--out", type=new_folder, metavar="DIR", help="folder of the results (parses)")
    OUTPUTS.add(command)
    STYLE.add(command)


def _add_rule(command: Parser) -> None:
    """How probabilities become events."""
    RULE.add(command)
    add_thresholds(command)
    ZERO_SHOT.add(command)


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.video.paths import find_inputs

    inputs = find_inputs(cli.videos)
    kinds = ("json", "png", "html", *FORMATS)
    files = {kind: path for kind in kinds if (path := getattr(cli, kind.replace("-", "_"))) is not None}
    options = _options(cli, files)
    _check(cli, inputs, files)
    with unswept():
        from valor.video.batch import parse_all
        from valor.video.parse import caveats, rule_of

        system = _system(cli, options.parsing.evidence)
    options = replace(options, parsing=replace(options.parsing, rule=_rule(cli, system)))
    rule_of(system, options.parsing)
    for caveat in caveats(system):
        say(f"note: {caveat}")
    outcomes = []
    shown = dict(zip((media.path for media in inputs), told_apart([str(media.path) for media in inputs]), strict=True))
    for outcome in parse_all(system, inputs, options, progress=not cli.quiet):
        outcomes.append(replace(outcome, problem=_called(outcome.problem, outcome.media.path, shown)))
        _say(outcomes[-1], options, cli.flags, alone=len(inputs) == 1, json=cli.json, name=shown[outcome.media.path])
    parses = [outcome.parse for outcome in outcomes if outcome.parse is not None]
    if parses:
        _write_files(cli, files, outcomes, parses)
        _say_clock([*files, *options.formats], parses, cli.clock)
        if options.out is None and cli.json is None:
            keeps = "--json FILE" if len(inputs) == 1 else "--out DIR"
            say(f"note: no JSON was kept, which `valor view` and corrections need; {keeps} keeps it")
    _summarize(options.out, outcomes, cli.flags, alone=len(inputs) == 1, quiet=cli.quiet)
    if len(inputs) > 1:
        problems = [(typed_words(o.problem, cli.flags), o.parse is None) for o in outcomes if o.problem]
        _list([said for said, lost in problems if lost], len(inputs), "could not be parsed")
        _list([said for said, lost in problems if not lost], len(inputs), "lack an output")
    return FAILURES_LISTED if any(outcome.problem for outcome in outcomes) else DONE


_DEMO_WORDS = " (the demo's teachers know the words of its world alone: of others this says nothing)"


def _summarize(
    out: Path | None, outcomes: "list[Outcome]", flags: Mapping[str, str], *, alone: bool, quiet: bool
) -> None:
    """Seconds of each class over several media, the CSV of all that a folder holds, and what to do next."""
    parsed = [(outcome.media.name, outcome.parse) for outcome in outcomes if outcome.parse is not None]
    if not alone and any(parse.events for _, parse in parsed):
        say(f"\n{summary_text([parse for _, parse in parsed])}\n")
    asked = [
        parse for _, parse in parsed if not alone or (parse.system.get("zero_shot") and (parse.events or parse.caveat))
    ]
    if names := found_nowhere(asked):
        drawn = any(parse.caveat for parse in asked)
        say(f"found nowhere: {list_names(names, 8)}{_DEMO_WORDS * drawn}")
    if out is None or alone and not (out / SUMMARY).exists():
        return
    names = told_apart([str(o.media.path) for o in outcomes])
    failed = [(name, typed_words(o.problem, flags)) for name, o in zip(names, outcomes, strict=True) if o.parse is None]
    written = write_summary(out, ((f"{name}.json", parse) for name, parse in parsed), failed)
    if written is None:
        say(f"note: {out / SUMMARY} is no summary of parses and stays as it is", file=sys.stderr)
    if not parsed:
        return
    if not alone:
        by_medium = "" if written is None else f"; {written} has the seconds of each medium"
        say(f"{len(parsed)} parses in {out}{by_medium}")
    if not alone and not quiet:
        it = quote(str(out))
        say(f"next: `valor view {it}` plays and corrects them, `valor export events {it} --elan elan` hands them on")


def _say_clock(names: Sequence[str], parses: Sequence[Parse], clock: str | None) -> None:
    """Say from where files of events count, where that is not the start of the media."""
    late = [parse.media for parse in parses if parse.media.start_time]
    known = [name for name in dict.fromkeys(names) if name in FORMATS and not FORMATS[name].from_start]
    counted = [name for name in known if (clock or FORMATS[name].clock) == "container"]
    if late and counted:
        say(
            f"note: the clock of {late[0].name} starts at {late[0].start_time:g} s, and {', '.join(counted)} count by "
            "it; with --clock zero they count from the start, as players, ELAN and Audacity do",
            file=sys.stderr,
        )


def _list(problems: list[str], total: int, what: str) -> None:
    """Print what went wrong with some of many media."""
    if problems:
        say(f"{len(problems)} of {total} {what}:")
    for problem in problems:
        say(f"  {_plain(problem)}")


def _check(cli: argparse.Namespace, inputs: "list[MediaInput]", files: dict[str, Path]) -> None:
    """Refuse what contradicts itself before anything is loaded."""
    _check_system(cli)
    if cli.formats and files and cli.out is None:
        raise ValueError(
            f"--formats is for the folder of --out, got --{next(iter(files))} without --out; add --out DIR"
        )
    if cli.window < 1:
        raise ValueError(f"--window must be at least 1, got {cli.window}")
    if cli.cuts not in (AUTO, NONE) and len(inputs) > 1:
        raise ValueError(f"--cuts FILE is for one VIDEO, got {len(inputs)}; leave it out, or parse them one by one")
    if all(media.problem for media in inputs):
        raise ValueError("nothing to parse: " + "; ".join(f"{media.path}: {media.problem}" for media in inputs))
    alone = [f"--{name}" for name in files if name in ("json", "png") or name in FORMATS and not FORMATS[name].many]
    if len(inputs) > 1 and alone:
        raise ValueError(
            f"{', '.join(alone)} is for one VIDEO, got {len(inputs)}; use --out DIR and --formats for several"
        )
    for name in files.keys() & FORMATS.keys():
        refuse_same_names(name, [media.path.name for media in inputs if not media.problem])
    _check_files(cli, inputs, files)


def _check_system(cli: argparse.Namespace) -> None:
    """Refuse options that are not of who parses."""
    if (cli.checkpoint is None) == (cli.zero_shot is None):
        raise ValueError(
            f"give either {cli.flags['checkpoint']} RUN or --zero-shot NAMES; `valor demo` leaves a run to try, "
            "demo/runs/valor/seed-0"
        )
    if cli.zero_shot is None and (cli.audio or cli.visual):
        raise ValueError("--audio and --visual are for --zero-shot; a run names its own teachers")
    if cli.zero_shot is not None and cli.classes is not None:
        raise ValueError(f"--classes is for {cli.flags['checkpoint']} RUN; --zero-shot names its classes itself")
    if cli.zero_shot is None and cli.segment_seconds is not None:
        raise ValueError("--segment-seconds is for --zero-shot; a run knows its own")
    if cli.zero_shot is None and cli.temperature is not None:
        raise ValueError("--temperature is for --zero-shot; the probabilities of a run have none")
    if cli.zero_shot is not None and ADAPTED in _checkpoints(cli.teacher_checkpoint):
        raise ValueError(f"--teacher-checkpoint {ADAPTED}=RUN is for a run; --zero-shot has no adapters")
    if cli.zero_shot is None and cli.decoys is not None:
        raise ValueError("--decoys is for --zero-shot; a run knows its classes without them")


def _check_files(cli: argparse.Namespace, inputs: "list[MediaInput]", files: dict[str, Path]) -> None:
    """Refuse outputs that would destroy something or have the wrong ending."""
    from valor.video.paths import check_outputs

    out = None if files and cli.out is None else cli.out or Path("parses")
    check_outputs(
        {f"--{name}": path for name, path in files.items()}, out, [media.path for media in inputs], _read(cli)
    )
    if cli.png and cli.png.suffix not in PICTURES:
        raise ValueError(f"--png must end in {ENDINGS}, got {cli.png}")
    if cli.html and cli.html.suffix not in (".html", ".htm"):
        raise ValueError(f"--html must end in .html, got {cli.html}")


def _read(cli: argparse.Namespace) -> dict[str, Path]:
    """By option, what is read besides media."""
    read = {cli.flags["checkpoint"]: cli.checkpoint, "--thresholds": cli.thresholds}
    if cli.cuts not in (AUTO, NONE):
        read["--cuts"] = Path(cli.cuts)
    for option, typed in (("--zero-shot", cli.zero_shot), ("--classes", cli.classes), ("--decoys", cli.decoys)):
        if typed is not None and is_file(typed):
            read[option] = Path(typed)
    weights = {
        f"--teacher-checkpoint {role}": Path(path) for role, path in _checkpoints(cli.teacher_checkpoint).items()
    }
    return {option: path for option, path in (read | weights).items() if path is not None}


def _system(cli: argparse.Namespace, evidence: Path | None) -> "ParsingSystem":
    checkpoints = _checkpoints(cli.teacher_checkpoint)
    if cli.zero_shot is None:
        from valor.video.trained import load_system

        return load_system(
            cli.checkpoint,
            teacher_checkpoints=checkpoints,
            classes=_classes(cli.classes),
            window=None if cli.window == Grid.num_segments else cli.window,
            device=cli.device,
            evidence=evidence,
        )
    from valor.video.zero_shot import load_zero_shot

    return load_zero_shot(
        cli.zero_shot,
        teachers={role: name for role, name in (("audio", cli.audio), ("visual", cli.visual)) if name},
        teacher_checkpoints=checkpoints,
        thresholds=cli.thresholds,
        temperature=ZERO_SHOT.read(cli).temperature,
        decoys=cli.decoys if cli.decoys in (None, NONE) else Path(cli.decoys),
        window=None if cli.window == Grid.num_segments else cli.window,
        segment_seconds=ZERO_SHOT.read(cli).segment_seconds,
        evidence=evidence,
    )


def _classes(typed: str | None) -> "tuple[EventClass, ...] | None":
    """What a run by words is to look for."""
    if typed is None:
        return None
    from valor.video.zero_shot import read_classes

    return read_classes(typed)[0]


def _checkpoints(given: list[str]) -> dict[str, str]:
    found = by_role(given, "--teacher-checkpoint")
    for role in found:
        if role not in (*ROLES, ADAPTED):
            raise ValueError(
                f"--teacher-checkpoint must be visual=PATH or audio=PATH, or {ADAPTED}=RUN, got {role}={found[role]}"
            )
    return found


def _options(cli: argparse.Namespace, files: dict[str, Path]) -> BatchOptions:
    """What becomes of each parse; how it is decided is known once the system is."""
    out = None if files and cli.out is None else cli.out or Path("parses")
    options = OUTPUTS.read(
        cli,
        out=out,
        taken=(*files.values(), *([out / SUMMARY] if out is not None else [])),
        style=STYLE.read(cli),
        again=cli.again or cli.png is not None,
        keeps=cli.out is None,
        sketched=cli.png is not None,
        parsing=PARSING.read(
            cli, cuts=_cuts(cli), limits=LIMITS.read(cli) if cli.seconds else None, evidence=_evidence(cli, out)
        ),
    )
    return replace(options, formats=tuple(name for name in options.formats if name != "json"))


def _evidence(cli: argparse.Namespace, out: Path | None) -> Path | None:
    """Where evidence is kept: where it was said, else beside the results."""
    if cli.evidence is None:
        return out / EVIDENCE if out is not None else None
    return None if cli.evidence == NONE else Path(cli.evidence)


def _cuts(cli: argparse.Namespace) -> str | tuple[float, ...]:
    """How shots are found, or the cuts of a file."""
    if cli.cuts in (AUTO, NONE):
        return str(cli.cuts)
    if not is_file(cli.cuts):
        raise ValueError(f"--cuts must be {AUTO}, {NONE}, or a file with a time on each line, got {cli.cuts}")
    return read_cuts(Path(cli.cuts))


def _rule(cli: argparse.Namespace, system: "ParsingSystem") -> PostProcessing:
    """What was typed, over the rule of the system."""
    rule = replace(system.default_rule, **RULE.typed(cli))
    if cli.thresholds and cli.zero_shot is None:
        return apply_calibration(read_calibration(cli.thresholds, system.class_names), rule)
    return rule


def _say(
    outcome: "Outcome", options: BatchOptions, flags: Mapping[str, str], *, alone: bool, json: Path | None, name: str
) -> None:
    """What was found: whole for one media file, a line for one of many."""
    if outcome.problem and alone:
        say(f"valor parse: {_plain(typed_words(outcome.problem, flags))}", file=sys.stderr)
    if outcome.parse is None:
        return
    whole = options.out / f"{outcome.media.name}.json" if options.out is not None else json
    named = outcome.parse
    if name != outcome.media.path.name:
        named = replace(named, media=replace(named.media, name=name))
    text = named.said("--json FILE has all" if whole is None else f"all in {whole}")
    say(text if alone else text.partition("\n")[0] + (" (parsed before)" if outcome.skipped else ""))
    if alone and options.out is not None:
        beside = [path.name for path in outcome.written if path != whole]
        more = f", and beside it {', '.join(beside)}" if beside else ""
        say(f"wrote {whole}{more}" if not outcome.skipped else "parsed before; see --again")


def _called(problem: str, path: Path, shown: Mapping[Path, str]) -> str:
    """A problem of a file by what it is called among others, where it begins with its name."""
    begins = problem.startswith(f"{path.name}:")
    return f"{shown[path]}{problem.removeprefix(path.name)}" if begins else problem


def _plain(text: str) -> str:
    """A line that a name with control characters in it can neither break nor colour."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _write_files(
    cli: argparse.Namespace, files: dict[str, Path], outcomes: "list[Outcome]", parses: list[Parse]
) -> None:
    """The files that were named."""
    for name, path in files.items():
        if name == "json":
            write_parse(path, parses[0])
        elif name == "png":
            write_picture(path, parses[0], outcomes[0].sketch, style=STYLE.read(cli))
        elif name == "html":
            _write_page(path, parses)
        else:
            write_events(path, parses, name, clock=cli.clock or FORMATS[name].clock)
        say(f"wrote {path}")


def _write_page(path: Path, parses: list[Parse]) -> None:
    """The page of `valor view`, from JSON files that are gone afterwards."""
    from valor.viewer.options import SourceOptions
    from valor.viewer.page import write_page
    from valor.viewer.sources import read_document

    with TemporaryDirectory() as folder:
        written = [Path(folder) / f"{number:06d}.json" for number in range(len(parses))]
        for file, parse in zip(written, parses, strict=True):
            write_parse(file, parse)
        document = read_document([str(file) for file in written], SourceOptions(class_names=parses[0].class_names))
        for note in (*document.notes, *document.about, *write_page(path, document)):
            say(f"note: {note}", file=sys.stderr)
