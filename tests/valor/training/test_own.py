"""Parts of a user's own: the lines of docs/extend.md as they stand there, and files that are refused."""

import hashlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import valor
from tests.conftest import ROOT
from tests.helpers.toy_line import SPLITS, TABLES, write_tables, write_videos
from tests.helpers.typed import typed
from valor.data.datasets.dataset import DATASETS
from valor.data.label_file import read_pseudo_labels, write_pseudo_labels
from valor.data.own_files import LOADED
from valor.data.predictions import read_predictions
from valor.data.tables import read_manifest, read_split
from valor.data.vocabulary import LLP_CLASSES, prompts
from valor.experiments.options import SimulationOptions
from valor.experiments.simulated import simulate
from valor.label_harvest.disk import file_sha256
from valor.label_harvest.harvest import harvest
from valor.label_harvest.store.store import read_store
from valor.label_harvest.teachers.build import TEACHERS
from valor.parsers.build import build_parser
from valor.parsers.options import ENCODERS, POOLINGS
from valor.training.checkpoint import read_checkpoint
from valor.training.methods.methods import METHODS, OwnParts
from valor.training.own import note_unused, use_file, use_files, use_loaded
from valor.training.recipes import RECIPES, find_recipe, override
from valor.training.run import predict_run, train_run

PAGE = (ROOT / "docs/extend.md").read_text()
BLOCKS = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.S))
LINES = {
    section.partition("\n")[0]: re.findall(r"`([\w.]+\([^`]*\))`", section.rpartition("\nFrom Python")[2])
    for section in PAGE.split("\n## ")[1:]
}
"""What is typed in Python, by the heading it stands under."""
CHANGES = ["parser.hidden_width=16", "parser.feedforward_width=8", "parser.num_heads=2", "parser.num_layers=1"]
CHANGES += ["fit.epochs=2", "fit.warmup_epochs=1", "features.motion=none", "parser.motion_width=0"]
SMALL = [word for change in CHANGES for word in ("--set", change)]


pytestmark = pytest.mark.usefixtures("own_parts_go")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    return simulate(folder, ("clap", "clip"), SimulationOptions(clips=40), folder, progress=False)


@pytest.fixture
def own(tmp_path) -> Path:
    """The files of the page."""
    for name, text in BLOCKS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_each_example_is_short():
    assert set(BLOCKS) == {"entropy.py", "counts.py", "gru.py", "top_two.py", "loudness.py", "colours.py", "songs.py"}
    assert max(len(text.strip().splitlines()) for text in BLOCKS.values()) < 30


def _train(data, own, file, *more, run="run"):
    where = ("--data", data, "--out", own / run, "--with", own / file)
    return typed("train", "valor++", *where, *SMALL, *more)


def test_a_loss_of_ones_own_is_charged_and_logged(data, own):
    done = _train(data, own, "entropy.py", "--set", "methods.entropy.weight=0.2")
    assert done.code == 0, done
    line = json.loads((own / "run/log.jsonl").read_text().splitlines()[0])
    assert list(line["loss"]) == ["weak", "audio", "visual", "entropy", "total"]
    parts = sum(line["loss"][name] for name in ("weak", "audio", "visual")) + 0.2 * line["loss"]["entropy"]
    assert line["loss"]["total"] == pytest.approx(parts, rel=1e-5)
    described = json.loads((own / "run/recipe.json").read_text())
    (file,) = described["run"]["own"]
    assert described["methods"] == {"entropy": {"weight": 0.2}}
    assert (file["file"], file["adds"]) == ("entropy.py", {"METHODS": ["entropy"]}) and len(file["sha256"]) == 64
    assert "not trained with" not in done.err
    METHODS.pop("entropy")  # it changed no network: predicting needs no method
    LOADED.clear()
    assert typed("predict", own / "run", "--data", data, "--out", own / "p.npz").code == 0
    with pytest.raises(
        ValueError, match=r"unknown method 'entropy'; .*trained with entropy\.py \(sha256 \w{12}\), not"
    ):
        find_recipe(str(own / "run"))


@pytest.mark.parametrize(("file", "option", "kinds"), [
    ("gru.py", "parser.encoder=gru", ENCODERS),
    ("top_two.py", "parser.pooling=top-two", POOLINGS),
])  # fmt: skip
def test_a_part_of_ones_own_trains_predicts_and_is_scored(data, own, file, option, kinds):
    assert _train(data, own, file, "--set", option).code == 0
    run = own / "run"
    predicted = own / "p.npz"
    assert typed("predict", run, "--data", data, "--out", predicted, "--with", own / file).code == 0
    assert read_predictions(predicted).segment_probs.shape[1:] == (10, 2, 25)
    evaluated = typed("evaluate", predicted, "--annotations", data, "--split", "test", "--json", own / "scores.json")
    assert evaluated.code == 0, evaluated
    table = typed("table", f"mine={own / 'scores.json'}")
    assert table.code == 0 and "mine" in table.out
    name = option.partition("=")[2]
    kinds.pop(name)
    LOADED.clear()
    lost = typed("predict", run, "--data", data, "--out", predicted)
    assert lost.code == 2 and name in lost.err
    assert re.search(rf"it was trained with {file} \(sha256 \w{{12}}\), not loaded here: give --with", lost.err), lost


def test_a_file_that_has_changed_since_is_told(data, own):
    assert _train(data, own, "gru.py", "--set", "parser.encoder=gru").code == 0
    ENCODERS.pop("gru")
    LOADED.clear()
    with (own / "gru.py").open("a") as file:
        file.write("\n# changed\n")
    done = typed("predict", own / "run", "--data", data, "--out", own / "p.npz", "--with", own / "gru.py")
    assert done.code == 0 and re.search(r"was trained with another gru\.py \(sha256 \w{12}\)", done.err), done
    assert read_predictions(own / "p.npz").provenance.own_files_changed == ("gru.py",)
    LOADED.clear()  # the file is not needed to know it
    scored = typed(
        "evaluate", f"mine={own / 'p.npz'}", "--annotations", data, "--split", "test", "--json", own / "s.json"
    )
    assert "mine (gru.py changed since training)" in scored.out
    assert json.loads((own / "s.json").read_text())["own_files_changed"] == ["gru.py"]
    for form in ("text", "markdown", "csv", "latex", "json"):
        table = typed("table", f"mine={own / 's.json'}", "--format", form).out
        assert "mine (gru.py changed since training)" in table, form


def test_a_teacher_of_ones_own_harvests(own):
    folder = write_tables(own / "toy")
    write_videos(folder / "videos")
    where = ("--videos", folder / "videos", "--store", folder / "store")
    done = typed(
        "harvest",
        folder / TABLES["val"],
        *where,
        "--with",
        own / "loudness.py",
        "--audio",
        "loudness",
        "--visual",
        "none",
    )
    assert done.code == 0, done
    store = read_store(folder / "store")
    assert store.clip_ids == SPLITS["val"] and store.arrays["audio.similarity"].shape == (2, 10, 25)
    (noted,) = folder.glob("store/*/weights.json")
    before, told = noted.read_bytes(), json.loads(noted.read_text())["audio"]
    assert (told["file"], told["file_sha256"]) == ("loudness.py", file_sha256(own / "loudness.py"))
    assert typed("store", "verify", folder / "store").code == 0 and "begun with" not in done.err
    (own / "loudness.py").write_text((own / "loudness.py").read_text() + "\n# louder\n")
    TEACHERS.pop("loudness")
    LOADED.clear()
    for more in ((), ("--plan",)):  # clips of both could not be told apart
        again = typed("harvest", folder / TABLES["val"], *where, "--with", own / "loudness.py", "--audio", "loudness",
                      "--visual", "none", *more)  # fmt: skip
        assert again.code == 2 and "its audio evidence is by loudness.py of sha256" in again.err, again
        assert "go on with --allow-edited" in again.err and noted.read_bytes() == before
    refused = typed("harvest", folder / TABLES["val"], *where, "--with", own / "loudness.py", "--audio", "loudness",
                    "--visual", "none", "--checkpoint", f"audio={own / 'gru.py'}")  # fmt: skip
    assert refused.code == 2 and "loudness is none of ours" in refused.err


def test_where_a_teacher_fails_is_shown_whole_with_verbose_and_in_the_log(own):
    folder = write_tables(own / "toy")
    write_videos(folder / "videos")
    text = BLOCKS["loudness.py"].replace("import numpy as np", "import json\nimport numpy as np", 1)
    text = text.replace("def encode_many(self, clips):", "def encode_many(self, clips):\n        json.loads('{')", 1)
    assert text.count("json") == 2
    (own / "loudness.py").write_text(text)
    words = [sys.executable, "-m", "valor", "harvest", folder / TABLES["val"], "--videos", folder / "videos", "--store",
             folder / "store", "--with", own / "loudness.py", "--audio", "loudness", "--visual", "none"]  # fmt: skip
    for more in (["-v"], ["--log-file", own / "log"], []):
        done = subprocess.run([*words, *more], cwd=ROOT, capture_output=True, text=True, check=False)
        log = (own / "log").read_text() if "--log-file" in more else ""
        assert done.returncode == 2 and "the audio teacher fails at the clip" in done.stderr, done
        assert ("json/decoder.py" in done.stderr, "json/decoder.py" in log) == ("-v" in more, bool(log)), done


def test_a_clip_it_fails_at_is_unjudged_and_read_again_once_it_is_mended(own):
    folder = write_tables(own / "toy")
    write_videos(folder / "videos")
    text = BLOCKS["loudness.py"].replace("import numpy as np", "import numpy as np\n\nHEARD = {}", 1)
    text = text.replace(
        "def encode(self, media):",
        "def encode(self, media):\n"
        "        if HEARD.setdefault(media.waveform.tobytes(), len(HEARD)) == 1:\n"
        "            raise LookupError('-- no such band')",
        1,
    )
    (own / "loudness.py").write_text(text)
    line = text.splitlines().index("            raise LookupError('-- no such band')") + 1
    words = ("harvest", folder / TABLES["val"], "--videos", folder / "videos", "--store", folder / "store", "--with",
             own / "loudness.py", "--audio", "loudness", "--visual", "none", "--workers", 0)  # fmt: skip
    done = typed(*words)
    told = f"unjudged     {SPLITS['val'][1]:24s} loudness.py, line {line}: the audio teacher fails (LookupError: -- no"
    assert done.code == 3 and done.out.startswith("2 clips (1 ok, 1 unjudged), 0 of them") and told in done.out, done
    assert (
        "--retry unjudged reads them again, once their files or the teacher are mended (then with --allow" in done.out
    )
    assert f"{own / 'loudness.py'}, line {line}: " in done.err and done.err.count("Traceback") == 1
    assert typed(*words, "--allow-failures", 1).code == 0
    assert "1 ok, 1 unjudged" in typed(*words, "--plan").out and typed("store", "verify", folder / "store").code == 0
    (own / "loudness.py").write_text(BLOCKS["loudness.py"])
    assert typed(*words, "--retry", "--allow-edited").out.startswith("2 clips (2 ok), 1 of them cached before")


def test_clips_by_two_versions_of_a_teacher_can_be_told_apart(own):
    """Allowed, it is in the marker of each shard, in `store show` and `store verify`; a merge asks too."""
    folder = write_tables(own / "toy")
    write_videos(folder / "videos")
    where = ("--videos", folder / "videos", "--with", own / "loudness.py", "--audio", "loudness", "--visual", "none",
             "--shard-clips", 1)  # fmt: skip
    first, second = file_sha256(own / "loudness.py"), ""
    table = (folder / TABLES["val"]).read_text().splitlines(keepends=True)
    (folder / "one.csv").write_text("".join(table[:2]))
    assert typed("harvest", folder / "one.csv", *where, "--store", folder / "store").code == 0
    shutil.copytree(folder / "store", folder / "other")
    (own / "loudness.py").write_text((own / "loudness.py").read_text() + "\n# louder\n")
    second = file_sha256(own / "loudness.py")
    done = typed("harvest", folder / TABLES["val"], *where, "--store", folder / "store", "--allow-edited")
    assert done.code == 0 and "by two versions of loudness.py" in done.err, done
    markers = [json.loads(path.read_text()) for path in sorted(folder.glob("store/*/0*.json"))]
    assert [marker["own"] for marker in markers] == [{"audio": [first]}, {"audio": [second]}]
    shown = typed("store", "show", folder / "store").out
    assert f"loudness.py of sha256 {first[:12]} (shard 00000) and {second[:12]} (shard 00001)" in shown, shown
    (told,) = map(json.loads, typed("store", "show", folder / "store", "--format", "json").out.splitlines())
    assert told["own_files"]["audio"] == {"file": "loudness.py", "shards": {first: [0], second: [1]}}
    checked = typed("store", "verify", folder / "store")
    assert checked.code == 0 and "evidence is by 2 versions of a file of one's own" in checked.out
    again = typed("harvest", folder / TABLES["val"], *where, "--store", folder / "store", "--retry", "all")
    assert again.code == 0, again  # by the second, which is known there now
    assert [json.loads(path.read_text())["own"] for path in sorted(folder.glob("store/*/0*.json"))][1] == {
        "audio": [second]
    }
    merge = ("store", "merge", folder / "other", folder / "store", "--out", folder / "both")
    refused = typed(*merge)
    assert refused.code == 2 and "unite them with --allow-edited" in refused.err and "both" in refused.err, refused
    assert typed(*merge, "--allow-edited").code == 0
    markers = [json.loads(path.read_text()) for path in folder.glob("both/*/0*.json")]
    assert {marker["own"]["audio"][0] for marker in markers} == {first, second}


def test_a_teacher_that_looks_harvests_and_one_that_lacks_a_member_is_named(own):
    folder = write_tables(own / "toy")
    write_videos(folder / "videos")
    words = ("harvest", folder / TABLES["val"], "--videos", folder / "videos", "--store", folder / "store", "--audio",
             "none", "--visual", "colours", "--with")  # fmt: skip
    (own / "lacks.py").write_text(BLOCKS["colours.py"].replace('role = "visual"', "pass"))
    refused = typed(*words, own / "lacks.py")
    assert refused.code == 2 and f"{own / 'lacks.py'}: the teacher Colours has no `role`" in refused.err, refused
    done = typed(*words, own / "colours.py")
    assert done.code == 0, done
    arrays = read_store(folder / "store").arrays
    assert arrays["visual.similarity"].shape == (2, 10, 25) and arrays["visual.embedding"].shape == (2, 10, 3)
    assert np.allclose(np.linalg.norm(arrays["visual.embedding"].astype(float), axis=2), 1, atol=1e-3)


def test_a_teacher_of_ones_own_is_passed_to_a_harvest(own):
    """The line of the page as it stands."""
    folder = write_tables(own / "toy")
    write_videos(folder / "videos")
    space = {"harvest": harvest, "videos": folder / "videos", "store": folder / "store"}
    space |= {"manifest": read_manifest(folder / TABLES["val"], DATASETS["llp"].names)}
    space |= {"prompts": prompts(LLP_CLASSES, "audio")}
    exec(BLOCKS["loudness.py"], space)  # noqa: S102, as a notebook would
    (line,) = LINES["A teacher"]
    assert eval(line, space).counts == {"ok": 2}  # noqa: S307, ours
    assert read_store(folder / "store").clip_ids == SPLITS["val"]


def write_songs(data, own):
    """A folder of songs with the clips and features of the data, without `dataset.json`."""
    songs = own / "songs"
    shutil.copytree(data / "packed", songs / "packed")
    held = read_pseudo_labels(data)
    write_pseudo_labels(songs / "pseudo_labels.npz", held.clip_ids, held.class_names, held.labels)
    for split in ("train", "val", "test"):
        given = read_split(data, split, DATASETS["llp"].names)
        tags = {clip: [given.class_names[c] for c in np.flatnonzero(of)] for clip, of in
                zip(given.clip_ids, given.weak_labels, strict=True)}  # fmt: skip
        events = {clip: {name: [[0, 5]] for name in names} for clip, names in tags.items()}
        (songs / f"{split}.json").write_text(json.dumps(events))
    return songs


def test_a_data_set_of_ones_own_is_trained_on_and_scored(data, own):
    songs = write_songs(data, own)
    (songs / "dataset.json").write_text('{"dataset": "songs"}')
    assert _train(songs, own, "songs.py").code == 0
    scores = json.loads((own / "run/scores.json").read_text())
    assert scores["clips"] == len(json.loads((songs / "test.json").read_text()))
    more = ("--annotations", songs, "--split", "test", "--with", own / "songs.py", "--json", own / "s.json")
    done = typed("evaluate", own / "run/predictions.npz", *more)
    assert done.code == 0, done
    again = json.loads((own / "s.json").read_text())
    assert again["segment"] == scores["segment"]
    DATASETS.pop("songs")
    LOADED.clear()
    lost = typed("predict", own / "run", "--data", songs, "--out", own / "p.npz")
    assert lost.code == 2 and all(said in lost.err for said in ("the data set must be one of llp, ", "got 'songs'"))
    on = ("--annotations", songs, "--split", "test", "--with", own / "songs.py", "--out", own / "c.png")
    drawn = typed("plot", "confusion", own / "run/predictions.npz", *on)
    assert drawn.code == 0 and (own / "c.png").is_file(), drawn


def test_a_data_set_that_is_an_object_is_given_at_each_step(data, own):
    """The lines of the page as they stand, in their order."""
    songs, out = write_songs(data, own), own / "run"
    space = {"train_run": train_run, "predict_run": predict_run, "valor": valor, "folder": songs, "out": out}
    space |= {"recipe": override(RECIPES["valor++"], CHANGES)}
    exec(BLOCKS["songs.py"], space)  # noqa: S102, as a notebook would
    lines = LINES["A data set"]
    assert [line.partition("(")[0] for line in lines] == [
        *("train_run", "predict_run", "valor.train", "valor.predict", "valor.score", "SONGS.read_split")
    ]
    said = {}
    for line in lines:
        said[line] = eval(line, space)  # noqa: S307, ours
        space["predictions"] = said[line] if "predict(" in line else space.get("predictions")
    fit, predictions, trained, again, scores, split = said.values()
    assert fit.best_epoch in (1, 2) and split.dataset == "songs"
    assert predictions.clip_ids == again.clip_ids == split.clip_ids
    assert np.array_equal(predictions.segment_probs, again.segment_probs)
    assert scores.segment == trained.seeds[0].test.segment
    with pytest.raises(ValueError, match="`dataset`: the data set must be one of llp, .*got 'songs'"):
        valor.predict(out, data=songs, dataset="songs")
    DATASETS["songs"] = space["SONGS"]
    assert valor.score(predictions, songs, dataset="songs").segment == scores.segment


def test_from_python_the_objects_are_passed(data, own):
    spaces = {name: {} for name in ("entropy.py", "gru.py", "top_two.py")}
    for name, space in spaces.items():
        exec(BLOCKS[name], space)  # noqa: S102, as a notebook would
    entropy = spaces["entropy.py"]
    recipe = override(RECIPES["valor++"], CHANGES)
    parts = {"encoder": spaces["gru.py"]["build_gru"], "pooling": spaces["top_two.py"]["build_top_two"]}
    methods = (entropy["Entropy"](entropy["EntropyOptions"]()),)
    train_run(recipe, data, own / "run", device="cpu", progress=False, own=OwnParts(methods=methods, **parts))
    predictions = predict_run(own / "run", data, "test", device="cpu", own=OwnParts(**parts))
    assert predictions.segment_probs.shape[1:] == (10, 2, 25)
    parser, _ = read_checkpoint(own / "run", own=OwnParts(**parts))
    assert parser.options.encoder == "own:build_gru"
    with pytest.raises(ValueError, match="the encoder 'own:build_gru' is not among hybrid"):
        read_checkpoint(own / "run")
    assert "own:Entropy" in json.loads((own / "run/recipe.json").read_text())["methods"]
    assert build_parser(recipe.parser, encoder=parts["encoder"]).options.pooling == "attentive"


@pytest.mark.parametrize(("text", "message"), [
    ("METHODS = {\n", r"mine\.py, line 1: '\{' was never closed"),
    ("x = 1\n\n1 / 0\n", r"mine\.py, line 3: ZeroDivisionError: division by zero"),
    ("import nothing_of_this_name\n", r"mine\.py, line 1: ModuleNotFoundError: No module named"),
    ("x = 1\n", r"mine\.py: defines none of METHODS, ENCODERS, .*adds nothing"),
    ("ENCODERS = {'hybrid': print}\n", r"mine\.py: ENCODERS has the name hybrid, which is taken; choose another"),
    ("ENCODERS = ['gru']\n", r"mine\.py: ENCODERS must be a dict of names and functions of ParserOptions, got another"),
    ("METHODS = {'mine': dict}\n", r"mine\.py: METHODS must be a dict .*classes below Method, got another mine"),
    ("TEACHERS = {'mine': print}\n", r"TEACHERS must be a dict .*a role \(visual, audio, fused\).*another mine"),
    ("DATASETS = {'mine': 1}\n", r"DATASETS must be a dict of names and DataSets, got another mine"),
    ("RECIPES = {'mine': 1}\nENCODERS = {'x': print}\n", "RECIPES must be a dict of names and Recipes"),
    ("from valor.training.methods.methods import METHODS\n", "defines none of METHODS"),
])  # fmt: skip
def test_a_file_that_adds_nothing_whole_is_refused_whole(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    known = {**ENCODERS}
    with pytest.raises(ValueError, match=message):
        use_file(tmp_path / "mine.py")
    assert known == ENCODERS and not LOADED


def test_a_part_that_is_not_taken_is_named_with_the_change_that_takes_it(own, caplog):
    use_file(own / "entropy.py")
    use_file(own / "gru.py")
    note_unused([override(RECIPES["valor"], ["parser.encoder=gru"])])
    assert caplog.messages == [
        "entropy.py defines the method entropy, which is not trained with here: add methods.entropy=on"
    ]


BROKEN = "        p = charge.output.segment_probs.clamp(1e-6, 1 - 1e-6)  # [B, T, M, C]\n"


@pytest.mark.parametrize(("line", "said"), [
    ("        p = charge.output.segments\n",
     r"valor train: \S*entropy\.py, line 22, in undecided: AttributeError: .*segments"),
    ("        p, q = charge.output.segment_probs.unbind(1)\n",
     r"entropy\.py, line 22, in undecided: ValueError: too many values .*\(-v shows the whole way there\)"),
    ("        p = charge.output.segment_probs * torch.nan\n",
     r"loss nan \(of its terms entropy nan\) with .* on the clips \S+, \S+, \S+, \S+, \S+ and \d+ more; "),
])  # fmt: skip
def test_what_is_wrong_in_a_loss_of_ones_own_is_found(data, own, line, said):
    text = BLOCKS["entropy.py"].replace(BROKEN, line)
    (own / "entropy.py").write_text("import torch\n" + text)
    done = _train(data, own, "entropy.py", "--set", "methods.entropy=on", "--no-test", "--quiet")
    assert done.code == 2 and re.search(said, done.err), done


def test_from_python_a_file_is_named(data, own):
    for verb in (valor.harvest, valor.train, valor.predict, valor.score):
        assert "own_files" in inspect.signature(verb).parameters
    changes = [*CHANGES, "parser.pooling=top-two"]
    valor.train("valor++", data=data, out=own / "run", own_files=[own / "top_two.py"], changes=changes, device="cpu")
    POOLINGS.pop("top-two")
    LOADED.clear()
    with pytest.raises(ValueError, match="trained with top_two.py .*, not loaded here: give `own_files`"):
        valor.predict(own / "run", data=data)
    assert valor.predict(own / "run", data=data, own_files=[own / "top_two.py"]).clip_ids


def test_a_method_nobody_knows_asks_for_its_file(tmp_path):
    said = typed("train", "demo", "--data", tmp_path, "--set", "methods.entropy=on").complaint()
    assert "unknown method 'entropy'; known are uwav, " in said and "give the file that defines it as --with" in said
    assert (
        "'jomould' (did you mean jomold?)"
        in typed("train", "demo", "--show", "--set", "methods.jomould=on").complaint()
    )


def test_a_file_is_run_once_and_must_be_there(tmp_path):
    (tmp_path / "mine.py").write_text("print('run')\nENCODERS = {'mine': print}\n")
    first = use_file(tmp_path / "mine.py")
    assert use_file(str(tmp_path / "mine.py")) is first and ENCODERS["mine"] is print
    done = typed("train", "valor", "--data", tmp_path, "--with", tmp_path / "absent.py")
    assert done.code == 2 and "absent.py: no such file; give a Python file of your own parts" in done.err


MINE = """
from dataclasses import dataclass
from valor.training.methods.method import Method

@dataclass(frozen=True)
class Options:
    weight: float = 1.0

class Mine(Method[Options]):
    Options = Options

    def charge(self, charge):
        return charge.plus("mine", self.options.weight, lambda charge: FACTOR * charge.output.segment_probs.mean())

METHODS = {"mine": Mine}
"""


def _write_mine(path, factor):
    path.write_text(MINE.replace("FACTOR", factor))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _trained_mine(data, out, file, **more):
    changes = [*CHANGES, "methods.mine=on"]
    given = {"data": data, "out": out, "own_files": [file], "changes": changes, "device": "cpu", "test": False}
    valor.train("valor++", **given, progress=False, **more)
    told = json.loads((out / "recipe.json").read_text())["run"]["own"]
    return json.loads((out / "log.jsonl").read_text().splitlines()[0])["loss"]["mine"], [of["sha256"] for of in told]


def test_a_loss_of_labels_and_tags_is_charged(data, own):
    done = _train(data, own, "counts.py", "--set", "methods.counts=on", "--no-test")
    assert done.code == 0, done
    line = json.loads((own / "run/log.jsonl").read_text().splitlines()[0])
    assert 0 < line["loss"]["counts"] < 10  # segments a tag and modality


def test_a_file_that_was_edited_is_trained_as_it_is_now(data, tmp_path):
    file = tmp_path / "mine.py"
    first = _write_mine(file, "1")
    loss, told = _trained_mine(data, tmp_path / "one", file)
    assert told == [first]
    stat = file.stat()
    second = _write_mine(file, "9")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as long, and of the same second
    changed, told = _trained_mine(data, tmp_path / "two", file)
    assert told == [second] and changed > 4 * loss
    with pytest.raises(ValueError, match=r"one: was trained with another version of mine\.py; train what it is now"):
        _trained_mine(data, tmp_path / "one", file)
    assert len(LOADED) == 1


def test_names_that_an_edited_file_has_no_more_are_gone_and_a_broken_one_changes_nothing(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("ENCODERS = {'a': print, 'b': print}\nPOOLINGS = {'c': print}\n")
    before = use_file(file)
    file.write_text("ENCODERS = {'hybrid': repr, 'b': repr}\n")
    with pytest.raises(ValueError, match="ENCODERS has the name hybrid, which is taken"):
        use_file(file)
    assert ENCODERS["b"] is print and LOADED == [before]
    file.write_text("ENCODERS = {'b': repr}\n")
    use_file(file)
    assert ENCODERS["b"] is repr and "a" not in ENCODERS and "c" not in POOLINGS and len(LOADED) == 1


def test_the_same_part_in_another_file_takes_the_place_of_that_of_an_earlier_call(data, tmp_path, caplog):
    first, second = tmp_path / "mine.py", tmp_path / "mine2.py"
    _write_mine(first, "1")
    loss, _ = _trained_mine(data, tmp_path / "one", first)
    of_second = _write_mine(second, "9")
    changed, told = _trained_mine(data, tmp_path / "two", second)
    assert changed > 4 * loss and told == [of_second] and [file.path for file in LOADED] == [second]
    assert "mine2.py takes the place of" in caplog.text
    with pytest.raises(ValueError, match="METHODS has the name mine, which is taken"):
        use_files([first, second])
    predictions = valor.predict(tmp_path / "one", data=data, own_files=[second])
    assert predictions.provenance.own_files_changed == ("mine.py",)


def test_another_process_runs_the_bytes_that_this_one_ran(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("ENCODERS = {'a': print}\n")
    held = use_file(file)
    ENCODERS.pop("a")
    LOADED.clear()
    file.write_text("ENCODERS = {'a': repr}\n")
    use_loaded([held])
    assert ENCODERS["a"] is print and LOADED == [held]


def test_a_call_is_told_of_its_own_files_alone(data, tmp_path, caplog):
    (tmp_path / "other.py").write_text("ENCODERS = {'other': print}\n")
    use_file(tmp_path / "other.py")
    _write_mine(tmp_path / "mine.py", "1")
    _, told = _trained_mine(data, tmp_path / "one", tmp_path / "mine.py")
    assert len(told) == 1 and "other.py" not in caplog.text
