"""Which weights are known, which are refused for what they show, and which are only warned of.

Weight files: what is read, what is refused, and that nothing in them is executed.

TorchScript archives: their weights are read, their code is not run.
"""

import math
import os
import pickle
import re
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.label_harvest.teachers.test_clap import laion_names, small
from tests.label_harvest.teachers.test_clap import tiny_network as tiny_clap
from tests.label_harvest.teachers.test_clip import tiny_network as tiny_clip
from valor.label_harvest.disk import file_sha256
from valor.label_harvest.teachers import published_weights
from valor.label_harvest.teachers.clap_models import LAION_CHECKPOINTS, LAION_PREFIX, load_clap
from valor.label_harvest.teachers.clip import load_open_clip, parse_name
from valor.label_harvest.teachers.published_weights import (
    PUBLISHED_FILES,
    PublishedFile,
    WeightsOrigin,
    check_trained,
    check_weights,
    published_file,
)
from valor.label_harvest.teachers.weights import is_script, read_script_weights, read_state, state_digest


@pytest.mark.parametrize("protocol", [2, 4])
def test_training_checkpoints_are_read_whatever_lies_beside_the_weights(tmp_path, protocol):
    path = tmp_path / "w.pt"
    shared = torch.arange(6.0)
    weights = OrderedDict(
        {
            "module.a": shared.view(2, 3).T,
            "module.b": shared[2:4],
            "module.half": torch.ones(2, dtype=torch.float16),
            "module.count": torch.tensor(7),
            "module.empty": torch.zeros(0),
            "module.weight": torch.nn.Parameter(torch.ones(2)),
        }
    )
    beside = {"epoch": np.int64(3), "best": np.float64(0.5), "optimizer": {"lr": [1e-3, (0.9,)]}}
    torch.save({**beside, "state_dict": weights}, path, pickle_protocol=protocol)
    state = read_state(path)
    assert state.keys() == {name.removeprefix("module.") for name in weights}
    for name, tensor in state.items():
        assert torch.equal(tensor, weights[f"module.{name}"]) and tensor.dtype == weights[f"module.{name}"].dtype


PLAIN = {"stem.weight": torch.arange(6.0).view(2, 3), "encoder.layers.0.bias": torch.ones(2)}


def under(prefix, **beside):
    return {prefix + name: tensor for name, tensor in PLAIN.items()} | beside


WRAPPED = {
    "plain": PLAIN,
    "torch.compile": under("_orig_mod."),
    "a compiled part": {
        "stem._orig_mod.weight": PLAIN["stem.weight"],
        "encoder.layers.0._orig_mod.bias": torch.ones(2),
    },
    "DataParallel": under("module."),
    "compiled in DataParallel": under("module._orig_mod."),
    "DataParallel, compiled": under("_orig_mod.module."),
    "AveragedModel": under("module.", n_averaged=torch.tensor(5)),
    "state_dict": {"epoch": 3, "state_dict": PLAIN},
    "model": {"model": PLAIN, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}, "args": {"lr": 1e-3}},
    "model_state_dict": {"model_state_dict": PLAIN, "loss": 0.5},
    "net": {"net": PLAIN, "acc": 71.0},
    "DeepSpeed": {"module": under("module."), "global_steps": 9},
    "one in the other": {"state_dict": {"model": under("module."), "step": 3}},
    "Lightning": {"pytorch-lightning_version": "2.5.0", "state_dict": under("model."), "loops": {}},
    "Lightning with a loss, compiled": {
        "pytorch-lightning_version": "2.5.0",
        "state_dict": under("model._orig_mod.", **{"loss.pos_weight": torch.ones(25)}),
    },
    "a model in a Lightning module in DataParallel": under("module.model."),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_what_training_scripts_wrap_around_weights_is_taken_off(tmp_path, name):
    torch.save(WRAPPED[name], tmp_path / "w.pt")
    state = read_state(tmp_path / "w.pt")
    assert state.keys() == PLAIN.keys() and all(torch.equal(state[key], PLAIN[key]) for key in PLAIN)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model": PLAIN, "state_dict": PLAIN}, "holds weights under state_dict and model; save the ones"),
        ({"stem.weight": torch.ones(1), "module.stem.weight": torch.ones(1)}, "two tensors that are both stem.weight"),
        ({"student": PLAIN, "teacher": PLAIN}, "got dict without any; its keys are student, teacher"),
    ],
)
def test_weights_that_are_not_told_apart_are_refused_with_what_was_found(tmp_path, content, said):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=f"w.pt: .*{said}"):
        read_state(tmp_path / "w.pt")


def test_a_network_whose_own_names_begin_so_keeps_them(tmp_path):
    own = {"model.0.weight": torch.ones(2), "head.weight": torch.ones(3)}
    torch.save(own, tmp_path / "w.pt")
    assert read_state(tmp_path / "w.pt").keys() == own.keys()


class Touch:
    """A pickle that would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path):
    trap = tmp_path / "trap"
    for protocol in (2, 4):
        contents = {"state_dict": {"a": torch.ones(1)}, "extra": Touch(trap)}
        torch.save(contents, tmp_path / f"w{protocol}.pt", pickle_protocol=protocol)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Touch(trap)))
    for name in ("w2.pt", "w4.pt", "plain.pt"):
        with pytest.raises(ValueError, match=f"{name}: not loadable without executing code in it .*convert it once"):
            read_state(tmp_path / name)
    assert not trap.exists()


@pytest.mark.parametrize("content", [pickle.dumps({"a": torch.ones(2)}), b"hello world this is no pickle"])
def test_what_torch_did_not_write_is_refused_in_words(tmp_path, recwarn, content):
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match="it is a bare pickle or something else, not a file of torch.save.; convert it"
    ):
        read_state(path)
    assert not [warning for warning in recwarn if "pickle protocol" in str(warning.message)]


def test_a_tensor_that_reaches_past_its_storage_is_refused(tmp_path):
    whole = tmp_path / "w.pt"
    torch.save({"a": torch.ones(1000), "n": np.int64(1)}, whole, pickle_protocol=4)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(tmp_path / "cut.pt", "w") as cut:
        for name in source.namelist():
            cut.writestr(name, source.read(name)[: 40 if "/data/" in name else None])
    with pytest.raises(ValueError, match="not loadable"):
        read_state(tmp_path / "cut.pt")


@pytest.mark.parametrize("name", ["zip.pt", "old.pt", "w.safetensors"])
def test_what_a_broken_download_leaves_is_to_be_fetched_again_not_converted(tmp_path, name):
    path, state = tmp_path / name, {"a": torch.ones(1000)}
    if path.suffix == ".pt":
        torch.save(state, path, _use_new_zipfile_serialization=name == "zip.pt")
    else:
        save_file(state, path)
    whole = path.read_bytes()
    for size in (5, 60, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=f"{name}: the file is cut off .*; fetch the file again") as caught:
            read_state(path)
        assert "executing" not in str(caught.value)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=f"{name}: the file is empty; fetch the file again"):
        read_state(path)


def test_an_archive_that_claims_more_than_it_has_or_a_part_twice_is_refused(tmp_path):
    torch.save({"a": torch.zeros(100_000)}, tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt") as whole:
        parts = [(info.filename, whole.read(info)) for info in whole.infolist()]
    with zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for part in parts:
            packed.writestr(*part)
    with pytest.raises(ValueError, match=r"small.pt: the file has [\d,]+ bytes and claims 40\d,\d+; fetch"):
        read_state(tmp_path / "small.pt")
    with zipfile.ZipFile(tmp_path / "w.pt", "a") as twice, pytest.warns(UserWarning, match="Duplicate name"):
        twice.writestr(*parts[0])
    with pytest.raises(ValueError, match="w.pt: the file holds two parts of one name"):
        read_state(tmp_path / "w.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_one_element_that_is_shown_as_terabytes_is_refused(tmp_path, zipped):
    held = {"a": torch.zeros(1).expand(1 << 40), "n": np.int64(1)} if zipped else {"a": torch.zeros(1).expand(1 << 40)}
    torch.save(held, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"w.pt: the file has [\d,]+ bytes and its tensors claim 4,398,046,511,104"):
        read_state(tmp_path / "w.pt")


def test_a_changed_bit_in_a_part_of_a_torch_file_is_refused_by_name(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"a": torch.arange(64.0)}, path)
    whole = path.read_bytes()
    at = whole.index(torch.arange(64.0).numpy().tobytes()) + 17
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert torch.load(path, weights_only=True)["a"].shape == (64,)  # which says nothing
    with pytest.raises(ValueError, match=r"w\.pt: the checksum of its part w/data/0 differs, it is damaged; fetch"):
        read_state(path)


def test_files_without_tensors_and_missing_files_are_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="expected a state dict of tensors, got dict without any"):
        read_state(tmp_path / "w.pt")
    torch.save(torch.ones(3), tmp_path / "t.pt")
    with pytest.raises(ValueError, match="expected a state dict of tensors, got Tensor"):
        read_state(tmp_path / "t.pt")
    (tmp_path / "w.safetensors").write_bytes(b"not one")
    with pytest.raises(ValueError, match=r"w\.safetensors: the file is cut off or damaged .*; fetch the file again"):
        read_state(tmp_path / "w.safetensors")
    with pytest.raises(FileNotFoundError, match="no such checkpoint; give a .safetensors or .pt file"):
        read_state(tmp_path / "absent.pt")


def test_the_digest_names_the_weights_not_the_file(tmp_path):
    state = {"b": torch.arange(3), "a": torch.ones(2, 2).T, "s": torch.tensor(1.5)}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "w.safetensors")
    torch.save(dict(reversed(state.items())), tmp_path / "w.pt")
    digests = {state_digest(read_state(tmp_path / name)) for name in ("w.safetensors", "w.pt")}
    assert digests == {state_digest(state)}
    for changed in ({**state, "b": torch.arange(3) + 1}, {**state, "b": torch.arange(3).int()}, {"c": state["b"]}):
        assert state_digest(changed) not in digests


def test_a_pin_names_the_weights_or_the_file(tmp_path, caplog):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path)
    weights = state_digest(read_state(path))
    check_weights(path, weights, pin=weights[:12].upper())
    check_weights(path, weights, pin=file_sha256(path))
    with pytest.raises(
        ValueError, match=f"wanted weights of sha256 {'0' * 12}, got {weights} .the file: {file_sha256(path)}"
    ):
        check_weights(path, weights, pin="0" * 12)
    for pin in ("beef", "x" * 20, "0" * 65):
        with pytest.raises(ValueError, match="must be 12 to 64 hexadecimal digits"):
            check_weights(path, weights, pin=pin)


def test_unknown_weights_are_warned_of_with_the_way_to_pin_them(tmp_path, caplog):
    caplog.set_level("WARNING")  # what --quiet leaves
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path)
    origin = check_weights(path, "1" * 64, teacher="laion:630k-fusion", role="audio")
    assert origin == WeightsOrigin("w.safetensors", file_sha256(path), "1" * 64, "unverified")
    assert "UNVERIFIED weights for laion:630k-fusion" in caplog.text and file_sha256(path) in caplog.text
    assert f"`pins` audio={'1' * 64}" in caplog.text
    caplog.clear()
    assert check_weights(path, "1" * 64, pin="1" * 12).checked == "pinned"
    assert check_weights(path, "1" * 64, fetched=True).checked == "known"
    assert not caplog.text


def test_a_file_of_the_hubs_cache_must_be_what_it_is_named_after(tmp_path):
    (tmp_path / "blobs").mkdir()
    blob = tmp_path / "blob"
    save_file({"a": torch.ones(2)}, blob)
    named = blob.rename(tmp_path / "blobs" / file_sha256(blob))
    (tmp_path / "model.safetensors").symlink_to(named)
    assert check_weights(tmp_path / "model.safetensors", "w").checked == "unverified"  # of whichever model it is
    named.write_bytes(named.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"must have sha256 {named.name}, got .*; it is damaged, fetch it again"):
        check_weights(tmp_path / "model.safetensors", "w")


def test_a_known_hash_is_checked(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path)
    assert check_weights(path, "w", known=file_sha256(path)).checked == "known"
    with pytest.raises(ValueError, match="damaged"):
        check_weights(path, "w", known="0" * 64)


class Small(torch.nn.Module):
    """Weights of every sort, a mask that is none, and settings."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
        self.scale = torch.nn.Parameter(torch.tensor(1.5))
        self.register_buffer("steps", torch.arange(3))
        self.register_buffer("derived", torch.ones(2), persistent=False)
        self.mask = torch.ones(2, 2)
        self.sizes = [1, 2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x) * self.scale


@pytest.fixture(params=["script", "trace"])
def archive(request, tmp_path):
    network = Small().eval().half() if request.param == "script" else Small().eval()
    path = tmp_path / "w.pt"
    made = torch.jit.script(network) if request.param == "script" else torch.jit.trace(network, torch.ones(1, 2))
    torch.jit.save(made, path)
    return path


def test_the_weights_are_those_torch_would_give(archive):
    expected = torch.jit.load(archive).state_dict()
    state = read_state(archive)
    assert is_script(archive) and list(state) and state.keys() - {"derived"} == expected.keys() - {"derived"}
    assert "mask" not in state
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor) and state[name].dtype == tensor.dtype


def test_an_archive_that_names_anything_else_is_refused(archive, tmp_path):
    trapped = tmp_path / "trap.pt"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(trapped, "w") as copy:
        for name in source.namelist():
            data = source.read(name)
            copy.writestr(name, b"cposix\nsystem\n(S'touch /tmp/trapped'\ntR." if name.endswith("data.pkl") else data)
    with pytest.raises(ValueError, match="not loadable without executing code in it .*it names posix.system"):
        read_state(trapped)


def test_an_archive_without_a_module_is_refused(archive, tmp_path):
    empty = tmp_path / "empty.pt"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(empty, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, b"]." if name.endswith("data.pkl") else source.read(name))
    with pytest.raises(ValueError, match="expected a module in the archive, got list"):
        read_script_weights(empty)


OPENAI = "open_clip:RN50-quickgelu/openai"


def test_openais_digests_are_those_of_the_addresses_open_clip_fetches_from():
    import open_clip

    told = set()
    for model, tag in open_clip.list_pretrained():
        address = open_clip.get_pretrained_cfg(model, tag).get("url", "")
        found = re.search(r"openaipublic.*/([0-9a-f]{64})/(.*)$", address)
        if found and model.endswith("-quickgelu"):
            told.add((f"open_clip:{model}/{tag}", *found.groups()))
    ours = {(entry.teacher, sha, entry.file) for sha, entry in PUBLISHED_FILES.items() if "azure" in entry.where}
    assert ours == told and len(ours) == 9


def test_every_known_file_has_a_name_that_can_be_asked_for():
    for sha256, entry in PUBLISHED_FILES.items():
        assert re.fullmatch(r"[0-9a-f]{64}", sha256)
        if entry.teacher.startswith("open_clip:"):
            parse_name(entry.teacher)
        elif entry.teacher.startswith(LAION_PREFIX):
            assert LAION_CHECKPOINTS[entry.teacher.removeprefix(LAION_PREFIX)].file == entry.file


@pytest.fixture
def known(tmp_path, monkeypatch):
    """A file that is on record as that of laion:630k-audioset."""
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path)
    entry = PublishedFile("laion:630k-audioset", "630k-audioset-best.pt", "somewhere")
    monkeypatch.setitem(PUBLISHED_FILES, file_sha256(path), entry)
    return path


def test_a_known_file_is_taken_without_a_word(known, caplog):
    for teacher in ("laion:630k-audioset", "hf:mine", "open_clip:local-dir:mine"):  # a folder promises nothing
        assert check_weights(known, "w", teacher=teacher).checked == "known"
    assert not caplog.text


def test_a_known_file_under_another_name_is_refused(known):
    message = "laion:630k: the file is 630k-audioset-best.pt of somewhere, .* ask for that teacher"
    with pytest.raises(ValueError, match=message):
        check_weights(known, "w", teacher="laion:630k", pin=file_sha256(known))
    assert published_file("laion:630k", "0" * 64) is None


def save_clip(path, network):
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)
    return path


@pytest.fixture
def as_tiny(monkeypatch):
    import open_clip

    monkeypatch.setattr(open_clip, "create_model", lambda name, **_: tiny_clip())


def test_an_untrained_network_is_not_openais(tmp_path, as_tiny, caplog):
    network = tiny_clip()
    network.logit_scale.data.fill_(math.log(1 / 0.07))  # as open_clip.create_model(..., pretrained=None) builds it
    path = save_clip(tmp_path / "gelu.safetensors", network)
    message = (
        f"{OPENAI}: these are not the published weights: their logit scale is 14.29, OpenAI's is 100.00; .*local-dir"
    )
    with pytest.raises(ValueError, match=message):
        load_open_clip(parse_name(OPENAI), checkpoint=path)
    assert not caplog.text  # the refusal says it all


def test_weights_finer_than_half_precision_are_not_openais(tmp_path, as_tiny):
    network = tiny_clip()
    network.transformer.resblocks[0].mlp.c_fc.weight.data *= 1.0001  # as after a step of somebody's own
    path = save_clip(tmp_path / "tuned.safetensors", network)
    with pytest.raises(ValueError, match=r"transformer.resblocks.0.mlp.c_fc.weight holds values finer than the half"):
        load_open_clip(parse_name(OPENAI), checkpoint=path)


@pytest.mark.parametrize("half", [False, True])
def test_a_copy_that_could_be_openais_is_loaded_with_a_warning(tmp_path, as_tiny, caplog, half):
    network = tiny_clip().half() if half else tiny_clip()
    model = load_open_clip(parse_name(OPENAI), checkpoint=save_clip(tmp_path / "copy.safetensors", network))
    assert model.origin.checked == "unverified" and model.origin.weights == model.weights
    assert f"copy.safetensors: UNVERIFIED weights for {OPENAI}" in caplog.text
    assert f"`pins` visual={model.weights}" in caplog.text


def test_other_tags_and_folders_promise_nothing_of_openais():
    state = {"logit_scale": torch.tensor(2.0), "visual.conv1.weight": torch.full((2, 2), 1 / 3)}
    for teacher in ("open_clip:ViT-L-14/laion2b_s32b_b82k", "open_clip:local-dir:/a/openai", "hf:mine"):
        check_trained(teacher, state)
    with pytest.raises(ValueError, match="not the published weights"):
        check_trained("open_clip:ViT-L-14-quickgelu/openai@squash", state)


def trained(*, scale=2.9, statistics=True):
    network = tiny_clap(fusion=False)
    network.logit_scale_a.data.fill_(scale)
    if not statistics:
        network.audio_model.audio_encoder.batch_norm.reset_running_stats()
    return network.state_dict()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"scale": math.log(1 / 0.07)}, "their logit scale is 14.2857; after training it is from 1 to 100"),
        ({"scale": math.log(120)}, "their logit scale is 120.0000"),
        ({"statistics": False}, "the statistics of their spectrograms were never updated"),
    ],
)
def test_untrained_networks_are_not_laions(tmp_path, monkeypatch, changes, told):
    monkeypatch.setattr(type(LAION_CHECKPOINTS["630k"]), "config", property(lambda entry: small(fusion=entry.fusion)))
    monkeypatch.setattr("valor.label_harvest.teachers.clap_models._tokenizer", lambda *_: pytest.fail("it was taken"))
    torch.save(laion_names(trained(**changes)), tmp_path / "w.pt")
    with pytest.raises(ValueError, match=f"laion:630k: these are not the published weights: {told}.*hf:FOLDER"):
        load_clap("laion:630k", checkpoint=tmp_path / "w.pt")


def test_a_trained_copy_of_a_laion_checkpoint_is_loaded_with_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(type(LAION_CHECKPOINTS["630k"]), "config", property(lambda entry: small(fusion=entry.fusion)))
    monkeypatch.setattr("valor.label_harvest.teachers.clap_models._tokenizer", lambda *_: None)
    torch.save(laion_names(trained()), tmp_path / "w.pt")
    model = load_clap("laion:630k", checkpoint=tmp_path / "w.pt")
    assert model.origin.checked == "unverified" and f"`pins` audio={model.weights}" in caplog.text


def test_a_known_file_is_not_asked_what_it_shows(tmp_path, monkeypatch, as_tiny):
    """Were a fact above wrong, the published file itself must still be taken."""
    network = tiny_clip()
    network.logit_scale.data.fill_(3.0)
    path = save_clip(tmp_path / "w.safetensors", network)
    monkeypatch.setitem(published_weights.PUBLISHED_FILES, file_sha256(path), PublishedFile(OPENAI, "RN50.pt", "here"))
    assert load_open_clip(parse_name(OPENAI), checkpoint=path).origin.checked == "known"
