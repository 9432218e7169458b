import json

import numpy as np
import pytest
import torch

from valor.data.vocabulary import LLP_CLASSES, class_names, prompts
from valor.demo.teachers.captions import NAMES, draw_captions
from valor.demo.teachers.train_teachers import (
    ROLES,
    Pool,
    TeacherOptions,
    batches,
    best_threshold,
    fuse,
    paired_samples,
    render_pool,
    render_pools,
    render_sample,
    score,
    single_samples,
    train_network,
    train_teachers,
)
from valor.label_harvest.teachers.demo import TinyNetwork, build_tiny

TINY = TeacherOptions(samples=96, held_out=160, steps=12, batch=24, workers=1)


@pytest.fixture(scope="module")
def pools():
    return render_pools(TINY, None)


@pytest.fixture(scope="module")
def shipped(pools, tmp_path_factory):
    """Where the whole line wrote its teachers, and its losses."""
    out = tmp_path_factory.mktemp("shipped")
    return out, train_teachers(pools, out, TINY)


@pytest.mark.parametrize("stream", ["visual", "audio"])
def test_a_few_steps_lower_the_loss(pools, stream):
    torch.manual_seed(0)
    losses = train_network(TinyNetwork(stream), single_samples(pools[stream][:96], stream), TINY, TINY.steps)
    assert len(losses) == TINY.steps
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_training_ties_pictures_to_the_captions_of_their_own_classes(pools):
    few = single_samples(pools["audio"][:32], "audio")
    network = TinyNetwork("audio")
    train_network(network, few, TeacherOptions(batch=32, learning_rate=4e-3), 150)
    logits = score(network, few)
    right = logits[few.labels].mean() - logits[~few.labels].mean()
    shifted = np.roll(few.labels, 1, axis=1)
    wrong = logits[shifted].mean() - logits[~shifted].mean()
    assert right > 1.5 and right > 3 * abs(wrong), (right, wrong)


def test_the_whole_line_ships_loadable_teachers(shipped):
    folder, losses = shipped
    assert set(losses) == set(ROLES)
    thresholds = json.loads((folder / "demo_thresholds.json").read_text())
    for role in ROLES:
        facts = json.loads((folder / f"demo_{role}.json").read_text())
        teacher = build_tiny(role, prompts(LLP_CLASSES, role), folder / f"demo_{role}.safetensors")
        assert teacher.identity()["weights"] == facts["sha256"]
        assert facts["options"]["steps"] == TINY.steps and facts["made_by"].endswith("train_teachers")
        assert thresholds[role] == [row["threshold"] for row in facts["classes"].values()]
    assert not list(folder.glob(".*.tmp"))


def test_shipped_weights_answer_as_the_network_did(pools, shipped):
    samples = single_samples(pools["visual"][:32], "visual")
    loaded = build_tiny("visual", prompts(LLP_CLASSES, "visual"), shipped[0] / "demo_visual.safetensors").network
    torch.manual_seed(0)
    network = TinyNetwork("visual")
    train_network(network, single_samples(pools["visual"][: TINY.samples], "visual"), TINY, TINY.steps)
    np.testing.assert_allclose(score(loaded, samples), score(network, samples), atol=0.05)


def test_samples_depend_on_seed_and_number_alone():
    for stream in ("visual", "audio"):
        first, again, other = (render_sample(stream, seed, 3) for seed in (0, 0, 1))
        assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
        assert not np.array_equal(first[0], other[0])


def test_a_pool_labels_each_sample_with_the_classes_it_was_made_of(pools):
    for stream, pool in pools.items():
        for number in (0, 7, 255):
            picture, classes = render_sample(stream, TINY.seed, number)
            assert np.array_equal(pool.pictures[number], picture)
            assert np.flatnonzero(pool.labels[number]).tolist() == sorted(classes)


def test_the_fused_network_starts_from_the_trunks_of_the_others_and_keeps_them(pools):
    torch.manual_seed(0)
    parts = {stream: TinyNetwork(stream) for stream in ("visual", "audio")}
    network = fuse(parts)
    before = {name: tensor.clone() for name, tensor in network.trunks.state_dict().items()}
    train_network(network, paired_samples(pools, np.random.default_rng(0)), TINY, 2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.trunks.state_dict().items())
    for stream, part in parts.items():
        assert torch.equal(network.trunks[stream].convolutions[0].weight, part.trunks[stream].convolutions[0].weight)


def test_pools_hold_every_class_and_empty_samples(pools):
    for pool in pools.values():
        count = pool.labels.sum(axis=1)
        assert count.min() == 0 and count.max() >= 2
        assert pool.labels.any(axis=0).sum() >= 24
    assert pools["visual"].pictures.dtype == np.uint8 and pools["visual"].pictures.shape[1:] == (3, 48, 64)
    assert pools["audio"].pictures.dtype == np.float16 and pools["audio"].pictures.shape[1:] == (1, 48, 64)


def test_rendered_samples_can_be_kept(tmp_path):
    options = TeacherOptions(samples=3, held_out=2, workers=1)
    first = render_pools(options, tmp_path)
    kept = render_pools(options, tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 2
    assert all(np.array_equal(first[name].pictures, kept[name].pictures) for name in first)


def test_two_processes_render_what_one_does():
    alone, shared_out = (render_pool("audio", 4, seed=7, workers=workers) for workers in (1, 2))
    assert np.array_equal(alone.pictures, shared_out.pictures) and np.array_equal(alone.labels, shared_out.labels)


def test_pairs_carry_the_classes_of_both_streams():
    heard, seen = np.zeros((40, 25), bool), np.zeros((25, 25), bool)
    heard[np.arange(40), np.arange(40) % 25] = True
    np.fill_diagonal(seen, val=True)
    pictures = np.zeros((40, 1, 1, 1))
    samples = paired_samples({"audio": Pool(pictures, heard), "visual": Pool(pictures, seen)}, np.random.default_rng(0))
    frames = samples.rows["visual"]
    assert np.array_equal(samples.labels, heard[samples.rows["audio"]] | seen[frames])
    assert 0.35 < (frames == samples.rows["audio"] % 25).mean() < 0.75


def test_batches_visit_every_sample_once_a_round():
    drawn = np.concatenate(list(batches(12, TeacherOptions(batch=4), 6)))
    assert sorted(drawn[:12]) == sorted(drawn[12:]) == list(range(12))


def test_the_threshold_lies_between_what_is_there_and_what_is_not():
    #  logits   5    4    3  |  1    0   -1
    #  present  x    x    x  |  .    .    .
    found = best_threshold(np.array([5.0, 1, 4, 0, 3, -1]), np.array([1, 0, 1, 0, 1, 0], bool))
    assert found == (2.0, 1.0, 1.0)
    #  logits   5    4    3    2    1    0
    #  present  x    .    x    x    .    .
    threshold, precision, recall = best_threshold(np.array([5.0, 4, 3, 2, 1, 0]), np.array([1, 0, 1, 1, 0, 0], bool))
    assert threshold == 1.5 and recall == 1.0
    assert precision == pytest.approx(0.6 / (0.6 + 0.4 / 3))


def test_captions_are_one_per_class_and_include_the_published_prompts():
    rng = np.random.default_rng(0)
    assert tuple(NAMES) == class_names(LLP_CLASSES)
    drawn = [draw_captions(LLP_CLASSES, "visual", rng) for _ in range(60)]
    assert all(len(captions) == 25 for captions in drawn)
    assert all(
        entry.visual_prompt in {captions[index] for captions in drawn} for index, entry in enumerate(LLP_CLASSES)
    )
    fused = {caption for _ in range(40) for caption in draw_captions(LLP_CLASSES, "fused", rng)}
    assert LLP_CLASSES[3].visual_prompt in fused and LLP_CLASSES[3].audio_prompt in fused
