"""docs/datasets.md, "From a table to a table", as it stands: its files, and its commands one after the other."""

import re
import shlex

import pytest

from tests.conftest import ROOT
from tests.helpers.typed import typed
from valor.data.label_file import read_pseudo_labels
from valor.label_harvest.store.store import read_store

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PAGE = (
    (ROOT / "docs/datasets.md")
    .read_text(encoding="utf-8")
    .partition("### From a table to a table")[2]
    .partition("\n## ")[0]
)
FILES = dict(re.findall(r"`([a-z]+\.csv)`:\n\n```\n(.*?)```", PAGE, re.S))
COMMANDS = re.findall(r"```bash\n(.*?)```", PAGE, re.S)[0].splitlines()


def test_every_line_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert set(FILES) == {"clips.csv", "events.csv"} and len(COMMANDS) == 9
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.S)[0], {})  # noqa: S102
    said = {}
    for line in COMMANDS:
        program, *words = shlex.split(line)
        done = typed(*words)
        assert program == "valor" and done.code == 0, (line, done)
        said[words[0]] = done.out
    assert "12 clips of 6 sources, 3 classes" in said["new-dataset"] and "the clips last 10.0 s" in said["new-dataset"]
    assert said["lint"].endswith("clean\n")
    assert "12 clips (12 ok)" in said["harvest"]
    store = read_store(tmp_path / "yard/store")
    assert store.class_names == ("Chainsaw", "Dog", "Violin_fiddle") and len(store.clip_ids) == 12
    assert read_pseudo_labels(tmp_path / "yard/labels").labels.any()
    assert "2 of 2 test clips, truth v1" in said["evaluate"] and "Type@AV" in said["table"]
    assert "clips" in said["view"] and (tmp_path / "runs/yard.html").stat().st_size > 100_000
    _next_ones_are_those_of_the_page(said["new-dataset"])


def _next_ones_are_those_of_the_page(said: str) -> None:
    """But for the teachers, the recipe and its changes."""
    stand_ins = r" --(?:visual|audio|set) \S+"
    page = [re.sub(stand_ins, "", line).replace("train demo", "train valor-clips") for line in COMMANDS[2:]]
    assert [line.strip() for line in said.partition("next:\n")[2].splitlines()] == page
