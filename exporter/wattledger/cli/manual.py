"""Writes the manual pages of the command and its subcommands: `python -m wattledger.cli.manual FOLDER`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from .. import __version__
from .group import wattledger

_SEE_SETTINGS = (
    "Settings are read from the file that --config.file names, "
    "and by the service of the package from /etc/wattledger/wattledger.yaml."
)
_FILES = (
    ("/etc/wattledger/wattledger.yaml", "The settings of the service."),
    ("/etc/default/wattledger", "Flags and environment of the service."),
    ("/var/lib/wattledger", "The state of the service: the checkpoint of the counters, and the journal."),
)
_STATUSES = (
    ("0", "Success."),
    ("1", "There was an answer, but not the one hoped for; the command says which."),
    ("2", "A flag or a setting cannot be used, or the agent cannot start: one line on standard error."),
)


def pages(date: str) -> dict[str, str]:
    """Every page by its file name, in troff with the macros of man(7); `date` is put into their footers."""
    context = click.Context(wattledger, info_name="wattledger", help_option_names=["-h", "--help"])
    return {_file(each): _page(each, date) for each in _contexts(context)}


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """The context of the command and of all below it that are not hidden."""
    yield context
    for name, command in _commands(context):
        yield from _contexts(
            click.Context(command, parent=context, info_name=name, help_option_names=["-h", "--help"])
        )


def _commands(context: click.Context) -> list[tuple[str, click.Command]]:
    command = context.command
    if not isinstance(command, click.Group):
        return []
    named = ((name, command.get_command(context, name)) for name in command.list_commands(context))
    return [(name, each) for name, each in named if each is not None and not each.hidden]


def _name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _file(context: click.Context) -> str:
    return f"{_name(context)}.1"


def _page(context: click.Context, date: str) -> str:
    command = context.command
    title = (_name(context).upper(), "1", date, f"wattledger {__version__}", "User commands")
    lines = [
        f".TH {' '.join(map(_word, title))}",
        ".SH NAME",
        f"{_text(_name(context))} \\- {_text(_summary(command))}",
        ".SH SYNOPSIS",
        f"\\fB{_text(context.command_path)}\\fR {_text(' '.join(command.collect_usage_pieces(context)))}",
        ".SH DESCRIPTION",
        *_paragraphs(command.help or ""),
        *_listed("COMMANDS", [(_see(context, name), _summary(each)) for name, each in _commands(context)]),
        *_listed("OPTIONS", _options(context)),
    ]
    if command.epilog:
        lines += [".SH ENVIRONMENT", *_paragraphs(command.epilog)]
    if context.parent is None:
        lines += [".SH SETTINGS", *_paragraphs(_SEE_SETTINGS), *_listed("FILES", _bold(_FILES))]
    lines += _listed("EXIT STATUS", _bold(_STATUSES))
    lines += [".SH SEE ALSO", _see_also(context)]
    return "\n".join(lines) + "\n"


def _summary(command: click.Command) -> str:
    return command.get_short_help_str(limit=200).rstrip(".")


def _options(context: click.Context) -> list[tuple[str, str]]:
    """Each option as it is written, in bold with the metavar in italics, and its help."""
    found = []
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None:
            continue
        written, text = record
        flags, _, metavar = written.partition(" ") if " / " not in written else (written, "", "")
        if flags.endswith(","):  # more than one name, as in `-h, --help`
            flags, metavar = written, ""
        head = f"\\fB{_text(flags)}\\fR" + (f" \\fI{_text(metavar)}\\fR" if metavar else "")
        found.append((head, text))
    return found


def _bold(pairs: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [(f"\\fB{_text(head)}\\fR", text) for head, text in pairs]


def _listed(title: str, pairs: list[tuple[str, str]]) -> list[str]:
    """A section of tagged paragraphs, none for no pairs; the tags are troff already."""
    lines = [f".SH {title}"] if pairs else []
    for tag, text in pairs:
        lines += [".TP", tag, _text(" ".join(text.split()))]
    return lines


def _see(context: click.Context, name: str) -> str:
    return f"\\fB{_text(f'{_name(context)}-{name}')}\\fR(1)"


def _see_also(context: click.Context) -> str:
    if context.parent is None:
        names = [_see(context, name) for name, _ in _commands(context)]
    else:
        names = [f"\\fB{_text(_name(context.parent))}\\fR(1)"]
        names += [_see(context, name) for name, _ in _commands(context)]
    return ", ".join(names)


def _paragraphs(text: str) -> list[str]:
    lines: list[str] = []
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        lines += [".PP"] if number else []
        lines.append(_text(" ".join(paragraph.replace("\b", "").split())))
    return lines


def _text(text: str) -> str:
    """`text` on one line with nothing that troff would take as its own."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _word(text: str) -> str:
    """`text` as one argument of a macro."""
    return '"' + text.replace('"', "'") + '"'


def main(arguments: list[str]) -> int:
    """Write the pages into the folder `FOLDER`; the date is given as `YYYY-MM-DD`."""
    folder, date = arguments
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, text in pages(date).items():
        (Path(folder) / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
