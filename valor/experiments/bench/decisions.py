"""How rows are decided: what a paper chose on LLP's val is chosen on the val of the bench, in the same form.

Most methods decide by 0.5. NREP and CoLeaF have one cut and one gate for all classes, CMPAE gates of what is seen by
class, and these numbers rest on the truth of LLP's val; here they would be those of another world.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from valor.data.datasets.dataset import LLP
from valor.data.thresholds import apply_calibration
from valor.eval.decide import PRESETS, PostProcessing
from valor.eval.tuning import tuned_pair
from valor.scoring.calibrate import calibrate_predictions
from valor.training.methods.methods import Methods
from valor.training.run import predict_run
from valor.training.train import VALOR_RULE

from .rows import GATES_OF_CLASSES, ONE_PAIR, ROWS


def rules_of(name: str, methods: Mapping[str, Any], folders: Sequence[Path], data: Path) -> list[PostProcessing]:
    """The decision of each run of a row.

    Args:
        name: A key of ROWS.
        methods: Of its recipe.
        folders: Its finished runs.
        data: The world, where the truth of val is.
    """
    rule, chosen = Methods(methods).decision(VALOR_RULE), ROWS[name].chosen_on_val
    if not chosen:
        return [rule] * len(folders)
    val = LLP.read_split(data, "val")
    assert val.truth is not None
    found = []
    for folder in folders:
        predictions = predict_run(folder, data, val, device="cpu")
        if chosen == GATES_OF_CLASSES:
            fit = calibrate_predictions(predictions, val, criterion="event-table", rule=PRESETS["cmpae"])
            found.append(replace(apply_calibration(fit), preset=None))
        elif chosen == ONE_PAIR:
            assert predictions.segment_probs is not None
            found.append(
                tuned_pair(
                    predictions.segment_probs,
                    val.truth,
                    rule,
                    clip_probs=predictions.clip_probs,
                    modality_probs=predictions.modality_probs,
                )
            )
    return found
