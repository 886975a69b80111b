"""`wattledger run`: the daemon."""

from __future__ import annotations

import functools
import logging
import os
import sys
from typing import Any

import click

from .. import app
from .flags import EPILOG, given, settings_flags
from .load import load_settings

log = logging.getLogger(__name__)


@click.command(epilog=EPILOG, short_help="Run the agent.")
@settings_flags()
def run(**parameters: Any) -> int:
    """Run the agent until SIGTERM; SIGHUP reloads the settings file."""
    load = functools.partial(load_settings, given(parameters), os.environ)
    return app.run(load, ready=say_where)


def say_where(urls: str) -> None:
    """Tell where to look: a person at a terminal in plain words, everybody else as a log line."""
    if sys.stderr.isatty():
        sys.stderr.write(f"wattledger: running; open {urls} in a browser, end it with Ctrl-C\n")
    else:
        log.info("running", extra={"urls": urls})
