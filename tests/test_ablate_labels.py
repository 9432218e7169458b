"""The labels an ablation compares: what each source makes of one clip whose evidence is known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from valor.ablate_labels import SOURCES, LabelEvidence, make_labels, write_label_source
from valor.labels_file import read_pseudo_labels

# One clip of three segments and three classes, tagged with the first two.
AUDIO = np.array([[[1, 0, 0], [1, 0, 0], [0, 0, 0]]], dtype=bool)
VISUAL = np.array([[[0, 1, 0], [0, 0, 0], [0, 1, 0]]], dtype=bool)
FUSED = AUDIO | VISUAL
TAGS = np.array([[1, 1, 0]], dtype=bool)
COPIED = np.array([[[1, 1, 0]] * 3], dtype=bool)
EVIDENCE = LabelEvidence(
    clip_ids=("clip",),
    class_names=("bell", "dog", "drum"),
    tags=TAGS,
    hard={"audio": AUDIO, "visual": VISUAL, "fused": FUSED},
    soft={"audio": AUDIO * 0.75, "visual": VISUAL * 0.625},
)
IN_THE_CLIP = np.array([[[1, 0, 0]] * 3], dtype=bool), np.array([[[0, 1, 0]] * 3], dtype=bool)
EXPECTED = {
    "segments": (AUDIO, VISUAL),
    "clips": IN_THE_CLIP,
    "tags": (COPIED, COPIED),
    "tags smoothed": (COPIED, 0.9 * COPIED + 0.05),
    "fused": (FUSED, FUSED),
    "audio alone": (AUDIO, COPIED),
    "visual alone": (COPIED, VISUAL),
    "audio for both": (AUDIO, AUDIO),
    "visual for both": (VISUAL, VISUAL),
    "soft": (AUDIO * 0.75, VISUAL * 0.625),
}


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_makes_what_its_name_says(name):
    labels = make_labels(name, EVIDENCE)
    assert labels.shape == (1, 3, 2, 3)
    for modality, expected in enumerate(EXPECTED[name]):
        np.testing.assert_allclose(labels[:, :, modality], expected, atol=1e-6)


def test_a_label_folder_is_read_back_and_says_where_it_came_from(tmp_path):
    for name in ("segments", "soft"):
        folder = write_label_source(tmp_path / name, name, EVIDENCE)
        table = read_pseudo_labels(folder)
        assert (table.clip_ids, table.class_names, table.soft) == (("clip",), EVIDENCE.class_names, name == "soft")
        np.testing.assert_allclose(table.labels, make_labels(name, EVIDENCE), atol=1e-3)
        assert json.loads((folder / "labels.json").read_text())["source"] == name


def test_labels_of_random_teachers_stay_marked(tmp_path):
    folder = write_label_source(tmp_path, "fused", replace(EVIDENCE, random_weights=True))
    assert json.loads((folder / "labels.json").read_text())["random_weights"] is True


def test_sources_whose_teachers_are_not_there_are_refused_by_name():
    published = replace(EVIDENCE, hard={"audio": AUDIO, "visual": VISUAL}, soft={})
    assert SOURCES["fused"].lacks(published) == ("fused",)
    assert SOURCES["soft"].lacks(published) == ("audio", "visual")
    assert SOURCES["tags"].lacks(published) == ()
    with pytest.raises(ValueError, match="'fused' needs the labels of the teachers fused, not here"):
        make_labels("fused", published)
    with pytest.raises(ValueError, match="'soft' needs the scores of the teachers audio, visual"):
        make_labels("soft", published)
    with pytest.raises(ValueError, match="labels come from one of segments, clips.*got 'magic'"):
        make_labels("magic", EVIDENCE)
