"""The picture of one clip, made from a result by hand and a clip rendered here."""

from io import BytesIO

import numpy as np
import PIL.Image
import pytest

from valor.data.predictions import Predictions
from valor.data.tables import Split
from valor.demo import picture
from valor.demo.picture import WIDTH, write_demo_picture
from valor.demo.run import DemoResult
from valor.demo.world.render import World, render_clip
from valor.demo.world.schedule import ClipPlan, PlannedEvent
from valor.eval.figures import timeline as timelines
from valor.label_harvest.media.clip import MediaError

CLASSES = ("Speech", "Dog", "Fire_alarm")
PLAN = ClipPlan(
    "abcdefghijk_20_30",
    "test",
    (PlannedEvent("Dog", "visual", 2, 5), PlannedEvent("Fire_alarm", "audio", 4, 7)),
    ("Dog", "Fire_alarm"),
)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Two test clips, of which the second is there; the predictions hold them the other way round."""
    folder = tmp_path_factory.mktemp("world")
    render_clip(PLAN, folder / "videos" / "abcdefghijk.mp4", seed=3)
    clip_ids = ("lmnopqrstuv_0_10", PLAN.clip_id)
    truth = np.zeros((2, 10, 2, 3), dtype=bool)
    truth[1, 2:5, 1, 1] = truth[1, 4:7, 0, 2] = True
    weak = truth.any(axis=(1, 2))
    predicted = {"tags-only": weak[:, None, None] & np.ones_like(truth), "valor": truth}
    return DemoResult(
        world=World(folder=folder, videos=folder / "videos", plans=(PLAN,)),
        test=Split("test", clip_ids, CLASSES, weak, truth),
        scores={},
        predictions={
            arm: Predictions(clip_ids=clip_ids[::-1], class_names=CLASSES, predicted=marks[::-1])
            for arm, marks in predicted.items()
        },
        anchors={},
        label_quality={},
        seconds=0.0,
    )


def test_the_picture_shows_the_clip_and_what_the_arms_make_of_it(result, tmp_path, monkeypatch):
    seen = {}

    def watched(tracks, class_names, **options):
        seen.update(options, tracks=tracks, class_names=class_names)
        return timelines.timeline_figure(tracks, class_names, **options)

    monkeypatch.setattr(picture, "timeline_figure", watched)
    write_demo_picture(tmp_path / "docs" / "demo.png", result, 1)
    content = (tmp_path / "docs" / "demo.png").read_bytes()
    with PIL.Image.open(BytesIO(content)) as image:
        assert image.width == WIDTH * 200 == 1400 and image.height > 500
    assert len(content) < 400_000
    assert seen["title"].startswith("Tagged “Dog, Fire alarm”:")
    assert seen["media"].frames.shape == (10, 96, 128, 3) and seen["media"].waveform.shape == (320_000,)
    (_, truth), (tags_only, copied), (valor, parsed) = seen["tracks"]
    assert (tags_only, valor) == ("trained on tags only", "trained with VALOR")
    np.testing.assert_array_equal(truth, result.test.truth[1])
    np.testing.assert_array_equal(parsed, truth)
    assert copied[:, :, 1:].all() and not copied[:, :, 0].any()
    write_demo_picture(tmp_path / "again.png", result, 1)
    assert (tmp_path / "again.png").read_bytes() == content


def test_rows_and_clips_that_are_not_there_are_refused(result, tmp_path):
    for row in (-1, 2):
        with pytest.raises(ValueError, match=f"row must be one of the 2 clips of the test split, from 0, got {row}"):
            write_demo_picture(tmp_path / "demo.png", result, row)
    with pytest.raises(MediaError, match="no such file"):
        write_demo_picture(tmp_path / "demo.png", result, 0)
    assert not list(tmp_path.iterdir())
