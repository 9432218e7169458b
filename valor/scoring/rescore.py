"""Predictions and parses ranked anew by a language of events, and how much it counts for.

    many    every probability gets what the language adds to its log-odds (`valor.parsers.language`), and stays a
            probability: thresholds keep their meaning
    one     the published rule. The words of a segment are its classes and background, by the log-odds of a class that
            is heard and seen, the smaller of both, against 0. Where the language ranks them anew, probabilities of
            classes change places, so that the first is the likeliest, at 1/2 or over; where background is first, all
            are under it. The clip, where it has probabilities of its own, holds what a segment then is.

A gate of a parse, which goes along with its segments, gets what they get. A gate of a whole clip stays, and a bit that
it closes counts as improbable. What no sequence fits into is left as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from valor.data.datasets.dataset import dataset_of
from valor.data.parse_file import Parse
from valor.data.prediction_files import read_any_predictions
from valor.data.predictions import Predictions, score_predictions
from valor.data.provenance import Provenance
from valor.data.tables import Split
from valor.eval.decide import spread_thresholds
from valor.eval.events import FloatArray
from valor.parsers.language import Beams, LanguageModel, Opinion, ask, look

from .language import Language, LanguageCard, Told, learn, read_told, together, write_language
from .language_options import LanguageOptions, check_alpha

ALPHAS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Weights that are tried on validation; of equally good ones the least is taken."""
SUREST = 1e-6
"""How near a probability may come to 0 or 1 as evidence."""
_HALF = np.nextafter(np.float32(0.5), np.float32(0))
"""The most probable that is under 1/2."""

_APART = 1e-6
"""What the class of a segment that was ranked anew is more probable by than others, which may be as sure."""

Margins = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Weighed:
    """One recording as a language sees it, before it is said how much that counts for."""

    language: Language
    margins: Margins
    """float64 [T, M, C], log-odds of what counts, over their thresholds; NaN where nothing is known."""
    opinions: tuple[tuple[slice, Opinion], ...] = ()
    """Of `many`, by the segments they are of."""
    beams: tuple[tuple[slice, Beams], ...] = ()
    """Of `one`, likewise."""

    @property
    def is_long(self) -> bool:
        """Whether a sequence fits in."""
        return bool(self.opinions or self.beams)

    def evidence(self, alpha: float) -> Margins:
        """What `many` adds to log-odds, float64 [T, M, C]; nothing where nothing is known."""
        added = np.zeros(self.margins.shape)
        for rows, opinion in self.opinions:
            said = opinion.evidence(self.language.mean, alpha).numpy()
            added[rows] = said.reshape(-1, *self.margins.shape[1:])
        added[np.isnan(self.margins)] = 0
        return added

    def ranking(self, alpha: float) -> tuple[Margins, Margins]:
        """Of `one` what all words are ranked by, float64 [T, C + 1], and what they are then."""
        logits = words_by_odds(self.margins)
        ranked = logits.copy()
        for rows, beams in self.beams:
            ranked[rows] = beams.ranked(alpha).numpy()
        return logits, ranked


def weigh(language: Language, margins: Margins) -> Weighed:
    """Ask a language about a recording, float64 [T, M, C] in the order of its own classes."""
    length, step = language.card.length, language.card.step
    every = [slice(first, None, step) for first in range(step)]
    parts = [rows for rows in every if len(margins[rows]) >= length]
    if isinstance(language.net, LanguageModel):
        words = torch.from_numpy(words_by_odds(margins)).float()
        beams = tuple((rows, look(language.net, words[rows], length=length)) for rows in parts)
        return Weighed(language, margins, beams=beams)
    known = torch.from_numpy(np.nan_to_num(margins, nan=float(_log_odds(np.zeros(()))))).float().flatten(1)
    opinions = tuple((rows, ask(language.net, known[rows], length=length)) for rows in parts)
    return Weighed(language, margins, opinions)


def words_by_odds(margins: Margins) -> Margins:
    """The log-odds that a class is heard and seen, the smaller of both, and 0 for background: float64 [T, C + 1]."""
    return np.concatenate([margins.min(axis=1), np.zeros((len(margins), 1))], axis=1)


def _log_odds(probs: npt.NDArray[np.floating]) -> Margins:
    held = probs.astype(np.float64).clip(SUREST, 1 - SUREST)
    return np.asarray(np.log(held) - np.log1p(-held))


def _moved(probs: FloatArray, added: Margins) -> FloatArray:
    """Probabilities with evidence on their log-odds; what is certain stays, and what gets none stays to the bit."""
    with np.errstate(divide="ignore", over="ignore"):
        odds = np.log(probs.astype(np.float64)) - np.log1p(-probs.astype(np.float64))
        found = 1 / (1 + np.exp(-(odds + added)))
    return np.where(added == 0, probs, found.astype(probs.dtype))


@dataclass(frozen=True)
class Rescored:
    """How many recordings a language had something to say of."""

    recordings: int
    short: int = 0
    """Of them, those that no sequence fits into, which stay as they are."""


def rescore_predictions(
    predictions: Predictions, language: Language, alpha: float | None = None
) -> tuple[Predictions, Rescored]:
    """Rank predictions anew.

    Args:
        predictions: With probabilities of segments.
        language: Of the same classes, in any order.
        alpha: How much it counts for, from 0, which changes nothing; None for what the language says.

    Raises:
        ValueError: There are no probabilities, or classes or segments are others.
    """
    weighed = weigh_predictions(predictions, language)
    alpha = language.card.alpha if alpha is None else alpha
    return reweighed(predictions, weighed, alpha), Rescored(len(weighed), sum(not one.is_long for one in weighed))


def weigh_predictions(predictions: Predictions, language: Language) -> list[Weighed]:
    """Ask a language about every clip of predictions; errors as in `rescore_predictions`."""
    if predictions.segment_probs is None:
        raise ValueError("predictions must have probabilities, got decisions, which nothing can be added to")
    if predictions.detections is not None:
        raise ValueError("predictions must be of segments, got events in seconds, which a language has no words for")
    order = _order(predictions.class_names, language)
    _check_seconds(predictions.segment_seconds, language)
    probs = predictions.segment_probs[..., order]
    if language.card.words == "many":
        gate = predictions.clip_probs if predictions.clip_probs is not None else predictions.modality_probs
        if gate is not None:
            gate = gate[:, None] if gate.ndim == 2 else gate
            probs = np.minimum(probs, gate[:, None][..., order])
    counts = _lengths(predictions)
    return [weigh(language, _log_odds(clip[:count])) for clip, count in zip(probs, counts, strict=True)]


def _lengths(predictions: Predictions) -> list[int]:
    """Segments of each clip up to its last one."""
    assert predictions.segment_probs is not None
    if predictions.valid is None:
        return [predictions.segment_probs.shape[1]] * len(predictions.clip_ids)
    return [int(np.flatnonzero(there)[-1]) + 1 if there.any() else 0 for there in predictions.valid]


def reweighed(predictions: Predictions, weighed: Sequence[Weighed], alpha: float) -> Predictions:
    """Predictions with what a language adds to them, by its weight; with none they are the same object."""
    check_alpha(alpha)
    if alpha == 0 or not weighed:
        return predictions
    language = weighed[0].language
    order = _order(predictions.class_names, language)
    arrays: dict[str, Any] = {name: np.copy(held) for name in ("segment_probs", "clip_probs", "modality_probs")
              if (held := getattr(predictions, name)) is not None}  # fmt: skip
    for row, one in enumerate(weighed):
        if not one.is_long:
            continue
        if language.card.words == "one":
            _rank(arrays, row, order, *one.ranking(alpha))
            continue
        clip = arrays["segment_probs"][row, : len(one.margins)]
        clip[..., order] = _moved(clip[..., order], one.evidence(alpha))
    if predictions.valid is not None:
        absent = ~predictions.valid
        arrays["segment_probs"][absent] = predictions.segment_probs[absent]  # type: ignore[index]
    simulated = Provenance(simulated=language.card.simulated)
    return replace(predictions, **arrays, provenance=predictions.provenance | simulated)


def _rank(arrays: Mapping[str, FloatArray], row: int, order: Sequence[int], logits: Margins, ranked: Margins) -> None:
    """Let probabilities of a clip change places, in the segments whose words were ranked anew."""
    was, now = (np.argsort(-held, axis=1, kind="stable") for held in (logits, ranked))
    background, columns = logits.shape[1] - 1, np.asarray(order)
    for segment in np.flatnonzero((was != now).any(axis=1)):
        held = arrays["segment_probs"][row, segment]  # [M, C]
        before, after = ([word for word in of[segment] if word != background] for of in (was, now))
        values = held[:, columns[before]].min(axis=0)
        if now[segment][0] == background:
            values = values.clip(max=_HALF)
        else:
            values[0] = values[0].clip(min=0.5)
            values[1:] = values[1:].clip(max=values[0] - _APART)
        held[:, columns[after]] = values
        word = now[segment][0]
        if word == background:
            continue
        for name in ("clip_probs", "modality_probs"):
            if name in arrays:
                of_clip = arrays[name][row]
                of_clip[..., columns[word]] = of_clip[..., columns[word]].clip(min=values[0])


def rescore_parse(parse: Parse, language: Language, alpha: float | None = None) -> tuple[Parse, Rescored]:
    """Rank a parse anew; its notes and its system say so. Arguments and errors as in `rescore_predictions`."""
    alpha, card = language.card.alpha if alpha is None else alpha, language.card
    check_alpha(alpha)
    order = _order(parse.class_names, language)
    _check_seconds(parse.segment_seconds, language)
    if card.words == "one":
        raise ValueError(
            "a parse must be ranked by a language of words='many', since several things happen at once in it, got one "
            "of words='one'"
        )
    rule, shape = parse.decision, parse.segment_probs.shape[1:]
    margins = _log_odds(parse.segment_probs) - _log_odds(
        spread_thresholds("segment_threshold", rule.segment_threshold, shape)
    )
    if parse.gate_probs is not None and rule.gate != "none":
        limits = _log_odds(spread_thresholds("clip_threshold", rule.clip_threshold, shape))
        margins = np.minimum(margins, _log_odds(parse.gate_probs) - limits)
    weighed = weigh(language, margins[..., order])
    said = Rescored(1, int(not weighed.is_long))
    if alpha == 0 or said.short:
        return parse, said
    added = np.empty_like(margins)
    added[..., order] = weighed.evidence(alpha)
    arrays: dict[str, Any] = {
        name: np.where(np.isnan(held), held, _moved(held, added))
        for name in ("segment_probs", "gate_probs")
        if (held := getattr(parse, name)) is not None
    }
    told = {"alpha": alpha, **{name: value for name, value in asdict(card).items() if name in _TOLD}}
    note = f"ranked anew by what follows what, learned from {card.recordings:,} recordings, with alpha {alpha:g}"
    return replace(parse, **arrays, system={**parse.system, "rescored": told}, notes=(*parse.notes, note)), said


_TOLD = ("words", "length", "step", "sources", "recordings", "simulated")
"""What a parse says of the language it was ranked by."""


def _order(class_names: Sequence[str], language: Language) -> list[int]:
    """Where the classes of a language stand among those of predictions."""
    wanted = language.card.class_names
    if set(class_names) != set(wanted):
        missing, extra = (sorted(set(a) - set(b)) for a, b in ((wanted, class_names), (class_names, wanted)))
        named = ", ".join([*(f"without {name}" for name in missing[:3]), *(f"with {name}" for name in extra[:3])])
        raise ValueError(
            f"predictions must be of the {len(wanted)} classes of the language, got {len(class_names)}, {named}; learn "
            "one from labels of these classes"
        )
    return [class_names.index(name) for name in wanted]


def _check_seconds(seconds: float | None, language: Language) -> None:
    learned = language.card.segment_seconds
    if seconds is not None and learned is not None and abs(seconds - learned) > 1e-6:
        raise ValueError(
            f"segments must last {learned:g} s as where the language was learned, got {seconds:g} s; learn one there"
        )


def fit_language(sources: Sequence[Path], out: Path, options: LanguageOptions, *, progress: bool = False) -> Language:
    """Learn a language, choose on validation how much it counts for, and write it.

    Args:
        sources: What `read_told` reads.
        out: Folder of the language.
        options: How; all that can be refused is refused before anything is trained.
        progress: Whether to show a progress bar on stderr.

    Raises:
        ValueError: Sources do not belong together or hold too little; or clips of validation were learned from.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"out must be a folder, got the file {out}")
    named = [str(source) for source in sources]
    if len(set(named)) < len(named):
        raise ValueError(f"sources must be named once each, got {', '.join(named)}")
    told = together({str(source): read_told(source, options.split) for source in sources})
    validation = None if options.val is None else _validation(options, told)
    language = learn(told, options, progress=progress)
    language = replace(language, card=replace(language.card, sources=tuple(named)))
    if validation is not None:
        language = replace(language, card=chosen(language, *validation))
    write_language(out, language)
    return language


def _validation(options: LanguageOptions, told: Told) -> tuple[Predictions, Split]:
    """Predictions of clips of validation and their truth, before anything is trained."""
    assert options.val is not None and options.annotations is not None
    dataset = dataset_of(options.annotations)
    names = dataset.names_in(options.annotations)
    split = dataset.read_split(options.annotations, dataset.split_for("val"), names)
    if split.truth is None:
        raise ValueError(f"{options.annotations}: nobody said what happens when in the split {split.name}")
    if set(names) != set(told.class_names):
        raise ValueError(f"{options.annotations}: expected the {len(told.class_names)} classes of the sources")
    if both := [clip_id for clip_id in split.clip_ids if clip_id in told.marks]:
        raise ValueError(
            f"the weight of a language must be chosen on clips it was not learned from, and {len(both)} of the split "
            f"{split.name}, such as {both[0]}, were; learn from others"
        )
    predictions = read_any_predictions(
        options.val,
        names,
        clip_ids=split.clip_ids,
        num_segments=split.truth.shape[1],
        segment_seconds=split.segment_seconds,
    )
    if predictions.segment_probs is None:
        raise ValueError(f"{options.val}: expected predictions with probabilities, got decisions")
    score_predictions(predictions, split)  # what cannot be scored is refused before anything is trained
    return predictions, split


def chosen(language: Language, predictions: Predictions, split: Split) -> LanguageCard:
    """The card with the weight that predictions of validation are best with, and all that were tried."""
    weighed = weigh_predictions(predictions, language)
    own = "accuracy_per_second"
    by_label = language.card.words == "one" and own in split.metrics
    tried = []
    for alpha in ALPHAS:
        scores = score_predictions(reweighed(predictions, weighed, alpha), split)[0]
        found = scores.figures[own] if by_label else scores.segment.type_av
        tried.append((alpha, float(found or 0.0)))
    best = max(tried, key=lambda pair: (pair[1], -pair[0]))
    return replace(language.card, alpha=best[0], tried=tuple(tried), figure=own if by_label else "segment.type_av")
