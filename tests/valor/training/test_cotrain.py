"""Sets that train one encoder: the order of steps, one set alone, resuming, and what cannot share."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.helpers.toy_run import FROM_STORE, write_labels, write_tables, write_toy_store
from tests.helpers.toy_search import CLASSES
from tests.helpers.typed import typed
from tests.valor.training.test_words import yard  # noqa: F401, another data set, with four classes
from valor.parsers.options import ParserOptions
from valor.training import cotrain as module
from valor.training.beside import Beside, named_beside, train_together
from valor.training.checkpoint import read_checkpoint, read_tensors
from valor.training.cotrain import order_of_steps, refuse_unlike_encoders
from valor.training.options import TrainOptions
from valor.training.recipes import override, recipe_to_json
from valor.training.run import predict_run, read_run_sets, train_on
from valor.training.seeds import train_seeds

pytestmark = pytest.mark.usefixtures("one_thread")

OTHER = override(FROM_STORE, ["parser.audio_width=128", "parser.visual_width=128", "parser.num_classes=4"])
FEW_PLACES = ["--set", "parser.positions=learned", "--set", "parser.max_segments=5"]
FILES = ("best.safetensors", "recipe.json")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tables(tmp_path_factory.mktemp("toy"))
    write_toy_store(folder / "store")
    write_labels(folder)
    return folder


@pytest.fixture
def both(toy, yard):  # noqa: F811
    """The sets, read anew: a training takes their parsers apart."""
    return lambda out: named_beside(
        [
            Beside("toy", FROM_STORE, read_run_sets(FROM_STORE, toy, labels=toy, allow_random_teachers=True), out),
            Beside("yard", OTHER, read_run_sets(OTHER, yard, labels=yard), out / "beside" / "yard"),
        ]
    )


def log_of(folder: Path) -> list[dict]:
    """Without the times in it."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in ("epoch", "learning_rate", "loss", "grad_norm", "val")} for line in lines]


def test_each_set_has_exactly_its_steps_in_one_order_that_the_seed_says():
    order = order_of_steps([30, 4, 0, 7], seed=3)
    assert torch.bincount(order, minlength=4).tolist() == [30, 4, 0, 7]
    assert torch.equal(order, order_of_steps([30, 4, 0, 7], seed=3))
    assert not torch.equal(order, order_of_steps([30, 4, 0, 7], seed=4))
    assert order.diff().count_nonzero() > 6  # not one set after the other


def test_one_set_alone_is_trained_as_ever_to_the_bit(toy, tmp_path):
    sets = read_run_sets(FROM_STORE, toy, labels=toy, allow_random_teachers=True)
    train_on(FROM_STORE, sets, tmp_path / "plain", progress=False)
    train_together([Beside("toy", FROM_STORE, sets, tmp_path / "alone")], progress=False)
    for name in FILES:
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    assert log_of(tmp_path / "plain") == log_of(tmp_path / "alone")


def test_a_stopped_training_goes_on_to_the_same_bytes(both, tmp_path, monkeypatch):
    whole = train_together(both(tmp_path / "whole"), progress=False)
    step, count = module.train_step, iter(range(100))

    def killed(*given):
        if next(count) == 9:
            raise KeyboardInterrupt
        return step(*given)

    monkeypatch.setattr(module, "train_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train_together(both(tmp_path / "stopped"), progress=False)
    monkeypatch.setattr(module, "train_step", step)
    resumed = train_together(both(tmp_path / "stopped"), progress=False)
    assert any(one.resumed_from for one in resumed.values())
    for folder in (Path(), Path("beside/yard")):
        for name in FILES:
            assert (tmp_path / "whole" / folder / name).read_bytes() == (
                tmp_path / "stopped" / folder / name
            ).read_bytes()
        assert log_of(tmp_path / "whole" / folder) == log_of(tmp_path / "stopped" / folder)
    assert {name: one.val_score for name, one in whole.items()} == {n: o.val_score for n, o in resumed.items()}
    ends = [read_tensors(tmp_path / name / "last.safetensors")[0] for name in ("whole", "stopped")]
    assert ends[0].keys() == ends[1].keys() and all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_a_step_moves_the_encoder_and_the_parts_of_its_own_set_alone(both, tmp_path, monkeypatch):
    moved = []
    step = module.train_step

    def watched(parser, batch, optimiser, options):
        before = {id(p): p.detach().clone() for group in optimiser.param_groups for p in group["params"]}
        found = step(parser, batch, optimiser, options)
        every = {id(p): p for group in optimiser.param_groups for p in group["params"]}
        changed = {key for key, p in every.items() if not torch.equal(p, before[key])}
        own = {id(p) for p in parser.parameters()}
        moved.append((changed <= own, bool(changed & {id(p) for p in parser.encoder.parameters()})))
        return found

    monkeypatch.setattr(module, "train_step", watched)
    train_together(both(tmp_path), progress=False)
    assert set(moved) == {(True, True)}


def test_features_of_the_same_widths_go_through_one_stem_and_others_through_their_own(toy, both, tmp_path):
    sets = read_run_sets(FROM_STORE, toy, labels=toy, allow_random_teachers=True)
    once = ["fit.epochs=1", "fit.warmup_epochs=0"]
    twins = [Beside(name, override(FROM_STORE, once), sets, tmp_path / name) for name in ("a", "b")]
    others = [replace(one, recipe=override(one.recipe, once)) for one in both(tmp_path / "c")]
    for whole, out, own in ((twins, "a", False), (others, "c", True)):
        train_together(whole, progress=False)
        held = [name for name in read_tensors(tmp_path / out / "last.safetensors")[0] if "others.0" in name]
        assert any("classifier" in name for name in held)
        assert any("stem" in name for name in held) == own


def test_each_set_has_a_run_of_its_own_that_parses_alone(toy, yard, tmp_path):  # noqa: F811
    beside = {"yard": yard}
    options = TrainOptions(
        labels=toy,
        beside=beside,
        beside_labels={"yard": yard},
        allow_random_teachers=True,
        progress=False,
        picture=False,
    )
    (result,) = train_seeds(FROM_STORE, toy, tmp_path / "run", options)
    other = result.beside["yard"]
    assert other.folder == tmp_path / "run" / "beside" / "yard" and other.test is not None
    parser, card = read_checkpoint(other.folder)
    assert card.class_names == CLASSES and isinstance(parser.encoder, nn.Module)
    assert predict_run(other.folder, yard, "test").segment_probs.shape[-1] == 4
    assert json.loads((other.folder / "scores.json").read_text())["extra_data"] == [toy.name]
    assert json.loads((result.folder / "scores.json").read_text())["extra_data"] == ["yard"]


def test_sets_that_cannot_share_an_encoder_are_refused():
    plain = ParserOptions()
    with pytest.raises(
        ValueError, match="a and b cannot share an encoder: parser.hidden_width is 512 of a and 256 of b"
    ):
        refuse_unlike_encoders({"a": plain, "b": replace(plain, hidden_width=256)})
    with pytest.raises(ValueError, match="b: only parser.network=hybrid has an encoder"):
        refuse_unlike_encoders({"a": plain, "b": replace(plain, network="label-queries")})
    small = replace(plain, encoder="mtcn")
    with pytest.raises(ValueError, match="parser.max_segments is 10 of a and 12 of b"):
        refuse_unlike_encoders({"a": small, "b": replace(small, max_segments=12)})
    refuse_unlike_encoders({"a": plain, "b": replace(plain, audio_width=3, num_classes=2, pooling="max")})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--beside", "x={gone}"], "--beside must name data folders, got x=.*, which is none"),
        (["--beside", "x={data}", "--beside", "x={data}"], "--beside must be ROLE=VALUE, once for each role"),
        (["--beside", "a/b={data}"], "--beside must name sets as folders can be called"),
        (["--beside-labels", "x={data}"], "--beside-labels must be of sets beside .none., got x"),
        (["--beside", "{name}={data}"], "--beside must name other sets than the data, which is called"),
        (["--beside", "x={data}", "--set", "methods.average=on"], "goes without methods.average; switch it off"),
        (["--beside", "x={data}", "--unseen", "Dog"], "takes no compiled, unseen, trackers"),
        (["--beside", "x={empty}"], "beside x=.*expected an evidence store"),
        (FEW_PLACES, "at most max_segments segments, which is 5 .*, got 10"),
        ([*FEW_PLACES, "--beside", "x={data}"], "at most max_segments segments, which is 5 .*, got 10"),
        (
            ["--beside", "x={other}", "--beside-labels", "x={data}"],
            "beside x: its audio features were made by a teacher with weights cdcd.*, those of .* with weights abab",
        ),
    ],
)
def test_bad_sets_are_one_sentence_before_anything_is_trained(toy, tmp_path, more, said):
    (tmp_path / "empty").mkdir()
    write_toy_store(write_tables(tmp_path / "other") / "store", weights="cd" * 32)
    held = {
        "other": tmp_path / "other",
        "gone": tmp_path / "gone",
        "data": toy,
        "name": toy.name,
        "empty": tmp_path / "empty",
    }
    (tmp_path / "recipe.json").write_text(json.dumps(recipe_to_json(FROM_STORE)))
    more = [word.format(**held) for word in more]
    done = typed("train", tmp_path / "recipe.json", "--data", toy, "--labels", toy, "--out", tmp_path / "out", *more)
    assert done.code == 2 and not (tmp_path / "out").exists()
    assert re.search(said, done.err), done.err
