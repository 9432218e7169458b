"""Whether features are of the kind a trained parser knows; fed with others it answers too, and answers noise."""

from pathlib import Path

from parsers.build import ParserOptions
from valor.checkpoint import CheckpointCard
from valor.dataset import ClipSet
from valor.provenance import describe_data
from valor.recipes import recipe_from_json

_IDENTITY = ("teacher", "weights")


def refuse_other_features(run: Path, options: ParserOptions, card: CheckpointCard, clips: ClipSet, data: Path) -> None:
    """Refuse features that are not of the kind, width and teacher a parser was trained on.

    Args:
        run: The run, for messages.
        options: Of its parser.
        card: Of its checkpoint. One that does not say where its features came from is believed.
        clips: What it is to parse.
        data: Where they were read from.

    Raises:
        ValueError: Widths or teachers differ; names the run, the stream and both.
    """
    features = recipe_from_json(card.recipe).features
    widths = clips.widths()
    for stream in ("audio", "visual", "motion"):
        wanted, found = getattr(options, f"{stream}_width"), widths[f"{stream}_width"]
        if wanted != found:
            raise ValueError(
                f"{run}: its parser takes {stream} features of width {wanted} ({getattr(features, stream)}), those in "
                f"{data} have {found}; use the features it was trained on, or train a parser on these"
            )
    trained = card.recipe.get("run", {}).get("sources", {}).get("features", {})
    for stream, now in describe_data(features, data, (), None)["features"].items():
        then = (trained.get(stream) or {}).get("teacher")
        there = now.get("teacher")
        if then and there and any(then.get(name) != there.get(name) for name in _IDENTITY):
            raise ValueError(
                f"{run}: its {stream} features were made by {_named(then)}, those in {data} by {_named(there)};"
                " harvest these clips with the teacher it was trained on, or train a parser on these"
            )


def _named(teacher: dict) -> str:
    return f"{teacher.get('teacher', 'a teacher')} with weights {str(teacher.get('weights'))[:12]}"
