"""docs/job_array.sh and docs/slurm.sh as they stand: tasks on one store, torn clips, and what follows."""

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


SBATCH = """#!{python}
# Stands for Slurm's: tasks of an array one after another, other jobs once those they wait for ended with 0.
import os, pathlib, subprocess, sys
given = dict(word[2:].partition("=")[::2] for word in sys.argv[1:] if word.startswith("--"))
jobs, script = pathlib.Path(__file__).parent / "jobs", sys.stdin.read()
ended = jobs.read_text().split() if jobs.is_file() else []
with open(jobs.with_name("asked"), "a") as asked:
    asked.write(" ".join(sys.argv[1:]) + "\\n")
number, (first, _, last) = len(ended), given.get("array", "1-1").partition("%")[0].partition("-")
waits = given.get("dependency", "").removeprefix("afterok:")
codes = []
for task in range(int(first), int(last) + 1) if not waits or ended[int(waits)] == "0" else ():
    with open(given["output"].replace("%A", str(number)).replace("%a", str(task)), "w") as out:
        told = dict(os.environ, SLURM_ARRAY_TASK_ID=str(task))
        codes.append(subprocess.run(["bash"], input=script, text=True, stdout=out, stderr=out, env=told).returncode)
jobs.write_text(" ".join([*ended, str(max(codes, default=1))]))
print(f"{number};cluster")
"""


def queued(tmp_path, valor, *options, **told):
    """docs/slurm.sh with a stand-in for sbatch."""
    (tmp_path / "sbatch").write_text(SBATCH.replace("{python}", sys.executable))
    (tmp_path / "sbatch").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "VALOR": valor, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    given = [ROOT / "docs/slurm.sh", tmp_path / "clips.csv", tmp_path / "videos", tmp_path / "store", tmp_path / "out"]
    return subprocess.run(
        [*given, *options],
        cwd=tmp_path,
        env={**os.environ, **path, **told},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
def test_a_job_array_of_slurm_runs_as_it_stands_and_its_labels_follow(tmp_path):
    write_toy_world(tmp_path / "videos", CLIPS[:4])
    table = "filename\tevent_labels\n" + "".join(f"{clip}\tDog\n" for clip in CLIPS[:4])
    (tmp_path / "clips.csv").write_text(table)
    thresholds = {"LABEL_OPTIONS": f"--thresholds {ROOT}/label_harvest/weights/demo_thresholds.json"}
    teachers = ("--visual", "demo-visual", "--audio", "demo-audio", "--shard-clips", "2", "--workers", "0")
    done = queued(tmp_path, f"{sys.executable} -m valor", "2", *teachers, **thresholds)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "weights  audio demo-audio: /" in done.stdout
    assert done.stdout.endswith("\nharvest is job 0, labels are job 1; logs in logs\n")
    assert (tmp_path / "jobs").read_text() == "0 0", [path.read_text() for path in (tmp_path / "logs").iterdir()]
    assert {path.name for path in (tmp_path / "logs").iterdir()} == {
        "1.log", "2.log", "harvest-0-1.out", "harvest-0-2.out", "labels.out", "progress.jsonl",
    }  # fmt: skip
    assert (tmp_path / "out/labels.json").is_file()


def test_nothing_is_queued_after_a_plan_that_fails_and_no_labels_follow_a_task_that_does(tmp_path):
    stub = tmp_path / "valor"
    stub.write_text('#!/bin/sh\ncase "$*" in *"--plan"*) exit $PLAN;; *"--shard 2/2"*) exit 3;; esac\necho "$@"\n')
    stub.chmod(0o755)
    done = queued(tmp_path, str(stub), "2", PLAN="3")
    assert (done.returncode, done.stdout) == (3, "") and not (tmp_path / "jobs").exists()
    assert queued(tmp_path, str(stub), "2", "--retry", "a b", PLAN="0").returncode == 0
    assert (tmp_path / "jobs").read_text() == "3 1" and not (tmp_path / "logs/labels.out").exists()
    said = (tmp_path / "logs/harvest-0-1.out").read_text()
    assert "--retry a b --allow-failures 5% --shard 1/2 --quiet --log-file logs/1.log --log-json logs/progress" in said
    asked = (tmp_path / "asked").read_text().splitlines()
    assert "--array=1-2" in asked[0].split()
    assert ["--kill-on-invalid-dep=yes" in line.split() for line in asked] == [False, True]
    assert queued(tmp_path, str(stub), "2", PLAN="0").returncode == 0  # again: what the first try said stays
    assert (tmp_path / "logs/harvest-0-1.out").read_text() == said != (tmp_path / "logs/harvest-2-1.out").read_text()


def test_no_more_tasks_than_the_throttle_run_at_the_same_time(tmp_path):
    stub = tmp_path / "valor"
    stub.write_text('#!/bin/sh\necho "$@"\n')
    stub.chmod(0o755)
    assert queued(tmp_path, str(stub), "3", THROTTLE="2").returncode == 0
    assert "--array=1-3%2" in (tmp_path / "asked").read_text().splitlines()[0].split()
    assert "--shard 3/3" in (tmp_path / "logs/harvest-0-3.out").read_text()


def test_of_each_task_fewer_clips_may_fail_than_of_all(tmp_path):
    stub = tmp_path / "valor"
    stub.write_text('#!/bin/sh\necho "$@" >> said\n')
    stub.chmod(0o755)
    told = {"ALLOWED": "2", "TASK_ALLOWED": "1"}
    assert queued(tmp_path, str(stub), "2", **told).returncode == 0
    script = [ROOT / "docs/job_array.sh", "clips.csv", "videos", tmp_path / "store", "2"]
    assert subprocess.run(script, cwd=tmp_path, env={**os.environ, "VALOR": str(stub), **told}, check=True)
    lines = [line for line in (tmp_path / "said").read_text().splitlines() if "--allow" in line]
    allowed = [(line.partition("--allow-failures ")[2][0], "--shard" in line) for line in lines]
    assert len(allowed) >= 8 and all(clips == ("1" if of_task else "2") for clips, of_task in allowed)


def test_labels_that_need_thresholds_are_refused_before_anything_is_queued_or_get_those_of_a_calibration(tmp_path):
    stub = tmp_path / "valor"
    stub.write_text(
        '#!/bin/sh\ncase "$*" in *--shard*--plan*) echo "  note     few";; *--plan*) echo clips; echo "labels   need"\n'
        ';; *) echo "$@";; esac\n'
    )
    stub.chmod(0o755)
    done = queued(tmp_path, str(stub), "2")
    assert done.returncode == 2 and "give CALIBRATE='--criterion tag-rate', or LABEL_OPTIONS='--thr" in done.stderr
    assert done.stdout == "clips\nlabels   need\n  note     few\n" and not (tmp_path / "jobs").exists()
    assert queued(tmp_path, str(stub), "2", LABEL_OPTIONS="--thresholds t.json").returncode == 0
    assert (tmp_path / "logs/labels.out").read_text().endswith("--allow-failures 5% --thresholds t.json\n")
    assert queued(tmp_path, str(stub), "2", CALIBRATE="--criterion tag-rate").returncode == 0
    (tmp_path / "asked").unlink()
    told = {"CALIBRATE": "--criterion tag-rate", "SBATCH": "--account=a --gpus=1"}
    assert queued(tmp_path, str(stub), "2", **told).returncode == 0
    assert ["--account=a --gpus=1 --" in line for line in (tmp_path / "asked").read_text().splitlines()] == [True, True]
    assert queued(tmp_path, str(stub), "2", **told, LABELS_SBATCH="--account=a").returncode == 0
    assert ["--gpus" in line for line in (tmp_path / "asked").read_text().splitlines()[2:]] == [True, False]
    made, labels = (tmp_path / "logs/labels.out").read_text().splitlines()
    table = f"--manifest {tmp_path}/clips.csv"
    assert made == f"calibrate {tmp_path}/store --out {tmp_path}/out.thresholds.json {table} --criterion tag-rate"
    assert labels.endswith(f"--thresholds {tmp_path}/out.thresholds.json")


def test_a_task_that_ends_otherwise_is_named_and_how_far_all_are_is_said_all_the_same(tmp_path):
    stub = tmp_path / "valor"
    stub.write_text(
        '#!/bin/sh\ncase "$*" in *"--shard 2/2"*) exit 3;; store*) echo shown;; *--retry*) echo again;; esac\n'
    )
    stub.chmod(0o755)
    for store in (f"{tmp_path}/store", f"{tmp_path}/store//"):  # logs lie beside the store, not in it
        script = [ROOT / "docs/job_array.sh", "clips.csv", "videos", store, "2"]
        told = {**os.environ, "VALOR": str(stub)}
        done = subprocess.run(script, env=told, capture_output=True, text=True, check=False)
        expected = (3, "shown\n", f"task 2 ended with 3, see {tmp_path / 'store'}.2.log\n")
        assert (done.returncode, done.stdout, done.stderr) == expected
