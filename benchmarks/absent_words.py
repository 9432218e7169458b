"""Whether a search tells words of what is in a store from words of what no clip of it has.

    python -m benchmarks.absent_words --data demo/data

Classes are searched for in all clips of the store and in those that are not tagged with them; things that are no class
in all clips. By the score of the best second, and by how high it stands among captions of nothing in particular
(`valor.retrieval.search.standings`).
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from valor.data.datasets.dataset import dataset_of
from valor.data.vocabulary import class_names, prompts, stored_classes
from valor.eval.events import MODALITIES, BoolArray, FloatArray
from valor.label_harvest.decoys import DECOYS
from valor.label_harvest.store.store import store_folder, store_manifest
from valor.retrieval.queries import searched_teachers
from valor.retrieval.search import LEAST_STANDING, Query, find, standings
from valor.retrieval.seconds import Seconds, Sums, TeacherPlacer, read_seconds

NO_CLASS = (
    "a hippopotamus sneezes|xqzv blorf|quarterly tax report|a spaceship lands on the moon|the color of justice|"
    "a parliament votes|glass breaking|a siren|an elephant trumpets|a whale song|someone types on a keyboard|a tractor|"
    "a waterfall|a washing machine|fireworks|tennis match"
).split("|")
"""Things that are in no clip of the demo's world."""


def chosen(seconds: Seconds, clips: BoolArray) -> Seconds:
    """Some clips of a store as a store of their own; `clips` bool [N]."""
    lengths = np.diff(seconds.starts)
    rows = np.repeat(clips, lengths)
    vectors = {name: values[rows] for name, values in seconds.vectors.items()}
    sums = {name: Sums() for name in vectors}
    for name, values in vectors.items():
        sums[name].add(values)
    return Seconds(
        clip_ids=tuple(name for name, there in zip(seconds.clip_ids, clips, strict=True) if there),
        starts=np.concatenate([[0], np.cumsum(lengths[clips])]),
        segment_seconds=seconds.segment_seconds,
        vectors=vectors,
        spreads={name: one.spread() for name, one in sums.items()},
    )


def heights(seconds: Seconds, captions: Mapping[str, FloatArray], row: int, within: Sequence[str]) -> tuple[float, ...]:
    """Score and standing of the best stretch for one caption; the last rows of `captions` are the decoys'."""
    decoys = {name: captions[name][-len(DECOYS[name]) :] for name in within}
    query = Query("", {name: captions[name][row] for name in within}, decoys)
    (best,) = find(seconds, query, 1)
    (high,) = standings(query, seconds.spreads, [best])
    assert high is not None  # there are decoys
    return best.score, high


def measure(data: Path) -> list[tuple[str, str, FloatArray]]:
    """(modalities, what was searched for, [words, score and standing])."""
    folder = store_folder(data / "store")
    manifest, classes, dataset = store_manifest(folder), stored_classes(data / "store", data), dataset_of(data)
    plain = [name.replace("_", " ").lower() for name in class_names(classes)]
    asked = {role: (*prompts(classes, role), *plain, *NO_CLASS, *DECOYS[role]) for role in MODALITIES}
    teachers = searched_teachers(folder, manifest, MODALITIES, captions=asked)
    captions = {role: np.asarray(teacher.caption_embeddings) for role, teacher in teachers.items()}
    seconds = read_seconds(folder, TeacherPlacer(teachers), MODALITIES)
    tags: dict[str, BoolArray] = {}
    for split in dataset.splits:
        held = dataset.read_split(data, split, class_names(classes))
        tags |= dict(zip(held.clip_ids, held.weak_labels, strict=True))
    has, found = np.stack([tags[clip] for clip in seconds.clip_ids]), []
    for within in (("audio",), ("visual",), MODALITIES):
        there, absent, count = [], [], len(plain)
        for number in range(count):
            lacking = chosen(seconds, ~has[:, number])
            for row in (number, count + number):
                there.append(heights(seconds, captions, row, within))
                absent.append(heights(lacking, captions, row, within))
        no_class = [heights(seconds, captions, 2 * count + row, within) for row in range(len(NO_CLASS))]
        groups = {"there": there, "tagged nowhere": absent, "no class": no_class}
        found += [(" and ".join(within), name, np.array(values)) for name, values in groups.items()]
    return found


def main() -> None:
    """Print a row for each group of words."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="data folder with a `store/` and tags")
    groups = measure(cli.parse_args().data)
    print("| in | words | score, median | AUC | standing, median | AUC | below the limit |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for within, name, values in groups:
        there = next(held for where, group, held in groups if (where, group) == (within, "there"))
        above = ((np.sign(there[:, None] - values[None]) + 1) / 2).mean(axis=(0, 1))
        auc = ["-" if name == "there" else f"{area:.2f}" for area in above]
        score, high = np.median(values, axis=0)
        below = (values[:, 1] < LEAST_STANDING).mean()
        print(f"| {within} | {name} | {score:.2f} | {auc[0]} | {high:.2f} | {auc[1]} | {100 * below:.0f} % |")


if __name__ == "__main__":
    main()
