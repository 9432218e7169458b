"""Teachers by short names: what is said of them is what open_clip says; small ones of true classes load and judge."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import ROOT
from tests.helpers.toy import toy_media
from tests.helpers.toy_teachers import PROMPTS, TRUE_CLASSES, small_config, write_checkpoint, write_tokenizer
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.teachers.build import TEACHERS, TeacherOptions, build_teacher, check_teacher, role_of
from valor.label_harvest.teachers.catalogue import CATALOGUE, OPEN_CLIP_FILES, opened
from valor.label_harvest.teachers.clap_models import LAION_CHECKPOINTS
from valor.label_harvest.teachers.clip import OpenClipName, _tag_config, parse_name


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_short_name_stands_for_one_that_is_known(name):
    entry = CATALOGUE[name]
    assert check_teacher(name) == role_of(name) == role_of(entry.builds) == entry.role
    assert entry.licence and entry.repository and entry.files and entry.finest <= 1
    if entry.builds.startswith("laion:"):
        assert entry.files == (LAION_CHECKPOINTS[entry.builds.removeprefix("laion:")].file,)


@pytest.mark.parametrize(
    "name", [name for name in CATALOGUE if CATALOGUE[name].role == "visual" and name not in TEACHERS]
)
def test_what_is_said_of_a_model_is_what_open_clip_says(name):
    import open_clip

    entry, which = CATALOGUE[name], parse_name(opened(name))
    config, tag = open_clip.get_model_config(which.model), _tag_config(which)
    text = config["text_cfg"]
    assert entry.takes.startswith(f"{config['vision_cfg']['image_size']} px, ") and tag["interpolation"] in entry.takes
    assert ("squashed" in entry.takes) == (tag["resize_mode"] == "squash")
    assert f"{text['context_length']} tokens" in entry.reads
    assert ("sigmoid" in entry.reads) == ("init_logit_bias" in config)
    assert ("no punctuation" in entry.reads) == (text.get("tokenizer_kwargs") == {"clean": "canonicalize"})
    assert ("levels 0 to 1" in entry.takes) == (tuple(tag["mean"]) == (0, 0, 0))
    assert tag["hf_hub"].strip("/") == entry.repository


def test_a_short_name_that_is_none_gets_those_near_to_it():
    with pytest.raises(
        ValueError, match=r"a short name \(siglip2-b16-256, .*all in `valor doctor --teachers`\).*got 'sig"
    ):
        role_of("siglip-b16-256")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Have open_clip build a small network of the true class under the true name, and write weights of it."""
    import open_clip

    def write(short):
        model = TRUE_CLASSES[short][0]
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, model, small_config(short))
        write_tokenizer(tmp_path)
        return tmp_path / OPEN_CLIP_FILES[0], write_checkpoint(tmp_path, model)

    return write


@pytest.mark.parametrize("short", TRUE_CLASSES)
def test_logits_are_those_of_open_clips_own_network_transform_and_tokenizer(small, short):
    import open_clip

    path, network = small(short)
    siglip = "siglip" in short  # the others are large enough for a self-test to take long
    teacher = build_teacher(short, PROMPTS, checkpoint=path, options=TeacherOptions(skip_self_test=not siglip))
    identity, media = teacher.identity(), toy_media(grid=Grid(num_segments=1), height=90, width=160)
    assert identity["teacher"] == opened(short) and identity["prompts"] == list(PROMPTS)
    tag = {key: _tag_config(parse_name(opened(short)))[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    transform = open_clip.image_transform(network.visual.image_size, is_train=False, **tag)
    if siglip:
        tokenizer = open_clip.tokenizer.HFTokenizer(str(path.parent), context_length=64, clean="canonicalize")
    else:
        tokenizer = open_clip.get_tokenizer(TRUE_CLASSES[short][0])
    with torch.inference_mode():
        pictures = torch.stack([transform(Image.fromarray(frame)) for frame in media.frames])
        logits = network.get_logits(pictures, tokenizer([text.lower() for text in PROMPTS]))[0].numpy()
    ours = identity["logit_scale"] * teacher.encode(media).similarity + identity["logit_bias"]
    np.testing.assert_allclose(ours, logits, atol=2e-3)
    assert identity["logit_bias"] == (-12.5 if siglip else 0)
    assert np.ptp(ours, axis=1).min() > 0.1  # the captions differ
    sizes = [sum(tensor.numel() for tensor in of.visual.parameters()) for of in (teacher._network, network)]
    assert (sizes[0] < sizes[1]) == ("mobileclip" in short)  # side by side convolutions are one


def keeps_capitals(monkeypatch, path):
    monkeypatch.setattr("open_clip.tokenizer.canonicalize_text", lambda text: text)


def does_not_pad(monkeypatch, path):
    from open_clip.tokenizer import HFTokenizer

    whole = HFTokenizer.__call__
    monkeypatch.setattr(HFTokenizer, "__call__", lambda self, texts, context_length=None: whole(self, texts)[:, :16])


def pads_with_another(monkeypatch, path):
    write_tokenizer(path.parent, pad=5)


def lost_its_bias(monkeypatch, path):
    import open_clip
    from safetensors.torch import load_file, save_file

    config = copy.deepcopy(open_clip.get_model_config("ViT-B-16-SigLIP2-256"))
    del config["init_logit_bias"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-16-SigLIP2-256", config)
    save_file({name: tensor for name, tensor in load_file(path).items() if name != "logit_bias"}, path)


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        (
            keeps_capitals,
            "reads captions in lower case without punctuation, and its tokenizer tells 'A Photo of a DOG!'",
        ),
        (does_not_pad, "reads captions padded to 64 tokens with token 0, got 16 that end with token"),
        (pads_with_another, "padded to 64 tokens with token 0, got 64 that end with token 5"),
        (lost_its_bias, "its text tower is SigLIP's and its network has no bias"),
    ],
)
def test_a_siglip_that_is_read_to_otherwise_than_it_was_trained_is_refused(small, monkeypatch, planted, told):
    path, _ = small("siglip2-b16-256")
    planted(monkeypatch, path)
    with pytest.raises(ValueError, match=f"open_clip:ViT-B-16-SigLIP2-256/webli: .*{told}"):
        build_teacher("siglip2-b16-256", PROMPTS, checkpoint=path)


def test_the_presets_are_what_their_short_names_stand_for():
    assert parse_name(opened("clip-vit-l14")) == OpenClipName("ViT-L-14-quickgelu", "openai", squash=True)
    assert opened("clap-630k-fusion") == "laion:630k-fusion"


def test_the_page_on_teachers_names_each_with_its_licence():
    rows = [line for line in (ROOT / "docs/teachers.md").read_text(encoding="utf-8").splitlines() if "|" in line]
    for name, entry in CATALOGUE.items():
        (row,) = (row for row in rows if f"`{name}`" in row)
        assert entry.licence.split(" (")[0] in row or "| likewise | " in row, name
