"""`valor store`."""

import argparse
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

from valor.label_harvest.media.clip import CLIP
from valor.label_harvest.places.objects import UnreachableError
from valor.label_harvest.places.place import Place, write_atomic
from valor.label_harvest.store.check import merge_stores, repair_store, verify_store
from valor.label_harvest.store.listing import has_lost_list, lost_list, lost_numbers, lost_shards, read_list
from valor.label_harvest.store.origins import told_own
from valor.label_harvest.store.owed import Unfinished, unfinished
from valor.label_harvest.store.shards import marker_paths
from valor.label_harvest.store.status import StoreStatus, lacking, prometheus_text, status_before, store_status
from valor.label_harvest.store.store import NoStoreError, decoder_of, length_of, store_folder, store_folders, track_of

from .command import DONE, FAILURES_LISTED, Commands, new_command
from .of_table import add_table, clips_before_store, clips_of_table, say_lacking
from .options import Parser, any_place
from .terminal import say

ACTIONS = ("show", "verify", "repair", "merge", "judge")
"""What can be done with stores."""


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "store",
        "show    teachers, decoder, clips by status, size; who is at work and how fast, also while they are;\n"
        "        with --manifest also of a store that no run has made yet\n"
        "verify  compares every byte with the checksums, and every array with the statuses; exit code 3 if one is off\n"
        "repair  finishes what was interrupted, gives markers of older versions their checksum, and moves damaged\n"
        "        shards to damaged/; says how many clips are gone with them, and harvesting again makes them anew\n"
        "merge   unites stores of the same teachers in --out, such as those of `valor harvest --shard i/n`\n"
        "judge   has a label generator (`valor train uwav-generator`) judge the embeddings of a store; --out is a\n"
        "        store that `valor calibrate` and `valor labels` take",
        "valor store show store --manifest clips.csv --format json\n"
        "valor store verify data/store\n"
        "valor store merge store-1 store-2 store-3 --out store\n"
        "valor store judge store --generator runs/generator --vectors vectors --out judged",
    )
    command.add_argument("action", choices=ACTIONS, help="what to do, see above")
    command.add_argument("stores", type=any_place, nargs="+", metavar="STORE", help="folder written by `valor harvest`")
    add_table(
        command,
        "table of all clips: says what is left and when it is done (show), or which clips and shares are not there, "
        "and ends with 3 then (verify, merge)",
    )
    command.add_argument(
        "--prometheus", type=Path, metavar="FILE", help="also write gauges for Prometheus' textfile collector (show)"
    )
    command.add_argument("--format", choices=("text", "json"), help="text, or one line of JSON for each store (show)")
    command.add_argument("--out", type=any_place, metavar="DIR", help="folder of the store that is made (merge, judge)")
    command.add_argument(
        "--allow-edited",
        action="store_true",
        help="unite stores by different versions of the file of your own teacher, where these judge alike (merge)",
    )
    command.add_argument(
        "--generator", type=Path, metavar="RUN", help="run folder of `valor train uwav-generator` (judge)"
    )
    command.add_argument(
        "--vectors",
        type=Path,
        metavar="DIR",
        help="audio.npy and visual.npy, a vector of each class of the store (judge; those of the run)",
    )
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    if (cli.out is None) == (cli.action in ("merge", "judge")):
        raise ValueError("--out DIR says where `merge` and `judge` write, and belongs to no other action")
    if (cli.generator is None) == (cli.action == "judge") or (cli.vectors and cli.action != "judge"):
        raise ValueError("--generator RUN says what `judge` judges with; it and --vectors belong to no other action")
    if cli.action != "show" and (cli.format or cli.prometheus):
        raise ValueError("--format and --prometheus are for `show`; leave them out")
    if cli.allow_edited and cli.action != "merge":
        raise ValueError("--allow-edited is for `merge`; leave it out")
    if cli.action in ("repair", "judge") and cli.manifest:
        raise ValueError("--manifest is for `show`, `verify` and `merge`; leave it out")
    if cli.action == "merge":
        return _merge(cli.stores, cli.out, cli.manifest, allow_edited=cli.allow_edited)
    if cli.action == "judge":
        return _judge(cli)
    shown = list[StoreStatus]()
    show = partial(_show, cli=cli, shown=shown)
    verify = partial(_verify, table=cli.manifest)
    actions: dict[str, Callable[[Place], int]] = {"show": show, "verify": verify, "repair": _repair}
    try:
        return _each(actions[cli.action], cli.stores)
    finally:
        if cli.prometheus:  # of a store that cannot be looked at there is nothing, which is what an alert asks for
            write_atomic(cli.prometheus, prometheus_text(shown).encode())


def _judge(cli: argparse.Namespace) -> int:
    """Have a generator judge a store."""
    if len(cli.stores) > 1:
        raise ValueError(f"`judge` takes one store, got {len(cli.stores)}; unite them first (`valor store merge`)")
    from valor.training.judge import judge_store

    clips = judge_store(cli.stores[0], cli.generator, cli.out, vectors=cli.vectors, progress=not cli.quiet)
    say(f"{clips:,} clips judged; wrote {cli.out}")
    return DONE


def _each(act: Callable[[Place], int], stores: list[Place]) -> int:
    """Do it with every store, also when one cannot be used; that is said at the end.

    Of one of several fingerprints with each.
    """
    codes, refused = [DONE], []
    for folder in [folder for store in stores for folder in _folders(store)]:
        try:
            codes.append(act(folder))
        except (ValueError, UnreachableError) as error:
            refused.append(str(error))
    if refused:
        raise ValueError("\n".join(refused))
    return max(codes)


def _folders(store: Place) -> list[Place]:
    """Each fingerprint folder of a store that holds several; else the store as it was typed."""
    folders = list[Place]()
    with suppress(NoStoreError, UnreachableError):  # which the action says
        folders = store_folders(store)
    return folders if len(folders) > 1 else [store]


def _show(path: Place, cli: argparse.Namespace, shown: list[StoreStatus]) -> int:
    """Print what a store holds and how far it is, without reading its arrays."""
    clip_ids, status = _status(path, cli.manifest)
    shown.append(status)
    if cli.format == "json":
        say(json.dumps(status.to_dict()))
        return DONE
    if not status.manifest:
        say(f"{path}: no run has made this store yet; {status.left:,} of {status.clips:,} clips of the table left")
        return DONE
    manifest, grid = status.manifest, status.manifest["grid"]
    say(f"{status.folder}")
    say(f"  fingerprint  {manifest['fingerprint']}")
    for role, identity in sorted(manifest["teachers"].items()):
        of = f", by {told_own(status.own[role])}" if role in status.own else ""
        say(f"  {role:12s} {identity['teacher']}, weights {identity['weights'][:12]}, {identity['precision']}{of}")
    say(f"  grid         {grid['num_segments']} segments of {grid['segment_seconds']} s, {grid['sample_rate']} Hz")
    if length_of(manifest) != CLIP:
        say(f"  length       {length_of(manifest)}: clips of any number of segments")
    say(f"  decoder      {decoder_of(manifest)}")
    say(f"  audio track  {track_of(manifest)}")
    say(f"  classes      {len(manifest['class_names'])}")
    held = sum(status.by_status.values()) + status.others
    say(f"  clips        {held:,} in {status.shards:,} shards, {status.num_bytes / 2**20:,.1f} MiB")
    for name, count in status.by_status.items():
        say(f"    {name:12s} {count:,}")
    if status.owed and status.owed != status.left:
        say(f"  owed         {Unfinished(status.folder, held, status.owed, status.running).told}")
    if status.clips is not None:
        said = f"{status.done:,} done, {status.failed:,} failed, {status.missing:,} missing, {status.left:,} left"
        others = f"; {status.others:,} clips of the store are not in it" if status.others else ""
        say(f"  of the table {said} of {status.clips:,}{others}")
        absent = lacking(path, clip_ids) if clip_ids is not None and status.left and not status.running else None
        if absent is not None:
            say(f"  {absent}")
    _say_runs(status)
    known = read_list(status.folder)
    present = [int(marker.stem) for marker in marker_paths(status.folder)]
    missing = lost_numbers(status.folder, known, present) if known else []  # gaps may be shards to come
    faults = [lost_shards(status.folder, missing)] if missing else []
    faults += [lost_list(status.folder)] if has_lost_list(status.folder) else []
    for fault in faults:
        say(f"  {fault}")
    return FAILURES_LISTED if faults else DONE


def _status(path: Place, table: Place | None) -> tuple[tuple[str, ...] | None, StoreStatus]:
    """The clips of a table, and how far a store is, also before a run has made it where there is a table."""
    try:
        clip_ids = clips_of_table(table, path)
        return clip_ids, store_status(path, clip_ids)
    except NoStoreError:
        if table is None:
            raise
        clip_ids = clips_before_store(table)
        return clip_ids, status_before(path, clip_ids)


def _say_runs(status: StoreStatus) -> None:
    """Who is at work, how fast, and until when."""
    for what, shares in (("at work", status.running), ("killed", status.stopped)):
        if shares:
            say(f"  {what:12s} {len(shares):,} ({', '.join(shares[:10])}{', ...' if shares[10:] else ''})")
    if status.running and status.clips_per_second:
        left = f", {timedelta(seconds=round(status.seconds_left))} left" if status.seconds_left is not None else ""
        say(f"  rate         {status.clips_per_second:.2f} clips/s{left}")


def _verify(path: Place, table: Place | None) -> int:
    """Print what is wrong with a store, and which clips of a table it lacks."""
    wanted = clips_of_table(table, path)
    check = verify_store(path)
    for problem in check.problems:
        say(f"  {problem}")
    for note in check.notes:
        say(f"  note: {note}")
    found = f"{len(check.problems)} problems" if check.problems else "whole"
    say(f"{check.folder}: {check.clips:,} clips in {check.shards:,} shards, {found}")
    lacks = say_lacking(path, wanted) is not None
    return FAILURES_LISTED if check.problems or lacks else DONE


def _repair(path: Place) -> int:
    """Repair a store and print what was done, and what is to be harvested again."""
    done = repair_store(path)
    for line in done:
        say(f"  {line}")
    folder = store_folder(path)
    owed = ""
    if lacks := unfinished(folder):
        owed = (
            f"; {lacks.clips:,} of {lacks.clips + lacks.owed:,} clips are there, and `valor harvest MANIFEST --videos "
            f"VIDEOS --store {folder.parent}`, with the teachers and options it was made with, makes the other "
            f"{lacks.owed:,}"
        )
    say(f"{path}: {f'{len(done)} repairs' if done else 'nothing to repair'}{owed}")
    return DONE


def _merge(stores: list[Place], out: Place, table: Place | None, *, allow_edited: bool) -> int:
    """Unite stores and say what came of it, and which clips of a table are in none."""
    wanted = clips_of_table(table, stores[0])
    merged = merge_stores(stores, out, allow_edited=allow_edited)
    again = f" ({merged.repeated:,} held by several stores)" if merged.repeated else ""
    say(f"{merged.clips:,} clips in {merged.shards:,} shards{again}; wrote {merged.folder}")
    return DONE if say_lacking(out, wanted) is None else FAILURES_LISTED
