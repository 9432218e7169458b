"""`valor probe`."""

import argparse
from pathlib import Path

from valor.pretraining.options import ProbeOptions

from .command import DONE, FORMATS, Commands, layouts_of, new_command, print_note, write_or_print
from .options import Fields, Parser, any_place

PROBE = Fields(ProbeOptions, seed="--seed N", resamples="--resamples N")


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "probe",
        "A linear probe, fitted to the truth of val, tells audible and visible seconds of test from each modality\n"
        "alone, from both, and from one where both were fitted to (mAP with 95 % intervals over clips). Sound looks\n"
        "for its picture among the clips of test (R@1, 5, 10, the mean of both ways), and a second among those of its\n"
        "clip (in step). Beside it stand the features as they are, for retrieval what their teachers say of the\n"
        "classes, and a random encoder, which has most of what a trained one seems to be worth: the gain over it is\n"
        "drawn over the same clips.",
        "valor probe pre/mavil --data data",
    )
    command.add_argument("run", type=Path, metavar="RUN", help="folder of a pre-training")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="annotations and features")
    command.add_argument("--store", type=any_place, metavar="STORE", help="evidence store (the one among the data)")
    PROBE.add(command)
    command.add_argument("--format", choices=FORMATS, help="text unless --out ends in .md, .csv, .tex or .json")
    command.add_argument("--out", type=Path, metavar="FILE", help="write it there")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    options = PROBE.read(cli, device=cli.device)
    from valor.pretraining.probe import probe_run

    report = probe_run(cli.run, cli.data, options, store=cli.store)
    write_or_print(layouts_of(report.sheet(), report.to_dict()), cli)
    said = f"{report.clips:,} clips, a probe of {report.learned:,} others; * the interval leaves zero out"
    for note in (said, *report.notes):
        print_note(note, cli)
    return DONE
