"""A published row from features to figures: find or fetch its files, train over seeds, and set it beside the paper's.

    OUT/seed-<seed>/            a run folder each, the published seed first
    OUT/scores.json             their mean and standard deviation on the truth as corrected in 2024
    OUT/reproduction/           of LLP, scores on the truth the comparison is made on, by each decision
    OUT/reproduction.{txt,md,csv,json}

Each row stands there by the decision of its method and by gates and cuts tuned on val (`valor.training.decisions`).
The published figures of LLP are of the truth of 2020, so that is compared on where its table is there. Those of AVE and
UnAV-100 are of features nobody published: a row is trained on harvested ones, and stands beside all published rows, of
AVE with the epoch that would be chosen on test below the one chosen on validation, of UnAV-100 with what the true tags
alone and the truth on segments score. A reproduction from simulated features says
SIMULATED in the names of its result files and rows, in the recipe and in every score file, and stands beside no
published figure.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from valor.data.anchors import anchor_scores
from valor.data.datasets.dataset import LLP, ROLES, UNAV, UNAV_STEPS, DataSet, dataset_of
from valor.data.features.download import download_annotations, download_from_hub
from valor.data.features.fetch_options import FetchOptions
from valor.data.features.packed import is_packed
from valor.data.features.published_files import import_features
from valor.data.predictions import read_predictions, score_predictions
from valor.data.provenance import EXTRA, MARK, TUNED, Provenance, of_features, of_labels
from valor.data.score_file import read_own_scores, write_scores_json
from valor.data.tables import Split
from valor.eval.decide import PostProcessing
from valor.eval.metrics import Judged
from valor.eval.scores import TenScores, nothing_predicted
from valor.eval.tables import latex_comments
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import replaced
from valor.scoring.compare import SELECTION, Comparison, compare
from valor.scoring.layout import FORMATS, to_json
from valor.scoring.published import Published, PublishedRow, read_published
from valor.training.log import figure_title
from valor.training.methods.leap import read_vectors
from valor.training.methods.methods import Methods
from valor.training.missing import (
    ON_THE_HUB,
    missing_parts,
    missing_table,
    needed_kinds,
    prepare_harvested,
    unfolded_kinds,
)
from valor.training.options import OWN_FIGURE, TrainOptions
from valor.training.recipes import Recipe, recipe_to_json
from valor.training.run import labels_of
from valor.training.run_folder import HALF_SCORES, PREDICTIONS, SCORES, TUNED_SCORES
from valor.training.seeds import SeedResult, summary, train_seeds
from valor.training.train import VALOR_RULE, figure_of

from .llp_rows import LLP_ROWS, LlpRow
from .options import HARVESTED_ROWS, PUBLISHED_AS, ROWS, dataset_of_row

_LOG = logging.getLogger(__name__)

PRECISION = "float32"
"""Of features packed on the way, so that training sees the published numbers and not their roundings."""

RESULT = "reproduction"
"""Name of the files and of the folder of what was found."""

_SIMULATED_NOTE = (
    f"{MARK}: noise of the shapes of the published features, with a class signal. These figures say that the line "
    "runs, and nothing of the method; published figures are left out because a difference would mean nothing"
)
_WEAK_UNAV = (
    "tags of train alone, the epoch and thresholds chosen on validation, features harvested: ours. The published rows "
    "are supervised by events, but for those called weak, which report F; W-DAVEL, the weak protocol with mAP of CLASP "
    "(arXiv 2508.04566), and its choices were not seen. A row of unav-full is supervised by segments"
)
_SUFFIXES = {"text": ".txt", "markdown": ".md", "csv": ".csv", "latex": ".tex"}


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A row, its runs, and the table they make."""

    row: str
    """Its name, that of a recipe."""
    published: PublishedRow | None
    """None where no published row is claimed, or none is of the same features."""
    recipe: Recipe
    results: tuple[SeedResult, ...]
    """One for each seed, scored on `truth_version`."""
    truth_version: str
    provenance: Provenance
    """Where the features and labels come from."""
    changes: tuple[str, ...]
    """What was changed of the published recipe."""
    table: Comparison

    @property
    def title(self) -> str:
        """What the result is called."""
        changed = f", changed: {', '.join(self.changes)}" if self.changes else ""
        name = self.published.method if self.published and self.row in PUBLISHED_AS else self.row
        return self.provenance.marked(f"{name} reproduced{changed}")


def published_row_of(row: str, published: Published | None = None) -> PublishedRow | None:
    """The published figures of a row that can be reproduced; None where none are claimed, or of its features.

    Raises:
        ValueError: There is no such row.
    """
    if row not in ROWS:
        raise ValueError(f"a row to reproduce is one of {', '.join(ROWS)}, got {row!r}{did_you_mean(row, ROWS)}")
    method = (PUBLISHED_AS | HARVESTED_ROWS)[row]
    known = published or read_published(dataset_of_row(row))
    return next((entry for entry in known.rows if entry.method == method), None)


def fetch_parts(data: Path, recipe: Recipe, options: FetchOptions) -> None:
    """Download what the data folder lacks of what can be downloaded: annotations, CLIP and CLAP features, labels.

    Raises:
        DownloadError: Something could not be fetched.
        ValueError: A file that is there, or came, is damaged.
    """
    if any(part.what == "annotations" for part in missing_parts(data, recipe, LLP.names)):
        download_annotations(data, options)
    lacking = {part.what for part in missing_parts(data, recipe, LLP.names)}
    for what in ("features", "labels"):
        if lacking.intersection(ON_THE_HUB if what == "features" else [what]):
            for note in download_from_hub(what, data, options).notes:
                _LOG.info(note)


def prepare(data: Path, recipe: Recipe, *, progress: bool = True) -> None:
    """See that a data folder holds all a recipe needs, and pack features of LLP that lie there as files.

    Args:
        data: The data folder.
        recipe: What is to be trained.
        progress: Whether to show a progress bar on stderr.

    Raises:
        FileNotFoundError: Something is missing; lists what, per split, and what gets it.
        ValueError: A file is damaged, or the label vectors of LEAP are not there.
    """
    if recipe.name in HARVESTED_ROWS:
        return prepare_harvested(data, recipe, dataset_of_row(recipe.name))
    drops = recipe.features.missing == "drop"
    lacking = missing_parts(data, recipe, LLP.names)
    if drops:  # training leaves out the clips that lack something, as long as some are left
        lacking = [part for part in lacking if part.what == "annotations" or part.missing == part.clips]
    if lacking:
        raise FileNotFoundError(
            f"{data} does not hold all that {recipe.name!r} needs\n{missing_table(lacking)}\n"
            "clips without features are left out with features.missing=drop"
        )
    if "leap" in recipe.methods:
        read_vectors(recipe.methods["leap"].vectors, (recipe.parser.num_classes, recipe.parser.label_width))
    for kind in needed_kinds(recipe.features):
        for name in LLP.splits if kind not in unfolded_kinds(recipe.features) else ():
            if not is_packed(data, kind, name):
                split = LLP.read_clips(data, name)
                import_features(data, split, kind, precision=PRECISION, allow_missing=drops, progress=progress)


def reproduce(
    row: str,
    recipe: Recipe,
    data: Path,
    out: Path,
    options: TrainOptions,
    *,
    changes: Sequence[str] = (),
) -> Reproduction:
    """Train a row over its seeds, score it on test, and compare; simulated features are never compared.

    Args:
        row: One of ROWS.
        recipe: The recipe of that name, perhaps with changes; its seed is trained first.
        data: Data folder with all the recipe needs.
        out: Gets the runs and the result; runs that are done are found done.
        options: Seeds and device.
        changes: How the recipe differs from the published one, for the title.

    Raises:
        ValueError: The row is unknown, or as in `valor.training.seeds.train_seeds`.
    """
    of = dataset_of_row(row)
    dataset = LLP if of is LLP else dataset_of(data)
    known = read_published(of)
    entry = published_row_of(row, known)
    splits = [dataset.read_clips(data, dataset.split_for(role), options.names) for role in ROLES]
    labels = labels_of(recipe, data, options.labels)
    provenance = of_features(recipe.features, data, splits) | (of_labels(labels) if labels else Provenance())
    recipe = replace(recipe, name=provenance.marked(recipe.name))
    results = []
    folder = out if options.seeds > 1 else out / f"seed-{recipe.fit.seed}"
    for result in train_seeds(recipe, data, folder, options):
        by = recipe.fit.select_by
        if result.test and (by.removeprefix(OWN_FIGURE) in result.test.figures or not by.startswith(OWN_FIGURE)):
            _LOG.info("%s: test %s %.1f", result.folder, figure_title(by), figure_of(result.test, by))
        results.append(result)
    if row in PUBLISHED_AS:
        version = compared_truth(data)
        test = LLP.read_split(data, "test", options.names, truth_version=version)
        files, results = _scored_on(test, results, recipe, out / RESULT)
        table = _compare(files, LLP_ROWS[row], known, simulated=provenance.simulated)
        notes = [_anchor_note(test), *_notes(row, table, version, simulated=provenance.simulated)]
    else:
        version = next(iter(dataset.layout.events))
        table = _compare_harvested(results, recipe, folder, entry, None if dataset is not of else known)
        notes = [_SIMULATED_NOTE] if provenance.simulated else _harvested_notes(row, dataset, of, table)
    return Reproduction(
        row=row,
        published=entry,
        recipe=recipe,
        results=tuple(results),
        truth_version=version,
        provenance=provenance,
        changes=tuple(changes),
        table=replace(_competing_once(table, results, recipe), notes=(*table.notes, *notes)),
    )


def _competing_once(table: Comparison, results: Sequence[SeedResult], recipe: Recipe) -> Comparison:
    """The table in which the row is best or not as one: by its method's decision, as the mean where there are seeds."""
    name = recipe.name if len(results) > 1 else f"{recipe.name}, seed {results[0].seed}"
    rows = tuple(replace(row, is_apart=row.is_apart or (row.group == "run" and row.name != name)) for row in table.rows)
    return replace(table, rows=rows)


def _compare_harvested(
    results: Sequence[SeedResult], recipe: Recipe, folder: Path, entry: PublishedRow | None, known: Published | None
) -> Comparison:
    """The first seed and all of them, with the epochs chosen on test, beside every published row."""
    files = [f"{recipe.name}, seed {results[0].seed}={results[0].folder}"]
    if len(results) > 1:
        files.append(f"{recipe.name}={folder}")
    if known is None or results[0].report is None or results[0].report.get("simulated"):
        return compare(files, mix=True, decisions=True)
    return compare(files, known, baseline=entry.title if entry else None, mix=True, decisions=True)


def _harvested_notes(row: str, dataset: DataSet, of: DataSet, table: Comparison) -> list[str]:
    if dataset is not of:
        return [f"of {dataset.title}, and not of {of.title} itself: published figures are left out"]
    if row == "unav-localiser-clips":
        return ["supervised by events, on harvested features: ours. The published rows are of other features"]
    if of is UNAV:
        return [_WEAK_UNAV]
    told = "no features of AVE were published for CLIP, CLAP and R(2+1)D: these are harvested, and the recipe is ours"
    if of is UNAV_STEPS:
        told = "supervised by events, on the published features; F is on segments of 0.32 s, in published rows on 1 s"
    recalled = table.baseline is not None and table.baseline.confidence == "recalled"
    return [told, *["no source of the published figures was seen: the differences are a hint only"] * recalled]


def compared_truth(data: Path) -> str:
    """The version of the truth to compare on: that of 2020, which the papers had, where its table is there."""
    has_old = all((data / table).is_file() for table in LLP.layout.events["v2020"])
    return "v2020" if has_old else "v2024"


def write_reproduction(out: Path, found: Reproduction) -> list[Path]:
    """Write the result as text, Markdown, CSV, LaTeX and JSON; returns the files."""
    stem = found.provenance.marked(RESULT, "-")
    texts = {_SUFFIXES[name]: FORMATS[name](found.table) for name in _SUFFIXES}
    texts[".txt"] = f"{found.title}\n\n{texts['.txt']}"
    texts[".md"] = f"# {found.title}\n\n{texts['.md']}"
    texts[".tex"] = latex_comments([found.title]) + texts[".tex"]
    texts[".json"] = json.dumps(_json(found), indent=2, ensure_ascii=False)
    paths = []
    for suffix, text in texts.items():
        paths.append(out / f"{stem}{suffix}")
        with replaced(paths[-1]) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    return paths


_DECISIONS = {SCORES: "", HALF_SCORES: ", both thresholds 0.5", TUNED_SCORES: ", tuned"}
"""Score files of a run folder, and what rows by their decision are called."""


def _scored_on(
    test: Split, results: Sequence[SeedResult], recipe: Recipe, folder: Path
) -> tuple[list[str], list[SeedResult]]:
    """Score the runs on another version of the truth, by each of their decisions.

    Returns:
        The score files of the published seed and of all seeds as NAME=PATH, those by the method's own rule first, and
        the results by that rule.
    """
    files: list[str] = []
    scored: list[SeedResult] = []
    for name, words in _DECISIONS.items():
        if not all((result.folder / name).is_file() for result in results):
            continue
        by_rule = [_scored_again(result, test, recipe, name) for result in results]
        files += _score_files(by_rule, recipe, folder, words, "" if name == SCORES else f"-{Path(name).stem}")
        scored = scored or by_rule
    return files, scored


def _scored_again(result: SeedResult, test: Split, recipe: Recipe, name: str) -> SeedResult:
    """The same run scored on the truth that is compared on, by the decision of one of its score files."""
    predictions = read_predictions(result.folder / PREDICTIONS)
    if name == SCORES:  # which somebody may have written by another rule
        rule, told = Methods(recipe.methods).decision(VALOR_RULE), dict(result.report or {})
    else:
        told = read_own_scores(result.folder / name)
        rule = PostProcessing.from_dict(told["post_processing"])
    scores, report = score_predictions(predictions, test, rule, allow_subset=True)
    kept = {key: told[key] for key in (EXTRA, TUNED, "simulated") if key in told}
    report |= {"selection": told.get("selection", SELECTION), **kept}
    return replace(result, test=TenScores.from_dict(scores.to_dict()), report=report)


def _score_files(results: Sequence[SeedResult], recipe: Recipe, folder: Path, words: str, suffix: str) -> list[str]:
    """Write the scores of the published seed and of all seeds; returns them as NAME=PATH."""
    files = [(f"{recipe.name}, seed {results[0].seed}{words}", folder / f"seed-{results[0].seed}{suffix}.json")]
    write_scores_json(files[0][1], dict(results[0].report or {}))
    if len(results) > 1:
        files.append((f"{recipe.name}{words}", folder / f"all-seeds{suffix}.json"))
        write_scores_json(files[1][1], summary(results))
    return [f"{name}={path}" for name, path in files]


def _compare(files: Sequence[str], row: LlpRow, known: Published, *, simulated: bool) -> Comparison:
    """The table: without the published row where the features are simulated."""
    if simulated:
        return compare(files, known=known, mix=True)
    wanted = (row.published, *row.beside)
    beside = tuple(entry for name in wanted for entry in known.rows if entry.method == name)
    only = Published(beside, known.truths, known.rules)
    return compare(files, only, baseline=beside[0].title, mix=True, known=known)


def _notes(row: str, table: Comparison, version: str, *, simulated: bool) -> list[str]:
    """What keeps the figures from being what they seem."""
    if simulated:
        return [_SIMULATED_NOTE]
    notes = [] if version == "v2020" else ["scored on the truth of 2024, published on that of 2020, which is not here"]
    if LLP_ROWS[row].published is None:
        notes.append(f"{row} claims no published row ({LLP_ROWS[row].source}); those above are for comparison")
    if table.baseline is not None and table.baseline.confidence == "recalled":
        notes.append("no source of the published figures was seen: the differences are a hint only")
    return notes


def _anchor_note(test: Split) -> str:
    """What knows nothing of when scores on the same clips: gains are read against that."""
    assert test.truth is not None  # scored on above
    judged = Judged(
        predicted=nothing_predicted(test.truth), truth=test.truth, weak_labels=test.weak_labels, valid=test.valid
    )
    told = [
        f"{name} {scores.segment.type_av:.1f} / {scores.event.type_av:.1f}"
        for name, scores in anchor_scores(judged, test).items()
    ]
    return f"for nothing, on the same clips, by segment / event Type@AV: {', '.join(told)}"


def _json(found: Reproduction) -> dict[str, Any]:
    return {
        "title": found.title,
        "simulated": found.provenance.simulated,
        "published_as": found.published.title if found.published else None,
        "seeds": [result.seed for result in found.results],
        "truth": found.truth_version,
        "changes": list(found.changes),
        "recipe": recipe_to_json(found.recipe),
        **json.loads(to_json(found.table)),
    }
