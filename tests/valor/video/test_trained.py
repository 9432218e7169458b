from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.helpers.toy_parse import write_run
from valor.data.features.feature_options import FeatureOptions
from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.teachers.teacher import Evidence
from valor.parsers.build import build_parser
from valor.parsers.folding import fold_clap_map, lay_clap_map
from valor.parsers.options import ParserOptions
from valor.training.checkpoint import read_checkpoint, write_checkpoint
from valor.training.run_folder import BEST
from valor.video.trained import TrainedSystem, WindowFeatures, load_system, parse_windows

NAMES = ("a", "b", "c")
OPTIONS = {
    "audio_width": 8,
    "visual_width": 6,
    "hidden_width": 16,
    "feedforward_width": 16,
    "num_heads": 2,
    "num_layers": 2,
}


def parser_of(motion=0, **changes):
    return build_parser(ParserOptions(**OPTIONS, motion_width=motion, num_classes=3, **changes), seed=0).eval()


def features_of(*, motion=0, seed=0, valid=None):
    rng = torch.Generator().manual_seed(seed)
    parts = [torch.randn(2, 5, width, generator=rng) for width in (8, 6, max(motion, 1))]
    exists = torch.ones(2, 5, dtype=torch.bool) if valid is None else valid
    return parts[0], parts[1], parts[2] if motion else None, exists


@pytest.mark.parametrize("pooling", ["attentive", "linear-softmax", "max"])
def test_both_streams_go_through_the_parser_of_a_test_set(pooling):
    parser, (audio, visual, motion, valid) = parser_of(pooling=pooling), features_of()
    found = parse_windows(parser, WindowFeatures(audio, visual, motion, valid), NAMES)
    with torch.inference_mode():
        output = parser(audio, visual, None, None)
    assert np.array_equal(found.segment, output.segment_probs.numpy())
    assert np.array_equal(found.clip, output.clip_probs.clamp_max(1).numpy())


@pytest.mark.parametrize("motion", [0, 4])
@pytest.mark.parametrize("modality", [0, 1])
def test_one_stream_is_parsed_without_the_other(motion, modality):
    parser, (audio, visual, moving, valid) = parser_of(motion), features_of(motion=motion)
    given = (audio, None, None) if modality == 0 else (None, visual, moving)
    found = parse_windows(parser, WindowFeatures(*given, valid), NAMES)
    assert np.isnan(found.segment[:, :, 1 - modality]).all() and np.isnan(found.modality[:, 1 - modality]).all()
    assert ((found.segment[:, :, modality] > 0) & (found.segment[:, :, modality] < 1)).all()
    assert np.array_equal(found.clip, found.modality[:, modality])


@pytest.mark.parametrize("modality", [0, 1])
def test_one_stream_is_compared_with_the_captions_of_its_own_teacher(modality):
    parser, (audio, visual, _, valid) = parser_of(head="words", audio_words=4, visual_words=7), features_of()
    torch.manual_seed(0)
    words = [torch.nn.functional.normalize(torch.randn(5, width), dim=1) for width in (4, 7)]
    parser.classifier.take(*words)
    parser.classifier.begin((torch.randn(9, 4), torch.randn(7, 7)), (10.0, 8.0), (-4.0, -3.0))
    given = (audio, None, None) if modality == 0 else (None, visual, None)
    found = parse_windows(parser, WindowFeatures(*given, valid), tuple("vwxyz"))
    place = parser.classifier.placed(modality, (audio, visual)[modality])  # its projection begins at zero
    cosines = torch.nn.functional.normalize(place, dim=-1) @ words[modality].T
    expected = ((10.0, 8.0)[modality] * cosines + (-4.0, -3.0)[modality]).sigmoid()
    torch.testing.assert_close(torch.from_numpy(found.segment[:, :, modality]), expected)
    assert np.isnan(found.segment[:, :, 1 - modality]).all() and found.clip.shape == (2, 5)


@pytest.mark.parametrize("encoder", ["uavm", "mbt", "joint", "tcaf", "mtcn", "sft"])
@pytest.mark.parametrize("modality", [0, 1])
def test_one_stream_is_parsed_as_its_encoder_would_have_it(encoder, modality):
    valid = torch.tensor([[True, True, True, True, True], [True, True, True, False, False]])
    parser, (audio, visual, _, _) = parser_of(encoder=encoder), features_of()
    given = (audio, None) if modality == 0 else (None, visual)
    found = parse_windows(parser, WindowFeatures(*given, None, valid), NAMES)
    with torch.inference_mode():
        stream = parser.stem(audio, visual)[modality]
        expected = parser.classifier(parser.encoder.alone(stream, modality, valid)).sigmoid().numpy()
    assert np.array_equal(found.segment[:, :, modality], expected)
    beside = parse_windows(parser, WindowFeatures(audio, visual, None, valid), NAMES).segment[:, :, modality]
    assert np.allclose(beside, expected, atol=1e-6) is (encoder == "uavm")


def test_the_answer_does_not_depend_on_weights_of_the_missing_stream():
    """What the stem makes of the absent modality is garbage: any change of it must leave the answer alone."""
    parser, (audio, _, _, valid) = parser_of(), features_of()
    before = parse_windows(parser, WindowFeatures(audio, None, None, valid), NAMES)
    with torch.no_grad():
        parser.stem.visual.bias.fill_(1e6)
        parser.stem.visual.weight.fill_(float("nan"))
    after = parse_windows(parser, WindowFeatures(audio, None, None, valid), NAMES)
    assert np.array_equal(before.segment[:, :, 0], after.segment[:, :, 0])
    assert np.array_equal(before.clip, after.clip)


@pytest.mark.parametrize("modality", [None, 0, 1])
def test_padding_does_not_matter(modality):
    valid = torch.tensor([[True, True, True, False, False]] * 2)
    parser, (audio, visual, _, _) = parser_of(), features_of()
    answers = []
    for filling in (0.0, 50.0):
        parts = [part.clone() for part in (audio, visual)]
        for number, part in enumerate(parts):
            part[:, 3:] = filling
            if modality == 1 - number:
                parts[number] = None
        answers.append(parse_windows(parser, WindowFeatures(*parts, None, valid), NAMES))
    assert np.allclose(answers[0].segment[:, :3], answers[1].segment[:, :3], equal_nan=True, atol=1e-6)
    assert np.allclose(answers[0].clip, answers[1].clip, atol=1e-6)


def test_no_stream_is_refused():
    with pytest.raises(ValueError, match="must have sound, a picture, or both, got neither"):
        parse_windows(parser_of(), WindowFeatures(None, None, None, torch.ones(2, 5, dtype=torch.bool)), NAMES)


def rewritten(run, change):
    """The run with another recipe in its checkpoint."""
    from dataclasses import replace

    parser, card = read_checkpoint(run)
    recipe = {**card.recipe}
    change(recipe)
    write_checkpoint(run / BEST, parser, replace(card, recipe=recipe))
    return run


def test_a_run_brings_its_teachers(tmp_path):
    system = load_system(write_run(tmp_path))
    assert [teacher.role for teacher in system.teachers] == ["audio", "visual"]
    assert system.grid.sample_rate == 32000 and len(system.class_names) == 25
    said = system.describe()
    assert said["teachers"]["audio"]["teacher"] == "demo-audio" and "prompts" not in said["teachers"]["audio"]


@pytest.mark.parametrize("changed", [{"weights": "0" * 64}, {"precision": "bfloat16"}, {"architecture": "another"}])
def test_another_teacher_than_at_the_training_is_refused(tmp_path, changed):
    run = write_run(tmp_path, **changed)
    if "architecture" in changed:  # a demo teacher does not say its architecture, so there is nothing to compare
        assert load_system(run).teachers
        return
    with pytest.raises(ValueError, match="trained on features of the|compute in float32"):
        load_system(run)


def test_other_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match="audio teacher demo-audio with weights .*`teacher_checkpoints` audio=FILE"):
        load_system(write_run(tmp_path), teacher_checkpoints={"audio": "random"})


def test_features_from_files_cannot_be_parsed(tmp_path):
    run = rewritten(
        write_run(tmp_path), lambda recipe: recipe.update(features={**recipe["features"], "audio": "vggish"})
    )
    with pytest.raises(ValueError, match="audio features are vggish, which are read from files"):
        load_system(run)


def test_a_fused_teacher_needs_both_streams(tmp_path):
    from tests.helpers.toy import ToySound, write_toy_clip
    from valor.video.parse import parse_media

    def fuse(recipe):
        recipe.update(features={**recipe["features"], "audio": "fused.embedding", "visual": "fused.embedding"}, run={})

    system = load_system(rewritten(write_run(tmp_path), fuse))
    with pytest.raises(MediaError, match="need sound and picture at once"):
        parse_media(system, write_toy_clip(tmp_path / "a.wav", sound=ToySound(seconds=10, codec="pcm_s16le")))


def test_a_run_parses_on_the_segments_it_was_trained_on(tmp_path):
    run = write_run(tmp_path)
    assert load_system(run).grid.segment_seconds == 1.0
    fine = load_system(rewritten(run, lambda recipe: recipe["run"].update(segment_seconds=0.2))).grid
    assert (fine.num_segments, fine.segment_seconds) == (50, 0.2)
    rewritten(run, lambda recipe: recipe["run"].update(segment_seconds="short"))
    with pytest.raises(ValueError, match="segment_seconds"):
        load_system(run)


def test_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_system(tmp_path)


def test_windows_longer_than_learned_positions_are_refused_at_once(tmp_path):
    run = write_run(tmp_path, parser={"positions": "learned", "max_segments": 12})
    assert load_system(run, window=12).grid.num_segments == 12
    with pytest.raises(ValueError, match="window must be at most 12, for which .* learned positions, got 13"):
        load_system(run, window=13)


@pytest.mark.parametrize(("unfolded", "bring"), [(False, fold_clap_map), (True, lay_clap_map)])
def test_maps_are_brought_to_a_parser_as_in_training(unfolded, bring):
    tokens = np.random.default_rng(0).normal(size=(64, 768)).astype(np.float16)
    features = FeatureOptions(audio="audio.map", visual="visual.embedding", motion=None, unfolded=unfolded)
    stream = TrainedSystem._stream(
        SimpleNamespace(run="run", features=features), "audio", {"audio": [Evidence({"map": tokens})]}, [0]
    )
    assert torch.equal(stream, bring(torch.from_numpy(tokens).float()[None]))
