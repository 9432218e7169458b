"""NREP's training on the toy world: two networks, each kept by its own figure, stopped runs, refusals."""

import json
from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_features import TINY, WIDTH, toy_clip_set
from valor.data.provenance import Provenance
from valor.training.checkpoint import read_checkpoint, read_tensors
from valor.training.methods.nrep import NrepOptions
from valor.training.predict import predict_split
from valor.training.recipes import RECIPES, Recipe, override
from valor.training.run import RunSets, train_on

SHAPE = {
    "audio_width": WIDTH, "audio_map": False, "visual_width": WIDTH, "motion_width": 0, "hidden_width": 16,
    "feedforward_width": 16, "num_classes": TINY.num_classes,
}  # fmt: skip


def small(name: str, methods, **fit) -> Recipe:
    """A recipe on features of the toy world."""
    recipe = RECIPES[name]
    features = replace(recipe.features, motion=None, unfolded=False)
    parser = replace(recipe.parser, visual_frames=1, **SHAPE)
    fit = replace(recipe.fit, batch_size=8, **fit)
    return replace(recipe, features=features, parser=parser, fit=fit, methods=methods)


def sets():
    return RunSets(train=toy_clip_set(24, seed=1), val=toy_clip_set(10, seed=2), provenance=Provenance())


def stop_after(epoch):
    def stopping(record):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    return stopping


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    recipe = small("nrep", {"nrep": NrepOptions(audio_epochs=3)}, epochs=5, learning_rate=1e-2)
    folder = tmp_path_factory.mktemp("nrep")
    return recipe, folder, train_on(recipe, sets(), folder, device="cpu", progress=False)


def test_two_networks_of_one_beginning_are_kept_each_by_its_own_figure(whole):
    recipe, folder, result = whole
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["selected_by"] for line in log] == ["segment.audio"] * 3 + ["event.event_av"] * 2
    assert [line["learning_rate"] for line in log] == [1e-2] * 5 and log[3]["selected"] and result.best_epoch > 3
    best, (last, _) = read_checkpoint(folder)[0], read_tensors(folder / "last.safetensors")
    kept = max(line["epoch"] for line in log[:3] if line["selected"])
    first = {name: tensor for name, tensor in last.items() if name.startswith("extra.nrep.audio.")}
    for name, tensor in best.parsers[0].state_dict().items():
        assert torch.equal(tensor, first[f"extra.nrep.audio.{name}"])
        same = torch.equal(tensor, last[f"model.parsers.0.{name}"])
        assert same or kept < 3, "the first network as it was kept, which may be its last epoch"
    clips = sets().val
    predictions = predict_split(best, clips)
    audio, visual = (predict_split(net, clips) for net in best.parsers)
    assert (predictions.segment_probs[:, :, 0] == audio.segment_probs[:, :, 0]).all()
    assert (predictions.segment_probs[:, :, 1] == visual.segment_probs[:, :, 1]).all()
    assert (predictions.modality_probs[:, 1] == visual.modality_probs[:, 1]).all()


@pytest.mark.parametrize("epoch", [2, 3, 4])
def test_a_stopped_run_ends_with_the_same_bytes(whole, tmp_path, epoch):
    recipe, folder, _ = whole
    with pytest.raises(KeyboardInterrupt):
        train_on(recipe, sets(), tmp_path, device="cpu", progress=False, on_epoch=stop_after(epoch))
    train_on(recipe, sets(), tmp_path, device="cpu", progress=False)
    assert (tmp_path / "last.safetensors").read_bytes() == (folder / "last.safetensors").read_bytes()
    best = [read_tensors(run / "best.safetensors")[0] for run in (tmp_path, folder)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[1])


@pytest.mark.parametrize(("changes", "message"), [
    (["parser.network=hybrid"], "methods.nrep needs parser.network=for-against, got hybrid"),
    (["fit.pseudo_label_weight=0"], "learns from pseudo labels, which pseudo_label_weight=0 leaves out; set it to 1"),
    (["fit.epochs=10"], "need more than the warm-up of 0, got 10 and 10 in all; say methods.nrep.audio_epochs=5 too"),
    (["methods.nrep.pair_loss=hinge"], "unknown methods.nrep.pair_loss 'hinge'; known are softmax, belief, log"),
    (["methods.nrep.audio_epochs=0"], "audio_epochs must be a whole number of at least 1, got 0"),
    (["methods.uwav=on"], "methods.uwav and methods.nrep exclude one another|methods.nrep and methods.uwav exclude"),
    (["parser.pooling=max"], "the network 'for-against' brings its own encoder and pooling"),
])  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_is_trained(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train_on(
            override(small("nrep", {"nrep": NrepOptions()}), changes), sets(), tmp_path, device="cpu", progress=False
        )
    assert not list(tmp_path.iterdir())
