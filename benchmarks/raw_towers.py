"""What towers on raw seconds learn without labels: a linear probe beside random towers and the demo's own teachers.

    python -m benchmarks.raw_towers --data demo/data --out FOLDER [--systems avc,mavil,...] [--seeds 2] [--epochs 6]
        [--learning-rate 1e-3] [--warmup-epochs 1] [--set tower.less_still=true] [--told]
    python -m benchmarks.raw_towers --published

DATA is a demo world with its clips. Each system trains on the clips of the train split alone, without their tags, for
some epochs of all their seconds, 64 seconds a step whatever its pieces are, so that all take as many steps (a stopped
benchmark goes on; what is in FOLDER is used again). Then nothing of it is trained any more: ridge regression from what
a tower says of a second to the classes that are heard, or seen, in it, learned on train from the world's timetable, its
strength chosen on val; mAP over the classes on test. A random tower is of the same kind with the weights training began
with. A row is the mean over seeds; intervals are of 95 %, by resampling test clips, and those of differences, which are
paired by clip and seed, also over seeds, where there are two. Teachers of the demo were trained with captions on
millions of other samples of such a world; `--told` adds a row of the same towers, clips and steps, with the classes
said.

Where a tower keeps maps, the peak of the map that the sound of a second gives is counted as right where it lies in the
box of a drawing of a class that is heard and seen then, beside a place at random, the middle of the frame, and the
place where a picture differs most from the median of its clip.

`--published` builds MAViL at its published size and makes one step of its first round.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, binary_cross_entropy_with_logits

from benchmarks.machine import processor
from valor.demo.pictures.backgrounds import FRAME_HEIGHT, FRAME_WIDTH
from valor.demo.world.render import boxes_at
from valor.demo.world.schedule import ClipPlan, sample_world, world_arrays
from valor.eval.average_precision import segment_precision
from valor.eval.intervals import seed_interval
from valor.eval.retrieval import retrieval_scores
from valor.label_harvest.disk import replaced, write_json
from valor.label_harvest.store.manifest import media_id
from valor.label_harvest.teachers.demo import build_tiny
from valor.parsers.joint_space import unit
from valor.parsers.pretraining.objective import Objective, Segments
from valor.parsers.raw.mavil import PUBLISHED, published
from valor.parsers.raw.options import MAPS, TowerOptions
from valor.parsers.raw.registry import raw_objective
from valor.parsers.raw.sounding import Sounding, SoundingOptions, own_maps
from valor.parsers.raw.views import RawViews
from valor.pretraining.options import PretrainOptions
from valor.pretraining.raw import pretrain_raw
from valor.raw.extractor import read_towers
from valor.raw.options import PoolOptions
from valor.raw.pool import RawPool, RawWindows, decode_pool
from valor.training.encoder_file import read_encoder
from valor.training.override import tree_of, updated
from valor.training.run_folder import LOG

SECONDS = 10
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
RESAMPLES = 500
TOLD_RATE = 2e-3
"""Largest step size where classes are said."""
AT_ONCE = 64
"""Pieces that are judged together."""
LEAST_PIECES = 8
"""Of a batch, however long they are."""
HOW = "how.json"
"""How the runs of a folder were made."""
NO_FIGURES = ("xdc",)
"""Its figures are of the clusters of the pool it learned from."""
PAIRED = "over random, clips, seeds"
HEAD = f"{'':18} seeds {'audible':>14} {PAIRED:>30} {'visible':>14} {PAIRED:>30} where"
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
def features_of(world: World, say: "Say", *, less_still: bool = False) -> list[np.ndarray]:
    """What is said of every second, float64 [N, T, D] of each modality."""
    place = {f"{media_id(plan.clip_id)}.mp4": row for row, plan in enumerate(world.plans)}
    found: list[np.ndarray] = []
    for pool in (world.train, world.rest):
        windows = RawWindows(pool, SECONDS, less_still=less_still)
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


@dataclass(frozen=True, eq=False)
class Judged:
    """What towers of some seed say of the test clips."""

    scores: tuple[Rows, Rows]
    """Of sound and of picture, float [n, T, C]."""
    pointed: Rows
    """bool [S], whether the peak of the map lies right in the seconds of `Shown`; empty without a map."""
    took: float = float("nan")
    """Seconds of training."""


class Table:
    """Rows of systems, over clips and seeds."""

    def __init__(self, world: World) -> None:
        self.truth = world.truth[world.of("test")]

    def values(self, judged: Sequence[Judged], m: int) -> tuple[list[float], np.ndarray]:
        """mAP of each seed, and the mean over seeds of each resample of clips."""
        truth = self.truth[:, :, m]
        drawn = np.mean(
            [[precision(one.scores[m][rows], truth[rows]) for rows in drawn_clips(len(truth))] for one in judged],
            axis=0,
        )
        return [precision(one.scores[m], truth) for one in judged], drawn

    def row(self, name: str, judged: Sequence[Judged], beside: Sequence[Judged] | None, shown: "Shown") -> None:
        """mAP of both modalities and differences to the random towers of the same seeds, with intervals."""
        cells = [f"{name:18} {len(judged)}"]
        for m in range(2):
            means, drawn = self.values(judged, m)
            cells.append(f"{np.mean(means):6.1f} {interval(drawn):13}")
            if beside is None:
                cells.append(" " * 36)
                continue
            starts, before = self.values(beside, m)
            gains = [one - other for one, other in zip(means, starts, strict=True)]
            seeds = "" if len(gains) < 2 else seed_interval(gains).text().split(" ", 1)[1]
            cells.append(f"{np.mean(gains):+6.1f} {interval(drawn - before):14}{seeds:15}")
        has_maps = all(len(one.pointed) for one in judged)
        cells.append(shown.said(np.mean([one.pointed for one in judged], axis=0)) if has_maps else "")
        print("  ".join(cells), flush=True)


def interval(values: np.ndarray) -> str:
    low, high = np.quantile(values, [0.025, 0.975])
    return f"[{low:.1f}, {high:.1f}]"


class Shown:
    """The test seconds in which a class is heard and seen, and where its drawings are."""

    def __init__(self, world: World) -> None:
        place = {one.name: row for row, one in enumerate(world.rest.stretches)}
        self.seconds: list[tuple[int, int, list[np.ndarray]]] = []
        """Row of the clip in the pool, second, boxes as shares of the picture."""
        for plan in world.plans:
            row = place.get(f"{media_id(plan.clip_id)}.mp4")
            if plan.split != "test" or row is None:
                continue
            sounds = [event for event in plan.events if event.modality == "audio"]
            for second in range(SECONDS):
                boxes = boxes_at(plan, world.seed, second + 0.5)
                heard = {event.class_name for event in sounds if event.onset <= second < event.offset}
                held = [
                    np.array(box) / ((FRAME_WIDTH, FRAME_HEIGHT) * 2) for name, box in boxes.items() if name in heard
                ]
                if held:
                    self.seconds.append((row, second, held))

    def hit(self, peaks: Sequence[tuple[float, float]]) -> np.ndarray:
        """Whether each peak (x, y as shares) lies on a drawing of its second."""
        return np.array(
            [
                any(b[0] <= x < b[2] and b[1] <= y < b[3] for b in boxes)
                for (x, y), (_, _, boxes) in zip(peaks, self.seconds, strict=True)
            ]
        )

    def peaks_of(self, pool: RawPool, maps: Callable[[Segments], torch.Tensor], *, less_still: bool) -> np.ndarray:
        """Whether the peaks of maps [T, h, w] of the seconds of a clip lie right."""
        windows, found = RawWindows(pool, SECONDS, less_still=less_still), dict[int, torch.Tensor]()
        peaks = []
        for row, second, _ in self.seconds:
            if row not in found:
                with torch.inference_mode():
                    found[row] = maps(windows.batch(torch.tensor([row])))
            one = found[row][second]
            y, x = divmod(int(one.argmax()), one.shape[1])
            peaks.append(((x + 0.5) / one.shape[1], (y + 0.5) / one.shape[0]))
        return self.hit(peaks)

    def said(self, right: np.ndarray) -> str:
        """The share that is right, in percent with its interval over clips."""
        rows = np.array([row for row, _, _ in self.seconds])
        clips = np.unique(rows)
        sums = np.array([right[rows == clip].sum() for clip in clips])
        sizes = np.array([(rows == clip).sum() for clip in clips])
        drawn = drawn_clips(len(clips))
        return f"{100 * right.mean():5.1f} {interval(100 * sums[drawn].sum(1) / sizes[drawn].sum(1))}"

    def without_towers(self, pool: RawPool) -> None:
        """What needs no tower."""
        area = np.array(
            [1 - np.prod([1 - (b[2] - b[0]) * (b[3] - b[1]) for b in boxes]) for _, _, boxes in self.seconds]
        )
        middle, far = self.hit([(0.5, 0.5)] * len(area)), self.peaks_of(pool, what_differs, less_still=True)
        said = {"a place at random": area, "the middle": middle, "where it differs most from its clip's median": far}
        print(f"where the sounding thing is, {len(area)} seconds:", flush=True)
        for name, right in said.items():
            print(f"  {name:46} {self.said(right)}", flush=True)


def what_differs(batch: Segments) -> torch.Tensor:
    """How far places of 8 x 8 differ from what stands still, [T, 6, 8]."""
    far = batch.visual[0].abs().mean(dim=(1, 2))  # [T, 48, 64]
    return avg_pool2d(far[:, None], 8)[:, 0]


@torch.inference_mode()
def held_out(world: World, objective: Objective, views: RawViews, seconds: int) -> str:
    """What the objective itself gets right on test clips, and how sounds find their pictures among those of others."""
    windows = RawWindows(world.rest, seconds, less_still=views.options.less_still)
    rng = torch.Generator().manual_seed(0)
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


def trained(world: World, system: str, seed: int, typed: argparse.Namespace) -> Path:
    """The run of a system; one that is in the folder is used again."""
    run: Path = typed.out / f"{system}-{seed}"
    options = PretrainOptions(
        epochs=typed.epochs,
        batch_size=max(LEAST_PIECES, typed.batch_size // raw_objective(system)[1].seconds),
        learning_rate=typed.learning_rate,
        warmup_epochs=typed.warmup_epochs,
        seed=seed,
        held_out=0.0,
    )
    result = pretrain_raw(system, world.media, run, options, changes=typed.set, pool=world.train.folder).result
    print(f"# {system}-{seed}: loss {result.first['total']:.3f} -> {result.last['total']:.3f}", flush=True)
    return run


def begun(system: str, seed: int, typed: argparse.Namespace) -> tuple[RawViews, Objective]:
    """What a training begins with."""
    _, kind, made = raw_objective(system)
    tree = tree_of(typed.set)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        views = RawViews(updated(TowerOptions(**kind.towers), tree.get("tower", {}), "tower."))
        return views, made(views, updated(made.Options(**kind.changes), tree.get("objective", {}), "objective."))


def judged(
    world: World, shown: Shown, views: RawViews, objective: Objective | None, kept: Path, took: float = float("nan")
) -> Judged:
    """What towers say of the test clips; what was found before is read again."""
    if not kept.is_file():
        less_still = views.options.less_still
        with torch.inference_mode():
            scores = probe(world, features_of(world, Towers(views), less_still=less_still))
        pointed = np.zeros(0, bool)
        if objective is not None and views.options.kind == MAPS:
            objective.eval()

            def maps(batch: Segments) -> torch.Tensor:
                return own_maps(views, objective, batch.audio.flatten(0, 1), batch.visual.flatten(0, 1))

            pointed = shown.peaks_of(world.rest, maps, less_still=less_still)
        with replaced(kept) as draft, draft.open("wb") as file:
            np.savez(file, audible=scores[0], visible=scores[1], pointed=pointed, took=took)
    with np.load(kept) as held:
        return Judged((held["audible"], held["visible"]), held["pointed"], float(held["took"]))


def told(world: World, views: RawViews, epochs: int, batch: int) -> float:
    """The same towers, clips and steps with the classes of the timetable said to them; the seconds that it took."""
    windows = RawWindows(world.train, 1, less_still=views.options.less_still)
    place = {f"{media_id(plan.clip_id)}.mp4": row for row, plan in enumerate(world.plans)}
    rows = zip(windows.clip_ids, windows.places, strict=True)
    wanted = torch.from_numpy(np.array([world.truth[place[clip], second] for clip, (_, second) in rows])).float()
    heads = torch.nn.ModuleList(torch.nn.Linear(views.width, wanted.shape[-1]) for _ in range(2))
    optimiser = torch.optim.AdamW([*views.parameters(), *heads.parameters()], lr=TOLD_RATE)
    steps, began = epochs * (len(windows) // batch), time.perf_counter()
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, TOLD_RATE, total_steps=steps)
    views.train()
    for _ in range(steps):
        some = torch.randint(len(windows), (batch,))
        pieces = windows.batch(some)
        losses = [
            binary_cross_entropy_with_logits(head(views.alone(pieces, m)[:, 0]), wanted[some, m])
            for m, head in enumerate(heads)
        ]
        optimiser.zero_grad()
        (losses[0] + losses[1]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    views.eval()
    return time.perf_counter() - began


def compare_told(world: World, shown: Shown, typed: argparse.Namespace) -> None:
    """A row of what labels would do."""
    ours, starts = list[Judged](), list[Judged]()
    for seed in range(typed.seeds):
        views, _ = begun("avol", seed, typed)
        starts.append(random_towers(world, shown, views, typed.out, seed))
        kept = typed.out / f"told-{seed}.npz"
        took = 0.0 if kept.is_file() else told(world, views, typed.epochs, typed.batch_size)
        ours.append(judged(world, shown, views.eval(), None, kept, took))
    Table(world).row("told the classes", ours, starts, shown)


def random_towers(world: World, shown: Shown, views: RawViews, out: Path, seed: int) -> Judged:
    """The towers a training begins with; their maps are dot products, as those of `avol`."""
    own = Sounding(views, SoundingOptions()) if views.options.kind == MAPS else None
    kept = out / f"random-{views.options.kind}-{views.options.pictures}-{seed}.npz"
    return judged(world, shown, views.eval(), own, kept)


def judged_teachers(world: World, kept: Path) -> Judged:
    """The same of the demo's own teachers."""
    if not kept.is_file():
        scores = probe(world, features_of(world, Teachers()))
        with replaced(kept) as draft, draft.open("wb") as file:
            np.savez(file, audible=scores[0], visible=scores[1])
    with np.load(kept) as held:
        return Judged((held["audible"], held["visible"]), np.zeros(0, bool))


def compare(typed: argparse.Namespace) -> None:
    """Train what is not there, and print a row of each system."""
    typed.out.mkdir(parents=True, exist_ok=True)
    worlds, printed = dict[int, tuple[World, Shown]](), set[str]()
    how = {name: getattr(typed, name) for name in ("epochs", "batch_size", "learning_rate", "warmup_epochs", "set")}
    if (typed.out / HOW).is_file() and json.loads((typed.out / HOW).read_text(encoding="utf-8")) != how:
        raise ValueError(f"{typed.out} holds runs of other {', '.join(how)}; choose another `out`")
    write_json(typed.out / HOW, how)
    print(HEAD)
    for system in typed.systems.split(","):
        name, kind, _ = raw_objective(system)
        pictures = int(kind.towers.get("pictures", 1))
        if pictures not in worlds:
            world = read_world(typed.data, typed.out, pictures)
            worlds[pictures] = world, Shown(world)
            worlds[pictures][1].without_towers(world.rest)
            ready = judged_teachers(world, typed.out / f"teachers-{pictures}.npz")
            Table(world).row("the demo's teachers", [ready], None, worlds[pictures][1])
            if typed.told and pictures == 1:
                compare_told(*worlds[pictures], typed)
        world, shown = worlds[pictures]
        table, ours, starts = Table(world), list[Judged](), list[Judged]()
        for seed in range(typed.seeds):
            views, objective = begun(name, seed, typed)
            starts.append(random_towers(world, shown, views, typed.out, seed))
            run = trained(world, name, seed, typed)
            own = objective.state_dict()  # what grew with the pool, such as XDC's clusters, is not asked for
            learned = read_encoder(run).part("objective")
            objective.load_state_dict({k: v for k, v in learned.items() if v.shape == own[k].shape}, strict=False)
            views = read_towers(run)[0]
            ours.append(judged(world, shown, views, objective, typed.out / f"{name}-{seed}.npz", seconds_of(run)))
            if name not in NO_FIGURES and seed == 0:
                print(f"#   on test clips: {held_out(world, objective.eval(), views, kind.seconds)}", flush=True)
        start = f"random {views.options.kind} {pictures}"
        if start not in printed:
            printed.add(start)
            table.row(start, starts, None, shown)
        table.row(name, ours, starts, shown)
        print(f"#   {np.mean([one.took for one in ours]):.0f} s", flush=True)


def seconds_of(run: Path) -> float:
    """That a training took, by its log."""
    return float(sum(json.loads(line)["seconds"] for line in (run / LOG).read_text(encoding="utf-8").splitlines()))


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
    cli.add_argument("--systems", default="avc,avol,contrast,vatt,xdc,crisscross,mavil,xkd,temporal")
    cli.add_argument("--seeds", type=int, default=2)
    cli.add_argument("--epochs", type=int, default=6)
    cli.add_argument("--learning-rate", type=float, default=1e-3)
    cli.add_argument("--warmup-epochs", type=int, default=1)
    cli.add_argument("--threads", type=int, default=2)
    cli.add_argument("--set", action="append", default=[], help="option=value, as for valor pretrain --raw")
    cli.add_argument("--batch-size", type=int, default=64, help="seconds of a step")
    cli.add_argument("--told", action="store_true", help="also a row of towers that are told the classes")
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
