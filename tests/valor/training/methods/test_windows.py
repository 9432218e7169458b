"""Windows of untrimmed clips as the clips of a training."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_features import SEGMENTS, TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.training.methods.methods import Methods
from valor.training.methods.windows import WindowsOptions, windows_of
from valor.training.options import FitOptions
from valor.training.train import fit


def unlike():
    clips = toy_clip_set(4)
    valid = torch.arange(SEGMENTS) < torch.tensor([5, 2, 4, 1])[:, None]
    return replace(clips, valid=valid, pseudo_labels=clips.pseudo_labels & valid[..., None, None])


def test_clips_are_cut_end_to_end():
    clips = unlike()
    found = windows_of(clips, 2)
    names = ["000@0", "000@2", "000@4", "001@0", "002@0", "002@2", "003@0"]
    assert [clip_id.removeprefix("clip0-") for clip_id in found.clip_ids] == names
    assert found.segments.tolist() == [2, 2, 1, 2, 2, 2, 1]
    assert torch.equal(found.audio[1], clips.audio[0, 2:4]) and not found.visual[2, 1].any()
    assert torch.equal(found.truth[5], clips.truth[2, 2:4])
    assert windows_of(toy_clip_set(2), SEGMENTS).clip_ids == ("clip0-000@0", "clip0-001@0")


def test_a_window_has_the_tags_that_are_labelled_in_it():
    clips = unlike()
    found = windows_of(clips, 2)
    inside = clips.pseudo_labels[0, 2:4].any(dim=0).any(dim=0)
    assert torch.equal(found.weak_labels[1], inside & clips.weak_labels[0])
    assert not torch.equal(found.weak_labels[:3], clips.weak_labels[[0, 0, 0]])
    every = windows_of(replace(clips, pseudo_labels=None), 2)
    assert torch.equal(every.weak_labels, clips.weak_labels[[0, 0, 0, 1, 2, 2, 3]])


def test_a_hole_in_a_clip_makes_no_window():
    clips = unlike()
    valid = clips.valid.clone()
    valid[0, 2:4] = False
    assert windows_of(replace(clips, valid=valid), 2).clip_ids[:2] == ("clip0-000@0", "clip0-000@4")


def test_training_sees_windows_and_validation_whole_clips(tmp_path):
    options = FitOptions(epochs=1, warmup_epochs=0, batch_size=3, batch_segments=6)
    parser = build_parser(TINY, seed=0)
    result = fit(
        parser, unlike(), toy_clip_set(3, seed=2), options, tmp_path, progress=False,
        methods=Methods({"windows": WindowsOptions(segments=2)}),
    )  # fmt: skip
    assert result.best_epoch == 1
    with pytest.raises(ValueError, match="segments must be a whole number"):
        WindowsOptions(segments=0)
    with pytest.raises(ValueError, match="exclude one another"):
        Methods({"windows": WindowsOptions(), "jomold": Methods.from_json({"jomold": {}}).by_name["jomold"].options})
