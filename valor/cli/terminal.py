"""What reaches a terminal: no letter that steers it, whatever a file calls its clips, and no letter it cannot show."""

import codecs
import logging
import os
import re
import select
import sys
from typing import TextIO

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, what turns the direction of writing or breaks lines, and halves of letters
such as names of files that are no UTF-8 have."""
_PLAIN = {"–": "-", "—": "-", "±": "+/-", "·": ",", "…": "...", "×": "x", "→": "->"}
"""What stands for our own letters where a terminal has none for them."""
_PLAINER = "valor-plainer"
"""Name of the error handler that uses it."""


SAID = logging.getLogger("valor.said")
"""Has what is printed, for files that keep it; nothing of it reaches the terminal a second time."""
SAID.propagate = False
SAID.setLevel(logging.INFO)


def shown(text: str) -> str:
    r"""Text with a visible escape in place of each letter that steers a terminal.

    >>> shown("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return _STEERING.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


_SECRETS = re.compile(
    r"(?P<scheme>://)[^/\s@]+@|(?P<name>[?&][\w.-]*(?:token|signature|credential|secret|password|key)[\w.-]*=)[^&\s'\"]+",
    re.IGNORECASE,
)
"""What an address has for its owner alone: a password before the host, a signature behind it."""


def without_secrets(text: str) -> str:
    """Text with stars in place of what addresses keep secret.

    >>> without_secrets("https://me:pw@host/v?X-Amz-Signature=ab12&part=1")
    'https://***@host/v?X-Amz-Signature=***&part=1'
    """
    return _SECRETS.sub(lambda match: f"{match['scheme']}***@" if match["scheme"] else f"{match['name']}***", text)


_MOST_LETTERS = 3000
"""Of a message; what is longer quotes somebody's file and hides what is wrong and what to do."""


def brief(text: str) -> str:
    """A message without the middle of what it quotes at length.

    >>> len(brief("x" * 10_000)) <= 3000
    True
    """
    if len(text) <= _MOST_LETTERS:
        return text
    kept = _MOST_LETTERS // 2 - 20
    return f"{text[:kept]} [{len(text) - 2 * kept:,} more] {text[-kept:]}"


_LOST: list[OSError] = []
"""Why stdout could not be written, since it was last asked for."""


def say(text: object = "", *, file: TextIO | None = None, flush: bool = False) -> None:
    """Print a line; what commands print goes through here, and to the file of `--log-file` where there is one.

    A disk that does not take it ends no work: stdout or stderr goes nowhere from there on, see `lost_output`.
    """
    SAID.info("%s", text)
    stream = file or sys.stdout
    try:
        print(shown(str(text)), file=stream, flush=flush)
    except BrokenPipeError:
        raise
    except OSError as error:
        _lose(stream, error)


def lost_output() -> OSError | None:
    """Why something that was printed to stdout is not there, the first time it is asked for; None where all is."""
    error = _LOST[0] if _LOST else None
    _LOST.clear()
    return error


def _lose(stream: TextIO, error: OSError) -> None:
    if stream is sys.stdout:
        _LOST.append(error)
    _to_nowhere(stream)


def _to_nowhere(stream: TextIO) -> None:
    """Have what could not be written go nowhere; it would be tried again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def drop_unread_streams() -> bool:
    """Let stdout and stderr go nowhere where nobody reads them any more; whether that is so of one of them."""
    unread = []
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
            waiting = select.poll()
            waiting.register(stream, 0)
            if any(state & (select.POLLERR | select.POLLHUP) for _, state in waiting.poll(0)):
                unread.append(stream)
        except BrokenPipeError:
            unread.append(stream)
        except OSError as error:
            if error.errno is not None:  # of a disk; a stream without a file has none
                _lose(stream, error)
        except (AttributeError, TypeError, ValueError):  # closed, or a system without `poll`
            continue
    for stream in unread:
        _to_nowhere(stream)
    return bool(unread)


def make_streams_plain() -> None:
    """Let stdout and stderr write something for letters their encoding lacks, in place of ending the command."""
    codecs.register_error(_PLAINER, _plainer)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_PLAINER)


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    plain = "".join(_PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in lost)
    return plain, error.end
