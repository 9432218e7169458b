"""The hooks of a method by name, and what is wrong with a class that means to have one. Nothing here waits for torch.

A method that overrides no hook trains as what it was added to, and nothing in its results says so; it is refused.
"""

import inspect
from collections.abc import Callable
from typing import Any

from valor.label_harvest.did_you_mean import did_you_mean

from .method import Method

WHEN = {
    "files": "when a run is named",
    "check": "before anything is read",
    "network": "once the parser is built, and whenever a checkpoint is read",
    "start": "before the first epoch",
    "load": "where a stopped run goes on, after `start`",
    "clips": "at the start, and after `before_epoch` has said so",
    "use_labels": "after `clips`",
    "part": "of every epoch, before its steps",
    "before_epoch": "of every epoch",
    "learning_rate": "of every epoch",
    "batch": "of every step, before the forward pass",
    "charge": "of every step, between the forward pass and the losses",
    "after_step": "of every step",
    "judged": "after every epoch: what is validated",
    "decision": "after every epoch, and where the trained parser is scored",
    "metrics": "before the first epoch",
    "select_by": "after every epoch",
    "selected": "after every epoch",
    "kept": "when an epoch is kept",
    "keeps_parts": "where a new part begins",
    "state": "with every resume point",
}
"""When each hook is called, in the order of a run."""

_SILENT = ("files", "check", "state", "load")
"""Hooks that change nothing of a training by themselves."""
_SAID = ("Options", "excludes", "brings_labels", "extra_data", "tuned", "published", "on")
"""What else a class may say of itself."""


def method_fault(method: type[Method[Any]]) -> str | None:
    """What is wrong with a class of a method; None where nothing is.

    Args:
        method: The class.
    """
    own = [of for of in method.__mro__ if of not in Method.__mro__]
    named = {name: held for of in reversed(own) for name, held in vars(of).items() if not name.startswith("_")}
    known = (*WHEN, *_SAID)
    overridden = [name for name in known if name in named]
    used = {word for held in named.values() if (code := getattr(held, "__code__", None)) for word in _names(code)}
    for name in named:
        near = did_you_mean(name, [of for of in known if of not in overridden])
        if near and name not in (*known, *used):
            return f"{method.__name__}.{name} is no hook of a method and nothing in the class uses it{near}"
    if not any(name in WHEN and name not in _SILENT for name in overridden):
        listed = ", ".join(name for name in WHEN if name not in _SILENT)
        return f"{method.__name__} overrides no hook, so that it changes nothing of a training; there are {listed}"
    for name in overridden:
        if name in WHEN and (wrong := _unlike(getattr(Method, name), named[name])):
            return f"{method.__name__}.{wrong}"
    return None


def _names(code: Any) -> set[str]:  # noqa: ANN401, a code object
    """Names that code uses, with the functions in it."""
    return {*code.co_names}.union(*(_names(held) for held in code.co_consts if hasattr(held, "co_names")))


def _unlike(hook: Callable[..., Any], held: Any) -> str | None:  # noqa: ANN401, what stands under the name of a hook
    """How a hook is written where it cannot be called as ours; None where it can, or where nothing tells."""
    called = [*inspect.signature(hook).parameters]
    if not inspect.isfunction(held):
        return (
            None if callable(held) or isinstance(held, staticmethod | classmethod) else f"{hook.__name__} is no method"
        )
    try:
        inspect.signature(held).bind(*called)
    except TypeError:
        return f"{hook.__name__}{inspect.signature(held)} is called with ({', '.join(called)})"
    return None
