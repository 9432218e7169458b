"""Characters that XML forbids never reach a file."""

from xml.etree import ElementTree as Xml
from xml.sax.saxutils import escape

from matplotlib.figure import Figure

from valor.eval.figures.style import to_svg
from valor.eval.xml_text import xml_text


def test_every_character_is_kept_or_stands_for_none():
    for code in (*range(0x300), *range(0xD700, 0xE100), *range(0xFFF0, 0x10010), 0x10FFFF):
        shown = xml_text(chr(code))
        Xml.fromstring(f"<a>{escape(shown)}</a>".encode())
        try:
            Xml.fromstring(f"<a>{escape(chr(code))}</a>".encode())
        except (Xml.ParseError, UnicodeEncodeError):
            assert shown == "\ufffd"
        else:
            assert shown == chr(code)


def test_pictures_open_whatever_a_title_holds():
    figure = Figure()
    figure.suptitle("a\x1bb & <c>")
    Xml.fromstring(to_svg(figure))
