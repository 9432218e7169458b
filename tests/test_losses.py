import math

import pytest
import torch

from parsers.losses import loss_terms, pseudo_label_loss, total_loss, weak_loss
from parsers.output import ParserOutput


def _output(batch: int = 2, segments: int = 3, classes: int = 4) -> ParserOutput:
    logits = torch.randn(batch, segments, 2, classes, generator=torch.Generator().manual_seed(0))
    probs = logits.sigmoid()
    return ParserOutput(logits, probs, probs.mean(dim=(1, 2)), probs.mean(dim=1))


def test_weak_loss_is_cross_entropy_over_all_classes():
    probs, labels = torch.tensor([[0.25, 0.5]]), torch.tensor([[1.0, 0.0]])
    assert weak_loss(probs, labels).item() == pytest.approx((math.log(4) + math.log(2)) / 2)


def test_weak_loss_equals_torch_on_soft_labels():
    probs, labels = torch.rand(5, 7, dtype=torch.float64), torch.rand(5, 7, dtype=torch.float64)
    expected = torch.nn.functional.binary_cross_entropy(probs, labels)
    assert weak_loss(probs, labels).item() == pytest.approx(expected.item(), rel=1e-14)


def test_weak_loss_clamps_and_has_no_gradient_there():
    probs = torch.tensor([[0.0, 1.0, 1.7, 0.5]], dtype=torch.float64, requires_grad=True)
    loss = weak_loss(probs, torch.tensor([[1.0, 0.0, 1.0, 1.0]], dtype=torch.float64))
    loss.backward()
    assert loss.item() == pytest.approx((2 * -math.log(1e-7) + 1e-7 + math.log(2)) / 4)
    assert probs.grad[0].tolist() == pytest.approx([0, 0, 0, -0.5])


def test_weak_loss_passes_nan_on_for_the_loop_to_name():
    assert weak_loss(torch.tensor([[math.nan]]), torch.tensor([[1.0]])).isnan()


def test_pseudo_label_loss_counts_valid_segments_only():
    logits = torch.zeros(1, 3, 2)
    logits[0, 2] = 100.0
    labels = torch.zeros(1, 3, 2)
    assert pseudo_label_loss(logits, labels).item() == pytest.approx((2 * math.log(2) + 100) / 3)
    valid = torch.tensor([[True, True, False]])
    assert pseudo_label_loss(logits, labels, valid).item() == pytest.approx(math.log(2))


def test_terms_go_to_their_own_modality():
    output = _output()
    weak, pseudo = torch.zeros(2, 4), torch.zeros(2, 3, 2, 4)
    pseudo[:, :, 1] = 1
    terms = loss_terms(output, weak, pseudo)
    assert terms.audio.item() == pytest.approx(
        pseudo_label_loss(output.segment_logits[:, :, 0], weak[:, None].expand(2, 3, 4)).item()
    )
    assert terms.visual.item() == pytest.approx(
        pseudo_label_loss(output.segment_logits[:, :, 1], pseudo[:, :, 1]).item()
    )
    expected = terms.weak + 0.5 * (terms.audio + terms.visual)
    assert total_loss(terms, pseudo_label_weight=0.5).item() == pytest.approx(expected.item())


def test_without_pseudo_labels_only_the_weak_term_is_left():
    terms = loss_terms(_output(), torch.zeros(2, 4))
    assert terms.audio is None and terms.visual is None
    assert total_loss(terms) is terms.weak


def test_output_refuses_parts_of_different_batches():
    logits = torch.zeros(2, 3, 2, 4)
    with pytest.raises(ValueError, match=r"clip_probs must be \(2, 4\).*got \(2, 5\)"):
        ParserOutput(logits, logits, torch.zeros(2, 5), torch.zeros(2, 2, 4))
