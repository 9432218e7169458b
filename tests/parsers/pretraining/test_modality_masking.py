from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_pretraining import CODED, ToyPool, clips, drawn, views_of
from valor.parsers.pretraining.modality_masking import ModalityMasking
from valor.parsers.pretraining.objective import Segments
from valor.parsers.pretraining.options import ModalityMaskingOptions

pytestmark = pytest.mark.usefixtures("one_thread")

STREAMS = ("audio", "visual", "motion")


def judged() -> Segments:
    return replace(clips(), evidence=(drawn((3, 5, 4), 5), drawn((3, 5, 4), 6)))


@pytest.mark.parametrize("withheld", [*STREAMS, "text"])
def test_nothing_of_what_is_withheld_reaches_the_encoder(withheld):
    views, batch = views_of(), judged()
    masking = ModalityMasking(views, ModalityMaskingOptions(width=8))
    masking.prepare(views, ToyPool(batch))
    assert masking.modalities == (*STREAMS, "text")
    inputs = {name: getattr(batch, name).requires_grad_() for name in STREAMS}
    inputs["text"] = batch.evidence[0].requires_grad_()
    masking.seen(views, batch, withheld)[:, :5].sum().backward(retain_graph=True)
    seen = {name for name, x in inputs.items() if x.grad is not None and x.grad.abs().max() > 0}
    assert seen == ({"visual", "motion"} if withheld == "audio" else set(STREAMS) - {withheld})
    for x in inputs.values():
        x.grad = None
    masking.query[withheld](masking.of(views, batch, withheld), None)[:, :5].sum().backward()
    assert {name for name, x in inputs.items() if x.grad is not None and x.grad.any()} == {withheld}


def test_shares_say_how_often_each_is_withheld():
    views, pool = views_of(), ToyPool(judged())
    masking = ModalityMasking(views, ModalityMaskingOptions())
    assert masking.shares == pytest.approx([0.2 / 3] * 3 + [0.8])
    assert ModalityMasking.needed(ModalityMaskingOptions()) == {"audio", "visual", "evidence"}
    assert ModalityMasking.needed(ModalityMaskingOptions(text_share=0)) == {"audio", "visual"}
    without = ModalityMasking(views, ModalityMaskingOptions(text_share=0))
    assert without.shares == pytest.approx([1 / 3] * 3)
    without.prepare(views, ToyPool(clips()))
    with pytest.raises(ValueError, match="set objective.text_share=0"):
        masking.prepare(views, ToyPool(clips()))
    masking.prepare(views, pool)
    only_text = ModalityMasking(views, ModalityMaskingOptions(text_share=1))
    only_text.prepare(views, pool)
    assert set(only_text.loss(views, pool.batch(torch.arange(3)), torch.Generator()).parts) == {"text"}


def silences() -> Segments:
    """Six clips, each of which is heard and seen in another second, and silent and black but for it."""
    stream = torch.eye(6)[..., None].expand(-1, -1, 6)
    return Segments(stream, stream)


def test_silences_line_up_only_where_the_query_knows_when_they_are():
    views = views_of(replace(CODED, motion_width=0, num_layers=1))
    torch.manual_seed(1)
    published, masking = (
        ModalityMasking(views, ModalityMaskingOptions(text_share=0, codes=codes, width=16)) for codes in (False, True)
    )
    nothing = 2 * 5 * 0.05  # five others, each within the margin from both sides
    assert published.loss(views, silences(), torch.Generator()).total.item() == pytest.approx(nothing)
    noise = drawn((4, 6, 6), 3)
    for query, tells in ((published.query["audio"], False), (masking.query["audio"], True)):
        assert torch.allclose(query(noise, None), query(noise.flip(1), None), atol=1e-5) != tells
    optimiser = torch.optim.AdamW([*views.parameters(), *masking.parameters()], 1e-2, fused=True)
    losses, rng = [], torch.Generator().manual_seed(0)
    for _ in range(40):
        optimiser.zero_grad()
        loss = masking.loss(views, silences(), rng).total
        loss.backward()
        losses.append(loss.item())
        optimiser.step()
    assert sum(losses[-10:]) / 10 < 0.75 * nothing
