"""The class table, and vocabularies of one's own."""

import json
from dataclasses import asdict

import pytest

from tests.helpers.toy_store import row_of, write_toy_store
from valor.data.datasets.to_harvest import vocabulary_of, vocabulary_of_store
from valor.data.vocabulary import (
    LLP_CLASSES,
    EventClass,
    class_names,
    prompts,
    read_class_names,
    read_vocabulary,
)
from valor.label_harvest.store.store import fingerprint, store_manifest

DOG = {
    "name": "Dog",
    "visual_prompt": "A photo of a dog.",
    "audio_prompt": "A bark",
    "visual_threshold": 14,
    "audio_threshold": 4.5,
}


def test_llp_is_the_table_of_the_golden_generator(shared):
    golden = json.loads((shared / "golden" / "harvest.json").read_text(encoding="utf-8"))
    assert list(prompts(LLP_CLASSES, "visual")) == golden["visual"]["captions_in_main_block"]
    heard = [f"This is a sound of {name.lower()}" for name in golden["audio"]["captions_in_main_block"]]
    assert list(prompts(LLP_CLASSES, "audio")) == heard  # the reference puts the words before them later on
    for modality in ("visual", "audio"):
        thresholds = [getattr(entry, f"{modality}_threshold") for entry in LLP_CLASSES]
        assert thresholds == golden[modality]["thresholds"]


def test_llp_has_25_names_and_no_caption_twice():
    names = class_names(LLP_CLASSES)
    assert len(set(names)) == len(names) == 25
    assert (names[0], names[5], names[24]) == ("Speech", "Frying_(food)", "Clapping")
    for role in ("visual", "audio"):
        assert len(set(prompts(LLP_CLASSES, role))) == 25


def test_the_fused_teacher_reads_the_visual_captions():
    assert prompts(LLP_CLASSES, "fused") == prompts(LLP_CLASSES, "visual") != prompts(LLP_CLASSES, "audio")


def test_a_vocabulary_is_named_or_read(tmp_path):
    assert read_vocabulary("llp") is LLP_CLASSES
    path = tmp_path / "classes.json"
    entries = [DOG, DOG | {"name": "Hund", "audio_prompt": "Ein Hund, der bellt, und »ß«"}]
    path.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    classes = read_vocabulary(str(path))
    assert classes[0] == EventClass(**DOG)
    assert class_names(classes) == ("Dog", "Hund") and classes[1].audio_prompt.endswith("»ß«")
    path.write_text(json.dumps([asdict(entry) for entry in LLP_CLASSES]))
    assert read_vocabulary(str(path)) == LLP_CLASSES


def test_a_class_may_have_several_prompts(tmp_path):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps([DOG | {"visual_prompt": ["A photo of a dog.", "A drawing of a dog."]}]))
    (dog,) = read_vocabulary(str(path))
    assert prompts((dog,), "visual") == (("A photo of a dog.", "A drawing of a dog."),)
    assert prompts((dog,), "audio") == (DOG["audio_prompt"],) and hash(dog)


@pytest.mark.parametrize(("content", "message"), [
    ("{", "expected a JSON list of names, or of objects with name and, where .*, got Expecting"),
    (b"\xff\xfe\x00", "expected a JSON list of names, or of objects with name"),
    ("7", "expected a JSON list of names"),
    ({"Dog": DOG}, "expected a JSON list of names"),
    ([7], "expected a JSON list of names"),
    (["Dog", " "], "name must be text, got ''"),
    ([{"visual_prompt": "Dog"}], "name must be text, got None"),
    ([DOG | {"threshold": 3}], "an unknown key 'threshold'"),
    ([DOG | {"audio_promt": "A bark"}], r"an unknown key 'audio_promt' \(did you mean audio_prompt\?\)"),
    ([DOG | {"visual_prompt": 3}], "visual_prompt must be text, got 3"),
    ([DOG | {"visual_prompt": []}], r"visual_prompt must be text, got \(\)"),
    ([DOG | {"audio_prompt": ["A bark", " "]}], "audio_prompt must be text, got"),
    ([DOG | {"name": ["Dog"]}], "name must be text"),
    ([DOG | {"name": " "}], "name must be text, got ' '"),
    ([DOG | {"visual_threshold": "high"}], "visual_threshold of Dog must be a number, got 'high'"),
    ([DOG | {"audio_threshold": True}], "audio_threshold of Dog must be a number, got True"),
    ([DOG | {"audio_threshold": float("nan")}], "NaN is no number that JSON has"),
    ([DOG, DOG | {"audio_prompt": "A howl"}], r"class names must be unique and at least one, got \['Dog'\]"),
    ([], "class names must be unique and at least one, got none"),
])  # fmt: skip
def test_a_file_that_is_no_vocabulary_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "classes.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=f"{path}: .*{message}"):
        read_vocabulary(str(path))


def test_a_name_that_is_neither_says_what_there_is(tmp_path):
    for name in ("LLP", str(tmp_path / "none.json"), str(tmp_path)):
        with pytest.raises(ValueError, match=f"must be one of llp or a JSON file of classes, got '{name}'"):
            read_vocabulary(name)


def test_names_of_classes_come_from_what_was_typed_or_lies_beside_the_tables(tmp_path):
    assert read_class_names(None, tmp_path) == class_names(LLP_CLASSES)
    (tmp_path / "classes.json").write_text('["Dog", "Drum roll"]')
    assert read_class_names(None, tmp_path) == ("Dog", "Drum roll")
    assert read_class_names("llp", tmp_path) == class_names(LLP_CLASSES)
    assert read_class_names("Speech, Dog,Car", tmp_path) == ("Speech", "Dog", "Car")
    assert read_class_names(",".join(class_names(LLP_CLASSES)), tmp_path) == class_names(LLP_CLASSES)
    (tmp_path / "own.json").write_text(json.dumps([DOG]))
    assert read_class_names(str(tmp_path / "own.json"), tmp_path) == ("Dog",)


def test_names_of_classes_that_are_none_are_refused(tmp_path):
    path = tmp_path / "classes.json"
    twice = ('["Dog", "Dog"]', r"unique .* got \['Dog'\]")
    for content, message in (("{", "expected a JSON list"), twice, ("[]", "none")):
        path.write_text(content)
        with pytest.raises(ValueError, match=f"{path}: .*{message}"):
            read_class_names(None, tmp_path)
    with pytest.raises(ValueError, match="class names must be unique"):
        read_class_names("Caf\u00e9,Cafe\u0301", tmp_path)  # an accent composed with its letter, and behind it
    with pytest.raises(ValueError, match="Dog,Dog: class names must be unique"):
        read_class_names("Dog,Dog", tmp_path)


def test_thresholds_and_captions_may_be_left_out(tmp_path):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(["Glass_breaking", {"name": "Siren", "audio_prompt": "A siren"}, "Speech"]))
    glass, siren, speech = read_vocabulary(str(path))
    assert glass == EventClass("Glass_breaking", "A photo of Glass breaking.", "This is a sound of Glass breaking")
    assert siren == EventClass("Siren", "A photo of Siren.", "A siren") and siren.visual_threshold is None
    assert speech == LLP_CLASSES[0]


def test_names_are_a_vocabulary_and_may_hold_commas(tmp_path):
    wanted = ("Cry, baby", "Dog")
    assert class_names(read_vocabulary('"Cry, baby",Dog')) == wanted
    assert read_class_names(' "Cry, baby" , Dog', tmp_path) == wanted
    (tmp_path / "classes.json").write_text(json.dumps(wanted))
    assert read_class_names(None, tmp_path) == wanted
    assert class_names(vocabulary_of(None, tmp_path)) == wanted
    assert class_names(vocabulary_of("a,b", tmp_path)) == ("a", "b")


def test_a_store_beside_tables_says_their_classes(tmp_path):
    write_toy_store(tmp_path / "store", {0: [row_of("a")]})
    held = tuple(store_manifest(tmp_path / "store")["class_names"])
    assert read_class_names(None, tmp_path) == held == read_class_names(None, tmp_path / "store")
    (tmp_path / "store" / "other").mkdir()
    (tmp_path / "store" / "other" / "manifest.json").write_text("{}")
    assert read_class_names(None, tmp_path) == held
    (tmp_path / "classes.json").write_text('["Wren"]')
    assert read_class_names(None, tmp_path) == ("Wren",)


def test_other_classes_than_those_of_a_store_are_refused_by_name(tmp_path):
    assert vocabulary_of_store(class_names(LLP_CLASSES), None, where="s") == LLP_CLASSES
    assert class_names(vocabulary_of_store(["Dog", "Cow"], None, None, tmp_path, where="s")) == ("Dog", "Cow")
    for typed, told in (
        ("Dog,Hen", r"not those of the store \(Dog, Cow\): Hen not among them; Cow missing; leave"),
        ("Cow,Dog", "they stand in another order"),
        ("llp", "Speech, Car, Cheering, Cat, Frying_.food. and 19 more not among them"),
    ):
        with pytest.raises(ValueError, match=f"^s: the classes are .*{told}"):
            vocabulary_of_store(["Dog", "Cow"], typed, where="s")
    (tmp_path / "classes.json").write_text('[{"name": "Dog", "visual_threshold": 3}, "Cow"]')
    assert vocabulary_of_store(["Dog", "Cow"], None, None, tmp_path, where="s")[0].visual_threshold == 3


def test_a_store_keeps_the_captions_it_was_harvested_with(tmp_path):
    """So that a second harvest into it, without a word on classes, goes on in it."""
    folder = write_toy_store(tmp_path / "store", {0: [row_of("a")]})
    manifest = json.loads((folder / "manifest.json").read_text())
    for number, prompts_ in enumerate((["one", "two"], ["three", "four"])):
        covered = {key: manifest[key] for key in ("format", "class_names", "grid", "teachers")}
        covered["teachers"] = {role: {**held, "prompts": prompts_} for role, held in covered["teachers"].items()}
        other = tmp_path / f"store/{number}"
        other.mkdir()
        (other / "manifest.json").write_text(json.dumps({**covered, "fingerprint": fingerprint(covered)}))
    alone = vocabulary_of(None, tmp_path, store=tmp_path / "store/0")
    assert [entry.audio_prompt for entry in alone] == ["one", "two"]
    assert read_class_names(None, tmp_path) == tuple(manifest["class_names"])
    assert vocabulary_of(None, tmp_path, store=tmp_path / "none") == LLP_CLASSES == vocabulary_of(None, tmp_path)
    with pytest.raises(ValueError, match="store: holds evidence of several vocabularies; say which with classes=FILE"):
        vocabulary_of(None, tmp_path, store=tmp_path / "store")
