from dataclasses import replace

import pytest
import torch

from valor.parsers.raw.views import kept_places, left_out, vary_pictures, vary_sound


@pytest.mark.parametrize("changes", [{"kind": "maps"}, {"pictures": 1}, {"mix_layers": 1}])
def test_noise_in_the_sound_does_not_reach_the_picture(changes, seconds, views_of):
    views = views_of(**changes).eval()
    before = views.alone(seconds, 1)
    assert before.shape == (3, 2, 128)
    loud = replace(seconds, audio=torch.randn_like(seconds.audio).requires_grad_())
    after = views.alone(loud, 1)
    after.sum().backward()
    assert torch.equal(before, after) and loud.audio.grad is None
    together = views.together(replace(loud, audio=loud.audio.detach()))[1]
    assert not torch.equal(together, views.together(seconds)[1])


def test_seconds_stand_by_themselves_unless_they_are_mixed(seconds, views_of):
    rows = torch.tensor([[1, 0]] * 3)
    alone = views_of().eval()
    assert not alone.says_when
    assert torch.allclose(alone.alone(seconds, 0, rows=rows), alone.alone(seconds, 0).flip(1), atol=1e-6)
    mixed = views_of(mix_layers=1).eval()
    assert mixed.says_when and mixed.alone(seconds, 0, rows=rows[:, :1]).shape == (3, 1, 128)
    played = mixed.alone(seconds, 0, rows=rows)
    assert not torch.allclose(played, mixed.alone(seconds, 0).flip(1), atol=1e-4)
    hidden = torch.tensor([[True, False]] * 3)
    masked = alone.alone(seconds, 1, hidden)
    assert torch.equal(masked[0, 0], alone.mask[1]) and torch.equal(masked[:, 1], alone.alone(seconds, 1)[:, 1])


def test_targets_are_small_copies_whatever_the_network(seconds, views_of):
    views = views_of()
    heard, seen = views.targets(seconds)
    assert (heard.shape[-1], seen.shape[-1]) == views.target_widths == (192, 576)
    assert heard[2, 1, 0] == pytest.approx(float(seconds.audio[2, 1, 0, 0, :4, :4].mean()), abs=1e-6)
    assert seen[0, 1, 192] == pytest.approx(float(seconds.visual[0, 1, 1, 0, :4, :4].mean()), abs=1e-6)


def test_training_varies_what_goes_in_and_judging_does_not(seconds, views_of):
    views = views_of()
    assert not torch.equal(views.alone(seconds, 0), views.alone(seconds, 0))
    views.eval()
    assert torch.equal(views.alone(seconds, 0), views.alone(seconds, 0))
    one, two = (views.varied(seconds, torch.Generator().manual_seed(4), dropout=0.0, noise=0.1) for _ in range(2))
    assert torch.equal(one.visual, two.visual) and not torch.equal(one.audio, seconds.audio)


def test_variations_stay_near():
    rng = torch.Generator().manual_seed(0)
    spectrum = torch.zeros(5, 1, 1, 48, 64)
    spectrum[..., 30] = 1.0
    moved = vary_sound(spectrum, rng)
    peaks = moved[:, 0, 0, 0].argmax(dim=1)
    assert (peaks - 30).abs().max() <= 8 and len(peaks.unique()) > 1
    same = vary_pictures(torch.ones(5, 3, 1, 48, 64), rng)
    assert same.shape == (5, 3, 1, 48, 64) and same.flatten(1).std(dim=1).max() < 1e-5


def test_places_are_kept_or_hidden_once_each():
    keep = kept_places(4, 48, 0.75, torch.Generator().manual_seed(0))
    hidden = left_out(keep, 48)
    assert keep.shape == (4, 12) and hidden.shape == (4, 36)
    assert torch.equal(torch.cat([keep, hidden], dim=1).sort(dim=1).values, torch.arange(48).expand(4, 48))
    assert len({tuple(row) for row in keep.tolist()}) == 4


def test_dropped_patches_are_of_training_alone(seconds, views_of):
    views = views_of(drop_share=0.5)
    assert views.alone(seconds, 1).shape == (3, 2, 128)
    assert torch.equal(views.eval().alone(seconds, 1), views_of().eval().alone(seconds, 1))
