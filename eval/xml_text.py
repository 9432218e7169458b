"""What XML cannot hold: every file of XML that is written here goes through this one function."""

import re

_FORBIDDEN = re.compile("[^\t\n\r\\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""All but the characters of XML 1.0, section 2.2: control characters, lone surrogates, U+FFFE and U+FFFF."""


def xml_text(text: str) -> str:
    """The text with U+FFFD, which stands for what cannot be shown, in place of each character that XML forbids.

    >>> xml_text(f"a{chr(0x1b)}b & c")
    'a�b & c'
    """
    return _FORBIDDEN.sub("\ufffd", text)
