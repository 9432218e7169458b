"""Clips of unlike length in one training: which go together, how far they are padded, what padding may not change."""

from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
import torch

from tests.helpers.toy_features import CLASSES, SEGMENTS, TINY, toy_clip_set
from valor.data.clips import ClipSet
from valor.data.datasets.unav import UNAV_METRICS
from valor.data.predictions import score_predictions
from valor.data.tables import Split
from valor.eval.decide import PostProcessing
from valor.eval.detection import TrueEvents
from valor.parsers.build import build_parser
from valor.training.batches import batches_of
from valor.training.checkpoint import read_checkpoint
from valor.training.options import FitOptions
from valor.training.predict import predict_split
from valor.training.step import build_optimiser, train_step
from valor.training.train import fit, validate

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = FitOptions(epochs=2, warmup_epochs=0, batch_size=4, learning_rate=3e-3, min_learning_rate=1e-4, seed=3)
LENGTHS = torch.randint(10, 301, (203,), generator=torch.Generator().manual_seed(1))


def seeded(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def padded(clips: ClipSet, more: int) -> ClipSet:
    """The same clips with segments behind them that do not exist, and hold what would be seen."""
    found = {}
    for name in ("audio", "visual", "pseudo_labels", "truth"):
        tensor = getattr(clips, name)
        found[name] = torch.cat([tensor, torch.ones(len(clips), more, *tensor.shape[2:]).to(tensor.dtype)], dim=1)
    valid = torch.cat([clips.valid, torch.zeros(len(clips), more, dtype=torch.bool)], dim=1)
    return replace(clips, **found, valid=valid)


def unlike(num_clips: int = 13, seed: int = 1) -> ClipSet:
    """Clips of 1 to SEGMENTS segments."""
    lengths = torch.arange(num_clips) % SEGMENTS + 1
    clips = toy_clip_set(num_clips, seed=seed)
    valid = torch.arange(SEGMENTS) < lengths[:, None]
    marks = {name: getattr(clips, name) & valid[..., None, None] for name in ("truth", "pseudo_labels")}
    return replace(clips, valid=valid, **marks)


def test_every_clip_comes_once_and_with_alike_ones():
    options = replace(OPTIONS, batch_size=8)
    order = torch.randperm(len(LENGTHS), generator=seeded())
    batches = batches_of(order, LENGTHS, options, seeded())
    assert torch.cat(batches).sort().values.equal(torch.arange(len(LENGTHS)))
    assert max(map(len, batches)) == 8 and len(batches) == 26  # 203 = 25 x 8 + 3
    cells = sum(len(batch) * int(LENGTHS[batch].max()) for batch in batches)
    plain = sum(len(batch) * int(LENGTHS[batch].max()) for batch in torch.split(order, 8))
    assert cells < 1.1 * int(LENGTHS.sum()) < 1.5 * int(LENGTHS.sum()) < plain
    longest = [int(LENGTHS[batch].max()) for batch in batches]
    assert longest != sorted(longest)  # steps are not taken from short to long
    again = batches_of(order, LENGTHS, options, seeded())
    assert all(one.equal(other) for one, other in zip(batches, again, strict=True))
    others = batches_of(order, LENGTHS, options, seeded(6))
    assert [batch.tolist() for batch in batches] != [batch.tolist() for batch in others]


@pytest.mark.parametrize("segments", [None, torch.full((203,), 10)])
def test_clips_of_one_length_keep_the_published_order(segments):
    order, generator = torch.randperm(203, generator=seeded()), seeded()
    batches = batches_of(order, segments, OPTIONS, generator)
    assert all(one.equal(other) for one, other in zip(batches, torch.split(order, 4), strict=True))
    assert generator.get_state().equal(seeded().get_state())


@pytest.mark.parametrize("lengths", [LENGTHS, torch.full((203,), 300)])
def test_segments_of_a_step_are_bounded(lengths):
    options = replace(OPTIONS, batch_size=64, batch_segments=1000)
    batches = batches_of(torch.arange(203), lengths, options, seeded())
    assert max(len(batch) * int(lengths[batch].max()) for batch in batches) <= 1000
    assert torch.cat(batches).sort().values.equal(torch.arange(203))
    with pytest.raises(ValueError, match=r"batch_segments must hold the longest clip, which has \d+ .* windows"):
        batches_of(torch.arange(203), lengths, replace(options, batch_segments=int(lengths.max()) - 1), seeded())
    with pytest.raises(ValueError, match="batch_segments must be a whole number"):
        replace(options, batch_segments=0)


def test_a_batch_is_padded_to_its_own_longest():
    clips = padded(unlike(), 3)
    assert clips.segments.tolist()[:6] == [1, 2, 3, 4, 5, 1]
    first = clips.batch(torch.tensor([0, 2]))
    assert first.audio.shape[1] == first.valid.shape[1] == first.pseudo_labels.shape[1] == 3
    assert first.valid.tolist() == [[True, False, False], [True, True, True]]
    again = clips.batch(torch.tensor([1, 7]), into=first)  # 2 and 3 segments
    assert torch.equal(again.visual, clips.visual[[1, 7], :3])


@pytest.mark.parametrize("more", [0, 4])
def test_training_is_the_same_however_far_the_set_is_padded(tmp_path, more):
    kept = []
    for out, clips in (("plain", unlike()), ("padded", padded(unlike(), more))):
        parser = build_parser(replace(TINY, dropout=0.3), seed=0)
        fit(parser, clips, unlike(9, seed=2), OPTIONS, tmp_path / out, progress=False)
        kept.append(parser.state_dict())
    assert all(torch.equal(tensor, kept[1][name]) for name, tensor in kept[0].items())


def test_losses_are_means_over_segments_that_exist():
    clips = unlike()
    rows = torch.tensor([0, 1, 3])  # 1, 2 and 4 segments
    losses = []
    for part in (rows, *rows[:, None]):
        parser = build_parser(replace(TINY, dropout=0.0), seed=0)
        step = train_step(parser, clips.batch(part), build_optimiser(parser, OPTIONS), OPTIONS)
        losses.append({name: term.item() for name, term in step.terms.items()})
    together, (one, two, four) = losses[0], losses[1:]
    for name in ("audio", "visual"):
        assert together[name] == pytest.approx((one[name] + 2 * two[name] + 4 * four[name]) / 7, abs=1e-5)
    assert together["weak"] == pytest.approx(fmean(found["weak"] for found in (one, two, four)), abs=1e-5)


def test_a_stopped_training_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    import valor.training.train

    def train(out, epochs):
        parser = build_parser(replace(TINY, dropout=0.3), seed=0)
        options = replace(OPTIONS, epochs=3, batch_segments=12)
        real = valor.training.train._next_epoch

        def stopping(run, val, state, folder, bar, test):
            if state.epoch == epochs:
                raise KeyboardInterrupt
            return real(run, val, state, folder, bar, test)

        with monkeypatch.context() as patch:
            patch.setattr(valor.training.train, "_next_epoch", stopping)
            return fit(parser, unlike(), unlike(9, seed=2), options, out, progress=False)

    train(tmp_path / "whole", None)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", 1)
    assert train(tmp_path / "stopped", None).resumed_from == 1
    assert (tmp_path / "whole/last.safetensors").read_bytes() == (tmp_path / "stopped/last.safetensors").read_bytes()


def test_a_clip_is_parsed_among_others_as_alone():
    clips = padded(unlike(), 2)
    parser = build_parser(TINY, seed=0)
    together = predict_split(parser, clips, batch_size=4)
    assert together.clip_ids == clips.clip_ids and together.segment_probs.shape[1] == SEGMENTS + 2
    for row, length in enumerate(clips.segments.tolist()):
        alone = predict_split(parser, clips.take([row]))
        for name in ("clip_probs", "modality_probs"):
            assert np.allclose(getattr(together, name)[row], getattr(alone, name)[0], atol=1e-5)
        assert np.allclose(together.segment_probs[row, :length], alone.segment_probs[0, :length], atol=1e-5)
        assert not together.segment_probs[row, SEGMENTS:].any()


def with_seconds(clips: ClipSet) -> ClipSet:
    """The same clips with a truth in seconds that no segment border is near."""
    lengths = clips.segments.numpy()
    rows = np.repeat(np.arange(len(clips)), 2)
    onset = np.tile([0.1, 0.55], len(clips)) * lengths[rows]
    events = TrueEvents(clip=rows, class_index=rows % len(CLASSES), onset=onset, offset=onset + 0.4 * lengths[rows])
    return replace(clips, events=events, clip_seconds=lengths - 0.05, metrics=UNAV_METRICS)


def test_the_kept_epoch_is_chosen_by_the_truth_in_seconds(tmp_path):
    val, parser = with_seconds(unlike(20, seed=2)), build_parser(TINY, seed=0)
    options = replace(OPTIONS, epochs=5, select_by="figures.mAP mean")
    result = fit(parser, unlike(40), val, options, tmp_path, progress=False)
    kept = read_checkpoint(tmp_path)[0]
    arrays = {name: getattr(val, name).numpy() for name in ("weak_labels", "truth", "valid")}
    split = Split("val", val.clip_ids, CLASSES, **arrays, truth_sha256="0", events=val.events,
                  clip_seconds=val.clip_seconds, metrics=UNAV_METRICS)  # fmt: skip
    scored, _ = score_predictions(predict_split(kept, val), split, PostProcessing())
    assert result.val_score == scored.figures["mAP mean"] == validate(kept, val).figures["mAP mean"]
    on_segments = validate(kept, replace(val, events=None, clip_seconds=None)).figures["mAP mean"]
    assert on_segments != result.val_score
    part = val.take([4, 1])
    assert part.clip_seconds.tolist() == [4.95, 1.95] and part.events.onset.tolist() == [0.2, 1.1, 0.5, 2.75]
    assert part.fingerprint() != replace(part, events=None).fingerprint()
