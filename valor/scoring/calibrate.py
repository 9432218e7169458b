"""Thresholds for every class and modality, found on a split: for teachers' logits or for a parser's probabilities.

`CRITERIA` says what is asked for. Dense labels of the split are needed for all but tag-rate, which is for splits that
have tags alone: it assumes that a class is heard in a given share of the clips tagged with it, and seen in a given
share, and takes the threshold at which it is found (in at least one segment) in that many clips. The shares are 1
unless said otherwise: every tag both heard and seen.

Teachers are believed only about tags, and a parser's segments only behind its gate; thresholds are found under the same
conditions. A class without anything to be found on keeps the threshold it had.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from valor.data.names import join_names
from valor.data.parse_folder import parse_files
from valor.data.prediction_files import table_files
from valor.data.predictions import Predictions, align, gate_of, on_truth, told_segments
from valor.data.tables import Split
from valor.data.thresholds import ROLES, Calibration, judges_of
from valor.data.vocabulary import refuse_other_classes
from valor.eval.curves import ThresholdChoice, best_thresholds, lowest_best_cut, rate_thresholds
from valor.eval.decide import PostProcessing, decide, gate_probs, is_complete, open_gates, spread_thresholds
from valor.eval.events import MODALITIES
from valor.eval.scores import score
from valor.eval.tuning import clear_wins, cross_fitted
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import file_sha256
from valor.label_harvest.posterior import fit_posterior, posterior
from valor.label_harvest.presence import PresenceOptions, clip_evidence, competed, matched_cuts
from valor.label_harvest.store.store import EvidenceStore
from valor.labelling.labels import complete_clips
from valor.labelling.rules import complete_rows, evidence_of, weights_by_term

CRITERIA = {
    "segment-f": "the highest segment-level F of each class, its counts added over clips",
    "event-f": "the highest event-level F of each class, its counts added over clips",
    "segment-table": "of a parser: those of segment-f, where the table's segment-level figure gains clearly by them",
    "clip-f": "thresholds of a parser's gate: the highest F of saying whether a class is in a clip",
    "event-table": "thresholds of a parser's gate, of 0.25 to 0.70: the highest event-level figure of the table",
    "uwav": "labels of teachers: the highest segment-level F of each class, of equal cuts the lowest, as UWAV cuts",
    "presence": "for the label rule presence: the highest F of saying whether a modality holds a tag",
    "posterior": "for the label rule posterior: the likeliest weights and biases, by logistic regression",
    "tag-rate": "no dense labels needed: each class found in as many clips as its tags let expect",
}
"""What may be asked for."""

PRESENCE, POSTERIOR = "presence", "posterior"
SURE_CLIPS = 20
"""Tagged clips of a split at which the cut of a class lies half-way between its own best and the one that fits all."""

OF_LABELS = ("uwav", PRESENCE, POSTERIOR)
"""Those that find thresholds of teachers alone."""

SEGMENT_TABLE = "segment-table"
OF_GATES = ("clip-f", "event-table")
"""Those that find thresholds of the gate, which teachers do not have."""

OF_PARSERS = (*OF_GATES, SEGMENT_TABLE)
"""Those that find thresholds of a parser alone."""

GATES_TRIED = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
"""Of event-table, as CMPAE tries them."""
GATE_OF_OTHERS = 0.45
"""What the other classes have meanwhile where the rule lacks gates, as there."""

ON_TEST = "chosen on the test split: scores on that split with these thresholds are not those of unseen clips"
"""The note a file made on test carries."""


def calibrate_predictions(
    predictions: Predictions,
    split: Split,
    *,
    criterion: str = "segment-f",
    rule: PostProcessing | None = None,
    present_share: Sequence[float] = (1.0, 1.0),
    sources: Mapping[str, str] | None = None,
    allow_subset: bool = False,
) -> Calibration:
    """Find the thresholds of a parser's segments, or of its gate.

    Args:
        predictions: probabilities, clips and classes in any order.
        split: the clips, with dense truth for all criteria but tag-rate.
        criterion: a key of CRITERIA. Those of OF_GATES find thresholds of the gate, the others of the segments behind.
        rule: the post-processing whose other thresholds are held fixed; None for both 0.5 and the gate whose
            probabilities are there.
        present_share: for tag-rate, the share of tagged clips in which a class is heard, and seen.
        sources: fingerprints for the file, such as `sources_of` gives.
        allow_subset: accept that clips of the split are missing.

    Raises:
        ValueError: The predictions are decisions or do not fit the split, the rule has no gate to calibrate, or the
            split has no dense truth.
    """
    _check_criterion(criterion, split, [name for name in CRITERIA if name not in OF_LABELS])
    held = align(predictions, split, allow_subset=allow_subset)
    if held.segment_probs is None:
        raise ValueError(
            "thresholds are found on probabilities, got decisions already made; give what holds probabilities: "
            "the .npz file of `valor predict`, or the folder of JSON files of `valor parse`"
        )
    rule = rule or PostProcessing(gate=gate_of(held))
    shape = held.segment_probs.shape[2:]
    rows = _rows_of(split, held.clip_ids)
    if criterion in OF_GATES:
        find = _best_gate if criterion == "clip-f" else _best_table
        choice = find(held, split, rows, rule)
        kept = spread_thresholds("clip_threshold", rule.clip_threshold if is_complete(rule) else 0.5, shape)
    else:
        choice = _best_segments(held, split, rows, rule, criterion, present_share)
        kept = spread_thresholds("segment_threshold", rule.segment_threshold, shape)
    return _calibration(
        "clip_threshold" if criterion in OF_GATES else "segment_threshold",
        choice,
        dict(zip(MODALITIES, kept, strict=True)),
        split.class_names,
        rule=rule,
        provenance=_provenance(criterion, split, len(rows), sources or {}, present_share),
    )


def calibrate_store(
    store: EvidenceStore,
    split: Split,
    fallback: Mapping[str, np.ndarray],
    *,
    criterion: str = "segment-f",
    present_share: Sequence[float] = (1.0, 1.0),
    sources: Mapping[str, str] | None = None,
) -> Calibration:
    """Find the label thresholds of teachers, in their logits.

    Args:
        store: evidence with the similarity arrays read.
        split: the clips; those of the store that are in it and whose evidence is complete are used.
        fallback: float [C] by role, `audio`, `visual` or both, or `fused` alone (whose labels go to both
            modalities): what classes keep that have nothing to be found on, such as the thresholds of the vocabulary;
            NaN where there is none: such a class gets the highest threshold that was found.
        criterion: a key of CRITERIA but those of OF_PARSERS: teachers have no gate and no thresholds to begin with.
        present_share: for tag-rate, the share of tagged clips in which a class is heard, and seen; their mean for a
            fused teacher.
        sources: fingerprints for the file beside that of the store.

    Raises:
        ValueError: The store is of other classes or teachers, none of its clips is complete and in the split, or the
            split has no dense truth.
    """
    _check_criterion(criterion, split, [name for name in CRITERIA if name not in (*OF_PARSERS, PRESENCE, POSTERIOR)])
    roles = tuple(fallback)
    if roles not in (MODALITIES, *((role,) for role in ROLES)) or not set(roles) <= set(store.roles):
        raise ValueError(f"thresholds are found for audio, visual or both, or for fused, got {roles} of {store.roles}")
    refuse_other_classes(split.class_names, store.class_names, f"the split {split.name!r}")
    complete = complete_clips(store, roles)
    wanted = set(split.clip_ids)
    used = [n for n, clip_id in enumerate(store.clip_ids) if complete[n] and clip_id in wanted]
    if not used:
        raise ValueError(f"no clip of the split {split.name!r} has complete evidence in this store; harvest it first")
    rows = _rows_of(split, [store.clip_ids[n] for n in used])
    logits = np.stack([store.logits(role)[used] for role in roles], axis=2)
    if store.segments is not None:  # which is padded to its longest clip, and the truth to that of the split
        logits = _padded_to(logits, int(store.segments[used].max()) if split.truth is None else split.truth.shape[1])
    tags, shares = tags_by_modality(split, rows), np.asarray(present_share, dtype=float)
    of_roles = [MODALITIES.index(role) for role in roles if role in MODALITIES]
    if criterion == "tag-rate":
        fused = roles == ("fused",)
        shares = shares.mean(keepdims=True) if fused else shares[of_roles]
        tagged = split.weak_labels[rows, np.newaxis] if fused else tags[:, of_roles]
        choice = _at_tag_rate(logits.max(axis=1), tagged, shares, inclusive=False)
    else:
        truth = _truth(split)[rows]
        if roles != ("fused",):
            truth, tags = truth[:, :, of_roles], tags[:, of_roles]
        else:  # the same evidence is judged as audio and as visual, clip after clip
            logits, tags = np.concatenate([logits, logits]), np.concatenate([tags[:, :1], tags[:, 1:]])
            truth = np.concatenate([truth[:, :, :1], truth[:, :, 1:]])
        _check_segments(logits.shape, truth.shape)
        eligible = tags[:, np.newaxis] & ~np.isneginf(logits)
        if criterion == "uwav":
            choice = _lowest_best(logits, truth, eligible)
        else:
            level = criterion.removesuffix("-f")
            choice = best_thresholds(logits, truth, eligible=eligible, level=level, inclusive=False)
    fingerprints = {"store": store.manifest["fingerprint"], **(sources or {})}
    provenance = _provenance(criterion, split, len(rows), fingerprints, present_share) | judges_of(store.manifest)
    return _calibration("labels", choice, fallback, split.class_names, rule=None, provenance=provenance)


def calibrate_presence(store: EvidenceStore, split: Split, options: PresenceOptions) -> Calibration:
    """Find the cuts of the label rule presence: the evidence of a clip from which a modality holds a tag.

    The shares of heard and of seen tags are counted on the split, and cuts that fit them are where those of classes
    begin that the split has few clips of: the cut of the highest F counts clips / (clips + SURE_CLIPS).

    Args:
        store: Evidence of both modalities with the similarity arrays read.
        split: Clips of the store with dense truth.
        options: Numbers of the rule.

    Raises:
        ValueError: As for `calibrate_store`, or the store has one modality alone.
    """
    clips, used, rows = _annotated(store, split, PRESENCE)
    logits, tags = evidence_of(store, clips)
    evidence = clip_evidence(competed(logits, tags, options), options)
    tagged, there = tags[used], np.asarray(_truth(split)[rows].any(axis=1))
    shares = tuple(float(there[:, m][tagged[:, m]].mean()) for m in range(len(MODALITIES)))
    matched = matched_cuts(evidence, tags, shares)
    choice = best_thresholds(evidence[used][:, None], there[:, None], eligible=tagged[:, None], inclusive=False)
    sure = tagged.sum(axis=0) / (tagged.sum(axis=0) + SURE_CLIPS)
    cuts = np.where(np.isnan(matched), choice.thresholds, sure * choice.thresholds + (1 - sure) * matched)
    told = _provenance(PRESENCE, split, len(rows), {"store": store.manifest["fingerprint"]}, shares)
    provenance = told | judges_of(store.manifest)
    return _calibration(
        PRESENCE,
        replace(choice, thresholds=cuts),
        dict(zip(MODALITIES, matched, strict=True)),
        split.class_names,
        rule=None,
        provenance={**provenance, "present_share": dict(zip(MODALITIES, shares, strict=True))},
    )


def _annotated(store: EvidenceStore, split: Split, rule: str) -> tuple[np.ndarray, list[int], list[int]]:
    """Rows of the clips with complete evidence, which of these are in a split, and their rows there."""
    _check_criterion(rule, split, (rule,))
    refuse_other_classes(split.class_names, store.class_names, f"the split {split.name!r}")
    if lacking := [role for role in MODALITIES if f"{role}.similarity" not in store.arrays]:
        raise ValueError(f"{rule} is decided for audio and visual, and the store has no evidence of {lacking[0]}")
    clips = complete_rows(store)
    wanted = set(split.clip_ids)
    used = [place for place, n in enumerate(clips) if store.clip_ids[n] in wanted]
    if not used:
        raise ValueError(f"no clip of the split {split.name!r} has complete evidence in this store; harvest it first")
    return clips, used, _rows_of(split, [store.clip_ids[clips[place]] for place in used])


def calibrate_posterior(store: EvidenceStore, split: Split) -> Calibration:
    """Fit the numbers of the label rule posterior; its biases stand where other criteria have thresholds.

    Args:
        store: Evidence of both modalities with the similarity arrays read.
        split: Clips of the store with dense truth.

    Raises:
        ValueError: As for `calibrate_presence`, or no clip is tagged.
    """
    clips, used, rows = _annotated(store, split, POSTERIOR)
    logits, tags = evidence_of(store, clips[used])
    truth = _truth(split)[rows]
    _check_segments(logits.shape, truth.shape)
    found = fit_posterior(logits, tags, truth)
    marked = posterior(logits, tags, found)
    with np.errstate(invalid="ignore"):
        f_scores = 2 * (marked & truth).sum(axis=(0, 1)) / (marked.sum(axis=(0, 1)) + truth.sum(axis=(0, 1)))
    return _calibration(
        POSTERIOR,
        ThresholdChoice(found.biases, f_scores, truth.sum(axis=(0, 1))),
        {role: np.full(len(split.class_names), np.nan) for role in MODALITIES},
        split.class_names,
        rule=None,
        provenance=_provenance(POSTERIOR, split, len(rows), {"store": store.manifest["fingerprint"]}, ())
        | judges_of(store.manifest)
        | {"weights": weights_by_term(found.weights)},
    )


def _padded_to(logits: np.ndarray, segments: int) -> np.ndarray:
    """Logits [n, T, ...] of clips of any length on so many segments; -inf where a clip has none."""
    kept = logits[:, :segments]
    if not np.isnan(logits[:, segments:]).all():
        raise ValueError(
            f"scores must be of the {segments} segments of the annotations, got clips with up to {logits.shape[1]}"
        )
    missing = np.full((len(kept), segments - kept.shape[1], *kept.shape[2:]), -np.inf, kept.dtype)
    return np.concatenate([np.where(np.isnan(kept), -np.inf, kept), missing], axis=1)


def _lowest_best(logits: np.ndarray, truth: np.ndarray, eligible: np.ndarray) -> ThresholdChoice:
    """UWAV's cuts; one of -inf, which labels all that is tagged, is the lowest logit of its class less 1.

    There that logit is the lowest of the clips that are labelled together, here of those the cuts are found on.
    """
    shape = logits.shape[2:]
    found = ThresholdChoice(np.full(shape, np.nan), np.full(shape, np.nan), truth.sum(axis=(0, 1)))
    for place in np.ndindex(shape):
        scores, true = logits[:, :, *place], truth[:, :, *place]
        there = ~np.isneginf(scores)  # segments that exist
        tagged = np.where(eligible[:, :, *place], scores, -np.inf)
        cut, f = lowest_best_cut(tagged[there], true[there])
        found.thresholds[place] = cut if np.isfinite(cut) else scores[there].min() - 1
        found.f_scores[place] = f
    return found


def sources_of(path: Path | str) -> dict[str, str]:
    """Fingerprint predictions for the thresholds file: sha256 of each file by name."""
    path = Path(path)
    files = parse_files(path) or [path]
    if files == [path] and (path.is_dir() or path.suffix == ".tsv"):
        tables = table_files(path)
        files = [file for file in (*tables.events, tables.clips) if file.is_file()]
    return {file.name: file_sha256(file) for file in files}


def _best_segments(
    held: Predictions,
    split: Split,
    rows: Sequence[int],
    rule: PostProcessing,
    criterion: str,
    present_share: Sequence[float],
) -> ThresholdChoice:
    """Segment thresholds behind the gate of a rule."""
    probs = held.segment_probs
    assert probs is not None
    gates = open_gates(probs, clip_probs=held.clip_probs, modality_probs=held.modality_probs, options=rule)
    there = told_segments(held, None if split.valid is None else split.valid[rows])
    exists = np.ones(probs.shape[:2], dtype=bool) if there is None else there
    eligible = np.broadcast_to(exists[:, :, np.newaxis, np.newaxis], probs.shape)
    eligible = eligible if gates is None else eligible & gates[:, np.newaxis]
    if criterion == "tag-rate":
        highest = np.where(eligible, probs, -np.inf).max(axis=1)
        return _at_tag_rate(highest, tags_by_modality(split, rows), np.asarray(present_share, dtype=float))
    truth = _truth(split)[rows]  # whole: events where the predictions say that no segment exists are missed
    _check_segments(probs.shape, truth.shape)
    lasts = None if split.valid is None else split.valid[rows]
    on_truth(held, truth, exists=lasts, segment_seconds=split.segment_seconds, aloud=True)
    if criterion == SEGMENT_TABLE:
        return _clear_winners(probs, truth, eligible, rule)
    return best_thresholds(probs, truth, eligible=eligible, level=criterion.removesuffix("-f"))


def _clear_winners(probs: np.ndarray, truth: np.ndarray, eligible: np.ndarray, rule: PostProcessing) -> ThresholdChoice:
    """Thresholds of segment-f of the classes that clearly win by them; none of the others."""
    own = spread_thresholds("segment_threshold", rule.segment_threshold, probs.shape[2:])
    own = own.astype(probs.dtype)  # as `decide` compares: a float32 0.45 reaches 0.45

    def marks_by_others(others: np.ndarray, clips: np.ndarray) -> np.ndarray:
        found = best_thresholds(probs[others], truth[others], eligible=eligible[others]).thresholds.astype(probs.dtype)
        return np.asarray((probs[clips] >= np.where(np.isnan(found), own, found)) & eligible[clips])

    before = (probs >= own) & eligible
    wins = clear_wins(before, cross_fitted(before, marks_by_others), truth)
    choice = best_thresholds(probs, truth, eligible=eligible)
    thresholds, f_scores = (np.where(wins, found, np.nan) for found in (choice.thresholds, choice.f_scores))
    return ThresholdChoice(thresholds, f_scores, choice.support)


def _best_gate(held: Predictions, split: Split, rows: Sequence[int], rule: PostProcessing) -> ThresholdChoice:
    """Gate thresholds: which clips a class is in, heard or seen for a gate over both modalities."""
    assert held.segment_probs is not None
    found = gate_probs(
        held.segment_probs, clip_probs=held.clip_probs, modality_probs=held.modality_probs, gate=rule.gate
    )
    held_probs = [probs for probs in found if probs is not None]
    if len(held_probs) < len(found):
        raise ValueError(f"clip-f finds thresholds of a gate, and the gate is {rule.gate}; choose clip or modality")
    present = np.asarray(_truth(split)[rows].any(axis=1))
    gates = (rule.gate,) * len(MODALITIES) if isinstance(rule.gate, str) else rule.gate
    in_either = np.broadcast_to(present.any(axis=1, keepdims=True), present.shape)
    truth = np.where((np.array(gates) == "clip")[:, np.newaxis], in_either, present)
    return best_thresholds(np.stack(held_probs, axis=1)[:, np.newaxis], truth[:, np.newaxis])


def _best_table(held: Predictions, split: Split, rows: Sequence[int], rule: PostProcessing) -> ThresholdChoice:
    """Gate thresholds as CMPAE finds them: see `table_gates`."""
    if rule.gate == "none" or held.segment_probs is None:
        raise ValueError(f"event-table finds thresholds of a gate, and the gate is {rule.gate}; choose another")
    truth = _truth(split)[rows]
    _check_segments(held.segment_probs.shape, truth.shape)
    probs = {"clip_probs": held.clip_probs, "modality_probs": held.modality_probs}
    found = [table_gates(held.segment_probs, truth, rule, m, valid=held.valid, **probs) for m in range(len(MODALITIES))]
    gates, figures = (np.array([[pair[of] for pair in row] for row in found]) for of in (0, 1))
    return ThresholdChoice(gates, figures / 100, truth.any(axis=1).sum(axis=0))


def table_gates(
    segment_probs: np.ndarray,
    truth: np.ndarray,
    rule: PostProcessing,
    modality: int,
    *,
    clip_probs: np.ndarray | None = None,
    modality_probs: np.ndarray | None = None,
    valid: np.ndarray | None = None,
) -> list[tuple[float, float]]:
    """Try the gates of one class after the other, while all others keep theirs, on the event-level F of a modality.

    Args:
        segment_probs: float [N, T, M, C].
        truth: bool [N, T, M, C].
        rule: What is held fixed; where it lacks gates, 0.45 is.
        modality: 0 or 1.
        clip_probs: float [N, C], for the gate clip.
        modality_probs: float [N, M, C], for the gate modality.
        valid: bool [N, T]; None for clips of one length.

    Returns:
        For each class the gate of GATES_TRIED with the highest figure, of equals the highest gate, and that figure.

    Source:
        CMPAE code, CVPR 2023; equal to the golden `cmpae_decision`.
    """
    held = rule.clip_threshold if is_complete(rule) else GATE_OF_OTHERS
    limits = spread_thresholds("clip_threshold", held, segment_probs.shape[2:])
    given = {"clip_probs": clip_probs, "modality_probs": modality_probs}
    marked = decide(segment_probs, **given, options=replace(rule, clip_threshold=_rows(limits), preset=None))
    tried = []
    for gate in reversed(GATES_TRIED):
        every = limits.copy()
        every[modality] = gate
        tried.append(decide(segment_probs, **given, options=replace(rule, clip_threshold=_rows(every), preset=None)))
    found = []
    for index in range(segment_probs.shape[3]):
        figures = []
        for other in tried:
            changed = marked.copy()
            changed[:, :, modality, index] = other[:, :, modality, index]
            figures.append(getattr(score(changed, truth, valid=valid).event, MODALITIES[modality]))
        best = int(np.argmax(figures))
        found.append((GATES_TRIED[-1 - best], figures[best]))
    return found


def _rows(limits: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in limits.tolist())


def _at_tag_rate(
    scores: np.ndarray, tags: np.ndarray, shares: np.ndarray, *, inclusive: bool = True
) -> ThresholdChoice:
    """Thresholds at which each class is found in as many clips as expected; scores and tags bool [N, M, C]."""
    if shares.shape != scores.shape[1:2] or not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(
            f"present_share must be {scores.shape[1]} shares in 0..1, one per modality, got {shares.tolist()}"
        )
    rates, support = tags.mean(axis=0) * shares[:, np.newaxis], tags.sum(axis=0)
    return ThresholdChoice(rate_thresholds(scores, rates, inclusive=inclusive), np.full(rates.shape, np.nan), support)


def tags_by_modality(split: Split, rows: Sequence[int]) -> np.ndarray:
    """The tags of clips in each modality, bool [N, M, C]: those of the clip, where nobody says which are heard."""
    tags = split.weak_labels[:, np.newaxis] if split.modality_tags is None else split.modality_tags
    return np.broadcast_to(tags, (len(tags), len(MODALITIES), tags.shape[2]))[list(rows)]


def _calibration(
    applies_to: str,
    choice: ThresholdChoice,
    kept: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    *,
    rule: PostProcessing | None,
    provenance: dict[str, Any],
) -> Calibration:
    """Fill what could not be found, and say so."""
    thresholds = np.where(np.isnan(choice.thresholds), np.stack(list(kept.values())), choice.thresholds)
    unknown = np.isnan(thresholds)
    if unknown.all(axis=1).any():
        raise ValueError("no class has anything to find a threshold on, and none had one before; tag clips with them")
    thresholds = np.where(unknown, np.nanmax(thresholds, axis=1, keepdims=True), thresholds)
    f_scores = [[None if np.isnan(f) else f for f in row] for row in choice.f_scores.tolist()]
    for role, lost, guessed in zip(kept, np.isnan(choice.thresholds), unknown, strict=True):
        for key, rows in ((f"{role}_kept", lost & ~guessed), (f"{role}_highest", guessed)):
            if names := [class_names[index] for index in np.flatnonzero(rows).tolist()]:
                provenance[key] = join_names(names)
    return Calibration(
        applies_to=applies_to,
        class_names=tuple(class_names),
        thresholds={role: tuple(row) for role, row in zip(kept, thresholds.tolist(), strict=True)},
        f_scores={role: tuple(row) for role, row in zip(kept, f_scores, strict=True)},
        support={role: tuple(row) for role, row in zip(kept, choice.support.tolist(), strict=True)},
        rule=rule,
        provenance=provenance,
    )


def _provenance(
    criterion: str, split: Split, clips: int, sources: Mapping[str, str], present_share: Sequence[float]
) -> dict[str, Any]:
    """What the file says beside the thresholds; no value is a list, since lists are thresholds there."""
    dense = criterion != "tag-rate"
    return {
        "criterion": criterion,
        "meaning": CRITERIA[criterion],
        "split": split.name,
        **({"note": ON_TEST} if "test" in (split.name, split.role) else {}),
        "clips": clips,
        "clips_expected": len(split.clip_ids),
        **(
            {"truth_version": split.truth_version, "truth_sha256": split.truth_sha256}
            if dense
            else {"present_share": dict(zip(MODALITIES, present_share, strict=True))}
        ),
        "sources": dict(sources),
    }


def _check_criterion(criterion: str, split: Split, known: Sequence[str] | Mapping[str, str]) -> None:
    if criterion not in known:
        raise ValueError(
            f"criterion must be one of {', '.join(known)}, got {criterion!r}{did_you_mean(criterion, known)}"
        )
    if criterion != "tag-rate" and split.truth is None:
        raise ValueError(
            f"{criterion} needs dense labels, which the split {split.name!r} has not; use val, or tag-rate"
        )


def _truth(split: Split) -> np.ndarray:
    assert split.truth is not None  # asked by _check_criterion
    return split.truth


def _check_segments(scored: tuple[int, ...], true: tuple[int, ...]) -> None:
    if scored[1] != true[1]:
        raise ValueError(f"scores must be of the {true[1]} segments of the annotations, got {scored[1]} for each clip")


def _rows_of(split: Split, clip_ids: Sequence[str]) -> list[int]:
    row_of = {clip_id: row for row, clip_id in enumerate(split.clip_ids)}
    return [row_of[clip_id] for clip_id in clip_ids]
