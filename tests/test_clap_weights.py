"""CLAP checkpoints: LAION's names are transformers' network, for every published configuration, and what is refused."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from label_harvest.clap import build_clap, store_name
from label_harvest.clap_weights import (
    LAION_CHECKPOINTS,
    build_network,
    check_name,
    clap_state,
    load_clap,
    spell_bytes,
)
from tests.test_clap_teacher import PROMPTS, TINY, tiny_network
from tests.toy import toy_media


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
    from tests.test_clap_teacher import write_tokenizer

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
    monkeypatch.setattr("label_harvest.clap_weights._tokenizer", lambda *_: spell_bytes)
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
