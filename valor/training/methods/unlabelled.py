"""Clips without tags beside the tagged ones, labelled by the teachers alone.

`valor.training.pool` reads them, labels them by `valor.label_harvest.untagged` and lays them behind the tagged clips of
the training set, marked as such (`ClipSet.tagged`). Their labels of segments are those labels, their tags the classes
that are labelled anywhere in them. Here is what they count: each loss of theirs is taken `weight` times.

Source:
    Ours; training on what a fixed rule says of unlabelled examples is pseudo-labelling (Lee, ICML 2013 workshop).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from valor.label_harvest.did_you_mean import did_you_mean

from .method import Charge, Method, Plan

CUTS = ("tagged", "val")
"""What the share of marked seconds is taken from."""

CUTS_ON_VAL = "unlabelled cuts"
"""How it is said that the cuts were chosen on val."""


@dataclass(frozen=True, kw_only=True)
class UnlabelledOptions:
    """Which clips without tags take part, how they are labelled and what they count."""

    weight: float = 1.0
    """What each of their losses counts, a tagged clip's being 1."""
    share: float = 1.0
    """Share of the clips that takes part, drawn by the seed, a smaller one from a larger."""
    cuts: str = "tagged"
    """How often seconds are labelled: as often as those of the tagged clips (`tagged`), or that times the factor whose
    labels have the best segment F on the validation clips (`val`), which then are chosen on their truth."""
    temperature: float = 0.0
    """Of soft labels, in deviations of a teacher's logits; 0 for hard ones."""

    def __post_init__(self) -> None:
        """Refuse what would do nothing or harm."""
        if self.cuts not in CUTS:
            raise ValueError(f"cuts must be one of {', '.join(CUTS)}, got {self.cuts!r}{did_you_mean(self.cuts, CUTS)}")
        if not 0 < self.weight < float("inf"):
            raise ValueError(f"weight must be positive, got {self.weight}; leave the clips without tags out instead")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {self.share}")
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must not be negative, got {self.temperature}")


class Unlabelled(Method[UnlabelledOptions]):
    """Clips without tags."""

    Options = UnlabelledOptions
    excludes = ("jomold", "nrep", "vplan", "supervised", "windows", "cmpae", "coleaf", "ppl", "avel", "localiser",
                "generator", "uwav")  # fmt: skip
    """Whose labels, clips or losses are of tagged clips alone."""
    extra_data = ("unlabelled clips",)

    def __init__(self, options: UnlabelledOptions) -> None:
        """Take the options, and say what of it is chosen on val."""
        super().__init__(options)
        self.tuned = (CUTS_ON_VAL,) if options.cuts == "val" else ()

    def check(self, plan: Plan) -> None:
        """Refuse recipes that have no use for labels, or no features of a store."""
        if not plan.fit.pseudo_label_weight:
            raise ValueError(
                "methods.unlabelled labels clips by their seconds, which fit.pseudo_label_weight=0 leaves out; give it "
                "a weight"
            )
        if "mug" in plan.methods and self.options.weight != 1:
            raise ValueError(
                "methods.mug recombines clips with tags and without, which methods.unlabelled.weight cannot tell "
                "apart; set it to 1, or methods.mug=off"
            )

    def charge(self, charge: Charge) -> Charge:
        """What clips without tags count."""
        tagged, weight = charge.batch.tagged, self.options.weight
        if tagged is None or weight == 1:
            return charge
        weights = tagged + weight * (1 - tagged)
        return replace(charge, clip_weights=weights if charge.clip_weights is None else charge.clip_weights * weights)
