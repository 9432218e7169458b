"""What towers on raw seconds learn without labels: a linear probe beside random towers and the demo's own teachers.

    python -m benchmarks.raw_towers --data demo/data --out FOLDER [--systems avc,mavil,...] [--seeds 2] [--epochs 8]
    python -m benchmarks.raw_towers --published

DATA is a demo world with its clips. Each system trains on the clips of the train split alone, without their tags, for
some epochs of all their seconds (a stopped benchmark goes on; what is in FOLDER is used again). Then nothing of it is
trained any more: ridge regression from what a tower says of a second to the classes that are heard, or seen, in it,
learned on train from the world's timetable, its strength chosen on val; mAP over the classes on test. A random tower is
of the same kind with the weights training began with. Intervals are of 95 %, by resampling test clips; differences are
paired by clip. Teachers of the demo were trained with captions on millions of other samples of such a world.

Where a tower keeps maps, the peak of the map that the sound of a second gives is counted as right where it lies in the
box of a drawing of a class that is heard and seen then, beside a place at random and the middle of the frame.

`--published` builds MAViL at its published size and makes one step of its first round.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import processor
from valor.demo.pictures.backgrounds import FRAME_HEIGHT, FRAME_WIDTH
from valor.demo.world.render import boxes_at
from valor.demo.world.schedule import ClipPlan, sample_world, world_arrays
from valor.eval.average_precision import segment_precision
from valor.eval.retrieval import retrieval_scores
from valor.label_harvest.store.manifest import media_id
from valor.label_harvest.teachers.demo import build_tiny
from valor.parsers.joint_space import unit
from valor.parsers.raw.mavil import PUBLISHED, published
from valor.parsers.raw.options import MAPS, TowerOptions
from valor.parsers.raw.registry import raw_objective
from valor.parsers.raw.sounding import own_maps
from valor.parsers.raw.views import RawViews
from valor.pretraining.options import PretrainOptions
from valor.pretraining.raw import pretrain_raw
from valor.raw.extractor import read_towers
from valor.raw.options import PoolOptions
from valor.raw.pool import RawPool, RawWindows, decode_pool
from valor.training.encoder_file import read_encoder

SECONDS = 10
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
RESAMPLES = 500
RATE = 1e-3
AT_ONCE = 64
"""Pieces that are judged together."""
NO_FIGURES = ("xdc",)
"""Its figures are of the clusters of the pool it learned from."""
Rows = np.ndarray


@dataclass(frozen=True)
class World:
    """A demo world: its timetable, where its clips lie, and their seconds on disk."""

    seed: int
    plans: tuple[ClipPlan, ...]
    truth: np.ndarray
    media: tuple[Path, ...]
    """Of train."""
    train: RawPool
    rest: RawPool

    def of(self, split: str) -> np.ndarray:
        return np.array([plan.split == split for plan in self.plans])


def read_world(data: Path, out: Path, pictures: int) -> World:
    said = json.loads((data / "world.json").read_text(encoding="utf-8"))
    plans = sample_world(said["sizes"], said["seed"])
    paths = {
        part: [data / "videos" / f"{media_id(p.clip_id)}.mp4" for p in plans if (p.split == "train") is part]
        for part in (True, False)
    }
    options = PoolOptions(pictures=pictures, seconds=SECONDS)
    train, rest = (
        decode_pool(paths[part], out / f"pool-{name}-{pictures}", options, progress=True)
        for part, name in ((True, "train"), (False, "rest"))
    )
    return World(said["seed"], plans, world_arrays(plans)[0], tuple(paths[True]), train, rest)


@torch.inference_mode()
def features_of(world: World, say: "Say") -> list[np.ndarray]:
    """What is said of every second, float64 [N, T, D] of each modality."""
    place = {f"{media_id(plan.clip_id)}.mp4": row for row, plan in enumerate(world.plans)}
    found: list[np.ndarray] = []
    for pool in (world.train, world.rest):
        windows = RawWindows(pool, SECONDS)
        for rows in torch.arange(len(windows)).split(16):
            batch = windows.batch(rows)
            for m, said in enumerate(say(batch.audio, batch.visual)):
                if len(found) <= m:
                    found.append(np.full((len(world.plans), SECONDS, said.shape[-1]), np.nan))
                found[m][[place[windows.clip_ids[row]] for row in rows.tolist()]] = said.view(len(rows), SECONDS, -1)
    return found


class Say:
    """Sound and pictures of seconds [B, T, ...] to what a network says of them, [B * T, D] of each modality."""

    def __call__(self, audio: torch.Tensor, visual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise NotImplementedError


class Towers(Say):
    def __init__(self, views: RawViews) -> None:
        self.views = views.eval()

    def __call__(self, audio: torch.Tensor, visual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.views.audio(audio.flatten(0, 1)), self.views.visual(visual.flatten(0, 1))


class Teachers(Say):
    def __init__(self) -> None:
        self.networks = [build_tiny(role, ["anything"]).network for role in ("audio", "visual")]

    def __call__(self, audio: torch.Tensor, visual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        middle = visual.shape[3] // 2
        heard = self.networks[0]({"audio": audio.flatten(0, 1)[:, :, 0]})[0]
        return heard, self.networks[1]({"visual": visual.flatten(0, 1)[:, :, middle]})[0]


def probe(world: World, features: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Scores of the classes in the seconds of test clips, float64 [n, T, C], by a ridge regression of each modality."""
    scores = []
    for m, x in enumerate(features):
        learned = world.of("train") & np.isfinite(x).all(axis=(1, 2))
        flat = x[learned].reshape(-1, x.shape[-1])
        x = np.nan_to_num((x - flat.mean(0)) / (flat.std(0) + 1e-6))
        x = np.concatenate([x, np.ones((*x.shape[:2], 1))], axis=-1)
        flat = x[learned].reshape(-1, x.shape[-1])
        truth = world.truth[learned][:, :, m].reshape(len(flat), -1)
        square, product = flat.T @ flat, flat.T @ truth
        keep = np.eye(len(square))
        keep[-1, -1] = 0
        weights = [np.linalg.solve(square + s * len(flat) * keep, product) for s in STRENGTHS]
        val = [precision(x[world.of("val")] @ w, world.truth[world.of("val")][:, :, m]) for w in weights]
        scores.append(x[world.of("test")] @ weights[int(np.argmax(val))])
    return scores


def precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """mAP in percent, for float [n, T, C] and bool [n, T, C]."""
    probs = 1 / (1 + np.exp(-8 * (scores - 0.5)))
    return 100 * float(segment_precision(probs[:, :, None], truth[:, :, None]).mean[0])


def drawn_clips(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(count, size=(RESAMPLES, count))


def resampled(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """mAP of each resample of clips."""
    return np.array([precision(scores[rows], truth[rows]) for rows in drawn_clips(len(truth))])


def interval(values: np.ndarray) -> str:
    low, high = np.quantile(values, [0.025, 0.975])
    return f"[{low:.1f}, {high:.1f}]"


def pointed(world: World, views: RawViews) -> str:
    """How often the peak of the map of a second lies on a drawing of a class that is heard and seen then."""
    place = {f"{media_id(plan.clip_id)}.mp4": row for row, plan in enumerate(world.plans)}
    windows, counts = RawWindows(world.rest, SECONDS), list[tuple[int, bool, float, bool]]()
    for row in range(len(windows)):
        number = place[windows.clip_ids[row]]
        if world.plans[number].split != "test":
            continue
        batch = windows.batch(torch.tensor([row]))
        middle = batch.visual.shape[3] // 2
        with torch.inference_mode():
            maps = own_maps(views, batch.audio.flatten(0, 1), batch.visual.flatten(0, 1))
        for second in range(SECONDS):
            moment = second + (middle + 0.5) / batch.visual.shape[3]
            boxes = boxes_at(world.plans[number], world.seed, moment)
            events = [e for e in world.plans[number].events if e.modality == "audio"]
            heard = {e.class_name for e in events if e.onset <= second < e.offset}
            shown = [np.array(box) / ((FRAME_WIDTH, FRAME_HEIGHT) * 2) for name, box in boxes.items() if name in heard]
            if not shown:
                continue
            y, x = divmod(int(maps[second].argmax()), maps.shape[2])
            peak = (x + 0.5) / maps.shape[2], (y + 0.5) / maps.shape[1]
            hit, centre = (any(b[0] <= x < b[2] and b[1] <= y < b[3] for b in shown) for x, y in (peak, (0.5, 0.5)))
            area = 1 - np.prod([1 - (b[2] - b[0]) * (b[3] - b[1]) for b in shown])
            counts.append((number, hit, float(area), centre))
    table = np.array(counts)
    clips = np.unique(table[:, 0])
    sums = np.stack([table[table[:, 0] == clip][:, 1:].sum(0) for clip in clips])
    sizes = np.array([(table[:, 0] == clip).sum() for clip in clips])
    drawn = drawn_clips(len(clips))
    shares = 100 * sums[drawn].sum(1) / sizes[drawn].sum(1)[:, None]
    means = 100 * sums.sum(0) / sizes.sum()
    lead = interval(shares[:, 0] - shares[:, 2])
    return (
        f"peak {means[0]:.1f} {interval(shares[:, 0])}, at random {means[1]:.1f}, middle {means[2]:.1f} (peak over "
        f"middle {means[0] - means[2]:+.1f} {lead}); {len(table)} seconds"
    )


@torch.inference_mode()
def held_out(world: World, run: Path, name: str, views: RawViews) -> str:
    """What the objective itself gets right on test clips, and how sounds find their pictures among those of others."""
    _, kind, made = raw_objective(name)
    torch.manual_seed(0)
    objective = made(views, made.Options(**read_encoder(run).card.options)).eval()
    objective.load_state_dict(read_encoder(run).part("objective"), strict=False)
    windows, rng = RawWindows(world.rest, kind.seconds), torch.Generator().manual_seed(0)
    tested = {f"{media_id(plan.clip_id)}.mp4" for plan in world.plans if plan.split == "test"}
    rows = torch.tensor([row for row, clip in enumerate(windows.clip_ids) if clip in tested])
    figures: dict[str, list[float]] = {}
    for some in rows[torch.randperm(len(rows), generator=rng)].split(AT_ONCE)[:12]:
        for figure, value in objective.loss(views, windows.batch(some), rng).figures.items():
            figures.setdefault(figure, []).append(float(value))
    said = [f"{figure} {np.mean(values):.3f}" for figure, values in figures.items()]
    first = {clip: row for row, clip in reversed(list(enumerate(windows.clip_ids))) if clip in tested}
    batch = windows.batch(torch.tensor(list(first.values())))
    heard, seen = (unit(x.mean(dim=1)) for x in objective.embedded(views, batch))
    similar = (heard @ seen.T).double().numpy()
    for way, table in (("sound to picture", similar), ("picture to sound", similar.T)):
        recall = retrieval_scores(table).recall
        said.append(f"{way} R@1/5/10 {'/'.join(f'{recall[k]:.1f}' for k in (1, 5, 10))}")
    return "; ".join(said) + f" (chance {100 / len(first):.1f}/{500 / len(first):.1f}/{1000 / len(first):.1f})"


def trained(world: World, system: str, seed: int, typed: argparse.Namespace) -> tuple[RawViews, float]:
    """Towers of a system, and seconds that their training took; those in the folder are used again."""
    run = typed.out / f"{system}-{seed}"
    began = time.perf_counter()
    options = PretrainOptions(
        epochs=typed.epochs,
        batch_size=typed.batch_size,
        learning_rate=RATE,
        warmup_epochs=1,
        seed=seed,
        held_out=0.0,
    )
    result = pretrain_raw(system, world.media, run, options, changes=typed.set, pool=world.train.folder)
    print(
        f"# {system}-{seed}: loss {result.result.first['total']:.3f} -> {result.result.last['total']:.3f}", flush=True
    )
    return read_towers(run)[0], time.perf_counter() - began


def random_towers(system: str, seed: int) -> RawViews:
    """The towers a training begins with."""
    towers = dict(raw_objective(system)[1].towers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RawViews(replace(TowerOptions(**towers), drop_share=0.0))


def compare(typed: argparse.Namespace) -> None:
    """Train what is not there, and print a row of each system and seed."""
    typed.out.mkdir(parents=True, exist_ok=True)
    worlds: dict[int, World] = {}
    baselines: dict[tuple[object, ...], list[np.ndarray]] = {}
    print(f"{'':26}{'audible':>9}{'':16}{'over random':>12}{'':16}{'visible':>9}{'':16}{'over random':>12}")
    for system in typed.systems.split(","):
        name, kind, _ = raw_objective(system)
        pictures = int(kind.towers.get("pictures", 1))
        world = worlds.get(pictures) or read_world(typed.data, typed.out, pictures)
        worlds[pictures] = world
        truth = world.truth[world.of("test")]
        if not baselines:
            print_row("the demo's teachers", probe(world, features_of(world, Teachers())), None, truth)
        for seed in range(typed.seeds):
            key = (tuple(sorted(kind.towers.items())), seed)
            if key not in baselines:
                start = random_towers(name, seed)
                baselines[key] = probe(world, features_of(world, Towers(start)))
                print_row(f"random {start.options.kind} {pictures}, {seed}", baselines[key], None, truth)
                if start.options.kind == MAPS:
                    print(f"#   where: {pointed(world, start.eval())}", flush=True)
            views, seconds = trained(world, name, seed, typed)
            print_row(f"{name}, {seed}", probe(world, features_of(world, Towers(views))), baselines[key], truth)
            if views.options.kind == MAPS:
                print(f"#   where: {pointed(world, views)}", flush=True)
            if name not in NO_FIGURES:
                print(f"#   on test clips: {held_out(world, typed.out / f'{name}-{seed}', name, views)}", flush=True)
            print(f"#   {seconds:.0f} s", flush=True)


def print_row(name: str, scores: Sequence[np.ndarray], beside: Sequence[np.ndarray] | None, truth: np.ndarray) -> None:
    """mAP of both modalities with intervals, and the differences to a random tower."""
    cells = [f"{name:26}"]
    for m, found in enumerate(scores):
        value, spread = precision(found, truth[:, :, m]), resampled(found, truth[:, :, m])
        cells.append(f"{value:9.1f} {interval(spread):15}")
        if beside is None:
            cells.append(" " * 28)
            continue
        gain = value - precision(beside[m], truth[:, :, m])
        cells.append(f"{gain:+12.1f} {interval(spread - resampled(beside[m], truth[:, :, m])):15}")
    print("".join(cells), flush=True)


def one_published_step(batch: int) -> None:
    """MAViL at its published size: weights, shapes, and one step on noise."""
    began = time.perf_counter()
    torch.manual_seed(0)
    towers, network = published()
    parts = {"tower of sound": towers[0], "tower of picture": towers[1], "fusion": network.fusion,
             "decoder of sound": network.paint[0], "decoder of picture": network.paint[1]}  # fmt: skip
    for name, part in parts.items():
        print(f"{name:20} {sum(w.numel() for w in part.parameters()) / 1e6:7.1f} M weights")
    patches = [torch.randn(batch, one.num_patches, one.patch_width) for one in PUBLISHED]
    hidden = network.options.mask_ratio
    for name, x, one in zip(("sound", "picture"), patches, PUBLISHED, strict=True):
        kept = one.num_patches - round(hidden * one.num_patches)
        print(f"{name:20} {one.shape} in patches {one.patch}: {list(x.shape)}, of which a tower sees {kept}")
    optimiser = torch.optim.AdamW([*towers.parameters(), *network.parameters()], lr=2e-4)
    print(f"built in {time.perf_counter() - began:.1f} s")
    began = time.perf_counter()
    terms = network.step(list(towers), patches, None, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    terms.total.backward()
    optimiser.step()
    said = ", ".join(f"{name} {float(term.detach()):.3f}" for name, term in terms.parts.items())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    took = time.perf_counter() - began
    print(f"one step of {batch} clips: {took:.1f} s, {peak:.1f} GiB; {said}; total {float(terms.total.detach()):.3f}")


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, default=Path("demo/data"))
    cli.add_argument("--out", type=Path, default=Path("raw-towers"))
    cli.add_argument("--systems", default="avc,avol,mavil,xdc,crisscross")
    cli.add_argument("--seeds", type=int, default=2)
    cli.add_argument("--epochs", type=int, default=8)
    cli.add_argument("--threads", type=int, default=2)
    cli.add_argument("--set", action="append", default=[], help="option=value, as for valor pretrain --raw")
    cli.add_argument("--batch-size", type=int, default=64)
    cli.add_argument("--published", action="store_true")
    cli.add_argument("--batch", type=int, default=2, help="clips of the published step")
    typed = cli.parse_args()
    torch.set_num_threads(typed.threads)
    print(f"python -m benchmarks.raw_towers {' '.join(sys.argv[1:])}\n{processor()}\n")
    if typed.published:
        one_published_step(typed.batch)
    else:
        compare(typed)


if __name__ == "__main__":
    main()
