"""Captions of the classes as a teacher reads them: one per class, or several whose embeddings are averaged."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Prompts = Sequence[str | Sequence[str]]
"""One caption per class, or several, in class order."""


class LongCaptionError(ValueError):
    """A caption whose end the text tower would not read."""

    def __init__(self, caption: str, length: int) -> None:
        """Say which.

        Args:
            caption: As typed.
            length: Tokens the text tower reads.
        """
        super().__init__(
            f"the caption {caption!r} takes more than the {length} tokens the teacher reads, its end would be cut off; "
            "shorten it"
        )
        self.caption = caption


def check_prompts(prompts: Prompts) -> None:
    """Refuse lists that cannot stand for classes.

    Raises:
        ValueError: There is no class, or a class has no caption or a blank one.
    """
    groups = [captions_of(entry) for entry in prompts]
    blank = [index for index, group in enumerate(groups) if not group or not all(text.strip() for text in group)]
    if not groups or blank:
        raise ValueError(f"prompts must be one caption per class or more, got {len(groups)} with blank entries {blank}")


def captions_of(entry: str | Sequence[str]) -> tuple[str, ...]:
    """The captions of one class."""
    return (entry,) if isinstance(entry, str) else tuple(entry)


def all_captions(prompts: Prompts) -> list[str]:
    """The captions of all classes one after the other, to be encoded in one go."""
    return [caption for entry in prompts for caption in captions_of(entry)]


def class_embeddings(embeddings: "torch.Tensor", prompts: Prompts) -> "torch.Tensor":
    """The embedding of each class: its caption's, or the mean of its captions' brought back to length 1.

    Args:
        embeddings: float [P, D] of length 1, in the order of `all_captions`.
        prompts: The captions, by class.

    Returns:
        float [C, D] of length 1; a class with one caption keeps its embedding to the bit.
    """
    import torch
    from torch.nn import functional

    groups = embeddings.split([len(captions_of(entry)) for entry in prompts])
    means = [group[0] if len(group) == 1 else functional.normalize(group.mean(0), dim=0) for group in groups]
    return torch.stack(means)


def as_json(prompts: Prompts) -> list[str | list[str]]:
    """The captions as they stand in the identity of a teacher."""
    return [entry if isinstance(entry, str) else list(entry) for entry in prompts]
