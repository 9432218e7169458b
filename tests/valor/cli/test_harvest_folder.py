"""`valor harvest FOLDER`: media without a table, which can be searched; and what a run again makes of other files."""

import shutil

import pytest

import valor
from tests.helpers.toy import ToySound, ToyVideo, build_fake_teacher, write_toy_clip
from tests.helpers.typed import typed
from valor import teachers as harvest_teachers
from valor.data.datasets.to_harvest import read_media_folder
from valor.label_harvest.harvest import HarvestOptions
from valor.label_harvest.store.store import read_store
from valor.label_harvest.store.videos import find_media, name_by_place
from valor.teachers import TeacherChoice

DEMO = ("--visual", "demo-visual", "--audio", "demo-audio", "--workers", "0")


@pytest.fixture
def films(tmp_path, monkeypatch):
    """Two films, one in a folder below, and teachers without a network."""

    monkeypatch.setattr(harvest_teachers, "build_teacher", build_fake_teacher)
    (tmp_path / "films/zoo").mkdir(parents=True)
    film(tmp_path / "films/street.mkv", 12.0)
    film(tmp_path / "films/zoo/bear.mkv", 3.0)
    (tmp_path / "films/notes.txt").write_text("of nobody")
    return tmp_path / "films"


def film(path, seconds):
    sound = ToySound(seconds=seconds, rate=8000, codec="pcm_s16le")
    return write_toy_clip(path, video=ToyVideo(seconds=seconds, rate=4, width=32, height=32), sound=sound)


def harvested(films, *more):
    done = typed("harvest", films, "--store", films.parent / "store", *DEMO, *more)
    store = read_store(films.parent / "store")
    return done, dict(zip(store.clip_ids, store.segments.tolist(), strict=True)), store


def test_media_are_clips_without_tags_read_whole(films):
    done, segments, store = harvested(films)
    assert done.code == 0, done.err
    assert segments == {"street": 12, "bear": 3} and not store.weak_labels.any()
    assert done.out.splitlines()[-1] == f"search it: valor search {films.parent / 'store'} 'a dog barks'"
    assert harvested(films, "--videos", films)[1] == segments  # said twice


def test_new_files_are_added_and_files_that_went_stay_in_the_store(films):
    harvested(films)
    film(films / "lake.mkv", 4.0)
    (films / "street.mkv").unlink()
    done, segments, _ = harvested(films)
    assert "2 clips (2 ok), 1 of them cached before" in done.out
    assert segments == {"street": 12, "bear": 3, "lake": 4}


def test_files_of_one_name_are_named_by_their_place_and_one_that_is_there_keeps_its_name(films):
    harvested(films)
    other = film(films / "bear.mkv", 6.0)
    done, segments, _ = harvested(films)
    assert segments == {"street": 12, "bear": 3, name_by_place(other): 6}
    assert f"bear.mkv is the clip {name_by_place(other)}" in done.out
    (films / "zoo/bear.mkv").unlink()  # which leaves the other one alone
    done, segments, _ = harvested(films)
    assert "2 clips (2 ok), 2 of them cached before" in done.out and len(segments) == 3
    assert find_media(films, [name_by_place(other)]) == {name_by_place(other): other}


def test_names_no_clip_may_have_are_made_plain(films):
    odd = films / "zoo/the bear .mkv"
    shutil.copy(films / "zoo/bear.mkv", odd)
    clip_ids = read_media_folder(films, ["Dog"]).clip_ids
    assert clip_ids == ("street", "bear", name_by_place(odd))


def test_what_is_no_folder_of_media_is_refused(films, tmp_path):
    (tmp_path / "data/videos").mkdir(parents=True)
    film(tmp_path / "data/videos/a.mkv", 1.0)
    table = tmp_path / "data/AVVP_train.csv"
    table.write_text("filename\tevent_labels\na\tDog\n")
    (tmp_path / "none").mkdir()
    for source, said in (
        (table, "names clips and not where they lie; add --videos DIR"),
        (table.parent, "names clips and not where they lie; add --videos DIR"),
        (tmp_path / "none", "expected a table of clips and tags, a data folder or a folder of media, got a folder"),
    ):
        done = typed("harvest", source, "--store", tmp_path / "store", *DEMO)
        assert done.code == 2 and said in done.err and not (tmp_path / "store").exists()


def test_a_search_of_the_folder_says_how_it_becomes_a_store(films, tmp_path):
    done = typed("search", films, "a dog barks")
    assert done.code == 2 and "got a folder of 2 media files, such as street.mkv" in done.err
    assert f"valor harvest {films} --store {films}.store makes a store of it" in done.err
    assert "run the harvest first" in typed("search", tmp_path / "nothing", "a dog barks").err


def test_the_library_takes_such_a_folder(films):
    choice = TeacherChoice(visual="demo-visual", audio="demo-audio")
    options = HarvestOptions(length="whole", decode_workers=0)
    report = valor.harvest(films, store=films.parent / "of-python", teachers=choice, options=options, progress=False)
    assert report.counts == {"ok": 2}
