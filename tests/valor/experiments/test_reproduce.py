"""A whole row on a few dozen simulated clips: what is compared, refused, marked, and not done twice."""

import json
import re

import numpy as np
import pytest

import valor.experiments.reproduce
from tests.helpers.typed import typed
from valor.data.features.download import Downloaded, FetchOptions
from valor.data.features.feature_files import FEATURE_FILES
from valor.data.features.packed import read_packed, read_packed_card
from valor.data.label_file import read_pseudo_labels, write_pseudo_labels
from valor.data.tables import WEAK_TABLES, read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.eval.decide import PRESETS, is_complete
from valor.eval.scores import FIGURES, LEVELS
from valor.experiments.llp_rows import LLP_ROWS
from valor.experiments.reproduce import (
    PUBLISHED_AS,
    fetch_parts,
    prepare,
    published_row_of,
    reproduce,
    write_reproduction,
)
from valor.experiments.simulated import SimulationOptions, simulate
from valor.label_harvest.store.manifest import media_id
from valor.scoring.published import read_published
from valor.training.methods.methods import METHODS, Methods
from valor.training.recipes import RECIPES, override
from valor.training.seeds import TrainOptions
from valor.training.train import VALOR_RULE

NAMES = class_names(LLP_CLASSES)
SMALL = ("parser.hidden_width=16", "parser.feedforward_width=16", "fit.epochs=2", "fit.warmup_epochs=1")
RECIPE = override(RECIPES["valor"], SMALL)
TWO_SEEDS = TrainOptions(seeds=2, device="cpu", picture=False, progress=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder that is taken for a real one."""
    folder = tmp_path_factory.mktemp("data")
    made = simulate(folder, ("vggish", "res152", "r2plus1d"), SimulationOptions(clips=60), folder, progress=False)
    (made / "SIMULATED.json").unlink()
    (made / "labels.json").unlink()
    held = read_pseudo_labels(made, alone=True)
    write_pseudo_labels(made / "pseudo_labels.npz", held.clip_ids, held.class_names, held.labels)
    for card in (made / "packed").glob("*.json"):
        card.write_text(card.read_text(encoding="utf-8").replace("SIMULATED", "extracted"), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def reproduced(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    found = reproduce("valor", RECIPE, data, out, TWO_SEEDS, changes=SMALL)
    write_reproduction(out, found)
    return out, found


def test_every_row_has_a_recipe_and_published_figures():
    for row, method in PUBLISHED_AS.items():
        entry = published_row_of(row)
        assert (entry is None) == (method is None) and (entry is None or entry.figures[3] is not None)
    assert set(PUBLISHED_AS) <= set(RECIPES)
    named = {method.published for method in METHODS.values()} & {row.method for row in read_published().rows} - {
        "VPLAN"
    }
    assert named <= set(PUBLISHED_AS.values()), "every method with a row of its own can be reproduced"
    with pytest.raises(ValueError, match="one of valor, valor\\+, valor\\+\\+, han, jomold, .*, got 'vplan'"):
        published_row_of("vplan")


def test_a_method_decides_as_its_published_rule_says():
    for row, method in PUBLISHED_AS.items():
        entry = published_row_of(row)
        rule = Methods(RECIPES[row].methods).decision(VALOR_RULE)
        if method and entry.post_processing and is_complete(PRESETS[entry.post_processing]):
            assert rule == PRESETS[entry.post_processing], row
    assert Methods(RECIPES["cmpae"].methods).decision(VALOR_RULE).segment_threshold == 0.25


def test_the_rows_are_listed_with_what_they_rest_on():
    done = typed("reproduce", "--list")
    assert done.code == 0
    lines = {line.split()[0]: " ".join(line.split()) for line in done.out.splitlines() if line}
    assert set(PUBLISHED_AS) <= set(lines)
    assert "UWAV 65.9 60.9 vggish res152 r2plus1d its code events of UnAV-100 epoch, label cuts" in lines["uwav"]
    assert "clap clip r2plus1d, unfolded" in lines["nrep"] and lines["mug"].startswith("mug – – –")


def test_every_listed_row_has_the_figures_of_the_published_table_or_none():
    """A figure that no source was seen for stands nowhere but where it is asked for by name."""
    table = json.loads(typed("table", "--published", "--format", "json").out)
    at = ("segment", "event")
    held = {row["name"]: [row[level]["type_av"] for level in at] for row in table["rows"]}
    shown = {row: line.published for row, line in LLP_ROWS.items()}
    lines = {
        words[0]: words
        for line in typed("reproduce", "--list").out.splitlines()
        if len(words := re.split("  +", line)) > 5
    }
    for row, method in shown.items():
        entry = published_row_of(row)
        expected = held.get(entry.title, [None, None]) if method else [None, None]
        listed = [None if text == "–" else float(text) for text in lines[row][2:4]]
        assert listed == expected, row
    assert lines["valor+"][1:4] == ["VALOR+", "–", "–"]
    assert "no source of the figures of VALOR+ was seen" in typed("reproduce", "--list").out


@pytest.mark.parametrize("row", ["nrep", "leap"])
def test_a_row_of_another_method_runs_end_to_end_on_simulated_features(row, tmp_path):
    small = ["parser.hidden_width=16", "parser.feedforward_width=16", "fit.epochs=2", "fit.warmup_epochs=0"]
    small += {"leap": ["parser.num_heads=2"], "nrep": ["methods.nrep.audio_epochs=1"]}[row]
    sets = [part for change in small for part in ("--set", change)]
    line = ("reproduce", row, "--data", tmp_path, "--out", tmp_path / "run", "--simulated", "--clips", "16")
    done = typed(*line, "--seeds", "1", "--device", "cpu", *sets)
    assert done.code == 0, done.err
    assert done.err.count("packed from SIMULATED") == 1
    assert "for nothing, on the same clips, by segment / event Type@AV: nothing predicted" in done.out
    assert f"SIMULATED {row}, seed" in done.out and "tuned on val" in done.out and "would mean nothing" in done.out
    data = tmp_path / "run" / "SIMULATED-16-clips"
    assert (data / FEATURE_FILES["clap"].folder).is_dir() == (row == "nrep"), "whole maps, and nothing else, as files"
    table = json.loads((tmp_path / "run" / "SIMULATED-reproduction.json").read_text(encoding="utf-8"))
    assert [item["group"] for item in table["rows"]] == ["run"] * (3 if row == "nrep" else 2)


def test_what_a_row_needs_beside_features_is_asked_for_before_anything_is_trained(tmp_path):
    kinds = ("vggish", "res152", "r2plus1d")
    made = simulate(tmp_path, kinds, SimulationOptions(clips=16), tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"methods\.leap\.vectors must name a \.npy file of 25 label vectors of 300"):
        prepare(made, RECIPES["leap"], progress=False)
    with pytest.raises(FileNotFoundError, match=r"res152 +train +8 +8"):
        prepare(made, RECIPES["cmpae"], progress=False)  # what is packed is folded
    with pytest.raises(FileNotFoundError, match=r"evidence +test .*\n(.|\n)*evidence: `valor harvest .*train.csv"):
        prepare(made, RECIPES["uwav++"], progress=False)


def test_the_published_seed_and_the_mean_stand_beside_the_published_figures(reproduced):
    out, found = reproduced
    first, mean, *tuned, paper = found.table.rows
    assert [row.name for row in tuned] == ["OWN TRUTH valor, seed 1000, tuned", "OWN TRUTH valor, tuned"]
    assert (first.tuned, tuned[0].tuned) == (("epoch", "label cuts ?"), ("epoch", "label cuts ?", "gates", "cuts"))
    assert [result.seed for result in found.results] == [1000, 1001]
    assert (first.name, mean.name) == ("OWN TRUTH valor, seed 1000", "OWN TRUTH valor") and (
        first.seeds,
        mean.seeds,
    ) == (1, 2)
    assert paper.figures == published_row_of("valor", read_published()).figures
    both = [[getattr(getattr(r.test, level), f) for level in LEVELS for f in FIGURES] for r in found.results]
    assert first.figures == pytest.approx(both[0]) and mean.figures == pytest.approx(np.mean(both, axis=0))
    assert mean.spread == pytest.approx(np.std(both, axis=0, ddof=1))
    table = json.loads((out / "reproduction.json").read_text(encoding="utf-8"))
    deltas = [row["delta"]["segment"]["type_av"] for row in table["rows"][:2]]
    assert deltas == pytest.approx([first.figures[3] - 62.0, mean.figures[3] - 62.0])
    assert (table["simulated"], table["seeds"], table["truth"]) == (False, [1000, 1001], "v2024")
    assert "scored on the truth of 2024, published on that of 2020" in (out / "reproduction.txt").read_text()
    for ending in ("md", "csv"):
        assert "VALOR (NeurIPS 2023)" in (out / f"reproduction.{ending}").read_text(encoding="utf-8")


def test_a_second_call_trains_nothing_and_finds_the_same(reproduced, data):
    out, found = reproduced
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    again = reproduce("valor", RECIPE, data, out, TWO_SEEDS, changes=SMALL)
    assert len(before) == 4 and {path: path.stat().st_mtime_ns for path in before} == before
    assert [row.figures for row in again.table.rows] == [row.figures for row in found.table.rows]


def test_one_seed_can_be_followed_by_more(data, tmp_path):
    one = reproduce("valor", RECIPE, data, tmp_path, TrainOptions(seeds=1, device="cpu", picture=False, progress=False))
    names = [row.name for row in one.table.rows]
    assert names == ["OWN TRUTH valor, seed 1000", "OWN TRUTH valor, seed 1000, tuned", "VALOR (NeurIPS 2023)"]
    written = (tmp_path / "seed-1000" / "best.safetensors").stat().st_mtime_ns
    reproduce("valor", RECIPE, data, tmp_path, TWO_SEEDS)
    assert (tmp_path / "seed-1000" / "best.safetensors").stat().st_mtime_ns == written


def test_the_truth_of_2020_is_compared_on_where_it_is(data, reproduced, tmp_path):
    old = data / "AVVP_eval_audio.v2020.csv"
    rows = (data / "AVVP_eval_audio.csv").read_text(encoding="utf-8").splitlines()
    old.write_text("\n".join(rows[: len(rows) // 2]) + "\n", encoding="utf-8")
    try:
        found = reproduce("valor", RECIPE, data, reproduced[0], TWO_SEEDS)
    finally:
        old.unlink()
    assert found.truth_version == "v2020"
    assert found.table.rows[0].truth_sha256 != reproduced[1].table.rows[0].truth_sha256
    assert not any("truth of 2024" in note for note in found.table.notes)


def test_figures_without_a_seen_source_are_a_hint_only(data, tmp_path):
    recipe = override(RECIPES["valor+"], [*SMALL, "parser.num_layers=1"])
    options = TrainOptions(device="cpu", picture=False, progress=False)
    found = reproduce("valor+", recipe, data, tmp_path, options)
    assert found.results[0].seed == 64
    assert "no source of the published figures was seen: the differences are a hint only" in found.table.notes


def test_a_simulated_row_says_so_everywhere_and_shows_no_published_figure(tmp_path):
    sets = [part for change in SMALL for part in ("--set", change)]
    line = ("reproduce", "valor", "--data", tmp_path, "--out", tmp_path / "run", "--simulated", "--clips", "40")
    done = typed(*line, "--seeds", "2", "--quiet", "--device", "cpu", *sets)
    assert done.code == 0, done.err
    assert [path.name for path in tmp_path.iterdir()] == ["run"], "the data folder is not written to"
    assert done.out.startswith("SIMULATED VALOR reproduced, changed: parser.hidden_width=16")
    assert "NeurIPS" not in done.out and "62.0" not in done.out and "would mean nothing" in done.out.replace("\n", " ")
    assert "best of its column" not in done.out, "seeds, their mean and another decision are one system"
    out = tmp_path / "run"
    assert {path.name for path in out.glob("*reproduction.*")} == {
        f"SIMULATED-reproduction{ending}" for ending in (".txt", ".md", ".csv", ".tex", ".json")
    }
    for path in out.glob("SIMULATED-reproduction.*"):
        assert "SIMULATED valor" in path.read_text(encoding="utf-8")
    for path in (out / "scores.json", out / "seed-1000" / "scores.json", *out.glob("reproduction/*.json")):
        assert json.loads(path.read_text(encoding="utf-8"))["simulated"] is True, path
    recipe = json.loads((out / "seed-1000" / "recipe.json").read_text(encoding="utf-8"))
    assert recipe["name"] == "SIMULATED valor"
    assert "SIMULATED" in json.dumps(recipe["run"]["sources"])


def test_each_seed_is_marked_as_soon_as_it_is_scored(tmp_path, monkeypatch):
    made = simulate(tmp_path, ("vggish", "res152", "r2plus1d"), SimulationOptions(clips=40), tmp_path, progress=False)

    whole = valor.experiments.reproduce.train_seeds

    def stopped(*words):
        yield next(whole(*words))
        raise KeyboardInterrupt

    monkeypatch.setattr(valor.experiments.reproduce, "train_seeds", stopped)
    with pytest.raises(KeyboardInterrupt):
        reproduce("valor", RECIPE, made, tmp_path / "run", TWO_SEEDS)
    assert json.loads((tmp_path / "run/seed-1000/scores.json").read_text(encoding="utf-8"))["simulated"] is True
    assert not (tmp_path / "run/seed-1001").exists()


def test_an_exported_simulation_is_still_one(tmp_path):
    made = simulate(tmp_path, ("vggish", "res152", "r2plus1d"), SimulationOptions(clips=40), tmp_path, progress=False)
    out = tmp_path / "exported"
    for words in (("features", made, "--kinds", "vggish,r2plus1d"), ("labels", made)):
        done = typed("export", *words, "--out", out / words[0], "--quiet")
        assert done.code == 0, done.err
        assert (out / words[0] / "SIMULATED.json").read_bytes() == (made / "SIMULATED.json").read_bytes()
    for table in made.glob("AVVP_*.csv"):
        (out / "features" / table.name).write_bytes(table.read_bytes())
    held = read_pseudo_labels(made)
    write_pseudo_labels(out / "features/pseudo_labels.npz", held.clip_ids, held.class_names, held.labels)
    visual = ("features.visual=r2plus1d", "parser.visual_width=512")
    recipe = override(RECIPE, [*visual, "features.motion=none", "parser.motion_width=0"])
    prepare(out / "features", recipe, progress=False)
    options = TrainOptions(device="cpu", picture=False, progress=False)
    assert reproduce("valor", recipe, out / "features", tmp_path / "run", options).provenance.simulated


def test_a_simulated_folder_is_known_for_what_it_is(tmp_path):
    made = simulate(tmp_path, ("vggish", "res152", "r2plus1d"), SimulationOptions(clips=40), tmp_path, progress=False)
    options = TrainOptions(device="cpu", picture=False, progress=False)
    found = reproduce("valor", RECIPE, made, tmp_path / "run", options)
    names = [row.name for row in found.table.rows]
    assert found.provenance.simulated and names == ["SIMULATED valor, seed 1000", "SIMULATED valor, seed 1000, tuned"]


def test_what_is_missing_is_listed_per_split_with_what_gets_it(tmp_path):
    done = typed("reproduce", "valor++", "--data", tmp_path, "--out", tmp_path / "run")
    assert (done.code, done.out) == (2, "")
    assert "does not hold all that 'valor++' needs" in done.err and "--simulated" in done.err
    for line in (
        "annotations  test      1,200    1,200",
        "clap         train    10,000   10,000",
        f"labels: `valor download labels --out {tmp_path}`",
    ):
        assert line in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("line", ["--simulated --download", "--clips 60"])
def test_options_without_meaning_are_refused(tmp_path, line):
    done = typed("reproduce", "valor", "--data", tmp_path, *line.split())
    assert "--simulated needs no --download, and --clips is for --simulated alone" in done.complaint()


def test_features_that_lie_there_as_files_are_packed_bit_for_bit(data, tmp_path):
    for table in data.glob("AVVP_*.csv"):
        (tmp_path / table.name).write_bytes(table.read_bytes())
    (tmp_path / "pseudo_labels.npz").write_bytes((data / "pseudo_labels.npz").read_bytes())
    recipe = override(RECIPE, ["features.visual=vggish", "parser.visual_width=128", "features.motion=none",
                               "parser.motion_width=0"])  # fmt: skip
    (tmp_path / FEATURE_FILES["vggish"].folder).mkdir(parents=True)
    for split in WEAK_TABLES:
        tensor, card = read_packed(data, "vggish", split)
        for clip_id, array in zip(card.clip_ids, tensor.numpy(), strict=True):
            np.save(tmp_path / FEATURE_FILES["vggish"].folder / f"{media_id(clip_id)}.npy", array)
    prepare(tmp_path, recipe, progress=False)
    for split in WEAK_TABLES:
        assert read_packed_card(tmp_path, "vggish", split).exact
        np.testing.assert_array_equal(read_packed(tmp_path, "vggish", split)[0], read_packed(data, "vggish", split)[0])


def test_clips_without_features_are_refused_unless_they_are_to_be_dropped(data, tmp_path):
    for path in data.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(data)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path.relative_to(data)).write_bytes(path.read_bytes())
    clips = read_split(data, "test", NAMES).clip_ids
    (tmp_path / "packed" / "vggish.test.json").unlink()
    tensor, _ = read_packed(data, "vggish", "test")
    (tmp_path / FEATURE_FILES["vggish"].folder).mkdir(parents=True)
    for clip_id, array in list(zip(clips, tensor.numpy(), strict=True))[1:]:
        np.save(tmp_path / FEATURE_FILES["vggish"].folder / f"{clip_id}.npy", array)
    with pytest.raises(FileNotFoundError, match=r"vggish +test \s+6 \s+1\n(.|\n)*features.missing=drop"):
        prepare(tmp_path, RECIPE, progress=False)
    dropping = override(RECIPE, ["features.missing=drop"])
    prepare(tmp_path, dropping, progress=False)
    found = reproduce(
        "valor", dropping, tmp_path, tmp_path / "run", TrainOptions(device="cpu", picture=False, progress=False)
    )
    assert (found.table.rows[0].clips, found.table.rows[0].clips_expected) == (len(clips) - 1, len(clips))


def test_only_what_is_missing_is_downloaded(data, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        valor.experiments.reproduce, "download_annotations", lambda out, _: asked.append(("annotations", out))
    )

    def from_hub(what, out, _):
        asked.append((what, out))
        return Downloaded((), ())

    monkeypatch.setattr(valor.experiments.reproduce, "download_from_hub", from_hub)
    fetch_parts(tmp_path, RECIPES["valor++"], FetchOptions(progress=False))
    assert asked == [("annotations", tmp_path), ("features", tmp_path), ("labels", tmp_path)]
    asked.clear()
    fetch_parts(data, RECIPES["valor"], FetchOptions(progress=False))
    assert asked == []
    fetch_parts(data, RECIPES["valor++"], FetchOptions(progress=False))
    assert asked == [("features", data)]
