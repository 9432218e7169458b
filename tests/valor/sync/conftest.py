"""Films and the one run that is trained on them."""

import shutil
from contextlib import contextmanager

import pytest

from tests.helpers.toy_sync import OPTIONS, write_flashes
from valor.label_harvest.media.streams import DirectReader
from valor.sync import fit as fit_module
from valor.sync import judge as judge_module
from valor.sync.fit import PIECES, fit_sync


@contextmanager
def direct(_limits):
    """A reader in this process: starting one costs more than these films."""
    yield DirectReader()


@pytest.fixture(autouse=True)
def _in_this_process(request, monkeypatch):
    if request.node.name != "test_what_cannot_be_judged_is_said_in_a_sentence_and_the_rest_goes_on":
        monkeypatch.setattr(judge_module, "ProcessReader", direct)


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flashes")
    return [write_flashes(folder / f"{number:02d}.mp4", number) for number in range(10)]


@pytest.fixture(scope="session")
def trained(films, tmp_path_factory):
    """(a run, its pieces as they were before it was done)."""
    folder = tmp_path_factory.mktemp("sync")
    kept = folder / "pieces"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module.shutil, "rmtree", lambda path, **_: shutil.move(path, kept))
        fit_sync(films, folder / "run", OPTIONS)
    assert not (folder / "run" / PIECES).exists()
    return folder / "run", kept
