"""The untrimmed demo: films of unlike length, from files and tables to mean average precision and F.

Films are a data set of one's own: `films.csv` and `events.csv` go through `new-dataset`, the films through a harvest of
whole clips, and three trainings learn from them: from tags alone, from the labels of two independent teachers, and from
every second as it is annotated. The same events as a file of UnAV-100's form, exact to an eighth of a second, stand in
`unav/`.
"""

import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from valor.data.datasets.dataset import DATASET_FILE, dataset_of
from valor.data.datasets.new_dataset import NewDataSetOptions, make_dataset
from valor.data.datasets.unav import UNAV_FILE, detections_of
from valor.data.predictions import Predictions, align, on_truth
from valor.data.tables import WORLD_FILE, Split
from valor.data.thresholds import read_thresholds
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.world.films import FILM_CLASSES, FilmPlan, Films, build_films
from valor.demo.world.schedule import SPLITS
from valor.eval.detection import detection_precision
from valor.eval.metrics import Judged
from valor.eval.proposals import ProposalRule
from valor.eval.scores import Scores, TenScores, nothing_predicted, score
from valor.label_harvest.disk import write_json
from valor.label_harvest.harvest import HarvestOptions
from valor.label_harvest.media.clip import WHOLE, Grid
from valor.labelling.labels import write_label_folder
from valor.labelling.quality import LabelQuality, label_quality
from valor.training.methods.methods import METHODS
from valor.training.recipes import RECIPES, Recipe
from valor.training.run import with_seed

from .options import DemoOptions
from .run import Training, harvest_splits, run_folder, score_run, train_all

WHOLE_FILMS, NOTHING = "true tags, whole clips", "nothing predicted"
"""The anchors: the first as the score files call it."""

_FILMS = replace(
    RECIPES["demo"],
    name="films",
    parser=replace(RECIPES["demo"].parser, num_classes=len(FILM_CLASSES)),
    fit=replace(RECIPES["demo"].fit, batch_size=8, batch_segments=640),
)


@dataclass(frozen=True)
class FilmArm:
    """One of the compared ways to train the same parser on the same features."""

    title: str
    recipe: Recipe
    labels: bool = False
    """Whether it learns from pseudo labels."""


FILM_ARMS: dict[str, FilmArm] = {
    "tags-only": FilmArm(
        "film tags only",
        replace(
            _FILMS,
            name="films-tags-only",
            fit=replace(_FILMS.fit, pseudo_label_weight=0.0, guided_weight=1.0),
        ),
    ),
    "valor": FilmArm("+ labels of two independent teachers (VALOR)", _FILMS, labels=True),
    "full": FilmArm(
        "every second labelled", replace(_FILMS, name="films-full", methods={"supervised": METHODS["supervised"].on()})
    ),
}
"""By the names of `scores.json`."""

RULES: dict[str, ProposalRule] = {
    "runs, contrast (the one of the scores)": ProposalRule(),
    "grown runs, contrast": ProposalRule(cut="watershed"),
    "runs, mean": ProposalRule(score="mean"),
    "runs, peak": ProposalRule(score="peak"),
    "runs at 0.5 alone, contrast": ProposalRule(thresholds=(0.5,)),
}
"""How probabilities of segments may become events; see `valor.eval.proposals`."""


@dataclass(frozen=True, kw_only=True)
class FilmResult:
    """What a run on films found, on its test split."""

    films: Films
    data: Path
    test: Split
    scores: dict[str, list[Scores]]
    """Of each arm, one per seed, with the figures of mAP."""
    predictions: dict[str, Predictions]
    """Of the first seed of each arm."""
    anchors: dict[str, TenScores]
    """What knows nothing, or the true tags and not when."""
    labels: LabelQuality
    rules: dict[str, dict[str, float]]
    """mAP, the mean of the nine overlaps, by rule and arm, of the first seed."""
    seconds: float
    """Wall time of this run."""

    def to_dict(self) -> dict[str, Any]:
        """The content of `scores.json`."""
        rows = [
            {"name": arm, "seed": seed, **scores.to_dict()}
            for arm, per_seed in self.scores.items()
            for seed, scores in enumerate(per_seed)
        ]
        return {
            "rows": rows,
            "anchors": {name: scores.to_dict() for name, scores in self.anchors.items()},
            "pseudo_labels": self.labels.scores.to_dict(),
            "proposal_rules": self.rules,
            "clips": len(self.test.clip_ids),
            "truth_sha256": self.test.truth_sha256,
            "seconds": self.seconds,
        }


def run_films(out: Path, options: DemoOptions, *, progress: bool = True) -> FilmResult:
    """Run the whole line on films, using again whatever an earlier run of the same options left in the folder.

    Args:
        out: Gets `films/` (the files and their tables), `data/` (the data set made of them, with its `store/`),
            `unav/`, `thresholds.json`, `labels/`, `runs/` and `scores.json`.
        options: How many films, and the trainings.
        progress: Whether to show progress bars on stderr.

    Raises:
        ValueError: The folder holds a demo of other options.
    """
    started = time.perf_counter()
    if (out / "data" / WORLD_FILE).exists():
        raise ValueError(f"{out} holds a demo of clips; choose another folder for films")
    films = build_films(out / "films", options.split_sizes(), options.world_seed, options.workers, progress=progress)
    data = out / "data"
    make_dataset(
        data,
        films.clips,
        rows=films.rows,
        videos=films.videos,
        classes=",".join(FILM_CLASSES),
        options=NewDataSetOptions(any_length=True, name="films", title="Films of the demo"),
    )
    write_unav(out / "unav", films)
    dataset = dataset_of(data)
    splits = {split: dataset.read_split(data, split) for split in SPLITS}
    quality = _harvest_and_label(out, films, splits, progress=progress)
    train_all(_trainings(out, options.seeds), data, options.workers, progress=progress)
    test = splits["test"]
    runs = {arm: [score_run(run_folder(out, arm, seed), test) for seed in range(options.seeds)] for arm in FILM_ARMS}
    predictions = {arm: found[0][0] for arm, found in runs.items()}
    whole = TenScores.from_dict(runs["valor"][0][2]["anchors"][WHOLE_FILMS])
    result = FilmResult(
        films=films,
        data=data,
        test=test,
        scores={arm: [scores for _, scores, _ in found] for arm, found in runs.items()},
        predictions=predictions,
        anchors={NOTHING: _nothing(test), WHOLE_FILMS: whole},
        labels=quality,
        rules={
            name: {arm: precision_by_rule(found, test, rule) for arm, found in predictions.items()}
            for name, rule in RULES.items()
        },
        seconds=time.perf_counter() - started,
    )
    write_json(out / "scores.json", result.to_dict())
    return result


def _harvest_and_label(out: Path, films: Films, splits: dict[str, Split], *, progress: bool) -> LabelQuality:
    """Evidence of whole films, the labels of the demo's thresholds, and how good those of the test split are."""
    from valor.label_harvest.teachers.demo import WEIGHTS

    classes = dataset_of(out / "data").classes
    options = HarvestOptions(grid=Grid(), shard_size=32, clips_per_batch=16, length=WHOLE)
    roles = ("audio", "visual")
    store = harvest_splits(films.videos, out / "data" / "store", splits, classes, roles, options, progress=progress)
    held = read_thresholds(WEIGHTS / "demo_thresholds.json", len(LLP_CLASSES))
    own = [class_names(LLP_CLASSES).index(name) for name in FILM_CLASSES]
    thresholds = {role: held[role][own] for role in roles}
    write_json(out / "thresholds.json", {role: found.tolist() for role, found in thresholds.items()})
    labels, _ = write_label_folder(out / "labels" / "valor", store, thresholds, tuned=[])  # on samples of no film
    return label_quality(labels, splits["test"])


def _trainings(out: Path, seeds: int) -> list[Training]:
    return [
        Training(
            recipe=with_seed(arm.recipe, seed),
            run=run_folder(out, name, seed),
            labels=out / "labels" / "valor" if arm.labels else None,
        )
        for seed in range(seeds)
        for name, arm in FILM_ARMS.items()
    ]


def _nothing(test: Split) -> TenScores:
    assert test.truth is not None  # all films are annotated
    scores = score(nothing_predicted(test.truth), test.truth, valid=test.valid)
    return replace(scores, figures=dict.fromkeys(test.metrics, 0.0))


def precision_by_rule(predictions: Predictions, test: Split, rule: ProposalRule) -> float:
    """The mAP, mean of the nine overlaps, of events that a rule makes of probabilities."""
    assert test.truth is not None
    held = on_truth(align(predictions, test), test.truth, exists=test.valid)
    judged = Judged(
        predicted=np.zeros_like(test.truth),
        truth=test.truth,
        weak_labels=test.weak_labels,
        valid=held.valid,
        segment_probs=held.segment_probs,
        clip_probs=held.clip_probs,
        events=test.events,
        clip_seconds=test.clip_seconds,
    )
    found = detections_of(judged, rule)
    assert found is not None and test.events is not None  # of probabilities, of films
    return 100 * detection_precision(found, test.events, len(test.class_names)).average


def write_unav(folder: Path, films: Films) -> None:
    """Write what is heard and seen at once in UnAV-100's form."""
    names = {"train": "train", "val": "validation", "test": "test"}
    database = {
        plan.clip_id: {"duration": plan.seconds, "subset": names[plan.split], "annotations": heard_and_seen(plan)}
        for plan in films.plans
    }
    folder.mkdir(exist_ok=True)
    described = {"dataset": "unav", "name": "films-unav", "title": "Films in UnAV-100's form"}
    write_json(folder / DATASET_FILE, {**described, "classes": list(FILM_CLASSES)})
    write_json(folder / UNAV_FILE, {"version": "films", "database": database})


def heard_and_seen(plan: FilmPlan) -> list[dict[str, Any]]:
    """The events of a film that are audible and visible at once, as UnAV-100 writes them."""
    spans: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for event in plan.events:
        spans[event.class_name, event.modality].append((event.onset, event.offset))
    return [
        {"segment": [onset, offset], "label": name, "label_id": FILM_CLASSES.index(name)}
        for name in plan.tags
        for heard in spans[name, "audio"]
        for seen in spans[name, "visual"]
        if (onset := max(heard[0], seen[0])) < (offset := min(heard[1], seen[1]))
    ]
