"""From Python: loaded once for many media, shown as a picture, and nothing loaded that is not needed."""

import dataclasses
import gc
import json
import subprocess
import sys
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path

import numpy as np
import pytest

import valor
from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_parse import toy_parse, toy_system, write_run
from valor.cli.command import unswept
from valor.video import parser as made
from valor.video.formats.formats import FORMATS, write_events
from valor.video.options import ParseOptions
from valor.video.parse import parse_media
from valor.video.parser import PicturedParse

ROOT = Path(__file__).resolve().parents[3]
UNNEEDED = (
    "torch._dynamo", "torch._inductor", "torch.onnx", "torchaudio", "torchvision", "transformers", "open_clip", "timm",
    "huggingface_hub", "pandas", "matplotlib", "scipy", "sklearn", "sympy", "networkx", "PIL", "cv2", "scenedetect",
    "IPython", "tensorboard", "ray", "requests",
)  # fmt: skip
"""What a parse of a clip by the parser of the demo has no use for."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return [
        write_toy_clip(
            folder / f"{number}.mkv",
            video=ToyVideo(seconds=3, first_number=40 * number, width=32, height=32),
            sound=ToySound(seconds=3, rate=32000, codec="pcm_s16le"),
        )
        for number in range(2)
    ]


def test_a_parser_is_loaded_once_and_keeps_its_decoder(clips, monkeypatch):
    loaded, opened = [], []
    reader = made.media_reader
    monkeypatch.setattr(made, "load_system", lambda run, **_: loaded.append(run) or toy_system())
    monkeypatch.setattr(made, "media_reader", lambda options: opened.append(options) or reader(options))
    options = ParseOptions(limits=None)
    with valor.Parser(checkpoint="run", options=options) as parser:
        parses = [parser(path) for path in clips]
        assert parser(clips[0], hop=2).system["windows"]["hop"] == 2
        alone = [parse_media(parser.system, path, options) for path in clips]
    assert len(loaded) == len(opened) == 1
    for one, other in zip(parses, alone, strict=True):
        assert np.array_equal(one.segment_probs, other.segment_probs) and one.media == other.media
    assert parses[0].sketch.strip().shape[1:] == (32, 32, 3)


def test_several_threads_may_call_one_parser(clips, monkeypatch):
    """Each gets the parse of its own file, and the decoder outlives the thread whose call started it."""
    monkeypatch.setattr(made, "load_system", lambda run, **_: toy_system())
    with valor.Parser(checkpoint="run") as parser:
        with ThreadPoolExecutor(1) as short_lived:
            first = short_lived.submit(parser, clips[0]).result()
        decoder = parser._reader._process
        alone = [first, parser(clips[1])]
        with ThreadPoolExecutor(3) as threads:
            found = list(threads.map(parser, clips * 3, timeout=60))
        assert parser._reader._process is decoder
    for one, other in zip(found, alone * 3, strict=True):
        assert one.media == other.media and np.array_equal(one.segment_probs, other.segment_probs)
        assert np.array_equal(one.sketch.strip(), other.sketch.strip())


def test_what_is_no_path_is_refused_in_a_sentence(clips, monkeypatch):
    monkeypatch.setattr(made, "load_system", lambda run, **_: toy_system())
    with valor.Parser(checkpoint="run") as parser, clips[0].open("rb") as file:
        for given, kind in ((b"\x00", "bytes"), (file, "BufferedReader")):
            with pytest.raises(TypeError, match=f"takes the path of a media file, got {kind}; write what it holds"):
                parser(given)
        with pytest.raises(TypeError, match="fields of ParseOptions, got 'salvag' .did you mean salvage"):
            parser("x.mp4", salvag=True)


def test_a_closed_parser_says_so(clips, monkeypatch):
    monkeypatch.setattr(made, "load_system", lambda run, **_: toy_system())
    with valor.Parser(checkpoint="run", options=ParseOptions(limits=None)) as parser:
        parser(clips[0])
    with pytest.raises(ValueError, match=r"a closed Parser parses no more, got .*0\.mkv; make another"):
        parser(clips[0])
    parser.close()


def test_a_notebook_shows_the_picture_and_no_markup_of_a_name(painted, tmp_path):
    plain = toy_parse(name="<img src=x onerror='alert(1)'>&\".mp4")
    parse = PicturedParse(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)})
    bundle = {"text/html": parse._repr_html_(), "text/plain": repr(parse)}
    assert json.loads(json.dumps(bundle)) == bundle
    page = bundle["text/html"]
    assert page.count("<img") == 1 and "onerror='" not in page and unescape(page).count(plain.media.name) == 3
    picture = page.partition('src="data:image/png;base64,')[2].partition('"')[0]
    assert b64decode(picture) == parse._repr_png_() and parse.png.startswith(b"\x89PNG")
    for ending, holds in (
        (".eaf", "<TIER"),
        (".audio.csv", "filename\tonset"),
        (".json", "segment_probs"),
        (".svg", "<svg"),
    ):
        parse.save(tmp_path / f"parse{ending}")
        assert holds in (tmp_path / f"parse{ending}").read_text()
    with pytest.raises(ValueError, match=r"saved whole as \*.json, its picture as \*.png, .* its events as .*\*.eaf"):
        parse.save(tmp_path / "parse.doc")


def test_saved_events_are_on_the_clock_the_command_writes_them_by(tmp_path):
    plain = toy_parse(start=100.0)
    parse = PicturedParse(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)})
    for name, kept in FORMATS.items():
        parse.save(tmp_path / f"one{kept.ending}")
        write_events(tmp_path / f"other{kept.ending}", [plain], name, clock=kept.clock)
        one, other = ((tmp_path / f"{stem}{kept.ending}").read_text() for stem in ("one", "other"))
        assert one == other, name


def test_what_a_parse_needs_not_is_not_loaded(clips, tmp_path):
    run = write_run(tmp_path / "run")
    code = (
        "import atexit, gc, sys\nsweeps = []\n"
        "gc.callbacks.append(lambda when, about: sweeps.append(about['generation']))\n"
        "atexit.register(lambda: print('left to the system:', gc.get_freeze_count() > 100_000))\n"
        "from valor.__main__ import main\ncode = main()\n"
        f"print(code, [name for name in {UNNEEDED} if name in sys.modules], 'sweeps of everything:', sweeps.count(2))"
    )
    words = ["parse", clips[0], "--checkpoint", run, "--json", tmp_path / "a.json", "--quiet", "--decode-timeout", "0"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["0 [] sweeps of everything: 0", "left to the system: True"]


def test_loading_leaves_the_collector_as_it_was():
    for sweeps in (True, False):
        (gc.enable if sweeps else gc.disable)()
        try:
            with pytest.raises(ImportError), unswept():
                assert not gc.isenabled()
                raise ImportError
            assert gc.isenabled() == sweeps and gc.get_freeze_count()
        finally:
            gc.unfreeze()
            gc.enable()
