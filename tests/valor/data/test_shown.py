"""What people hold: short in a terminal, a table or picture in a notebook, and saved by the name of the file."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.helpers.toy_features import CLASSES, SEGMENTS, WIDTH, toy_clip_set
from tests.helpers.toy_parse import toy_parse
from valor.data.label_file import LABEL_FACTS, PseudoLabels, read_pseudo_labels
from valor.data.parse_file import read_parse
from valor.data.predictions import Predictions, read_predictions
from valor.data.provenance import Provenance, of_labels

CLIPS = toy_clip_set(30)
TRUTH = CLIPS.truth.numpy()
PROBS = np.where(TRUTH, np.float32(0.9), np.float32(0.1))
SAID = Predictions(
    clip_ids=CLIPS.clip_ids, class_names=("Bell", "<b>Dog</b>", "Drum"), segment_probs=PROBS,
    clip_probs=PROBS.max(axis=(1, 2)), provenance=Provenance(simulated=True),
)  # fmt: skip
LABELS = PseudoLabels(CLIPS.clip_ids, CLASSES, PROBS.astype(np.float16))


def test_they_are_short_and_say_what_they_hold():
    assert repr(SAID) == "Predictions of 30 clips: 5 segments, 3 classes, segment_probs and clip_probs, SIMULATED"
    assert repr(LABELS) == "PseudoLabels of 30 clips: 5 segments, 3 classes, probabilities"
    said = "ClipSet of 30 clips: 5 segments, audio 6, visual 6, 3 classes, truth and pseudo_labels"
    assert repr(CLIPS) == said and "tags alone" in repr(replace(CLIPS, truth=None, pseudo_labels=None))
    ungated = replace(SAID, clip_probs=None)
    assert "segment_probs" in repr(ungated) and "<table" in ungated._repr_html_()


@pytest.mark.parametrize("held", [SAID, LABELS, CLIPS], ids=lambda held: type(held).__name__)
def test_a_notebook_shows_some_rows_and_no_markup_of_a_name(held):
    page = held._repr_html_()
    assert page.startswith(f"<p>{type(held).__name__} of 30 clips") and page.count("<tr") == 13
    assert "clip0-000" in page and "clip0-020" not in page and "more rows" in page and "<b>" not in page


def rows_of(figure):
    return [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]


def test_one_clip_is_drawn(painted):
    drawn = SAID.plot("clip0-003", beside={"truth": TRUTH})
    assert rows_of(drawn) == rows_of(CLIPS.plot("clip0-003")) != []
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["truth", "SIMULATED predicted"]
    for wrong, said in (({"clip_id": "clip9"}, "one of the 30 clips"), ({"beside": {"x": TRUTH[:2]}}, "x: must be")):
        with pytest.raises(ValueError, match=said):
            SAID.plot(**wrong)
    with pytest.raises(ValueError, match="neither truth nor pseudo labels"):
        replace(CLIPS, truth=None, pseudo_labels=None).plot()


def test_they_are_saved_and_read_back(tmp_path, painted):
    SAID.save(tmp_path / "p.npz")
    assert np.array_equal(read_predictions(tmp_path / "p.npz").segment_probs, PROBS)
    LABELS.save(tmp_path / "labels")
    assert np.array_equal(read_pseudo_labels(tmp_path / "labels").labels, LABELS.labels)
    (tmp_path / "labels" / LABEL_FACTS).write_text("{}")
    with pytest.raises(ValueError, match="name another folder"):
        LABELS.save(tmp_path / "labels")
    parse = toy_parse()
    for ending in ("json", "png"):
        parse.save(tmp_path / f"parse.{ending}")
    assert read_parse(tmp_path / "parse.json").events and (tmp_path / "parse.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"saved as \*.json"):
        parse.save(tmp_path / "parse.doc")


def test_a_loader_takes_a_set_as_it_is():
    valid = CLIPS.truth.any(dim=(2, 3)) | True
    batches = list(DataLoader(replace(CLIPS, valid=valid, audio=CLIPS.audio.half()), batch_size=8, shuffle=True))
    assert sorted(clip for batch in batches for clip in batch["clip_id"]) == list(CLIPS.clip_ids)
    first = batches[0]
    assert first["audio"].shape == (8, SEGMENTS, WIDTH)
    assert first["audio"].dtype == first["visual"].dtype == first["weak_labels"].dtype == torch.float32
    row = CLIPS.clip_ids.index(first["clip_id"][0])
    assert first["truth"][0].equal(CLIPS.truth[row]) and first["visual"][0].equal(CLIPS.visual[row])
    assert "motion" not in first and len(list(CLIPS)) == 30
    assert list(CLIPS.to_frame().columns) == ["clip_id", "event_labels", "segments"]


def test_events_that_are_not_listed_are_said_to_be_where_the_reader_finds_them():
    alternating = np.tile(np.array([0.9, 0.1], np.float32)[:, None, None], (6, 2, 2))
    parse = replace(toy_parse(), segment_probs=alternating)
    left = len(parse.events) - 12
    assert left > 0 and repr(parse).endswith(f"... and {left} more; see .events")
    assert parse.said("all in parses/street.json").endswith(f"... and {left} more; all in parses/street.json")


def test_simulated_labels_and_clips_say_so_wherever_they_are_shown_and_saved(tmp_path, painted):
    labels, clips = replace(LABELS, simulated=True), replace(CLIPS, simulated=True)
    assert repr(labels).endswith(", SIMULATED") and repr(clips).endswith(", SIMULATED")
    for drawn in (labels.plot(), clips.plot()):
        assert "SIMULATED labels" in [text.get_text() for text in drawn.legends[0].get_texts()]
    for of, simulated in ((labels, True), (LABELS, False)):
        folder = tmp_path / str(simulated)
        of.save(folder)
        assert read_pseudo_labels(folder).simulated == of_labels(folder).simulated == simulated
        assert of_labels(folder / "pseudo_labels.npz").simulated == simulated
