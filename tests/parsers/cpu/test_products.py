import pytest
import torch
from torch.nn import functional

from valor.parsers.cpu import products
from valor.parsers.cpu.products import Dense, dense, linear, uses_onednn, weight_gradient

pytestmark = pytest.mark.filterwarnings("ignore:TF32 acceleration")
KERNELS = pytest.mark.parametrize("enabled", [True, False], ids=["onednn", "torch"])


def _operands(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(30, 24, dtype=dtype), torch.randn(17, 24, dtype=dtype), torch.randn(17, dtype=dtype)


@KERNELS
@pytest.mark.parametrize("wide", [True, False])
def test_linear_equals_torch_in_every_orientation(enabled, wide, monkeypatch):
    monkeypatch.setattr(products, "_WIDE", wide)
    x, weight, bias = _operands()
    with torch.backends.mkldnn.flags(enabled=enabled):
        assert torch.allclose(linear(x, weight, bias), functional.linear(x, weight, bias), atol=1e-5)
        assert torch.allclose(linear(x, weight, bias, relu=True), functional.linear(x, weight, bias).relu(), atol=1e-5)
        grad = torch.randn(30, 17)
        assert torch.allclose(linear(grad, weight.t()), grad @ weight, atol=1e-5)
        assert torch.allclose(weight_gradient(grad, x), grad.t() @ x, atol=1e-5)


@KERNELS
def test_dense_and_its_gradients_equal_torch(enabled):
    x, weight, bias = (t.requires_grad_() for t in _operands())
    grad = torch.randn(5, 6, 17)
    with torch.backends.mkldnn.flags(enabled=enabled):
        ours = torch.autograd.grad((dense(x.view(5, 6, 24), weight, bias) * grad).sum(), (x, weight, bias))
    theirs = torch.autograd.grad((functional.linear(x.view(5, 6, 24), weight, bias) * grad).sum(), (x, weight, bias))
    for got, want in zip(ours, theirs, strict=True):
        assert torch.allclose(got, want, atol=1e-4)


def test_features_need_no_gradient():
    x, weight, bias = _operands()
    dense(x, weight.requires_grad_(), bias.requires_grad_()).sum().backward()
    assert x.grad is None and torch.allclose(bias.grad, torch.full((17,), 30.0))


def test_only_float32_on_the_cpu_goes_to_onednn():
    x, weight, bias = _operands(torch.float64)
    assert not uses_onednn(x)
    assert torch.equal(dense(x, weight, bias), functional.linear(x, weight, bias))
    with torch.backends.mkldnn.flags(enabled=False):
        assert not uses_onednn(x.float())


def test_without_the_operator_torch_does_it(monkeypatch):
    monkeypatch.setattr(products, "_KERNEL", None)
    x, weight, bias = _operands()
    assert torch.equal(dense(x, weight, bias), functional.linear(x, weight, bias))


def test_not_a_number_stays_one():
    x, weight, bias = _operands()
    x[3, 4] = float("nan")
    assert linear(x, weight, bias)[3].isnan().all() and linear(x, weight, bias)[4].isfinite().all()


def test_dense_layer_is_a_linear_layer():
    torch.manual_seed(4)
    ours = Dense(24, 17)
    torch.manual_seed(4)
    theirs = torch.nn.Linear(24, 17)
    assert torch.equal(ours.weight, theirs.weight) and torch.equal(ours.bias, theirs.bias)
    x = torch.randn(2, 3, 24)
    assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def test_the_operator_is_used_where_torch_was_built_with_it():
    built_in = "_linear_pointwise" in dir(torch.ops.mkldnn) or hasattr(torch.ops.mkldnn, "_linear_pointwise")
    assert uses_onednn(torch.zeros(1)) == built_in


def test_rows_that_lie_apart_are_laid_together_before_any_product(monkeypatch):
    """What oneDNN has no kernel for it multiplies number by number, which takes hundreds of times as long."""
    torch.manual_seed(0)
    both, weight = torch.randn(6, 2, 8, requires_grad=True), torch.randn(4, 8, requires_grad=True)
    probe = torch.randn(6, 2, 4)[:, 1]
    given = []
    kernel = products.linear
    monkeypatch.setattr(products, "linear", lambda x, w, b=None: given.extend((x, w)) or kernel(x, w, b))
    found = torch.autograd.grad((products.dense(both[:, 1], weight, None) * probe).sum(), (both, weight))
    expected = torch.autograd.grad((torch.nn.functional.linear(both[:, 1], weight) * probe).sum(), (both, weight))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert all(tensor.is_contiguous() or tensor.t().is_contiguous() for tensor in given)
