"""Which decoders there are, and what is said of those that cannot be used here; needs none of them installed."""

import re
import subprocess
import sys
import tomllib

import pytest

from tests.conftest import ROOT
from valor.label_harvest.media.decoders import DECODERS, PYAV, check_decoder, decoder_trouble

OTHERS = tuple(name for name in DECODERS if name != PYAV)


@pytest.fixture
def unloadable(tmp_path, monkeypatch):
    """A library of a name that is installed and cannot be loaded, whatever is installed really."""

    def make(name, error):
        (tmp_path / f"{name}.py").write_text(error, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        for module in [module for module in sys.modules if module.split(".")[0] == name]:
            monkeypatch.delitem(sys.modules, module)

    return make


def test_pyav_can_always_be_used():
    assert decoder_trouble(PYAV) is None
    check_decoder(PYAV)


def test_an_unknown_decoder_is_refused():
    with pytest.raises(ValueError, match="decoder must be one of pyav, decord, got 'opencv'"):
        check_decoder("opencv")


@pytest.mark.parametrize("name", OTHERS)
def test_one_that_is_not_installed_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    assert decoder_trouble(name) == ("not installed", 'pip install "decord<0.7"')
    said = f'decoder={name}: not installed; pip install "decord<0.7", or leave it out to decode with pyav'
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        check_decoder(name)


@pytest.mark.parametrize("error", ["OSError('libX11.so.6: no such file')", "ImportError('libX11.so.6: no such file')"])
def test_decord_that_does_not_load_says_why(unloadable, error):
    unloadable("decord", f"raise {error}")
    said = r"decoder=decord: cannot be loaded \(libX11.so.6: no such file\); install it again; .*, or leave it out"
    with pytest.raises(ValueError, match=said):
        check_decoder("decord")


def test_every_decoder_is_an_extra_with_bounds_and_a_choice_of_the_command():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for name in OTHERS:
        (requirement,) = extras[name]
        assert re.fullmatch(rf"{name}>=[0-9.]+(,<[0-9.]+)?", requirement)
    done = subprocess.run(
        [sys.executable, "-m", "valor", "harvest", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert f"--decoder {{{','.join(DECODERS)}}}" in done.stdout


def test_nothing_else_imports_the_optional_libraries():
    """Only their own file may, which does it when they are asked for."""
    importing = re.compile(rf"^\s*(import|from) ({'|'.join(OTHERS)})\b", re.MULTILINE)
    files = [*ROOT.glob("label_harvest/**/*.py"), *ROOT.glob("valor/**/*.py")]
    found = [path for path in files if importing.search(path.read_text(encoding="utf-8"))]
    assert {path.name for path in found} == {"other_decoders.py"}


def test_a_decoding_process_tells_of_a_library_that_does_not_load(tmp_path, monkeypatch):
    from valor.label_harvest.media.clip import Grid
    from valor.label_harvest.media.decode_pool import DecodePool

    (tmp_path / "broken_decoder.py").write_text("raise RuntimeError('Could not load libavcodec')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (
        DecodePool(1, decode="broken_decoder:decode_clip") as pool,
        pytest.raises(OSError, match=r"do not work here \(Could not load libavcodec\)"),
    ):
        pool.submit(tmp_path / "a.mp4", Grid()).result()
