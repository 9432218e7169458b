"""What a class must pass besides its segments, where that is not the clip's own probability, as VALOR has it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from valor.eval.decide import GATES
from valor.label_harvest.did_you_mean import did_you_mean

from .method import Method

if TYPE_CHECKING:
    from valor.eval.decide import PostProcessing


@dataclass(frozen=True, kw_only=True)
class GatesOptions:
    """Which gate."""

    gate: str = "modality"
    """`modality`, the pooled probability of each modality; `none`; or `clip`. See `valor.eval.decide`."""

    def __post_init__(self) -> None:
        """Refuse unknown gates."""
        if self.gate not in GATES:
            raise ValueError(
                f"gate must be one of {', '.join(GATES)}, got {self.gate!r}{did_you_mean(self.gate, GATES)}"
            )


class Gates(Method[GatesOptions]):
    """Another decision in validation, and where the trained parser is scored."""

    Options = GatesOptions

    def decision(self, rule: PostProcessing) -> PostProcessing:
        """With this gate."""
        return replace(rule, gate=self.options.gate)
