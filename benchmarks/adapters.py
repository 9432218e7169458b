"""Whether a frozen visual tower can be made to hear, and what a parser has of it.

    python -m benchmarks.adapters [--steps 150] [--seeds 2]
    python -m benchmarks.adapters --data demo/data --labels demo/labels/valor --out FOLDER --seeds 3

Alone: an exclusive or of what is drawn and what sounds. A picture shows a dog or a car and a tone is low or high; what
the demo's frozen visual tower says of the picture is to tell whether exactly one of the two is the second kind, through
one linear layer. 0.5 is chance. Adapters that read the other stream are beside those that read their own.

With `--data` the demo world: adapters are trained on its clips and labels, features are harvested, and the parsers of
`valor ablate` trained on them; segment F-scores of the test split in percent, each parser at the epoch val likes best.
What is done lies in FOLDER and is not done again.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.machine import processor
from valor.adapted.card import CARD, DEMO, NAMED, AdapterCard, AdaptOptions
from valor.adapted.extractor import write_adapters
from valor.adapted.towers import DemoTower, Tower
from valor.data.datasets.dataset import LLP
from valor.data.read_clips import read_clip_set
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.pictures.looks import sample_image
from valor.experiments.rows import BASES
from valor.label_harvest.harvest import HarvestOptions, harvest
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.teachers.demo import SAMPLE_RATE, frame_pictures, shrink_frames, sound_pictures
from valor.parsers.build import build_parser
from valor.teachers import TeacherChoice, build_teachers
from valor.training.adapt import adapt, optimiser_of
from valor.training.checkpoint import read_checkpoint
from valor.training.cotrain import TrainedSet, cotrain
from valor.training.recipes import override
from valor.training.train import validate

KINDS = ("Dog", "Car")
TONES = (300.0, 900.0)
"""Hz."""
BATCH, RATE = 32, 5e-3
"""Of the exclusive or."""
CLOSED, ALONE, HEARING = "closed", "alone", "hearing"
"""Gates that were never opened, adapters that read their own stream, and those that read the other one."""
EPOCHS = 6
"""Of adapters on the demo world."""
ROWS: Mapping[str, tuple[str, str, str]] = {
    "the teachers' own": (CLOSED, "audio.embedding", "visual.embedding"),
    "picture of adapters, reading themselves": (ALONE, "audio.embedding", "lavish.visual"),
    "picture of adapters": (HEARING, "audio.embedding", "lavish.visual"),
    "the visual tower for both": (CLOSED, "lavish.audio", "lavish.visual"),
    "both of adapters, reading themselves": (ALONE, "lavish.audio", "lavish.visual"),
    "both of adapters": (HEARING, "lavish.audio", "lavish.visual"),
}
"""By what is printed: of which store, features for sound and for picture."""

Drawn = Callable[[int], tuple[Tensor, Tensor, Tensor]]
"""Makes so many sounds, pictures float32 [N, 3, H, W] each and answers float32 [N]."""


def world(rng: np.random.Generator, pictures: int = 256) -> Drawn:
    """The exclusive or as the demo's tower takes it; there are as many pictures, used again and again."""
    kinds = np.arange(pictures) % 2
    frames = np.stack([sample_image([KINDS[kind]], rng) for kind in kinds])
    shown = frame_pictures(shrink_frames(torch.from_numpy(frames)))
    time_axis = np.arange(SAMPLE_RATE) / SAMPLE_RATE

    def draw(count: int) -> tuple[Tensor, Tensor, Tensor]:
        rows, bits = rng.integers(0, pictures, count), rng.integers(0, 2, count)
        pitch = np.array(TONES)[bits] * rng.uniform(0.9, 1.1, count)
        waves = 0.1 * np.sin(2 * np.pi * pitch[:, None] * time_axis + rng.uniform(0, 6, (count, 1)))
        sounds = sound_pictures(torch.from_numpy((waves + rng.normal(0, 0.01, waves.shape)).astype(np.float32)))
        return sounds.expand(-1, 3, -1, -1), shown[rows], torch.from_numpy(kinds[rows] ^ bits).float()

    return draw


def told(tower: Tower, drawn: Drawn, *, alone: bool, steps: int, seed: int) -> float:
    """Share of pictures of which the exclusive or is told, after training adapters and one layer."""
    torch.manual_seed(seed)
    adapters, head = tower.new_adapters(), nn.Linear(tower.width, 1)
    optimiser = optimiser_of(nn.ModuleList([adapters, head]), RATE)

    def logits(sounds: Tensor, pictures: Tensor) -> Tensor:
        answer: Tensor = head(tower.run(adapters, sounds, pictures, alone=alone)[1])[:, 0]
        return answer

    for _ in range(steps):
        sounds, pictures, truth = drawn(BATCH)
        loss = functional.binary_cross_entropy_with_logits(logits(sounds, pictures), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    adapters.eval()
    sounds, pictures, truth = drawn(200)
    with torch.no_grad():
        return float(((logits(sounds, pictures) > 0) == (truth > 0)).float().mean())


def exclusive_or(steps: int, seeds: int) -> None:
    """Print the table of the exclusive or."""
    tower = DemoTower()
    adapters, looking = (sum(w.numel() for w in part.parameters()) for part in (tower.new_adapters(), tower.network))
    print(f"{adapters:,} weights in adapters, {looking:,} in the tower: {100 * adapters / looking:.1f} %")
    for alone, name in ((False, "the other stream"), (True, "their own in its place")):
        started, found = time.process_time(), []
        for seed in range(seeds):
            drawn = world(np.random.default_rng(seed))
            found.append(told(tower, drawn, alone=alone, steps=steps, seed=seed))
        spent = time.process_time() - started
        print(f"adapters read {name:<24}{np.mean(found):.2f} ({min(found):.2f} to {max(found):.2f})  {spent:.0f} CPU s")
    print(f"{steps} steps of {BATCH}, {seeds} seeds, {processor()}")


def adapters_in(data: Path, labels: Path, out: Path) -> None:
    """Adapters of one kind, the last part of the name of their folder."""
    if out.name != CLOSED:
        options = AdaptOptions(visual=DEMO, alone=out.name == ALONE, epochs=EPOCHS)
        result = adapt(LLP, data, data / "videos", out, options, labels=labels, progress=True)
        print(f"{out.name}: loss {', '.join(f'{loss:.3f}' for loss in result.losses)}", flush=True)
    elif not (out / CARD).is_file():
        tower = DemoTower()
        card = AdapterCard(visual=DEMO, tower=tower.weights, weights="", alone=False, made_of={}, clips=0, losses=())
        out.mkdir(parents=True, exist_ok=True)
        write_adapters(out, tower.new_adapters(), card)


def store_of(data: Path, run: Path, store: Path) -> Path:
    """The features of all splits by a run of adapters, beside those of the teachers."""
    splits = [LLP.read_clips(data, name) for name in LLP.splits]
    manifest = HarvestManifest(
        tuple(clip_id for split in splits for clip_id in split.clip_ids),
        class_names(LLP_CLASSES),
        np.concatenate([split.weak_labels for split in splits]),
    )
    choice = TeacherChoice(visual=DEMO, audio="demo-audio", features=(f"{NAMED}{run}",))
    harvest(manifest, data / "videos", store, build_teachers(choice, LLP_CLASSES), options=HarvestOptions())
    return store


def scored(data: Path, labels: Path, store: Path, row: str, seed: int, out: Path) -> tuple[float, float, float]:
    """Segment F of what is heard, of what is seen, and Type@AV."""
    _, audio, visual = ROWS[row]
    recipe = override(BASES["demo"], (f"fit.seed={seed}", f"features.audio={audio}", f"features.visual={visual}"))
    train, val, test = (
        read_clip_set(data, LLP.read_split(data, name), recipe.features, labels=taught, store=store)
        for name, taught in (("train", labels), ("val", None), ("test", None))
    )
    parser = build_parser(replace(recipe.parser, num_classes=len(train.class_names)), seed=seed)
    trained = TrainedSet(name="demo", parser=parser, train=train, val=val, options=recipe.fit, out=out, recipe={})
    segment = validate(read_checkpoint(cotrain([trained], progress=False)["demo"].checkpoint)[0], test).segment
    return segment.audio, segment.visual, segment.type_av


def demo_world(data: Path, labels: Path, out: Path, seeds: int) -> None:
    """Print the table of the demo world."""
    for kind in (CLOSED, ALONE, HEARING):
        adapters_in(data, labels, out / kind)
        store_of(data, out / kind, out / f"{kind}-store")
    print(f"\n{'':42}audible  visible  Type@AV (each seed)")
    for row, (kind, _, _) in ROWS.items():
        folder = out / "runs" / row.replace(" ", "-")
        found = [scored(data, labels, out / f"{kind}-store", row, seed, folder / f"{seed}") for seed in range(seeds)]
        means = np.mean(found, axis=0)
        each = ", ".join(f"{type_av:.1f}" for _, _, type_av in found)
        print(f"{row:42}{means[0]:7.1f}{means[1]:9.1f}{means[2]:9.1f} ({each})", flush=True)
    print(f"adapters of {EPOCHS} epochs and one seed, parsers of {seeds}, {processor()}")


def main() -> None:
    """Print a table."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--steps", type=int, default=150)
    cli.add_argument("--seeds", type=int, default=2)
    cli.add_argument("--data", type=Path)
    cli.add_argument("--labels", type=Path)
    cli.add_argument("--out", type=Path)
    typed = cli.parse_args()
    torch.set_num_threads(1)
    if typed.data is None:
        exclusive_or(typed.steps, typed.seeds)
    elif typed.labels is None or typed.out is None:
        cli.error("--data needs --labels and --out")
    else:
        demo_world(typed.data, typed.labels, typed.out, typed.seeds)


if __name__ == "__main__":
    main()
