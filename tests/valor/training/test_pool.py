"""Clips without tags beside tagged ones: who they are, how they are labelled, what they count, and rounds on them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.toy_pool import NEW, write_pool_store
from tests.helpers.toy_run import CLIPS, FROM_STORE, LABELS, NAMES, SPLITS, TAGS, write_labels, write_tables
from valor.label_harvest.store.store import read_store
from valor.label_harvest.untagged import level_of, untagged_evidence
from valor.training.checkpoint import read_tensors
from valor.training.facts import facts_of
from valor.training.methods.methods import Methods
from valor.training.methods.rounds import Rounds, RoundsOptions, softened
from valor.training.options import TrainOptions
from valor.training.recipes import override
from valor.training.run import POOL, TAGGED, prepared, read_run_sets, train_on
from valor.training.seeds import learning_from

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
RECIPE = override(FROM_STORE, [f"methods.{POOL}=on", "fit.seed=4"])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tables(tmp_path_factory.mktemp("data"))
    write_pool_store(folder / "store", CLIPS)
    write_pool_store(folder / "more", NEW)
    write_labels(folder)
    return folder


def sets_of(data: Path, recipe: Any = RECIPE, stores: tuple[str, ...] = ("store", "more")) -> Any:  # noqa: ANN401
    return read_run_sets(recipe, data, unlabelled=[data / name for name in stores])


def test_the_teachers_alone_label_them_as_often_as_tagged_clips_are(data: Path) -> None:
    found = prepared(RECIPE, sets_of(data), CPU)
    train = found.train
    assert train.clip_ids == (*SPLITS["train"], *NEW)
    assert train.tagged is not None and train.tagged.tolist() == [True] * 7 + [False] * 5
    assert torch.equal(train.pseudo_labels[:7], torch.from_numpy(LABELS[:7]))
    pool, new = read_store(data / "store"), read_store(data / "more")
    for m, role in enumerate(("audio", "visual")):
        everywhere = np.concatenate([pool.logits(role)[:7], new.logits(role)])  # those of val and test stay out
        evidence = untagged_evidence(new.logits(role), level_of(everywhere))
        count = round(LABELS[:7, :, m].mean() * evidence.size)
        cut = np.sort(evidence, axis=None)[-count - 1]
        np.testing.assert_array_equal(train.pseudo_labels[7:, :, m], evidence > cut)
        assert train.pseudo_labels[7:, :, m].sum() == count
    assert torch.equal(train.weak_labels[:7], torch.from_numpy(TAGS[:7]))
    assert torch.equal(train.weak_labels[7:], train.pseudo_labels[7:].any(dim=(1, 2)))
    told = found.description["run"]
    assert (told[POOL]["clips"], told[POOL]["annotated"], told["extra_data"]) == (5, 5, ["unlabelled clips"])


def test_a_share_of_tags_leaves_the_others_without(data: Path) -> None:
    recipe = override(RECIPE, ["fit.label_share=0.3", f"methods.{POOL}.temperature=0.5", f"methods.{POOL}.cuts=val"])
    found = prepared(recipe, sets_of(data, recipe), CPU)
    assert found.train.tagged.tolist() == [True] * 2 + [False] * 10
    assert {*found.train.clip_ids} == {*SPLITS["train"], *NEW}
    assert found.train.pseudo_labels.is_floating_point()
    assert found.description["run"][TAGGED] == 2
    facts = facts_of(recipe, Methods(recipe.methods), data)
    assert facts.tuned[:2] == ("epoch", "unlabelled cuts")
    assert facts.extra_data == ("30 % of the tags", "unlabelled clips")
    assert TrainOptions(unlabelled=str(data)).unlabelled == TrainOptions(unlabelled=[data]).unlabelled == (data,)
    half = override(recipe, [f"methods.{POOL}.share=0.5"])
    assert len(prepared(half, sets_of(data, half), CPU).train) == 2 + 5


def test_without_such_a_clip_it_is_the_plain_training_to_the_bit(data: Path, tmp_path: Path) -> None:
    plain = override(RECIPE, [f"methods.{POOL}=off"])
    train_on(plain, read_run_sets(plain, data), tmp_path / "plain", progress=False)
    train_on(RECIPE, sets_of(data, stores=("store",)), tmp_path / "none", progress=False)
    one, same = (read_tensors(tmp_path / name / "best.safetensors")[0] for name in ("plain", "none"))
    assert one.keys() == same.keys() and all(torch.equal(one[key], same[key]) for key in one)


class StopError(Exception):
    """Of a training that is stopped."""


def test_rounds_with_them_go_on_to_the_same_bytes(data: Path, tmp_path: Path) -> None:
    options = TrainOptions(unlabelled=(data / "more",), self_train=1, progress=False, picture=False, test=False)
    recipe = learning_from(override(FROM_STORE, ["fit.label_share=0.6"]), options)
    assert recipe.methods["rounds"] == RoundsOptions(rounds=2, keep="best", tagged_first=True)
    sets = sets_of(data, recipe, ("more",))

    def stop(record: Any) -> None:  # noqa: ANN401
        if record["epoch"] == 3:
            raise StopError

    train_on(recipe, sets, tmp_path / "whole", progress=False)
    with pytest.raises(StopError):
        train_on(recipe, sets, tmp_path / "stopped", progress=False, on_epoch=stop)
    train_on(recipe, sets, tmp_path / "stopped", progress=False)
    for name in ("best", "last"):
        assert len({(tmp_path / run / f"{name}.safetensors").read_bytes() for run in ("whole", "stopped")}) == 1
    labels = read_tensors(tmp_path / "whole" / "last.safetensors")[0]["extra.rounds.labels"]
    given = prepared(recipe, sets, CPU).train
    count = given.pseudo_labels[4:].sum(dim=(0, 1))
    assert torch.equal(labels[4:].sum(dim=(0, 1)), count)  # as many of each class as the teachers say
    assert (labels[4:].any(dim=1).any(dim=1) & ~given.weak_labels[4:]).any()  # and in clips where they said none


def test_a_round_labels_clips_without_tags_with_any_class(data: Path) -> None:
    train = prepared(RECIPE, sets_of(data), CPU).train
    rounds = Rounds(RoundsOptions(tagged_first=True, keep="best"))
    assert rounds.clips(train).clip_ids == SPLITS["train"] and rounds.keeps_parts()
    held = torch.zeros_like(train.pseudo_labels)
    held[8, 2, 1, 6] = True
    rounds.labels = held
    found = rounds.clips(train)
    assert found.weak_labels[7:].nonzero().tolist() == [[1, 6]]
    assert torch.equal(found.weak_labels[:7], train.weak_labels[:7])
    spread = Rounds(RoundsOptions(rounds=3, first_epochs=4))
    assert [spread.part(epoch, 10) for epoch in (1, 4, 5, 10)] == [range(1, 5)] * 2 + [range(5, 8), range(8, 11)]
    probs, labels = torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[True, False]]]])
    soft = softened(probs, labels, torch.tensor([[[True, True]]]), [2.0])
    assert soft.flatten().tolist() == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["fit.pseudo_label_weight=0"], r"methods\.unlabelled labels clips by their seconds"),
        ([f"methods.{POOL}.weight=0"], "weight must be positive, got 0"),
        ([f"methods.{POOL}.cuts=test"], "cuts 'test'; known are tagged, val"),
        (["methods.mug=on", f"methods.{POOL}.weight=2"], r"set it to 1, or methods\.mug=off"),
        (["methods.supervised=on"], r"methods\.\w+ and methods\.\w+ exclude one another"),
        ([f"methods.{POOL}=off", "methods.rounds.tagged_first=true"], r"tagged_first is of trainings with clips with"),
        (["methods.rounds.first_epochs=1", "fit.epochs=4"], "1 rounds of equal length after the first of 1 epochs"),
        (["methods.rounds.keep=all"], "keep 'all'; known are last, best"),
    ],
)
def test_recipes_that_cannot_be_are_refused(changes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(RECIPE, changes)


@pytest.mark.parametrize(
    ("made", "changes", "message"),
    [
        ({"classes": NAMES[:-1]}, [], f"the teachers there were not asked for {NAMES[-1]}"),
        ({}, [f"methods.{POOL}.cuts=val"], "no evidence of 3 validation clips"),
        (None, [], "learns from clips of evidence stores, and none was given; give it as `unlabelled`"),
    ],
)
def test_stores_that_do_not_fit_are_refused(
    data: Path, tmp_path: Path, made: dict[str, Any] | None, changes: list[str], message: str
) -> None:
    stores = () if made is None else (write_pool_store(tmp_path, NEW, **made),)
    recipe = override(RECIPE, changes)
    with pytest.raises(ValueError, match=message):
        read_run_sets(recipe, data, unlabelled=stores)
    with pytest.raises(ValueError, match="has rounds of its own"):
        learning_from(override(RECIPE, ["methods.rounds=on", "fit.epochs=4"]), TrainOptions(self_train=1))
