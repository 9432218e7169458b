"""`log.jsonl` read back, and the picture a training leaves."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from valor.training_log import draw_training, read_training_log, seed_folders, spoken, write_training_picture

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
    (json.dumps(record(1)) + "\n{\n", r"log.jsonl:2: expected the record of an epoch, got JSONDecodeError"),
    ('{"epoch": 1}\n', r"log.jsonl:1: expected the record of an epoch, got KeyError\('loss'\)"),
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
    assert [spoken(key) for key in ("segment.type_av", "event.event_av", "segment.audio")] == [
        *("segment Type@AV", "event Event@AV", "segment A"),
    ]
