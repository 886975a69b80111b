"""Schemas of other projects, out of their Go modules, which the module proxy keeps for good."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.command_line import REPOSITORY


@functools.cache
def _download(module: str) -> tuple[str, str]:
    """The module's folder and "", or "" and why it cannot be had."""
    environment = os.environ | {
        "GOMODCACHE": str(REPOSITORY / ".cache/go"),
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
    }
    try:
        done = subprocess.run(
            ["go", "mod", "download", "-json", module],
            env=environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    except FileNotFoundError:
        return "", "there is no go on PATH"
    answer = json.loads(done.stdout or "{}")
    return answer.get("Dir", ""), answer.get("Error") or done.stderr.strip()


def module_folder(module: str) -> Path:
    """The files of a Go module, as `PATH@VERSION`; skips the test where `go` cannot fetch it."""
    folder, why = _download(module)
    if not folder:
        pytest.skip(f"{module} cannot be fetched: {why}")
    return Path(folder)
