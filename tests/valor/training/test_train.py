"""Training: it learns, stops and goes on to the same bytes, and refuses what cannot be trained."""

import contextlib
import json
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import valor.training.train
from tests.helpers.forked import start
from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser, options_of
from valor.training.checkpoint import read_checkpoint, read_tensors
from valor.training.log import steps_of
from valor.training.methods.average import AverageOptions
from valor.training.methods.methods import Methods
from valor.training.options import FitOptions, TrainingError, learning_rate
from valor.training.step import build_optimiser, train_step
from valor.training.train import fit, new_state, validate

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = FitOptions(epochs=4, warmup_epochs=1, batch_size=5, learning_rate=3e-3, min_learning_rate=1e-4, seed=3)


def _fit(out: Path, options: FitOptions = OPTIONS, **parts):
    parser = parts.pop("parser", None) or build_parser(replace(TINY, dropout=0.3), seed=options.seed)
    train, val = parts.pop("train", toy_clip_set(12, seed=1)), parts.pop("val", toy_clip_set(10, seed=2))
    return fit(parser, train, val, options, out, progress=False, **parts)


def _log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def _without_clock(log: list[dict]) -> list[dict]:
    clocked = ("clips_per_second", "waiting_share", "seconds")
    return [{key: value for key, value in line.items() if key not in clocked} for line in log]


def test_fit_learns_the_toy_world(tmp_path):
    train, val = toy_clip_set(64, seed=1), toy_clip_set(30, seed=2)
    parser = build_parser(TINY, seed=0)
    before = validate(parser, val).segment.type_av
    options = replace(OPTIONS, epochs=25, batch_size=8, learning_rate=1e-2)
    result = fit(parser, train, val, options, tmp_path, progress=False)
    assert result.val_type_av > before + 30
    assert result.val_type_av > 75
    first, last = _log(tmp_path)[0], _log(tmp_path)[-1]
    assert last["loss"]["total"] < first["loss"]["total"] / 2


def test_log_has_a_line_per_epoch(tmp_path):
    _fit(tmp_path)
    lines = _log(tmp_path)
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    for line in lines:
        assert line["loss"]["total"] == pytest.approx(
            sum(line["loss"][k] for k in ("weak", "audio", "visual")), rel=1e-5
        )
        assert set(line["val"]) == {"segment", "event", "clips"}
        assert line["learning_rate"] == learning_rate(line["epoch"], OPTIONS)
        assert line["clips_per_second"] > 0 and 0 <= line["waiting_share"] <= 1


def test_selected_epoch_is_the_first_best_one(tmp_path, monkeypatch):
    scores = iter([20.0, 50.0, 50.0, 40.0])
    real = valor.training.train.validate

    def scripted(parser, val, gate):
        honest = real(parser, val, gate)
        return replace(honest, segment=replace(honest.segment, type_av=next(scores)))

    monkeypatch.setattr(valor.training.train, "validate", scripted)
    result = _fit(tmp_path)
    assert (result.best_epoch, result.val_type_av) == (2, 50.0)
    assert [line["selected"] for line in _log(tmp_path)] == [True, True, False, False]
    _, card = read_checkpoint(tmp_path)
    assert (card.epoch, card.val_type_av) == (2, 50.0)


def test_best_checkpoint_scores_as_the_log_says(tmp_path):
    val = toy_clip_set(10, seed=2)
    result = _fit(tmp_path, val=val)
    parser, card = read_checkpoint(result.checkpoint)
    assert validate(parser, val).segment.type_av == card.val_type_av == result.val_type_av
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["run"]["class_names"] == list(val.class_names)
    assert recipe["fit"]["learning_rate"] == 3e-3


def test_an_epoch_of_several_passes_is_that_many_epochs_that_are_validated_once(tmp_path):
    even = replace(OPTIONS, min_learning_rate=OPTIONS.learning_rate, warmup_epochs=0)
    _fit(tmp_path / "passes", replace(even, epochs=2, epoch_steps=5))  # 12 clips are 3 steps a pass
    _fit(tmp_path / "epochs", even)
    passes, epochs = _log(tmp_path / "passes"), _log(tmp_path / "epochs")
    assert [line["val"] for line in passes] == [line["val"] for line in epochs[1::2]]
    assert steps_of(tmp_path / "passes") == steps_of(tmp_path / "epochs") == 12
    weights = [read_tensors(tmp_path / run / "last.safetensors")[0] for run in ("passes", "epochs")]
    assert weights[0].keys() == weights[1].keys() and all(
        weights[0][name].equal(weights[1][name]) for name in weights[0]
    )


@pytest.mark.parametrize(("encoder", "optimiser"), [("hybrid", "adamw"), ("mbt", "sgd"), ("tcaf", "adamw")])
def test_stopped_run_ends_with_the_same_bytes(tmp_path, monkeypatch, encoder, optimiser):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    shape, options = replace(TINY, dropout=0.3, encoder=encoder, num_layers=2), replace(OPTIONS, optimiser=optimiser)
    _fit(whole, options, parser=build_parser(shape, seed=3))
    real, steps = valor.training.train.train_step, iter(range(100))

    def interrupted(*args):
        if next(steps) == 7:  # 3 steps an epoch: in the middle of epoch 3
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(valor.training.train, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _fit(stopped, options, parser=build_parser(shape, seed=3))
    monkeypatch.undo()
    torch.rand(3)  # whatever happened to the global generator in between
    with pytest.raises(ValueError, match="belongs to a run with other initial weights, parser options"):
        _fit(stopped, options, parser=build_parser(replace(shape, encoder="joint"), seed=3))
    result = _fit(stopped, options, parser=build_parser(shape, seed=3))
    assert result.resumed_from == 2
    assert options_of(read_checkpoint(stopped)[0]) == shape
    for name in ("best.safetensors", "last.safetensors"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes(), name
    assert _without_clock(_log(stopped)) == _without_clock(_log(whole))


@pytest.mark.parametrize("call", ["write_checkpoint", "append_log", "write_resume_point"])
def test_run_stopped_between_its_files_ends_with_the_same_bytes(tmp_path, monkeypatch, call):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    _fit(whole)
    real, calls = getattr(valor.training.train, call), iter(range(100))

    def interrupted(*args, **kwargs):
        number = next(calls)
        if number == 1 and call == "write_resume_point":
            raise KeyboardInterrupt
        real(*args, **kwargs)
        if number == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(valor.training.train, call, interrupted)
    with pytest.raises(KeyboardInterrupt):
        _fit(stopped)
    monkeypatch.undo()
    _fit(stopped)
    assert (whole / "last.safetensors").read_bytes() == (stopped / "last.safetensors").read_bytes()
    assert (whole / "best.safetensors").read_bytes() == (stopped / "best.safetensors").read_bytes()
    assert _without_clock(_log(stopped)) == _without_clock(_log(whole))


def _fit_until_killed(words):
    real, calls = valor.training.train.train_step, iter(range(100))

    def killed(*args):
        if next(calls) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)

    valor.training.train.train_step = killed
    torch.set_num_threads(int(words[1]))
    _fit(Path(words[0]))


def test_killed_process_is_resumed_to_the_same_bytes(tmp_path):
    whole, killed, said = tmp_path / "whole", tmp_path / "killed", tmp_path / "said"
    process = start(_fit_until_killed, [killed, torch.get_num_threads()], said)
    process.join(120)
    assert process.exitcode == -signal.SIGKILL, said.read_text()
    assert len(_log(killed)) == 1 and (killed / ".lock").exists()
    assert _fit(killed).resumed_from == 1
    _fit(whole)
    assert (whole / "last.safetensors").read_bytes() == (killed / "last.safetensors").read_bytes()


def test_an_epoch_holds_one_batch_and_does_not_change_the_clips(tmp_path, monkeypatch):
    real, places = valor.training.train.train_step, []

    def watched(parser, batch, *args):
        places.append(batch.audio.data_ptr())
        return real(parser, batch, *args)

    monkeypatch.setattr(valor.training.train, "train_step", watched)
    train = toy_clip_set(15, seed=1)
    before = train.fingerprint()
    _fit(tmp_path, replace(OPTIONS, epochs=2), train=train)
    assert len(set(places[:3])) == len(set(places[3:])) == 1
    assert train.fingerprint() == before


def test_finished_run_is_not_run_again(tmp_path):
    first = _fit(tmp_path)
    before = (tmp_path / "best.safetensors").stat().st_mtime_ns
    again = _fit(tmp_path)
    assert replace(again, resumed_from=0) == first and again.resumed_from == 4
    assert (tmp_path / "best.safetensors").stat().st_mtime_ns == before


def _cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


@pytest.mark.parametrize("epochs_done", [2, 4])
@pytest.mark.parametrize(("damage", "message"), [
    (lambda out: (out / "log.jsonl").unlink(), r"log\.jsonl: expected the record of \d epochs, got no such file; "),
    (lambda out: _cut(out / "log.jsonl", 0), r"log\.jsonl: expected the record of \d epochs, got 0 lines"),
    (lambda out: _cut(out / "log.jsonl", -9), r"log\.jsonl: expected the record of \d epochs, got \d lines, not all"),
    (lambda out: (out / "best.safetensors").unlink(), r"best\.safetensors: no such file, and epoch \d was kept in it"),
    (lambda out: _cut(out / "best.safetensors", -9), r"best\.safetensors: expected a safetensors checkpoint"),
])  # fmt: skip
def test_a_folder_that_lacks_what_its_epochs_wrote_is_refused(tmp_path, monkeypatch, damage, message, epochs_done):
    real, epochs = valor.training.train._train_epoch, iter(range(100))

    def stopping(*args):
        if next(epochs) == epochs_done:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(valor.training.train, "_train_epoch", stopping)
    with contextlib.suppress(KeyboardInterrupt):
        _fit(tmp_path)
    damage(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=f"{message}.*restore it, or remove the run folder to start the run anew"):
        _fit(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_resume_point_that_is_cut_off_says_how_to_start_anew(tmp_path):
    _fit(tmp_path)
    whole = (tmp_path / "best.safetensors").read_bytes()
    _cut(tmp_path / "last.safetensors", -9)
    with pytest.raises(ValueError, match=r"last\.safetensors: .*could not be read .*; remove it to start the run anew"):
        _fit(tmp_path)
    (tmp_path / "last.safetensors").unlink()
    assert _fit(tmp_path).resumed_from == 0
    assert (tmp_path / "best.safetensors").read_bytes() == whole


def test_a_second_training_into_the_same_folder_is_refused(tmp_path):
    def second(_):
        with pytest.raises(ValueError, match=f"{tmp_path}: another training is writing here; wait .*another `out`"):
            _fit(tmp_path)

    result = _fit(tmp_path, on_epoch=second)
    assert len(_log(tmp_path)) == 4 and result.resumed_from == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.safetensors",
        "last.safetensors",
        "log.jsonl",
        "recipe.json",
    ]


@pytest.mark.parametrize(("change", "message"), [
    ({"options": replace(OPTIONS, learning_rate=1e-3)}, "other fit options; "),
    ({"train": toy_clip_set(12, seed=5)}, "other training clips; "),
    ({"val": toy_clip_set(10, seed=5)}, "other validation clips; "),
    ({"parser": build_parser(TINY, seed=8)}, "other initial weights, parser options; "),
])  # fmt: skip
def test_folder_of_another_run_is_refused(tmp_path, change, message):
    _fit(tmp_path)
    with pytest.raises(ValueError, match=f"belongs to a run with {message}.*choose another `out`"):
        _fit(tmp_path, **change)


def test_nan_loss_names_epoch_step_and_clips(tmp_path):
    train = toy_clip_set(12, seed=1)
    # One clip whose features overflow inside the network, found in the step it comes up in.
    train.audio[7] = 3e38
    with pytest.raises(TrainingError, match=rf"epoch 1, step \d: loss nan .* on the clips {train.clip_ids[7]}; "):
        _fit(tmp_path, train=train)
    assert not (tmp_path / "best.safetensors").exists()


@pytest.mark.parametrize(("ruin", "found"), [
    (lambda weights: weights.fill_(torch.inf), "weights are NaN or infinite"),
    (lambda weights: weights.fill_(3e38), r"the parser gives NaN for 10 clips \(clip2-000, .*\) of 10; either"),
])  # fmt: skip
@pytest.mark.parametrize("averaged", [False, True])
def test_what_an_epochs_last_step_ruins_is_told_with_its_epoch(tmp_path, monkeypatch, ruin, found, averaged):
    real, calls = valor.training.train.train_step, iter(range(1, 100))

    def ruinous(parser, *args):
        step = real(parser, *args)
        if next(calls) == 6:  # the last of the second epoch
            with torch.no_grad():
                for weights in parser.parameters():
                    ruin(weights)
        return step

    monkeypatch.setattr(valor.training.train, "train_step", ruinous)
    remedy = r"lower fit\.learning_rate or set fit\.max_grad_norm"
    with pytest.raises(TrainingError, match=f"epoch 2, after its last step: {found}.*; {remedy}"):
        _fit(tmp_path, methods=Methods({"average": AverageOptions(decay=0.5)} if averaged else {}))
    assert len(_log(tmp_path)) == 1 and read_checkpoint(tmp_path)[1].epoch == 1


def test_failed_step_leaves_the_parser_as_it_was():
    parser = build_parser(TINY, seed=0)
    before = {key: tensor.clone() for key, tensor in parser.state_dict().items()}
    clips = toy_clip_set(4)
    clips.visual[2] = 3e38
    with pytest.raises(TrainingError, match=clips.clip_ids[2]):
        train_step(parser, clips.batch(torch.arange(4)), build_optimiser(parser, OPTIONS), OPTIONS)
    assert all(torch.equal(before[key], tensor) for key, tensor in parser.state_dict().items())


def test_without_pseudo_label_weight_pseudo_labels_do_nothing(tmp_path):
    options = replace(OPTIONS, pseudo_label_weight=0.0, epochs=2)
    train = toy_clip_set(12, seed=1)
    _fit(tmp_path / "with", options, train=train)
    _fit(tmp_path / "without", options, train=replace(train, pseudo_labels=None))
    states = [read_checkpoint(tmp_path / name)[0].state_dict() for name in ("with", "without")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert set(_log(tmp_path / "with")[0]["loss"]) == {"weak", "total"}


def test_sets_that_cannot_be_trained_on_are_refused(tmp_path):
    clips = toy_clip_set(6)
    with pytest.raises(ValueError, match=r"needs pseudo labels.*fit\.pseudo_label_weight=0"):
        _fit(tmp_path, train=replace(clips, pseudo_labels=None))
    with pytest.raises(ValueError, match="no truth to select the epoch by"):
        _fit(tmp_path, val=replace(clips, truth=None))
    with pytest.raises(ValueError, match="both sets need the same classes"):
        _fit(tmp_path, val=replace(clips, class_names=("Bell", "Dog", "Cat")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("change", "message"), [
    ({"learning_rate": 0.0}, r"learning_rate must be positive, got 0\.0"),
    ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
    ({"weight_decay": -1.0}, "weight_decay must not be negative"),
    ({"beta1": 1.0}, r"^beta1 must be in \[0, 1\), got 1\.0$"),
    ({"epochs": 5}, "warmup_epochs must be fewer than the 5 epochs, got 10"),
])  # fmt: skip
def test_impossible_options_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FitOptions(**change)


def test_schedule_ends():
    options = FitOptions(epochs=20, warmup_epochs=4, learning_rate=1.0, min_learning_rate=0.1)
    rates = [learning_rate(epoch, options) for epoch in range(1, 21)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[-1] == pytest.approx(0.1)
    assert all(a > b for a, b in zip(rates[3:], rates[4:], strict=False))


def test_weight_decay_reaches_every_parameter_and_gradients_are_clipped():
    parser = build_parser(TINY, seed=0)
    options = replace(OPTIONS, max_grad_norm=1e-3)
    optimiser = build_optimiser(parser, options)
    decayed = [p for group in optimiser.param_groups for p in group["params"] if group["weight_decay"] == 1e-3]
    assert len(decayed) == len(list(parser.parameters()))
    assert optimiser.defaults["betas"] == (0.5, 0.999)
    step = train_step(parser, toy_clip_set(4).batch(torch.arange(4)), optimiser, options)
    after = torch.stack([p.grad.norm() for p in parser.parameters()]).norm()
    assert step.grad_norm > 0.1
    assert after.item() == pytest.approx(1e-3, rel=1e-2)


def test_without_methods_there_is_nothing_extra():
    train = toy_clip_set(12)
    state = new_state(build_parser(TINY, seed=0), train, FitOptions())
    state.before_epoch(50)
    assert state.methods.state() == {} and state.judged is state.parser and state.train is train


RUN_FILES = ("best.safetensors", "last.safetensors", "recipe.json", "log.jsonl")


def _is_refused(use) -> bool:
    try:
        use()
    except (ValueError, FileNotFoundError):
        return True
    return False


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory):
    """A run that has done two of four epochs, and how it goes on."""
    out, calls = tmp_path_factory.mktemp("runs") / "run", []

    def stop(record):
        calls.append(record)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _fit(out, on_epoch=stop)
    return out


@pytest.mark.parametrize("name", RUN_FILES)
def test_a_flipped_bit_in_a_run_folder_is_seen(stopped_run, tmp_path, name):
    """By whoever reads the file: of the weights and the recipe whoever predicts, of all whoever resumes."""
    out = tmp_path / "run"
    shutil.copytree(stopped_run, out)
    whole = (out / name).read_bytes()
    clock = set()
    if name == "log.jsonl":  # what the clock said is another in every run, and is not guarded
        clock = {at for key in (b'"clips_per_second"', b'"waiting_share"', b'"seconds"') for at in _values(whole, key)}
    step = max(1, len(whole) // 60)
    places = [(at, at % 7) for at in sorted({*range(0, len(whole), step)} - clock)]
    for at, bit in [*places, (len(whole) - 1, 0)]:  # of a line's end, one that Python takes for a line's end as well
        flipped = bytearray(whole)
        flipped[at] ^= 1 << bit
        (out / name).write_bytes(flipped)
        assert _is_refused(lambda: _fit(out)), (name, at)
        if name in ("best.safetensors", "recipe.json"):
            assert _is_refused(lambda: read_checkpoint(out)), (name, at)
        (out / name).write_bytes(whole)
        for kept in RUN_FILES:
            assert (out / kept).read_bytes() == (stopped_run / kept).read_bytes()


def _values(content: bytes, key: bytes) -> set[int]:
    """Positions of the values of a key in lines of JSON, and of the key."""
    found = set()
    for match in re.finditer(re.escape(key) + rb": [\d.]+", content):
        found.update(range(*match.span()))
    for match in re.finditer(rb'"waiting_share": [\d.e-]+', content):
        found.update(range(*match.span()))
    return found


@pytest.mark.parametrize("name", [name for name in RUN_FILES if name != "last.safetensors"])
def test_a_lost_file_of_a_run_is_missed(stopped_run, tmp_path, name):
    out = tmp_path / "run"
    shutil.copytree(stopped_run, out)
    (out / name).unlink()
    with pytest.raises(ValueError, match=name):
        _fit(out)


def test_files_of_another_run_are_seen(stopped_run, tmp_path):
    other, out = tmp_path / "other", tmp_path / "run"
    _fit(other, replace(OPTIONS, seed=4, epochs=2))
    for name in RUN_FILES:
        shutil.copytree(stopped_run, out)
        shutil.copy(other / name, out / name)
        assert _is_refused(lambda: _fit(out)), name
        shutil.rmtree(out)


def _without_checksums(out: Path) -> None:
    """Leave the weights of a run as older versions wrote them."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    for name in ("best.safetensors", "last.safetensors"):
        with safe_open(out / name, framework="pt") as file:
            header = json.loads(file.metadata()["valor"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, no mapping
        del header["checksum"]
        header.pop("recipe_sha256", None)
        header.get("progress", {}).pop("files", None)
        save_file(tensors, out / name, metadata={"valor": json.dumps(header)})


def test_weights_without_checksums_are_read_with_a_word_and_never_trained_on(stopped_run, tmp_path, caplog):
    stopped, done = tmp_path / "stopped", tmp_path / "done"
    for out in (stopped, done):
        shutil.copytree(stopped_run, out)
    _fit(done)
    for out in (stopped, done):
        _without_checksums(out)
    read_checkpoint(done)
    assert "best.safetensors: of a version that wrote no checksums; nothing tells" in caplog.text
    assert _fit(done).resumed_from == 4
    with pytest.raises(ValueError, match="last.safetensors: of a version that wrote no checksums.* start the run anew"):
        _fit(stopped)
