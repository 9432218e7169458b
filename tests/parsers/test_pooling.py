import pytest
import torch

from valor.parsers.pooling import AttentiveMilPooling, LinearSoftmaxPooling, MaxPooling

POOLINGS = [AttentiveMilPooling(8, 3), LinearSoftmaxPooling(), MaxPooling()]


def _inputs(segments: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, segments, 2, 8, generator=generator), torch.rand(2, segments, 2, 3, generator=generator)


def test_attentive_pooling_is_the_formula():
    features, probs = _inputs()
    pooling = POOLINGS[0]
    pooled = pooling(features, probs)
    over_time = torch.einsum("btmd,cd->btmc", features, pooling.temporal_attention.weight)
    over_time = (over_time + pooling.temporal_attention.bias).exp()
    over_modalities = torch.einsum("btmd,cd->btmc", features, pooling.modality_attention.weight)
    over_modalities = (over_modalities + pooling.modality_attention.bias).exp()
    time_weight = over_time / over_time.sum(dim=1, keepdim=True)
    modality_weight = over_modalities / over_modalities.sum(dim=2, keepdim=True)
    assert torch.allclose(pooled.clip, (time_weight * modality_weight * probs).sum(dim=(1, 2)), atol=1e-6)
    assert torch.allclose(pooled.modality, (time_weight * probs).sum(dim=1), atol=1e-6)


def test_attentive_clip_probability_can_exceed_one():
    # Audio looks at segment 0, where audio counts alone; visual at segment 1, where visual counts alone.
    pooling = AttentiveMilPooling(4, 1)
    with torch.no_grad():
        pooling.temporal_attention.weight.copy_(torch.tensor([[50.0, 0, 0, 0]]))
        pooling.modality_attention.weight.copy_(torch.tensor([[0, 50.0, 0, 0]]))
    features = torch.zeros(1, 2, 2, 4)
    features[0, 0, 0, :2] = features[0, 1, 1, :2] = 1
    assert pooling(features, torch.ones(1, 2, 2, 1)).clip.item() == pytest.approx(2.0, abs=1e-5)


def test_linear_softmax_and_max_by_hand():
    probs = torch.tensor([[0.5, 0.0], [1.0, 0.0]]).reshape(1, 2, 2, 1)  # audio 0.5 then 1.0, visual never
    features = torch.zeros(1, 2, 2, 8)
    linear, largest = LinearSoftmaxPooling()(features, probs), MaxPooling()(features, probs)
    assert linear.modality.flatten().tolist() == pytest.approx([1.25 / 1.5, 0])
    assert linear.clip.item() == pytest.approx(1.25 / 1.5)
    assert largest.modality.flatten().tolist() == [1, 0] and largest.clip.item() == 1


@pytest.mark.parametrize("pooling", POOLINGS, ids=lambda p: type(p).__name__)
def test_segments_that_are_not_valid_change_nothing(pooling):
    features, probs = _inputs(segments=6)
    valid = torch.tensor([[True] * 4 + [False] * 2] * 2)
    expected = pooling(features[:, :4], probs[:, :4])
    features[:, 4], features[:, 5], probs[:, 4:] = 100, -100, 1  # wins the attention of every class, whatever its sign
    pooled = pooling(features, probs, valid)
    assert torch.allclose(pooled.clip, expected.clip, atol=1e-6)
    assert torch.allclose(pooled.modality, expected.modality, atol=1e-6)
