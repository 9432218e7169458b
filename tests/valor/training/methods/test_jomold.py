"""JoMoLD's rule against its definition, written out clip by clip."""

import json
import math
from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_features import TINY, WIDTH, toy_clip_set
from tests.helpers.typed import typed
from valor.data.provenance import Provenance
from valor.parsers.build import build_parser
from valor.parsers.losses import loss_terms
from valor.training.checkpoint import read_checkpoint, read_tensors
from valor.training.methods.jomold import Jomold, JomoldOptions, lost_tags, noise_ratios
from valor.training.methods.methods import Methods
from valor.training.methods.uwav import Uwav, UwavOptions
from valor.training.options import FitOptions
from valor.training.recipes import RECIPES, override
from valor.training.run import RunSets, train_on
from valor.training.step import build_optimiser, train_step
from valor.training.train import new_state

TINY_SHAPE = {
    "audio_width": WIDTH, "visual_width": WIDTH, "motion_width": 0, "hidden_width": 16, "feedforward_width": 16,
    "num_classes": TINY.num_classes,
}  # fmt: skip


def plain_ratios(probs, tags, strengths):
    """Share of tagged clips below strength times the mean of all clips."""
    clips, modalities, classes = probs.shape
    ratios = torch.zeros(modalities, classes, dtype=torch.float64)
    for m in range(modalities):
        for c in range(classes):
            mean = sum(probs[n, m, c].item() for n in range(clips)) / clips
            tagged = [n for n in range(clips) if tags[n, c]]
            doubtful = [n for n in tagged if probs[n, m, c].item() / mean < strengths[m]]
            ratios[m, c] = len(doubtful) / len(tagged) if tagged else 0
    return ratios


def plain_lost(probs, tags, ratios, targets):
    """JoMoLD's rule with sorted lists: hardest in its own modality and easiest in the other."""
    lost = torch.zeros(probs.shape, dtype=torch.bool)
    for c in range(probs.shape[-1]):
        tagged = [n for n in range(len(probs)) if tags[n, c]]
        rising = []
        for m in range(2):
            y = targets[m]
            loss = {n: -y * math.log(probs[n, m, c]) - (1 - y) * math.log(1 - probs[n, m, c]) for n in tagged}
            rising.append(sorted(tagged, key=loss.get))
        for m in range(2):
            count = int(ratios[m, c].item() * len(tagged))
            if count:
                for n in set(rising[m][-count:]) & set(rising[1 - m][:count]):
                    lost[n, m, c] = True
    return lost


def _drawn(clips=40, classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    probs = torch.rand(clips, 2, classes, generator=generator, dtype=torch.float64) * 0.98 + 0.01
    tags = torch.rand(clips, classes, generator=generator) < 0.4
    tags[:, -1] = False  # a class nobody has
    return probs, tags


def test_noise_ratios_are_those_of_the_definition():
    probs, tags = _drawn()
    expected = plain_ratios(probs, tags, (0.6, 1.8))
    found = noise_ratios(probs, tags, (0.6, 1.8))
    assert torch.equal(found, expected)
    assert 0 < found[0, 0] < found[1, 0] and not found[:, -1].any()


@pytest.mark.parametrize("smoothing", [(0.0, 0.0), (0.0, 0.1)])
def test_lost_tags_are_those_of_the_definition(smoothing):
    total = 0
    for seed in range(10):
        probs, tags = _drawn(seed=seed)
        probs = probs.sqrt().sqrt()  # many above 0.95, which a smoothed tag holds against them
        ratios = torch.rand(2, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        targets = [1 - share / 2 for share in smoothing]
        found = lost_tags(probs, tags.double(), ratios, smoothing)
        assert torch.equal(found, plain_lost(probs, tags, ratios, targets)), seed
        total += int(found.sum())
    assert total > 30


def test_a_tag_is_lost_where_one_modality_is_hard_and_the_other_easy():
    probs = torch.tensor([[[0.9], [0.1]], [[0.2], [0.9]], [[0.8], [0.8]], [[0.5], [0.5]]])
    tags = torch.tensor([[1.0], [1.0], [1.0], [0.0]])
    found = lost_tags(probs, tags, torch.full((2, 1), 0.4, dtype=torch.float64))  # one of three
    assert found[:, :, 0].tolist() == [[False, True], [True, False], [False, False], [False, False]]
    assert not lost_tags(probs, tags, torch.zeros(2, 1, dtype=torch.float64)).any()


OPTIONS = FitOptions(guided_weight=1.0)


def _step(ratios=None, *others):
    parser, jomold = build_parser(replace(TINY, dropout=0.0), seed=0), Jomold(JomoldOptions())
    jomold.ratios = ratios
    batch = toy_clip_set(16).batch(torch.arange(16))
    output = parser(batch.audio, batch.visual)
    methods = Methods(own=[jomold, *others])
    return train_step(parser, batch, build_optimiser(parser, OPTIONS), OPTIONS, methods).terms, output, batch


HALF = torch.full((2, 3), 0.5, dtype=torch.float64)


def test_a_tag_that_is_lost_is_lost_to_every_term():
    terms, output, batch = _step(HALF)
    kept = ~lost_tags(output.modality_probs, batch.weak_labels, HALF, (0.0, 0.1))
    assert 0 < (~kept).sum() < kept.sum()
    expected = loss_terms(output, batch.weak_labels, batch.pseudo_labels, smoothing=(0.0, 0.1), kept=kept)
    plain, _, _ = _step()
    for name in ("audio", "visual", "guided"):
        assert terms[name].item() == pytest.approx(getattr(expected, name).item(), rel=1e-6)
        assert terms[name].item() != pytest.approx(plain[name].item(), rel=1e-3)
    assert terms["weak"] == plain["weak"]


def test_feature_mixup_blends_the_labels_of_lost_tags_too():
    mixing = Uwav(UwavOptions(mixup_alpha=1.7))
    torch.manual_seed(0)
    lost, _, _ = _step(HALF, mixing)
    torch.manual_seed(0)
    plain, _, _ = _step(None, mixing)
    assert lost["mixed"] == plain["mixed"] and lost["audio"] != plain["audio"]


def test_labels_are_looked_at_once_after_the_warm_up():
    jomold, train = Jomold(JomoldOptions(warmup_epochs=2)), toy_clip_set(24)
    run = new_state(build_parser(TINY, seed=0), train, OPTIONS, Methods(own=[jomold]))
    assert not jomold.before_epoch(run, 2) and jomold.ratios is None and jomold.state() == {}
    assert not jomold.before_epoch(run, 3)
    ratios = jomold.ratios
    assert ratios.shape == (2, 3) and ratios[1].any()
    jomold.before_epoch(run, 4)
    assert jomold.ratios is ratios
    again = Jomold(JomoldOptions(warmup_epochs=2))
    again.load(jomold.state())
    assert torch.equal(again.ratios, ratios) and not again.before_epoch(run, 5)
    off = Jomold(JomoldOptions(warmup_epochs=2, visual=0.0))
    off.before_epoch(run, 3)
    assert not off.ratios[1].any() and torch.equal(off.ratios[0], ratios[0])


def _stop_after(epoch):
    def stopping(record):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    return stopping


def test_an_estimator_comes_first_and_a_stopped_run_ends_with_the_same_bytes(tmp_path):
    sets = RunSets(train=toy_clip_set(24, seed=1), val=toy_clip_set(10, seed=2), provenance=Provenance())
    features = replace(RECIPES["jomold"].features, motion=None)
    parser = replace(RECIPES["jomold"].parser, **TINY_SHAPE)
    fit = replace(RECIPES["jomold"].fit, epochs=4, batch_size=8, learning_rate=1e-2, visual_smoothing=0.1)
    options = JomoldOptions(estimator_epochs=2, audio=0.9, visual=1.2)
    recipe = replace(RECIPES["jomold"], features=features, parser=parser, fit=fit, methods={"jomold": options})
    result = train_on(recipe, sets, tmp_path / "whole", device="cpu", progress=False)
    assert result.best_epoch > 2 and result.selected_by == "event.audio"
    log = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert list(log[0]["loss"]) == ["audio_tags", "visual_tags", "clip_tags", "contrast", "total"]
    weights = [(1, 1, 1, 1)] * 2 + [(2, 1, 1, 1)] * 2
    for line, held in zip(log, weights, strict=True):
        *terms, total = line["loss"].values()
        assert total == pytest.approx(sum(w * term for w, term in zip(held, terms, strict=True)), rel=1e-5)
    tensors = read_tensors(tmp_path / "whole/last.safetensors")[0]
    assert tensors["extra.jomold.noise"].any() and not any("estimator" in name for name in tensors)
    for epoch in (1, 2, 3):  # while the estimator is in training, between the two, and after
        folder = tmp_path / f"stopped-{epoch}"
        with pytest.raises(KeyboardInterrupt):
            train_on(recipe, sets, folder, device="cpu", progress=False, on_epoch=_stop_after(epoch))
        train_on(recipe, sets, folder, device="cpu", progress=False)
        assert (folder / "last.safetensors").read_bytes() == (tmp_path / "whole/last.safetensors").read_bytes()
    assert read_checkpoint(tmp_path / "whole")[0].crossed


@pytest.mark.parametrize(("changes", "message"), [
    (["fit.pseudo_label_weight=1"], "trains on clip tags alone, got pseudo_label_weight=1; set it to 0"),
    (["methods.average=on"], r"methods\.average runs through both parts of methods\.jomold"),
    (["fit.epochs=25"], "need more .* of 0, got 25 and 25 in all; say methods.jomold.estimator_epochs=12 too"),
    (["fit.epochs=1"], "got 25 and 1 in all; say methods.jomold.estimator_epochs=1 fit.epochs=2 too"),
    (["methods.jomold.estimator_epochs=-1"], "estimator_epochs must be a whole number of at least 0, got -1"),
    (["methods.jomold.ratio_warmup=-1"], "ratio_warmup must not be negative, got -1"),
])  # fmt: skip
def test_an_estimator_that_cannot_work_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        override(RECIPES["jomold"], changes)


def test_a_row_too_short_for_its_parts_is_refused_with_the_option_before_anything_is_made(tmp_path):
    line = (
        "reproduce",
        "jomold",
        "--data",
        tmp_path,
        "--simulated",
        "--out",
        tmp_path / "out",
        "--set",
        "fit.epochs=2",
    )
    assert "; say --set methods.jomold.estimator_epochs=1 too" in typed(*line).complaint()
    assert not any(tmp_path.iterdir())
