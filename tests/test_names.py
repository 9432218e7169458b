"""The names of this project clash with nobody's: a user's own eval.py and parsers/ work beside `import valor`.

From a checkout, from a wheel and from the wheel a source distribution makes, as `import valor` and `python -m valor`.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPT = """
import eval as theirs                    # the user's eval.py
from parsers.mine import parse           # the user's parsers/
from label_harvest import note           # the user's label_harvest.py

import numpy as np
import valor
from valor.eval.scores import score      # ours
from valor.label_harvest.store.manifest import MODALITIES
from valor.parsers.options import PARSERS
from valor.scoring.published import read_published

mask = np.ones((2, 10, 2, 3), bool)
assert score(mask, mask).segment.type_av == 100.0 and MODALITIES == ("audio", "visual")
assert len(read_published().rows) > 9    # its table lies beside it
print(theirs.NAME, parse(), note, valor.__file__, PARSERS["valor"].encoder, eval('1 + 1'))
"""


@pytest.fixture
def project(tmp_path) -> Path:
    """A research repository as they are: its own eval.py, parsers/ and label_harvest.py."""
    folder = tmp_path / "theirs"
    (folder / "parsers").mkdir(parents=True)
    (folder / "eval.py").write_text("NAME = 'their eval'\n")
    (folder / "parsers/__init__.py").write_text("")
    (folder / "parsers/mine.py").write_text("def parse():\n    return 'their parsers'\n")
    (folder / "label_harvest.py").write_text("note = 'their harvest'\n")
    (folder / "script.py").write_text(SCRIPT)
    return folder


def _run(project: Path, where: Path, *arguments: str) -> str:
    """Run Python in the folder of the user, with `valor` found in `where`."""
    environment = {**os.environ, "PYTHONPATH": str(where)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _both_work(project: Path, where: Path) -> None:
    said = _run(project, where, "script.py")
    assert said == f"their eval their parsers their harvest {where / 'valor/__init__.py'} hybrid 2\n"
    assert "New here? Start with `valor demo`" in _run(project, where, "-m", "valor", "--help")
    assert "--with FILE.py" in _run(project, where, "-m", "valor", "train", "--help")
    assert "HAN" in _run(project, where, "-m", "valor", "table", "--help")


def test_theirs_and_ours_work_in_one_process_from_a_checkout(project):
    _both_work(project, ROOT)


def test_a_checkout_without_links_works_too(project, tmp_path):
    """As a zip unpacked on Windows has it: the three folders lie beside valor/, and nothing in it."""
    bare = _sources(tmp_path / "bare")
    for link in ("eval", "parsers", "label_harvest"):
        (bare / "valor" / link).unlink()
    _both_work(project, bare)


def _sources(folder: Path) -> Path:
    """A copy of what is packed, links kept."""
    folder.mkdir()
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("valor", "eval", "parsers", "label_harvest"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=skipped)
    (folder / "docs").mkdir()
    for name in ("pyproject.toml", "docs/package.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def _build(folder: Path, what: str, out: Path) -> Path:
    """Build a wheel or a source distribution with the installed setuptools."""
    out.mkdir()
    code = f"import sys; from setuptools import build_meta; print(build_meta.build_{what}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return out / done.stdout.splitlines()[-1]


def _files(folder: Path) -> set[str]:
    """What a user gets to run, by its path below valor/."""
    kinds = {".py", ".html", ".js", ".css", ".json", ".safetensors", ".svg"}
    paths = [path for top in ("valor", "eval", "parsers", "label_harvest") for path in (folder / top).rglob("*")]
    ours = {path for path in paths if path.is_file() and path.suffix in kinds and "__pycache__" not in path.parts}
    return {"/".join(p.relative_to(folder).parts).removeprefix("valor/") for p in ours}


def _says_what_it_is(wheel: Path) -> None:
    """Its metadata, and that its types may be read."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        told = archive.read(name).decode()
        assert "valor/py.typed" in archive.namelist()
    for line in (
        "Name: valor-avvp",
        "License-Expression: MIT",
        "Author: The VALOR maintainers",
        "License-File: LICENSE",
    ):
        assert f"\n{line}\n" in told
    assert "\nKeywords: audio-visual," in told and told.count("\nClassifier: ") > 10
    assert (ROOT / "docs" / "package.md").read_text(encoding="utf-8").strip() in told


@pytest.mark.slow
def test_wheel_and_source_distribution_hold_every_file_and_no_other_name(project, tmp_path):
    setuptools = pytest.importorskip("setuptools", reason="setuptools is not installed, which builds the wheel")
    if int(setuptools.__version__.partition(".")[0]) < 77:
        pytest.skip(f"setuptools {setuptools.__version__} is older than the 77 that pyproject.toml asks for")
    sources = _sources(tmp_path / "sources")
    wheel = _build(sources, "wheel", tmp_path / "wheel")
    packed = _build(sources, "sdist", tmp_path / "sdist")
    _says_what_it_is(wheel)
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = _build(unpacked, "wheel", tmp_path / "again")
    for number, built in enumerate((wheel, again)):
        with zipfile.ZipFile(built) as archive:
            names = archive.namelist()
            archive.extractall(tmp_path / f"site{number}")
        tops = {name.partition("/")[0] for name in names}
        assert {top for top in tops if not top.endswith(".dist-info")} == {"valor"}
        held = {name.removeprefix("valor/") for name in names}
        assert not _files(ROOT) - held, "files of the checkout that no wheel has"
        _both_work(project, tmp_path / f"site{number}")
