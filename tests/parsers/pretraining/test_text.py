"""The three objectives on prompts that teachers accept: mmv, vatt, lava."""

from dataclasses import replace

import pytest
import torch

from tests.helpers.toy_pretraining import OPTIONS, ToyPool, clips, drawn, views_of
from valor.parsers.pretraining.accepted import Accepted
from valor.parsers.pretraining.contrast import info_nce
from valor.parsers.pretraining.lava import Lava
from valor.parsers.pretraining.objective import Segments
from valor.parsers.pretraining.options import LavaOptions, MmvOptions, VattOptions
from valor.parsers.pretraining.vatt import Vatt
from valor.parsers.pretraining.versatile import Mmv, figures_of, seconds_nce, text_nce

pytestmark = pytest.mark.usefixtures("one_thread")

B, T, C = 4, 10, 3


def judged(audio: torch.Tensor | None = None, visual: torch.Tensor | None = None) -> Segments:
    """Clips with what teachers say of three classes: nothing, unless it is given."""
    heard, seen = (torch.zeros(B, T, C) if said is None else said for said in (audio, visual))
    prompts = (drawn((C, 7), 7), drawn((C, 9), 8))
    return replace(clips(count=B, segments=T), evidence=(heard, seen), prompts=prompts)


def said(*places: tuple[int, int, int]) -> torch.Tensor:
    evidence = torch.zeros(B, T, C)
    for place in places:
        evidence[place] = 1
    return evidence


def test_a_prompt_is_accepted_far_above_its_mean_and_around_it():
    batch = judged(said((0, 3, 1), (2, 0, 0)), said((1, 9, 2)) * 50 + 7)
    for nearby, around in ((0, 1), (1, 3), (2, 5)):
        accepted = Accepted(2.0, nearby)
        assert accepted.prepare(ToyPool(batch)) == (7, 9)
        heard, seen = accepted(batch)
        assert heard[0, :, 1].sum() == around and heard[0, 3, 1] and heard.sum() == around + nearby + 1
        assert seen[1, 9 - nearby :, 2].all() and seen.sum() == nearby + 1
    ended = replace(batch, valid=torch.arange(T).expand(B, T) < 4)
    assert Accepted(2.0, 1).prepare(ToyPool(batch)) and accepted(ended)[0][0, :, 1].nonzero().flatten().tolist() == [
        1,
        2,
        3,
    ]
    # a class that is there most of the time never is, and neither is one of which nothing is ever said
    often = torch.ones(B, T, C)
    often[0, 0] = 0
    accepted.prepare(ToyPool(judged(torch.cat((often[..., :1], said((0, 0, 1))[..., 1:]), dim=-1), said((0, 0, 0)))))
    assert not accepted(judged(often))[0][..., 0].any() and not accepted(judged(often))[0][..., 2].any()


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (clips(count=B, segments=T), "this objective learns from prompts, and the store has none"),
        (judged(said((0, 0, 0))), "no prompt of the visual lies 2 deviations above its mean anywhere in the pool of 4"),
    ],
)
def test_a_pool_without_text_is_refused(held, message):
    views = views_of()
    with pytest.raises(ValueError, match=message):
        Mmv(views, MmvOptions()).prepare(views, ToyPool(held))


def test_only_text_that_is_learned_from_must_be_accepted_somewhere():
    views, silent = views_of(), ToyPool(judged(visual=said((0, 0, 0))))
    for kind, options in ((Mmv, MmvOptions()), (Vatt, VattOptions())):
        kind(views, options).prepare(views, silent)  # the text of pictures alone
    with pytest.raises(ValueError, match="no prompt of the audio lies 2 deviations above"):
        Lava(views, LavaOptions()).prepare(views, silent)


def test_a_contrast_of_seconds_is_one_of_clips_for_each_second():
    x, y = drawn((B, T, 5), 1), drawn((B, T, 5), 2)
    each = torch.stack([info_nce(x[:, t], y[:, t], 0.1) for t in range(T)])
    torch.testing.assert_close(seconds_nce(x, y, 0.1, None), each.mean())
    valid = torch.ones(B, T, dtype=torch.bool)
    valid[1, 4:] = False
    others = torch.tensor([0, 2, 3])
    each = torch.stack([info_nce(x[others, t], y[others, t], 0.1) if t >= 4 else each[t] for t in range(T)])
    rows = torch.tensor([4.0] * 4 + [3.0] * 6)  # seconds that exist count alike
    torch.testing.assert_close(seconds_nce(x, y, 0.1, valid), (each * rows).sum() / rows.sum())


def test_prompts_with_one_positive_are_info_nce_both_ways():
    seconds, words = drawn((1, C, 5), 1), drawn((C, 5), 2)
    own = torch.eye(C, dtype=torch.bool)[None]
    torch.testing.assert_close(text_nce(seconds, words, own, 0.1), info_nce(seconds[0], words, 0.1))


@pytest.mark.parametrize("kind", [Mmv, Vatt])
def test_without_text_the_contrast_of_sound_and_picture_is_left(kind):
    views, batch = views_of(), judged(said((0, 0, 0)), said((0, 0, 0)))
    objective = kind(views, kind.Options())
    objective.prepare(views, ToyPool(batch))
    silent = replace(batch, evidence=(torch.zeros(B, T, C),) * 2)
    found, none = (objective.loss(views, held, torch.Generator().manual_seed(0)) for held in (batch, silent))
    assert none.total.item() == none.parts["sound_picture"].item() and none.parts["picture_text"] == 0
    assert found.parts["picture_text"] > 0.1 and found.figures["with_text"] > 0 == none.figures["with_text"]


def test_sound_reaches_text_by_the_head_of_pictures_and_leaves_its_statistics():
    views, batch = views_of(), judged(said((0, 0, 0)), said((0, 0, 0)))
    mmv = Mmv(views, MmvOptions())
    mmv.prepare(views, ToyPool(batch))
    loud = replace(batch, audio=batch.audio * 30)
    means = []
    for held in (batch, loud):
        mmv.coarse[1].reset_running_stats()
        mmv.train().loss(views, held, torch.Generator())
        means.append(mmv.coarse[1].running_mean.clone())
    assert torch.equal(*means) and means[0].any()
    assert [x.shape for x in mmv.eval().in_text(views, batch)] == [(B, T, 8)] * 2


def test_dropped_seconds_have_no_gradient_and_kept_ones_do():
    views, batch = views_of(replace(OPTIONS, motion_width=0)), judged(said((0, 0, 0)), said((0, 0, 0)))
    batch = replace(batch, motion=None)
    vatt = Vatt(views, VattOptions(drop_share=0.5))
    vatt.prepare(views, ToyPool(batch))
    kept = vatt.dropped(batch, torch.Generator().manual_seed(5)).valid
    assert kept.sum(dim=1).tolist() == [5] * B
    batch.audio.requires_grad_(), batch.visual.requires_grad_()
    vatt.loss(views, batch, torch.Generator().manual_seed(5)).total.backward()
    for stream in (batch.audio, batch.visual):
        assert torch.equal(stream.grad.abs().sum(dim=2) > 0, kept)


def test_text_of_a_dropped_second_stays_that_of_the_kept_ones_around_it():
    views, batch = views_of(), judged(said((0, 0, 0)), said((0, 0, 0)))
    vatt = Vatt(views, VattOptions(drop_share=0.5))
    vatt.prepare(views, ToyPool(batch))
    kept = vatt.dropped(batch, torch.Generator().manual_seed(5)).valid
    gone = next(t for t in range(T) if not kept[1, t] and kept[1, max(t - 2, 0) : t + 3].any())
    evidence = said((1, gone, 0))
    batch = replace(batch, evidence=(evidence, evidence))
    found = vatt.loss(views, batch, torch.Generator().manual_seed(5)).figures
    around = kept[1, max(gone - 2, 0) : gone + 3].sum()
    assert found["with_text"] * kept.sum() == around > 0


def test_how_far_vectors_spread_is_of_the_seconds_that_are_there():
    batch = replace(clips(count=B, segments=T), valid=torch.arange(T).expand(B, T) < T // 2)
    heard = drawn((B, T, 5), 1) * batch.valid[..., None]
    accepted = torch.zeros(B, T, C, dtype=torch.bool)
    assert figures_of(heard, heard, accepted, batch)["audio_spread"] > 0.9


def test_what_is_only_seen_is_text_of_the_picture_unless_text_is_shared():
    batch = judged(said((0, 5, 0)) + 0.1 * drawn((B, T, C), 1), said((1, 5, 2)) * 9 + 0.1 * drawn((B, T, C), 2))
    views, found, words = views_of(), {}, {}
    for text in ("own", "shared"):
        lava = Lava(views, LavaOptions(text=text, nearby=0, accept=2.5))
        lava.prepare(views, ToyPool(batch))
        found[text], words[text] = lava.accepted(batch), lava.words(batch)
    heard, seen = found["own"]
    assert seen[1, 5, 2] and not heard[1, 5, 2] and heard[0, 5, 0] and not seen[0, 5, 0]
    heard, seen = found["shared"]
    assert torch.equal(heard, seen) and heard[1, 5, 2]
    assert torch.equal(*words["shared"]) and not torch.equal(*words["own"])
