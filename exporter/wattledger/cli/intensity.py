"""`wattledger intensity`: the grid now, the next day, and where both come from."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any

import click

from ..logs import configure
from .flags import EPILOG, given, settings_flags
from .grid_source import opened
from .intensity_report import as_json, as_text, look
from .load import load_settings


@click.command(epilog=EPILOG, short_help="Show the grid's carbon intensity and its forecast.")
@click.option(
    "--format", "shape", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="A table for a person or JSON for a program.",
)  # fmt: skip
@settings_flags(("carbon", "log"))
def intensity(shape: str, **parameters: Any) -> int:
    """Ask the configured sources once and show what the grid emits, its forecast and its best times.

    No agent is needed and nothing is stored.
    """
    flags = given(parameters)
    settings = load_settings(flags, os.environ)
    # Why a source failed is part of the report.
    configure(settings.log.level if "log.level" in flags else "error", settings.log.format)
    with opened(settings) as grid:
        report = look(grid)
    if shape == "json":
        text = json.dumps(as_json(report), indent=2) + "\n"
    else:
        text = as_text(report, shutil.get_terminal_size((80, 24)).columns)
    try:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # click ends quietly
    except OSError as error:
        raise click.ClickException(f"cannot write the result: {error.strerror}") from error
    return 0
