"""Two worlds in which sound and picture need each other, and which encoders find out.

    python -m benchmarks.encoders [--steps 400] [--seeds 3] [--threads 2] [--only hybrid,joint]

Each stream carries a bit; what is to be told from the audible answer is their exclusive or, which neither stream says
anything of by itself. In the world of clips a bit holds for the whole clip. In that of segments every second has bits
of its own, so that a segment has to find its own second in the other stream. The share of right answers on clips that
were never trained on is printed, 0.5 being chance: `uavm`, which does not fuse, must stay there, and so must `mbt`
without a layer that fuses. What a step of each costs is printed by benchmarks.step.
"""

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.machine import processor
from valor.parsers.build import build_parser
from valor.parsers.options import ParserOptions

BATCH = 64
NOISE = 0.3
"""Standard deviation of what is added to each feature, bits being 1 and -1 along a direction."""
RATE = 2e-3

_TWO = ParserOptions(
    audio_width=8,
    visual_width=8,
    motion_width=0,
    hidden_width=32,
    num_heads=4,
    feedforward_width=64,
    num_layers=2,
    num_classes=1,
    dropout=0.0,
)

CONTENDERS: dict[str, ParserOptions] = {
    "hybrid": _TWO,
    "hybrid, learned": replace(_TWO, positions="learned"),
    "hybrid, time code": replace(_TWO, positions="time"),
    "uavm": replace(_TWO, encoder="uavm", fusion_layer=1),
    "mbt": replace(_TWO, encoder="mbt"),
    "mbt that never fuses": replace(_TWO, encoder="mbt", fusion_layer=2),
    "joint": replace(_TWO, encoder="joint"),
    "joint, learned": replace(_TWO, encoder="joint", positions="learned"),
    "joint, time code": replace(_TWO, encoder="joint", positions="time"),
    "tcaf": replace(_TWO, encoder="tcaf"),
    "mtcn": replace(_TWO, encoder="mtcn"),
    "sft": replace(_TWO, encoder="sft"),
}
"""Two layers of width 32."""

WORLDS = ("clips", "segments")


def draw(world: str, count: int, segments: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Clips of a world: both streams float [N, T, 8], and what is to be told float [N, T]."""
    places = 1 if world == "clips" else segments
    bits = torch.randint(2, (2, count, places), generator=generator).expand(2, count, segments)
    directions = torch.eye(8)[:2]
    noise = NOISE * torch.randn(2, count, segments, 8, generator=generator)
    audio, visual = (2.0 * bits[..., None] - 1) * directions[:, None, None] + noise
    return audio, visual, (bits[0] ^ bits[1]).float()


def told(options: ParserOptions, world: str, *, steps: int, seed: int, segments: int = 10) -> float:
    """Share of segments whose audible answer is right, after training on what is to be told."""
    generator = torch.Generator().manual_seed(seed)
    parser = build_parser(options, seed=seed)
    optimiser = torch.optim.AdamW(parser.parameters(), lr=RATE)
    for _ in range(steps):
        audio, visual, truth = draw(world, BATCH, segments, generator)
        logits = parser(audio, visual).segment_logits[:, :, 0, 0]
        loss = functional.binary_cross_entropy_with_logits(logits, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    audio, visual, truth = draw(world, 500, segments, generator)
    with torch.no_grad():
        answers = parser.eval()(audio, visual).segment_logits[:, :, 0, 0] > 0
    return float((answers == truth.bool()).float().mean())


def print_worlds(steps: int, seeds: int, only: Sequence[str] = ()) -> None:
    print(f"\nright answers after {steps} steps of {BATCH} clips, mean over {seeds} seeds (lowest to highest)")
    print("".join([f"{'':22}", *(f"{world:>24}" for world in WORLDS)]))
    for name, options in CONTENDERS.items():
        if only and name not in only and name.partition(",")[0] not in only:
            continue
        cells = []
        for world in WORLDS:
            shares = [told(options, world, steps=steps, seed=seed) for seed in range(seeds)]
            cells.append(f"{statistics.fmean(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})")
        print("".join([f"{name:22}", *(f"{cell:>24}" for cell in cells)]), flush=True)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--steps", type=int, default=400, metavar="N", help="training steps in each world (400)")
    cli.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each (3)")
    cli.add_argument("--threads", type=int, default=2, metavar="N", help="torch threads (2)")
    cli.add_argument("--only", default="", metavar="NAMES", help="encoders of these names, with commas between")
    arguments = cli.parse_args()
    torch.set_num_threads(arguments.threads)
    flags = f"--steps {arguments.steps} --seeds {arguments.seeds} --threads {arguments.threads}"
    print(f"python -m benchmarks.encoders {flags}")
    print(f"torch {torch.__version__}, {processor()}")
    print_worlds(arguments.steps, arguments.seeds, [name for name in arguments.only.split(",") if name])


if __name__ == "__main__":
    main()
