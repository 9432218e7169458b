"""What people script, as verbs: the same stages as on the command line, with values in place of printed lines.

    harvest -> labels -> train -> predict -> score -> compare -> table, for one's own media parse -> view, load what
    others share, and search in a store

Each takes paths or the values the verb before it returned, and returns a value that holds arrays; its `to_frame()` is
the same as a pandas DataFrame. `import valor` offers them lazily: nothing is loaded before a verb is used. `parse`
stands beside the parser it makes, in `valor.video.parser`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    import numpy as np

    from valor.data.datasets.dataset import DataSet
    from valor.data.own_files import OwnFile
    from valor.data.predictions import Predictions
    from valor.eval.decide import PostProcessing
    from valor.label_harvest.harvest import HarvestOptions, HarvestReport
    from valor.label_harvest.store.videos import Videos
    from valor.labelling.make import LabelReport
    from valor.retrieval.run import SearchResult
    from valor.scoring.held import Differences, Scores, Table
    from valor.teachers import TeacherChoice
    from valor.training.recipes import Recipe
    from valor.training.seeds import Training
    from valor.video.parser import Parser
    from valor.viewer.server import RunningViewer

Pathlike = Path | str
P = ParamSpec("P")
R = TypeVar("R")


def _verb(function: Callable[P, R]) -> Callable[P, R]:
    """A verb, which says in one sentence what is to be installed for it."""

    @wraps(function)
    def verb(*given: P.args, **named: P.kwargs) -> R:
        try:
            return function(*given, **named)
        except ModuleNotFoundError as error:
            from valor.doctor import absent_package

            if (said := absent_package(error)) is None:
                raise
            raise ModuleNotFoundError(f"valor.{function.__name__} {said}", name=error.name) from None

    return verb


def _use(own_files: Sequence[Pathlike]) -> "list[OwnFile]":
    if not own_files:
        return []
    from valor.training.own import use_files

    return use_files(own_files)


@_verb
def harvest(
    manifest: Pathlike,
    *,
    videos: "Videos | None" = None,
    store: Pathlike,
    teachers: "TeacherChoice | None" = None,
    classes: str | None = None,
    options: "HarvestOptions | None" = None,
    progress: bool = True,
    own_files: Sequence[Pathlike] = (),
) -> "HarvestReport":
    """Run the frozen teachers over clips and keep their evidence; done clips are not done again.

    Args:
        manifest: Tab-separated `filename event_labels`, such as LLP's own tables; or a folder of media, which are clips
            without tags, as `read_media_folder` names them (give `options` with length="whole" for all of each).
        videos: Folder of the media files, or several, with all below; see `label_harvest/store/videos.py`. None for
            those of a folder of media.
        store: Folder of the evidence store; made if absent.
        teachers: Which, and where their weights are; None for CLIP ViT-L/14 and CLAP 630k-fusion.
        classes: `llp`, a vocabulary file or names with commas between; None for those of the data set the manifest lies
            in, or of the store.
        options: Grid (where none is given, that of the data set), workers, limits, decoder, shares, shard size, what is
            read again; None for the defaults.
        own_files: Python files of your own parts, known from then on, see `valor.training.own`.
        progress: Whether to show a progress bar on stderr.

    Returns:
        A row for each clip with its status; `to_frame()` lists them.
    """
    _use(own_files)
    from valor.data.datasets.to_harvest import grid_of, read_media_folder, vocabulary_of
    from valor.data.tables import read_manifest
    from valor.data.vocabulary import class_names
    from valor.label_harvest import harvest as stage
    from valor.label_harvest.inputs import check_inputs, clips_there
    from valor.label_harvest.places.place import place_of
    from valor.label_harvest.progress import end_noted
    from valor.teachers import TeacherChoice, build_teachers, known_store

    table = place_of(manifest)
    folder = table if videos is None else table.parent
    choice, options = teachers or TeacherChoice(), options or stage.HarvestOptions()
    if options.grid == stage.HarvestOptions(segment_seconds=options.segment_seconds).grid:
        options = replace(options, grid=grid_of(folder))
    with end_noted(options.log_json, {"share": str(options.share), "store": str(store)}):
        vocabulary = vocabulary_of(classes, folder, store=place_of(store))
        names = class_names(vocabulary)
        if videos is None:
            clips = read_media_folder(table, names, clips_there(store))
        else:
            clips = read_manifest(table, names)
        known, share, size = known_store(choice, vocabulary, options), options.share, options.shard_size
        where = (clips, table if videos is None else videos, place_of(store))
        media = check_inputs(*where, known, share=share, shard_size=size)
        built = build_teachers(choice, vocabulary)
    return stage.harvest(*where, built, options=options, progress=progress, media=media)


@_verb
def labels(store: Pathlike, out: Pathlike, *, progress: bool = True, **options: Any) -> "LabelReport":  # noqa: ANN401
    """Turn the evidence of a store and the tags of its clips into pseudo labels.

    Args:
        store: What `harvest` wrote.
        out: Folder that gets the labels, and what was left out.
        progress: Whether to show a progress bar on stderr.
        options: Fields of `valor.labelling.options.LabelOptions`, such as `thresholds="thresholds.json"`.

    Returns:
        The labels, bool or float [N, T, M, C], under `labels`, with clips left out and why; `to_frame()` lists events.
    """
    from valor.label_harvest.places.place import place_of
    from valor.labelling.make import make_labels
    from valor.labelling.options import LabelOptions

    paths: dict[str, Any] = {}
    paths |= {name: Path(v) for name in ("thresholds", "against", "picture") if (v := options.get(name))}
    paths |= {name: place_of(v) for name in ("compare",) if (v := options.get(name))}
    return make_labels(place_of(store), Path(out), LabelOptions(**{**options, **paths}), progress=progress)


@_verb
def train(
    recipe: "str | Recipe",
    *,
    data: Pathlike,
    out: Pathlike | None = None,
    changes: Sequence[str] | Mapping[str, Any] = (),
    labels: Pathlike | None = None,
    own_files: Sequence[Pathlike] = (),
    **options: Any,  # noqa: ANN401
) -> "Training":
    """Train a parser with one seed or several, and score the kept epoch on the test split where that is there.

    Args:
        recipe: A name (`valor.training.recipes.RECIPES`), a recipe.json, a run folder, or a `Recipe`.
        data: Folder of annotation tables and features.
        out: Run folder; None for runs/RECIPE.
        changes: Options of the recipe, as {"fit.epochs": 5} or ["fit.epochs=5"].
        labels: Folder of pseudo labels; None for the published layout among the data.
        own_files: Python files of your own parts, known from then on, see `valor.training.own`.
        options: Fields of `valor.training.options.TrainOptions`, such as `seeds=5`, or `store=` for features that lie
            in an evidence store elsewhere.

    Returns:
        The seeds with their folders and scores; `to_frame()` has a row for each.
    """
    given = _use(own_files)
    from valor.data.datasets.dataset import chosen_dataset, dataset_of
    from valor.label_harvest.places.place import place_of
    from valor.training.missing import refuse_missing
    from valor.training.options import TrainOptions
    from valor.training.own import note_unused
    from valor.training.recipes import Recipe, find_recipe, for_classes, override
    from valor.training.seeds import Training, train_seeds

    typed = [f"{name}={value}" for name, value in changes.items()] if isinstance(changes, Mapping) else list(changes)
    if not isinstance(recipe, Recipe):
        count = len(options.get("names") or chosen_dataset(options.get("dataset"), data).names_in(data))
        recipe = for_classes(find_recipe(recipe), recipe, count)
    chosen = override(recipe, typed)
    folder = Path(out) if out else Path("runs") / chosen.name
    if options.get("store"):
        options["store"] = place_of(options["store"])
    settings = TrainOptions(labels=Path(labels) if labels else None, **options)
    if settings.dataset is None:
        names = settings.names or dataset_of(data).names_in(Path(data))
        refuse_missing(Path(data), chosen, names, labels=settings.labels, store=settings.store)
    note_unused([chosen], given)
    results = tuple(train_seeds(chosen, Path(data), folder, settings))
    return Training(recipe=chosen, folder=folder, seeds=results)


@_verb
def predict(
    run: Pathlike,
    *,
    data: Pathlike,
    split: str | None = None,
    store: Pathlike | None = None,
    device: str = "auto",
    dataset: "DataSet | str | None" = None,
    classes: str | None = None,
    own_files: Sequence[Pathlike] = (),
) -> "Predictions":
    """Parse a split with the kept weights of a run.

    Args:
        run: A run folder.
        data: Folder of annotation tables and features.
        split: Name of the split; None for the one the data set is scored on, `test`.
        store: Evidence store of the features; None for `store/` among the data, or that of the training.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.
        dataset: What the folder holds, a `DataSet` or its name; None for what its `dataset.json` says, or LLP.
        own_files: Python files of your own parts, known from then on, see `valor.training.own`.
        classes: What to look for, of a run by words: `llp`, a vocabulary file or names with commas between; None for
            the classes of the run, and those its training left out.

    Returns:
        Probabilities [N, T, M, C]; `to_frame()` lists the events of the usual decision.
    """
    _use(own_files)
    from valor.data.datasets.dataset import chosen_dataset
    from valor.data.vocabulary import read_vocabulary
    from valor.label_harvest.places.place import place_of
    from valor.training.run import predict_run

    vocabulary = None if classes is None else read_vocabulary(classes)
    known, place = chosen_dataset(dataset, data), None if store is None else place_of(store)
    named = split or known.split_for("test")
    return predict_run(Path(run), Path(data), named, store=place, device=device, dataset=known, classes=vocabulary)


@_verb
def score(
    predictions: "Predictions | Pathlike | np.ndarray",
    truth: "Pathlike | np.ndarray",
    *,
    split: str | None = None,
    rule: "PostProcessing | str | None" = None,
    clip_probs: "np.ndarray | None" = None,
    modality_probs: "np.ndarray | None" = None,
    own_files: Sequence[Pathlike] = (),
    **options: Any,  # noqa: ANN401
) -> "Scores":
    """Score predictions against the truth: the ten F-scores, and the figures of the data set's own metrics.

    Args:
        predictions: What `predict` returned, any prediction file, a run folder, which parses the split first, or
            [N, T, M, C], an array or a tensor: bool, or 0 and 1, are marks, float are probabilities of segments; or a
            pair of them (audio, visual), each [N, T, C]. Beside a folder of tables the clips and classes of the array
            are in the order of these.
        truth: Folder of the annotation tables; for an array of predictions also bool [N, T, M, C].
        split: The split of the tables that was predicted; None for the one the data set is scored on, `test`.
        rule: Thresholds and gate, or the name of a preset (`"jomold"`) or of a gate (`"none"`) as on the command line;
            None for both 0.5 and the gate the predictions have probabilities for.
        clip_probs: float [N, C] beside an array of probabilities, what the gate clip reads: the network's own pooled
            probabilities. The maximum of the segments is no gate, and noted; `rule="none"` says so.
        modality_probs: float [N, M, C] beside an array of probabilities, what the gate modality reads.
        own_files: Python files of your own parts, known from then on, see `valor.training.own`.
        options: Fields of `valor.scoring.given.TruthOptions`: `allow_subset=True` scores the clips that are there where
            some are missing; `truth_version`, `classes` and `dataset` say what the folder holds.

    Returns:
        `segment` and `event` with five figures each, in percent; `to_frame()` is the two lines of the table,
        `intervals()` puts intervals around them, `plot()` draws both, `save("scores.json")` writes what `table` reads.

    Raises:
        ValueError: Clips, classes or shapes do not belong together; clips are missing; there is no such rule.
    """
    _use(own_files)
    from valor.eval.decide import named_rule
    from valor.scoring.given import called, judge_of, note_open_gate, truth_options

    judge = judge_of(truth, split, named_rule(rule), truth_options("score", options))
    found = judge.scores(predictions, clip_probs=clip_probs, modality_probs=modality_probs)
    note_open_gate(called(predictions), [found])
    return found


@_verb
def compare(
    system: "Scores | Predictions | Pathlike | np.ndarray | Sequence[Any]",
    baseline: "Scores | Predictions | Pathlike | np.ndarray | Sequence[Any]",
    truth: "Pathlike | np.ndarray | None" = None,
    *,
    names: Sequence[str | None] = (None, None),
    split: str | None = None,
    rule: "PostProcessing | str | None" = None,
    own_files: Sequence[Pathlike] = (),
    **options: Any,  # noqa: ANN401
) -> "Differences":
    """Say what a system has over another on the same clips: ten differences, with intervals over clips and over seeds.

    Args:
        system: `Scores`, or what `score` takes; of several seeds a folder of them (RUN/seed-*) or a list of either.
            NAME=PATH calls one NAME.
        baseline: The other, likewise. Two lists of one length are paired: the same seed at the same place.
        truth: As for `score`; None where both are `Scores` already.
        names: What the two are called, such as ("VALOR", "HAN") of lists and arrays, which have no NAME=PATH; None for
            what a path says, else "system" and "baseline".
        split: As for `score`.
        rule: As for `score`, one for both.
        own_files: Python files of your own parts, known from then on, see `valor.training.own`.
        options: As for `score`.

    Returns:
        Its line says the difference of segment Type@AV; `to_frame()` has a row for each of the ten, with the interval
        and p-value paired over clips, of several seeds also those over seeds, and whether both leave out zero.

    Raises:
        ValueError: The two are not of the same clips and truth, a truth is missing, or names are not two.
    """
    _use(own_files)
    from valor.eval.decide import named_rule
    from valor.scoring.given import compared, judge_of, truth_options

    told = truth_options("compare", options)
    judge = None if truth is None else judge_of(truth, split, named_rule(rule), told)
    return compared(system, baseline, judge, names)


@_verb
def table(
    *runs: Pathlike,
    published: bool = False,
    data: Pathlike | None = None,
    baseline: str | None = None,
    mix: bool = False,
) -> "Table":
    """Put runs side by side, and beside published rows.

    Args:
        runs: Run folders or score files; NAME=RUN calls the row NAME.
        published: Add the published rows of the data set, LLP's, with their sources.
        data: Data folder of the set whose published rows are added; None for one that is known by name.
        baseline: Row the others are compared with.
        mix: Accept other rules, truths, selections and coverage.

    Returns:
        The rows and the notes under them; `to_frame()` has a row for each, `save("table.tex")` writes them.
    """
    from valor.scoring.compare import compare, published_of
    from valor.scoring.held import Table
    from valor.scoring.published import read_published

    typed = [str(run) for run in runs]
    known = published_of(typed, None if data is None else Path(data)) if published else read_published()
    return Table.of(compare(typed, known if published else None, baseline=baseline, mix=mix, known=known))


@_verb
def view(
    *sources: Pathlike,
    out: Pathlike | None = None,
    open_browser: bool = True,
    embed: bool = False,
    **options: Any,  # noqa: ANN401
) -> "Path | RunningViewer":
    """Play clips beside their timelines in the browser, or write that as one page.

    Args:
        sources: Parses, prediction files or run folders; NAME=SOURCE calls one NAME.
        out: An .html file to write in place of serving.
        open_browser: Whether a served page is opened.
        embed: Put the media into the written page.
        options: Fields of `valor.viewer.options.SourceOptions`, such as `data="data"` or `videos="videos"`.

    Returns:
        The file that was written; or the running viewer, with its `url`, until `close()`.
    """
    from valor.viewer.corrections import Corrections, opened_with
    from valor.viewer.options import SourceOptions
    from valor.viewer.page import write_page
    from valor.viewer.server import RunningViewer
    from valor.viewer.sources import read_document

    options = {name: Path(value) if name in ("data", "videos") else value for name, value in options.items()}
    typed, folder = opened_with([str(source) for source in sources], options.get("data"))
    document = read_document(typed, SourceOptions(**options))
    corrections = Corrections(folder, document)
    if out is None:
        return RunningViewer(corrections, open_browser=open_browser)
    write_page(Path(out), corrections.document, embed=embed, corrections=corrections.records())
    return Path(out)


@_verb
def load(repository: str, **options: Any) -> "Parser":  # noqa: ANN401
    """Load a parser that somebody shared on the Hugging Face hub.

    Args:
        repository: OWNER/NAME, or OWNER/NAME@REVISION; of what `valor push` put there.
        options: Of `valor.Parser`, such as `device="cpu"` or `teacher_checkpoints={"visual": "clip.pt"}`.

    Returns:
        The parser; call it with a media file.

    Raises:
        HubError: It cannot be had, or is not as it was pushed.
        ValueError: It is no parser, or no such name.
    """
    from valor.data.hub import PREFIX
    from valor.video.parser import Parser

    return Parser(checkpoint=PREFIX + repository.removeprefix(PREFIX), **options)


@_verb
def search(
    store: Pathlike,
    text: str | None = None,
    **options: Any,  # noqa: ANN401
) -> "SearchResult":
    """Find the seconds of a store that fit words, a video or a sound best; nothing is trained, and no media read.

    Args:
        store: What `harvest` wrote.
        text: Words; None where `like` or `like_sound` says what is searched for.
        options: Fields of `valor.retrieval.options.SearchOptions`, such as `within="audio"`, `like="horn.wav"`,
            `top=5` or `space="space.safetensors"`.

    Returns:
        Stretches of clips, the best first; `to_frame()` has a row for each.
    """
    from valor.label_harvest.places.place import place_of
    from valor.retrieval.options import SearchOptions
    from valor.retrieval.run import search_store

    paths = {name: Path(of) for name in ("like", "like_sound", "space", "index") if (of := options.get(name))}
    return search_store(place_of(store), SearchOptions(text=text, **{**options, **paths}))
