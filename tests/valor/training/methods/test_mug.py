"""Recombined clips: their labels against the golden vectors, and trainings with them."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.golden_methods import Golden
from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.training.checkpoint import read_checkpoint
from valor.training.methods.methods import Methods
from valor.training.methods.mug import MugOptions, pair_labels, partners, with_pairs
from valor.training.options import FitOptions
from valor.training.recipes import RECIPES, override
from valor.training.train import fit

pytestmark = pytest.mark.usefixtures("one_thread")


def test_pairs_as_defined(shared):
    golden = Golden(shared, "mug_recombination_defined")
    partner = partners(golden.tensor("order"))
    assert torch.equal(partner, golden.tensor("partner"))
    labels, tags = pair_labels(golden.both("labels"), torch.arange(len(partner)), partner)
    assert torch.equal(labels, golden.both("new_labels"))
    assert torch.equal(tags, golden.tensor("new_weak"))
    assert torch.equal(tags.any(dim=1), golden.tensor("kept"))


def test_a_clip_paired_with_itself_is_that_clip():
    clips = toy_clip_set(6)
    rows = torch.tensor([2, 4])
    held = with_pairs(clips, rows, rows)
    twice = held.take([6, 7]) if len(held) == 8 else None
    assert twice is not None and torch.equal(twice.audio, clips.audio[rows])
    assert torch.equal(twice.visual, clips.visual[rows]) and torch.equal(twice.pseudo_labels, clips.pseudo_labels[rows])


def test_pairs_without_a_tag_are_left_out_and_the_shorter_mask_counts():
    clips = toy_clip_set(4)
    silent = clips.pseudo_labels.clone()
    silent[0, :, 0], silent[1, :, 1] = False, False
    valid = torch.ones(4, clips.audio.shape[1], dtype=torch.bool)
    valid[2, 5:] = False
    clips = replace(clips, pseudo_labels=silent & valid[:, :, None, None], valid=valid)
    held = with_pairs(clips, torch.tensor([0, 3]), torch.tensor([1, 2]))
    assert held.clip_ids[4:] == (f"{clips.clip_ids[3]}+{clips.clip_ids[2]}",)
    assert torch.equal(held.valid[4], valid[2]) and not held.pseudo_labels[4, 5:].any()
    assert torch.equal(held.weak_labels[4], held.pseudo_labels[4].flatten(0, 1).any(dim=0))


def test_a_stopped_training_with_pairs_goes_on_to_the_same_weights(tmp_path):
    clips = toy_clip_set(6)
    options = FitOptions(epochs=2, warmup_epochs=0, batch_size=4)
    parser = replace(TINY, **clips.widths())

    class StopError(Exception):
        pass

    def stop(record):
        raise StopError

    def run(folder, **changes):
        methods = Methods({"mug": MugOptions(volume=1.2)})
        return fit(build_parser(parser, seed=0), clips, clips, options, folder, methods=methods, **changes)

    run(tmp_path / "whole")
    with pytest.raises(StopError):
        run(tmp_path / "stopped", on_epoch=stop)
    assert run(tmp_path / "stopped").resumed_from == 1
    names = [read_checkpoint(tmp_path / name)[0].state_dict() for name in ("whole", "stopped")]
    assert all(torch.equal(names[0][key], names[1][key]) for key in names[0])


def test_what_pairs_cannot_be_made_of_is_refused():
    with pytest.raises(ValueError, match="methods.mug pairs tracks by their pseudo labels"):
        override(RECIPES["valor"], ["methods.mug=on", "fit.pseudo_label_weight=0"])
    with pytest.raises(ValueError, match="exclude one another"):
        override(RECIPES["valor"], ["methods.mug=on", "methods.jomold=on"])
    with pytest.raises(ValueError, match="volume must be above 0 and at most 1.2"):
        MugOptions(volume=2)
    with pytest.raises(ValueError, match="this training set has none"):
        with_pairs(replace(toy_clip_set(2), pseudo_labels=None), torch.tensor([0]), torch.tensor([1]))
