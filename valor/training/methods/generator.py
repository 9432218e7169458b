"""UWAV's label generator as a training: `valor.parsers.networks.generator`, on clips with every segment labelled.

    BCE(sigmoid a x sigmoid v, audible and visible), a class that a clip has anywhere counting five times

or, of a data set whose truth tells the modalities apart, the same of each (`truth=each`). The network looks along the
embeddings of a teacher, and says how well a segment fits the vectors of the class names, so it labels clips of other
classes as well: `valor.training.judge`.

Source: UWAV, Lai et al., CVPR 2025, and its code: AdamW (0.5, 0.999) at 1e-4, batches of 64, 80 epochs, kept by segment
F of what is audible and visible on validation, seed 1000. Differences: clips of like length come together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .leap import read_vectors
from .method import Charge, Method, Plan, Run

if TYPE_CHECKING:
    from torch import Tensor

    from valor.data.clips import ClipSet
    from valor.eval.decide import PostProcessing
    from valor.parsers.hybrid import HybridParser
    from valor.parsers.networks.generator import GeneratorParser

TRUTHS = ("both", "each")
"""What the truth is of."""


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """Class vectors, and sizes; the defaults are the published ones."""

    vectors: str = ""
    """Folder of audio.npy and visual.npy: numbers [classes, width], what the teachers' text towers say of the class
    names, in the order of the classes."""
    truth: str = "both"
    """`both`: the product of both modalities is held to what is audible and visible at once, as of UnAV-100; `each`:
    each modality to its own truth."""
    width: int = 1024
    """Of each modality."""
    num_layers: int = 5
    """For each modality."""
    num_heads: int = 16
    """Attention heads of a layer."""
    feedforward_width: int = 2048
    """Of the feed-forward part of a layer."""
    dropout: float = 0.3
    """Share of numbers that training leaves out."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        for name in ("width", "num_layers", "num_heads", "feedforward_width"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}")
        if self.width % self.num_heads or not 0 <= self.dropout < 1:
            raise ValueError(
                f"num_heads must divide width and dropout be in [0, 1), got {self.num_heads}, {self.width} and "
                f"{self.dropout}"
            )
        if self.truth not in TRUTHS:
            raise ValueError(f"truth must be {' or '.join(TRUTHS)}, got {self.truth!r}")


class GeneratorMethod(Method[GeneratorOptions]):
    """Another network, and its loss on the truth of every segment."""

    Options = GeneratorOptions
    excludes = (
        "uwav", "jomold", "vplan", "gates", "supervised", "mug", "windows", "avel", "nrep", "cmpae", "mm-cse", "leap",
        "coleaf", "localiser",
    )  # fmt: skip
    brings_labels = True
    extra_data = ("labels of every second",)

    def files(self) -> dict[str, tuple[Path, ...]]:
        """The class vectors of either modality."""
        return {"vectors": tuple(Path(self.options.vectors) / f"{modality}.npy" for modality in ("audio", "visual"))}

    def check(self, plan: Plan) -> None:
        """Refuse features and losses that are of other networks."""
        if plan.parser.motion_width or plan.parser.network != "hybrid":
            raise ValueError(
                "methods.generator is a network of its own without motion, got "
                f"parser.motion_width={plan.parser.motion_width} and parser.network={plan.parser.network}"
            )
        if not plan.fit.pseudo_label_weight or plan.fit.guided_weight:
            raise ValueError(
                "methods.generator learns from the truth of segments, which stands in the place of pseudo labels, and "
                "from no tags; set fit.pseudo_label_weight=1 and fit.guided_weight=0"
            )

    def network(self, parser: HybridParser, class_names: tuple[str, ...]) -> HybridParser:
        """The network in place of the one the options of the parser describe."""
        from valor.parsers.build import options_of
        from valor.parsers.networks.generator import GeneratorParser

        own = self.options
        return GeneratorParser(
            options_of(parser),
            together=own.truth == "both",
            width=own.width,
            num_layers=own.num_layers,
            num_heads=own.num_heads,
            feedforward_width=own.feedforward_width,
            dropout=own.dropout,
        )

    def start(self, run: Run) -> None:
        """Give the network its class vectors."""
        self.clips(run.given)
        give_vectors(cast("GeneratorParser", run.parser), self.options.vectors, len(run.given.class_names))

    def clips(self, train: ClipSet) -> ClipSet:
        """The training set with its truth as labels."""
        if train.truth is None:
            raise ValueError(
                "methods.generator needs a densely labelled training split, with the truth of every segment, which "
                "this data set has not; train it on UnAV-100"
            )
        return replace(train, pseudo_labels=train.truth)

    def charge(self, charge: Charge) -> Charge:
        """The published loss alone."""
        return replace(charge, has_own_terms=False).plus("segments", 1.0, self._loss)

    def _loss(self, charge: Charge) -> Tensor:
        from valor.parsers.networks.generator import generator_loss, weighted_loss

        assert charge.pseudo_labels is not None  # of `clips`
        valid = charge.batch.valid
        logits, truth = charge.output.segment_logits.unbind(2), charge.pseudo_labels
        if self.options.truth == "both":
            return generator_loss(logits[0], logits[1], truth.amin(dim=2), valid)
        losses = [weighted_loss(of.sigmoid(), truth[:, :, row], valid) for row, of in enumerate(logits)]
        return (losses[0] + losses[1]) / 2

    def decision(self, rule: PostProcessing) -> PostProcessing:
        """From 1/2 on, whatever the clip says."""
        return replace(rule, gate="none")


def give_vectors(parser: GeneratorParser, folder: str, num_classes: int) -> None:
    """Read the vectors of C classes into a network, as vectors of length 1.

    Raises:
        ValueError: There are none, or they are others.
    """
    from torch.nn import functional

    for modality in ("audio", "visual"):
        held = getattr(parser, f"{modality}_texts")
        source = str(Path(folder) / f"{modality}.npy") if folder else ""
        found = read_vectors(source, (num_classes, held.shape[1]), option="methods.generator.vectors")
        if not found.any(dim=1).all():
            raise ValueError(f"{source}: a class vector is 0 and says nothing; embed the class names again")
        setattr(parser, f"{modality}_texts", functional.normalize(found, dim=1).to(held))
