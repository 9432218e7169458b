"""Parses of clips are predictions: the same numbers as a predicted split, with every threshold still to choose."""

import json
from dataclasses import replace

import numpy as np
import pytest

from eval.decide import decide
from eval.events import MODALITIES
from eval.post_processing import PostProcessing
from tests.toy_parse import toy_parse
from tests.toy_scores import NAMES, write_toy_scores
from tests.typed import typed
from valor.annotations import media_id, write_event_table, write_weak_table
from valor.parse_json import write_parse
from valor.parse_predictions import HEAD, parse_files, read_parse_predictions
from valor.parses import MediaInfo, Parse
from valor.prediction_formats import read_any_predictions
from valor.predictions import decisions, read_predictions
from valor.thresholds_file import read_calibration
from valor.viewer.parsed import is_parse as viewer_takes


def folder_of(tmp_path, **parses):
    for name, parse in parses.items():
        named = replace(parse, media=replace(parse.media, name=f"{name}.mp4"))
        write_parse(tmp_path / "parses" / f"{name}.json", named)
    return tmp_path / "parses"


def short(parse, segments):
    return replace(parse, segment_probs=parse.segment_probs[:segments], gate_probs=parse.gate_probs[:segments])


def test_probabilities_come_undecided_and_decide_to_the_same_events(tmp_path):
    strict = toy_parse().decided_by(PostProcessing(segment_threshold=0.9, clip_threshold=0.7))
    folder = folder_of(tmp_path, one=strict, two=short(strict, 7), deaf=toy_parse(visual=False))
    (folder / "one.csv").write_text("filename", encoding="ascii")
    found = read_any_predictions(folder, ("Speech", "Glass_breaking"))
    assert found.clip_ids == ("deaf", "one", "two") and found.predicted is None
    assert found.valid.sum(axis=1).tolist() == [12, 12, 7]
    row = found.clip_ids.index("one")
    assert np.allclose(found.segment_probs[row], strict.segment_probs, atol=1e-4)
    assert np.allclose(found.clip_probs, 0.75)
    decided = decide(found.segment_probs, clip_probs=found.clip_probs, options=strict.decision)
    assert np.array_equal(decided[row], strict.predicted) and strict.predicted.any()
    assert not decided[0, :, 1].any()  # no picture, nothing seen
    assert decisions(found)[0].sum() > decided.sum()  # other thresholds find other events


def test_a_gate_of_each_modality(tmp_path):
    parse = toy_parse()
    parse.gate_probs[:, 0] = 0.25
    folder = folder_of(tmp_path, one=replace(parse, decision=PostProcessing(gate="modality")))
    found = read_parse_predictions(parse_files(folder))
    assert found.modality_probs[0, :, 0].tolist() == [0.25, 0.75] and found.clip_probs is None


def test_one_file_and_other_files(tmp_path):
    folder = folder_of(tmp_path, one=toy_parse())
    assert read_any_predictions(folder / "one.json", ()).clip_ids == ("one",)
    (tmp_path / "x.json").write_text('{"format": "valor predictions 1"}')
    assert parse_files(tmp_path) == [] and parse_files(tmp_path / "x.json") == []


def test_parses_that_do_not_go_together_are_refused(tmp_path):
    moving = toy_parse()
    moving.gate_probs[6:] = 0.1
    with pytest.raises(ValueError, match=r"b\.json: its gate changes from window to window.*--gate none"):
        read_parse_predictions(parse_files(folder_of(tmp_path / "1", a=toy_parse(), b=moving)))
    for number, (other, said) in enumerate(
        (
            (replace(toy_parse(), class_names=("Speech", "Dog")), "same classes"),
            (replace(toy_parse(), segment_seconds=0.5), "same segments of one length"),
            (toy_parse().decided_by(PostProcessing(gate="none")), "same one gate"),
        )
    ):
        with pytest.raises(ValueError, match=f"need the {said}"):
            read_parse_predictions(parse_files(folder_of(tmp_path / f"x{number}", a=toy_parse(), b=other)))


def test_thresholds_are_calibrated_on_parses(tmp_path):
    """The folder of a parse in place of predictions, as a person types it."""
    toy = write_toy_scores(tmp_path / "toy")
    given = read_predictions(toy.good)
    for row, clip_id in enumerate(given.clip_ids):
        probs = given.segment_probs[row].astype(np.float32)
        gate = np.broadcast_to(given.clip_probs[row], probs.shape).astype(np.float32)
        media = MediaInfo(
            name=f"{clip_id}.mp4", path=f"/c/{clip_id}.mp4", duration=10.0, has_audio=True, has_visual=True
        )
        write_parse(
            tmp_path / "parses" / f"{clip_id}.json",
            Parse(
                media=media, class_names=given.class_names, segment_seconds=1.0, segment_probs=probs, gate_probs=gate
            ),
        )
    files = [tmp_path / name for name in ("a.json", "b.json")]
    for source, out in zip((toy.good, tmp_path / "parses"), files, strict=True):
        assert typed("calibrate", source, *toy.on, "--out", out).code == 0
    one, other = (read_calibration(file, NAMES) for file in files)
    for name in MODALITIES:
        assert np.allclose(one.thresholds[name], other.thresholds[name], atol=2e-4)


def parses_of(folder, predictions, names, *, segments=10):
    """What a parse of each clip would say, under the name of its media, without a gate."""
    for row, name in enumerate(names):
        probs = np.resize(predictions.segment_probs[row], (segments, 2, len(predictions.class_names)))
        media = MediaInfo(name=f"{name}.mp4", path="", duration=float(segments), has_audio=True, has_visual=True)
        parse = Parse(
            media=media,
            class_names=predictions.class_names,
            segment_seconds=1.0,
            segment_probs=probs.astype(np.float32),
            gate_probs=None,
            decision=PostProcessing(gate="none"),
        )
        write_parse(folder / f"{name}.json", parse)
    return folder


def test_media_named_as_those_of_llp_stand_for_the_clips_of_the_split(tmp_path):
    """`abcdefghijk.mp4` is the clip abcdefghijk_10_20, as the demo and LLP name them."""
    toy = write_toy_scores(tmp_path / "toy")
    given = read_predictions(toy.good)
    names = [media_id(clip_id) for clip_id in given.clip_ids]
    assert all(len(name) == 11 for name in names) and len(set(names)) == len(names)
    folder = parses_of(tmp_path / "parses", given, names)
    figures = []
    for source in (toy.good, folder):
        done = typed("evaluate", source, *toy.on, "--gate", "none", "--json", tmp_path / "s.json")
        assert done.code == 0 and "24 of 24 test clips" in done.out, done
        figures.append(json.loads((tmp_path / "s.json").read_text())["segment"])
    assert figures[1] == pytest.approx(figures[0], abs=0.5)
    done = typed("calibrate", folder, *toy.on, "--gate", "none", "--out", tmp_path / "t.json")
    assert done.code == 0 and "24 of 24 test clips" in done.out, done


def test_media_that_may_be_two_clips_is_refused(tmp_path):
    ids = ("abcdefghijk_10_20", "abcdefghijk_30_40", "lmnopqrstuv_0_10")
    folder = folder_of(tmp_path, abcdefghijk=toy_parse())
    with pytest.raises(ValueError, match=r"abcdefghijk\.json: .* abcdefghijk_10_20 or abcdefghijk_30_40; name the"):
        read_any_predictions(folder, (), clip_ids=ids)
    whole = folder_of(tmp_path / "whole", abcdefghijk_30_40=toy_parse(), lmnopqrstuv=toy_parse(), other=toy_parse())
    assert read_any_predictions(whole, (), clip_ids=ids).clip_ids == (*ids[1:], "other")
    folder_of(tmp_path / "whole", lmnopqrstuv_0_10=toy_parse())
    with pytest.raises(ValueError, match=r"got another of lmnopqrstuv_0_10 beside .*lmnopqrstuv\.json; remove one"):
        read_any_predictions(whole, (), clip_ids=ids)


def test_a_folder_of_parses_longer_than_ten_seconds_is_scored_and_calibrated(tmp_path):
    """Thirteen and eleven seconds on tables of the same clips: the grid is that of the parses."""
    toy = write_toy_scores(tmp_path / "toy")
    given = read_predictions(toy.good)
    folder = parses_of(tmp_path / "parses", given, ["long"], segments=13)
    parses_of(folder, given, ["short"], segments=11)
    tags = np.ones((2, len(NAMES)), dtype=bool)
    write_weak_table(tmp_path / "own" / "AVVP_test_pd.csv", ("long", "short"), tags, NAMES)
    for modality in MODALITIES:
        rows = [("long", 10, 13, "Speech"), ("short", 0, 2, "Car")]
        write_event_table(tmp_path / "own" / f"AVVP_eval_{modality}.csv", rows)
    on = (folder, "--annotations", tmp_path / "own", "--split", "test", "--gate", "none")
    for line in (("evaluate", *on), ("calibrate", *on, "--out", tmp_path / "t.json")):
        done = typed(*line)
        assert done.code == 0 and "2 of 2 test clips" in done.out, done


def test_a_parse_says_what_it_is_wherever_its_keys_stand(tmp_path):
    """Keys in the order of the alphabet put long lists before the format."""
    toy, bare = toy_parse(), PostProcessing(gate="none")
    film = replace(toy, segment_probs=np.tile(toy.segment_probs, (20, 1, 1)), gate_probs=None, decision=bare)
    write_parse(tmp_path / "film.json", film)
    record = json.loads((tmp_path / "film.json").read_text())
    text = json.dumps(record, indent=1, sort_keys=True)
    (tmp_path / "film.json").write_text(text)
    assert text.index('"format"') > HEAD
    assert parse_files(tmp_path) == [tmp_path / "film.json"] == [f for f in tmp_path.iterdir() if viewer_takes(f)]
