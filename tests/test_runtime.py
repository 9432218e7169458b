"""What a run computes with."""

import os
import subprocess
import sys

import torch

from valor.runtime import note_other_runtime, runtime_facts


def test_facts_name_versions_threads_and_device():
    facts = runtime_facts(torch.device("cpu"))
    assert facts["torch"] == torch.__version__ and facts["threads"] == torch.get_num_threads()
    assert (facts["device"], facts["cuda"], facts["deterministic"]) == ("cpu", None, False)


def test_deterministic_mode_refuses_what_cannot_repeat_and_sets_the_workspace():
    code = (
        "import os, torch; from valor.runtime import make_deterministic, runtime_facts; make_deterministic()\n"
        "assert runtime_facts(torch.device('cpu'))['deterministic'] and not torch.backends.cudnn.benchmark\n"
        "print(os.environ['CUBLAS_WORKSPACE_CONFIG'])"
    )
    clean = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
    for given, expected in (({}, ":4096:8"), ({"CUBLAS_WORKSPACE_CONFIG": ":16:8"}, ":16:8")):
        said = subprocess.check_output([sys.executable, "-c", code], env=clean | given, text=True)
        assert said.strip() == expected


def test_another_machine_is_noted_by_what_changes_bits(caplog):
    now = {"torch": "2", "threads": 1, "device": "cpu", "python": "3.11"}
    with caplog.at_level("INFO"):
        note_other_runtime({**now, "python": "3.12"}, now)
        note_other_runtime({}, now)
        assert not caplog.text
        note_other_runtime({**now, "torch": "1", "threads": 2}, now)
    assert "(torch 1 then, 2 now; threads 2 then, 1 now)" in caplog.text


def test_other_code_is_noted_and_refuses_nothing(caplog, monkeypatch):
    monkeypatch.setattr("valor.runtime.git_revision", lambda: "abc-dirty")
    now = runtime_facts(torch.device("cpu"))
    with caplog.at_level("INFO"):
        note_other_runtime(now, now)
        assert not caplog.text
        note_other_runtime({**now, "code": "def"}, now)
    assert "a run that other code began (code def then, abc-dirty now)" in caplog.text
    assert "elsewhere" not in caplog.text
