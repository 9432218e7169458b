"""A small ablation on simulated features, for the tests of its parts."""

from pathlib import Path

from valor.experiments.ablate import AblateOptions
from valor.experiments.simulated import SimulationOptions, simulate

SMALL = (
    "parser.hidden_width=16",
    "parser.feedforward_width=16",
    "parser.num_heads=2",
    "fit.epochs=3",
    "fit.warmup_epochs=1",
    "fit.batch_size=16",
    "fit.learning_rate=5e-3",
    "methods.jomold.warmup_epochs=1",
    "methods.vplan.warmup_epochs=1",
)
"""Changes that make VALOR's network and training take a moment."""


def toy_data(folder: Path, clips: int = 60) -> Path:
    """A data folder as LLP's with the classic features and labels."""
    return simulate(folder, ("vggish", "res152", "r2plus1d"), SimulationOptions(clips=clips), folder, progress=False)


def toy_options(*groups: str, seeds: int = 2, search: bool = False, jobs: int = 1) -> AblateOptions:
    """Few seeds of some groups of rows."""
    return AblateOptions(seeds=seeds, groups=groups, search=search, jobs=jobs, changes=SMALL, progress=False)
