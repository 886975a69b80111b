"""Builds the Debian package: the same bits for the same source and date, wherever it is built."""
# ruff: noqa: S603 - the commands are its own

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
SOURCE = REPOSITORY / "exporter/wattledger"
UNITS = REPOSITORY / "systemd"
LOCK = HERE / "requirements.txt"

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""What compiled modules are carried for; they lie side by side, for each has its version in its name."""

PLATFORMS = {"amd64": "x86_64", "arm64": "aarch64"}
MANYLINUX = ("manylinux_2_17", "manylinux2014", "manylinux_2_28")
HOME = "opt/wattledger"
SITE = f"{HOME}/lib/site-packages"
MAINTAINER = "The Wattledger authors <maintainers@wattledger.invalid>"
"""Who has no address for it; whoever hands the package out gives `--maintainer`."""
SHELLS = {
    "bash": "usr/share/bash-completion/completions/wattledger",
    "zsh": "usr/share/zsh/vendor-completions/_wattledger",
    "fish": "usr/share/fish/vendor_completions.d/wattledger.fish",
}


def main() -> int:
    """Build the package, or write the lock file anew."""
    chosen = _arguments()
    chosen.wheels.mkdir(parents=True, exist_ok=True)
    if chosen.lock:
        LOCK.write_text(lock(chosen.wheels))
        return 0
    chosen.output.mkdir(parents=True, exist_ok=True)
    version = f"{chosen.version or source_version()}-{chosen.revision}"
    with tempfile.TemporaryDirectory(prefix="wattledger-deb-") as folder:
        tree = Path(folder, "tree")
        epoch = source_date()
        lay_out(tree, chosen.architecture, chosen.wheels, epoch)
        add_changelog(tree, version, chosen.maintainer, epoch)
        add_control(tree, version, chosen.maintainer, chosen.architecture)
        settle(tree, epoch)
        target = chosen.output / f"wattledger_{version}_{chosen.architecture}.deb"
        # Of several threads the compressed stream would depend on how many there are.
        command = [
            "dpkg-deb",
            "--root-owner-group",
            "-Zxz",
            "--threads-max=1",
            "--build",
            str(tree),
            str(target),
        ]
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    print(target)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="build-deb", description=__doc__)
    parser.add_argument("--output", type=Path, default=REPOSITORY / "dist", help="where the package goes")
    parser.add_argument("--version", help="the version of the source by default")
    parser.add_argument("--revision", default="1", help="the Debian revision (default: 1)")
    parser.add_argument(
        "--maintainer", type=_maintainer, default=MAINTAINER, help="whom to ask about it: NAME <ADDRESS>"
    )
    parser.add_argument("--architecture", choices=PLATFORMS, default=_native())
    parser.add_argument("--wheels", type=Path, default=REPOSITORY / ".cache/wheels", help="kept downloads")
    parser.add_argument("--lock", action="store_true", help="write the list of wheels with hashes anew")
    return parser.parse_args()


def _maintainer(text: str) -> str:
    """One line of a name and an address, as Debian's policy has it."""
    if re.fullmatch(r"[^<>@\n]*[^<>@\s] <[^<>\s]+@[^<>\s]+>", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME <ADDRESS>")
    return text


def _native() -> str:
    return next((name for name, machine in PLATFORMS.items() if machine == platform.machine()), "amd64")


def source_version() -> str:
    """The version that the source says it is."""
    found = re.search(r'^__version__ = "(.+)"', (SOURCE / "__init__.py").read_text(), re.M)
    if found is None:
        raise SystemExit(f"build-deb: no version in {SOURCE / '__init__.py'}")
    return found[1]


def source_date() -> int:
    """The date of every file, in seconds since 1970: `SOURCE_DATE_EPOCH`, else that of the last commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is None:
        command = ["git", "-C", str(REPOSITORY), "log", "-1", "--format=%ct"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        given = done.stdout.strip()
    if not given.isdecimal():
        raise SystemExit("build-deb: no commit to date the package by; set SOURCE_DATE_EPOCH")
    return int(given)


def lay_out(tree: Path, architecture: str, wheels: Path, epoch: int) -> None:
    """Everything that is installed, in place below `tree`."""
    add_environment(tree, architecture, wheels)
    _copy(HERE / "debian/launcher", tree / HOME / "bin/wattledger", 0o755)
    _link("/opt/wattledger/bin/wattledger", tree / "usr/bin/wattledger")
    for name in ("wattledger.service", "wattledger.socket"):
        _copy(UNITS / name, tree / "usr/lib/systemd/system" / name)
    for drop_in in sorted((UNITS / "wattledger.service.d").glob("*.conf")):
        _copy(drop_in, tree / "usr/share/wattledger/wattledger.service.d" / drop_in.name)
    _copy(UNITS / "sysusers.d/wattledger.conf", tree / "usr/lib/sysusers.d/wattledger.conf")
    rules = "90-wattledger-powercap.rules"
    _copy(UNITS / "udev" / rules, tree / "usr/lib/udev/rules.d" / rules)
    _copy(HERE / "debian/wattledger.default", tree / "etc/default/wattledger")
    _copy(HERE / "debian/wattledger.yaml", tree / "etc/wattledger/wattledger.yaml")
    _copy(HERE / "debian/copyright", tree / "usr/share/doc/wattledger/copyright")
    with tempfile.TemporaryDirectory() as folder:
        native = Path(folder)
        if architecture != _native():
            add_environment(native, _native(), wheels)
        add_pages(tree, tree if architecture == _native() else native, epoch)


def add_environment(tree: Path, architecture: str, wheels: Path) -> None:
    """A virtual environment that needs no path of the builder and no pip: the host's Python, our packages."""
    site = tree / SITE
    for python in PYTHONS:
        for wheel in fetched(python, architecture, wheels):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site)
        _link("../site-packages", tree / HOME / f"lib/python{python}/site-packages")
    shutil.copytree(SOURCE, site / "wattledger", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    _link("/usr/bin/python3", tree / HOME / "bin/python3")
    (tree / HOME / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n")


def fetched(python: str, architecture: str, wheels: Path) -> list[Path]:
    """The wheels of the lock file for one Python; what is in the folder of downloads is not fetched again."""
    with tempfile.TemporaryDirectory(dir=wheels) as folder:
        command = (*_target(python, architecture), "--require-hashes", "-r", str(LOCK), "-d", folder)
        links = f"--find-links={wheels}"
        if _pip_failed(*command, "--no-index", links) and (failure := _pip_failed(*command, links)):
            raise SystemExit(f"build-deb: no packages for Python {python} on {architecture}\n{failure}")
        names = sorted(path.name for path in Path(folder).iterdir())
        for name in names:
            os.replace(Path(folder, name), wheels / name)
    return [wheels / name for name in names]


def _target(python: str, architecture: str) -> list[str]:
    names = [f"--platform={name}_{PLATFORMS[architecture]}" for name in MANYLINUX]
    return ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp", *names]


def _pip_failed(*arguments: str) -> str:
    """Download with pip; what it says if it fails, else ""."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stderr or "pip failed" if done.returncode else ""


def lock(wheels: Path) -> str:
    """The newest packages that the project accepts, with the hashes of all their wheels that are carried."""
    import tomllib  # noqa: PLC0415 - only this needs it

    wanted = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    hashes: dict[str, set[str]] = {}
    for python in PYTHONS:
        for architecture in PLATFORMS:
            with tempfile.TemporaryDirectory(dir=wheels) as folder:
                failure = _pip_failed(*_target(python, architecture), "-d", folder, *wanted)
                if failure:
                    raise SystemExit(f"build-deb: {failure}")
                for wheel in Path(folder).iterdir():
                    name, version = wheel.name.split("-")[:2]
                    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
                    hashes.setdefault(f"{name.replace('_', '-').lower()}=={version}", set()).add(digest)
    first, last = PYTHONS[0], PYTHONS[-1]
    lines = [f"# What the Debian package carries, for x86-64 and arm64 and Python {first} to {last}."]
    lines.append("# Written anew by `deploy/packages/build-deb --lock`.")
    for name, digests in sorted(hashes.items()):
        lines += [" \\\n    ".join([name, *(f"--hash=sha256:{digest}" for digest in sorted(digests))])]
    return "\n".join(lines) + "\n"


def add_pages(tree: Path, environment: Path, epoch: int) -> None:
    """The manual pages and what the shells complete by, made by the command that they are for."""
    variables = {"PYTHONPATH": str(environment / SITE), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    python = [sys.executable, "-B", "-s", "-m"]
    with tempfile.TemporaryDirectory() as folder:
        date = time.strftime("%Y-%m-%d", time.gmtime(epoch))
        command = [*python, "wattledger.cli.manual", folder, date]
        subprocess.run(command, check=True, env=variables, cwd=folder)
        for page in Path(folder).iterdir():
            _compress(page.read_bytes(), tree / "usr/share/man/man1" / f"{page.name}.gz")
        for shell, place in SHELLS.items():
            asked = variables | {"_WATTLEDGER_COMPLETE": f"{shell}_source"}
            command = [*python, "wattledger"]
            done = subprocess.run(command, check=True, env=asked, cwd=folder, capture_output=True)
            _write(tree / place, done.stdout)


def add_changelog(tree: Path, version: str, maintainer: str, epoch: int) -> None:
    """The one entry Debian asks for, which points to ours."""
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(epoch))
    entry = f"wattledger ({version}) stable; urgency=medium\n\n  * See changelog.gz.\n\n"
    entry += f" -- {maintainer}  {date}\n"
    documents = tree / "usr/share/doc/wattledger"
    _compress(entry.encode(), documents / "changelog.Debian.gz")
    _compress((REPOSITORY / "CHANGELOG.md").read_bytes(), documents / "changelog.gz")


def add_control(tree: Path, version: str, maintainer: str, architecture: str) -> None:
    """The folder DEBIAN: what the package is, its scripts, and the sums of its files."""
    files = [path for path in _paths(tree) if path.is_file() and not path.is_symlink()]
    major, minor = PYTHONS[-1].split(".")
    values = {
        "VERSION": version,
        "MAINTAINER": maintainer,
        "ARCHITECTURE": architecture,
        "INSTALLED_SIZE": str(sum(path.stat().st_size for path in files) // 1024 + 1),
        "FIRST_PYTHON": f"{PYTHONS[0]}~",
        "AFTER_PYTHON": f"{major}.{int(minor) + 1}~",
    }
    sums = [f"{_md5(path)}  {path.relative_to(tree)}\n" for path in files if tree / "etc" not in path.parents]
    _write(tree / "DEBIAN/control", _filled((HERE / "debian/control").read_text(), values).encode())
    _write(tree / "DEBIAN/md5sums", "".join(sums).encode())
    _copy(HERE / "debian/conffiles", tree / "DEBIAN/conffiles")
    for script in ("postinst", "prerm", "postrm"):
        _copy(HERE / "debian" / script, tree / "DEBIAN" / script, 0o755)


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def settle(tree: Path, epoch: int) -> None:
    """Modes and dates that do not depend on who builds when."""
    programs = (tree / HOME / "bin", tree / "DEBIAN")
    for path in (*_paths(tree), tree):
        if not path.is_symlink():
            program = path.parent in programs and path.stat().st_mode & 0o100
            path.chmod(0o755 if path.is_dir() or program else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def _paths(tree: Path) -> Iterator[Path]:
    """Everything below, folders after what is in them."""
    for folder, folders, files in os.walk(tree, topdown=False):
        yield from (Path(folder, name) for name in sorted(folders + files))


def _copy(source: Path, target: Path, mode: int = 0o644) -> None:
    _write(target, source.read_bytes())
    target.chmod(mode)


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def _compress(content: bytes, target: Path) -> None:
    _write(target, gzip.compress(content, 9, mtime=0))


def _link(to: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(to)


if __name__ == "__main__":
    sys.exit(main())
