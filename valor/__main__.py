"""`python -m valor COMMAND`: from typed arguments to the command, and what becomes of its errors."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping

from valor.cli.arguments import COMMANDS as MODULES
from valor.cli.arguments import build_argument_parser
from valor.cli.command import DONE, WRONG_USE
from valor.cli.options import typed_words
from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.teachers.teacher import TeacherUnavailableError
from valor.training.options import TrainingError


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What was typed after `valor`; None takes it from the process.

    Returns:
        0 done, 2 wrong use or bad input (said in one message), 3 done with failures that are listed, 130
        interrupted by hand.
    """
    cli = build_argument_parser().parse_args(arguments)
    _log_to_stderr(logging.WARNING if cli.quiet else logging.INFO, cli.flags)
    try:
        return COMMANDS[cli.command](cli)
    except KeyboardInterrupt:
        print("\nvalor: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `| head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (ValueError, OSError, MediaError, TeacherUnavailableError, TrainingError) as error:
        print(f"valor {cli.command}: {typed_words(str(error), cli.flags)}", file=sys.stderr)
        return WRONG_USE


class _TypedWords(logging.Formatter):
    """Notes of the library name parameters; here they name what is typed."""

    def __init__(self, flags: Mapping[str, str]) -> None:
        super().__init__("%(message)s")
        self.flags = flags

    def format(self, record: logging.LogRecord) -> str:
        return typed_words(super().format(record), self.flags)


def _log_to_stderr(level: int, flags: Mapping[str, str]) -> None:
    """Notes of this project from `level` on, and warnings of everyone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_TypedWords(flags))
    logging.basicConfig(level=level, handlers=[handler])
    for noisy in ("httpx", "huggingface_hub", "open_clip", "transformers", "matplotlib", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger().addFilter(_is_warning)  # for libraries that log as nobody; what passes through is not asked


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {name: module.run for name, module in MODULES.items()}
"""The function of each command."""

if __name__ == "__main__":
    sys.exit(main())
