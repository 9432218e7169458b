"""What the doctor finds, what it says to do, and how its command ends."""

import importlib.metadata
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import valor.doctor
from tests.conftest import ROOT
from tests.helpers.typed import typed
from tests.test_environment import project_requirements
from valor.data.tables import write_event_table, write_weak_table
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.doctor import BEYOND_SCORES, NEEDED, OPTIONAL, examine
from valor.label_harvest.teachers.build import TEACHERS

NAMES = class_names(LLP_CLASSES)


@pytest.fixture
def data(tmp_path) -> Path:
    """Annotations of one to three clips, two feature files and an empty store."""
    for number, table in enumerate(("AVVP_train.csv", "AVVP_val_pd.csv", "AVVP_test_pd.csv"), start=1):
        clip_ids = [f"{table}-{row}" for row in range(number)]
        write_weak_table(tmp_path / table, clip_ids, np.ones((number, 25), dtype=bool), NAMES)
    for modality in ("audio", "visual"):
        write_event_table(tmp_path / f"AVVP_eval_{modality}.csv", [])
    (tmp_path / "CLIP/features").mkdir(parents=True)
    for name in ("a.npy", "b.npy", "notes.txt"):
        (tmp_path / "CLIP/features" / name).touch()
    (tmp_path / "store/0123456789ab").mkdir(parents=True)
    (tmp_path / "store/0123456789ab/manifest.json").touch()
    return tmp_path


def by_subject(findings):
    table = {finding.subject: finding for finding in findings}
    assert len(table) == len(findings), "something is said twice"
    return table


def lacking(monkeypatch, *absent):
    """Let these distributions look as if they were not installed."""
    real = importlib.metadata.version

    def version(name):
        if name in absent:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_everything_here_is_well_and_every_trouble_has_a_remedy():
    found = by_subject(examine())
    for name in NEEDED:
        assert (found[name].state, found[name].found) == ("ok", importlib.metadata.version(name))
    assert {finding.state for finding in found.values()} <= {"ok", "note"}
    assert [finding.subject for finding in found.values() if finding.state != "ok" and not finding.remedy] == []
    assert found["python"].found.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")


def test_needed_packages_are_required_ones():
    required = {re.split(r"[<>=]", entry)[0] for entry in project_requirements()}
    assert set(NEEDED) <= required and not set(OPTIONAL) & required


def test_packages_that_are_not_there(monkeypatch):
    lacking(monkeypatch, "av", "laion-clap")
    found = by_subject(examine())
    assert (found["av"].state, found["av"].found) == ("missing", "not installed")
    assert found["av"].remedy == "pip install -c constraints.txt -e ."
    assert (found["laion-clap"].state, found["laion-clap"].found) == ("note", "not installed (optional)")


def test_an_optional_package_is_recommended_only_where_it_is_not(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "7.8")
    found = by_subject(examine())
    assert all((found[name].state, found[name].found, found[name].remedy) == ("ok", "7.8", "") for name in OPTIONAL)
    lacking(monkeypatch, *OPTIONAL)
    assert [by_subject(examine())[name].remedy for name in OPTIONAL] == list(OPTIONAL.values())


def test_every_teacher_is_looked_for(monkeypatch, tmp_path):
    def where(name):
        return tmp_path / "weights.pt" if name == "clip-vit-l14" else None

    monkeypatch.setattr("valor.label_harvest.teachers.build.where_weights_are", where)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    found = by_subject(examine())
    assert {f"teacher {name}" for name in TEACHERS} <= set(found)
    assert (found["teacher clip-vit-l14"].state, found["teacher clip-vit-l14"].remedy) == ("ok", "")
    assert found["teacher clip-vit-l14"].found == str(tmp_path / "weights.pt")
    absent = found["teacher clap-630k-fusion"]
    assert absent.state == "note" and "not on this machine" in absent.found
    assert (
        absent.remedy.startswith("fetched from the hub on first use")
        and "--teacher-checkpoint audio=PATH" in absent.remedy
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert by_subject(examine())["teacher clap-630k-fusion"].remedy.startswith("HF_HUB_OFFLINE is set, so give")


def test_optional_decoders_are_tried(monkeypatch):
    trouble = {"decord": ("not installed", "pip install it")}
    monkeypatch.setattr("valor.label_harvest.media.decoders.decoder_trouble", trouble.get)
    lacking(monkeypatch, "decord")
    found = by_subject(examine())
    assert (found["decoder decord"].state, found["decoder decord"].found) == ("note", "not installed (optional)")
    assert found["decoder decord"].remedy == "pip install it, for `valor harvest --decoder decord`"
    trouble["decord"] = ("cannot be loaded (why)", "install it again")
    assert by_subject(examine())["decoder decord"].found == "cannot be loaded (why) (optional)"
    monkeypatch.setattr("valor.label_harvest.media.decoders.decoder_trouble", lambda _: None)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "7.8")
    assert [by_subject(examine())[f"decoder {name}"].found for name in trouble] == ["7.8"]


def test_the_weights_of_every_extractor_are_looked_for(monkeypatch, tmp_path):
    import torch

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    found = by_subject(examine())
    for role in ("res152", "r2plus1d", "vggish"):
        absent = found[f"extractor {role}"]
        assert absent.state == "note" and absent.found.startswith(f"weights not at {tmp_path}/checkpoints/")
        assert f"`valor harvest --teacher-checkpoint {role}=PATH`" in absent.remedy
        place = Path(absent.found.removeprefix("weights not at "))
        place.parent.mkdir(exist_ok=True)
        place.touch()
    found = by_subject(examine())
    assert (found["extractor vggish"].state, found["extractor vggish"].remedy) == ("ok", "")
    assert found["extractor vggish"].found == str(tmp_path / "checkpoints" / "vggish-10086976.pth")


def test_nothing_is_asked_of_a_network(monkeypatch):
    def refuse(*_):
        pytest.fail("the doctor opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    examine()


def test_a_data_folder_is_looked_through(data):
    found = by_subject(examine(data))
    clips = [found[f"{split} annotations"].found for split in ("train", "val", "test")]
    assert clips == ["1 clips", "2 clips", "3 clips"]
    assert (found["features clip"].state, found["features clip"].found) == ("ok", "2 files")
    assert (found["features vggish"].state, found["features vggish"].found) == ("note", "0 files")
    assert found["features vggish"].remedy == f"expected in {data / 'feats/vggish'}"
    assert (found["evidence store"].state, found["evidence store"].found) == ("ok", f"1 in {data / 'store'}")


def test_what_recipes_lack_is_named_whole_with_what_gets_each(data):
    found = by_subject(examine(data))
    for recipe, kind in (("valor", "vggish"), ("valor++", "r2plus1d")):
        lacking = found[f"recipe {recipe}"]
        assert lacking.state == "note" and lacking.found.startswith("lacks ") and kind in lacking.found
        rows = [line.split() for line in lacking.table.splitlines()]
        assert [kind, "train", "1", "1"] in rows and ["labels", "train", "1", "1"] in rows
        assert re.search(r"^labels: `valor (download )?labels", lacking.table, re.MULTILINE)
    lines = typed("doctor", "--data", data).out.splitlines()
    first = next(n for n, line in enumerate(lines) if line.split()[:3] == ["note", "recipe", "valor"])
    assert lines[first].split()[3:5] == ["lacks", "vggish,"]
    assert lines[first + 1].split() == ["missing", "split", "clips", "without"]


def test_tables_that_are_missing_or_damaged(data):
    (data / "AVVP_train.csv").unlink()
    (data / "AVVP_val_pd.csv").write_text("filename,event_labels\n")
    (data / "AVVP_eval_visual.csv").unlink()
    found = by_subject(examine(data))
    states = [found[f"{split} annotations"].state for split in ("train", "val", "test")]
    assert states == ["missing"] * 3
    assert "AVVP_train.csv: no such annotation table" in found["train annotations"].found
    assert found["train annotations"].remedy == f"`valor download annotations --out {data}`"
    assert "AVVP_val_pd.csv: expected a tab-separated" in found["val annotations"].found
    assert found["val annotations"].remedy == "mend or replace the file"
    assert "AVVP_eval_visual.csv: no such" in found["test annotations"].found


def test_a_folder_that_is_not_there(tmp_path):
    finding = examine(tmp_path / "none")[-1]
    assert (finding.state, finding.found) == ("missing", "no such folder") and "AVVP_train.csv" in finding.remedy


def test_the_command_lists_findings_and_ends_well_where_nothing_is_missing(data):
    done = typed("doctor", "--data", data, "--quiet")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[-1] == "all that is needed is here; try: valor demo"
    assert re.search(r"^ok +train annotations +1 clips$", done.out, re.MULTILINE)
    assert re.search(r"^note +features vggish +0 files  -> expected in ", done.out, re.MULTILINE)
    found = examine(data)
    assert len(lines) == len(found) + sum(len(one.table.splitlines()) for one in found) + 2


def test_the_command_counts_what_is_missing_and_says_so_in_its_code(data, monkeypatch):
    (data / "AVVP_train.csv").unlink()
    done = typed("doctor", "--data", data)
    assert (done.code, done.err) == (
        3,
        "",
    ) and "\n1 thing is missing:\n  train annotations: `valor download annotations --out" in done.out
    assert re.search(r"^missing +train annotations .*-> `valor download annotations", done.out, re.MULTILINE)
    lacking(monkeypatch, "av")
    end = typed("doctor", "--data", data).out.partition("\n2 things are missing:\n")[2]
    assert [line.partition(":")[0] for line in end.splitlines()] == ["  av", "  train annotations"]


def test_a_folder_without_features_is_not_all_that_is_needed(data):
    (data / "store/0123456789ab/manifest.json").unlink()
    done = typed("doctor", "--data", data)
    assert done.code == 3 and "\n2 things are missing:\n  features: `valor download features --out " in done.out
    assert f"\n  labels: `valor download labels --out {data}`" in done.out.partition("are missing")[2]
    assert re.search(r"^missing +labels +1 of 1 clips have none  -> `valor download labels", done.out, re.M)
    assert re.search(r"^missing +features +none of sound \(clap or vggish\)  -> `valor download fea", done.out, re.M)
    (data / "feats/vggish").mkdir(parents=True)
    (data / "feats/vggish/a.npy").touch()
    assert typed("doctor", "--data", data).code == 0
    for path in data.rglob("*.npy"):
        path.unlink()
    said = by_subject(examine(data))["features"].found
    assert said == "none of sound (clap or vggish) and none of the picture (clip or res152)"
    (data / "packed").mkdir()
    (data / "packed/train.json").touch()
    assert typed("doctor", "--data", data).code == 0


def test_it_can_be_asked_even_without_torch(data):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"from valor.__main__ import main; sys.exit(main(['doctor', '--data', {str(data)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")
    assert re.search(r"^missing +torch +does not import: .*-> pip install", done.stdout, re.MULTILINE)
    assert re.search(r"^missing +teacher clip-vit-l14 +cannot be built: ", done.stdout, re.MULTILINE)
    assert re.search(r"^ok +train annotations +1 clips$", done.stdout, re.MULTILINE)


def test_without_torch_where_only_scores_were_installed_that_is_said_once_and_is_no_fault(monkeypatch):
    lacking(monkeypatch, *BEYOND_SCORES, "matplotlib")
    done = typed("doctor")
    assert (done.code, done.err) == (0, "") and done.out.endswith("\nall that scores need is here\n")
    assert done.out.count("pip install") == done.out.count("torch, torchvision") == 1 and "missing" not in done.out
    monkeypatch.undo()
    lacking(monkeypatch, "torch")
    done = typed("doctor")
    assert done.code == 3 and len(re.findall("^missing +torch ", done.out, re.MULTILINE)) == 1


def test_weights_that_are_asked_for_and_not_here_end_it_with_three(monkeypatch):
    monkeypatch.setattr("valor.label_harvest.teachers.hub._cached", lambda *_: None)
    shown = []

    def bar(items, *, enabled, **_):
        shown.append((len(items), enabled))
        return items

    monkeypatch.setattr("valor.label_harvest.progress.progress_bar", bar)
    done = typed("doctor", "--weights", "demo-audio,clip-vit-l14")
    assert done.code == 3 and re.search(r"^ok +weights of demo-audio +/.*demo_audio.safetensors$", done.out, re.M)
    assert re.search(
        r"^missing +weights of clip-vit-l14 +about 1.7 GB from huggingface.co/timm/\S+  -> `hf download timm/\S+ "
        r"open_clip_model.safetensors`, or --teacher-checkpoint visual=FILE$",
        done.out,
        re.M,
    )
    assert done.err.endswith("about 5 s for each of 2 teachers\n") and shown == [(2, True)]
    assert not typed("doctor", "--weights", "demo-audio", "--quiet").err and shown[1:] == [(1, False)]
    assert "teacher must be one of" in typed("doctor", "--weights", "clip-vit-b").complaint()


def test_a_graphics_card_is_named(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some Card 9000")
    assert by_subject(valor.doctor.examine())["device"].found == "Some Card 9000"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    device = by_subject(valor.doctor.examine())["device"]
    assert device.state == "note" and re.fullmatch(r"no GPU, \d+ cores", device.found)


def test_the_teachers_with_short_names_are_listed_with_what_they_need(monkeypatch):
    from valor.label_harvest.teachers.catalogue import CATALOGUE

    def where(name):
        return Path("/cache/weights") if name == "mobileclip2-s0" else None

    monkeypatch.setattr("valor.label_harvest.teachers.build.where_weights_are", where)
    out = typed("doctor", "--teachers").out
    assert all(f"\n{name} " in f"\n{out}" for name in CATALOGUE)
    siglip = out.partition("siglip2-b16-256 ")[2].splitlines()[:4]
    assert "375 M parameters, Apache-2.0" in siglip[0] and "256 px" in siglip[1] and "64 tokens" in siglip[2]
    assert "about 1.5 GB from huggingface.co/timm/ViT-B-16-SigLIP2-256" in siglip[3]
    assert "here: /cache/weights (open_clip:MobileCLIP2-S0/dfndr2b)" in out and "no commercial use" in out
