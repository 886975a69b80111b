"""The settings as flags of a command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

from .kinds import Switch
from .option import Option
from .options import CONFIG_FILE, options

_Command = TypeVar("_Command", bound=Callable[..., Any])

EPILOG = (
    "Every flag can be set in the environment too: --web.listen-address as WATTLEDGER_WEB_LISTEN_ADDRESS. "
    "Flags win over the environment, and the environment over the settings file."
)

# A simulated host has no meters to choose and keeps no state.
DEMO_SECTIONS = ("sampling", "attribution", "carbon", "web", "log")


def settings_flags(sections: Iterable[str] | None = None) -> Callable[[_Command], _Command]:
    """A decorator that gives a command the flags of these sections (all by default) and `--config.file`."""
    wanted = None if sections is None else set(sections)

    def decorate(command: _Command) -> _Command:
        for option in reversed((CONFIG_FILE, *options())):
            if option.flag and (wanted is None or option.section in wanted or option is CONFIG_FILE):
                command = _flag(option)(command)
        return command

    return decorate


def _flag(option: Option) -> Callable[[_Command], _Command]:
    default = f"  [default: {option.default_text}]".replace("`", "") if option.default_text else ""
    text = option.help.replace("`", "") + default
    if isinstance(option.kind, Switch):
        return click.option(
            f"--{option.flag}/--no-{option.flag}", option.parameter, default=None, type=bool, help=text
        )
    return click.option(
        f"--{option.flag}",
        option.parameter,
        multiple=option.kind.is_list,
        metavar=option.kind.metavar,
        help=text,
    )


def given(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The flags that were given, as text by key; `parameters` is what click passed to the command."""
    texts: dict[str, str] = {}
    for option in (CONFIG_FILE, *options()):
        value = parameters.get(option.parameter) if option.flag else None
        if value is None or value == ():
            continue
        texts[option.key] = ",".join(value) if isinstance(value, tuple) else str(value).strip()
    return texts
