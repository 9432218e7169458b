"""What a folder says of its front end is held against ours, value by value.

The audio teacher on tiny CLAP networks (parity with transformers, padding, precision), and once at full size.

CLAP checkpoints: LAION's names are transformers' network, for every published configuration, and what is refused.
"""

import json
from copy import deepcopy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.helpers.toy import toy_media
from tests.label_harvest.teachers.test_clap_models import say
from valor.label_harvest.media.clip import ClipMedia, Grid
from valor.label_harvest.teachers.build import TeacherOptions, build_teacher
from valor.label_harvest.teachers.clap import ClapTeacher, MapOptions, build_clap, quantise
from valor.label_harvest.teachers.clap_models import (
    LAION_CHECKPOINTS,
    ClapModel,
    build_network,
    clap_state,
    load_clap,
    spell_bytes,
)


def test_a_model_of_another_front_end_is_not_built(tmp_path):
    write_folder(tmp_path, fusion=True)
    say(tmp_path)
    build_clap(PROMPTS, name=f"hf:{tmp_path}")
    say(tmp_path, sampling_rate=16000, hop_length=160, padding="pad")
    with pytest.raises(ValueError, match="sampling_rate must be 48000, got 16000"):
        build_clap(PROMPTS, name=f"hf:{tmp_path}")


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


def tiny_network(seed=0, *, fusion=True):
    """Every tensor random, batch-norm statistics too, so that nothing cancels."""
    torch.manual_seed(seed)
    network = build_network(TINY | {"audio_config": AUDIO | {"enable_fusion": fusion}}).eval()
    network.logit_scale_a.data.fill_(2.9)  # as after training
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim and "logit_scale" not in name:
            tensor.copy_(
                0.5 + torch.rand_like(tensor) if "running_var" in name else tensor + 0.3 * torch.randn_like(tensor)
            )
    return network


def tiny_teacher(network=None, *, prompts=PROMPTS, precision="float32", maps=None):
    model = ClapModel(network or tiny_network(), spell_bytes, "w", "bytes")
    return ClapTeacher(model, prompts, precision=precision, maps=maps)


@pytest.mark.parametrize("fusion", [True, False])
def test_equal_to_transformers_own_front_end_and_model(fusion):
    from transformers import ClapFeatureExtractor

    media = toy_media(grid=Grid(num_segments=2, segment_seconds=5.0))
    media.waveform[:240000] = 0.3 * np.sin(np.arange(240000) ** 1.5 / 3000)  # a rising tone, then noise
    network = tiny_network(fusion=fusion)
    answer = tiny_teacher(deepcopy(network)).encode(media)  # teachers bring a network into another form
    extractor = ClapFeatureExtractor(
        frequency_min=50, frequency_max=14000, truncation="fusion" if fusion else "rand_trunc", padding="repeatpad"
    )
    waves = [*media.waveform.reshape(2, -1), media.waveform]
    features = extractor([quantise(wave) for wave in waves], sampling_rate=48000, return_tensors="pt")["input_features"]
    assert features.shape == (3, 4 if fusion else 1, 1001, 64)
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


@pytest.mark.parametrize("fusion", [True, False])
def test_no_item_of_a_batch_goes_through_the_branch_for_longer_sounds(fusion, monkeypatch):
    network, seen = tiny_network(fusion=fusion), []
    forward = network.audio_model.forward
    monkeypatch.setattr(
        network.audio_model, "forward", lambda **inputs: seen.append(inputs["is_longer"]) or forward(**inputs)
    )
    tiny_teacher(network).encode_many([toy_media(seed=seed) for seed in range(3)])
    assert len(seen) > 1 and not torch.cat(seen).any()


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


def test_what_is_kept_of_the_map():
    fold = np.random.default_rng(0).uniform(size=(10, 64))
    both = tiny_teacher(maps=MapOptions(fold=fold))
    folded = tiny_teacher(maps=MapOptions(fold=fold, raw=False))
    none = tiny_teacher(maps=MapOptions(raw=False))
    features = both.encode(toy_media()).features
    np.testing.assert_allclose(features["folded"], fold @ features["map"], atol=1e-4)
    assert features["folded"].dtype == np.float32
    assert set(folded.encode(toy_media()).features) == {"embedding", "folded"}
    assert set(none.encode(toy_media()).features) == {"embedding"}
    kept = [teacher.identity()["maps"] for teacher in (both, folded, none)]
    assert kept[0] == ["map", *kept[1]] and kept[2] == [] and kept[1][0].startswith("folded by ")
    with pytest.raises(ValueError, match=r"fold must be \[segments, 64\], got \[10, 32\]"):
        MapOptions(fold=fold[:, :32])


def test_several_captions_of_a_class_are_averaged():
    groups = (PROMPTS, PROMPTS[1])
    network = tiny_network()
    answer, alone = (tiny_teacher(network, prompts=prompts).encode(toy_media()) for prompts in (groups, PROMPTS))
    text = tiny_teacher(network)._text.numpy()
    mean = text.mean(0) / np.linalg.norm(text.mean(0))
    np.testing.assert_allclose(answer.similarity[:, 0], answer.features["embedding"] @ mean, atol=1e-6)
    np.testing.assert_allclose(answer.similarity[:, 1], alone.similarity[:, 1], atol=1e-5)


def test_bfloat16_is_near_and_says_so():
    exact, coarse = tiny_teacher(), tiny_teacher(precision="bfloat16")
    assert coarse.identity()["precision"] == "bfloat16"
    ours, theirs = exact.encode(toy_media()), coarse.encode(toy_media())
    assert 0 < np.abs(ours.similarity - theirs.similarity).max() < 0.05
    assert theirs.features["map"].dtype == np.float32


def test_quantisation_clips_and_truncates_toward_zero():
    steps = quantise(np.array([2.0, -2.0, 0.99 / 32767, -0.99 / 32767, 1.5 / 32767], np.float32)) * 32767
    assert np.rint(steps).tolist() == [32767, -32767, 0, 0, 1]


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


def test_captions_are_not_cut_off(hub_folder):
    fits = "x" * 75  # with the marks of beginning and end, 77 bytes
    assert build_clap((*PROMPTS, fits), checkpoint=hub_folder).identity()["prompts"][2] == fits
    with pytest.raises(ValueError, match=f"the caption '{fits}x' takes more than the 77 tokens .* shorten it"):
        build_clap((*PROMPTS, f"{fits}x"), checkpoint=hub_folder)


def test_a_folder_without_fusion_is_not_the_preset(hub_folder):
    (hub_folder / "config.json").write_text(json.dumps({"audio_config": AUDIO | {"enable_fusion": False}}))
    with pytest.raises(ValueError, match="not the network of laion:630k-fusion: config.json says enable_fusion False"):
        build_clap(PROMPTS, checkpoint=hub_folder)


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


@pytest.mark.parametrize("name", LAION_CHECKPOINTS)
def test_every_published_checkpoint_has_its_network(name):
    config = LAION_CHECKPOINTS[name].config
    with torch.device("meta"):
        network = build_network(config)
    audio = network.config.audio_config
    assert audio.enable_fusion == ("fusion" in name)
    assert audio.hidden_size == audio.patch_embeds_hidden_size * 8 == (1024 if "music" in name else 768)
    assert network.config.text_config.layer_norm_eps == 1e-5  # LAION's RoBERTa, not transformers' default


@pytest.mark.parametrize("fusion", [True, False])
def test_a_checkpoint_of_the_other_fusion_mode_is_refused(tmp_path, fusion, monkeypatch):
    """Either network would hear through the wrong mel bank."""
    monkeypatch.setattr(type(LAION_CHECKPOINTS["630k"]), "config", property(lambda entry: small(fusion=entry.fusion)))
    state = tiny_network(fusion=not fusion).state_dict()
    torch.save({"epoch": 1, "state_dict": laion_names(state)}, tmp_path / "w.pt")
    with pytest.raises(
        ValueError, match="not the weights of this network: .* give the checkpoint the teacher is named"
    ):
        load_clap("laion:630k-fusion" if fusion else "laion:630k", checkpoint=tmp_path / "w.pt")


def small(*, fusion):
    return TINY | {"audio_config": TINY["audio_config"] | {"enable_fusion": fusion}}


def write_folder(folder, *, fusion):

    network = tiny_network(fusion=fusion)
    (folder / "config.json").write_text(json.dumps(small(fusion=fusion)))
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / "model.safetensors"
    )
    write_tokenizer(folder, TINY["text_config"]["vocab_size"])
    return network


@pytest.mark.parametrize("fusion", [True, False])
def test_a_hub_folder_by_name_says_how_it_hears(tmp_path, fusion):
    write_folder(tmp_path, fusion=fusion)
    teacher = build_clap(PROMPTS, name=f"hf:{tmp_path}")
    identity = teacher.identity()
    assert identity["teacher"] == f"hf:{tmp_path.name}"
    assert ("64 HTK mel bands" if fusion else "64 Slaney mel bands") in identity["preprocessing"]
    with pytest.raises(ValueError, match="wanted weights of sha256 aaaaaaaaaaaa"):
        build_clap(PROMPTS, name=f"hf:{tmp_path}", pin="a" * 12)


def test_the_origin_of_weights_stays_out_of_the_identity(tmp_path):
    write_folder(tmp_path, fusion=True)
    free = build_clap(PROMPTS, name=f"hf:{tmp_path}")
    pinned = build_clap(PROMPTS, name=f"hf:{tmp_path}", pin=free.identity()["weights"])
    assert (free.origin.checked, pinned.origin.checked) == ("unverified", "pinned")
    assert free.identity() == pinned.identity()


def test_a_folder_of_something_else_is_refused(tmp_path):
    write_folder(tmp_path, fusion=True)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="expected the configuration of a CLAP model, with audio_config"):
        load_clap(f"hf:{tmp_path}")


class _LaionTokens:
    """In place of the tokenizers laion_clap asks the hub for when it is imported."""

    @classmethod
    def from_pretrained(cls, *_, **__):
        return cls()

    def __call__(self, texts, **_):
        tokens, mask = spell_bytes([texts] if isinstance(texts, str) else list(texts))
        missing = 77 - tokens.shape[1]
        pad = torch.nn.functional.pad
        return {"input_ids": pad(tokens, (0, missing), value=1), "attention_mask": pad(mask, (0, missing))}


@pytest.fixture
def laion_clap(monkeypatch):
    """LAION's package, built from configuration alone."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import importlib.util
    import sys

    if importlib.util.find_spec("laion_clap") is None:
        pytest.skip(
            "laion_clap is not installed; test_clap_golden holds its answers (pip install --no-deps laion-clap)"
        )
    import transformers

    for name in ("BertTokenizer", "RobertaTokenizer", "BartTokenizer"):
        monkeypatch.setattr(transformers, name, _LaionTokens)
    config = transformers.RobertaConfig(
        vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5
    )
    built = classmethod(lambda cls, *_, **__: cls(config))
    monkeypatch.setattr(transformers.RobertaModel, "from_pretrained", built)
    monkeypatch.setattr(sys, "path", list(sys.path))  # it appends its own folder
    import laion_clap

    return laion_clap


@pytest.mark.slow
@pytest.mark.parametrize("name", ["630k-fusion", "630k-audioset", "music-audioset"])
def test_equal_to_laions_package_on_random_weights(laion_clap, name, tmp_path, monkeypatch):
    kind = LAION_CHECKPOINTS[name]
    torch.manual_seed(3)
    theirs = laion_clap.CLAP_Module(
        enable_fusion=kind.fusion, amodel="HTSAT-base" if kind.base else "HTSAT-tiny", device="cpu"
    )
    theirs.tokenizer = _LaionTokens()
    fixed = ("logit_scale", "logmel", "spectrogram", "attn_mask", "_transform")
    for key, tensor in theirs.model.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim and not any(word in key for word in fixed):
            noise = torch.randn_like(tensor)
            tensor.copy_(0.5 + torch.rand_like(tensor) if "running_var" in key else tensor + 0.02 * noise)
    theirs.model.logit_scale_a.data.fill_(2.9)  # as after training
    path = tmp_path / kind.file
    torch.save(theirs.model.state_dict(), path)
    monkeypatch.setattr("valor.label_harvest.teachers.clap_models._tokenizer", lambda *_: spell_bytes)
    ours = build_clap(PROMPTS, name=f"laion:{name}", checkpoint=path)
    media = toy_media()
    media.waveform[:240000] *= np.sin(np.arange(240000) ** 1.4 / 500).astype(np.float32)
    theirs.eval()
    with torch.inference_mode():
        heard = theirs.get_audio_embedding_from_data(list(media.waveform.reshape(10, -1)), use_tensor=False)
        read = theirs.get_text_embedding(list(PROMPTS))
    answer = ours.encode(media)
    difference = np.abs(answer.features["embedding"] - heard).max()
    assert heard.std(0).mean() > 1e-4 and difference < 5e-6
    np.testing.assert_allclose(ours._text.numpy(), read, atol=5e-6)
    np.testing.assert_allclose(answer.similarity, heard @ read.T, atol=5e-6)


def test_a_checkpoint_whose_text_tower_collapsed_is_refused_by_the_name_that_was_typed(tmp_path):
    """As larger_clap_music is: captions reach the projection, and hardly anything of them its output."""
    network = write_folder(tmp_path, fusion=False)
    build_teacher("clap-larger-music", PROMPTS, checkpoint=tmp_path)
    with torch.no_grad():
        network.text_projection.linear2.weight.mul_(1e-3)
        network.text_projection.linear2.bias.add_(1.0)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"^clap-larger-music: .* text vectors are collapsed, .* is (0.99|1.0)"):
        build_teacher("clap-larger-music", PROMPTS, checkpoint=tmp_path)
    options = TeacherOptions(skip_self_test=True)
    assert build_teacher("clap-larger-music", PROMPTS, checkpoint=tmp_path, options=options).role == "audio"
