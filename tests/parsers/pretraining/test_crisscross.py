"""CrissCross: six agreements by the formula, nothing learnt through a target, windows that lie as they should."""

import pytest
import torch

from tests.helpers.toy_pretraining import CODED, Still, ToyPool, clips, drawn, views_of
from valor.parsers.pretraining.crisscross import CrissCross, CrissCrossOptions, agreement, window_rows
from valor.parsers.pretraining.objective import Segments

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("synchronicity", "gap"), [("same", 0), ("overlapped", 2), ("adjacent", 4), ("far", 6)])
def test_windows_lie_as_they_are_called(synchronicity, gap):
    one, other = window_rows(torch.full((50,), 10), 4, synchronicity, torch.Generator().manual_seed(0))
    assert torch.equal(one, one[:, :1] + torch.arange(4))
    assert (other[:, 0] - one[:, 0]).unique().tolist() == [gap]
    assert one.min() == 0
    assert other.max() == 9
    short, _ = window_rows(torch.tensor([2, 10]), 4, synchronicity, torch.Generator())
    assert short[0].tolist() == [0, 1, 1, 1]


def test_an_agreement_is_the_formula_and_nothing_is_learnt_through_a_target():
    z = {"a": torch.tensor([[1.0, 0.0]], requires_grad=True), "b": torch.tensor([[0.6, 0.8]], requires_grad=True)}
    p = {"a": torch.tensor([[0.0, 2.0]], requires_grad=True), "b": torch.tensor([[3.0, 0.0]], requires_grad=True)}
    found = agreement(z, p, "a", "b")
    found.backward()
    assert found.item() == pytest.approx(-0.8 / 2 - 1.0 / 2)
    assert z["a"].grad is None
    assert z["b"].grad is None
    assert p["a"].grad.any()


def test_the_loss_is_the_mean_of_six_or_of_four_and_sees_no_second_outside_its_windows():
    views = views_of(CODED)
    batch = clips(count=6, segments=4)
    six, four = (CrissCross(views, CrissCrossOptions(window=2, asynchronous=on)) for on in (True, False))
    four.load_state_dict(six.state_dict())
    of_six, of_four = (one.loss(views, batch, torch.Generator().manual_seed(3)) for one in (six, four))
    assert set(of_six.parts) == {"intra", "synchronous", "asynchronous"}
    torch.testing.assert_close(of_six.total, torch.stack([*of_six.parts.values()]).mean())
    torch.testing.assert_close(of_four.total, (of_six.parts["intra"] + of_six.parts["synchronous"]) / 2)
    assert 0 < of_six.figures["spread"] < 1.5


def test_windows_longer_than_any_clip_are_refused():
    views = views_of()
    with pytest.raises(ValueError, match="window must be at most the seconds of the longest clip, got 6"):
        CrissCross(views, CrissCrossOptions(window=6)).prepare(views, ToyPool(clips(segments=5)))
    CrissCross(views, CrissCrossOptions(window=5)).prepare(views, ToyPool(clips(segments=5)))


def test_without_the_stop_all_vectors_become_one(monkeypatch):
    batch = Segments(drawn((16, 4, 8), 1), drawn((16, 4, 8), 2))

    def learnt() -> float:
        torch.manual_seed(0)
        objective = CrissCross(Still(8), CrissCrossOptions(window=2))
        optimiser = torch.optim.SGD(objective.parameters(), lr=0.5, momentum=0.9)
        for step in range(45):
            optimiser.zero_grad()
            terms = objective.loss(Still(8), batch, torch.Generator().manual_seed(step))
            terms.total.backward()
            optimiser.step()
        return terms.figures["spread"].item()

    kept = learnt()
    name = "valor.parsers.pretraining.crisscross.negative_cosine"
    monkeypatch.setattr(name, lambda p, z: -torch.nn.functional.cosine_similarity(p, z, dim=-1).mean())
    lost = learnt()
    assert lost < 0.5 < kept
