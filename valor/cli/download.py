"""`valor download`."""

import argparse

from valor.data.features.fetch_options import FetchOptions

from .command import DONE, Commands, new_command
from .options import Fields, Parser, new_folder, typed_words
from .terminal import say

FETCH = Fields(FetchOptions, offline="--offline", attempts="--attempts N", timeout="--timeout S")


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "download",
        "annotations  the LLP tables of github.com/YapengTian/AVVP-ECCV20, checked against their known sha256\n"
        "features     CLIP and CLAP features of the hub's NTUBarista/valor_features\n"
        "labels       the pseudo labels of the same archives, which are fetched once\n"
        "checkpoints  NTUBarista/valor_trained_models, into DIR/models\n\n"
        "A download that broke off goes on where it stopped. Sizes and digests are checked, members of archives are\n"
        "looked at before one is written, and a file that is there is never replaced. With --offline, or with\n"
        "HF_HUB_OFFLINE set, no connection is made: what is there is checked and unpacked, the rest is named.",
        "valor download annotations --out data\nvalor download features --out data --only 'CLIP*'",
    )
    command.add_argument(
        "what", choices=("annotations", "features", "labels", "checkpoints"), help="what to download"
    )  # fmt: skip
    command.add_argument("--out", type=new_folder, required=True, metavar="DIR", help="data folder")
    command.add_argument(
        "--url", metavar="BASE", help="a mirror in place of huggingface.co or raw.githubusercontent.com"
    )
    command.add_argument("--only", default="*", metavar="PATTERN", help="only files of the hub with such names")
    command.add_argument("--revision", default="main", metavar="NAME", help="branch, tag or commit on the hub (main)")
    FETCH.add(command)
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.data.features.download import asked_offline, download_annotations, download_from_hub

    options = FETCH.read(cli, offline=cli.offline or asked_offline(), progress=not cli.quiet)
    if cli.what == "annotations":
        result = download_annotations(cli.out, options, site=cli.url)
    else:
        result = download_from_hub(
            cli.what, cli.out, options, site=cli.url, only=cli.only, revision=cli.revision
        )  # fmt: skip
    say(f"{len(result.fetched)} files fetched, {len(result.there)} there and checked, {result.unpacked:,} unpacked")
    for note in result.notes:
        say(typed_words(note, cli.flags))
    say(f"wrote {cli.out}" if result.fetched or result.unpacked else f"nothing to do in {cli.out}")
    return DONE
