"""A page for each command, made of the parser that reads what is typed."""

import argparse
import re

from valor.cli.arguments import build_argument_parser
from valor.cli.command import COMMANDS
from valor.cli.grammar import RENAMED
from valor.cli.options import Parser, typed_words

from .markdown import code, paragraphs, prose, table

UP = "../../"
"""From a page of a command to docs/."""


def pages() -> dict[str, str]:
    """The list of commands, and each by itself."""
    commands = _kinds_of(build_argument_parser())
    listed = table(["command", "does"], [[f"[`valor {name}`]({name}.md)", prose(COMMANDS[name])] for name in commands])
    toctree = "\n".join(commands)
    index = (
        "# Commands\n\nThis page and those below are made of what reads the command line: `valor COMMAND --help` says "
        f"the same.\n\n{listed}\n\nEvery command ends with 0 when all is done, 2 when it was typed wrongly or an input "
        "is bad (said in one sentence), 3 when it is done and lists what failed, and 130 when it was interrupted by "
        "hand.\n\n"
        f"## Names of before\n\nTaken with a note until the next release.\n\n{_old_names()}\n\n"
        f"```{{toctree}}\n:hidden:\n\n{toctree}\n```\n"
    )
    return {"commands/index.md": index} | {f"commands/{name}.md": _page(name, of) for name, of in commands.items()}


def _old_names() -> str:
    """Options that have another name now."""
    rows = [[f"`valor {name}`", code(old), code(new)] for name, of in RENAMED.items() for old, new in of.items()]
    return table(["command", "was", "is"], rows)


def _kinds_of(parser: argparse.ArgumentParser) -> dict[str, Parser]:
    """Commands of a parser, or kinds of a command."""
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def _page(name: str, parser: Parser) -> str:
    parts = [f"# valor {name}", *_body(name, parser)]
    for kind, below in _kinds_of(parser).items():
        parts += [f"## valor {name} {kind}", *_body(name, below)]
    return "\n\n".join(parts) + "\n"


def _body(name: str, parser: Parser) -> list[str]:
    """What it is for, an example, and its options by group."""
    parser.format_help()  # puts what is typed in the place of parameters in the help
    parts = [paragraphs(parser.description or "", UP, name)]
    example = (parser.epilog or "").partition("example:\n")[2]
    if example:
        lines = [line[2:] if line.startswith("  ") else line for line in example.splitlines()]
        parts.append("```bash\n" + "\n".join(lines) + "\n```")
    parts.append(f"```text\n{_usage(parser)}\n```")
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if _is_shown(action)]
        if actions:
            is_given = not any(action.option_strings for action in actions)
            parts.append(f"**{'Arguments' if is_given else (group.title or 'options').capitalize()}**")
            parts += [paragraphs(group.description, UP, name)] if group.description else []
            parts += [_entry(action, parser, name) for action in actions]
    return parts


def _is_shown(action: argparse.Action) -> bool:
    kinds = (argparse._HelpAction, argparse._SubParsersAction)
    return action.help is not argparse.SUPPRESS and not isinstance(action, kinds)


def _usage(parser: Parser) -> str:
    """The command with what must be given, and one word for the rest."""
    words = [parser.prog]
    for action in parser._actions:
        if action.option_strings and action.required:
            words.append(f"{action.option_strings[0]} {_value(action)}".strip())
    if any(action.option_strings and not action.required for action in parser._actions):
        words.append("[OPTIONS]")
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            words.append(f"{action.metavar or 'KIND'} ...")
        elif not action.option_strings:
            words.append(_many(action))
    return " ".join(words)


def _value(action: argparse.Action) -> str:
    """What stands for the value of an option."""
    if action.nargs == 0:
        return ""
    metavar = action.metavar
    if metavar is None:
        metavar = f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper()
    said = " ".join(metavar) if isinstance(metavar, tuple) else str(metavar)
    said = said.replace("%%", "%")
    return {"?": f"[{said}]", "*": f"[{said} ...]", "+": f"{said} [{said} ...]"}.get(str(action.nargs), said)


def _many(action: argparse.Action) -> str:
    said = _value(action)
    return f"[{said}]" if action.nargs == "?" and not said.startswith("[") else said


def _entry(action: argparse.Action, parser: Parser, name: str) -> str:
    """An option and its help, as a term and what it means."""
    said = " ".join(filter(None, (", ".join(action.option_strings), _value(action))))
    text = typed_words((action.help or "").replace("%%", "%"), parser.flags)
    text = re.sub(r"%\((\w+)\)s", lambda match: str(getattr(action, match[1], match[0])), text)
    must = " *Must be given.*" if action.option_strings and action.required else ""
    return f"`{said}`\n: {prose(' '.join(text.split()).removesuffix('.'), UP, name)}.{must}"
