"""Make the weights of the demo's teachers: `python -m valor.demo.teachers.train_teachers --out label_harvest/weights`.

Three contrastive networks are trained on separately rendered single samples, frames and seconds of sound: a visual one,
an audio one, and then the fused one, which looks and listens through their trunks and learns to weigh the two. A sample
is drawn from a generator seeded with (POOL_SEED, seed, stream, number). The demo's clips never use that sequence, so no
teacher has met a clip, a look or a sound that it will later label.

Beside each weight file lies a JSON file that says how it was made and how good it is on samples it never saw. The label
thresholds found there are in `demo_thresholds.json`.
"""

import argparse
import logging
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from valor.data.vocabulary import LLP_CLASSES, class_names, prompts
from valor.demo.audio.sounds import sample_sound
from valor.demo.pictures.looks import sample_image
from valor.eval.events import BoolArray
from valor.label_harvest.arrays import read_npz
from valor.label_harvest.children import end_with_parent
from valor.label_harvest.disk import file_sha256, replaced, write_json
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.teachers.demo import TinyNetwork, frame_pictures, shrink_frames, sound_pictures

from .captions import draw_captions

_LOG = logging.getLogger(__name__)

POOL_SEED = 0x7EAC4E5
"""Sets the pools' random numbers apart from those of the demo's clips."""

COUNT_SHARES = (0.14, 0.5, 0.28, 0.08)
"""Shares of samples that hold 0, 1, 2 and 3 classes."""

STREAMS = ("visual", "audio")
"""The two kinds of pool."""

ROLES = ("visual", "audio", "fused")
"""The three teachers, in the order they are trained."""

STEP_SHARES = {"visual": 1.0, "audio": 0.6, "fused": 0.6}
"""Share of the training steps each role takes."""

PAIRINGS = 3
"""Frames each sound is paired with for the fused teacher."""

TAGGED_SHARE = 0.6
"""Share of a clip's seconds in which a tagged class is really there, for which thresholds are set."""


@dataclass(frozen=True, kw_only=True)
class TeacherOptions:
    """How the teachers are trained."""

    seed: int = 0
    """Seed of samples, weights and order."""
    samples: int = 16000
    """Samples rendered per stream to train on."""
    held_out: int = 3000
    """Samples rendered per stream to set thresholds and measure on."""
    steps: int = 3000
    """Training steps of the visual network; the others take fewer, see STEP_SHARES."""
    batch: int = 128
    """Samples in a step."""
    learning_rate: float = 2e-3
    """Largest AdamW step size; it rises over the first tenth and falls to nothing along a cosine."""
    workers: int = 2
    """Processes that render."""


@dataclass(frozen=True)
class Pool:
    """Samples of one stream."""

    pictures: np.ndarray
    """Frames uint8 [N, 3, 48, 64] as shrunk, or log-mel pictures float16 [N, 1, 48, 64]."""
    labels: BoolArray
    """bool [N, C], the classes each sample holds."""

    def __getitem__(self, rows: np.ndarray | slice) -> "Pool":
        """The samples of `rows`."""
        return Pool(self.pictures[rows], self.labels[rows])


def render_pools(options: TeacherOptions, cache: Path | None) -> dict[str, Pool]:
    """Render the pool of each stream, or read it from `cache` when it was rendered with the same numbers."""
    pools = {}
    for stream in STREAMS:
        count = options.samples + options.held_out
        path = None if cache is None else cache / f"{stream}-{options.seed}-{count}.npz"
        if path is not None and path.is_file():
            pools[stream] = Pool(**read_npz(path, ("pictures", "labels")))
            continue
        pools[stream] = render_pool(stream, count, seed=options.seed, workers=options.workers)
        if path is not None:
            with replaced(path) as draft, draft.open("wb") as file:
                np.savez(file, pictures=pools[stream].pictures, labels=pools[stream].labels)
    return pools


def render_pool(stream: str, count: int, *, seed: int, workers: int = 1) -> Pool:
    """Render `count` samples of a stream.

    Args:
        stream: visual or audio.
        count: How many.
        seed: Another seed gives another pool.
        workers: Processes to share the work; the result does not depend on it.
    """
    render = partial(render_sample, stream, seed)
    if workers > 1:
        with ProcessPoolExecutor(workers, get_context("spawn"), end_with_parent, (torch.set_num_threads, 1)) as pool:
            return collect(stream, pool.map(render, range(count), chunksize=64), count)
    return collect(stream, map(render, range(count)), count)


def render_sample(stream: str, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Render one sample: (picture, class indices)."""
    rng = np.random.default_rng((POOL_SEED, seed, STREAMS.index(stream), number))
    classes = draw_classes(rng)
    names = [class_names(LLP_CLASSES)[index] for index in classes]
    if stream == "visual":
        frame = torch.from_numpy(sample_image(names, rng)[None])
        return shrink_frames(frame).round().to(torch.uint8)[0].numpy(), classes
    sound = torch.from_numpy(sample_sound(names, rng)[None])
    return sound_pictures(sound)[0].half().numpy(), classes


def draw_classes(rng: np.random.Generator) -> np.ndarray:
    """Draw which classes a sample holds: distinct indices, none to three."""
    return rng.choice(len(LLP_CLASSES), size=rng.choice(len(COUNT_SHARES), p=COUNT_SHARES), replace=False)


def collect(stream: str, samples: Iterable[tuple[np.ndarray, np.ndarray]], count: int) -> Pool:
    """Stack rendered samples."""
    labels, pictures = np.zeros((count, len(LLP_CLASSES)), bool), []
    for row, (picture, classes) in enumerate(
        progress_bar(samples, desc=f"rendering {stream} samples", total=count, unit="sample")
    ):
        pictures.append(picture)
        labels[row, classes] = True
    return Pool(np.stack(pictures), labels)


@dataclass(frozen=True)
class Samples:
    """What one role learns from: the pool of each of its streams, and the rows that are shown together."""

    pools: dict[str, Pool]
    """Pools by stream."""
    rows: dict[str, np.ndarray]
    """int64 [N] by stream: sample n is row rows[stream][n] of each pool."""
    labels: BoolArray
    """bool [N, C], the classes in any stream of a sample."""


def samples_of(role: str, pools: dict[str, Pool], rng: np.random.Generator) -> Samples:
    """The samples of a role: pairs for the fused teacher, those of its stream for the others."""
    return paired_samples(pools, rng) if role == "fused" else single_samples(pools[role], role)


def single_samples(pool: Pool, stream: str) -> Samples:
    """The samples of one stream as they are."""
    return Samples({stream: pool}, {stream: np.arange(len(pool.labels))}, pool.labels)


def paired_samples(pools: dict[str, Pool], rng: np.random.Generator) -> Samples:
    """Pair each sound with PAIRINGS frames: half of them hold a class of the sound, the others are any frame."""
    heard, seen = pools["audio"].labels, pools["visual"].labels
    sounds = np.tile(np.arange(len(heard)), PAIRINGS)
    frames = rng.integers(0, len(seen), len(sounds))
    holders = [np.flatnonzero(seen[:, index]) for index in range(seen.shape[1])]
    is_heard: BoolArray = np.asarray(heard.any(axis=1))
    for pair in np.flatnonzero((rng.random(len(sounds)) < 0.5) & is_heard[sounds]):
        index = rng.choice(np.flatnonzero(heard[sounds[pair]]))
        if len(holders[index]):
            frames[pair] = rng.choice(holders[index])
    return Samples(pools, {"visual": frames, "audio": sounds}, heard[sounds] | seen[frames])


def pictures_of(samples: Samples, batch: np.ndarray) -> dict[str, Tensor]:
    """Read the pictures of the samples `batch` as the trunks want them, by stream."""
    pictures = {
        name: torch.from_numpy(pool.pictures[samples.rows[name][batch]]) for name, pool in samples.pools.items()
    }
    return {name: frame_pictures(rows.float()) if name == "visual" else rows.float() for name, rows in pictures.items()}


def disturb(pictures: dict[str, Tensor]) -> dict[str, Tensor]:
    """Vary training pictures as cameras, codecs and rooms do: shade, mirror and shift frames, change level and time."""
    disturbed = {}
    for name, rows in pictures.items():
        each = (len(rows), 1, 1, 1)
        rows = rows * (1 + 0.08 * torch.randn(each)) + 0.08 * torch.randn(each) + 0.05 * torch.randn_like(rows)
        if name == "visual":
            rows = torch.where(torch.rand(each) < 0.5, rows.flip(3), rows)
            rows = torch.roll(rows, tuple(torch.randint(-3, 4, (2,)).tolist()), (2, 3))
        else:
            rows = torch.roll(rows, int(torch.randint(0, rows.shape[3], ())), 3)
        disturbed[name] = rows
    return disturbed


def train_teachers(pools: dict[str, Pool], out: Path, options: TeacherOptions) -> dict[str, list[float]]:
    """Train, measure and ship the three teachers.

    Args:
        pools: A pool per stream, `options.samples` to train on and then those to measure on.
        out: Folder of weights.
        options: How to train.

    Returns:
        The losses of each role.
    """
    out.mkdir(parents=True, exist_ok=True)
    learn = {stream: pool[: options.samples] for stream, pool in pools.items()}
    unseen = {stream: pool[options.samples :] for stream, pool in pools.items()}
    networks: dict[str, TinyNetwork] = {}
    losses, tables = {}, {}
    for role in ROLES:
        began = time.perf_counter()
        torch.manual_seed(options.seed)
        networks[role] = fuse(networks) if role == "fused" else TinyNetwork(role)
        rng = np.random.default_rng((POOL_SEED, options.seed, 20))
        steps = max(1, round(options.steps * STEP_SHARES[role]))
        losses[role] = train_network(networks[role], samples_of(role, learn, rng), options, steps)
        held_out = samples_of(role, unseen, rng)
        tables[role] = calibrate(score(networks[role], held_out), held_out.labels)
        _LOG.info("%s: %.0f s, loss %.3f", role, time.perf_counter() - began, np.mean(losses[role][-50:]))
    for role in ROLES:
        ship(networks[role], out, provenance(role, options, losses[role], tables[role]))
    thresholds = {role: [row["threshold"] for row in rows] for role, rows in tables.items()}
    write_json(
        out / "demo_thresholds.json",
        {"order": "logits for the classes of LLP as valor.data.vocabulary lists them", **thresholds},
    )
    return losses


def train_network(network: TinyNetwork, samples: Samples, options: TeacherOptions, steps: int) -> list[float]:
    """Train a network in place.

    Returns:
        The loss of each step.
    """
    rng = np.random.default_rng((POOL_SEED, options.seed, 10 + ROLES.index(network.role)))
    torch.manual_seed(options.seed)
    learned = [weight for weight in network.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=options.learning_rate, weight_decay=0.02)
    plan = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, options.learning_rate, total_steps=max(steps, 2), pct_start=0.1
    )
    network.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    losses = []
    bar = progress_bar(
        batches(len(samples.labels), options, steps), desc=f"training {network.role}", total=steps, unit="step"
    )
    for batch in bar:
        pictures = disturb(pictures_of(samples, batch))
        captions = draw_captions(LLP_CLASSES, network.role, rng)
        loss = contrastive_loss(network, pictures, captions, torch.from_numpy(samples.labels[batch]).float())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        plan.step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
    return losses


def batches(count: int, options: TeacherOptions, steps: int) -> Iterator[np.ndarray]:
    """Draw `steps` batches of sample numbers, each sample once per round."""
    rng, left = np.random.default_rng((POOL_SEED, options.seed, len(STREAMS))), np.zeros(0, np.int64)
    for _ in range(steps):
        if len(left) < options.batch:
            left = np.concatenate([left, rng.permutation(count)])
        yield left[: options.batch]
        left = left[options.batch :]


def contrastive_loss(network: TinyNetwork, pictures: dict[str, Tensor], captions: list[str], labels: Tensor) -> Tensor:
    """Sigmoid loss of every sample with every caption, summed over captions, averaged over samples.

    Source:
        Zhai et al., Sigmoid loss for language image pre-training, ICCV 2023; here a sample may fit several captions.
    """
    _, embedding = network(pictures)
    logits = network.logits(embedding @ network.text(captions).T)
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").sum(dim=1).mean()


def fuse(parts: dict[str, TinyNetwork]) -> TinyNetwork:
    """Build a fused network on the trained trunks of a visual and an audio one; the trunks stay as they are."""
    fused = TinyNetwork("fused").fold_norms()
    for name in STREAMS:
        fused.trunks[name].load_state_dict(parts[name].fold_norms().trunks[name].state_dict())
    fused.trunks.requires_grad_(False)
    return fused


@torch.inference_mode()
def score(network: TinyNetwork, samples: Samples) -> np.ndarray:
    """Logits float32 [N, C] of samples to the published prompts, as labels are made from them."""
    text = network.eval().text(prompts(LLP_CLASSES, network.role))
    rows = np.array_split(np.arange(len(samples.labels)), -(-len(samples.labels) // 256))
    return torch.cat([network.logits(network(pictures_of(samples, row))[1] @ text.T) for row in rows]).numpy()


def calibrate(logits: np.ndarray, labels: np.ndarray) -> list[dict[str, float]]:
    """Threshold, precision and recall of each class: logits float [N, C], labels bool [N, C]."""
    table = []
    for index in range(labels.shape[1]):
        threshold, precision, recall = best_threshold(logits[:, index], labels[:, index])
        table.append({"threshold": round(threshold, 4), "precision": round(precision, 4), "recall": round(recall, 4)})
    return table


def best_threshold(logits: np.ndarray, present: np.ndarray) -> tuple[float, float, float]:
    """Find the threshold of one class with the best F-score, were TAGGED_SHARE of the samples to hold it.

    Args:
        logits: float [N].
        present: bool [N], with both values in it.

    Returns:
        (threshold, precision, recall); a label needs a logit above the threshold.
    """
    order = np.argsort(-logits)
    hits = np.cumsum(present[order]) / present.sum() * TAGGED_SHARE
    alarms = np.cumsum(~present[order]) / (~present).sum() * (1 - TAGGED_SHARE)
    f_score = 2 * hits / (hits + alarms + TAGGED_SHARE)
    best = min(int(np.argmax(f_score)), len(order) - 2)
    threshold = float(logits[order[best : best + 2]].mean())
    return threshold, float(hits[best] / (hits[best] + alarms[best])), float(hits[best] / TAGGED_SHARE)


def ship(network: TinyNetwork, out: Path, facts: dict[str, object]) -> None:
    """Write a network's weights in half precision and what is known of them, each file whole or not at all."""
    path = out / f"demo_{network.role}.safetensors"
    tensors = {name: tensor.half().contiguous() for name, tensor in network.fold_norms().state_dict().items()}
    with replaced(path) as draft:
        save_file(tensors, draft)
        draft.chmod(0o644)
    digest = file_sha256(path)
    write_json(path.with_suffix(".json"), {"weights": path.name, "sha256": digest, **facts})


def provenance(
    role: str, options: TeacherOptions, losses: list[float], table: list[dict[str, float]]
) -> dict[str, object]:
    """What is known of a teacher: how it was made, and its quality on unseen samples."""
    per_class = dict(zip(class_names(LLP_CLASSES), table, strict=True))
    return {
        "made_by": "python -m valor.demo.teachers.train_teachers",
        "options": asdict(options),
        "samples": "single frames and seconds rendered for training alone (seeds start with POOL_SEED); no demo clip",
        "loss": round(float(np.mean(losses[-50:])), 4),
        "torch": torch.__version__.split("+")[0],
        "quality_on": f"{options.held_out} unseen samples, weighted as if a class were there in {TAGGED_SHARE:.0%}",
        "mean_precision": round(float(np.mean([row["precision"] for row in table])), 4),
        "mean_recall": round(float(np.mean([row["recall"] for row in table])), 4),
        "prompts": list(prompts(LLP_CLASSES, role)),
        "classes": per_class,
    }


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and make the weights."""
    cli = argparse.ArgumentParser(
        prog="python -m valor.demo.teachers.train_teachers", description=__doc__.split("\n")[0]
    )
    cli.add_argument("--out", type=Path, required=True, help="folder that receives the weights")
    cli.add_argument("--cache", type=Path, help="folder that keeps rendered samples for a further run")
    for name, default in asdict(TeacherOptions()).items():
        cli.add_argument("--" + name.replace("_", "-"), type=type(default), default=default, help=f"default {default}")
    chosen = vars(cli.parse_args(arguments))
    out, cache = chosen.pop("out"), chosen.pop("cache")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = TeacherOptions(**chosen)
    train_teachers(render_pools(options, cache), out, options)


if __name__ == "__main__":
    main()
