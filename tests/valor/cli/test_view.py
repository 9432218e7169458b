"""`valor view` as a user meets it."""

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import pytest

from tests.conftest import ROOT
from tests.helpers.toy_scores import write_toy_scores
from tests.helpers.toy_viewer import CLASSES, parse_record, write_parse
from tests.helpers.typed import typed
from valor.viewer.corrections import Corrections, corrections_folder
from valor.viewer.sources import SourceOptions, read_document


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy_scores(tmp_path_factory.mktemp("toy"))


def test_one_file_is_written(toy, tmp_path):
    done = typed(
        "view", f"VALOR={toy.good}", toy.poor, "--data", toy.data, "--out", tmp_path / "v.html", "--threshold", 0.4
    )
    assert (done.code, done.err) == (0, "note: no media: the page offers to choose files\n")
    assert re.fullmatch(rf"32 clips, 0\.\d MB; wrote {tmp_path / 'v.html'}\n", done.out)
    assert '"thresholds":4000' in (tmp_path / "v.html").read_text(encoding="utf-8")
    assert not toy.good.with_name("good.corrections").exists()


def test_it_knows_corrections_of_before(tmp_path):
    source = write_parse(tmp_path / "a.json", parse_record("a.mp4"))
    document = read_document([str(source)], SourceOptions(class_names=CLASSES))
    corrections = Corrections(corrections_folder([str(source)], None), document)
    corrections.save({"clip": "a", "revision": 0, "checked": True, "events": [["Dog", "audio", 0, 2]]})
    corrections.close()
    assert (tmp_path / "a.corrections" / "AVVP_eval_audio.csv").is_file()
    assert typed("view", source, "--out", tmp_path / "v.html").code == 0
    assert '["Dog","audio",0.0,2.0]' in (tmp_path / "v.html").read_text(encoding="utf-8")


def test_a_page_leaves_the_files_of_corrections_alone_and_a_viewer_makes_them_whole(tmp_path, monkeypatch):
    source = write_parse(tmp_path / "a.json", parse_record("a.mp4"))
    document = read_document([str(source)], SourceOptions(class_names=CLASSES))
    corrections = Corrections(corrections_folder([str(source)], None), document)
    corrections.save({"clip": "a", "revision": 0, "checked": True, "events": [["Dog", "audio", 0, 2]]})
    corrections.close()
    table = tmp_path / "a.corrections" / "AVVP_eval_audio.csv"
    whole = table.read_text(encoding="utf-8")
    table.unlink()
    assert typed("view", source, "--out", tmp_path / "v.html").code == 0
    assert not table.exists()
    monkeypatch.setattr("valor.viewer.server.ViewerServer.serve_forever", lambda *_, **__: None)
    assert typed("view", source, "--no-browser").code == 0 and table.read_text(encoding="utf-8") == whole


def test_it_serves_until_interrupted(toy):
    words = [sys.executable, "-m", "valor", "view", str(toy.good), "--no-browser"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = re.fullmatch(r"32 clips at (http://127\.0\.0\.1:\d+/\S+/)\n", process.stdout.readline())[1]
        assert b"<title>good" in urlopen(address, timeout=10).read()
        time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 0 and "Traceback" not in err
    assert "good.corrections" in err


def test_another_address_comes_with_a_warning(toy, monkeypatch):
    monkeypatch.setattr("valor.viewer.server.ViewerServer.serve_forever", lambda *_, **__: None)
    assert "warning" not in typed("view", toy.good, "--no-browser").err
    done = typed("view", toy.good, "--no-browser", "--host", "0.0.0.0")
    assert "warning: listening on 0.0.0.0: whoever has the address below" in done.err and done.code == 0


def test_the_address_stays_while_its_port_is_free(toy, monkeypatch):
    """A browser keeps unsaved corrections by address, so that the next viewer must have the same."""
    monkeypatch.setattr("valor.viewer.server.ViewerServer.serve_forever", lambda *_, **__: None)
    place = lambda: re.search(r"127\.0\.0\.1:(\d+)", typed("view", toy.good, "--no-browser").out)[1]  # noqa: E731
    first = place()
    assert place() == first
    with socket.create_server(("127.0.0.1", int(first))):
        assert place() != first
        assert f"cannot listen on 127.0.0.1 port {first}" in typed("view", toy.good, "--port", first).complaint()


def test_the_browser_opens_unless_told_not_to(toy, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append((url, Path(unquote(urlsplit(url).path)))))
    monkeypatch.setattr("valor.viewer.server.ViewerServer.serve_forever", lambda *_, **__: None)
    typed("view", toy.good, "--no-browser")
    assert not opened
    monkeypatch.setattr(
        "valor.viewer.server.ViewerServer.serve_forever",
        lambda *_, **__: led.extend((opened[0][1].read_text(), oct(opened[0][1].stat().st_mode)[-3:])),
    )
    led = []
    done = typed("view", toy.good)
    address = done.out.removeprefix("32 clips at ").strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{24}/", address) and f"url={address}" in led[0]
    ((url, door),) = opened
    assert url.startswith("file:///") and address.split("/")[3] not in url  # every user can read command lines
    assert led[1] == "600" and not door.parent.exists()


def test_corrections_lie_beside_the_first_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    assert corrections_folder(["A=run", "b.npz"], None) == tmp_path / "run.corrections"
    assert corrections_folder(["x/b.npz"], None) == tmp_path / "x" / "b.corrections"
    assert corrections_folder([], tmp_path / "run") == tmp_path / "run.corrections"


@pytest.mark.parametrize(("words", "message"), [
    (["--out", "v.htm.txt", "{good}"], "--out must end in .html"),
    ([], "there is nothing to show"),
    (["nowhere.npz"], "nowhere.npz: no such file or folder"),
    (["{good}", "--data", "nowhere"], "nowhere"),
    (["{good}", "--videos", "nowhere"], "nowhere: the folder of videos cannot be listed"),
    (["{good}", "--corrections", "{data}"], "holds other files and no journal.jsonl"),
    (["{good}", "--port", "99999"], "cannot listen on 127.0.0.1 port 99999"),
    (["{good}", "--preset", "cmpae"], "needs the thresholds of the visual gate"),
])  # fmt: skip
def test_wrong_use_is_said_in_one_message(toy, words, message):
    places = {"good": toy.good, "data": toy.data}
    assert message in typed("view", "--no-browser", *(word.format(**places) for word in words)).complaint()
