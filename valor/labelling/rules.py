"""Label rules on the cached evidence of a store: nothing is run again, and tags decide as ever.

    presence      ours: the whole clip says which modality holds a tag, its seconds only when
    posterior     ours: probabilities by second, clip and class, fitted to annotated clips
    competition   of another paper: classes share the evidence of a second through a sparse code of their texts
    av2a          of another paper: z-scores among classes, thresholds that move with time

A store keeps embeddings of seconds and their similarities with the class texts, not the texts. They follow from these:
a similarity is the product of two unit vectors, so that of more seconds than an embedding has numbers the texts are the
solution of a linear system. Where a rule wants one vector for the sound of a clip, its similarities are the mean of
those of its seconds. What a rule marks counts among the tags of its clip alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from valor.data.label_file import PseudoLabels
from valor.data.provenance import EXTRA, TUNED, told_by
from valor.data.thresholds import read_thresholds
from valor.eval.events import MODALITIES, BoolArray
from valor.label_harvest.av2a import Av2aOptions, ClipEvidence, av2a
from valor.label_harvest.competition import CompetitionOptions, competition, unit
from valor.label_harvest.posterior import TERMS, Posterior, posterior
from valor.label_harvest.presence import Presence, PresenceOptions, presence
from valor.label_harvest.store.store import EvidenceStore
from valor.label_harvest.strict_json import as_number, as_object, loads

from .labels import complete_clips
from .options import POSTERIOR, PRESENCE

_FAINTEST = 1e-9
"""Directions the embeddings have less of, against the one they have most of, say nothing of the texts."""


_LARGEST = 1e12
"""No weight of a logit comes near."""


class RuleLabels(NamedTuple):
    """What a rule said of a store."""

    labels: PseudoLabels
    left_out: dict[str, str]
    """Status of each clip without labels."""
    found: dict[str, Any]
    """What the rule set by the evidence itself, as JSON values."""


def arrays_of(rule: str) -> list[str]:
    """The arrays of a store that a rule reads."""
    embedded = {"competition": MODALITIES, "av2a": ("visual",)}.get(rule, ())
    return [*(f"{role}.similarity" for role in MODALITIES), *(f"{role}.embedding" for role in embedded)]


def label_by_rule(
    store: EvidenceStore, rule: str, options: PresenceOptions | Posterior | None = None, cuts: np.ndarray | None = None
) -> RuleLabels:
    """Label the clips of a store whose evidence is complete by a rule.

    Args:
        store: With `arrays_of` the rule read.
        rule: A key of RULES; or presence or posterior, which take clips of any length and tags of each modality.
        options: Of the rule presence, None for its defaults; of the rule posterior its numbers.
        cuts: Of the rule presence, float [M, C]; None for those it finds itself.

    Raises:
        ValueError: The evidence is of one teacher alone, of clips of unlike length where the rule takes none, or too
            little.
    """
    lacking = [name for name in arrays_of(rule) if name not in store.arrays]
    if lacking or (store.segments is not None and rule not in (PRESENCE, POSTERIOR)):
        what = "clips of one length" if not lacking else f"the arrays {', '.join(lacking)}, which the store has not"
        raise ValueError(f"the rule {rule} needs {what}; label by thresholds, or harvest for it")
    clips = complete_rows(store)
    found: dict[str, Any] = {}
    marked: np.ndarray
    if isinstance(options, Posterior):
        marked, found = posterior(*evidence_of(store, clips), options), _told_weights(options, store.class_names)
    elif rule == PRESENCE:
        said = presence_of(store, clips, options or PresenceOptions(), cuts)
        marked, found = said.marked, _told(said, store.class_names)
    else:
        marked = RULES[rule](store, clips) & store.weak_labels[clips][:, None, None]
    segments = None if store.segments is None else store.segments[clips]
    marked = marked if segments is None else marked[:, : segments.max()]
    names = tuple(store.clip_ids[n] for n in clips)
    left_out = {clip_id: store.statuses[n] for n, clip_id in enumerate(store.clip_ids) if n not in set(clips.tolist())}
    return RuleLabels(PseudoLabels(names, store.class_names, marked, segments=segments), left_out, found)


def complete_rows(store: EvidenceStore) -> np.ndarray:
    """Rows of the clips with evidence of both modalities.

    Raises:
        ValueError: There is none.
    """
    complete = complete_clips(store, MODALITIES)
    if not complete.any():
        raise ValueError(f"none of the {len(complete)} clips of the store has evidence of audio and visual")
    return np.flatnonzero(complete)


def evidence_of(store: EvidenceStore, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits float32 [n, T, M, C] of some clips, and their tags bool [n, M, C]."""
    logits = np.stack([store.logits(role)[clips] for role in MODALITIES], axis=2)
    return logits, np.stack([store.tags_of(modality)[clips] for modality in MODALITIES], axis=1)


def presence_of(
    store: EvidenceStore, clips: np.ndarray, options: PresenceOptions, cuts: np.ndarray | None = None
) -> Presence:
    """The rule of `valor.label_harvest.presence` on some clips of a store; errors name classes."""
    logits, tags = evidence_of(store, clips)
    everywhere = [store.class_names[c] for c in np.flatnonzero(tags.all(axis=0).any(axis=0))]
    if everywhere:
        raise ValueError(
            f"the rule presence compares clips with and without a tag, and {everywhere[0]} is a tag of all "
            f"{len(clips)} clips; label by thresholds, or harvest clips without it"
        )
    return presence(logits, tags, options, cuts)


def _told(said: Presence, class_names: tuple[str, ...]) -> dict[str, Any]:
    """Shares and cuts for `labels.json`; classes that are no tag have no cut."""
    shares = dict(zip(MODALITIES, said.shares, strict=True))
    return {"shares": shares, "cuts": _by_class(said.cuts, class_names)}


def _told_weights(numbers: Posterior, class_names: tuple[str, ...]) -> dict[str, Any]:
    """The numbers of the rule posterior for `labels.json`."""
    biases = _by_class(numbers.biases, class_names)
    return {"weights": weights_by_term(numbers.weights), "biases": biases, "temperature": numbers.temperature}


def _by_class(numbers: np.ndarray, class_names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    return {
        modality: {name: float(number) for name, number in zip(class_names, row, strict=True) if np.isfinite(number)}
        for modality, row in zip(MODALITIES, numbers, strict=True)
    }


def weights_by_term(weights: np.ndarray) -> dict[str, dict[str, float]]:
    """Weights [M, 3] of the rule posterior as JSON values."""
    return {m: dict(zip(TERMS, row, strict=True)) for m, row in zip(MODALITIES, weights.tolist(), strict=True)}


def read_weights(path: Path) -> np.ndarray:
    """Weights float64 [M, 3] of the rule posterior, from a file of thresholds for it.

    Raises:
        ValueError: They are not there, or are no numbers.
    """
    try:
        held = as_object(as_object(loads(path.read_text(encoding="utf-8")), "the file").get("weights"), "weights")
        rows = [as_object(held.get(modality), f"weights of {modality}") for modality in MODALITIES]
        return np.array([[as_number(row.get(term), term, -_LARGEST, _LARGEST) for term in TERMS] for row in rows])
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected weights as a calibration by posterior writes them, got {error}") from error


def read_numbers(path: Path, rule: str, num_classes: int) -> np.ndarray:
    """One number for each class and modality, float64 [M, C], from a file of thresholds for a rule.

    Raises:
        ValueError: The file is for something else, or lacks a modality.
    """
    held = read_thresholds(path, num_classes, applies_to=rule)
    if set(held) != set(MODALITIES):
        raise ValueError(f"{path}: expected numbers of audio and visual, got {' and '.join(held)}")
    return np.stack([held[modality] for modality in MODALITIES])


def facts_of_rule(
    manifest: dict[str, Any],
    rule: str,
    left_out: dict[str, str],
    *,
    options: PresenceOptions | Posterior | None = None,
    found: dict[str, Any] | None = None,
    origin: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What `labels.json` says of labels by a rule; numbers of other papers are theirs, those of AV2A chosen on val.

    Args:
        manifest: Of the store.
        rule: Its name.
        left_out: Status of each clip without labels.
        options: Of the rule presence, None for the defaults; what posterior has is in `found`.
        found: What the rule set by the evidence itself.
        origin: Where cuts are from that were given, see `valor.data.thresholds.threshold_origin`.
    """
    numbers: dict[str, Any] = {
        "competition": CompetitionOptions(),
        "av2a": Av2aOptions(),
        PRESENCE: options if isinstance(options, PresenceOptions) else PresenceOptions(),
    }
    own = asdict(numbers[rule]) if rule in numbers else {}
    tuned = {"av2a": ["settings of labels"], "competition": []}.get(rule, ["label cuts"] if origin else [])
    return {
        "store": manifest["fingerprint"],
        "teachers": {role: manifest["teachers"][role] for role in MODALITIES},
        "rule": {"name": rule, **own, **(found or {})},
        **({} if origin is None else {"thresholds_from": origin}),
        EXTRA: [told for role in MODALITIES if (told := manifest["teachers"][role].get("extra_data"))],
        TUNED: tuned,
        **told_by(manifest).flags,
        "random_weights": told_by(manifest).random_teachers,
        "left_out": dict(left_out),
    }


def texts_from(embeddings: np.ndarray, similarities: np.ndarray) -> np.ndarray:
    """The unit vectors of class texts that these embeddings have these similarities with.

    Args:
        embeddings: float [K, D], of seconds; their lengths do not matter.
        similarities: float [K, C], cosines.

    Returns:
        float32 [C, D].

    Raises:
        ValueError: There are fewer seconds than numbers of an embedding, or these leave the texts open.
    """
    rows = unit(embeddings).astype(np.float64)
    strength, directions = np.linalg.eigh(rows.T @ rows)
    if len(rows) < rows.shape[1] or strength[0] <= _FAINTEST * strength[-1]:
        found = int((strength > _FAINTEST * strength[-1]).sum())
        raise ValueError(
            f"the class texts follow from evidence in all {rows.shape[1]} directions of an embedding, and "
            f"{len(rows)} seconds are in {found}; label a store of more clips, or by thresholds"
        )
    solved = directions @ ((directions.T @ (rows.T @ similarities)) / strength[:, None])
    return unit(solved.T)


def _by_competition(store: EvidenceStore, clips: np.ndarray) -> BoolArray:
    segments, texts = [], []
    for role in MODALITIES:
        rows, cosines = store.arrays[f"{role}.embedding"][clips], store.arrays[f"{role}.similarity"][clips]
        segments.append(rows)
        texts.append(texts_from(rows.reshape(-1, rows.shape[-1]), cosines.reshape(-1, cosines.shape[-1])))
    decided = competition((segments[0], segments[1]), (texts[0], texts[1]))[1]
    return np.stack([of.marked for of in decided], axis=2)


def _by_av2a(store: EvidenceStore, clips: np.ndarray) -> BoolArray:
    seen, heard = (store.arrays[f"{role}.similarity"] for role in ("visual", "audio"))
    embeddings = store.arrays["visual.embedding"]
    marked = []
    for clip in clips:
        frames, sounds = seen[clip], heard[clip]

        def span(start: int, stop: int, frames: np.ndarray = frames, sounds: np.ndarray = sounds) -> Any:  # noqa: ANN401
            return frames[start:stop], sounds[start:stop].mean(axis=0)

        tracks = av2a(ClipEvidence(frames, frames, sounds.mean(axis=0), embeddings[clip], span))
        marked.append(np.stack([tracks[modality] for modality in MODALITIES], axis=1))
    return np.stack(marked)


RULES: dict[str, Callable[[EvidenceStore, np.ndarray], BoolArray]] = {
    "competition": _by_competition,
    "av2a": _by_av2a,
}
"""By name: from a store and rows of clips to bool [n, T, M, C], whatever the tags say."""
