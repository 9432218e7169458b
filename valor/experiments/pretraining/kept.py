"""What was measured of a training, beside what it was measured on: arrays in a file that is found again, or made anew.

FILE.npz    `of`, JSON of whatever the arrays hang on, and the arrays by name
"""

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from valor.eval.events import Float64Array
from valor.label_harvest.arrays import npz_names, read_npz
from valor.label_harvest.disk import replaced

OF = "of"


def kept(
    path: Path, of: Sequence[object], measured: Callable[[], Mapping[str, Float64Array]]
) -> Mapping[str, Float64Array]:
    """Read what was measured of the same things, else measure and write it.

    Args:
        path: The file; one that is damaged, or of something else, is written anew.
        of: What the figures hang on: digests, seeds, the version of the measure.
        measured: Makes them.
    """
    wanted = json.dumps([*of])
    try:
        held = read_npz(path, npz_names(path))
    except (OSError, ValueError, zipfile.BadZipFile):
        held = {}  # not there, or not whole
    if str(held.pop(OF, "")) == wanted:
        return held
    found = measured()
    with replaced(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **{OF: np.array(wanted)}, **found)
    return found
