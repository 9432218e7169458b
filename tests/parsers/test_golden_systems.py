"""Audio-visual systems against the vectors of their published code: outputs, gradients of parameters and of inputs."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.helpers.golden_systems import (
    SETS,
    Names,
    assert_equal,
    assert_gradients,
    below,
    both,
    cases,
    config,
    flax_block,
    inputs,
    joined,
    load,
    read,
    timm_block,
    torch_attention,
    torch_layer,
)
from valor.eval.retrieval import retrieval_scores
from valor.parsers.adapters import Adapter, SegmentHead, TwoStreams, stretched
from valor.parsers.blocks import Block, BlockKind, Sizes
from valor.parsers.encoders.mbt import MbtEncoder
from valor.parsers.encoders.mtcn import MtcnNetwork, mtcn_loss
from valor.parsers.encoders.sft import SftNetwork, StreamShape, mixed_loss
from valor.parsers.encoders.tcaf import TcafEncoder
from valor.parsers.encoders.uavm import UavmNetwork
from valor.parsers.joint_space import JointSpace, combinatorial_loss, combinatorial_losses
from valor.parsers.language import LanguageModel, best_sequences, rescore
from valor.parsers.positions import sine_positions
from valor.parsers.sync import OffsetNetwork
from valor.parsers.words import TcafNetwork

pytestmark = pytest.mark.usefixtures("one_thread")

SINES = 1e-6
"""Where sines of single precision go in."""


@pytest.fixture(params=SETS)
def of_file(request, shared):
    return lambda name: read(shared, request.param, name)


def _grads(**tensors):
    return {name: tensor.grad for name, tensor in tensors.items()}


# UAVM


def _uavm_part(ours: str, theirs: str, depth: int, *, projects: bool) -> Names:
    names: Names = {f"{ours}.positions.table": f"{theirs}.pos_embed", **both(f"{ours}.norm", f"{theirs}.in_layernorm")}
    if projects:
        names |= both(f"{ours}.projection", f"{theirs}.in_proj")
    for layer in range(depth):
        names |= timm_block(f"{ours}.blocks.{layer}", f"{theirs}.blocks.{layer}", qkv_bias=False)
    return names


def _depth(published, part):
    return len({name.split(".")[2] for name in published if name.startswith(f"{part}.blocks.")})


def _uavm(held, case):
    """The network of a case with its weights, and the map of names."""
    sizes, published = config(held), below(held, f"{case}/weight")
    own, shared = _depth(published, "a_trans"), _depth(published, "s_trans")
    widths = sizes["a_input_dim"], sizes["v_input_dim"]
    network = UavmNetwork(
        widths,
        Sizes(sizes["embed_dim"], sizes["num_heads"], 4 * sizes["embed_dim"]),
        sizes["label_dim"],
        own_layers=own,
        shared_layers=shared,
        max_segments=sizes["seq_len"],
        joined=case == "full_attention",
    )
    names: Names = {}
    for number, (letter, width) in enumerate(zip("av", widths, strict=True)):
        part = f"encoder.own.{number}"
        if own:
            names |= _uavm_part(part, f"{letter}_trans", own, projects=width != sizes["embed_dim"])
        else:
            names |= both(f"{part}.0", f"{letter}_in_proj.0") | both(f"{part}.1", f"{letter}_in_proj.1")
        if not shared:
            for place in "01":
                names |= both(f"heads.{number}.{place}", f"{letter}_mlp.{place}")
    if shared:
        names |= _uavm_part("encoder.shared", "s_trans", shared, projects=False)
        for place in "01":
            names |= both(f"heads.0.{place}", f"s_trans.mlp_head.{place}")
    named = {name for source in names.values() for name in [source]}
    spare = ("in_proj.", "mlp_head.")  # in the published network, and used where they are not needed twice
    unused = [name for name in published if name not in named and any(part in name for part in spare)]
    load(network, names, published, unused=unused)
    return network, names


@pytest.mark.parametrize("case", ["unified", "shared_only", "separate_only", "full_attention"])
def test_uavm(of_file, case):
    held = of_file("uavm")
    network, names = _uavm(held, case)
    audio, visual = inputs(held, "audio", "visual")
    target = held["input/target"]
    heard, seen = network(audio, visual)
    losses = [functional.cross_entropy(logits, target) for logits in (heard, seen)]
    if case == "full_attention":
        got = {"logits": heard, "loss_ce": losses[0]}
        losses[0].backward()
    else:
        got = {
            "logits_audio": heard,
            "logits_visual": seen,
            "logits_both": (heard + seen) / 2,
            "loss_ce_audio": losses[0],
            "loss_ce_visual": losses[1],
            "loss_bce_audio": functional.binary_cross_entropy_with_logits(heard, target),
        }
        sum(losses).backward()
    expected = below(held, f"{case}/output")
    if any(name.startswith("features_") for name in expected):
        for number, (modality, stream) in enumerate((("audio", audio), ("visual", visual))):
            own = network.encoder.own[number].states(stream)
            shared = network.encoder.shared.states(own[-1])[1:] if network.encoder.shared else []
            got |= {f"features_{modality}_{layer}": x for layer, x in enumerate([*own, *shared])}
    assert_equal(got, expected)
    assert_equal(_grads(audio=audio, visual=visual), below(held, f"{case}/grad_input"))
    if grads := below(held, f"{case}/grad"):
        assert_gradients(network, names, grads)


# MBT


def _mbt(held, case):
    sizes, own = config(held), config(held, f"{case}/config")
    lengths = held["input/audio"].shape[1], held["input/visual"].shape[1]
    published = below(held, f"{case}/weight")
    shared = bool(own["share_encoder"])
    encoder = MbtEncoder(
        Sizes(sizes["width"], sizes["heads"], sizes["mlp_width"]),
        sizes["layers"],
        fusion_layer=own["fusion_layer"],
        num_latents=own["bottlenecks"] if "bottleneck" in published else 0,
        max_segments=lengths,
        shared=shared,
    )
    names: Names = {
        "norm.weight": "encoder_norm/scale",
        "norm.bias": "encoder_norm/bias",
        "positions.0.table": "posembed_input_spectrogram/pos_embedding",
        "positions.1.table": "posembed_input/pos_embedding",
    }
    if "bottleneck" in published:
        names["latents"] = "bottleneck"
    for layer in range(sizes["layers"]):
        names |= flax_block(f"stacks.0.{layer}", f"encoderblock_{layer}" + ("" if shared else "_spectrogram"))
        if not shared:
            names |= flax_block(f"stacks.1.{layer}", f"encoderblock_{layer}")
    load(encoder, names, published)
    return encoder, names


def test_mbt(of_file):
    held = of_file("mbt")
    for case in cases(held, "config"):
        encoder, names = _mbt(held, case)
        audio, visual = inputs(held, "audio", "visual")
        heard, seen = encoder(audio, visual)
        (torch.cat((heard, seen), dim=1) * held["input/probe"]).sum().backward()
        assert_equal({"tokens_audio": heard, "tokens_visual": seen}, below(held, f"{case}/output"))
        assert_equal(_grads(audio=audio, visual=visual), below(held, f"{case}/grad_input"))
        if grads := below(held, f"{case}/grad"):
            assert_gradients(encoder, names, grads)


# Everything at Once

LETTERS = {"t": "text", "v": "video", "a": "audio"}


def _joint_space(held):
    sizes, published = config(held), below(held, "weight")
    widths = {letter: held[f"input/{modality}"].shape[-1] for letter, modality in LETTERS.items()}
    individual = "video_proj.fc.weight" in published
    space = JointSpace(
        widths,
        Sizes(sizes["width"], sizes["heads"], sizes["width"] * sizes["mlp_ratio"]),
        sizes["depth"],
        sizes["projection"],
        individual=individual,
    )
    names: Names = {"masking_token": "fusion.masking_token"}
    for letter, modality in LETTERS.items():
        names |= both(f"token_norms.{letter}", f"{modality}_norm_layer")
        names |= both(f"token_units.{letter}.projection", f"{modality}_token_proj.fc")
        names |= both(f"token_units.{letter}.gate", f"{modality}_token_proj.cg.fc")
        if individual:
            names |= both(f"units.{letter}.projection", f"{modality}_proj.fc")
            names |= both(f"units.{letter}.gate", f"{modality}_proj.cg.fc")
    if not individual:
        names |= both("units.all.projection", "proj.fc") | both("units.all.gate", "proj.cg.fc")
    for layer in range(sizes["depth"]):
        names |= timm_block(f"fusion.blocks.{layer}", f"fusion.blocks.{layer}")
    load(space, names, published, unused=("fusion.norm.weight", "fusion.norm.bias"))
    return space, names


def test_everything_at_once(of_file):
    held = of_file("everything_at_once")
    space, names = _joint_space(held)
    given = dict(zip(LETTERS, inputs(held, *LETTERS.values()), strict=True))
    found = space(given, {letter: held[f"input/{modality}_mask"] > 0 for letter, modality in LETTERS.items()})
    weights = {
        (one, other): float(held[f"config/{one}_{other}_weight" if len(other) > 1 else f"config/{one}{other}_weight"])
        for one, other in (("t", "v"), ("t", "a"), ("v", "a"), ("t", "va"), ("v", "ta"), ("a", "tv"))
    }
    loss = combinatorial_loss(found, weights)
    loss.backward()
    long = {"t": "text", "v": "video", "a": "audio"}
    got = {f"{long.get(name, name)}_embed": vector for name, vector in {**found.vectors, **found.apart}.items()}
    counted = [pair for pair, weight in weights.items() if weight]
    for (one, other), part in combinatorial_losses(found, counted).items():
        got[f"loss_{one}_{other}" if len(other) > 1 else f"loss_{one}{other}"] = part
    got |= {"loss": loss, "loss_Retrieval": loss}
    expected = below(held, "output")
    for letter, modality in LETTERS.items():
        assert torch.equal(found.there[letter], expected.pop(f"{modality}_nonempty_input_mask"))
    assert_equal(got, expected)
    assert_equal(_grads(**{LETTERS[letter]: x for letter, x in given.items()}), below(held, "grad_input"))
    assert_gradients(space, names, below(held, "grad"))


def test_the_joint_block_alone(of_file):
    held = of_file("everything_at_once")
    space, _ = _joint_space(held)
    (tokens,) = inputs(held, "tokens", prefix="block/input")
    mixed = space.fusion.blocks[0](tokens, held["block/input/mask"] > 0)
    (mixed * held["block/input/probe"]).sum().backward()
    assert_equal({"tokens": mixed}, below(held, "block/output"))
    assert_equal({"tokens": tokens.grad}, below(held, "block/grad_input"))


def test_retrieval_metrics(of_file):
    held = of_file("everything_at_once")
    found = retrieval_scores(held["metrics/input/similarity"].numpy(), (1, 5, 10, 50))
    got = {f"R{first}": value for first, value in found.recall.items()}
    got |= {"MedR": found.median_rank, "MeanR": found.mean_rank, "geometric_mean_R1-R5-R10": found.geometric_mean}
    assert_equal({name: torch.tensor(value, dtype=torch.float64) for name, value in got.items()},
                 below(held, "metrics/output"))  # fmt: skip


# TCaF


def _embedding_net(ours: str, theirs: str, layers: int) -> Names:
    names: Names = {}
    for layer in range(layers):
        names |= both(f"{ours}.layers.{layer}", f"{theirs}.fc.{4 * layer}")
        names |= both(f"{ours}.norms.{layer}", f"{theirs}.fc.{4 * layer + 1}")
        for kind in ("running_mean", "running_var"):
            names[f"{ours}.norms.{layer}.{kind}"] = f"{theirs}.fc.{4 * layer + 1}.{kind}"
    return names


def _tcaf(held):
    sizes = config(held)
    encoder = TcafEncoder(
        Sizes(sizes["width"], sizes["heads"], sizes["mlp_width"], head_width=sizes["head_width"]),
        sizes["depth"],
        code_width=sizes["embedding_width"],
        self_attention=bool(sizes["self_attention"]),
        cross_attention=bool(sizes["cross_attention"]),
    )
    widths = held["input/audio"].shape[-1], held["input/video"].shape[-1]
    hidden = sizes["encoder_hidden"], sizes["decoder_hidden"]
    network = TcafNetwork(widths, encoder, sizes["out_width"], hidden)
    codes = "position_encoder_block"
    names: Names = {
        "encoder.summary": "cls_token",
        "encoder.code.frequencies": f"{codes}.fourier_randn",
        "encoder.code.modality": f"{codes}.modal_embedding.weight",
        "encoder.code.padding": f"{codes}.pad_embedding.weight",
        **both("encoder.code.waves", f"{codes}.fourier_embeddings"),
        **both("encoder.projections.0", f"{codes}.out_proj_audio"),
        **both("encoder.projections.1", f"{codes}.out_proj_video"),
        **_embedding_net("enter.0", "A_enc", 2),
        **_embedding_net("enter.1", "V_enc", 2),
        **_embedding_net("of_clip", "O_proj", 2),
        **_embedding_net("word_of_clip", "D_o", 2),
        **_embedding_net("of_word", "W_proj", 1),
        **_embedding_net("word_again", "D_w", 1),
    }
    for layer in range(sizes["depth"]):
        ours, theirs = f"encoder.layers.{layer}", f"Audio_visual_transformer.layers.{layer}"
        names[f"{ours}.attention.in_weight"] = (joined, *(f"{theirs}.attn.to_{part}.weight" for part in "qkv"))
        names |= both(f"{ours}.attention.out_projection", f"{theirs}.attn.to_out.0")
        names |= both(f"{ours}.widen", f"{theirs}.ff.net.0") | both(f"{ours}.narrow", f"{theirs}.ff.net.3")
        names |= both(f"{ours}.attention_norm", f"{theirs}.norm")
    load(network, names, below(held, "weight"))
    return network, names


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_tcaf(of_file, mode):
    held = of_file("tcaf")
    network, names = _tcaf(held)
    network.train(mode == "train")
    audio, video = inputs(held, "audio", "video")
    class_words, label = held["input/class_words"], held["input/label"]
    words = class_words[label]
    masks = held["input/audio_mask"] > 0, held["input/video_mask"] > 0
    seconds = held["input/audio_seconds"], held["input/video_seconds"]
    found = network(audio, video, words, masks=masks, seconds=seconds)
    losses = network.losses(found, words, class_words, label)
    got = {
        "theta_o": found.clips,
        "theta_w": found.words,
        "rho_o": found.words_of_clips,
        "rho_w": found.words_again,
        "loss": losses.total,
        "total_loss": losses.total,
        "cross_entropy": losses.classes,
        "loss_reg": losses.places,
        "loss_cmd_rec": losses.words,
    }
    losses.total.backward()
    assert_equal(got, below(held, f"{mode}/output"))
    if grads := below(held, f"{mode}/grad"):
        assert_equal(_grads(audio=audio, video=video), below(held, f"{mode}/grad_input"))
        assert_gradients(network, names, grads)


def test_the_first_layer_of_tcaf_alone(of_file):
    held = of_file("tcaf")
    encoder = _tcaf(held)[0].encoder
    (tokens,) = inputs(held, "tokens", prefix="layer/input")
    keep = functional.pad(held["layer/input/keep"], (1, 0), value=True)
    counts = [held[f"input/{stream}"].shape[1] for stream in ("audio", "video")]
    mixed, attention = encoder.layers[0].attend(tokens, encoder.looks(counts, keep, tokens))
    (mixed * held["layer/input/probe"]).sum().backward()
    assert_equal({"tokens": mixed, "attention": attention}, below(held, "layer/output"))
    assert_equal({"tokens": tokens.grad}, below(held, "layer/grad_input"))


# MTCN


def _mtcn(held, case, heads):
    sizes = config(held)
    network = MtcnNetwork(
        (sizes["audio_width"], sizes["visual_width"]),
        Sizes(sizes["width"], sizes["heads"], sizes["feedforward"]),
        sizes["layers"],
        max_segments=sizes["segments"],
        num_classes=[held[f"{case}/weight/fc_{head}.bias"].numel() for head in heads],
        every_token=case != "summary",
    )
    features = "feature_embedding"
    names: Names = {
        "encoder.positions": f"{features}.positional_embedding",
        "encoder.modality": (joined, f"{features}.audio_embedding", f"{features}.visual_embedding"),
        "encoder.summaries": (joined, *(f"{features}.{head}_embedding" for head in heads)),
        **both("projections.0", f"{features}.audio_projection"),
        **both("projections.1", f"{features}.visual_projection"),
        **torch_layer("encoder.layer", "transformer_encoder.layer"),
    }
    for number, head in enumerate(heads):
        names |= both(f"heads.{number}", f"fc_{head}")
    load(network, names, below(held, f"{case}/weight"))
    return network, names


def test_mtcn_of_actions(of_file):
    held = of_file("mtcn")
    network, names = _mtcn(held, "action", ("action",))
    visual, audio = inputs(held, "visual", "audio")
    (logits,), attention = network(audio, visual)
    loss = mtcn_loss(logits, held["action/input/target"])
    loss.backward()
    got = {"logits": logits.transpose(1, 2), "last_attention": attention.mean(dim=1), "loss": loss}
    assert_equal(got, below(held, "action/output"))
    assert_equal(_grads(visual=visual, audio=audio), below(held, "action/grad_input"))
    assert_gradients(network, names, below(held, "action/grad"))


def test_mtcn_of_verbs_and_nouns(of_file):
    held = of_file("mtcn")
    network, _ = _mtcn(held, "verb_noun", ("verb", "noun"))
    (verbs, nouns), attention = network(held["input/audio"], held["input/visual"])
    got = {"verb_logits": verbs.transpose(1, 2), "noun_logits": nouns.transpose(1, 2)}
    assert_equal({**got, "last_attention": attention.mean(dim=1)}, below(held, "verb_noun/output"))


def test_mtcn_of_the_summary_alone(of_file):
    held = of_file("mtcn")
    network, _ = _mtcn(held, "summary", ("action",))
    (logits,), attention = network(held["input/audio"], held["input/visual"])
    assert_equal({"logits": logits, "last_attention": attention.mean(dim=1)}, below(held, "summary/output"))


def _language_model(held):
    sizes, published = config(held), below(held, "lm/weight")
    layer = "transformer_encoder.layer"
    inner = published[f"{layer}.linear1.bias"].numel()
    words, width = published["decoder.weight"].shape
    model = LanguageModel(words, Sizes(width, sizes["heads"], inner), sizes["layers"])
    names: Names = {"embedding.weight": "encoder.weight", **both("decoder", "decoder"), **torch_layer("layer", layer)}
    load(model, names, published)
    return model.eval(), names


def test_the_language_model_of_mtcn(of_file):
    held = of_file("mtcn")
    model, names = _language_model(held)
    words, truth = held["lm/input/words"].T, held["lm/input/truth"].T
    logits = model(words)
    loss = functional.cross_entropy(logits.flatten(0, 1), truth.flatten())
    loss.backward()
    with torch.no_grad():
        score = model.score(held["lm/input/sequence"][None])[0]
    got = {"logits": logits.transpose(0, 1), "loss": loss, "sequence_score": score}
    assert_equal(got, below(held, "lm/output"), SINES)
    assert_gradients(model, names, below(held, "lm/grad"), SINES)
    places = held["lm/positions"]
    assert_equal({"": sine_positions(*places.shape).double()}, {"": places}, SINES)


def test_the_beam_of_mtcn(of_file):
    held = of_file("mtcn")
    sequences, scores = best_sequences(held["beam/input/log_probs"], config(held)["beam"])
    assert torch.equal(sequences, held["beam/output/sequences"])
    assert_equal({"scores": scores}, {"scores": held["beam/output/scores"]})


def test_rescoring_of_mtcn(of_file):
    held = of_file("mtcn")
    sizes, model = config(held), _language_model(held)[0]
    found = rescore(
        model, held["rescore/input/logits"], length=sizes["gram"], beam=sizes["beam"], alpha=float(held["config/alpha"])
    )
    assert_equal({"scores": found}, below(held, "rescore/output"), SINES)


# SFT

STREAMS = {"visual": "rgb", "audio": "spec", "motion": "text"}


def _plain_block(ours: str, attention: str, layers: str) -> Names:
    return {
        **torch_attention(f"{ours}.attention", attention),
        **both(f"{ours}.feedforward_norm", f"{layers}.0"),
        **both(f"{ours}.widen", f"{layers}.1"),
        **both(f"{ours}.narrow", f"{layers}.4"),
    }


def _sft(held, pooling):
    sizes = config(held)
    streams = [held[f"input/{name}"] for name in STREAMS]
    shapes = (stream.shape[:0:-1] for stream in streams)
    network = SftNetwork(
        [StreamShape(*shape, kernel) for shape, kernel in zip(shapes, held["config/kernels"].tolist(), strict=True)],
        Sizes(sizes["width"], sizes["heads"], sizes["width"]),
        sizes["classes"],
        layers_before=sizes["layers_before"],
        layers_after=sizes["layers_after"],
        pooling=pooling,
        top=sizes["pool_k"],
    )
    names: Names = {}
    for number, (name, theirs) in enumerate(STREAMS.items()):
        tokenizer = f"tokenizer/{name}"
        names[f"tokenizers.{number}.positions"] = f"{tokenizer}/pos_embedding"
        names[f"tokenizers.{number}.summary"] = f"{tokenizer}/cls_token"
        names |= both(f"tokenizers.{number}.projection", f"{tokenizer}/proj")
        for layer in range(sizes["layers_before"]):
            names |= _plain_block(f"before.{number}.{layer}", f"attns_{theirs}.{layer}", f"mlps_{theirs}.{layer}")
        attention = f"sparse_attn.{number}"
        for kind in ("weight", "bias"):
            names[f"salience.{number}.in_{kind}"] = (joined, *(f"{attention}.{part}_proj.{kind}" for part in "qkv"))
        names |= both(f"salience.{number}.out_projection", f"{attention}.out_proj")
    for layer in range(sizes["layers_after"]):
        names |= _plain_block(f"after.{layer}", f"attns_fused.{layer}", f"mlps_fused.{layer}")
    names |= both("head.0", "classifier.0") | both("head.1", "classifier.1")
    tokenizers = {f"tokenizer/{name}": value for name, value in below(held, "tokenizer").items()}
    load(network, names, {**below(held, "weight"), **tokenizers})
    return network, names


@pytest.mark.parametrize("pooling", ["max", "avg", "attn", "attn_topk", "topk"])
def test_sft(of_file, pooling):
    held = of_file("sft")
    network, names = _sft(held, pooling)
    streams = inputs(held, *STREAMS)
    logits = network(streams)
    loss = functional.cross_entropy(logits, held["input/target"])
    expected = below(held, f"{pooling}/output")
    assert network.fuse(streams).shape[1] == expected.pop("fused_tokens")
    assert_equal({"logits": logits, "loss": loss}, expected)
    if grads := below(held, f"{pooling}/grad"):
        loss.backward()
        tokenizers = {f"tokenizer/{name}": value for name, value in below(held, f"{pooling}/grad_tokenizer").items()}
        assert_gradients(network, names, {**grads, **tokenizers})
        assert_equal(_grads(**dict(zip(STREAMS, streams, strict=True))), below(held, f"{pooling}/grad_input"))


def test_the_attention_of_sft(of_file):
    held = of_file("sft")
    network, _ = _sft(held, "max")
    mixed, weights = network.salience[0](held["attention/input/tokens"].transpose(0, 1))
    got = {"tokens": mixed.transpose(0, 1), "weights": weights.mean(dim=1)}
    assert_equal(got, below(held, "attention/output"))


def test_the_mixing_of_sft(of_file):
    held = of_file("sft")
    network, _ = _sft(held, "max")
    streams = [held[f"input/{name}"] for name in STREAMS]
    shares, partners = held["mixup/input/lam"], held["mixup/input/index"]
    expected = below(held, "mixup/output")
    layers = sorted(int(name.rpartition("_")[2]) for name in expected if name.startswith("logits_layer_"))
    got = {f"logits_layer_{layer}": network(streams, mixed=layer, shares=shares, partners=partners) for layer in layers}
    got["loss_last"] = mixed_loss(got[f"logits_layer_{layers[-1]}"], held["input/target"], shares, partners)
    assert_equal(got, expected)


# SparseSync's dense network


def test_sparsesync(of_file):
    held = of_file("sparsesync_dense")
    sizes, published = config(held), below(held, "weight")
    counts = [held[f"input/{stream}"].shape[1] for stream in ("visual", "audio")]
    network = OffsetNetwork(
        Sizes(sizes["width"], sizes["heads"], 4 * sizes["width"]),
        sizes["layers"],
        sizes["offsets"],
        visual_shape=(counts[0], 1, 1),
        audio_shape=(1, counts[1]),
    )
    names: Names = {
        "offset_token": "OFF_tok",
        "modality_token": "MOD_tok",
        **both("visual_norm", "pre_lnorm_vis"),
        **both("audio_norm", "pre_lnorm_aud"),
        **both("norm", "ln_f"),
        "head.weight": "off_head.weight",
    }
    for axis, name in enumerate(("time", "height", "width")):
        names[f"visual_positions.axes.{axis}"] = f"vis_pos_emb.{name}_embed.weight"
    for axis, name in enumerate(("freq", "time")):
        names[f"audio_positions.axes.{axis}"] = f"aud_pos_emb.{name}_embed.weight"
    for layer in range(sizes["layers"]):
        block = f"blocks.{layer}"
        for kind in ("weight", "bias"):
            parts = (f"{block}.attn.{part}.{kind}" for part in ("query", "key", "value"))
            names[f"{block}.attention.in_{kind}"] = (joined, *parts)
        pairs = {"attention.out_projection": "attn.proj", "attention_norm": "ln1", "feedforward_norm": "ln2"}
        for ours, theirs in {**pairs, "widen": "mlp.0", "narrow": "mlp.2"}.items():
            names |= both(f"{block}.{ours}", f"{block}.{theirs}")
    load(network, names, published)
    visual, audio = inputs(held, "visual", "audio")
    logits = network(visual, audio)
    loss = functional.cross_entropy(logits, held["input/target"])
    loss.backward()
    assert_equal({"logits": logits, "loss": loss}, below(held, "output"))
    assert_equal(_grads(visual=visual, audio=audio), below(held, "grad_input"))
    assert_gradients(network, names, below(held, "grad"))


# LAVISH


def _adapter(ours: str, theirs: str, *, batch_norm: bool = True) -> Names:
    dot = f"{theirs}." if theirs else ""
    names: Names = {
        f"{ours}latents": f"{dot}my_tokens",
        f"{ours}gather_gate": f"{dot}gate_av",
        f"{ours}gate": f"{dot}gate",
        f"{ours}down.weight": f"{dot}down_sampler.weight",
        f"{ours}up.weight": f"{dot}up_sampler.weight",
        **both(f"{ours}norm", f"{dot}ln_before"),
        **both(f"{ours}closing_norm", f"{dot}ln_post"),
    }
    if batch_norm:
        for our, their in (("down_norm", "bn1"), ("up_norm", "bn2")):
            names |= both(f"{ours}{our}", f"{dot}{their}")
            names |= {f"{ours}{our}.{kind}": f"{dot}{their}.{kind}" for kind in ("running_mean", "running_var")}
    return names


@pytest.mark.parametrize("case", ["adapter_eval", "adapter_train", "adapter_plain"])
def test_an_adapter_of_lavish(of_file, case):
    held = of_file("lavish")
    sizes = config(held, f"{case}/config")
    adapter = Adapter(
        sizes["width"],
        reduction=sizes["reduction"],
        num_latents=sizes["tokens"],
        groups=sizes["groups"],
        batch_norm=bool(sizes["use_bn"]),
    )
    names = _adapter("", "", batch_norm=bool(sizes["use_bn"]))
    load(adapter, names, below(held, f"{case}/weight"))
    adapter.train(bool(sizes["train"]))
    x, other = inputs(held, "x", "other", prefix=f"{case}/input")
    residual = adapter(x, other)
    (residual * held[f"{case}/input/probe"]).sum().backward()
    got = {"residual": residual}
    if sizes["use_bn"] and sizes["train"]:
        for ours, theirs in (("down_norm", "bn1"), ("up_norm", "bn2")):
            norm = getattr(adapter, ours)
            got |= {f"{theirs}.running_mean": norm.running_mean, f"{theirs}.running_var": norm.running_var}
    assert_equal(got, below(held, f"{case}/output"))
    assert_equal(_grads(x=x, other=other), below(held, f"{case}/grad_input"))
    assert_gradients(adapter, names, below(held, f"{case}/grad"))


class TinyBlock(nn.Module):
    """A block with the six parts of open_clip's, of ours."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.inner = Block(Sizes(width, num_heads, 4 * width), BlockKind(norm_eps=1e-6))
        self.ls_1 = self.ls_2 = nn.Identity()

    @property
    def ln_1(self):
        return self.inner.attention_norm

    @property
    def ln_2(self):
        return self.inner.feedforward_norm

    def attention(self, x):
        return self.inner.attention(x)[0]

    def mlp(self, x):
        return self.inner.narrow(functional.gelu(self.inner.widen(x)))


class TinyTower(nn.Module):
    """A vision transformer as small as the golden one, with adapters and classifier."""

    def __init__(self, sizes, groups, hidden, classes) -> None:
        super().__init__()
        width, patches = sizes["width"], (sizes["image"] // sizes["patch"]) ** 2
        self.summary = nn.Parameter(torch.zeros(width))
        self.positions = nn.Parameter(torch.zeros(patches + 1, width))
        self.patches = nn.Conv2d(3, width, sizes["patch"], sizes["patch"])
        self.blocks = nn.ModuleList(TinyBlock(width, sizes["heads"]) for _ in range(sizes["depth"]))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        shape = {"reduction": sizes["reduction"], "num_latents": sizes["tokens"], "groups": groups}
        self.adapters = TwoStreams(width, sizes["depth"], **shape)
        self.head = SegmentHead(width, hidden, classes)

    def embed(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.summary.expand(len(tokens), 1, -1), tokens), dim=1)
        return tokens + stretched(self.positions, tokens.shape[1])

    def summaries(self, frames, spectrograms):
        audio = self.embed(spectrograms.flatten(0, 1)[:, None].repeat(1, 3, 1, 1))
        audio, visual = self.adapters(audio, self.embed(frames.flatten(0, 1)), list(self.blocks))
        return self.norm(audio)[:, 0], self.norm(visual)[:, 0]


ADAPTERS = {
    "audio_attention": "audio_adapter_blocks_p1",
    "audio_layers": "audio_adapter_blocks_p2",
    "visual_attention": "vis_adapter_blocks_p1",
    "visual_layers": "vis_adapter_blocks_p2",
}


def test_the_tower_of_lavish(of_file):
    held = of_file("lavish")
    case = "tower_eval"
    sizes, published = config(held, f"{case}/config"), below(held, f"{case}/weight")
    groups = sizes["width"] // published["audio_adapter_blocks_p1.0.down_sampler.weight"].shape[1]
    tower = TinyTower(sizes, groups, *(published[f"{name}.bias"].numel() for name in ("mlp_class", "mlp_class_2")))
    names: Names = {
        "summary": "ViT.v.cls_token",
        "positions": "ViT.v.pos_embed",
        **both("patches", "ViT.v.patch_embed.proj"),
        **both("norm", "ViT.v.norm"),
        **both("head.first", "mlp_class"),
        **both("head.second", "mlp_class_2"),
    }
    for layer in range(sizes["depth"]):
        names |= timm_block(f"blocks.{layer}.inner", f"ViT.v.blocks.{layer}")
        for ours, theirs in ADAPTERS.items():
            names |= _adapter(f"adapters.{ours}.{layer}.", f"{theirs}.{layer}")
    load(tower, names, published)
    for part in (tower.blocks, tower.patches, tower.norm):
        part.requires_grad_(False)
    tower.summary.requires_grad_(False)
    tower.positions.requires_grad_(False)
    tower.eval()
    audio, visual = tower.summaries(held[f"{case}/input/frames"], held[f"{case}/input/spectrograms"])
    probs = tower.head(audio, visual)
    loss = functional.binary_cross_entropy(probs, held[f"{case}/input/truth"])
    loss.backward()
    got = {"cls_audio_then_visual": torch.cat((audio, visual), dim=1), "probs": probs, "loss_bce": loss}
    assert_equal(got, below(held, f"{case}/output"))
    assert_gradients(tower, names, below(held, f"{case}/grad"))
    fresh = TwoStreams(sizes["width"], sizes["depth"], reduction=sizes["reduction"], groups=groups)
    tower.adapters = fresh.double().eval()
    images = held[f"{case}/input/frames"].flatten(0, 1)
    alone = tower.embed(images)
    for block in tower.blocks:
        alone = alone + block.attention(block.ln_1(alone))
        alone = alone + block.mlp(block.ln_2(alone))
    with_other, _ = tower.adapters(tower.embed(images), tower.embed(images.flip(0)), list(tower.blocks))
    assert torch.equal(with_other, alone), "closed gates leave the tower as it is"
