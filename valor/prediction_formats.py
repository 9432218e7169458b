"""Any prediction file: which of the four formats a path is, for reading and writing.

NAME.npz                    arrays (predictions.py): probabilities or decisions, what `valor predict` writes
NAME.json                   events of each clip (prediction_json.py)
FOLDER of NAME.json         parses of `valor parse` with their probabilities (parse_predictions.py), or one such file
FOLDER or NAME.audio.tsv    tab-separated events of each modality (prediction_tables.py)
"""

from collections.abc import Sequence
from pathlib import Path

from eval.post_processing import PostProcessing
from valor.event_lists import SegmentGrid
from valor.parse_predictions import parse_files, read_parse_predictions
from valor.prediction_json import read_prediction_json, write_prediction_json
from valor.prediction_tables import read_prediction_tables, write_prediction_tables
from valor.predictions import Predictions, decisions, read_predictions, write_predictions


def read_any_predictions(
    path: Path | str,
    class_names: Sequence[str],
    *,
    clip_ids: Sequence[str] = (),
    num_segments: int = 10,
    segment_seconds: float = 1.0,
    rounding: str = "exact",
    use_scores: bool = False,
) -> Predictions:
    """Read predictions in the format that the path is.

    Args:
        path: .npz, .json, a folder of parses or of tables, or either table of a pair.
        class_names: every class, in the order wanted on the class axis; an .npz file brings its own.
        clip_ids: clips of the split they are for; parses are called by these where their media goes by such a name.
        num_segments: T of every clip of tables, and of JSON that does not say.
        segment_seconds: length of a segment of tables, and of JSON that does not say.
        rounding: what is done about events between segment borders, see event_lists.py.
        use_scores: take the scores of JSON events as probabilities.

    Raises:
        ValueError: The path is none of these, or its content is not what its format asks for.
        FileNotFoundError: There is no such file or folder.
    """
    path = Path(path)
    grid = SegmentGrid(num_segments=num_segments, segment_seconds=segment_seconds, rounding=rounding)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such prediction file or folder; `valor predict` writes a file")
    if parsed := parse_files(path):
        return read_parse_predictions(parsed, clip_ids)
    if use_scores and path.suffix != ".json":
        raise ValueError(f"{path}: only JSON events have scores; an .npz file holds probabilities as they are")
    if path.suffix == ".npz":
        return read_predictions(path)
    if path.suffix == ".json":
        return read_prediction_json(path, class_names, grid, use_scores=use_scores)
    if path.is_dir() or path.suffix == ".tsv":
        return read_prediction_tables(path, class_names, grid)
    raise ValueError(
        f"{path}: expected a prediction file (.npz or .json), a folder with audio.tsv and visual.tsv, or a pair "
        f"NAME.audio.tsv and NAME.visual.tsv, got a file {path.suffix or 'without an ending'}"
    )


def write_any_predictions(
    path: Path | str,
    predictions: Predictions,
    *,
    options: PostProcessing | None = None,
    segment_seconds: float = 1.0,
) -> None:
    """Write predictions in the format that the path asks for; events are those of the decisions.

    Args:
        path: NAME.npz, NAME.json, NAME.audio.tsv, or a folder.
        predictions: what to write. Probabilities are decided first, but for .npz, which keeps them.
        options: the rule for that, as in `decisions`.
        segment_seconds: length of a segment in seconds.

    Raises:
        ValueError: The predictions are of clips of unlike length and the format is not .npz, or the rule does not fit.
    """
    path = Path(path)
    if path.suffix == ".npz":
        write_predictions(path, predictions)
        return
    if predictions.valid is not None and not predictions.valid.all():
        raise ValueError(
            f"{path}: events cannot say which segments of a clip exist; write .npz for clips of unlike length"
        )
    decided, _ = decisions(predictions, options)
    names = (predictions.clip_ids, predictions.class_names)
    if path.suffix == ".json":
        probs = predictions.segment_probs
        write_prediction_json(path, *names, decided, segment_probs=probs, segment_seconds=segment_seconds)
    else:
        write_prediction_tables(path, *names, decided, segment_seconds=segment_seconds)
