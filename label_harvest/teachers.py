"""The table of named teachers and the one function that builds them."""

from collections.abc import Sequence
from pathlib import Path

from .evidence import Teacher

TEACHERS: dict[str, str] = {
    "clip-vit-l14": "visual",
    "clap-630k-fusion": "audio",
    "demo-visual": "visual",
    "demo-audio": "audio",
    "demo-fused": "fused",
}
"""Role of each named teacher."""


def build_teacher(name: str, prompts: Sequence[str], *, checkpoint: str | Path | None = None) -> Teacher:
    """Build a named teacher and encode its prompts once.

    Args:
        name: A key of `TEACHERS`.
        prompts: One caption per class, in class order.
        checkpoint: A local weight file, the word `random` for seeded random weights (for trying out speed and
            plumbing), or None for the weights the name stands for (from a hub, or shipped with the project).

    Raises:
        ValueError: The name is unknown, the prompts are empty or one is blank.
        FileNotFoundError: The checkpoint is no file.
        RuntimeError: The weights could not be fetched; the message says which local file to give.
    """
    if name not in TEACHERS:
        raise ValueError(f"teacher must be one of {', '.join(TEACHERS)}, got {name!r}")
    _check_prompts(prompts)
    if name == "clip-vit-l14":
        from .clip import build_clip

        return build_clip(prompts, checkpoint=checkpoint)
    if name == "clap-630k-fusion":
        from .clap import build_clap

        return build_clap(prompts, checkpoint=checkpoint)
    from .tiny import build_tiny

    return build_tiny(TEACHERS[name], prompts, None if checkpoint is None else Path(checkpoint))


def where_weights_are(name: str) -> Path | None:
    """Find the weights a name stands for on this machine, asking nothing of a network.

    Args:
        name: A key of `TEACHERS`.

    Returns:
        The weight file, or None where it would first have to be fetched.
    """
    from huggingface_hub import try_to_load_from_cache

    if name.startswith("demo-"):
        from .tiny import WEIGHTS

        path = WEIGHTS / f"demo_{TEACHERS[name]}.safetensors"
        return path if path.is_file() else None
    from .clap import HUB_FILE
    from .clip import HUB_FILES

    for repository, file in HUB_FILES if TEACHERS[name] == "visual" else (HUB_FILE,):
        found = try_to_load_from_cache(repository, file)
        if isinstance(found, str):
            return Path(found)
    return None


def _check_prompts(prompts: Sequence[str]) -> None:
    """Refuse prompt lists that cannot stand for distinct classes."""
    blank = [index for index, prompt in enumerate(prompts) if not prompt.strip()]
    if not prompts or blank:
        raise ValueError(f"prompts must be one caption per class, got {len(prompts)} with blank entries {blank}")
