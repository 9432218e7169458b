"""Every benchmark runs, at sizes that measure nothing."""

import re
import sys
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch

import valor.training.batches
from benchmarks import (
    cotrain,
    decoders,
    demo_ave,
    detection,
    engines,
    feeding,
    harvest,
    large_store,
    lengths,
    load,
    media_kinds,
    memory,
    methods,
    parse_once,
    scores,
    search,
    start,
    step,
    teachers,
    test_command,
    where,
    where_patches,
)
from tests.helpers.toy_search import PLAIN_FAISS
from tests.helpers.typed import typed
from tests.label_harvest.teachers.test_clap import tiny_network as tiny_clap
from tests.label_harvest.teachers.test_clip import tiny_network as tiny_clip
from tests.label_harvest.teachers.test_clip import tokenize
from valor.data.datasets.dataset import dataset_of
from valor.label_harvest.teachers.clap_models import ClapModel, spell_bytes
from valor.label_harvest.teachers.clip import FrameRule, OpenClipModel


@pytest.fixture(autouse=True)
def _threads_stay():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def say(monkeypatch, capsys, module, *words: object) -> str:
    """Run a benchmark with its command line; returns what it printed."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, words)])
    module.main()
    return capsys.readouterr().out


def test_load(monkeypatch, capsys):
    monkeypatch.setattr(load, "COUNT", "pass")
    monkeypatch.setattr(load, "seconds_in_a_process", lambda task, way, steps: 8.0 if way == "spinning" else 2.0)
    said = say(monkeypatch, capsys, load, "--rounds", 1)
    assert said.count("4.0x") == 4
    monkeypatch.setattr(load, "BATCH", 1)
    assert float(say(monkeypatch, capsys, load, "--task", "training", "--steps", 1)) > 0


def test_start(monkeypatch, capsys, tmp_path):
    words = ["--run", tmp_path, "--video", "clip.mp4", "--other", tmp_path / "before", "--rounds", 1]
    monkeypatch.setattr(start, "COMMAND", "import sys; assert sys.argv[1] == 'parse' and sys.argv[-1] == '--quiet'")
    monkeypatch.setattr(start, "TORCH", "pass")
    (tmp_path / "before").mkdir()
    said = say(monkeypatch, capsys, start, *words).splitlines()
    assert said[-1].startswith("valor parse in before") and said[-3].endswith("1.00x")


def test_step(monkeypatch, capsys):
    monkeypatch.setattr(step, "BATCH", 2)
    monkeypatch.setattr(step, "TRIES", 1)
    monkeypatch.setattr(step, "PARSERS", {"valor++": step.PARSERS["valor++"]})
    said = say(monkeypatch, capsys, step, "--steps", 1, "--threads", 1)
    steps = {line.split()[0] for line in said.splitlines() if line.endswith("x") or "x  " in line}
    assert "GFLOP/s" in said and steps >= {"valor++", "uavm", "sft"}


def test_methods(monkeypatch, capsys):
    monkeypatch.setattr(methods, "BATCH", 2)
    monkeypatch.setattr(methods, "TRIES", 1)
    said = say(monkeypatch, capsys, methods, "--steps", 1, "--threads", 1, "--only", "jomold")
    assert "ratio" in said and any(line.startswith("jomold ") and "x" in line for line in said.splitlines())


def test_every_method_with_a_recipe_of_its_own_has_a_public_step():
    assert set(methods.PUBLIC) == {"jomold", "cmpae", "coleaf", "nrep", "uwav", "leap", "mm-cse"}
    assert set(methods.PUBLIC) <= set(methods.RECIPES)


def test_scores(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(scores, "simulated_task", partial(scores.simulated_task, 24))
    monkeypatch.setattr(scores, "GROWTH", (24, 48))
    for name in ("bootstrap", "compare"):
        monkeypatch.setattr(scores, name, partial(getattr(scores, name), resamples=20))
    said = say(monkeypatch, capsys, scores, "--repeats", 1, "--annotations", tmp_path / "none")
    assert "SIMULATED truth" in said and "24 clips" in said and "ten figures equal" in said


def test_search(monkeypatch, capsys):
    plain = SimpleNamespace(**vars(PLAIN_FAISS), omp_set_num_threads=lambda _: None)
    monkeypatch.setattr(search, "faiss_library", lambda: plain)
    said = say(monkeypatch, capsys, search, "--seconds", 2000, "--width", 8, "--queries", 2)
    assert "SIMULATED: 2,000 seconds of 200 clips" in said
    assert said.endswith("recall against numpy: 100.0 % of the best 100 seconds, 100.0 % of the best 20 stretches\n")


def test_cotrain(monkeypatch, capsys):
    monkeypatch.setattr(cotrain, "LARGE", 32)
    monkeypatch.setattr(cotrain, "FIT", replace(cotrain.FIT, epochs=1, warmup_epochs=0))
    said = say(monkeypatch, capsys, cotrain, "--clips", 8, "--seeds", 1, "--threads", 1)
    assert "hard world, 8 clips" in said and "alone, as many steps" in said


def test_detection(monkeypatch, capsys):
    said = say(monkeypatch, capsys, detection, "--clips", 6, "--each", 5, "--repeats", 1)
    assert "SIMULATED: 6 clips" in said and "(equal, 0e+00)" in said and "(as many kept)" in said


def test_lengths(monkeypatch, capsys):
    monkeypatch.setattr(lengths, "LONGEST", 12)
    said = say(monkeypatch, capsys, lengths, "--clips", 6, "--batch", 2, "--segments", 24, "--only", "bounded")
    assert said.startswith("bounded") and "% padding" in said and "MiB at the peak" in said
    small = {"width": 4, "num_heads": 2, "head_width": 4, "table_length": 32, "dependency": "off"}
    lengths.measure_localiser("localiser-12", [f"methods.localiser.{name}={value}" for name, value in small.items()])
    assert "37 features" in capsys.readouterr().out


def test_feeding(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(feeding, "WORKERS", 0)
    monkeypatch.setattr(feeding, "EPOCHS", 1)
    said = say(monkeypatch, capsys, feeding, "--clips", 20, "--files", 2, "--folder", tmp_path)
    assert "VALOR++: clap, clip, r2plus1d" in said and "clips/s" in said


def test_media_kinds(monkeypatch, capsys, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{media_kinds._MARK}\nold\n{media_kinds._MARK}\nbehind\n", encoding="utf-8")
    said = say(monkeypatch, capsys, media_kinds, "--only", "FLAC, ", "--write", page)
    rows = [line.split(" | ") for line in said.splitlines()[2:]]
    assert [row[0].removeprefix("| ") for row in rows] == [name for name in media_kinds.KINDS if "FLAC, " in name]
    right = {row[0]: row[3] for row in rows}
    assert right["| FLAC, two behind one another"] == "– / 10 of 10"
    assert page.read_text(encoding="utf-8") == f"before\n{media_kinds._MARK}\n\n{said}\n{media_kinds._MARK}\nbehind\n"


def test_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(
        valor.training.batches, "epoch_order", valor.training.batches.epoch_order
    )  # put back afterwards
    data = memory.make_data(tmp_path, "valor++", 20)
    memory.train_shortly("valor++", data, tmp_path / "run", 1)
    assert (tmp_path / "run/scores.json").is_file()
    peaks = memory.watch(memory.SPAWN.Process(target=time.sleep, args=(0.3,)))
    assert 0 < peaks["RssAnon"] <= peaks["VmHWM"]


def test_memory_of_a_training_that_failed_is_no_figure():
    with pytest.raises(SystemExit, match="ended with code 3; nothing was measured"):
        memory.watch(memory.SPAWN.Process(target=sys.exit, args=(3,)))


def test_test_command(monkeypatch, capsys):
    monkeypatch.setattr(test_command, "CLIPS", 6)
    monkeypatch.setattr(test_command, "PUBLISHED", {"valor": 14})
    here = SimpleNamespace(run=lambda words, **_: SimpleNamespace(stdout=typed(*words[3:]).out))
    monkeypatch.setattr(test_command, "subprocess", here)
    said = say(monkeypatch, capsys, test_command, "--repeats", 1)
    assert "valor, evaluate RUN" in said and "valor, predict, then evaluate" in said


@pytest.fixture
def tiny(monkeypatch):
    """Tiny networks in place of the teachers'."""
    for module in (engines, harvest, teachers):
        monkeypatch.setattr(
            module, "load_open_clip", lambda *_, **__: OpenClipModel(tiny_clip(), tokenize, FrameRule(size=32), "w")
        )
        monkeypatch.setattr(module, "load_clap", lambda *_, **__: ClapModel(tiny_clap(), spell_bytes, "w", "bytes"))


def test_harvest(monkeypatch, capsys, tiny):
    monkeypatch.setattr(harvest.os, "sched_setaffinity", lambda *_: None)
    said = say(monkeypatch, capsys, harvest, "--clips", 2, "--end-to-end", 0, "--cores", 1)
    assert "outside the networks, 2 clips" in said and "mel eleven times" in said and "wanted: at least 5.0" in said
    alone = re.search(r"decoders alone: published (\S+) s a clip, ours (\S+);", said).groups()
    assert min(map(float, alone)) > 0 and "with nothing but its decoders" in said


def test_teachers(monkeypatch, capsys, tiny):
    monkeypatch.setattr(teachers, "PRODUCT", dict.fromkeys(teachers.PRODUCT, 64))
    said = say(monkeypatch, capsys, teachers, "--batch", 2, "--repeats", 1, "--peak", 0.001)
    visual, audio, both = said.splitlines()[-3:]
    assert visual.startswith("visual") and "% of the peak" in visual
    assert audio.startswith("audio") and both.startswith("both")


def test_engines(monkeypatch, capsys, tiny):
    monkeypatch.setattr(engines, "PRODUCT", {"cpu": 64})
    monkeypatch.setattr(engines, "openvino", None)
    said = say(monkeypatch, capsys, engines, "--batch", 1, "--repeats", 1, "--threads", 1)
    assert "OpenVINO not installed, left out" in said and said.count("as harvested") == 2
    assert all(float(far) < 1e-4 for far in re.findall(r"within (\S+) of the largest", said))


def test_operations_of_a_product_are_counted(tiny):
    layer, x = torch.nn.Linear(30, 20, bias=False), torch.zeros(5, 30)
    assert teachers.operations(lambda: layer(x)) == 2 * 5 * 30 * 20
    attention, tokens = torch.nn.MultiheadAttention(16, 2, batch_first=True).eval(), torch.zeros(1, 5, 16)
    counted = teachers.operations(lambda: attention(tokens, tokens, tokens, need_weights=False))
    assert counted == 2 * 5 * 16 * 4 * 16 + 2 * 2 * 5 * 5 * 16


def test_decoders(monkeypatch, capsys):
    monkeypatch.setattr(decoders, "outcome", lambda name, _: f"{name} tried")
    monkeypatch.setattr(decoders, "decoder_trouble", {"decord": ("not installed", "")}.get)
    monkeypatch.setattr(decoders, "DECODERS", {name: decoders.DECODERS[name] for name in ("pyav", "decord")})
    measured, outcomes, absent = say(monkeypatch, capsys, decoders, "--repeats", 1, "--bytes", 1).splitlines()[-3:]
    assert re.fullmatch(
        r"pyav +[0-9]+ ms a clip, [0-9]+ MiB, frames within 0 of 255, sound within 0.0e\+00 .*", measured
    )
    assert outcomes.endswith("torn: pyav tried, 400 wrong bytes: pyav tried; one wrong byte: 0 of 1 refused")
    assert re.fullmatch("decord +not installed", absent)


def test_demo_ave(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(demo_ave, "render_all", lambda jobs, workers: [job.args for job in jobs])  # draws no picture
    assert "8 clips" in say(monkeypatch, capsys, demo_ave, tmp_path / "ave", "--clips", 8)
    dataset = dataset_of(tmp_path / "ave")
    splits = [dataset.read_split(tmp_path / "ave", split) for split in dataset.splits]
    assert (dataset.name, [len(split.clip_ids) for split in splits]) == ("demo-ave", [5, 1, 2])
    assert all(split.truth.any(axis=(1, 2)).sum(axis=1).tolist() == [1] * len(split.clip_ids) for split in splits)


def test_large_store(monkeypatch, capsys):
    said = say(monkeypatch, capsys, large_store, "--clips", 8, "--shards", 2, "--tars", 1, "--requests", 2)
    assert "merge two halves" in said and "find in tars" in said and "GET" in said.splitlines()[-1]


def test_parse_once(monkeypatch, capsys):
    def here(way, folder, typed):
        parse_once.parsed(way, folder, typed)
        return {"VmHWM": 1.0}

    monkeypatch.setattr(parse_once, "measured", here)
    monkeypatch.setattr(parse_once, "PIECE", 5)  # a film of twelve seconds repeats them
    demo = ("--visual", "demo-visual", "--audio", "demo-audio", "--weights", "none")
    said = say(monkeypatch, capsys, parse_once, "--minutes", 0.2, "--threads", 1, *demo)
    assert said.count("probabilities within") == 3 and "bytes a second of film" in said


def test_where(monkeypatch, capsys):
    said = say(monkeypatch, capsys, where, "--clips", 2, "--ways", "windows,features", "--threads", 1)
    assert said.count("peak, ") == 2 == said.count("s of CPU")
    assert "the middle of the frame" in said and " events, " in said


def test_where_patches(monkeypatch, capsys):
    said = say(monkeypatch, capsys, where_patches, "--images", 128, "--epochs", 1, "--held-out", 1)
    assert "the tower finds" in said and said.count("peak, ") == 4
