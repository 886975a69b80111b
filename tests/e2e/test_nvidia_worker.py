"""The NVIDIA sensor with its real worker process and the real binding, against the fake driver.

The driver's time is the machine's.
The sensor's own clock can be put forward, so that nobody waits for a back-off.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agent_process import REPOSITORY
from tests.fake_nvml_driver import FakeBoard, FakeDriver, Instance, missing
from wattledger.clock import SystemClock
from wattledger.counters import CounterState, advance
from wattledger.gpu.records import GpuUsageSource
from wattledger.hostfs import HostFS
from wattledger.model import Probe, Reading
from wattledger.sensors.nvidia import Nvidia

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

PATIENCE_S = 30.0
ENERGY_CALL = "nvmlDeviceGetTotalEnergyConsumption"


class SkippingClock(SystemClock):
    """The machine's clocks, of which the monotonic one can be put forward."""

    def __init__(self) -> None:
        self._skipped_ns = 0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self._skipped_ns

    def skip(self, seconds: float) -> None:
        """Let it seem that so much time has passed."""
        self._skipped_ns += round(seconds * 1e9)


class Account:
    """The energy of each board as the agent's meters count it, failed readings and dropped steps included."""

    def __init__(self) -> None:
        self.energy_uj: dict[str, int] = {}
        self.dropped: list[str] = []
        self._states: dict[str, CounterState] = {}

    def take(self, readings: list[Reading]) -> None:
        """Add one round of readings."""
        for reading in readings:
            if reading.raw_uj is None:
                continue
            device = reading.zone.device
            state, step = advance(reading.zone, self._states.get(device), reading, 0)
            self._states[device] = state
            if step.delta_uj is not None:
                self.energy_uj[device] = self.energy_uj.get(device, 0) + step.delta_uj
            elif step.outcome != "first":
                self.dropped.append(step.outcome)


class Host:
    """A sensor on a machine with the fake driver."""

    def __init__(self, folder: Path, driver: FakeDriver) -> None:
        self.driver = driver
        self.clock = SkippingClock()
        environment = {**driver.environment(), "WATTLEDGER_NVML": "force"}
        self.sensor = Nvidia(HostFS(sysfs=str(folder / "sys")), self.clock, environment)
        self.account = Account()

    def start(self) -> Probe:
        """Probe until the boards are there."""
        self.sensor.probe()
        self.sensor.settle(PATIENCE_S)
        probe = self.sensor.probe()
        assert probe.zones
        return probe

    def read(self) -> list[Reading]:
        """One tick's readings, booked."""
        readings = list(self.sensor.read())
        self.account.take(readings)
        return readings

    def failures(self) -> list[str]:
        """Why each board has no value now; "" if it has one."""
        return [reading.failure for reading in self.read()]

    def until_well(self) -> None:
        """Tick until every board gives a value."""
        until(lambda: set(self.failures()) == {""})

    def until_fresh(self) -> None:
        """Tick until every board was looked at after now."""
        after_ns = self.clock.boottime_ns()
        until(lambda: all(not r.failure and r.at_ns > after_ns for r in self.read()))

    def until_hung(self) -> int:
        """Have the worker caught by a hang, and let the time pass after which it counts as hung; its pid."""
        pid = self.sensor.link.pid
        assert pid is not None
        until(lambda: is_sleeping_in_fake(pid))
        self.sensor.read()
        self.clock.skip(11)
        return pid


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "it never came"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended but was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_sleeping_in_fake(pid: int) -> bool:
    """Whether the process has stopped making calls: a hung call blocks all signals but SIGKILL."""
    status = Path(f"/proc/{pid}/status").read_text()
    blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
    return bool(blocked >> (signal.SIGTERM - 1) & 1)


def shown_mj(board: FakeBoard) -> int:
    """What the counter of a board shows that drew something, but nothing before its first reading or now."""
    return int(board.true_joules() * 1000 + 1e-6)  # 39.746 J is a little less than that in binary


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """No board is plugged in yet."""
    with FakeDriver(tmp_path / "nvidia") as driver:
        host = Host(tmp_path, driver)
        try:
            yield host
        finally:
            host.sensor.close()


@contextmanager
def process() -> Iterator[int]:
    """A process that does nothing; its pid."""
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        try:
            yield sleeper.pid
        finally:
            sleeper.kill()


def drained(host: Host, board: FakeBoard) -> None:
    """Stop the board's draw and wait until the counter has taken its last step and was read."""
    board.set_power(0.0)
    time.sleep(0.25)
    host.until_fresh()


def test_energy_is_booked_to_the_millijoule(host: Host) -> None:
    """From one standstill of the counter to the next, exactly what was drawn between."""
    board = host.driver.add_board(idle_w=0.0)
    host.start()
    host.until_fresh()
    board.set_power(321.0)
    host.until_fresh()
    drained(host, board)
    assert host.account.energy_uj[board.uuid] == shown_mj(board) * 1000
    assert host.account.dropped == []


def test_who_used_the_board(host: Host) -> None:
    """Two processes, three to one; what is read twice is told once."""
    board = host.driver.add_board()
    assert isinstance(host.sensor, GpuUsageSource)
    with process() as large, process() as small:
        board.set_use(large, 0.6)
        board.set_use(small, 0.2)
        host.start()
        host.until_well()
        done = {large: 0, small: 0}
        for _ in range(12):
            host.until_fresh()
            (use,) = host.sensor.use()
            assert use.device == board.uuid
            for share in use.shares:
                done[share.pid] += share.weight
        assert host.sensor.use()[0].shares == ()
        assert done[large] / done[small] == pytest.approx(3.0, rel=0.15)


def test_the_agent_may_hold_more_than_a_thousand_descriptors(host: Host) -> None:
    """The counters of a thousand cgroups are open before the worker's socket is."""
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        host.driver.add_board()
        host.start()
        host.until_well()
    finally:
        for fd in held:
            os.close(fd)


def test_outside_the_hosts_pid_namespace_nobody_is_charged(host: Host) -> None:
    """A pid of the driver may be a stranger's: the work is told without a process, and check says so."""
    board = host.driver.add_board()
    host.sensor._host_pids = False
    with process() as worker:
        board.set_use(worker, 0.5)
        host.start()
        host.until_well()
        told = []
        until(lambda: host.read() and told.extend(host.sensor.use()) is None and any(u.shares for u in told))
    assert {share.pid for use in told for share in use.shares} == {0}
    assert {use.holders for use in told} == {()}
    denied = [finding for finding in host.sensor.probe().findings if finding.status == "denied"]
    assert [finding.subject for finding in denied] == ["processes"]


def test_a_hang_delays_nobody_and_loses_nothing(host: Host) -> None:
    """`read` returns while the driver does not, the worker is killed and replaced, the counter catches up."""
    board = host.driver.add_board(idle_w=0.0)
    host.start()
    host.until_well()
    board.set_power(500.0)
    host.driver.hang(ENERGY_CALL)
    pid = host.until_hung()
    assert host.failures() == ["hung"]
    assert host.sensor.use() == []
    until(lambda: not is_alive(pid))
    host.driver.heal()
    assert host.failures() == ["hung"], "the next worker waits for five seconds"
    host.clock.skip(5)
    host.until_well()
    drained(host, board)
    assert host.account.energy_uj[board.uuid] == shown_mj(board) * 1000
    assert host.account.dropped == []


def test_closing_does_not_wait_for_a_hung_worker(host: Host) -> None:
    """The call returns with the worker dead or dying."""
    host.driver.add_board()
    host.start()
    host.driver.hang("*")
    pid = host.until_hung()
    host.sensor.close()
    until(lambda: not is_alive(pid))
    assert host.sensor.link.state == "closed"


def test_a_board_that_hangs_again_is_left_out(host: Host) -> None:
    """At the second hang the others are measured without it; a minute later it gets another chance."""
    sick = host.driver.add_board()
    host.driver.add_board()
    host.start()
    host.until_well()
    sick.hang(ENERGY_CALL)
    for wait_s in (5, 10):
        host.until_hung()
        assert host.failures() == ["hung", "hung"]
        host.clock.skip(wait_s)
        host.read()
    until(lambda: host.failures() == ["hung", ""])
    sick.heal()
    host.clock.skip(61)
    host.until_well()


def test_a_lost_board_hides_no_other(host: Host) -> None:
    """It is down with NVML's word for it; what it drew meanwhile is booked when it is back."""
    lost, well = host.driver.add_board(idle_w=0.0), host.driver.add_board()
    host.start()
    host.until_well()
    lost.set_power(300.0)
    lost.lose()
    until(lambda: host.failures() == ["gpu_is_lost", ""])
    assert [use.device for use in host.sensor.use()] == [well.uuid]
    assert len(host.sensor.probe().zones) == 2
    lost.heal()
    host.until_well()
    drained(host, lost)
    assert host.account.energy_uj[lost.uuid] == shown_mj(lost) * 1000


def test_a_driver_reload_doubles_nothing(host: Host) -> None:
    """The counter begins at 0 again: one failed reading says so, and what it shows since is added."""
    board = host.driver.add_board(idle_w=0.0)
    host.start()
    host.until_well()
    board.set_power(400.0)
    host.until_fresh()
    drained(host, board)
    before_mj = shown_mj(board)
    assert host.account.energy_uj[board.uuid] == before_mj * 1000
    host.driver.reload()
    until(lambda: host.failures() == ["restarted"])
    board.set_power(150.0)
    host.until_fresh()
    drained(host, board)
    since_mj = shown_by_counter_mj(host, board)
    assert 0 < since_mj < before_mj
    assert host.account.energy_uj[board.uuid] == (before_mj + since_mj) * 1000
    assert host.account.dropped == []


def shown_by_counter_mj(host: Host, board: FakeBoard) -> int:
    """The hardware's own counter, asked by another program."""
    script = (
        "import pynvml as n, sys; n.nvmlInit(); h = n.nvmlDeviceGetHandleByUUID(sys.argv[1].encode()); "
        "print(n.nvmlDeviceGetTotalEnergyConsumption(h))"
    )
    command = [sys.executable, "-c", script, board.uuid]
    return int(subprocess.check_output(command, env=host.driver.environment()))


def test_a_driver_upgrade_needs_a_new_worker_only(host: Host) -> None:
    """The old one says that its library does not match, and `check` what to do if it stays so."""
    board = host.driver.add_board()
    host.start()
    host.until_well()
    host.driver.upgrade("590.44.01")
    until(lambda: host.failures() == ["lib_rm_version_mismatch"])
    (finding,) = host.sensor.probe().findings
    assert (finding.status, "rmmod" in finding.fix) == ("failed", True)
    host.clock.skip(5)
    host.until_well()
    (zone,) = host.sensor.probe().zones
    assert dict(zone.attributes)["driver"] == "590.44.01"
    assert zone.device == board.uuid


def test_a_mig_reconfiguration_loses_no_energy(host: Host) -> None:
    """Instances come, change and go; the board's counter is booked whole, and the instances are told."""
    board = host.driver.add_board(idle_w=0.0)
    host.start()
    host.until_well()
    board.set_power(250.0)
    for profiles in (["1g.18gb", "2g.35gb"], ["7g.141gb"], ["1g.18gb"] * 7):
        instances = [Instance(slot=n, gi=n + 1, profile=profile) for n, profile in enumerate(profiles)]
        board.set_mig(instances)
        board.set_power(250.0)
        until(lambda: host.failures() == [""] and told_profiles(host) == profiles)  # noqa: B023
    board.set_mig(None)
    drained(host, board)
    assert host.account.energy_uj[board.uuid] == shown_mj(board) * 1000


def told_profiles(host: Host) -> list[str]:
    return [instance.profile for use in host.sensor.use() for instance in use.instances]


def test_release_frees_the_device_files(host: Host) -> None:
    """Nothing of ours holds them until `acquire`; the energy drawn meanwhile is booked then."""
    board = host.driver.add_board(idle_w=0.0)
    host.start()
    host.until_well()
    assert host.driver.holders() == [host.sensor.link.pid]
    host.sensor.release()
    until(lambda: host.driver.holders() == [])
    board.set_power(200.0)
    host.clock.skip(3600)
    assert host.failures() == ["released"]
    (finding,) = host.sensor.probe().findings
    assert (finding.status, finding.fix) == ("ignored", "wattledger gpu acquire")
    assert host.sensor.link.pid is None
    host.sensor.acquire()
    host.until_well()
    drained(host, board)
    assert host.account.energy_uj[board.uuid] == shown_mj(board) * 1000


def test_a_worker_that_is_killed_is_replaced(host: Host) -> None:
    """After five seconds."""
    host.driver.add_board()
    host.start()
    host.until_well()
    pid = host.sensor.link.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: host.failures() == ["crashed"])
    host.clock.skip(5)
    host.until_well()
    assert host.sensor.link.pid != pid


def test_a_board_plugged_in_is_announced(host: Host) -> None:
    """`wants_probe` says so, once."""
    host.driver.add_board()
    host.start()
    assert not host.sensor.wants_probe()
    host.driver.add_board()
    host.sensor.release()
    host.sensor.acquire()
    until(host.sensor.wants_probe)
    assert len(host.sensor.probe().zones) == 2
    assert not host.sensor.wants_probe()
    host.until_well()


def test_a_host_without_the_library(tmp_path: Path) -> None:
    """Absent, and looked for again only after five minutes."""
    clock = SkippingClock()
    environment = {**os.environ, "WATTLEDGER_NVML": "force"}
    sensor = Nvidia(HostFS(sysfs=str(tmp_path)), clock, environment)
    try:
        sensor.probe()
        sensor.settle(PATIENCE_S)
        (finding,) = sensor.probe().findings
        assert finding.status == "absent"
        clock.skip(299)
        sensor.probe()
        assert sensor.link.state == "waiting"
        clock.skip(2)
        sensor.probe()
        assert sensor.link.state == "running"
    finally:
        sensor.close()


def test_a_host_without_a_trace_of_nvidia(tmp_path: Path) -> None:
    """No process is ever started."""
    sensor = Nvidia(HostFS.at(str(tmp_path)), SkippingClock(), {})
    (finding,) = sensor.probe().findings
    assert finding.status == "absent"
    assert sensor.link.state == "new"
    assert sensor.read() == []
    sensor.close()


@pytest.mark.parametrize(
    ("code", "reason", "status", "fix"),
    [(9, "driver_not_loaded", "failed", "modprobe"), (4, "no_permission", "denied", "DeviceAllow")],
)
def test_what_check_says_of_a_driver_that_refuses(
    host: Host, code: int, reason: str, status: str, fix: str
) -> None:
    """Why, and the command that mends it; another worker tries after the back-off."""
    host.driver.add_board()
    host.driver.answer("nvmlInitWithFlags", code)
    host.sensor.probe()
    host.sensor.settle(PATIENCE_S)
    (finding,) = host.sensor.probe().findings
    assert (host.sensor.link.reason, finding.status) == (reason, status)
    assert fix in finding.fix
    host.driver.heal()
    host.clock.skip(5)
    host.start()


def test_boards_that_could_be_better_off(host: Host) -> None:
    """Persistence mode off, MIG on without activity, and no counter: said per board, with a command."""
    host.driver.add_board(persistence=False)
    host.driver.add_board("ga100").set_mig([Instance(slot=0, gi=1, profile="1g.5gb")])
    host.driver.add_board("pascal")
    first, second, third = host.start().findings
    assert "persistence mode off" in first.why
    assert first.fix == "sudo nvidia-smi -i 0000:1b:00.0 -pm 1"
    assert "MIG on, 1 instance" in second.why
    assert "no energy counter" in third.why
    assert {finding.status for finding in (first, second, third)} == {"usable"}


@pytest.mark.parametrize("hanging", [False, True])
def test_no_worker_outlives_its_agent(host: Host, hanging: bool) -> None:
    """However the agent ends, and even if a call of the driver never returns."""
    host.driver.add_board()
    script = """
import sys, time
from wattledger.clock import SystemClock
from wattledger.hostfs import HostFS
from wattledger.sensors.nvidia import Nvidia
sensor = Nvidia(HostFS(), SystemClock())
sensor.probe()
sensor.settle(30)
print(sensor.link.pid, flush=True)
time.sleep(600)
"""
    environment = {
        **host.driver.environment(),
        "WATTLEDGER_NVML": "force",
        "PYTHONPATH": str(REPOSITORY / "exporter"),
    }
    agent = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True
    )
    with agent:
        assert agent.stdout is not None
        worker = int(agent.stdout.readline())
        if hanging:
            host.driver.hang(ENERGY_CALL)
            until(lambda: is_sleeping_in_fake(worker))
        agent.kill()
    until(lambda: not is_alive(worker))


def test_the_worker_tells_its_memory(host: Host) -> None:
    """Resident bytes, of the order of a small Python process."""
    host.driver.add_board()
    host.start()
    report = host.sensor.link.newest
    assert report is not None
    assert 5 << 20 < report.rss_bytes < 60 << 20
