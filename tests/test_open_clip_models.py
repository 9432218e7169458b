"""Models of open_clip by name: what a name means, what it is refused for, and SigLIP's scale and bias."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from label_harvest.clip import PRESET, build_clip
from label_harvest.open_clip_models import (
    OpenClipModel,
    OpenClipName,
    frame_rule,
    load_open_clip,
    parse_name,
    whole_tokens,
)
from label_harvest.prompts import LongCaptionError
from tests.toy import toy_media

PROMPTS = ("A photo of a dog.", "A photo of a cat.")
VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("open_clip:ViT-L-14-quickgelu/openai", OpenClipName("ViT-L-14-quickgelu", "openai")),
        ("open_clip:ViT-L-14-quickgelu/openai@squash", PRESET),
        ("open_clip:ViT-L-14/laion2b_s32b_b82k", OpenClipName("ViT-L-14", "laion2b_s32b_b82k")),
        ("open_clip:ViT-B-16-SigLIP2-256/webli", OpenClipName("ViT-B-16-SigLIP2-256", "webli")),
        ("open_clip:ViT-SO400M-14-SigLIP-384/webli", OpenClipName("ViT-SO400M-14-SigLIP-384", "webli")),
        ("open_clip:hf-hub:timm/ViT-B-16-SigLIP2", OpenClipName("hf-hub:timm/ViT-B-16-SigLIP2")),
        ("open_clip:local-dir:/a/b@squash", OpenClipName("local-dir:/a/b", squash=True)),
    ],
)
def test_names(text, name):
    assert parse_name(text) == name and str(name) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "open_clip:ViT-L-14/openai",
            "trained with QuickGELU and ViT-L-14 computes GELU.*take open_clip:ViT-L-14-quickgelu/openai",
        ),
        ("open_clip:ViT-L-14/dfn2b", "trained with QuickGELU"),
        (
            "open_clip:ViT-L-14-quickgelu/laion2b_s32b_b82k",
            "no weights 'laion2b_s32b_b82k' of ViT-L-14-quickgelu, but openai",
        ),
        ("open_clip:ViT-L-15/openai", "has no model 'ViT-L-15'; near to it are .*ViT-L-14"),
        ("open_clip:ViT-L-14-quickgelu", "say whose weights, open_clip:ViT-L-14-quickgelu/TAG, with TAG one of openai"),
    ],
)
def test_names_that_would_be_silently_wrong_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_name(text)


def test_every_pair_open_clip_knows_is_taken_or_refused_for_its_activation():
    import open_clip

    refused = []
    for model, tag in open_clip.list_pretrained():
        try:
            parse_name(f"open_clip:{model}/{tag}")
        except ValueError as error:
            assert "QuickGELU" in str(error)
            refused.append((model, tag))
    assert ("ViT-L-14", "openai") in refused and len(refused) < 0.3 * len(open_clip.list_pretrained())


def tiny(monkeypatch, *, siglip=False):
    """Let open_clip build a tiny network of either kind."""
    import open_clip
    from open_clip.model import CLIP, CustomTextCLIP

    def create(name, **options):
        if siglip:
            text = TEXT | {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
            return CustomTextCLIP(16, VISION, text, init_logit_bias=-10.0)
        return CLIP(16, VISION, TEXT)

    monkeypatch.setattr(open_clip, "create_model", create)


def test_siglips_scale_and_bias_are_honoured(monkeypatch, tmp_path):
    tiny(monkeypatch, siglip=True)
    network = load_open_clip(parse_name("open_clip:ViT-B-16-SigLIP2-256/webli"), checkpoint="random").network
    with torch.no_grad():
        network.logit_scale.fill_(4.7)
        network.logit_bias.fill_(-12.5)
    path = tmp_path / "w.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    import open_clip

    tokenizer = open_clip.get_tokenizer("ViT-B-16-quickgelu")
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda name: tokenizer)
    name = parse_name("open_clip:ViT-B-16-SigLIP2-256/webli")
    teacher = build_clip(PROMPTS, name=name, checkpoint=path)
    identity, media = teacher.identity(), toy_media()
    assert identity["teacher"] == str(name) and identity["logit_bias"] == -12.5
    assert "squash to 32x32, bicubic, antialiasing, mean [0.5, 0.5, 0.5]" in identity["preprocessing"]
    answer = teacher.encode(media)
    with torch.inference_mode():
        pictures = frame_rule(name, network)(media.frames)
        logits = network.eval().get_logits(pictures, tokenizer(list(PROMPTS)))[0]
    np.testing.assert_allclose(
        identity["logit_scale"] * answer.similarity + identity["logit_bias"], logits.numpy(), atol=1e-3
    )


@pytest.mark.parametrize("tag", ["openai", "laion2b_s32b_b82k", "webli"])
def test_a_models_own_rule_is_open_clips(monkeypatch, tag):
    import open_clip

    model = {"openai": "ViT-L-14-quickgelu", "laion2b_s32b_b82k": "ViT-L-14", "webli": "ViT-B-16-SigLIP2-256"}[tag]
    frames = toy_media(height=90, width=160).frames[:2]
    tiny(monkeypatch)
    name = parse_name(f"open_clip:{model}/{tag}")
    ours = frame_rule(name, open_clip.create_model(model))(frames)
    config = open_clip.get_pretrained_cfg(model, tag)
    wanted = {key: config[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    theirs = open_clip.image_transform(32, is_train=False, **wanted)
    assert torch.equal(ours, torch.stack([theirs(Image.fromarray(frame)) for frame in frames]))


def test_squash_keeps_the_models_levels(monkeypatch):
    import open_clip

    tiny(monkeypatch)
    rule = frame_rule(parse_name("open_clip:ViT-B-16-SigLIP2-256/webli@squash"), open_clip.create_model("x"))
    white = rule(np.full((1, 20, 40, 3), 255, np.uint8))
    assert (white == 1.0).all() and "no antialiasing, mean [0.5, 0.5, 0.5]" in str(rule)


def write_folder(folder, *, weights=True):
    from open_clip.model import CLIP

    config = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT}
    levels = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "resize_mode": "squash", "interpolation": "bilinear"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": levels}))
    torch.manual_seed(3)
    network = CLIP(16, VISION, TEXT)
    if weights:
        save_file(
            {name: tensor.contiguous() for name, tensor in network.state_dict().items()},
            folder / "open_clip_model.safetensors",
        )
    return network


def test_a_folder_with_its_configuration(tmp_path):
    network = write_folder(tmp_path)
    loaded = load_open_clip(parse_name(f"open_clip:local-dir:{tmp_path}"))
    assert isinstance(loaded, OpenClipModel)
    assert torch.equal(loaded.network.visual.proj, network.visual.proj)
    assert str(loaded.frame_rule).startswith("open_clip squash to 32x32, bilinear, antialiasing, mean [0.1, 0.2, 0.3]")
    with pytest.raises(ValueError, match="its weights lie where its name says"):
        load_open_clip(parse_name(f"open_clip:local-dir:{tmp_path}"), checkpoint=tmp_path / "w.pt")


def test_a_folder_without_weights_is_no_random_network(tmp_path):
    write_folder(tmp_path, weights=False)
    with pytest.raises(ValueError, match="not a model folder of open_clip"):
        load_open_clip(parse_name(f"open_clip:local-dir:{tmp_path}"))
    with pytest.raises(FileNotFoundError, match="no such folder; give one with open_clip_config.json"):
        load_open_clip(parse_name(f"open_clip:local-dir:{tmp_path}/absent"))


def test_openais_own_archive_is_checked_against_the_published_hash(monkeypatch, tmp_path):
    tiny(monkeypatch)
    path = tmp_path / "ViT-L-14.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    from label_harvest.open_clip_models import _known_digest

    known = _known_digest(PRESET, path)
    assert known == "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"
    torch.save({"a": torch.ones(1)}, path)
    assert _known_digest(PRESET, path) is None  # another file with the same weights has another hash


@pytest.mark.parametrize("model", ["ViT-L-14-quickgelu", "RN50-quickgelu"])
def test_captions_are_not_cut_off(model):
    import open_clip

    tokenizer = open_clip.get_tokenizer(model)
    fits = "dog " * 75  # with the marks of beginning and end, 77 tokens
    for captions in ([fits, "a dog"], [], ["!!! ! !", ""]):
        assert torch.equal(whole_tokens(tokenizer, captions), tokenizer(captions))
    for more in (1, 10, 1000):
        with pytest.raises(LongCaptionError, match="the caption 'dog .* takes more than the 77 tokens .* shorten it"):
            whole_tokens(tokenizer, ["a dog", fits + "dog " * more])


@pytest.mark.parametrize("side", ["left", "right"])
def test_tokenizers_may_pad_either_side(side):
    def tokenizer(captions, context_length=8):
        rows = [[9] * min(len(caption), context_length) for caption in captions]
        pads = [[1] * (context_length - len(row)) for row in rows]
        return torch.tensor([row + pad if side == "right" else pad + row for row, pad in zip(rows, pads, strict=True)])

    tokenizer.context_length = 8
    assert whole_tokens(tokenizer, ["x" * 8, "x", ""]).shape == (3, 8)
    with pytest.raises(LongCaptionError, match="the caption 'xxxxxxxxx' takes more than the 8 tokens"):
        whole_tokens(tokenizer, ["x", "x" * 9])


def test_the_published_prompts_are_read_to_their_end():
    import open_clip

    from valor.vocabulary import LLP_CLASSES, prompts

    captions = list(prompts(LLP_CLASSES, "visual"))
    assert whole_tokens(open_clip.get_tokenizer("ViT-L-14-quickgelu"), captions).shape == (25, 77)
    assert (
        max(len(caption.encode()) for caption in prompts(LLP_CLASSES, "audio")) + 2 <= 77
    )  # never more tokens than bytes


def test_a_model_of_open_clip_reads_captions_to_their_end(monkeypatch):
    tiny(monkeypatch)
    with pytest.raises(LongCaptionError, match="takes more than the 77 tokens"):
        build_clip((PROMPTS[0], "dog " * 76), checkpoint="random")
