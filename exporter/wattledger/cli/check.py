"""`wattledger check`: what can be measured here, and what to do about the rest."""

from __future__ import annotations

import json
import os
import platform
import time
from typing import Any

import click

from .. import app
from ..exposition.web_file import check_web_config
from ..inspection import inspect
from ..logs import configure
from .check_report import as_json, as_text, verdict
from .flags import EPILOG, given, settings_flags
from .load import load_settings


@click.command(epilog=EPILOG, short_help="Show every sensor and how to mend it.")
@click.option(
    "--format", "shape", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Text for a person or JSON for a program.",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(0.1, 60), default=1.0, show_default=True,
    help="Time between the two reads that give the power.",
)  # fmt: skip
@settings_flags()
def check(shape: str, seconds: float, **parameters: Any) -> int:
    """List every sensor, why it cannot be used, and the command that fixes it.

    Every source of carbon intensity is asked once, and budgets, state directory and web addresses are tried.

    Exit status 0: something is measured. 1: there is an estimate at most. 2: a setting is refused.
    """
    flags = given(parameters)
    settings = load_settings(flags, os.environ)
    # What a source has to say of its failure is part of the report.
    configure(settings.log.level if "log.level" in flags else "error", settings.log.format)
    if settings.web.config_file is not None:
        check_web_config(settings.web.config_file)
    inspection = inspect(settings, seconds, time.sleep)
    if shape == "json":
        click.echo(json.dumps(as_json(inspection), indent=2))
    else:
        title = f"{app.version()} on {platform.system()} {platform.release()} {platform.machine()}"
        colour = False if os.environ.get("NO_COLOR") else None
        click.echo(as_text(inspection, title), nl=False, color=colour)
    if inspection.refusals:
        return 2
    return 0 if verdict(inspection) == "measured" else 1
