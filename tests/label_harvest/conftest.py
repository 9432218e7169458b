"""The ten toy clips that harvests are disturbed over, and what an undisturbed one makes of them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.forked import decoders
from tests.helpers.toy import write_toy_world
from tests.helpers.toy_harvest import CLIPS, IN_PROCESSES, digests, toy_harvest
from valor.label_harvest.media import process


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each of `CLIPS`: never written to."""
    return write_toy_world(tmp_path_factory.mktemp("ten") / "videos", CLIPS, seconds=2.0)


@pytest.fixture(scope="session")
def undisturbed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of the store of one run over all of them."""
    store = tmp_path_factory.mktemp("undisturbed")
    with decoders():
        assert toy_harvest(CLIPS, videos, store, options=IN_PROCESSES).counts == {"ok": 10}
    return digests(store)


@pytest.fixture
def forked_decoders() -> Iterator[None]:
    """Decoders are forked from this process: how they start anew is not what is tested."""
    with decoders():
        yield


@pytest.fixture
def started_decoders(forked_decoders: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders start anew after all."""
    monkeypatch.setattr(process, "subprocess", subprocess)
