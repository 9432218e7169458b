import pytest
import torch
from torch import nn

from valor.parsers.pretraining.teacher import follow, frozen_copy, momentum_at


def test_momentum_follows_half_a_cosine():
    assert momentum_at(0, 0.9) == pytest.approx(0.9)
    assert momentum_at(0.5, 0.9) == pytest.approx(0.95)
    assert momentum_at(1, 0.9) == 1
    assert momentum_at(0.25, 0.0) == pytest.approx(1 - (0.5**0.5 + 1) / 2)


def test_a_teacher_is_the_moving_average_of_its_student():
    student = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        student.weight.fill_(0.0)
    teacher = frozen_copy(nn.Sequential(nn.Dropout(0.5), student))
    with torch.no_grad():
        teacher[1].weight.fill_(8.0)
    expected = 8.0
    for step, momentum in enumerate((0.5, 0.75, 0.9), 1):
        with torch.no_grad():
            student.weight.fill_(float(step))
        follow(teacher, nn.Sequential(nn.Dropout(0.5), student), momentum)
        expected = momentum * expected + (1 - momentum) * step
    assert (
        teacher[1].weight.item() == pytest.approx(expected) == pytest.approx(((8 / 2 + 0.5) * 0.75 + 0.5) * 0.9 + 0.3)
    )
    holder = nn.ModuleList([teacher]).train()
    assert holder.training and not any(part.training for part in teacher.modules())
    assert not teacher[1].weight.requires_grad and student.weight.requires_grad


def test_statistics_are_taken_over_and_other_shapes_refused():
    student = nn.BatchNorm1d(2)
    teacher = frozen_copy(student)
    student(torch.tensor([[0.0, 2.0], [2.0, 6.0]]))
    follow(teacher, student, 0.9)
    assert torch.equal(teacher.running_mean, student.running_mean) and teacher.num_batches_tracked == 1
    with pytest.raises(ValueError, match="of its own shape"):
        follow(teacher, nn.BatchNorm1d(3), 0.9)
