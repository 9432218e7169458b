"""What is installed and where: with NumPy and pandas alone, without what Windows lacks, in a container."""

import json
import re
import shutil
import subprocess
import sys
import tomllib

from tests.conftest import ROOT
from tests.helpers.toy_scores import write_toy_scores
from valor.cli.command import COMMANDS

NOT_THERE = (
    "torch", "torchvision", "torchaudio", "open_clip", "transformers", "huggingface_hub", "httpx", "av", "safetensors",
    "tqdm", "matplotlib", "PIL", "scenedetect", "cv2",
)  # fmt: skip
"""What `pip install --no-deps` leaves out, NumPy and pandas apart."""
NOT_ON_WINDOWS = {"fcntl", "resource", "pwd", "grp", "termios", "pty", "syslog"}
NOT_OF_WINDOWS = {
    "os": ("fork", "setsid", "setpgid", "getpgid", "killpg", "geteuid", "sched_getaffinity", "posix_fallocate", "nice"),
    "signal": ("SIGALRM", "SIGHUP", "SIGUSR1", "SIGPIPE", "SIGCHLD", "setitimer", "pthread_sigmask"),
    "socket": ("AF_UNIX", "send_fds", "recv_fds"),
}
"""What modules of Python lack there."""
AS_ON_WINDOWS = f"""
import importlib, sys
sys.modules.update(dict.fromkeys({sorted(NOT_ON_WINDOWS)}))
for module, names in {NOT_OF_WINDOWS}.items():
    for name in names:
        delattr(importlib.import_module(module), name)
"""
"""Takes it away."""


def test_what_scores_needs_numpy_and_pandas_alone_and_nothing_that_windows_lacks(tmp_path):
    toy = write_toy_scores(tmp_path)
    code = AS_ON_WINDOWS + (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({NOT_THERE}))\n"
        "from valor.__main__ import main\n"
        "def valor(*words):\n    print('=', main(list(words)))\n"
        "data, said = sys.argv[1:]\n"
        "valor('evaluate', said, '--annotations', data, '--split', 'test', '--json', data + '/s.json', '--quiet')\n"
        "valor('table', 'ours=' + data + '/s.json', '--published', '--mix', '--quiet')\n"
        "valor('evaluate', data + '/run', '--annotations', data, '--split', 'test', '--json', data + '/r.json')\n"
        "valor('evaluate', data + '/bare', '--annotations', data, '--split', 'test', '--quiet')\n"
        "valor('lint', data, '--quiet')\n"
        "valor('export', 'events', said, '--csv', data + '/e.csv', '--quiet')\n"
        "valor('train', 'valor', '--data', data, '--quiet')\n"
        "valor('parse', said, '--checkpoint', data, '--quiet')\n"
    )
    for name in ("run", "bare"):  # of a run folder, what it has of the split
        (toy.data / name).mkdir()
        (toy.data / name / "best.safetensors").touch()
    shutil.copy(toy.good, toy.data / "run/predictions.npz")
    words = [sys.executable, "-c", code, str(toy.data), str(toy.good)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    codes = ["0", "0", "0", "2", "0", "0", "2", "2"]
    assert re.findall("^= (.*)$", done.stdout, re.MULTILINE) == codes, done.stderr
    assert "bare: holds no predictions.npz of the split test, and its p" in done.stderr
    one, other = (json.loads((toy.data / f"{name}.json").read_text()) for name in "sr")
    assert one["segment"] == other["segment"]
    said = re.findall(r"^valor (\w+): needs the package \w+, which is not installed here;", done.stderr, re.MULTILINE)
    assert said == ["train", "parse"]
    assert "Traceback" not in done.stderr


def test_scores_from_python_and_every_help_need_numpy_and_pandas_alone(tmp_path):
    toy = write_toy_scores(tmp_path)
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({NOT_THERE}))\n"
        "import numpy as np, valor\n"
        "data, said = sys.argv[1:]\n"
        "ones = np.ones((1, 10, 2, 3), bool)\n"
        "valor.score(said, data, split='test').save(data + '/s.json')\n"
        "running = valor.RunningScores()\n"
        "running.update(ones, ones)\n"
        "print('=', valor.score(ones, ones).segment.type_av, running.compute().segment.type_av)\n"
        "print('=', len(valor.table('ours=' + data + '/s.json', published=True, mix=True).to_frame()) > 5)\n"
        "from valor.__main__ import main\n"
        "from valor.cli.command import COMMANDS\n"
        "for name in COMMANDS:\n"
        "    try:\n        main([name, '--help'])\n"
        "    except SystemExit as end:\n        print('= help', end.code)\n"
        "print('=', main(['harvest', said, '--videos', data, '--store', data + '/store', '--plan']))\n"
    )
    words = [sys.executable, "-c", code, str(toy.data), str(toy.good)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    told = re.findall("^= (.*)$", done.stdout, re.MULTILINE)
    assert told == ["100.0 100.0", "True", *["help 0"] * len(COMMANDS), "2"], done.stderr
    assert re.search(r"^valor harvest: needs the package \w+, which is not installed here;", done.stderr, re.MULTILINE)


def test_whatever_is_asked_for_in_python_says_in_one_sentence_what_is_not_installed(tmp_path):
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({NOT_THERE}))\n"
        "import importlib.metadata, valor\n"
        "held = importlib.metadata.version\n"
        "def version(name):\n"
        "    if name.startswith('torch') and sys.argv[1:]:\n"
        "        raise importlib.metadata.PackageNotFoundError(name)\n"
        "    return held(name)\n"
        "importlib.metadata.version = version\n"
        "import valor.doctor as doctor\n"
        "def ask(what):\n"
        "    try:\n        what()\n"
        "    except ModuleNotFoundError as error:\n        print(error, '|', error.__suppress_context__)\n"
        "for name in valor.__all__:\n    ask(lambda: getattr(valor, name))\n"
        "ask(lambda: valor.train('valor', data='data', out='run'))\n"
        "ask(lambda: valor.load('a/b'))\n"
        "try:\n    import matplotlib\n"
        "except ModuleNotFoundError as error:\n    print(doctor.absent_package(error))\n"
        "print(doctor.absent_package(ModuleNotFoundError(name='valor.nothing')))\n"
    )
    for more, how in (
        ((), "pip install torch"),
        (("scores",), "install all of them (pip install -c constraints.txt -e .)"),
    ):
        words = [sys.executable, "-c", code, *more]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        *lines, drawing, ours = done.stdout.splitlines()
        assert done.returncode == 0, done.stderr
        said = [line.partition(" ")[0] for line in lines]
        assert {"valor.Parser", "valor.parse", "valor.ClipSet", "valor.train", "valor.load"} == set(said), lines
        assert f"valor.Parser needs the package torch, which is not installed here; {how} | True" in lines
        assert drawing.endswith("the package matplotlib, which is not installed here; pip install matplotlib")
        assert ours == "None"


def test_nothing_is_imported_that_windows_lacks():
    """At the top of a module, that is: inside `try` and functions it may be."""
    lacking = re.compile(rf"^(import|from) ({'|'.join(sorted(NOT_ON_WINDOWS))})\b", re.MULTILINE)
    files = [path for top in ("valor", "eval", "parsers", "label_harvest") for path in (ROOT / top).rglob("*.py")]
    assert len(files) > 300 and lacking.search("import os\nimport resource\n")
    assert not [path for path in files if lacking.search(path.read_text(encoding="utf-8"))]


def test_a_system_without_such_processes_says_so_in_one_sentence():
    code = AS_ON_WINDOWS + (
        "import valor.label_harvest.disk\n"
        "from valor.label_harvest.media.process import ChildProcess, DecodeLimits\n"
        "try:\n    ChildProcess(DecodeLimits(), 'x:y')\nexcept OSError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("media are decoded in a process of their own, which needs Linux or macOS")


def test_the_container_installs_the_tested_set():
    lines = [line for line in (ROOT / "Containerfile").read_text().splitlines() if line and not line.startswith("#")]
    known = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"}
    assert {line.split(" ")[0] for line in lines} == known
    assert [line for line in lines if "$TORCH_INDEX" in line] and "ARG TORCH_INDEX=https://" in "\n".join(lines)
    copied = [name for line in lines if line.startswith("COPY") for name in line.split(" ")[1:-1]]
    assert all((ROOT / name).exists() for name in copied)
    pins = set((ROOT / "constraints.txt").read_text().splitlines())
    of_torch = {one for one in pins if re.match("torch(vision|audio)?==", one)}
    assert set(re.findall(r"\S+==\S+", "\n".join(lines))) == of_torch
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {project["readme"], *project["license-files"]} <= set(copied)


def test_the_page_of_the_package_leads_nowhere_relative():
    page = (ROOT / "docs" / "package.md").read_text(encoding="utf-8")
    assert not re.findall(r"\]\((?!https?://)", page) and "src=" not in page


def test_extras_are_said_as_they_can_be_installed():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| (`[^|]*`) \|", page, re.MULTILINE)
    assert set(re.findall("`([^`]+)`", " ".join(named))) == set(extras)
