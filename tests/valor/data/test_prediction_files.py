"""Every format of predictions: written and read back, and the same scores from all of them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_parse import toy_parse
from tests.helpers.toy_scores import NAMES, write_toy_scores
from tests.helpers.typed import typed
from valor.data.parse_file import Parse, write_parse
from valor.data.parse_folder import DECIDED, HEAD, parse_files, read_parse_predictions
from valor.data.parse_folder import is_parse as viewer_takes
from valor.data.parsed_media import MediaInfo
from valor.data.prediction_files import (
    PREDICTIONS_FORMAT,
    read_any_predictions,
    read_prediction_json,
    read_prediction_tables,
    write_any_predictions,
    write_prediction_json,
    write_prediction_tables,
)
from valor.data.predictions import (
    Predictions,
    coverage,
    decisions,
    read_predictions,
    score_predictions,
    write_predictions,
)
from valor.data.provenance import Provenance
from valor.data.segment_grid import SegmentGrid
from valor.data.tables import Split, write_event_table, write_weak_table
from valor.data.thresholds import Calibration, read_calibration, write_calibration
from valor.eval.decide import PostProcessing, decide
from valor.eval.events import MODALITIES
from valor.label_harvest.store.manifest import media_id

CLASSES = ("Dog", "Speech")


def folder_of(tmp_path, **parses):
    for name, parse in parses.items():
        named = replace(parse, media=replace(parse.media, name=f"{name}.mp4"))
        write_parse(tmp_path / "parses" / f"{name}.json", named)
    return tmp_path / "parses"


def short(parse, segments):
    return replace(parse, segment_probs=parse.segment_probs[:segments], gate_probs=parse.gate_probs[:segments])


def test_probabilities_come_undecided_and_decide_to_the_same_events(tmp_path):
    strict = replace(toy_parse(), decision=PostProcessing(segment_threshold=0.9, clip_threshold=0.7))
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


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.5, 0.8])
def test_any_threshold_marks_of_a_film_what_its_own_gate_lets_pass(tmp_path, threshold):
    """As the slider of the viewer does and a new parse: lower thresholds mark more, not only what was marked before."""
    film = toy_parse()
    film.gate_probs[6:] = 0.1
    asked = replace(film, decision=replace(film.decision, segment_threshold=threshold))
    found = read_parse_predictions(parse_files(folder_of(tmp_path, film=film)), gates=DECIDED)
    gates = {"modality_probs": found.modality_probs, "clip_probs": found.clip_probs}
    marked = decide(found.segment_probs, **gates, options=asked.decision)[0]
    assert np.array_equal(marked, asked.predicted) and not marked[6:].any()
    if threshold < 0.1:
        assert marked.sum() > film.predicted.sum()


def test_a_note_says_which_classes_a_gate_left_out_and_how_to_count_them(tmp_path, caplog):
    film = toy_parse()
    film.segment_probs[6:, :, 0], film.gate_probs[6:] = 0.2, 0.1  # no Speech there that could be left out
    read_parse_predictions(parse_files(folder_of(tmp_path, film=film)), gates=DECIDED)
    told = caplog.text
    assert "film.json: long media were judged in pieces" in told and "gate='none' counts every second" in told
    assert "probable in the piece as a whole, too, which left out seconds of Glass_breaking. It is scored" in told


def test_evaluate_keeps_the_gate_of_a_film_or_refuses(tmp_path):
    film = replace(toy_parse(), decision=replace(toy_parse().decision, clip_threshold=0.7))
    film.gate_probs[6:] = 0.6  # shut, and open at one half
    film = replace(film, media=replace(film.media, name="film.mp4"))
    folder = folder_of(tmp_path / "parses", film=film)
    typed("export", "events", folder, "--csv", tmp_path / "all.csv")
    own = tmp_path / "own"
    typed("import", "events", tmp_path / "all.csv", "--exported-from", folder, "--out", own, "--quiet")
    on = ("evaluate", folder, "--annotations", own, "--split", "test")
    done = typed(*on, "--threshold", "0.01")
    assert done.code == 0 and "segments >= 0.01" in done.out and "0.7" in done.out, done
    refused = typed(*on, "--preset", "valor")
    assert refused.code == 2 and "film.json: longer than a window, so its gate decided window by window" in refused.err
    assert "give --threshold alone, or --gate none" in refused.err


def test_parses_that_do_not_go_together_are_refused(tmp_path):
    moving = toy_parse()
    moving.gate_probs[6:] = 0.1
    with pytest.raises(ValueError, match=r"b\.json: its gate changes from window to window.*gate='none'"):
        read_parse_predictions(parse_files(folder_of(tmp_path / "1", a=toy_parse(), b=moving)))
    for number, (other, said) in enumerate(
        (
            (replace(toy_parse(), class_names=("Speech", "Dog")), "same classes"),
            (replace(toy_parse(), segment_seconds=0.5), "same segments of one length"),
            (replace(toy_parse(), decision=PostProcessing(gate="none")), "same one gate"),
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


def parses_of(folder, predictions, names, *, segments=10, threshold=0.5):
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
            decision=PostProcessing(gate="none", segment_threshold=threshold),
        )
        write_parse(folder / f"{name}.json", parse)
    return folder


def test_parses_are_scored_as_they_mark_events_unless_a_rule_is_typed(tmp_path):
    toy = write_toy_scores(tmp_path / "toy")
    given = read_predictions(toy.good)
    shuffled = replace(
        given,
        class_names=given.class_names[::-1],
        segment_probs=given.segment_probs[..., ::-1],
        clip_probs=given.clip_probs[..., ::-1],
    )
    own = np.linspace(0.3, 0.9, len(given.class_names))
    names = [media_id(clip_id) for clip_id in given.clip_ids]
    folder = parses_of(tmp_path / "parses", shuffled, names, threshold=own[::-1])
    write_predictions(tmp_path / "p.npz", replace(given, clip_probs=None))
    cuts = Calibration(
        applies_to="segment_threshold",
        class_names=given.class_names,
        thresholds=dict.fromkeys(MODALITIES, tuple(own.tolist())),
    )
    write_calibration(tmp_path / "own.json", cuts)
    lines = {
        "as they mark": [folder],
        "by those cuts": [tmp_path / "p.npz", "--gate", "none", "--thresholds", tmp_path / "own.json"],
        "at one half": [folder, "--threshold", "0.5"],
    }
    found = {}
    for way, line in lines.items():
        done = typed("evaluate", *line, *toy.on, "--json", tmp_path / "s.json")
        assert done.code == 0 and ("events as the parses mark them" in done.err) == (way == "as they mark"), done
        found[way] = json.loads((tmp_path / "s.json").read_text())
    for level in ("segment", "event"):
        assert found["as they mark"][level] == found["by those cuts"][level] != found["at one half"][level]
    assert found["as they mark"]["post_processing"]["segment_threshold"] == [own.tolist()] * 2
    parses_of(folder, shuffled, names[:1])
    assert "give one rule for all of them, as --threshold 0.5" in typed("evaluate", folder, *toy.on).complaint()


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
        assert done.code == 0 and "32 of 32 test clips" in done.out, done
        figures.append(json.loads((tmp_path / "s.json").read_text())["segment"])
    assert figures[1] == pytest.approx(figures[0], abs=0.5)
    done = typed("calibrate", folder, *toy.on, "--gate", "none", "--out", tmp_path / "t.json")
    assert done.code == 0 and "32 of 32 test clips" in done.out, done


def test_media_that_may_be_two_clips_is_refused(tmp_path):
    ids = ("abcdefghijk_10_20", "abcdefghijk_30_40", "lmnopqrstuv_0_10")
    folder = folder_of(tmp_path, abcdefghijk=toy_parse())
    with pytest.raises(ValueError, match=r"abcdefghijk\.json: .* abcdefghijk_10_20 or abcdefghijk_30_40; name the"):
        read_any_predictions(folder, (), clip_ids=ids)
    whole = folder_of(tmp_path / "whole", abcdefghijk_30_40=toy_parse(), lmnopqrstuv=toy_parse(), other=toy_parse())
    assert read_any_predictions(whole, (), clip_ids=ids).clip_ids == ids[1:]  # other is left out
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


N, T = 12, 10
CLIPS = tuple(f"clip-{index:02}" for index in range(N))
FOUR = ("Dog", "Speech", "Cello", "Car")
PATHS = ("p.npz", "p.json", "p.audio.tsv", "p.visual.tsv", "p")


@pytest.fixture
def split():
    truth = np.random.default_rng(0).random((N, T, 2, 4)) < 0.2
    return Split("test", CLIPS, FOUR, truth.any(axis=(1, 2)), truth, "v2024", "ab" * 32)


@pytest.fixture
def predictions():
    rng = np.random.default_rng(1)
    probs = rng.random((N, T, 2, 4)).astype(np.float32)
    return Predictions(
        clip_ids=CLIPS,
        class_names=FOUR,
        segment_probs=probs * (np.arange(N) > 1)[:, None, None, None],  # nothing is found in the first two
        clip_probs=rng.random((N, 4)).astype(np.float32),
    )


@pytest.mark.parametrize("name", PATHS)
def test_every_format_scores_the_same(tmp_path, predictions, split, name):
    write_any_predictions(tmp_path / name, predictions)
    read = read_any_predictions(tmp_path / name, FOUR)
    assert coverage(read, split).missing == ()
    assert score_predictions(read, split)[0] == score_predictions(predictions, split)[0]


@pytest.mark.parametrize("name", PATHS[1:])
def test_events_are_those_of_the_rule_asked_for(tmp_path, predictions, split, name):
    rule = PostProcessing(segment_threshold=(0.2, 0.4, 0.6, 0.8), gate="none")
    write_any_predictions(tmp_path / name, predictions, options=rule)
    scores, report = score_predictions(read_any_predictions(tmp_path / name, FOUR), split)
    assert scores == score_predictions(predictions, split, rule)[0]
    assert report["post_processing"] == {
        "segment_threshold": None,
        "gate": "as predicted",
        "clip_threshold": None,
    }


def test_npz_keeps_probabilities_and_json_their_mean(tmp_path, predictions):
    write_any_predictions(tmp_path / "p.npz", predictions)
    kept = read_any_predictions(tmp_path / "p.npz", FOUR)
    assert np.array_equal(kept.segment_probs, predictions.segment_probs)
    write_any_predictions(tmp_path / "p.json", predictions)
    scored = read_any_predictions(tmp_path / "p.json", FOUR, use_scores=True).segment_probs
    marked = read_any_predictions(tmp_path / "p.json", FOUR).predicted
    assert (scored[marked] >= 0.5).all() and not scored[~marked].any()


def test_simulated_features_are_told_where_the_format_can(tmp_path, predictions, split):
    marked = replace(predictions, provenance=Provenance(simulated=True))
    for name in ("p.npz", "p.json"):
        write_any_predictions(tmp_path / name, marked)
        read = read_any_predictions(tmp_path / name, FOUR)
        assert read.provenance.simulated and score_predictions(read, split)[1]["simulated"]
    for name in ("p", "p.audio.tsv"):
        with pytest.raises(ValueError, match="tables cannot say that features were simulated"):
            write_any_predictions(tmp_path / name, marked)
    (tmp_path / "p.json").write_text((tmp_path / "p.json").read_text().replace(": true", ': "yes"'))
    with pytest.raises(ValueError, match="p.json: simulated must be true or false, got 'yes'"):
        read_any_predictions(tmp_path / "p.json", FOUR)


@pytest.mark.parametrize("name", ["p.csv", "p.txt", "one.tsv"])
def test_names_of_no_format_are_refused(tmp_path, predictions, name):
    with pytest.raises(ValueError, match="a pair NAME.audio.tsv and NAME.visual.tsv"):
        write_any_predictions(tmp_path / name, predictions)
    assert not list(tmp_path.iterdir())


def test_rounding_lands_in_the_score_file(tmp_path, split):
    folder = tmp_path / "p"
    folder.mkdir()
    header = "filename\tonset\toffset\tevent_label\n"
    (folder / "audio.tsv").write_text(header + "clip-00\t0.4\t2.2\tDog\n")
    (folder / "visual.tsv").write_text(header)
    (folder / "clips.txt").write_text("\n".join(CLIPS))
    with pytest.raises(ValueError, match="do not lie on the grid"):
        read_any_predictions(folder, FOUR)
    report = score_predictions(read_any_predictions(folder, FOUR, rounding="nearest"), split)[1]
    assert report["post_processing"]["rounding"] == "nearest"
    read = read_any_predictions(folder, FOUR, rounding="cover", num_segments=5, segment_seconds=2)
    assert read.predicted[0, :, 0, 0].tolist() == [True, True, False, False, False]


def test_missing_extra_and_partial_clips_are_told_for_events_too(tmp_path, predictions, split):
    write_any_predictions(tmp_path / "p", predictions)
    (tmp_path / "p" / "clips.txt").unlink()  # now the two clips without events look as if they were never parsed
    read = read_any_predictions(tmp_path / "p", FOUR)
    assert coverage(read, split).missing == CLIPS[:2]
    assert str(coverage(read, split)) == "10 of 12 clips"
    with pytest.raises(ValueError, match=r"2 missing \(clip-00, clip-01\).* a subset meant"):
        score_predictions(read, split)
    assert score_predictions(read, split, allow_subset=True)[1]["clips"] == 10
    with (tmp_path / "p" / "audio.tsv").open("a") as file:
        file.write("stranger\t0\t1\tDog\n")
    read = read_any_predictions(tmp_path / "p", FOUR)
    assert coverage(read, split).extra == ("stranger",)
    with pytest.raises(ValueError, match=r"1 extra \(stranger\)"):
        score_predictions(read, split, allow_subset=True)


def test_clips_of_unlike_length_are_written_as_arrays_only(tmp_path, predictions):
    valid = np.arange(T) < np.arange(1, N + 1)[:, None]
    unlike = Predictions(clip_ids=CLIPS, class_names=FOUR, predicted=predictions.segment_probs > 0.5, valid=valid)
    write_any_predictions(tmp_path / "p.npz", unlike)
    assert np.array_equal(read_any_predictions(tmp_path / "p.npz", FOUR).valid, valid)
    for name in PATHS[1:]:
        with pytest.raises(ValueError, match="write .npz for clips of unlike length"):
            write_any_predictions(tmp_path / name, unlike)


def test_paths_that_are_no_predictions_are_refused(tmp_path, predictions):
    with pytest.raises(FileNotFoundError, match="no such file or folder; `valor predict`"):
        read_any_predictions(tmp_path / "none.npz", FOUR)
    (tmp_path / "p.txt").write_text("x")
    with pytest.raises(ValueError, match=r"p.txt: expected a prediction file .*, a folder .* got a file .txt"):
        read_any_predictions(tmp_path / "p.txt", FOUR)
    (tmp_path / "film.mp4").write_text("x")
    with pytest.raises(ValueError, match=r"got a file .mp4; parse it first, `valor parse .*film.mp4`"):
        read_any_predictions(tmp_path / "film.mp4", FOUR)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"audio.tsv: no such table; events come as a pair"):
        read_any_predictions(tmp_path / "empty", FOUR)
    write_any_predictions(tmp_path / "p.npz", predictions)
    shutil.copy(tmp_path / "p.npz", tmp_path / "p.json")  # an archive under the wrong name
    with pytest.raises(ValueError, match=r"p.json: expected predictions as JSON"):
        read_any_predictions(tmp_path / "p.json", FOUR)
    (tmp_path / "q.npz").write_text('{"format": "valor predictions 1"}')
    with pytest.raises(ValueError, match=r"q.npz: expected a prediction file"):
        read_any_predictions(tmp_path / "q.npz", FOUR)
    with pytest.raises(ValueError, match="only JSON events have scores"):
        read_any_predictions(tmp_path / "p.npz", FOUR, use_scores=True)


JSON_CLIPS = ("b", "a", "silent")


def predicted():
    marks = np.random.default_rng(0).random((3, 10, 2, 2)) < 0.4
    marks[2] = False
    return marks


def document(**changes):
    event = {"event_label": "Dog", "onset": 0, "offset": 4.0, "score": 0.5}
    clips = [{"clip_id": "x", "audio": [event], "visual": []}, {"clip_id": "y", "audio": [], "visual": []}]
    return {"format": PREDICTIONS_FORMAT, "clips": clips} | changes


def saved(folder, content):
    path = folder / "p.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def with_event(**changes):
    content = document()
    content["clips"][0]["audio"][0] |= changes
    return {**content, "clips": content["clips"]}


@pytest.mark.parametrize("segment_seconds", [1.0, 0.32])
def test_json_reads_back_as_it_was_written(tmp_path, segment_seconds):
    path = tmp_path / "p.json"
    write_prediction_json(path, JSON_CLIPS, CLASSES, predicted(), segment_seconds=segment_seconds)
    back = read_prediction_json(path, CLASSES)
    assert (back.clip_ids, back.class_names, back.rounding) == (JSON_CLIPS, CLASSES, None)
    assert np.array_equal(back.predicted, predicted())
    assert list(tmp_path.iterdir()) == [path]


def test_classes_go_where_the_reader_wants_them(tmp_path):
    write_prediction_json(tmp_path / "p.json", JSON_CLIPS, CLASSES, predicted())
    back = read_prediction_json(tmp_path / "p.json", ("Cat", "Speech", "Dog"))
    assert np.array_equal(back.predicted[..., [2, 1]], predicted()) and not back.predicted[..., 0].any()


def test_the_file_is_the_documented_object(tmp_path):
    marks, probs = np.zeros((1, 4, 2, 2), dtype=bool), np.zeros((1, 4, 2, 2), dtype=np.float32)
    marks[0, 1:3, 1, 0] = True
    probs[0, 1:3, 1, 0] = 0.5, 0.75
    write_prediction_json(tmp_path / "p.json", ["ü"], CLASSES, marks, segment_probs=probs, segment_seconds=2.0)
    assert json.loads((tmp_path / "p.json").read_text(encoding="utf-8")) == {
        "format": "valor predictions 1",
        "classes": ["Dog", "Speech"],
        "segments": 4,
        "segment_seconds": 2.0,
        "clips": [
            {
                "clip_id": "ü",
                "audio": [],
                "visual": [{"event_label": "Dog", "onset": 2.0, "offset": 6.0, "score": 0.625}],
            }
        ],
    }


def test_scores_are_probabilities_only_when_asked_for(tmp_path):
    path = saved(tmp_path, with_event(score=0.25))
    assert read_prediction_json(path, CLASSES).predicted[0, :, 0, 0].sum() == 4  # decisions, whatever their scores
    probs = read_prediction_json(path, CLASSES, use_scores=True).segment_probs
    assert probs[0, :, 0, 0].tolist() == [0.25] * 4 + [0] * 6
    with pytest.raises(ValueError, match="clip 'x': audio event 0: every event needs a score"):
        read_prediction_json(saved(tmp_path, with_event(score=None)), CLASSES, use_scores=True)


def test_the_grid_is_that_of_the_file_else_that_asked_for(tmp_path):
    grid = SegmentGrid(num_segments=8, segment_seconds=0.5)
    assert read_prediction_json(saved(tmp_path, document()), CLASSES, grid).predicted[0, :, 0, 0].tolist() == [True] * 8
    own = document(segments=2, segment_seconds=2)
    assert read_prediction_json(saved(tmp_path, own), CLASSES, grid).predicted.shape == (2, 2, 2, 2)
    rounded = SegmentGrid(rounding="cover")
    assert read_prediction_json(saved(tmp_path, with_event(offset=3.2)), CLASSES, rounded).rounding == "cover"


def test_other_keys_are_left_alone(tmp_path):
    assert read_prediction_json(saved(tmp_path, with_event(comment="loud") | {"made": 2026}), CLASSES).predicted.any()


NO_VISUAL = document(clips=[{"clip_id": "x", "audio": []}])
TWICE = document(clips=document()["clips"] * 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected predictions as JSON, which could not be read"),
        ("\x00\x01", "expected predictions as JSON, which could not be read"),
        ("[" * 100_000, "expected predictions as JSON, which could not be read"),
        ("[1]", f'expected a JSON object with "format": "{PREDICTIONS_FORMAT}", got list'),
        ({"clips": []}, f'expected a JSON object with "format": "{PREDICTIONS_FORMAT}", got the format None'),
        (document(clips=[]), "expected at least one clip, got none; list also clips without events"),
        (document(clips={"x": []}), "clips: expected a list, got"),
        (document(clips=[3]), "clip 0: expected an object with 'clip_id', got int"),
        (document(clips=[{"clip_id": 3}]), "clip 0: clip_id: expected text, got 3"),
        (NO_VISUAL, "clip 'x': expected an object with 'visual', got 'clip_id', 'audio'"),
        (TWICE, r"p.json: a clip is listed once, got 2 more than once \(x, y\)"),
        (document(classes=["Dog", "Wolf"]), "classes must be among Dog, Speech, got Wolf"),
        (document(segments="10"), "segments: expected a whole number from 1 to 100,000, got '10'"),
        (document(segments=0), "segments: expected a whole number"),
        (document(segment_seconds=True), "segment_seconds: expected a number from .* got True"),
        (with_event(event_label="Wolf"), "the class of an event must be one of Dog, Speech, .* audio event 0: 'Wolf'"),
        (with_event(event_label=None), "audio event 0: event_label: expected text, got None"),
        (with_event(onset="0"), "audio event 0: onset: expected a number from .* got '0'"),
        (with_event(onset=float("nan")), "NaN is no number"),
        (with_event(offset=0), "audio event 0: an event needs 0 <= onset < offset"),
        (with_event(offset=0.5), "1 events do not lie on the grid"),
        (with_event(offset=11), "1 events do not lie on the grid"),
        (with_event(score=1.5), r"audio event 0: score: expected a number from 0 to 1, got 1.5"),
        (with_event(score="high"), "audio event 0: score: expected a number from 0 to 1, got 'high'"),
        (document(clips=[{"clip_id": "x", "audio": [[0, 1]], "visual": []}]), "event 0: expected an object with"),
    ],
)
def test_files_that_are_no_predictions_are_refused(tmp_path, content, message):
    path = saved(tmp_path, content)
    with pytest.raises(ValueError, match=message) as refused:
        read_prediction_json(path, CLASSES)
    assert "p.json" in str(refused.value) or "grid needs" in str(refused.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such prediction file"):
        read_prediction_json(tmp_path / "none.json", CLASSES)
    (tmp_path / "p.json").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(ValueError, match="expected predictions as JSON, which could not be read"):
        read_prediction_json(tmp_path / "p.json", CLASSES)


THREE = ("Dog", "Speech", "Frying_(food)")
TABLE_CLIPS = ("b_0_10", "a_0_10", "silent_0_10")
HEADER = "filename\tonset\toffset\tevent_label\n"


def table_marks(seed=0):
    marks = np.random.default_rng(seed).random((3, 10, 2, 3)) < 0.4
    marks[2] = False
    return marks


def write(folder, audio="", visual="", clips=None):
    folder.mkdir(exist_ok=True)
    (folder / "audio.tsv").write_text(HEADER + audio)
    (folder / "visual.tsv").write_text(HEADER + visual)
    if clips is not None:
        (folder / "clips.txt").write_text(clips)
    return folder


@pytest.mark.parametrize("name", ["system", "system.audio.tsv", "system.visual.tsv"])
@pytest.mark.parametrize("segment_seconds", [1.0, 0.32])
def test_tables_read_back_as_they_were_written(tmp_path, name, segment_seconds):
    write_prediction_tables(
        tmp_path / name,
        TABLE_CLIPS,
        THREE,
        table_marks(),
        segment_seconds=segment_seconds,
    )
    back = read_prediction_tables(tmp_path / name, THREE, SegmentGrid(segment_seconds=segment_seconds))
    assert (back.clip_ids, back.class_names, back.rounding) == (
        TABLE_CLIPS,
        THREE,
        None,
    )
    assert np.array_equal(back.predicted, table_marks())
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 3


def test_the_tables_have_the_documented_names_and_columns(tmp_path):
    marks = np.zeros((2, 10, 2, 3), dtype=bool)
    marks[0, 2:4, 0, 1] = marks[0, :, 1, 2] = True
    write_prediction_tables(tmp_path, ("x", "y"), THREE, marks)
    assert (tmp_path / "audio.tsv").read_text() == HEADER + "x\t2\t4\tSpeech\n"
    assert (tmp_path / "visual.tsv").read_text() == HEADER + "x\t0\t10\tFrying_(food)\n"
    assert (tmp_path / "clips.txt").read_text() == "x\ny\n"


def test_a_clip_without_events_is_told_from_a_missing_one(tmp_path):
    listed = write(tmp_path / "listed", audio="x\t0\t1\tDog\n", clips="y\n\nx\n")
    assert read_prediction_tables(listed, THREE).clip_ids == ("y", "x")
    by_row = write(tmp_path / "rows", audio="x\t0\t1\tDog\n", visual="y\t\t\t\n")
    read = read_prediction_tables(by_row, THREE)
    assert read.clip_ids == ("x", "y") and not read.predicted[1].any()
    unlisted = write(tmp_path / "unlisted", audio="x\t0\t1\tDog\n")
    assert read_prediction_tables(unlisted, THREE).clip_ids == ("x",)
    nothing = write(tmp_path / "nothing", clips="x\ny\n")
    assert not read_prediction_tables(nothing, THREE).predicted.any()


def test_rows_may_stand_in_any_order_and_the_header_may_be_that_of_llp(tmp_path):
    folder = write(tmp_path / "p", audio="x\t5\t6\tDog\ny\t0\t1\tDog\nx\t0\t1.0\tSpeech\n")
    (folder / "visual.tsv").write_bytes(b"\xef\xbb\xbffilename\tonset\toffset\tevent_labels\r\ny\t9\t10\tDog\r\n")
    marks = read_prediction_tables(folder, THREE).predicted
    assert np.argwhere(marks).tolist() == [[0, 0, 0, 1], [0, 5, 0, 0], [1, 0, 0, 0], [1, 9, 1, 0]]


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ("x\t0\t1\n", r"audio.tsv:2: expected 4 columns, got \['x', '0', '1'\]"),
        ("\t0\t1\tDog\n", r"audio.tsv:2: expected 4 columns"),
        ("x\t0\tone\tDog\n", r"audio.tsv:2: expected seconds from the start of the clip, got 'one'"),
        ("x\t\t1\tDog\n", r"audio.tsv:2: expected seconds .* got ''"),
        ("x\t0\tnan\tDog\n", r"audio.tsv:2: expected seconds from the start of the clip, got 'nan'"),
        ("x\t3\t3\tDog\n", r"audio.tsv:2: an event needs 0 <= onset < offset"),
        ("x\t0\t1\tdog\n", r"audio.tsv:2: 'dog'"),
        ("x\t0\t1\t\n", r"audio.tsv:2: ''"),
        ("x\t0\t1.5\tDog\n", r"1 events do not lie on the grid .*audio.tsv:2: 0 to 1.5"),
        ("x\t9\t11\tDog\n", r"1 events do not lie on the grid of 10 segments"),
        ("", r"the tables hold no row and clips.txt is not there.* list the clips without events in clips.txt"),
    ],
)
def test_rows_that_cannot_be_read_are_refused_with_their_line(tmp_path, audio, message):
    with pytest.raises(ValueError, match=message):
        read_prediction_tables(write(tmp_path / "p", audio=audio), THREE)


def test_lists_that_do_not_fit_are_refused(tmp_path):
    folder = write(tmp_path / "p", audio="x\t0\t1\tDog\n", clips="y\n")
    with pytest.raises(
        ValueError, match=r"clips.txt: must list every clip that was parsed, got rows of 1 others \(x\)"
    ):
        read_prediction_tables(folder, THREE)
    write(folder, clips="x\ny\nx\n")
    with pytest.raises(ValueError, match=r"clips.txt: a clip is listed once, got 1 more than once \(x\)"):
        read_prediction_tables(folder, THREE)
    (folder / "clips.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="clips.txt: expected a list of clips, one a line"):
        read_prediction_tables(folder, THREE)


def test_files_that_are_no_pair_of_tables_are_refused(tmp_path):
    folder = write(tmp_path / "p")
    (folder / "visual.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"visual.tsv: no such table; events come as a pair.* header filename"):
        read_prediction_tables(folder, THREE)
    for content in (b"\x00\x01\x02", b"", b"a,b,c\n"):
        (folder / "visual.tsv").write_bytes(content)
        with pytest.raises(ValueError, match=r"visual.tsv: expected a tab-separated UTF-8 table with the columns"):
            read_prediction_tables(folder, THREE)
    (folder / "visual.tsv").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(ValueError, match=r"visual.tsv: expected tab-separated UTF-8 text.* binary file"):
        read_prediction_tables(folder, THREE)
    with pytest.raises(ValueError, match=r"one.tsv: one table cannot say which events are heard and which are seen"):
        read_prediction_tables(tmp_path / "one.tsv", THREE)


def test_names_that_would_tear_a_row_are_refused(tmp_path):
    with pytest.raises(ValueError, match="hold no tab, comma"):
        write_prediction_tables(tmp_path / "p", ("a\tb", "c", "d"), THREE, table_marks())
