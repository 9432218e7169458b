"""`python -m valor COMMAND`: from typed arguments to the command, and what becomes of its errors."""

import argparse
import atexit
import gc
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from valor.cli.arguments import build_argument_parser, command_module
from valor.cli.command import DONE, IN_FILES, WRONG_USE, unswept
from valor.cli.logs import noted, refusals_noted
from valor.cli.options import named_files, typed_words
from valor.cli.outputs import check_written
from valor.cli.terminal import brief, drop_unread_streams, lost_output, make_streams_plain, say
from valor.label_harvest.children import ended_in_order
from valor.label_harvest.cores import on_machine
from valor.label_harvest.machine import machine_fault, memory_fault, told_fault


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What was typed after `valor`; None takes it from the process.

    Returns:
        0 done, 2 wrong use or bad input (said in one message), 3 done with failures that are listed, 130
        interrupted by hand.
    """
    make_streams_plain()
    try:
        code = _main(arguments)
    except KeyboardInterrupt:
        code = _interrupted()
    except BrokenPipeError:
        if not drop_unread_streams():
            raise
        code = DONE  # the reader, such as `| head`, has seen enough
    finally:
        drop_unread_streams()  # what is still to be written, and a reader who has gone meanwhile
    return code


def _main(arguments: list[str] | None) -> int:
    typed = _joined(named_files(sys.argv[1:] if arguments is None else arguments))
    with ExitStack() as notes:
        notes.enter_context(_in_process(ends_with_it=arguments is None))
        with unswept():
            cli = build_argument_parser(typed[0] if typed else "").parse_args(typed)
        try:
            check_written(cli)
            notes.enter_context(noted(cli, typed))
            with ended_in_order(), refusals_noted(cli):
                if getattr(cli, "own_files", None):
                    from valor.training.own import use_files

                    use_files(cli.own_files)
                device, threads = getattr(cli, "device", None), getattr(cli, "threads", None)
                with on_machine(None if device == "auto" else device, threads):
                    code = int(command_module(cli.command).run(cli))
                return _printed(cli, code)
        except KeyboardInterrupt:  # here, where a file of notes has it too
            return _interrupted()
        except ModuleNotFoundError as error:
            from valor.doctor import absent_package

            if (said := absent_package(error)) is None:
                raise
            say(f"valor {cli.command}: {said}", file=sys.stderr)
            return WRONG_USE
        except _refusals() as error:
            if isinstance(error, BrokenPipeError) and drop_unread_streams():
                return DONE
            _trace_own(error)
            said = _placed(error) or typed_words(_words_of(error), cli.flags)
            say(brief(f"valor {cli.command}: {said}"), file=sys.stderr)
            return WRONG_USE
        except Exception as error:
            fault = machine_fault(error)
            placed = told_fault(fault) if fault else memory_fault(error) or _placed(error)
            if placed is None:
                raise
            _trace_own(error)
            say(brief(f"valor {cli.command}: {placed}"), file=sys.stderr)
            return WRONG_USE


@contextmanager
def _in_process(*, ends_with_it: bool) -> Iterator[None]:
    """Leave the process as it was, or let one that ends with the command end fast and in silence."""
    if ends_with_it:  # nothing is to be looked through for what could be freed
        atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.unfreeze()
        if ends_with_it:  # all is said: nothing that libraries note while they end follows it
            logging.disable()


def _interrupted() -> int:
    """Say how to go on after Ctrl-C; the exit code."""
    say("\nvalor: interrupted; run the same command again to go on", file=sys.stderr)
    return 130


def _printed(cli: argparse.Namespace, code: int) -> int:
    """The exit code, once what was printed is out; of a command whose work is in files it is that of the work.

    Raises:
        OSError: The disk that stdout is on did not take a result.
    """
    drop_unread_streams()
    lost = lost_output()
    if lost is None:
        return code
    if cli.command not in IN_FILES or getattr(cli, "plan", False):
        raise OSError(lost.errno, lost.strerror, "stdout")
    logging.getLogger("valor").warning("stdout: nothing is printed any more (%s)", lost.strerror)
    return code


def _words_of(error: Exception) -> str:
    """What an error says; of one of the system a sentence."""
    return told_fault(error) if isinstance(error, OSError) else str(error)


def _placed(error: Exception) -> str | None:
    """What an error that came out of a file of one's own is called, and how its way is seen; None of any other."""
    from valor.data.own_files import in_own_file

    said = in_own_file(error)
    return said and f"{said} (-v shows the whole way there)"


def _trace_own(error: Exception) -> None:
    """Have --verbose and --log-file show the way an error took through a file of one's own."""
    from valor.data.own_files import came_of_own_file

    if came_of_own_file(error):
        logging.getLogger("valor").debug("where it came from", exc_info=error)


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


if __name__ == "__main__":
    sys.exit(main())
