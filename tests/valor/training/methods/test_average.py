"""The running mean of weights against its formula."""

import pytest
import torch

from tests.helpers.toy_features import TINY
from valor.parsers.build import build_parser
from valor.training.methods.average import WeightAverage


def _walk(parser, steps, average):
    """Change the weights as training would; yields them after each step."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        with torch.no_grad():
            for parameter in parser.parameters():
                parameter += torch.randn(parameter.shape, generator=generator) / 10
        average.update(parser)
        yield {name: value.double().clone() for name, value in parser.state_dict().items()}


@pytest.mark.parametrize(("decay", "steps"), [(0.5, 6), (0.999, 30)])
def test_mean_is_that_of_the_formula(decay, steps):
    parser = build_parser(TINY, seed=0)
    mean = {name: value.double().clone() for name, value in parser.state_dict().items()}
    average = WeightAverage(parser, decay)
    for n, weights in enumerate(_walk(parser, steps, average), start=1):
        d = min(decay, (1 + n) / (10 + n))
        mean = {name: d * mean[name] + (1 - d) * weights[name] for name in mean}
    found = average.parser.state_dict()
    assert all(torch.allclose(found[name].double(), mean[name], atol=1e-6) for name in mean)
    assert not any(torch.equal(found[name], weights[name].float()) for name in ("classifier.weight",))


def test_it_goes_on_where_it_was():
    parser = build_parser(TINY, seed=0)
    whole = WeightAverage(parser, 0.9)
    list(_walk(parser, 3, whole))
    stopped = WeightAverage(build_parser(TINY, seed=9), 0.9)
    stopped.load({name: tensor.clone() for name, tensor in whole.state().items()})
    for average in (whole, stopped):
        average.update(parser)
    assert whole.steps == stopped.steps == 4
    there = stopped.parser.state_dict()
    assert all(torch.equal(tensor, there[name]) for name, tensor in whole.parser.state_dict().items())


def test_the_mean_does_not_train():
    average = WeightAverage(build_parser(TINY, seed=0).train(), 0.9)
    assert not average.parser.training
    assert not any(parameter.requires_grad for parameter in average.parser.parameters())
