"""A parser that goes by words: classes it never had, who reads their captions, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.toy_search import CLASSES, SEGMENTS, world, write_searched_store
from tests.helpers.typed import typed
from valor.data.label_file import write_pseudo_labels
from valor.data.predictions import marks_of, read_predictions
from valor.data.tables import write_event_table, write_weak_table
from valor.data.unseen import named_unseen
from valor.data.vocabulary import named_classes
from valor.eval.decide import PostProcessing
from valor.label_harvest.disk import write_json
from valor.label_harvest.strict_json import loads
from valor.scoring.unseen import kinds_of_classes
from valor.training.checkpoint import read_checkpoint
from valor.training.options import TrainOptions
from valor.training.predict import predict_classes
from valor.training.recipes import RECIPES, Recipe, override
from valor.training.run import predict_run, read_run_sets
from valor.training.seeds import train_seeds
from valor.training.words import take_classes
from valor.video.trained import load_system

pytestmark = pytest.mark.usefixtures("one_thread")

UNSEEN = ("Singing", "Chainsaw")
SPLITS = {"train": 16, "val": 8, "test": 8}
SMALL = [
    *("parser.hidden_width=8", "parser.num_heads=2", "parser.feedforward_width=8", "parser.num_classes=4"),
    *("fit.epochs=2", "fit.warmup_epochs=1", "fit.batch_size=4", "fit.learning_rate=0.003"),
]
WORDS = override(RECIPES["demo"], [*SMALL, "parser.head=words"])


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a store of the demo's teachers, in which captions lie where their sounds and pictures do."""
    folder = tmp_path_factory.mktemp("yard")
    planted, tags = {}, {}
    for seed, (split, count) in enumerate(SPLITS.items()):
        clips = world(count, seed)
        planted |= clips
        tags[split] = f"{split}.tsv"
        marks = np.array([[name == events[0][1] for name in CLASSES] for events in clips.values()])
        write_weak_table(folder / tags[split], tuple(clips), marks, CLASSES)
    write_searched_store(folder / "store", planted, shard_clips=16)
    for modality in ("audio", "visual"):
        found = [(c, s, e, n) for c, of in planted.items() for m, n, s, e in of if m == modality]
        write_event_table(folder / f"{modality}.tsv", [row for row in found if not row[0].startswith("clip-0")])
    labels = np.zeros((SPLITS["train"], SEGMENTS, 2, len(CLASSES)), bool)
    for row, clip in enumerate(list(planted)[: SPLITS["train"]]):
        for modality, (_, name, start, stop) in enumerate(planted[clip]):
            labels[row, start:stop, modality, CLASSES.index(name)] = True
    write_pseudo_labels(folder / "pseudo_labels.npz", list(planted)[: SPLITS["train"]], CLASSES, labels)
    described = {"name": "yard", "classes": list(CLASSES), "segments": SEGMENTS, "tags": tags}
    write_json(folder / "dataset.json", {**described, "events": {"v1": ["audio.tsv", "visual.tsv"]}})
    return folder


def trained(recipe: Recipe, yard: Path, out: Path, unseen: tuple[str, ...] = UNSEEN) -> Path:
    list(train_seeds(recipe, yard, out, TrainOptions(labels=yard, unseen=unseen, progress=False, picture=False)))
    return out


@pytest.fixture(scope="module")
def run(yard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(WORDS, yard, tmp_path_factory.mktemp("runs") / "words")


def means(predictions, yard: Path) -> tuple[float, float, float]:
    from valor.data.datasets.dataset import dataset_of

    split = dataset_of(yard).read_split(yard, "test")
    marks = marks_of(predictions, None, PostProcessing())[0]
    return kinds_of_classes(marks, split.truth, np.isin(CLASSES, UNSEEN))["type_av"]


def test_classes_without_a_clip_in_training_are_found_by_their_captions_and_not_by_others(yard, run):
    parser, card = read_checkpoint(run)
    assert card.class_names == ("Dog", "Car")
    assert card.recipe["run"]["unseen"] == list(UNSEEN)
    seen, unseen, harmonic = means(predict_run(run, yard, "test"), yard)
    assert min(seen, unseen) > 60 and harmonic == pytest.approx(2 * seen * unseen / (seen + unseen))

    sets = read_run_sets(WORDS, yard, labels=yard, test=True)
    audio, visual = (captions[[0, 1, 3, 2]] for captions in sets.words.captions)  # of each other
    parser.classifier.take(audio, visual)
    swapped = predict_classes(parser, sets.test[1], CLASSES)
    assert means(swapped, yard)[1] < 20


def test_training_has_neither_tags_nor_labels_nor_clips_of_unseen_classes(yard):
    sets = read_run_sets(WORDS, yard, labels=yard, test=True, unseen=UNSEEN)
    assert sets.train.class_names == ("Dog", "Car") and sets.unseen == UNSEEN
    assert len(sets.train) == SPLITS["train"] // 2 and sets.train.weak_labels.any(dim=1).all()
    assert sets.train.pseudo_labels.shape[-1] == 2
    assert sets.val.class_names == sets.test[1].class_names == CLASSES and len(sets.val) == SPLITS["val"]


def test_a_parser_of_rows_knows_nothing_of_what_training_left_out(yard, tmp_path):
    rows = trained(override(RECIPES["demo"], SMALL), yard, tmp_path / "rows")
    found = predict_run(rows, yard, "test")
    assert found.class_names == CLASSES and found.segment_probs[..., 2:].max() == 0
    assert found.segment_probs[..., :2].max() > 0
    with pytest.raises(ValueError, match="has a row of weights for each of its 2 classes and takes no others"):
        load_system(rows, classes=named_classes(["Wren"]))


def test_before_training_a_parser_says_what_the_teachers_say(yard):
    from valor.label_harvest.places.place import place_of
    from valor.label_harvest.store.store import read_store
    from valor.parsers.build import build_parser

    sets = read_run_sets(WORDS, yard, labels=yard)
    parser = build_parser(replace(WORDS.parser, audio_words=96, visual_words=96), seed=0)
    sets.words.begin(parser, CLASSES)
    with torch.no_grad():
        said = parser.eval()(sets.train.audio.float(), sets.train.visual.float()).segment_logits
    evidence = read_store(place_of(yard / "store"), clip_ids=sets.train.clip_ids)
    logits = torch.from_numpy(np.stack([evidence.logits(role) for role in ("audio", "visual")], axis=2))
    assert (said - logits).abs().mean() < 0.15 * logits.std()


def test_other_classes_at_parse_time_are_read_by_the_teachers_of_the_training(run):
    classes = named_classes(["Dog", "Blender"])
    system = load_system(run, classes=classes)
    assert system.class_names == ("Dog", "Blender") and system.describe()["classes"] == ["Dog", "Blender"]
    assert system.parser.classifier.audio_words.shape == (2, 96)
    own = load_system(run)
    assert own.class_names == ("Dog", "Car") and "classes" not in own.describe()

    parser, card = read_checkpoint(run)
    readers = {role: {**who, "weights": "f" * 64} for role, who in card.recipe["run"]["words"].items()}
    others = replace(card, recipe={**card.recipe, "run": {"words": readers}})
    with pytest.raises(ValueError, match="was harvested by the audio teacher demo-audio with weights ffff"):
        take_classes(run, parser, others, classes)
    with pytest.raises(ValueError, match="does not say which teachers read the captions"):
        take_classes(run, parser, replace(card, recipe={}), classes)
    with pytest.raises(ValueError, match="of another teacher than those of the training"):
        parser.classifier.take(torch.zeros(2, 5), torch.zeros(2, 96))


def test_words_without_captions_are_refused_before_anything_is_trained(published, harvested):
    recipe = override(RECIPES["valor"], ["parser.head=words"])
    with pytest.raises(ValueError, match="with the captions of the teachers of an evidence store"):
        read_run_sets(recipe, published)
    store = override(RECIPES["demo"], ["parser.head=words", "parser.audio_width=5", "parser.visual_width=6"])
    with pytest.raises(ValueError, match="its audio teacher is None and its visual teacher is None, which are"):
        read_run_sets(override(store, ["fit.pseudo_label_weight=0"]), harvested)


def test_unseen_classes_are_named_in_a_list_with_their_commas_or_in_a_file(tmp_path):
    names = ("Dog", "Cry, baby", "Car")
    assert named_unseen("Cry, baby", names) == named_unseen(("Cry", " baby"), names) == ("Cry, baby",)
    write_json(tmp_path / "left.json", ["Car", "Dog"])
    assert named_unseen(str(tmp_path / "left.json"), names) == ("Dog", "Car")
    assert named_unseen("", names, own=("Car",)) == ("Car",)


@pytest.mark.parametrize(
    ("unseen", "said"),
    [
        (("Doog",), r"unseen must be of the classes of the tables .*, got Doog \(did you mean Dog\?\)"),
        (CLASSES, "unseen must leave a class to be seen, got all 4"),
    ],
)
def test_unseen_classes_nobody_knows_are_refused(yard, unseen, said):
    with pytest.raises(ValueError, match=said):
        read_run_sets(WORDS, yard, labels=yard, unseen=unseen)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["parser.audio_words=3"], "audio_words and visual_words are options of parser.head=words"),
        (["parser.head=words", "parser.head_layers=2"], "head=words is for parser.network=hybrid"),
        (["parser.head=other"], "unknown parser.head 'other'; known are"),
        (["parser.head=words", "methods.uwav=on"], "mixes segments before a classifier of rows"),
    ],
)
def test_what_does_not_go_with_words_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        override(RECIPES["demo"], changes)


def test_evaluate_shows_seen_and_unseen_classes_and_a_constant_of_val(yard, run, tmp_path):
    about = ["evaluate", run, "--annotations", yard, "--split", "test"]
    done = typed(*about, "--unseen", "Chainsaw,Singing", "--json", tmp_path / "s.json")
    assert (done.code, done.err) == (0, "")
    assert "Mean F of 2 seen and 2 unseen classes" in done.out and "unseen +" in done.out
    rows = [row for row in loads((tmp_path / "s.json").read_text())["unseen"] if row["figure"] == "type_av"]
    seen, unseen, harmonic = means(predict_run(run, yard, "test"), yard)
    assert [rows[0][name] for name in ("seen", "unseen", "harmonic")] == pytest.approx([seen, unseen, harmonic])
    assert rows[2]["decision"].startswith("unseen ") and rows[2]["seen"] == pytest.approx(seen)
    done = typed(*about, "--unseen")
    assert done.code == 2 and "--unseen must name classes, since the data set has none" in done.err


def test_predict_takes_other_classes(yard, run, tmp_path):
    wide = ",".join((*CLASSES, "Wren"))
    done = typed("predict", run, "--data", yard, "--classes", wide, "--out", tmp_path / "wide.npz")
    assert done.code == 0, done.err
    found = read_predictions(tmp_path / "wide.npz")
    assert found.class_names == (*CLASSES, "Wren")
    own = predict_run(run, yard, "test")
    assert np.allclose(found.segment_probs[..., :4], own.segment_probs, atol=1e-6)
