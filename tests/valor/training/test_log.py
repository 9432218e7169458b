"""`log.jsonl` read back, and the picture a training leaves.

Curves elsewhere: TensorBoard as it is, Weights & Biases through a stand-in.
"""

import io
import json
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from valor.cli.arguments import build_argument_parser
from valor.training.log import (
    draw_training,
    figure_title,
    flat,
    read_training_log,
    seed_folders,
    tracking,
    write_training_picture,
)
from valor.training.options import TRACKERS, check_trackers

RECORD = {
    "epoch": 3,
    "learning_rate": 1e-4,
    "loss": {"weak": 0.5, "total": 1.0},
    "val": {"segment": {"type_av": 61.5}, "clips": 4},
    "selected": True,
    "note": "text",
}
RECIPE = {"name": "toy", "fit": {"epochs": 3}}


class Wandb(ModuleType):
    """What of wandb is used; remembers everything."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.calls: list[tuple] = []

    def init(self, **options):
        self.calls.append(("init", options))
        return SimpleNamespace(
            id=options["id"] or "fresh",
            log=lambda values, step: self.calls.append(("log", step, values)),
            finish=lambda exit_code: self.calls.append(("finish", exit_code)),
        )


@pytest.fixture
def wandb(monkeypatch) -> Wandb:
    stand_in = Wandb()
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    return stand_in


def test_a_line_of_the_log_becomes_numbers_by_path():
    assert flat(RECORD) == {
        "epoch": 3,
        "learning_rate": 1e-4,
        "loss/weak": 0.5,
        "loss/total": 1.0,
        "val/segment/type_av": 61.5,
        "val/clips": 4,
    }


def test_wandb_gets_recipe_steps_and_the_end_of_the_run(wandb, tmp_path):
    check_trackers(("wandb",))
    with tracking(("wandb",), tmp_path / "runs" / "toy", RECIPE) as track:
        track(RECORD)
    (_, options), (_, step, values), end = wandb.calls
    assert (options["project"], options["name"], options["config"]) == ("valor-avvp", "runs/toy", RECIPE)
    assert step == 3 and values["val/segment/type_av"] == 61.5 and end == ("finish", 0)


def test_a_resumed_run_goes_on_under_its_wandb_identity(wandb, tmp_path):
    for _ in range(2):
        with tracking(("wandb",), tmp_path, RECIPE):
            pass
    begun, resumed = (call[1] for call in wandb.calls if call[0] == "init")
    assert (begun["id"], resumed["id"], resumed["resume"]) == (None, "fresh", "allow")
    assert json.loads((tmp_path / "wandb.json").read_text()) == {"id": "fresh"}


def test_a_run_that_fails_is_closed_as_failed(wandb, tmp_path):
    with pytest.raises(KeyboardInterrupt), tracking(("wandb",), tmp_path, RECIPE):
        raise KeyboardInterrupt
    assert wandb.calls[-1] == ("finish", 1)


def test_a_tracker_named_twice_is_opened_once(wandb, tmp_path):
    with tracking(("wandb", "wandb"), tmp_path, RECIPE) as track:
        track(RECORD)
    assert [call[0] for call in wandb.calls] == ["init", "log", "finish"]


def test_without_trackers_nothing_is_imported_or_written(tmp_path):
    with tracking((), tmp_path / "run", RECIPE) as track:
        track(RECORD)
    assert not (tmp_path / "run").exists()


def test_tensorboard_files_hold_the_curves(tmp_path):
    pytest.importorskip("tensorboard", reason="an optional extra: pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for epoch in (3, 4):  # the second time as a resumed run
        with tracking(("tensorboard",), tmp_path, RECIPE) as track:
            track(RECORD | {"epoch": epoch})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {"loss/total", "val/segment/type_av", "learning_rate"} <= set(events.Tags()["scalars"])
    assert [(event.step, event.value) for event in events.Scalars("val/segment/type_av")] == [(3, 61.5), (4, 61.5)]


def test_what_is_missing_is_said_with_the_line_that_installs_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wandb").mkdir()  # as W&B leaves one behind: no package
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(ValueError, match=r"the tracker wandb needs the package wandb.*pip install wandb.*'.\[wandb\]'"):
        check_trackers(("wandb",))
    with pytest.raises(ValueError, match="trackers must be one of tensorboard, wandb, got 'mlflow'"):
        check_trackers(("mlflow",))


def test_every_tracker_is_an_extra_of_its_own_name():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name in TRACKERS:
        (requirement,) = extras[name]
        assert requirement.partition(">=")[0] == name


def test_the_command_line_knows_every_tracker():
    typed = [f"--log={name}" for name in TRACKERS]
    assert build_argument_parser().parse_args(["train", "valor", "--data", "d", *typed]).trackers == list(TRACKERS)


FIGURES = ("audio", "visual", "audio_visual", "type_av", "event_av")


def record(epoch: int, *, selected: bool = False, **loss: float) -> dict:
    levels = {level: {figure: 10.0 * epoch + n for n, figure in enumerate(FIGURES)} for level in ("segment", "event")}
    return {
        "epoch": epoch,
        "learning_rate": 0.5 * epoch,
        "loss": {"weak": 1.0 / epoch, "total": 2.0 / epoch} | loss,
        "grad_norm": 0.5,
        "seconds": 1.0,
        "val": {**levels, "clips": 4},
        "selected": selected,
    }


def write_log(folder: Path, records: list[dict], select_by: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in records))
    if select_by:
        (folder / "recipe.json").write_text(json.dumps({"fit": {"select_by": select_by}}))
    return folder


def test_a_log_comes_back_as_curves(tmp_path):
    lines = [record(1, selected=True), record(2, selected=True, guided=0.25), record(3)]
    run = read_training_log(write_log(tmp_path, lines))
    assert run.epochs.tolist() == [1, 2, 3] and run.selected == 2
    assert run.losses["total"].tolist() == [2.0, 1.0, 2 / 3]
    assert np.isnan(run.losses["guided"]).tolist() == [True, False, True]
    assert run.scores["event.audio_visual"].tolist() == [12.0, 22.0, 32.0]
    assert run.learning_rate.tolist() == [0.5, 1.0, 1.5] and run.grad_norm.tolist() == [0.5] * 3
    assert read_training_log(tmp_path / "log.jsonl").selected == 2


@pytest.mark.parametrize(("text", "message"), [
    ("", "log.jsonl: no epoch is done yet; `valor train` writes one line an epoch"),
    (json.dumps(record(1)) + "\n{\n", r"log.jsonl:2: expected the record of an epoch, got Expecting property name"),
    ('{"epoch": 1}\n', r"log.jsonl:1: expected the record of an epoch, got .loss. is missing"),
    ("[]\n", "log.jsonl:1: expected the record of an epoch"),
])  # fmt: skip
def test_a_damaged_log_is_named_with_its_line(tmp_path, text, message):
    (tmp_path / "log.jsonl").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_training_log(tmp_path)


def test_no_log_says_what_writes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"log.jsonl: no such training log; `valor train` writes"):
        read_training_log(tmp_path)


def test_seeds_come_in_the_order_of_their_numbers(tmp_path):
    for seed in (10, 9, 100):
        write_log(tmp_path / f"seed-{seed}", [record(1)])
    (tmp_path / "seed-11").mkdir()  # not begun
    assert [path.name for path in seed_folders(tmp_path)] == ["seed-9", "seed-10", "seed-100"]
    assert seed_folders(tmp_path / "seed-9") == [tmp_path / "seed-9"]


@pytest.mark.usefixtures("painted")
def test_a_picture_is_written_into_the_folder_of_a_run_and_of_seeds(tmp_path):
    for seed in (1, 2):
        write_log(tmp_path / f"seed-{seed}", [record(1, selected=True), record(2)])
    for folder in (tmp_path, tmp_path / "seed-1"):
        path = write_training_picture(folder, name="toy")
        assert path == folder / "training.png"
        assert Image.open(io.BytesIO(path.read_bytes())).width == 1800
    assert write_training_picture(tmp_path, suffix=".svg").read_text().lstrip().startswith("<?xml")


def test_runs_selected_by_different_figures_are_not_drawn_together(tmp_path):
    one = write_log(tmp_path / "one", [record(1, selected=True)])
    other = write_log(tmp_path / "other", [record(1, selected=True)], "event.type_av")
    with pytest.raises(ValueError, match="one, other by event.type_av, segment.type_av; name them NAME=RUN, or draw"):
        draw_training([("one", one), ("other", other)])
    with pytest.raises(ValueError, match="names of their own .* got a, a by"):
        draw_training([("a", one), ("a", one)])
    words = draw_training([("other", other)]).legends[0].get_texts()
    assert words[0].get_text() == "kept epoch 1, best event Type@AV"


def test_a_selection_is_said_as_tables_say_it():
    assert [figure_title(key) for key in ("segment.type_av", "event.event_av", "segment.audio")] == [
        *("segment Type@AV", "event Event@AV", "segment A"),
    ]


@pytest.mark.parametrize(
    ("sources", "title"),
    [
        ({"world": "demo world"}, "Training of a (demo world)"),
        ({"world": "own tables", "simulated": True}, "SIMULATED Training of a"),
        ({"simulated": True, "world": "LLP"}, "SIMULATED Training of a (SIMULATED LLP)"),
        ({}, "Training of a"),
    ],
)
def test_the_title_says_what_a_run_is_of(tmp_path, sources, title):
    run = write_log(tmp_path / "one", [record(1, selected=True)])
    (run / "recipe.json").write_text(json.dumps({"run": {"sources": sources}}))
    assert draw_training([("a", run)]).legends[0].get_title().get_text() == title
    own = draw_training([("a", run)], title="mine").legends[0].get_title().get_text()
    assert own.startswith("SIMULATED mine" if "simulated" in sources else "mine")


def test_that_all_are_simulated_is_said_once(tmp_path):
    runs = []
    for name in ("valor++", "han"):
        run = write_log(tmp_path / name, [record(1, selected=True)])
        (run / "recipe.json").write_text(json.dumps({"run": {"sources": {"simulated": True, "world": "own tables"}}}))
        runs.append((f"SIMULATED {name}", run))
    title = draw_training(runs).legends[0].get_title().get_text()
    assert title == "SIMULATED Training of valor++, han"
