"""`valor view`."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from valor.data.vocabulary import class_names, read_vocabulary
from valor.viewer.options import HOST, SourceOptions
from valor.viewer.page import write_page

from .command import DONE, Commands, new_command
from .options import Fields, Parser, typed_words
from .scored import add_rule, add_thresholds, read_rule
from .terminal import say

if TYPE_CHECKING:
    from valor.viewer.corrections import Corrections
    from valor.viewer.server import ViewerServer, ViewerSite

SOURCES = Fields(
    SourceOptions,
    data="--data DIR",
    split="--split NAME",
    truth_version="--truth VERSION",
    videos="--videos DIR",
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "view",
        "SOURCE is a run folder, predictions as `valor evaluate` takes, pseudo labels of `valor labels`, or JSON\n"
        "of `valor parse` (files or folders); NAME=PATH names it, several are compared. With --data the truth is\n"
        "shown and mistakes are marked; with --data alone, the annotations. Opens in the browser, served to this\n"
        "machine only, until Ctrl+C; or, with --out, writes one HTML file that needs no server and no network.\n\n"
        "Press E in the viewer to correct events. Every change is saved at once to SOURCE.corrections/: LLP's tables\n"
        "for --annotations of `valor evaluate` and `valor calibrate`, pseudo_labels.npz for `valor train --labels`,\n"
        "and what each system said of these clips. What was corrected is never written to.",
        "valor view VALOR=runs/valor++ HAN=han.npz --data data --split test --videos videos\n"
        "valor view parses/*.json --out parses.html",
    )
    command.add_argument("sources", nargs="*", metavar="SOURCE", help="what to show (see above)")
    SOURCES.add(command)
    command.add_argument(
        "--classes",
        metavar="NAME|FILE|NAMES",
        help="classes of sources that name none (the data set's), and more to mark",
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="write one HTML file and end")
    command.add_argument(
        "--embed", action="store_true", default=None, help="put all media into --out (unasked up to 25 MB in all)"
    )
    command.add_argument("--no-embed", dest="embed", action="store_false", help="link media from --out, however small")
    command.add_argument("--corrections", type=Path, metavar="DIR", help="where corrections go (SOURCE.corrections)")
    command.add_argument("--host", default=HOST, metavar="ADDRESS", help=f"address to listen on ({HOST})")
    command.add_argument("--port", type=int, default=0, metavar="N", help="port to listen on (one for each folder)")
    command.add_argument("--no-browser", action="store_true", help="only print the address")
    add_rule(command)
    add_thresholds(command)
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    if cli.out and cli.out.suffix not in (".html", ".htm"):
        raise ValueError(f"--out must end in .html, got {cli.out}")
    names = class_names(read_vocabulary(cli.classes)) if cli.classes else None
    options = SOURCES.read(cli, class_names=names, rule=lambda held: read_rule(cli, held, held))
    from valor.exchange.filed import split_of_folder
    from valor.viewer.corrections import Corrections, opened_with
    from valor.viewer.sources import read_document

    sources, folder = opened_with(cli.sources, cli.data)
    folder = cli.corrections or folder
    if options.split is None and (filed := split_of_folder(folder)) is not None:  # lest it has tables of two
        options = replace(options, split=filed.split)
    document = read_document(sources, options)
    corrections = Corrections(folder, document)
    for note in (*document.notes, *document.about, *corrections.notes_on_media()):
        say(f"note: {typed_words(note, cli.flags)}", file=sys.stderr)
    return _write(cli, corrections) if cli.out else _serve(cli, corrections)


def _write(cli: argparse.Namespace, corrections: "Corrections") -> int:
    document = corrections.document
    for note in write_page(cli.out, document, embed=cli.embed, corrections=corrections.records()):
        say(f"note: {typed_words(note, cli.flags)}", file=sys.stderr)
    say(f"{len(document.clips):,} clips, {cli.out.stat().st_size / 1e6:.1f} MB; wrote {cli.out}")
    return DONE


def _serve(cli: argparse.Namespace, corrections: "Corrections") -> int:
    from valor.viewer.server import ViewerSite, is_loopback, usual_port

    document = corrections.document
    corrections.repair()
    server = _listen(cli, ViewerSite(document, corrections), usual_port(corrections.folder))
    if not is_loopback(cli.host):
        say(
            f"warning: listening on {cli.host}: whoever has the address below can watch these clips and change the "
            "corrections, over an unencrypted connection",
            file=sys.stderr,
        )
    say(f"{len(document.clips):,} clips at {server.url}", flush=True)
    say(f"corrections go to {corrections.folder}; Ctrl+C ends", file=sys.stderr)
    if not cli.no_browser:
        server.open_browser()
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        say("", file=sys.stderr)
    finally:
        server.server_close()
        corrections.close()
    if corrections.current:
        say(f"{len(corrections.current):,} corrected clips in {corrections.folder}")
    return DONE


def _listen(cli: argparse.Namespace, site: "ViewerSite", usual: int) -> "ViewerServer":
    """A server at the port that was asked for; else at the usual one, or any where that is taken."""
    from valor.viewer.server import ViewerServer

    if cli.port:
        return ViewerServer(site, host=cli.host, port=cli.port)
    try:
        return ViewerServer(site, host=cli.host, port=usual)
    except ValueError:
        return ViewerServer(site, host=cli.host)
