"""What all objectives promise: gradients, nothing of the sound in the picture, and state that can be taken back."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_pretraining import CODED, ToyPool, clips, descend, drawn, views_of
from valor.parsers.pretraining.objective import Epoch, Objective, Segments
from valor.parsers.pretraining.registry import objective_class
from valor.parsers.pretraining.views import SegmentViews

pytestmark = pytest.mark.usefixtures("one_thread")

N, T, C = 6, 10, 4
SMALL = {
    "temporal": {"queue": 8, "width": 8},
    "xkd": {"hidden": 8, "bottleneck": 4, "prototypes": 6},
    "xdc": {"clusters": 3},
    "modality-masking": {"width": 8},
    "mmv": {"accept": 1.0},
    "vatt": {"accept": 1.0},
    "lava": {"accept": 1.0},
}


def pool() -> ToyPool:
    held = clips(count=N, segments=T)
    evidence = (drawn((N, T, C), 5), drawn((N, T, C), 6))
    return ToyPool(replace(held, evidence=evidence, prompts=(drawn((C, 7), 7), drawn((C, 9), 8))))


def made(name: str) -> tuple[SegmentViews, Objective]:
    views = views_of(replace(CODED, num_layers=1))
    kind = objective_class(name)
    torch.manual_seed(1)
    objective = kind(views, kind.Options(**SMALL[name]))
    objective.prepare(views, pool())
    return views, objective


def step(views: SegmentViews, objective: Objective, rng: torch.Generator) -> torch.Tensor:
    terms = objective.loss(views, batch(), rng)
    descend(terms.total, views, objective, rate=0.1)
    objective.after_step(views, 0.5)
    return terms.total.detach()


def batch() -> Segments:
    return pool().batch(torch.tensor([4, 0, 3, 1]))


@pytest.mark.parametrize("name", SMALL)
def test_a_stopped_objective_goes_on_where_it_was(name):
    views, objective = made(name)
    assert objective.name == name
    objective.begin_epoch(views, pool(), Epoch(1, 2), torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(3)
    before = [weight.detach().clone() for weight in views.stem.parameters()]
    assert step(views, objective, rng).isfinite()
    if name != "modality-masking":  # which has one of them withheld
        assert all(not torch.equal(*both) for both in zip(before, views.stem.parameters(), strict=True))
    kept = ({key: of.clone() for key, of in module.state_dict().items()} for module in (views, objective))
    kept_views, kept_objective = kept
    again_views, again = made(name)
    again_views.load_state_dict(kept_views)
    again.load_state_dict(kept_objective)
    rebuilt = type(again)(again_views, again.options)  # without a pool, as a run is read back
    for key, _ in rebuilt.named_buffers():
        path, _, last = key.rpartition(".")
        rebuilt.get_submodule(path)._buffers[last] = kept_objective[key].clone()
    rebuilt.load_state_dict(kept_objective)
    assert torch.equal(
        *(step(v, o, torch.Generator().manual_seed(4)) for v, o in ((views, objective), (again_views, again)))
    )
    with torch.no_grad():
        objective.eval()
        assert objective.loss(views, batch(), rng).total.isfinite()


@pytest.mark.parametrize("name", SMALL)
def test_nothing_of_the_sound_is_in_the_picture(name):
    views, objective = made(name)
    objective.eval(), views.eval()
    loud = replace(batch(), audio=100 * drawn((4, T, 6), 9))
    assert torch.equal(objective.embedded(views, batch())[1], objective.embedded(views, loud)[1])


@pytest.mark.parametrize("name", SMALL)
def test_clips_that_end_before_others_are_learned_from_or_refused(name):
    views, objective = made(name)
    held = pool()
    held.held = replace(held.held, valid=torch.arange(T) < torch.tensor([10, 10, 9, 8, 7, 10])[:, None])
    if name == "temporal":
        with pytest.raises(ValueError, match="temporal plays clips of one length"):
            objective.prepare(views, held)
        return
    objective.prepare(views, held)
    rng = torch.Generator().manual_seed(0)
    objective.begin_epoch(views, held, Epoch(1, 1), rng)
    short = held.batch(torch.tensor([4, 0, 3, 1]))
    other = replace(short, audio=torch.where(short.valid[..., None], short.audio, 50.0))  # behind the end
    totals = [objective.loss(views, b, torch.Generator().manual_seed(1)).total for b in (short, other)]
    torch.testing.assert_close(*totals)
