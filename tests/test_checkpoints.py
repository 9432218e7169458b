"""Weight files: what is read, what is refused, and that nothing in them is executed."""

import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from label_harvest.checkpoints import check_weights, file_digest, read_state, state_digest
from label_harvest.published_weights import WeightsOrigin


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
    check_weights(path, weights, pin=file_digest(path))
    with pytest.raises(
        ValueError, match=f"wanted weights of sha256 {'0' * 12}, got {weights} .the file: {file_digest(path)}"
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
    assert origin == WeightsOrigin("w.safetensors", file_digest(path), "1" * 64, "unverified")
    assert "UNVERIFIED weights for laion:630k-fusion" in caplog.text and file_digest(path) in caplog.text
    assert f"--sha256 audio={'1' * 64}" in caplog.text
    caplog.clear()
    assert check_weights(path, "1" * 64, pin="1" * 12).checked == "pinned"
    assert check_weights(path, "1" * 64, fetched=True).checked == "known"
    assert not caplog.text


def test_a_file_of_the_hubs_cache_must_be_what_it_is_named_after(tmp_path):
    (tmp_path / "blobs").mkdir()
    blob = tmp_path / "blob"
    save_file({"a": torch.ones(2)}, blob)
    named = blob.rename(tmp_path / "blobs" / file_digest(blob))
    (tmp_path / "model.safetensors").symlink_to(named)
    assert check_weights(tmp_path / "model.safetensors", "w").checked == "unverified"  # of whichever model it is
    named.write_bytes(named.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"must have sha256 {named.name}, got .*; it is damaged, fetch it again"):
        check_weights(tmp_path / "model.safetensors", "w")


def test_a_known_hash_is_checked(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path)
    assert check_weights(path, "w", known=file_digest(path)).checked == "known"
    with pytest.raises(ValueError, match="damaged"):
        check_weights(path, "w", known="0" * 64)
