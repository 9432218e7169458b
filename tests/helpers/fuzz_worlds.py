"""Small whole inputs of every kind, to be mangled: tables, predictions, parses, stores, runs, archives, media."""

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from tests.helpers import toy_run
from tests.helpers.mangle_binary import npy_bytes, zip_bytes
from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_published import write_published
from tests.helpers.typed import typed
from valor.data.datasets.dataset import dataset_of
from valor.data.hub import manifest_text
from valor.data.label_file import write_pseudo_labels
from valor.data.parse_file import Parse, read_parse, write_parse
from valor.data.parsed_media import MediaInfo
from valor.data.prediction_files import write_any_predictions
from valor.data.predictions import Predictions, write_predictions
from valor.data.tables import read_split, write_event_table, write_weak_table
from valor.eval.decide import PostProcessing
from valor.label_harvest.store.shards import ShardRow, write_shard
from valor.label_harvest.store.share import write_lock
from valor.label_harvest.store.store import describe, open_store
from valor.parsers.build import build_parser
from valor.parsers.options import ParserOptions
from valor.parsers.published import to_published
from valor.video.formats.formats import FORMATS, write_events

NAMES = ("Speech", "Car", "Dog")


CLIPS = {"train": ("t1", "t2", "t3", "t4"), "val": ("v1", "v2", "v3"), "test": ("a", "b", "c", "d", "e")}


TABLES = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}


def clips_of(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(truth * 0.6 + 0.2 + 0.25 * rng.normal(size=truth.shape), 0, 1).astype(np.float32)


def write_tables(data: Path) -> None:
    """A data folder with three classes, events in every annotated clip."""
    rng = np.random.default_rng(3)
    data.mkdir(parents=True, exist_ok=True)
    events: dict[str, list] = {"audio": [], "visual": []}
    for split, clips in CLIPS.items():
        tags = rng.random((len(clips), len(NAMES))) < 0.5
        tags[:, 0] = True
        write_weak_table(data / TABLES[split], clips, tags, NAMES)
        for row, column in np.argwhere(tags).tolist() if split != "train" else []:
            for modality, held in events.items():
                onset = int(rng.integers(0, 6))
                held.append((clips[row], onset, onset + int(rng.integers(1, 5)), NAMES[column]))
                del modality
    for modality, rows in events.items():
        write_event_table(data / f"AVVP_eval_{modality}.csv", rows)
    (data / "classes.json").write_text(json.dumps(NAMES))


def write_world(folder: Path) -> None:
    """Tables, predictions in every format, parses, thresholds, labels and score files."""
    write_tables(folder / "data")
    rng = np.random.default_rng(5)
    split = read_split(folder / "data", "test", NAMES)
    assert split.truth is not None
    probs = clips_of(split.truth, rng)
    held = {"clip_ids": split.clip_ids, "class_names": NAMES}
    gated = Predictions(**held, segment_probs=probs, clip_probs=probs.max(axis=(1, 2)))
    write_predictions(folder / "clip.npz", gated)
    write_predictions(
        folder / "modality.npz", Predictions(**held, segment_probs=probs, modality_probs=probs.max(axis=1))
    )
    valid = np.ones(probs.shape[:2], bool)
    valid[0, 9] = False
    write_predictions(folder / "marks.npz", Predictions(**held, predicted=probs > 0.5, valid=valid))
    write_any_predictions(folder / "events.json", gated)
    write_any_predictions(folder / "tables", gated)
    for row, clip in enumerate(split.clip_ids):
        made = Parse(
            media=MediaInfo(name=f"{clip}.mp4", path=f"/x/{clip}.mp4", duration=10.0, has_audio=True, has_visual=True,
                            width=64, height=48, frame_rate=25.0, sha256="ab" * 32, size=100, modified=1e9),
            class_names=NAMES, segment_seconds=1.0, segment_probs=probs[row],
            gate_probs=np.broadcast_to(probs[row].max(axis=(0, 1)), probs[row].shape).astype(np.float32),
            decision=PostProcessing(gate="clip"), system={"run": "runs/x", "zero_shot": False}, notes=("a note",),
            cuts=(2.5, 7.0),
        )  # fmt: skip
        write_parse(folder / "parses" / f"{clip}.json", made)
    write_pseudo_labels(folder / "labels" / "pseudo_labels.npz", split.clip_ids, NAMES, split.truth)
    (folder / "labels" / "labels.json").write_text(
        json.dumps({"random_weights": False, "teachers": {}, "left_out": {}})
    )
    truth = ("--annotations", folder / "data", "--split", "test")
    done = [
        typed("calibrate", folder / "clip.npz", *truth, "--out", folder / "thresholds.json"),
        typed("evaluate", folder / "clip.npz", *truth, "--json", folder / "s.json"),
        typed("evaluate", folder / "marks.npz", *truth, "--json", folder / "scores" / "seed-0" / "scores.json"),
        typed("evaluate", folder / "events.json", *truth, "--json", folder / "scores" / "seed-1" / "scores.json"),
    ]
    assert all(one.code == 0 for one in done), done
    vocabulary = [
        {"name": name, "visual_prompt": f"a {name}", "audio_prompt": [f"sound of {name}"], "visual_threshold": 1.0,
            "audio_threshold": 2}
        for name in NAMES
    ]  # fmt: skip
    (folder / "own").mkdir()
    for path in (folder / "data").iterdir():
        shutil.copy(path, folder / "own" / path.name)
    (folder / "own" / "classes.json").write_text(json.dumps(vocabulary))
    own = {
        "name": "birds", "title": "Birds", "classes": "classes.json", "segments": 10, "tags": TABLES,
        "events": {"v1": ["AVVP_eval_audio.csv", "AVVP_eval_visual.csv"]}, "annotated": ["val", "test"],
    }  # fmt: skip
    (folder / "own" / "dataset.json").write_text(json.dumps(own))


def write_listing(folder: Path) -> None:
    """What a data set of one's own begins with."""
    (folder / "clips.csv").write_text(
        'path,tags,split\na.mp4,Dog,train\nb.mp4,"Dog,""Horn, loud""",train\nin/c.mp4,Wren,val\nd.mp4,Dog,test\n'
    )
    rows = (
        "path onset offset class modality",
        "in/c.mp4 0 2.5 Wren both",
        "d.mp4 3 4 Dog audio",
        "d.mp4 1 9 Dog visual",
    )
    (folder / "rows.tsv").write_text("".join(row.replace(" ", "\t") + "\n" for row in rows))
    (folder / "classes.json").write_text(json.dumps(["Dog", "Wren", {"name": "Horn, loud", "audio_threshold": 2.5}]))
    (folder / "lengths.csv").write_text(
        "path,audio_tags,visual_tags,seconds,split\na.mp4,Dog,,4.5,train\n"
        'b.mp4,Dog,"Dog,""Horn, loud""",9,train\nin/c.mp4,Wren,Wren,3,val\nd.mp4,Dog,Dog,9,test\n'
    )


def write_lengths(folder: Path) -> None:
    """A data folder of clips of unlike length with tags of each modality and an unseen class, and cuts of a film."""
    write_listing(folder)
    done = typed(
        "new-dataset", folder / "yard", folder / "lengths.csv", "--events", folder / "rows.tsv", "--any-length"
    )
    assert done.code == 0, done
    description = json.loads((folder / "yard" / "dataset.json").read_text())
    (folder / "yard" / "dataset.json").write_text(json.dumps(description | {"unseen": ["Wren"]}))
    split = dataset_of(folder / "yard").read_split(folder / "yard", "test")
    assert split.truth is not None
    held = {"clip_ids": split.clip_ids, "class_names": split.class_names, "valid": split.valid}
    probs = np.where(split.truth, 0.9, 0.05).astype(np.float32)
    write_predictions(folder / "found.npz", Predictions(**held, segment_probs=probs, clip_probs=probs.max(axis=(1, 2))))
    (folder / "cuts.txt").write_text("1.5\tthe yard\n4\tthe street\n\n61.25\tthe yard\n")


def write_store(folder: Path) -> None:
    """A store with a shard a split, and what `labels` needs beside it."""
    write_tables(folder / "data")
    rng = np.random.default_rng(2)
    teachers = {
        role: {"teacher": "fake", "weights": "ab" * 32, "prompts": [f"a {name}" for name in NAMES], "logit_scale": 10.0,
               "logit_bias": 0.0, "precision": "float32"}
        for role in ("audio", "visual")
    }  # fmt: skip
    root = folder / "store"
    made = open_store(
        root, describe(NAMES, {"num_segments": 10, "segment_seconds": 1.0, "sample_rate": 8000}, teachers)
    )
    with write_lock(made):
        for index, clips in enumerate(CLIPS.values()):
            rows = [ShardRow(clip, "ok", "", NAMES[:2]) for clip in clips]
            if index == 0:
                rows[-1] = ShardRow(clips[-1], "no_audio", "no sound", NAMES[:1])
            arrays = {}
            for role, width in (("audio", 5), ("visual", 6)):
                arrays[f"{role}.similarity"] = rng.uniform(-1, 1, (len(clips), 10, len(NAMES))).astype(np.float32)
                arrays[f"{role}.embedding"] = rng.normal(size=(len(clips), 10, width)).astype(np.float16)
                if index == 0 and role == "audio":
                    for name in ("similarity", "embedding"):
                        arrays[f"{role}.{name}"][-1] = np.nan
            write_shard(made, index, arrays, rows)
    from valor.label_harvest.store.listing import write_list
    from valor.label_harvest.store.shards import read_markers, write_failures

    markers = read_markers(made)
    write_failures(made, [row for marker in markers.values() for row in marker.clips if row.status != "ok"])
    write_list(made, markers)
    thresholds = {role: [0.5, 1.0, -0.5] for role in ("audio", "visual")}
    (folder / "thresholds.json").write_text(json.dumps(thresholds | {"note": "by hand"}))
    (folder / "data" / "classes.json").write_text(json.dumps(NAMES))
    prompts = {"visual_prompt": "x", "audio_prompt": "y", "visual_threshold": 1.0, "audio_threshold": 2.0}
    (folder / "classes.json").write_text(json.dumps([{"name": name, **prompts} for name in NAMES]))


def write_viewed(folder: Path) -> None:
    """The world, and corrections somebody made of the parses."""
    write_world(folder)
    lines = [
        {"clip": clip, "revision": number + 1, "checked": True,
            "events": [["Dog", "audio", 0.0, 2.5], ["Speech", "visual", 1, 3]], "time": "2026-01-01T00:00:00+00:00"}
        for number, clip in enumerate(CLIPS["test"][:3])
    ]  # fmt: skip
    (folder / "parses.corrections").mkdir()
    (folder / "parses.corrections" / "journal.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def write_events_of_tools(folder: Path) -> None:
    """The parses of the world as files of every tool, and what is shared of a run."""
    write_world(folder)
    parse = read_parse(sorted((folder / "parses").glob("*.json"))[0])
    for name, kept in FORMATS.items():
        write_events(folder / "sent" / name / f"a{kept.ending}", [parse], name, clock="zero")
    (folder / "valor.json").write_text(manifest_text("run", {"best.safetensors": folder / "clip.npz"}, {"valor": "0"}))


SMALL = " ".join(f"--set {change}" for change in (*toy_run.SMALL, "parser.audio_width=5", "parser.visual_width=6"))


def write_trained(folder: Path) -> None:
    """A data folder with a store, labels, and a run trained on them."""
    data = toy_run.write_tables(folder / "data")
    toy_run.write_toy_store(data / "store")
    toy_run.write_labels(folder / "labels")
    done = typed(*f"train demo --data {data} --labels {folder}/labels --out {folder}/run {SMALL}".split())
    assert done.code == 0, done


def write_archives(folder: Path) -> None:
    """One archive of each kind with the same files, and a file of each kind of array."""
    rng = np.random.default_rng(4)
    files = {f"CLIP/features/{name}.npy": npy_bytes(rng.normal(size=(10, 8)).astype(np.float32)) for name in "abc"}
    files["CLIP/readme.txt"] = b"hello"
    (folder / "f.zip").write_bytes(zip_bytes(list(files.items()), zipfile.ZIP_DEFLATED))
    for ending, mode in ((".tar", "w"), (".tar.gz", "w:gz"), (".tar.xz", "w:xz"), (".tar.bz2", "w:bz2")):
        with tarfile.open(folder / f"f{ending}", mode) as archive:  # type: ignore[call-overload]
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    np.save(folder / "a.npy", rng.normal(size=(4, 5)).astype(np.float32))
    np.save(folder / "text.npy", np.array(["x", "yy"]))
    np.savez(folder / "a.npz", a=rng.normal(size=(4, 5)), b=np.array(["x", "yy"]), c=np.ones((3, 2), bool))


def write_imported(folder: Path) -> None:
    """The published layout, packed features of it, and a published checkpoint."""
    import torch

    write_published(folder / "data", kinds=("vggish", "clip"))
    for path in (folder / "data").glob("*.csv"):
        (folder / "packed").mkdir(exist_ok=True)
        shutil.copy(path, folder / "packed" / path.name)
    done = typed(*f"import features {folder}/data --out {folder}/packed".split())
    assert done.code == 0, done
    done = typed(*f"import labels {folder}/data --out {folder}/labels".split())
    assert done.code == 0, done
    options = ParserOptions(
        hidden_width=8,
        num_heads=2,
        feedforward_width=8,
        num_layers=1,
        audio_width=768,
        visual_width=768,
        motion_width=512,
    )
    torch.save(dict(to_published(build_parser(options, seed=0).state_dict())), folder / "best.pt")


def write_media(folder: Path) -> None:
    """Short recordings in as many containers as decoding has ways."""
    both = {
        "video": ToyVideo(seconds=3, rate=8, width=32, height=32, noise=True),
        "sound": ToySound(seconds=3, rate=8000),
    }
    write_toy_clip(folder / "a.mp4", **both)
    write_toy_clip(folder / "b.mkv", video=both["video"], sound=ToySound(seconds=3, rate=8000, codec="pcm_s16le"))
    write_toy_clip(folder / "c.ts", **both)
    write_toy_clip(
        folder / "d.avi",
        video=ToyVideo(seconds=3, rate=8, width=32, height=32, codec="mpeg4"),
        sound=ToySound(seconds=3, rate=8000, codec="pcm_s16le"),
    )
    write_toy_clip(folder / "e.wav", sound=ToySound(seconds=3, rate=8000, codec="pcm_s16le"))
    write_toy_clip(folder / "f.mp3", sound=ToySound(seconds=3, rate=16000, codec="libmp3lame"))
    write_toy_clip(folder / "g.flac", sound=ToySound(seconds=3, rate=8000, codec="flac"))
    write_toy_clip(folder / "h.ogg", sound=ToySound(seconds=3, rate=48000, codec="libopus"))
    write_toy_clip(folder / "i.m4a", sound=ToySound(seconds=3, rate=16000))
    write_toy_clip(folder / "j.mov", **both)
    write_toy_clip(
        folder / "k.flv",
        video=ToyVideo(seconds=3, rate=8, width=32, height=32, codec="flv1"),
        sound=ToySound(seconds=3, rate=16000),
    )
