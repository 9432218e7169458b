"""Captions of classes: one or several."""

import pytest
import torch

from valor.label_harvest.teachers.teacher import all_captions, as_json, check_prompts, class_embeddings

PROMPTS = ("a dog", ("a cat", "a kitten"), ["a car"])


def test_captions_are_flattened_in_class_order():
    assert all_captions(PROMPTS) == ["a dog", "a cat", "a kitten", "a car"]
    assert as_json(PROMPTS) == ["a dog", ["a cat", "a kitten"], ["a car"]]


def test_an_ensemble_is_the_mean_of_unit_embeddings_at_length_1():
    rows = torch.tensor([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0], [0.0, 1.0]])
    classes = class_embeddings(rows, PROMPTS)
    assert torch.equal(classes[[0, 2]], rows[[0, 3]])
    mean = torch.tensor([0.8, 0.4])
    torch.testing.assert_close(classes[1], mean / mean.norm())


@pytest.mark.parametrize("prompts", [(), ("a dog", " "), ("a dog", ()), (("a dog", ""),)])
def test_blank_captions_are_refused(prompts):
    with pytest.raises(ValueError, match="prompts must be one caption per class or more"):
        check_prompts(prompts)
