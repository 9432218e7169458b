"""What a user may type: all commands of `valor` in one parser; each has its own file in valor/cli."""

import argparse
from importlib import import_module
from types import ModuleType

from valor import __version__

from .command import ALWAYS, COMMANDS, add_shared
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
  search     words, a sound or a clip -> the seconds of a store that fit, ranked
  explore    a store -> its seconds in groups that are alike, what teachers would call each, and where they are
  adapt      clips and tags -> adapters by which a frozen visual tower hears, for `harvest --features lavish=RUN`

Before labels:

  pretrain   clips of stores without labels -> a stem and an encoder, for `train --from RUN`
  probe      a pre-training -> linear probe, retrieval, seconds in step, beside what knows nothing

One's own media:

  new-dataset  a table of clips and tags -> a data folder that everything else takes
  parse      any video or recording to a timeline: JSON, a picture, tables, and other tools' formats
  sync       media -> whether sound and picture are in step, off by how much, or nobody can say

Around the scores:

  rescore    predictions, ranked anew by what follows what in labels, truth or parses
  table      runs side by side, and beside published rows
  plot       timelines, classes, threshold curves, labels, confusion and trainings as figures
  calibrate  decision or label thresholds from a split that has dense annotations
  lint       defects of annotation tables, and what is done about each
  view       clips playing beside their timeline in the browser, and corrections

The paper's tables:

  reproduce  a published row from its files to the ten figures
  ablate     what each part of the method is worth, over seeds and with intervals
  bench      published methods on a simulated LLP, beside what their papers say
  pretrain-bench  what clips without tags are worth, beside few tags and beside all

Published files in and out:

  download   annotations, features, labels and checkpoints as published
  import     their layout -> packed features, a label file, a run; events of annotation tools -> corrections
  export     ours -> their layout, for other projects' loaders; events -> files of annotation tools

Shared through a repository of the Hugging Face hub:

  push       a run, thresholds or a store, with a card of what they know of themselves
  pull       what was pushed -> a folder, every file checked

  demo       all of it on an embedded miniature world: no download, no data, no GPU
  completion  a script for bash, zsh or fish that completes commands and options
  doctor     what is installed, which teachers and files are there, what to do about the rest

New here? Start with `valor demo`, then `valor COMMAND --help`.
"""

TAKE_OWN_PARTS = (
    *("harvest", "labels", "train", "pretrain", "pretrain-bench", "predict", "evaluate", "calibrate", "parse"),
    *("reproduce", "ablate", "bench"),
    *("lint", "table", "view", "search", "rescore", "import", "export", "doctor"),
)
"""Commands that run a file of the user's own first; so does every kind of `plot`, which has options of its own."""


RUN_NETWORKS = (
    *("demo", "harvest", "search", "adapt", "pretrain", "pretrain-bench", "probe", "train", "predict", "rescore"),
    *("evaluate", "calibrate", "parse", "sync", "view", "reproduce", "ablate", "bench"),
)
"""Commands in which networks run; so they do in kinds of `plot`, of run folders."""


ON_CPU = ("rescore", "sync")
"""Those whose networks are so small that a GPU has nothing to do."""


def command_module(name: str) -> ModuleType:
    """The module of a command: `add` gives its help and options, `run` does it."""
    return import_module(f"valor.cli.{'import_' if name == 'import' else name.replace('-', '_')}")


def build_argument_parser(only: str | None = None) -> Parser:
    """All commands; the chosen one is `command` of the parsed arguments.

    Args:
        only: The one command whose options are known, so that its help waits for no other's libraries: the others are
            names in a list, and so are all where this is none of them. None knows the options of all.
    """
    root = Parser(
        prog="valor",
        description="Find which events are audible and which are visible in each second of a clip,\n"
        "having learned from nothing but clip-level tags.\n\n" + STAGES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit codes: 0 done, 2 wrong use or bad input, 3 done with listed failures.",
    )
    root.add_argument("--version", action="version", version=f"valor {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        if only not in (name, None):
            commands.add_parser(name, help=summary)
            continue
        command = command_module(name).add(commands)
        if name in RUN_NETWORKS:
            add_shared(command, "cpu" if name in ON_CPU else "device", "threads")
        add_shared(command, *(["own_files"] if name in TAKE_OWN_PARTS else []), *ALWAYS)
    return root
