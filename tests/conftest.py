"""Fixtures all tests share: where the reference material is, and small deterministic arrays."""

import gc
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

if "PYTEST_XDIST_WORKER" in os.environ:  # processes side by side: one thread each, set before torch is there to read it
    os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a hundred processes load the same modules: compiled once, not by each
sys.dont_write_bytecode = False

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started from a script with `&`: children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("VALOR_SHARED", ROOT.parent / "shared"))
"""Reference material beside the checkout: golden vectors, the LLP tables, sample clips. Never part of the project."""


# No time limits on shared machines; the same examples in every run, other ones with --hypothesis-profile=explore.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("explore"), derandomize=True)
settings.load_profile("same")


TEACHERS = (
    "tests/label_harvest/teachers/",
    "tests/label_harvest/test_harvest_features.py",
    "tests/parsers/test_adapters.py",
    "tests/test_benchmarks.py",
    "tests/valor/adapted/",
    "tests/valor/cli/test_shared_clips.py",
)
"""Tests of networks of other libraries, whose import takes longer than torch's."""

FORKED = (
    "tests/label_harvest/media/test_stream_reader.py",
    "tests/label_harvest/test_harvest_kills.py",
    "tests/valor/demo/test_run_kills.py",
    "tests/valor/experiments/test_ablate.py",
    "tests/valor/training/test_train.py",
)
"""Tests with `helpers/forked.py`, whose process that forks loads torch once more."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401
    """A file is run by one process, and so are all of `TEACHERS` and of `FORKED`: the other loads less."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            together = {"teachers": TEACHERS, "forked": FORKED}
            found = [name for name, files in together.items() if nodeid.startswith(files)]
            return found[0] if found else super()._split_scope(nodeid)

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Compiling the tests, with pytest's asserts, is most of collecting them: two processes meet in the middle.

    The second loads modules from the last to the first, and finds those compiled that the first has come to.
    """
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw1":
        given = [Path(name) for name in session.config.args]
        for path in sorted((path for folder in given for path in folder.rglob("test_*.py")), reverse=True):
            with suppress(Exception, pytest.skip.Exception):  # said where it is collected
                importlib.import_module(".".join(path.resolve().relative_to(ROOT).with_suffix("").parts))


gc.disable()  # while a million objects of modules come, none of which goes


def pytest_collection_finish() -> None:
    """What was imported stays: it is not looked through for garbage again and again."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole modules marked slow come first, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not item.nodeid.startswith(TEACHERS), item.path not in slow))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material; tests that need it skip where it is absent."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(f"no reference material at {SHARED} (set VALOR_SHARED to the folder that holds golden/ and llp/)")
    return SHARED


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small are faster on one thread, and much faster on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published layout of a toy LLP (`tests.helpers.toy_run`): never written to."""
    from tests.helpers.toy_run import write_published_layout

    return write_published_layout(tmp_path_factory.mktemp("published"))


@pytest.fixture
def harvested(tmp_path: Path) -> Path:
    """Tables of the toy LLP and a store of good teachers."""
    from tests.helpers.toy_run import write_tables, write_toy_store

    data = write_tables(tmp_path / "data")
    write_toy_store(data / "store")
    return data


@pytest.fixture(scope="session")
def toy_run(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one trained toy run, of the recipe VALOR on `published`: never written to."""
    from tests.helpers.toy_run import VALOR
    from valor.training.run import train_run

    out = tmp_path_factory.mktemp("runs") / "valor"
    train_run(VALOR, published, out, progress=False)
    return out
