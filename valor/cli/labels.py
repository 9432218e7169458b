"""`valor labels`."""

import argparse
from collections import Counter
from typing import TYPE_CHECKING

from valor.data.label_file import LABEL_FACTS, note_allowed
from valor.labelling.options import LABEL_RULES, SOFT_TEMPERATURE, LabelOptions
from valor.labelling.review import DISAGREEMENTS_FILE, FLIPS_FILE, NEAR_FILE, flip_table

from .command import DONE, FAILURES_LISTED, Commands, new_command, read_allowance
from .of_table import add_table, clips_of_table, say_lacking
from .options import Fields, Option, Parser, any_place, new_folder, typed_words
from .terminal import say

if TYPE_CHECKING:
    from valor.labelling.make import LabelReport


LABELS = Fields(
    LabelOptions,
    thresholds="--thresholds FILE",
    rule=Option("--rule NAME", {"choices": LABEL_RULES, "metavar": None}),
    present_share=Option("--present-share", {"nargs": 2, "type": float, "metavar": ("A", "V")}),
    lose_tags="--lose-tags",
    classes="--classes NAME|FILE|NAMES",
    export=Option("--export", {"action": "store", "choices": ("npy",)}),
    folded="--folded",
    overwrite="--overwrite",
    margin="--margin LOGITS",
    compare=Option("--compare STORE", {"type": any_place}),
    against="--against ANNOTATIONS",
    split="--split NAME",
    picture="--png FILE",
    disagreements="--disagreements",
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "labels",
        "A class is labelled in a second and a modality when it is among the clip's tags and the teacher's logit is\n"
        "above the class threshold. CLIP and CLAP take the thresholds of the vocabulary, the demo's teachers theirs;\n"
        'for others give a file, such as `valor calibrate` writes: JSON {"visual": [C numbers], "audio": [...]}.\n'
        "A store of one modality gives labels of that one; the other is recorded as absent.\n\n"
        "Clips without complete evidence get no labels and are listed in labels.json; the exit code is then 3,\n"
        "unless --allow-failures allows for so many.\n"
        "What an earlier run on the same store left in DIR is replaced or removed; files of others are not touched.\n\n"
        "bfloat16 moves logits a little, and labels near their threshold flip. Of a bfloat16 store all within 0.005\n"
        "of cosine are listed (0.5 logits of CLIP, whose scale is 100) unless --margin says otherwise: five times the\n"
        "largest difference measured, which was on random weights. To know for yours, harvest some clips in float32\n"
        "too and --compare.",
        "valor labels store --out labels --export npy\n"
        "valor labels store --out labels --rule presence --present-share 0.9 0.65\n"
        "valor labels store --out labels --against data --split val --png labels.png --disagreements\n"
        "valor labels store --out labels --compare store-float32",
    )
    command.add_argument("store", type=any_place, metavar="STORE", help="folder written by `valor harvest`")
    command.add_argument("--out", type=new_folder, required=True, metavar="DIR", help="folder of the labels")
    LABELS.add(command, "thresholds")
    command.add_argument(
        "--soft", action="store_true", help="probabilities sigmoid((logit - threshold) / temperature) instead of labels"
    )
    command.add_argument("--temperature", type=float, metavar="LOGITS", help=f"of soft labels ({SOFT_TEMPERATURE:g})")
    LABELS.add(command, *LABELS.names[1:])
    command.add_argument(
        "--allow-failures",
        metavar="N|P%",
        default="0",
        help="end with 0, not 3, where no more clips than N, or P percent of those of the store, and of "
        "--manifest, get no labels (0); `valor train` then leaves these out",
    )
    add_table(
        command,
        "table of all clips: those that are not in the store, as where a share of the harvest has not run, are named "
        "and count as without labels",
    )
    command.also(raw_maps="--raw-maps", shares="--present-share")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    if cli.temperature is not None and not cli.soft:
        raise ValueError("--temperature is for soft labels; add --soft")
    if cli.temperature is None:
        cli.flags = {**cli.flags, "temperature": "--soft"}  # which alone says that there is one
    allowed = read_allowance(cli.allow_failures)
    temperature = SOFT_TEMPERATURE if cli.temperature is None else cli.temperature
    options = LABELS.read(cli, temperature=temperature if cli.soft else None, export=cli.export is not None)
    from valor.labelling.make import make_labels

    wanted = clips_of_table(cli.manifest, cli.store)
    report = make_labels(cli.store, cli.out, options, progress=not cli.quiet)
    for tell in (_say_labels, _say_near, _say_flips, _say_export, _say_disagreements, _say_quality):
        tell(cli, report)
    absent = say_lacking(cli.store, wanted)
    lacking = absent.clip_ids if absent else ()
    failures = len(report.left_out) + len(lacking)
    most = allowed(len(report.labels.clip_ids) + failures)
    if failures and cli.allow_failures != "0":
        parts = [
            f"{len(report.left_out):,} without complete evidence",
            *([f"{len(lacking):,} in no shard"] * bool(lacking)),
        ]
        is_allowed = f"{'no ' if failures <= most else ''}more than --allow-failures {cli.allow_failures} ({most:,})"
        say(f"{failures:,} clips have no labels ({', '.join(parts)}): {is_allowed}")
        if failures <= most:
            note_allowed(cli.out, cli.allow_failures, lacking)
    return FAILURES_LISTED if failures > most else DONE


def _say_labels(cli: argparse.Namespace, report: "LabelReport") -> None:
    labels = report.labels
    seconds = f"{int(labels.marked.sum()):,} labelled seconds" + (" (soft, above 1/2)" if labels.soft else "")
    say(f"{len(labels.clip_ids):,} clips, {seconds}; wrote {cli.out}")
    if report.left_out:
        counts = Counter(report.left_out.values()).most_common()
        why = ", ".join(f"{count:,} {status}" for status, count in counts)
        listed = f"{cli.out / LABEL_FACTS} lists them"
        say(f"{len(report.left_out):,} clips without complete evidence got no labels ({why}); {listed}")
    if report.removed:
        say(f"removed {report.removed:,} files of the labels that were there before")
    for modality in labels.absent:
        say(f"no labels of {modality}: the store has no teacher for it; `valor train` needs labels of both")
    if report.note:
        say(f"thresholds: {typed_words(report.note, cli.flags)}")


def _say_near(cli: argparse.Namespace, report: "LabelReport") -> None:
    if near := report.near:
        limits = sorted(set(near.margins.values()))
        within = f"{limits[0]:g}" if len(limits) == 1 else " and ".join(f"{r} {m:.3g}" for r, m in near.margins.items())
        why = "" if cli.margin else " (what bfloat16 may move)"
        share = f"{len(near.rows):,} of {near.decisions:,} decisions"
        say(f"{share} within {within} of the threshold{why}; wrote {cli.out / NEAR_FILE}")


def _say_flips(cli: argparse.Namespace, report: "LabelReport") -> None:
    if found := report.flipped:
        for name, (ours, theirs) in found.differing.items():
            short = [text if len(text) < 40 else f"{text[:37]}..." for text in (ours, theirs)]
            say(f"{name}: {short[0]} here, {short[1]} in {cli.compare}")
        largest = ", ".join(f"{modality} {value:.3g}" for modality, value in found.largest.items())
        say(f"labels that differ from {cli.compare} on {found.clips:,} clips; logits differ by up to {largest}")
        say(flip_table(found, report.labels.class_names))
        say(f"wrote {cli.out / FLIPS_FILE}")


def _say_export(cli: argparse.Namespace, report: "LabelReport") -> None:
    """Say what was written of the published layout and what it lacks."""
    if report.exported is None or report.plan is None:
        return
    from valor.data.features.published_files import unlike_published

    counted, features = report.exported
    say(f"{counted:,} files of labels in {', '.join(report.plan.labels)}")
    for found in features:
        shape = f"float32 [{', '.join(map(str, found.shape))}]"
        say(f"{found.files:,} files in {found.folder}, {shape}{unlike_published(found)}")
    for note in report.plan.lacking:
        say(typed_words(note, cli.flags))


def _say_disagreements(cli: argparse.Namespace, report: "LabelReport") -> None:
    if report.disagreements is not None:
        say(f"{len(report.disagreements):,} times one teacher alone marks a tag; wrote {cli.out / DISAGREEMENTS_FILE}")


def _say_quality(cli: argparse.Namespace, report: "LabelReport") -> None:
    """Print how good the labels are."""
    from valor.labelling.quality import QUALITY_FILE, class_table

    quality, split = report.quality, report.split
    if quality is None or split is None:
        return
    for modality in quality.precision:
        say(
            f"{modality:7s} precision {quality.precision[modality]:5.1f}  recall {quality.recall[modality]:5.1f}  "
            f"segment F {getattr(quality.scores.segment, modality):5.1f}"
        )
    covered = f"{quality.scores.clips:,} of {len(split.clip_ids):,} {split.name} clips"
    say(f"tags without any label: {quality.unlabelled_tags:.1f} %; {covered}")
    say("precision and recall are of all seconds together; segment F is the mean over clips, which may lie lower\n")
    say(class_table(quality, split.class_names))
    say(f"\nwrote {cli.out / QUALITY_FILE}")
    if cli.picture:
        say(f"wrote {cli.picture}")
