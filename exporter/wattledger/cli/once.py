"""`wattledger once`: one account of this host, over a short time."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import Any

import click

from .. import app
from ..exposition.own import OwnProcess, build_labels
from ..exposition.render import Renderer
from ..logs import configure
from .flags import EPILOG, given, settings_flags
from .load import load_settings
from .once_report import as_json, as_table


@click.command(epilog=EPILOG, short_help="Print one account of this host.")
@click.option(
    "--format", "shape", type=click.Choice(["text", "json", "table"]), default="text", show_default=True,
    help="The metrics as Prometheus text, JSON for a program, or a table for a person.",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True,
    help="How long to account for.",
)  # fmt: skip
@click.option(
    "--top", type=click.IntRange(1), default=20, show_default=True, help="Workloads shown in the table."
)
@settings_flags()
def once(shape: str, seconds: float, top: int, **parameters: Any) -> int:
    """Account for a second and print the result; no state directory is touched."""
    flags = given(parameters)
    settings = load_settings(flags, os.environ)
    # What matters to a daemon, such as having no state directory, is noise beside one account.
    configure(settings.log.level if "log.level" in flags else "error", settings.log.format)
    snapshot = app.take_once(settings, seconds, time.sleep)
    if shape == "text":
        body = Renderer(build_labels()).render(snapshot, openmetrics=False, own=OwnProcess().values())
    elif shape == "json":
        body = json.dumps(as_json(snapshot, seconds), indent=2).encode() + b"\n"
    else:
        width = shutil.get_terminal_size((80, 24)).columns
        body = as_table(snapshot, seconds, top, width).encode("utf-8", "replace")
    try:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # click ends quietly
    except OSError as error:
        raise click.ClickException(f"cannot write the result: {error.strerror}") from error
    return 0
