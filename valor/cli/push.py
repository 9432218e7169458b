"""`valor push`."""

import argparse
from pathlib import Path

from .command import DONE, Commands, new_command
from .options import Parser, new_folder
from .terminal import say


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "push",
        "WHAT is a run folder, thresholds of `valor calibrate`, or an evidence store. It goes into the repository\n"
        "OWNER/NAME of the Hugging Face hub, which is made if need be, in one commit, with a card of what the\n"
        "files say of themselves: scores, recipe, data, teachers, and whether anything was SIMULATED or of the demo.\n"
        "Log in once with `hf auth login`, or set HF_TOKEN; HF_ENDPOINT names another server (docs/share.md).",
        "valor push runs/clips org/valor-clips --licence mit\nvalor push runs/clips org/valor-clips --out card",
    )
    command.add_argument("what", type=Path, metavar="WHAT", help="run folder, thresholds file, or store")
    command.add_argument("repository", metavar="OWNER/NAME", help="repository of the hub")
    command.add_argument(
        "--licence", metavar="NAME", help="of what is shared, such as mit; the card says when there is none"
    )
    command.add_argument("--private", action="store_true", help="a repository that is made is for its owner alone")
    command.add_argument(
        "--out", type=new_folder, metavar="DIR", help="write card and valor.json there, and push nothing"
    )
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.exchange.share import push_shared

    commit = push_shared(cli.what, cli.repository, licence=cli.licence, private=cli.private, out=cli.out)
    if cli.out is not None:
        say(f"wrote {cli.out}; nothing was pushed")
    else:
        say(f"pushed {cli.what} to hf:{cli.repository.removeprefix('hf:')}@{commit}")
    return DONE
