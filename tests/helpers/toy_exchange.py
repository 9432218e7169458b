"""Two parses to send out and take back, and how the command line is called."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.toy_parse import toy_parse
from valor.__main__ import main
from valor.data.journal import JOURNAL, read_journal
from valor.data.parse_file import write_parse

NAMES = ("Speech", "Glass breaking")


def parsed(folder: Path, name: str, start: float = 0.0, seconds: int = 10) -> None:
    """Speech is heard in seconds 1 to 4, glass is seen in 2 to 5."""
    probs = np.full((seconds, 2, 2), 0.1, np.float32)
    probs[1:4, 0, 0], probs[2:5, 1, 1] = 0.9, 0.8
    media = replace(toy_parse().media, name=name, path=f"/films/{name}", duration=float(seconds), start_time=start)
    gate = np.full_like(probs, 0.9)
    write_parse(
        folder / f"{Path(name).stem}.json",
        replace(toy_parse(), media=media, class_names=NAMES, segment_probs=probs, gate_probs=gate),
    )


@pytest.fixture
def parses(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parses").mkdir()
    for name, start in (("my yard.mp4", 0.0), ("street.ts", 18.936)):
        parsed(tmp_path / "parses", name, start)
    return tmp_path / "parses"


def typed(*words: object) -> int:
    return main([*map(str, words), "--quiet"] if words[1] == "import" else list(map(str, words)))


def events_in(folder: Path, clip: str) -> list[tuple]:
    found = read_journal(folder / JOURNAL)[clip].events
    return [(e.class_name, e.modality, e.onset, e.offset) for e in found]
