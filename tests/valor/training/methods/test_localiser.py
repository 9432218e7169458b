"""UnAV-100's network as a method: what it learns from, its rates, cuts, weights that decay, and what it answers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from valor.data.clips import Batch, ClipSet
from valor.data.datasets.unav import UNAV_METRICS
from valor.eval.detection import TrueEvents
from valor.parsers.build import build_parser
from valor.parsers.networks.points import point_rate
from valor.training.checkpoint import read_checkpoint, read_tensors
from valor.training.methods.localiser import LocaliserMethodOptions, cut_clips
from valor.training.methods.methods import Methods
from valor.training.options import FitOptions
from valor.training.predict import predict_split
from valor.training.recipes import RECIPES, override
from valor.training.step import build_optimiser, train_step
from valor.training.train import fit

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = LocaliserMethodOptions(
    width=4, num_heads=2, head_width=4, table_length=32, window=1, drop_path=0.0, dependency=False
)
FIT = FitOptions(
    epochs=3, warmup_epochs=1, batch_size=2, learning_rate=0.02, min_learning_rate=1e-8, beta1=0.9,
    pseudo_label_weight=0.0, select_by="figures.mAP mean", seed=3,
)  # fmt: skip
PARSER = replace(RECIPES["unav-localiser"].parser, audio_width=3, visual_width=4, num_classes=2, num_heads=1)


def clips(count=3, seed=0, steps=(20, 9, 32)):
    """Clips of half-second steps whose features say what happens: one event each, of either class."""
    rng = np.random.default_rng(seed)
    lengths = np.array(steps[:count])
    longest = int(lengths.max())
    name = np.arange(count) % 2
    first = np.array([int(rng.integers(0, length // 2)) for length in lengths])
    last = first + 4
    streams = [torch.from_numpy(0.1 * rng.standard_normal((count, longest, width))).float() for width in (3, 4)]
    truth = torch.zeros(count, longest, 2, 2, dtype=torch.bool)
    for row in range(count):
        truth[row, first[row] : last[row], :, name[row]] = True
        for stream in streams:
            stream[row, first[row] : last[row], name[row]] += 2
    events = TrueEvents(clip=np.arange(count), class_index=name, onset=first / 2 + 0.1, offset=last / 2 - 0.1)
    return ClipSet(
        clip_ids=tuple(f"clip-{row}" for row in range(count)),
        class_names=("Dog", "Cat"),
        audio=streams[0],
        visual=streams[1],
        weak_labels=truth.any(dim=1).any(dim=1),
        truth=truth,
        valid=torch.arange(longest) < torch.from_numpy(lengths)[:, None],
        segment_seconds=0.5,
        metrics=UNAV_METRICS,
        events=events,
        clip_seconds=lengths / 2 - 0.25,
    )


def network(options=SMALL):
    methods = Methods({"localiser": options})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return methods, methods.network(build_parser(PARSER, seed=0), ("Dog", "Cat"))


def train(out):
    methods, parser = network()
    rates = []
    (method,) = methods
    after = method.after_step

    def note(judged):
        rates.append([group["lr"] for group in method.optimiser.param_groups])
        after(judged)

    method.after_step = note
    fit(parser, clips(), clips(seed=1), FIT, out, methods=methods, progress=False)
    return method, parser, rates


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps: its folder, method, parser and the rates of its steps."""
    out = tmp_path_factory.mktemp("localiser") / "run"
    with torch.random.fork_rng(devices=[]):
        return out, *train(out)


def test_a_stopped_run_goes_on_to_the_same_bytes(trained, tmp_path, monkeypatch):
    from valor.training import train as loop

    written = loop.write_resume_point

    def stop(*args, **more):
        written(*args, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(loop, "write_resume_point", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path)
    train(tmp_path)
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / name).read_bytes() == (trained[0] / name).read_bytes()


def test_every_step_has_its_published_rate_and_convolutions_alone_decay(trained):
    out, method, _, rates = trained
    wanted = [point_rate(number, 2, 6, base=FIT.learning_rate) for number in range(6)]  # three clips in steps of two
    assert np.allclose(rates, np.transpose([wanted, wanted]), atol=0, rtol=1e-12)
    heavy, light = method.optimiser.param_groups
    assert (heavy["weight_decay"], light["weight_decay"]) == (FIT.weight_decay, 0.0)
    assert all(one.dim() == 3 for one in heavy["params"]) and len(light["params"]) > len(heavy["params"])
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["learning_rate"] for line in lines] == pytest.approx([wanted[1], wanted[3], wanted[5]])
    assert set(lines[0]["loss"]) == {"classes", "offsets", "total"}


def test_what_it_is_charged_with_teaches_it_where_events_are():
    methods, parser = network(replace(SMALL, width=8, head_width=8, least_share=1.0))
    held, (method,) = clips(), methods
    optimiser = build_optimiser(parser, FIT)
    run = {"given": held, "parser": parser, "options": replace(FIT, epochs=20), "optimiser": optimiser}
    method.start(type("Run", (), run))
    losses = []
    for epoch in range(1, 16):
        method.before_epoch(None, epoch)
        step = train_step(parser, methods.batch(held.batch(torch.arange(3))), optimiser, FIT, methods)
        losses.append(step.total.item() * method.normaliser)
    assert losses[-1] < losses[0] / 2


def test_the_mean_weights_are_kept_and_the_last_or_those_are_judged(trained):
    out, method, parser, _ = trained
    kept, card = read_checkpoint(out)
    assert card.network == ("localiser",) and card.selected_by == "figures.mAP mean"
    assert not all(map(torch.equal, kept.parameters(), parser.parameters()))
    assert method.judged(parser) is parser and method.kept(parser) is method.mean.parser
    held = read_tensors(out / "last.safetensors")[0]
    assert float(held["extra.localiser.normaliser"]) == method.normaliser < 250
    method = type(method)(replace(method.options, judged="mean"))
    method.start(type("Run", (), {"given": clips(), "parser": parser, "options": FIT,
                                  "optimiser": build_optimiser(parser, FIT)}))  # fmt: skip
    assert method.judged(parser) is method.mean.parser is not parser


def test_an_answer_is_of_events_within_the_clip_and_depends_on_no_other():
    _, parser = network(replace(SMALL, dependency=True))
    for weight in parser.parameters():
        torch.nn.init.uniform_(weight, -0.5, 0.5)
    held = clips()
    together = predict_split(parser, held)
    found = together.detections
    assert len(found) and (found.offset <= held.clip_seconds[found.clip]).all()
    assert (found.onset >= 0).all() and np.bincount(found.clip).max() <= 100
    assert together.segment_probs.max() == pytest.approx(found.score.max())
    for row in range(len(held)):
        alone = predict_split(parser, held.take([row])).detections
        here = found.at(found.clip == row)
        assert np.allclose(here.score, alone.score, atol=1e-6) and np.allclose(here.onset, alone.onset, atol=1e-4)
    assert not together.segment_probs[1, 9:].any()


def test_clips_are_cut_with_half_of_an_event_or_more():
    batch = Batch(
        clip_ids=("a", "b"), audio=torch.arange(80.0).view(2, 40, 1), visual=torch.arange(80.0).view(2, 40, 1),
        motion=None, valid=torch.arange(40) < torch.tensor([[40], [20]]), weak_labels=torch.zeros(2, 1),
        pseudo_labels=None,
    )  # fmt: skip
    events = [(torch.tensor([[2.0, 8.0], [30.0, 39.0]]), torch.tensor([0, 1])), (torch.zeros(0, 2), torch.zeros(0))]
    torch.manual_seed(1)
    for _ in range(20):
        cut, left = cut_clips(batch, events, 0.5, 32)
        lengths = cut.valid.sum(dim=1).tolist()
        assert 20 <= lengths[0] <= 32 and 10 <= lengths[1] <= 20 and cut.audio.shape[1] == max(lengths)
        start = int(cut.audio[0, 0, 0])
        assert torch.equal(cut.visual[0, : lengths[0], 0], torch.arange(start, start + lengths[0]).float())
        assert not cut.audio[1, lengths[1] :].any() and not len(left[1][0])
        places, names = left[0]
        for (onset, offset), name in zip((places + start).tolist(), names.tolist(), strict=True):
            whole = events[0][0][name].tolist()
            assert whole[0] <= onset < offset <= whole[1]
            assert offset - onset >= (whole[1] - whole[0]) / 2
        assert len(names)  # some cut has one


def test_what_it_cannot_learn_from_is_refused_before_anything_is_trained(tmp_path):
    methods, parser = network()
    bare = replace(clips(), events=None, truth=None)
    with pytest.raises(ValueError, match="needs the events of the training split in seconds"):
        fit(parser, bare, clips(), FIT, tmp_path, methods=methods, progress=False)
    marked = replace(clips(), events=None)  # the truth of segments says it too
    methods, parser = network()
    methods.start(type("Run", (), {"given": marked, "parser": parser, "options": FIT,
                                   "optimiser": build_optimiser(parser, FIT)}))  # fmt: skip
    recipe = RECIPES["unav-localiser"]
    for change, message in (
        ("fit.pseudo_label_weight=1", "learns from events in seconds"),
        ("methods.localiser.window=1", "window must be 3 with the features"),
        ("methods.uwav=on", "exclude one another"),
        ("methods.localiser.table_length=33", "multiple of 32"),
        ("methods.localiser.judged=best", "judged must be last or mean"),
    ):
        with pytest.raises(ValueError, match=message):
            override(recipe, [change])
