"""Curves elsewhere: TensorBoard as it is, Weights & Biases through a stand-in."""

import json
import sys
import tomllib
from types import ModuleType, SimpleNamespace

import pytest

from tests.conftest import ROOT
from valor.arguments import build_argument_parser
from valor.trackers import TRACKERS, check_trackers, flat, tracking

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
    with pytest.raises(ValueError, match=r"--log wandb needs the package wandb.*pip install wandb.*'.\[wandb\]'"):
        check_trackers(("wandb",))
    with pytest.raises(ValueError, match="--log must be one of tensorboard, wandb, got 'mlflow'"):
        check_trackers(("mlflow",))


def test_every_tracker_is_an_extra_of_its_own_name():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name in TRACKERS:
        (requirement,) = extras[name]
        assert requirement.partition(">=")[0] == name


def test_the_command_line_knows_every_tracker():
    typed = [f"--log={name}" for name in TRACKERS]
    assert build_argument_parser().parse_args(["train", "valor", "--data", "d", *typed]).log == list(TRACKERS)
