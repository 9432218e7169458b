"""`valor harvest`."""

import argparse
from pathlib import Path

from .command import DONE, FAILURES_LISTED, Commands, new_command


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add its help and options."""
    command = new_command(
        commands,
        "harvest",
        "clips and tags to cached evidence",
        "MANIFEST is a tab-separated table `filename event_labels`, such as AVVP_train.csv. The media of a row is\n"
        "<filename>.* or <first 11 characters>.* in --videos. Scores and features go to a store under a fingerprint\n"
        "of everything that changes them; thresholds are applied later, by `valor labels`. Run it again to resume.",
        "valor harvest AVVP_train.csv --videos videos --store store --checkpoint visual=ViT-L-14.safetensors",
    )
    command.add_argument("manifest", type=Path, metavar="MANIFEST", help="table of clips and tags")
    command.add_argument("--videos", type=Path, required=True, metavar="DIR", help="folder of the media files")
    command.add_argument("--store", type=Path, required=True, metavar="DIR", help="folder of the evidence")
    command.add_argument("--visual", default="clip-vit-l14", metavar="NAME", help="visual teacher (clip-vit-l14)")
    command.add_argument("--audio", default="clap-630k-fusion", metavar="NAME", help="audio teacher (clap-630k-fusion)")
    command.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="ROLE=PATH",
        help="local weights, visual=PATH or audio=PATH; `random` in place of PATH for a trial without weights",
    )
    command.add_argument("--classes", default="llp", metavar="NAME|FILE", help="class vocabulary: llp or a JSON file")
    command.add_argument("--shard-clips", type=int, default=256, metavar="N", help="clips per file of the store (256)")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from label_harvest.harvest import HarvestOptions, harvest
    from label_harvest.manifest import read_manifest
    from label_harvest.teachers import TEACHERS, build_teacher
    from valor.vocabulary import class_names, prompts, read_vocabulary

    classes = read_vocabulary(cli.classes)
    manifest = read_manifest(cli.manifest, class_names(classes))
    checkpoints = _checkpoints(cli.checkpoint)
    names = {"visual": cli.visual, "audio": cli.audio}
    for role, name in names.items():
        known = [teacher for teacher, its_role in TEACHERS.items() if its_role == role]
        if name not in known:
            raise ValueError(f"--{role} must be one of {', '.join(known)}, got {name!r}")
    teachers = [
        build_teacher(name, prompts(classes, role), checkpoint=checkpoints.get(role)) for role, name in names.items()
    ]
    options = HarvestOptions(shard_size=cli.shard_clips)
    report = harvest(manifest, cli.videos, cli.store, teachers, options=options, progress=not cli.quiet)
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    print(f"{len(report.rows)} clips ({counts}), {report.skipped} of them cached before; wrote {report.folder}")
    for row in report.failures:
        print(f"  {row.status:12s} {row.clip_id:24s} {row.message}")
    if report.failures:
        print(f"{len(report.failures)} clips failed; they are listed in {report.folder / 'failures.csv'}")
    return FAILURES_LISTED if report.failures else DONE


def _checkpoints(given: list[str]) -> dict[str, str]:
    found = {}
    for entry in given:
        role, _, path = entry.partition("=")
        if role not in ("visual", "audio") or not path:
            raise ValueError(f"--checkpoint must be visual=PATH or audio=PATH, got {entry!r}")
        found[role] = path
    return found
