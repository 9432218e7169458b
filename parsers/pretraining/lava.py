"""Sound, picture and text, all three pairs in one space: `lava`.

    loss = NCE(v, a) + lambda_v MIL-NCE(v, {t_v}) + lambda_a MIL-NCE(a, {t_a})

    text=own       t_v are prompts of pictures ("a photo of a dog") that the teacher of pictures accepts, t_a prompts of
                   sounds ("dog barking") by the teacher of sounds: text knows which modality it is about
    text=shared    one text for both, by both teachers together: what is only seen is a positive of the sound as well

The first is VALOR's own principle before any training, the second its control. **Text is what teachers accept:
distilled from them, not learnt by itself.** Contrasts are those of `valor.parsers.pretraining.versatile`.

Source:
    Gurram et al., ICML 2022 workshop on pre-training (arXiv 2207.08024), by its abstract: three encoders, a contrast of
    every pair. Weights, temperature and widths were not found: these are ours, and nothing is said to equal theirs.
"""

from typing import cast

import torch
from torch import Tensor, nn

from ..joint_space import mean_direction
from .accepted import Accepted, SizedLater
from .objective import Objective, Pool, Segments, Terms, Views, weighted
from .options import LavaOptions
from .versatile import Normed, figures_of, seconds_nce, text_nce


class Lava(Objective):
    """Every modality with every other."""

    name = "lava"
    Options = LavaOptions
    needs = frozenset({"audio", "visual", "evidence", "prompts"})

    def __init__(self, views: Views, options: LavaOptions) -> None:
        """Make the heads."""
        super().__init__(views, options)
        d, self.options = views.width, options
        self.accepted = Accepted(options.accept, options.nearby, shared=options.text == "shared")
        self.project = nn.ModuleList(Normed(d, d, d) for _ in range(2))
        self.text = nn.ModuleList(SizedLater(d) for _ in range(2))

    def prepare(self, views: Views, pool: Pool) -> None:
        """Look at what teachers say, and size the layers of their prompts; see Objective."""
        for text, width in zip(self.text, self.accepted.prepare(pool), strict=True):
            cast(SizedLater, text).take(width)

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """See Objective."""
        options = self.options
        heard, seen = self.embedded(views, batch)
        words, accepted = self.words(batch), self.accepted(batch)
        terms = {
            "sound_picture": (1.0, seconds_nce(heard, seen, options.temperature, batch.valid)),
            "picture_text": (options.text_weight, text_nce(seen, words[1], accepted[1], options.temperature)),
            "sound_text": (options.sound_text_weight, text_nce(heard, words[0], accepted[0], options.temperature)),
        }
        return weighted(terms, figures_of(heard, seen, accepted[0] | accepted[1], batch))

    def words(self, batch: Segments) -> tuple[Tensor, Tensor]:
        """The prompts by which sounds and by which pictures are called, float [C, D] each."""
        prompts = cast(tuple[Tensor, Tensor], batch.prompts)
        heard, seen = (text(each.float()) for text, each in zip(self.text, prompts, strict=True))
        if self.options.text == "own":
            return heard, seen
        one = mean_direction(heard, seen)
        return one, one

    def embedded(self, views: Views, batch: Segments) -> tuple[Tensor, Tensor]:
        """Sound and picture in the space of all three; see Objective."""
        heard, seen = (self.project[m](views.alone(batch, m), batch.valid) for m in range(2))
        return heard, seen
