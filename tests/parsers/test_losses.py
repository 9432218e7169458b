import math
from dataclasses import replace

import pytest
import torch

from valor.parsers.hybrid import ParserOutput
from valor.parsers.losses import (
    LossTerms,
    guided_loss,
    loss_terms,
    pseudo_label_loss,
    total_loss,
    weak_loss,
)


def _output(batch: int = 2, segments: int = 3, classes: int = 4) -> ParserOutput:
    logits = torch.randn(batch, segments, 2, classes, generator=torch.Generator().manual_seed(0))
    probs = logits.sigmoid()
    return ParserOutput(logits, probs, probs.mean(dim=(1, 2)), probs.mean(dim=1), logits)


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
        ParserOutput(logits, logits, torch.zeros(2, 5), torch.zeros(2, 2, 4), logits)
    with pytest.raises(ValueError, match=r"features must be .*got \(2, 4, 2, 8\)"):
        ParserOutput(logits, logits, torch.zeros(2, 4), torch.zeros(2, 2, 4), torch.zeros(2, 4, 2, 8))


def test_guided_loss_of_lost_tags_has_a_target_of_0():
    probs = torch.rand(3, 2, 4, dtype=torch.float64)
    weak = (torch.rand(3, 4, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    kept = torch.ones(3, 2, 4, dtype=torch.bool)
    kept[1, 1] = False
    targets = torch.stack((weak, 0.9 * weak + 0.05), dim=1)  # HAN: audio as it is, visual at 0.9 y + 0.05
    expected = torch.nn.functional.binary_cross_entropy(probs, targets, reduction="none").mean(dim=(0, 2)).sum()
    assert guided_loss(probs, weak, (0.0, 0.1)).item() == pytest.approx(expected.item(), rel=1e-12)
    targets[1, 1] = 0
    expected = torch.nn.functional.binary_cross_entropy(probs, targets, reduction="none").mean(dim=(0, 2)).sum()
    assert guided_loss(probs, weak, (0.0, 0.1), kept).item() == pytest.approx(expected.item(), rel=1e-12)


def test_pseudo_labels_of_lost_tags_are_dropped():
    output, weak, pseudo = _output(), torch.ones(2, 4), torch.ones(2, 3, 2, 4)
    kept = torch.ones(2, 2, 4, dtype=torch.bool)
    kept[0, 1, 2] = False
    found = loss_terms(output, weak, pseudo, kept=kept)
    changed = pseudo.clone()
    changed[0, :, 1, 2] = 0
    expected = loss_terms(output, weak, changed)
    assert found.audio == expected.audio and found.visual == expected.visual
    assert found.visual != loss_terms(output, weak, pseudo).visual


@pytest.mark.parametrize("padded", [False, True])
def test_balanced_segment_losses_weigh_classes_by_the_tags(padded):
    output, balance = _output(), torch.tensor([[3.0, 0.5], [7.0, 0.25]])
    weak = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    pseudo = torch.rand(2, 3, 2, 4, generator=torch.Generator().manual_seed(2)) * weak[:, None, None]
    valid = torch.tensor([[True, True, False], [True, True, True]]) if padded else None
    weights = torch.where(weak[:, None, None] > 0.5, balance[:, :1], balance[:, 1:])  # [B, 1, M, C]
    found = loss_terms(output, weak, pseudo, valid, weights=weights)
    for m, term in enumerate((found.audio, found.visual)):
        terms = []
        for b in range(2):
            for t in range(3):
                for c in range(4):
                    if valid is None or valid[b, t]:
                        p, y = output.segment_probs[b, t, m, c].item(), pseudo[b, t, m, c].item()
                        weight = balance[m, 0 if weak[b, c] else 1].item()
                        terms.append(-weight * (y * math.log(p) + (1 - y) * math.log(1 - p)))
        assert term.item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_each_kind_of_term_has_a_weight_of_its_own():
    terms = LossTerms(*(torch.tensor(value) for value in (1.0, 2.0, 4.0, 8.0)))
    assert total_loss(terms, pseudo_label_weight=0.5, guided_weight=0.25).item() == 1 + 3 + 2


def test_a_clip_of_half_the_weight_counts_half_in_every_term():
    output, weak, pseudo = _output(), torch.ones(2, 4), torch.ones(2, 3, 2, 4)

    def terms(rows, **changes):
        held = {name: of[rows] for name, of in vars(output).items() if of is not None}
        taken = replace(output, **held)
        return loss_terms(taken, weak[rows], pseudo[rows], smoothing=(0, 0.1), **changes)

    found = terms([0, 1], clip_weights=torch.tensor([1, 0.5]))
    each = zip(found, terms([0]), terms([1]), strict=True)
    assert all(whole.item() == pytest.approx((one + 0.5 * other).item() / 2) for whole, one, other in each)
