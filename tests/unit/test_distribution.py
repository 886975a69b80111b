"""What is handed out: the wheel, the source archive, the manual pages, and the completion of shells."""

from __future__ import annotations

import email.policy
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement

from tests.agent_process import REPOSITORY
from wattledger import __version__
from wattledger.cli.group import wattledger
from wattledger.cli.manual import pages
from wattledger.cli.options import options

LOCK = REPOSITORY / "deploy/packages/requirements.txt"
DATE = "2024-05-01"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the archives are made from, where nobody works."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in ("exporter", "docs"):
        shutil.copytree(REPOSITORY / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder)
    return folder


@pytest.fixture(scope="module")
def archives(checkout: Path) -> tuple[Path, Path]:
    """The wheel and the source archive, built by the backend that the project names."""
    pytest.importorskip("hatchling", reason="no hatchling (pip install hatchling)")
    script = "import hatchling.build as b; print(b.build_wheel('dist')); print(b.build_sdist('dist'))"
    (checkout / "dist").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=checkout, capture_output=True, text=True, check=True
    )
    wheel, sdist = done.stdout.split()
    return checkout / "dist" / wheel, checkout / "dist" / sdist


def sources(checkout: Path) -> set[str]:
    """Every file of the package, as it is called in an archive."""
    return {
        str(path.relative_to(checkout / "exporter"))
        for path in (checkout / "exporter").rglob("*")
        if path.is_file()
    }


def test_the_wheel_holds_the_package_and_nothing_else(archives, checkout):
    """All modules and tables, the licence, and no tests."""
    names = set(zipfile.ZipFile(archives[0]).namelist())
    own = {name for name in names if ".dist-info/" not in name}
    assert own == sources(checkout)
    assert {name.partition(".dist-info/")[2] for name in names - own} == {
        "METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE",
    }  # fmt: skip
    assert any(name.endswith(".csv") for name in own)


def test_the_source_archive_can_be_built_again(archives, checkout):
    """It has what the wheel is made from, and no tests or leftovers."""
    with tarfile.open(archives[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"exporter/{name}" for name in sources(checkout)} <= names
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert "tests" not in tops
    assert not [name for name in names if name.endswith(".pyc")]


def metadata(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        return archive.read(name)


def test_the_metadata_is_valid(archives, checkout):
    """As an index checks it; the long description is the README, and the version that of the package."""
    content = metadata(archives[0])
    parsed = Metadata.from_email(content, validate=True)
    text = (checkout / "exporter/wattledger/__init__.py").read_text()
    assert f'__version__ = "{parsed.version}"' in text
    assert parsed.description_content_type == "text/markdown"
    assert parsed.description is not None
    assert parsed.description.strip() == (checkout / "README.md").read_text().strip()
    message = BytesParser(EmailMessage, policy=email.policy.compat32).parsebytes(content)
    assert not message.defects


def test_the_wheel_works_on_its_own(archives, tmp_path):
    """Installed into a fresh environment: `wattledger once` gives an account of this host."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv/bin/python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", f"--python={python}"]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", str(archives[0])], check=True)
    site = next((tmp_path / "venv/lib").glob("python*/site-packages"))
    here = next(path for path in sys.path if path.endswith("site-packages"))
    # What it needs comes from where the tests run, behind its own folder.
    (site / "needed.pth").write_text(f"{here}\n")
    done = subprocess.run(
        [tmp_path / "venv/bin/wattledger", "once", "--format=text", "--no-names"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "wattledger_node_energy_joules_total" in done.stdout
    where = [python, "-c", "import wattledger; print(wattledger.__file__)"]
    found = subprocess.run(where, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert Path(found.stdout.strip()).is_relative_to(site)


def test_the_debian_package_locks_what_the_project_needs():
    """Each requirement is there in a version that is accepted; `build-deb --lock` writes the list anew."""
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", LOCK.read_text(), re.M))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in project["dependencies"]]
    assert {requirement.name.lower() for requirement in wanted} <= locked.keys()
    assert not [each.name for each in wanted if locked[each.name.lower()] not in each.specifier]


def test_every_image_that_is_named_is_of_this_version():
    """In pages, manifests, the chart and the compose file: a release that forgets one fails here."""
    places = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("deploy/**/*")]
    named = {
        path: set(re.findall(r"ghcr\.io/wattledger/wattledger:(\d[\w.]*)", path.read_text()))
        for path in places
        if path.suffix in {".md", ".yaml"}
    }
    found = {path.name: versions for path, versions in named.items() if versions}
    assert {"containers.md", "compose.yaml", "Chart.yaml", "wattledger.yaml"} <= found.keys()
    assert set().union(*found.values()) == {__version__}


def test_dev_fetches_every_package_that_a_test_asks_for():
    """What tests say is missing, `./dev test` installs or names."""
    table = re.search(
        r"^test_tools\(\) \{.*?<<'END'\n(.*?)^END$", (REPOSITORY / "dev").read_text(), re.M | re.S
    )
    assert table is not None
    fetched = {line.split()[1] for line in table[1].splitlines()}
    asked = {
        package
        for path in (REPOSITORY / "tests").rglob("*.py")
        for package in re.findall(r"\(apt-get install ([a-z0-9-]+)\)", path.read_text())
    }
    assert len(asked) >= 8
    assert asked <= fetched


def test_every_command_has_a_page_and_every_page_a_command():
    """One for the command, and one for each below it."""
    written = pages(DATE)
    assert {"wattledger.1", "wattledger-run.1", "wattledger-gpu-release.1"} <= written.keys()
    assert len(written) == 1 + count(wattledger)


def count(command) -> int:
    below = [each for each in getattr(command, "commands", {}).values() if not each.hidden]
    return len(below) + sum(map(count, below))


def test_the_page_of_run_has_every_flag():
    """Each flag with its help; a dash is one that can be copied and searched for."""
    page = pages(DATE)["wattledger-run.1"]
    for option in options():
        if option.flag:
            assert "\\-\\-" + option.flag.replace("-", "\\-") in page, option.flag


def test_troff_takes_every_page_without_a_word(tmp_path):
    """Neither groff nor mandoc, where they are, finds anything to warn of."""
    tools = {"groff": ["-man", "-ww", "-Tutf8", "-z"], "mandoc": ["-T", "lint", "-W", "warning"]}
    present = [name for name in tools if shutil.which(name)]
    if not present:
        pytest.skip("no groff or mandoc on PATH (apt-get install groff-base)")
    for name, text in pages(DATE).items():
        (tmp_path / name).write_text(text)
        for tool in present:
            command = [tool, *tools[tool], tmp_path / name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (done.stdout, done.stderr) == ("", ""), f"{tool} {name}"


def test_a_line_that_looks_like_a_request_is_text():
    """Help that begins with a dot or has a backslash comes out as it was written."""
    from wattledger.cli.manual import _text  # noqa: PLC0415 - the one place where it matters

    assert _text(".TH x") == "\\&.TH x"
    assert _text("a\\fBb - c") == "a\\efBb \\- c"


def completion(shell: str) -> str:
    """The script for a shell, as the package has it."""
    environment = os.environ | {
        "_WATTLEDGER_COMPLETE": f"{shell}_source",
        "PYTHONPATH": str(REPOSITORY / "exporter"),
    }
    command = [sys.executable, "-m", "wattledger"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@pytest.fixture
def command_on_path(tmp_path: Path) -> dict[str, str]:
    """An environment in which `wattledger` is this source."""
    program = tmp_path / "bin/wattledger"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m wattledger "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(REPOSITORY / "exporter")}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["che"], {"check"}),
        (["gpu", ""], {"release", "acquire", "record"}),
        (["run", "--storage.p"], {"--storage.path"}),
        (["check", "--format", ""], {"text", "json"}),
    ],
    ids=["command", "below", "flag", "value"],
)
def test_bash_completes(command_on_path, words, wanted):
    """The function that the script defines, called as bash does."""
    if shutil.which("bash") is None:
        pytest.skip("no bash on PATH")
    line = " ".join(f"'{word}'" for word in ["wattledger", *words])
    script = f"""{completion("bash")}
COMP_WORDS=({line}); COMP_CWORD={len(words)}
_wattledger_completion wattledger
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p wattledger >&2
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=True, env=command_on_path
    )
    assert set(done.stdout.split()) == wanted
    assert "_wattledger_completion" in done.stderr


@pytest.mark.parametrize(("shell", "check"), [("zsh", "-n"), ("fish", "--no-execute")])
def test_other_shells_read_their_scripts(tmp_path, shell, check):
    """Without a complaint."""
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on PATH (apt-get install {shell})")
    (tmp_path / "script").write_text(completion(shell))
    done = subprocess.run([shell, check, tmp_path / "script"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "wattledger" in (tmp_path / "script").read_text()
