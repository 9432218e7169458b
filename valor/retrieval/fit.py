"""A space trained on the features of a store: short, from nothing but the store, and the same every time.

Every step takes some clips. Of `joint` a window of random length is cut from each clip, so that single seconds as well
as whole clips find their place; `context` and `labels` take whole clips. The weights are written once, at the end.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from valor.data.datasets.dataset import dataset_of
from valor.eval.events import MODALITIES, BoolArray, FloatArray
from valor.label_harvest.places.place import Place
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.store.store import EvidenceStore, read_store, store_folder, store_manifest
from valor.label_harvest.teachers.precision import chosen_device
from valor.label_harvest.teachers.teacher import captions_of
from valor.parsers.context_space import ContextSpace, context_loss
from valor.parsers.joint_space import WEIGHTS, JointSpace, combinatorial_losses
from valor.parsers.label_space import LabelSpace, cross_triplets, label_loss

from .options import FitOptions
from .queries import searched_teachers
from .seconds import searchable
from .space import LETTERS, TEXT, SpaceCard, SpacePlacer, brief_teachers, build_net, described, read_space, write_space

_LOG = logging.getLogger(__name__)
LEAST = 8
"""Clips with sound and picture below which nothing is trained: there is nothing to tell them from."""
CLIPPED = 1.0
"""Norm that gradients are cut to."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Features of some clips by letter, and their tags."""

    tokens: Mapping[str, Tensor]
    """float [B, N_m, D_m], zeros where absent."""
    there: Mapping[str, Tensor]
    """bool [B, N_m]."""
    labels: Tensor
    """bool [B, C]."""

    def rows(self, rows: Tensor, device: torch.device) -> "Batch":
        """Some of the clips, on a device."""
        tokens, there = ({letter: x[rows].to(device) for letter, x in of.items()} for of in (self.tokens, self.there))
        return Batch(tokens, there, self.labels[rows].to(device))


@dataclass(frozen=True, eq=False)
class FitResult:
    """A space that was trained."""

    placer: SpacePlacer
    losses: tuple[float, ...]
    """Mean of each epoch."""


def fit_space(store: Place, out: Path, options: FitOptions, *, progress: bool = False) -> FitResult:
    """Train a space and write it, whole or not at all.

    Args:
        store: The store, or the folder of a fingerprint.
        out: The file.
        options: Which, and on which clips.
        progress: Whether to show a progress bar on stderr.

    Raises:
        ValueError: The store has no embeddings of sound and picture, too few clips with both, or of another data set;
            or a GPU is asked for and there is none.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"out must end in .safetensors, got {out}")
    folder = store_folder(store)
    held = _clips(folder, options)
    words = words_of(folder, held.manifest, options.teacher_checkpoints) if options.net == "joint" else None
    whole = _batch(held, words)
    card = SpaceCard(
        net=options.net,
        width=options.width,
        layers=options.layers,
        in_widths={letter: x.shape[-1] for letter, x in whole.tokens.items()},
        max_segments=whole.tokens["a"].shape[1],
        teachers=brief_teachers(held.manifest),
        class_names=held.class_names,
        clip_ids=held.clip_ids,
        options=described(options),
        loss=0.0,
    )
    device = chosen_device()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        net = build_net(card).to(device)
        losses = _train(net, whole, options, device, progress=progress)
    write_space(out, net.cpu().eval(), SpaceCard(**{**vars(card), "loss": losses[-1]}))
    return FitResult(read_space(out), tuple(losses))


def _clips(folder: Place, options: FitOptions) -> EvidenceStore:
    """The clips that are trained on, those that have sound and a picture."""
    searchable(folder, store_manifest(folder), "both", MODALITIES)
    chosen = None
    if options.data is not None:
        dataset = dataset_of(options.data)
        chosen = set(dataset.read_ids(options.data, options.split or dataset.split_for("train")))
    held = read_store(folder, names=[f"{name}.embedding" for name in MODALITIES], clip_ids=chosen)
    whole = [~np.isnan(held.arrays[f"{name}.embedding"][..., 0]).all(axis=1) for name in MODALITIES]
    count = int((whole[0] & whole[1]).sum())
    if count < LEAST:
        raise ValueError(
            f"{folder}: expected at least {LEAST} clips with sound and picture to train on, got {count}; harvest more, "
            "or choose another split"
        )
    return held


def words_of(where: object, manifest: Mapping[str, Any], checkpoints: Mapping[str, str]) -> FloatArray:
    """Of each class of a store the captions of both teachers beside one another, float32 [C, D_audio + D_visual].

    Raises:
        ValueError: See `searched_teachers`.
    """
    found = []
    for role in MODALITIES:
        prompts = [captions_of(entry) for entry in manifest["teachers"][role]["prompts"]]
        flat = [caption for entry in prompts for caption in entry]
        captions = {role: flat}
        (teacher,) = searched_teachers(where, manifest, (role,), captions=captions, checkpoints=checkpoints).values()
        ends = np.cumsum([len(entry) for entry in prompts])[:-1]
        means = [part.mean(axis=0) for part in np.split(teacher.caption_embeddings, ends)]
        found.append(np.stack([mean / max(float(np.linalg.norm(mean)), 1e-8) for mean in means]))
    return np.concatenate(found, axis=1).astype(np.float32)


def _batch(held: EvidenceStore, words: FloatArray | None) -> Batch:
    """All clips as one batch; a clip has a word for each of its tags."""
    tokens, there = {}, {}
    for name, letter in LETTERS.items():
        array = held.arrays[f"{name}.embedding"]
        there[letter] = torch.from_numpy(~np.isnan(array[..., 0]))
        tokens[letter] = torch.from_numpy(np.nan_to_num(array).astype(np.float32))
    labels = torch.from_numpy(held.weak_labels)
    if words is not None and labels.any():
        tokens[TEXT], there[TEXT] = said_tokens(held.weak_labels, words)
        order = (TEXT, "v", "a")  # in which the network names its pairs
        tokens, there = ({letter: of[letter] for letter in order} for of in (tokens, there))
    elif words is not None:
        raise ValueError("joint is trained on tags too, got clips without any; train net=context, which needs none")
    return Batch(tokens, there, labels)


def said_tokens(tags: BoolArray, words: FloatArray) -> tuple[Tensor, Tensor]:
    """The words of the tags of clips, float [N, most, D] and which there are, bool [N, most].

    Args:
        tags: bool [N, C].
        words: float [C, D].
    """
    most = max(1, int(tags.sum(axis=1).max()))
    tokens, there = torch.zeros(len(tags), most, words.shape[1]), torch.zeros(len(tags), most, dtype=torch.bool)
    for row, of in enumerate(tags):
        rows = torch.from_numpy(words[of])
        tokens[row, : len(rows)], there[row, : len(rows)] = rows, True
    return tokens, there


def _train(net: nn.Module, whole: Batch, options: FitOptions, device: torch.device, *, progress: bool) -> list[float]:
    """Train with Adam, its rate falling to nothing along a cosine; the mean loss of each epoch."""
    order = torch.Generator().manual_seed(options.seed)
    clips, size = len(whole.labels), options.batch_size
    steps = max(1, clips // size) * options.epochs
    optimiser = torch.optim.Adam(net.parameters(), lr=options.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    losses = []
    net.train()
    with progress_bar(total=options.epochs, enabled=progress, desc="epochs", unit="epoch") as bar:
        for _ in range(options.epochs):
            drawn = torch.randperm(clips, generator=order)
            charged = []
            for start in range(0, max(1, clips - size + 1), size):
                loss = loss_of(net, whole.rows(drawn[start : start + size], device), order)
                if loss is None:
                    continue
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(net.parameters(), CLIPPED)
                optimiser.step()
                schedule.step()
                charged.append(loss.item())
            losses.append(float(np.mean(charged)) if charged else float("nan"))
            if not np.isfinite(losses[-1]):
                raise ValueError(f"rate must be lower than {options.rate:g}, the loss is no number any more")
            bar.update(1)
    return losses


def loss_of(net: nn.Module, batch: Batch, drawn: torch.Generator) -> Tensor | None:
    """What a step is charged; None where its clips have nothing to be told by."""
    if isinstance(net, JointSpace):
        return _joint_loss(net, batch, drawn)
    both = (batch.there["a"] & batch.there["v"]).any(dim=1)
    if int(both.sum()) < 2:
        return None
    if isinstance(net, ContextSpace):
        return context_loss(net, net(batch.tokens, batch.there), batch.there)
    assert isinstance(net, LabelSpace)
    found = net(batch.tokens, batch.there)
    places = [found[letter] for letter in LETTERS.values()]
    there = [batch.there[letter].any(dim=1) for letter in LETTERS.values()]
    return label_loss(places, batch.labels, there) + cross_triplets(places, batch.labels, there)


def _joint_loss(net: JointSpace, batch: Batch, drawn: torch.Generator) -> Tensor | None:
    """The combinatorial loss of windows of the clips, every pair counting the same, as in fine-tuning."""
    length = batch.tokens["a"].shape[1]
    width = int(torch.randint(1, length + 1, (), generator=drawn))
    starts = torch.randint(0, length - width + 1, (len(batch.labels), 1), generator=drawn)
    cut = (starts + torch.arange(width)).to(batch.labels.device)
    tokens, there = dict(batch.tokens), dict(batch.there)
    for letter in LETTERS.values():
        tokens[letter] = tokens[letter].gather(1, cut[..., None].expand(-1, -1, tokens[letter].shape[-1]))
        there[letter] = there[letter].gather(1, cut)
    found = net(tokens, there)
    pairs = [pair for pair in WEIGHTS if _in_common(found.there, "".join(pair)) >= 2]
    if not pairs:
        return None
    return torch.stack(list(combinatorial_losses(found, pairs).values())).mean()


def _in_common(there: Mapping[str, Tensor], letters: Sequence[str] | str) -> int:
    return int(torch.stack([there[letter] for letter in letters]).all(dim=0).sum())
