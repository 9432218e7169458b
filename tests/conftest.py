"""Fixtures all tests share: where the reference material is, and small deterministic arrays."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("VALOR_SHARED", ROOT.parent / "shared"))
"""Reference material beside the checkout: golden vectors, the LLP tables, sample clips. Never part of the project."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material; tests that need it skip where it is absent."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(f"no reference material at {SHARED} (set VALOR_SHARED to the folder that holds golden/ and llp/)")
    return SHARED
