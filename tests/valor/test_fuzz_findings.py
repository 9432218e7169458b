"""What mangled inputs once got away with, each by name: links, optional files, archives, names, and lost parts."""

import json
import os
import shutil
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.fuzz_worlds import NAMES, write_store, write_world
from tests.helpers.toy_parse import toy_parse
from tests.helpers.typed import typed
from valor.cli.terminal import brief
from valor.data.datasets.dataset import dataset_of
from valor.data.features.archives import unpack
from valor.data.features.published_files import export_labels
from valor.data.journal import read_journal
from valor.data.label_file import PseudoLabels, read_label_facts, read_pseudo_labels
from valor.data.parse_file import read_parse, write_parse
from valor.data.prediction_files import read_any_predictions, read_prediction_tables
from valor.data.predictions import Predictions, read_predictions, score_predictions, write_predictions
from valor.data.provenance import Provenance, of_folder
from valor.data.tables import Split, read_event_table, read_weak_table
from valor.data.thresholds import read_calibration, read_thresholds
from valor.data.vocabulary import read_class_names, read_vocabulary
from valor.eval.decide import PostProcessing
from valor.label_harvest.arrays import read_npy
from valor.label_harvest.store.check import merge_stores
from valor.label_harvest.store.store import read_store
from valor.label_harvest.strict_json import loads
from valor.label_harvest.teachers.features import read_whitening
from valor.scoring.compare import compare
from valor.training.log import read_training_log
from valor.video.formats.formats import FORMATS


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    write_world(folder)
    return folder


@pytest.fixture
def world(whole, tmp_path):
    """Tables and predictions of every format, to be spoilt."""
    return shutil.copytree(whole, tmp_path / "world")


@pytest.fixture
def store(tmp_path):
    write_store(tmp_path / "harvested")
    return tmp_path / "harvested" / "store"


def shard_of(store, name):
    (path,) = store.glob(f"*/{name}")
    return path


# One sentence, and no longer


def test_a_message_quotes_no_whole_file():
    text = brief("a.json: " + "x" * 100_000 + "; mend it")
    assert len(text) < 3001 and text.startswith("a.json: xx") and text.endswith("; mend it") and " more] " in text
    assert brief("short") == "short"


def test_a_link_to_itself_is_no_file(world):
    (world / "clip.npz").unlink()
    (world / "clip.npz").symlink_to(world / "clip.npz")
    on = ("--annotations", world / "data", "--split", "test")
    for words in (["evaluate", world / "clip.npz", *on], ["view", world / "clip.npz", "--out", world / "v.html"],
                  ["table", world / "clip.npz"]):  # fmt: skip
        assert str(world / "clip.npz") in typed(*words).complaint()


def test_headers_that_are_no_python_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.ones(3))
    for header in (b"{'descr': (", b"(" * 90 + b")" * 90, b"{" + b"\0" * 50):
        payload = path.read_bytes()[:10] + header.ljust(117) + b"\n" + bytes(24)
        (tmp_path / "b.npy").write_bytes(payload)
        with pytest.raises(ValueError):  # noqa: PT011, whatever numpy says of it
            read_npy(tmp_path / "b.npy")


# Files that may be absent are not absent where something stands at their name


def test_optional_files_that_cannot_be_read_are_not_passed_over(tmp_path):
    lost = tmp_path / "nothing"
    for name in ("classes.json", "dataset.json", "SIMULATED.json", "labels.json", "journal.jsonl"):
        (tmp_path / name).symlink_to(lost)
    with pytest.raises(ValueError, match="which is no file"):
        read_class_names(None, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"dataset\.json"):
        dataset_of(tmp_path)
    with pytest.raises(ValueError, match=r"labels\.json"):
        read_label_facts(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_journal(tmp_path / "journal.jsonl")
    assert of_folder(tmp_path).simulated


def test_a_list_of_clips_that_is_a_folder_is_refused(world):
    (world / "tables" / "clips.txt").unlink()
    (world / "tables" / "clips.txt").mkdir()
    with pytest.raises(OSError, match=r"clips\.txt"):
        read_prediction_tables(world / "tables", NAMES)


def test_files_of_a_folder_of_parses_that_are_none_are_named(world, caplog):
    (world / "parses" / "a.json").write_text("[]")
    for name in ("fiftyone", "label-studio"):  # of ours
        (world / "parses" / f"a{FORMATS[name].ending}").write_text("[]")
    assert len(read_any_predictions(world / "parses", NAMES).clip_ids) == 4
    assert "1 of 5 files *.json are no parses, or damaged, and are passed over (a.json)" in caplog.text


# What a file says of itself


def test_only_a_bool_says_that_features_were_simulated(tmp_path, world):
    with np.load(world / "clip.npz") as held:
        arrays = dict(held)
    for simulated in (np.array("False"), np.array([False, True]), np.array(2)):
        np.savez(tmp_path / "p.npz", **arrays, simulated=simulated)
        with pytest.raises(ValueError, match="simulated must be one bool"):
            read_predictions(tmp_path / "p.npz")


def test_arrays_nobody_reads_are_named(tmp_path, world, caplog):
    with np.load(world / "clip.npz") as held:
        np.savez(tmp_path / "p.npz", **held, clip_prob=np.ones(3))
    read_predictions(tmp_path / "p.npz")
    assert "passes over 1 arrays (clip_prob), which no prediction file has" in caplog.text


def test_an_event_of_a_class_the_file_does_not_know_is_refused(world):
    record = json.loads((world / "events.json").read_text()) | {"classes": ["Car"]}
    (world / "events.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="is none of the classes of the file"):
        read_any_predictions(world / "events.json", NAMES)


def test_simulated_predictions_and_labels_are_shown_as_such(world):
    held = read_predictions(world / "clip.npz")
    made = Predictions(clip_ids=held.clip_ids, class_names=NAMES, segment_probs=held.segment_probs,
                       clip_probs=held.clip_probs, provenance=Provenance(simulated=True))  # fmt: skip
    write_predictions(world / "clip.npz", made)
    (world / "labels" / "labels.json").write_text('{"random_weights": false, "simulated": true}')
    done = typed("view", world / "clip.npz", world / "labels", "--out", world / "v.html")
    assert done.code == 0 and (world / "v.html").read_text().count("SIMULATED clip") > 0
    assert "SIMULATED labels" in (world / "v.html").read_text()


def test_labels_that_are_half_written_are_not_drawn(world):
    (world / "labels" / "labels.json").write_text('{"random_weights": false, "under_way": true}')
    for words in (["plot", "labels", world / "labels", "--annotations", world / "data", "--split", "test"],
                  ["view", world / "labels"]):  # fmt: skip
        assert (
            "was interrupted" in typed(*words, "--out", world / ("p.png" if "plot" in words else "v.html")).complaint()
        )


@pytest.mark.parametrize(("change", "message"), [
    ({"note": 5}, "note: expected text"), ({"criterion": []}, "criterion: expected text"),
    ({"clips": "x"}, "clips: expected a whole number"), ({"classes": 0}, "classes: expected an object"),
    ({"post_processing": {"segment_threshold": 0.5, "gate": ["clip"], "clip_threshold": 0.5}}, "gate must be one for"),
])  # fmt: skip
def test_what_thresholds_tell_of_themselves_is_of_its_kind(world, change, message):
    record = json.loads((world / "thresholds.json").read_text()) | change
    (world / "thresholds.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message):
        read_calibration(world / "thresholds.json", NAMES)


def test_notes_of_label_thresholds_are_text(tmp_path):
    (tmp_path / "t.json").write_text('{"audio": [1], "visual": [2], "note": 1e300}')
    with pytest.raises(ValueError, match="note: expected text"):
        read_thresholds(tmp_path / "t.json", 1)


def test_thresholds_without_a_number_are_none():
    with pytest.raises(ValueError, match="clip_threshold must be a probability in 0..1, or rows of them, got none"):
        PostProcessing(clip_threshold=((), ()))


# Tables


def test_zero_bytes_of_a_damaged_disk_are_refused(tmp_path):
    (tmp_path / "e.csv").write_bytes(b"filename\tonset\toffset\tevent_labels\na\0\t1\t2\tDog\n")
    with pytest.raises(ValueError, match=r"e\.csv:2: expected text, got a zero byte"):
        read_event_table(tmp_path / "e.csv", ["Dog"])


def test_a_column_of_tags_stands_once(tmp_path):
    (tmp_path / "t.csv").write_text("filename\tevent_labels\tevent_labels\na\tDog\tCat\n")
    with pytest.raises(ValueError, match="expected a tab-separated UTF-8 table with the columns"):
        read_weak_table(tmp_path / "t.csv", ["Dog", "Cat"])


def test_a_seed_without_scores_is_named(world, caplog):
    (world / "scores" / "seed-1" / "scores.json").unlink()
    assert compare([world / "scores"]).rows[0].seeds == 1
    assert "the row leaves out seed-1, which have no scores.json" in caplog.text


# Stores


def test_a_store_that_lost_a_shard_is_not_shown_as_whole(store):
    shard_of(store, "00001.json").unlink()
    done = typed("store", "show", store)
    assert done.code == 3 and "1 shards are gone or have lost their marker, such as 00001" in done.out


@pytest.mark.parametrize("shard", [False, True])
def test_a_lost_list_of_shards_is_refused_until_it_is_repaired(store, tmp_path, shard):
    read_store(store)
    shard_of(store, "shards.json").unlink()
    if shard:  # and with it the last shard, of which nothing else would tell
        last = max(store.glob("*/0*.json"))
        for path in (last, last.with_suffix(".safetensors")):
            path.unlink()
    for use in (lambda: read_store(store), lambda: merge_stores([store], tmp_path / "union")):
        with pytest.raises(ValueError, match=r"its list of shards \(shards.json\) is gone, .* `valor store repair`"):
            use()
    shown = typed("store", "show", store)
    assert shown.code == 3 and "its list of shards (shards.json) is gone" in shown.out
    assert typed("store", "repair", store).code == 0
    read_store(store)


def test_a_merge_that_is_refused_leaves_nothing(store, tmp_path):
    path = shard_of(store, "00001.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="shards are damaged"):
        merge_stores([store], tmp_path / "union")
    assert not (tmp_path / "union").exists()


# Archives and names


@pytest.mark.parametrize(("name", "message"), [
    ("x" * 300, "is longer than a disk takes"), ("x/" * 2000 + "y", "is longer than a disk takes"),
    ("a.npy/b.npy", "is a file and a folder"),
])  # fmt: skip
def test_members_no_disk_takes_are_refused_before_one_is_written(tmp_path, name, message):
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        for member in ("a.npy", name):
            archive.writestr(member, b"x")
    with pytest.raises(ValueError, match=message):
        unpack(tmp_path / "f.zip", tmp_path / "out", lambda _: True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../../outside", "/outside", "a\0b"])
def test_labels_are_not_exported_out_of_their_folder(tmp_path, name):
    labels = PseudoLabels(("good", name), NAMES, np.ones((2, 10, 2, 3), bool))
    with pytest.raises(ValueError, match="clip id must be a plain name"):
        export_labels(labels, tmp_path / "out" / "deep", progress=False)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_whitening_of_no_numbers_is_refused(tmp_path):
    matrix = np.eye(128)
    matrix[3, 3] = np.nan
    np.savez(tmp_path / "w.npz", pca_eigen_vectors=matrix, pca_means=np.zeros(128))
    with pytest.raises(ValueError, match="expected pca_eigen_vectors"):
        read_whitening(tmp_path / "w.npz")


def test_probabilities_beyond_every_float_are_refused_without_a_warning(tmp_path, recwarn):
    write_parse(tmp_path / "a.json", toy_parse())
    record = json.loads((tmp_path / "a.json").read_text())
    record["segment_probs"]["audio"][0][0] = 1e300
    (tmp_path / "a.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="must be probabilities in 0..1"):
        read_any_predictions(tmp_path / "a.json", ())
    assert not recwarn.list


@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_what_is_left_out_counts_as_nothing_found(seed):
    """Whatever segments are said not to exist, the ten figures are those of predictions that mark nothing there."""
    rng = np.random.default_rng(seed)
    truth = rng.random((3, 10, 2, 2)) < 0.3
    split = Split("test", ("x", "y", "z"), ("Dog", "Cat"), np.ones((3, 2), bool), truth, "v2024", "ab" * 32)
    marks, valid = rng.random(truth.shape) < rng.random(), rng.random((3, 10)) < rng.random()
    held = {"clip_ids": split.clip_ids, "class_names": split.class_names}
    hidden = score_predictions(Predictions(**held, predicted=marks, valid=valid), split)[0]
    nothing = score_predictions(Predictions(**held, predicted=marks & valid[:, :, None, None]), split)[0]
    assert (hidden.segment, hidden.event) == (nothing.segment, nothing.event)
    assert all(0 <= figure <= 100 for level in (hidden.segment, hidden.event) for figure in vars(level).values())


def test_nesting_is_judged_alike_by_every_python():
    assert loads("[" * 50 + "]" * 50)
    for text in ("[" * 51 + "]" * 51, '{"a":' * 60 + "1" + "}" * 60, "[" * 200_000):
        with pytest.raises(ValueError, match="nested deeper than any such file has"):
            loads(text)


@pytest.mark.parametrize("number", [0x110000, 0xD800, 2**32 - 1])
def test_text_of_what_is_no_letter_is_refused(tmp_path, number):
    path = tmp_path / "a.npy"
    np.save(path, np.array(["Dog", "Cat"]))
    content = bytearray(path.read_bytes())
    content[-4:] = number.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="its text holds what is no letter"):
        read_npy(path)


def test_a_parse_whose_rule_is_of_other_classes_is_refused(tmp_path):
    write_parse(tmp_path / "a.json", toy_parse())
    record = json.loads((tmp_path / "a.json").read_text())
    record["decision"]["clip_threshold"] = [0.5] * 7
    (tmp_path / "a.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="clip_threshold must be one number, 2 for the classes"):
        read_parse(tmp_path / "a.json")


@pytest.mark.parametrize(("change", "message"), [
    ({"epoch": 0}, "epoch: expected a whole number from 1"), ({"epoch": 1}, "epoch 1 after epoch 1"),
    ({"epoch": "2"}, "epoch: expected a whole number"), ({"selected": 1}, "selected must be true or false"),
    ({"grad_norm": -1}, "grad_norm: expected a number from 0"),
])  # fmt: skip
def test_a_training_log_is_of_epochs_that_go_on(tmp_path, change, message):
    figures = dict.fromkeys(("audio", "visual", "audio_visual", "type_av", "event_av"), 50.0)
    first = {"epoch": 1, "loss": {"weak": 1.0}, "val": {"segment": figures, "event": figures}, "grad_norm": 1.0,
             "learning_rate": 0.1, "selected": True}  # fmt: skip
    second = first | {"epoch": 2} | change
    (tmp_path / "log.jsonl").write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    with pytest.raises(ValueError, match=message):
        read_training_log(tmp_path)


def test_a_recipe_nobody_can_read_names_no_figure(toy_run, tmp_path):
    run = shutil.copytree(toy_run, tmp_path / "run")
    (run / "recipe.json").write_text("{")
    assert "recipe.json: expected the recipe of the run" in typed("plot", "training", run).complaint()


def test_damaged_test_tables_end_a_training_before_it_begins(published, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(published, data, copy_function=os.link)
    content = (data / "AVVP_test_pd.csv").read_bytes()
    (data / "AVVP_test_pd.csv").unlink()
    (data / "AVVP_test_pd.csv").write_bytes(content[:-3])
    done = typed("train", "valor", "--data", data, "--out", tmp_path / "run")
    assert done.code == 2 and "AVVP_test_pd.csv:3: unknown class" in done.err and not (tmp_path / "run").exists()


def test_a_loss_that_stops_is_named_where_it_ended(tmp_path):
    figures = dict.fromkeys(("audio", "visual", "audio_visual", "type_av", "event_av"), 50.0)
    rest = {"val": {"segment": figures, "event": figures}, "grad_norm": 1.0, "learning_rate": 0.1, "selected": True}
    lines = [{"epoch": 1, "loss": {"total": 1.0, "weak": 2.0, "odd": -1.0}}, {"epoch": 2, "loss": {"total": 1.0}}]
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(line | rest)}\n" for line in lines))
    assert typed("plot", "training", tmp_path, "--out", tmp_path / "p.png").code == 0


def test_names_of_labels_are_one_row_of_text(tmp_path):
    arrays = {
        "clip_ids": np.array([["x"]]),
        "classes": np.array(["Dog"]),
        "pseudo_labels": np.ones((1, 10, 2, 1), bool),
    }
    for names in (np.array([["x"]]), np.array([7])):
        np.savez(tmp_path / "l.npz", **(arrays | {"clip_ids": names}))
        with pytest.raises(ValueError, match="clip_ids must be one row of text"):
            read_pseudo_labels(tmp_path / "l.npz")


@pytest.mark.parametrize("entry", ['"\\ud800"', '{"name": "Car", "audio_prompt": "\\ud800"}'])
def test_half_a_character_is_no_name_and_no_caption(tmp_path, entry):
    (tmp_path / "classes.json").write_text(f'["Dog", {entry}]')
    with pytest.raises(ValueError, match="got half a character"):
        read_vocabulary(str(tmp_path / "classes.json"))
