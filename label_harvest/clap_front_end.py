"""What a folder of a CLAP model says of its front end, held against the one that is computed here."""

import inspect
import json
from pathlib import Path

from .mel import HIGHEST_HZ, HOP_SAMPLES, LOWEST_HZ, NUM_BANDS, WINDOW_SAMPLES

FILES = ("preprocessor_config.json", "processor_config.json")
"""Where transformers keeps it; in the second under `feature_extractor`."""


def check_front_end(folder: Path, *, fusion: bool) -> None:
    """Refuse a model that was trained to hear otherwise than it would here; nothing is said where it says nothing.

    Args:
        folder: A model in the hub's layout.
        fusion: Whether its network has the fusion branch, which decides the mel bank.

    Raises:
        ValueError: The file is damaged, or a value differs from what is computed here.

    Source:
        transformers' `ClapFeatureExtractor`, whose defaults fill in what the file leaves out.
    """
    found = _read(folder)
    if found is None:
        return
    path, said = found
    from transformers import ClapFeatureExtractor

    defaults = inspect.signature(ClapFeatureExtractor.__init__).parameters
    for name, wanted in _front_end(fusion=fusion).items():
        got = said.get(name, defaults[name].default if name in defaults else wanted)
        if got != wanted:
            left_out = "" if name in said else ", transformers' value where it is left out"
            raise ValueError(
                f"{path}: {name} must be {wanted!r}, got {got!r}{left_out}; the network was trained on other "
                "spectrograms than are computed here, give a CLAP model that hears as LAION's do"
            )


def _front_end(*, fusion: bool) -> dict[str, object]:
    """What is computed here, under transformers' names; `truncation` is what it takes the mel bank from."""
    return {
        "feature_extractor_type": "ClapFeatureExtractor",
        "sampling_rate": 48000,
        "hop_length": HOP_SAMPLES,
        "fft_window_size": WINDOW_SAMPLES,
        "frequency_min": LOWEST_HZ,
        "frequency_max": HIGHEST_HZ,
        "feature_size": NUM_BANDS,
        "max_length_s": 10,
        "padding": "repeatpad",
        "truncation": "fusion" if fusion else "rand_trunc",
    }


def _read(folder: Path) -> tuple[Path, dict] | None:
    """The file of a folder that speaks of the front end, and what it says."""
    for name in FILES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            said = said if name == FILES[0] else said.get("feature_extractor")
        except (UnicodeDecodeError, json.JSONDecodeError, AttributeError) as error:
            raise ValueError(f"{path}: expected a JSON object, got {error}; fetch the file again") from error
        if isinstance(said, dict):
            return path, said
        if name == FILES[0]:
            raise ValueError(f"{path}: expected a JSON object, got {type(said).__name__}; fetch the file again")
    return None
