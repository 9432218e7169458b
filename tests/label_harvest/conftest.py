"""The ten toy clips that harvests are disturbed over, and what an undisturbed one makes of them."""

from pathlib import Path

import pytest

from tests.helpers.toy import write_toy_world
from tests.helpers.toy_harvest import CLIPS, IN_PROCESSES, digests, toy_harvest


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for each of `CLIPS`: never written to."""
    return write_toy_world(tmp_path_factory.mktemp("ten") / "videos", CLIPS, seconds=2.0)


@pytest.fixture(scope="session")
def undisturbed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of the store of one run over all of them."""
    store = tmp_path_factory.mktemp("undisturbed")
    assert toy_harvest(CLIPS, videos, store, options=IN_PROCESSES).counts == {"ok": 10}
    return digests(store)
