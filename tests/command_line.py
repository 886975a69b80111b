"""Runs the real command as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
_FROM_OUTSIDE = ("STATE_DIRECTORY", "NOTIFY_SOCKET", "NO_COLOR", "COLUMNS", "LINES")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would set anything, with the sources on the path."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WATTLEDGER_") and name not in _FROM_OUTSIDE
    }
    return kept | {"PYTHONPATH": str(REPOSITORY / "exporter")} | dict(extra or {})


def command(*arguments: str) -> list[str]:
    """The command line that starts `wattledger` with these arguments."""
    return [sys.executable, "-m", "wattledger", *arguments]


def run(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `wattledger` to its end and give what it printed."""
    return subprocess.run(
        command(*arguments),
        env=environment(env),
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
