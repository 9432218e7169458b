"""UWAV's labels from end to end: a generator trained on dense labels judges a store, which is cut and labelled."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.toy_features import toy_clip_set
from tests.helpers.typed import typed
from valor.data.datasets.dataset import UNAV
from valor.data.label_file import read_label_facts, read_pseudo_labels
from valor.experiments.options import SimulationOptions
from valor.experiments.simulated import simulate
from valor.label_harvest.store.store import read_store, store_folder, store_manifest
from valor.parsers.build import build_parser
from valor.parsers.options import ParserOptions
from valor.training.checkpoint import read_checkpoint
from valor.training.judge import judge_store
from valor.training.methods.generator import GeneratorMethod, GeneratorOptions
from valor.training.methods.method import Charge
from valor.training.options import FitOptions

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = (
    "methods.generator.width=8", "methods.generator.num_layers=1", "methods.generator.num_heads=2",
    "methods.generator.feedforward_width=8", "fit.epochs=2", "fit.warmup_epochs=0", "fit.learning_rate=0.01",
)  # fmt: skip


def changes(*more):
    return [word for change in (*SMALL, *more) for word in ("--set", change)]


def write_vectors(folder, classes=100, widths=(512, 768)):
    folder.mkdir(exist_ok=True)
    for number, (name, width) in enumerate(zip(("audio", "visual"), widths, strict=True)):
        np.save(folder / f"{name}.npy", np.random.default_rng(number).standard_normal((classes, width), np.float32))
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A small UnAV-100 of unlike clips, class vectors, and a generator trained on both."""
    root = tmp_path_factory.mktemp("judge")
    data = simulate(root, (), SimulationOptions(clips=12), root, dataset=UNAV, progress=False)
    vectors = write_vectors(root / "vectors")
    given = changes(f"methods.generator.vectors={vectors}")
    done = typed("train", "uwav-generator", "--data", data, "--out", root / "run", "--no-test", *given)
    assert done.code == 0, done.err
    return root, data, vectors


def test_a_store_is_judged_cut_and_labelled_and_says_by_whom(world):
    root, data, _ = world
    done = typed("store", "judge", data / "store", "--generator", root / "run", "--out", root / "judged")
    assert done.code == 0 and "12 clips judged" in done.out, done.err
    assert typed("store", "verify", root / "judged").code == 0
    source, judged = read_store(data / "store"), read_store(root / "judged")
    assert judged.clip_ids == source.clip_ids and (judged.segments == source.segments).all()
    parser, _ = read_checkpoint(root / "run")
    steps = int(source.segments[3])
    with torch.inference_mode():
        alone = parser.see(
            torch.from_numpy(source.arrays["visual.embedding"][3:4, :steps]).float(), parser.visual_texts
        )
    assert np.allclose(judged.logits("visual")[3, :steps], alone[0].numpy(), atol=1e-5)
    cut = ["--annotations", data, "--split", "validation", "--criterion", "uwav", "--out", root / "cuts.json"]
    done = typed("calibrate", root / "judged", *cut)
    assert done.code == 0, done.err
    soft = ["--thresholds", root / "cuts.json", "--soft", "--temperature", "2", "--out", root / "labels"]
    assert typed("labels", root / "judged", *soft).code == 0
    facts, labels = read_label_facts(root / "labels"), read_pseudo_labels(root / "labels")
    assert facts["teachers"]["audio"]["teacher"] == "uwav-generator" and facts["simulated"]
    assert facts["extra_data"] == ["4 clips of train with every segment labelled (man speaking, ...)"]
    assert labels.soft and (labels.labels > 0).any()
    small = ["parser.hidden_width=16", "parser.num_layers=1", "fit.epochs=1", "fit.warmup_epochs=0"]
    more = [word for change in small for word in ("--set", change)]
    done = typed("train", "unav-valor", "--data", data, "--labels", root / "labels", "--out", root / "last", *more)
    assert done.code == 0, done.err
    told = json.loads((root / "last/recipe.json").read_text())["run"]
    assert told["extra_data"] == told["sources"]["labels"]["extra_data"] == facts["extra_data"]
    assert told["tuned"] == ["epoch"]  # cuts of simulated labels are of no truth
    assert "4 clips of train" in typed("table", root / "last").out


@pytest.mark.parametrize("truth", ["both", "each"])
def test_what_a_step_is_charged_with(truth):
    from torch.nn.functional import binary_cross_entropy

    options = GeneratorOptions(truth=truth, width=4, num_layers=1, num_heads=1, feedforward_width=4, dropout=0.0)
    method, clips = GeneratorMethod(options), toy_clip_set(3)
    sizes = ParserOptions(**clips.widths() | {"motion_width": 0}, hidden_width=8, num_heads=1)
    parser = method.network(build_parser(sizes, seed=0), clips.class_names)
    for of in (parser.audio_texts, parser.visual_texts):
        of.uniform_(-1, 1)
    clips = method.clips(replace(clips, motion=None))
    batch = clips.batch(torch.arange(3))
    output = parser(batch.audio, batch.visual, None, batch.valid)
    (term,) = method.charge(Charge(parser, batch, output, FitOptions(), batch.weak_labels, batch.pseudo_labels)).terms
    sure, wanted = output.segment_logits.sigmoid(), batch.pseudo_labels
    if truth == "both":
        sure, wanted = sure.prod(dim=2, keepdim=True), wanted.amin(dim=2, keepdim=True)
        assert torch.equal(output.segment_probs, sure.expand_as(output.segment_probs))
    weights = 1 + 4 * wanted.amax(dim=1, keepdim=True).expand_as(wanted)
    assert term.take(
        Charge(parser, batch, output, FitOptions(), batch.weak_labels, batch.pseudo_labels)
    ).item() == pytest.approx(binary_cross_entropy(sure, wanted, weight=weights).item(), rel=1e-5)


def test_the_lowest_of_equal_cuts_is_taken_and_none_is_infinite(world):
    from valor.eval.curves import lowest_best_cut
    from valor.scoring.calibrate import calibrate_store

    root, data, _ = world
    if not (root / "judged").is_dir():
        judge_store(data / "store", root / "run", root / "judged", progress=False)
    store, split = read_store(root / "judged"), UNAV.read_split(data, "validation")
    found = calibrate_store(store, split, dict.fromkeys(("audio", "visual"), np.full(100, np.nan)), criterion="uwav")
    assert np.isfinite(list(found.thresholds.values())).all()
    rows = [store.clip_ids.index(clip_id) for clip_id in split.clip_ids]
    name = int(split.weak_labels.sum(axis=0).argmax())
    scores, truth = store.logits("audio")[rows, : split.truth.shape[1], name], split.truth[:, :, 0, name]
    there = split.valid
    wanted, f = lowest_best_cut(np.where(split.weak_labels[:, name, None], scores, -np.inf)[there], truth[there])
    assert found.f_scores["audio"][name] == pytest.approx(f)
    assert found.thresholds["audio"][name] == (wanted if np.isfinite(wanted) else np.nanmin(scores[there]) - 1)


def test_what_is_missing_is_said_before_anything_is_trained_or_judged(world, tmp_path):
    root, data, vectors = world
    for given, said in (
        ((), "methods.generator.vectors must name a .npy file of 100 label vectors of 512 numbers"),
        ((f"methods.generator.vectors={tmp_path}",), "audio.npy: needs a .npy file"),
        ((f"methods.generator.vectors={vectors}", "methods.uwav=on"), "exclude one another"),
        ((f"methods.generator.vectors={vectors}", "fit.pseudo_label_weight=0"), "learns from the truth of segments"),
    ):
        done = typed("train", "uwav-generator", "--data", data, "--out", tmp_path / "run", *changes(*given))
        assert done.code == 2 and said in done.err and not (tmp_path / "run").exists(), done.err
    few = write_vectors(tmp_path / "few", classes=3)
    with pytest.raises(ValueError, match="needs a .npy file of 100 label vectors"):
        judge_store(data / "store", root / "run", tmp_path / "out", vectors=few, progress=False)
    for typed_, said in (
        (["store", "judge", data / "store", "--out", tmp_path / "out"], "--generator RUN says"),
        (["store", "merge", data / "store", "--generator", root / "run", "--out", tmp_path / "out"], "--generator RUN"),
        (["store", "judge", data / "store", data, "--generator", root / "run", "--out", tmp_path / "o"], "one store"),
    ):
        done = typed(*typed_)
        assert done.code == 2 and said in done.err
    assert not (tmp_path / "out").exists()


def test_other_teachers_and_runs_that_are_no_generator_are_refused(world, tmp_path, monkeypatch):
    root, data, _ = world
    from valor.training import judge

    parser, card = read_checkpoint(root / "run")
    teacher = {"teacher": "clap", "weights": "a" * 64}
    other = {**card.recipe, "run": {"sources": {"features": {"audio": {"teacher": teacher}}}}}
    monkeypatch.setattr(judge, "read_checkpoint", lambda run: (parser, replace(card, recipe=other)))
    with pytest.raises(ValueError, match="embeddings are of SIMULATED.*was trained on clap with weights aaaa"):
        judge_store(data / "store", root / "run", tmp_path / "out", progress=False)
    monkeypatch.setattr(judge, "read_checkpoint", lambda run: (torch.nn.Identity(), card))
    with pytest.raises(ValueError, match="holds a parser and no label generator"):
        judge_store(data / "store", root / "run", tmp_path / "out", progress=False)
    assert store_manifest(store_folder(data / "store"))["class_names"] == list(card.class_names)
