"""What follows what: a language of events, learned from labels, truth or parses, and as it is kept.

A recording is a row of words, one for each segment. Where there is one class or none at a time, heard and seen as in
AVE, a word is that class (`one`); else it is a row of bits, one for each modality and class (`many`). See
`valor.parsers.language`. A folder RUN has the file `language.safetensors`: weights, and in its header what it was
learned from.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from valor.data.datasets.dataset import LLP, dataset_of
from valor.data.label_file import FILE_NAME, read_pseudo_labels
from valor.data.parse_file import read_parse
from valor.data.parse_folder import parse_files
from valor.data.predictions import decisions, read_predictions
from valor.data.provenance import of_folder, of_labels
from valor.eval.accuracy import labels_by_track
from valor.eval.events import BoolArray
from valor.label_harvest.arrays import npz_names
from valor.label_harvest.progress import progress_bar
from valor.parsers.blocks import Sizes
from valor.parsers.language import ALPHA, BitLanguageModel, LanguageModel
from valor.training.checkpoint import read_tensors, write_tensors
from valor.training.run_folder import PREDICTIONS

from .language_options import LanguageOptions

FILE = "language.safetensors"
"""Name in the folder of a language."""
KIND = "language of events"
HEADS, DROPOUT, DECAY = 4, 0.1, 5e-4
"""Of the network, and of Adam; the last two as published."""
BATCH = 64
"""Sequences of a step, as published."""
AVERAGED = 2048
"""Sequences over which the mean of logits is taken."""


@dataclass(frozen=True, eq=False)
class Told:
    """Recordings that are learned from."""

    class_names: tuple[str, ...]
    marks: Mapping[str, BoolArray]
    """By name, bool [T, M, C]."""
    segment_seconds: float | None
    """None where the source does not say."""
    simulated: bool = False


@dataclass(frozen=True, kw_only=True)
class LanguageCard:
    """What a language says of itself."""

    words: str
    length: int
    step: int
    width: int
    layers: int
    class_names: tuple[str, ...]
    segment_seconds: float | None
    alpha: float
    """How much it counts for."""
    tried: tuple[tuple[float, float], ...] = ()
    """Weights and the figure that validation has with each; none where nothing was chosen."""
    figure: str | None = None
    """That figure."""
    sources: tuple[str, ...] = ()
    recordings: int = 0
    simulated: bool = False
    loss: float = 0.0
    """Of the last tenth of the steps."""
    options: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Language:
    """A language that was learned."""

    net: LanguageModel | BitLanguageModel
    mean: Tensor
    """float [K], of the logits of bits, over what was learned from."""
    card: LanguageCard


def read_told(path: Path, split: str | None = None) -> Told:
    """Read labels, parses, predictions, a run folder's predictions, or the truth of a data folder.

    Args:
        path: One of these.
        split: Which, of a data folder; None for that for training.

    Raises:
        ValueError: It is none of them, or nothing is known of one modality.
        FileNotFoundError: It is not there.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such labels, predictions, parses or data folder")
    for name in (FILE_NAME, PREDICTIONS):
        path = path / name if path.is_dir() and (path / name).is_file() else path
    if path.is_dir() and _has_tables(path):
        return _told_by_truth(path, split)
    if parsed := parse_files(path):
        return _told_by_parses(parsed)
    if path.suffix != ".npz":
        raise ValueError(
            f"{path}: a language is learned from labels, predictions (.npz), parses of `valor parse` or a data folder"
        )
    if {"pseudo_labels", "pseudo_probs"} & set(npz_names(path)):
        labels = read_pseudo_labels(path)
        labels.refuse_absent(str(path))
        marks = dict(zip(labels.clip_ids, _cut(labels.marked, labels.valid), strict=True))
        return Told(labels.class_names, marks, None, of_labels(path).simulated)
    found = read_predictions(path)
    marks = dict(zip(found.clip_ids, _cut(decisions(found)[0], found.valid), strict=True))
    return Told(found.class_names, marks, found.segment_seconds, found.provenance.simulated)


def _has_tables(folder: Path) -> bool:
    dataset = dataset_of(folder)
    return dataset is not LLP or any((folder / table).is_file() for table in dataset.layout.tags.values())


def _told_by_parses(files: Sequence[Path]) -> Told:
    marks, first = dict[str, BoolArray](), read_parse(files[0])
    for file in files:
        parse = read_parse(file)
        if (parse.class_names, parse.segment_seconds) != (first.class_names, first.segment_seconds):
            raise ValueError(f"{file}: expected the classes and segments of {files[0]}; parse anew")
        marks[str(file.stem)] = parse.predicted
    return Told(first.class_names, marks, first.segment_seconds)


def _told_by_truth(folder: Path, split: str | None) -> Told:
    dataset = dataset_of(folder)
    name = split or dataset.split_for("train")
    held = dataset.read_split(folder, name, dataset.names_in(folder))
    if held.truth is None:
        raise ValueError(
            f"{folder}: nobody said what happens when in the split {name}; give its pseudo labels, or another split "
            f"of {', '.join(dataset.annotated) or 'a data set that has'}"
        )
    marks = dict(zip(held.clip_ids, _cut(held.truth, held.valid), strict=True))
    return Told(held.class_names, marks, held.segment_seconds, of_folder(folder).simulated)


def _cut(marks: BoolArray, valid: BoolArray | None) -> Iterator[BoolArray]:
    """Each recording as long as it is."""
    lengths = [marks.shape[1]] * len(marks)
    if valid is not None:
        marks = np.asarray(marks & valid[:, :, None, None])
        lengths = [int(np.flatnonzero(there)[-1]) + 1 if there.any() else 0 for there in valid]
    return (clip[:count] for clip, count in zip(marks, lengths, strict=True))


def together(told: Mapping[str, Told]) -> Told:
    """Several sources as one, by their names.

    Raises:
        ValueError: They are of other classes or segments, or hold a recording twice.
    """
    (first_name, first), *_ = told.items()
    marks = dict[str, BoolArray]()
    for name, one in told.items():
        if set(one.class_names) != set(first.class_names):
            raise ValueError(f"{name}: expected the {len(first.class_names)} classes of {first_name}; label anew")
        seconds = {other.segment_seconds for other in (one, first)} - {None}
        if len(seconds) > 1:
            raise ValueError(f"{name}: has segments of another length than {first_name}, {seconds} seconds")
        if twice := sorted(set(one.marks) & set(marks)):
            raise ValueError(f"{name}: {len(twice)} recordings, such as {twice[0]}, are in another source too")
        order = [one.class_names.index(of) for of in first.class_names]
        marks |= {clip: held[..., order] for clip, held in one.marks.items()}
    known = next((one.segment_seconds for one in told.values() if one.segment_seconds is not None), None)
    return Told(first.class_names, marks, known, any(one.simulated for one in told.values()))


def kind_of(told: Told) -> str:
    """Which words say what happens: one where there is one class at most at a time, heard and seen; else many."""
    alone = all((held[:, 0] == held[:, 1]).all() and held[:, 0].sum(axis=-1).max(initial=0) <= 1
                for held in told.marks.values())  # fmt: skip
    return "one" if alone else "many"


def words_of(told: Told, kind: str) -> list[Tensor]:
    """Of each recording the words: int [T], background last, of `one`; bool [T, M C] of `many`.

    Raises:
        ValueError: Two classes are heard and seen at once where there is one word for both.
    """
    if kind == "many":
        return [torch.from_numpy(held.reshape(len(held), -1)) for held in told.marks.values()]
    found = []
    for name, held in told.marks.items():
        try:
            found.append(torch.from_numpy(labels_by_track((held[:, 0] & held[:, 1])[None])[0]))
        except ValueError as error:
            raise ValueError(f"{name}: two classes are heard and seen at once, which needs words='many'") from error
    return found


def build_net(words: str, classes: int, *, width: int, layers: int) -> LanguageModel | BitLanguageModel:
    """A network with fresh weights, from torch's generator."""
    sizes = Sizes(width, HEADS, width, dropout=DROPOUT)
    return LanguageModel(classes + 1, sizes, layers) if words == "one" else BitLanguageModel(2 * classes, sizes, layers)


def learn(told: Told, options: LanguageOptions, *, progress: bool = False) -> Language:
    """Learn what follows what; the same every time.

    Raises:
        ValueError: No recording is as long as a sequence, or nothing happens in any.
    """
    kind = options.words or kind_of(told)
    words = words_of(told, kind)
    span = (options.length - 1) * options.step + 1
    long = [of for of in words if len(of) >= span]
    if not long:
        raise ValueError(
            f"{len(words)} recordings of at most {max(map(len, words), default=0)} segments have no sequence of length "
            f"{options.length} and step {options.step}; choose a smaller length or step"
        )
    if not any(held.any() for held in told.marks.values()):
        raise ValueError(f"nothing is marked in any of {len(words)} recordings; there is nothing to learn")
    if kind == "one" and not any((held[:, 0] & held[:, 1]).any() for held in told.marks.values()):
        raise ValueError(f"nothing is heard and seen at once in any of {len(words)} recordings; choose words='many'")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        net = build_net(kind, len(told.class_names), width=options.width, layers=options.layers)
        drawn = torch.Generator().manual_seed(options.seed)
        loss = _train(net.train(), long, span, options, drawn, progress=progress)
        mean = _mean(net.eval(), _sequences(long, span, options.step, AVERAGED, drawn))
    card = LanguageCard(
        words=kind,
        **{name: getattr(options, name) for name in ("length", "step", "width", "layers")},
        class_names=told.class_names,
        segment_seconds=told.segment_seconds,
        alpha=ALPHA,
        recordings=len(words),
        simulated=told.simulated,
        loss=loss,
        options={name: str(of) if isinstance(of, Path) else of for name, of in asdict(options).items()},
    )
    return Language(net, mean, card)


def _sequences(words: Sequence[Tensor], span: int, step: int, count: int, drawn: torch.Generator) -> Tensor:
    """Some sequences of any recordings, each place of each as likely as any other: [count, length, ...]."""
    places = torch.tensor([len(of) - span + 1 for of in words])
    chosen = torch.randint(int(places.sum()), (count,), generator=drawn)
    recording = torch.searchsorted(places.cumsum(0), chosen, right=True)
    start = chosen - (places.cumsum(0) - places)[recording]
    pairs = zip(recording.tolist(), start.tolist(), strict=True)
    return torch.stack([words[row][first : first + span : step] for row, first in pairs])


def _train(
    net: LanguageModel | BitLanguageModel,
    words: Sequence[Tensor],
    span: int,
    options: LanguageOptions,
    drawn: torch.Generator,
    *,
    progress: bool,
) -> float:
    """One word of each sequence is masked and all are charged, as published; the mean loss of the last steps."""
    optimiser = torch.optim.Adam(net.parameters(), lr=options.rate, weight_decay=DECAY)
    losses = []
    with progress_bar(total=options.steps, enabled=progress, desc="steps", unit="step") as bar:
        for _ in range(options.steps):
            sequences = _sequences(words, span, options.step, BATCH, drawn)
            masked = torch.randint(options.length, (BATCH,), generator=drawn)
            loss = charged(net, sequences, functional.one_hot(masked, options.length).bool())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.item())
            bar.update(1)
    if not np.isfinite(losses[-1]):
        raise ValueError(f"rate must be lower than {options.rate:g}, the loss is no number any more")
    return float(np.mean(losses[-max(1, len(losses) // 10) :]))


def charged(net: LanguageModel | BitLanguageModel, sequences: Tensor, masked: Tensor) -> Tensor:
    """What a step is charged: sequences [B, T, ...], of which masked bool [B, T] is hidden."""
    if isinstance(net, LanguageModel):
        logits = net(torch.where(masked, net.num_words, sequences))
        return functional.cross_entropy(logits.flatten(0, 1), sequences.flatten())
    return functional.binary_cross_entropy_with_logits(net(sequences, masked), sequences.float())


@torch.no_grad()
def _mean(net: LanguageModel | BitLanguageModel, sequences: Tensor) -> Tensor:
    """Of the logits of a hidden middle, float [K]."""
    middle = torch.zeros(sequences.shape[:2], dtype=torch.bool)
    middle[:, sequences.shape[1] // 2] = True
    if isinstance(net, LanguageModel):
        logits = net(sequences.masked_fill(middle, net.num_words))
    else:
        logits = net(sequences, middle)
    found: Tensor = logits[middle].mean(dim=0)
    return found


def write_language(folder: Path, language: Language) -> None:
    """Write a language into its folder, whole or not at all, with a checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {**language.net.state_dict(), "mean": language.mean}
    write_tensors(folder / FILE, tensors, {"format": 1, "kind": KIND, **asdict(language.card)})


def read_language(path: Path) -> Language:
    """Read a language from its folder, or from the file in it.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is something else, or damaged.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"{path}: no language lies there; `valor rescore fit LABELS --out {path}` makes one")
    tensors, header = read_tensors(file)
    if header.pop("kind", None) != KIND:
        raise ValueError(f"{file}: is no language of events; `valor rescore fit LABELS --out RUN` makes one")
    try:
        tried = tuple((float(alpha), float(figure)) for alpha, figure in header["tried"])
        names = {name: tuple(header[name]) for name in ("class_names", "sources")}
        card = LanguageCard(**{**header, **names, "tried": tried})
        mean = tensors.pop("mean")
        with torch.random.fork_rng(devices=[]):
            net = build_net(card.words, len(card.class_names), width=card.width, layers=card.layers)
        net.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{file}: the weights and their description do not fit this version ({error})") from error
    return Language(net.eval(), mean, card)
