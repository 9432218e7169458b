"""`valor harvest`."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .command import DONE, FAILURES_LISTED, Commands, new_command
from .options import Parser

if TYPE_CHECKING:
    from valor.label_harvest.harvest import HarvestOptions, HarvestReport

MOST_LISTED = 100
"""Failed clips that are printed; the file has all."""
CPU_BATCH, GPU_BATCH = 4, 32
"""Clips given to the networks together: 40 pictures occupy the cores of a CPU, a GPU takes more."""
GPU_PREPARERS = 4
"""Threads that prepare clips beside a GPU, where there are four times as many cores."""


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "harvest",
        "clips and tags to cached evidence",
        "MANIFEST is a tab-separated table `filename event_labels`, such as AVVP_train.csv. The media of a row is\n"
        "<filename>.* in --videos, or <first 11 characters>.* for names like LLP's (4O9rI-FpqLg_10_20). Scores and\n"
        "features go to a store under a fingerprint of everything that changes them; thresholds are applied later, by\n"
        "`valor labels`.\n\n"
        "Run it again to resume, with a longer table to append: whatever ended a run, the store becomes what an\n"
        "undisturbed run had made, to the byte. A clip gets a status: ok, still, silent, short, no_audio, no_video,\n"
        "undecodable, timeout (decoding hung) or missing. Missing clips are read once their file is there.",
        "valor harvest AVVP_train.csv --videos videos --store store --checkpoint visual=ViT-L-14.safetensors",
    )
    command.add_argument("manifest", type=Path, metavar="MANIFEST", help="table of clips and tags")
    command.add_argument("--videos", type=Path, required=True, metavar="DIR", help="folder of the media files")
    command.add_argument("--store", type=Path, required=True, metavar="DIR", help="folder of the evidence")
    command.add_argument(
        "--visual",
        default="clip-vit-l14",
        metavar="NAME",
        help="visual teacher: clip-vit-l14 (the published one), open_clip:MODEL/TAG, open_clip:hf-hub:ORG/NAME, "
        "open_clip:local-dir:DIR, or none",
    )
    command.add_argument(
        "--audio",
        default="clap-630k-fusion",
        metavar="NAME",
        help="audio teacher: clap-630k-fusion (the published one), laion:CHECKPOINT, hf:ORG/NAME, hf:DIR, or none",
    )
    command.add_argument(
        "--features",
        default="",
        metavar="LIST",
        help="features to keep beside the labels, of res152 (one mean a segment, not the 80 published rows), r2plus1d, "
        "vggish (or vggish-relu, vggish-pca)",
    )
    command.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="ROLE=PATH",
        help="local weights of visual, audio, res152, r2plus1d or vggish; `random` in place of PATH for a trial",
    )
    command.add_argument(
        "--sha256",
        action="append",
        default=[],
        metavar="ROLE=HEX",
        help="refuse other weights than these (of the weights as the store names them, or of the file)",
    )
    command.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="bfloat16 is faster and flips some labels near a threshold (float32)",
    )
    command.add_argument(
        "--raw-maps",
        action="store_true",
        help="keep the 64 tokens of CLAP maps too (142 kB a clip in place of 43): without, `valor labels --export npy` "
        "writes no CLAP/features, and adding them later is another store",
    )
    command.add_argument(
        "--decoder",
        choices=("pyav", "decord"),
        default="pyav",
        help="library that decodes the clips (pyav); decord is an extra to install, and a store is of one decoder. "
        "Every other command that reads media decodes with pyav",
    )
    command.add_argument("--classes", default="llp", metavar="NAME|FILE", help="class vocabulary: llp or a JSON file")
    command.add_argument("--shard-clips", type=int, default=256, metavar="N", help="clips per file of the store (256)")
    command.add_argument(
        "--workers", type=int, metavar="N", help="processes that decode (one per core); 0 decodes without them"
    )
    command.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help=f"clips given to the networks together ({CPU_BATCH}, on a GPU {GPU_BATCH}); the last bit may depend on it",
    )
    command.add_argument("--clip-timeout", type=float, default=60.0, metavar="S", help="seconds a clip may take (60)")
    command.add_argument("--clip-memory", type=int, default=4096, metavar="MIB", help="memory a clip may take (4096)")
    command.add_argument(
        "--retry",
        nargs="?",
        const="undecodable,timeout",
        default="",
        metavar="LIST",
        help="read clips again: those with these statuses, joined by commas (undecodable,timeout), changed for those "
        "whose file has another size now, or all; what cannot be read this time keeps its evidence",
    )
    command.add_argument(
        "--shard",
        default="1/1",
        metavar="i/n",
        help="do the i-th of n shares, such as 1/4; runs of all shares may work on one store at the same time, or on "
        "stores of their own that `valor store merge` unites",
    )
    command.add_argument("--engine", choices=("local", "ray"), default="local", help="this machine or a Ray cluster")
    command.add_argument("--ray-address", metavar="ADDRESS", help="of a running cluster, or auto; else one is started")
    command.add_argument(
        "--ray-networks", type=int, metavar="N", help="copies of the networks (one per GPU, else one per node)"
    )
    command.also(checkpoints="--checkpoint", pins="--sha256", share="--shard")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.data.tables import read_manifest
    from valor.data.vocabulary import class_names, read_vocabulary
    from valor.label_harvest.harvest import harvest
    from valor.teachers import TeacherChoice, build_teachers

    if cli.engine != "ray" and (cli.ray_address or cli.ray_networks):
        raise ValueError("--ray-address and --ray-networks are for --engine ray; add it")
    if cli.engine == "ray" and cli.workers is not None:
        raise ValueError("--workers is for --engine local; Ray decodes on all cores of its nodes: leave it out")
    options = _options(cli)
    classes = read_vocabulary(cli.classes)
    manifest = read_manifest(cli.manifest, class_names(classes))
    choice = TeacherChoice(
        visual=cli.visual,
        audio=cli.audio,
        features=tuple(filter(None, cli.features.split(","))),
        checkpoints=_by_role("--checkpoint", cli.checkpoint),
        pins=_by_role("--sha256", cli.sha256),
        precision=cli.precision,
        raw_maps=cli.raw_maps,
    )
    where = (manifest, cli.videos.absolute(), cli.store)
    how = {"options": options, "progress": not cli.quiet}
    if cli.engine == "ray":
        from valor.label_harvest.ray_engine import RayEngine, RayOptions

        on = RayOptions(address=cli.ray_address, networks=cli.ray_networks)
        with RayEngine(partial(build_teachers, choice, classes), on) as engine:
            report = harvest(*where, engine.teachers, **how, engine=engine)
    else:
        report = harvest(*where, build_teachers(choice, classes), **how)
    _say(report, options, len(manifest.clip_ids))
    return FAILURES_LISTED if report.failures else DONE


def _options(cli: argparse.Namespace) -> "HarvestOptions":
    """What was typed, checked before a teacher is loaded."""
    from valor.label_harvest.harvest import HarvestOptions, read_retry
    from valor.label_harvest.media.decoders import check_decoder
    from valor.label_harvest.media.process import DecodeLimits, usable_cores
    from valor.label_harvest.store.share import read_share
    from valor.label_harvest.teachers.precision import chosen_device

    check_decoder(cli.decoder)
    workers = usable_cores() if cli.workers is None else cli.workers
    gpu = chosen_device().type == "cuda"
    return HarvestOptions(
        shard_size=cli.shard_clips,
        clips_per_batch=(GPU_BATCH if gpu else CPU_BATCH) if cli.batch is None else cli.batch,
        preparers=max(1, min(GPU_PREPARERS, workers // 4)) if gpu else 1,
        decode_workers=workers,
        limits=DecodeLimits(seconds=cli.clip_timeout, memory=cli.clip_memory),
        decoder=cli.decoder,
        retry=read_retry(cli.retry),
        share=read_share(cli.shard),
    )


def _say(report: "HarvestReport", options: "HarvestOptions", clips: int) -> None:
    """The counts, the first failures, and where all of them are listed."""
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items()) or "none in this share"
    share = "" if options.share.is_whole else f" of share {options.share} of {clips}"
    print(f"{len(report.rows)} clips{share} ({counts}), {report.skipped} of them cached before; wrote {report.folder}")
    for row in report.failures[:MOST_LISTED]:
        print(f"  {row.status:12s} {row.clip_id:24s} {row.message}")
    if report.failures:
        listed = report.folder / "failures.csv"
        print(f"{len(report.failures)} clips failed; they are listed in {listed}{_hint(report)}")


def _hint(report: "HarvestReport") -> str:
    """How to read failed clips again, where a run does not do that by itself."""
    statuses = sorted({row.status for row in report.failures} - {"missing"})
    return f"; --retry {','.join(statuses)} reads them again, once their files are mended" if statuses else ""


def _by_role(option: str, given: list[str]) -> dict[str, str]:
    """ROLE=VALUE as typed; whose roles there are is checked where the teachers are known."""
    found = {}
    for entry in given:
        role, _, value = entry.partition("=")
        if not role or not value or role in found:
            raise ValueError(f"{option} must be ROLE=VALUE, once for each role, such as visual=..., got {entry!r}")
        found[role] = value
    return found
