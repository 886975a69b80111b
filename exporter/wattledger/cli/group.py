"""The `wattledger` command and what all its commands share."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import cast

import click

from .flags import EPILOG


class _Commands(Mapping[str, click.Command]):
    """The commands by name, each imported when it is asked for.

    The agent runs for months, and need not hold what draws reports all that time.
    """

    _names = ("best-window", "check", "demo", "gpu", "intensity", "once", "report", "rules", "run")

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._names:
            raise KeyError(name)
        word = name.replace("-", "_")
        command: click.Command = getattr(import_module(f".{word}", __package__), word)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@click.group(
    invoke_without_command=True,
    commands=cast("MutableMapping[str, click.Command]", _Commands()),  # click adds none
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", "show_version", is_flag=True, help="Show the version and exit.")
@click.pass_context
def wattledger(context: click.Context, show_version: bool) -> None:
    """Books every joule of this host to a workload, and serves the account to Prometheus."""
    if show_version:
        from ..app import version  # noqa: PLC0415 - it brings all of the agent

        click.echo(f"{version()} {platform.system()} {platform.machine()}")
        context.exit()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
