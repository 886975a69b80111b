"""Compiles the fake NVIDIA driver with the system's C compiler, once per version of its source."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SONAME = "libnvidia-ml.so.1"
FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror")
_HERE = Path(__file__).parent


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def missing() -> str:
    """Why the fake driver cannot be built here, or ""."""
    return "" if _compiler() else "no C compiler"


def library() -> Path:
    """The path of the compiled library, in a folder that holds nothing else.

    :raises subprocess.CalledProcessError: the source does not compile without a warning.
    :raises PermissionError: somebody else made the folder.
    """
    compiler = _compiler()
    if compiler is None:
        raise FileNotFoundError(missing())
    digest = hashlib.sha256(" ".join((compiler, *FLAGS)).encode())
    for source in sorted((*_HERE.glob("*.c"), *_HERE.glob("*.h"))):
        digest.update(source.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"fake-nvml-{os.getuid()}-{digest.hexdigest()[:16]}"
    target = folder / SONAME
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} is somebody else's")
    if target.exists():
        return target
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    sources = [str(path) for path in sorted(_HERE.glob("*.c"))]
    subprocess.run(
        [compiler, *FLAGS, f"-Wl,-soname,{SONAME}", "-o", str(unfinished), *sources, "-lm", "-lpthread"],
        check=True,
    )
    unfinished.replace(target)
    return target
