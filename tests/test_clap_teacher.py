"""The audio teacher on tiny CLAP networks (parity with transformers, LAION names, padding), and once at full size."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from label_harvest.clap import (
    ClapTeacher,
    build_clap,
    build_network,
    clap_state,
    quantise,
    repeat_pad,
    spell_bytes,
)
from label_harvest.media import ClipMedia, Grid
from tests.toy import toy_media

PROMPTS = ("This is a sound of dog", "This is a sound of cat, or two")
AUDIO = {
    "enable_fusion": True,
    "patch_embeds_hidden_size": 16,
    "hidden_size": 128,
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 2, 4],
}
TEXT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 300}
TINY = {"audio_config": AUDIO, "text_config": TEXT}


def tiny_network(seed=0):
    """Every tensor random, batch-norm statistics too, so that nothing cancels."""
    torch.manual_seed(seed)
    network = build_network(TINY).eval()
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim and "logit_scale" not in name:
            tensor.copy_(
                0.5 + torch.rand_like(tensor) if "running_var" in name else tensor + 0.3 * torch.randn_like(tensor)
            )
    return network


def tiny_teacher(network=None):
    return ClapTeacher(network or tiny_network(), spell_bytes, PROMPTS, weights="w", tokenizer="bytes")


def laion_names(state):
    """The state dict as LAION's package would save it: our renaming turned round by hand."""
    pairs = (
        ("audio_model.audio_encoder.batch_norm.", "audio_branch.bn0."),
        ("audio_model.audio_encoder.", "audio_branch."),
        ("text_model.", "text_branch."),
        ("_projection.linear1.", "_projection.0."),
        ("_projection.linear2.", "_projection.2."),
    )
    inside = (
        ("layernorm_before", "norm1"),
        ("layernorm_after", "norm2"),
        ("attention.output.dense", "attn.proj"),
        ("attention.self.", "attn."),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
    )
    laion = {}
    for name, tensor in state.items():
        for ours, theirs in pairs + (inside if ".blocks." in name else ()):
            name = name.replace(ours, theirs)
        laion[name] = tensor
    for name in [name for name in laion if ".attn.query." in name]:
        parts = [laion.pop(name.replace("query", part)) for part in ("query", "key", "value")]
        laion[name.replace("query", "qkv")] = torch.cat(parts)
    laion["audio_branch.tscam_conv.weight"] = torch.zeros(3)
    laion["audio_branch.head.bias"] = torch.zeros(3)
    laion["audio_branch.logmel_extractor.melW"] = torch.zeros(3)
    laion["audio_branch.spectrogram_extractor.stft.conv_real.weight"] = torch.zeros(3)
    laion["audio_branch.layers.0.blocks.0.attn_mask"] = torch.zeros(3)
    laion["audio_transform.sequential.0.weight"] = torch.zeros(3)
    return laion


def test_equal_to_transformers_own_front_end_and_model():
    from transformers import ClapFeatureExtractor

    media = toy_media(grid=Grid(num_segments=2, segment_seconds=5.0))
    media.waveform[:240000] = 0.3 * np.sin(np.arange(240000) ** 1.5 / 3000)  # a rising tone, then noise
    network = tiny_network()
    answer = tiny_teacher(network).encode(media)
    extractor = ClapFeatureExtractor(frequency_min=50, frequency_max=14000, truncation="fusion", padding="repeatpad")
    waves = [*media.waveform.reshape(2, -1), media.waveform]
    features = extractor([quantise(wave) for wave in waves], sampling_rate=48000, return_tensors="pt")["input_features"]
    tokens, mask = spell_bytes(PROMPTS)
    with torch.inference_mode():
        theirs = network(
            input_ids=tokens,
            attention_mask=mask,
            input_features=features.float(),
            is_longer=torch.zeros(3, 1, dtype=torch.bool),
        )
    np.testing.assert_allclose(answer.features["embedding"], theirs.audio_embeds[:2], atol=2e-5)
    assert answer.features["embedding"].std(0).mean() > 1e-3  # the two halves do sound different
    scale = tiny_teacher(network).identity()["logit_scale"]
    np.testing.assert_allclose(scale * answer.similarity, theirs.logits_per_audio[:2], atol=5e-4)
    hidden = theirs.audio_model_output.last_hidden_state[2]  # [D, 2 frequency halves, 32 times]
    for half, time in ((0, 0), (0, 31), (1, 0), (1, 17)):
        np.testing.assert_allclose(answer.features["map"][32 * half + time], hidden[:, half, time], atol=2e-4)


def test_the_answer_does_not_depend_on_the_company_nor_on_chance():
    teacher = tiny_teacher()
    clips = [toy_media(seed=seed) for seed in range(3)]
    np.random.seed(1)
    together = teacher.encode_many(clips)
    np.random.seed(2)
    for answer, clip in zip(together, clips, strict=True):
        alone = teacher.encode(clip)
        np.testing.assert_allclose(answer.similarity, alone.similarity, atol=1e-5)
        np.testing.assert_allclose(answer.features["map"], alone.features["map"], atol=1e-4)


def test_shapes_and_lengths():
    answer = tiny_teacher().encode(toy_media())
    assert answer.similarity.shape == (10, 2) and answer.similarity.dtype == np.float32
    assert answer.features["map"].shape == (64, 128)
    np.testing.assert_allclose(np.linalg.norm(answer.features["embedding"], axis=1), 1, atol=1e-5)
    short = tiny_teacher().encode(toy_media(grid=Grid(num_segments=3)))
    assert set(short.features) == {"embedding"}  # the network's window is 10 s


def test_segments_are_repeated_then_silent():
    ones = repeat_pad(np.ones(48000, np.float32))
    assert ones.shape == (480000,) and ones.all()
    longer = repeat_pad(np.ones(48001, np.float32))
    assert longer[: 9 * 48001].all() and not longer[9 * 48001 :].any()
    shorter = repeat_pad(np.ones(47999, np.float32))
    assert shorter[:479990].all() and not shorter[479990:].any()
    with pytest.raises(ValueError, match="must have 1 to 480000 samples, got 480001"):
        repeat_pad(np.ones(480001, np.float32))


def test_quantisation_clips_and_truncates_toward_zero():
    steps = quantise(np.array([2.0, -2.0, 0.99 / 32767, -0.99 / 32767, 1.5 / 32767], np.float32)) * 32767
    assert np.rint(steps).tolist() == [32767, -32767, 0, 0, 1]


def test_a_laion_checkpoint_is_the_same_network():
    network = tiny_network()
    state = network.state_dict()
    renamed = clap_state(laion_names(state))
    assert renamed.keys() == state.keys()
    assert all(torch.equal(renamed[name], state[name]) for name in state)


def test_position_counters_may_be_absent():
    state = tiny_network().state_dict()
    lean = {name: tensor for name, tensor in state.items() if "_ids" not in name}
    renamed = clap_state(lean)
    assert renamed.keys() == state.keys() and all(torch.equal(renamed[name], state[name]) for name in state)


def write_tokenizer(folder, size):
    """A byte-level tokenizer of RoBERTa's kind whose vocabulary has the given size."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    words += [f"<extra{number}>" for number in range(size - len(words) - 1)] + ["<mask>"]
    tokenizer = Tokenizer(models.BPE(vocab={word: index for index, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture
def hub_folder(tmp_path):
    """A tiny model in the hub's layout."""
    network = tiny_network()
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()}, tmp_path / "model.safetensors"
    )
    write_tokenizer(tmp_path, TEXT["vocab_size"])
    return tmp_path


def test_a_folder_in_the_hubs_layout(hub_folder):
    teacher = build_clap(PROMPTS, checkpoint=hub_folder)
    media = toy_media()
    ours, expected = teacher.encode(media), tiny_teacher().encode(media)
    np.testing.assert_allclose(ours.features["embedding"], expected.features["embedding"], atol=1e-6)
    assert len(teacher.identity()["weights"]) == 64
    assert not np.allclose(ours.similarity, 0)


def test_a_tokenizer_of_another_size_is_refused(hub_folder):
    write_tokenizer(hub_folder, TEXT["vocab_size"] - 1)
    with pytest.raises(ValueError, match="the tokenizer must have 300 tokens, got 299"):
        build_clap(PROMPTS, checkpoint=hub_folder)


def test_what_a_folder_lacks_is_said(hub_folder):
    (hub_folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="copy the config.json of the model beside its weights"):
        build_clap(PROMPTS, checkpoint=hub_folder)
    (hub_folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="expected model.safetensors or pytorch_model.bin, got neither"):
        build_clap(PROMPTS, checkpoint=hub_folder)


def test_an_unfused_model_is_refused():
    with pytest.raises(ValueError, match="must have fusion enabled"):
        build_network({"audio_config": {"enable_fusion": False}})


def test_a_second_below_the_least_int16_step_is_heard_as_silence():
    grid = Grid()
    hiss = np.random.default_rng(0).uniform(-0.9 / 32767, 0.9 / 32767, grid.num_samples).astype(np.float32)
    heard, silence = (tiny_teacher().encode(ClipMedia(None, wave, grid)) for wave in (hiss, 0 * hiss))
    assert (heard.similarity == silence.similarity).all()
    assert (heard.features["map"] == silence.features["map"]).all()


def test_unreachable_hubs_say_what_to_do(hub_folder, monkeypatch):
    import huggingface_hub
    from transformers import RobertaTokenizerFast

    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    monkeypatch.setattr(RobertaTokenizerFast, "from_pretrained", offline)
    with pytest.raises(RuntimeError, match=r"630k-fusion-best.pt is not cached .*\(OSError: no route to host\)"):
        build_clap(PROMPTS)
    with pytest.raises(RuntimeError, match="the tokenizer .* is not cached here and could not be fetched"):
        build_clap(PROMPTS, checkpoint=hub_folder)


@pytest.mark.slow
def test_the_published_architecture_with_random_weights(caplog):
    teacher = build_clap(PROMPTS, checkpoint="random")
    assert "RANDOM weights" in caplog.text
    identity = teacher.identity()
    assert (identity["weights"], identity["tokenizer"]) == ("random", "bytes")
    answer = teacher.encode(toy_media(grid=Grid(num_segments=1, segment_seconds=10.0)))
    assert answer.features["embedding"].shape == (1, 512) and answer.features["map"].shape == (64, 768)
    assert teacher._network.config.text_config.layer_norm_eps == 1e-5  # LAION's RoBERTa, not transformers' default
    audio = sum(tensor.numel() for tensor in teacher._network.audio_model.parameters())
    assert 27e6 < audio < 29e6
