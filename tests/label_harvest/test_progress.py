"""What says how far work is: a bar on a terminal, lines elsewhere, and a file of JSON lines."""

import io
import json
import signal
import sys

import pytest

from valor.label_harvest.children import EndedBySignal
from valor.label_harvest.progress import LINES, Progress, end_noted, progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_terminal_gets_a_bar_and_a_file_gets_lines(monkeypatch):
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar(total=1200, desc="harvest", unit="clip", every=0) as bar:
            bar.set_postfix(failed=2)
            bar.update(1000)
            bar.update(200)
        assert ("\r" in stream.getvalue()) == stream.isatty()
    first, second, third = stream.getvalue().splitlines()
    assert first.startswith("harvest: 0 of 1,200 clips")
    assert second.startswith("harvest: 1,000 of 1,200 clips, ") and second.endswith(" left, failed=2")
    assert third.startswith("harvest: 1,200 of 1,200 clips, ") and "00:00 left" in third


def test_lines_are_rare_and_work_that_is_soon_done_says_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with progress_bar(total=3, desc="harvest", unit="clip") as bar:
        bar.reset(total=5)
        for _ in range(5):
            bar.update(1)
            bar.set_postfix(failed=1)
    assert list(progress_bar(range(3), desc="export", unit="shard")) == [0, 1, 2]
    assert stream.getvalue() == ""
    with progress_bar(total=3, enabled=False, every=0) as bar:
        bar.update(3)
    assert list(progress_bar(iter("ab"), desc="export", unit="shard", every=0)) == ["a", "b"]
    assert "export: 1 shards, " in stream.getvalue() and "left" not in stream.getvalue()
    monkeypatch.setattr(sys, "stderr", None)
    with progress_bar(total=3, enabled=False) as bar:
        bar.update(3)


def test_a_file_keeps_lines_where_nothing_is_to_be_seen(monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    LINES.addHandler(caplog.handler)
    LINES.setLevel("INFO")
    try:
        with progress_bar(total=1200, desc="harvest", unit="clip", every=0, enabled=False) as bar:
            bar.update(1000)
    finally:
        LINES.removeHandler(caplog.handler)
        LINES.setLevel("NOTSET")
    assert any(said.startswith("harvest: 1,000 of 1,200 clips, ") for said in caplog.messages)
    assert stream.getvalue() == ""


def test_a_file_gets_a_line_of_json_for_the_start_each_shard_every_so_often_and_the_end(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text('{"of": "a run before"}\n')
    with Progress(path, {"share": "1/2"}, every=3600) as said:
        said.start(10, bar=False, cached=4)
        said.update(4, 1)
        said.written(2, 4)
        said.update(6, 0)  # too soon after the last one
        said.end({"by_status": {"ok": 9}})
    _, start, progress, end = lines_of(path)
    assert {"event": "start", "done": 0, "total": 10, "failed": 0, "cached": 4, "share": "1/2"}.items() <= start.items()
    assert {
        "event": "progress",
        "done": 4,
        "total": 10,
        "failed": 1,
        "shard": 2,
        "share": "1/2",
    }.items() <= progress.items()
    assert progress["rate"] > 0 and progress["seconds_left"] >= 0 and len(progress["time"]) == 20
    assert {"event": "end", "outcome": "done", "done": 10, "failed": 1, "by_status": {"ok": 9}}.items() <= end.items()
    with Progress(tmp_path / "often", {}, every=0) as said:
        said.start(2, bar=False, cached=0)
        said.update(1, 0)
        said.update(1, 0)
    assert [line["event"] for line in lines_of(tmp_path / "often")] == ["start", "progress", "progress", "end"]


def test_an_error_is_in_the_last_line(tmp_path):
    with pytest.raises(OSError, match="full"), Progress(tmp_path / "a", {}) as said:
        said.start(10, bar=False, cached=0)
        said.update(4, 0)
        said.written(0, 4)
        said.update(3, 0)
        raise OSError("the disk is full")
    end = {
        "outcome": "failed",
        "message": "the disk is full",
        "done": 4,
        "total": 10,
    }  # of seven
    assert lines_of(tmp_path / "a")[-1].items() >= end.items()
    with pytest.raises(KeyboardInterrupt), Progress(tmp_path / "b", {}):
        raise KeyboardInterrupt
    assert lines_of(tmp_path / "b")[-1]["outcome"] == "interrupted"
    with pytest.raises(EndedBySignal), Progress(tmp_path / "c", {}):
        raise EndedBySignal(signal.SIGTERM)
    assert lines_of(tmp_path / "c")[-1].items() >= {"outcome": "interrupted", "message": "SIGTERM"}.items()


def test_an_error_before_a_run_begins_leaves_the_last_line_alone_and_once(tmp_path):
    path = tmp_path / "made" / "a"
    with pytest.raises(ValueError, match="no such"), end_noted(path, {"share": "2/4"}, str.upper):
        raise ValueError("no such table")
    (line,) = lines_of(path)
    assert line.items() >= {"event": "end", "outcome": "failed", "message": "NO SUCH TABLE", "share": "2/4"}.items()
    with pytest.raises(OSError, match="full"), end_noted(path, {}), Progress(path, {}):
        raise OSError("the disk is full")
    assert len(lines_of(path)) == 2
    with end_noted(path, {}), end_noted(None, {}):
        pass
    assert len(lines_of(path)) == 2


def test_a_file_that_cannot_be_written_ends_no_harvest(tmp_path, caplog):
    with Progress(tmp_path / "none" / "a", {}) as said:
        said.start(10, bar=False, cached=0)
        said.written(1, 10)
    assert caplog.text.count("no progress is written any more (No such file or directory)") == 1
