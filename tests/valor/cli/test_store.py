"""`valor store`, and the page that documents its format."""

import json
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.helpers.toy_store import row_of, write_toy_store
from tests.helpers.typed import typed
from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.shards import read_markers, sealed


@pytest.fixture
def store(tmp_path):
    rows = [row_of("a"), row_of("b", "no_audio"), row_of("c")]
    write_toy_store(tmp_path / "store", {0: rows[:2], 1: rows[2:]})
    return tmp_path / "store"


def test_show_says_what_is_there(store):
    done = typed("store", "show", store)
    assert (done.code, done.err) == (0, "")
    for line in ("audio        fake, weights wwwwwwwwwwww, float32", "clips        3 in 2 shards", "ok           2"):
        assert line in done.out


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_show_names_the_decoder(tmp_path, decoder):
    write_toy_store(tmp_path / "store", {0: [row_of("a")]}, decoder=decoder)
    assert f"  decoder      {decoder}\n" in typed("store", "show", tmp_path / "store").out
    assert typed("store", "verify", tmp_path / "store").code == 0


def test_verify_says_whole_or_lists_the_problems(store):
    assert typed("store", "verify", store).out.endswith("3 clips in 2 shards, whole\n")
    (path,) = store.rglob("00001.safetensors")
    path.write_bytes(b"")
    done = typed("store", "verify", store)
    assert done.code == 3 and done.out.endswith("2 clips in 2 shards, 1 problems\n")
    assert "its bytes are not those of its done-marker" in done.out


def test_of_several_fingerprints_each_is_shown_and_verified(store):
    (one,) = [path.parent for path in store.glob("*/manifest.json")]
    other = write_toy_store(store, {0: [row_of("z")]}, audio_track="1")
    done = typed("store", "show", store)
    assert done.code == 0 and all(f"{folder}\n  fingerprint " in done.out for folder in (one, other))
    lines = [json.loads(line) for line in typed("store", "show", store, "--format", "json").out.splitlines()]
    assert {line["store"]: line["done"] for line in lines} == {str(one): 2, str(other): 1}
    (other / "00000.safetensors").write_bytes(b"")
    done = typed("store", "verify", store)
    assert (
        done.code == 3 and f"{one}: 3 clips in 2 shards, whole\n" in done.out and f"{other}: 0 clips in 1" in done.out
    )
    assert "00000: moved to damaged/" in typed("store", "repair", store).out
    said = typed("labels", store, "--out", store.parent / "labels").complaint()
    assert "give one of these folders, of which `valor store show` says the teachers" in said


def test_repair_and_verify_again(store):
    assert typed("store", "repair", store).out == f"{store}: nothing to repair\n"
    (path,) = store.rglob("00001.safetensors")
    path.write_bytes(b"")
    done = typed("store", "repair", store)
    owed = (
        f"2 of 3 clips are there, and `valor harvest MANIFEST --videos VIDEOS --store {store}`, with the teachers and "
    )
    last = f"{store}: 2 repairs; {owed}options it was made with, makes the other 1\n"
    assert done.code == 0 and "00001: moved to damaged/" in done.out and done.out.endswith(last)
    assert typed("store", "verify", store).code == 0
    again = typed("store", "repair", next(store.glob("*/manifest.json")).parent).out
    assert f": nothing to repair; {owed}" in again
    assert "2 of 3 clips, the others are in no shard; run the harvest again" in typed("store", "show", store).out


@pytest.mark.parametrize("action", ["show", "verify", "repair"])
def test_a_store_that_cannot_be_used_does_not_keep_the_others_from_their_turn(store, action):
    done = typed("store", action, store.parent / "absent", store, store.parent / "gone")
    assert str(store) in done.out and "absent: expected an evidence store" in done.err
    assert done.code == 2 and "gone: expected an evidence store" in done.err and "Traceback" not in done.err


def test_gauges_go_into_a_file_also_where_one_of_the_stores_is_gone(store, tmp_path):
    done = typed("store", "show", store, tmp_path / "gone", "--prometheus", tmp_path / "valor.prom")
    assert done.code == 2 and "gone: expected an evidence store" in done.err
    assert f'valor_store_shards{{store="{store}' in (tmp_path / "valor.prom").read_text()
    assert "are for `show`" in typed("store", "verify", store, "--prometheus", tmp_path / "v").complaint()


def test_merge_unites(store, tmp_path):
    write_toy_store(tmp_path / "other", {0: [row_of("a"), row_of("b", "no_audio")], 7: [row_of("d")]})
    done = typed("store", "merge", store, tmp_path / "other", "--out", tmp_path / "union")
    (folder,) = (tmp_path / "union").iterdir()
    assert done.out == f"4 clips in 3 shards (2 held by several stores); wrote {folder}\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("verify", "nowhere"), "nowhere: expected an evidence store (with a manifest.json), got none"),
        (("merge", "store"), "--out DIR says where `merge` and `judge` write"),
        (("show", "store", "--out", "x"), "--out DIR says where `merge` and `judge` write"),
    ],
)
def test_wrong_use_is_one_message(words, complaint):
    assert complaint in typed("store", *words).complaint()


def test_the_snippet_of_the_page_reads_a_store_without_this_project(store):
    page = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert {line.split()[1] for line in snippet.splitlines() if line.startswith(("import", "from"))} == {
        "json",
        "pathlib",
        "safetensors.numpy",
    }
    run = [sys.executable, "-P", "-c", snippet]
    done = subprocess.run(run, cwd=store.parent, capture_output=True, text=True, check=True)
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["a", "ok"], ["b", "no_audio"], ["c", "ok"]]


def test_the_page_names_every_status_and_command():
    from valor.cli.store import ACTIONS
    from valor.label_harvest.media.clip import STATUSES

    page = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`([a-z_]+)`", page.partition("## Statuses")[2].partition("##")[0])) >= set(STATUSES)
    assert set(re.findall(r"^valor store (\w+)", page, re.MULTILINE)) == set(ACTIONS)


def table_of(tmp_path, names):
    (tmp_path / "clips.csv").write_text("filename\tevent_labels\n" + "".join(f"{name}\tCat\n" for name in names))
    return tmp_path / "clips.csv"


def test_what_a_table_names_and_a_store_lacks_is_said_by_verify_merge_and_show(tmp_path):
    shards = {index: [row_of(f"{index:02d}")] for index in range(8) if index % 4 != 2}
    write_toy_store(tmp_path / "store", shards)
    table = table_of(tmp_path, [f"{index:02d}" for index in range(8)])
    said = "2 of the 8 clips of the table are in no shard: 02, 06; share 3/4 has not run or not ended"
    for action in (("verify", tmp_path / "store"), ("merge", tmp_path / "store", "--out", tmp_path / "union")):
        done = typed("store", *action, "--manifest", table)
        assert done.code == 3 and said in done.out and not done.err
        assert typed("store", *action).code == 0
    done = typed("store", "show", tmp_path / "store", "--manifest", table)
    assert done.code == 0 and said in done.out
    write_toy_store(tmp_path / "rest", {index: [row_of(f"{index:02d}")] for index in (2, 6)})
    done = typed(
        "store", "merge", tmp_path / "store", tmp_path / "rest", "--out", tmp_path / "union", "--manifest", table
    )
    assert (done.code, done.err) == (0, "")
    assert "--manifest is for" in typed("store", "repair", tmp_path / "store", "--manifest", table).complaint()


def test_before_a_store_is_made_all_of_a_table_is_left(tmp_path):
    table = table_of(tmp_path, ["a", "b"])
    given = ("store", "show", tmp_path / "store", "--manifest", table)
    found = json.loads(typed(*given, "--format", "json").out)
    assert found.items() >= {"store": str(tmp_path / "store"), "fingerprint": None, "done": 0, "left": 2}.items()
    assert "no run has made this store yet; 2 of 2 clips of the table left" in typed(*given).out
    assert "got none; run the harvest first" in typed("store", "show", tmp_path / "store").complaint()
    table.write_text(table.read_text().replace("filename", "file"))
    assert "without filename" in typed(*given).complaint()
    write_toy_store(tmp_path / "store", {0: [row_of("a")]})
    table = table_of(tmp_path, ["a", "b"])
    assert json.loads(typed(*given, "--format", "json").out).keys() == found.keys()


def test_where_numbers_do_not_tell_the_share_the_shards_are_named(tmp_path):
    write_toy_store(tmp_path / "store", {index: [row_of(f"{index}")] for index in (0, 1, 3)})
    done = typed("store", "verify", tmp_path / "store", "--manifest", table_of(tmp_path, "0123"))
    assert (
        done.code == 3 and "in no shard: 2; shard 00002 (of N shares, shard k is made by share k % N + 1)" in done.out
    )


def own_store(folder, shards, digest):
    made = write_toy_store(folder, shards)
    note = {"file": "mine.py", "file_sha256": digest * 64, "weights": "w" * 64, "checked": "own code"}
    (made / "weights.json").write_bytes(sealed({"audio": note}))
    write_list(made, read_markers(made))
    return folder


def test_stores_of_unlike_files_of_ones_own_are_united_where_that_is_asked_for(tmp_path):
    one, same, other = (
        own_store(tmp_path / name, {n: [row_of(name)]}, digest)
        for n, (name, digest) in enumerate((("one", "a"), ("same", "a"), ("other", "b")))
    )
    assert not typed("store", "merge", one, same, "--out", tmp_path / "alike").err
    assert "float32, by mine.py of sha256 aaaaaaaaaaaa\n" in typed("store", "show", tmp_path / "alike").out
    merge = ("store", "merge", tmp_path / "alike", other, "--out", tmp_path / "both")
    done = typed(*merge)
    assert done.code == 2 and "its audio evidence is by a file of sha256 bbbbbbbbbbbb, that of" in done.err, done
    assert "leave it out" in typed("store", "verify", tmp_path / "alike", "--allow-edited").complaint()
    assert typed(*merge, "--allow-edited").code == 0
    assert "by mine.py of sha256 aaaaaaaaaaaa and bbbbbbbbbbbb\n" in typed("store", "show", tmp_path / "both").out
    assert typed("store", "verify", tmp_path / "both").code == 0
