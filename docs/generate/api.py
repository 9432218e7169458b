"""Pages of what is imported: the verbs and values of `valor`, and the modules one builds on."""

from importlib.util import find_spec

import valor

from .markdown import prose

MODULES = {
    "eval": (
        "Scores: valor.eval",
        "Bool arrays in, events, counts, F-scores and tables out. numpy and pandas alone, no torch.",
        (
            "scores decide events intervals breakdown average_precision reliability tuning tagging accuracy proposals "
            "detection soft_nms tables"
        ),
    ),
    "parsers": (
        "Networks: valor.parsers",
        "Features in, logits of segments out. torch alone. [Parts of your own](../../extend.md) adds to them.",
        "options build hybrid losses pooling",
    ),
    "label_harvest": (
        "Evidence and labels: valor.label_harvest",
        "Media in, evidence of frozen teachers and pseudo labels out.",
        (
            "harvest pseudo_labels presence posterior competition store.store store.manifest media.clip media.windows "
            "teachers.teacher teachers.build teachers.catalogue"
        ),
    ),
    "training": (
        "Training: valor.training",
        "Recipes, runs and the seam on which methods sit.",
        "recipes recipe options run predict methods.method methods.methods own",
    ),
    "data": (
        "Files: valor.data",
        "What is read from disk and written there.",
        "predictions label_file parse_file score_file thresholds vocabulary tables datasets.dataset",
    ),
}
"""By page: its title, what it is for, and the modules whose public members it lists."""


def pages() -> dict[str, str]:
    """The list, the front door, and a page for each folder; where torch is not installed, of what does without it."""
    whole = find_spec("torch") is not None
    found = {"api/valor.md": _front()} if whole else {}
    shown = MODULES if whole else {"eval": MODULES["eval"]}
    for name, (title, about, modules) in shown.items():
        parts = [f"# {title}", about]
        for module in modules.split():
            directive = _directive("automodule", f"valor.{name}.{module}", ":members:", ":ignore-module-all:")
            parts.append(f"## valor.{name}.{module}\n\n{directive}")
        found[f"api/{name}.md"] = "\n\n".join(parts) + "\n"
    toctree = "\n".join(["valor", *MODULES] if whole else shown)
    about = (
        "# Python\n\nMade of the docstrings. [From Python](../../python.md) shows the eleven verbs at work, in lines "
        "that a test runs. What begins with an underscore is not listed and may change.\n\n"
    )
    return found | {"api/index.md": f"{about}```{{toctree}}\n:maxdepth: 2\n\n{toctree}\n```\n"}


def _front() -> str:
    """What `import valor` offers."""
    verbs = [name for name in valor.__all__ if name.islower()]
    values = [name for name in valor.__all__ if name not in verbs]
    parts = ["# import valor", prose("Nothing is loaded before it is used.")]
    parts += ["## Verbs", *(_directive("autofunction", f"valor.{name}") for name in verbs)]
    parts += [
        "## What they take and return",
        *(_directive("autoclass", f"valor.{name}", *_how(name)) for name in values),
    ]
    return "\n\n".join(parts) + "\n"


def _how(name: str) -> tuple[str, ...]:
    """Members are shown; links lead to the page of the module where there is one."""
    folder, _, module = valor._LATER[name].removeprefix("valor.").partition(".")
    listed = folder in MODULES and module in MODULES[folder][2].split()
    return (":members:", ":no-index:") if listed else (":members:",)


def _directive(kind: str, name: str, *options: str) -> str:
    lines = [f".. {kind}:: {name}", *(f"   {option}" for option in options)]
    return "```{eval-rst}\n" + "\n".join(lines) + "\n```"
