"""What a running agent holds of the program: nothing that its settings do not ask for."""

from __future__ import annotations

import re

import pytest

from tests.agent_process import AgentProcess, host_arguments
from tests.known_host import KnownHost

pytestmark = pytest.mark.e2e

COMMANDS = ("best_window", "check", "demo", "gpu", "intensity", "once", "report", "rules")
FOR = {
    "another command": tuple(f"wattledger.cli.{command}" for command in COMMANDS),
    "what these do": tuple(f"wattledger.{part}" for part in ("inspection", "report", "rules", "simulation")),
    "a live source": ("wattledger.carbon.live.http", "wattledger.carbon.providers.registry", "http.client"),
    "a file of intensities": ("wattledger.carbon.offline.series_file", "statistics"),
    "a settings file": ("wattledger.cli.yaml_file",),
    "a web configuration": ("wattledger.exposition.web_file", "wattledger.exposition.web_accept"),
    "either of these": ("yaml",),
    "the kubelet": ("wattledger.workloads.names.kubelet_client",),
    "a look at the pages": ("wattledger.exposition.landing", "html"),
    "virtual machines": ("xml.parsers.expat",),
}


def imported(log: str) -> set[str]:
    """The modules of a log of `-X importtime`."""
    return set(re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", log, re.MULTILINE))


def test_an_agent_with_defaults_imports_nothing_that_it_does_not_use(tmp_path):
    """A third of its memory is code; what is imported once stays for as long as it runs."""
    host = KnownHost(tmp_path / "host")
    importtime = {"PYTHONPROFILEIMPORTTIME": "1"}
    arguments = (*host_arguments(host.root), f"--storage.path={tmp_path / 'state'}")
    with AgentProcess(*arguments, folder=tmp_path, environment=importtime) as agent:
        agent.scrape()
        before = imported(agent.log)
        agent.get("/")
        after = imported(agent.log)
    assert {"wattledger.sampler", "wattledger.exposition.render", "uvicorn"} <= before
    assert {why: sorted(before & {*names}) for why, names in FOR.items()} == {why: [] for why in FOR}
    assert {"wattledger.exposition.landing", "html"} <= after
