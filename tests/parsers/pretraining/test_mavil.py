"""MAViL: hidden seconds reach the loss as targets alone, a teacher is learnt from and never learns."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_pretraining import CODED, OPTIONS, B, T, ToyPool, clips, views_of
from valor.parsers.pretraining.mavil import Mavil, MavilOptions
from valor.parsers.pretraining.objective import Epoch, Segments

pytestmark = pytest.mark.usefixtures("one_thread")


def mavil_of(views, **options) -> Mavil:
    torch.manual_seed(1)
    return Mavil(views, MavilOptions(width=8, **options))


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_hidden_seconds_reach_the_loss_as_targets_alone(monkeypatch):
    views, batch = views_of(CODED), clips()
    objective = mavil_of(views)
    objective.eval()
    mask = torch.tensor([True, False, True, False, False]).expand(B, T)
    monkeypatch.setattr("valor.parsers.pretraining.mavil.random_tokens", lambda *_, **__: mask)
    held = objective.targets(views, batch)
    monkeypatch.setattr(objective, "targets", lambda *_: held)
    noisy = replace(
        batch,
        **{name: torch.where(mask[..., None], 40.0, getattr(batch, name)) for name in ("audio", "visual", "motion")},
    )
    gradients = []
    for one in (batch, noisy):
        views.zero_grad()
        one.visual.requires_grad_()
        objective.loss(views, one, rng()).total.backward()
        assert not one.visual.grad[mask].any()
        gradients.append((one.visual.grad[~mask].clone(), views.stem.audio.weight.grad.clone()))
    for before, after in zip(*gradients, strict=True):
        torch.testing.assert_close(before, after)


def test_without_codes_hidden_seconds_of_a_clip_get_one_answer():
    for options, alike in ((OPTIONS, True), (CODED, False)):
        views = views_of(options)
        objective = mavil_of(views).eval()
        mask = torch.tensor([True, False, True, False, False]).expand(B, T)
        found = objective.decoders[0](views.together(clips(), (mask, mask))[0])
        assert torch.allclose(found[:, 0], found[:, 2], atol=1e-6) == alike
    assert Mavil.needs_order


def test_rounds_share_the_epochs_and_a_teacher_is_the_student_of_before():
    views = views_of(CODED)
    objective = mavil_of(views, rounds=3)
    pool = ToyPool(clips())
    objective.prepare(views, pool)
    told = []
    for number in range(1, 8):
        before = views.stem.audio.weight.detach().clone()
        begins = objective.begin_epoch(views, pool, Epoch(number, 7), rng())
        told.append((objective.round, begins, *objective.part(Epoch(number, 7))))
        if begins:
            assert torch.equal(objective.teacher.stem.audio.weight, before)
        with torch.no_grad():
            views.stem.audio.weight.add_(0.1)
    assert told == [(1, False, 1, 3), (1, False, 2, 3), (1, False, 3, 3), (2, True, 1, 2), (2, False, 2, 2),
                    (3, True, 1, 2), (3, False, 2, 2)]  # fmt: skip
    objective.train()
    terms = objective.loss(views, pool.held, rng())
    terms.total.backward()
    assert all(weight.grad is None for weight in objective.teacher.parameters())
    assert not any(part.training for part in objective.teacher.modules())
    assert all(weight.grad is None for weight in objective.decoders.parameters())
    assert objective.later[0][0].weight.grad.any()
    for target in objective.targets(views, pool.held):
        torch.testing.assert_close(target.mean(dim=-1), torch.zeros(B, T), atol=1e-5, rtol=0)
        assert not target.requires_grad


def test_one_round_has_no_teacher_and_bad_options_are_refused():
    assert mavil_of(views_of(CODED), rounds=1).teacher is None
    with pytest.raises(ValueError, match="intra_temperature must be positive, got 0"):
        MavilOptions(intra_temperature=0.0)
    with pytest.raises(ValueError, match="mask_ratio must hide at least one of 3 and leave one, got 0.1"):
        mavil_of(views_of(CODED), mask_ratio=0.1).prepare(views_of(CODED), ToyPool(clips(segments=3)))


def test_a_clip_of_one_second_does_not_speak_for_the_pool():
    class Trimmed(ToyPool):
        def batch(self, rows: torch.Tensor) -> Segments:
            held = super().batch(rows)
            longest = int(held.valid.sum(dim=1).max())
            return Segments(*(x[:, :longest] for x in (held.audio, held.visual, held.motion, held.valid)))

    pool = Trimmed(replace(clips(), valid=torch.arange(T) < torch.tensor([[1], [T], [T]])))
    mavil_of(views_of(CODED)).prepare(views_of(CODED), pool)
