"""A small AVE of the demo's world: clips with one event that is audible and visible at once, in AVE's own form.

    python -m benchmarks.demo_ave FOLDER --clips 240

draws the demo's clips, keeps those in which one class is heard and seen together for one stretch and is neither heard
nor seen alone for longer than two seconds, and writes `Annotations.txt`, the rows of each split, `dataset.json` and
`videos/`. docs/datasets.md has what is made of it.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from valor.data.datasets.ave import ANNOTATIONS, HEADER
from valor.data.datasets.dataset import DATASET_FILE
from valor.data.vocabulary import CLASSES_FILE, LLP_CLASSES
from valor.demo.options import SPLIT_SHARES
from valor.demo.world.render import render_all, render_clip
from valor.demo.world.schedule import CLIP_SECONDS, ClipPlan, sample_world, world_arrays
from valor.label_harvest.disk import replaced, write_json

CLASSES = ("Helicopter", "Accordion", "Chicken_rooster", "Singing", "Car", "Chainsaw", "Motorcycle", "Violin_fiddle")
"""Those of the demo's that are often heard and seen together."""
ALONE = 2
"""Seconds the class of a clip may be heard or seen alone."""
WHOLE = 2 / 3
"""Share of clips that their event fills, as in AVE; the demo's own would be more."""
FILES = {"train": "trainSet.txt", "val": "valSet.txt", "test": "testSet.txt"}


def together(plan: ClipPlan) -> tuple[str, int, int] | None:
    """The class of a clip, and from when to when it is heard and seen at once; None for a clip of another kind."""
    names = sorted({event.class_name for event in plan.events})
    if len(names) != 1 or names[0] not in CLASSES:
        return None
    truth, _ = world_arrays([plan], (*names, *(set(plan.tags) - set(names))))
    heard, seen = truth[0, :, :, 0].T
    at_once = np.flatnonzero(heard & seen)
    if not len(at_once) or at_once[-1] - at_once[0] + 1 != len(at_once) or (heard ^ seen).sum() > ALONE:
        return None
    return names[0], int(at_once[0]), int(at_once[-1]) + 1


def drawn(split: str, wanted: int) -> Iterator[tuple[ClipPlan, tuple[str, int, int]]]:
    """So many clips of one event, of no class more than twice its share."""
    room = dict.fromkeys(CLASSES, 1 + 2 * wanted // len(CLASSES))
    whole, part = round(WHOLE * wanted), wanted - round(WHOLE * wanted)
    for seed in count(1):
        for plan in sample_world({split: 200}, seed):
            event = together(plan)
            if event is None or not room[event[0]]:
                continue
            fills = event[2] - event[1] == CLIP_SECONDS
            if not (whole if fills else part):
                continue
            whole, part, room[event[0]] = whole - fills, part - (not fills), room[event[0]] - 1
            yield plan, event
            if not whole + part:
                return


def main() -> None:
    """Write the folder."""
    typed = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    typed.add_argument("folder", type=Path)
    typed.add_argument("--clips", type=int, default=240)
    options = typed.parse_args()
    folder, jobs, rows = options.folder, [], list[str]()
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    for split, share in SPLIT_SHARES.items():
        own = []
        for number, (plan, (name, start, stop)) in enumerate(drawn(split, round(options.clips * share))):
            video = f"{split}{number:04d}"
            own.append(f"{name}&{video}&good&{start}&{stop}")
            if not (path := folder / "videos" / f"{video}.mp4").is_file():
                jobs.append(partial(render_clip, plan, path, 0))
        with replaced(folder / FILES[split]) as temporary:
            temporary.write_text("\n".join(own), encoding="utf-8")
        rows += own
    with replaced(folder / ANNOTATIONS) as temporary:
        temporary.write_text("\n".join([HEADER, *rows]), encoding="utf-8")
    write_json(folder / CLASSES_FILE, [asdict(one) for one in LLP_CLASSES if one.name in CLASSES])
    said = {"dataset": "ave", "name": "demo-ave", "title": "AVE of the demo", "classes": CLASSES_FILE}
    write_json(folder / DATASET_FILE, said)
    for _ in render_all(jobs, workers=2):
        pass
    print(f"wrote {folder}: {len(rows)} clips")


if __name__ == "__main__":
    main()
