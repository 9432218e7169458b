"""The untrimmed line on a few short films: what is made, what is cached, what the tables hold."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import valor.demo.film_run
from tests.helpers.toy_demo import cheapen
from tests.helpers.typed import typed
from valor.data.datasets.dataset import dataset_of
from valor.data.label_file import read_label_facts
from valor.demo.film_report import (
    film_scores,
    precision_sheet,
    rule_sheet,
    typical_film,
    write_film_picture,
    write_film_report,
)
from valor.demo.film_run import FILM_ARMS, NOTHING, RULES, WHOLE_FILMS, FilmResult, heard_and_seen, run_films
from valor.demo.options import DemoOptions
from valor.demo.world import films, render
from valor.demo.world.films import FilmEvent, FilmPlan
from valor.label_harvest.store.store import read_store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TOY = DemoOptions(films=10, seeds=1)


@pytest.fixture(scope="module", autouse=True)
def cheap(one_thread: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        cheapen(patch)
        patch.setattr(render, "FRAME_RATE", 2)  # lengths of films are kept to half a second
        for name, value in (("SHORTEST", 9), ("LONGEST", 18), ("SECONDS_BETWEEN", 6)):
            patch.setattr(films, name, value)
        short = {
            name: replace(arm, recipe=replace(arm.recipe, fit=replace(arm.recipe.fit, epochs=4, warmup_epochs=1)))
            for name, arm in FILM_ARMS.items()
        }
        patch.setattr(valor.demo.film_run, "FILM_ARMS", short)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FilmResult]:
    out = tmp_path_factory.mktemp("films")
    return out, run_films(out, TOY, progress=False)


def test_films_are_a_data_set_of_unlike_lengths_harvested_to_their_ends(finished: tuple[Path, FilmResult]) -> None:
    out, result = finished
    dataset, store = dataset_of(out / "data"), read_store(out / "data/store")
    assert dataset.segments is None and dataset.annotated == ("train", "val", "test") and store.segments is not None
    harvested = dict(zip(store.clip_ids, store.segments.tolist(), strict=True))
    for split in dataset.splits:
        clips = dataset.read_split(out / "data", split)
        assert clips.valid is not None
        assert [harvested[clip_id] for clip_id in clips.clip_ids] == clips.valid.sum(axis=1).tolist()
    assert len(set(harvested.values())) > 3
    assert result.test.valid is not None and result.predictions["valor"].valid is not None
    np.testing.assert_array_equal(result.predictions["valor"].valid, result.test.valid)


def test_the_cuts_of_the_labels_are_known_not_to_be_tuned_on_val(finished: tuple[Path, FilmResult]) -> None:
    assert read_label_facts(finished[0] / "labels" / "valor")["tuned"] == []


def test_scores_json_holds_precision_anchors_and_rules(finished: tuple[Path, FilmResult]) -> None:
    out, result = finished
    held = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert [(row["name"], row["seed"]) for row in held["rows"]] == [("tags-only", 0), ("valor", 0), ("full", 0)]
    assert set(held["anchors"]) == {NOTHING, WHOLE_FILMS} and set(held["proposal_rules"]) == set(RULES)
    assert held["anchors"][NOTHING]["figures"]["mAP mean"] == 0 < held["anchors"][WHOLE_FILMS]["figures"]["mAP mean"]
    for arm in FILM_ARMS:  # the first rule is the one of the scores
        own = result.scores[arm][0].figures["mAP mean"]
        assert held["proposal_rules"]["runs, contrast (the one of the scores)"][arm] == pytest.approx(own)
    assert [row[0] for row in precision_sheet(result).rows][-2:] == ["nothing predicted", "true tags as whole films"]
    assert len(rule_sheet(result).rows) == len(RULES)


def test_a_second_run_uses_what_is_there(finished: tuple[Path, FilmResult]) -> None:
    out, result = finished
    files = [*out.glob("films/videos/*.mp4"), *out.glob("data/store/**/*.npz"), *out.glob("runs/**/*.safetensors")]
    before = {path: path.stat().st_mtime_ns for path in files}
    again = run_films(out, TOY, progress=False)
    assert {path: path.stat().st_mtime_ns for path in files} == before and again.scores == result.scores


def test_what_was_lost_is_made_anew_to_the_same_bytes_and_scores(finished: tuple[Path, FilmResult]) -> None:
    out, result = finished
    film = out / "films/videos/train-001.mp4"
    lost, rows = film.read_bytes(), json.loads((out / "scores.json").read_bytes())["rows"]
    film.unlink()
    shutil.rmtree(out / "data")
    shutil.rmtree(out / "runs/valor")
    assert run_films(out, TOY, progress=False).rules == result.rules
    assert film.read_bytes() == lost and json.loads((out / "scores.json").read_bytes())["rows"] == rows


def test_page_and_picture_show_films_of_the_test_split(finished: tuple[Path, FilmResult], tmp_path: Path) -> None:
    out, result = finished
    page = write_film_report(out, result, TOY).read_text(encoding="utf-8")
    assert page.count('"url":"data:video/mp4;base64,') == len(result.test.clip_ids) == 3
    assert "Mean average precision" in page and ">true tags as whole films<" in page
    row = typical_film(result)
    several = np.flatnonzero(result.test.weak_labels.sum(axis=1) >= 2)
    apart = sum(abs(of - of.mean()) for of in (film_scores(result, arm) for arm in ("tags-only", "valor")))
    assert row in (chosen := several if len(several) else np.arange(3)) and apart[row] == apart[chosen].min()
    assert write_film_picture(tmp_path / "film.png", result) == result.test.clip_ids[row]
    assert (tmp_path / "film.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_same_films_in_the_form_of_unav_are_read_harvested_and_scored(finished: tuple[Path, FilmResult]) -> None:
    out, _ = finished
    split = dataset_of(out / "unav").read_split(out / "unav", "test")
    assert split.events is not None and split.clip_ids == finished[1].test.clip_ids
    done = typed(
        "evaluate", out / "runs/valor/seed-0/predictions.npz", "--annotations", out / "unav", "--split", "test"
    )
    assert done.code == 0 and "mAP mean" in done.out and "true tags, whole clips" in done.out
    assert "truth on 1 s, outer" in done.out


def test_heard_and_seen_is_where_both_overlap() -> None:
    events = (
        FilmEvent("Dog", "audio", 1, 6), FilmEvent("Dog", "visual", 2.5, 4), FilmEvent("Dog", "visual", 5, 9),
        FilmEvent("Cat", "visual", 0, 9),
    )  # fmt: skip
    found = heard_and_seen(FilmPlan("f", "test", 9, (), (), (), events))
    assert [(event["label"], event["segment"]) for event in found] == [("Dog", [2.5, 4]), ("Dog", [5, 6])]


def test_clips_and_films_do_not_share_a_folder(finished: tuple[Path, FilmResult], tmp_path: Path) -> None:
    out, _ = finished
    done = typed("demo", "--clips", "50", "--seeds", "1", "--out", out)
    assert done.code != 0 and "got dataset.json without it; choose another" in done.err
    (tmp_path / "data").mkdir()
    (tmp_path / "data/world.json").write_text("{}")
    with pytest.raises(ValueError, match="holds a demo of clips; choose another folder for films"):
        run_films(tmp_path, TOY, progress=False)
    with pytest.raises(ValueError, match="films must be at least 10"):
        DemoOptions(films=9)
