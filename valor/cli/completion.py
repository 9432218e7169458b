"""`valor completion`."""

import argparse
from importlib.util import find_spec

from .command import DONE, Commands, new_command
from .options import Parser
from .terminal import say

SHELLS = ("bash", "zsh", "fish")
_FOLDERS = ("DIR", "RUN", "STORE", "LABELS", "DATA")
"""What stands for a folder in the help; other paths are files."""

_PATH_TYPES = ("local_path", "new_folder", "_local_text", "any_place", "media_place")
"""Names of what reads paths."""


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "completion",
        "Prints a script by which a shell completes commands, options, their choices, recipes and paths. It is made\n"
        "once, so that completing waits for nothing of this project; make it again after an update.\n\n"
        "  bash  source <(valor completion bash), in ~/.bashrc\n"
        "  zsh   valor completion zsh > ~/.zfunc/_valor, where ~/.zfunc is in fpath\n"
        "  fish  valor completion fish > ~/.config/fish/completions/valor.fish\n\n"
        "Needs the package shtab: pip install shtab.",
        "valor completion bash",
    )
    command.add_argument("shell", choices=SHELLS, help="which shell it is for")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    if find_spec("shtab") is None:
        raise ValueError("the script is made by shtab, which is not installed; pip install shtab")
    import shtab

    say(shtab.complete(whole_parser(shtab.FILE, shtab.DIRECTORY), cli.shell))
    return DONE


def whole_parser(file: object, folder: object) -> Parser:
    """All commands, with what shtab completes files and folders by, and recipes as choices."""
    from valor.training.recipes import RECIPES

    from .arguments import build_argument_parser

    root = build_argument_parser()
    parsers: list[argparse.ArgumentParser] = [root]
    for parser in parsers:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
            elif action.metavar == "RECIPE":
                action.choices = list(RECIPES)
            elif action.choices is None and getattr(action.type, "__name__", "") in _PATH_TYPES:
                named = [word for word in str(action.metavar).replace("=", "|").split("|") if word.isupper()]
                action.complete = folder if named and named[-1] in _FOLDERS else file  # type: ignore[attr-defined]
    return root
