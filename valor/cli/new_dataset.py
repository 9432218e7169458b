"""`valor new-dataset`."""

import argparse
import shlex
from pathlib import Path

from valor.data.datasets.new_dataset import GROUPED_BY, NewDataSet, NewDataSetOptions, make_dataset

from .command import DONE, Commands, new_command
from .options import Fields, Option, Parser
from .terminal import say

OPTIONS = Fields(
    NewDataSetOptions,
    split="--split-shares A,B,C",
    seed="--seed N",
    group_by=Option("--group-by", {"choices": GROUPED_BY}),
    segments="--segments N",
    any_length="--any-length",
    allow_missing="--allow-missing",
    name="--name NAME",
    title="--title TEXT",
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "new-dataset",
        "FILE is a table with the columns path and tags, and perhaps split (train, val, test), group and seconds (how\n"
        "long a clip lasts), separated by commas, semicolons or tabs; several tags stand in double quotes:\n"
        'yard-01.mp4,"Dog,Siren". A clip goes by the name of its file. --events is a table with the columns path,\n'
        "onset, offset, class and modality (audio, visual or both), in seconds: the truth of val and test, which may\n"
        "be all clips there are; or a CSV of `valor export events`, or of a parse's to_frame(). DIR gets the tables,\n"
        "the vocabulary with its captions and dataset.json, all read back before the command ends, and is\n"
        "made whole or not at all. What was cut from one video never lies on both sides of a split. Everything else\n"
        "takes DIR (docs/datasets.md).",
        "valor new-dataset yard clips.csv --events events.csv --videos clips",
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="the data folder that is made")
    command.add_argument("table", type=Path, metavar="FILE", help="table of clips and tags")
    command.add_argument(
        "--events", dest="rows", type=Path, metavar="FILE", help="table of what is heard and seen when"
    )
    command.add_argument(
        "--videos", type=Path, metavar="DIR", help="where the media lie; without, they are not looked at"
    )
    command.add_argument(
        "--classes",
        metavar="NAME|FILE|NAMES",
        help="llp, a JSON file, or names with commas between (the tags, commonest first)",
    )
    OPTIONS.add(command)
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    made = make_dataset(
        cli.folder, cli.table, rows=cli.rows, videos=cli.videos, classes=cli.classes, options=OPTIONS.read(cli)
    )
    clips = sum(made.clips.values())
    say(f"{clips:,} clips of {made.sources:,} sources, {len(made.dataset.names)} classes\n")
    say(_table(made))
    say(f"\n{_lengths(made, clips)}")
    for note in made.notes:
        say(f"note: {note}")
    say(f"{made.folder} holds the same already" if made.was_there else f"wrote {made.folder}")
    if not cli.quiet and "train" not in made.clips:
        say("\nparses by a run, with --run RUN, are scored likewise; next:")
    elif not cli.quiet:
        say("\nCLIP and CLAP judge, others by --visual NAME and --audio NAME of valor harvest; to try it without their")
        say("weights: --visual demo-visual --audio demo-audio, and the recipe demo; next:")
    if not cli.quiet:
        for line in next_commands(made, cli.videos):
            say(f"  {line}")
    return DONE


def _table(made: NewDataSet) -> str:
    """How many clips of each split are tagged with each class, and what truth there is."""
    width = max(map(len, (*made.dataset.names, "seconds visible")))
    lines = ["class".ljust(width) + "".join(f"{split:>9s}" for split in made.clips)]
    lines.append("-" * len(lines[0]))
    for row, name in enumerate(made.dataset.names):
        lines.append(name.ljust(width) + "".join(f"{counts[row]:9,}" for counts in made.counts.values()))
    lines += ["-" * len(lines[0]), "clips".ljust(width) + "".join(f"{count:9,}" for count in made.clips.values())]
    for place, what in enumerate(("audible", "visible")):
        cells = (made.seconds_marked.get(split) for split in made.clips)
        lines.append(
            f"seconds {what}".ljust(width) + "".join(f"{cell[place]:9,}" if cell else f"{'–':>9s}" for cell in cells)
        )
    return "\n".join(lines)


def _lengths(made: NewDataSet, clips: int) -> str:
    """How long the clips are, as far as it is known."""
    whole = made.dataset.segments is None
    grid = "each is looked at to its end" if whole else f"{made.dataset.segments} s of each are looked at"
    if made.without_file and not made.known_seconds:
        return f"the media were not looked at, their lengths are not known; {grid}"
    known = made.known_seconds
    if not known:
        return f"no header says how long a clip is; {grid}"
    span = f"{min(known):.1f} to {max(known):.1f} s" if max(known) - min(known) >= 0.05 else f"{known[0]:.1f} s"
    unknown = f", of {clips - len(known):,} it is not known" if len(known) < clips else ""
    return f"the clips last {span} by {'the table' if made.without_file else 'their headers'}{unknown}; {grid}"


def next_commands(made: NewDataSet, videos: Path | None) -> list[str]:
    """What to type next, from the data to a table; val without truth is marked by hand in between."""
    folder, media = shlex.quote(str(made.folder)), "DIR" if videos is None else shlex.quote(str(videos))
    if "train" not in made.clips:
        scoring = [f"valor evaluate parses --annotations {folder} --split {split}" for split in made.dataset.annotated]
        return [f"valor parse {media} --zero-shot {folder}/classes.json --out parses", *scoring]
    run_folder = shlex.quote(f"runs/{made.dataset.name}")
    whole = made.dataset.segments is None
    recipe = "unav-valor" if whole else "valor-clips"  # raw maps of sound are of clips of one length
    lines = [
        f"valor harvest {folder} --videos {media} --store {folder}/store{' --length whole' if whole else ''}",
        f"valor calibrate {folder}/store --criterion tag-rate --out {folder}/thresholds.json",
        f"valor labels {folder}/store --thresholds {folder}/thresholds.json --out {folder}/labels",
    ]
    if "val" not in made.clips:
        shown = f"{folder}/labels --data {folder} --split train --videos {media} --out {folder}.html"
        return [*lines, f"valor view {shown}"]
    marked = "" if "val" in made.dataset.annotated else f"{folder}.val"
    if marked:
        shown = f"{folder}/labels --data {folder} --split val --videos {media} --corrections {marked}"
        lines.append(f"valor view {shown}  # mark what is heard and seen, then Ctrl+C")
    scored = "test" if "test" in made.dataset.annotated else "val"
    truth = marked if scored == "val" and marked else folder
    given = f" --annotations {marked}" * bool(marked)
    return [
        *lines,
        f"valor train {recipe} --data {folder} --labels {folder}/labels{given} --out {run_folder}",
        f"valor evaluate {run_folder} --annotations {truth} --data {folder} --split {scored}",
        f"valor table {run_folder}",
        f"valor view {run_folder} --data {folder} --split {scored} --videos {media} --out {run_folder}.html",
    ]
