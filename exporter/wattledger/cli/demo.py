"""`wattledger demo`: simulated hosts."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from ..app.demo import demo as serve
from .flags import DEMO_SECTIONS, EPILOG, given, settings_flags
from .load import load_settings


@click.command(epilog=EPILOG, short_help="Serve simulated hosts.")
@click.option(
    "--nodes",
    type=click.IntRange(1, 200),
    default=1,
    show_default=True,
    help="How many differing hosts to simulate; with several, /sd is a Prometheus service discovery.",
)
@click.option(
    "--load",
    type=click.FloatRange(0.1, 5.0),
    default=1.0,
    show_default=True,
    help="Multiplies what all hosts do, as far as their hardware goes; at 3, a budget burns fast.",
)
@settings_flags(DEMO_SECTIONS)
def demo(nodes: int, load: float, **parameters: Any) -> int:
    """Serve simulated hosts, to look around or to build dashboards without hardware.

    Grid, budgets and embodied emissions are simulated as well, wherever the settings say nothing of them.
    """
    settings = load_settings(given(parameters), os.environ)

    def say_where(urls: str) -> None:
        what = "a simulated host" if nodes == 1 else f"{nodes} simulated hosts, listed under /sd"
        sys.stderr.write(f"wattledger: {what}; open {urls} in a browser, end it with Ctrl-C\n")

    return serve(settings, nodes, load=load, ready=say_where)
