"""What a folder says of its front end is held against ours, value by value."""

import json

import pytest
from transformers import ClapFeatureExtractor

from label_harvest.clap import build_clap
from label_harvest.clap_front_end import check_front_end
from tests.test_clap_teacher import PROMPTS
from tests.test_clap_weights import write_folder

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


def test_a_model_of_another_front_end_is_not_built(tmp_path):
    write_folder(tmp_path, fusion=True)
    say(tmp_path)
    build_clap(PROMPTS, name=f"hf:{tmp_path}")
    say(tmp_path, sampling_rate=16000, hop_length=160, padding="pad")
    with pytest.raises(ValueError, match="sampling_rate must be 48000, got 16000"):
        build_clap(PROMPTS, name=f"hf:{tmp_path}")
