"""Tags of each modality: in tables, in a listing, in a store, and whatever is made of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers.toy_store import CLASSES, write_toy_store
from valor.data.anchors import anchor_scores
from valor.data.clips import ClipSet
from valor.data.datasets.dataset import dataset_of
from valor.data.datasets.new_dataset import make_dataset
from valor.data.datasets.to_harvest import read_any_manifest
from valor.data.lint import lint_folder
from valor.data.tables import Split, read_manifest, write_weak_table
from valor.eval.metrics import Judged
from valor.label_harvest.pseudo_labels import label_store
from valor.label_harvest.store.check import verify_store
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.store.plan import check_tags, new_shards
from valor.label_harvest.store.shards import BY_MODALITY, MARKER_VERSION, ShardRow, read_markers
from valor.label_harvest.store.store import read_store
from valor.labelling.review import disagreements, near_labels
from valor.parsers.losses import guided_loss
from valor.scoring.calibrate import calibrate_store
from valor.training.methods.mug import with_pairs
from valor.training.methods.windows import windows_of

IDS = ("a", "b")
TAGS = np.array([[True, True], [False, True]])
BY = np.array([[[True, False], [False, True]], [[False, True], [False, True]]])  # a: a dog is heard, a cat is seen
TABLE = "filename\tevent_labels\taudio_tags\tvisual_tags\na\tDog,Cat\tDog\tCat\nb\tCat\tCat\tCat\n"


@pytest.fixture
def store(tmp_path):
    rows = [ShardRow("a", "ok", "", CLASSES, {}, (("Dog",), ("Cat",))), ShardRow("b", "ok", "", ("Cat",))]
    return write_toy_store(tmp_path / "store", {0: rows[:1], 1: rows[1:]})


def test_a_table_says_which_tags_are_heard_and_which_are_seen(tmp_path):
    (tmp_path / "tags.tsv").write_text(TABLE)
    manifest = read_manifest(tmp_path / "tags.tsv", CLASSES)
    assert np.array_equal(manifest.weak_labels, TAGS) and np.array_equal(manifest.modality_tags, BY)
    write_weak_table(tmp_path / "again.tsv", IDS, TAGS, CLASSES, modality_tags=BY)
    assert (tmp_path / "again.tsv").read_text() == TABLE
    write_weak_table(tmp_path / "plain.tsv", IDS, TAGS, CLASSES)
    assert read_manifest(tmp_path / "plain.tsv", CLASSES).modality_tags is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("Dog\tCat\n", "Dog,Bat\tCat\n", "audio_tags of a: unknown class 'Bat'"),
        ("b\tCat\tCat", "b\tCat\tCat,Dog", "b: Dog is among its audio tags and not among its tags"),
        ("Dog\tCat\n", "\tCat\n", "a: Dog is a tag of it, and neither among its audio tags nor"),
        ("\tvisual_tags", "\tseen", "has a column audio_tags and none visual_tags"),
    ],
)
def test_tags_that_contradict_each_other_are_refused_and_found(tmp_path, old, new, says):
    (tmp_path / "AVVP_train.csv").write_text(TABLE.replace(old, new, 1))
    with pytest.raises(ValueError, match=says):
        read_manifest(tmp_path / "AVVP_train.csv", CLASSES)
    (found,) = lint_folder(tmp_path, CLASSES).of("modality-tags")
    assert says in found.message


def test_a_column_stands_there_once_whatever_is_around_its_name(tmp_path):
    twice = TABLE.replace("visual_tags\n", "visual_tags\taudio_tags \n").replace("Cat\n", "Cat\tCat\n")
    (tmp_path / "AVVP_train.csv").write_text(twice)
    with pytest.raises(ValueError, match="expected a tab-separated UTF-8 table with the columns"):
        read_manifest(tmp_path / "AVVP_train.csv", CLASSES)


def test_a_listing_has_them_too(tmp_path):
    listing = "path,audio_tags,visual_tags,split\na.mp4,Dog,Cat,train\nb.mp4,Cat,Cat,test\n"
    (tmp_path / "clips.csv").write_text(listing)
    made = make_dataset(tmp_path / "yard", tmp_path / "clips.csv", classes="Dog,Cat")
    split = dataset_of(made.folder).read_split(made.folder, "train")
    assert np.array_equal(split.modality_tags, BY[:1]) and split.weak_labels.all()
    assert np.array_equal(read_any_manifest(made.folder, CLASSES).modality_tags, BY)
    for text, says in (
        (listing.replace("visual_tags", "seen"), "needs a column tags, or audio_tags and visual_tags together"),
        ("path,tags,audio_tags,visual_tags\na.mp4,Dog,Dog,Cat\n", "tags must be those that are heard and those"),
    ):
        (tmp_path / "clips.csv").write_text(text)
        with pytest.raises(ValueError, match=says):
            make_dataset(tmp_path / "other", tmp_path / "clips.csv", classes="Dog,Cat")


def test_a_store_keeps_them_and_labels_are_made_by_them(store, tmp_path):
    held = read_store(store)
    assert np.array_equal(held.modality_tags, BY) and np.array_equal(held.weak_labels, TAGS)
    first, second = (store / f"{index:05d}.json" for index in (0, 1))
    assert f'"format": {BY_MODALITY}' in first.read_text() and f'"format": {MARKER_VERSION}' in second.read_text()
    assert "audio_tags" not in second.read_text() and not verify_store(store).problems
    everywhere = {role: np.full(2, -100.0) for role in ("audio", "visual")}
    assert np.array_equal(label_store(held, everywhere).any(axis=1), BY)
    of_all = label_store(replace(held, modality_tags=None), everywhere).any(axis=1)
    assert np.array_equal(of_all, np.stack([TAGS, TAGS], axis=1))
    assert near_labels(held, everywhere, {}).decisions == 3 * BY.sum()
    split_up = {"audio": np.full(2, -100.0), "visual": np.full(2, 100.0)}
    assert {found.class_name for found in disagreements(held, split_up)} == {"Cat"}
    manifest = HarvestManifest(IDS, CLASSES, TAGS, modality_tags=BY)
    with pytest.raises(ValueError, match="other tags, such as b .store Cat; manifest Cat heard Cat seen Cat"):
        check_tags(manifest, read_markers(store))
    assert new_shards(manifest, {}, 2)[0].rows[0].modality_tags == (("Dog",), ("Cat",))


def test_thresholds_by_the_rate_of_tags_are_by_those_of_the_modality(store):
    held = read_store(store)
    split = Split("store", IDS, CLASSES, TAGS, modality_tags=BY)
    none = {role: np.full(2, np.nan) for role in ("audio", "visual")}
    found = calibrate_store(held, split, none, criterion="tag-rate")
    assert found.support == {"audio": (1, 1), "visual": (0, 2)}
    plain = calibrate_store(held, replace(split, modality_tags=None), none, criterion="tag-rate")
    assert plain.support == {"audio": (1, 2), "visual": (1, 2)}


def test_tags_copied_are_copied_into_their_modality():
    truth = np.repeat(BY[:, None], 3, axis=1)
    split = Split("test", IDS, CLASSES, TAGS, truth, modality_tags=BY)
    judged = Judged(predicted=truth, truth=truth, weak_labels=TAGS, modality_tags=BY)
    assert anchor_scores(judged, split)["tags copied"].segment.type_av == 100
    assert anchor_scores(replace(judged, modality_tags=None), split)["tags copied"].segment.type_av < 100


def test_each_modality_is_held_to_its_own_tags():
    probs = torch.tensor(BY[:1], dtype=torch.float32).requires_grad_()
    tags = torch.tensor(BY[:1], dtype=torch.float32)
    assert guided_loss(probs, tags, (0.0, 0.0)).item() < 1e-5 < guided_loss(probs, tags.amax(dim=1), (0.0, 0.0)).item()
    union = tags.amax(dim=1)
    both = union[:, None].expand(1, 2, 2)
    assert guided_loss(probs, both, (0.0, 0.1)).item() == guided_loss(probs, union, (0.0, 0.1)).item()


def clip_set(**more) -> ClipSet:
    features = {stream: torch.zeros(2, 4, 3) for stream in ("audio", "visual")}
    by, tags = torch.tensor(BY), torch.tensor(TAGS)
    return ClipSet(clip_ids=IDS, class_names=CLASSES, weak_labels=tags, modality_tags=by, **features, **more)


def test_clips_batches_windows_and_pairs_have_them():
    labels = torch.tensor(BY)[:, None].repeat(1, 4, 1, 1)
    labels[:, 2:] = False
    clips = clip_set(pseudo_labels=labels)
    assert clips.take([1]).modality_tags.tolist() == BY[1:].tolist()
    assert clips.batch(torch.tensor([1, 0])).modality_tags.tolist() == BY[::-1].astype(float).tolist()
    assert clips.fingerprint() != replace(clips, modality_tags=None).fingerprint()
    windows = windows_of(clips, 2)
    assert windows.modality_tags.any(dim=1).equal(windows.weak_labels) and not windows.modality_tags[1].any()
    pairs = with_pairs(clips, torch.tensor([0]), torch.tensor([1]))  # the sound of a under the picture of b
    assert pairs.modality_tags[2].tolist() == [[True, False], [False, True]] and pairs.weak_labels[2].all()
    with pytest.raises(ValueError, match="modality_tags must be"):
        replace(clips, modality_tags=clips.weak_labels)
