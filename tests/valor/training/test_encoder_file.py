"""A parser that begins with what learned before labels: stem and encoder of it, and of nothing else."""

import json
from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_features import TINY
from tests.helpers.toy_run import FROM_STORE, write_labels, write_tables, write_toy_store
from valor.parsers.build import build_parser
from valor.pretraining.options import PretrainOptions
from valor.pretraining.run import pretrain_run
from valor.training.checkpoint import read_checkpoint
from valor.training.encoder_file import give_encoder, read_encoder
from valor.training.options import FitOptions, TrainOptions
from valor.training.recipes import override
from valor.training.seeds import train_seeds
from valor.training.step import build_optimiser, set_learning_rate

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A pre-training of a toy store, and the data folder that holds it."""
    data = write_tables(tmp_path_factory.mktemp("begun"))
    write_toy_store(data / "store")
    write_labels(data)
    options = PretrainOptions(epochs=1, batch_size=4, warmup_epochs=0, held_out=0.0, progress=False)
    pretrain_run("avc", [data / "store"], FROM_STORE, data / "pre", options)
    return data / "pre", data


def test_a_training_begins_with_stem_and_encoder_and_says_so(pretrained, tmp_path):
    run, data = pretrained
    options = TrainOptions(begin_with=run, test=False, progress=False, picture=False)
    recipe = override(FROM_STORE, ["fit.encoder_rate=0", "fit.epochs=1", "fit.warmup_epochs=0"])
    (result,) = train_seeds(recipe, data, tmp_path / "run", options)
    held = read_encoder(run)
    told = json.loads((result.folder / "recipe.json").read_text())["run"]
    assert told["begun with"] == held.to_json()
    assert told["extra_data"][-1] == "correspondence on 12 clips, perhaps annotated ones among them"
    assert held.to_json()["objective"] == "correspondence"
    trained, fresh = read_checkpoint(result.folder)[0], build_parser(recipe.parser, seed=recipe.fit.seed)
    for part in ("stem", "encoder"):  # at a rate of 0 they stay what they were
        for name, weight in getattr(trained, part).state_dict().items():
            assert torch.equal(weight, held.tensors[f"views.{part}.{name}"])
    assert not torch.equal(trained.classifier.weight, fresh.classifier.weight)
    with pytest.raises(ValueError, match="belongs to a run with other initial weights"):
        list(train_seeds(recipe, data, tmp_path / "run", replace(options, begin_with=None)))


def test_heads_begin_as_without_it(pretrained):
    held = read_encoder(pretrained[0])
    plain, begun = (build_parser(FROM_STORE.parser, seed=7) for _ in range(2))
    give_encoder(begun, held, FROM_STORE.features)
    for name, weight in begun.state_dict().items():
        same = torch.equal(weight, plain.state_dict()[name])
        assert same == name.startswith(("classifier", "pooling")) or not weight.is_floating_point() or not weight.any()


@pytest.mark.parametrize(("change", "message"), [
    ("parser.hidden_width=16", r"was pre-trained with parser.hidden_width=8, this recipe has 16; set parser.hidden_w"),
    ("parser.num_layers=2", "was pre-trained with parser.num_layers=1, this recipe has 2"),
    ("parser.time_codes=0.5", "was pre-trained with parser.time_codes=0.0, this recipe has 0.5"),
    ("features.audio=audio.map", "was pre-trained on features.audio=audio.embedding, this recipe has audio.map"),
])  # fmt: skip
def test_what_it_was_not_pre_trained_for_is_refused(pretrained, change, message):
    recipe = override(FROM_STORE, [change])
    with pytest.raises(ValueError, match=message):
        give_encoder(build_parser(recipe.parser, seed=0), read_encoder(pretrained[0]), recipe.features)


def test_other_teachers_and_other_files_are_refused(pretrained, toy_run, tmp_path):
    held = read_encoder(pretrained[0])
    other = {"visual": {"teacher": {"teacher": "CLIP", "weights": "cd" * 32}}}
    with pytest.raises(ValueError, match="visual features made by .* abababababab, these .* by CLIP .*harvest"):
        give_encoder(build_parser(FROM_STORE.parser, seed=0), held, FROM_STORE.features, other)
    with pytest.raises(ValueError, match="expected what a pre-training wrote .*got weights of another kind"):
        read_encoder(toy_run / "best.safetensors")
    with pytest.raises(FileNotFoundError, match="no such pre-training; this is the run of a training, which has had"):
        read_encoder(toy_run)
    with pytest.raises(FileNotFoundError, match="no such pre-training; `valor pretrain` writes one"):
        read_encoder(tmp_path)
    damaged = bytearray(held.path.read_bytes())
    damaged[-5] ^= 1
    (tmp_path / "encoder.safetensors").write_bytes(damaged)
    with pytest.raises(ValueError, match="not as it was written, its checksum differs"):
        read_encoder(tmp_path)


def test_stem_and_encoder_learn_at_their_own_rate():
    parser = build_parser(TINY, seed=0)
    optimiser = build_optimiser(parser, FitOptions(encoder_rate=0.1))
    set_learning_rate(optimiser, 1e-3)
    rates = {id(weight): group["lr"] for group in optimiser.param_groups for weight in group["params"]}
    assert len(rates) == len(list(parser.parameters()))
    for name, weight in parser.named_parameters():
        assert rates[id(weight)] == pytest.approx(1e-4 if name.startswith(("stem", "encoder")) else 1e-3)
    assert len(build_optimiser(parser, FitOptions()).param_groups) == 1
