"""What is installed, which teachers and files are there, and what to do about what is not; all without a network."""

import importlib.metadata
import logging
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from valor.data.datasets.dataset import LLP, DataSet, dataset_of

_LOG = logging.getLogger(__name__)

NEEDED = (
    "torch",
    "torchvision",
    "torchaudio",
    "open_clip_torch",
    "transformers",
    "av",
    "numpy",
    "pandas",
    "safetensors",
    "matplotlib",
)
"""Distributions without which some stage cannot run."""

OPTIONAL = {
    "laion-clap": "not needed: its checkpoints are read without it",
    "faiss-cpu": "not needed but for an index of large stores (`valor search index STORE`)",
}
"""Distributions people ask about, and what there is to say."""

TRAINED_ON = {"sound": ("clap", "vggish"), "the picture": ("clip", "res152")}
"""Kinds of published features of which every recipe takes one each."""

BEYOND_SCORES = tuple(name for name in NEEDED if name not in ("numpy", "pandas", "matplotlib"))
"""Those that an installation for scores alone is without, all of them."""
SCORES_ONLY = "scores alone"
"""Subject of the finding that says so."""

INSTALL = "pip install -c constraints.txt -e ."
"""What installs everything."""


_CALLED = {"PIL": "pillow", "cv2": "scenedetect-headless", "open_clip": "open_clip_torch", "faiss": "faiss-cpu",
           "scenedetect": "scenedetect-headless"}  # fmt: skip
"""What pip calls packages that are imported by another name."""
_ALONE = ("matplotlib", "safetensors")
"""All that some commands need beside numpy and pandas."""


def absent_package(error: ModuleNotFoundError) -> str | None:
    """What to say of a package that is not installed, and how to install it; None of a module of ours.

    Of an installation that lacks nothing else, and of packages that some commands need alone, it is that one.
    """
    name = (error.name or "valor").partition(".")[0]
    if name == "valor":
        return None
    called = _CALLED.get(name, name)
    alone = name in _ALONE or not [other for other in NEEDED if other != called and not _version(other)]
    remedy = f"pip install {called}" if alone else f"install all of them ({INSTALL})"
    return f"needs the package {name}, which is not installed here; {remedy}"


@dataclass(frozen=True)
class Finding:
    """One thing the doctor looked at."""

    state: str
    """`ok`, `note` (something to know) or `missing` (a stage cannot run)."""
    subject: str
    found: str
    remedy: str = ""
    """What to do about it; empty when there is nothing to do."""
    table: str = ""
    """More of it in lines, what to do about each among them."""


def examine(data: Path | None = None) -> list[Finding]:
    """Look at everything that decides which stages can run here.

    Args:
        data: A data folder to look at as well: annotation tables and features.
    """
    if _version("numpy") and _version("pandas") and not any(map(_version, BEYOND_SCORES)):
        findings = [*_machine(), *_scores_only()]
    else:
        findings = [*_machine(), *_packages(), *_decoders(), *_teachers(), *_extractors()]
    return findings + (_data(data) if data else [])


def _scores_only() -> list[Finding]:
    """What is there where only numpy and pandas were installed, as docs/install.md has it."""
    works = "complete: evaluate, table, lint, calibrate, import, export, view, download"
    rest = f"the rest needs {', '.join(BEYOND_SCORES)}: {INSTALL}"
    drawn = _version("matplotlib")
    figures = Finding("ok" if drawn else "note", "matplotlib", drawn or "not installed (optional)")
    return [
        *(Finding("ok", name, str(_version(name))) for name in ("numpy", "pandas")),
        figures if drawn else replace(figures, remedy="for `valor plot` and figures from Python"),
        Finding("note", SCORES_ONLY, works, rest),
    ]


_EACH = 5
"""Seconds, about, that it takes to load what reads the captions of a teacher: 2 of processor time where a teacher has
no weights yet, more by a guess where they are read."""


def weight_findings(names: Sequence[str], data: Path | None = None, *, progress: bool = False) -> list[Finding]:
    """Whether some teachers could work here: weights on this machine, captions they read; asks nothing of a network.

    Args:
        names: Short names or open ones.
        data: The data folder whose classes they would read; None for those of LLP.
        progress: Whether to say about how long it takes, and to show a bar.

    Raises:
        ValueError: A name is none of a teacher.
    """
    from valor.data.datasets.to_harvest import vocabulary_of
    from valor.label_harvest.progress import progress_bar
    from valor.label_harvest.teachers.build import check_teacher
    from valor.teachers import NONE, TeacherChoice, check_judges, weights_of

    found: list[Finding] = []
    roles = {name: check_teacher(name) for name in names}
    for name, role in roles.items():
        if role not in ("visual", "audio"):
            raise ValueError(f"weights must be of a teacher that looks or listens, got {name!r}, which is {role}")
    if not roles:
        return found
    classes = vocabulary_of(None, data)
    if progress:
        _LOG.info(
            "looks for weights and loads what reads captions: about %d s for each of %d teacher%s",
            _EACH,
            len(roles),
            "s" * (len(roles) > 1),
        )
    for name, role in progress_bar(roles.items(), enabled=progress, desc="teachers", unit="teacher", leave=False):
        visual, audio = (name if role == of else NONE for of in ("visual", "audio"))
        choice = TeacherChoice(visual=visual, audio=audio)
        for one in weights_of(choice):
            state = "missing" if one.absent else "ok"
            found.append(Finding(state, f"weights of {name}", one.place, one.remedy))
        try:
            check_judges(choice, classes)
        except ValueError as error:
            found.append(
                Finding("missing", f"captions for {name}", str(error), "docs/own-classes.md says what is read")
            )
    return found


def _machine() -> list[Finding]:
    found = [Finding("ok", "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    if not _version("torch"):  # said among the packages
        return found
    try:
        import torch
    except (ImportError, OSError, RuntimeError) as error:
        return [*found, Finding("missing", "torch", f"does not import: {error}", INSTALL)]
    if torch.cuda.is_available():
        found.append(Finding("ok", "device", torch.cuda.get_device_name(0)))
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        found.append(Finding("note", "device", f"no GPU, {cores} cores", "the demo needs none; harvest LLP on a GPU"))
    return found


def _packages() -> list[Finding]:
    found = []
    for name in NEEDED:
        version = _version(name)
        remedy = "" if version else INSTALL
        found.append(Finding("ok" if version else "missing", name, version or "not installed", remedy))
    for name, why in OPTIONAL.items():
        version = _version(name)
        state, remedy = ("ok", "") if version else ("note", why)
        found.append(Finding(state, name, version or "not installed (optional)", remedy))
    program = shutil.which("ffmpeg")
    remedy = "" if program else "not needed: PyAV brings its own libraries"
    found.append(Finding("ok" if program else "note", "ffmpeg", program or "no such program", remedy))
    return found


def _decoders() -> list[Finding]:
    """The libraries that `valor harvest --decoder` may name beside the one that is always there."""
    from valor.label_harvest.media.decoders import DECODERS, PYAV, decoder_trouble

    found = []
    for name in DECODERS:
        if name == PYAV:
            continue
        version, trouble = _version(name), decoder_trouble(name)
        if trouble is None:
            found.append(Finding("ok", f"decoder {name}", version or "found"))
            continue
        what = " ".join(filter(None, (version, trouble[0])))
        found.append(
            Finding(
                "note", f"decoder {name}", f"{what} (optional)", f"{trouble[1]}, for `valor harvest --decoder {name}`"
            )
        )
    return found


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _teachers() -> list[Finding]:
    from valor.label_harvest.teachers.build import TEACHERS, role_of, where_weights_are

    offline = os.environ.get("HF_HUB_OFFLINE", "").strip() not in ("", "0")
    where = "HF_HUB_OFFLINE is set, so" if offline else "fetched from the hub on first use; without a network"
    found = []
    for name in TEACHERS:
        role = role_of(name)
        try:
            import_module(f"valor.label_harvest.teachers.{'clip' if role == 'visual' else 'clap'}")
            place = where_weights_are(name)
        except (ImportError, OSError, RuntimeError) as error:
            found.append(Finding("missing", f"teacher {name}", f"cannot be built: {error}", INSTALL))
            continue
        if place:
            found.append(Finding("ok", f"teacher {name}", str(place)))
        else:
            remedy = f"{where} give a local file to `valor harvest --teacher-checkpoint {role}=PATH`"
            found.append(Finding("note", f"teacher {name}", "weights not on this machine", remedy))
    return found


def teacher_lines() -> list[str]:
    """The teachers that have a short name, those that look before those that listen: a head and three lines each."""
    from valor.label_harvest.teachers.build import where_weights_are
    from valor.label_harvest.teachers.catalogue import CATALOGUE

    lines = []
    for name, entry in CATALOGUE.items():
        place = where_weights_are(name)
        parameters, weights = entry.size
        where = f"here: {place}" if place else f"{weights} from huggingface.co/{entry.repository}"
        remark = f"; {entry.remark}" if entry.remark else ""
        lines += [
            f"{name:28s}{entry.role:8s}{parameters}, {entry.licence}{remark}",
            f"    {entry.takes}, {entry.every}",
            f"    reads captions {entry.reads}",
            f"    {where} ({entry.builds})",
        ]
    return lines


def _extractors() -> list[Finding]:
    """The networks of `valor harvest --features`; variants of one role share their weights."""
    try:
        from valor.label_harvest.teachers.features import EXTRACTORS, weights_file

        places = {role: weights_file(role) for role in EXTRACTORS.values()}
    except (ImportError, OSError, RuntimeError) as error:
        return [Finding("missing", "extractors", f"cannot be built: {error}", INSTALL)]
    found = []
    for role, path in places.items():
        if path.is_file():
            found.append(Finding("ok", f"extractor {role}", str(path)))
        else:
            remedy = (
                "fetched on first use; without a network put the file there, or give it to "
                f"`valor harvest --teacher-checkpoint {role}=PATH`"
            )
            found.append(Finding("note", f"extractor {role}", f"weights not at {path}", remedy))
    return found


def _data(folder: Path) -> list[Finding]:
    if not folder.is_dir():
        return [Finding("missing", str(folder), "no such folder", "name the folder that holds AVVP_train.csv")]
    found, dataset = [], dataset_of(folder)
    for split in dataset.splits:
        try:
            clips = len(dataset.read_split(folder, split).clip_ids)
        except (OSError, ValueError) as error:
            absent = isinstance(error, FileNotFoundError)
            remedy = f"put the file into {folder}" if absent else "mend or replace the file"
            if absent and dataset.name == LLP.name:
                remedy = f"`valor download annotations --out {folder}`"
            found.append(Finding("missing", f"{split} annotations", str(error), remedy))
        else:
            found.append(Finding("ok", f"{split} annotations", f"{clips:,} clips"))
    features = _features(folder)
    return [*found, *features, *_recipes(folder, dataset, trained=all(one.state != "missing" for one in features))]


def _recipes(folder: Path, dataset: DataSet, *, trained: bool) -> list[Finding]:
    """What the paper's recipes lack, features and pseudo labels, and what gets each.

    Labels are missing where nothing can be trained here; beside features they may lie elsewhere, or not be wanted.
    """
    if dataset.name != LLP.name:
        return []
    try:
        from valor.training.missing import missing_parts, missing_table
        from valor.training.recipes import RECIPES

        names = dataset.names_in(folder)
        lacking = {name: missing_parts(folder, RECIPES[name], names) for name in ("valor", "valor++")}
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        return [Finding("note", "recipes", f"cannot be looked at: {error}")]
    found = []
    for name, parts in lacking.items():
        if not parts:
            found.append(Finding("ok", f"recipe {name}", "has its features and pseudo labels"))
            continue
        what = ", ".join(dict.fromkeys(part.what for part in parts))
        found.append(Finding("note", f"recipe {name}", f"lacks {what}", table=missing_table(parts)))
    for part in lacking["valor++"]:
        if part.what == "labels" and not trained:
            found.append(
                Finding("missing", "labels", f"{part.missing:,} of {part.clips:,} clips have none", part.remedy)
            )
    return found


def _features(folder: Path) -> list[Finding]:
    try:
        from valor.data.features.feature_files import FEATURE_FILES
    except (ImportError, OSError, RuntimeError) as error:
        return [Finding("note", "features", f"cannot be looked at: {error}")]
    found = []
    for kind, files in FEATURE_FILES.items():
        place = folder / files.folder
        count = sum(1 for _ in place.glob("*.npy")) if place.is_dir() else 0
        remedy = "" if count else f"expected in {place}"
        found.append(Finding("ok" if count else "note", f"features {kind}", f"{count:,} files", remedy))
    packed = sorted(path.stem for path in (folder / "packed").glob("*.json"))
    if packed:
        found.append(Finding("ok", "packed features", f"{', '.join(packed)}; read in place of the files"))
    stores = sorted((folder / "store").glob("*/manifest.json"))
    there = {finding.subject.removeprefix("features ") for finding in found if finding.state == "ok"}
    lacking = [f"{what} ({' or '.join(kinds)})" for what, kinds in TRAINED_ON.items() if not there.intersection(kinds)]
    if lacking and not packed and not stores:
        remedy = f"`valor download features --out {folder}`, or `valor harvest --features NAMES` of the media"
        found.append(Finding("missing", "features", f"none of {' and none of '.join(lacking)}", remedy))
    found.append(Finding("ok" if stores else "note", "evidence store", f"{len(stores)} in {folder / 'store'}"))
    return found
