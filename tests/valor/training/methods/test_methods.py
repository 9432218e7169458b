"""The seam: how a recipe names methods, what is refused, the old names, and every hook in its place."""

import json
from dataclasses import asdict, dataclass, replace

import pytest
import torch
from torch import nn

from tests.helpers.toy_features import TINY, toy_clip_set
from valor.data.datasets.dataset import LLP, UNAV
from valor.data.provenance import Provenance
from valor.eval.decide import PostProcessing
from valor.parsers.build import build_parser
from valor.parsers.hybrid import HybridParser
from valor.scoring.published import read_published
from valor.training.checkpoint import read_checkpoint, read_tensors
from valor.training.methods.average import AverageOptions
from valor.training.methods.gates import GatesOptions
from valor.training.methods.jomold import JomoldOptions
from valor.training.methods.method import Charge, Method, NoOptions
from valor.training.methods.methods import METHODS, RENAMED, Methods, OwnParts, from_old_names
from valor.training.methods.uwav import UwavOptions
from valor.training.methods.vplan import VplanOptions
from valor.training.options import FitOptions, learning_rate
from valor.training.recipes import RECIPES, Recipe, override, recipe_from_json, recipe_to_json
from valor.training.run import RunSets, train_on
from valor.training.train import fit

SHORT = FitOptions(epochs=3, warmup_epochs=1, batch_size=5, learning_rate=3e-3, seed=3)
VALOR = RECIPES["valor"]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("changes", "methods"), [
    (["methods.uwav=on"], {"uwav": UwavOptions(class_balance=0.5, mixup_alpha=1.7, strict=True)}),
    (["methods.uwav.mixup_alpha=1.7"], {"uwav": UwavOptions(mixup_alpha=1.7)}),
    (["methods.uwav.mixup_weight=2", "methods.uwav=on"],
     {"uwav": UwavOptions(class_balance=0.5, mixup_alpha=1.7, mixup_weight=2.0, strict=True)}),
    (["methods.gates=on", "methods.jomold=on"], {"jomold": JomoldOptions(), "gates": GatesOptions(gate="modality")}),
    (["methods.vplan.visual=3", "fit.epochs=20"], {"vplan": VplanOptions(visual=3.0)}),
])  # fmt: skip
def test_a_recipe_names_methods_and_their_options(changes, methods):
    recipe = override(VALOR, changes)
    assert recipe.methods == methods and list(recipe.methods) == [name for name in METHODS if name in methods]
    values = json.loads(json.dumps(recipe_to_json(recipe)))
    assert values["methods"] == {name: asdict(options) for name, options in methods.items()}
    assert recipe_from_json(values) == recipe and hash(recipe) == hash(recipe_from_json(values))
    off = [f"methods.{name}=off" for name in methods]
    assert override(recipe, off).methods == {}


@pytest.mark.parametrize(("changes", "message"), [
    (["methods.uwaw=on"], "unknown method 'uwaw'; known are uwav, jomold, vplan, .*; for one of your own"),
    (["methods.uwav.alpha=1"], r"unknown option 'methods\.uwav\.alpha'.*; known here: methods\.uwav\.class_balance, "),
    (["methods.uwav=1.7"], r"methods\.uwav is on or off, or has options .*methods\.uwav\.mixup_alpha.*got '1\.7'"),
    (["methods=uwav"], r"methods is a group; set one of methods\.uwav, "),
    (["methods.jomold=on", "methods.vplan=on"], r"methods\.jomold and methods\.vplan exclude one another"),
    (["methods.uwav.class_balance=-0.5"], r"class_balance must not be negative, got -0\.5"),
    (["methods.uwav.mixup_alpha=nan"], "mixup_alpha must not be negative, got nan"),
    (["methods.vplan.visual=-1"], r"methods\.vplan: visual must not be negative, got -1\.0"),
    (["methods.vplan.warmup_epochs=0"], "warmup_epochs must be a whole number of at least 1, got 0"),
    (["methods.average.decay=1"], r"decay must be in \[0, 1\), got 1\.0"),
    (["methods.gates.gate=video"], "unknown methods.gates.gate 'video'; known are clip, modality, none"),
    (["methods.uwav.class_balance=0.5", "fit.pseudo_label_weight=0"], "class_balance acts on the pseudo .*set it to 0"),
    (["methods.uwav.mixup_alpha=1", "fit.pseudo_label_weight=0"], "mixup_alpha acts on the pseudo labels"),
    (["methods.vplan=on", "fit.pseudo_label_weight=0"], r"flips pseudo labels, .*use methods\.jomold"),
    (["methods.jomold=on", "fit.pseudo_label_weight=0"], "set guided_weight or pseudo_label_weight"),
    (["methods.jomold.warmup_epochs=60"], r"than the 60 epochs, got 60; say methods\.jomold\.warmup_epochs=30 too"),
])  # fmt: skip
def test_what_would_train_silently_wrong_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        override(VALOR, changes)


def test_options_of_another_method_are_refused():
    with pytest.raises(ValueError, match=r"methods\.uwav takes UwavOptions, got GatesOptions"):
        Recipe(name="toy", methods={"uwav": GatesOptions()})


OLD = [
    (["fit.class_balance=0.5"], {"uwav": UwavOptions(class_balance=0.5)}),
    (["fit.mixup_alpha=1.7", "fit.mixup_weight=2"], {"uwav": UwavOptions(mixup_alpha=1.7, mixup_weight=2.0)}),
    (["fit.denoise=jomold"], {"jomold": JomoldOptions()}),
    (["fit.denoise=vplan", "fit.denoise_visual=3", "fit.denoise_audio=none"], {"vplan": VplanOptions(visual=3.0)}),
    (["fit.denoise=jomold", "fit.denoise_warmup_epochs=2"], {"jomold": JomoldOptions(warmup_epochs=2)}),
    (["fit.ema_decay=0.9"], {"average": AverageOptions(decay=0.9)}),
    (["fit.gate=modality"], {"gates": GatesOptions(gate="modality")}),
    (["fit.gate=clip", "fit.ema_decay=0", "fit.denoise=none", "fit.class_balance=0", "fit.mixup_alpha=0.0"], {}),
]


@pytest.mark.parametrize(("changes", "methods"), OLD)
def test_the_old_names_are_still_read_and_say_what_they_are_called_now(changes, methods, caplog):
    with caplog.at_level("INFO"):
        assert override(VALOR, changes).methods == methods
    for change in changes:
        name = change.partition("=")[0]
        assert f"{name} is now methods.{RENAMED[name.removeprefix('fit.')]}" in caplog.text


def test_the_old_names_change_what_is_on():
    recipe = override(VALOR, ["methods.vplan=on", "methods.average=on", "methods.uwav=on"])
    changed = override(recipe, ["fit.denoise_visual=3", "fit.ema_decay=0", "fit.mixup_alpha=0"]).methods
    assert changed == {"uwav": UwavOptions(class_balance=0.5, strict=True), "vplan": VplanOptions(visual=3.0)}
    assert override(recipe, ["fit.denoise=jomold"]).methods.keys() == {"uwav", "jomold", "average"}
    with pytest.raises(
        ValueError, match=r"fit\.denoise_audio is now methods\.jomold\.audio or methods\.vplan\.audio; "
    ):
        override(VALOR, ["fit.denoise_audio=3"])
    with pytest.raises(ValueError, match=r"fit\.denoise must be one of none, jomold, vplan, got 'co-teaching'"):
        override(VALOR, ["fit.denoise=co-teaching"])


def test_a_recipe_of_before_is_read():
    values = recipe_to_json(VALOR)
    del values["methods"], values["parser"]["encoder"]
    plain = {"class_balance": 0.0, "mixup_alpha": 0.0, "mixup_weight": 1.0, "denoise": "none", "ema_decay": 0.0}
    plain |= {"denoise_warmup_epochs": 5, "denoise_audio": None, "denoise_visual": None, "gate": "clip"}
    assert recipe_from_json(values | {"fit": values["fit"] | plain}) == VALOR
    used = plain | {"mixup_alpha": 1.7, "denoise": "vplan", "denoise_visual": 2.0, "gate": "none", "ema_decay": 0.5}
    assert recipe_from_json(values | {"fit": values["fit"] | used}).methods == {
        "uwav": UwavOptions(mixup_alpha=1.7),
        "vplan": VplanOptions(visual=2.0),
        "average": AverageOptions(decay=0.5),
        "gates": GatesOptions(gate="none"),
    }


def _sets():
    return RunSets(train=toy_clip_set(12, seed=1), val=toy_clip_set(10, seed=2), provenance=Provenance())


def _recipe(**methods) -> Recipe:
    return Recipe(name="toy", features=replace(VALOR.features, motion=None), parser=TINY, fit=SHORT, methods=methods)


def test_a_run_of_before_goes_on_under_its_old_names(tmp_path):
    """A resume point as it was written when the options of methods were among those of fit."""
    from valor.training.checkpoint import write_tensors

    recipe = _recipe(average=AverageOptions(decay=0.8), vplan=VplanOptions(warmup_epochs=1, audio=1.2, visual=1.2))
    stop = {"epoch": 0}

    def stopping(record):
        stop.update(record)
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train_on(recipe, _sets(), whole, device="cpu", progress=False)
    with pytest.raises(KeyboardInterrupt):
        train_on(recipe, _sets(), stopped, device="cpu", progress=False, on_epoch=stopping)
    tensors, header = read_tensors(stopped / "last.safetensors")
    identity = header["identity"]
    del identity["methods"], identity["parser options"]["encoder"]
    identity["fit options"] |= {"class_balance": 0.0, "mixup_alpha": 0.0, "mixup_weight": 1.0, "gate": "clip"}
    identity["fit options"] |= {"denoise": "vplan", "denoise_warmup_epochs": 1, "ema_decay": 0.8}
    identity["fit options"] |= {"denoise_audio": 1.2, "denoise_visual": 1.2}
    tensors = {name.replace("extra.vplan.noise", "extra.noise"): tensor for name, tensor in tensors.items()}
    assert "extra.noise" in tensors and "extra.average.steps" in tensors
    write_tensors(stopped / "last.safetensors", tensors, {"format": 1, **header})
    assert train_on(recipe, _sets(), stopped, device="cpu", progress=False).resumed_from == 2
    assert (stopped / "last.safetensors").read_bytes() == (whole / "last.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"belongs to a run with other methods \(vplan, average there, average here\)"):
        train_on(_recipe(average=AverageOptions(decay=0.9)), _sets(), whole, device="cpu", progress=False)


def test_published_rows_are_there():
    known = {row.method for dataset in (LLP, UNAV) for row in read_published(dataset).rows}
    assert {method.published for method in METHODS.values()} - {None} <= known


@dataclass(frozen=True)
class SeenOptions:
    flip: bool = True


class Seen(Method[SeenOptions]):
    """Does something in every hook, and writes down that it was asked."""

    Options = SeenOptions

    def __init__(self, options: SeenOptions = SeenOptions()) -> None:  # noqa: B008, frozen
        super().__init__(options)
        self.calls: list[str] = []
        self.epochs = 0

    def network(self, parser, class_names):
        self.calls.append(f"network {len(class_names)}")
        parser.classifier = nn.Sequential(nn.Linear(TINY.hidden_width, 7), nn.Linear(7, len(class_names)))
        return parser

    def start(self, run):
        self.calls.append("start")

    def clips(self, train):
        self.calls.append("clips")
        return train.take([0, 1, 2, 3])

    def use_labels(self, train):
        self.calls.append(f"labels of {len(train)}")

    def before_epoch(self, run, epoch):
        self.calls.append(f"epoch {epoch}")
        self.epochs += 1
        return epoch == 2

    def learning_rate(self, rate, epoch):
        return 1e-3

    def batch(self, batch):
        self.calls.append("batch")
        return replace(batch, audio=torch.zeros_like(batch.audio))

    def charge(self, charge: Charge) -> Charge:
        self.calls.append("charge")
        assert not charge.batch.audio.any(), "the clips as the parser saw them"
        return charge.plus("tiny", 0.0, lambda charge: charge.output.clip_probs.mean())

    def after_step(self, parser):
        self.calls.append("step")

    def judged(self, parser):
        return parser

    def decision(self, rule):
        return PostProcessing(gate="none", segment_threshold=0.3)

    def selected(self, scores, selected):
        self.calls.append("selected")
        return scores.segment.type_av >= 0  # every epoch

    def kept(self, parser: HybridParser) -> HybridParser:
        self.calls.append("kept")
        return parser

    def state(self):
        return {"epochs": torch.tensor(self.epochs)}

    def load(self, state):
        self.epochs = int(state["epochs"])
        self.calls.append(f"load {self.epochs}")


STEP = ["batch", "charge", "step"]
EPOCH = [*STEP, "selected", "kept"]


def test_every_hook_is_asked_in_its_place(tmp_path):
    seen = Seen()
    own = OwnParts(methods=(seen,))
    result = train_on(_recipe(), _sets(), tmp_path, device="cpu", progress=False, own=own)
    assert seen.calls == [
        *("network 3", "start", "clips", "labels of 4"),
        *("epoch 1", *EPOCH),
        *("epoch 2", "clips", "labels of 4", *EPOCH),
        *("epoch 3", *EPOCH),
    ]
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["learning_rate"] for line in log] == [1e-3] * 3 and result.best_epoch == 3
    assert list(log[0]["loss"]) == ["weak", "audio", "visual", "tiny", "total"]
    assert read_tensors(tmp_path / "last.safetensors")[0]["extra.own:Seen.epochs"] == 3
    described = json.loads((tmp_path / "recipe.json").read_text())
    assert described["methods"] == {"own:Seen": {"flip": True}}


class InTwo(Method[NoOptions]):
    """Begins again after two epochs, and keeps by another figure from then on."""

    def __init__(self) -> None:
        super().__init__(NoOptions())
        self.beginnings: list[bool] = []

    def part(self, epoch, epochs):
        return range(1, 3) if epoch < 3 else range(3, epochs + 1)

    def select_by(self, figure, epoch):
        return figure if epoch < 3 else "event.visual"

    def before_epoch(self, run, epoch):
        if self.part(epoch, run.options.epochs).start == epoch > 1:
            run.restart()
            self.beginnings.append(all(torch.equal(w, run.initial[n]) for n, w in run.parser.state_dict().items()))
        return False


def test_a_training_in_parts_begins_again_with_each(tmp_path):
    fit_options = replace(SHORT, epochs=5, warmup_epochs=1)
    method = InTwo()
    recipe = replace(_recipe(), fit=fit_options)
    result = train_on(recipe, _sets(), tmp_path / "a", device="cpu", progress=False, own=OwnParts(methods=(method,)))
    log = [json.loads(line) for line in (tmp_path / "a/log.jsonl").read_text().splitlines()]
    assert method.beginnings == [True]
    assert [line["selected_by"] for line in log] == ["segment.type_av"] * 2 + ["event.visual"] * 3
    assert log[2]["selected"] and result.best_epoch > 2 and result.selected_by == "event.visual"
    parts = [(epochs, epoch) for epochs in (2, 3) for epoch in range(1, epochs + 1)]
    rates = [learning_rate(epoch, replace(fit_options, epochs=epochs)) for epochs, epoch in parts]
    assert [line["learning_rate"] for line in log] == rates
    assert log[0]["loss"]["weak"] == pytest.approx(log[2]["loss"]["weak"], rel=0.2) and log[2]["loss"] != log[0]["loss"]
    assert read_checkpoint(tmp_path / "a")[1].selected_by == "event.visual"

    def stopping(record):
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    own = lambda: OwnParts(methods=(InTwo(),))  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        train_on(recipe, _sets(), tmp_path / "b", device="cpu", progress=False, on_epoch=stopping, own=own())
    train_on(recipe, _sets(), tmp_path / "b", device="cpu", progress=False, own=own())
    held = [(tmp_path / run / "last.safetensors").read_bytes() for run in "ab"]
    assert held[0] == held[1]


def test_a_network_of_a_method_is_built_again_when_its_checkpoint_is_read(tmp_path):
    train_on(_recipe(), _sets(), tmp_path, device="cpu", progress=False, own=OwnParts(methods=(Seen(),)))
    parser, card = read_checkpoint(tmp_path, own=OwnParts(methods=(Seen(),)))
    assert isinstance(parser.classifier, nn.Sequential) and card.network == ("own:Seen",)
    with pytest.raises(ValueError, match=r"the method own:Seen was given as an object .*give it again"):
        read_checkpoint(tmp_path)


def test_a_method_with_a_name_is_known_to_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "seen", Seen)
    recipe = override(_recipe(), ["methods.seen=on"])
    train_on(recipe, _sets(), tmp_path, device="cpu", progress=False)
    parser, card = read_checkpoint(tmp_path)
    assert isinstance(parser.classifier, nn.Sequential) and card.network == ("seen",)
    monkeypatch.delitem(METHODS, "seen")
    with pytest.raises(ValueError, match="unknown method 'seen'; known are uwav"):
        read_checkpoint(tmp_path)


def test_a_stopped_run_gives_a_method_back_what_it_had(tmp_path):
    def stopping(record):
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    seen = Seen()
    with pytest.raises(KeyboardInterrupt):
        train_on(
            _recipe(),
            _sets(),
            tmp_path,
            device="cpu",
            progress=False,
            on_epoch=stopping,
            own=OwnParts(methods=(Seen(),)),
        )
    train_on(_recipe(), _sets(), tmp_path, device="cpu", progress=False, own=OwnParts(methods=(seen,)))
    assert seen.calls[:6] == ["network 3", "start", "clips", "labels of 4", "load 2", "clips"]
    assert seen.epochs == 3


def test_a_method_that_does_nothing_changes_no_bit(tmp_path):
    class Nothing(Method[NoOptions]):
        """A hook that answers what it was given."""

        def charge(self, charge):
            return charge

    plain, with_it = tmp_path / "plain", tmp_path / "with"
    for folder, methods in ((plain, Methods()), (with_it, Methods(own=[Nothing(NoOptions())]))):
        fit(
            build_parser(TINY, seed=0),
            toy_clip_set(12),
            toy_clip_set(6, seed=2),
            SHORT,
            folder,
            methods=methods,
            progress=False,
        )
    held = [read_tensors(folder / "last.safetensors")[0] for folder in (plain, with_it)]
    assert held[0].keys() == held[1].keys() and all(torch.equal(held[0][name], held[1][name]) for name in held[0])


def test_a_method_given_as_an_object_checks_the_recipe_before_anything_is_trained(tmp_path):
    own = OwnParts(methods=(METHODS["jomold"](JomoldOptions(warmup_epochs=3)),))
    with pytest.raises(ValueError, match=r"warmup_epochs must be fewer than the 3 epochs, got 3"):
        train_on(_recipe(), _sets(), tmp_path / "run", device="cpu", progress=False, own=own)
    assert not (tmp_path / "run").exists()


def test_methods_of_one_kind_are_given_once():
    with pytest.raises(ValueError, match="a method is given once, got Seen twice"):
        Methods(own=[Seen(), Seen()])


def test_old_names_are_split_off():
    assert from_old_names({"epochs": 3, "gate": "clip"}) == ({"epochs": 3}, {"gates": "off"})
