"""Published checkpoints in and out: a plain state dict (.pt) <-> a run folder.

A state dict says the shape of nearly everything. What it cannot say is asked for and checked as far as it can be: the
number of heads, the place of the norms, the class names, and which feature kind an input of some width is. HAN of 2020
is told from VALOR by names only it has; its streams are updated together.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from valor.data.features.feature_files import FEATURE_FILES
from valor.data.features.feature_options import FeatureOptions
from valor.label_harvest.disk import replaced
from valor.label_harvest.teachers.weights import load_exactly, read_state
from valor.parsers.build import build_parser, options_of
from valor.parsers.options import ParserOptions
from valor.parsers.published import (
    METHOD_NAMES,
    VALOR_NAMES,
    from_published,
    is_han,
    method_of,
    to_published,
    to_published_han,
    used_by_han,
)

from .checkpoint import CheckpointCard, git_revision, read_checkpoint, write_checkpoint
from .recipes import Recipe, recipe_to_json, write_recipe
from .run_folder import BEST

_STREAM_KINDS = {"audio": ("vggish", "clap"), "visual": ("res152", "clip"), "motion": ("r2plus1d",)}
"""Feature kinds a stream of a published parser may be of; within a stream their widths differ."""
_NORMS = ("hat_encoder.final_norm_a", "hat_encoder.final_norm_v")
_LAYER = re.compile(r"hat_encoder\.layers\.(\d+)\.")
_SOME = 3


def import_checkpoint(
    path: Path,
    out: Path,
    *,
    class_names: Sequence[str],
    norm_order: str = ParserOptions.norm_order,
    num_heads: int | None = None,
) -> Recipe:
    """Turn a published checkpoint into a run folder that `valor predict` can use.

    Args:
        path: The .pt file; nothing in it is executed.
        out: Run folder to write, `best.safetensors` last.
        class_names: Names of the class axis, which the file does not hold.
        norm_order: `post`, as published, or `pre`; the weights have the same shapes in both.
        num_heads: Attention heads, which leave no trace in the shapes either; None for 8, or 1 of HAN.

    Returns:
        The recipe of the run: features and network as found; its `fit` is not known and holds defaults.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no state dict of a HAN or VALOR network, does not fit the classes or any published feature
            kinds, holds NaN or Inf, contradicts the norm order, or the folder holds a run already.
    """
    if (out / BEST).exists():
        raise ValueError(f"{out}: holds a run already; name another folder")
    state = read_state(path)
    options = infer_options(state, source=str(path), norm_order=norm_order, num_heads=num_heads)
    if options.num_classes != len(class_names):
        raise ValueError(
            f"{path}: the checkpoint knows {options.num_classes} classes, the vocabulary has {len(class_names)}; "
            "pass `class_names` of the one it was trained for"
        )
    parser = build_parser(options, seed=0)
    names = METHOD_NAMES.get(method_of(state) or "", VALOR_NAMES)
    used = used_by_han(state) if is_han(state) else state
    load_exactly(parser, from_published(used, norm_order=norm_order, names=names), str(path))
    recipe = Recipe(
        name=out.name,
        features=_features_of(options, str(path)),
        parser=options,
        note=f"Weights imported from {path.name}; how they were trained is not recorded in it.",
    )
    write_recipe(out / "recipe.json", recipe)
    card = CheckpointCard(
        class_names=tuple(class_names), recipe=recipe_to_json(recipe), git_revision=git_revision()
    )  # fmt: skip
    write_checkpoint(out / BEST, parser.eval(), card)
    return recipe


def export_checkpoint(run: Path, out: Path) -> int:
    """Write the weights of a run as other projects load them: a plain dict of tensors under the published names.

    Args:
        run: Run folder or checkpoint, with a motion stream and attentive pooling, as every published network has.
        out: The .pt file, replaced as a whole.

    Returns:
        How many tensors were written.

    Raises:
        ValueError: The published network has no such form.
    """
    parser, _ = read_checkpoint(run)
    options = options_of(parser)
    han = options.update_order == "together"
    parts = (options.stem, options.encoder, options.pooling, options.head_layers, options.head)
    if not options.motion_width or parts != ("linear", "hybrid", "attentive", 1, "rows"):
        raise ValueError(
            f"{run}: the published network has a motion stream, a linear stem, a hybrid encoder and attentive pooling "
            f"of one layer with a row for each class, this parser has motion_width {options.motion_width}, a "
            f"{options.stem} stem, the encoder {options.encoder} and {options.pooling} pooling of {options.head_layers}"
            f" with {options.head}; only its own format holds it"
        )
    for name, value in (("positions", options.positions), ("time_codes", options.time_codes)):
        if value not in ("none", 0):
            raise ValueError(
                f"{run}: the published network knows no {name}, got {value!r}; only its own format holds them"
            )
    if han and (options.num_layers, options.norm_order) != (1, "post"):
        raise ValueError(
            f"{run}: HAN's published network has one post-norm layer, this parser, which updates both streams "
            f"together as HAN does, has {options.num_layers} {options.norm_order}-norm layers; only its own format "
            "holds it"
        )
    named = (to_published_han if han else to_published)(parser.state_dict())
    state = OrderedDict((name, tensor.clone()) for name, tensor in named.items())
    with replaced(out) as temporary, temporary.open("wb") as file:
        torch.save(state, file)
    return len(state)


def infer_options(
    state: Mapping[str, Tensor], *, source: str, norm_order: str, num_heads: int | None = None
) -> ParserOptions:
    """Read the options of a network off its published state dict.

    Args:
        state: Published names to tensors.
        source: What to call it in messages.
        norm_order: As said by the user; closing norms that were trained contradict `post`.
        num_heads: As said by the user; None for 8, or 1 of HAN.

    Raises:
        ValueError: A tensor is missing, left over, no matrix, not finite, or contradicts what was said.
    """
    _refuse_bad_numbers(state, source)
    if method := method_of(state):
        return _of_method(state, method, source)
    han = is_han(state)
    if han:
        state = used_by_han(state)
        _refuse_other_han(state, source, norm_order)
    try:
        ours = from_published(state, norm_order="pre")
        widths = {name: _matrix(ours[f"stem.{name}.weight"]) for name in ("audio", "visual", "motion")}
        options = ParserOptions(
            audio_width=widths["audio"][1],
            visual_width=widths["visual"][1],
            motion_width=widths["motion"][1],
            hidden_width=widths["audio"][0],
            num_layers=len({match[1] for name in state if (match := _LAYER.match(name))}),
            num_heads=num_heads or (1 if han else ParserOptions.num_heads),
            feedforward_width=_matrix(ours["encoder.layers.0.widen.weight"])[0],
            num_classes=_matrix(ours["classifier.weight"])[0],
            norm_order=norm_order,
            update_order="together" if han else "audio-first",
        )
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{source}: expected the state dict of a published HAN, VALOR, VALOR+ or VALOR++ network, got {len(state)} "
            f"tensors such as {', '.join(sorted(state)[:_SOME])} ({error.args[0] if error.args else error}); networks "
            "of other parts compute something else and cannot be imported"
        ) from error
    if norm_order == "post" and not _closing_norms_untouched(state):
        raise ValueError(
            f"{source}: its closing norms were trained, and a post-norm network never uses them; pass norm_order='pre'"
        )
    return options


def _of_method(state: Mapping[str, Tensor], method: str, source: str) -> ParserOptions:
    """Options of the network of NREP or CMPAE; of NREP's two checkpoints each is one network."""
    try:
        ours = from_published(state, names=METHOD_NAMES[method])
        heard, seen = (_matrix(ours[f"stem.{name}.weight"])[1] for name in ("audio", "visual"))
        is_map, frames = heard == FEATURE_FILES["clap"].shape[1], 8 if seen == FEATURE_FILES["res152"].shape[1] else 1
        return ParserOptions(
            audio_width=FEATURE_FILES["clap"].width(unfolded=True) if is_map else heard,
            audio_map=is_map,
            visual_width=frames * seen,
            visual_frames=frames,
            motion_width=_matrix(ours["stem.motion.weight"])[1],
            hidden_width=_matrix(ours["stem.audio.weight"])[0],
            num_layers=1,
            num_heads=1,
            feedforward_width=_matrix(ours["encoder.layers.0.widen.weight"])[0],
            num_classes=_matrix(ours["classifier.weight"])[0],
            update_order="together",
            network=_NETWORKS[method],
            stem="elu",
            visual_dropout=0.5,
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"{source}: expected the state dict of {method}'s published network ({error})") from error


_NETWORKS = {"nrep": "for-against", "cmpae": "presence"}
"""`ParserOptions.network` of a method whose checkpoints are read."""


def _features_of(options: ParserOptions, source: str) -> FeatureOptions:
    """The published feature kinds of these widths."""
    found: dict[str, Any] = {}
    unfolded = options.stem == "elu"
    for stream, kinds in _STREAM_KINDS.items():
        width = getattr(options, f"{stream}_width")
        matching = [kind for kind in kinds if FEATURE_FILES[kind].width(unfolded=unfolded) == width]
        if not matching:
            known = ", ".join(f"{FEATURE_FILES[kind].shape[1]} ({kind})" for kind in kinds)
            raise ValueError(f"{source}: the {stream} stream takes features of width {width}; published are {known}")
        found[stream] = matching[0]
    return FeatureOptions(audio=found["audio"], visual=found["visual"], motion=found["motion"], unfolded=unfolded)


def _matrix(tensor: Tensor) -> tuple[int, int]:
    if tensor.dim() != 2:
        raise ValueError(f"expected matrices of weights, got {list(tensor.shape)}")
    return tensor.shape[0], tensor.shape[1]


def _refuse_bad_numbers(state: Mapping[str, Tensor], source: str) -> None:
    bad = [name for name, tensor in state.items() if not (tensor.is_floating_point() and tensor.isfinite().all())]
    if bad:
        raise ValueError(
            f"{source}: weights must be finite floats, got others in {len(bad)} tensors such as {bad[0]}; "
            "fetch the file again"
        )


def _refuse_other_han(state: Mapping[str, Tensor], source: str, norm_order: str) -> None:
    """Refuse what HAN's code would compute in another way than a parser here."""
    layers = {match[1] for name in state if (match := _LAYER.match(name))}
    if norm_order != "post":
        raise ValueError(f"{source}: HAN's published network is post-norm, got norm_order={norm_order}; leave it out")
    if len(layers) > 1:
        raise ValueError(
            f"{source}: HAN's published network has one layer (of several, its code only ever uses the last), got "
            f"{len(layers)}; forks that changed this cannot be told apart"
        )


def _closing_norms_untouched(state: Mapping[str, Tensor]) -> bool:
    """Whether the closing norms are absent or at their initial values, where training leaves them in a post-norm."""
    return all(
        torch.equal(state[name], torch.full_like(state[name], initial))
        for norm in _NORMS
        for name, initial in ((f"{norm}.weight", 1.0), (f"{norm}.bias", 0.0))
        if name in state
    )
