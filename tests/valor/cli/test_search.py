"""`valor search` as it is typed."""

import json
import re
import shutil

import pytest

import valor.retrieval.index as index_module
from tests.helpers.toy_parse import write_film
from tests.helpers.toy_search import PLAIN_FAISS, SAID, world, write_searched_store, write_split
from tests.helpers.toy_viewer import write_webm
from tests.helpers.typed import typed
from valor.data.parse_file import OF_DRAWINGS
from valor.data.tables import WORLD_FILE
from valor.retrieval.search import LEAST_STANDING

PLANTED = {
    "a": [("audio", "Dog", 1, 3)],
    "b": [("visual", "Dog", 4, 5)],
    "c": [("audio", "Car", 2, 4), ("visual", "Car", 2, 4)],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("search") / "store"
    (root.parent / WORLD_FILE).write_text("{}")  # the demo's own data, of which its teachers know something
    write_searched_store(root, PLANTED)
    return root


def test_words_are_found_and_printed(store):
    done = typed("search", store, *SAID["Dog"].split(), "--in", "audio", "--top", 1)
    assert done.code == 0, done.err
    columns, _, row, counted = done.out.splitlines()
    assert columns.split() == ["rank", "clip", "onset", "offset", "best", "score", "standing", "sound"]
    assert row.split()[:4] == ["1", "a", "1", "3"] and counted == "in 18 seconds of 3 clips"


def test_words_that_stand_no_higher_than_others_are_said_to(store, monkeypatch):
    note = r"\nthe best stands \d\.\d above captions of nothing in .*: perhaps nothing here fits 'a dog barks'\n"
    assert not re.search(note, typed("search", store, "a dog barks").out)
    standing = json.loads(typed("search", store, "a dog barks", "--format", "json").out)["standing"]
    assert standing > LEAST_STANDING
    held = json.loads(typed("search", store, "a dog barks", "--format", "json").out.partition("\nin ")[0])["found"]
    assert held[0]["standing"] == standing and len({one["standing"] for one in held}) > 1
    monkeypatch.setattr("valor.retrieval.run.LEAST_STANDING", standing + 0.01)
    assert re.search(note, typed("search", store, "a dog barks").out)


def test_teachers_of_drawings_say_so_of_stores_that_are_not_the_demos(store, tmp_path):
    shutil.copytree(store, tmp_path / "mine" / "store")
    done = typed("search", tmp_path / "mine" / "store", "a dog barks")
    assert f"note: {OF_DRAWINGS}" in done.out.splitlines()
    (tmp_path / "videos").mkdir()
    write_webm(tmp_path / "videos" / "a.webm")
    page = ("--html", tmp_path / "f.html", "--videos", tmp_path / "videos")
    assert typed("search", tmp_path / "mine" / "store", "a dog barks", *page).code == 0
    assert OF_DRAWINGS in (tmp_path / "f.html").read_text()
    assert OF_DRAWINGS not in typed("search", store, "a dog barks").out


def test_as_json_and_csv(store, tmp_path):
    done = typed("search", store, SAID["Dog"], "--out", tmp_path / "f.json")
    assert done.out.startswith(f"wrote {tmp_path / 'f.json'}\n")
    held = json.loads((tmp_path / "f.json").read_text())
    assert (held["query"], held["in"], held["seconds"]) == (SAID["Dog"], ["audio", "visual"], 18)
    assert {(one["clip_id"], one["onset"]) for one in held["found"][:2]} == {("a", 1.0), ("b", 4.0)}
    done = typed("search", store, SAID["Car"], "--format", "csv", "--top", 1)
    assert done.out.splitlines()[0] == "rank,clip,onset,offset,best,score,standing,sound,picture"
    assert done.out.splitlines()[1].startswith("1,c,2,4,")


def test_a_page_has_pictures_players_and_the_place_of_each_stretch(store, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    write_webm(videos / "c.webm", seconds=6)
    write_webm(videos / "a.webm", seconds=6, picture=False)
    (videos / "b.avi").write_bytes(b"no media at all")
    page = tmp_path / "found.html"
    done = typed("search", store, SAID["Dog"], "--html", page, "--videos", videos, "--no-embed")
    assert done.code == 0 and done.out.endswith(f"wrote {page}\n"), done.err
    text = page.read_text()
    assert '<audio controls preload="none" src="./videos/a.webm#t=1,3">' in text.replace("../videos", "./videos")
    assert 'poster="data:image/jpeg;base64,' in text and ".avi: no browser plays it" in text
    assert text.count('<article class="card">') == len(json.loads(
        typed("search", store, SAID["Dog"], "--format", "json").out.partition("\nin ")[0]
    )["found"])  # fmt: skip
    assert "<script" not in text and "default-src 'none'" in text
    heights = re.findall(r"standing (-?\d+\.\d)(, below 2.65: perhaps nothing of it)?; ", text)
    assert len(heights) == text.count('<article class="card">')
    assert all(bool(low) == (float(height) < LEAST_STANDING) for height, low in heights)
    assert "linked by relative path; keep them where they are, or pass --embed\n" in done.err
    (videos / "a.webm").unlink()
    shutil.move(videos / "c.webm", tmp_path / "c.webm")
    done = typed("search", store, SAID["Dog"], "--in", "audio", "--top", 1, "--html", page, "--videos", videos)
    assert done.code == 2 and "has no media of the 1 clips that were found, such as a; give the folder" in done.err


def test_names_and_words_stay_text_on_the_page(store, tmp_path):
    write_webm(tmp_path / "a.webm", seconds=4, picture=False)
    asked = f"{SAID['Dog']} <script>alert(1)</script>"
    done = typed("search", store, asked, "--top", 9, "--html", tmp_path / "f.html", "--videos", tmp_path)
    assert done.code == 0 and "<script" not in (tmp_path / "f.html").read_text()
    assert "no media of 2 of the clips, such as b" in done.err and "inside the page" in done.err


def test_a_film_and_its_sound_find_what_is_like_them(tmp_path, store):
    film = write_film(tmp_path / "dog.mp4", 6, [("Dog", "audio", 0, 6), ("Dog", "visual", 0, 6)])
    done = typed("search", store, "--like-sound", film, "--top", 1)
    assert done.code == 0 and done.out.splitlines()[2].split()[:2] == ["1", "a"], done
    held = json.loads(typed("search", store, "--like", film, "--format", "json").out.partition("\nin ")[0])
    assert (held["query"], held["in"]) == ("like dog.mp4", ["audio", "visual"])
    done = typed("search", store, "--like-sound", film, "--in", "visual")
    assert done.code == 2 and "`valor search fit STORE --out MODEL`, and given as --space" in done.err
    write_webm(tmp_path / "mute.webm", seconds=2, picture=False)
    done = typed("search", store, "--like", tmp_path / "mute.webm", "--in", "visual")
    assert done.code == 2 and "mute.webm: has no picture to search by" in done.err


def test_fit_and_index_and_evaluate(tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "faiss_library", lambda: PLAIN_FAISS)
    train, test = world(8), world(4, seed=1)
    write_searched_store(tmp_path / "store", train | test)
    write_split(write_split(tmp_path, train, "train"), test)
    space = tmp_path / "s.safetensors"
    done = typed(
        "search", "fit", tmp_path / "store", "--out", space, "--data", tmp_path, "--net", "labels", "--epochs", 1
    )
    assert done.code == 0 and done.out.startswith("8 clips, loss ") and done.out.endswith(f"wrote {space}\n")
    done = typed("search", tmp_path / "store", "--evaluate", tmp_path, "--space", space)
    assert done.code == 0 and "sound -> picture, in the space (labels)" in done.out and "\nchance  " in done.out
    assert done.out.endswith("4 clips of test; a tie counts as the mean of its ranks\n")
    done = typed("search", "index", tmp_path / "store")
    assert done.code == 0 and done.out.startswith("72 seconds, all of them read; wrote ")
    assert typed("search", "index", tmp_path / "store").out.startswith("72 seconds, 0 of them new; wrote ")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("STORE",), "a search needs words, or a file with --like or --like-sound, one of the three, got none"),
        (("STORE", ""), "the words to search for must have a letter or a digit, got ''"),
        (("STORE", "a dog", "--like", "x.mp4"), "one of the three, got 2 of them"),
        (("STORE", "--like", "none.mp4"), "none.mp4: no such file"),
        (("nowhere", "a dog"), "nowhere: expected an evidence store"),
        (("STORE", "a dog", "--top", "0"), "--top must be at least 1, got 0"),
        (("STORE", "a dog", "--html", "f.html"), "--html FILE shows media and --videos DIR says where they are"),
        (("STORE", "a dog", "--html", "f.txt", "--videos", "v"), "--html must end in .html, got f.txt"),
        (("STORE", "a dog", "--epochs", "3"), "--epochs: not for this; see `valor search --help`"),
        (("index", "STORE", "a dog"), "index takes a store and no words, got 'a dog'"),
        (("index",), "name the store too: valor search index STORE; a store of that name is ./index"),
        (("fit", "STORE"), "--out MODEL.safetensors says where the space is written"),
        (("fit", "STORE", "--out", "m.pt"), "--out must end in .safetensors, got m.pt"),
        (("fit", "STORE", "--out", "m.safetensors", "--exact"), "--exact: not for this"),
        (("STORE", "a dog", "--evaluate", "d"), "--evaluate searches for the clips of a split; leave what else"),
        (("STORE", "a dog", "--space", "none.safetensors"), "no such space; `valor search fit STORE --out"),
        (("STORE", "a dog", "--teacher-checkpoint", "nose=x"), "--teacher-checkpoint must be for audio, visual"),
        (("ftp://x/y", "a dog"), "ftp:// is not supported"),
    ],
)  # fmt: skip
def test_wrong_use_is_said_in_one_sentence(store, words, complaint):
    done = typed("search", *(store if word == "STORE" else word for word in words))
    assert complaint in done.complaint()
