"""Copies of fixture hosts that a test may change."""

from __future__ import annotations

import shutil
from pathlib import Path

HOSTS = Path(__file__).parent / "hosts"


def copy_host(name: str, folder: Path) -> Path:
    """Copy the fixture host `name` below `folder`, links as links, and return its root."""
    root = folder / name
    shutil.copytree(HOSTS / name, root, symlinks=True)
    return root


def fail_with_eio(path: Path) -> None:
    """Make reads of `path` fail with EIO, as offset 0 of /proc/self/mem does."""
    path.unlink()
    path.symlink_to("/proc/self/mem")
