"""The agent's own image, built from the sources with podman, in storage of its own.

    with ImageStore() as store:
        store.run("--version")

The build's base, a minimal Debian, is made once by mmdebstrap and kept under .cache/.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import REPOSITORY
from tests.podman_containers import Podman, missing_podman

SUITE = "trixie"
TAG = "localhost/wattledger:test"
BASE = "localhost/debian-base:test"
BASE_ARCHIVE = REPOSITORY / f".cache/image/{SUITE}.tar"
MIRROR = "http://deb.debian.org/debian"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
BUILD_TIMEOUT_S = 600.0
OFFLINE = (
    "Could not resolve",
    "Temporary failure",
    "Connection refused",
    "Network is unreachable",
    "Connection failed",
)


def missing_builder() -> str:
    """Why the image cannot be built here, or ""."""
    if missing_podman():
        return missing_podman()
    if not BASE_ARCHIVE.exists() and shutil.which("mmdebstrap") is None:
        return "no mmdebstrap on PATH (apt-get install mmdebstrap)"
    return ""


needs_builder = pytest.mark.skipif(bool(missing_builder()), reason=missing_builder())


class ImageStore(Podman):
    """Podman's storage with the agent's image in it. Skips the test where packages cannot be fetched."""

    def __enter__(self) -> ImageStore:
        super().__enter__()
        try:
            self._build()
        except BaseException:
            super().__exit__()
            raise
        return self

    def inspect(self) -> dict[str, Any]:
        """What podman knows of the image."""
        found: dict[str, Any] = json.loads(self._podman("image", "inspect", TAG))[0]
        return found

    def once(self, *arguments: str, options: tuple[str, ...] = ()) -> str:
        """Run the image to its end with these arguments; what it printed. Raises RuntimeError."""
        return self._podman("run", "--rm", *options, TAG, *arguments)

    @contextmanager
    def service(self, *arguments: str, options: tuple[str, ...] = ()) -> Iterator[Service]:
        """A container of the image in the background, for the time of a block."""
        ident = self._podman("run", "--detach", "--log-driver=k8s-file", *options, TAG, *arguments)
        try:
            yield Service(self, ident)
        finally:
            self._podman("rm", "--force", "--time=0", ident)

    def files(self, folder: Path) -> tarfile.TarFile:
        """The image's root file system, as an archive in a folder."""
        ident = self._podman("create", TAG)
        archive = folder / "root.tar"
        self._podman("export", f"--output={archive}", ident)
        self._podman("rm", ident)
        return tarfile.open(archive)

    def podman(self, *arguments: str) -> str:
        """Any other command of podman, and what it printed. Raises RuntimeError."""
        return self._podman(*arguments)

    def _build(self) -> None:
        _make_base()
        self._podman("import", "--quiet", str(BASE_ARCHIVE), BASE)
        tool = (
            f"podman --root={self._folder}/storage --runroot={self._folder}/run"
            f" --tmpdir={self._folder}/tmp --storage-driver=vfs"
        )
        trust = (
            [
                f"--volume={AUTHORITIES}:/etc/host-authorities.crt:ro",
                "--build-arg=PIP_CERT=/etc/host-authorities.crt",
            ]
            if AUTHORITIES.exists()
            else []
        )
        done = subprocess.run(
            [
                *(REPOSITORY / "deploy/image/build", "--base", BASE, "--tag", TAG),
                *("--", "--isolation=chroot", "--network=host", *trust),
            ],
            env=os.environ
            | {
                "CONTAINERS_CONF": f"{self._folder}/containers.conf",
                "CONTAINER_TOOL": tool,
                "SOURCE_DATE_EPOCH": "1700000000",
            },
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
        if done.returncode and any(sign in done.stderr for sign in OFFLINE):
            pytest.skip("packages cannot be fetched here")
        assert done.returncode == 0, done.stderr[-3000:]


class Service:
    """A running container of the image."""

    def __init__(self, store: ImageStore, ident: str) -> None:
        self._store = store
        self._ident = ident

    def get(self, path: str, within_s: float = 30.0) -> str:
        """The body that the agent answers to a path, asked from inside the container."""
        deadline = time.monotonic() + within_s
        script = (
            "import sys, urllib.request as web; print(web.urlopen(sys.argv[1], timeout=10).read().decode())"
        )
        while True:
            try:
                return self.python(script, f"http://127.0.0.1:19190{path}")
            except RuntimeError as error:
                if time.monotonic() > deadline or not self.running:
                    raise RuntimeError(f"{error}\n{self._store.podman('logs', self._ident)}") from error
                time.sleep(0.2)

    @property
    def running(self) -> bool:
        """Whether its process has not ended."""
        return self._store.podman("inspect", "--format={{.State.Running}}", self._ident) == "true"

    def python(self, script: str, *arguments: str) -> str:
        """What a script prints in the container."""
        return self._store.podman("exec", self._ident, "/usr/bin/python3", "-c", script, *arguments)

    def stop(self) -> int:
        """Send SIGTERM and give the exit status."""
        self._store.podman("stop", "--time=20", self._ident)
        return int(self._store.podman("wait", self._ident))

    def start(self) -> None:
        """Start it again."""
        self._store.podman("start", self._ident)


def _make_base() -> None:
    if BASE_ARCHIVE.exists():
        return
    BASE_ARCHIVE.parent.mkdir(parents=True, exist_ok=True)
    fresh = BASE_ARCHIVE.with_suffix(".new.tar")
    done = subprocess.run(
        ["mmdebstrap", "--variant=apt", "--quiet", SUITE, fresh, MIRROR],
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        fresh.unlink(missing_ok=True)
        pytest.skip(f"mmdebstrap cannot make a Debian here: {done.stderr.strip()[-300:]}")
    fresh.rename(BASE_ARCHIVE)
