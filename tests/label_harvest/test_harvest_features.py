"""Features beside labels: extractors through the whole line, from media files to the input of a parser."""

import numpy as np
import pytest
import torch

from tests.helpers.toy import FakeTeacher, ToySound, ToyVideo, frame_number, write_toy_clip, write_toy_world
from valor.__main__ import main
from valor.data.features.feature_options import FeatureOptions
from valor.data.read_clips import read_clip_set
from valor.data.tables import Split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.harvest import HarvestOptions, harvest
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.decode_pool import DecodePool
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.store.store import read_store
from valor.labelling.labels import default_thresholds
from valor.teachers import TeacherChoice, build_teachers

CLIPS = ("clip_a", "clip_b")


class SmallMotion(torch.nn.Module):
    """In place of R(2+1)D-18."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv3d(3, 512, (2, 7, 7), stride=(1, 20, 20))
        self.fc = torch.nn.Linear(512, 400)

    def forward(self, clips):
        assert clips.shape[1:] == (3, 8, 112, 112)
        return self.fc(self.conv(clips).mean((2, 3, 4)))


class SmallPicture(torch.nn.Module):
    """In place of ResNet-152."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2048, 7, stride=40)
        self.fc = torch.nn.Linear(2048, 1000)

    def forward(self, images):
        assert images.shape[1:] == (3, 224, 224)
        return self.fc(self.conv(images).mean((2, 3)))


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    import torchvision

    monkeypatch.setattr(torchvision.models.video, "r2plus1d_18", lambda weights: SmallMotion())
    monkeypatch.setattr(torchvision.models, "resnet152", lambda weights: SmallPicture())


@pytest.mark.parametrize("workers", [0, 1])
def test_every_slot_of_the_frame_grid(tmp_path, workers):
    path = write_toy_clip(tmp_path / "c.mkv", video=ToyVideo(rate=8, width=640, height=400), sound=ToySound())
    with DecodePool(workers, slots=True) as pool:
        clip = pool.submit(path, Grid()).result()
    assert clip.frames.shape == (10, 400, 640, 3) and clip.slots.shape == (80, 400, 640, 3)
    assert [frame_number(slot) for slot in clip.slots] == list(range(80))
    plain = read_clip(path, grid=Grid())
    assert plain.slots is None
    np.testing.assert_array_equal(plain.frames, clip.frames)
    np.testing.assert_array_equal(plain.waveform, clip.waveform)


def test_short_videos_repeat_their_last_frame(tmp_path):
    path = write_toy_clip(tmp_path / "c.mkv", video=ToyVideo(seconds=5.0, rate=8), sound=ToySound())
    clip = read_clip(path, grid=Grid(), slots=True)
    assert clip.slots.shape == (80, 48, 64, 3) and frame_number(clip.slots[60]) == 39
    assert not clip.frames_present.all()


def random_choice(**wanted):
    random = dict.fromkeys(("res152", "r2plus1d", "vggish"), "random")
    return TeacherChoice(features=tuple(random), checkpoints=random, **wanted)


def manifest(clip_ids=CLIPS):
    names = class_names(LLP_CLASSES)
    weak = np.zeros((len(clip_ids), len(names)), bool)
    weak[:, 3] = True
    return HarvestManifest(clip_ids, names, weak)


def test_features_alone(tmp_path):
    videos = write_toy_world(tmp_path / "videos", CLIPS)
    write_toy_clip(videos / "clip_c.mkv", sound=ToySound(rate=8000, codec="pcm_s16le"))
    write_toy_clip(videos / "clip_d.mkv", video=ToyVideo(seconds=5.0, rate=8))
    teachers = build_teachers(random_choice(visual="none", audio="none"), LLP_CLASSES)
    options = HarvestOptions(decode_workers=0)
    harvest(manifest((*CLIPS, "clip_c", "clip_d")), videos, tmp_path / "s", teachers, options=options, progress=False)
    store = read_store(tmp_path / "s")
    shapes = {name: array.shape[1:] for name, array in store.arrays.items()}
    assert shapes == {"res152.features": (10, 2048), "r2plus1d.features": (10, 512), "vggish.features": (10, 128)}
    seen = {name: np.isfinite(array).all(-1).sum(-1).tolist() for name, array in store.arrays.items()}
    assert seen == {
        "res152.features": [10, 10, 0, 5],
        "r2plus1d.features": [10, 10, 0, 5],
        "vggish.features": [10, 10, 10, 0],
    }


def test_beside_the_teachers_and_into_a_parser(tmp_path, monkeypatch):
    videos = write_toy_world(tmp_path / "videos", CLIPS)
    extractors = build_teachers(random_choice(visual="none", audio="none"), LLP_CLASSES)
    prompts = tuple("x" for _ in LLP_CLASSES)
    judges = [FakeTeacher(role=role, prompts=prompts) for role in ("visual", "audio")]
    for name, teachers in (("both", [*judges, *extractors]), ("judges", judges)):
        options = HarvestOptions(decode_workers=0)
        harvest(manifest(), videos, tmp_path / name, teachers, options=options, progress=False)
    store, alone = read_store(tmp_path / "both"), read_store(tmp_path / "judges")
    for name in alone.arrays:
        np.testing.assert_array_equal(store.arrays[name], alone.arrays[name])
    split = Split("train", CLIPS, class_names(LLP_CLASSES), manifest().weak_labels)
    kinds = FeatureOptions(audio="vggish.features", visual="res152.features", motion="r2plus1d.features")
    clips = read_clip_set(tmp_path, split, kinds, store=tmp_path / "both")
    assert clips.widths() == {"audio_width": 128, "visual_width": 2048, "motion_width": 512, "num_classes": 25}
    with pytest.raises(ValueError, match="no label thresholds for the teachers fake, fake"):
        default_thresholds(store, LLP_CLASSES)


def test_the_command(tmp_path, capsys):
    videos = write_toy_world(tmp_path / "videos", CLIPS)
    (tmp_path / "m.csv").write_text("filename\tevent_labels\nclip_a\tDog\nclip_b\tDog,Cat\n")
    base = ["harvest", str(tmp_path / "m.csv"), "--videos", str(videos), "--store", str(tmp_path / "s"), "--quiet"]
    demo = ["--visual", "demo-visual", "--audio", "none", "--workers", "0"]
    features = ["--features", "res152,r2plus1d", "--checkpoint", "res152=random", "--checkpoint", "r2plus1d=random"]
    assert main([*base, *demo, *features]) == 0
    assert set(read_store(tmp_path / "s").arrays) == {
        "visual.similarity",
        "visual.embedding",
        "res152.features",
        "r2plus1d.features",
    }


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("--visual laion:630k", "--visual must be a teacher of that kind, got 'laion:630k', which is audio"),
        ("--visual none --audio none", "a harvest needs a teacher or features, got neither"),
        ("--features i3d", "--features must be among res152, r2plus1d, vggish, .*, got i3d"),
        ("--features vggish,vggish-pca", "must name one extractor of a kind"),
        ("--checkpoint res152=random", "--checkpoint must be for visual, audio, got res152"),
        ("--sha256 motion=aaaaaaaaaaaa", "--sha256 must be for visual, audio, got motion"),
        ("--checkpoint visual", "--checkpoint must be ROLE=VALUE, once for each role"),
        ("--visual open_clip:ViT-L-14/openai", "take open_clip:ViT-L-14-quickgelu/openai"),
    ],
)
def test_wrong_wishes(tmp_path, typed, message, capsys):
    (tmp_path / "m.csv").write_text("filename\tevent_labels\nclip_a\tDog\n")
    demo = [] if "--visual" in typed else ["--visual", "demo-visual", "--audio", "demo-audio"]
    base = ["harvest", str(tmp_path / "m.csv"), "--videos", str(tmp_path), "--store", str(tmp_path / "s"), "--quiet"]
    assert main([*base, *demo, *typed.split()]) == 2
    import re

    assert re.search(message, capsys.readouterr().err)


def test_folded_and_raw_maps_give_a_parser_the_same(tmp_path):
    from tests.label_harvest.teachers.test_clap import tiny_teacher
    from valor.label_harvest.teachers.clap import MapOptions
    from valor.parsers.folding import clap_pool_matrix

    videos = write_toy_world(tmp_path / "videos", CLIPS)
    prompts = tuple("x" for _ in LLP_CLASSES)
    fold = clap_pool_matrix().numpy()
    read = []
    for name, maps in (("raw", MapOptions()), ("folded", MapOptions(fold=fold, raw=False))):
        teachers = [FakeTeacher(prompts=prompts), tiny_teacher(prompts=prompts, maps=maps)]
        options = HarvestOptions(decode_workers=0)
        harvest(manifest(), videos, tmp_path / name, teachers, options=options, progress=False)
        kinds = FeatureOptions(audio="audio.map", visual="visual.embedding", motion=None)
        split = Split("train", CLIPS, class_names(LLP_CLASSES), manifest().weak_labels)
        read.append(read_clip_set(tmp_path, split, kinds, store=tmp_path / name).audio.float())
    assert read[0].shape == (2, 10, 128)
    torch.testing.assert_close(*read, atol=2e-3 * float(read[0].abs().max()), rtol=0)  # float16 before or after folding
