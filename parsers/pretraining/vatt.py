"""As MMV, with half of the seconds dropped, and prompts of the five nearest: `vatt`.

    loss = NCE(v, a) in S_va + lambda MIL-NCE(v, {t}) in S_vt,   of the seconds that are kept

The encoder's layer is shared between the streams as it is, so that this is VATT-MA, one network for both. What
DropToken drops is given as a second that does not exist: it is no target, and no gradient reaches it. Text is not
dropped: the prompts of the five nearest are those of kept and of dropped seconds. A batch norm stands behind each layer
of the heads. **Text is prompts that the teacher of pictures accepts: distilled from the
teachers, not learnt by itself**, and the text tower is frozen.

Source:
    Akbari et al., NeurIPS 2021, and its code (vatt of google-research): drop rate, temperature, lambda = 1. Ours: both
    streams keep the same seconds, since a second is compared with itself; there, a clip has one vector.
"""

import torch

from .masking import random_tokens
from .objective import Segments, Terms, Views
from .options import VattOptions
from .versatile import Mmv


class Vatt(Mmv):
    """Picture with sound, and picture with prompts, of the seconds that are kept."""

    name = "vatt"
    Options = VattOptions
    sound_is_normed = True

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """See Objective."""
        kept = self.dropped(batch, rng)
        assert kept.valid is not None
        # Sound and picture are dropped, and text is not: what is nearest to a kept second may stand at a dropped one.
        return self.charged(views, kept, self.accepted(batch)[1] & kept.valid[..., None])

    def dropped(self, batch: Segments, rng: torch.Generator) -> Segments:
        """The batch without the seconds that are dropped from it."""
        clips, seconds = batch.audio.shape[:2]
        drops = random_tokens((clips, seconds), self.options.drop_share, rng, valid=batch.valid)
        return batch.only(~drops.to(batch.audio.device))
