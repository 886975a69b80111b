"""The `wattledger` command and what all its commands share."""

from __future__ import annotations

import platform

import click

from ..app import version
from .best_window import best_window
from .check import check
from .demo import demo
from .flags import EPILOG
from .gpu import gpu
from .intensity import intensity
from .once import once
from .report import report
from .rules import rules
from .run import run


@click.group(
    invoke_without_command=True,
    commands=[run, check, once, demo, gpu, intensity, best_window, report, rules],
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", "show_version", is_flag=True, help="Show the version and exit.")
@click.pass_context
def wattledger(context: click.Context, show_version: bool) -> None:
    """Books every joule of this host to a workload, and serves the account to Prometheus."""
    if show_version:
        click.echo(f"{version()} {platform.system()} {platform.machine()}")
        context.exit()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
