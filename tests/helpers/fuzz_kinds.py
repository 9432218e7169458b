"""What is typed on mangled inputs, which of them are mangled for it, and how what it writes is read back."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.helpers import toy_run
from tests.helpers.fuzz_worlds import (
    NAMES,
    SMALL,
    write_archives,
    write_events_of_tools,
    write_imported,
    write_lengths,
    write_listing,
    write_media,
    write_store,
    write_trained,
    write_viewed,
    write_world,
)
from tests.helpers.toy_ave import write_ave_world
from tests.helpers.toy_language import write_rescored_world
from tests.helpers.toy_lfav import write_lfav_world
from tests.helpers.toy_ovave import write_ovave_world
from tests.helpers.toy_search import write_searched_world
from tests.helpers.toy_unav import write_unav_world
from tests.helpers.toy_vggsounder import write_vggsounder, write_vggsounder_world
from tests.helpers.typed import typed
from valor.data.datasets.ave_features import read_ave_features
from valor.data.datasets.dataset import AVE as AVE_DATA
from valor.data.datasets.dataset import dataset_of
from valor.data.features.archives import unpack
from valor.data.features.packed import read_packed
from valor.data.hub import read_manifest
from valor.data.label_file import read_label_facts, read_pseudo_labels
from valor.data.prediction_files import read_any_predictions
from valor.data.predictions import read_predictions
from valor.data.thresholds import read_calibration
from valor.eval.scores import TenScores
from valor.exchange.taken_in import ImportOptions, import_events
from valor.label_harvest.arrays import npz_names, read_npy, read_npz
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.media.windows import read_windows
from valor.label_harvest.strict_json import loads
from valor.training.checkpoint import read_checkpoint
from valor.training.recipes import find_recipe
from valor.video.formats.formats import FORMATS
from valor.video.options import ParseOptions, read_cuts


@dataclass(frozen=True)
class Case:
    """One command and the inputs that are mangled for it."""

    words: str
    """What is typed; {in} and {out} stand for the folders. With `call`, what is called."""
    files: tuple[str, ...]
    """Patterns of the inputs that may be mangled."""
    read: Callable[[Path], object] = lambda out: None
    """Reads all that was written, and fails where it is not whole."""
    leaves: tuple[str, ...] = ()
    """Patterns of what may lie in the output folder after a refusal, such as a journal of what went on."""
    call: Callable[[Path, Path], object] | None = None
    """In place of a command: what is done with the two folders; the answer is its `repr` and what it writes."""


@dataclass(frozen=True)
class Kind:
    """Commands of one kind and the small world they are tried in."""

    name: str
    make: Callable[[Path], None]
    cases: tuple[Case, ...]
    whole: dict[str, tuple[int, str]] = field(default_factory=dict, compare=False)
    """By what was typed, exit code and digest of the answer on whole inputs."""


def read_scores(out: Path) -> None:
    report = loads((out / "s.json").read_bytes())
    scores = TenScores.from_dict(report)
    figures = [
        getattr(level, name)
        for level in (scores.segment, scores.event)
        for name in ("audio", "visual", "audio_visual", "type_av", "event_av")
    ]
    assert all(0 <= figure <= 100 for figure in figures), figures
    assert report["clips"] <= report["clips_expected"]


def read_labels(out: Path) -> None:
    labels = read_pseudo_labels(out / "l")
    facts = read_label_facts(out / "l")
    assert facts is not None and labels.clip_ids


def read_found(out: Path) -> None:
    held = loads((out / "f.json").read_bytes())
    assert all(0 <= one["onset"] < one["offset"] <= 6 for one in held["found"]) and held["found"], held


def read_page(out: Path) -> None:
    text = (out / "v.html").read_text(encoding="utf-8")
    for found in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL):
        loads(found)
    assert text.rstrip().endswith("</html>")


def read_image(out: Path) -> None:
    from PIL import Image

    with Image.open(out / "p.png") as image:
        image.load()
        assert max(image.size) < 20_000


def read_svg(out: Path) -> None:
    from xml.etree import ElementTree

    ElementTree.parse(out / "p.svg")


def not_empty(name: str) -> Callable[[Path], None]:
    def read(out: Path) -> None:
        assert (out / name).read_text(encoding="utf-8").strip()

    return read


ON = "--annotations {in}/data --split test"


DATA = ("data/*",)


EVALUATE = Kind("evaluate", write_world, (
    *(
        Case(f"evaluate {{in}}/{name} {ON} --json {{out}}/s.json{more}", files, read_scores)
        for name, more, files in (
            ("clip.npz", " --details", ("clip.npz", "clip.npz", "clip.npz", *DATA)),
            ("modality.npz", " --per-class", ("modality.npz",)),
            ("marks.npz", "", ("marks.npz",)), ("marks.npz", " --subset", ("marks.npz",)),
            ("events.json", "", ("events.json", "events.json", "events.json", *DATA)),
            ("events.json", " --use-scores --gate none", ("events.json",)),
            ("events.json", " --rounding nearest --subset", ("events.json",)), ("tables", "", ("tables/*",)),
            ("tables", " --rounding cover --subset", ("tables/*",)),
            ("parses", "", ("parses/*",)), ("parses", " --gate none --threshold 0.4 --subset", ("parses/*",)),
            ("clip.npz", " --thresholds {in}/thresholds.json", ("thresholds.json",)),
        )
    ),
    Case("evaluate {in}/clip.npz --annotations {in}/own --split test --json {out}/s.json",
        ("own/*.json", "own/*.json", "own/*.csv"), read_scores),
    Case(f"evaluate {{in}}/clip.npz --compare {{in}}/marks.npz {ON} --json {{out}}/s.json --out {{out}}/t.csv",
        ("marks.npz",), read_scores),
))  # fmt: skip


LINT = Kind("lint", write_world, (
    Case("lint {in}/data --classes {in}/own/classes.json", ("data/*.csv",)),
    Case("lint {in}/data --strict --classes {in}/own/classes.json", ("data/*.csv", "own/classes.json")),
))  # fmt: skip


DEMO = "--visual demo-visual --audio demo-audio"


def features_read(inputs: Path, out: Path) -> object:
    """The features of a split as numbers."""
    split = AVE_DATA.read_split(inputs / "ave", "train")
    return read_ave_features(inputs / "ave", "ave-vggish", split).tensor.numpy().tobytes()


AVE = Kind("ave", write_ave_world, (
    Case("lint {in}/ave", ("ave/*.txt", "ave/*.h5")),
    Case("evaluate {in}/guess.npz --annotations {in}/ave --split test --anchors --json {out}/s.json",
        ("ave/*.txt", "ave/*.h5"), read_scores),
    Case(f"harvest {{in}}/ave/Annotations.txt --videos {{in}}/ave --store {{out}}/store {DEMO} --plan",
        ("ave/*.txt", "ave/*_order.h5", "ave/*.json")),
    Case("read {in}/ave/audio_feature.h5", ("ave/audio_feature.h5", "ave/train_order.h5"), call=features_read),
))  # fmt: skip

UNAV = Kind("unav", write_unav_world, (
    Case("lint {in}/unav", ("unav/unav*.json",)),
    Case("evaluate {in}/found.npz --annotations {in}/unav --split test --json {out}/s.json", ("unav/unav*.json",),
        read_scores),
))  # fmt: skip

LFAV = Kind("lfav", write_lfav_world, (
    Case("lint {in}/lfav", ("lfav/*/*.csv", "lfav/durations.tsv")),
    Case("evaluate {in}/found.npz --annotations {in}/lfav --split test --json {out}/s.json",
        ("lfav/test/*.csv", "lfav/*/*.csv", "lfav/durations.tsv"), read_scores),
    Case(f"harvest {{in}}/lfav --videos {{in}}/lfav --store {{out}}/store {DEMO} --plan",
        ("lfav/*/*.csv", "lfav/durations.tsv")),
))  # fmt: skip

OVAVE = Kind("ovave", write_ovave_world, (
    Case("lint {in}/ovave", ("ovave/*/*.csv", "ovave/*/*.json")),
    Case("evaluate {in}/guess.npz --annotations {in}/ovave --split test --json {out}/s.json",
        ("ovave/*/*.csv", "ovave/*/*.json"), read_scores),
))  # fmt: skip


def write_vggsounder_worlds(root: Path) -> None:
    """With a list of its classes and the table of train, and without both."""
    write_vggsounder_world(root)
    write_vggsounder(root / "vggsounder", train=True)
    write_vggsounder(root / "bare", listed=False)


VGGSOUNDER = Kind("vggsounder", write_vggsounder_worlds, (
    Case("lint {in}/vggsounder", ("vggsounder/vggs*.csv", "vggsounder/classes.txt")),
    Case("lint {in}/bare", ("bare/vggsounder.csv",)),
    Case("evaluate {in}/guess.npz --annotations {in}/vggsounder --split test --json {out}/s.json",
        ("vggsounder/vggsounder.csv", "vggsounder/vggsounder.csv", "vggsounder/classes.txt"), read_scores),
    *(
        Case(f"harvest {{in}}/vggsounder/{file} --videos {{in}}/vggsounder --store {{out}}/store {DEMO} --plan",
            (f"vggsounder/{file}", "vggsounder/classes.txt"))
        for file in ("vggsound.csv", "vggsounder.csv")
    ),
))  # fmt: skip

LENGTHS = Kind("lengths", write_lengths, (
    Case("lint {in}/yard", ("yard/*.tsv", "yard/*.json")),
    Case("evaluate {in}/found.npz --annotations {in}/yard --split test --json {out}/s.json",
        ("yard/test.tsv", "yard/*.tsv", "yard/dataset.json"), read_scores),
    Case(f"harvest {{in}}/yard --videos {{in}}/yard --store {{out}}/store {DEMO} --plan",
        ("yard/train.tsv",)),
))  # fmt: skip


def cuts_read(inputs: Path, out: Path) -> object:
    return ParseOptions(cuts=read_cuts(inputs / "cuts.txt")).cuts


CUTS = Kind("cuts", write_lengths, (
    Case("cuts", ("cuts.txt",), call=cuts_read),
))  # fmt: skip


def read_made(out: Path) -> None:
    """The splits of a data folder that was made of mangled tables."""
    dataset = dataset_of(out / "yard")
    for split in dataset.splits:
        dataset.read_split(out / "yard", split)


LISTING = Kind("new-dataset", write_listing, (
    Case("new-dataset {out}/yard {in}/clips.csv --events {in}/rows.tsv", ("clips.csv", "rows.tsv"), read_made),
    Case("new-dataset {out}/yard {in}/clips.csv --classes {in}/classes.json", ("clips.csv", "classes.json"), read_made),
    Case("new-dataset {out}/yard {in}/lengths.csv --events {in}/rows.tsv --any-length", ("lengths.csv", "rows.tsv"),
        read_made),
    Case("new-dataset {out}/yard {in}/lengths.csv --segments 9", ("lengths.csv",), read_made),
))  # fmt: skip


TABLE = Kind("table", write_world, (
    Case("table {in}/s.json {in}/scores --out {out}/t.csv --mix", ("s.json", "scores/*/*"), not_empty("t.csv")),
    Case("table {in}/s.json --published --mix --out {out}/t.md", ("s.json",), not_empty("t.md")),
    Case("table {in}/scores --out {out}/t.tex", ("scores/*/*",), not_empty("t.tex")),
    Case("table {in}/s.json {in}/scores --mix --baseline s --out {out}/t.json", ("s.json", "scores/*/*"),
        not_empty("t.json")),
))  # fmt: skip


CALIBRATE = Kind("calibrate", write_world, (
    *(
        Case(f"calibrate {{in}}/{name} {ON} --out {{out}}/t.json{more}", files,
            lambda out: read_calibration(out / "t.json", NAMES))
        for name, more, files in (
            ("clip.npz", "", ("clip.npz", *DATA)), ("modality.npz", " --criterion clip-f", ("modality.npz",)),
            ("clip.npz", " --criterion event-f", ("clip.npz",)), ("parses", " --criterion tag-rate", ("parses/*",)),
            ("events.json", " --gate none --subset", ("events.json",)),
        )
    ),
))  # fmt: skip


CALIBRATE_STORE = Kind("calibrate-store", write_store, (
    Case("calibrate {in}/store --annotations {in}/data --split val --keep {in}/thresholds.json "
        "--classes {in}/classes.json --out {out}/t.json",
         ("store/*/*", "store/*/*", "data/*.csv", "thresholds.json"),
         lambda out: read_calibration(out / "t.json", NAMES)),
))  # fmt: skip


PLOT = Kind("plot", write_world, (
    Case(f"plot timeline {{in}}/clip.npz {{in}}/events.json {ON} --clip b --out {{out}}/p.png --subset",
        ("clip.npz", "events.json", *DATA), read_image),
    Case(f"plot classes {{in}}/parses {ON} --out {{out}}/p.svg --no-interval", ("parses/*", *DATA), read_svg),
    Case(f"plot curves {{in}}/modality.npz {ON} --out {{out}}/p.svg", ("modality.npz",), read_svg),
    Case(f"plot labels {{in}}/labels {ON} --out {{out}}/p.svg", ("labels/*",), read_svg),
    Case(f"plot confusion {{in}}/marks.npz {ON} --out {{out}}/p.png", ("marks.npz",), read_image),
))  # fmt: skip


LABELS = Kind("labels", write_store, (
    Case("labels {in}/store --classes {in}/classes.json --out {out}/l --thresholds {in}/thresholds.json",
        ("store/*/*", "store/*/*", "thresholds.json"), read_labels),
    Case("labels {in}/store --classes {in}/classes.json --out {out}/l --thresholds {in}/thresholds.json --soft",
        ("thresholds.json",), read_labels),
    Case("labels {in}/store --classes {in}/classes.json --out {out}/l --thresholds {in}/thresholds.json "
        "--against {in}/data --split val --disagreements", ("data/*.csv", "store/*/*"), read_labels),
))  # fmt: skip


SEARCH = Kind("search", write_searched_world, (
    Case("search {in}/store a dog barks --out {out}/f.json", ("store/*/*",), read_found),
    Case("search {in}/store a dog --in visual --space {in}/s.safetensors --out {out}/f.json",
        ("s.safetensors", "store/*/*"), read_found),
))  # fmt: skip


RESCORE = Kind("rescore", write_rescored_world, (
    Case("rescore {in}/p.npz --model {in}/language --out {out}/r.npz", ("language/*", "p.npz"),
        lambda out: read_predictions(out / "r.npz")),
))  # fmt: skip


STORE = Kind("store", write_store, (
    Case("store verify {in}/store", ("store/*/*",)),
    Case("store show {in}/store", ("store/*/*",)),
    Case("store merge {in}/store --out {out}/m", ("store/*/*",), lambda out: _verified(out / "m")),
))  # fmt: skip


def _verified(store: Path) -> None:
    assert typed("store", "verify", store).code == 0


VIEW = Kind("view", write_viewed, (
    Case("view {in}/parses --out {out}/v.html", ("parses/*", "parses.corrections/*"), read_page),
    Case("view {in}/clip.npz {in}/marks.npz --data {in}/data --split test --classes {in}/own/classes.json "
        "--out {out}/v.html", ("clip.npz", "marks.npz", "data/*.csv"), read_page),
    Case("view {in}/events.json {in}/labels --data {in}/data --split test --classes {in}/own/classes.json "
        "--out {out}/v.html", ("events.json", "labels/*"), read_page),
    Case("view {in}/clip.npz --thresholds {in}/thresholds.json --out {out}/v.html", ("thresholds.json", "clip.npz"),
        read_page),
))  # fmt: skip


def read_run(out: Path) -> None:
    find_recipe(str(out / "run"))
    read_checkpoint(out / "run")
    if not (out / "run" / "predictions.npz").exists():  # of a test split that lacks evidence, as the run has said
        assert not (out / "run" / "scores.json").exists()
        return
    read_any_predictions(out / "run" / "predictions.npz", toy_run.NAMES)
    TenScores.from_dict(loads((out / "run" / "scores.json").read_bytes()))


TRAIN = Kind("train", write_trained, (
    Case(f"train demo --data {{in}}/data --labels {{in}}/labels --out {{out}}/run {SMALL}",
        ("data/store/*/*", "data/*.csv", "labels/*"), read_run, ("*",)),
))  # fmt: skip


PREDICT = Kind("predict", write_trained, (
    Case("predict {in}/run --data {in}/data --split test --out {out}/p.npz",
        ("run/best.safetensors", "run/recipe.json", "data/store/*/*"),
         lambda out: read_any_predictions(out / "p.npz", toy_run.NAMES)),
    Case("predict {in}/run --data {in}/data --split val --out {out}/p", ("run/best.safetensors", "data/*.csv"),
        lambda out: read_any_predictions(out / "p", toy_run.NAMES)),
    Case("evaluate {in}/run --annotations {in}/data --split test --json {out}/s.json", ("run/*",), read_scores),
    Case("plot training {in}/run --out {out}/p.png", ("run/log.jsonl", "run/*"), read_image),
    Case("table {in}/run --out {out}/t.csv", ("run/scores.json", "run/*"), not_empty("t.csv")),
    Case(f"train demo --data {{in}}/data --labels {{in}}/labels --out {{in}}/run {SMALL}", ("run/*",), leaves=("*",)),
))  # fmt: skip


def unpacked(ending: str) -> Callable[[Path, Path], object]:
    def call(inside: Path, out: Path) -> object:
        before = sorted(out.parent.rglob("*"))
        try:
            return unpack(inside / f"f{ending}", out / "d", lambda name: name.endswith(".npy"))
        finally:
            strays = [
                path
                for path in sorted(out.parent.rglob("*"))
                if path not in before and not path.is_relative_to(out / "d")
            ]
            assert not strays, strays

    return call


ARCHIVES = Kind("archives", write_archives, tuple(
    Case(f"unpack f{ending}", (f"f{ending}",), leaves=("*.npy",) if ending == ".zip" else (), call=unpacked(ending))
    for ending in (".zip", ".zip", ".tar", ".tar.gz", ".tar.xz", ".tar.bz2")
))  # fmt: skip


ARRAYS = Kind("arrays", write_archives, (
    Case("read_npy a.npy", ("a.npy",), call=lambda inside, out: read_npy(inside / "a.npy")),
    Case("read_npy text.npy", ("text.npy",), call=lambda inside, out: read_npy(inside / "text.npy")),
    Case("read_npz", ("a.npz",), call=lambda inside, out: (read_npz(inside / "a.npz", ("a", "b", "c")),
        npz_names(inside / "a.npz"))),
))  # fmt: skip


def read_packed_all(out: Path) -> None:
    for split in ("train", "val", "test"):
        for kind in ("vggish", "clip"):
            read_packed(out, kind, split)


IMPORT = Kind("import", write_imported, (
    Case("import features {in}/data --out {out}", ("data/*/*/*.npy", "data/*/*/*.npy", "data/*.csv"),
        read_packed_all, ("*.json", "*.safetensors")),
    Case("import features {in}/data --out {out} --allow-missing --precision float32", ("data/*/*/*.npy",),
        read_packed_all, ("*.json", "*.safetensors")),
    Case("import labels {in}/data --out {out}/l", ("data/*/segment_pseudo_labels/*.npy",),
        lambda out: read_pseudo_labels(out / "l")),
    Case("import checkpoint {in}/best.pt --out {out}/run --heads 2", ("best.pt",),
        lambda out: read_checkpoint(out / "run")),
    Case("export features {in}/packed --out {out}/x", ("packed/packed/*",), leaves=("*.npy",)),
    Case("export labels {in}/labels --out {out}/x", ("labels/*",)),
))  # fmt: skip


MEDIA_GRID = Grid(num_segments=4, segment_seconds=1.0, sample_rate=8000)


def heard_and_seen(name: str) -> Callable[[Path, Path], object]:
    """The survey and the windows of a recording, by the process that decodes."""

    def call(inside: Path, out: Path) -> object:
        with ProcessReader(DecodeLimits(seconds=20.0, memory=1024)) as reader:
            survey = reader.survey(inside / name)
            windows = list(read_windows(survey, MEDIA_GRID, hop=2, reader=reader))
        assert (
            windows
            and survey.seconds > 0
            and all(np.isfinite(w.clip.waveform).all() for w in windows if w.clip.waveform is not None)
        )
        assert all(window.present[~window.valid].sum() == 0 for window in windows)
        return survey, [(w.start, w.clip.frames, w.clip.waveform, w.present) for w in windows]

    return call


MEDIA = Kind("media", write_media, tuple(
    Case(f"windows {name}", (name,), call=heard_and_seen(name))
    for name in ("a.mp4", "b.mkv", "c.ts", "d.avi", "e.wav", "f.mp3", "g.flac", "h.ogg", "i.m4a", "j.mov", "k.flv")
))  # fmt: skip


def from_tools(name: str) -> Callable[[Path, Path], object]:
    def call(inside: Path, out: Path) -> object:
        file = inside / "sent" / name / f"a{FORMATS[name].ending}"
        options = ImportOptions(exported_from=inside / "parses", format=name)
        found = import_events([file], out / "c", options)
        return [(one.clip_id, one.events) for one in found.corrections]

    return call


EVENTS = Kind("events", write_events_of_tools, (
    *(
        Case(f"import events {name}", (f"sent/{name}/*",), call=from_tools(name), leaves=("*",)) for name in FORMATS
    ),
    Case("valor.json", ("valor.json",), call=lambda inside, out: read_manifest(inside / "valor.json", "org/x")),
))  # fmt: skip


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        EVALUATE,
        EVENTS,
        LINT,
        AVE,
        UNAV,
        LFAV,
        OVAVE,
        VGGSOUNDER,
        LENGTHS,
        CUTS,
        LISTING,
        TABLE,
        CALIBRATE,
        CALIBRATE_STORE,
        PLOT,
        LABELS,
        STORE,
        SEARCH,
        RESCORE,
        VIEW,
        TRAIN,
        PREDICT,
        ARCHIVES,
        ARRAYS,
        IMPORT,
        MEDIA,
    )
}
