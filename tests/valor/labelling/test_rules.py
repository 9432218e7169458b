"""Label rules on a store: those of other papers as on the texts themselves, ours by clips with and without a tag."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_store import write_toy_store
from tests.helpers.typed import typed
from valor.data.tables import Split
from valor.data.thresholds import read_thresholds, write_calibration
from valor.label_harvest.competition import competition, unit
from valor.label_harvest.presence import PresenceOptions
from valor.label_harvest.store.shards import ShardRow
from valor.label_harvest.store.store import EvidenceStore
from valor.labelling import make
from valor.labelling.options import LABEL_RULES, LabelOptions
from valor.labelling.rules import RULES, facts_of_rule, label_by_rule, texts_from
from valor.scoring.calibrate import calibrate_posterior, calibrate_presence

CLIPS, CLASSES, WIDTH = 12, 6, 16


@pytest.fixture
def evidence():
    """A store of made-up embeddings and its true texts."""
    rng = np.random.default_rng(0)
    arrays, texts = {}, {}
    for role in ("audio", "visual"):
        texts[role] = unit(rng.standard_normal((CLASSES, WIDTH)))
        shown = rng.integers(0, CLASSES, (CLIPS, 10))
        rows = rng.standard_normal((CLIPS, 10, WIDTH)) / 2 + 2 * texts[role][shown]
        arrays[f"{role}.embedding"] = rows.astype(np.float32)
        arrays[f"{role}.similarity"] = (unit(rows) @ texts[role].T).astype(np.float32)
    tags = rng.random((CLIPS, CLASSES)) < 0.5
    teachers = {role: {"teacher": f"t-{role}", "logit_scale": 1.0, "logit_bias": 0.0} for role in ("audio", "visual")}
    manifest = {"fingerprint": "f", "teachers": teachers, "grid": {}}
    names = tuple(f"clip{n}" for n in range(CLIPS))
    classes = tuple(f"class{n}" for n in range(CLASSES))
    blank = ("",) * CLIPS
    return EvidenceStore(names, classes, tags, ("ok",) * CLIPS, blank, arrays, manifest), texts


def test_the_texts_follow_from_embeddings_and_similarities(evidence):
    store, texts = evidence
    for role, true in texts.items():
        rows, cosines = store.arrays[f"{role}.embedding"], store.arrays[f"{role}.similarity"]
        found = texts_from(rows.reshape(-1, WIDTH), cosines.reshape(-1, CLASSES))
        np.testing.assert_allclose(found, true, atol=1e-4)
    with pytest.raises(ValueError, match="all 16 directions of an embedding, and 10 seconds are in 10"):
        texts_from(rows[0], cosines[0])


def test_competition_is_that_of_the_true_texts_among_the_tags(evidence):
    store, texts = evidence
    labels, left_out, _ = label_by_rule(store, "competition")
    rows = tuple(store.arrays[f"{role}.embedding"] for role in ("audio", "visual"))
    decided = competition(rows, (texts["audio"], texts["visual"]))[1]
    expected = np.stack([of.marked for of in decided], axis=2) & store.weak_labels[:, None, None]
    assert (labels.labels == expected).mean() > 0.995 and expected.any() and not left_out


def test_av2a_labels_tagged_classes_alone_and_leaves_incomplete_clips_out(evidence):
    store, _ = evidence
    store.arrays["audio.similarity"][3, 4] = np.nan
    labels, left_out, _ = label_by_rule(store, "av2a")
    assert labels.labels.any() and list(left_out) == ["clip3"] and len(labels.clip_ids) == CLIPS - 1
    kept = [n for n in range(CLIPS) if n != 3]
    assert not (labels.labels & ~store.weak_labels[kept][:, None, None]).any()
    told = facts_of_rule(store.manifest, "av2a", left_out)
    assert told["tuned"] == ["settings of labels"] and told["rule"]["threshold"] == 0.75
    del store.arrays["visual.embedding"]
    with pytest.raises(ValueError, match=r"the rule av2a needs the arrays visual\.embedding, which the store has not"):
        label_by_rule(store, "av2a")


def test_every_rule_has_a_name_and_what_is_of_thresholds_is_refused(tmp_path):
    assert LABEL_RULES == ("thresholds", "presence", "posterior", *RULES)
    for option in ({"temperature": 2.0}, {"thresholds": tmp_path}, {"disagreements": True}):
        with pytest.raises(ValueError, match=f"`{next(iter(option))}` is for labels by thresholds, and rule=av2a"):
            LabelOptions(rule="av2a", **option)
    done = typed("labels", tmp_path, "--out", tmp_path / "out", "--rule", "nonsense")
    assert done.code == 2 and "--rule" in done.err


def test_presence_labels_every_tag_and_says_what_it_went_by(evidence):
    store, _ = evidence
    store.arrays["audio.similarity"][3, 4] = np.nan
    labels, left_out, found = label_by_rule(store, "presence", PresenceOptions(shares=(0.9, 0.4)))
    kept = [n for n in range(CLIPS) if n != 3]
    assert list(left_out) == ["clip3"]
    assert (labels.labels.any(axis=(1, 2)) == store.weak_labels[kept]).all()
    assert found["shares"] == {"audio": 0.9, "visual": 0.4} and set(found["cuts"]["audio"]) == set(store.class_names)
    told = facts_of_rule(store.manifest, "presence", left_out, options=PresenceOptions(), found=found)
    assert told["tuned"] == [] and told["rule"]["competition"] == 0.4 and told["rule"]["cuts"] == found["cuts"]
    store.weak_labels[:, 2] = True
    with pytest.raises(ValueError, match="with and without a tag, and class2 is a tag of all 11 clips"):
        label_by_rule(store, "presence")


def test_presence_takes_clips_of_unlike_length(evidence):
    store, _ = evidence
    for role in ("audio", "visual"):
        store.arrays[f"{role}.similarity"][4, 6:] = np.nan
    longs = replace(store, segments=np.where(np.arange(CLIPS) == 4, 6, 10))
    labels = label_by_rule(longs, "presence").labels
    assert labels.segments is not None and labels.segments[4] == 6 and not labels.labels[4, 6:].any()
    with pytest.raises(ValueError, match="the rule av2a needs clips of one length"):
        label_by_rule(longs, "av2a")


def test_what_is_of_presence_is_refused_of_other_rules_and_said_once(tmp_path):
    with pytest.raises(ValueError, match="`present_share` is for rule=presence, got rule=thresholds"):
        LabelOptions(present_share=(0.9, 0.6))
    with pytest.raises(ValueError, match="`lose_tags` is for rule=presence, got rule=av2a"):
        LabelOptions(rule="av2a", lose_tags=True)
    with pytest.raises(ValueError, match="both say where a tag is present"):
        LabelOptions(rule="presence", present_share=(0.9, 0.6), thresholds=tmp_path)
    with pytest.raises(ValueError, match="`temperature` is for labels by thresholds, and rule=presence has none"):
        LabelOptions(rule="presence", temperature=2.0)


@pytest.fixture
def val(evidence):
    """Eight clips of the store, with the truth."""
    store, _ = evidence
    tags = store.weak_labels[:8]
    truth = np.repeat(np.repeat(tags[:, None, None], 10, axis=1), 2, axis=2)
    truth[::2, :, 1] = False
    return Split("val", store.clip_ids[:8], store.class_names, tags, truth=truth)


def test_numbers_of_val_make_probabilities_that_say_so(evidence, val, tmp_path, monkeypatch):
    store, _ = evidence
    found = calibrate_posterior(store, val)
    assert found.applies_to == "posterior" and found.tuned == ("label cuts",)
    write_calibration(tmp_path / "numbers.json", found)
    monkeypatch.setattr(make, "store_manifest", lambda path: store.manifest)
    monkeypatch.setattr(make, "_say_gaps", lambda path: None)
    monkeypatch.setattr(make, "read_store", lambda path, **_: store)
    options = LabelOptions(rule="posterior", thresholds=tmp_path / "numbers.json", temperature=2.0)
    soft = make.make_labels(tmp_path / "store", tmp_path / "soft", options, progress=False).labels
    hard = make.make_labels(tmp_path / "store", tmp_path / "hard", replace(options, temperature=None), progress=False)
    assert soft.soft and (soft.marked == hard.labels.labels).all()
    told = json.loads((tmp_path / "soft" / "labels.json").read_text(encoding="utf-8"))
    assert told["tuned"] == ["label cuts"] and told["thresholds_from"]["split"] == "val"
    assert told["rule"]["temperature"] == 2 and set(told["rule"]["weights"]["visual"]) == {"own", "near", "clip"}
    assert set(told["rule"]["biases"]["audio"]) == set(store.class_names)
    table = json.loads((tmp_path / "numbers.json").read_text(encoding="utf-8"))
    for broken, message in (
        ({"weights": None}, "expected weights as a calibration by posterior writes them"),
        ({"weights": {"audio": table["weights"]["audio"], "visual": {"own": 1}}}, "near"),
        ({"visual": None}, "expected"),
    ):
        (tmp_path / "broken.json").write_text(json.dumps(table | broken))
        with pytest.raises(ValueError, match=message):
            make.make_labels(tmp_path / "store", tmp_path / "no", replace(options, thresholds=tmp_path / "broken.json"))
    with pytest.raises(ValueError, match="rule=posterior has no numbers of its own"):
        LabelOptions(rule="posterior")


def test_cuts_of_val_make_labels_that_say_so(evidence, val, tmp_path, monkeypatch):
    store, _ = evidence
    found = calibrate_presence(store, val, PresenceOptions())
    assert found.applies_to == "presence" and found.tuned == ("label cuts",)
    shares = found.provenance["present_share"]
    assert shares["audio"] == 1.0 and 0.2 < shares["visual"] < 0.8
    write_calibration(tmp_path / "cuts.json", found)
    monkeypatch.setattr(make, "store_manifest", lambda path: store.manifest)
    monkeypatch.setattr(make, "_say_gaps", lambda path: None)
    monkeypatch.setattr(make, "read_store", lambda path, **_: store)
    options = LabelOptions(rule="presence", thresholds=tmp_path / "cuts.json")
    make.make_labels(tmp_path / "store", tmp_path / "labels", options, progress=False)
    told = json.loads((tmp_path / "labels" / "labels.json").read_text(encoding="utf-8"))
    assert told["tuned"] == ["label cuts"] and told["thresholds_from"]["criterion"] == "presence"
    with pytest.raises(ValueError, match="thresholds of teachers' logits, got those of the label rule presence"):
        read_thresholds(tmp_path / "cuts.json", CLASSES)
    (tmp_path / "own.json").write_text(json.dumps({"audio": [0.0] * CLASSES, "visual": [0.0] * CLASSES}))
    with pytest.raises(ValueError, match="thresholds of the label rule presence, got those of teachers' logits"):
        make.make_labels(
            tmp_path / "store", tmp_path / "labels", replace(options, thresholds=tmp_path / "own.json"), progress=False
        )


def test_a_store_is_labelled_from_the_command_line(tmp_path):
    rows = [ShardRow(clip, "ok", "", ("Dog",)) for clip in ("a", "b", "c")]
    write_toy_store(tmp_path / "store", {0: rows})
    done = typed("labels", tmp_path / "store", "--out", tmp_path / "labels", "--rule", "av2a")
    assert done.code in (0, 3), done.err
    told = json.loads((tmp_path / "labels" / "labels.json").read_text(encoding="utf-8"))
    assert told["rule"]["name"] == "av2a" and told["extra_data"] == [] and "thresholds" not in told
    done = typed("labels", tmp_path / "store", "--out", tmp_path / "labels", "--rule", "presence", "--lose-tags")
    assert done.code == 2 and "Dog is a tag of all" in done.err
    words = ("--out", tmp_path / "labels", "--rule", "presence", "--present-share", "1.2", "0.5")
    done = typed("labels", tmp_path / "store", *words)
    assert done.code == 2 and "--present-share must be two above 0 and below 1" in done.err
    done = typed("calibrate", tmp_path / "store", "--criterion", "presence", "--out", tmp_path / "cuts.json")
    assert done.code == 2 and "--annotations DIR" in done.err
