"""`valor store`."""

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from valor.label_harvest.store.check import merge_stores, repair_store, verify_store
from valor.label_harvest.store.shards import known_clips, read_markers
from valor.label_harvest.store.store import decoder_of, store_folder, store_manifest, track_of

from .command import DONE, FAILURES_LISTED, Commands, new_command
from .options import Parser
from .terminal import say

ACTIONS = ("show", "verify", "repair", "merge")
"""What can be done with stores."""


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "store",
        "evidence stores: what they hold, whether they are whole, and one from several",
        "show    teachers, decoder, clips by status, size\n"
        "verify  compares every byte with the checksums, and every array with the statuses; exit code 3 if one is off\n"
        "repair  finishes what was interrupted, gives markers of older versions their checksum, and moves damaged\n"
        "        shards to damaged/; harvest again to make them anew\n"
        "merge   unites stores of the same teachers in --out, such as those of `valor harvest --shard i/n`",
        "valor store verify data/store\nvalor store merge store-1 store-2 store-3 --out store",
    )
    command.add_argument("action", choices=ACTIONS, help="what to do, see above")
    command.add_argument("stores", type=Path, nargs="+", metavar="STORE", help="folder written by `valor harvest`")
    command.add_argument("--out", type=Path, metavar="DIR", help="folder of the united store (merge)")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    if (cli.out is None) == (cli.action == "merge"):
        raise ValueError("--out DIR says where `merge` writes, and belongs to no other action")
    if cli.action == "merge":
        return _merge(cli.stores, cli.out)
    return _each({"show": _show, "verify": _verify, "repair": _repair}[cli.action], cli.stores)


def _each(act: Callable[[Path], int], stores: list[Path]) -> int:
    """Do it with every store, also when one cannot be used; that is said at the end."""
    codes, refused = [DONE], []
    for store in stores:
        try:
            codes.append(act(store))
        except ValueError as error:
            refused.append(str(error))
    if refused:
        raise ValueError("\n".join(refused))
    return max(codes)


def _show(path: Path) -> int:
    """Print what a store holds, without reading its arrays."""
    folder = store_folder(path)
    manifest, markers = store_manifest(folder), read_markers(folder)
    grid, rows = manifest["grid"], list(known_clips(markers))
    size = sum(marker.num_bytes for marker in markers.values())
    say(f"{folder}")
    say(f"  fingerprint  {manifest['fingerprint']}")
    for role, identity in sorted(manifest["teachers"].items()):
        say(f"  {role:12s} {identity['teacher']}, weights {identity['weights'][:12]}, {identity['precision']}")
    say(f"  grid         {grid['num_segments']} segments of {grid['segment_seconds']} s, {grid['sample_rate']} Hz")
    say(f"  decoder      {decoder_of(manifest)}")
    say(f"  audio track  {track_of(manifest)}")
    say(f"  classes      {len(manifest['class_names'])}")
    say(f"  clips        {len(rows):,} in {len(markers):,} shards, {size / 2**20:,.1f} MiB")
    for status, count in Counter(row.status for row in rows).most_common():
        say(f"    {status:12s} {count:,}")
    return DONE


def _verify(path: Path) -> int:
    """Print what is wrong with a store."""
    check = verify_store(path)
    for problem in check.problems:
        say(f"  {problem}")
    for note in check.notes:
        say(f"  note: {note}")
    found = f"{len(check.problems)} problems" if check.problems else "whole"
    say(f"{check.folder}: {check.clips:,} clips in {check.shards:,} shards, {found}")
    return FAILURES_LISTED if check.problems else DONE


def _repair(path: Path) -> int:
    """Repair a store and print what was done."""
    done = repair_store(path)
    for line in done:
        say(f"  {line}")
    say(f"{path}: {len(done)} repairs" if done else f"{path}: nothing to repair")
    return DONE


def _merge(stores: list[Path], out: Path) -> int:
    """Unite stores and say what came of it."""
    merged = merge_stores(stores, out)
    again = f" ({merged.repeated:,} held by several stores)" if merged.repeated else ""
    say(f"{merged.clips:,} clips in {merged.shards:,} shards{again}; wrote {merged.folder}")
    return DONE
