"""A pre-training on raw media from its names: videos and an objective to a run of towers, and such a run.

Media are decoded once, into RUN/pool or a pool of one's own that several runs share. The loop is that of any
pre-training; at its end `towers.json` is written beside the weights, by which a harvest takes them as features.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from valor.label_harvest.disk import file_sha256
from valor.parsers.pretraining.objective import Objective
from valor.parsers.raw.options import TowerOptions
from valor.parsers.raw.registry import raw_objective
from valor.parsers.raw.views import RawViews
from valor.raw.card import TowerCard, write_card
from valor.raw.options import PoolOptions
from valor.raw.pool import RawPool, RawWindows, decode_pool
from valor.training.checkpoint import git_revision
from valor.training.encoder_file import EncoderCard
from valor.training.override import tree_of, updated
from valor.training.run import pick_device

from .loop import PretrainResult, pretrain
from .options import PretrainOptions

POOL = "pool"
"""Folder of decoded media within a run, where none is given."""
_GROUPS = ("tower", "raw", "objective")
"""What can be changed: how towers are built, how media are read, and the objective."""


@dataclass(frozen=True)
class RawResult:
    """A pre-training on raw media that ended."""

    result: PretrainResult
    pool: RawPool
    card: TowerCard


def pretrain_raw(
    objective: str,
    media: Sequence[Path],
    out: Path,
    options: PretrainOptions | None = None,
    *,
    changes: Sequence[str] = (),
    pool: Path | None = None,
) -> RawResult:
    """Train two towers on raw media without labels, go on with a stopped run, or find it done.

    Args:
        objective: A key of `valor.parsers.raw.registry.RAW_OBJECTIVES`.
        media: Files; those that lack sound or picture or cannot be read are left out and named.
        out: The run folder.
        options: How.
        changes: Such as `tower.kind=patches`, `raw.seconds=4` and `objective.mask_ratio=0.8`.
        pool: Folder of decoded media; None for one within the run.

    Raises:
        ValueError: Media, towers and objective do not fit, or a folder holds something else.
        TrainingError: A loss is not finite.
    """
    options = options or PretrainOptions()
    name, kind, made = raw_objective(objective)
    tree = tree_of(changes)
    if strange := [group for group in tree if group not in _GROUPS]:
        raise ValueError(f"raw media can have {', '.join(f'{group}.*' for group in _GROUPS)}, got {strange[0]}")
    towers = updated(TowerOptions(**kind.towers), tree.get("tower", {}), "tower.")
    of_objective = updated(made.Options(**kind.changes), tree.get("objective", {}), "objective.")
    of_pool = updated(PoolOptions(pictures=towers.pictures), tree.get("raw", {}), "raw.")
    if of_pool.pictures != towers.pictures:
        raise ValueError(
            f"tower.pictures and raw.pictures must be the same, got {towers.pictures} and {of_pool.pictures}; "
            "tower.pictures alone says it"
        )
    views, head = _built(towers, made, of_objective, options.seed)
    if head.needs_order and not views.says_when:
        raise ValueError(f"{name} needs seconds that know where they stand; tower.mix_layers must be at least 1, got 0")
    decoded = decode_pool(media, pool or out / POOL, of_pool, progress=options.progress)
    device = pick_device(options.device)
    windows = RawWindows(decoded, kind.seconds, device, less_still=towers.less_still)
    card = EncoderCard(
        objective=name,
        options=asdict(of_objective),
        parser={},
        features={"towers": asdict(towers)},
        pool={"media": len(media), "left_out": len(decoded.problems), "seconds": kind.seconds},
        git_revision=git_revision(),
    )
    result = pretrain(views.to(device), head.to(device), windows, options, out, card, recipe={"name": f"raw {name}"})
    said = TowerCard(
        objective=name,
        towers=towers,
        weights=file_sha256(result.encoder),
        pool=windows.fingerprint(),
        clips=result.clips,
        epochs=options.epochs,
    )
    write_card(out, said)
    return RawResult(result, decoded, said)


def _built(
    towers: TowerOptions,
    made: type[Objective],
    of_objective: Any,  # noqa: ANN401, of its own kind
    seed: int,
) -> tuple[RawViews, Objective]:
    """Towers and objective with initial weights of a seed; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        views = RawViews(towers)
        return views, made(views, of_objective)
