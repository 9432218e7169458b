"""A pre-training from its names: stores, a recipe and an objective to a run folder, and such a folder read back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from valor.data.datasets.dataset import DataSet
from valor.data.provenance import plain_teachers
from valor.data.unlabelled import UnlabelledSet, read_unlabelled
from valor.label_harvest.places.place import Place
from valor.parsers.build import build_parser
from valor.parsers.hybrid import MODALITIES, HybridParser
from valor.parsers.options import ParserOptions
from valor.parsers.pretraining.objective import Objective
from valor.parsers.pretraining.registry import ALIASES, objective_class
from valor.parsers.pretraining.views import SegmentViews
from valor.training.checkpoint import git_revision
from valor.training.encoder_file import EncoderCard, EncoderFile, refuse_towers
from valor.training.override import tree_of, updated
from valor.training.recipes import Recipe, override
from valor.training.run import pick_device
from valor.training.words import captions_of_store

from .loop import PretrainResult, pretrain
from .options import PretrainOptions
from .pool import SetPool

_GROUPS = ("parser", "features", "objective")
"""What changes of a recipe mean something here."""


def pretrain_run(
    objective: str,
    stores: Sequence[Place | str],
    recipe: Recipe,
    out: Path,
    options: PretrainOptions | None = None,
    *,
    changes: Sequence[str] = (),
    data: Path | None = None,
    dataset: DataSet | str | None = None,
) -> PretrainResult:
    """Train stem and encoder of a recipe on clips without labels, go on with a stopped run, or find it done.

    Args:
        objective: A key of `valor.parsers.pretraining.registry.OBJECTIVES`.
        stores: Evidence stores of the clips.
        recipe: Says which features and which parser; its training and its methods have no part in this.
        out: The run folder.
        options: How.
        changes: Such as `parser.time_codes=0.5` and `objective.mask_ratio=0.5`.
        data: A data folder, whose annotated clips stay out of the pool; None where there is none.
        dataset: What it holds; None for what it says itself.

    Raises:
        ValueError: Pool, recipe and objective do not fit, or the folder holds another run.
        TrainingError: A loss is not finite.
    """
    options = options or PretrainOptions()
    kind = objective_class(objective)
    tree = tree_of(changes)
    if strange := [name for name in tree if name not in _GROUPS]:
        raise ValueError(
            f"a pre-training can change {', '.join(f'{group}.*' for group in _GROUPS)}, got {strange[0]}; how it is "
            "trained has options of its own"
        )
    of_objective = updated(kind.Options(), tree.get("objective", {}), "objective.")
    needs = kind.needed(of_objective)
    recipe = override(recipe, [change for change in changes if not change.strip().startswith("objective.")])
    if "motion" in needs and recipe.features.motion is None:
        raise ValueError(
            f"the objective {kind.name} needs a motion stream, and the recipe {recipe.name} has none; take another"
        )
    needs_evidence = bool({"evidence", "prompts"} & needs)
    clips = read_unlabelled(
        stores,
        recipe.features,
        data=data,
        dataset=dataset,
        transductive=options.transductive,
        logits=needs_evidence,
    )
    _refuse_other_widths(recipe, clips)
    if needs_evidence and (lacking := [role for role in MODALITIES if role not in clips.logits]):
        raise ValueError(
            f"the objective {kind.name} needs what a teacher of each modality says of classes, and these stores have "
            f"none of {' and '.join(lacking)}; harvest with both"
        )
    device = pick_device(options.device)
    prompts = captions_of_store(stores[0], clips.class_names) if "prompts" in needs else None
    pool = SetPool(clips, device, None if prompts is None else (prompts[0].to(device), prompts[1].to(device)))
    parser, views, head = _built(recipe.parser, kind, of_objective, options.seed, device, pool)
    streams = [stream for stream in ("audio", "visual", "motion") if getattr(recipe.features, stream) is not None]
    made_by = plain_teachers(clips.teachers)
    card = EncoderCard(
        objective=ALIASES.get(objective, objective),
        options=asdict(of_objective),
        parser=asdict(recipe.parser),
        features=asdict(recipe.features),
        pool={"stores": list(clips.stores), "transductive": options.transductive, "annotated_known": data is not None},
        teachers={
            stream: {"teacher": made_by[getattr(recipe.features, stream).partition(".")[0]]} for stream in streams
        },
        git_revision=git_revision(),
    )
    return pretrain(views, head, pool, options, out, card, recipe={"name": recipe.name})


def _refuse_other_widths(recipe: Recipe, clips: UnlabelledSet) -> None:
    """Refuse a network that does not fit the features before anything is built."""
    wrong = [
        f"parser.{name}={width}" for name, width in clips.widths().items() if getattr(recipe.parser, name) != width
    ]
    if wrong:
        raise ValueError(f"the recipe {recipe.name!r} does not fit these features; set {' '.join(wrong)}")


def _built(
    options: ParserOptions,
    kind: type[Objective],
    of_objective: Any,  # noqa: ANN401, of the kind's own
    seed: int,
    device: torch.device,
    pool: SetPool,
) -> tuple[HybridParser, SegmentViews, Objective]:
    """Parser, views and objective with initial weights of a seed; torch's generator is left as it was."""
    parser = build_parser(options, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        views = SegmentViews(parser)
        head = kind(views, of_objective)
    views.to(device)
    views.measure(pool)
    return parser, views, head.to(device)


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A pre-training that was read back, on the CPU and in evaluation mode."""

    views: SegmentViews
    objective: Objective


def rebuilt(held: EncoderFile, *, fresh: bool = False, seed: int = 0) -> Pretrained:
    """The network of a pre-training.

    Args:
        held: What was read.
        fresh: Whether to leave it with initial weights, as a control; what was measured of the pool is kept.
        seed: Of those.

    Raises:
        ValueError: The file is of something this version cannot build.
    """
    refuse_towers(held)
    kind = objective_class(held.card.objective)
    try:
        options = updated(kind.Options(), dict(held.card.options), "objective.")
        parser = build_parser(ParserOptions(**held.card.parser), seed=seed)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            views = SegmentViews(parser)
            objective = kind(views, options)
        if not fresh:
            _load(views, held.part("views"))
            _load(objective, held.part("objective"))
        else:
            measured = {name: of for name, of in held.part("views").items() if name in dict(views.named_buffers())}
            views.load_state_dict({**views.state_dict(), **measured})
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{held.path}: does not fit this version ({error})") from error
    return Pretrained(views.eval(), objective.eval())


def _load(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load a state dict; buffers whose size the pool decided take the size they were written with."""
    for name, held in tensors.items():
        path, _, last = name.rpartition(".")
        owner = module.get_submodule(path)
        if isinstance(owner._buffers.get(last), Tensor):
            owner._buffers[last] = held.clone()
    module.load_state_dict(dict(tensors))
