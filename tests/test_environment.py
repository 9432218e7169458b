"""The three lists of packages say the same: pyproject.toml, environment.yml and constraints.txt."""

import re
import tomllib

import yaml

from tests.conftest import ROOT


def project_requirements() -> list[str]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def conda() -> list:
    return yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if line and not line.startswith("#"))


def test_conda_holds_python_pip_and_ffmpeg_only() -> None:
    plain = [entry for entry in conda() if isinstance(entry, str)]
    assert [re.split("[=<>]", entry)[0] for entry in plain] == ["python", "pip", "ffmpeg"]


def test_conda_pip_block_equals_pyproject() -> None:
    (block,) = [entry["pip"] for entry in conda() if isinstance(entry, dict)]
    assert block[0] == "-c constraints.txt"
    assert block[-1] == "-e ."
    assert block[1:-1] == project_requirements()


def test_constraints_pin_every_requirement_inside_its_range() -> None:
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in project_requirements() + tables["optional-dependencies"]["test"]:
        name, _, lowest = requirement.partition(">=")
        pinned = pins().get(name.lower().replace("_", "-"))
        assert pinned, f"{name} has no pin in constraints.txt"
        if lowest:
            numbers = [[int(part) for part in re.findall(r"\d+", text)] for text in (pinned, lowest)]
            assert numbers[0] >= numbers[1], f"{name} {pinned} is below the declared {lowest}"


def test_the_decided_pins_stand() -> None:
    assert {name: pins()[name] for name in ("torch", "torchvision", "torchaudio", "transformers", "av", "numpy")} == {
        "torch": "2.11.0",
        "torchvision": "0.26.0",
        "torchaudio": "2.11.0",
        "transformers": "5.17.0",
        "av": "18.1.0",
        "numpy": "2.4.6",
    }
