from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_pretraining import OPTIONS, ToyPool, clips, drawn, views_of
from valor.parsers.pretraining.clustering import k_means, purity
from valor.parsers.pretraining.objective import Epoch, Segments
from valor.parsers.pretraining.options import XdcOptions
from valor.parsers.pretraining.xdc import Xdc

pytestmark = pytest.mark.usefixtures("one_thread")

N, T, K = 48, 5, 4


def planted(*, paired: bool) -> tuple[Segments, torch.Tensor]:
    """Seconds of four hidden classes, plain to hear and hard to see; or each of two that know nothing of each other."""
    rng = torch.Generator().manual_seed(0)
    seen = torch.randint(K, (N, T), generator=rng)
    heard = seen if paired else seen.flatten()[torch.randperm(N * T, generator=rng)].view(N, T)
    corners = 2 * torch.eye(K, 6)
    audio = corners[heard] + 0.2 * drawn((N, T, 6), 1)
    visual = corners[seen] + 1.1 * drawn((N, T, 6), 2)
    return Segments(audio, visual), seen


@pytest.mark.parametrize("paired", [True, False], ids=["paired", "shuffled"])
def test_what_is_heard_says_which_sights_belong_together(paired):
    held, seen = planted(paired=paired)
    views, pool = views_of(replace(OPTIONS, motion_width=0, num_layers=1)), ToyPool(held)
    views.measure(pool)
    torch.manual_seed(1)
    xdc = Xdc(views, XdcOptions(clusters=K))
    xdc.prepare(views, pool)
    rng = torch.Generator().manual_seed(0)
    xdc.begin_epoch(views, pool, Epoch(1, 4), rng)
    optimiser = torch.optim.AdamW([*views.parameters(), *xdc.parameters()], 2e-2, fused=True)
    for _ in range(25):
        optimiser.zero_grad()
        xdc.loss(views, pool.batch(torch.arange(N)), rng).total.backward()
        optimiser.step()
    with torch.no_grad():
        learnt = k_means(views.eval().alone(held, 1).flatten(0, 1), K, rng).labels
    plain = k_means(views.targets(held)[1].flatten(0, 1), K, rng).labels
    gain = purity(learnt, seen.flatten()) - purity(plain, seen.flatten())
    assert (gain > 0.1) == paired
    assert paired or gain < 0.03


def test_a_variant_says_whose_clusters_are_learnt():
    held, _ = planted(paired=False)
    labels = {}
    for variant in ("cross", "single", "concat"):
        views, pool = views_of(replace(OPTIONS, motion_width=0)), ToyPool(held)
        views.measure(pool)
        xdc = Xdc(views, XdcOptions(clusters=K, variant=variant))
        xdc.prepare(views, pool)
        for head in xdc.heads:
            torch.nn.init.zeros_(head.weight)
        rng = torch.Generator().manual_seed(0)
        assert not xdc.begin_epoch(views, pool, Epoch(1, 9), rng)
        labels[variant] = xdc.labels.clone()
        for head in xdc.heads:  # which say the same of everything: the accuracy is that of one cluster
            torch.nn.init.zeros_(head.weight)
            head.bias.data.copy_(torch.tensor([9.0, 0, 0, 0]))
        figures = xdc.loss(views, pool.batch(torch.arange(N)), rng).figures
        of = {"cross": 1, "single": 0, "concat": 0}[variant]
        assert figures["audio_accuracy"].item() == pytest.approx((xdc.labels[of] == 0).float().mean().item())
        assert not xdc.begin_epoch(views, pool, Epoch(4, 9), rng) and torch.equal(xdc.labels, labels[variant])
        xdc.begin_epoch(views, pool, Epoch(5, 9), rng)
        assert not torch.equal(xdc.labels, labels[variant])
        assert 0 < xdc.common[1] < 1 and 0.9 < xdc.even[0] <= 1
    assert torch.equal(labels["concat"][0], labels["concat"][1])
    assert not torch.equal(labels["single"][0], labels["single"][1])


def test_each_cluster_counts_alike_however_large():
    views, pool = views_of(), ToyPool(clips())
    xdc = Xdc(views, XdcOptions(clusters=2))
    xdc.prepare(views, pool)
    xdc.labels.copy_(torch.tensor([0] * 12 + [1] * 3).view(3, 5))
    for head in xdc.heads:
        torch.nn.init.zeros_(head.weight)
        head.bias.data.copy_(torch.tensor([1.0, 0.0]))
    wrong, right = torch.tensor([1.0, 0.0]).log_softmax(0)
    loss = xdc.loss(views, pool.batch(torch.arange(3)), torch.Generator()).total
    assert loss.item() == pytest.approx(-(wrong + right).item() / 2)


def test_clusters_that_collapse_are_refused():
    views = views_of()
    one = clips(count=12)
    alike = replace(one, audio=torch.cat((torch.zeros(11, 5, 6), drawn((1, 5, 6), 3))))
    xdc = Xdc(views, XdcOptions(clusters=3))
    xdc.prepare(views, ToyPool(alike))
    with pytest.raises(ValueError, match="clusters of the audio have collapsed: one of 3 holds 58 of 60 seconds"):
        xdc.begin_epoch(views, ToyPool(alike), Epoch(1, 4), torch.Generator())
    few = ToyPool(clips(count=2))
    xdc = Xdc(views, XdcOptions(clusters=64))
    xdc.prepare(views, few)
    with pytest.raises(ValueError, match="clusters must be from 1 to the 10 rows there are, got 64"):
        xdc.begin_epoch(views, few, Epoch(1, 4), torch.Generator())
