"""AVC learns what belongs together where something does, and nothing where nothing does."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_pretraining import OPTIONS, Still, drawn, views_of
from valor.parsers.pretraining.correspondence import Correspondence, CorrespondenceOptions
from valor.parsers.pretraining.objective import Segments

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = replace(OPTIONS, motion_width=0, num_layers=1)
CLIPS, SECONDS, LATENT = 24, 3, 4


def planted(seed: int, *, paired: bool) -> Segments:
    """Sound and picture of a clip share a direction, of their own basis each; or none."""
    told = drawn((2, CLIPS, 1, LATENT), seed).expand(2, CLIPS, SECONDS, LATENT)
    audio, visual = (told[0] @ drawn((LATENT, SMALL.audio_width), 91), told[int(not paired)] @ drawn((LATENT, 6), 92))
    return Segments(audio, visual)


@pytest.mark.parametrize(("pool", "paired"), [("second", True), ("seconds", True), ("second", False)])
def test_what_belongs_together_is_found_where_anything_does(pool, paired):
    torch.manual_seed(0)
    views = Still(SMALL.audio_width)
    objective = Correspondence(views, CorrespondenceOptions(width=8, pool=pool))
    optimiser = torch.optim.Adam(objective.parameters(), lr=0.1)
    rng = torch.Generator().manual_seed(0)
    for step in range(70):
        optimiser.zero_grad()
        objective.loss(views, planted(step, paired=paired), rng).total.backward()
        optimiser.step()
    right = torch.stack([
        objective.loss(views, planted(1000 + n, paired=paired), rng).figures["accuracy"] for n in range(5)
    ]).mean()  # fmt: skip
    assert right > 0.95 if paired else 0.4 < right < 0.6


def test_the_logit_is_of_the_distance_and_seconds_that_do_not_exist_are_no_answer():
    views = views_of(SMALL)
    objective = Correspondence(views, CorrespondenceOptions(width=2, pool="seconds"))
    near, far = torch.tensor([0.6, 0.8]), torch.tensor([-0.6, -0.8])
    torch.testing.assert_close(objective.logits(near, torch.stack((near, far))), torch.tensor([5.0, -5.0]))
    batch = planted(0, paired=True)
    cut = replace(batch, valid=torch.arange(SECONDS).expand(CLIPS, -1) < 2)
    noisy = replace(cut, visual=torch.where(cut.valid[..., None], cut.visual, 99.0))
    for pool in ("second", "seconds"):
        objective.options = CorrespondenceOptions(width=2, pool=pool)
        one, other = (objective.loss(views, x, torch.Generator().manual_seed(1)).total for x in (cut, noisy))
        assert torch.isclose(one, other)
    with pytest.raises(ValueError, match="pool must be one of second, seconds, got 'clip'"):
        CorrespondenceOptions(pool="clip")
