"""Spaces that are trained: sounds find pictures in them, the same every time, and not on clips they have seen."""

import numpy as np
import pytest
import torch

from tests.helpers.toy_search import SAID, world, write_searched_store, write_split
from valor.label_harvest.cores import DEVICE
from valor.retrieval.evaluate import evaluate_search
from valor.retrieval.fit import fit_space
from valor.retrieval.options import NETS, EvaluateOptions, FitOptions, SearchOptions
from valor.retrieval.run import index_store, search_store
from valor.retrieval.space import read_space

TRAIN, TEST = world(32), world(12, seed=1)
SMALL = {"width": 32, "epochs": 12, "batch_size": 8, "rate": 3e-3}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_searched_store(folder / "store", TRAIN | TEST)
    write_split(write_split(folder, TRAIN, "train"), TEST)
    return folder


@pytest.fixture(scope="module")
def spaces(data):
    made = {}
    for net in NETS:
        options = FitOptions(net=net, data=data, **SMALL)
        made[net] = fit_space(data / "store", data / f"{net}.safetensors", options)
    return made


def rows_of(report):
    return {row.name: row for row in report.rows}


@pytest.mark.parametrize("net", NETS)
def test_sounds_find_the_pictures_of_their_kind_and_those_of_others_do_not(data, spaces, net):
    report = evaluate_search(data / "store", EvaluateOptions(data=data, space=data / f"{net}.safetensors"))
    rows = rows_of(report)
    right, wrong = (rows[f"sound -> picture, in the space ({net}){end}"] for end in ("", ", clips shuffled"))
    assert (report.split, report.clips, rows["chance"].median_rank) == ("test", 12, 6.5)
    assert right.map > 60 > 50 > wrong.map and rows["chance"].map == pytest.approx(25)
    assert right.median_rank < 5 and spaces[net].losses[-1] < spaces[net].losses[0]


def test_words_find_clips_and_shuffled_captions_do_not(data, spaces):
    rows = rows_of(evaluate_search(data / "store", EvaluateOptions(data=data, space=data / "joint.safetensors")))
    for where in ("sound", "picture", "both", "both, in the space (joint)"):
        assert rows[f"words -> {where}"].map > 90
        assert rows[f"words -> {where}, captions shuffled"].map < 45
    assert rows["words -> clip, were tags all"].map == 100
    assert rows["words -> clip, were tags all"].recall[5] == 100


def test_a_space_is_the_same_every_time(data, spaces, tmp_path):
    again = fit_space(data / "store", tmp_path / "again.safetensors", FitOptions(net="labels", data=data, **SMALL))
    assert again.losses == spaces["labels"].losses
    assert (tmp_path / "again.safetensors").read_bytes() == (data / "labels.safetensors").read_bytes()
    assert set(again.placer.card.clip_ids) == set(TRAIN)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, so it is taken")
def test_a_gpu_that_is_asked_for_and_not_there_is_no_cpu(data, tmp_path, monkeypatch):
    monkeypatch.setenv(DEVICE, "cuda")
    with pytest.raises(ValueError, match="device must be auto, cpu, or cuda where there is a GPU"):
        fit_space(data / "store", tmp_path / "s.safetensors", FitOptions(net="labels", **SMALL))
    assert not list(tmp_path.iterdir())


def test_a_space_is_not_judged_by_clips_it_has_seen(data, spaces, tmp_path):
    fit_space(data / "store", tmp_path / "all.safetensors", FitOptions(net="labels", **{**SMALL, "epochs": 1}))
    with pytest.raises(ValueError, match="was trained on 12 of the 12 clips it is judged by, such as clip-1-000"):
        evaluate_search(data / "store", EvaluateOptions(data=data, space=tmp_path / "all.safetensors"))


def test_a_sound_finds_pictures_in_a_space_alone(data, spaces, monkeypatch):
    from tests.helpers.toy_search import features_of

    heard = {"audio": features_of("new", "audio", [("audio", "Dog", 0, 6)]).astype(np.float32)}
    monkeypatch.setattr("valor.retrieval.run.media_features", lambda *_: heard)
    sound = {"like_sound": data / "x.wav", "within": "visual", "top": 1}
    with pytest.raises(ValueError, match="cannot be compared with visual embeddings by itself; a space in"):
        search_store(data / "store", SearchOptions(**sound))
    for net in NETS:
        result = search_store(data / "store", SearchOptions(**sound, space=data / f"{net}.safetensors"))
        assert {next(iter((TRAIN | TEST)[one.clip_id]))[1] for one in result.found} == {"Dog"}, net


def test_words_need_a_space_with_words(data, spaces):
    text = {"text": SAID["Dog"], "within": "visual", "top": 1}
    found = search_store(data / "store", SearchOptions(**text, space=data / "joint.safetensors")).found
    assert {next(iter((TRAIN | TEST)[one.clip_id]))[1] for one in found} == {"Dog"}
    with pytest.raises(ValueError, match="space must have a place for words, got one of net=context"):
        search_store(data / "store", SearchOptions(**text, space=data / "context.safetensors"))


def test_a_space_can_have_an_index(data, spaces, monkeypatch):
    import valor.retrieval.index as module
    from tests.helpers.toy_search import PLAIN_FAISS

    monkeypatch.setattr(module, "faiss_library", lambda: PLAIN_FAISS)
    monkeypatch.setattr(module, "EACH", 2)
    space = {"text": SAID["Dog"], "top": 3, "space": data / "joint.safetensors"}
    index_store(data / "store", space=data / "joint.safetensors")
    near, whole = (search_store(data / "store", SearchOptions(**space, exact=exact)) for exact in (False, True))
    assert near.compared < whole.compared
    assert near.found[0].clip_id == whole.found[0].clip_id


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"net": "none"}, "net must be one of joint, context, labels"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"width": 12}, "width must be a multiple of 8"),
        ({"rate": 2.0}, "rate must be between 0 and 1"),
        ({"split": "val"}, "`split` is of a data folder"),
    ],
)
def test_options_that_train_nothing_are_refused(given, complaint):
    with pytest.raises(ValueError, match=complaint):
        FitOptions(**given)


def test_too_few_clips_and_wrong_names_are_refused(tmp_path):
    write_searched_store(tmp_path / "store", world(7))
    with pytest.raises(ValueError, match="at least 8 clips with sound and picture to train on, got 7"):
        fit_space(tmp_path / "store", tmp_path / "s.safetensors", FitOptions())
    with pytest.raises(ValueError, match=r"out must end in .safetensors"):
        fit_space(tmp_path / "store", tmp_path / "s.pt", FitOptions())
    assert not list(tmp_path.glob("s.*"))


def test_a_space_that_is_none_or_of_others_is_refused(data, spaces, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such space; `valor search fit STORE --out"):
        read_space(tmp_path / "none.safetensors")
    path = tmp_path / "s.safetensors"
    payload = bytearray((data / "labels.safetensors").read_bytes())
    payload[-1] ^= 1
    path.write_bytes(payload)
    with pytest.raises(ValueError, match="not as it was written, its checksum differs"):
        read_space(path)
    others = {"teachers": {"audio": {"teacher": "clap", "weights": "f" * 64}, "visual": {}}}
    with pytest.raises(ValueError, match="was trained on features of the audio teacher demo-audio with"):
        read_space(data / "labels.safetensors", others)
    from valor.training.checkpoint import write_tensors

    write_tensors(path, {}, {"format": 1})
    with pytest.raises(ValueError, match="is no space for search"):
        read_space(path)
