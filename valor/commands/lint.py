"""`valor lint`."""

import argparse

from .command import Commands, new_command


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add its help and options."""
    return new_command(
        commands,
        "lint",
        "being written",
        "This command is being written and does nothing yet, so be patient with it please.",
        "valor lint",
    )


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    raise ValueError("not written yet")
