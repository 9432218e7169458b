"""How ablations, reproductions and simulations are run, as values: nothing here waits for torch."""

from dataclasses import dataclass

from valor.data.datasets.dataset import AVE, LLP, UNAV, UNAV_STEPS, DataSet
from valor.data.features.feature_options import PRECISIONS
from valor.data.provenance import MARK

from .llp_rows import LLP_ROWS
from .rows import GROUPS, OWN, rows_of, typed_row

PUBLISHED_AS: dict[str, str | None] = {name: row.published for name, row in LLP_ROWS.items()}
"""The rows of LLP that can be reproduced: the name of a recipe, and the method published_scores.json lists it as."""

AVE_ROWS: dict[str, str | None] = {"ave-weak": "HAN", "ave-valor": "VALOR", "ave-uwav": "UWAV", "ave-full": None}
"""Those of AVE, on features that are harvested; None where no published row is of the same features."""

UNAV_ROWS: dict[str, str | None] = {
    **dict.fromkeys(("unav-weak", "unav-valor", "unav-windows", "unav-full", "unav-localiser-clips")),
    "unav-localiser": "UnAV",
}
"""Those of UnAV-100, likewise; the last is of the features its network was published with."""

ON_STEPS = ("unav-localiser",)
"""Rows on segments of 0.32 s."""

HARVESTED_ROWS = AVE_ROWS | UNAV_ROWS
"""Those that are not of LLP."""

ROWS = (*PUBLISHED_AS, *HARVESTED_ROWS)
"""All rows that can be reproduced."""


def dataset_of_row(row: str) -> DataSet:
    """The data set a row is of."""
    if row in UNAV_ROWS:
        return UNAV_STEPS if row in ON_STEPS else UNAV
    return AVE if row in AVE_ROWS else LLP


@dataclass(frozen=True, kw_only=True)
class AblateOptions:
    """How an ablation is run."""

    seeds: int = 5
    """Trainings of each row, with the base's seed and those after it."""
    groups: tuple[str, ...] = tuple(GROUPS)
    """Groups of rows; the base is always there (all of them)."""
    own_rows: tuple[str, ...] = ()
    """Rows of one's own, as NAME=a.b=c[,d.e=f]: what the table calls one, and what it changes of the base."""
    jobs: int = 1
    """Trainings at a time, one thread each."""
    search: bool = False
    """Look for the best combination, on validation: all pairs of options beyond the paper, and more as long as it
    rises."""
    changes: tuple[str, ...] = ()
    """Changes of the base recipe, and so of every row."""
    progress: bool = True
    """Whether to show a progress bar on stderr."""

    def __post_init__(self) -> None:
        """Refuse an ablation without a training."""
        for name in ("seeds", "jobs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        own = [*rows_of((OWN,), "demo")[1:], *(typed_row(row) for row in self.own_rows)]
        rows_of(self.groups, "demo")
        if OWN in self.groups and self.groups != tuple(GROUPS) and not own:
            raise ValueError(
                "the group own has a row for each part that files of your own define, and none does here; give "
                "`own_files` or `own_rows`"
            )


_SMALLEST = 4
"""Clips every split keeps."""


@dataclass(frozen=True, kw_only=True)
class SimulationOptions:
    """Size and difficulty of a simulated LLP."""

    clips: int | None = None
    """Clips of all splits together, shared out as in the data set (of LLP 11849, which are 0.97 GB for valor++ and
    1.27 GB for the others; of AVE 4143, of UnAV-100 10790)."""
    signal: float = 8.0
    """How far an event moves its segment's features along the direction of its class, in deviations of the noise."""
    label_errors: float = 0.1
    """Share of the (segment, tag) pairs a simulated teacher gets wrong."""
    precision: str = "float32"
    """Number format of the packed features."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse worlds without clips and shares beyond 1."""
        if self.clips is not None and self.clips < 3 * _SMALLEST:
            raise ValueError(f"clips must be at least {3 * _SMALLEST}, some for each split, got {self.clips}")
        if not (self.signal >= 0 and 0 <= self.label_errors <= 1 and self.precision in PRECISIONS):
            raise ValueError(
                "signal must not be negative, label_errors lie in [0, 1] and precision be one of "
                f"{', '.join(PRECISIONS)}, got {self.signal}, {self.label_errors} and {self.precision!r}"
            )

    @property
    def folder(self) -> str:
        """Name of the folder the simulation is made in."""
        return MARK if self.clips is None else f"{MARK}-{self.clips}-clips"

    def split_sizes(self, dataset: DataSet = LLP) -> dict[str, int]:
        """Clips of each split."""
        share = 1 if self.clips is None else self.clips / sum(dataset.sizes.values())
        sizes = {split: max(_SMALLEST, round(size * share)) for split, size in dataset.sizes.items()}
        if self.clips is None:
            return sizes
        return sizes | {"train": self.clips - sum(size for split, size in sizes.items() if split != "train")}
