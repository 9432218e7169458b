"""Published checkpoints in and out: the same tensors, the same outputs, and no file that says less than it should."""

import hashlib
import json
import os
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.plain_han import PlainHan
from tests.helpers.typed import typed
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.parsers.build import build_parser
from valor.parsers.options import PARSERS, ParserOptions
from valor.parsers.published import METHOD_NAMES, published_name, to_published, used_by_han
from valor.training.checkpoint import CheckpointCard, read_checkpoint, write_checkpoint
from valor.training.published_checkpoint import export_checkpoint, import_checkpoint
from valor.training.recipes import read_recipe

NAMES = class_names(LLP_CLASSES)
SMALL = ParserOptions(audio_width=768, visual_width=768, hidden_width=32, feedforward_width=48, num_layers=2)


def published_state(options: ParserOptions = SMALL) -> OrderedDict:
    """A state dict under the published names, the closing norms as training leaves them."""
    state = OrderedDict(to_published(build_parser(options, seed=5).state_dict()))
    if options.norm_order == "pre":
        state["hat_encoder.final_norm_a.bias"] = state["hat_encoder.final_norm_a.bias"] + 0.25
    return state


def save(state: object, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return save(published_state(), tmp_path / "models/model_VALOR++/checkpoint_best.pt")


def test_a_run_is_made_whose_parser_computes_the_same(checkpoint, tmp_path):
    recipe = import_checkpoint(checkpoint, tmp_path / "run", class_names=NAMES)
    assert recipe.parser == SMALL
    assert (recipe.features.audio, recipe.features.visual, recipe.features.motion) == ("clap", "clip", "r2plus1d")
    assert read_recipe(tmp_path / "run/recipe.json") == recipe
    parser, card = read_checkpoint(tmp_path / "run", class_names=NAMES)
    assert card.recipe["name"] == "run" and not parser.training
    inputs = [torch.randn(2, 10, width) for width in (768, 768, 512)]
    expected = build_parser(SMALL, seed=5).eval()(*inputs)
    assert torch.equal(parser(*inputs).segment_logits, expected.segment_logits)


def test_what_other_training_scripts_save_is_recognised(tmp_path):
    wrapped = {f"module._orig_mod.{name}": tensor for name, tensor in published_state().items()}
    save({"epoch": 12, "model_state_dict": wrapped}, tmp_path / "w.pt")
    assert import_checkpoint(tmp_path / "w.pt", tmp_path / "run", class_names=NAMES).parser == SMALL


@pytest.mark.parametrize("name", ["valor", "valor+", "valor++", "valor++ pre-norm"])
def test_the_published_configurations_are_recognised(tmp_path, name):
    options = PARSERS[name]
    path = save(published_state(options), tmp_path / "checkpoint_best.pt")
    recipe = import_checkpoint(path, tmp_path / "run", class_names=NAMES, norm_order=options.norm_order)
    assert recipe.parser == options
    assert recipe.features.audio == ("clap" if "++" in name else "vggish")


@pytest.mark.parametrize("norm_order", ["post", "pre"])
def test_out_and_in_again_is_the_same_state(tmp_path, norm_order):
    state = published_state(replace(SMALL, norm_order=norm_order))
    path = save(state, tmp_path / "in.pt")
    import_checkpoint(path, tmp_path / "run", class_names=NAMES, norm_order=norm_order)
    assert export_checkpoint(tmp_path / "run", tmp_path / "out/checkpoint_best.pt") == len(state)
    back = torch.load(tmp_path / "out/checkpoint_best.pt", weights_only=True)
    assert type(back) is OrderedDict and back.keys() == state.keys()
    for key, tensor in state.items():
        assert back[key].dtype == tensor.dtype and torch.equal(back[key], tensor)
    assert os.listdir(tmp_path / "out") == ["checkpoint_best.pt"]


def test_the_golden_network_goes_through(shared, tmp_path):
    state = to_published(build_parser(PARSERS["valor++"], seed=87).state_dict())
    golden = json.loads((shared / "golden" / "init.json").read_text())["valorpp_seed87"]
    assert {key: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for key, tensor in state.items()} == {
        key: stored["sha256"] for key, stored in golden.items()
    }
    path = save(state, tmp_path / "checkpoint_best.pt")
    assert import_checkpoint(path, tmp_path / "run", class_names=NAMES).parser == PARSERS["valor++"]
    export_checkpoint(tmp_path / "run", tmp_path / "out.pt")
    back = torch.load(tmp_path / "out.pt", weights_only=True)
    assert back.keys() == state.keys() and all(torch.equal(back[name], state[name]) for name in state)


def without(name: str) -> OrderedDict:
    return OrderedDict((key, value) for key, value in published_state().items() if key != name)


def changed(name: str, tensor: torch.Tensor) -> OrderedDict:
    return OrderedDict(published_state(), **{name: tensor})


@pytest.mark.parametrize(("state", "message"), [
    (without("fc_a.weight"), "expected the state dict of a published HAN, VALOR"),
    (without("hat_encoder.layers.1.linear1.bias"), r"1 tensors missing \['encoder.layers.1.widen.bias'\]"),
    (changed("audio_encoder.layers.0.linear1.weight", torch.ones(2, 2)), "networks of other parts compute something"),
    (changed("fc_prob.bias", torch.ones(24)), r"1 of another shape \['classifier.bias'\]"),
    (changed("fc_prob.bias", torch.full((25,), torch.nan)), "got others in 1 tensors such as fc_prob.bias"),
    (changed("fc_prob.bias", torch.ones(25, dtype=torch.int64)), "finite floats, got others in 1 tensors"),
    (changed("fc_a.weight", torch.ones(768)), "expected matrices of weights"),
    (published_state(replace(SMALL, audio_width=512)), r"audio .* width 512; .* 128 \(vggish\), 768 \(clap\)"),
    (published_state(replace(SMALL, num_classes=10)), "knows 10 classes, the vocabulary has 25"),
    ({"epoch": 3}, "expected a state dict of tensors"),
])  # fmt: skip
def test_what_is_no_such_checkpoint_is_refused_and_nothing_is_written(tmp_path, state, message):
    path = save(state, tmp_path / "checkpoint_best.pt")
    with pytest.raises(ValueError, match=message):
        import_checkpoint(path, tmp_path / "run", class_names=NAMES)
    assert not (tmp_path / "run").exists()


class Trap:
    """A pickle that would end the process."""

    def __reduce__(self) -> tuple:
        return os._exit, (3,)


def test_a_cut_off_file_and_one_that_runs_code_are_refused(checkpoint, tmp_path):
    torn = tmp_path / "torn.pt"
    torn.write_bytes(checkpoint.read_bytes()[:-1000])
    save({"fc_a.weight": Trap()}, tmp_path / "code.pt")
    (tmp_path / "empty.pt").touch()
    for path, message in (
        (torn, "torn.pt: the file is cut off after .*; fetch the file again"),
        (tmp_path / "empty.pt", "empty.pt: the file is empty; fetch the file again"),
        (tmp_path / "code.pt", "code.pt: not loadable without executing code in it"),
    ):
        with pytest.raises(ValueError, match=message):
            import_checkpoint(path, tmp_path / "run", class_names=NAMES)
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        import_checkpoint(tmp_path / "absent.pt", tmp_path / "run", class_names=NAMES)


def test_trained_closing_norms_contradict_post(tmp_path):
    path = save(published_state(replace(SMALL, norm_order="pre")), tmp_path / "checkpoint_best.pt")
    with pytest.raises(ValueError, match="its closing norms were trained, .*pass norm_order='pre'"):
        import_checkpoint(path, tmp_path / "run", class_names=NAMES)


def test_heads_must_divide_the_width(checkpoint, tmp_path):
    with pytest.raises(ValueError, match="num_heads must divide hidden_width 32, got 5"):
        import_checkpoint(checkpoint, tmp_path / "run", class_names=NAMES, num_heads=5)


def test_a_run_is_never_replaced(checkpoint, tmp_path):
    import_checkpoint(checkpoint, tmp_path / "run", class_names=NAMES)
    with pytest.raises(ValueError, match="holds a run already; name another folder"):
        import_checkpoint(checkpoint, tmp_path / "run", class_names=NAMES)


@pytest.mark.parametrize("change", [{"motion_width": 0}, {"pooling": "max"}, {"time_codes": 0.5}])
def test_parsers_without_a_published_form_are_refused(tmp_path, change):
    parser = build_parser(replace(SMALL, **change), seed=0)
    write_checkpoint(tmp_path / "run/best.safetensors", parser, CheckpointCard(class_names=NAMES))
    with pytest.raises(ValueError, match="only its own format holds (it|them)"):
        export_checkpoint(tmp_path / "run", tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()


def test_the_commands(checkpoint, tmp_path):
    done = typed("import", "checkpoint", checkpoint, "--out", tmp_path / "run", "--quiet")
    assert done.code == 0 and done.out.startswith("2 post-norm layers of width 32 on clap, clip and r2plus1d features;")
    done = typed("export", "checkpoint", tmp_path / "run", "--out", tmp_path / "out.pt", "--quiet")
    assert done.code == 0 and done.out == f"{len(published_state())} tensors; wrote {tmp_path / 'out.pt'}\n"
    assert "--folded has no meaning for `valor export checkpoint`" in typed(
        "export", "checkpoint", tmp_path / "run", "--out", tmp_path / "o.pt", "--folded"
    ).complaint()  # fmt: skip


HAN = replace(PARSERS["valor"], num_heads=1, feedforward_width=512, update_order="together")


class HanParts(torch.nn.Module):
    """Everything HAN's code of 2020 makes, by its names; it runs only what is in `used_by_han`."""

    def __init__(self, width: int = 512, inner: int = 512) -> None:
        super().__init__()
        for name in ("fc_prob", "fc_frame_att", "fc_av_att"):
            setattr(self, name, torch.nn.Linear(width, 25))
        self.fc_a, self.fc_v, self.fc_st = (torch.nn.Linear(features, width) for features in (128, 2048, 512))
        self.fc_fusion = torch.nn.Linear(2 * width, width)
        for name in ("audio_encoder", "visual_encoder"):
            layer = torch.nn.TransformerEncoderLayer(width, 1, inner)
            setattr(self, name, torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False))
        self.cmt_encoder = self.stack(self.layer(width, inner, ("self_attn",)), width)
        self.hat_encoder = self.stack(self.layer(width, inner, ("self_attn", "cm_attn")), width)

    def layer(self, width: int, inner: int, attentions: tuple[str, ...]) -> torch.nn.Module:
        parts = {name: torch.nn.MultiheadAttention(width, 1) for name in attentions}
        parts |= {"linear1": torch.nn.Linear(width, inner), "linear2": torch.nn.Linear(inner, width)}
        return torch.nn.ModuleDict(parts | {name: torch.nn.LayerNorm(width) for name in ("norm1", "norm2")})

    def stack(self, layer: torch.nn.Module, width: int) -> torch.nn.Module:
        norms = {name: torch.nn.LayerNorm(width) for name in ("norm1", "norm2")}
        return torch.nn.ModuleDict({"layers": torch.nn.ModuleList([layer]), **norms})


@pytest.fixture(scope="module")
def han_state() -> OrderedDict:
    torch.manual_seed(0)
    return HanParts().state_dict()


def test_han_of_2020_comes_in_and_computes_its_definition(han_state, tmp_path):
    recipe = import_checkpoint(save(han_state, tmp_path / "MMIL_Net.pt"), tmp_path / "run", class_names=NAMES)
    assert recipe.parser == HAN
    assert (recipe.features.audio, recipe.features.visual, recipe.features.motion) == ("vggish", "res152", "r2plus1d")
    parser, _ = read_checkpoint(tmp_path / "run")
    plain = PlainHan((128, 2048, 512), 512, 1, 512, 25).eval()
    names = {"audio": "fc_a", "visual": "fc_v", "motion": "fc_st", "fusion": "fc_fusion", "event": "fc_prob"}
    names |= {"when": "fc_frame_att", "which": "fc_av_att"}
    names |= {"along": "hat_encoder.layers.0.self_attn", "across": "hat_encoder.layers.0.cm_attn"}
    names |= {"feedforward.0": "hat_encoder.layers.0.linear1", "feedforward.2": "hat_encoder.layers.0.linear2"}
    names |= {"first": "hat_encoder.layers.0.norm1", "second": "hat_encoder.layers.0.norm2"}
    state = {}
    for name in plain.state_dict():
        part = next(known for known in sorted(names, key=len, reverse=True) if name.startswith(f"{known}."))
        state[name] = han_state[names[part] + name.removeprefix(part)]
    plain.load_state_dict(state)
    inputs = [torch.randn(2, 10, width) for width in (128, 2048, 512)]
    with torch.no_grad():
        expected, output = plain(*inputs), parser(*inputs)
    assert all((getattr(output, name) - value).abs().max() < 1e-6 for name, value in expected.items())


def test_han_goes_out_as_its_code_loads_it(han_state, tmp_path):
    import_checkpoint(save(han_state, tmp_path / "MMIL_Net.pt"), tmp_path / "run", class_names=NAMES)
    assert export_checkpoint(tmp_path / "run", tmp_path / "out.pt") == len(han_state)
    back = torch.load(tmp_path / "out.pt", weights_only=True)
    HanParts().load_state_dict(back)  # strict
    used = used_by_han(han_state)
    assert 20 < len(used) < len(han_state)
    assert all(torch.equal(back[name], tensor) for name, tensor in used.items())
    unused = {name: tensor for name, tensor in back.items() if name not in used}
    assert {tuple(tensor.unique().tolist()) for name, tensor in unused.items() if "norm" in name} == {(1.0,), (0.0,)}
    again = import_checkpoint(tmp_path / "out.pt", tmp_path / "again", class_names=NAMES)
    assert again.parser == HAN


def test_what_hans_code_would_compute_otherwise_is_refused(han_state, tmp_path):
    second = {name.replace("layers.0", "layers.1"): t for name, t in han_state.items() if "hat_encoder.layers" in name}
    deep = save(OrderedDict(han_state, **second), tmp_path / "deep.pt")
    with pytest.raises(ValueError, match=r"deep.pt: HAN's published network has one layer .*, got 2"):
        import_checkpoint(deep, tmp_path / "run", class_names=NAMES)
    path = save(han_state, tmp_path / "han.pt")
    with pytest.raises(ValueError, match="HAN's published network is post-norm, got norm_order='?pre; leave it out"):
        import_checkpoint(path, tmp_path / "run", class_names=NAMES, norm_order="pre")
    assert not (tmp_path / "run").exists()
    assert import_checkpoint(path, tmp_path / "run", class_names=NAMES, num_heads=2).parser.num_heads == 2


def test_a_deeper_parser_of_hans_kind_has_no_published_form(tmp_path):
    parser = build_parser(replace(SMALL, update_order="together"), seed=0)
    write_checkpoint(tmp_path / "run/best.safetensors", parser, CheckpointCard(class_names=NAMES))
    with pytest.raises(ValueError, match="HAN's published network has one post-norm layer, this parser, .* has 2 post"):
        export_checkpoint(tmp_path / "run", tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()


def test_the_command_reads_han(han_state, tmp_path):
    path = save(han_state, tmp_path / "MMIL_Net.pt")
    done = typed("import", "checkpoint", path, "--out", tmp_path / "run", "--quiet")
    assert done.code == 0 and done.out.startswith("1 post-norm layer of width 512 on vggish, res152 and r2plus1d ")


@pytest.mark.parametrize(
    ("name", "network", "widths"),
    [("nrep", "for-against", {"audio_width": 5376, "audio_map": True, "visual_width": 768}),
     ("cmpae", "presence", {"visual_width": 16384, "visual_frames": 8})],
)  # fmt: skip
def test_checkpoints_of_nrep_and_cmpae_are_read(tmp_path, name, network, widths):
    sizes = {"hidden_width": 16, "num_heads": 1, "feedforward_width": 12, "update_order": "together"}
    options = ParserOptions(network=network, stem="elu", visual_dropout=0.5, **sizes, **widths)
    parser, names = build_parser(options, seed=3), METHOD_NAMES[name]
    state = {published_name(key, names): tensor for key, tensor in parser.state_dict().items()}
    for unused in names.unused:  # norms and a head that are built and never run
        state[f"{unused}weight" if unused.startswith(names.encoder) else f"{unused}0.weight"] = torch.ones(16)
    torch.save(state, tmp_path / "net.pt")
    recipe = import_checkpoint(tmp_path / "net.pt", tmp_path / "run", class_names=NAMES)
    read = read_checkpoint(tmp_path / "run")[0]
    assert recipe.parser == options and recipe.features.unfolded and recipe.parser.network == network
    assert all(torch.equal(tensor, parser.state_dict()[key]) for key, tensor in read.state_dict().items())
    del state[next(iter(state))]
    torch.save(state, tmp_path / "cut.pt")
    with pytest.raises(ValueError, match="cut.pt"):
        import_checkpoint(tmp_path / "cut.pt", tmp_path / "other", class_names=NAMES)
