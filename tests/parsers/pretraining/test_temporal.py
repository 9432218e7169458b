from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_pretraining import CODED, drawn, views_of
from valor.parsers.pretraining.objective import Segments
from valor.parsers.pretraining.options import TemporalOptions
from valor.parsers.pretraining.temporal import Temporal

pytestmark = pytest.mark.usefixtures("one_thread")

T, WIDTH = 10, 6


def ramps(count: int, seed: int, *, shuffled: bool) -> Segments:
    """Clips in which a feature says what second it is, or would, were the seconds not shuffled."""
    rng = torch.Generator().manual_seed(seed)
    order = torch.rand(count, T, generator=rng).argsort(dim=1) if shuffled else torch.arange(T).expand(count, T)
    ramp = torch.zeros(count, T, WIDTH)
    ramp[..., 0] = (order - 4.5) / 3
    audio, visual = (ramp + 0.05 * drawn((count, T, WIDTH), seed + m) for m in range(2))
    return Segments(audio, visual, rows=torch.arange(count))


@pytest.mark.parametrize(("shuffled", "low", "high"), [(False, 0.95, 1.0), (True, 0.3, 0.7)], ids=["ramp", "shuffled"])
def test_order_is_learnt_where_there_is_one_and_codes_do_not_leak_it(shuffled, low, high):
    views = views_of(replace(CODED, motion_width=0, num_layers=1))
    torch.manual_seed(2)
    temporal = Temporal(views, TemporalOptions(queue=16, width=4, contrast_weight=0))
    learned = [*views.parameters(), *(weight for weight in temporal.parameters() if weight.requires_grad)]
    optimiser = torch.optim.AdamW(learned, 2e-2, fused=True)
    rng = torch.Generator().manual_seed(0)
    for number in range(10):
        optimiser.zero_grad()
        temporal.loss(views, ramps(16, 3 * number, shuffled=shuffled), rng).total.backward()
        optimiser.step()
    with torch.no_grad():
        figures = temporal.eval().loss(views, ramps(300, 1000, shuffled=shuffled), rng).figures
    for stream in ("audio", "visual"):
        assert not shuffled or figures[f"{stream}_kind_accuracy"] < 0.4  # of four
        assert low <= figures[f"{stream}_order_accuracy"] <= high


def contrasts(neighbours: int, queue: torch.Tensor, origins: list[int]) -> float:
    """The contrast of two clips beside three remembered windows, after the warm-up."""
    views = views_of(replace(CODED, motion_width=0, num_layers=1))
    torch.manual_seed(2)
    temporal = Temporal(views, TemporalOptions(queue=3, width=4, neighbours=neighbours, near=0.9)).eval()
    temporal.queue.copy_(queue)
    temporal.origins.copy_(torch.tensor(origins))
    temporal.done.fill_(0.5)
    return temporal.loss(views, ramps(2, 0, shuffled=False), torch.Generator().manual_seed(0)).parts["contrast"].item()


def test_remembered_windows_are_negatives_positives_or_neither():
    views = views_of(replace(CODED, motion_width=0, num_layers=1))
    torch.manual_seed(2)
    temporal = Temporal(views, TemporalOptions(queue=3, width=4))
    batch = ramps(2, 0, shuffled=False)
    temporal.loss(views, batch, torch.Generator().manual_seed(0))
    temporal.after_step(views, 0.1)
    assert temporal.origins.tolist() == [0, 1, -1] and temporal.place == 2
    remembered = temporal.queue.clone()  # of the very windows that are asked about
    none = contrasts(0, remembered, [-1, -1, -1])
    assert contrasts(0, remembered, [0, 0, 0]) < contrasts(0, remembered, [5, 5, 5])  # clip 0 is no negative of itself
    assert contrasts(0, remembered, [5, 6, -1]) > none  # negatives
    assert contrasts(3, remembered, [5, 6, -1]) < contrasts(0, remembered, [5, 6, -1])  # near ones are positives
    temporal.loss(views, batch, torch.Generator().manual_seed(0))
    temporal.after_step(views, 0.2)
    assert temporal.origins.tolist() == [1, 1, 0] and temporal.place == 1  # the oldest have gone
