"""The whole line on a small world: the gain, the control, what is cached."""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import valor.demo.run
from tests.helpers.toy_demo import cheapen
from valor.data.predictions import align, decisions
from valor.data.score_file import read_scores_json
from valor.demo.picture import typical_row, write_demo_picture
from valor.demo.report import SHOWN_CLIPS, clip_scores, gain_in_words, report_document, shown_rows, write_report
from valor.demo.run import ARMS, DemoOptions, DemoResult, run_demo, shuffled_between_clips
from valor.eval.scores import FIGURES, LEVELS
from valor.training.facts import facts_beside
from valor.training.recipes import RECIPES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SMALL = DemoOptions(clips=150, seeds=1)


@pytest.fixture(scope="module", autouse=True)
def cheap(one_thread: None) -> Iterator[None]:
    """Networks of half the width, and half as many clips seen in training, in smaller batches."""
    with pytest.MonkeyPatch.context() as patch:
        cheapen(patch)
        for name in ("demo", "demo-tags-only"):
            demo = RECIPES[name]
            parser = replace(demo.parser, hidden_width=128, feedforward_width=256)
            fit = replace(demo.fit, epochs=16, batch_size=8, learning_rate=2e-3)
            patch.setitem(RECIPES, name, replace(demo, parser=parser, fit=fit))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DemoResult]:
    out = tmp_path_factory.mktemp("demo")
    return out, run_demo(out, SMALL, progress=False)


def test_valor_gains_over_tags_and_the_order_is_that_of_the_paper(finished: tuple[Path, DemoResult]) -> None:
    _, result = finished
    type_av = {arm: result.scores[arm][0].segment.type_av for arm in ARMS}
    assert type_av["valor"] - type_av["tags-only"] > 4, type_av
    assert type_av["valor"] - type_av["fused"] > 2, type_av


def test_labels_are_clearly_better_than_copied_tags_and_clearly_imperfect(finished: tuple[Path, DemoResult]) -> None:
    _, result = finished
    copied = result.anchors["tags-copied"].segment.type_av
    assert copied + 8 < result.label_quality["valor"].scores.segment.type_av < 92
    assert result.label_quality["fused"].scores.segment.type_av < result.label_quality["valor"].scores.segment.type_av


def test_with_scores_shuffled_between_clips_the_gain_is_gone(
    finished: tuple[Path, DemoResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gain is over clip tags alone, whose training knows no teacher's scores: only VALOR is trained anew."""
    out, result = finished
    before = (out / "scores.json").read_bytes()
    trained = valor.demo.run._train_and_predict

    def train(data: Path, training: valor.demo.run.Training) -> bool:
        if "valor" in training.run.parts:
            return trained(data, training)
        shutil.copytree(out / training.run.relative_to(out / "control"), training.run)
        return False

    monkeypatch.setattr(valor.demo.run, "_train_and_predict", train)
    options = replace(SMALL, shuffle_teachers=True)
    control = run_demo(out, options, progress=False)
    assert gain_in_words(control)[0] == "-" and gain_in_words(result)[0] == "+"
    assert (out / "scores.json").read_bytes() == before, "the control leaves the demo alone"
    assert (out / "control" / "scores.json").is_file()
    path = write_report(out, control, options)
    assert path == out / "control" / "report.html"
    assert "<h2>Control run" in path.read_text(encoding="utf-8")


def test_scores_json_holds_what_is_promised(finished: tuple[Path, DemoResult]) -> None:
    out, result = finished
    table = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert [(row["name"], row["seed"]) for row in table["rows"]] == [("tags-only", 0), ("fused", 0), ("valor", 0)]
    for levels in (*table["rows"], *table["anchors"].values(), *table["pseudo_labels"].values()):
        assert all(set(levels[level]) == set(FIGURES) for level in LEVELS)
    assert set(table["anchors"]) == {"nothing", "tags-copied"}
    assert set(table["pseudo_labels"]) == {"fused", "valor"}
    assert table["rows"][2]["segment"]["type_av"] == result.scores["valor"][0].segment.type_av
    assert table["seconds"] > 0
    for run in (out / "runs").glob("*/seed-*"):
        held, facts = read_scores_json(run / "scores.json"), facts_beside(run).to_json()
        assert held["selection"] == "segment Type@AV" and {key: held[key] for key in facts} == facts
        assert facts["extra_data"] == [] and "epoch" in facts["tuned"]


def test_a_second_run_uses_what_is_there_and_says_so(
    finished: tuple[Path, DemoResult], caplog: pytest.LogCaptureFixture
) -> None:
    out, result = finished
    before = {path: path.stat().st_mtime_ns for path in out.glob("**/*.mp4")} | {
        path: path.stat().st_mtime_ns for path in out.glob("runs/**/*.safetensors")
    }
    with caplog.at_level(logging.INFO):
        again = run_demo(out, SMALL, progress=False)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.scores == result.scores
    for said in ("150 of 150 clips are already there", "150 of 150 clips are cached", "3 of 3 trainings were there"):
        assert said in caplog.text


def test_the_page_shows_losses_as_well_as_gains(finished: tuple[Path, DemoResult]) -> None:
    out, result = finished
    page = write_report(out, result, SMALL).read_text(encoding="utf-8")
    assert page.count('"url":"data:video/mp4;base64,') == SHOWN_CLIPS
    assert "<h2>Control run" not in page
    assert ">nothing predicted<" in page
    rows = shown_rows(result)
    assert len(set(rows)) == SHOWN_CLIPS
    per_clip = {arm: result.scores[arm][0].per_clip[rows, 0, :3].mean(axis=1) for arm in ("valor", "tags-only")}
    gains = per_clip["valor"] - per_clip["tags-only"]
    assert (np.diff(gains) <= 1e-9).all()
    assert gains[0] > 0 > gains[-1]


def test_the_page_shows_what_was_scored(finished: tuple[Path, DemoResult]) -> None:
    out, result = finished
    document = report_document(out, result, SMALL)
    assert [system.name for system in document.systems] == ["tags only", "fused", "VALOR"]
    for clip, row in zip(document.clips, shown_rows(result), strict=True):
        assert clip.clip_id == result.test.clip_ids[row]
        np.testing.assert_array_equal(clip.truth, result.test.truth[row])
        for marks, arm in zip(clip.marks, ("tags-only", "fused", "valor"), strict=True):
            decided, _ = decisions(align(result.predictions[arm], result.test))
            np.testing.assert_array_equal(marks.predicted, decided[row])


def test_the_picture_is_a_png_of_a_typical_clip(finished: tuple[Path, DemoResult], tmp_path: Path) -> None:
    result = finished[1]
    row = typical_row(result)
    assert result.test.weak_labels[row].sum() == 2
    for arm in ("valor", "tags-only"):
        scores = clip_scores(result, arm)
        assert abs(scores[row] - scores.mean()) < scores.std()
    write_demo_picture(tmp_path / "demo.png", result, row)
    assert (tmp_path / "demo.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_cuts_of_the_labels_are_known_not_to_be_tuned_on_val(finished: tuple[Path, DemoResult]) -> None:
    from valor.training.facts import facts_beside

    assert facts_beside(finished[0] / "runs" / "valor" / "seed-0").tuned == ("epoch",)


def test_the_control_moves_scores_and_nothing_else(finished: tuple[Path, DemoResult]) -> None:
    from valor.data.tables import read_split
    from valor.data.vocabulary import LLP_CLASSES, class_names
    from valor.demo.world.schedule import SPLITS
    from valor.label_harvest.store.store import read_store

    out, _ = finished
    store = read_store(out / "data" / "store")
    splits = {split: read_split(out / "data", split, class_names(LLP_CLASSES)) for split in SPLITS}
    shuffled = shuffled_between_clips(store, splits, seed=1)
    same = (shuffled.arrays["audio.similarity"] == store.arrays["audio.similarity"]).all(axis=(1, 2))
    assert not same.any()
    np.testing.assert_array_equal(shuffled.arrays["audio.embedding"], store.arrays["audio.embedding"])
    for split in splits.values():
        rows = [store.clip_ids.index(clip_id) for clip_id in split.clip_ids]
        inside = store.arrays["audio.similarity"][rows].sum(dtype=np.float64)
        assert np.isclose(shuffled.arrays["audio.similarity"][rows].sum(dtype=np.float64), inside)


def test_another_world_is_refused(finished: tuple[Path, DemoResult]) -> None:
    out, _ = finished
    with pytest.raises(ValueError, match="holds another world"):
        run_demo(out, DemoOptions(clips=151, seeds=1), progress=False)


@pytest.mark.parametrize(("field", "value"), [("clips", 10), ("seeds", 0)])
def test_worlds_too_small_are_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{field} must be at least"):
        DemoOptions(**{field: value})
