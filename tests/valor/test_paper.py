"""docs/paper.md: every line of the page, as it stands there, on the data that its dry run leaves."""

import re
import shlex
import shutil

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.toy_ablation import SMALL
from tests.helpers.typed import typed
from valor.data.predictions import read_predictions

pytestmark = pytest.mark.usefixtures("one_thread", "own_parts_go")

PAGE = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
(PYTHON,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
OWN = re.search(r"```python\n(# entropy.py\n.*?)```", (ROOT / "docs/extend.md").read_text(encoding="utf-8"), re.S)[1]
SIMULATED = re.search(r"`(trial/SIMULATED-\d+-clips)`", PAGE)[1]
SHORT = [word for change in SMALL[:6] for word in ("--set", change)]
FEW = {"reproduce": [*SHORT, "--seeds", "1"], "ablate": [*SHORT, "--seeds", "1"], "train": [*SHORT, "--seeds", "2"]}
"""What makes each training a moment, and few of them; the last of an option counts."""


def test_every_line_of_the_page_runs_on_what_the_dry_run_leaves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "entropy.py").write_text(OWN, encoding="utf-8")
    fetched, doctor, dry, *others = COMMANDS
    assert len(COMMANDS) == 15 and fetched == "valor download annotations --out data"  # which has no network here
    assert typed(*shlex.split(doctor)[1:]).code in (0, 3)
    assert typed(*shlex.split(dry)[1:], *FEW["reproduce"]).code == 0
    shutil.copytree(tmp_path / SIMULATED, tmp_path / "data")
    shutil.copytree(tmp_path / SIMULATED, tmp_path / "demo/data")
    for line in others:
        _, *words = shlex.split(line, comments=True)
        done = typed(*words, *FEW.get(words[0], []))
        refused = "--published" in words
        assert done.code == (2 if refused else 0), (line, done)
        assert not refused or "no published row may stand beside them" in done.err
    assert all((tmp_path / name).stat().st_size for name in ("compared.csv", "table.tex", "classes.pdf"))
    held = read_predictions(next((tmp_path / "runs/mine").glob("seed-*/predictions.npz")))
    np.savez(tmp_path / "mine.npz", segment_probs=held.segment_probs, clip_probs=held.clip_probs)
    found: dict[str, object] = {}
    exec(compile(PYTHON, "paper.md", "exec"), found)  # noqa: S102, the page's own
    assert found["scores"].clips == len(held.clip_ids)
