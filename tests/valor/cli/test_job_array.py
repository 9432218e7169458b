"""docs/job_array.sh as it stands: two tasks on one store, a torn clip and one that is not there."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.helpers.toy import write_toy_world
from tests.helpers.toy_harvest import digests
from tests.helpers.typed import typed

CLIPS = tuple("abcdefgh")
TEACHERS = ("--visual", "none", "--audio", "demo-audio", "--shard-clips", "2", "--workers", "0")


@pytest.mark.slow
def test_two_tasks_with_two_bad_clips_end_well_and_what_failed_is_read_again(tmp_path):
    videos, store, table = tmp_path / "videos", tmp_path / "store", tmp_path / "clips.csv"
    write_toy_world(tmp_path / "whole", CLIPS)
    shutil.copytree(tmp_path / "whole", videos)
    (videos / "c.mkv").write_bytes(b"torn")
    (videos / "h.mkv").unlink()
    table.write_text("filename\tevent_labels\n" + "".join(f"{clip}\tDog\n" for clip in CLIPS))
    told = {"VALOR": f"{sys.executable} -m valor", "ALLOWED": "50%", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = [ROOT / "docs/job_array.sh", table, videos, store, "2", *TEACHERS]
    done = subprocess.run(script, env={**os.environ, **told}, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  missing  1 without a file: h\n" in done.stdout
    (status,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    expected = {"clips": 8, "done": 6, "failed": 1, "missing": 1, "left": 0, "running": [], "shards": 4}
    assert expected.items() <= status.items()
    lines = [json.loads(line) for line in (tmp_path / "store.jsonl").read_text().splitlines()]
    shares = {line["share"]: line["failed"] for line in lines if line["event"] == "end"}
    assert shares == {"1/2": 0, "2/2": 2}
    assert "2 clips failed" in (tmp_path / "store.2.log").read_text()
    for clip in "ch":
        shutil.copy(tmp_path / "whole" / f"{clip}.mkv", videos)
    given = (table, "--videos", videos, *TEACHERS, "--quiet")
    assert typed("harvest", *given, "--store", store, "--retry", "failed").out.startswith("8 clips (8 ok), 6 of them")
    typed("harvest", *given, "--store", tmp_path / "undisturbed")
    assert digests(store) == digests(tmp_path / "undisturbed")


def test_a_task_that_ends_otherwise_is_named_and_how_far_all_are_is_said_all_the_same(tmp_path):
    stub = tmp_path / "valor"
    stub.write_text(
        '#!/bin/sh\ncase "$*" in *"--shard 2/2"*) exit 3;; store*) echo shown;; *--retry*) echo again;; esac\n'
    )
    stub.chmod(0o755)
    script = [ROOT / "docs/job_array.sh", "clips.csv", "videos", tmp_path / "store", "2"]
    done = subprocess.run(script, env={**os.environ, "VALOR": str(stub)}, capture_output=True, text=True, check=False)
    expected = (3, "shown\n", f"task 2 ended with 3, see {tmp_path / 'store'}.2.log\n")
    assert (done.returncode, done.stdout, done.stderr) == expected
