import json

import numpy as np
import pytest

from tests.helpers.toy import ToySound, write_toy_clip
from tests.helpers.toy_parse import DEMO
from valor import ZeroShotOptions
from valor.data.vocabulary import LLP_CLASSES
from valor.video.parse import ParseOptions, parse_media
from valor.video.parser import parse
from valor.video.zero_shot import load_zero_shot, read_classes


def test_names_become_classes():
    classes, own = read_classes("Dog, glass breaking ,Speech")
    assert [entry.name for entry in classes] == ["Dog", "glass breaking", "Speech"] and not own
    assert classes[0] == next(entry for entry in LLP_CLASSES if entry.name == "Dog")
    assert classes[1].visual_prompt == "A photo of glass breaking."
    assert read_classes("llp") == (LLP_CLASSES, False)
    assert [entry.name for entry in read_classes('Dog,"Cry, baby"')[0]] == ["Dog", "Cry, baby"]
    for wrong in ("", " , ", "Dog,Dog", "Dog,dog"):
        with pytest.raises(ValueError, match="at least one class to look for, and none twice"):
            read_classes(wrong)
    for absent in ("classes.json", "Dog,classes.txt", "my/classes"):
        with pytest.raises(ValueError, match="expected names of classes, or a file of them.* no file here"):
            read_classes(absent)
    for apart in ("Dog;Cat", "Dog\nCat"):
        with pytest.raises(ValueError, match="have commas between, got 'Dog.*Cat'; write commas"):
            read_classes(apart)


def test_a_text_file_lists_names(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("Dog\n\n glass breaking\nCry, baby\n", encoding="utf-8")
    assert [entry.name for entry in read_classes(str(path))[0]] == ["Dog", "glass breaking", "Cry, baby"]


def test_a_vocabulary_brings_its_thresholds(tmp_path):
    entry = {
        "name": "Horn",
        "visual_prompt": "a horn",
        "audio_prompt": "horn",
        "visual_threshold": 1,
        "audio_threshold": -2,
    }
    (tmp_path / "v.json").write_text(json.dumps([entry]))
    system = load_zero_shot(str(tmp_path / "v.json"), teachers=DEMO)
    assert {role: values.tolist() for role, values in system.thresholds.items()} == {"audio": [-2.0], "visual": [1.0]}


def test_defaults_and_files_of_thresholds(tmp_path):
    assert load_zero_shot("Dog,Cat", teachers=DEMO, decoys="none").thresholds["audio"].tolist() == [0, 0]
    (tmp_path / "t.json").write_text(json.dumps({"applies_to": "labels", "audio": [1, 2], "visual": [3, 4]}))
    system = load_zero_shot("Dog,Cat", teachers=DEMO, thresholds=tmp_path / "t.json")
    assert system.thresholds["visual"].tolist() == [3, 4] and system.describe()["zero_shot"]
    (tmp_path / "half.json").write_text(json.dumps({"audio": [1, 2]}))
    with pytest.raises(ValueError, match="expected thresholds for audio and visual, got audio"):
        load_zero_shot("Dog,Cat", teachers=DEMO, thresholds=tmp_path / "half.json")


def test_probabilities_are_half_at_the_threshold_and_follow_the_temperature(tmp_path):
    path = write_toy_clip(tmp_path / "a.wav", sound=ToySound(seconds=10, codec="pcm_s16le"))
    plain = load_zero_shot("Dog", teachers=DEMO, decoys="none")
    even = parse_media(plain, path, ParseOptions(hashed=False)).segment_probs[:, 0, 0]
    logits = np.log(even / (1 - even))
    (tmp_path / "t.json").write_text(json.dumps({"audio": [float(logits[0])], "visual": [0]}))
    system = load_zero_shot("Dog", teachers=DEMO, thresholds=tmp_path / "t.json", temperature=2.0)
    parse = parse_media(system, path)
    assert parse.segment_probs[0, 0, 0] == pytest.approx(0.5, abs=1e-5)
    expected = 1 / (1 + np.exp(-(logits - logits[0]) / 2))
    assert np.allclose(parse.segment_probs[:, 0, 0], expected, atol=1e-5) and parse.gate_probs is None


def test_the_python_function_takes_what_the_command_takes(tmp_path):
    path = write_toy_clip(tmp_path / "a.wav", sound=ToySound(seconds=2, codec="pcm_s16le"))
    (tmp_path / "t.json").write_text(json.dumps({"audio": [3], "visual": [4]}))
    options = ZeroShotOptions(teachers=DEMO, thresholds=tmp_path / "t.json", temperature=2.0)
    system = parse(path, zero_shot="Dog", zero_shot_options=options).system
    assert system["label_thresholds"] == {"audio": [3], "visual": [4]} and system["temperature"] == 2.0
    assert (
        system["teachers"]["audio"]["teacher"] == load_zero_shot("Dog", teachers=DEMO).teachers[0].identity()["teacher"]
    )
    with pytest.raises(ValueError, match="zero_shot_options are for zero_shot=NAMES, got checkpoint=RUN"):
        parse(path, checkpoint="run", zero_shot_options=options)


def test_more_names_than_a_path_holds_are_names():
    classes, _ = read_classes(",".join(f"class number {number}" for number in range(300)))
    assert len(classes) == 300


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match="temperature must be a positive number"):
        load_zero_shot("Dog", teachers=DEMO, temperature=0)
    with pytest.raises(ValueError, match="teachers must be of audio and visual, got one of smell"):
        load_zero_shot("Dog", teachers={"smell": "demo-visual"})
    with pytest.raises(ValueError, match="audio must be a teacher of that kind, got 'demo-visual', which is visual"):
        load_zero_shot("Dog", teachers={**DEMO, "audio": "demo-visual"})
