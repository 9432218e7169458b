"""One training step of each published configuration at batch 64, ours beside a plain network of the published shape.

    python -m benchmarks.step [--steps 8] [--threads 2]

The plain network does what the published one does, in its order: every frame and every upsampled audio position is
projected before it is averaged, each stream goes through torch.nn.MultiheadAttention on its own, there are three heads.
`plain` is fed raw features, `folded` the same features folded to segments: the first ratio shows folding and
the rest, the second the rest alone. The three take turns, step by step, and the median counts. Needs an otherwise idle
machine: two threads on two busy cores wait for each other.

The last columns count the floating-point operations of the matrix products a step cannot do without (forward, and
backward to every weight and every feature but the input), and say what share of a rate this machine reaches on a
product alone they were done at: of torch.mm, which plain networks use, and of the faster operator of
valor.parsers.cpu.products.

Below stand the other encoders (`parser.encoder`) at the size of VALOR++, beside the hybrid one.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.machine import processor
from valor.data.clips import Batch
from valor.parsers.build import build_parser
from valor.parsers.cpu.products import linear
from valor.parsers.folding import fold_clap_map, fold_frames
from valor.parsers.options import ENCODERS, OF_ENCODERS, PARSERS, ParserOptions
from valor.training.options import FitOptions
from valor.training.step import build_optimiser, train_step

BATCH, SEGMENTS = 64, 10
TRIES = 50
"""Products timed to find the highest rate."""


class PlainLayer(nn.Module):
    """Hybrid attention layer, post norm, on sequence-first streams."""

    def __init__(self, options: ParserOptions) -> None:
        super().__init__()
        width, dropout = options.hidden_width, options.dropout
        self.along = nn.MultiheadAttention(width, options.num_heads, dropout=dropout)
        self.across = nn.MultiheadAttention(width, options.num_heads, dropout=dropout)
        self.widen, self.narrow = (
            nn.Linear(width, options.feedforward_width),
            nn.Linear(options.feedforward_width, width),
        )
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        across, along = self.across(x, other, other)[0], self.along(x, x, x)[0]
        x = self.norms[0](x + self.drop(across) + self.drop(along))
        return self.norms[1](x + self.drop(self.narrow(self.drop(functional.relu(self.widen(x))))))


class PlainParser(nn.Module):
    """The published function without any shortcut."""

    def __init__(self, options: ParserOptions) -> None:
        super().__init__()
        width, classes = options.hidden_width, options.num_classes
        self.audio, self.visual = nn.Linear(options.audio_width, width), nn.Linear(options.visual_width, width)
        self.motion, self.fusion = nn.Linear(options.motion_width, width), nn.Linear(2 * width, width)
        self.layers = nn.ModuleList([PlainLayer(options) for _ in range(options.num_layers)])
        self.heads = nn.ModuleList([nn.Linear(width, classes) for _ in range(3)])

    def forward(self, audio: Tensor, visual: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        heard = self._hear(audio).transpose(0, 1)
        seen = self.visual(visual)
        if seen.shape[1] != SEGMENTS:
            seen = functional.avg_pool1d(seen.transpose(1, 2), seen.shape[1] // SEGMENTS).transpose(1, 2)
        seen = self.fusion(torch.cat((seen, self.motion(motion)), dim=-1)).transpose(0, 1)
        for layer in self.layers:
            heard = layer(heard, seen)
            seen = layer(seen, heard)
        features = torch.stack((heard, seen), dim=0).permute(2, 1, 0, 3)  # [B, T, M, D]
        logits, over_time, over_modalities = (head(features) for head in self.heads)
        weights = over_time.softmax(dim=1) * over_modalities.softmax(dim=2)
        return logits, (weights * logits.sigmoid()).sum(dim=(1, 2))

    def _hear(self, audio: Tensor) -> Tensor:
        if audio.shape[1] == SEGMENTS:
            return self.audio(audio)
        halves = audio.view(-1, 2, 32, audio.shape[-1]).permute(0, 3, 1, 2)
        long = functional.interpolate(halves, size=(2, 1024), mode="bicubic", align_corners=False)
        projected = self.audio(long.permute(0, 2, 3, 1)).mean(dim=1)
        return functional.adaptive_avg_pool1d(projected.transpose(1, 2), SEGMENTS).transpose(1, 2)


def plain_step(parser: PlainParser, batch: Batch, optimiser: torch.optim.Optimizer) -> None:
    """The published training step."""
    optimiser.zero_grad()
    logits, clip_probs = parser(batch.audio, batch.visual, batch.motion)
    loss = functional.binary_cross_entropy(clip_probs.clamp(1e-7, 1 - 1e-7), batch.weak_labels)
    for modality in (0, 1):
        loss = loss + functional.binary_cross_entropy_with_logits(
            logits[:, :, modality], batch.pseudo_labels[:, :, modality]
        )
    loss.backward()
    nn.utils.clip_grad_norm_(parser.parameters(), 1.0)
    optimiser.step()


def raw_batch(options: ParserOptions) -> Batch:
    """Random features of the published shapes."""
    plus_plus = options.audio_width == 768
    return Batch(
        clip_ids=("simulated",) * BATCH,
        audio=torch.rand(BATCH, 64 if plus_plus else SEGMENTS, options.audio_width),
        visual=torch.rand(BATCH, SEGMENTS if plus_plus else 80, options.visual_width),
        motion=torch.rand(BATCH, SEGMENTS, options.motion_width),
        valid=None,
        weak_labels=(torch.rand(BATCH, 25) < 0.08).float(),
        pseudo_labels=(torch.rand(BATCH, SEGMENTS, 2, 25) < 0.05).float(),
    )


def folded(batch: Batch) -> Batch:
    """The same batch as valor.data.clips reads it."""
    audio = batch.audio if batch.audio.shape[1] == SEGMENTS else fold_clap_map(batch.audio)
    visual = fold_frames(batch.visual, SEGMENTS)
    return Batch(batch.clip_ids, audio, visual, batch.motion, None, batch.weak_labels, batch.pseudo_labels)


def contenders(options: ParserOptions) -> dict[str, Callable[[], object]]:
    """One step of each, by name."""
    raw = raw_batch(options)
    pooled = folded(raw)
    fit = FitOptions()
    plain, plain_folded, ours = PlainParser(options), PlainParser(options), build_parser(options)
    optimisers = [
        torch.optim.AdamW(p.parameters(), betas=(0.5, 0.999), weight_decay=1e-3) for p in (plain, plain_folded)
    ]
    own = build_optimiser(ours, fit)
    return {
        "plain": lambda: plain_step(plain, raw, optimisers[0]),
        "plain, folded": lambda: plain_step(plain_folded, pooled, optimisers[1]),
        "ours": lambda: train_step(ours, pooled, own, fit),
    }


def median_seconds(steps: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median wall time of each step, taking turns, after one turn to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def needed_operations(options: ParserOptions) -> float:
    """Floating-point operations of the matrix products of one step on folded features."""
    width, rows = options.hidden_width, BATCH * SEGMENTS
    inputs = options.audio_width + options.visual_width + options.motion_width
    layer = 8 * width**2 + 2 * width * options.feedforward_width + 4 * SEGMENTS * width  # one stream
    inner = 2 * width**2 + 2 * options.num_layers * layer + 2 * 3 * width * options.num_classes
    return 2.0 * rows * (2 * inputs * width + 3 * inner)  # the stem needs no gradient of its input


def product_rate(product: Callable[[Tensor, Tensor], Tensor]) -> float:
    """The most operations per second one product of the encoder's shapes gets, of TRIES each."""
    best = 0.0
    for rows, inner, columns in ((1280, 256, 1024), (1280, 512, 2048)):
        x, weight = torch.rand(rows, inner), torch.rand(columns, inner)
        for _ in range(TRIES):
            start = time.perf_counter()
            product(x, weight)
            best = max(best, 2 * rows * inner * columns / (time.perf_counter() - start))
    return best


def encoder_steps() -> tuple[dict[str, Callable[[], object]], dict[str, float]]:
    """A step with each encoder at the size of VALOR++, half of its layers before fusion where it has such; and the
    weights of the encoders, in millions."""
    base, fit = PARSERS["valor++"], FitOptions()
    batch = folded(raw_batch(base))
    steps: dict[str, Callable[[], object]] = {}
    weights = {}
    for name in ENCODERS:
        before = {"fusion_layer": base.num_layers // 2} if name in OF_ENCODERS["fusion_layer"] else {}
        parser = build_parser(replace(base, encoder=name, **before))
        steps[name] = partial(train_step, parser, batch, build_optimiser(parser, fit), fit)
        weights[name] = sum(p.numel() for p in parser.encoder.parameters()) / 1e6
    return steps, weights


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--steps", type=int, default=8, metavar="N", help="steps that count (8)")
    cli.add_argument("--threads", type=int, default=2, metavar="N", help="torch threads (2)")
    arguments = cli.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"python -m benchmarks.step --steps {arguments.steps} --threads {arguments.threads}")
    print(f"torch {torch.__version__}, {arguments.threads} of {os.cpu_count()} cores, {processor()}")
    rates = product_rate(lambda x, weight: torch.mm(x, weight.t())), product_rate(linear)
    reached = f"torch.mm {rates[0] / 1e9:.0f}, valor.parsers.cpu.products {rates[1] / 1e9:.0f}"
    print(f"products alone: {reached} GFLOP/s in float32")
    columns = ("plain", "folded", "ours", "ratio", "to folded", "clips/s", "GFLOP", "of mm", "of best")
    print("".join(["\nseconds at batch 64  ", *(f"{column:>10}" for column in columns)]))
    for name, options in PARSERS.items():
        if options.norm_order == "pre":
            continue  # the same products as post norm
        got = median_seconds(contenders(options), arguments.steps)
        plain, pooled, ours = got["plain"], got["plain, folded"], got["ours"]
        operations = needed_operations(options)
        shares = "".join(f"{operations / ours / rate:10.0%}" for rate in rates)
        print(
            f"{name:20} {plain:10.3f}{pooled:10.3f}{ours:10.3f}{plain / ours:9.1f}x{pooled / ours:9.2f}x"
            f"{BATCH / ours:10.0f}{operations / 1e9:10.1f}{shares}"
        )
    steps, weights = encoder_steps()
    seconds = median_seconds(steps, arguments.steps)
    print("".join(["\nencoders of valor++  ", *(f"{column:>12}" for column in ("seconds", "to hybrid", "M weights"))]))
    for name, took in seconds.items():
        print(f"{name:20} {took:12.3f}{took / seconds['hybrid']:11.2f}x{weights[name]:12.2f}")


if __name__ == "__main__":
    main()
