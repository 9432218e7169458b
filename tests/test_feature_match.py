"""Features a parser was not trained on are refused by name, not parsed into noise."""

from dataclasses import asdict, replace

import pytest
import torch

from parsers.build import build_parser
from tests.test_runs import FROM_STORE, SPLITS, write_labels, write_tables, write_toy_store
from tests.toy_features import TINY, toy_clip_set
from valor.checkpoint import CheckpointCard, read_checkpoint
from valor.feature_match import refuse_other_features
from valor.recipes import RECIPES, recipe_to_json
from valor.runs import predict_run, train_run


@pytest.fixture
def trained(tmp_path):
    """A run on a store, and the data it was trained on."""
    data = write_tables(tmp_path / "data")
    write_toy_store(data / "store")
    train_run(FROM_STORE, data, tmp_path / "run", labels=write_labels(tmp_path / "labels"), progress=False)
    return tmp_path / "run", data


def test_the_features_it_was_trained_on_are_parsed(trained):
    assert predict_run(*trained, "test").clip_ids == SPLITS["test"]


def test_features_of_another_teacher_are_refused_though_their_width_fits(trained, tmp_path):
    run, _ = trained
    other = write_tables(tmp_path / "other")
    write_toy_store(other / "store", weights="cd" * 32)
    message = (
        rf"{run}: its audio features were made by .* weights abababababab, those in {other} by .* cdcdcdcdcdcd; harv"
    )
    with pytest.raises(ValueError, match=message):
        predict_run(run, other, "test")


def test_features_of_another_width_are_refused(tmp_path):
    clips = toy_clip_set(4)
    recipe = replace(RECIPES["demo"], parser=TINY)
    card = CheckpointCard(class_names=clips.class_names, recipe=recipe_to_json(recipe))
    wide = replace(clips, visual=torch.zeros(4, 5, 9))
    with pytest.raises(
        ValueError, match=r"run: its parser takes visual features of width 6 \(visual\.embedding\), .* 9;"
    ):
        refuse_other_features(tmp_path / "run", TINY, card, wide, tmp_path)


def test_a_checkpoint_that_does_not_say_is_believed(trained):
    run, data = trained
    parser, card = read_checkpoint(run)
    silent = replace(card, recipe={name: part for name, part in card.recipe.items() if name != "run"})
    clips = toy_clip_set(2)
    clips = replace(clips, audio=torch.zeros(2, 5, 5), visual=torch.zeros(2, 5, 6))
    options = replace(FROM_STORE.parser, num_classes=3)
    assert asdict(options)["audio_width"] == build_parser(options).stem.audio.in_features
    refuse_other_features(run, options, silent, clips, data)
