"""One step: which terms it takes, and what a method may change of them."""

from dataclasses import dataclass, replace

import pytest
import torch

from tests.helpers.toy_features import TINY, toy_clip_set
from valor.parsers.build import build_parser
from valor.training.methods.method import Charge, Method, NoOptions
from valor.training.methods.methods import Methods
from valor.training.options import FitOptions, TrainingError, learning_rate
from valor.training.recipes import RECIPES
from valor.training.step import build_optimiser, train_step


def _step(options: FitOptions | None = None, *methods: Method):
    parser, options = build_parser(replace(TINY, dropout=0.0), seed=0), options or FitOptions()
    batch = toy_clip_set(16).batch(torch.arange(16))
    return train_step(parser, batch, build_optimiser(parser, options), options, Methods(own=methods))


def test_terms_that_are_not_asked_for_are_not_taken():
    assert list(_step().terms) == ["weak", "audio", "visual"]
    assert list(_step(FitOptions(pseudo_label_weight=0.0, guided_weight=1.0)).terms) == ["weak", "guided"]


@pytest.mark.parametrize(("name", "kind"), [("uavm-clips", torch.optim.Adam), ("mbt-clips", torch.optim.SGD)])
def test_encoders_of_clips_are_trained_by_their_papers_optimisers(name, kind):
    """On tags alone, which both modalities are held to."""
    recipe = RECIPES[name]
    optimiser = build_optimiser(build_parser(TINY, seed=0), recipe.fit)
    assert type(optimiser) is kind and (recipe.fit.warmup_epochs, recipe.fit.guided_weight) in ((0, 1.0), (2, 1.0))
    rates = [learning_rate(epoch, recipe.fit) for epoch in (1, 2, 3, recipe.fit.epochs)]
    if kind is torch.optim.SGD:
        assert (
            optimiser.defaults["momentum"] == 0.9
            and rates[:2] == [0.25, 0.5]
            and rates[3] == pytest.approx(0, abs=1e-9)
        )
    else:
        assert optimiser.defaults["betas"] == (0.95, 0.999) and rates[:3] == [5e-5, 2.5e-5, 1.25e-5]
    step = _step(replace(recipe.fit, learning_rate=1e-2))
    assert list(step.terms) == ["weak", "guided"]


class Flat(Method[NoOptions]):
    """Charges the mean of the logits, beside VALOR's terms or in their place."""

    def __init__(self, *, alone: bool = False, name: str = "flat") -> None:
        super().__init__(NoOptions())
        self.alone, self.name = alone, name

    def charge(self, charge: Charge) -> Charge:
        charge = replace(charge, has_own_terms=not self.alone)
        return charge.plus(self.name, 0.5, lambda charge: charge.output.segment_logits.mean())


def test_a_method_adds_a_term_or_leaves_the_others_out():
    plain, both, alone = _step(), _step(None, Flat()), _step(None, Flat(alone=True))
    assert list(both.terms) == ["weak", "audio", "visual", "flat"] and list(alone.terms) == ["flat"]
    assert both.total.item() == pytest.approx(plain.total.item() + 0.5 * both.terms["flat"].item(), rel=1e-6)
    assert alone.total == 0.5 * alone.terms["flat"] != 0


@pytest.mark.parametrize("name", ["weak", "total", "grad_norm"])
def test_a_term_has_a_name_of_its_own(name):
    with pytest.raises(ValueError, match=f"a loss term of the name '{name}' is there already; choose another name"):
        _step(None, Flat(name=name))


class Twice(Flat):
    pass


def test_two_terms_of_one_name_are_refused():
    with pytest.raises(ValueError, match="a loss term of the name 'flat' is there already"):
        _step(None, Flat(), Twice())


class Nothing(Method[NoOptions]):
    def charge(self, charge: Charge) -> Charge:
        return replace(charge, has_own_terms=False)


def test_a_step_is_charged_with_something():
    with pytest.raises(ValueError, match="charged with nothing: a method left VALOR's own terms out and added none"):
        _step(None, Nothing(NoOptions()))


class Clumsy(Method[NoOptions]):
    def charge(self, charge: Charge) -> Charge:
        return charge.plus("clumsy", 1.0, self.clumsy)

    def clumsy(self, charge: Charge) -> torch.Tensor:
        return torch.log(charge.output.segment_probs - 2).mean()


def test_a_loss_of_nan_with_a_finite_gradient_is_refused():
    with pytest.raises(TrainingError, match=r"loss nan \(of its terms clumsy nan\) with a gradient norm of \d"):
        _step(None, Clumsy(NoOptions()))


@dataclass(frozen=True)
class Half:
    share: float = 0.5


class Weighed(Method[Half]):
    def charge(self, charge: Charge) -> Charge:
        return replace(charge, segment_weights=torch.full((1, 1, 1, 1), self.options.share))


def test_weights_broadcast_to_segments():
    plain, half = _step().terms, _step(None, Weighed(Half())).terms
    assert half["weak"] == plain["weak"]
    for name in ("audio", "visual"):
        assert half[name].item() == pytest.approx(plain[name].item() / 2, rel=1e-6)
