import pytest
import torch

from valor.parsers.cpu.attending import attention_scores, attention_weights

SHAPES = pytest.mark.parametrize("queries", [(2, 3, 4, 6), (1, 3, 4, 6)], ids=["own", "shared"])


def _operands(queries: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    q, k = torch.randn(queries, dtype=torch.float64), torch.randn(2, 5, 3, 6, dtype=torch.float64).transpose(1, 2)
    return q.requires_grad_(), k.requires_grad_()


@SHAPES
def test_scores_and_weights_are_torchs_forward_and_backward(queries):
    q, k = _operands(queries)
    hidden = torch.tensor([False, True, False, False, True])
    ours = attention_weights(attention_scores(q, k).masked_fill(hidden, float("-inf")))
    theirs = (q @ k.mT).masked_fill(hidden, float("-inf")).softmax(-1)
    probe = torch.randn_like(ours)
    found, expected = (torch.autograd.grad((weights * probe).sum(), (q, k)) for weights in (ours, theirs))
    for got, want in zip((ours, *found), (theirs, *expected), strict=True):
        torch.testing.assert_close(got, want)


@SHAPES
def test_gradients_are_those_of_differences(queries):
    assert torch.autograd.gradcheck(lambda q, k: attention_weights(attention_scores(q, k)), _operands(queries))


def test_elsewhere_than_in_a_training_step_torch_does_it(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a training step")

    monkeypatch.setattr("valor.parsers.cpu.attending._Scores.apply", refuse)
    monkeypatch.setattr("valor.parsers.cpu.attending._Softmax.apply", refuse)
    q, k = (x.float() for x in _operands((2, 3, 4, 6)))
    with torch.no_grad():
        torch.testing.assert_close(attention_weights(attention_scores(q, k)), (q @ k.mT).softmax(-1))
    with torch.autocast("cpu", torch.bfloat16):
        assert attention_weights(attention_scores(q, k)).isfinite().all()
    with pytest.raises(AssertionError, match="a training step"):
        attention_scores(q, k)
