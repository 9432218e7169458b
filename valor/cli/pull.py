"""`valor pull`."""

import argparse

from .command import DONE, Commands, new_command
from .options import Parser, new_folder
from .terminal import say


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "pull",
        "Fetches what `valor push` put into a repository of the Hugging Face hub: a run, thresholds or an evidence\n"
        "store. Files are held against their sha256 and are data alone, never unpickled or run. Without --out they\n"
        "stay in the hub's cache, and the folder is printed. `valor parse --run hf:OWNER/NAME` needs no pull.",
        "valor pull org/valor-clips --out runs/theirs\nvalor pull org/valor-clips@v1",
    )
    command.add_argument(
        "repository", metavar="OWNER/NAME", help="repository of the hub; @REVISION for another than the newest"
    )
    command.add_argument(
        "--out", type=new_folder, metavar="DIR", help="folder to copy the files to; it must not be there yet"
    )
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.data.hub import copied, pull

    pulled = pull(cli.repository)
    folder = pulled.folder if cli.out is None else copied(pulled, cli.out)
    say(
        f"{pulled.kind} of {len(pulled.files)} files, {pulled.address}; {'in' if cli.out is None else 'wrote'} {folder}"
    )
    return DONE
