"""Where in the picture, by patches: what a vision transformer trained on its pooled output alone says of its patches.

    python -m benchmarks.where_patches [--images 4000] [--epochs 18] [--threads 1]

A small tower of open_clip (three blocks, 8 by 8 patches, a class token) learns on pictures of the demo world which of
six classes they show, by the captions of the demo's text tower. Of other pictures, for each class that the tower finds
in them (a logit of 0 and more) and that is there: the share of peaks within the box of its drawing, for the ways to
read a patch. `values`: the last block without attention, as `valor parse --where` does it; `values, residual`: the same
with what the patch was before and the own two layers of the block; `tokens`: the last block as it is. `windows` asks
the same tower without looking inside. Intervals are of 95 %, by resampling pictures.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.machine import processor
from benchmarks.where import Hit, print_rows
from valor.data.vocabulary import named_classes, prompts
from valor.demo.pictures.backgrounds import FRAME_HEIGHT, FRAME_WIDTH
from valor.demo.pictures.looks import Scene, arrange
from valor.label_harvest.teachers.clip import ClipTeacher, FrameRule, OpenClipModel
from valor.label_harvest.teachers.demo import EMBEDDING_WIDTH, build_tiny
from valor.label_harvest.teachers.where import directions_of, patch_embeddings, shown_alone

NAMES = ("Dog", "Car", "Accordion", "Helicopter", "Vacuum_cleaner", "Telephone_bell_ringing")
"""So few that so small a tower learns them in minutes."""
CAPTIONS = prompts(named_classes(NAMES), "visual")
SIDE, PATCH, WIDTH, BLOCKS, BATCH = 64, 8, 96, 3, 64
Boxes = dict[int, tuple[int, int, int, int]]


def drawn(rng: np.random.Generator) -> tuple[np.ndarray, Boxes]:
    """A picture of up to two classes, and the box of each."""
    count = int(rng.choice(3, p=(0.1, 0.5, 0.4)))
    scene, looks = Scene(rng), arrange([NAMES[c] for c in rng.choice(len(NAMES), count, replace=False)], rng)
    moment = float(rng.uniform(0, 10))
    image = scene.canvas(moment)
    for look in looks:
        look.paint(image, moment)
    boxes = {NAMES.index(look.class_name): look.box(moment) for look in looks}
    return scene.expose(image), {name: box for name, box in boxes.items() if box is not None}


class Network(torch.nn.Module):
    """A tower, beside which the captions are fixed."""

    def __init__(self, text: Tensor) -> None:
        super().__init__()
        from open_clip.transformer import VisionTransformer

        self.visual = VisionTransformer(SIDE, PATCH, WIDTH, BLOCKS, 4, 4.0, output_dim=EMBEDDING_WIDTH)
        self.logit_scale, self.logit_bias = (torch.nn.Parameter(torch.tensor(start)) for start in (2.3, -2.0))
        self.register_buffer("text", text)

    def encode_image(self, pictures: Tensor) -> Tensor:
        embedded: Tensor = self.visual(pictures)
        return embedded

    def encode_text(self, tokens: Tensor) -> Any:  # noqa: ANN401
        return self.text[tokens[:, 0]]

    def logits(self, pictures: Tensor) -> Tensor:
        cosine = functional.normalize(self.encode_image(pictures), dim=-1) @ self.text.T
        return self.logit_scale.exp() * cosine + self.logit_bias


def train(network: Network, pictures: Tensor, shown: Tensor, epochs: int) -> None:
    """On the pooled output alone."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    steps = epochs * (len(pictures) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=steps)
    for epoch in range(epochs):
        order, losses = torch.randperm(len(pictures)), []
        for start in range(0, len(order) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            batch = pictures[rows]
            flipped = torch.rand(len(rows)) < 0.5
            batch = torch.where(flipped[:, None, None, None], batch.flip(3), batch)
            loss = functional.binary_cross_entropy_with_logits(network.logits(batch), shown[rows], reduction="sum")
            optimizer.zero_grad()
            (loss / BATCH).backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item() / BATCH)
        print(f"# epoch {epoch + 1}: loss {np.mean(losses):.2f}", flush=True)


@torch.inference_mode()
def patches_by(visual: Any, pictures: Tensor, *, attends: bool) -> Tensor:  # noqa: ANN401
    """Each patch of the last block with what it was before, [N, rows, columns, P]."""
    tokens = visual._embeds(pictures)
    *before, last = visual.transformer.resblocks
    for block in before:
        tokens = block(tokens)
    if attends:
        tokens = last(tokens)
    else:
        width, attention = last.attn.embed_dim, last.attn
        weight, bias = attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :]
        tokens = tokens + last.ls_1(attention.out_proj(functional.linear(last.ln_1(tokens), weight, bias)))
        tokens = tokens + last.ls_2(last.mlp(last.ln_2(tokens)))
    said = visual.ln_post(tokens) @ visual.proj
    return functional.normalize(said[:, 1:].unflatten(1, visual.grid_size), dim=-1)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--images", type=int, default=3000, help="to train on")
    cli.add_argument("--held-out", type=int, default=300)
    cli.add_argument("--epochs", type=int, default=18)
    cli.add_argument("--threads", type=int, default=1)
    typed = cli.parse_args()
    torch.set_num_threads(typed.threads)
    torch.manual_seed(0)
    print(f"python -m benchmarks.where_patches {' '.join(sys.argv[1:])}\n{processor()}\n")
    rng, rule, began = np.random.default_rng(11), FrameRule(size=SIDE), time.process_time()
    text = torch.from_numpy(build_tiny("visual", CAPTIONS).caption_embeddings.copy())
    network, pictures = Network(text), torch.empty(typed.images, 3, SIDE, SIDE)
    shown = torch.zeros(typed.images, len(NAMES))
    for row in range(typed.images):
        frame, boxes = drawn(rng)
        pictures[row] = rule(frame[None])[0]
        shown[row, list(boxes)] = 1
    print(f"# drawn after {time.process_time() - began:.0f} s of CPU", flush=True)
    train(network, pictures, shown, typed.epochs)
    print(f"# trained after {time.process_time() - began:.0f} s of CPU", flush=True)
    numbers = torch.arange(len(NAMES))[:, None]
    model = OpenClipModel(network.eval(), lambda texts: numbers[: len(texts)], rule, "trained here")
    report(ClipTeacher(model, NAMES, architecture="small"), network, rng, typed.held_out)


def report(teacher: ClipTeacher, network: Network, rng: np.random.Generator, count: int) -> None:
    """Rows of all ways."""
    every = directions_of(teacher.caption_embeddings)

    def values(frame: np.ndarray, directions: np.ndarray) -> np.ndarray:
        held = patch_embeddings(network.visual, teacher._frame_rule(frame[None]))
        assert held is not None  # a tower that has such patches
        return np.einsum("rcp,ep->erc", held[0].numpy(), directions)

    def inside(frame: np.ndarray, directions: np.ndarray, *, attends: bool) -> np.ndarray:
        held = patches_by(network.visual, teacher._frame_rule(frame[None]), attends=attends)
        return np.einsum("rcp,ep->erc", held[0].numpy(), directions)

    ways: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "values": values,
        "values, residual": lambda frame, asked: inside(frame, asked, attends=False),
        "tokens": lambda frame, asked: inside(frame, asked, attends=True),
        "windows": lambda frame, asked: shown_alone(teacher, frame, asked).values,
    }
    hits: dict[str, list[Hit]] = {name: [] for name in ways}
    found = present = 0
    for number in range(count):
        frame, boxes = drawn(rng)
        with torch.inference_mode():
            logits = network.logits(teacher._frame_rule(frame[None]))[0]
        classes = [c for c in boxes if logits[c] >= 0]
        found, present = found + int((logits >= 0).sum()), present + len(boxes)
        for name, way in ways.items() if classes else ():
            for c, values_of in zip(classes, way(frame, every[classes]), strict=True):
                row, column = np.unravel_index(values_of.argmax(), values_of.shape)
                x, y = (column + 0.5) / values_of.shape[1], (row + 0.5) / values_of.shape[0]
                left, top, right, bottom = np.array(boxes[c]) / ((FRAME_WIDTH, FRAME_HEIGHT) * 2)
                within = [bool(left <= u < right and top <= v < bottom) for u, v in ((x, y), (0.5, 0.5))]
                area = float((right - left) * (bottom - top))
                hits[name].append(Hit(number, len(boxes) > 1, within[0], area, within[1]))
    some = next(iter(hits.values()))
    print(f"# the tower finds {len(some)} of {present} classes, and {found - len(some)} that are not there")
    print(f"{'':28}{'all':>22}{'alone in the frame':>22}{'beside others':>22}")
    print_rows("a place at random", "chance", some)
    print_rows("the middle of the frame", "centre", some)
    for name, held in hits.items():
        print_rows(f"peak, {name}", "peak", held)


if __name__ == "__main__":
    main()
