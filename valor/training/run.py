"""A run folder from its recipe: data and labels in, a trained parser out, and its predictions of a split.

With it, what a run computes with (device, threads, the deterministic mode), and the refusal of features a trained
parser does not know: fed with others it answers too, and answers noise.
"""

import logging
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from valor.data.anchors import ZERO_SHOT_SECONDS, ZeroShot, zero_shot_of
from valor.data.clips import ClipSet, of_classes
from valor.data.common_classes import read_val_truth
from valor.data.datasets.dataset import DataSet, chosen_dataset
from valor.data.features.feature_options import FeatureOptions, evidence_in
from valor.data.features.packed import note_packed
from valor.data.label_file import allowed_left_out
from valor.data.own_files import changed_own, described_own
from valor.data.predictions import Predictions
from valor.data.provenance import Provenance, describe_data, of_features, of_labels, of_run, told_by, unlike_teachers
from valor.data.read_clips import read_clip_set, with_background
from valor.data.tables import Split
from valor.data.unseen import named_unseen
from valor.data.vocabulary import EventClass, class_names
from valor.label_harvest.cores import DEVICE, DEVICES
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.places.place import Place
from valor.label_harvest.store.store import AbsentArraysError
from valor.label_harvest.strict_json import loads
from valor.parsers.build import build_parser, options_of
from valor.parsers.hybrid import HybridParser
from valor.parsers.options import ParserOptions
from valor.parsers.word_head import WordHead

from .checkpoint import CheckpointCard, git_revision, read_checkpoint
from .encoder_file import EncoderFile, give_encoder, read_encoder
from .evidence_fit import with_hint
from .facts import facts_of
from .methods.methods import NOTHING_OWN, Methods, OwnParts
from .own import refuse_changed, told_files
from .part_shapes import check_parts
from .pool import NAME as POOL
from .pool import Pool, read_pool, with_pool
from .predict import predict_classes
from .recipes import Recipe, features_from_json, recipe_to_json
from .run_folder import LAST, RECIPE, refuse_several_seeds
from .run_store import note_store, store_of_run
from .share import note_fewer_steps
from .train import FitResult, fit
from .words import READERS, Words, classes_named, read_words, take_classes

_LOG = logging.getLogger(__name__)

UNSEEN = "unseen"
"""Key of a run's recipe for the classes its training left out."""
TAGGED = "tagged_clips"
"""Key for how many clips of train kept their tags, where these are not all."""
LEFT_OUT = "left_out"
"""Key for how many clips of a split were left out for want of evidence or labels, by split."""
BEGUN_WITH = "begun with"
"""Key for the pre-training it began with."""
SEGMENT_SECONDS = "segment_seconds"
"""Key for the length of the segments it was trained on, where that is no second."""

_CHANGES_BITS = ("torch", "threads", "device")
"""Facts without which a resumed run may differ in the last digits."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RunSets:
    """The data of a run, read once for all its seeds."""

    train: ClipSet
    val: ClipSet
    provenance: Provenance
    """Where it came from."""
    test: tuple[Split, ClipSet] | None = None
    """What the finished parser is scored on, where that was asked for and is there."""
    labels: Path | None = None
    """The folder of the pseudo labels that were read."""
    zero_shot: ZeroShot = field(default_factory=ZeroShot)
    """The class the teachers hold most likely in test clips, where there is evidence of them."""
    beside: tuple[str, ...] = ()
    """Names of the sets that are trained beside it."""
    words: Words | None = None
    """Captions of all classes, for a parser that goes by words."""
    pool: Pool | None = None
    """Clips without tags, where the recipe learns from them."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """By split, how many of its clips were left out for want of evidence or labels."""
    begin_with: EncoderFile | None = None
    """What learned before labels, whose stem and encoder the parser begins with."""
    store: Place | None = None
    """The evidence store that was given."""

    @property
    def more(self) -> tuple[str, ...]:
        """What else is learned from, in words: other sets, and the clips of a pre-training."""
        return self.beside if self.begin_with is None else (*self.beside, self.begin_with.in_words())

    @property
    def unseen(self) -> tuple[str, ...]:
        """Classes that the training leaves out, of which val and test have truth all the same."""
        return tuple(name for name in self.val.class_names if name not in self.train.class_names)


def train_run(  # noqa: PLR0913, what a run is
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    labels: Path | None = None,
    dataset: DataSet | str | None = None,
    names: tuple[str, ...] | None = None,
    device: str = "auto",
    allow_random_teachers: bool = False,
    progress: bool = True,
    own: OwnParts = NOTHING_OWN,
) -> FitResult:
    """Train what a recipe says into a run folder, or go on with it, or find it done.

    Args:
        recipe: Features, network and training; its `fit.seed` also seeds the initial weights.
        data: Folder of the annotation tables and the features.
        out: The run folder.
        labels: Folder of pseudo labels; None for the published layout in `data`. Not read where the recipe has no use
            for them.
        dataset: What `data` holds, or the name of it; None for what its `dataset.json` says, or LLP.
        names: The classes of the tables, in the order of the class axis; None for those of the data set.
        device: `cpu`, `cuda`, or `auto` for a GPU where there is one.
        allow_random_teachers: Accept labels and features of teachers with random weights.
        progress: Whether to show a progress bar on stderr.
        own: Parts of the network and methods that are given as objects.

    Raises:
        ValueError: Data, labels and recipe do not fit, or random teachers made them and that was not allowed.
        FileNotFoundError: A table or folder is not there.
    """
    sets = read_run_sets(
        recipe, data, labels=labels, dataset=dataset, names=names, allow_random_teachers=allow_random_teachers
    )
    return train_on(recipe, sets, out, device=device, progress=progress, own=own)


def read_run_sets(  # noqa: PLR0913, what a run reads
    recipe: Recipe,
    data: Path,
    *,
    labels: Path | None = None,
    annotations: Path | None = None,
    store: Place | None = None,
    dataset: DataSet | str | None = None,
    names: tuple[str, ...] | None = None,
    allow_random_teachers: bool = False,
    test: bool = False,
    unseen: tuple[str, ...] = (),
    any_widths: bool = False,
    unlabelled: Sequence[Place] = (),
    begin_with: Path | None = None,
) -> RunSets:
    """Read what a recipe trains on; arguments as in `train_run`.

    Args:
        recipe: Says which features, and whether labels are wanted.
        data: Folder of the annotation tables and the features.
        labels: Folder of pseudo labels; None for the published layout in `data`.
        annotations: Folder of the truth of val, such as corrections; None for that of `data`.
        store: Evidence store of the features; None for `store/` in `data`, or `data` itself.
        dataset: What `data` holds, or the name of it; None for what its `dataset.json` says, or LLP.
        names: The classes of the tables; None for those of the data set, or what lies beside the tables.
        allow_random_teachers: Accept labels and features of teachers with random weights.
        test: Also read the test split, if all of it is there; what is missing is logged and is no error.
        unseen: Classes that the tags and labels of training leave out; none for those of the data set where the recipe
            goes by words.
        any_widths: Whether features may be of other widths than the recipe says, and classes as many as they are.
        unlabelled: Evidence stores of clips without tags, for a recipe with `methods.unlabelled`.
        begin_with: Folder of a pre-training; None to begin with fresh weights.
    """
    if not data.is_dir():
        raise FileNotFoundError(f"{data}: no such folder; give one with annotation tables, and features or a store/")
    held = None if begin_with is None else read_encoder(begin_with)
    labels = labels_of(recipe, data, labels)
    if not allow_random_teachers:
        _refuse_random_teachers(recipe.features, data, labels, store)
    known = chosen_dataset(dataset, data)
    if dataset is None:
        names = names or known.names_in(data)
    splits = {role: known.read_split(data, known.split_for(role), names) for role in ("train", "val")}
    if annotations is not None:
        splits["val"] = read_val_truth(annotations, splits["val"], known)
    _refuse_without_truth(splits["val"], data, labels)
    if store is None:
        read = [splits["train"].name, splits["val"].name, *([known.split_for("test")] if test else [])]
        note_packed(data, read, (recipe.features.audio, recipe.features.visual, recipe.features.motion or ""))
    train, val = _read_training(recipe, data, (splits["train"], splits["val"]), labels, store)
    taken = ((splits["train"], train), (splits["val"], val))
    left = {split.name: len(split.clip_ids) - len(clips) for split, clips in taken}
    if train.modality_tags is not None and not recipe.fit.guided_weight and not recipe.methods:
        _LOG.warning(
            "the tags say which are heard and which are seen, of which %s learns by its labels alone; "
            "fit.guided_weight=1 holds each modality to its own tags",
            recipe.name,
        )
    by_words = recipe.parser.head == "words"
    left_out = named_unseen(unseen, train.class_names) if unseen else splits["train"].unseen if by_words else ()
    if splits["train"].unseen and not left_out:
        _LOG.warning(
            "%d classes are unseen in training: a parser of these recipes learns that they do not occur, and what is "
            "known of them is what the teachers say (%s)",
            len(splits["train"].unseen),
            ZERO_SHOT_SECONDS,
        )
    train = with_background(train, data, recipe.features)
    if not any_widths:
        _check_widths(recipe, train)
    words = read_words(data, splits["train"], train, store) if by_words else None
    if left_out:
        train = of_classes(train, [name for name in train.class_names if name not in left_out], emptied=False)
    pool = read_pool(recipe, unlabelled, data, train, val, known) if POOL in recipe.methods else None
    tested = _test_set(recipe, data, known, names, store) if test else None
    used = (*splits.values(), *(tested[:1] if tested else ()))
    zero_shot = zero_shot_of(data, tested[0]) if tested and tested[0].metrics else ZeroShot()
    provenance = of_run(recipe.features, data, used, labels, store)
    return RunSets(
        train=train,
        val=val,
        test=tested,
        provenance=provenance,
        labels=labels,
        zero_shot=zero_shot,
        words=words,
        pool=pool,
        left_out={split: count for split, count in left.items() if count},
        begin_with=held,
        store=store,
    )


def _refuse_without_truth(val: Split, data: Path, labels: Path | None) -> None:
    """Refuse a val on which no epoch can be chosen, with the commands by which it gets truth."""
    if val.truth is None and val.events is None:
        shown = "" if labels in (None, data) else f"{labels} "
        raise ValueError(
            f"{data}: {val.name} has tags alone and no truth to select the epoch by; mark what is heard and seen in "
            f"its clips with `valor view {shown}--data {data} --split {val.name} --videos DIR --corrections MARKED`, "
            "and give MARKED as `annotations`"
        )


def _read_training(
    recipe: Recipe, data: Path, splits: tuple[Split, Split], labels: Path | None, store: Place | None
) -> tuple[ClipSet, ClipSet]:
    """Clips to train on and to choose the epoch by, without those that the labels were allowed to leave out."""
    allowed = allowed_left_out(labels)
    try:
        train, val = (
            read_clip_set(data, split, recipe.features, labels=wanted, store=store, allowed=allowed)
            for split, wanted in zip(splits, (labels, None), strict=True)
        )
    except AbsentArraysError as error:
        raise with_hint(error, recipe, evidence_in(data, store)) from error
    return train, val


def labels_of(recipe: Recipe, data: Path, labels: Path | None = None) -> Path | None:
    """Where a recipe reads pseudo labels; None where it has no use for them."""
    wanted = recipe.fit.pseudo_label_weight and not Methods(recipe.methods).bring_labels
    return (labels or data) if wanted else None


def train_on(
    recipe: Recipe,
    sets: RunSets,
    out: Path,
    *,
    device: str = "auto",
    compiled: bool = False,
    progress: bool = True,
    on_epoch: Callable[[Mapping[str, Any]], None] | None = None,
    own: OwnParts = NOTHING_OWN,
) -> FitResult:
    """Train a recipe on data that was read before; arguments as in `train_run` and `valor.training.train.fit`.

    Of simulated data the recipe is named so in all that is written.
    `compiled` has torch compile the parser into CUDA graphs, for which it must be on a GPU.
    """
    where = pick_device(device)
    if (out / LAST).is_file():
        begun = begun_with(out)
        refuse_changed(recipe, begun, out)
        note_other_runtime(begun.get("runtime", {}), runtime_facts(where))
    ready = prepared(recipe, sets, where, own)
    note_fewer_steps(len(ready.train), len(sets.train), recipe.fit)
    if compiled:
        _compile(ready.parser, where)
    said: dict[str, Any] = {"progress": progress, "on_epoch": on_epoch, "recipe": ready.description}
    try:
        known = ready.parser, ready.train, ready.val, recipe.fit, out
        result = fit(*known, methods=ready.methods, test=ready.test, **said)
    finally:
        note_store(out, sets.store)
    if result.resumed_from == recipe.fit.epochs:
        _LOG.info("%s: trained before, nothing to do", out)
    elif result.resumed_from:
        _LOG.info("%s: went on from epoch %d", out, result.resumed_from)
    return result


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """What a recipe and the data it was read for become: all that the loop is given."""

    parser: HybridParser
    """With its initial weights."""
    methods: Methods
    train: ClipSet
    val: ClipSet
    """Of the classes that are trained."""
    test: ClipSet | None
    """Likewise, where every epoch is scored on it."""
    description: Mapping[str, Any]
    """The recipe with what is known of the run, as JSON values."""


def prepared(recipe: Recipe, sets: RunSets, where: torch.device, own: OwnParts = NOTHING_OWN) -> Prepared:
    """Build the parser of a recipe for its data and move all to a device.

    Raises:
        ValueError: A method cannot work in the recipe.
    """
    recipe = _fitted(marked_recipe(recipe, sets), sets)
    methods = Methods(recipe.methods, own.methods)
    methods.check(recipe)  # those of the recipe have, those that are given have not
    names = sets.train.class_names
    parser = _build(recipe, methods, names, own)
    check_parts(parser, recipe.parser, sets.train, where)
    if sets.words is not None:
        sets.words.begin(parser, names)
    if sets.begin_with is not None:
        give_encoder(parser, sets.begin_with, recipe.features, sets.provenance.sources.get("features"))
    test = sets.test[1] if sets.test and recipe.fit.also_on_test else None
    train, beside = with_pool(sets.train, sets.val, sets.pool, recipe)
    run = {
        "runtime": runtime_facts(where),
        "sources": sets.provenance.sources,
        **facts_of(recipe, methods, sets.labels, sets.more).to_json(),
        **described_own(told_files(recipe)),
        **({} if sets.words is None else {READERS: dict(sets.words.readers)}),
        **({UNSEEN: list(sets.unseen)} if sets.unseen else {}),
        **({} if recipe.fit.label_share == 1 else {TAGGED: len(train) - beside.get("clips", 0)}),
        **({POOL: beside} if beside else {}),
        **({LEFT_OUT: dict(sets.left_out)} if sets.left_out else {}),
        **({} if sets.begin_with is None else {BEGUN_WITH: sets.begin_with.to_json()}),
        **({} if (seconds := sets.train.segment_seconds) == Grid.segment_seconds else {SEGMENT_SECONDS: seconds}),
    }
    return Prepared(
        parser=parser.to(where),
        methods=methods,
        train=train.to(where),
        val=(of_classes(sets.val, names, emptied=False) if sets.unseen else sets.val).to(where),
        test=None if test is None else of_classes(test, names).to(where),
        description={**recipe_to_json(recipe), "methods": methods.to_json(), "run": run},
    )


def predict_run(
    run: Path,
    data: Path,
    split: str | Split,
    *,
    device: str = "auto",
    store: Place | None = None,
    dataset: DataSet | str | None = None,
    classes: Sequence[EventClass] | None = None,
    own: OwnParts = NOTHING_OWN,
) -> Predictions:
    """Parse a split with the selected weights of a run, on the features its recipe names.

    Args:
        run: A run folder.
        data: Folder of the annotation tables and the features.
        split: Name of a split, as `test`, or a split read before.
        device: As in `train_run`.
        store: As in `read_run_sets`; None for that among the data, or the one the run was trained on.
        dataset: As in `train_run`; a run does not know the one it was trained with.
        classes: What to look for, all that the tables name among it, of a run that goes by words; None for the classes
            of the run, and for those its training left out.
        own: What the run was trained with that was given as objects.
    """
    refuse_several_seeds(run)
    parser, card = read_checkpoint(run, own=own)
    known, features = chosen_dataset(dataset, data), features_from_json(card.recipe)
    store = store or store_of_run(run, card.recipe, features, data)
    left_out = tuple(card.recipe.get("run", {}).get(UNSEEN, ()))
    names = known.names_in(data) if left_out else card.class_names
    names = names if classes is None else class_names(tuple(classes))
    wanted = known.read_split(data, split, names) if isinstance(split, str) else split
    by_words, held = isinstance(getattr(parser, "classifier", None), WordHead), card.class_names
    if wanted.class_names != held and by_words:
        vocabulary = classes or classes_named(wanted.class_names, known.classes, evidence_in(data, store))
        take_classes(run, parser, card, vocabulary)
        held = wanted.class_names
    elif wanted.class_names != held and not (left_out and {*wanted.class_names} == {*held, *left_out}):
        raise ValueError(
            f"{run}: the parser was trained for other classes than the split {wanted.name!r} has: "
            f"{', '.join(held[:3])}, ... and {', '.join(wanted.class_names[:3])}, ...; use data of its own "
            "vocabulary, train a parser for this one, or one with parser.head=words, which takes any"
        )
    if card.recipe.get("run", {}).get(LEFT_OUT):  # as it was trained
        features = replace(features, missing="drop")
    clips = read_clip_set(data, wanted, features, store=store, any_classes=by_words)
    refuse_other_features(run, options_of(parser), card, clips, data, store)
    predictions = predict_classes(parser.to(pick_device(device)), clips, held)
    known_of_run = told_by(card.recipe) | Provenance(own_files_changed=changed_own(card.recipe))
    return replace(predictions, provenance=known_of_run | of_features(features, data, [wanted], store))


def marked_recipe(recipe: Recipe, sets: RunSets) -> Recipe:
    """The recipe under a name that says so where the data is simulated."""
    return replace(recipe, name=sets.provenance.marked(recipe.name))


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """The same recipe with another seed."""
    return replace(recipe, fit=replace(recipe.fit, seed=seed))


def pick_device(name: str) -> torch.device:
    """The device of a name: `cpu`, `cuda`, or `auto`: what was asked for in the environment, or a GPU where one is.

    Raises:
        ValueError: Another name, or a GPU is asked for and there is none.
    """
    name = os.environ.get(DEVICE, name) if name == "auto" else name
    if name not in DEVICES or (name == "cuda" and not torch.cuda.is_available()):
        raise ValueError(f"device must be auto, cpu, or cuda where there is a GPU, got {name!r}")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def make_deterministic() -> None:
    """Let torch use only operations that give the same bits every time, and refuse those that cannot.

    On the CPU a run repeats to the bit anyway, as long as the number of threads stays. On a GPU this costs some speed,
    and must come before anything is computed there.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def runtime_facts(device: torch.device) -> dict[str, Any]:
    """What the bits of a result depend on besides data and recipe, as JSON values."""
    cuda = device.type == "cuda"
    return {
        "code": git_revision(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "device": f"cuda: {torch.cuda.get_device_name(device)}" if cuda else "cpu",
        "cuda": torch.version.cuda if cuda else None,
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def note_other_runtime(begun: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Say what differs from the machine and the code a run was begun with, so that nobody expects the same bits."""
    other = [name for name in ("code", *_CHANGES_BITS) if name in begun and name in now and begun[name] != now[name]]
    told = {name: f"{name} {begun[name]} then, {now[name]} now" for name in other}
    code = told.pop("code", None)
    if told:
        _LOG.info(
            "going on with a run that was begun elsewhere (%s): close, but not the same bits", "; ".join(told.values())
        )
    if code:
        _LOG.info("going on with a run that other code began (%s): what changed in between is in the result", code)


def refuse_other_features(
    run: Path, options: ParserOptions, card: CheckpointCard, clips: ClipSet, data: Path, store: Place | None = None
) -> None:
    """Refuse features that are not of the kind, width and teacher a parser was trained on.

    Args:
        run: The run, for messages.
        options: Of its parser.
        card: Of its checkpoint. One that does not say where its features came from is believed.
        clips: What it is to parse.
        data: Where they were read from.
        store: Where evidence of a harvest was read from, if not from there.

    Raises:
        ValueError: Widths or teachers differ; names the run, the stream and both.
    """
    features = features_from_json(card.recipe)
    widths = clips.widths()
    for stream in ("audio", "visual", "motion"):
        wanted, found = getattr(options, f"{stream}_width"), widths[f"{stream}_width"]
        if wanted != found:
            raise ValueError(
                f"{run}: its parser takes {stream} features of width {wanted} ({getattr(features, stream)}), those in "
                f"{data} have {found}; use the features it was trained on, or train a parser on these"
            )
    trained = card.recipe.get("run", {}).get("sources", {}).get("features", {})
    for stream, now in describe_data(features, data, (), None, store)["features"].items():
        if named := unlike_teachers(trained.get(stream), now):
            raise ValueError(
                f"{run}: its {stream} features were made by {named[0]}, those in {data} by {named[1]};"
                " harvest these clips with the teacher it was trained on, or train a parser on these"
            )


def _fitted(recipe: Recipe, sets: RunSets) -> Recipe:
    """The recipe with as many classes as are left, and captions as wide as they are."""
    parser = replace(recipe.parser, num_classes=len(sets.train.class_names)) if sets.unseen else recipe.parser
    if sets.words is not None:
        audio, visual = (captions.shape[1] for captions in sets.words.captions)
        parser = replace(parser, audio_words=audio, visual_words=visual)
    return replace(recipe, parser=parser)


def _build(recipe: Recipe, methods: Methods, class_names: tuple[str, ...], own: OwnParts) -> HybridParser:
    """The network with its initial weights, all of the recipe's seed."""
    seed = recipe.fit.seed
    parser = build_parser(recipe.parser, seed=seed, encoder=own.encoder, pooling=own.pooling)
    if not methods.networks():
        return parser
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return methods.network(parser, class_names)


def _compile(parser: HybridParser, device: torch.device) -> None:
    """Compile in place; names of weights stay what they are.

    Raises:
        ValueError: The parser is on the CPU.
    """
    if device.type != "cuda":
        raise ValueError(
            "compiled=True needs a GPU; on the CPU the layers' own backward pass is faster than compiled ones"
        )
    parser.compile(mode="reduce-overhead", fullgraph=True, dynamic=False)


def _test_set(
    recipe: Recipe, data: Path, dataset: DataSet, names: tuple[str, ...] | None, store: Place | None
) -> tuple[Split, ClipSet] | None:
    """The test split with its features, or None where some of it or its truth is not there; refuses damaged tables."""
    if dataset.split_for("test") not in dataset.splits:
        return None
    try:
        split = dataset.read_split(data, dataset.split_for("test"), names)
    except FileNotFoundError as error:
        _LOG.info("the test split will not be scored: %s", error)
        return None
    try:
        if split.truth is None and split.events is None:
            raise ValueError(f"{split.name} has tags alone; to score it, mark its clips and evaluate the run on them")
        return split, read_clip_set(data, split, recipe.features, store=store)
    except (FileNotFoundError, ValueError) as error:
        _LOG.warning("the test split will not be scored: %s", error)
        return None


def begun_with(out: Path) -> Mapping[str, Any]:
    """What a run folder says of its run; nothing where it does not say."""
    try:
        return dict(loads((out / RECIPE).read_text(encoding="utf-8"))["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _check_widths(recipe: Recipe, train: ClipSet) -> None:
    """Refuse a network that does not fit the features before anything is built."""
    wrong = [
        f"parser.{name}={width}" for name, width in train.widths().items() if getattr(recipe.parser, name) != width
    ]
    if wrong:
        raise ValueError(f"the recipe {recipe.name!r} does not fit these features; set {' '.join(wrong)}")


def _refuse_random_teachers(features: FeatureOptions, data: Path, labels: Path | None, store: Place | None) -> None:
    """Refuse labels and features that random weights made, unless they were asked for."""
    random_features = of_features(features, data, (), store).random_teachers
    random_labels = labels is not None and of_labels(labels).random_teachers
    if random_features or random_labels:
        what = " and ".join(["features"] * random_features + ["labels"] * random_labels)
        raise ValueError(
            f"the {what} were made by teachers with random weights and mean nothing; harvest with real weights, or "
            "pass allow_random_teachers=True to try out speed and plumbing"
        )
