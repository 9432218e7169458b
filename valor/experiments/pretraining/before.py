"""What every pre-training of a bench is worth before any tag, over the same seeds: `valor probe` of each, kept.

OUT/probes/features.npz                the features as they are
OUT/probes/<objective>/seed-<n>.npz    a pre-trained encoder, and the random one it is held against
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from valor.eval.events import Float64Array
from valor.eval.intervals import Interval, seed_interval
from valor.label_harvest.disk import file_sha256
from valor.label_harvest.progress import progress_bar
from valor.pretraining.measure import Drawn
from valor.pretraining.options import ProbeOptions
from valor.pretraining.probe import ProbeRow, ProbeSets, encoder_row, features_row, read_probe_sets
from valor.training.encoder_file import ENCODER, read_encoder

from .cells import folder_of
from .kept import kept

VERSION = 1
"""Of what is measured; what another one has kept is measured again."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A difference over seeds: drawn over clips, and over seeds where there are several."""

    clips: Interval
    seeds: Interval | None

    @property
    def is_clear(self) -> bool:
        """Whether every interval leaves zero out."""
        return all(one.low > 0 or one.high < 0 for one in (self.clips, self.seeds) if one is not None)

    @staticmethod
    def of(pairs: Sequence[tuple[Drawn, Drawn]]) -> "Gain":
        """From what is compared, and what it is compared with, of each seed."""
        differences = [one.minus(other) for one, other in pairs]
        values = [one.value for one in differences]
        return Gain(clips=Drawn.mean(differences).interval(), seeds=seed_interval(values) if len(values) > 1 else None)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        ends = {"clips": self.clips, "seeds": self.seeds}
        return {name: None if one is None else [one.low, one.high] for name, one in ends.items()} | {
            "value": self.clips.value
        }


@dataclass(frozen=True, kw_only=True)
class Probed:
    """A pre-training of every seed."""

    arm: str
    rows: tuple[ProbeRow, ...]
    controls: tuple[ProbeRow, ...]
    """The random encoder of the same seed, rows and heads."""

    def value(self, key: str) -> float:
        """Mean over seeds of a figure of `FIGURE_NAMES`, in percent."""
        return fmean(row.figures[key].value for row in self.rows)

    def gain(self, key: str) -> Gain:
        """Over the random encoder."""
        pairs = zip(self.rows, self.controls, strict=True)
        return Gain.of([(row.figures[key], control.figures[key]) for row, control in pairs])


@dataclass(frozen=True, kw_only=True)
class BeforeTags:
    """All pre-trainings beside the features as they are."""

    features: ProbeRow
    arms: tuple[Probed, ...]


def before_tags(runs: Mapping[str, Mapping[int, Path]], out: Path, data: Path, *, progress: bool) -> BeforeTags | None:
    """Measure the pre-trainings of a bench, or find them measured.

    Args:
        runs: Folders of pre-trainings by arm and by seed.
        out: Folder of the bench.
        data: Folder of the tables and features.
        progress: Whether to show a progress bar on stderr.

    Returns:
        None where there is none.
    """
    every = [(arm, seed, run) for arm, seeds in runs.items() for seed, run in seeds.items()]
    if not every:
        return None
    options = ProbeOptions(device="cpu")
    sets = read_probe_sets(read_encoder(every[0][2]), data)
    clips = [sets.val.fingerprint(), sets.test.fingerprint(), options.resamples, VERSION]
    folder = out / "probes"
    (features,) = _rows(kept(folder / "features.npz", clips, lambda: _arrays(features_row(sets, options))))
    found: dict[str, list[tuple[ProbeRow, ProbeRow]]] = {arm: [] for arm in runs}
    with progress_bar(total=len(every), desc="probe", unit="run", enabled=progress) as bar:
        for arm, seed, run in every:
            of = [*clips, file_sha256(run / ENCODER), seed]
            path = folder / folder_of(arm) / f"seed-{seed}.npz"
            rows = _rows(kept(path, of, partial(_measured, run, sets, replace(options, seed=seed))))
            found[arm].append((rows[0], rows[1]))
            bar.update()
    arms = [
        Probed(arm=arm, rows=tuple(row for row, _ in pairs), controls=tuple(control for _, control in pairs))
        for arm, pairs in found.items()
    ]
    return BeforeTags(features=features, arms=tuple(arms))


def _measured(run: Path, sets: ProbeSets, options: ProbeOptions) -> dict[str, Float64Array]:
    held = read_encoder(run)
    return _arrays(*(encoder_row(held, sets, options, fresh=fresh) for fresh in (False, True)))


def _arrays(*rows: ProbeRow) -> dict[str, Float64Array]:
    """Rows as arrays by `row:name:figure`, the figure before its draws."""
    return {
        f"{number}:{row.name}:{key}": np.r_[drawn.value, drawn.draws]
        for number, row in enumerate(rows)
        for key, drawn in row.figures.items()
    }


def _rows(arrays: Mapping[str, Float64Array]) -> list[ProbeRow]:
    found: dict[tuple[str, str], dict[str, Drawn]] = {}
    for name, held in arrays.items():
        number, row, key = name.split(":")
        found.setdefault((number, row), {})[key] = Drawn(float(held[0]), held[1:])
    return [ProbeRow(name=row, figures=figures) for (_, row), figures in sorted(found.items())]
