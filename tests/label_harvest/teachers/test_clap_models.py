"""The networks CLAP comes as: their names, and whether one hears as it is heard here."""

import json

import pytest

from valor.label_harvest.teachers.clap_models import (
    LAION_CHECKPOINTS,
    check_front_end,
    check_name,
    load_clap,
    store_name,
)

PUBLISHED = {
    "chunk_length_s": 10,
    "feature_extractor_type": "ClapFeatureExtractor",
    "feature_size": 64,
    "fft_window_size": 1024,
    "frequency_max": 14000,
    "frequency_min": 50,
    "hop_length": 480,
    "max_length_s": 10,
    "nb_max_samples": 480000,
    "padding": "repeatpad",
    "padding_value": 0.0,
    "processor_class": "ClapProcessor",
    "sampling_rate": 48000,
    "top_db": None,
    "truncation": "fusion",
}
"""preprocessor_config.json of laion/clap-htsat-fused."""


def say(folder, file="preprocessor_config.json", **changes):
    said = {name: value for name, value in (PUBLISHED | changes).items() if value != "left out"}
    (folder / file).write_text(json.dumps(said if file.startswith("pre") else {"feature_extractor": said}))


@pytest.mark.parametrize("file", ["preprocessor_config.json", "processor_config.json"])
def test_the_published_front_end_is_ours(tmp_path, file):
    say(tmp_path, file)
    check_front_end(tmp_path, fusion=True)
    say(tmp_path, file, truncation="rand_trunc")
    check_front_end(tmp_path, fusion=False)


@pytest.mark.parametrize("file", ["preprocessor_config.json", "processor_config.json"])
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("sampling_rate", 16000, "must be 48000, got 16000;"),
        ("hop_length", 160, "must be 480, got 160;"),
        ("fft_window_size", 512, "must be 1024, got 512;"),
        ("frequency_min", 0, "must be 50.0, got 0;"),
        ("frequency_min", "left out", "must be 50.0, got 0, transformers' value where it is left out;"),
        ("frequency_max", 8000, "must be 14000.0, got 8000;"),
        ("feature_size", 128, "must be 64, got 128;"),
        ("max_length_s", 5, "must be 10, got 5;"),
        ("padding", "pad", "must be 'repeatpad', got 'pad';"),
        ("truncation", "rand_trunc", "must be 'fusion', got 'rand_trunc';"),
        ("feature_extractor_type", "WhisperFeatureExtractor", "must be 'ClapFeatureExtractor', got 'Whisper"),
    ],
)
def test_another_front_end_is_refused(tmp_path, file, name, value, told):
    say(tmp_path, file, **{name: value})
    with pytest.raises(ValueError, match=f"{file}: {name} {told}"):
        check_front_end(tmp_path, fusion=True)


def test_what_transformers_writes_itself_is_understood(tmp_path):
    from transformers import ClapFeatureExtractor

    ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc").save_pretrained(tmp_path)
    check_front_end(tmp_path, fusion=False)
    with pytest.raises(ValueError, match="truncation must be 'fusion', got 'rand_trunc'"):
        check_front_end(tmp_path, fusion=True)


def test_a_folder_that_says_nothing_is_believed(tmp_path):
    check_front_end(tmp_path, fusion=True)
    (tmp_path / "processor_config.json").write_text('{"processor_class": "ClapProcessor"}')
    check_front_end(tmp_path, fusion=True)


@pytest.mark.parametrize("text", ["{", "[]", '"x"'])
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(ValueError, match=r"preprocessor_config.json: expected a JSON object, .*; fetch the file again"):
        check_front_end(tmp_path, fusion=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("laion:630k-best", "LAION's checkpoints are 630k-fusion, .*, got '630k-best'"),
        ("hf:", "expected laion:CHECKPOINT, hf:ORG/NAME or hf:FOLDER"),
        ("clap", "expected laion:CHECKPOINT"),
    ],
)
def test_unknown_names_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        check_name(name)
    assert check_name("laion:630k-audioset") and check_name("hf:laion/clap-htsat-fused") and check_name("hf:/a/b")


@pytest.mark.parametrize("name", LAION_CHECKPOINTS)
def test_the_file_of_another_checkpoint_is_refused_by_its_name(tmp_path, name):
    """Several have the same tensors; laion_clap itself fetches 630k-audioset-fusion where fusion is asked for."""
    other = "630k-audioset-fusion" if name != "630k-audioset-fusion" else "630k-fusion"
    path = tmp_path / LAION_CHECKPOINTS[other].file
    message = f"this is the file of laion:{other}, that of laion:{name} is {LAION_CHECKPOINTS[name].file}; ask for"
    with pytest.raises(ValueError, match=message):
        load_clap(f"laion:{name}", checkpoint=path)


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("laion:630k-fusion", "clap"),
        ("laion:630k", "laion:630k"),
        ("hf:laion/clap-htsat-fused", "hf:laion/clap-htsat-fused"),
        ("hf:other/clap-htsat-fused", "hf:other/clap-htsat-fused"),
    ],
)
def test_a_store_names_the_organisation_of_a_model_of_the_hub(name, stored):
    assert store_name(name) == stored


def test_a_store_names_a_folder_wherever_it_lies(tmp_path, monkeypatch):
    (tmp_path / "laion" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert {store_name(f"hf:{place}") for place in (tmp_path / "laion/mine", "laion/mine", "laion/mine/")} == {
        "hf:mine"
    }
