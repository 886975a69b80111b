"""The container image: built here from the sources, and run as Kubernetes would run it."""

from __future__ import annotations

import json
import os
import stat
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent_process import Scrape
from tests.image_store import ImageStore, Service, needs_builder
from tests.known_host import J, KnownHost
from wattledger import __version__

pytestmark = [pytest.mark.e2e, needs_builder]

EPOCH_S = 1_700_000_000
LARGEST_BYTES = 80_000_000
AS_IN_KUBERNETES = ("--user=0:0", "--cap-drop=all", "--read-only", "--pid=host")
"""What deploy/kubernetes asks for, in podman's words."""

HOST_FLAGS = ("--path.procfs=/host/proc", "--path.sysfs=/host/sys", "--path.rootfs=/host")
NODE_ENERGY = "wattledger_node_energy_joules_total"
WORKLOAD_ENERGY = "wattledger_workload_energy_joules_total"
EXPIRED_ENERGY = "wattledger_workload_expired_energy_joules"  # and what waits for its name


@pytest.fixture(scope="module")
def store() -> Iterator[ImageStore]:
    with ImageStore() as built:
        yield built


@pytest.fixture(scope="module")
def members(store: ImageStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tarfile.TarFile]:
    with store.files(tmp_path_factory.mktemp("image")) as archive:
        yield archive


@pytest.fixture
def host(tmp_path: Path) -> KnownHost:
    """Two sockets with counters that only root may read, as those of a real host."""
    found = KnownHost(tmp_path / "host", mmio=False)
    counters = list((found.root / "sys").rglob("energy_uj"))
    assert len(counters) == 4
    for counter in counters:
        os.chown(counter, 0, 0)
        counter.chmod(0o400)
    return found


def eventually(
    scrape: Callable[[], Scrape], reached: Callable[[Scrape], bool], within_s: float = 30.0
) -> Scrape:
    """The first scrape for which something holds."""
    deadline = time.monotonic() + within_s
    while not reached(found := scrape()):
        assert time.monotonic() < deadline, dict(found.select(NODE_ENERGY))
        time.sleep(0.5)
    return found


def scrape_of(service: Service) -> Scrape:
    """The agent's metrics, by the strict parser of the text format."""
    return Scrape.of_text(service.get("/metrics"))


def test_what_the_image_says(store: ImageStore) -> None:
    """Its entry point is the agent itself, its user nobody, and its labels say what it is made of."""
    found = store.inspect()
    config = found["Config"]
    assert config["Entrypoint"] == ["/usr/bin/wattledger"]
    assert config["Cmd"] == ["run"]
    assert config["User"] == "65532:65532"
    assert config["StopSignal"] == "SIGTERM"
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels["version"] == __version__
    assert labels["licenses"] == "Apache-2.0"
    assert labels["created"] == "2023-11-14T22:13:20Z"
    assert labels["revision"] != "unknown"
    assert len(found["RootFS"]["Layers"]) == 1


def test_small(store: ImageStore, record_property: Callable[[str, object], None]) -> None:
    """Less than half of Debian's Python image."""
    size_bytes = store.inspect()["Size"]
    record_property("size_bytes", size_bytes)
    assert size_bytes < LARGEST_BYTES


def test_nothing_but_the_agent(members: tarfile.TarFile) -> None:
    """Two programs and no shell, no package manager, no setuid file."""
    programs = {
        Path(member.name).name
        for member in members
        if member.isfile() and Path(member.name).parts[:2] in {("usr", "bin"), ("usr", "sbin")}
    }
    assert programs == {"python3.13", "wattledger"}
    names = {Path(member.name).name for member in members}
    assert not names & {"sh", "bash", "dash", "busybox", "pip", "ensurepip", "dpkg", "apt", "perl"}
    assert not [m.name for m in members if m.isfile() and m.mode & (stat.S_ISUID | stat.S_ISGID)]


def test_made_of_the_same_bytes_each_time(members: tarfile.TarFile) -> None:
    """No file carries the time of the build: not as its own, and not within byte code."""
    files = [member for member in members if member.isfile() and member.name.startswith("usr/")]
    assert {member.mtime for member in files} == {EPOCH_S}
    compiled = [member for member in files if member.name.endswith(".pyc")]
    assert len(compiled) > 500
    for member in compiled:
        content = members.extractfile(member)
        assert content is not None
        flags = int.from_bytes(content.read(8)[4:], "little")
        assert flags == 1, f"{member.name}: neither checked by time nor by hash (PEP 552)"


def test_certificates_and_time_zones(store: ImageStore) -> None:
    """Live providers are verified, and budgets end at midnight of any place, old names included."""
    script = (
        "import json, os, ssl, zoneinfo; print(json.dumps([len(ssl.create_default_context().get_ca_certs()),"
        " str(zoneinfo.ZoneInfo('Europe/Berlin')), str(zoneinfo.ZoneInfo('US/Pacific')), os.getuid()]))"
    )
    authorities, *rest = json.loads(store.once("-c", script, options=("--entrypoint=/usr/bin/python3",)))
    assert authorities > 100
    assert rest == ["Europe/Berlin", "US/Pacific", 65532]


def test_counters_of_root_are_read_without_any_capability(
    store: ImageStore, host: KnownHost, tmp_path: Path
) -> None:
    """As uid 0 with an empty set of capabilities, each microjoule of a 0400 file; down time included."""
    state = tmp_path / "state"
    state.mkdir()
    options = (
        *AS_IN_KUBERNETES,
        "--network=none",
        f"--volume={host.root}:/host:ro",
        f"--volume={state}:/state",
    )
    flags = ("run", *HOST_FLAGS, "--storage.path=/state", "--sampling.interval=1s", "--no-collector.perf")
    with store.service(*flags, options=options) as agent:
        status = agent.python("print(open('/proc/self/status').read())")
        assert "CapEff:\t0000000000000000" in status
        agent.get("/-/ready")
        assert scrape_of(agent).sum_uj(NODE_ENERGY) == 0
        host.counters["package-0"].draw(60 * J)
        host.counters["package-1"].draw(40 * J)
        found = eventually(lambda: scrape_of(agent), lambda s: s.sum_uj(NODE_ENERGY) == 100 * J)
        assert found.sum_uj(WORKLOAD_ENERGY) == 100 * J
        assert agent.stop() == 0
        host.counters["package-0"].draw(50 * J)
        agent.start()
        agent.get("/-/ready")
        found = eventually(lambda: scrape_of(agent), lambda s: s.sum_uj(NODE_ENERGY) == 150 * J)
        assert found.sum_uj(WORKLOAD_ENERGY, kind="unattributed") >= 50 * J


def test_nobody_is_told_why(store: ImageStore, host: KnownHost) -> None:
    """The image's own user may not read the counters, and `check` says so."""
    with pytest.raises(RuntimeError):  # its exit status: nothing is measured
        store.once("check", *HOST_FLAGS, options=(f"--volume={host.root}:/host:ro",))
    with store.service("run", *HOST_FLAGS, options=(f"--volume={host.root}:/host:ro",)) as agent:
        said = agent.python(
            "import subprocess, sys; print(subprocess.run(['/usr/bin/wattledger', 'check', *sys.argv[1:]],"
            " capture_output=True, text=True).stdout)",
            *HOST_FLAGS,
        )
    assert "denied" in said


def test_this_host(store: ImageStore) -> None:
    """With this machine's own /proc and /sys, read-only, the account balances and workloads are seen."""
    options = (
        *AS_IN_KUBERNETES,
        "--network=none",
        "--volume=/proc:/host/proc:ro",
        "--volume=/sys:/host/sys:ro",
    )
    flags = ("run", "--path.procfs=/host/proc", "--path.sysfs=/host/sys", "--sampling.interval=1s")
    with store.service(*flags, options=options) as agent:
        agent.get("/-/ready")
        found = eventually(lambda: scrape_of(agent), lambda s: s.sum_uj(NODE_ENERGY) > 0)
        accounted = found.sum_uj(WORKLOAD_ENERGY) + found.sum_uj(EXPIRED_ENERGY)
        assert accounted == found.sum_uj(NODE_ENERGY)
        assert found.select("wattledger_workload_cpu_seconds_total")


def test_a_named_volume_holds_the_state(store: ImageStore, host: KnownHost) -> None:
    """A new volume can be written by uid 0 without capabilities, as compose.yaml has it."""
    volume = "--volume=wattledger-state:/var/lib/wattledger"
    options = (*AS_IN_KUBERNETES, "--network=none", f"--volume={host.root}:/host:ro", volume)
    try:
        with store.service(
            "run", *HOST_FLAGS, "--storage.path=/var/lib/wattledger", options=options
        ) as agent:
            agent.get("/-/ready")
            kept = json.loads(
                agent.python("import json, os; print(json.dumps(os.listdir('/var/lib/wattledger')))")
            )
        assert kept
    finally:
        store.podman("volume", "rm", "--force", "wattledger-state")


def test_demo_as_nobody(store: ImageStore) -> None:
    """Simulated nodes need no right at all."""
    with store.service(
        "demo", "--nodes=3", options=("--network=none", "--cap-drop=all", "--read-only")
    ) as demo:
        demo.get("/-/ready")
        groups = json.loads(demo.get("/sd"))
        assert len(groups) == 3
        found = Scrape.of_text(demo.get(groups[0]["labels"]["__metrics_path__"]))
        assert found.select(NODE_ENERGY)
        assert demo.stop() == 0
