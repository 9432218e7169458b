"""What people script: the page about it is run, and what each verb returns fits the next."""

import doctest
import importlib
import os
import subprocess
import sys
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
import torch

import valor
from tests.conftest import ROOT
from tests.helpers.toy_line import write_tables, write_videos
from tests.helpers.toy_viewer import toy_document
from valor.viewer.corrections import Corrections
from valor.viewer.server import RunningViewer


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    write_videos(write_tables(tmp_path / "data") / "videos")
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def test_the_page_runs_as_it_stands(folder):
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(page, {}, "python.md", "docs/python.md", 0)
    assert len(test.examples) > 20
    flags = doctest.NORMALIZE_WHITESPACE
    failed = []
    doctest.DocTestRunner(optionflags=flags).run(test, out=failed.append)
    assert not failed, "".join(failed)
    assert os.path.getsize(folder / "page.html") > 10_000


def test_nothing_heavy_is_loaded_before_a_verb_is_used():
    code = (
        "import sys\nfor name in ('torch', 'numpy', 'pandas'): sys.modules[name] = None\n"
        "import valor\nprint(sorted(valor.__all__) == sorted(name for name in dir(valor) if name in valor.__all__))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("name", valor.__all__)
def test_every_name_that_is_offered_is_there(name):
    assert getattr(valor, name).__doc__
    home = importlib.import_module(valor._LATER[name])
    assert getattr(home, name) is getattr(valor, name)


def test_verbs_are_no_modules():
    """A folder of a verb's name would hide it once something in the folder is imported."""
    verbs = [name for name in valor.__all__ if name.islower()]
    assert len(verbs) == 9
    assert not [name for name in verbs if (ROOT / "valor" / name).exists() or (ROOT / "valor" / f"{name}.py").exists()]


def test_arrays_that_are_not_bool_are_refused():
    with pytest.raises(ValueError, match="bool"):
        valor.score(np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2, 3), bool))


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'evaluate'"):
        valor.evaluate  # noqa: B018


def test_a_running_viewer_answers_until_it_is_closed(tmp_path):
    document = toy_document()
    viewer = RunningViewer(document, Corrections(tmp_path / "c", document), open_browser=False)
    assert viewer.url in repr(viewer)
    with urlopen(viewer.url) as answer:
        assert answer.status == 200
    viewer.close()
    with pytest.raises(URLError):
        urlopen(viewer.url, timeout=2)
