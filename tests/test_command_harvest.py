"""`valor harvest`: what it prints, and how its options reach the run."""

import re

import pytest

from label_harvest import decode_pool, teachers
from tests.toy import FakeTeacher, write_toy_world
from tests.typed import typed
from valor.commands import harvest as command
from valor.vocabulary import LLP_CLASSES, class_names

CLIPS = ("a", "b", "c", "d", "e")


@pytest.fixture
def world(tmp_path, monkeypatch):
    """What to type for five clips, one of them missing, and teachers without a network."""

    def build(name, prompts, **_):
        rate = 8000 if "audio" in name else None
        return FakeTeacher(name.removeprefix("demo-"), prompts=tuple(prompts), sample_rate=rate)

    monkeypatch.setattr(teachers, "build_teacher", build)
    write_toy_world(tmp_path / "videos", CLIPS[:4])
    rows = "\n".join(f"{clip}\t{class_names(LLP_CLASSES)[3]}" for clip in CLIPS)
    (tmp_path / "clips.csv").write_text(f"filename\tevent_labels\n{rows}\n")
    given = ("--videos", tmp_path / "videos", "--visual", "demo-visual", "--audio", "demo-audio", "--shard-clips", "2")
    return ("harvest", tmp_path / "clips.csv", *given, "--store", tmp_path / "store")


def test_counts_failures_and_the_folder_are_said(world, tmp_path):
    done = typed(*world)
    (folder,) = (tmp_path / "store").iterdir()
    assert done.code == 3
    assert done.out.splitlines() == [
        f"5 clips (4 ok, 1 missing), 0 of them cached before; wrote {folder}",
        "  missing      e                        no file of this name among the videos",
        f"1 clips failed; they are listed in {folder / 'failures.csv'}",
    ]
    assert re.search(r"[0-9.]+ clips/s, bound by (decode|host|network) \(\w+ \d+ %, \w+ \d+ %, \w+ \d+ %\)", done.err)
    assert "5 of 5 clips are cached already" in typed(*world).err
    assert typed(*world, "--quiet").err == ""


def test_many_failures_are_left_to_the_file(world, monkeypatch):
    monkeypatch.setattr(command, "MOST_LISTED", 0)
    assert "no file of this name" not in typed(*world, "--quiet").out


def test_a_share_says_which(world, tmp_path):
    done = typed(*world, "--shard", "2/3", "--quiet")
    assert done.code == 0 and done.out.startswith("2 clips of share 2/3 of 5 (2 ok), 0 of them cached before; wrote ")
    assert typed(*world, "--shard", "4/4", "--quiet").out.startswith(
        "0 clips of share 4/4 of 5 (none in this share), 0"
    )
    assert typed(*world, "--quiet").out.startswith("5 clips (4 ok, 1 missing), 2 of them cached before")


def test_limits_reach_the_decoders_and_retry_reads_again(world, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(decode_pool, "DECODE", "tests.bad_decoders:hang")
        done = typed(*world, "--clip-timeout", "0.25", "--workers", "2", "--quiet")
    assert done.out.startswith("5 clips (4 timeout, 1 missing), 0") and "took more than 0.25 s" in done.out
    assert typed(*world, "--quiet").out.startswith("5 clips (4 timeout, 1 missing), 5")
    assert typed(*world, "--retry", "--workers", "0", "--quiet").out.startswith("5 clips (4 ok, 1 missing), 1 of them")
