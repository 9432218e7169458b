import pytest

from label_harvest.media import MediaError
from tests.toy_parse import write_run
from valor.checkpoint import read_checkpoint, write_checkpoint
from valor.parsing_system import load_system
from valor.run_folder import BEST


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
    with pytest.raises(ValueError, match="audio teacher demo-audio with weights .*--teacher-checkpoint audio=FILE"):
        load_system(write_run(tmp_path), teacher_checkpoints={"audio": "random"})


def test_features_from_files_cannot_be_parsed(tmp_path):
    run = rewritten(
        write_run(tmp_path), lambda recipe: recipe.update(features={**recipe["features"], "audio": "vggish"})
    )
    with pytest.raises(ValueError, match="audio features are vggish, which are read from files"):
        load_system(run)


def test_a_fused_teacher_needs_both_streams(tmp_path):
    from tests.toy import ToySound, write_toy_clip
    from valor.parsing import parse_media

    def fuse(recipe):
        recipe.update(features={**recipe["features"], "audio": "fused.embedding", "visual": "fused.embedding"}, run={})

    system = load_system(rewritten(write_run(tmp_path), fuse))
    with pytest.raises(MediaError, match="need sound and picture at once"):
        parse_media(system, write_toy_clip(tmp_path / "a.wav", sound=ToySound(seconds=10, codec="pcm_s16le")))


def test_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_system(tmp_path)
