"""Run folders: from a recipe, features and labels to weights, and from those to predictions.

Features a parser was not trained on are refused by name, not parsed into noise.

What a run computes with.
"""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.toy_features import TINY, toy_clip_set, toy_split
from tests.helpers.toy_run import (
    CLIPS,
    FROM_STORE,
    LABELS,
    NAMES,
    SPLITS,
    VALOR,
    write_labels,
    write_tables,
    write_toy_store,
)
from tests.helpers.typed import typed
from valor.data.features.feature_files import FEATURE_FILES
from valor.data.label_file import write_pseudo_labels
from valor.data.tables import read_split
from valor.parsers.attention import HybridLayer
from valor.parsers.build import build_parser
from valor.training.checkpoint import CheckpointCard, read_checkpoint
from valor.training.recipes import RECIPES, find_recipe, override, recipe_to_json
from valor.training.run import (
    make_deterministic,
    note_other_runtime,
    pick_device,
    predict_run,
    read_run_sets,
    refuse_other_features,
    runtime_facts,
    train_on,
    train_run,
    with_seed,
)
from valor.training.seeds import TrainOptions, train_seeds
from valor.training.step import build_optimiser, train_step

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def trained(tmp_path):
    """A run on a store, and the data it was trained on."""
    data = write_tables(tmp_path / "data")
    write_toy_store(data / "store")
    train_run(FROM_STORE, data, tmp_path / "run", labels=write_labels(tmp_path / "labels"), progress=False)
    return tmp_path / "run", data


def test_the_features_it_was_trained_on_are_parsed(trained):
    assert predict_run(*trained, "test").clip_ids == SPLITS["test"]


def test_a_run_knows_the_store_it_was_trained_on(tmp_path, monkeypatch):
    data, run = write_tables(tmp_path / "data"), tmp_path / "run"
    write_toy_store(tmp_path / "evidence")
    labels = write_labels(tmp_path / "labels")
    monkeypatch.chdir(tmp_path)
    given = TrainOptions(labels=labels, store=Path("evidence"), progress=False, test=False, picture=False)
    list(train_seeds(FROM_STORE, data, run, given))
    monkeypatch.chdir("/")
    (folder,) = (tmp_path / "evidence").iterdir()
    assert predict_run(run, data, "test").clip_ids == SPLITS["test"]
    on_val = ("--annotations", data, "--split", "val")
    assert typed("evaluate", run, *on_val).code == 0
    assert typed("predict", run, "--data", data, "--split", "val", "--out", tmp_path / "p.npz").code == 0
    (tmp_path / "evidence").rename(tmp_path / "moved")
    lost = (
        rf"run: its features are of an evidence store of fingerprint {folder.name}, then {tmp_path}/evidence, which is "
    )
    with pytest.raises(ValueError, match=lost + rf"not there now, and {data} holds none; say with `store` where it is"):
        predict_run(run, data, "test")
    assert "which is not there now" in typed("evaluate", run, *on_val).complaint()
    assert typed("evaluate", run, *on_val, "--store", tmp_path / "moved").code == 0
    write_toy_store(tmp_path / "evidence", weights="cd" * 32)
    with pytest.raises(ValueError, match=lost + "another now"):
        predict_run(run, data, "test")
    (run / "store.txt").unlink()
    with pytest.raises(ValueError, match=rf"of fingerprint {folder.name}, and {data} holds none"):
        predict_run(run, data, "test")


def test_features_of_another_teacher_are_refused_though_their_width_fits(trained, tmp_path):
    run, _ = trained
    other = write_tables(tmp_path / "other")
    write_toy_store(other / "store", weights="cd" * 32)
    message = (
        rf"{run}: its audio features were made by .* weights abababababab, those in {other} by .* cdcdcdcdcdcd; harv"
    )
    with pytest.raises(ValueError, match=message):
        predict_run(run, other, "test")


def test_features_of_another_width_are_refused(tmp_path):
    clips = toy_clip_set(4)
    recipe = replace(RECIPES["demo"], parser=TINY)
    card = CheckpointCard(class_names=clips.class_names, recipe=recipe_to_json(recipe))
    wide = replace(clips, visual=torch.zeros(4, 5, 9))
    with pytest.raises(
        ValueError, match=r"run: its parser takes visual features of width 6 \(visual\.embedding\), .* 9;"
    ):
        refuse_other_features(tmp_path / "run", TINY, card, wide, tmp_path)


def test_a_checkpoint_that_does_not_say_is_believed(trained):
    run, data = trained
    parser, card = read_checkpoint(run)
    silent = replace(card, recipe={name: part for name, part in card.recipe.items() if name != "run"})
    clips = toy_clip_set(2)
    clips = replace(clips, audio=torch.zeros(2, 5, 5), visual=torch.zeros(2, 5, 6))
    options = replace(FROM_STORE.parser, num_classes=3)
    assert asdict(options)["audio_width"] == build_parser(options).stem.audio.in_features
    refuse_other_features(run, options, silent, clips, data)


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(run)[0].state_dict()


def same_weights(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_folder_tells_everything_about_itself(toy_run):
    assert sorted(path.name for path in toy_run.iterdir()) == [
        *("best.safetensors", "last.safetensors", "log.jsonl", "recipe.json"),
    ]
    assert find_recipe(str(toy_run)) == VALOR
    log = [json.loads(line) for line in (toy_run / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in log] == [1, 2]
    _, card = read_checkpoint(toy_run)
    assert card.class_names == NAMES and card.recipe["features"] == {
        "audio": "vggish",
        "visual": "res152",
        "motion": "r2plus1d",
        "precision": "float32",
        "unfolded": False,
        "background_clips": False,
        "missing": "refuse",
    }
    best = max(log, key=lambda record: record["val"]["segment"]["type_av"])
    assert (card.epoch, card.val_type_av) == (best["epoch"], best["val"]["segment"]["type_av"])


def test_predictions_are_those_of_the_split_that_was_asked_for(toy_run, published):
    for split in ("val", "test"):
        predictions = predict_run(toy_run, published, split)
        assert predictions.clip_ids == SPLITS[split] and predictions.class_names == NAMES
        assert predictions.segment_probs.shape == (len(SPLITS[split]), 10, 2, 25)
    whole = read_split(published, "test", NAMES)
    last = replace(whole, clip_ids=whole.clip_ids[1:], weak_labels=whole.weak_labels[1:], truth=whole.truth[1:])
    alone = predict_run(toy_run, published, last)
    assert alone.clip_ids == SPLITS["test"][1:]
    assert np.allclose(alone.segment_probs[0], predictions.segment_probs[1], atol=1e-6)


def test_a_finished_run_is_found_done(toy_run, published, caplog):
    before = {path.name: path.read_bytes() for path in toy_run.iterdir()}
    with caplog.at_level("INFO"):
        result = train_run(VALOR, published, toy_run, progress=False)
    assert result.resumed_from == 2 and f"{toy_run}: trained before, nothing to do" in caplog.text
    assert {path.name: path.read_bytes() for path in toy_run.iterdir()} == before


def test_a_folder_of_another_run_is_not_written_over(toy_run, published):
    before = (toy_run / "best.safetensors").read_bytes()
    with pytest.raises(ValueError, match="belongs to a run with other fit options.*choose another `out`"):
        train_run(with_seed(VALOR, 5), published, toy_run, progress=False)
    assert (toy_run / "best.safetensors").read_bytes() == before


def test_the_seed_of_the_recipe_makes_the_initial_weights(published, tmp_path):
    frozen = override(VALOR, ["fit.learning_rate=1e-12", "fit.min_learning_rate=0"])
    for seed in (5, 6):
        recipe = with_seed(frozen, seed)
        assert recipe.fit.seed == seed and replace(recipe, fit=frozen.fit) == frozen
        train_run(recipe, published, tmp_path / str(seed), progress=False)
        initial = build_parser(recipe.parser, seed=seed).state_dict()
        trained = weights_of(tmp_path / str(seed))
        assert all(torch.allclose(trained[name], initial[name], atol=1e-9) for name in initial)
    assert not same_weights(weights_of(tmp_path / "5"), weights_of(tmp_path / "6"))


def test_labels_come_from_the_folder_given_else_from_the_data(toy_run, published, tmp_path):
    same, other = write_labels(tmp_path / "same"), tmp_path / "other"
    write_pseudo_labels(other / "pseudo_labels.npz", CLIPS, NAMES, ~LABELS)
    for labels in (same, other):
        train_run(VALOR, published, tmp_path / f"{labels.name}-run", labels=labels, progress=False)
    assert same_weights(weights_of(tmp_path / "same-run"), weights_of(toy_run))
    assert not same_weights(weights_of(tmp_path / "other-run"), weights_of(toy_run))


def test_a_recipe_on_tags_alone_reads_no_labels(harvested, tmp_path):
    weak = override(FROM_STORE, ["fit.pseudo_label_weight=0"])
    train_run(weak, harvested, tmp_path / "one", progress=False)
    train_run(weak, harvested, tmp_path / "two", labels=tmp_path / "nowhere", progress=False)
    assert same_weights(weights_of(tmp_path / "one"), weights_of(tmp_path / "two"))
    with pytest.raises(
        FileNotFoundError, match=r"CLAP/segment_pseudo_labels: no such folder.*`valor labels .*labels=DIR"
    ):
        train_run(FROM_STORE, harvested, tmp_path / "three", progress=False)
    with pytest.raises(FileNotFoundError, match="nowhere: no such pseudo-label file"):
        train_run(FROM_STORE, harvested, tmp_path / "three", labels=tmp_path / "nowhere", progress=False)
    assert not (tmp_path / "three").exists()


def test_the_store_may_be_the_data_folder_itself(harvested, tmp_path):
    flat = write_tables(tmp_path / "flat")
    write_toy_store(flat)
    labels = write_labels(tmp_path / "labels")
    for data in (harvested, flat):
        train_run(FROM_STORE, data, tmp_path / f"{data.name}-run", labels=labels, progress=False)
    assert same_weights(weights_of(tmp_path / "data-run"), weights_of(tmp_path / "flat-run"))


def test_widths_that_do_not_fit_are_said_with_what_to_set(harvested, published, tmp_path):
    labels = write_labels(tmp_path / "labels")
    with pytest.raises(ValueError, match=r"'demo' does not fit these features; set parser.audio_width=5 parser.visual"):
        train_run(RECIPES["demo"], harvested, tmp_path / "run", labels=labels, progress=False)
    silent = override(VALOR, ["parser.num_classes=3"])
    with pytest.raises(ValueError, match=r"does not fit these features; set parser.num_classes=25$"):
        train_run(silent, published, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_random_teachers_are_refused_unless_asked_for(tmp_path):
    data = write_tables(tmp_path / "data")
    write_toy_store(data / "store", weights="random")
    for random in (False, True):
        labels = write_labels(tmp_path / f"labels-{random}", random=random)
        what = "features and labels" if random else "features"
        with pytest.raises(
            ValueError, match=f"^the {what} were made by teachers with random.*allow_random_teachers=True"
        ):
            train_run(FROM_STORE, data, tmp_path / "run", labels=labels, progress=False)
    assert not (tmp_path / "run").exists()
    train_run(FROM_STORE, data, tmp_path / "run", labels=labels, allow_random_teachers=True, progress=False)


def test_random_labels_are_refused_as_folder_and_as_file(harvested, tmp_path):
    labels = write_labels(tmp_path / "labels", random=True)
    for given in (labels, labels / "pseudo_labels.npz"):
        with pytest.raises(ValueError, match="^the labels were made by teachers with random weights"):
            train_run(FROM_STORE, harvested, tmp_path / "run", labels=given, progress=False)
    weak = override(FROM_STORE, ["fit.pseudo_label_weight=0"])  # has no use for them
    train_run(weak, harvested, tmp_path / "run", labels=labels, progress=False)


def test_exported_features_of_random_teachers_are_refused(tmp_path):
    data = write_tables(tmp_path / "data")
    (data / "labels.json").write_text('{"random_weights": true}')
    weak = override(RECIPES["han-weak++"], ["features.motion=none", "parser.motion_width=0"])
    with pytest.raises(ValueError, match="^the features were made by teachers with random weights"):
        train_run(weak, data, tmp_path / "run", progress=False)
    with pytest.raises(FileNotFoundError, match="vggish"):  # no teacher's features: read, and found to be missing
        train_run(RECIPES["han-weak"], data, tmp_path / "run", progress=False)


def test_clips_without_features_are_refused_or_left_out(published, tmp_path):
    data = write_tables(tmp_path / "data")
    for kind in ("vggish", "res152", "r2plus1d"):
        (data / FEATURE_FILES[kind].folder).mkdir(parents=True)
        for path in (published / FEATURE_FILES[kind].folder).iterdir():
            (data / FEATURE_FILES[kind].folder / path.name).symlink_to(path)
    (data / "feats/vggish" / f"{SPLITS['train'][2][:11]}.npy").unlink()
    (data / "feats/vggish" / f"{SPLITS['test'][0][:11]}.npy").unlink()
    labels = write_labels(tmp_path / "labels")
    with pytest.raises(ValueError, match=rf"no vggish features for 1 clip \({SPLITS['train'][2]}\).*missing=drop"):
        train_run(VALOR, data, tmp_path / "run", labels=labels, progress=False)
    dropping = override(VALOR, ["features.missing=drop"])
    train_run(dropping, data, tmp_path / "run", labels=labels, progress=False)
    assert predict_run(tmp_path / "run", data, "test").clip_ids == SPLITS["test"][1:]


def test_a_split_of_other_classes_is_not_predicted(toy_run, published):
    with pytest.raises(ValueError, match="the parser was trained for other classes than the split 'test' has"):
        predict_run(toy_run, published, toy_split(name="test"))


def test_a_folder_without_a_run_is_named(published, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"best.safetensors: no such checkpoint; `valor train` writes one"):
        predict_run(tmp_path, published, "test")


def test_a_folder_of_seeds_is_not_a_run_and_says_which_there_are(toy_run, published, tmp_path):
    for seed in (2, 10):
        (tmp_path / f"seed-{seed}").mkdir()
        (tmp_path / f"seed-{seed}/best.safetensors").write_bytes((toy_run / "best.safetensors").read_bytes())
    message = f"{tmp_path} holds runs of the seeds seed-2, seed-10; name one, such as {tmp_path / 'seed-2'}"
    line = ("predict", tmp_path, "--data", published, "--out", tmp_path / "p.npz")
    assert message in typed(*line).complaint()


def test_a_device_is_what_it_is_called(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    for name in ("cuda", "tpu"):
        with pytest.raises(ValueError, match=f"device must be auto, cpu, or cuda where there is a GPU, got '{name}'"):
            pick_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda")
    assert pick_device("cpu") == torch.device("cpu")


def test_a_parser_is_compiled_on_a_gpu_only(published, tmp_path):
    sets = read_run_sets(VALOR, published)
    with pytest.raises(ValueError, match="compiled=True needs a GPU"):
        train_on(VALOR, sets, tmp_path / "run", device="cpu", compiled=True)
    assert not (tmp_path / "run").exists()


def test_a_parser_off_the_cpu_compiles_whole_and_trains_the_same(monkeypatch):
    # What runs on a GPU is the layer of parts and torch's own products; here the same code on the CPU.
    monkeypatch.setattr(HybridLayer, "_can_be_fused", lambda self, x: False)
    monkeypatch.setattr("valor.parsers.cpu.products._KERNEL", None)
    batch, totals = toy_clip_set(6).batch(torch.arange(6)), []
    for compiled in (False, True):
        parser = build_parser(replace(TINY, dropout=0.0), seed=0)
        if compiled:
            parser.compile(backend="aot_eager", fullgraph=True, dynamic=False)
        optimiser = build_optimiser(parser, VALOR.fit)
        totals.append([train_step(parser, batch, optimiser, VALOR.fit).total.item() for _ in range(3)])
        assert "stem.audio.weight" in parser.state_dict()
    assert totals[0] == pytest.approx(totals[1], rel=1e-6) and totals[0][0] > totals[0][2]


def test_facts_name_versions_threads_and_device():
    facts = runtime_facts(torch.device("cpu"))
    assert facts["torch"] == torch.__version__ and facts["threads"] == torch.get_num_threads()
    assert (facts["device"], facts["cuda"], facts["deterministic"]) == ("cpu", None, False)


@pytest.fixture
def deterministic_afterwards_as_before(monkeypatch):
    before = torch.are_deterministic_algorithms_enabled()
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.usefixtures("deterministic_afterwards_as_before")
def test_deterministic_mode_refuses_what_cannot_repeat_and_sets_the_workspace(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    make_deterministic()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    make_deterministic()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert runtime_facts(torch.device("cpu"))["deterministic"] and not torch.backends.cudnn.benchmark


def test_another_machine_is_noted_by_what_changes_bits(caplog):
    now = {"torch": "2", "threads": 1, "device": "cpu", "python": "3.11"}
    with caplog.at_level("INFO"):
        note_other_runtime({**now, "python": "3.12"}, now)
        note_other_runtime({}, now)
        assert not caplog.text
        note_other_runtime({**now, "torch": "1", "threads": 2}, now)
    assert "(torch 1 then, 2 now; threads 2 then, 1 now)" in caplog.text


def test_other_code_is_noted_and_refuses_nothing(caplog, monkeypatch):
    monkeypatch.setattr("valor.training.run.git_revision", lambda: "abc-dirty")
    now = runtime_facts(torch.device("cpu"))
    with caplog.at_level("INFO"):
        note_other_runtime(now, now)
        assert not caplog.text
        note_other_runtime({**now, "code": "def"}, now)
    assert "a run that other code began (code def then, abc-dirty now)" in caplog.text
    assert "elsewhere" not in caplog.text
