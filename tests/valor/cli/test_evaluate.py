"""`valor evaluate` as a user meets it, beyond the ten figures (those are in test_main.py)."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import valor
from tests.conftest import ROOT
from tests.helpers.toy_scores import NAMES, noisy, write_toy_scores
from tests.helpers.typed import typed
from valor.data.prediction_files import write_any_predictions
from valor.data.predictions import Predictions, decisions, read_predictions, write_predictions
from valor.data.tables import write_event_table, write_weak_table
from valor.eval.decide import PRESETS
from valor.eval.intervals import seed_interval
from valor.eval.scores import FIGURES, LEVELS, score


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write_toy_scores(tmp_path_factory.mktemp("toy"))


def figures_of(report):
    return [report[level][figure] for level in LEVELS for figure in FIGURES]


def evaluated(toy, *more, file=None):
    done = typed("evaluate", file or toy.good, *toy.on, "--format", "json", *more)
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


@pytest.mark.parametrize("name", ["predictions.json", "tables", "side.audio.tsv"])
def test_every_form_of_the_same_decisions_scores_the_same(toy, tmp_path, name):
    write_any_predictions(tmp_path / name, read_predictions(toy.good))
    report = evaluated(toy, file=tmp_path / name)
    assert figures_of(report) == figures_of(evaluated(toy))
    assert report["post_processing"]["gate"] == "as predicted"


def test_times_between_segments_need_a_rounding(toy, tmp_path):
    write_any_predictions(tmp_path / "t", read_predictions(toy.good))
    table = tmp_path / "t" / "audio.tsv"
    lines = table.read_text().splitlines()
    cells = lines[1].split("\t")
    table.write_text("\n".join([lines[0], "\t".join([cells[0], "0.3", "9.1", cells[3]]), *lines[2:]]) + "\n")
    assert "audio.tsv:2" in typed("evaluate", tmp_path / "t", *toy.on).complaint()
    assert evaluated(toy, "--rounding", "nearest", file=tmp_path / "t")["post_processing"]["rounding"] == "nearest"


def test_scores_of_json_events_can_be_thresholded(toy, tmp_path):
    write_any_predictions(tmp_path / "p.json", read_predictions(toy.good))
    report = evaluated(toy, "--use-scores", "--gate", "none", "--threshold", "0.8", file=tmp_path / "p.json")
    assert report["post_processing"]["segment_threshold"] == 0.8
    assert figures_of(report) != figures_of(evaluated(toy, file=tmp_path / "p.json"))


@pytest.mark.parametrize("name", ["han", "valor", "jomold", "coleaf", "mm-cse"])
def test_a_preset_is_applied_and_named(toy, name):
    report = evaluated(toy, "--preset", name)
    marked, record = decisions(read_predictions(toy.good), PRESETS[name])
    assert figures_of(report) == figures_of(score(marked, toy.split.truth).to_dict())
    assert report["post_processing"] == record and record["preset"] == name
    assert f", {name}: segments >= " in typed("evaluate", toy.good, *toy.on, "--preset", name).out


def test_a_preset_takes_no_other_rule_and_cmpae_asks_for_thresholds(toy):
    refused = typed("evaluate", toy.good, *toy.on, "--preset", "han", "--gate", "none").complaint()
    assert "--preset says gate and threshold already" in refused
    assert (
        "needs the thresholds of the visual gate"
        in typed("evaluate", toy.good, *toy.on, "--preset", "cmpae").complaint()
    )


def test_calibrated_thresholds_are_applied(toy, tmp_path):
    val = ("--annotations", toy.data, "--split", "val")
    assert typed("calibrate", toy.good.with_stem("good-val"), *val, "--out", tmp_path / "t.json").code == 0
    report = evaluated(toy, "--thresholds", tmp_path / "t.json")
    rows = report["post_processing"]["segment_threshold"]
    probs = read_predictions(toy.good)
    marked = probs.segment_probs >= np.array(rows, dtype=np.float32)
    marked &= (probs.clip_probs >= 0.5)[:, None, None]
    assert figures_of(report) == figures_of(score(marked, toy.split.truth).to_dict())


def test_thresholds_chosen_on_the_split_that_is_scored_are_said_to_flatter(toy, tmp_path):
    test, val = (("--annotations", toy.data, "--split", split) for split in ("test", "val"))
    assert typed("calibrate", toy.good, *test, "--out", tmp_path / "t.json").code == 0
    assert typed("calibrate", toy.good.with_stem("good-val"), *val, "--out", tmp_path / "v.json").code == 0
    for name, flattered in (("t", True), ("v", False)):
        chosen = ("--thresholds", tmp_path / f"{name}.json")
        done = typed("evaluate", toy.good, *toy.on, *chosen, "--json", tmp_path / name / "scores.json")
        assert ("thresholds chosen on this very split, and so flattered" in done.out) is flattered
        assert evaluated(toy, *chosen).get("chosen_on_scored_split", False) is flattered
        table = typed("table", tmp_path / name).out
        assert ("chosen on the very split that is scored, and so flattered: t" in table) is flattered
    hand = json.loads((tmp_path / "t.json").read_text()) | {"truth_sha256": "of other tables"}
    (tmp_path / "h.json").write_text(json.dumps(hand))
    assert "chosen_on_scored_split" not in evaluated(toy, "--thresholds", tmp_path / "h.json")


@pytest.mark.parametrize("criterion", ["clip-f", "event-table"])
def test_cmpae_with_calibrated_gates(toy, tmp_path, criterion):
    val = ("--annotations", toy.data, "--split", "val", "--preset", "cmpae", "--criterion", criterion)
    assert typed("calibrate", toy.good.with_stem("good-val"), *val, "--out", tmp_path / "t.json").code == 0
    record = evaluated(toy, "--preset", "cmpae", "--thresholds", tmp_path / "t.json")["post_processing"]
    assert record["preset"] == "cmpae" and record["segment_threshold"] == 0.25
    audio, visual = record["clip_threshold"]
    assert set(audio) == {0.45} and len(visual) == 25


def test_anchors_stand_at_the_foot(toy):
    lines = typed("evaluate", toy.good, *toy.on, "--anchors").out.splitlines()
    names = [re.split(r" {2,}", line)[0] for line in lines if re.search(r"  \d+\.\d", line)]
    assert names == ["good", "nothing predicted", "tags copied"] * 2
    report = evaluated(toy, "--anchors")
    silent = score(np.zeros_like(toy.split.truth), toy.split.truth)
    assert figures_of(report["anchors"]["nothing predicted"]) == figures_of(silent.to_dict())


def test_intervals_and_differences(toy):
    report = evaluated(toy, "--interval", "--compare", f"bad={toy.poor}")
    audio = report["intervals"][0]
    assert audio["figure"] == "audio" and audio["low"] < audio["value"] < audio["high"]
    assert audio["value"] == report["segment"]["audio"]
    difference = {(row["level"], row["figure"]): row for row in report["differences"]}[("segment", "type_av")]
    worse = evaluated(toy, file=toy.poor)
    assert difference["value"] == pytest.approx(report["segment"]["type_av"] - worse["segment"]["type_av"])
    out = typed("evaluate", toy.good, *toy.on, "--interval", "--compare", f"bad={toy.poor}").out
    assert "95 % intervals: bootstrap over 32 clips, 10,000 resamples" in out
    assert re.search(r"Segment Type@AV: good - bad = \+\d+\.\d \[\+\d+\.\d, \+\d+\.\d\], paired over 32 clips", out)


@pytest.fixture(scope="module")
def seeds(toy, tmp_path_factory):
    """Folders of seeds, `good` and `poor`, and `later` with two others."""
    out, rng = tmp_path_factory.mktemp("seeds"), np.random.default_rng(3)
    for name, noise, of in (("good", 0.35, (0, 1, 2)), ("poor", 0.75, (0, 1, 2)), ("later", 0.75, (7, 8))):
        for seed in of:
            write_predictions(out / name / f"seed-{seed}" / "predictions.npz", noisy(toy.split, noise, rng))
    return out


def test_folders_of_seeds_are_compared_over_clips_and_over_seeds(toy, seeds):
    report = evaluated(toy, "--compare", seeds / "poor", "--interval", file=seeds / "good")
    single = [evaluated(toy, file=seeds / "good" / f"seed-{n}" / "predictions.npz") for n in range(3)]
    other = [evaluated(toy, file=seeds / "poor" / f"seed-{n}" / "predictions.npz") for n in range(3)]
    values, others = ([one["segment"]["type_av"] for one in held] for held in (single, other))
    assert report["seeds"] == [0, 1, 2] and report["segment"]["type_av"] == pytest.approx(np.mean(values))
    assert report["sd"]["segment"]["type_av"] == pytest.approx(np.std(values, ddof=1))
    assert report["intervals"][3]["value"] == pytest.approx(report["segment"]["type_av"])
    row = {(row["level"], row["figure"]): row for row in report["differences"]}["segment", "type_av"]
    paired = seed_interval([one - two for one, two in zip(values, others, strict=True)])
    assert (row["value"], row["seeds_low"], row["seeds_high"]) == pytest.approx((paired.value, paired.low, paired.high))
    assert row["clear"] == "yes" and row["low"] > 0
    out = typed("evaluate", f"mine={seeds / 'good'}", *toy.on, "--compare", seeds / "poor").out
    assert re.search(r"^mine \(3 seeds\) .* ± ", out, re.MULTILINE), out
    said = (
        r"mine - poor = .*\], paired over 32 clips, values averaged over seeds; \(.*\) over seeds, paired over 3 seeds"
    )
    assert re.search(said, out) and "(95 % over seeds)" in out, out
    assert re.search(r"^poor \(3 seeds\) .* ± ", out, re.MULTILINE), "both stand in the table of scores"
    sheet = typed("evaluate", seeds / "good", *toy.on, "--compare", seeds / "poor", "--format", "csv").out
    assert "system,baseline,level,figure,value,low,high,p,seeds_low,seeds_high,seeds_p,clear,world" in sheet


def test_each_table_is_a_csv_of_its_own_with_the_names_of_both(toy, seeds, tmp_path):
    out = tmp_path / "d.csv"
    done = typed("evaluate", seeds / "good", *toy.on, "--compare", seeds / "poor", "--interval", "--out", out)
    names = ["d-differences.csv", "d-intervals.csv", "d.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    table, *wrote = re.split(r"^(?=wrote )", done.out, flags=re.MULTILINE)
    assert sorted(wrote) == sorted(f"wrote {tmp_path / name}\n" for name in names)
    assert table == typed("evaluate", seeds / "good", *toy.on, "--compare", seeds / "poor", "--interval").out + "\n"
    scores, differences = pd.read_csv(out), pd.read_csv(tmp_path / names[0])
    assert list(scores["system"]) == ["good", "poor"] and list(scores["seeds"]) == [3, 3]
    assert (
        len(differences) == 10 and set(differences["system"]) == {"good"} and set(differences["baseline"]) == {"poor"}
    )
    row = differences[(differences["level"] == "segment") & (differences["figure"] == "type_av")].iloc[0]
    assert row["value"] == pytest.approx(scores["segment.type_av"][0] - scores["segment.type_av"][1])
    assert set(pd.read_csv(tmp_path / names[1])["world"]) == {"own tables"}


def test_latex_of_a_comparison_has_both_systems_and_headings_for_a_paper(toy, seeds):
    out = typed("evaluate", seeds / "good", *toy.on, "--compare", seeds / "poor", "--format", "latex").out
    assert re.search(r"^good \(3 seeds\) & \\textbf", out, re.MULTILINE) and "poor (3 seeds) & " in out
    assert r"Level & Figure & $\Delta$ & [95 \% over clips] & p over clips & (95 \% over seeds) & p over" in out
    report = evaluated(toy, "--compare", seeds / "poor", file=seeds / "good")
    typeset = [line for line in re.sub(r"^%.*\n", "", out, flags=re.MULTILINE).splitlines() if "footnotesize" in line]
    said = " ".join(re.findall(r"footnotesize (.*)} ", "\n".join(typeset)))
    assert "truth of own tables" in said and "over seeds, paired over 3 seeds" in said, said
    assert report["compared_with"]["name"] == "poor" and "type_av" in report["compared_with"]["segment"]
    assert report["differences"][0]["baseline"] == "poor"


def test_a_figure_is_bold_only_where_the_difference_is_clear(toy, seeds):
    on = (*toy.on, "--compare", seeds / "good" / "seed-1" / "predictions.npz", "--format", "latex")
    alike = typed("evaluate", seeds / "good" / "seed-0" / "predictions.npz", *on).out
    assert r"\textbf" not in alike and "bold:" not in alike
    clear = typed("evaluate", seeds / "good", *toy.on, "--compare", seeds / "poor", "--format", "latex").out
    assert r"\footnotesize bold: the better of the two where every interval leaves zero out and p over clips" in clear


def test_classes_of_two_systems_are_beside_each_other_with_their_difference(toy, seeds, tmp_path):
    done = typed(
        "evaluate", seeds / "good", *toy.on, "--compare", seeds / "poor", "--per-class", "--out", tmp_path / "c.csv"
    )
    assert "Segment level by class, good: F of counts" in done.out
    assert "; other F is of poor, Δ F what good has over it, of which nothing is tested" in done.out
    assert re.search(r"clips  other F +Δ F$", done.out, re.MULTILINE)
    both = pd.read_csv(tmp_path / "c-per_class_event.csv")
    typed("evaluate", seeds / "poor", *toy.on, "--per-class", "--out", tmp_path / "p.csv")
    poor = pd.read_csv(tmp_path / "p-per_class_event.csv")
    assert set(both["system"]) == {"good"} and set(both["baseline"]) == {"poor"} and set(poor["system"]) == {"poor"}
    assert both["f_other"].tolist() == pytest.approx(poor["f"].tolist(), nan_ok=True)
    assert both["f_delta"].tolist() == pytest.approx((both["f"] - poor["f"]).tolist(), nan_ok=True)
    shown = dict(zip(both["class"], both["f_delta"], strict=True))
    assert len(shown) == 26 and f"{both['f_delta'].iloc[0]:+.1f}" in done.out


def test_two_systems_of_one_name_are_told_apart(toy, seeds):
    out = typed("evaluate", f"mine={seeds / 'good'}", *toy.on, "--compare", f"mine={seeds / 'poor'}").out
    assert f"mine - mine of {seeds / 'poor'} = " in out


@pytest.mark.parametrize(("clips", "said"), [(42, True), (300, False)])
def test_trainings_of_unlike_numbers_of_steps_are_said(toy, tmp_path, clips, said):
    for name, seen in (("few", clips), ("all", 420)):
        (tmp_path / name).mkdir()
        shutil.copy(toy.good, tmp_path / name / "predictions.npz")
        (tmp_path / name / "recipe.json").write_text('{"fit": {"batch_size": 16, "epochs": 20}}')
        line = json.dumps({"epoch": 1, "seconds": 2.0, "clips_per_second": seen / 2})
        (tmp_path / name / "log.jsonl").write_text(f"{line}\n" * 20)
    line = (
        "evaluate",
        tmp_path / "few" / "predictions.npz",
        *toy.on,
        "--compare",
        tmp_path / "all" / "predictions.npz",
    )
    note = "the trainings had unlike numbers of steps, few about 60 and all about 540: part of the difference"
    assert (note in typed(*line).out) == said
    done = typed(*line, "--format", "csv")
    assert (note in done.err) == said and note not in done.out


def test_seeds_that_differ_are_compared_unpaired_and_one_run_says_nothing_of_seeds(toy, seeds):
    out = typed("evaluate", seeds / "good", *toy.on, "--compare", seeds / "later").out
    assert "over seeds, of 3 and 2 seeds, unpaired since these differ" in out
    done = typed("evaluate", seeds / "good", *toy.on, "--compare", f"one={toy.poor}")
    assert "good - one" in done.out and "runs: 3 and 1, which says nothing of other seeds" in done.out
    refused = typed("evaluate", seeds / "good", *toy.on, "--details", "--tuned").complaint()
    assert "--tuned, --details: of a single run" in refused and f"{seeds / 'good' / 'seed-0'}" in refused


def test_scores_of_a_folder_of_seeds_stand_in_a_table(toy, seeds, tmp_path):
    typed("evaluate", seeds / "good", *toy.on, "--json", tmp_path / "good.json")
    assert "good (3 seeds)" in typed("table", tmp_path / "good.json").out


def test_per_class_and_details(toy):
    report = evaluated(toy, "--per-class", "--details")
    assert len(report["per_class_segment"]) == 3 * 26
    assert {"exclusive", "overlaps", "durations", "probabilities"} <= set(report)
    out = typed("evaluate", toy.good, *toy.on, "--per-class", "--details").out
    assert all(name in out for name in (*NAMES[:6], "mean of classes", "segment mAP", "whole clip"))


def test_a_part_of_the_split_says_its_coverage(toy, tmp_path):
    whole = read_predictions(toy.good)
    part = Predictions(
        clip_ids=whole.clip_ids[5:],
        class_names=NAMES,
        segment_probs=whole.segment_probs[5:],
        clip_probs=whole.clip_probs[5:],
    )
    write_any_predictions(tmp_path / "part.npz", part)
    assert "5 missing" in typed("evaluate", tmp_path / "part.npz", *toy.on).complaint()
    assert (
        "\n27 of 32 test clips, truth of own tables "
        in typed("evaluate", tmp_path / "part.npz", *toy.on, "--subset").out
    )
    refused = typed("evaluate", toy.good, *toy.on, "--subset", "--compare", tmp_path / "part.npz")
    left_out, complaint = refused.err.splitlines()
    assert refused.code == 2 and "leaves out 5 clips" in left_out
    assert "must be predictions of the same clips, got 32 and 27" in complaint


@pytest.mark.parametrize("name", ["markdown", "csv", "latex"])
def test_other_formats_go_to_stdout_and_notes_to_stderr(toy, tmp_path, name):
    done = typed("evaluate", toy.good, *toy.on, "--format", name, "--json", tmp_path / "s.json")
    assert done.code == 0 and done.err == f"wrote {tmp_path / 's.json'}\n" and "wrote" not in done.out
    if name == "csv":
        (row,) = csv.DictReader(io.StringIO(done.out))
        assert float(row["segment.type_av"]) == json.loads((tmp_path / "s.json").read_text())["segment"]["type_av"]


def test_the_file_name_chooses_the_format(toy, tmp_path):
    done = typed("evaluate", toy.good, *toy.on, "--out", tmp_path / "scores.md")
    assert done.out == f"{typed('evaluate', toy.good, *toy.on).out}\nwrote {tmp_path / 'scores.md'}\n"
    assert (tmp_path / "scores.md").read_text().startswith("| system | segment A |")


def test_what_is_scored_can_be_put_in_a_table(toy, tmp_path):
    for name, file in (("good", toy.good), ("poor", toy.poor)):
        typed("evaluate", file, *toy.on, "--json", tmp_path / name / "scores.json")
    done = typed("table", tmp_path / "good", tmp_path / "poor", "--baseline", "poor")
    assert (done.code, done.err) == (0, "") and "minus poor" in done.out


def test_scores_of_a_file_and_tables_of_scores_wait_for_no_torch(toy, tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from valor.__main__ import main\n"
        f"on = ['--annotations', {str(toy.data)!r}, '--split', 'test', '--quiet']\n"
        f"done = main(['evaluate', {str(toy.good)!r}, *on, '--json', {str(tmp_path / 'one.json')!r}])\n"
        f"sys.exit(done or main(['table', {str(tmp_path / 'one.json')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_run_is_also_scored_by_gates_and_cuts_tuned_on_val(toy_run, published, tmp_path):
    line = ("evaluate", toy_run, "--annotations", published, "--split", "test", "--tuned", "--quiet")
    done = typed(*line, "--format", "json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    decisions = {(row["decision"], row["level"]): row for row in told["decisions"]}
    assert {name for name, _ in decisions} == {"its own", "gates and cuts tuned on val"}
    assert decisions["its own", "segment"]["type_av"] == pytest.approx(told["segment"]["type_av"])
    assert told["extra_data"] == [] and told["tuned"][0] == "epoch"
    done = typed("evaluate", toy_run, "--annotations", published, "--split", "val", "--tuned")
    assert "gates and cuts are tuned on val and shown on another split; score test" in done.complaint()
    other = tmp_path / "predictions.npz"
    assert typed("predict", toy_run, "--data", published, "--split", "test", "--out", other, "--quiet").code == 0
    done = typed("evaluate", other, "--annotations", published, "--split", "test", "--tuned")
    assert "--tuned parses val with the parser of a run folder, which" in done.complaint()
    assert "`valor calibrate PREDICTIONS --annotations" in done.complaint()


def test_systems_that_decide_alike_are_said_to_and_p_has_a_floor(toy, tmp_path):
    alike = typed("evaluate", toy.good, "--compare", toy.good, *toy.on)
    assert alike.out.count("decide alike in every segment") == 1 and "1.0000" in alike.out
    other = typed("evaluate", toy.good, "--compare", toy.poor, *toy.on)
    assert "decide alike" not in other.out and "< 0.0001" in other.out
    for name, least in (("d.tex", "$<$ 0.0001"), ("d.csv", "9.999000099990002e-05"), ("d.md", "&lt; 0.0001")):
        valor.compare(toy.good, toy.poor, toy.data, split="test").save(tmp_path / name)
        assert least in (tmp_path / name).read_text(encoding="utf-8")


def test_few_clips_and_a_modality_without_events_are_said_beside_what_finding_nothing_scores(toy, tmp_path):
    """Also where a whole film is wrong: nothing seen, nothing said to be seen, is 100."""
    write_weak_table(tmp_path / "AVVP_test_pd.csv", ("a", "b"), np.eye(2, 25, dtype=bool), NAMES)
    write_event_table(tmp_path / "AVVP_eval_audio.csv", [("a", 0, 3, NAMES[0]), ("b", 5, 9, NAMES[1])])
    write_event_table(tmp_path / "AVVP_eval_visual.csv", [])
    marks = np.zeros((2, 10, 2, 25), dtype=bool)
    marks[:, :2, 0, 7] = True
    write_any_predictions(tmp_path / "p.npz", Predictions(clip_ids=("a", "b"), class_names=NAMES, predicted=marks))
    on = ("evaluate", tmp_path / "p.npz", "--annotations", tmp_path, "--split", "test")
    found = typed(*on)
    assert found.code == 0 and re.search(r"^p +0\.0 +100\.0 +100\.0 +66\.7 ", found.out, re.M), found
    assert (
        "; nothing visible is annotated or found in any clip, which counts as 100 in V, AV and so Type@AV" in found.out
    )
    assert "audible is annotated" not in found.out
    assert re.search(
        r"\nnote: 2 clips are few: .*; beneath it: nothing predicted 66\.7, tags copied \d+\.\d\n$", found.out
    )
    whole = typed("evaluate", toy.good, *toy.on).out
    assert "are few" not in whole and "counts as 100" not in whole


def starts(marks):
    """How many events begin: marks [..., clips, segments, modalities, classes] to [..., clips]."""
    before = np.zeros_like(marks)
    before[..., 1:, :, :] = marks[..., :-1, :, :]
    return (marks & ~before).sum(axis=(-3, -2, -1))


def test_clips_are_listed_worst_first_with_means_over_seeds(toy, seeds, tmp_path):
    done = typed("evaluate", seeds / "good", *toy.on, "--per-clip", tmp_path / "c.csv")
    frame, split = pd.read_csv(tmp_path / "c.csv").set_index("clip_id"), toy.split
    files = [seeds / "good" / f"seed-{n}" / "predictions.npz" for n in range(3)]
    runs = [valor.score(path, toy.data) for path in files]
    assert runs[0].clip_ids == split.clip_ids
    means = 100 * np.mean([run.per_clip[:, 0, :3].mean(axis=1) for run in runs], axis=0)
    assert frame["segment.type_av"].to_dict() == pytest.approx(dict(zip(split.clip_ids, means, strict=True)))
    assert list(frame["segment.type_av"]) == pytest.approx(sorted(means)) and min(means) < max(means)
    assert frame["event.audio"].mean() == pytest.approx(np.mean([run.event.audio for run in runs]))
    held = np.mean([starts(decisions(read_predictions(path))[0]) for path in files], axis=0)
    for column, counts in (("true_events", starts(split.truth)), ("predicted_events", held)):
        assert frame[column].to_dict() == pytest.approx(dict(zip(split.clip_ids, counts.tolist(), strict=True)))
    assert "The 5 worst and 5 best of 32 clips by segment Type@AV, means over 3 seeds" in done.out
    assert f"worst  {frame.index[0]} " in done.out and f"best   {frame.index[-1]} " in done.out
    assert frame.index[8] not in done.out and f"wrote {tmp_path / 'c.csv'}" in done.out


def test_clips_of_other_formats_spoil_no_result_and_take_one_ending(toy, tmp_path):
    done = typed("evaluate", toy.good, *toy.on, "--per-clip", tmp_path / "c.csv", "--format", "json")
    assert json.loads(done.out)["clips"] == 32 and "worst" in done.err
    assert pd.read_csv(tmp_path / "c.csv")["predicted_events"].dtype == int
    assert "are written as *.csv" in typed("evaluate", toy.good, *toy.on, "--per-clip", tmp_path / "c.xlsx").complaint()


def test_classes_of_a_folder_of_seeds_are_means_with_deviations(toy, seeds, tmp_path):
    found = typed("evaluate", seeds / "good", *toy.on, "--per-class", "--interval", "--out", tmp_path / "c.csv")
    whole = pd.read_csv(tmp_path / "c-per_class_event.csv").set_index(["modality", "class"])
    for n in range(3):
        path = seeds / "good" / f"seed-{n}" / "predictions.npz"
        typed("evaluate", path, *toy.on, "--per-class", "--out", tmp_path / f"{n}.csv")
    each = [pd.read_csv(tmp_path / f"{n}-per_class_event.csv").set_index(["modality", "class"]) for n in range(3)]
    for at in (("audio", "Speech"), ("audio_visual", "mean of classes")):
        values = [one.loc[at, "f"] for one in each]
        assert whole.loc[at, "f"] == pytest.approx(np.mean(values))
        assert whole.loc[at, "f_sd"] == pytest.approx(np.std(values, ddof=1)) and np.std(values) > 0
    speech = whole.loc["audio", "Speech"]
    assert speech["true"] == each[0].loc[("audio", "Speech"), "true"] and speech["f_low"] < speech["f"]
    assert speech["predicted"] == pytest.approx(np.mean([one.loc[("audio", "Speech"), "predicted"] for one in each]))
    assert "means over 3 seeds" in found.out and re.search(r"F +sd +low +high", found.out)
