"""JSON files that vouch for themselves: `format` says that there is a checksum, `checksum` is over all of their bytes.

Both stand in front. A file with neither was written by hand, by another program or by an older version and is taken as
it is; one with either is refused unless the checksum is right, so that a changed letter is seen wherever it stands.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from valor.label_harvest.store.shards import is_sealed
from valor.label_harvest.strict_json import as_object, loads

_BLANK = "0" * 64
"""What stands in the place of the checksum while it is computed."""


def sealed_json(content: Mapping[str, Any], kind: str, *, indent: int) -> str:
    """JSON with a format and a checksum in front.

    Args:
        content: Without `format` and `checksum`.
        kind: What the format calls the file, such as `valor scores`.
        indent: Of the JSON.
    """
    said = {"format": f"{kind} 1", "checksum": _BLANK, **content}
    blank = json.dumps(said, indent=indent, allow_nan=False) + "\n"
    return blank.replace(_BLANK, hashlib.sha256(blank.encode()).hexdigest(), 1)


def unsealed(payload: bytes, kind: str) -> dict[str, Any]:
    """What `sealed_json` was given, or the whole of a file that has no checksum.

    Raises:
        ValueError: It is no JSON object, of a newer version, or not as it was written.
    """
    content = as_object(loads(payload), "the file")
    said = content.get("format")
    if "checksum" not in content and said != f"{kind} 1":
        return content
    if not is_sealed(payload):
        raise ValueError(
            "what was changed after it was written (its checksum differs); make it anew or, where the change is yours, "
            "take the keys format and checksum out"
        )
    if said != f"{kind} 1":
        raise ValueError(f"the format {said!r:.40}, which is none of this version ({kind} 1)")
    return {key: value for key, value in content.items() if key not in ("format", "checksum")}
