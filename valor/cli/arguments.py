"""What a user may type: all commands of `valor` in one parser; each has its own file in valor/cli."""

import argparse
from types import ModuleType

from valor import __version__

from . import (
    ablate,
    calibrate,
    demo,
    doctor,
    download,
    evaluate,
    harvest,
    labels,
    lint,
    parse,
    plot,
    predict,
    reproduce,
    store,
    table,
    train,
    view,
)
from . import export as exporting
from . import import_ as importing
from .options import Parser

STAGES = """\
From raw clips to an F-score table, one command a stage:

  harvest    clips and their tags -> evidence of two frozen teachers, cached in a store
  labels     evidence, thresholds and tags -> pseudo labels for every second and modality
  train      features and labels -> a parser
  predict    a parser and a split -> predictions.npz
  evaluate   predictions and annotations -> the ten F-scores

Beside the harvest:

  store      evidence stores shown, verified, repaired and merged

One's own media:

  parse      any video or recording to a timeline: JSON, a picture, tables, and other tools' formats

Around the scores:

  table      runs side by side, and beside published rows
  plot       timelines, classes, threshold curves, labels, confusion and trainings as figures
  calibrate  decision or label thresholds from a split that has dense annotations
  lint       defects of annotation tables, and what is done about each
  view       clips playing beside their timeline in the browser, and corrections

The paper's tables:

  reproduce  a published row from its files to the ten figures
  ablate     what each part of the method is worth, over seeds and with intervals

Published files in and out:

  download   annotations, features, labels and checkpoints as published
  import     their layout -> packed features, a label file, a run
  export     ours -> their layout, for other projects' loaders

  demo       all of it on an embedded miniature world: no download, no data, no GPU
  doctor     what is installed, which teachers and files are there, what to do about the rest

New here? Start with `valor demo`, then `valor COMMAND --help`.
"""

COMMANDS: dict[str, ModuleType] = {
    "demo": demo,
    "harvest": harvest,
    "store": store,
    "labels": labels,
    "train": train,
    "predict": predict,
    "evaluate": evaluate,
    "table": table,
    "plot": plot,
    "calibrate": calibrate,
    "lint": lint,
    "parse": parse,
    "view": view,
    "download": download,
    "reproduce": reproduce,
    "ablate": ablate,
    "import": importing,
    "export": exporting,
    "doctor": doctor,
}
"""The module of each command: `add` gives its help and options, `run` does it."""


def build_argument_parser() -> Parser:
    """All commands; the chosen one is `command` of the parsed arguments."""
    root = Parser(
        prog="valor",
        description="Find which events are audible and which are visible in each second of a clip,\n"
        "having learned from nothing but clip-level tags.\n\n" + STAGES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit codes: 0 done, 2 wrong use or bad input, 3 done with listed failures.",
    )
    root.add_argument("--version", action="version", version=f"valor {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in COMMANDS.values():
        command = module.add(commands)
        command.add_argument("--quiet", action="store_true", help="no progress and no notes, only results and errors")
    return root
