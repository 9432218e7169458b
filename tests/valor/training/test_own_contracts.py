"""What parts of a user's own must have: hooks, and answers of the right kind and shape, before the first epoch."""

import copy
import re
from pathlib import Path
from types import FunctionType

import pytest

import valor
from tests.conftest import ROOT
from tests.helpers.contract_tables import charge_rows, hook_rows, media_rows
from valor.data.clips import Batch
from valor.data.own_files import LOADED
from valor.experiments.options import SimulationOptions
from valor.experiments.simulated import simulate
from valor.label_harvest.teachers.teacher import SearchedTeacher, SegmentTeacher, StagedTeacher, Teacher
from valor.training.methods.hooks import WHEN, method_fault
from valor.training.methods.method import Charge, Method
from valor.training.methods.methods import METHODS, Methods
from valor.training.own import use_file

CHANGES = ["parser.hidden_width=16", "parser.feedforward_width=8", "parser.num_heads=2", "parser.num_layers=1"]
CHANGES += ["fit.epochs=2", "fit.warmup_epochs=1", "features.motion=none", "parser.motion_width=0"]

pytestmark = pytest.mark.usefixtures("own_parts_go")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    return simulate(folder, ("clap", "clip"), SimulationOptions(clips=40), folder, progress=False)


def test_the_page_has_every_member_of_a_teacher_and_every_field_of_a_clip():
    page = (ROOT / "docs/extend.md").read_text()
    assert "\n".join(media_rows()) in page
    table = page.partition("| member | what it is |")[2].partition("\n\n")[0]
    members = {name for kind in (Teacher, StagedTeacher, SearchedTeacher, SegmentTeacher) for name in vars(kind)}
    public = {name for name in members if not name.startswith("_")} | {"needs"}
    assert public == set(re.findall(r"`(\w+)(?=`|\(\w*\)`)", "\n".join(re.findall(r"^\| (.*?) \|", table, re.M))))


def test_the_page_has_every_hook_and_every_field_of_a_charge():
    page = (ROOT / "docs/extend.md").read_text()
    assert "\n".join(hook_rows()) in page and "\n".join(charge_rows()) in page
    hooks = [name for name, of in vars(Method).items() if isinstance(of, FunctionType) and name != "__init__"]
    assert sorted(hooks) == sorted(WHEN)


METHOD = """
from valor.training.methods.method import Method

class Mine(Method):
    {}

METHODS = {{"mine": Mine}}
"""


@pytest.mark.parametrize(("body", "message"), [
    ("def charges(self, charge):\n        return charge", r"mine\.py: Mine\.charges is no hook .*mean charge\?"),
    ("def loss(self, charge):\n        return charge", r"mine\.py: Mine overrides no hook.*; there are network, start"),
    ("published = 'Mine'", "Mine overrides no hook, so that it changes nothing of a training"),
    ("def start(self, run): pass\n    def on_batch(self): pass\n    def Batch(self, batch): return batch",
     r"Mine\.Batch is no hook .*did you mean batch\?"),
    ("def charge(self, charge, epoch):\n        return charge",
     r"Mine\.charge\(self, charge, epoch\) is called with \(self, charge\)"),
    ("charge = 0.5", r"Mine\.charge is no method"),
])  # fmt: skip
def test_a_method_that_would_train_as_the_base_is_refused(tmp_path, body, message):
    (tmp_path / "mine.py").write_text(METHOD.format(body))
    with pytest.raises(ValueError, match=message):
        use_file(tmp_path / "mine.py")
    assert "mine" not in METHODS and not LOADED


def test_helpers_that_the_class_uses_may_be_called_like_hooks(tmp_path):
    body = "def charge(self, charge): return self.charged(charge)\n    def charged(self, charge): return charge"
    (tmp_path / "mine.py").write_text(METHOD.format(body))
    assert use_file(tmp_path / "mine.py").adds == {"METHODS": ("mine",)}
    assert not [name for name, method in METHODS.items() if method_fault(method)]


def test_an_object_that_overrides_no_hook_is_refused():
    with pytest.raises(ValueError, match="Method overrides no hook"):
        Methods({}, [Method(None)])


@pytest.mark.parametrize(("text", "message"), [
    ("def build(): pass\nENCODERS = {'mine': build}", r"mine of ENCODERS is called with \(options\), got build\(\)"),
    ("class Loud:\n    def __init__(self, prompts): pass\n    def identify(self): pass\n"
     "    encode = encode_many = print\nTEACHERS = {'loud': ('audio', Loud)}",
     r"the teacher loud has no method identity \(did you mean identify\?\)"),
    ("def build(): pass\nTEACHERS = {'loud': ('audio', build)}", r"loud of TEACHERS is called with \(prompts\)"),
    ("from valor.data.datasets.dataset import DataSet\nfrom valor.data.vocabulary import LLP_CLASSES\n"
     "def read(folder): pass\nDATASETS = {'x': DataSet(name='x', title='X', classes=LLP_CLASSES, reader=read)}",
     r"x of DATASETS is called with \(dataset, folder, split, names, version\), got read\(folder\)"),
])  # fmt: skip
def test_parts_that_cannot_be_called_are_refused(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        use_file(tmp_path / "mine.py")


SHAPES = """
import torch
from torch import nn
from valor.parsers.pooling import PooledProbs

class Part(nn.Module):
    def input_widths(self):
        return {{"audio": None, "visual": None, "motion": None}}

    def forward(self, one, other, *more):
        return {}

{} = {{"bad": lambda options: {}}}
"""


@pytest.mark.parametrize(("kind", "answer", "built", "message"), [
    ("ENCODERS", "one[..., :8], other[..., :8]", "Part()",
     r"mine\.py: encoder bad must answer audio \[2, 10, 16\] and visual \[2, 10, 16\] to 2 clips, got \[2, 10, 8\]"),
    ("ENCODERS", "one", "Part()", r"encoder bad must answer .*, got one tensor \[2, 10, 16\]"),
    ("ENCODERS", "None", "Part()", r"encoder bad must answer .*, got None, as without a `return`"),
    ("ENCODERS", "one, other", "None", r"mine\.py: encoder bad must be built as an nn\.Module, got None"),
    ("POOLINGS", "other.amax(dim=1)", "Part()",
     r"mine\.py: pooling bad must answer PooledProbs\(clip, modality\), got one tensor \[2, 2, 25\]"),
    ("POOLINGS", "PooledProbs(other.amax(dim=1), other)", "Part()",
     r"pooling bad must answer clip \[2, 25\] and modality \[2, 2, 25\] to 2 clips, got \[2, 2, 25\] and"),
    ("STEMS", "one, other", "nn.Identity()", r"mine\.py: stem bad must have a method input_widths"),
    ("STEMS", "one[..., :8], other", "Part()", r"mine\.py: stem bad must answer audio \[2, 10, 16\] and visual"),
    ("NETWORKS", "one, other", "None", r"mine\.py: network bad must be built as an nn\.Module, got None"),
    ("NETWORKS", "one, other", "Part()", r"mine\.py: network bad must answer a ParserOutput, got \[2, 10, 768\] and"),
])  # fmt: skip
def test_a_part_of_another_shape_is_named_before_the_first_epoch(data, tmp_path, kind, answer, built, message):
    (tmp_path / "mine.py").write_text(SHAPES.format(answer, kind, built))
    changes = [*CHANGES, f"parser.{kind.lower().removesuffix('s')}=bad"]
    given = {"own_files": [tmp_path / "mine.py"], "changes": changes, "device": "cpu", "progress": False}
    with pytest.raises(ValueError, match=message):
        valor.train("valor++", data=data, out=tmp_path / "run", **given)
    assert not (tmp_path / "run/log.jsonl").is_file()


@pytest.mark.parametrize(("kind", "given"), [("ENCODERS", "audio, visual"), ("POOLINGS", "features, segment_probs")])
def test_a_part_of_another_signature_is_one_sentence(data, tmp_path, kind, given):
    (tmp_path / "mine.py").write_text(
        SHAPES.replace("self, one, other, *more", f"self, {given}").format("1", kind, "Part()")
    )
    name = kind.lower().removesuffix("s")
    options = {"own_files": [tmp_path / "mine.py"], "changes": [*CHANGES, f"parser.{name}=bad"], "device": "cpu"}
    message = rf"mine\.py: {name} bad is called with \({given}, valid\) \(valid is None .*, got forward\({given}\)"
    with pytest.raises(ValueError, match=message):
        valor.train("valor++", data=data, out=tmp_path / "run", progress=False, **options)


@pytest.mark.parametrize(("body", "message"), [
    ("return charge.plus('x', 1.0, self.x)\n    def x(self): return 0",
     r"mine\.py, line 7: the loss term 'x' is called with \(charge\), got x\(\)"),
    ("pass", r"mine\.py, line 5: charge of the method mine must answer .* a changed Charge, got None, as without a"),
    ("return charge.output", r"charge of the method mine .* got a ParserOutput"),
    ("return charge.plus('x', 1.0, self.x)\n    def x(self, charge): return charge.output.segment_probs",
     r"mine\.py, line 7: the loss term 'x' must be a tensor of one number, got one of shape \[\d+, 10, 2, 25\]"),
    ("return charge.plus('x', 1.0, lambda charge: 0.5)", r"the loss term 'x' must be .*, got float"),
    ("return charge.plus('x', 1.0, self.x)\n    def x(self, charge): return charge.output.clip_probs.detach().mean()",
     r"mine\.py, line 7: the loss term 'x' has no gradient \(it is 0\.\d+\), so nothing would learn from it; leave"),
])  # fmt: skip
def test_a_hook_that_answers_something_else_is_named(data, tmp_path, body, message):
    (tmp_path / "mine.py").write_text(METHOD.format(f"def charge(self, charge):\n        {body}"))
    given = {"own_files": [tmp_path / "mine.py"], "changes": [*CHANGES, "methods.mine=on"], "device": "cpu"}
    with pytest.raises(ValueError, match=message):
        valor.train("valor++", data=data, out=tmp_path / "run", progress=False, **given)


def test_a_loss_term_that_has_nothing_to_do_in_a_batch_may_be_zero(data, tmp_path):
    body = "return charge.plus('x', 1.0, lambda charge: charge.output.segment_probs.new_zeros(()))"
    (tmp_path / "mine.py").write_text(METHOD.format(f"def charge(self, charge):\n        {body}"))
    given = {"own_files": [tmp_path / "mine.py"], "changes": [*CHANGES, "methods.mine=on"], "device": "cpu"}
    assert valor.train("valor++", data=data, out=tmp_path / "run", progress=False, **given).seeds


def test_a_charge_says_what_it_has():
    charge = Charge(None, Batch((), *[None] * 6), None, None, None, None)
    with pytest.raises(AttributeError, match=r"no 'weak_label' \(did you mean weak_labels\?\); it has parser, batch, "):
        charge.weak_label  # noqa: B018
    with pytest.raises(AttributeError, match=r"no 'clip_ids' \(did you mean batch.clip_ids\?\)"):
        charge.clip_ids  # noqa: B018
    assert not hasattr(charge, "nothing") and copy.copy(charge).batch is charge.batch
