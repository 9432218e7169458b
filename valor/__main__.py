"""`python -m valor COMMAND`: from typed arguments to the command, and what becomes of its errors."""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from valor.cli.arguments import build_argument_parser, command_module
from valor.cli.command import DONE, WRONG_USE
from valor.cli.options import named_files, typed_words
from valor.cli.terminal import SAID, brief, make_streams_plain, say, shown
from valor.label_harvest.children import ended_in_order
from valor.label_harvest.cores import on_machine


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What was typed after `valor`; None takes it from the process.

    Returns:
        0 done, 2 wrong use or bad input (said in one message), 3 done with failures that are listed, 130
        interrupted by hand.
    """
    make_streams_plain()
    typed = _joined(named_files(sys.argv[1:] if arguments is None else arguments))
    cli = build_argument_parser(typed[0] if typed else "").parse_args(typed)
    _log_to_stderr(logging.WARNING if cli.quiet else logging.INFO, cli.flags)
    kept = None
    try:
        if getattr(cli, "log_file", None):
            kept = _log_to_file(cli.log_file, cli.flags)
        if getattr(cli, "own_files", None):
            from valor.training.own import use_files

            use_files(cli.own_files)
        device, threads = getattr(cli, "device", None), getattr(cli, "threads", None)
        with on_machine(None if device == "auto" else device, threads), ended_in_order():
            return int(command_module(cli.command).run(cli))
    except KeyboardInterrupt:
        say("\nvalor: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `| head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "valor":
            raise
        from valor.doctor import INSTALL

        said = f"needs the package {error.name}, which is not installed here; install all of them ({INSTALL})"
        say(f"valor {cli.command}: {said}", file=sys.stderr)
        return WRONG_USE
    except _refusals() as error:
        say(brief(f"valor {cli.command}: {typed_words(str(error), cli.flags)}"), file=sys.stderr)
        return WRONG_USE
    finally:
        if kept is not None:
            for told in (logging.getLogger(), SAID):
                told.removeHandler(kept)
            kept.close()


def _joined(typed: list[str]) -> list[str]:
    """What was typed, a command of two words as the one it is: `bench` is no objective of `pretrain`."""
    return ["pretrain-bench", *typed[2:]] if typed[:2] == ["pretrain", "bench"] else typed


def _refusals() -> tuple[type[Exception], ...]:
    """Errors whose message is for the user; where they are defined is imported once there is one."""
    from valor.label_harvest.media.clip import MediaError
    from valor.label_harvest.places.objects import UnreachableError
    from valor.label_harvest.teachers.teacher import TeacherUnavailableError
    from valor.training.options import TrainingError

    return (ValueError, OSError, MediaError, TeacherUnavailableError, TrainingError, UnreachableError)


class _TypedWords(logging.Formatter):
    """Notes of the library name parameters; here they name what is typed."""

    def __init__(self, flags: Mapping[str, str], form: str = "%(message)s") -> None:
        super().__init__(form)
        self.flags = flags

    def format(self, record: logging.LogRecord) -> str:
        return shown(brief(typed_words(super().format(record), self.flags)))


def _log_to_stderr(level: int, flags: Mapping[str, str]) -> None:
    """Notes of this project from `level` on, and warnings of everyone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_TypedWords(flags))
    logging.basicConfig(level=level, handlers=[handler])
    for noisy in ("httpx", "huggingface_hub", "open_clip", "transformers", "matplotlib", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger().addFilter(_is_warning)  # for libraries that log as nobody; what passes through is not asked


def _log_to_file(path: Path, flags: Mapping[str, str]) -> logging.Handler:
    """Append notes, also those that are kept from the terminal, and all that is printed to a file.

    Raises:
        OSError: It cannot be written.
    """
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(_TypedWords(flags, "%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    for other in root.handlers:
        other.setLevel(root.level)
    root.setLevel(logging.INFO)
    for told in (root, SAID):
        told.addHandler(handler)
    return handler


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


if __name__ == "__main__":
    sys.exit(main())
