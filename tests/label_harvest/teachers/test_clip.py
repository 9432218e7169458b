"""The visual teacher on tiny CLIP networks, and once on the real architecture with random weights.

Rules for frames; the published one is in test_clip_teacher, open_clip's in test_open_clip_models.

Models of open_clip by name: what a name means, what it is refused for, and SigLIP's scale and bias.
"""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.helpers.toy import toy_media
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.teachers import clip
from valor.label_harvest.teachers.clip import (
    ARCHITECTURE,
    PRESET,
    ClipTeacher,
    FrameRule,
    OpenClipModel,
    OpenClipName,
    build_clip,
    clip_state,
    frame_rule,
    load_open_clip,
    parse_name,
    preprocess,
)
from valor.label_harvest.teachers.teacher import LongCaptionError
from valor.label_harvest.teachers.text_rule import whole_tokens

PROMPTS = ("A photo of a dog.", "A photo of a cat.", "A photo of a car.")


def tiny_network(seed=0):
    from open_clip.model import CLIP

    torch.manual_seed(seed)
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    network = CLIP(8, vision, text, quick_gelu=True).half().float()  # as OpenAI's weights are
    network.logit_scale.data.fill_(math.log(100))
    return network


def tokenize(prompts):
    import open_clip

    return open_clip.get_tokenizer(ARCHITECTURE)(prompts)


def tiny_teacher(seed=0, *, prompts=PROMPTS, network=None, precision="float32"):
    model = OpenClipModel(network or tiny_network(seed), tokenize, FrameRule(size=32), "w")
    return ClipTeacher(model, prompts, architecture="tiny", precision=precision)


@pytest.fixture
def as_tiny(monkeypatch):
    """Let open_clip build the tiny network whatever is asked for."""
    import open_clip

    monkeypatch.setattr(open_clip, "create_model", lambda name, **options: tiny_network())


def test_similarity_is_the_cosine_of_open_clips_own_embeddings():
    media = toy_media()
    answer = tiny_teacher().encode(media)
    network = tiny_network().eval()
    with torch.inference_mode():
        image = network.encode_image(preprocess(media.frames, 32))
        text = network.encode_text(tokenize(list(PROMPTS)))
        expected = torch.nn.functional.cosine_similarity(image[:, None], text[None], dim=-1)
        logits = network.get_logits(preprocess(media.frames, 32), tokenize(list(PROMPTS)))[0]
    np.testing.assert_allclose(answer.similarity, expected.numpy(), atol=1e-6)
    assert answer.similarity.dtype == np.float32 and answer.similarity.shape == (10, 3)
    embedding = answer.features["embedding"]
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-6)
    identity = tiny_teacher().identity()
    np.testing.assert_allclose(identity["logit_scale"] * answer.similarity, logits.numpy(), atol=5e-4)
    assert identity["logit_bias"] == 0.0


def test_a_batch_over_clips_equals_one_clip_at_a_time():
    clips = [toy_media(seed=seed, height=24 + 8 * seed) for seed in range(3)]
    teacher = tiny_teacher()
    for together, clip_media in zip(teacher.encode_many(clips), clips, strict=True):
        np.testing.assert_allclose(together.similarity, teacher.encode(clip_media).similarity, atol=1e-6)


def test_prompts_are_encoded_once():
    network = tiny_network()
    calls = []
    encode_text = network.encode_text
    network.encode_text = lambda *args, **options: calls.append(1) or encode_text(*args, **options)
    teacher = tiny_teacher(network=network)
    teacher.encode_many([toy_media(), toy_media(seed=1)])
    teacher.encode(toy_media(grid=Grid(num_segments=4)))
    assert len(calls) == 1


def test_squash_keeps_no_aspect_ratio_and_does_not_antialias():
    stripes = np.zeros((1, 64, 128, 3), np.uint8)
    stripes[:, :, 64:] = 255
    picture = preprocess(stripes, 32)[0, 0]
    assert picture.shape == (32, 32) and (picture[:, :15] < 0).all() and (picture[:, 17:] > 0).all()
    lines = np.zeros((1, 320, 320, 3), np.uint8)
    lines[:, 4::10] = lines[:, 5::10] = 255  # the samples of a tenfold reduction fall between these two lines
    assert preprocess(lines, 32).min() > 1.9  # an antialiasing filter would average each line with nine dark ones


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_local_checkpoint_is_loaded_and_named_by_its_weights(tmp_path, as_tiny, suffix):
    state = {name: tensor.contiguous() for name, tensor in tiny_network(seed=5).state_dict().items()}
    path = tmp_path / f"w{suffix}"
    if suffix == ".pt":
        torch.save({"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, path)
    else:
        save_file({**state, "context_length": torch.tensor(77)}, path)  # OpenAI stores its sizes among the weights
    teacher = build_clip(PROMPTS, checkpoint=path)
    media = toy_media()
    np.testing.assert_array_equal(teacher.encode(media).similarity, tiny_teacher(seed=5).encode(media).similarity)
    save_file(state, tmp_path / "same.safetensors")
    same = build_clip(PROMPTS, checkpoint=tmp_path / "same.safetensors")
    assert len(teacher.identity()["weights"]) == 64 and teacher.identity() == same.identity()


def test_random_weights_are_seeded_warned_about_and_recorded(as_tiny, caplog):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    teacher = build_clip(PROMPTS, checkpoint="random")
    assert teacher.identity()["weights"] == "random"
    assert "RANDOM weights" in caplog.text
    assert (torch.random.get_rng_state() == before).all()


def test_pinned_weights_are_checked(tmp_path, as_tiny):
    path = tmp_path / "w.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tiny_network(seed=5).state_dict().items()}, path)
    weights = build_clip(PROMPTS, checkpoint=path).identity()["weights"]
    assert build_clip(PROMPTS, checkpoint=path, pin=weights).identity()["weights"] == weights
    with pytest.raises(ValueError, match="wanted weights of sha256 aaaaaaaaaaaa, got"):
        build_clip(PROMPTS, checkpoint=path, pin="a" * 12)


def test_several_captions_of_a_class_are_averaged():
    groups = (("A photo of a dog.", "A drawing of a dog."), "A photo of a cat.", ["A photo of a car."])
    together = tiny_teacher(prompts=groups)
    network = tiny_network().eval()
    with torch.inference_mode():
        text = network.encode_text(tokenize(["A photo of a dog.", "A drawing of a dog."]), normalize=True)
        image = network.encode_image(preprocess(toy_media().frames, 32), normalize=True)
    expected = torch.nn.functional.cosine_similarity(image, text.mean(0, keepdim=True))
    answer = together.encode(toy_media()).similarity
    np.testing.assert_allclose(answer[:, 0], expected, atol=1e-6)
    alone = tiny_teacher(prompts=[entry if isinstance(entry, str) else entry[0] for entry in groups])
    np.testing.assert_allclose(answer[:, 1:], alone.encode(toy_media()).similarity[:, 1:], atol=1e-6)
    assert together.identity()["prompts"] == [list(groups[0]), groups[1], groups[2]]


def test_bfloat16_is_near_and_says_so():
    media = toy_media()
    exact, coarse = tiny_teacher(), tiny_teacher(precision="bfloat16")
    assert (exact.identity()["precision"], coarse.identity()["precision"]) == ("float32", "bfloat16")
    difference = np.abs(coarse.encode(media).similarity - exact.encode(media).similarity)
    assert 0 < difference.max() < 0.02
    assert coarse.encode(media).similarity.dtype == np.float32
    with pytest.raises(ValueError, match="precision must be one of float32, bfloat16, got 'int8'"):
        tiny_teacher(precision="int8")


def test_weights_of_another_network_are_refused(tmp_path, as_tiny):
    state = {name: tensor.contiguous() for name, tensor in tiny_network().state_dict().items()}
    state["visual.proj"] = torch.zeros(32, 9)
    del state["logit_scale"]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"1 tensors missing \['logit_scale'\].* 1 of another shape \['visual.proj'\]"):
        build_clip(PROMPTS, checkpoint=tmp_path / "w.safetensors")


def test_an_unreachable_hub_says_what_to_do(monkeypatch):
    def offline(config):
        raise OSError("no route to host")

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", offline)
    with pytest.raises(RuntimeError, match=r"could not be fetched \(OSError: no route .*`checkpoints` ROLE=PATH"):
        build_clip(PROMPTS)


def test_half_precision_checkpoints_are_widened(tmp_path):
    save_file({"a": torch.ones(2, dtype=torch.float16), "vocab_size": torch.tensor(3)}, tmp_path / "w.safetensors")
    state = clip_state(tmp_path / "w.safetensors")
    assert set(state) == {"a"} and state["a"].dtype == torch.float32


@pytest.mark.slow
def test_the_published_architecture_with_random_weights():
    teacher = build_clip(PROMPTS, checkpoint="random")
    answer = teacher.encode(toy_media(grid=Grid(num_segments=1)))
    assert answer.features["embedding"].shape == (1, 768) and answer.similarity.shape == (1, 3)
    assert teacher.identity()["logit_scale"] == pytest.approx(1 / 0.07)  # what an untrained network starts from
    kinds = {type(module).__name__ for module in teacher._network.modules()}
    assert "QuickGELU" in kinds and "GELU" not in kinds
    assert clip.ARCHITECTURE in teacher.identity()["architecture"]


def test_the_published_rule_is_the_one_of_the_preset():
    frames = toy_media().frames
    rule = FrameRule(size=32)
    assert torch.equal(rule(frames), preprocess(frames, 32))
    assert str(rule) == "squash to 32x32, bilinear, no antialiasing, CLIP mean and deviation"


@pytest.mark.parametrize("resize", ["shortest", "longest", "squash"])
def test_rules_of_open_clip_differ_in_what_they_show(resize):
    frames = np.zeros((1, 40, 80, 3), np.uint8)
    frames[:, :, :16] = 255  # the left fifth
    picture = FrameRule(size=40, mean=(0, 0, 0), std=(1, 1, 1), resize=resize)(frames)[0, 0]
    assert picture.shape == (40, 40)
    white = (picture[20] > 0.5).sum()
    assert white == {"shortest": 0, "longest": 8, "squash": 8}[resize]
    assert (picture[0] > 0.5).any() == (resize == "squash")


PROMPTS_open_clip_models = ("A photo of a dog.", "A photo of a cat.")
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
    teacher = build_clip(PROMPTS_open_clip_models, name=name, checkpoint=path)
    identity, media = teacher.identity(), toy_media()
    assert identity["teacher"] == str(name) and identity["logit_bias"] == -12.5
    assert "squash to 32x32, bicubic, antialiasing, mean [0.5, 0.5, 0.5]" in identity["preprocessing"]
    answer = teacher.encode(media)
    with torch.inference_mode():
        pictures = frame_rule(name, network)(media.frames)
        logits = network.eval().get_logits(pictures, tokenizer(list(PROMPTS_open_clip_models)))[0]
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


def test_a_folder_with_weights_of_another_training_script(tmp_path):
    network = write_folder(tmp_path, weights=False)
    state = {f"model._orig_mod.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"pytorch-lightning_version": "2.5.0", "state_dict": state}, tmp_path / "open_clip_pytorch_model.bin")
    loaded = load_open_clip(parse_name(f"open_clip:local-dir:{tmp_path}"))
    assert torch.equal(loaded.network.visual.proj, network.visual.proj)
    torch.save({"state_dict": {"fc.weight": torch.ones(2)}}, tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(ValueError, match=r"not the weights of this network: .* 1 left over .'fc.weight'."):
        load_open_clip(parse_name(f"open_clip:local-dir:{tmp_path}"))


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
    from valor.label_harvest.teachers.clip import _known_digest

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

    from valor.data.vocabulary import LLP_CLASSES, prompts

    captions = list(prompts(LLP_CLASSES, "visual"))
    assert whole_tokens(open_clip.get_tokenizer("ViT-L-14-quickgelu"), captions).shape == (25, 77)
    assert (
        max(len(caption.encode()) for caption in prompts(LLP_CLASSES, "audio")) + 2 <= 77
    )  # never more tokens than bytes


def test_a_model_of_open_clip_reads_captions_to_their_end(monkeypatch):
    tiny(monkeypatch)
    with pytest.raises(LongCaptionError, match="takes more than the 77 tokens"):
        build_clip((PROMPTS_open_clip_models[0], "dog " * 76), checkpoint="random")
