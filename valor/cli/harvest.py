"""`valor harvest`."""

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import PurePosixPath
from shlex import quote
from typing import Any

from valor.data.datasets.dataset import dataset_of
from valor.data.datasets.to_harvest import (
    grid_of,
    holds_tables,
    read_any_manifest,
    read_media_folder,
    vocabulary_of,
)
from valor.data.provenance import by_drawings
from valor.data.vocabulary import EventClass, class_names
from valor.label_harvest.harvest import RETRIED, HarvestOptions, HarvestReport, harvest, read_retry
from valor.label_harvest.inputs import SUCH, HarvestPlan, KnownStore, check_inputs, clips_there, gigabytes, plan_harvest
from valor.label_harvest.media.clip import CLIP, LENGTHS, WHOLE
from valor.label_harvest.media.decoders import DECODERS, check_decoder
from valor.label_harvest.media.process import STARVED, DecodeLimits
from valor.label_harvest.places.place import Place
from valor.label_harvest.ray_engine import RayEngine, RayOptions
from valor.label_harvest.store.manifest import HarvestManifest, composed
from valor.label_harvest.store.plan import UNREAD
from valor.label_harvest.store.share import read_share
from valor.label_harvest.store.videos import roots_of
from valor.label_harvest.teachers.teacher import PRECISIONS
from valor.teachers import BUILT_AS, TeacherChoice, WeightsPlace, build_teachers, known_store, weights_of

from .command import DONE, FAILURES_LISTED, Commands, add_shared, new_command, read_allowance
from .options import Fields, Option, Parser, any_place, media_place, typed_words
from .terminal import say

logger = logging.getLogger(__name__)

MOST_LISTED = 100
"""Failed clips that are printed; the file has all."""
GPU_BATCH = 32
"""Clips given to the networks together: 40 pictures occupy the cores of a CPU, a GPU takes more."""
GPU_PREPARERS = 4
"""Threads that prepare clips beside a GPU, where there are four times as many cores."""

TEACHERS = Fields(
    TeacherChoice,
    visual="--visual NAME",
    audio="--audio NAME",
    features="--features LIST",
    checkpoints=Option("--teacher-checkpoint ROLE=PATH", {"action": "append"}, also="--checkpoint"),
    pins=Option("--sha256 ROLE=HEX", {"action": "append"}),
    precision=Option("--precision", {"choices": PRECISIONS}),
    raw_maps="--raw-maps",
    skip_self_test="--skip-self-test",
)
HARVEST = Fields(
    HarvestOptions,
    decoder=Option("--decoder", {"choices": tuple(DECODERS)}),
    audio_track="--audio-track N|LANG",
    segment_seconds="--segment-seconds S",
    length=Option(
        "--length",
        {
            "choices": LENGTHS,
            "default": None,
            "help": "how much of a clip is read: its first ten segments (clip), all of it (whole), or all of it in "
            "windows that overlap by half (windows); a store is of one choice. Of what is cut off, the status and the "
            "end of the run say how much it was (clip; whole where the data set of MANIFEST has clips of any length)",
        },
    ),
    shard_size="--shard-clips N",
    decode_workers="--workers N",
    clips_per_batch=Option(
        "--batch-size N",
        {
            "default": None,
            "help": f"clips given to the networks together ({HarvestOptions.clips_per_batch}, on a GPU {GPU_BATCH}); "
            "the last bit may depend on it",
        },
    ),
    log_json="--log-json FILE",
    log_every="--log-every S",
    retry=Option(
        "--retry LIST",
        {
            "nargs": "?",
            "const": ",".join(RETRIED),
            "default": "",
            "help": "read clips again: those with these statuses, joined by commas "
            f"({','.join(RETRIED)}), failed for all that failed, changed for those whose file has another size now, or "
            "all; what cannot be read this time keeps its evidence",
        },
    ),
    allow_edited="--allow-edited",
    share=Option("--shard i/n", {"type": str, "default": "1/1"}),
)
LIMITS = Fields(DecodeLimits, seconds="--decode-timeout S", memory="--decode-memory MIB")
RAY = Fields(RayOptions, address="--ray-address ADDRESS", networks="--ray-networks N")


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "harvest",
        "FOLDER --store STORE takes the media of a folder as clips without tags, whole (--length), each called as its\n"
        "file: enough for `valor search STORE WORDS`. Run it again for new files.\n\n"
        "MANIFEST is a tab-separated table `filename event_labels`, such as AVVP_train.csv, the columns in any order.\n"
        "The media of a row is <filename>.* in --videos or below, or <first 11 characters>.* for names like LLP's\n"
        "(4O9rI-FpqLg_10_20); in a tar, the member of that key (WebDataset). A further column `path` says where it\n"
        "is instead: below --videos, absolute, an address, or shard.tar/clip.mp4. Scores and features go to a store\n"
        "under a fingerprint of all that changes them; thresholds are applied later, by `valor labels`. MANIFEST and\n"
        "--store may be s3:// or gs:// (docs/store.md).\n\n"
        "Run it again to resume, with a longer table to append: whatever ended a run, the store becomes what an\n"
        "undisturbed run had made, to the byte. Ctrl-C ends a run with 130, SIGTERM with 143.\n"
        "A clip gets a status: ok, still, cut (to the ten seconds of --length clip; else to where sound or picture\n"
        "ends, if the other ends within a second), silent, short, no_audio, no_video, undecodable, timeout\n"
        "(decoding hung), unjudged (a teacher of your own fails at it) or missing. Missing clips are read once their\n"
        "file is there. A file dataset.json beside MANIFEST says the classes and the grid of another data set than\n"
        "LLP (docs/extend.md). MANIFEST may be the data folder, for all its clips; where a data set has files of its\n"
        "own, as AVE, its annotation (Annotations.txt) or the order of a split (train_order.h5).",
        "valor harvest AVVP_train.csv --videos videos --store store --teacher-checkpoint visual=ViT-L-14.safetensors\n"
        "valor harvest films --store films.store",
    )
    command.add_argument(
        "manifest", type=any_place, metavar="MANIFEST", help="table of clips and tags; or a folder of media"
    )
    command.add_argument(
        "--videos",
        type=media_place,
        action="append",
        metavar="DIR",
        help="folder of the media files and tars, searched with all below it, or s3://, gs://; http(s):// for paths in "
        "MANIFEST; may be given several times (MANIFEST, where that is a folder of media)",
    )
    command.add_argument("--store", type=any_place, required=True, metavar="STORE", help="folder of the evidence")
    TEACHERS.add(command)
    HARVEST.add(command, "length", "segment_seconds", "decoder", "audio_track")
    add_shared(command, "classes")
    HARVEST.add(command, "shard_size", "decode_workers", "clips_per_batch")
    LIMITS.add(command)
    HARVEST.add(command, "retry", "allow_edited", "share")
    command.add_argument(
        "--allow-failures",
        metavar="N|P%",
        default="0",
        help="end with 0, not 3, where no more clips than N, or P percent of those of this run, failed; P percent are "
        "of its share, rounded down: 5%% of 12 clips are none, so give N where shares are small (0)",
    )
    HARVEST.add(command, "log_json", "log_every")
    command.add_argument("--engine", choices=("local", "ray"), default="local", help="this machine or a Ray cluster")
    RAY.add(command)
    command.add_argument(
        "--plan",
        action="store_true",
        help="load and write nothing, say what would be done: clips, hours, disk, shards, and whether all weights are "
        "on this machine (3 where they are not)",
    )
    command.add_argument(
        "--format",
        choices=("text", "json"),
        help="text, or one line of JSON with every clip without a file (--plan)",
    )
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    _check_engine(cli)
    if cli.format and not cli.plan:
        raise ValueError("--format is for --plan; leave it out")
    allowed = read_allowance(cli.allow_failures)
    if cli.log_json is not None and not cli.plan:
        cli.log_json.parent.mkdir(parents=True, exist_ok=True)
    check_decoder(cli.decoder)
    typed = {"limits": LIMITS.read(cli), "retry": read_retry(cli.retry), "share": read_share(cli.share)}
    data = cli.manifest if cli.manifest.is_dir() else cli.manifest.parent
    untagged = _is_media_folder(cli)
    cli.length = cli.length or (WHOLE if untagged or dataset_of(data).segments is None else CLIP)
    if cli.engine == "ray" and cli.length != CLIP:
        raise ValueError(f"--engine ray harvests clips of one length; leave it out, or give --length {CLIP}")
    options = HARVEST.read(cli, **typed, grid=grid_of(data))
    classes = vocabulary_of(cli.classes, data, store=cli.store)
    choice = TEACHERS.read(cli)
    read = partial(_read_folder, cli.store, aside=cli.format == "json") if untagged else read_any_manifest
    manifest = read(cli.manifest, class_names(classes))
    known = known_store(choice, classes, options)  # imports much, so last
    where = (manifest, roots_of(cli.videos or [cli.manifest]), cli.store)
    if cli.plan:
        return _plan(cli, plan_harvest(*where, known, options.scope), options.shard_size, known, classes)
    media = check_inputs(*where, known, share=options.share, shard_size=options.shard_size)
    options = _on_device(cli, options)
    more: dict[str, Any] = {"options": options, "progress": not cli.quiet, "media": media}
    if cli.engine == "ray":
        with RayEngine(partial(build_teachers, choice, classes), RAY.read(cli)) as engine:
            report = harvest(*where, engine.teachers, engine=engine, **more)
    else:
        report = harvest(*where, build_teachers(choice, classes), **more)
    failures, most = len(report.failures), allowed(len(report.rows))
    _say(report, options, len(manifest.clip_ids), listed=not cli.quiet or failures > most, hints=not cli.quiet)
    if failures and cli.allow_failures != "0":
        named = "" if not cli.quiet else f"{failures:,} clips failed, listed in {report.folder / 'failures.csv'}: "
        say(f"{named}{'no ' if failures <= most else ''}more than --allow-failures {cli.allow_failures} ({most:,})")
    if not cli.quiet:
        _say_caveat(known, data)
    if untagged:
        say(f"search it: valor search {quote(str(cli.store))} 'a dog barks'")
    return FAILURES_LISTED if failures > most else DONE


def _plan(
    cli: argparse.Namespace, plan: HarvestPlan, shard_size: int, known: KnownStore, classes: tuple[EventClass, ...]
) -> int:
    """Say what a run would do, and return the exit code."""
    weights = [] if cli.engine == "ray" else weights_of(TEACHERS.read(cli))  # the nodes have theirs
    data = cli.manifest if cli.manifest.is_dir() else cli.manifest.parent
    most = read_allowance(cli.allow_failures)(plan.of_share)
    if cli.format == "json":
        told = plan.to_dict() | {
            "idle_tasks": _idle(plan, shard_size),
            "allowed": most,
            "weights": [asdict(one) | {"remedy": typed_words(one.remedy, cli.flags)} for one in weights],
            "needs_thresholds": _needs_thresholds(known, classes),
            "notes": by_drawings(known.teachers.values(), data),
        }
        say(json.dumps(told))
    else:
        _say_plan(plan)
        _say_idle(plan, shard_size)
        _say_allowance(plan, cli.allow_failures)
        _say_weights(weights, cli.flags)
        _say_labels(known, classes)
        _say_caveat(known, data)
    if plan.lacking:
        raise ValueError(
            f"{cli.store}: {gigabytes(plan.lacking)} more than are free would be written; make room, give another "
            "`store`, or harvest a shorter table first"
        )
    return FAILURES_LISTED if len(plan.missing) > most or any(one.absent for one in weights) else DONE


def _check_engine(cli: argparse.Namespace) -> None:
    """Refuse options of another engine than the one that was asked for."""
    if cli.engine != "ray" and (cli.address or cli.networks):
        raise ValueError("--ray-address and --ray-networks are for --engine ray; add it")
    if cli.engine == "ray" and (cli.device != "auto" or cli.threads):
        raise ValueError("--device and --threads are for --engine local; Ray's nodes have their own: leave them out")
    if cli.engine == "ray" and cli.decode_workers is not None:
        raise ValueError("--workers is for --engine local; Ray decodes on all cores of its nodes: leave it out")


def _is_media_folder(cli: argparse.Namespace) -> bool:
    """Whether the media of a folder are to be harvested, for want of a table.

    Raises:
        ValueError: Nothing says where the media of a table lie.
    """
    if cli.videos is not None and cli.videos != [cli.manifest]:
        return False
    if cli.manifest.is_dir() and not holds_tables(cli.manifest):
        return True
    if cli.videos is None:
        raise ValueError(f"{cli.manifest} names clips and not where they lie; add --videos DIR, their folder")
    return False


def _read_folder(store: Place, folder: Place, names: Sequence[str], *, aside: bool = False) -> HarvestManifest:
    """The media of a folder, naming those that are not called as their files, `aside` on stderr."""
    manifest = read_media_folder(folder, names, clips_there(store))
    named = [
        (path, name)
        for path, name in zip(manifest.paths, manifest.clip_ids, strict=True)
        if composed(PurePosixPath(path).stem) != name
    ]
    if named:
        path, name = named[0]
        files = "1 file has the name of another" if len(named) == 1 else f"{len(named):,} files have names of others"
        note = f"{files}, or one that no clip may have, and a name of its place: {path} is the clip {name}"
        logger.warning("%s", note) if aside else say(f"note: {note}")
    return manifest


def _say_caveat(known: KnownStore, data: Place) -> None:
    """Say what keeps anybody from believing these teachers."""
    for note in by_drawings(known.teachers.values(), data):
        say(f"note: {note}")


def _on_device(cli: argparse.Namespace, options: HarvestOptions) -> HarvestOptions:
    """What was typed; beside a GPU more clips at a time and more threads, where nothing was."""
    from valor.label_harvest.teachers.precision import chosen_device

    if chosen_device().type != "cuda":
        return options
    batch = GPU_BATCH if cli.clips_per_batch is None else cli.clips_per_batch
    preparers = max(1, min(GPU_PREPARERS, options.decode_workers // 4))
    return replace(options, clips_per_batch=batch, preparers=preparers)


def _say_plan(plan: HarvestPlan) -> None:
    """What a run would do."""
    share = "" if plan.share.is_whole else f", of which share {plan.share}"
    where = f"in {plan.folder}" if plan.folder else "in a new store"
    if plan.alike:
        where += f" or one of {plan.alike} more; the weights decide"
    kept = ", ".join(f"{count:,} {status}" for status, count in plan.kept.items())
    held = sum(plan.kept.values())
    say(f"clips    {plan.clips:,} in the manifest{share}")
    say(f"  there    {held:,} {where}{f' ({kept})' if kept else ''}")
    say(f"  to do    {plan.new + plan.again:,}" + (f", {plan.again:,} of them again" if plan.again else ""))
    for folder, teachers in plan.others.items():
        judges = {role: BUILT_AS.get(name, name) for role, name in teachers.items() if role in ("visual", "audio")}
        names = " ".join(f"--{role} {name}" for role, name in judges.items()) or " ".join(teachers)
        say(
            f"  note     the store holds evidence of other teachers ({names}) in {folder.name}: nothing reads both "
            "at once"
        )
    rest = "; --format json lists all" if len(plan.missing) > SUCH else ""
    say(f"  missing  {len(plan.missing):,} without a file{_such_as(plan.missing)}{rest}")
    if plan.strangers:
        files = "file there is" if len(plan.strangers) == 1 else "files there are"
        say(f"  others   {len(plan.strangers):,} {files} of no clip of the manifest{_such_as(plan.strangers)}")
    if ended := sorted({name.rpartition("/")[2] for name in plan.strangers}.intersection(plan.missing)):
        say(f"  note     a filename stands without its ending, unlike {ended[0]}; or give a column `path`")
    if plan.media_seconds is not None:
        looked = f"by the headers of {plan.headers:,} of the files" if plan.headers else "no file"
        longer = f"; {plan.longer:,} of these are longer than the grid" if plan.longer else ""
        read = min(plan.read_seconds, plan.media_seconds)
        say(f"media    {plan.media_seconds / 3600:,.2f} h ({looked}{longer}), at most {read / 3600:,.2f} h to be read")
    if plan.clip_bytes is None:
        needed = "what a clip takes is known once its teachers are loaded"
    else:
        needed = f"{gigabytes(plan.new * plan.clip_bytes)} to be written ({plan.clip_bytes / 1e3:.1f} kB a clip)"
    say(f"disk     {needed}" + (f", {gigabytes(plan.free)} free" if plan.free is not None else ""))
    say(f"shards   {plan.shards:,} to be written")


def _idle(plan: HarvestPlan, shard_size: int) -> int:
    """Tasks that get no shard."""
    return max(0, plan.share.count - -(-plan.clips // shard_size))


def _say_idle(plan: HarvestPlan, shard_size: int) -> None:
    """Say where there are more tasks than shards."""
    tasks, shards = plan.share.count, -(-plan.clips // shard_size)
    if idle := _idle(plan, shard_size):
        most = max(1, plan.clips // tasks)
        say(
            f"  note     {plan.clips:,} clips are {shards:,} shards of {shard_size:,}, so {idle:,} of "
            f"{tasks:,} tasks have nothing to do; --shard-clips {most} gives each of them some"
        )


def _say_allowance(plan: HarvestPlan, given: str) -> None:
    """Say where a percentage of the clips of a share, rounded down, is none."""
    percent = given.strip().removesuffix("%") if given.strip().endswith("%") else "0"
    if float(percent) and plan.of_share and not read_allowance(given)(plan.of_share):
        say(
            f"  note     --allow-failures {given} of {plan.of_share:,} clips are none, so one failed clip ends the run "
            "with 3; give a number of clips"
        )


def _say_weights(weights: Sequence[WeightsPlace], flags: Mapping[str, str]) -> None:
    """Where the weights of each teacher are, or how to get them."""
    for one in weights:
        where = f"NOT on this machine: {one.place}; {typed_words(one.remedy, flags)}" if one.absent else one.place
        say(f"weights  {one.role} {one.name}: {where}")


def _needs_thresholds(known: KnownStore, classes: tuple[EventClass, ...]) -> bool:
    """Whether the teachers judge and have no label thresholds, which `valor labels` will ask for."""
    from valor.labelling.labels import thresholds_for

    judging = {role: identity for role, identity in known.teachers.items() if "prompts" in identity}
    named = {role: {"teacher": one.get("teacher", "another"), "logit_scale": None} for role, one in judging.items()}
    try:
        thresholds_for({"teachers": named}, classes)
    except ValueError:
        return bool(named)
    return False


def _say_labels(known: KnownStore, classes: tuple[EventClass, ...]) -> None:
    """Say what `valor labels` will ask for."""
    if _needs_thresholds(known, classes):
        how = "valor calibrate STORE --criterion tag-rate --out FILE, then valor labels STORE --thresholds FILE"
        say(f"labels   need thresholds, there are none for these teachers and classes: {how}")


def _such_as(clip_ids: Sequence[str]) -> str:
    """The first names, and that there are more."""
    return f": {', '.join(clip_ids[:SUCH])}{', ...' if len(clip_ids) > SUCH else ''}" if clip_ids else ""


def _say(
    report: HarvestReport, options: HarvestOptions, clips: int, *, listed: bool = True, hints: bool = True
) -> None:
    """The counts and, where they are to be `listed`, the first failures and where all of them are; what helps then."""
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items()) or "none in this share"
    share = "" if options.share.is_whole else f" of share {options.share} of {clips}"
    say(f"{len(report.rows)} clips{share} ({counts}), {report.skipped} of them cached before; wrote {report.folder}")
    for row in report.failures[:MOST_LISTED] if listed else ():
        say(f"  {row.status:12s} {row.clip_id:24s} {row.message}")
    if report.longer:
        clips, seconds = len(report.longer), sum(row.unread_seconds for row in report.longer)
        which = "clip is" if clips == 1 else "clips are"
        say(
            f"{clips} {which} longer than the grid of {options.grid.seconds:g} s: the {seconds:,.0f} s behind it were "
            f"not read, such as {report.longer[0].unread_seconds:,.0f} s of {report.longer[0].clip_id}"
        )
    if ended := [row for row in report.rows if row.status == "cut" and not row.unread_seconds]:
        which = "clip ends" if len(ended) == 1 else "clips end"
        say(f"{len(ended)} {which} with sound or picture alone, such as {ended[0].clip_id}: {ended[0].message}")
    starved = [row for row in report.failures if STARVED.format(memory=options.limits.memory) in row.message]
    if starved and len(starved) + sum(row.status == "missing" for row in report.rows) == len(report.rows):
        more = max(DecodeLimits.memory, 2 * options.limits.memory)
        say(
            f"no clip can be decoded in the {options.limits.memory:,} MiB of --decode-memory: give more, such as "
            f"--decode-memory {more} --retry undecodable"
        )
    if report.failures and listed:
        statuses = sorted({row.status for row in report.failures} - {"missing"})  # those are read anyway
        mended = "their files are mended"
        if "unjudged" in statuses:
            mended = "their files or the teacher are mended (then with --allow-edited)"
        again = f"; --retry {','.join(statuses)} reads them again, once {mended}" if statuses else ""
        say(f"{len(report.failures)} clips failed; they are listed in {report.folder / 'failures.csv'}{again}")
        if held := sum(row.status not in UNREAD for row in report.failures):
            say(f"what there is of {held} of them is in the store: searches find it, and no labels are made of it")
        if hints and any(" damaged " in f" {row.message}" for row in report.failures):
            say(
                "a store takes whole clips alone, since evidence of a damaged one would be of a part of it: cut what "
                "is good out of it (ffmpeg -ss FROM -to UNTIL -i IN -c copy OUT) and list that in its place; to parse "
                "what can be decoded of it, `valor parse --salvage`"
            )
