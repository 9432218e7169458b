"""What is shared of a run, thresholds or a store, and the card that is written from what they know of themselves."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valor import __version__
from valor.data.hub import CARD, MANIFEST, manifest_text, push, taken_apart
from valor.data.names import list_names
from valor.data.parse_file import OF_DRAWINGS
from valor.data.provenance import MARK, Provenance, told_by
from valor.data.score_file import read_own_scores
from valor.data.thresholds import APPLIES_TO, ROLES, read_calibration
from valor.eval.decide import rule_text
from valor.eval.scores import FIGURES, LEVELS
from valor.eval.tables import FIGURE_TITLES, LEVEL_TITLES, Sheet, markdown_escaped
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import file_sha256, replaced
from valor.label_harvest.places.place import place_of
from valor.label_harvest.store.owed import Unfinished, note_unfinished, unfinished
from valor.label_harvest.store.status import store_status
from valor.label_harvest.store.store import store_folder, store_manifest
from valor.label_harvest.strict_json import as_list, as_object, as_text, loads
from valor.training.checkpoint import read_tensors
from valor.training.run_folder import (
    BEST,
    HALF_SCORES,
    LOG,
    ON_TEST_SCORES,
    PREDICTIONS,
    RECIPE,
    SCORES,
    TUNED_SCORES,
    refuse_several_seeds,
)

OF_RUN = (BEST, RECIPE, SCORES, PREDICTIONS, TUNED_SCORES, HALF_SCORES, ON_TEST_SCORES, LOG)
"""What of a run folder is shared, where it is there; not the point a stopped run goes on from."""
THRESHOLDS = "thresholds.json"
_DEMO = "demo-"
"""What the names of the demo's teachers begin with."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What goes into a repository."""

    kind: str
    """A key of `KINDS`."""
    files: Mapping[str, Path]
    """By the name they get there."""
    about: Mapping[str, Any]
    """What `valor.json` says beside them."""
    warnings: tuple[str, ...]
    """What keeps anybody from believing it, first of all on the card."""
    parts: Sequence[tuple[str, str]]
    """(heading, Markdown) of the card."""


def shared(path: Path) -> Shared:
    """Look at what is to be shared.

    Args:
        path: A run folder, a file of thresholds, or an evidence store.

    Raises:
        ValueError: It is none of these, is damaged, or is a folder of several seeds.
        FileNotFoundError: There is no such file or folder.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such run, thresholds or store")
    refuse_several_seeds(path)
    if (path / BEST).is_file():
        return _run(path)
    if path.is_file() and path.suffix == ".json":
        return _thresholds(path)
    if path.is_dir() and (list(path.glob("manifest.json")) or list(path.glob("*/manifest.json"))):
        return _store(path)
    raise ValueError(
        f"{path}: expected a run folder (with {BEST}), thresholds of `valor calibrate`, or an evidence store, got "
        "something else"
    )


def push_shared(
    path: Path,
    address: str,
    *,
    licence: str | None = None,
    private: bool = False,
    out: Path | None = None,
    endpoint: str | None = None,
) -> str:
    """Push a run, thresholds or a store with a card, or write what would be pushed.

    Args:
        path: As in `shared`.
        address: OWNER/NAME, with `hf:` before it or not.
        licence: Its name as the hub writes it, such as `mit`; None says that nobody stated one.
        private: Whether a repository that is made is for its owner alone.
        out: A folder for the card and `valor.json`; nothing is pushed then.
        endpoint: Another server than the hub.

    Returns:
        The commit; empty where nothing was pushed.

    Raises:
        HubError: The hub refused, or cannot be reached.
        ValueError: As in `shared`, or the address is none.
    """
    if licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", licence):
        raise ValueError(f"licence must be a name as the hub writes it, such as mit or cc-by-4.0, got {licence!r:.80}")
    repository, _ = taken_apart(address)
    found = shared(path)
    texts = {
        CARD: card_text(found, repository, licence),
        MANIFEST: manifest_text(found.kind, found.files, {"valor": __version__, "licence": licence, **found.about}),
    }
    if out is not None:
        for name, text in texts.items():
            with replaced(out / name) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="\n")
        return ""
    message = f"{found.kind} of VALOR {__version__}"
    return push(address, found.kind, found.files, texts, message=message, private=private, endpoint=endpoint)


def card_text(found: Shared, repository: str, licence: str | None) -> str:
    """The card, README.md of the repository: metadata for the hub, then what people read."""
    tags = ["audio-visual-video-parsing", "weak-supervision", found.kind, *["simulated"] * _is_simulated(found)]
    head = ["---", "library_name: valor", *([f"license: {licence}"] if licence else [])]
    head += ["tags:", *(f"- {tag}" for tag in tags), "---", ""]
    lines = [f"# {repository.rpartition('/')[2]}", ""]
    for warning in found.warnings:
        lines += [f"> **{warning}**", ""]
    stated = licence or "not stated by who pushed this; ask before you use it"
    for heading, text in (*_use(found, repository), *found.parts, ("Licence", stated), ("Files", _files(found))):
        lines += [f"## {heading}", "", text, ""]
    written = f"Written by `valor push` ({__version__}) from what the files say of themselves."
    return "\n".join([*head, *lines, written]) + "\n"


def _is_simulated(found: Shared) -> bool:
    return any(MARK in warning for warning in found.warnings)


def _use(found: Shared, repository: str) -> Iterator[tuple[str, str]]:
    lines = {
        "run": f'```python\nimport valor\n\nparser = valor.load("{repository}")\nprint(parser("film.mp4"))\n```\n\n'
        f"or `valor parse film.mp4 --run hf:{repository} --png film.png`",
        "thresholds": f"`valor pull {repository} --out thresholds`, then {_taking(found)}",
        "store": f"`valor pull {repository} --out store`, then `valor labels store --out labels`",
    }
    yield "Use", lines[found.kind]


def _taking(found: Shared) -> str:
    """The command that takes thresholds."""
    applies_to = found.about.get("applies_to")
    if applies_to in ("segment_threshold", "clip_threshold"):
        return f"`valor evaluate predictions.npz --annotations data --split test --thresholds thresholds/{THRESHOLDS}`"
    if applies_to == "labels":
        return f"`valor labels store --out labels --thresholds thresholds/{THRESHOLDS}`"
    return f"`valor labels store --out labels --rule {applies_to} --thresholds thresholds/{THRESHOLDS}`"


def _files(found: Shared) -> str:
    rows = [[name, f"{path.stat().st_size:,}", f"{file_sha256(path):.16}"] for name, path in found.files.items()]
    more = [["...", "", f"{len(rows) - 20} more in {MANIFEST}"]] if len(rows) > 20 else []
    return Sheet(columns=["file", "bytes", "sha256"], rows=[*rows[:20], *more], left=(0, 2)).to_markdown()


def _warnings(provenance: Provenance, teachers: Sequence[str]) -> tuple[str, ...]:
    said = []
    if provenance.simulated:
        said.append(f"{MARK}: learned from or scored on simulated features; no score of it means anything.")
    if provenance.random_teachers:
        said.append("Teachers with random weights had a part in it: it is good for trying out alone.")
    if any(name.startswith(_DEMO) for name in teachers):
        said.append(f"{OF_DRAWINGS[0].upper()}{OF_DRAWINGS[1:]}.")
    return tuple(said)


def _run(path: Path) -> Shared:
    _, header = read_tensors(path / BEST)  # refuses a damaged one
    recipe = as_object(header.get("recipe", {}), f"{path / BEST}: recipe")
    run = as_object(recipe.get("run", {}), "run")
    sources = as_object(run.get("sources", {}), "sources")
    features = {
        stream: as_object(held, stream) for stream, held in as_object(sources.get("features", {}), "features").items()
    }
    teachers = {stream: as_object(held.get("teacher") or {}, "teacher") for stream, held in features.items()}
    names = [str(teacher["teacher"]) for teacher in teachers.values() if teacher.get("teacher")]
    files = {name: path / name for name in OF_RUN if (path / name).is_file()}
    classes = [str(name) for name in as_list(header["class_names"], "class_names")]
    rows = [
        [stream, str(held.get("kind")), str(held.get("from")), str(teachers[stream].get("teacher") or "–"),
         str(teachers[stream].get("weights") or "–")[:16]]
        for stream, held in features.items()
    ]  # fmt: skip
    seen = Sheet(columns=["stream", "features", "from", "teacher", "weights"], rows=rows, left=range(5)).to_markdown()
    parts = [
        *_scores(path),
        ("What it looks and listens with", seen),
        ("What it learned from", _learned(recipe, sources, header.get("git_revision"))),
    ]
    return Shared(
        kind="run",
        files=files,
        about={"recipe": recipe.get("name"), "classes": classes, "teachers": teachers},
        warnings=_warnings(told_by(recipe), names),
        parts=[*parts, ("Classes", f"{len(classes)}: {list_names(classes)}")],
    )


def _scores(path: Path) -> Iterator[tuple[str, str]]:
    """The ten figures, where the run was scored."""
    if not (path / SCORES).is_file():
        yield "Scores", "None: the run was not scored on a test split."
        return
    report = read_own_scores(path / SCORES)
    rows = [
        [LEVEL_TITLES[level], *(f"{report[level][figure]:.1f}" for figure in FIGURES)]
        for level in LEVELS
        if isinstance(report.get(level), dict)
    ]
    table = Sheet(columns=["", *FIGURE_TITLES.values()], rows=rows).to_markdown()
    own = [f"{name} {value:.1f}" for name, value in as_object(report.get("figures", {}), "figures").items() if value]
    truth = str(report.get("truth_sha256"))[:12]
    rule = report.get("post_processing")
    said = f"F-scores in percent on {report.get('clips')} of {report.get('clips_expected')} clips of the test split"
    said += f" (truth {truth}{', ' + rule_text(rule) if isinstance(rule, dict) else ''})."
    yield "Scores", "\n\n".join([said, table, *([f"Of its data set: {', '.join(own)}."] if own else [])])


def _learned(recipe: Mapping[str, Any], sources: Mapping[str, Any], revision: str | None) -> str:
    """Recipe, clips, labels, extra data, what was chosen on val, and by which code."""
    run, fit = recipe.get("run", {}), recipe.get("fit", {})
    left_out = as_object(run.get("left_out", {}), "left_out")
    clips = ", ".join(
        (f"{count - left:,} of the " if (left := int(left_out.get(split, 0))) else "") + f"{count:,} of {split}"
        for split, count in as_object(sources.get("clips", {}), "clips").items()
    )
    labels = sources.get("labels")
    made = {one.get("teacher") for one in as_object((labels or {}).get("teachers", {}), "teachers").values()}
    chosen = f"epoch chosen by {fit.get('select_by')} on val"
    by = ", ".join(sorted(map(str, made))) or labels and labels.get("from")
    torch = as_object(run.get("runtime", {}), "runtime").get("torch")
    held = {
        "recipe": f"`{recipe.get('name')}`: {recipe.get('note') or ''}",
        "methods": ", ".join(recipe.get("methods") or {}) or "none beside the network",
        "training": f"{fit.get('epochs')} epochs, seed {fit.get('seed')}, {chosen}",
        "clips": clips or "not recorded",
        "labels": "none, tags alone" if labels is None else f"of {by}",
        "extra or fewer data": _words(run.get("extra_data")),
        "tuned on validation": _words(run.get("tuned")),
        "code": f"{revision or 'not recorded'}, torch {torch}",
    }
    return "\n".join(f"- {name}: {said}" for name, said in held.items())


def _words(held: Any) -> str:  # noqa: ANN401
    return "not known" if held is None else ", ".join(map(str, held)) or "none"


def _thresholds(path: Path) -> Shared:
    try:
        table = as_object(loads(path.read_text(encoding="utf-8")), "the file")
        applies_to = as_text(table.get("applies_to"), "applies_to")
        if applies_to not in APPLIES_TO:
            raise ValueError(
                f"applies_to must be one of {', '.join(APPLIES_TO)}, got {applies_to!r:.40}"
                f"{did_you_mean(applies_to, APPLIES_TO)}"
            )
        classes = tuple(as_object({} if table.get("classes") is None else table["classes"], "classes"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected thresholds as `valor calibrate` writes them, got {error!s:.300}") from error
    count = max([0, *(len(table[role]) for role in ROLES if isinstance(table.get(role), list))])
    held = read_calibration(path, classes or tuple(map(str, range(count)))).thresholds
    rows = [[name, *(f"{of[row]:.4g}" for of in held.values())] for row, name in enumerate(classes)]
    told = ("applies_to", "criterion", "split", "clips", "truth_version", "truth_sha256", "note")
    said = [(name, markdown_escaped(str(table[name]))[:200]) for name in told if table.get(name) is not None]
    judges = {role: as_object(one, role) for role, one in as_object(table.get("teachers") or {}, "teachers").items()}
    said += [
        (role, markdown_escaped(f"{one.get('teacher')!s:.80}, weights {one.get('weights')!s:.16}"))
        for role, one in judges.items()
    ]
    facts = "\n".join(f"- {name}: {text}" for name, text in [said[0], ("marked", APPLIES_TO[applies_to]), *said[1:]])
    numbers = Sheet(columns=["class", *held], rows=rows).to_markdown() if rows else "They name no classes."
    return Shared(
        kind="thresholds",
        files={THRESHOLDS: path},
        about={"applies_to": applies_to, "classes": list(classes), "teachers": judges},
        warnings=_warnings(told_by(table), [str(one.get("teacher")) for one in judges.values()]),
        parts=[("What they are", facts), ("Thresholds", numbers)],
    )


def _lacking(lacks: Unfinished) -> str:
    return f"{lacks.clips:,} of {lacks.clips + lacks.owed:,} clips: the others are in no shard."


def _store(path: Path) -> Shared:
    folder = Path(str(store_folder(place_of(path))))
    manifest, status = store_manifest(place_of(path)), store_status(place_of(path))
    found = [file for file in sorted(folder.rglob("*")) if file.is_file() and not file.name.startswith(".")]
    files = {f"{folder.name}/{file.relative_to(folder).as_posix()}": file for file in found}
    teachers = {
        role: {name: value for name, value in held.items() if not isinstance(value, list | dict)}
        for role, held in as_object(manifest["teachers"], "teachers").items()
    }
    counts = ", ".join(f"{count:,} {name}" for name, count in status.by_status.items())
    grid = manifest["grid"]
    heard = [
        f"- {role}: {held.get('teacher')}, weights {str(held.get('weights')):.16}" for role, held in teachers.items()
    ]
    facts = [
        f"- clips: {counts}",
        f"- segments: {grid['num_segments']} of {grid['segment_seconds']:g} s",
        *heard,
        f"- classes: {len(manifest['class_names'])}: {list_names(manifest['class_names'])}",
        f"- fingerprint: {manifest['fingerprint']}",
        "- the names of the clips and their tags are in it, and messages about those that failed",
    ]
    names = [str(held.get("teacher")) for held in teachers.values()]
    lacks = unfinished(folder)
    note_unfinished(folder)
    return Shared(
        kind="store",
        files=files,
        about={"fingerprint": manifest["fingerprint"], "teachers": teachers},
        warnings=(*_warnings(told_by(manifest), names), *([_lacking(lacks)] if lacks else [])),
        parts=[("What is in it", "\n".join(facts))],
    )
