import pytest

from tests.helpers.toy_gcs import gcs_server
from tests.helpers.toy_s3 import fresh_prefix, s3_server
from valor.label_harvest.places import elsewhere, lease, objects


@pytest.fixture(scope="package")
def s3():
    """A server whose way can be cut."""
    with s3_server() as way:
        yield way


@pytest.fixture(scope="package")
def gs():
    """A server of GCS."""
    with gcs_server():
        yield


@pytest.fixture(params=["memory", "s3", "gs"])
def prefix(request):
    """An address of each kind at which nothing lies."""
    if request.param != "memory":
        request.getfixturevalue(request.param)
    return fresh_prefix(request.param)


@pytest.fixture
def hasty(monkeypatch):
    """Leases of fractions of a second, and no waiting for lost connections."""
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(lease, "SILENCE_SECONDS", 0.6)
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(objects, "WAITS", [])
    monkeypatch.setattr(elsewhere, "WAITS", [])
