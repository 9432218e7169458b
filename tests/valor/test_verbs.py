"""What people script: the page about it is run, and what each verb returns fits the next."""

import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
import torch

import valor
from tests.conftest import ROOT
from tests.helpers.toy_line import write_tables, write_videos
from tests.helpers.toy_scores import write_toy_scores
from tests.helpers.toy_viewer import toy_document
from tests.helpers.typed import typed
from valor.data.predictions import Predictions, decisions
from valor.eval import scores as eval_scores
from valor.eval.decide import decide
from valor.eval.intervals import compare as compare_scores
from valor.eval.intervals import seed_interval
from valor.viewer.corrections import Corrections
from valor.viewer.server import RunningViewer


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder that both the page and the notebook are run in, so that the second finds the first one's evidence."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "data").mkdir()
    write_videos(write_tables(folder / "data") / "videos")
    return folder


@pytest.fixture
def folder(home, monkeypatch):
    monkeypatch.chdir(home)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield home
    torch.set_num_threads(threads)


def test_the_page_runs_as_it_stands(folder):
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(page, {}, "python.md", "docs/python.md", 0)
    assert len(test.examples) > 20
    flags = doctest.NORMALIZE_WHITESPACE
    failed = []
    doctest.DocTestRunner(optionflags=flags).run(test, out=failed.append)
    assert not failed, "".join(failed)
    assert os.path.getsize(folder / "page.html") > 10_000


def test_the_notebook_runs_from_clips_to_a_corrected_event(folder, monkeypatch):
    """On the clips that are here, with networks of a moment; the world it draws is tests/valor/demo's."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    notebook = importlib.import_module("generate.notebook")
    drawn = []
    monkeypatch.setattr("valor.demo.world.render.build_world", lambda *given, **_: drawn.append(given))
    small = {"fit.epochs": 1, "fit.warmup_epochs": 0, "parser.hidden_width": 8, "parser.num_heads": 2}
    settings = {"HOME": Path(), "CHANGES": {**small, "features.missing": "drop"}}
    namespace, given = {}, []
    for cell in notebook.read_notebook(notebook.NOTEBOOK)["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] or not given, "run docs/run_notebook.py, which keeps what cells give"
            given.append(notebook.run_cell(notebook.source_of(cell), namespace))
            namespace |= settings if len(given) == 1 else {}
    assert drawn == [(Path("data"), {"train": 120, "val": 30, "test": 40})]
    assert list(namespace["table"].index) == ["tags only", "VALOR"]
    assert namespace["running"].compute(namespace["test"].clip_ids).segment == namespace["mine"].segment
    assert any("VALOR - tags only" in str(cell) and "paired over" in str(cell) for cell in given)
    assert "image/png" in next(cell for cell in given if "Parse of" in str(cell))[0]["data"]
    assert {"AVVP_eval_audio.csv", "journal.jsonl"} <= set(os.listdir("parses.corrections"))
    name, modality, onset, offset = namespace["events"][0]
    rows = [row.split("\t") for row in Path(f"parses.corrections/AVVP_eval_{modality}.csv").read_text().splitlines()]
    assert [row for row in rows[1:] if row[3] == name and int(row[1]) == onset and int(row[2]) >= offset]
    assert "segment" in str(given[-1])


@pytest.mark.parametrize(("page", "within", "said"), [("store", "data", "testclip--0_20_30 ok"), ("search", ".", "_")])
def test_blocks_of_other_pages_run_on_that_store(folder, monkeypatch, capsys, page, within, said):
    if not (folder / "data/store").is_dir():  # this test alone
        teachers = valor.TeacherChoice(visual="demo-visual", audio="demo-audio")
        for table in ("AVVP_train.csv", "AVVP_test_pd.csv"):
            valor.harvest(f"data/{table}", videos="data/videos", store="data/store", teachers=teachers, progress=False)
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    monkeypatch.chdir(folder / within)
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], {})
    assert said in capsys.readouterr().out


def test_nothing_heavy_is_loaded_before_a_verb_is_used():
    code = (
        "import sys\nfor name in ('torch', 'numpy', 'pandas'): sys.modules[name] = None\n"
        "import valor\nfound = [name for name in dir(valor) if name[0] != '_' and name != 'label_harvest']\n"
        "print(sorted(valor.__all__) == found)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("name", valor.__all__)
def test_every_name_that_is_offered_is_there(name):
    assert getattr(valor, name).__doc__
    home = importlib.import_module(valor._LATER[name])
    assert getattr(home, name) is getattr(valor, name)


def test_verbs_are_no_modules():
    """A folder of a verb's name would hide it once something in the folder is imported."""
    verbs = [name for name in valor.__all__ if name.islower()]
    assert len(verbs) == 11
    assert not [name for name in verbs if (ROOT / "valor" / name).exists() or (ROOT / "valor" / f"{name}.py").exists()]


def test_arrays_that_are_neither_marks_nor_probabilities_are_refused():
    truth = np.zeros((1, 2, 2, 3), bool)
    for wrong, said in ((np.full((1, 2, 2, 3), 255, np.uint8), "bool"), (np.full((1, 2, 2, 3), 1.5), "probabilities")):
        with pytest.raises(ValueError, match=said):
            valor.score(wrong, truth)
    with pytest.raises(ValueError, match="rule='none'"):
        valor.score(np.full((1, 2, 2, 3), 0.5), truth)


@pytest.mark.parametrize("kind", [int, np.uint8, np.int64, float, np.float16])
def test_whole_numbers_0_and_1_are_marks(kind, tmp_path):
    toy = write_toy_scores(tmp_path)
    marks = ~toy.split.truth
    wanted = valor.score(marks, toy.split.truth)
    assert valor.score(marks.astype(kind), toy.split.truth.astype(kind)) == wanted
    assert valor.score(marks.astype(kind), toy.data, split="test").segment == wanted.segment
    names = {"clip_ids": np.array(toy.split.clip_ids), "classes": np.array(toy.split.class_names)}
    np.savez(tmp_path / "whole.npz", predicted=marks.astype(kind), **names)
    assert valor.score(tmp_path / "whole.npz", toy.data, split="test").segment == wanted.segment


def test_probabilities_of_ones_own_are_scored_as_an_array(tmp_path):
    toy = write_toy_scores(tmp_path)
    rng = np.random.default_rng(5)
    probs, clip_probs = rng.random(toy.split.truth.shape), rng.random(toy.split.weak_labels.shape)
    by_modality = rng.random((len(probs), 2, probs.shape[3]))
    found = valor.score(probs, toy.data, split="test", clip_probs=clip_probs)
    assert found.report["post_processing"]["gate"] == "clip"
    assert found.segment == valor.score(probs, toy.split.truth, clip_probs=torch.from_numpy(clip_probs)).segment
    assert found.segment == valor.score((probs >= 0.5) & (clip_probs >= 0.5)[:, None, None], toy.split.truth).segment
    jomold = valor.score(probs, toy.data, split="test", modality_probs=by_modality, rule="jomold")
    assert jomold.report["post_processing"]["preset"] == "jomold"
    ungated = valor.score(probs, toy.data, split="test", rule="none")
    assert ungated.segment == valor.score(probs >= 0.5, toy.split.truth).segment
    for name in ("valour", 3, ["none"]):
        with pytest.raises(
            ValueError, match="rule must be .* a preset .han, valor, .* or a gate .*clip, modality, none"
        ):
            valor.score(probs, toy.data, split="test", rule=name)
    for typo, meant in (({"rule": "jomolt"}, "jomold"), ({"rule": "cilp"}, "clip"), ({"split": "tset"}, "test")):
        with pytest.raises(ValueError, match=rf"got '\w+' \(did you mean {meant}\?\)"):
            valor.score(probs, toy.data, **typo)
    with pytest.raises(ValueError, match="clip_probs: beside an array of probabilities"):
        valor.score(probs > 0.5, toy.data, split="test", clip_probs=clip_probs)


def test_a_gate_that_closes_nothing_is_said(tmp_path, caplog):
    toy = write_toy_scores(tmp_path)
    probs = np.random.default_rng(5).random(toy.split.truth.shape)
    names = {"clip_ids": toy.split.clip_ids, "class_names": toy.split.class_names}
    highest, low = probs.max(axis=(1, 2)), np.full(toy.split.weak_labels.shape, 0.2)
    for name, gate in (("highest", highest), ("low", low)):
        Predictions(**names, segment_probs=probs, clip_probs=gate).save(tmp_path / f"{name}.npz")
    alone, ungated = "the gate closes nothing, so that these are the figures of the rule none", {}
    for truth in (toy.data, toy.split.truth):
        caplog.clear()
        scores = valor.score(probs, truth, clip_probs=highest)
        assert caplog.text.count(alone) == 1 and scores.segment == valor.score(probs, truth, rule="none").segment
        valor.score(probs, truth, clip_probs=low), valor.score(np.zeros_like(probs), truth, clip_probs=low)
        assert caplog.text.count(alone) == 1
    caplog.clear()
    valor.compare([tmp_path / "highest.npz"] * 2, tmp_path / "low.npz", toy.data)
    assert caplog.text.count(alone) == 1 and f"system: {alone}" in caplog.text
    for name in ("highest", "low"):
        words = ("--annotations", toy.data, "--split", "test", "--json", tmp_path / f"{name}.json")
        ungated[name] = alone in typed("evaluate", tmp_path / f"{name}.npz", *words).out
    assert ungated == {"highest": True, "low": False}
    shown = valor.table(tmp_path / "highest.json", tmp_path / "low.json")
    assert [note[-9:] for note in shown.notes if alone in note] == [": highest"]


def test_two_arrays_are_audio_and_visual_and_other_containers_are_refused(tmp_path):
    toy = write_toy_scores(tmp_path)
    rng = np.random.default_rng(5)
    probs, clip_probs = rng.random(toy.split.truth.shape), rng.random(toy.split.weak_labels.shape)
    pair, marks = (probs[:, :, 0], torch.from_numpy(probs[:, :, 1])), probs > 0.5
    wanted = valor.score(probs, toy.data, clip_probs=clip_probs)
    assert valor.score(pair, toy.data, clip_probs=clip_probs).segment == wanted.segment
    marked = valor.compare([marks[:, :, 0], marks[:, :, 1]], toy.split.truth, toy.data)
    assert marked.num_seeds == (1, 1) and "-" in repr(marked)
    with pytest.raises(ValueError, match=r"audio and visual \[clips, segments, classes\] of one shape, got"):
        valor.score((probs[:, :, 0], probs[1:, :, 1]), toy.data)
    with pytest.raises(ValueError, match=r"got a dict; of arrays by clip say valor.Predictions\(clip_ids=tuple\(d\)"):
        valor.score(dict(zip(toy.split.clip_ids, marks, strict=True)), toy.data)
    with pytest.raises(ValueError, match="a pair of arrays .*, got tuple; np.stack makes one array of several"):
        valor.score((probs[:, :, 0],) * 3, toy.data)


def test_lists_and_arrays_that_are_compared_have_names(tmp_path):
    toy = write_toy_scores(tmp_path)
    marks = np.random.default_rng(5).random((2, *toy.split.truth.shape)) > 0.5
    for ours, theirs in ((list(marks), [toy.split.truth] * 2), (marks[0], marks[1])):
        found = valor.compare(ours, theirs, toy.data, names=("mine", "HAN"))
        assert (found.name, found.baseline) == ("mine", "HAN") and "mine" in repr(found)
        assert "mine minus HAN, points" in [axes.get_xlabel() for axes in found.plot().axes]
    held = Predictions(clip_ids=toy.split.clip_ids, class_names=toy.split.class_names, predicted=marks[0])
    held.save(tmp_path / "a.npz")
    said = valor.compare(f"path={tmp_path / 'a.npz'}", marks[1], toy.data, names=(None, "other"))
    assert (said.name, said.baseline) == ("path", "other")
    for names in ("VALOR", ("a", "a"), ("a",)):
        with pytest.raises(ValueError, match="names must be two, of the system and of the baseline, got"):
            valor.compare(marks[0], marks[1], toy.data, names=names)


def test_a_part_of_the_clips_is_scored_when_asked(tmp_path):
    toy = write_toy_scores(tmp_path)
    part = Predictions(
        clip_ids=toy.split.clip_ids[1:], class_names=toy.split.class_names, predicted=toy.split.truth[1:]
    )
    with pytest.raises(ValueError, match="allow_subset=True"):
        valor.score(part, toy.data, split="test")
    found = valor.score(part, toy.data, split="test", allow_subset=True)
    assert found.clips == len(part.clip_ids) and found.report["clips_expected"] == found.clips + 1


def test_two_systems_are_compared_over_clips_and_seeds(tmp_path):
    toy = write_toy_scores(tmp_path)
    rng = np.random.default_rng(6)
    noise = [rng.random((2, *toy.split.truth.shape)) for _ in range(3)]
    ours = [toy.split.truth ^ (few < 0.02) for few, _ in noise]
    theirs = [toy.split.truth ^ (many < 0.2) for _, many in noise]
    known = {"split": "test"}
    single = valor.compare(ours[0], theirs[0], toy.data, **known)
    plain = compare_scores(eval_scores.score(ours[0], toy.split.truth), eval_scores.score(theirs[0], toy.split.truth))
    assert np.array_equal(single.clips.low, plain.low) and single.seeds is None
    assert list(single.to_frame().columns) == ["level", "figure", "value", "low", "high", "p"]
    assert repr(single).startswith("Segment Type@AV: system - baseline = +")
    scored = [[valor.score(one, toy.data, **known) for one in of] for of in (ours, theirs)]
    found, again = valor.compare(*scored), valor.compare(ours, theirs, toy.data, **known)
    assert found.to_frame().equals(again.to_frame()) and found.paired
    frame = found.to_frame().set_index(["level", "figure"])
    differences = [one.segment.type_av - two.segment.type_av for one, two in zip(*scored, strict=True)]
    interval = seed_interval(differences)
    row = frame.loc[("segment", "type_av")]
    assert (row["seeds_low"], row["seeds_high"]) == (interval.low, interval.high)
    assert row["clear"] == (row["low"] > 0 < interval.low) and "paired over 3 seeds" in repr(found)
    assert found._repr_html_().count("<td>") == 80
    for name, of in (("mine", ours), ("base", theirs)):
        for seed, marks in enumerate(of):
            (tmp_path / name / f"seed-{seed}").mkdir(parents=True)
            held = Predictions(clip_ids=toy.split.clip_ids, class_names=toy.split.class_names, predicted=marks)
            held.save(tmp_path / name / f"seed-{seed}/predictions.npz")
    folders = valor.compare(tmp_path / "mine", f"plain={tmp_path / 'base'}", toy.data, **known)
    assert folders.to_frame().equals(found.to_frame()) and (folders.name, folders.baseline) == ("mine", "plain")
    unpaired = valor.compare(ours, theirs[:2], toy.data, **known)
    assert not unpaired.paired and "over 3 and 2 seeds, unpaired" in repr(unpaired)


def test_what_cannot_be_compared_is_refused(tmp_path):
    toy = write_toy_scores(tmp_path)
    truth = toy.split.truth
    whole = valor.score(truth, toy.data, split="test")
    part = Predictions(clip_ids=toy.split.clip_ids[1:], class_names=toy.split.class_names, predicted=truth[1:])
    fewer = valor.score(part, toy.data, split="test", allow_subset=True)
    other = Predictions(clip_ids=toy.split.clip_ids[:-1], class_names=toy.split.class_names, predicted=truth[:-1])
    others = valor.score(other, toy.data, split="test", allow_subset=True)
    for pair, said in (((whole, fewer), "another clips"), ((fewer, others), "another part of the clips")):
        with pytest.raises(ValueError, match=said):
            valor.compare(*pair)
    with pytest.raises(ValueError, match="another truth"):
        valor.compare(whole, valor.score(truth, truth))
    with pytest.raises(ValueError, match="baseline: its seeds must be scored on the same clips"):
        valor.compare(whole, [whole, fewer])
    with pytest.raises(ValueError, match="give the truth to score it on"):
        valor.compare(whole, toy.good)
    with pytest.raises(ValueError, match="one for each seed, got none"):
        valor.compare(whole, [])


def test_tensors_are_scored_as_arrays_are():
    truth = np.zeros((2, 10, 2, 3), bool)
    truth[0, 2:5, 0, 1] = True
    marks = truth.copy()
    marks[0, 2, 0, 1] = False
    tensors = torch.from_numpy(marks), torch.from_numpy(truth)
    assert valor.score(*tensors) == valor.score(marks, truth) == valor.score(marks, tensors[1])
    assert eval_scores.score(*tensors).segment.audio == valor.score(marks, truth).segment.audio < 100


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_are_taken_wherever_arrays_are(kind):
    random = np.random.default_rng(3)
    ids, names, truth = ("a", "b"), ("x", "y", "z"), random.random((2, 10, 2, 3)) < 0.4
    probs, clip_probs = (random.integers(0, 5, shape) / 4 for shape in (truth.shape, (2, 3)))  # bfloat16 has them all
    given = torch.tensor(probs, dtype=kind, requires_grad=True)
    gate, true = torch.tensor(clip_probs, dtype=kind), torch.tensor(truth).to(kind)
    expected = valor.score(probs, truth, clip_probs=clip_probs)
    assert valor.score(given, true, clip_probs=gate).segment == expected.segment
    held = valor.Predictions(clip_ids=ids, class_names=names, segment_probs=given, clip_probs=gate)
    assert valor.score(decisions(held)[0], true).segment == expected.segment
    assert np.array_equal(decide(given, clip_probs=gate), decisions(held)[0])
    marked = valor.Predictions(clip_ids=ids, class_names=names, predicted=true, valid=torch.ones(2, 10).to(kind))
    assert np.array_equal(marked.predicted, truth) and marked.valid.all()
    assert marked.plot("a", beside={"truth": true}) is not None
    assert np.array_equal(valor.PseudoLabels(ids, names, given).labels, probs)
    running = valor.RunningScores(threshold=0.5)
    running.update(given, true)
    assert running.compute().segment == valor.score(probs >= 0.5, truth).segment


def test_a_split_without_truth_is_refused_before_the_shape_of_an_array(tmp_path):
    toy = write_toy_scores(tmp_path)
    with pytest.raises(ValueError, match="the split 'train' has no dense truth"):
        valor.score(np.zeros((1, 10, 2, 25), bool), toy.data, split="train")


def test_an_array_beside_tables_is_in_their_order(tmp_path):
    toy = write_toy_scores(tmp_path)
    marks = ~toy.split.truth
    marks[:, :, :, 0] = True
    named = Predictions(clip_ids=toy.split.clip_ids, class_names=toy.split.class_names, predicted=marks)
    found = valor.score(marks, toy.data, split="test")
    assert found == valor.score(named, toy.data, split="test") and found.segment.type_av > 0
    assert found.report["truth_sha256"] == toy.split.truth_sha256
    assert valor.score(torch.from_numpy(marks), toy.data, split="test") == found
    with pytest.raises(ValueError, match=r"must be of \(.*, the clips and classes of test in the order of the tables"):
        valor.score(marks[1:], toy.data, split="test")
    with pytest.raises(ValueError, match="truth is an array, so predictions must be one too, got .*good"):
        valor.score(toy.good, toy.split.truth)


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'evaluate'"):
        valor.evaluate  # noqa: B018


def test_a_running_viewer_answers_until_it_is_closed(tmp_path):
    document = toy_document()
    viewer = RunningViewer(Corrections(tmp_path / "c", document), open_browser=False)
    assert viewer.url in repr(viewer)
    with urlopen(viewer.url) as answer:
        assert answer.status == 200
    viewer.close()
    with pytest.raises(URLError):
        urlopen(viewer.url, timeout=2)


def test_an_option_that_is_none_is_refused_with_the_name_that_was_meant(tmp_path):
    toy = write_toy_scores(tmp_path)
    with pytest.raises(ValueError, match=r"valor.compare calls the folder of the tables truth: write truth= for data="):
        valor.compare(toy.good, toy.good, data=toy.data, split="test")
    with pytest.raises(ValueError, match=r"valor.compare has no option 'splt' \(did you mean split\?\); it has allow_"):
        valor.compare(toy.good, toy.good, toy.data, splt="test")
    with pytest.raises(ValueError, match=r"valor.score has no option 'allow_subsets' \(did you mean allow_subset\?\)"):
        valor.score(toy.good, toy.data, allow_subsets=True)
