"""Label rules of other papers on the cached evidence of a store: nothing is run again, and tags decide as ever.

    competition   classes share the evidence of a second through a sparse code of their texts
    av2a          z-scores among classes, thresholds that move with time

A store keeps embeddings of seconds and their similarities with the class texts, not the texts. They follow from these:
a similarity is the product of two unit vectors, so that of more seconds than an embedding has numbers the texts are the
solution of a linear system. Where a rule wants one vector for the sound of a clip, its similarities are the mean of
those of its seconds. What a rule marks counts among the tags of its clip alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from valor.data.label_file import PseudoLabels
from valor.data.provenance import EXTRA, TUNED, told_by
from valor.eval.events import MODALITIES, BoolArray
from valor.label_harvest.av2a import Av2aOptions, ClipEvidence, av2a
from valor.label_harvest.competition import CompetitionOptions, competition, unit
from valor.label_harvest.store.store import EvidenceStore

from .labels import complete_clips

_FAINTEST = 1e-9
"""Directions the embeddings have less of, against the one they have most of, say nothing of the texts."""


def arrays_of(rule: str) -> list[str]:
    """The arrays of a store that a rule reads."""
    embedded = MODALITIES if rule == "competition" else ("visual",)
    return [*(f"{role}.similarity" for role in MODALITIES), *(f"{role}.embedding" for role in embedded)]


def label_by_rule(store: EvidenceStore, rule: str) -> tuple[PseudoLabels, dict[str, str]]:
    """Label the clips of a store whose evidence is complete by a rule of another paper.

    Args:
        store: With `arrays_of` the rule read.
        rule: A key of RULES.

    Returns:
        The labels, and the status of each clip that was left out.

    Raises:
        ValueError: The evidence is of one teacher alone, of clips of unlike length, or too little.
    """
    lacking = [name for name in arrays_of(rule) if name not in store.arrays]
    if lacking or store.segments is not None:
        what = "clips of one length" if not lacking else f"the arrays {', '.join(lacking)}, which the store has not"
        raise ValueError(f"the rule {rule} needs {what}; label by thresholds, or harvest for it")
    complete = complete_clips(store, MODALITIES)
    if not complete.any():
        raise ValueError(f"none of the {len(complete)} clips of the store has evidence of audio and visual")
    clips = np.flatnonzero(complete)
    marked = RULES[rule](store, clips) & store.weak_labels[clips][:, None, None]
    names = tuple(store.clip_ids[n] for n in clips)
    left_out = {store.clip_ids[n]: store.statuses[n] for n in np.flatnonzero(~complete)}
    return PseudoLabels(names, store.class_names, marked), left_out


def facts_of_rule(manifest: dict[str, Any], rule: str, left_out: dict[str, str]) -> dict[str, Any]:
    """What `labels.json` says of labels by a rule; its numbers are its authors', those of AV2A chosen on val."""
    options = CompetitionOptions() if rule == "competition" else Av2aOptions()
    return {
        "store": manifest["fingerprint"],
        "teachers": {role: manifest["teachers"][role] for role in MODALITIES},
        "rule": {"name": rule, **asdict(options)},
        EXTRA: [told for role in MODALITIES if (told := manifest["teachers"][role].get("extra_data"))],
        TUNED: ["settings of labels"] if rule == "av2a" else [],
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
