"""What the commands share: exit codes, how a command is announced, and the plain table of scores."""

import argparse
import textwrap

DONE, WRONG_USE, FAILURES_LISTED = 0, 2, 3
"""Exit codes: done; wrong use or bad input, said in one message; done with failures that are listed."""

Commands = argparse._SubParsersAction
"""Where a command is added."""


def new_command(commands: Commands, name: str, summary: str, more: str, example: str) -> argparse.ArgumentParser:
    """Add a command whose help says what it is for and how it is typed.

    Args:
        commands: The commands so far.
        name: What is typed after `valor`.
        summary: Half a sentence for the list of commands.
        more: What one has to know, in lines of at most 110 characters.
        example: A whole line that can be typed, or several.
    """
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{more}",
        epilog="example:\n" + textwrap.indent(example, "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def score_text(rows: list, anchors: list) -> str:
    """The ten F-scores as text: (name, scores) rows, and among them the anchors, which stand at the foot."""
    from eval.tables import score_table, to_text

    return to_text(score_table(rows), anchors=[name for name, _ in anchors])
