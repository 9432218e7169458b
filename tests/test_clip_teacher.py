"""The visual teacher on tiny CLIP networks, and once on the real architecture with random weights."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from label_harvest import clip
from label_harvest.clip import ARCHITECTURE, ClipTeacher, build_clip, preprocess
from label_harvest.frame_rules import FrameRule
from label_harvest.media import Grid
from label_harvest.open_clip_models import OpenClipModel, clip_state
from tests.toy import toy_media

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
    with pytest.raises(RuntimeError, match=r"could not be fetched \(OSError: no route .*--checkpoint ROLE=PATH"):
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
