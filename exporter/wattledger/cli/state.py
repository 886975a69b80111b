"""How commands find the state directory of the agent that runs on this machine."""

from __future__ import annotations

import os
from typing import Any

import click

USUAL_FOLDER = "/var/lib/wattledger"  # what StateDirectory= of the unit stands for


def state_options(command: Any) -> Any:
    """Give a command `--storage.path` and `--config.file`, which flags.given() understands."""
    described = f"State directory of the agent.  [default: as the agent's, else {USUAL_FOLDER}]"
    path = click.option("--storage.path", "storage_path", metavar="PATH", help=described)
    settings = click.option(
        "--config.file", "config_file", metavar="PATH", help="Settings file of the agent."
    )
    return path(settings(command))


def state_folder(configured: str | None) -> str | None:
    """The configured folder, else the usual one where there is one.

    That may be a link which only root can follow, as a unit with DynamicUser= has it.
    """
    if configured is not None:
        return configured
    return USUAL_FOLDER if os.path.lexists(USUAL_FOLDER) else None
