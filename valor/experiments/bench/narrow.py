"""Published recipes brought to the size of a bench: the same method, narrower and shorter, by one rule for all."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from valor.training.methods.methods import Methods
from valor.training.recipes import RECIPES, Recipe, override
from valor.training.run import with_seed

from ..jobs import Job
from .rows import JOINT, ROWS
from .world import LABEL_VECTORS, BenchWorld

KINDS = {False: ("vggish.embedding", "resnet.embedding"), True: ("audio.embedding", "visual.embedding")}
"""Feature kinds of the two streams, classic or joint."""


def narrowed(name: str, world: BenchWorld) -> Recipe:
    """The recipe of a row at the size of a bench.

    One visual vector stands for all a published row sees, motion with it. Widths are those of the bench, layers at
    most as many. Where the bench says epochs, batches and a rate, every row has these, behind one epoch of warm-up and
    down a cosine, each network of a training that has several; the epochs of a method keep their shares. Else they are
    those published, the rate growing as the width shrinks.

    Args:
        name: A key of ROWS.
        world: Where it is trained.
    """
    row, size = ROWS[name], world.size
    recipe = override(RECIPES[row.recipe], [*row.changes, f"name={name}"])
    audio, visual = KINDS[world.one_kind or row.features == JOINT]
    features = replace(recipe.features, audio=audio, visual=visual, motion=None, unfolded=False)
    parser, fit, methods = recipe.parser, recipe.fit, dict(recipe.methods)
    narrow = size.width / parser.hidden_width
    parser = replace(
        parser,
        audio_width=size.width,
        visual_width=size.width,
        motion_width=0,
        hidden_width=size.width,
        feedforward_width=max(size.width, round(parser.feedforward_width * narrow)),
        num_layers=min(parser.num_layers, size.layers),
        num_heads=min(parser.num_heads, 4),
        visual_frames=1,
        audio_map=False,
    )
    parts = round(fit.epochs / len(Methods(methods).part(1, fit.epochs)))
    epochs = row.times * (parts * size.epochs if size.epochs else fit.epochs)
    shorter = epochs / fit.epochs
    faster = size.rate / fit.learning_rate if size.rate else 1 / narrow
    fit = replace(
        fit,
        epochs=epochs,
        warmup_epochs=1 if size.epochs else fit.warmup_epochs,
        schedule="cosine" if size.epochs else fit.schedule,
        batch_size=size.batch or fit.batch_size,
        learning_rate=fit.learning_rate * faster,
        min_learning_rate=size.rate / 100 if size.rate else fit.min_learning_rate * faster,
    )
    methods = {method: _shortened(options, shorter) for method, options in methods.items()}
    if (leap := methods.get("leap")) is not None:
        methods["leap"] = replace(leap, vectors=str(world.data / LABEL_VECTORS))
    return replace(recipe, features=features, parser=parser, fit=fit, methods=methods, note="")


def jobs_of(name: str, world: BenchWorld, runs: Path, seeds: int) -> list[Job]:
    """The trainings of a row, from the seed of its recipe upwards, each in `runs`/<row>/seed-<n>."""
    recipe, kind = narrowed(name, world), ROWS[name].labels
    labels = None if kind == "none" else world.data / "labels" / kind
    first = recipe.fit.seed
    return [
        Job(name, with_seed(recipe, seed), world.data, labels, runs / name / f"seed-{seed}")
        for seed in range(first, first + seeds)
    ]


def _shortened(options: Any, shorter: float) -> Any:  # noqa: ANN401, of any method
    """Options of a method with its own epochs shortened likewise."""
    own = {f.name: getattr(options, f.name) for f in fields(options) if f.name.endswith("_epochs")}
    return replace(options, **{name: max(1, round(value * shorter)) for name, value in own.items() if value})
