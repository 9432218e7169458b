"""`valor labels`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .command import DONE, Commands, new_command

if TYPE_CHECKING:
    from label_harvest.store import EvidenceStore
    from valor.annotations import Split
    from valor.labelling import LabelQuality
    from valor.labels_file import PseudoLabels


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add its help and options."""
    command = new_command(
        commands,
        "labels",
        "evidence to pseudo labels",
        "A class is labelled in a second and a modality when it is among the clip's tags and the teacher's logit is\n"
        "above the class threshold. CLIP and CLAP take the thresholds of the vocabulary, the demo's teachers theirs;\n"
        'for others give a file, such as `valor calibrate` writes: JSON {"visual": [C numbers], "audio": [...]}.',
        "valor labels store --out labels --export npy\n"
        "valor labels store --out labels --against data --split val --png labels.png --disagreements",
    )
    command.add_argument("store", type=Path, metavar="STORE", help="folder written by `valor harvest`")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the labels")
    command.add_argument("--thresholds", type=Path, metavar="FILE", help="label thresholds (JSON)")
    command.add_argument(
        "--soft", action="store_true", help="probabilities sigmoid((logit - threshold) / temperature) instead of labels"
    )
    command.add_argument("--temperature", type=float, metavar="LOGITS", help="of soft labels (1)")
    command.add_argument("--classes", default="llp", metavar="NAME|FILE", help="vocabulary whose thresholds are used")
    command.add_argument(
        "--export", choices=("npy",), help="also write the published layout, one file per clip and modality"
    )
    command.add_argument(
        "--margin", type=float, metavar="LOGITS", help="also list labels whose logit is so near its threshold"
    )
    command.add_argument(
        "--against", type=Path, metavar="ANNOTATIONS", help="score the labels against dense annotations"
    )
    command.add_argument("--split", default="test", choices=("val", "test"), help="split to score against (test)")
    command.add_argument("--png", type=Path, metavar="FILE", help="draw what --against finds, class by class")
    command.add_argument(
        "--disagreements",
        action="store_true",
        help="also list where one teacher marks a tag and the other does not, surest first",
    )
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from label_harvest.store import read_store
    from valor.annotations import read_split
    from valor.labelling import (
        PROVENANCE,
        default_thresholds,
        label_quality,
        read_thresholds,
        write_label_folder,
    )
    from valor.vocabulary import class_names, read_vocabulary

    if cli.temperature is not None and not cli.soft:
        raise ValueError("--temperature is for soft labels; add --soft")
    if cli.soft and cli.export:
        raise ValueError("the published layout holds labels of 0 and 1; give either --soft or --export")
    if cli.png and (cli.against is None or cli.png.suffix != ".png"):
        raise ValueError("--png FILE.png draws what --against finds; give both")
    temperature = (1.0 if cli.temperature is None else cli.temperature) if cli.soft else None
    store = read_store(cli.store)
    classes = read_vocabulary(cli.classes)
    if class_names(classes) != store.class_names:
        raise ValueError(f"{cli.store}: the store is of other classes than {cli.classes!r}; pass --classes FILE")
    thresholds = read_thresholds(cli.thresholds, len(classes)) if cli.thresholds else default_thresholds(store, classes)
    labels, left_out = write_label_folder(cli.out, store, thresholds, temperature=temperature)
    seconds = f"{int(labels.marked.sum()):,} labelled seconds" + (" (soft, above 1/2)" if labels.soft else "")
    print(f"{len(labels.clip_ids):,} clips, {seconds}; wrote {cli.out}")
    if left_out:
        print(f"{len(left_out)} clips without complete evidence got no labels; {cli.out / PROVENANCE} lists them")
    if cli.margin is not None:
        from valor.margins import FILE_NAME, near_labels, write_near_labels

        near = near_labels(store, thresholds, cli.margin)
        write_near_labels(cli.out / FILE_NAME, near)
        share = f"{len(near.rows):,} of {near.decisions:,} decisions"
        print(f"{share} within {cli.margin:g} of the threshold; wrote {cli.out / FILE_NAME}")
    if cli.export:
        _export(cli, store, labels)
    if cli.disagreements:
        from valor import disagreements

        found = disagreements.disagreements(store, thresholds)
        disagreements.write_disagreements(cli.out / disagreements.FILE_NAME, found)
        print(f"{len(found):,} times one teacher alone marks a tag; wrote {cli.out / disagreements.FILE_NAME}")
    if cli.against:
        split = read_split(cli.against, cli.split, store.class_names)
        _say_quality(cli, label_quality(labels, split), split)
    return DONE


def _export(cli: argparse.Namespace, store: "EvidenceStore", labels: "PseudoLabels") -> None:
    """Write the published layout and say what it lacks."""
    from valor.labelling import PUBLISHED_FEATURES, export_npy

    print(f"wrote {export_npy(cli.out, store, labels)} files of the published layout under {cli.out}")
    for modality, name in PUBLISHED_FEATURES.items():
        if name not in store.arrays:
            remedy = "; harvest with --raw-maps for them" if f"{modality}.folded" in store.arrays else ""
            print(f"no {modality} features among them: the store does not hold {name}{remedy}")


def _say_quality(cli: argparse.Namespace, quality: "LabelQuality", split: "Split") -> None:
    """Print how good the labels are, write it class by class, and draw it where asked."""
    from valor.label_classes import FILE_NAME, class_table, draw_label_classes, write_class_table

    for modality in quality.precision:
        print(
            f"{modality:7s} precision {quality.precision[modality]:5.1f}  recall {quality.recall[modality]:5.1f}  "
            f"segment F {getattr(quality.scores.segment, modality):5.1f}"
        )
    covered = f"{quality.scores.clips:,} of {len(split.clip_ids):,} {cli.split} clips"
    print(f"tags without any label: {quality.unlabelled_tags:.1f} %; {covered}\n")
    print(class_table(quality, split.class_names))
    write_class_table(cli.out / FILE_NAME, quality, split.class_names)
    print(f"\nwrote {cli.out / FILE_NAME}")
    if cli.png:
        from eval.canvas import to_png
        from valor.files import replaced

        image = to_png(draw_label_classes(quality, split.class_names))
        with replaced(cli.png) as temporary:
            temporary.write_bytes(image)
        print(f"wrote {cli.png}")
