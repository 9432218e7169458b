"""A bench on which rows train in a second."""

from dataclasses import replace

from valor.experiments.bench.options import SIZES

TINY = replace(
    SIZES["small"], clips={"train": 90, "val": 40, "test": 60}, width=16, layers=1, epochs=4, batch=16, rate=1e-2
)
