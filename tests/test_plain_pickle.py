"""TorchScript archives: their weights are read, their code is not run."""

import zipfile

import pytest
import torch

from label_harvest.checkpoints import read_state
from label_harvest.plain_pickle import is_script, read_script_weights


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
