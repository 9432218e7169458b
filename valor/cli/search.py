"""`valor search`."""

import argparse
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from valor.data.datasets.to_harvest import holds_tables
from valor.label_harvest.places.place import Place
from valor.label_harvest.store.store import NoStoreError
from valor.label_harvest.store.videos import media_below
from valor.retrieval.options import BOTH, NETS, EvaluateOptions, FitOptions, SearchOptions

from .command import DONE, FORMATS, Commands, layouts_of, new_command, print_note, write_or_print
from .options import Fields, Option, Parser, any_place, by_role, typed_words
from .terminal import say

if TYPE_CHECKING:
    from valor.eval.tables import Sheet
    from valor.retrieval.run import SearchResult

ACTIONS = ("fit", "index")
"""What else can be done than search, typed before the store."""

_UNSET = {"default": None}
"""Tells apart what was typed from what was not."""
SEARCH = Fields(
    SearchOptions,
    like="--like FILE",
    like_sound="--like-sound FILE",
    within=Option("--in", {"choices": ("audio", "visual", BOTH)}),
    top=Option("--top N", _UNSET),
    space="--space MODEL",
    exact="--exact",
    index="--index DIR",
)
FIT = Fields(
    FitOptions,
    net=Option("--net", {"choices": NETS, **_UNSET}),
    epochs=Option("--epochs N", _UNSET),
    batch_size=Option("--batch-size N", _UNSET),
    width=Option("--network-width N", _UNSET),
    layers=Option("--layers N", _UNSET),
    rate=Option("--learning-rate X", _UNSET),
    seed=Option("--seed N", _UNSET),
    data="--data DIR",
    split="--split NAME",
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "search",
        "STORE WORDS           which seconds of which clips fit the words best: pictures by the text tower of the\n"
        "                      store's visual teacher, sounds by that of its audio teacher, from the embeddings that\n"
        "                      are in the store; nothing is trained, and no media read\n"
        "STORE --like FILE     which are like a video or recording; --like-sound FILE: like its sound alone\n"
        "STORE --evaluate DIR  how often the clips of a split are found, beside controls\n"
        "index STORE           makes an index beside the store, or brings it up to date (needs faiss)\n"
        "fit STORE --out MODEL trains a space in which sounds find pictures and the other way round\n\n"
        "A score says by how many deviations a second lies above the mean of the store. Seconds beside one another\n"
        "are one stretch, as far as they score at least half as high as its best. Some second is always the best: a\n"
        "note says where it is no better than words of what no clip has. Needs the weights of the teachers.",
        "valor search data/store 'a dog barks' --in audio --html found.html --videos data/videos\n"
        "valor search fit data/store --out space.safetensors --data data\n"
        "valor search data/store --like-sound horn.wav --in visual --space space.safetensors",
    )
    command.add_argument(
        "typed", nargs="+", type=_word, metavar="STORE WORDS", help="folder of `valor harvest`, and what to search for"
    )
    SEARCH.add(command)
    command.add_argument(
        "--teacher-checkpoint",
        dest="teacher_checkpoints",
        action="append",
        metavar="ROLE=PATH",
        help="local weights of a teacher",
    )
    command.add_argument("--format", choices=FORMATS, help="text unless --out ends in .md, .csv, .tex or .json")
    command.add_argument("--out", type=Path, metavar="FILE", help="write what was found there; with fit, the space")
    command.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures and players too (.html)")
    command.add_argument("--videos", type=Path, metavar="DIR", help="media of --html, named as for `valor harvest`")
    command.add_argument(
        "--embed", action="store_true", default=None, help="put all media into --html (unasked up to 25 MB in all)"
    )
    command.add_argument("--no-embed", dest="embed", action="store_false", help="link media from --html, however small")
    command.add_argument("--evaluate", type=Path, metavar="DIR", help="data folder whose split is searched for")
    FIT.add(command)
    return command


def _word(typed: str) -> str:
    """As it was typed: only the store among these words is a path, or an address."""
    return typed


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    action = cli.typed[0] if cli.typed[0] in ACTIONS else "search"
    words = cli.typed[1:] if action != "search" else cli.typed
    if not words:
        raise ValueError(f"name the store too: valor search {action} STORE; a store of that name is ./{action}")
    store = _store(words[0])
    if action != "search" and words[1:]:
        raise ValueError(f"{action} takes a store and no words, got {' '.join(words[1:])!r}")
    _refuse_others(cli, "evaluate" if cli.evaluate and action == "search" else action)
    if cli.evaluate and (words[1:] or cli.like or cli.like_sound):
        raise ValueError("--evaluate searches for the clips of a split; leave what else is searched for out")
    try:
        if action == "index":
            return _index(cli, store)
        if action == "fit":
            return _fit(cli, store)
        return (
            _evaluate(cli, store) if cli.evaluate else _search(cli, store, " ".join(words[1:]) if words[1:] else None)
        )
    except NoStoreError as error:
        if not store.is_dir() or holds_tables(store) or not (media := media_below(store)):
            raise
        folder = quote(str(store))
        raise ValueError(
            f"{store}: expected an evidence store, got a folder of {len(media):,} media files, such as {media[0][0]}; "
            f"valor harvest {folder} --store {quote(f'{store}.store')} makes a store of it, which can be searched"
        ) from error


def _store(typed: str) -> Place:
    try:
        return any_place(typed)
    except argparse.ArgumentTypeError as error:
        raise ValueError(str(error)) from error


_TAKEN = {
    "search": (*SEARCH.names, "teacher_checkpoints", "format", "out", "html", "videos", "embed"),
    "evaluate": ("evaluate", "space", "split", "seed", "format", "out"),
    "fit": (*FIT.names, "teacher_checkpoints", "out"),
    "index": ("index", "space", "teacher_checkpoints"),
}
"""Options of each action."""


def _refuse_others(cli: argparse.Namespace, action: str) -> None:
    """Refuse options that would do nothing."""
    every = dict.fromkeys(name for names in _TAKEN.values() for name in names)
    idle = [name for name in every if name not in _TAKEN[action] and _is_typed(cli, name)]
    if idle:
        raise ValueError(f"{', '.join(cli.flags[name] for name in idle)}: not for this; see `valor search --help`")


def _is_typed(cli: argparse.Namespace, name: str) -> bool:
    return getattr(cli, name) not in (None, False)


def _checkpoints(cli: argparse.Namespace) -> dict[str, str]:
    return by_role(cli.teacher_checkpoints or [], "--teacher-checkpoint")


def _search(cli: argparse.Namespace, store: Place, text: str | None) -> int:
    if (cli.html is None) != (cli.videos is None):
        raise ValueError("--html FILE shows media and --videos DIR says where they are; give both or neither")
    if cli.html and cli.html.suffix not in (".html", ".htm"):
        raise ValueError(f"--html must end in .html, got {cli.html}")
    options = SEARCH.read(cli, text=text, teacher_checkpoints=_checkpoints(cli))
    from valor.retrieval.run import search_store
    from valor.retrieval.search import LEAST_STANDING

    result = search_store(store, options)
    write_or_print(layouts_of(_sheet(result), result.to_dict()), cli)
    how = "" if result.compared == result.seconds else f", {result.compared:,} of them compared"
    print_note(f"in {result.seconds:,} seconds of {result.clips:,} clips{how}", cli)
    for note in result.notes:
        print_note(f"note: {note}", cli)
    if result.is_poor:
        print_note(
            f"the best stands {result.standing:.1f} above captions of nothing in particular, no higher than words of "
            f"what no clip has ({LEAST_STANDING:g}): perhaps nothing here fits {result.said!r}",
            cli,
        )
    elif low := sum(height is not None and height < LEAST_STANDING for height in result.standings):
        print_note(
            f"{low:,} of {len(result.found):,} stand below {LEAST_STANDING:g}, as words of what no clip has do",
            cli,
        )
    if cli.html:
        _write_page(cli, result)
    return DONE


def _sheet(result: "SearchResult") -> "Sheet":
    from valor.eval.tables import Sheet

    titles = {"audio": "sound", "visual": "picture"}
    rows = [
        [
            str(rank),
            one.clip_id,
            f"{one.onset:g}",
            f"{one.offset:g}",
            f"{one.best:g}",
            f"{one.score:.2f}",
            *([] if result.standing is None else [_standing(stands)]),
            *(_cosine(one.cosines[name]) for name in result.modalities),
        ]
        for rank, (one, stands) in enumerate(zip(result.found, result.standings, strict=True), 1)
    ]
    heights = [] if result.standing is None else ["standing"]
    columns = [
        "rank",
        "clip",
        "onset",
        "offset",
        "best",
        "score",
        *heights,
        *(titles[name] for name in result.modalities),
    ]
    return Sheet(columns=columns, rows=rows, left=(1,))


def _standing(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _cosine(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _write_page(cli: argparse.Namespace, result: "SearchResult") -> None:
    from valor.retrieval.search import LEAST_STANDING
    from valor.viewer.found import FoundCard, write_found_page

    titles = {"audio": "sound", "visual": "picture"}

    def stands(height: float | None) -> str:
        low = (
            f", below {LEAST_STANDING:g}: perhaps nothing of it"
            if height is not None and height < LEAST_STANDING
            else ""
        )
        return "" if height is None else f"standing {_standing(height)}{low}; "

    cards = [
        FoundCard(
            clip_id=one.clip_id,
            onset=one.onset,
            offset=one.offset,
            best=one.best,
            score=one.score,
            facts=stands(height) + ", ".join(f"{titles[name]} {_cosine(value)}" for name, value in one.cosines.items()),
            levels=one.levels,
            segment_seconds=result.segment_seconds,
        )
        for one, height in zip(result.found, result.standings, strict=True)
    ]
    facts = f"{len(cards)} stretches, the best of {result.seconds:,} seconds of {result.clips:,} clips"
    facts = "; ".join((facts, *result.notes))
    for note in write_found_page(cli.html, result.said, facts, cards, cli.videos, embed=cli.embed):
        say(f"note: {typed_words(note, cli.flags)}", file=sys.stderr)
    say(f"wrote {cli.html}")


def _evaluate(cli: argparse.Namespace, store: Place) -> int:
    from valor.retrieval.evaluate import evaluate_search

    seed = EvaluateOptions.seed if cli.seed is None else cli.seed
    report = evaluate_search(store, EvaluateOptions(data=cli.evaluate, split=cli.split, space=cli.space, seed=seed))
    write_or_print(layouts_of(report.sheet(), report.to_dict()), cli)
    for note in (f"{report.clips:,} clips of {report.split}; a tie counts as the mean of its ranks", *report.notes):
        print_note(note, cli)
    return DONE


def _fit(cli: argparse.Namespace, store: Place) -> int:
    if cli.out is None:
        raise ValueError("--out MODEL.safetensors says where the space is written")
    from valor.retrieval.fit import fit_space

    options = FIT.read(cli, teacher_checkpoints=_checkpoints(cli))
    result = fit_space(store, cli.out, options, progress=not cli.quiet)
    clips = len(result.placer.card.clip_ids)
    say(f"{clips:,} clips, loss {result.losses[0]:.3f} at first and {result.losses[-1]:.3f} at last; wrote {cli.out}")
    return DONE


def _index(cli: argparse.Namespace, store: Place) -> int:
    from valor.retrieval.run import index_store

    built = index_store(store, index=cli.index, space=cli.space, teacher_checkpoints=_checkpoints(cli))
    added = "all of them read" if built.anew else f"{built.added:,} of them new"
    say(f"{built.seconds:,} seconds, {added}; wrote {built.folder}")
    return DONE
