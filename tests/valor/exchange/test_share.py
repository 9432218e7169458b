"""Pushed to a hub of our own and pulled from there: whole, checked, at one commit, and nothing that could run."""

import json
import os

import numpy as np
import pytest
from huggingface_hub import close_session, constants

import valor
from tests.helpers.toy import ToySound, write_toy_clip
from tests.helpers.toy_hub import toy_hub
from tests.helpers.toy_parse import write_run
from tests.helpers.toy_store import row_of, write_toy_store
from valor.__main__ import main
from valor.data.hub import HubError, copied, is_address, pull, push, taken_apart
from valor.exchange.share import card_text, push_shared, shared
from valor.label_harvest.places.place import place_of
from valor.label_harvest.store.store import read_store
from valor.training.run_folder import BEST
from valor.video.options import ParseOptions


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("runs") / "toy")
    (folder / "last.safetensors").write_bytes(b"not shared")
    return folder


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "hf_toy")
    close_session()
    with toy_hub() as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        yield site


def files_of(hub, name="models/org/toy"):
    return hub.commits[name][-1]


def test_a_run_goes_out_and_parses_when_it_comes_back(run, hub, tmp_path):
    commit = push_shared(run, "org/toy", licence="mit")
    assert set(files_of(hub)) == {BEST, "README.md", "valor.json"}  # all that this run has, and no resume point
    assert files_of(hub)[BEST] == (run / BEST).read_bytes() and not hub.private["models/org/toy"]
    pulled = pull("hf:org/toy")
    assert (pulled.kind, pulled.commit, pulled.address) == ("run", commit, f"hf:org/toy@{commit}")
    assert (pulled.folder / BEST).read_bytes() == (run / BEST).read_bytes()
    asked = len(hub.requests)
    assert pull(pulled.address).folder == pulled.folder
    assert not [one for one in hub.requests[asked:] if one.startswith("GET") and BEST in one], "it is in the cache"
    out = copied(pulled, tmp_path / "theirs")
    assert sorted(os.listdir(out)) == [BEST, "pulled-from.txt", "valor.json"]
    with pytest.raises(ValueError, match="theirs: is there already"):
        copied(pulled, out)


def test_the_card_says_what_the_run_knows_of_itself(run):
    card = card_text(shared(run), "org/toy", None)
    assert card.startswith("---\nlibrary_name: valor\ntags:\n- audio-visual-video-parsing\n")
    assert 'parser = valor.load("org/toy")' in card and "Judged by teachers of the demo world" in card
    assert "| audio | audio.embedding |" in card and "demo-audio" in card and "25: Speech, Car" in card
    assert "None: the run was not scored" in card and "not stated by who pushed this" in card
    assert "license: mit" in card_text(shared(run), "org/toy", "mit")


def test_simulated_runs_and_scores_are_said(tmp_path):
    run = write_run(tmp_path / "r")
    header = {"class_names": ["A"], "recipe": {"run": {"sources": {"simulated": True, "features": {}, "labels": None}}}}
    from safetensors.torch import load_file

    from valor.data.score_file import write_scores_json
    from valor.eval.scores import score
    from valor.training.checkpoint import write_tensors

    write_tensors(run / BEST, load_file(run / BEST), {"format": 1, **header})
    marks = np.ones((3, 10, 2, 1), bool)
    write_scores_json(run / "scores.json", {**score(marks, marks).to_dict(), "clips_expected": 3}, scored=run / "x")
    card = card_text(shared(run), "org/toy", None)
    assert "- simulated\n" in card and "> **SIMULATED" in card and "| Segment level | 100.0 |" in card
    assert "3 of 3 clips" in card


def test_what_was_changed_or_is_none_of_ours_is_refused(run, hub):
    push_shared(run, "org/toy")
    good = dict(files_of(hub))
    told = json.loads(good["valor.json"])

    def changed(**files):
        hub.commits["models/org/toy"].append({**good, **files})
        return pytest.raises(HubError)

    with changed(**{BEST: good[BEST][:-1] + b"x"}) as error:
        pull("org/toy")
    assert "best.safetensors is not the file that its valor.json names" in str(error.value)
    for name in ("../x.json", "/x.json", "x.py", "model.pt", ".git/x.json", "a\\b.json", "valor.json"):
        with changed(**{"valor.json": json.dumps({**told, "files": {name: "0"}}).encode()}) as error:
            pull("org/toy")
        assert "is no file that is shared" in str(error.value)
    kinds = [json.dumps({**told, "kind": kind}).encode() for kind in (["run"], {}, None, "runs")]
    for text in (b"[]", b"{}", b'{"format": "valor shared 2", "kind": "run", "files": {}}', b"\xff", *kinds):
        with changed(**{"valor.json": text}) as error:
            pull("org/toy")
        assert "its valor.json is none of `valor push`" in str(error.value)
    hub.commits["models/org/toy"].append({"README.md": b"hello"})
    with pytest.raises(HubError, match="lacks a file that was asked for"):
        pull("org/toy")


def test_failures_of_the_hub_are_one_sentence(run, hub, monkeypatch):
    with pytest.raises(HubError, match="hf:org/none: no such repository"):
        pull("org/none")
    push_shared(run, "org/toy")
    with pytest.raises(HubError, match="has no such revision"):
        pull("org/toy@v9")
    with pytest.raises(ValueError, match="expected thresholds in it, got run; `valor pull` fetches any"):
        pull("org/toy", kinds=("thresholds",))
    hub.forbids = True
    with pytest.raises(HubError, match=r"could not be pushed to .*; `hf auth login` with a token"):
        push_shared(run, "org/toy")
    with pytest.raises(HubError, match="the hub cannot be reached"):
        pull("org/other", endpoint="http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="not in its cache here"):
        pull("org/other")


def test_thresholds_and_stores_go_out_too(hub, tmp_path):
    file = tmp_path / "cuts.json"
    file.write_text(json.dumps({"applies_to": "segment_threshold", "criterion": "segment-f", "split": "val",
                                "classes": {"A": {}, "B": {}}, "audio": [0.4, 0.5], "visual": [0.3, 0.6]}))  # fmt: skip
    push_shared(file, "org/cuts", private=True)
    assert hub.private["models/org/cuts"] and files_of(hub, "models/org/cuts")["thresholds.json"] == file.read_bytes()
    assert "| A | 0.4 | 0.3 |" in files_of(hub, "models/org/cuts")["README.md"].decode()
    assert pull("org/cuts").kind == "thresholds"
    folder = write_toy_store(tmp_path / "store", {0: [row_of("one"), row_of("two", "missing")]})
    push_shared(tmp_path / "store", "org/evidence")
    pulled = copied(pull("org/evidence"), tmp_path / "theirs")
    assert not (pulled / folder.name / ".lock").exists()
    ours, theirs = (read_store(place_of(root)) for root in (tmp_path / "store", pulled))
    assert theirs.clip_ids == ours.clip_ids and np.array_equal(
        theirs.arrays["audio.similarity"], ours.arrays["audio.similarity"], equal_nan=True
    )
    assert "- clips: 1 ok, 1 missing" in files_of(hub, "datasets/org/evidence")["README.md"].decode()


def test_a_note_stays_one_line_of_the_card(tmp_path):
    note = "a\n# heading <script>"
    table = {"applies_to": "labels", "note": note, "classes": {"A <b>": {}}, "audio": [0.4], "visual": [0.3]}
    (tmp_path / "t.json").write_text(json.dumps(table))
    card = card_text(shared(tmp_path / "t.json"), "org/cuts", None)
    assert "- note: a # heading &lt;script>\n" in card and "| A &lt;b> | 0.4 | 0.3 |" in card


@pytest.mark.parametrize(
    ("applies_to", "line"),
    [
        ("labels", "valor labels store --out labels --thresholds thresholds/thresholds.json"),
        ("presence", "valor labels store --out labels --rule presence --thresholds thresholds/thresholds.json"),
        ("clip_threshold", "valor evaluate predictions.npz --annotations data --split test --thresholds thresholds/"),
    ],
)
def test_the_card_of_thresholds_has_the_command_that_takes_them_and_their_teachers(tmp_path, applies_to, line):
    teachers = {"audio": {"teacher": "demo-audio", "weights": "ab" * 32}}
    table = {"applies_to": applies_to, "teachers": teachers, "classes": {"A": {}}, "audio": [0.4], "visual": [0.3]}
    (tmp_path / "t.json").write_text(json.dumps(table))
    card = card_text(shared(tmp_path / "t.json"), "org/cuts", None)
    assert f"then `{line}" in card and "- audio: demo-audio, weights abababababababab\n" in card
    assert card.index("> **Judged by teachers of the demo world") < card.index("## Use")
    (tmp_path / "t.json").write_text(json.dumps(table | {"teachers": {}}))
    assert "demo" not in card_text(shared(tmp_path / "t.json"), "org/cuts", None)


def test_what_cannot_be_shared_is_refused(run, tmp_path):
    (tmp_path / "x.json").write_text('{"applies_to": "nothing"}')
    (tmp_path / "empty").mkdir()
    (tmp_path / "seeds" / "seed-0").mkdir(parents=True)
    (tmp_path / "seeds" / "seed-0" / BEST).write_bytes((run / BEST).read_bytes())
    whole = {"applies_to": "labels", "classes": {"A": {}, "B": {}}, "audio": [0.4, 0.5], "visual": [0.3, 0.6]}
    changes = {"applies_to": ["labels"], "audio": [0.4], "visual": [None, 1], "classes": "", "note": 7}
    for name, value in changes.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(whole | {name: value}))
    for path, said in (
        *((tmp_path / f"{name}.json", f"{name}.json: expected thresholds as .* got ") for name in changes),
        (tmp_path / "x.json", "expected thresholds as `valor calibrate` writes them"),
        (tmp_path / "seeds", "holds runs of the seeds seed-0; name one"),
        (tmp_path, "is no run and holds some: seeds/seed-0; name one"),
        (tmp_path / "empty", "expected a run folder"),
    ):
        with pytest.raises(ValueError, match=said):
            shared(path)
    with pytest.raises(FileNotFoundError, match="no such run, thresholds or store"):
        shared(tmp_path / "none")
    with pytest.raises(ValueError, match="licence must be a name"):
        push_shared(run, "org/toy", licence="MIT\n---")
    with pytest.raises(ValueError, match="a push makes a new commit"):
        push("hf:org/toy@main", "run", {}, {}, message="")
    with pytest.raises(ValueError, match="a file that is shared must be named"):
        push("hf:org/toy", "run", {"a.py": run / BEST}, {}, message="")


@pytest.mark.parametrize("typed", ["toy", "a/b/c", "../x", "org/to y", "hf:", "org/toy@", "org/toy@../x", "-x/y z"])
def test_what_is_no_repository_is_refused(typed):
    with pytest.raises(ValueError, match="expected a repository of the hub"):
        taken_apart(typed)


def test_addresses():
    assert taken_apart("hf:org/na.me-1@refs/pr/1") == ("org/na.me-1", "refs/pr/1")
    assert is_address("hf:org/x") and not is_address("org/x")


def test_typed(run, hub, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["push", str(run), "org/toy", "--out", "card"]) == 0 and not hub.requests
    assert sorted(os.listdir("card")) == ["README.md", "valor.json"]
    assert main(["push", str(run), "org/toy", "--licence", "mit"]) == 0
    assert "to hf:org/toy@" in capsys.readouterr().out
    assert main(["pull", "org/toy", "--out", "theirs"]) == 0
    assert "run of 1 files, hf:org/toy@" in capsys.readouterr().out and (tmp_path / "theirs" / BEST).is_file()
    assert main(["pull", "org/none"]) == 2
    assert "valor pull: hf:org/none: no such repository" in capsys.readouterr().err


def test_a_parser_of_the_hub_parses_and_says_which_commit_it_is(run, hub, tmp_path):
    commit = push_shared(run, "org/toy")
    clip = write_toy_clip(tmp_path / "clip.mkv", sound=ToySound(seconds=2, rate=32000, codec="pcm_s16le"))
    with valor.load("org/toy", options=ParseOptions(limits=None)) as parser:
        parse = parser(clip)
    assert parse.system["run"] == f"hf:org/toy@{commit}" and parse.caveat
    with pytest.raises(FileNotFoundError, match="no such checkpoint.*hf:org/toy"):
        valor.Parser(checkpoint="org/toy")
