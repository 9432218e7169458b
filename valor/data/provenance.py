"""Where data, labels and scores came from, and whether they mean anything: the one record of it, and how it is read.

Three things take meaning from a score, and whatever is made from them says so for ever:

    simulated features or labels    a data folder holds SIMULATED.json, a packed file has a source that begins so, and
                                    recipes, labels.json, predictions and score files hold "simulated": true; rows,
                                    titles and files of results are called SIMULATED
    teachers with random weights    a store names `random` as a teacher's weights, labels.json holds
                                    "random_weights": true; training on such is refused unless it is asked for
    a file of one's own that has    predictions and score files hold "own_files_changed", the names of files that were
    changed since the training      another version than the run was trained with; rows and titles say so

`sources` says more, as JSON values for recipe.json and the checkpoint: which features, teachers, thresholds and truth
are behind a run. They are there for somebody who asks, and are not read again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valor.label_harvest.disk import file_sha256, replaced, write_json
from valor.label_harvest.places.place import Place, stands
from valor.label_harvest.store.store import store_manifest
from valor.label_harvest.strict_json import as_list, as_text

from .features.feature_options import AVE_KINDS, UNAV_KINDS, FeatureOptions, evidence_in
from .label_file import FILE_NAME, are_simulated, read_label_facts, simulated_by
from .parse_file import OF_DRAWINGS
from .tables import OWN_WORLD, WORLD_FILE, Split

MARK = "SIMULATED"
"""What everything made from simulated features is called by."""

MARK_FILE = f"{MARK}.json"
"""What a data folder of simulated features holds."""

EXTRA, TUNED = "extra_data", "tuned"
"""Keys of score files, of `run` in recipe.json and labels.json that is not of thresholds: what was learned from beside
clips and tags, and what was chosen on the truth of val (`valor.training.facts`)."""

CHANGED = "own_files_changed"
"""Key of predictions and score files for files of one's own that were not those of the training."""

EXPORTED_KINDS = {"clap", "clip"}
"""Published feature kinds that `valor labels --export npy` writes, with its `labels.json` beside them."""

_OF_THE_DEMO = {"demo-audio", "demo-visual", "demo-fused"}
"""Teachers that know drawings alone."""

_PACKED_FACTS = ("dtype", "exact", "source", "sha256")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What is known against something; nothing unless it is said.

    Example:
        >>> told_by({"simulated": True}).marked("valor")
        'SIMULATED valor'
        >>> Provenance().marked("valor")
        'valor'
    """

    simulated: bool = False
    """Features or labels are simulated."""
    random_teachers: bool = False
    """A teacher had random weights, so that its features and labels are noise."""
    own_files_changed: tuple[str, ...] = ()
    """Names of files of one's own by which a run was made to parse in another version than it was trained with."""
    sources: Mapping[str, Any] = field(default_factory=dict)
    """Which features, labels and truth, see `describe_data`."""

    def __or__(self, other: "Provenance") -> "Provenance":
        """What is known against either."""
        return Provenance(
            simulated=self.simulated or other.simulated,
            random_teachers=self.random_teachers or other.random_teachers,
            own_files_changed=tuple(dict.fromkeys((*self.own_files_changed, *other.own_files_changed))),
            sources=self.sources or other.sources,
        )

    def marked(self, name: str, between: str = " ") -> str:
        """A name as titles, tables and files show it, with each mark once: simulated before, a changed file behind it.

        >>> Provenance(own_files_changed=("gru.py",)).marked("mine")
        'mine (gru.py changed since training)'
        """
        changed = f"{between}({', '.join(self.own_files_changed)} changed since training)" * bool(
            self.own_files_changed
        )
        name = name if name.endswith(changed) else f"{name}{changed}"
        return f"{MARK}{between}{name}" if self.simulated and not name.startswith(MARK) else name

    @property
    def in_words(self) -> str:
        """What a run is of, as titles and tables name it: LLP, the demo world, SIMULATED; empty where nobody says."""
        world = str(self.sources.get("world") or "")
        return MARK if self.simulated and world in ("", OWN_WORLD) else self.marked(world)

    @property
    def flags(self) -> dict[str, Any]:
        """What predictions and score files hold of it."""
        told: dict[str, Any] = {"simulated": True} if self.simulated else {}
        return told | ({CHANGED: list(self.own_files_changed)} if self.own_files_changed else {})


def told_by(record: Mapping[str, Any]) -> Provenance:
    """What a record on disk says of itself: a store's manifest, labels.json, a packed card, a recipe, or scores."""
    run = record.get("run")
    sources = run.get("sources") if isinstance(run, Mapping) else None
    held = sources if isinstance(sources, Mapping) else record
    teachers = record.get("teachers")
    identities = teachers.values() if isinstance(teachers, Mapping) else ()
    known = [one for one in identities if isinstance(one, Mapping)]
    is_random = any(one.get("weights") == "random" for one in known)
    return Provenance(
        simulated=simulated_by({**record, **held}) or str(record.get("source", "")).startswith(MARK),
        random_teachers=bool(held.get("random_weights")) or is_random,
        own_files_changed=tuple(as_text(name, CHANGED) for name in as_list(record.get(CHANGED, []), CHANGED)),
        sources=held if held is not record else {},
    )


def by_drawings(identities: Iterable[Mapping[str, Any]], data: Place | None = None) -> tuple[str, ...]:
    """The note of what teachers say that know the demo's drawings alone; none of other teachers.

    Args:
        identities: Of the teachers; adapters name the tower they are in behind a colon.
        data: The data folder of the clips, where there is one: the demo's own needs no such note.
    """
    names = {part for identity in identities for part in str(identity.get("teacher", "")).split(":")}
    own = isinstance(data, Path) and (data / WORLD_FILE).is_file()
    return (OF_DRAWINGS,) if names & _OF_THE_DEMO and not own else ()


def of_folder(data: Path) -> Provenance:
    """What a data folder says of all that lies in it."""
    return Provenance(simulated=stands(data / MARK_FILE))


def of_labels(labels: Path) -> Provenance:
    """What labels say of themselves.

    Args:
        labels: Their folder, or a file in it. Without `labels.json` the label file alone is asked.

    Raises:
        ValueError: A file is damaged, or `labels.json` says that its labels are still being written.
    """
    file = labels if labels.suffix == ".npz" else labels / FILE_NAME
    return told_by(read_label_facts(labels) or {}) | Provenance(simulated=are_simulated(file))


def of_features(
    features: FeatureOptions, data: Path, splits: Sequence[Split], store: Place | None = None
) -> Provenance:
    """What the features of some splits say of themselves: their folder, their cards, their store.

    Args:
        features: Which kinds.
        data: Folder of the annotation tables and the features.
        splits: Those that are read; none asks the folder and the store alone.
        store: Where evidence of a harvest is read from, see `evidence_in`.

    Raises:
        ValueError: As in `of_labels`, where the kinds are those exported with labels.
    """
    from .features.feature_files import FEATURE_FILES  # needs torch, which whoever asks for features has
    from .features.packed import is_packed, read_packed_card

    kinds = {kind for kind in (features.audio, features.visual, features.motion) if kind}
    found = of_folder(data)
    for kind in sorted(kinds & FEATURE_FILES.keys()):
        for split in splits:
            if is_packed(data, kind, split.name):
                found |= told_by({"source": read_packed_card(data, kind, split.name).source})
    if kinds & EXPORTED_KINDS:
        found |= Provenance(random_teachers=of_labels(data).random_teachers)
    if any("." in kind for kind in kinds):
        found |= told_by(store_manifest(evidence_in(data, store)))
    return found


def of_run(
    features: FeatureOptions, data: Path, splits: Sequence[Split], labels: Path | None, store: Place | None = None
) -> Provenance:
    """What is known of all a run learns from and is scored on; arguments as in `describe_data`."""
    found = of_features(features, data, splits, store) | (Provenance() if labels is None else of_labels(labels))
    sources = {"simulated": found.simulated} | describe_data(features, data, splits, labels, store)
    return Provenance(simulated=found.simulated, random_teachers=found.random_teachers, sources=sources)


def describe_data(
    features: FeatureOptions, data: Path, splits: Sequence[Split], labels: Path | None, store: Place | None = None
) -> dict[str, Any]:
    """Say where features, labels and truth of a run come from, as JSON values.

    Args:
        features: Which kinds.
        data: Folder of the annotation tables and the features.
        splits: Those that are used.
        labels: Folder of the pseudo labels, or None.
        store: Where evidence of a harvest is read from, see `evidence_in`.
    """
    kinds = {stream: getattr(features, stream) for stream in ("audio", "visual", "motion")}
    evidence = evidence_in(data, store)
    return {
        "features": {stream: _features(kind, data, splits, evidence) for stream, kind in kinds.items() if kind},
        "labels": None if labels is None else describe_labels(labels),
        "truth": {
            split.name: {"version": split.truth_version, "sha256": split.truth_sha256}
            for split in splits
            if split.truth is not None
        },
        "world": next((split.world for split in splits if split.truth is not None), None),
        "clips": {split.name: len(split.clip_ids) for split in splits},
    }


def describe_labels(labels: Path) -> dict[str, Any]:
    """Say who made the pseudo labels of a folder: teachers and thresholds where `labels.json` tells them."""
    from .features.feature_files import LABEL_FOLDERS  # needs torch

    file = labels / FILE_NAME if labels.is_dir() else labels
    if not file.is_file():
        return {"from": "published files", "folders": list(LABEL_FOLDERS)}
    facts: dict[str, Any] = {"from": file.name, "sha256": file_sha256(file)}
    made = read_label_facts(labels)
    if made is not None:
        facts |= made | {
            "left_out": len(made.get("left_out", ())),
            "teachers": plain_teachers(made.get("teachers", {})),
        }
    return facts


def _features(kind: str, data: Path, splits: Sequence[Split], evidence: Place) -> dict[str, Any]:
    """Where one kind is read from; the same choice as in `valor.data.clips`."""
    from .features.feature_files import FEATURE_FILES
    from .features.packed import is_packed, read_packed_card

    if "." in kind:
        manifest = store_manifest(evidence)
        teacher = plain_teachers(manifest["teachers"]).get(kind.partition(".")[0])
        return {"kind": kind, "from": "evidence store", "fingerprint": manifest["fingerprint"], "teacher": teacher}
    if kind in AVE_KINDS:
        return {"kind": kind, "from": "published files of AVE"}
    if kind in UNAV_KINDS:
        return {"kind": kind, "from": "published files of UnAV-100"}
    packed: dict[str, Any] = {}
    for split in splits:
        if is_packed(data, kind, split.name):
            card = read_packed_card(data, kind, split.name)
            packed[split.name] = {name: getattr(card, name) for name in _PACKED_FACTS}
    facts: dict[str, Any] = {"kind": kind, "from": "packed store" if packed else "published files"}
    if packed:
        facts["packed"] = packed
    if len(packed) < len(splits):
        facts["folder"] = FEATURE_FILES[kind].folder
    return facts


def plain_teachers(identities: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The identity of each teacher without its lists of prompts, which the fingerprint of its store covers."""
    return {
        role: {name: value for name, value in identity.items() if not isinstance(value, (list, dict))}
        for role, identity in identities.items()
    }


_IDENTITY = ("teacher", "weights")
"""Facts of a teacher by which features are told apart."""


def unlike_teachers(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """What the teachers of two streams of features are called, where both are known and they are not the same."""
    then, there = ((features or {}).get("teacher") for features in (one, other))
    if not then or not there or all(then.get(name) == there.get(name) for name in _IDENTITY):
        return None
    return _called(then), _called(there)


def _called(teacher: Mapping[str, Any]) -> str:
    return f"{teacher.get('teacher', 'a teacher')} with weights {str(teacher.get('weights'))[:12]}"


def write_mark(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the mark of simulated features into a data folder.

    Args:
        folder: The folder.
        facts: What was simulated, as JSON values.
    """
    write_json(folder / MARK_FILE, facts)


def pass_mark(source: Path, out: Path, facts: Mapping[str, Any]) -> None:
    """Mark what is made from a simulated folder like the folder itself; a mark that is there stays.

    Args:
        source: A data folder; its mark is copied where it has one.
        out: The folder to mark.
        facts: What to write where the source has no mark of its own.
    """
    if of_folder(out).simulated:
        return
    if not of_folder(source).simulated:
        write_mark(out, {"simulated": True, **facts})
        return
    with replaced(out / MARK_FILE) as temporary:
        temporary.write_bytes((source / MARK_FILE).read_bytes())
