"""The networks of a harvest in float32: as their makers wrote them, as they are harvested, and by OpenVINO.

    python -m benchmarks.engines [--networks visual,audio] [--batch 2] [--repeats 3] [--threads N] [--small]

ViT-L/14 on frames and HTSAT on windows of sound, random weights, on a CPU. Engines and a large product by itself take
turns in one process, so that what else the machine does slows all alike; besides wall time stands the time of cores,
in which the engines can be compared on a busy machine too. The share is that of the rate of the large product.
OpenVINO (`pip install openvino`) is given the makers' network by `torch.jit.trace`; without it its side is left out.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import valor  # noqa: F401, isort: skip (before torch, whose threads then sleep while they wait)

import torch

from benchmarks.machine import processor
from benchmarks.teachers import PRODUCT, operations
from valor.label_harvest.teachers.clap_models import load_clap
from valor.label_harvest.teachers.clip import PRESET, OpenClipName, load_open_clip
from valor.label_harvest.teachers.htsat import quicken_htsat
from valor.label_harvest.teachers.precision import quicken_network

try:
    import openvino
except ImportError:
    openvino = None

SMALL = OpenClipName("ViT-B-32", "openai", squash=True)
Run = Callable[[], torch.Tensor]


class Hears(torch.nn.Module):
    """The audio tower with one input and one output."""

    def __init__(self, tower: torch.nn.Module, channels: int) -> None:
        super().__init__()
        self.tower, self.channels = tower, channels

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        never = torch.zeros(1, 1, dtype=torch.bool)
        return self.tower(input_features=mels.expand(-1, self.channels, -1, -1), is_longer=never).pooler_output


def networks(role: str, batch: int, *, small: bool) -> tuple[torch.nn.Module, torch.nn.Module, torch.Tensor]:
    """A network as its makers wrote it, the same as it is harvested, and what both take in."""
    torch.manual_seed(0)
    if role == "visual":
        model = load_open_clip(SMALL if small else PRESET, checkpoint="random")
        plain = model.network.visual.eval().requires_grad_(False)
        size = model.frame_rule.size
        return plain, quicken_network(deepcopy(plain)), torch.randn(batch, 3, size, size)
    clap = load_clap("laion:630k-fusion", checkpoint="random")
    tower = clap.network.audio_model.eval().requires_grad_(False)
    quick = quicken_network(deepcopy(tower))
    quicken_htsat(quick.audio_encoder)
    return Hears(tower, 4 if clap.fusion else 1), Hears(quick, 1), torch.randn(batch, 1, 1001, 64)


def by_openvino(network: torch.nn.Module, given: torch.Tensor, threads: int) -> Run:
    """The network compiled by OpenVINO for inputs of one shape, in float32."""
    traced = torch.jit.trace(network, given, check_trace=False)
    model = openvino.convert_model(traced, example_input=given, input=[tuple(given.shape)])
    kind = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(model, "CPU", kind)
    return lambda: torch.from_numpy(compiled([given.numpy()])[0])


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of wall, and of cores."""
    began, used = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - began, time.process_time() - used


def compare(role: str, batch: int, repeats: int, threads: int, *, small: bool) -> None:
    plain, quick, given = networks(role, batch, small=small)
    counted = operations(lambda: plain(given))
    side = PRODUCT["cpu"]
    layer, square = (
        quicken_network(torch.nn.Sequential(torch.nn.Linear(side, side, bias=False))),
        torch.randn(side, side),
    )
    ways: dict[str, Run] = {
        "a large product": lambda: layer(square),
        "as its makers wrote it": lambda: plain(given),
        "as harvested": lambda: quick(given),
    }
    with torch.inference_mode():
        if openvino is not None:
            ways["OpenVINO"] = by_openvino(plain, given, threads)
        answers = {way: run() for way, run in ways.items()}  # warms up, too
        turns = [{way: timed(run) for way, run in ways.items()} for _ in range(repeats)]
    rates = [2 * side**3 / statistics.median(turn["a large product"][kind] for turn in turns) for kind in (0, 1)]
    print(f"{role}: {batch} at a time, {counted / batch / 1e9:.0f} GFLOP each; a product of {side} x {side}: ", end="")
    print(f"{rates[0] / 1e9:.0f} GFLOP/s of wall, {rates[1] / 1e9:.0f} of a core", flush=True)
    first = answers["as its makers wrote it"]
    for way in list(ways)[1:]:
        spent = [statistics.median(turn[way][kind] for turn in turns) for kind in (0, 1)]
        shares = [100 * counted / seconds / rate for seconds, rate in zip(spent, rates, strict=True)]
        print(f"  {way:24s} {spent[0]:7.2f} s of wall ({shares[0]:3.0f} %)  {spent[1]:7.2f} s of cores", end="")
        far = float((answers[way] - first).abs().max() / first.abs().max())
        print(f" ({shares[1]:3.0f} %)  within {far:.0e} of the largest", flush=True)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--networks", default="visual,audio", help="which (visual,audio)")
    cli.add_argument("--batch", type=int, default=2, metavar="N", help="frames or windows at a time (2)")
    cli.add_argument("--repeats", type=int, default=3, metavar="N", help="turns (3)")
    cli.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N", help="of every engine (all cores)")
    cli.add_argument("--small", action="store_true", help="ViT-B/32 in place of ViT-L/14, for a trial")
    typed = cli.parse_args()
    torch.set_num_threads(typed.threads)
    print(f"python -m benchmarks.engines {' '.join(sys.argv[1:])}")
    version = "not installed, left out" if openvino is None else openvino.__version__
    print(
        f"torch {torch.__version__}, OpenVINO {version}, {typed.threads} threads, {os.cpu_count()} cores, {processor()}"
    )
    for role in typed.networks.split(","):
        compare(role, typed.batch, typed.repeats, typed.threads, small=typed.small)


if __name__ == "__main__":
    main()
