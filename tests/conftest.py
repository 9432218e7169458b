"""Fixtures all tests share: where the reference material is, and small deterministic arrays."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

if "PYTEST_XDIST_WORKER" in os.environ:  # processes side by side: one thread each, set before torch is there to read it
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started from a script with `&`: children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("VALOR_SHARED", ROOT.parent / "shared"))
"""Reference material beside the checkout: golden vectors, the LLP tables, sample clips. Never part of the project."""


# No time limits on shared machines; the same examples in every run, other ones with --hypothesis-profile=explore.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("explore"), derandomize=True)
settings.load_profile("same")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole modules marked slow come first, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


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
