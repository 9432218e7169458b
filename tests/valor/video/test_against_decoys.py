import json
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy import ToySound, write_toy_clip
from tests.helpers.toy_parse import DEMO
from tests.helpers.toy_zero_shot import NAMES, Moved, toy_footage, toy_system
from valor.data.parse_file import BACKGROUND, parse_from_json, parse_to_json, read_parse, write_parse
from valor.data.zero_shot_file import read_decoys, read_zero_shot, write_zero_shot
from valor.eval.decide import PostProcessing
from valor.label_harvest.decoys import THRESHOLD, leaned
from valor.label_harvest.media.cuts import Shot
from valor.scoring.zero_shot import calibrate_zero_shot, read_footage
from valor.video.formats.formats import FORMATS, events_text
from valor.video.parse import ParseOptions, parse_media
from valor.video.zero_shot import load_zero_shot

PLAIN = ParseOptions(limits=None, hashed=False)


@pytest.fixture(scope="module")
def system():
    return toy_system()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    sound = ToySound(seconds=12, codec="pcm_s16le")
    return write_toy_clip(tmp_path_factory.mktemp("sound") / "a.wav", sound=sound)


@pytest.fixture(scope="module")
def parse(system, sound):
    return parse_media(system, sound, replace(PLAIN, rule=PostProcessing(gate="none", segment_threshold=0.0)))


@pytest.fixture(scope="module")
def footage(system, tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage")
    return folder, toy_footage(folder, system)


def test_a_parse_says_how_sure_it_is_and_what_it_rests_on(parse, system, sound):
    assert parse.segment_probs.shape == (12, 2, 3) and np.isnan(parse.segment_probs[:, 1]).all()
    assert np.isnan(parse.background_probs[:, 1]).all() and set(parse.evidence.standing) == {"audio"}
    assert parse.evidence.standing["audio"].seconds == 12
    for event in parse.events:
        first, last = round(event.onset), round(event.offset)
        means = parse.segment_probs[first:last, 0].mean(axis=0)
        others = {name: value for name, value in zip(NAMES, means, strict=True) if name != event.class_name}
        others[BACKGROUND] = parse.background_probs[first:last, 0].mean()
        assert event.next_to == max(others, key=others.get)
        assert event.margin == pytest.approx(event.prob - max(others.values()), abs=1e-6)
        assert event.unsure == (event.prob < 0.5 or event.margin < 0)
    plain = parse_media(system, sound, PLAIN)
    assert plain.decision.segment_threshold == THRESHOLD and plain.system["zero_shot"]
    assert len(plain.system["prompts"]["audio"]) == 3 and plain.system["calibration"] is None


def test_the_json_comes_back_and_the_exporters_take_it(parse, tmp_path):
    write_parse(tmp_path / "p.json", parse)
    again, record = read_parse(tmp_path / "p.json"), json.loads((tmp_path / "p.json").read_text())
    assert {"margin", "next_to", "unsure"} <= set(record["events"][0])
    assert np.allclose(again.evidence.similarity, parse.evidence.similarity, atol=1e-6, equal_nan=True)
    assert again.evidence.standing["audio"].level == pytest.approx(parse.evidence.standing["audio"].level, abs=1e-6)
    assert np.allclose(again.background_probs, parse.background_probs, atol=1e-4, equal_nan=True)
    assert [event.next_to for event in again.events] == [event.next_to for event in parse.events]
    rewritten = json.loads(json.dumps(parse_to_json(again)))
    assert {**rewritten, "events": record["events"]} == record
    for name in FORMATS:
        assert events_text([again], name, clock="container")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record["events"][0].update(margin=0.93), "events: expected those of segment_probs"),
        (lambda record: record["events"][0].update(next_to=3), "events: next_to"),
        (lambda record: record["events"][0].update(unsure="yes"), "events: unsure"),
        (lambda record: record["background_probs"].update(audio=[0.5]), "a probability for each of 12 segments"),
        (lambda record: record["background_probs"].update(audio=[1.5] * 12), "must be probabilities in 0..1"),
        (lambda record: record["evidence"]["audio"]["similarity"].pop(), "expected 12 rows of 3 similarities"),
        (lambda record: record["evidence"]["audio"].update(spread=0), "evidence: audio"),
        (lambda record: record["evidence"]["audio"].update(seconds=0), "evidence: audio"),
        (lambda record: record["evidence"]["audio"].update(decoy=[None] * 12), "holds no segment with"),
        (lambda record: record["evidence"].pop("visual"), "'visual' is missing|visual"),
    ],
)
def test_a_changed_file_is_refused(parse, change, said):
    record = json.loads(json.dumps(parse_to_json(parse)))
    change(record)
    with pytest.raises((ValueError, KeyError), match=said):
        parse_from_json(record)


def test_a_teacher_of_another_scale_and_shift_says_the_same(system, parse, sound):
    teachers = tuple(Moved(teacher, 0.05, 0.27) for teacher in system.teachers)
    moved = parse_media(
        replace(system, teachers=teachers),
        sound,
        replace(PLAIN, rule=parse.decision),
    )
    assert np.allclose(moved.segment_probs, parse.segment_probs, atol=1e-3, equal_nan=True)
    assert moved.evidence.similarity[0, 0, 0] == pytest.approx(
        0.27 + 0.05 * parse.evidence.similarity[0, 0, 0], abs=1e-5
    )


def test_one_class_competes_with_decoys(sound):
    alone = parse_media(load_zero_shot("Dog", teachers=DEMO), sound, PLAIN)
    assert np.isfinite(alone.segment_probs[:, 0]).all()
    assert all(event.next_to == BACKGROUND for event in alone.events)


def test_a_calibration_decides_and_is_of_its_system_alone(system, footage, sound, tmp_path):
    folder, _ = footage
    found = calibrate_zero_shot(read_footage(sorted(folder.glob("*.json"))))
    write_zero_shot(tmp_path / "c.json", found)
    held = read_zero_shot(tmp_path / "c.json")
    assert held.standing == found.standing and held.curves["audio"].slope == found.curves["audio"].slope
    calibrated = load_zero_shot(NAMES, teachers=DEMO, thresholds=tmp_path / "c.json")
    said = parse_media(calibrated, sound, PLAIN)
    assert said.system["calibration"]["criterion"] == "footage" and said.system["calibration"]["file"] == "c.json"
    own = parse_media(system, sound, PLAIN)
    assert not np.allclose(said.segment_probs, own.segment_probs, equal_nan=True)
    some = [NAMES[2], NAMES[0]]
    fewer = parse_media(load_zero_shot(some, teachers=DEMO, thresholds=tmp_path / "c.json"), sound, PLAIN)
    assert np.allclose(fewer.segment_probs, said.segment_probs[..., [2, 0]], atol=1e-6, equal_nan=True)
    with pytest.raises(ValueError, match="was calibrated for the classes Dog, Speech, Car .*, and not for Owl"):
        load_zero_shot(["Dog", "Owl"], teachers=DEMO, thresholds=tmp_path / "c.json")
    with pytest.raises(ValueError, match='and not for "Car horn, honking", Owl \\(2\\)'):
        read_zero_shot(tmp_path / "c.json").of_classes("c.json", ("Car horn, honking", "Dog", "Owl"))
    table = json.loads((tmp_path / "c.json").read_text())
    for what, word, its in (
        ("teachers", "another teacher", {"teacher": "x"}),
        ("prompts", "other captions", ["a", "b", "c"]),
    ):
        (tmp_path / "other.json").write_text(json.dumps({**table, what: {**table[what], "audio": its}}))
        with pytest.raises(ValueError, match=f"was calibrated with {word} for audio"):
            load_zero_shot(NAMES, teachers=DEMO, thresholds=tmp_path / "other.json")
    (tmp_path / "d.json").write_text(json.dumps({role: [f"nothing {n}" for n in range(5)] for role in DEMO}))
    with pytest.raises(ValueError, match="was calibrated with other decoys for audio"):
        load_zero_shot(NAMES, teachers=DEMO, thresholds=tmp_path / "c.json", decoys=tmp_path / "d.json")
    with pytest.raises(ValueError, match="is of parses with decoys"):
        load_zero_shot(NAMES, teachers=DEMO, thresholds=tmp_path / "c.json", decoys="none")


def test_a_calibration_of_one_modality_leaves_the_other_to_itself(system, footage, tmp_path, caplog):
    folder, _ = footage
    found = calibrate_zero_shot(read_footage(sorted(folder.glob("*.json"))))
    heard = replace(found, standing={"audio": found.standing["audio"]}, curves={"audio": found.curves["audio"]})
    for name, calibration in (("both.json", found), ("heard.json", heard)):
        write_zero_shot(tmp_path / name, calibration)
    both, alone = (
        load_zero_shot(NAMES, teachers=DEMO, thresholds=tmp_path / f"{name}.json") for name in ("both", "heard")
    )
    assert "heard.json: was calibrated on parses without visual" in caplog.text and "both.json" not in caplog.text
    merged = np.random.default_rng(1).uniform(0, 0.5, (10, 2, system.columns)).astype(np.float32)
    own, all_of, half = (one.settle(merged, (Shot(0, 10, range(10)),)).segment_probs for one in (system, both, alone))
    assert np.array_equal(half[:, 0], all_of[:, 0]) and np.array_equal(half[:, 1], own[:, 1])
    assert not np.array_equal(own[:, 1], all_of[:, 1])


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["Dog"]},
        {"audio": {}},
        {"threshold": 2},
        {"decoys": 3},
        {"decoys": {}},
        {"decoys": {"audio": ["hum"], "visual": ["wall"]}},
    ],
    ids=["classes", "numbers", "threshold", "decoys", "no decoys", "few decoys"],
)
def test_a_damaged_calibration_is_refused(footage, tmp_path, change):
    folder, _ = footage
    write_zero_shot(tmp_path / "c.json", calibrate_zero_shot(read_footage(sorted(folder.glob("*.json")))))
    table = json.loads((tmp_path / "c.json").read_text())
    (tmp_path / "c.json").write_text(json.dumps({**table, **change}))
    with pytest.raises(ValueError, match="expected what `valor calibrate` makes of zero-shot parses"):
        read_zero_shot(tmp_path / "c.json")


def test_decoys_of_ones_own(tmp_path):
    lists = {"audio": [f"noise {n}" for n in range(6)], "visual": [f"wall {n}" for n in range(6)]}
    (tmp_path / "d.json").write_text(json.dumps(lists))
    system = load_zero_shot("Dog", teachers=DEMO, decoys=tmp_path / "d.json")
    assert system.describe()["decoys"] == lists
    for wrong, said in (
        ({**lists, "audio": []}, "expected at least 5 captions"),
        ({"audio": lists["audio"]}, "no list 'visual'"),
        ({**lists, "visual": [*lists["visual"], "dog"]}, "'dog' is a class"),
    ):
        (tmp_path / "d.json").write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=said):
            load_zero_shot("Dog", teachers=DEMO, decoys=tmp_path / "d.json")
    with pytest.raises(FileNotFoundError, match="none.json: no such file of decoys"):
        load_zero_shot("Dog", teachers=DEMO, decoys=tmp_path / "none.json")
    (tmp_path / "d.json").write_text("[]")
    with pytest.raises(ValueError, match="expected JSON"):
        read_decoys(tmp_path / "d.json")


def test_thresholds_on_logits_and_decoys_exclude_each_other(tmp_path):
    (tmp_path / "t.json").write_text(json.dumps({"audio": [1], "visual": [2]}))
    (tmp_path / "d.json").write_text("{}")
    with pytest.raises(ValueError, match="are thresholds on logits, which leave nothing to decoys"):
        load_zero_shot("Dog", teachers=DEMO, thresholds=tmp_path / "t.json", decoys=tmp_path / "d.json")
    with pytest.raises(ValueError, match="temperature is for label thresholds"):
        load_zero_shot("Dog", teachers=DEMO, temperature=2.0)


def test_little_media_lean_on_drawn_ones(system, parse):
    own = parse.evidence.standing["audio"]
    held = leaned(own, system.drawn["audio"], "audio")
    assert min(own.level, system.drawn["audio"].level) < held.level and held.seconds == own.seconds
