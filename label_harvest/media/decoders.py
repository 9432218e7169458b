"""The libraries that can decode clips: what is called of each, and whether it can be used here."""

import importlib
import importlib.util

from ..did_you_mean import did_you_mean

PYAV = "pyav"
"""The decoder that is always there, and of every store that names none."""
DECODERS = {
    PYAV: "valor.label_harvest.media.frames:decode_clip",
    "decord": "valor.label_harvest.media.other_decoders:decode_with_decord",
}
"""What a decoding process calls, module:name, by the name of the library."""
_LOADING = {"decord": "install it again; its wheels are for Linux, Windows and macOS on Intel processors"}
"""What helps where a library is installed and does not load."""


_INSTALLING = {"decord": 'pip install "decord<0.7"'}
"""How a decoder that is no part of every installation is installed."""


def decoder_trouble(name: str) -> tuple[str, str] | None:
    """Try whether a decoder can be used here.

    Args:
        name: A key of `DECODERS`.

    Returns:
        What is wrong, and what to do about it; None where nothing is.
    """
    if name != PYAV and importlib.util.find_spec(name) is None:
        return "not installed", _INSTALLING[name]
    try:
        importlib.import_module("av" if name == PYAV else name)
    except (ImportError, OSError, RuntimeError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return f"cannot be loaded ({reason})", _LOADING.get(name, "install it again")
    return None


def check_decoder(name: str) -> None:
    """Refuse a decoder that there is not, or that cannot be used here.

    Raises:
        ValueError: Says which, and what to do.
        ModuleNotFoundError: Not even PyAV is installed, as where only scores are computed.
    """
    if name not in DECODERS:
        raise ValueError(f"decoder must be one of {', '.join(DECODERS)}, got {name!r}{did_you_mean(name, DECODERS)}")
    if name == PYAV and importlib.util.find_spec("av") is None:
        raise ModuleNotFoundError("No module named 'av'", name="av")
    if trouble := decoder_trouble(name):
        other = "" if name == PYAV else f", or leave it out to decode with {PYAV}"
        raise ValueError(f"decoder={name}: {trouble[0]}; {trouble[1]}{other}")
