"""What follows what puts noisy predictions right where there is an order, and changes nothing where there is none."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.helpers.toy_language import CLASSES, FOLLOWS, chains, marks_of, noisy, write_labels
from tests.helpers.toy_parse import toy_parse
from tests.helpers.typed import typed
from valor.data.label_file import write_pseudo_labels
from valor.data.parse_file import read_parse, write_parse
from valor.data.predictions import read_predictions, write_predictions
from valor.data.tables import write_event_table, write_weak_table
from valor.eval.scores import score
from valor.scoring.language import Told, learn, read_language, read_told, write_language
from valor.scoring.language_options import LanguageOptions
from valor.scoring.rescore import rescore_parse, rescore_predictions, weigh_predictions

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = LanguageOptions(length=3, steps=150, width=16, layers=1, rate=2e-2)
FEW = replace(OPTIONS, steps=60)


def learned(follows, *, apart, seed=0, options=OPTIONS):
    rng = np.random.default_rng(seed)
    marks = marks_of(chains(40, 40, follows, rng), apart=apart)
    return learn(Told(CLASSES, dict(zip(map(str, range(40)), marks, strict=True)), 1.0), options)


@pytest.fixture(scope="module")
def one():
    return learned(FOLLOWS, apart=False)


@pytest.fixture(scope="module")
def many():
    return learned(FOLLOWS, apart=True)


def right(predictions, truth):
    """Share of seconds whose likeliest class is the true one."""
    return float((predictions.segment_probs.min(axis=2).argmax(axis=-1) == truth).mean())


@cache
def told(follows, *, apart, count=3):
    """What happens, its marks, and what a parser says of it."""
    rng = np.random.default_rng(1)
    truth = chains(count, 30, follows, rng)
    marks = marks_of(truth, apart=apart)
    return truth, marks, noisy(marks, rng, noise=0.9 if apart else 1.5, alike=not apart)


def test_one_word_a_second_is_put_right_by_order_and_left_alone_without(one):
    truth, _, predictions = told(FOLLOWS, apart=False, count=12)
    assert one.card.words == "one"
    found, said = rescore_predictions(predictions, one)
    assert right(found, truth) > right(predictions, truth) + 0.05 and said.recordings == 12
    turned = replace(predictions, segment_probs=predictions.segment_probs[:, ::-1].copy())
    assert right(rescore_predictions(turned, one)[0], truth[:, ::-1]) < right(predictions, truth)
    other, _, shuffled = told(0.0, apart=False, count=12)
    without = learned(0.0, apart=False, options=FEW)
    assert right(rescore_predictions(shuffled, without)[0], other) > right(shuffled, other) - 0.015


def test_many_words_are_put_right_and_stay_probabilities(many):
    _, marks, predictions = told(FOLLOWS, apart=True, count=12)
    assert many.card.words == "many"
    found, _ = rescore_predictions(predictions, many, 0.2)
    before, after = (score(of.segment_probs >= 0.5, marks).segment.type_av for of in (predictions, found))
    assert after > before + 3
    assert found.segment_probs.dtype == np.float32 and 0 < found.segment_probs.min() < found.segment_probs.max() < 1


def test_where_nothing_follows_many_words_lose_nothing(many):
    _, marks, predictions = told(0.0, apart=True, count=12)
    without = learned(0.0, apart=True, options=FEW)
    found = rescore_predictions(predictions, without, 0.5)[0]
    before, after = (score(of.segment_probs >= 0.5, marks).segment.type_av for of in (predictions, found))
    assert after > before - 0.5
    added = [np.log(of.segment_probs) - np.log1p(-of.segment_probs) for of in (found, predictions)]
    assert abs(float((added[0] - added[1]).mean())) < 0.1, "no class is more likely for being frequent"
    misled = rescore_predictions(predictions, many)[0]  # by an order that these recordings do not have
    assert score(misled.segment_probs >= 0.5, marks).segment.type_av < after


@pytest.mark.parametrize("apart", [False, True])
def test_no_weight_changes_no_bit(one, many, apart, tmp_path):
    _, _, predictions = told(FOLLOWS, apart=apart)
    found, _ = rescore_predictions(predictions, many if apart else one, 0.0)
    for path, held in (("a.npz", predictions), ("b.npz", found)):
        write_predictions(tmp_path / path, held)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_published_order_is_that_of_the_words(one):
    """Probabilities of a second change places so that the class they rank first is the one the rule ranks first."""
    _, _, predictions = told(FOLLOWS, apart=False)
    found, _ = rescore_predictions(predictions, one, 0.3)
    changed = 0
    for row, weighed in enumerate(weigh_predictions(predictions, one)):
        logits, ranked = weighed.ranking(0.3)
        best = ranked.argmax(axis=1)
        probs, background = found.segment_probs[row].min(axis=1), len(CLASSES)
        likeliest = np.where(probs.max(axis=1) >= 0.5, probs.argmax(axis=1), background)
        assert np.array_equal(likeliest, best)
        changed += int((logits.argmax(axis=1) != best).sum())
        same = (np.argsort(-logits, axis=1) == np.argsort(-ranked, axis=1)).all(axis=1)
        assert np.array_equal(found.segment_probs[row][same], predictions.segment_probs[row][same])
    assert changed > 2
    assert found.clip_probs.max() <= 1 and (found.clip_probs >= predictions.clip_probs).all()


def test_classes_in_another_order_and_what_is_not_there_change_nothing_of_it(many):
    _, _, predictions = told(FOLLOWS, apart=True)
    found, _ = rescore_predictions(predictions, many, 0.2)
    turned = replace(
        predictions,
        class_names=CLASSES[::-1],
        segment_probs=predictions.segment_probs[..., ::-1].copy(),
        clip_probs=predictions.clip_probs[..., ::-1].copy(),
    )
    assert np.allclose(rescore_predictions(turned, many, 0.2)[0].segment_probs[..., ::-1], found.segment_probs)
    valid = np.arange(30) < np.array([30, 2, 20])[:, None]
    cut = replace(predictions, valid=valid, segment_probs=predictions.segment_probs * valid[:, :, None, None])
    shorter, said = rescore_predictions(cut, many, 0.2)
    assert said.short == 1 and np.array_equal(shorter.segment_probs[1], cut.segment_probs[1])
    assert not shorter.segment_probs[~valid].any() and not np.array_equal(shorter.segment_probs, cut.segment_probs)


def test_a_longer_step_looks_at_every_second_of_its_own(many):
    _, _, predictions = told(FOLLOWS, apart=True)
    wide = replace(many, card=replace(many.card, step=2))
    found, _ = rescore_predictions(predictions, wide, 0.2)
    half = replace(predictions, segment_probs=predictions.segment_probs[:, 1::2].copy())
    alone, _ = rescore_predictions(half, many, 0.2)
    assert np.allclose(found.segment_probs[:, 1::2], alone.segment_probs, atol=1e-6)


def test_a_parse_keeps_its_rule_and_says_by_what_it_was_ranked():
    parse = toy_parse()
    rng = np.random.default_rng(0)
    marks = rng.random((4, 30, 2, len(parse.class_names))) < 0.4
    held = dict(zip("abcd", marks, strict=True))
    language = learn(Told(parse.class_names, held, 1.0), replace(OPTIONS, steps=2, width=8, length=3))
    found, said = rescore_parse(parse, language, 0.4)
    assert said.short == 0 and found.system["rescored"]["alpha"] == 0.4 and len(found.notes) == len(parse.notes) + 1
    assert not np.array_equal(found.segment_probs, parse.segment_probs)
    assert np.array_equal(np.isnan(found.segment_probs), np.isnan(parse.segment_probs))
    moved = np.log(found.segment_probs / (1 - found.segment_probs)) - np.log(
        parse.segment_probs / (1 - parse.segment_probs)
    )
    of_gate = np.log(found.gate_probs / (1 - found.gate_probs)) - np.log(parse.gate_probs / (1 - parse.gate_probs))
    assert np.allclose(moved, of_gate, atol=1e-4, equal_nan=True)
    assert rescore_parse(parse, language, 0.0)[0] is parse
    deaf, _ = rescore_parse(toy_parse(visual=False), language, 0.4)
    assert np.isnan(deaf.segment_probs[:, 1]).all() and not np.isnan(deaf.segment_probs[:, 0]).any()


def test_a_language_comes_back_and_damage_is_said(many, tmp_path):
    write_language(tmp_path / "run", many)
    back = read_language(tmp_path / "run")
    assert back.card == many.card
    _, _, predictions = told(FOLLOWS, apart=True)
    pairs = [rescore_predictions(predictions, held, 0.3)[0].segment_probs for held in (many, back)]
    assert np.array_equal(*pairs)
    file = tmp_path / "run" / "language.safetensors"
    file.write_bytes(file.read_bytes().replace(rb"\"length\": 3", rb"\"length\": 7"))
    with pytest.raises(ValueError, match="not as it was written"):
        read_language(tmp_path / "run")


def write_val(folder, rng):
    """Two clips of LLP's form and predictions of them."""
    truth = chains(3, 10, FOLLOWS, rng)
    marks = marks_of(truth, apart=True)
    ids = [f"val--------_{row}_{row + 10}" for row in range(3)]
    write_weak_table(folder / "AVVP_val_pd.csv", ids, marks.any(axis=(1, 2)), CLASSES)
    for modality, name in enumerate(("audio", "visual")):
        rows = [(ids[n], int(t), int(t) + 1, CLASSES[c]) for n, t, c in np.argwhere(marks[:, :, modality])]
        write_event_table(folder / f"AVVP_eval_{name}.csv", rows)
    write_predictions(folder / "val.npz", noisy(marks, rng, noise=1.0, alike=False, clip_ids=tuple(ids)))
    (folder / "classes.json").write_text(
        "[" + ",".join(f'{{"name": "{name}", "visual_prompt": "a", "audio_prompt": "b"}}' for name in CLASSES) + "]"
    )
    return ids


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Labels, clips of validation, predictions and a parse."""
    folder, rng = tmp_path_factory.mktemp("rescored"), np.random.default_rng(3)
    marks = marks_of(chains(4, 12, FOLLOWS, rng), apart=True)
    write_labels(folder / "labels", marks)
    write_predictions(folder / "p.npz", noisy(marks, rng, noise=1.0, alike=False))
    ids = write_val(folder, rng)
    write_labels(folder / "seen", marks_of(chains(1, 10, 0.9, rng)), name="x")
    write_pseudo_labels(folder / "seen" / "pseudo_labels.npz", ids[:1], CLASSES, marks[:1, :10])
    write_pseudo_labels(folder / "empty.npz", ids[:1], CLASSES, np.zeros_like(marks[:1]))
    write_pseudo_labels(folder / "both.npz", ["both"], CLASSES, np.ones_like(marks[:1]))
    write_predictions(folder / "marks.npz", replace(read_predictions(folder / "p.npz"), predicted=marks,
                      segment_probs=None, clip_probs=None))  # fmt: skip
    other = replace(read_predictions(folder / "p.npz"), class_names=("Frog", *CLASSES[1:]))
    write_predictions(folder / "frog.npz", other)
    (folder / "parses").mkdir()
    write_parse(folder / "parses" / "one.json", toy_parse())
    return folder


SMALL = ("--sequence", 3, "--steps", 2, "--network-width", 8, "--layers", 1)


def test_as_it_is_typed(world, tmp_path):
    validated = ("--val", world / "val.npz", "--annotations", world)
    done = typed("rescore", "fit", world / "labels", "--out", tmp_path / "run", *SMALL, *validated)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("4 recordings, any number of classes a segment, of each modality, loss ")
    assert (
        lines[1].startswith("  alpha 0     segment.type_av on validation ") and sum("<-" in line for line in lines) == 1
    )
    assert lines[-1] == f"wrote {tmp_path / 'run'}"
    out = tmp_path / "new.npz"
    done = typed("rescore", world / "p.npz", "--model", tmp_path / "run", "--out", out, "--alpha", 0.3)
    assert done.out == f"4 recordings with alpha 0.3; wrote {out}\n", done
    assert not np.array_equal(read_predictions(out).segment_probs, read_predictions(world / "p.npz").segment_probs)


def test_parses_are_learned_from_and_ranked(world, tmp_path):
    done = typed("rescore", "fit", world / "parses" / "one.json", "--out", tmp_path / "run", *SMALL)
    assert done.code == 0 and "alpha is 0.15, the published one; --val and --annotations choose it" in done.out, done
    out = tmp_path / "new.json"
    done = typed("rescore", world / "parses" / "one.json", "--model", tmp_path / "run", "--out", out)
    assert done.code == 0, done.err
    assert read_parse(out).system["rescored"]["recordings"] == 1
    (tmp_path / "parses").mkdir()
    write_parse(tmp_path / "parses" / "a.json", toy_parse(name="a.mp4"))
    done = typed("rescore", tmp_path / "parses", "--model", tmp_path / "run", "--out", tmp_path / "ranked")
    assert done.code == 0 and read_parse(tmp_path / "ranked" / "a.json").media.name == "a.mp4"


def test_truth_is_learned_from(world):
    held = read_told(world, "val")
    assert held.class_names == CLASSES and len(held.marks) == 3 and all(of.any() for of in held.marks.values())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("fit", "--out", "r"), "name what is learned from too: valor rescore fit SOURCE"),
        (("fit", "labels"), "--out RUN says where the result is written"),
        (("fit", "labels", "--out", "r", "--alpha", "0.2"), "--alpha: not for this; see `valor rescore --help`"),
        (("fit", "labels", "--out", "r", "--sequence", "4"), "--sequence must be odd, so that a sequence has a middle"),
        (("fit", "labels", "--out", "r", "--sequence", "13"), "choose a smaller length or step"),
        (("fit", "labels", "--out", "r", "--words", "one"), "nothing is heard and seen at once in any of 4 recordings"),
        (("fit", "both.npz", "--out", "r", "--words", "one"), "two classes are heard and seen at once, which needs"),
        (("fit", "labels", "--out", "r", "--val", "val.npz"), "--val PREDICTIONS needs --annotations DIR"),
        (("fit", "labels", "labels", "--out", "r"), "sources must be named once each"),
        (("fit", "labels", "p.npz", "--out", "marks.npz"), "--out must be a folder, got the file"),
        (("fit", "labels", "frog.npz", "--out", "r"), "expected the 4 classes of"),
        (("fit", "empty.npz", "--out", "r", "--sequence", "3"), "nothing is marked in any of 1 recordings"),
        (("fit", "none", "--out", "r"), "none: no such labels, predictions, parses or data folder"),
        (("fit", "AVVP_val_pd.csv", "--out", "r"), "a language is learned from labels, predictions (.npz), parses of"),
        (("fit", ".", "--out", "r"), "AVVP_train.csv"),
        (("fit", "seen", "--out", "r", "--sequence", "3", "--val", "val.npz", "--annotations", "."),
            "must be chosen on clips it was not learned from, and 1 of the split val"),
        (("p.npz", "--out", "r.npz"), "--model RUN says by what; `valor rescore fit LABELS --out RUN` makes one"),
        (("p.npz", "--model", "labels", "--out", "r.npz"), "no language lies there"),
        (("p.npz", "--model", "language", "--out", "p.npz"), "p.npz would overwrite the PREDICTIONS of that"),
        (("p.npz", "--model", "language", "--out", "r.json"), "--out must be a file *.npz, for predictions"),
        (("p.npz", "--model", "language", "--out", "r.npz", "--alpha", "1"), "--alpha must be from 0 up to"),
        (("p.npz", "--model", "language", "--out", "r.npz", "--steps", "3"), "--steps: not for this"),
        (("marks.npz", "--model", "language", "--out", "r.npz"), "must have probabilities, got decisions"),
        (("frog.npz", "--model", "language", "--out", "r.npz"), "without Dog, with Frog; learn one from labels"),
        (("parses/one.json", "--model", "language", "--out", "r.npz"), "--out must be a file *.json, for a parse"),
        (("p.npz", "x", "--model", "language", "--out", "r.npz"), "PREDICTIONS must be one file or folder"),
    ],
)  # fmt: skip
def test_wrong_use_is_said_in_one_sentence(world, words, complaint):
    if not (world / "language").exists():
        assert typed("rescore", "fit", world / "labels", "--out", world / "language", *SMALL).code == 0
    files = {*"r . none language r.npz r.json parses/one.json".split(), *(path.name for path in world.iterdir())}
    done = typed("rescore", *(world / word if word in files else word for word in words))
    assert complaint in done.complaint()
