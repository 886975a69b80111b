"""The commands of docs/install.md for hosts without the package, under a real systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_process import REPOSITORY
from tests.systemd_machine import Machine, needs_machine

pytestmark = [pytest.mark.e2e, needs_machine]

PAGE = (REPOSITORY / "docs/install.md").read_text()
HERE = next(path for path in sys.path if path.endswith("site-packages"))
LAUNCHER = """#!/opt/wattledger/bin/python3
import sys

from wattledger.__main__ import main

sys.exit(main())
"""
SCRAPE = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:19190/metrics').read().decode())"


def commands(before: str) -> list[str]:
    """Those of the first block after a text of the page."""
    _, found, rest = PAGE.partition(before)
    assert found
    return re.findall(r"^```sh\n(.*?)^```$", rest, re.M | re.S)[0].splitlines()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with a checkout in /srv, and what `pip` would put into the environment."""
    with Machine(tmp_path_factory.mktemp("machine")) as made:
        found = made.run("python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").stdout.strip()
        if found != f"{sys.version_info[0]}.{sys.version_info[1]}":
            pytest.skip(f"the machine has Python {found}, for which nothing is installed here")
        made.shell("printf '#!/bin/sh\\nexec \"$@\"\\n' >/usr/bin/sudo; chmod +x /usr/bin/sudo")
        shutil.copytree(REPOSITORY / "systemd", made.root / "srv/systemd")
        made.run("python3", "-m", "venv", "--without-pip", "/opt/wattledger")
        site = made.root / f"opt/wattledger/lib/python{found}/site-packages"
        for name in ("click", "h11", "msgspec", "uvicorn", "urllib3", "yaml", "bcrypt", "tzdata"):
            shutil.copytree(Path(HERE) / name, site / name)
        shutil.copytree(
            REPOSITORY / "exporter/wattledger",
            site / "wattledger",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        program = made.root / "opt/wattledger/bin/wattledger"
        program.write_text(LAUNCHER)
        program.chmod(0o755)
        made.boot()
        yield made


def scrape(machine: Machine) -> str:
    """What the agent serves, as soon as it does."""
    for _ in range(100):
        done: subprocess.CompletedProcess[str] = machine.run("python3", "-c", SCRAPE, check=False)
        if done.returncode == 0:
            return done.stdout
        time.sleep(0.1)
    raise AssertionError(done.stderr)


def test_the_service_runs(machine):
    """Enabled, with its state, and with a folder for settings that is root's and not the service's."""
    venv, pip, *rest = commands("## Any other Linux with systemd")
    assert "-m venv /opt/wattledger" in venv
    assert "/opt/wattledger/bin/pip install" in pip
    machine.shell("cd /srv; " + "; ".join(rest))
    assert 'wattledger_node_energy_joules_total{component="cpu"}' in scrape(machine)
    assert machine.run("systemctl", "is-enabled", "wattledger").stdout.strip() == "enabled"
    assert machine.shell("stat --format=%U:%a /etc/wattledger").strip() == "root:755"
    assert "ledger.ckpt" in machine.shell("ls /var/lib/wattledger/")


def test_the_group_is_made_and_the_rule_is_in_place(machine):
    """On a host that has neither folder; the machine has no udev to take the rule."""
    *install, udev = commands("Without the package, install the group and the rule by hand")
    assert "udevadm" in udev
    machine.shell("cd /srv; " + "; ".join(install))
    assert machine.shell("getent group powercap")
    machine.run("test", "-s", "/etc/udev/rules.d/90-wattledger-powercap.rules")
    shipped = "/srv/systemd/wattledger.service.d/10-no-capabilities.conf"
    machine.shell(
        f"install -D -t /etc/systemd/system/wattledger.service.d {shipped};"
        "systemctl daemon-reload; systemctl restart wattledger"
    )
    assert 'wattledger_node_energy_joules_total{component="cpu"}' in scrape(machine)
