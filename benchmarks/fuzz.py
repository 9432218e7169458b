"""Mangled inputs by the thousand: python -m benchmarks.fuzz --tries 2000 --only evaluate,labels.

Every try mangles one input of one command and runs it in this process; a batch of tries has a process of its own, so
that a crash, a hang or a rush of memory is a finding and not the end. Counted are exceptions that are not for the user,
crashes, hangs, memory, parts of outputs left behind, outputs that cannot be read back, and silent answers: changes that
must be refused or seen and were not. A try is found again by its number: --first N --tries 1 --keep DIR.
"""

import argparse
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests.helpers.fuzz_kinds import KINDS, Kind
from tests.helpers.fuzzing import Outcome, prepared, tried

BATCH = 50
"""Tries of one process."""
SECONDS = 30.0
"""What a try may take."""
MEMORY = 3 * 2**30
"""Bytes of address space the tries of a process may take beyond what it begins with."""


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__)
    cli.add_argument("--tries", type=int, default=200)
    cli.add_argument("--first", type=int, default=0)
    cli.add_argument("--only", default=",".join(KINDS))
    cli.add_argument("--log", type=Path, help="a JSON line for every try")
    cli.add_argument("--keep", type=Path, help="folder in which the inputs of the last try stay")
    typed = cli.parse_args()
    total = 0
    for name in typed.only.split(","):
        total += run_kind(KINDS[name], typed)
    sys.exit(1 if total else 0)


def run_kind(kind: Kind, typed: argparse.Namespace) -> int:
    """Try one kind; the number of faults."""
    began, outcomes = time.perf_counter(), []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        folder = typed.keep or Path(scratch)
        whole = prepared(kind, Path(scratch))
        number, end = typed.first, typed.first + typed.tries
        while number < end:
            for outcome in batch(kind, whole, folder / "try", range(number, min(end, number + BATCH))):
                outcomes.append(outcome)
                number = outcome.seed + 1
    if typed.log:
        with typed.log.open("a") as file:
            file.writelines(json.dumps(asdict(one)) + "\n" for one in outcomes)
    told(kind.name, outcomes, time.perf_counter() - began)
    return sum(bool(one.fault) for one in outcomes)


def batch(kind: Kind, whole: Path, place: Path, seeds: range) -> list[Outcome]:
    """The outcomes of some tries, up to the first that ended its process."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _work(kind, whole, place, seeds, theirs)
    os.close(theirs)
    done, held, last = [], b"", time.monotonic()
    fault = ""
    while True:
        ready, _, _ = select.select([ours], [], [], 1.0)
        if ready:
            more = os.read(ours, 1 << 16)
            if not more:
                break
            held, last = held + more, time.monotonic()
            *lines, held = held.split(b"\n")
            done += [Outcome(**json.loads(line)) for line in lines]
        elif time.monotonic() - last > SECONDS:
            fault = f"took more than {SECONDS:.0f} s"
            os.kill(child, signal.SIGKILL)
            break
    os.close(ours)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == 1:
        raise SystemExit("the fuzzer itself failed, see above")
    if len(done) < len(seeds) and (fault or status):
        at = seeds[len(done)]
        done.append(Outcome(kind.name, at, "", "", "", -1, "", "", fault or f"crash: process ended with {status}"))
    return done


def _work(kind: Kind, whole: Path, place: Path, seeds: range, pipe: int) -> None:
    """What the process of a batch does."""
    code = 1
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
        if pages:
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for seed in seeds:
            outcome = tried(kind, whole, place, seed)
            os.write(pipe, json.dumps(asdict(outcome)).encode() + b"\n")
        code = 0
    except BaseException:  # of the fuzzer itself
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def told(name: str, outcomes: list[Outcome], seconds: float) -> None:
    """Print the line of a kind, and its faults, like ones together."""
    answers = Counter(one.answer for one in outcomes)
    tracebacks = sum(one.fault.startswith("traceback") for one in outcomes)
    silent = sum(one.fault.startswith("silent") for one in outcomes)
    other = sum(bool(one.fault) for one in outcomes) - tracebacks - silent
    print(
        f"{name:16s} {len(outcomes):6,d} tries  {tracebacks:4d} tracebacks  {silent:4d} silent  {other:4d} others "
        f"({answers['refused']:,} refused, {answers['other']:,} other answers, {answers['same']:,} the same; "
        f"{seconds:.0f} s)",
        flush=True,
    )
    like: dict[str, list[Outcome]] = {}
    for one in outcomes:
        if one.fault:
            like.setdefault(one.fault[:90], []).append(one)
    for held in sorted(like.values(), key=len, reverse=True):
        first = held[0]
        print(f"    {len(held):4d}  {first.fault[:240]!r}")
        print(f"          try {first.seed}: {first.words[:60]} | {first.file}: {first.what}", flush=True)


if __name__ == "__main__":
    main()
