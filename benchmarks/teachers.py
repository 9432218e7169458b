"""The two networks of a harvest by themselves: clips per second, and what share of the machine's rate that is.

    python -m benchmarks.teachers [--precision bfloat16] [--batch N] [--repeats N] [--peak TFLOPS] [--small]

ViT-L/14 on ten frames a clip and HTSAT on eleven windows, random weights, on the first GPU where there is one. The
operations of the products and convolutions are counted by torch on one clip. Their rate is set beside that of a large
product alone in the same precision, measured in the same run, and beside the maker's peak where it is given
(dense bfloat16: A100 312, H100 SXM and H200 989). Needs an idle machine.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import processor
from valor.data.vocabulary import LLP_CLASSES, prompts
from valor.label_harvest.media.clip import ClipMedia, Grid
from valor.label_harvest.teachers.clap import ClapTeacher
from valor.label_harvest.teachers.clap_models import ClapModel, load_clap
from valor.label_harvest.teachers.clip import PRESET, ClipTeacher, OpenClipModel, OpenClipName, load_open_clip
from valor.label_harvest.teachers.precision import PRECISIONS, cast_input, cast_network, chosen_device

SEGMENTS = 10
PRODUCT = {"cpu": 2048, "cuda": 8192}
"""Side of the square matrices whose product is timed."""


def made_up_clip(seed: int) -> ClipMedia:
    """Noise to look at and to hear."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (SEGMENTS, 240, 320, 3), dtype=np.uint8)
    return ClipMedia(frames, rng.uniform(-0.5, 0.5, Grid().num_samples).astype(np.float32), Grid())


def operations(run: Callable[[], object]) -> float:
    """Floating-point operations of products and convolutions."""
    counter, whole = FlopCounterMode(display=False), torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # blocks in one call, in which torch counts nothing
    try:
        with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # nor in attention in one call
            run()
    finally:
        torch.backends.mha.set_fastpath_enabled(whole)
    return float(counter.get_total_flops())


def operations_of(clip: OpenClipModel, clap: ClapModel) -> dict[str, float]:
    """By role, those of one clip; counted before the networks are cast to operators torch does not count."""
    size = clip.frame_rule.size
    mels = torch.zeros(SEGMENTS + 1, 4 if clap.fusion else 1, 1001, 64)
    longer = torch.zeros(len(mels), 1, dtype=torch.bool)
    return {
        "visual": operations(lambda: clip.network.encode_image(torch.zeros(SEGMENTS, 3, size, size))),
        "audio": operations(lambda: clap.network.audio_model(input_features=mels, is_longer=longer)),
    }


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time, after two turns to warm up."""
    seconds = []
    for turn in range(repeats + 2):
        began = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if turn >= 2:
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def product_rate(device: torch.device, precision: str, repeats: int) -> float:
    """Operations a second of a large product, by what the cast networks use for theirs."""
    side = PRODUCT[device.type]
    layer = torch.nn.Sequential(torch.nn.Linear(side, side, bias=False)).requires_grad_(False).to(device)
    cast_network(layer, precision)
    x = cast_input(torch.randn(1, 1, side, side, device=device), precision)[0, 0]
    with torch.inference_mode():
        return 2 * side**3 / median_seconds(lambda: layer(x), repeats)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--precision", default="bfloat16", choices=PRECISIONS, help="of the networks (bfloat16)")
    cli.add_argument("--batch", type=int, metavar="N", help="clips that go through together (4, on a GPU 32)")
    cli.add_argument("--repeats", type=int, default=5, metavar="N", help="times each is timed (5)")
    cli.add_argument("--peak", type=float, metavar="TFLOPS", help="of the chip, by its maker")
    cli.add_argument("--small", action="store_true", help="ViT-B/32 in place of ViT-L/14, for a trial")
    typed = cli.parse_args()
    device = chosen_device()
    batch = typed.batch or (32 if device.type == "cuda" else 4)
    print(f"python -m benchmarks.teachers {' '.join(sys.argv[1:])}")
    chip = torch.cuda.get_device_name() if device.type == "cuda" else f"{os.cpu_count()} cores, {processor()}"
    print(f"torch {torch.__version__}, {chip}, {typed.precision}, {batch} clips at a time")
    name = OpenClipName("ViT-B-32", "openai", squash=True) if typed.small else PRESET
    clip, clap = load_open_clip(name, checkpoint="random"), load_clap("laion:630k-fusion", checkpoint="random")
    counted = operations_of(clip, clap)
    kind = {"precision": typed.precision}
    teachers = [
        ClipTeacher(clip, prompts(LLP_CLASSES, "visual"), architecture=name.model, **kind),
        ClapTeacher(clap, prompts(LLP_CLASSES, "audio"), **kind),
    ]
    rate = product_rate(device, typed.precision, typed.repeats)
    print(f"a product of {PRODUCT[device.type]} x {PRODUCT[device.type]}: {rate / 1e12:.2f} TFLOP/s")
    clips = [made_up_clip(seed) for seed in range(batch)]
    total = 0.0
    for teacher in teachers:
        prepared = teacher.prepare_many(clips)
        seconds = median_seconds(lambda t=teacher, p=prepared: t.judge_many(p), typed.repeats) / batch
        preparing = median_seconds(lambda t=teacher: t.prepare_many(clips), typed.repeats) / batch
        reached = counted[teacher.role] / seconds
        peak = f", {100 * reached / (1e12 * typed.peak):.0f} % of the peak" if typed.peak else ""
        print(
            f"{teacher.role:7s} {1 / seconds:8.2f} clips/s ({1000 * preparing:.1f} ms a clip to prepare), "
            f"{counted[teacher.role] / 1e9:.0f} GFLOP a clip, {reached / 1e12:.2f} TFLOP/s = "
            f"{100 * reached / rate:.0f} % of the product{peak}"
        )
        total += seconds
    print(f"both    {1 / total:8.2f} clips/s")


if __name__ == "__main__":
    main()
