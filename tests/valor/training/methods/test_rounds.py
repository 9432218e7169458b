"""Self-training in rounds: which seconds are labelled anew, and a training that does it."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.training.checkpoint import read_checkpoint, read_tensors
from valor.training.methods.methods import Methods
from valor.training.methods.mug import MugOptions
from valor.training.methods.rounds import Rounds, RoundsOptions, relabelled
from valor.training.options import FitOptions
from valor.training.recipes import RECIPES, override
from valor.training.train import fit

pytestmark = pytest.mark.usefixtures("one_thread")


def test_as_many_seconds_as_before_and_the_likeliest():
    probs = torch.tensor([[0.9, 0.2, 0.6], [0.1, 0.8, 0.7]])[:, :, None, None]  # [N=2, T=3, M=1, C=1]
    labels = torch.tensor([[True, False, False], [True, True, False]])[:, :, None, None]
    tags = torch.ones(2, 1, 1, dtype=torch.bool)
    found = relabelled(probs, labels, tags, trust=[0])[:, :, 0, 0]
    assert found.tolist() == [[True, False, False], [False, True, True]]
    assert torch.equal(relabelled(probs, labels, tags, trust=[50]), labels)  # who trusts the labels keeps them
    assert relabelled(probs, labels * 0.5, tags, trust=[0]).sum() == 2  # soft ones count what they sum to, rounded
    lacking = relabelled(probs, labels, torch.tensor([[[True]], [[False]]]), trust=[0])
    assert lacking[0].sum() == 1 and not lacking[1].any()
    valid = torch.tensor([[True, True, True], [True, False, False]])
    assert relabelled(probs, labels, tags, [0], valid)[:, :, 0, 0].tolist() == [[True, False, True], [False] * 3]


def test_labels_that_are_wrong_of_some_clips_are_mended_and_a_stopped_training_goes_on(tmp_path):
    clips = toy_clip_set(6)
    wrong = clips.pseudo_labels.clone()
    wrong[:2] = clips.weak_labels[:2, None, None] & ~wrong[:2]
    given = replace(clips, pseudo_labels=wrong)
    options = FitOptions(epochs=2, warmup_epochs=0, batch_size=4, learning_rate=3e-3)
    parser = replace(TINY, **clips.widths())

    class StopError(Exception):
        pass

    def stop(record):
        raise StopError

    def run(folder, **changes):
        methods = Methods({"rounds": RoundsOptions(audio=0.1), "mug": MugOptions()})
        fit(build_parser(parser, seed=0), given, clips, options, folder, methods=methods, **changes)

    run(tmp_path / "whole")
    with pytest.raises(StopError):
        run(tmp_path / "stopped", on_epoch=stop)
    run(tmp_path / "stopped")
    whole, again = (read_checkpoint(tmp_path / name)[0].state_dict() for name in ("whole", "stopped"))
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    held = read_tensors(tmp_path / "whole" / "last.safetensors")[0]
    labels = next(tensor for name, tensor in held.items() if name.endswith("rounds.labels"))
    tagged = (given.weak_labels[:, None, None] & given.pseudo_labels).sum(dim=(0, 1))
    assert torch.equal(labels.sum(dim=(0, 1)), tagged) and not torch.equal(labels, wrong)
    later = Rounds(RoundsOptions())
    later.load({"labels": labels, "kept.weight": torch.ones(1)})
    assert torch.equal(later.clips(given).pseudo_labels, labels) and later.state().keys() == {"labels", "kept.weight"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["fit.pseudo_label_weight=0"], r"methods\.rounds relabels by the pseudo labels"),
        (["methods.rounds.rounds=7"], "has 7 rounds of equal length, .* fit.epochs is 60; say fit.epochs=77"),
        (["fit.epochs=16"], "each longer than the warm-up of 10 epochs, and fit.epochs is 16"),
        (["methods.rounds.rounds=1"], "rounds must be a whole number of at least 2, got 1"),
        (["methods.rounds.visual=-1"], "visual must not be negative"),
        (["methods.vplan=on"], r"methods\.rounds and methods\.vplan|methods\.vplan and methods\.rounds"),
    ],
)
def test_rounds_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        override(RECIPES["valor"], ["methods.rounds=on", *changes])
