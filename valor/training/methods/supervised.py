"""Training on the truth of every segment, where the training split has it: the upper bound of pseudo labels.

The truth stands in the place of the pseudo labels: a segment in which a class is audible, or visible, is held to it,
and one without any class is background, which is held to none. Of AVE this is the fully supervised setting.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .method import Method, NoOptions, Plan

if TYPE_CHECKING:
    from valor.data.clips import ClipSet


class Supervised(Method[NoOptions]):
    """The truth in place of pseudo labels."""

    brings_labels = True
    extra_data = ("labels of every second",)

    def check(self, plan: Plan) -> None:
        """Refuse a training that has no use for labels of segments."""
        if not plan.fit.pseudo_label_weight:
            raise ValueError(
                "methods.supervised has the truth in the place of pseudo labels, which fit.pseudo_label_weight=0 "
                "leaves out; give them a weight"
            )

    def clips(self, train: ClipSet) -> ClipSet:
        """The training set with its truth as labels."""
        if train.truth is None:
            raise ValueError(
                "methods.supervised needs the truth of every segment of the training split, which this data set has "
                "not; train on tags or pseudo labels"
            )
        return replace(train, pseudo_labels=train.truth)
