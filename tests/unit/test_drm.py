"""Who used a graphics card, from the clients in fdinfo and from KFD."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gpu_hosts import close_card, fdinfo, open_card, shared_folder
from tests.unprivileged import as_nobody
from wattledger.clock import ManualClock
from wattledger.gpu.device_files import LINKS_PER_PROCESS, LINKS_PER_SCAN, DeviceFiles
from wattledger.gpu.drm import ClientInfo, DrmClients, EngineCount, parse_fdinfo
from wattledger.gpu.kfd import parse_node
from wattledger.hostfs import HostFS

S = 10**9
CARD = "0000:03:00.0"


class Host:
    """A host whose processes open and use one card."""

    def __init__(self, root: Path, driver: str = "amdgpu") -> None:
        self.root = root
        self.clock = ManualClock()
        self.driver = driver
        (root / "proc").mkdir()
        self.clients = DrmClients(HostFS.at(str(root)), self.clock, {driver})

    def shows(self, pid: int, descriptor: int, client: int, **keys: str) -> None:
        open_card(self.root, pid, descriptor, fdinfo(client, CARD, self.driver, **keys))

    def busy(self, seconds: float = 5, asleep: tuple[str, ...] = ()) -> dict[int, int]:
        """Busy nanoseconds by process after that time, only those above zero."""
        self.clock.advance(seconds)
        use = self.clients.use(asleep).get(CARD)
        return {pid: ns for pid, ns in use.busy_ns.items() if ns} if use else {}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_the_keys_of_amdgpu() -> None:
    """Engines in nanoseconds; of memory what is resident on the board, in bytes."""
    text = fdinfo(
        7,
        engine_gfx="1500 ns",
        engine_jpeg="20 ns",
        total_vram="90 KiB",
        memory_vram="64 KiB",
        resident_vram="64 KiB",
        memory_gtt="8 MiB",
    )
    assert parse_fdinfo(text.encode()) == ClientInfo(
        driver="amdgpu",
        pci=CARD,
        client_id=7,
        engines={"gfx": EngineCount(1500), "jpeg": EngineCount(20)},
        memory_bytes=64 * 1024,
    )


def test_the_keys_of_i915() -> None:
    """The capacity of a class is not an engine; local memory is the board's."""
    text = fdinfo(
        7,
        driver="i915",
        engine_video="30 ns",
        engine_capacity_video="2",
        engine_video_enhance="4 ns",
        resident_local0="3 MiB",
        resident_system0="9 MiB",
    )
    info = parse_fdinfo(text.encode())
    assert info is not None
    assert info.engines == {"video": EngineCount(30, 0, 2), "video-enhance": EngineCount(4)}
    assert info.memory_bytes == 3 << 20


def test_the_keys_of_xe() -> None:
    """Cycles out of a total; a class whose total is missing says nothing."""
    text = fdinfo(
        7, driver="xe", cycles_rcs="28", total_cycles_rcs="7655", cycles_ccs="3", resident_vram0="2 MiB"
    )
    info = parse_fdinfo(text.encode())
    assert info is not None
    assert info.engines == {"rcs": EngineCount(28, 7655)}
    assert info.memory_bytes == 2 << 20


def test_nanoseconds_go_before_cycles() -> None:
    text = fdinfo(7, engine_gpu="5 ns", cycles_gpu="100", total_cycles_gpu="1000")
    info = parse_fdinfo(text.encode())
    assert info is not None
    assert info.engines == {"gpu": EngineCount(5)}


@pytest.mark.parametrize("key", ["drm-driver", "drm-pdev", "drm-client-id"])
def test_a_client_that_cannot_be_told_from_others_is_none(key: str) -> None:
    """amdgpu before Linux 5.19 has no client ids; without them one use would be counted many times."""
    text = "\n".join(line for line in fdinfo(7, engine_gfx="1 ns").splitlines() if not line.startswith(key))
    assert parse_fdinfo(text.encode()) is None


def test_a_number_that_is_none_is_left_out() -> None:
    text = fdinfo(7, engine_gfx="-5 ns", engine_dma="many ns", engine_dec="8 ns", memory_vram="x KiB")
    info = parse_fdinfo(text.encode())
    assert info is not None
    assert (info.engines, info.memory_bytes) == ({"dec": EngineCount(8)}, 0)


@given(st.binary(max_size=300))
def test_the_parser_takes_any_bytes(data: bytes) -> None:
    """Whatever a file holds, there is a client with sane numbers or none."""
    info = parse_fdinfo(b"drm-driver: x\ndrm-pdev: y\ndrm-client-id: 1\n" + data)
    assert info is None or all(count.busy >= 0 for count in info.engines.values())


def test_use_is_the_difference_over_all_engines(host: Host) -> None:
    """2 s of gfx and 1 s of copying are 3 s of the board's engines."""
    host.shows(100, 5, 1, engine_gfx=f"{10 * S} ns", engine_dma=f"{1 * S} ns")
    host.clients.start()
    host.shows(100, 5, 1, engine_gfx=f"{12 * S} ns", engine_dma=f"{2 * S} ns")
    assert host.busy() == {100: 3 * S}
    assert host.busy() == {}


def test_what_was_used_before_the_start_is_nobodys(host: Host) -> None:
    host.shows(100, 5, 1, engine_gfx=f"{10 * S} ns")
    host.clients.start()
    assert host.busy() == {}


def test_a_duplicated_and_an_inherited_descriptor_count_once(host: Host) -> None:
    """Three descriptors of one client: its use is that of the process found first."""
    for pid, descriptor in ((100, 5), (100, 6), (200, 5)):
        host.shows(pid, descriptor, 1, engine_gfx="0 ns", resident_vram="1 KiB")
    host.clients.start()
    for pid, descriptor in ((100, 5), (100, 6), (200, 5)):
        host.shows(pid, descriptor, 1, engine_gfx=f"{S} ns", resident_vram="1 KiB")
    host.clock.advance(5)
    use = host.clients.use()[CARD]
    assert (use.busy_ns, use.memory_bytes) == ({100: S}, {100: 1024})


def test_what_a_duplicate_holds_counts_once_at_every_look(host: Host) -> None:
    """After half a minute all descriptors are read anew."""
    for descriptor in (5, 6):
        host.shows(100, descriptor, 1, resident_vram="1 KiB")
    host.clients.start()
    for _ in range(3):
        host.clock.advance(20)
        assert host.clients.use()[CARD].memory_bytes == {100: 1024}


def test_two_clients_of_one_process_add_up(host: Host) -> None:
    for client in (1, 2):
        host.shows(100, client, client, engine_gfx="0 ns")
    host.clients.start()
    for client in (1, 2):
        host.shows(100, client, client, engine_gfx=f"{S} ns")
    assert host.busy() == {100: 2 * S}


def test_the_heir_of_a_client_goes_on_where_it_was(host: Host) -> None:
    """The parent closes, the child keeps the descriptor: nothing is counted twice, nothing is lost."""
    host.shows(100, 5, 1, engine_gfx=f"{10 * S} ns")
    host.shows(200, 5, 1, engine_gfx=f"{10 * S} ns")
    host.clients.start()
    shutil.rmtree(host.root / "proc/100")
    host.shows(200, 5, 1, engine_gfx=f"{11 * S} ns")
    assert host.busy() == {200: S}


def test_a_count_that_goes_back_is_held(host: Host) -> None:
    """10 s, 8 s, 11 s: only the second above the highest so far counts."""
    host.shows(100, 5, 1, engine_gfx=f"{10 * S} ns")
    host.clients.start()
    host.shows(100, 5, 1, engine_gfx=f"{8 * S} ns")
    assert host.busy() == {}
    host.shows(100, 5, 1, engine_gfx=f"{11 * S} ns")
    assert host.busy() == {100: S}


def test_an_engine_that_was_unused_until_now_counts_in_full(host: Host) -> None:
    """amdgpu leaves out engines at zero."""
    host.shows(100, 5, 1)
    host.clients.start()
    host.shows(100, 5, 1, engine_compute=f"{2 * S} ns")
    assert host.busy() == {100: 2 * S}


def test_a_new_process_counts_from_its_start(host: Host) -> None:
    host.clients.start()
    host.shows(100, 5, 1, engine_gfx=f"{2 * S} ns")
    assert host.busy() == {100: 2 * S}


def test_a_client_found_late_counts_no_more_than_the_interval(host: Host) -> None:
    """30 s of gfx that nobody saw: 5 s of them may lie in the last 5 s; two video engines hold 10 s."""
    host.clients.start()
    host.shows(100, 5, 1, engine_gfx=f"{30 * S} ns")
    host.shows(200, 5, 2, engine_video=f"{30 * S} ns", engine_capacity_video="2")
    assert host.busy() == {100: 5 * S, 200: 10 * S}
    host.shows(100, 5, 1, engine_gfx=f"{31 * S} ns")
    assert host.busy() == {100: S}


def test_cycles_become_time_by_their_total(tmp_path: Path) -> None:
    """A quarter of the cycles of 8 s are 2 s; the total stands for both engines' time."""
    host = Host(tmp_path, "xe")
    host.shows(100, 5, 1, cycles_rcs="1000", total_cycles_rcs="5000")
    host.clients.start()
    host.shows(100, 5, 1, cycles_rcs="1100", total_cycles_rcs="5400")
    assert host.busy(8) == {100: 2 * S}


def test_cycles_count_from_the_second_look(tmp_path: Path) -> None:
    """The total runs since the card was powered, so the first look at a new client says nothing yet."""
    host = Host(tmp_path, "xe")
    host.clients.start()
    host.shows(100, 5, 1, cycles_ccs="900", total_cycles_ccs="5000")
    assert host.busy() == {}
    host.shows(100, 5, 1, cycles_ccs="950", total_cycles_ccs="5100")
    assert host.busy(4) == {100: 2 * S}


def test_clients_of_a_card_asleep_are_left_alone(host: Host) -> None:
    """xe would wake its card to count; what was used comes with the next look."""
    host.shows(100, 5, 1, engine_gfx="0 ns", resident_vram="4 KiB")
    host.clients.start()
    host.shows(100, 5, 1, engine_gfx=f"{S} ns", resident_vram="4 KiB")
    assert host.busy(asleep=(CARD,)) == {}
    assert host.clients.use((CARD,))[CARD].memory_bytes == {100: 4096}
    assert host.busy() == {100: S}


def test_other_drivers_and_other_files_are_nobody(host: Host) -> None:
    """A card of another vendor, and a descriptor below /dev/dri without any DRM key."""
    open_card(host.root, 100, 5, fdinfo(1, driver="nvidia-drm", engine_gfx="0 ns"))
    open_card(host.root, 100, 6, "pos:\t0\nflags:\t02100002\n")
    host.clients.start()
    open_card(host.root, 100, 5, fdinfo(1, driver="nvidia-drm", engine_gfx=f"{S} ns"))
    host.clock.advance(5)
    assert host.clients.use() == {}


def test_a_reused_descriptor_is_another_client(host: Host) -> None:
    """Client 2 under the number client 1 had starts from its own zero."""
    host.shows(100, 5, 1, engine_gfx=f"{50 * S} ns")
    host.clients.start()
    host.shows(100, 5, 2, engine_gfx=f"{S} ns")
    assert host.busy() == {100: S}


def test_a_descriptor_that_is_no_card_any_more_is_looked_at_again(host: Host) -> None:
    """The process closes its card, opens a file under the number, and the card under another."""
    host.shows(100, 5, 1, engine_gfx="0 ns")
    host.clients.start()
    open_card(host.root, 100, 5, "pos:\t0\n", node="/tmp/file")
    host.shows(100, 6, 2, engine_gfx="0 ns")
    assert host.busy() == {}
    host.shows(100, 6, 2, engine_gfx=f"{S} ns")
    assert host.busy() == {100: S}


def test_a_process_that_opens_the_card_late_is_found(host: Host) -> None:
    """New processes are looked at again after 4, 8 and 16 s."""
    host.clients.start()
    (host.root / "proc/100/fd").mkdir(parents=True)
    assert host.busy(1) == {}
    host.shows(100, 5, 1, engine_gfx=f"{S} ns")
    assert host.busy(3) == {}
    assert host.busy(1) == {100: S}


def test_an_old_process_that_opens_the_card_is_found_within_half_a_minute(host: Host) -> None:
    (host.root / "proc/100/fd").mkdir(parents=True)
    host.clients.start()
    host.shows(100, 5, 1, engine_gfx=f"{S} ns")
    assert sum(sum(host.busy(5).values()) for _ in range(6)) == S


def test_a_closed_client_is_forgotten(host: Host) -> None:
    """When the driver is loaded anew, client ids start again: the same id is another client."""
    host.shows(100, 5, 1, engine_gfx=f"{50 * S} ns")
    host.clients.start()
    close_card(host.root, 100, 5)
    assert host.busy() == {}
    host.shows(100, 5, 1, engine_gfx=f"{S} ns")
    assert host.busy(30) == {100: S}


def test_processes_are_listed_only_if_one_was_born(host: Host) -> None:
    """The newest pid in loadavg stands still: a process that is nevertheless there goes unseen."""
    (host.root / "proc/loadavg").write_text("0.00 0.01 0.05 1/100 99\n")
    host.clients.start()
    host.busy()
    host.shows(100, 5, 1, engine_gfx=f"{S} ns")
    assert host.busy() == {}
    (host.root / "proc/loadavg").write_text("0.00 0.01 0.05 1/100 100\n")
    assert host.busy() == {100: S}


def test_a_scan_reads_a_bounded_number_of_links(tmp_path: Path) -> None:
    """Processes with 100 links each, all new: some are looked at now, the rest at later scans, all once."""
    files = DeviceFiles(HostFS.at(str(tmp_path)), ManualClock())
    files.start()
    for pid in range(1, 13):
        folder = tmp_path / f"proc/{pid}/fd"
        folder.mkdir(parents=True)
        for descriptor in range(100):
            (folder / str(descriptor)).symlink_to("/dev/null")
    looks = [sorted(files.scan()) for _ in range(4)]
    assert max(map(len, looks)) <= LINKS_PER_SCAN // 100 + 1
    assert sorted(pid for look in looks for pid in look) == list(range(1, 13))


def test_looks_at_a_new_process_become_rare(tmp_path: Path) -> None:
    """When it is found, and 4, 8, 16 and 30 s after the look before."""
    clock = ManualClock()
    files = DeviceFiles(HostFS.at(str(tmp_path)), clock)
    files.start()
    (tmp_path / "proc/1/fd").mkdir(parents=True)
    looks = []
    for second in range(60):
        if 1 in files.scan():
            looks.append(second)
        clock.advance(1)
    assert looks == [0, 4, 12, 28, 58]


def test_a_process_to_be_looked_at_again_is_looked_at_once(tmp_path: Path) -> None:
    """Two descriptors that changed ask twice; half a minute runs from that look."""
    (tmp_path / "proc/1/fd").mkdir(parents=True)
    clock = ManualClock()
    files = DeviceFiles(HostFS.at(str(tmp_path)), clock)
    files.start()
    clock.advance(5)
    files.recheck(1)
    files.recheck(1)
    assert list(files.scan()) == [1]
    clock.advance(26)
    assert list(files.scan()) == []
    clock.advance(4)
    assert list(files.scan()) == [1]


def test_a_process_with_very_many_files_is_looked_at_in_part(tmp_path: Path) -> None:
    folder = tmp_path / "proc/1/fd"
    folder.mkdir(parents=True)
    for descriptor in range(LINKS_PER_PROCESS + 500):
        (folder / str(descriptor)).symlink_to("/dev/dri/card0")
    files = DeviceFiles(HostFS.at(str(tmp_path)), ManualClock())
    files.start()
    assert len(files.open_files[1]) == LINKS_PER_PROCESS


def test_the_processes_of_this_machine_are_all_looked_at() -> None:
    """On a real /proc, and without taking a file of this process for a card."""
    clock = ManualClock()
    files = DeviceFiles(HostFS(), clock)
    files.start()
    clock.advance(40)
    looked = {pid for _ in range(200) for pid in files.scan()}
    assert os.getpid() in looked
    assert os.getpid() not in files.open_files


def test_a_process_that_cannot_be_looked_into_is_one_finding() -> None:
    """Two processes of another user: one finding with the fix, the third process is seen."""
    with shared_folder() as folder:
        host = Host(folder)
        host.shows(100, 5, 1)
        for pid in (200, 300):
            host.shows(pid, 5, pid)
            (folder / f"proc/{pid}/fd").chmod(0o700)

        def look() -> tuple[list[str], list[str], list[int]]:
            host.clients.start()
            findings = host.clients.findings("amdgpu")
            pids = sorted(host.clients.use()[CARD].memory_bytes)
            return [finding.why for finding in findings], [finding.fix for finding in findings], pids

        whys, fixes, pids = as_nobody(look)
    assert pids == [100]
    assert len(whys) == 1
    assert whys[0].startswith("2 processes cannot be looked into")
    assert "AmbientCapabilities=CAP_SYS_PTRACE" in fixes[0]


def test_nothing_is_found_wanting_where_all_can_be_read(host: Host) -> None:
    host.shows(100, 5, 1)
    host.clients.start()
    assert host.clients.findings("amdgpu") == []


def properties(**values: int) -> str:
    return "".join(f"{name} {value}\n" for name, value in values.items())


@pytest.mark.parametrize(
    ("location", "domain", "pci"),
    [
        (0x4300, 0, "0000:43:00.0"),
        (0x03FB, 1, "0001:03:1f.3"),
        (2 << 28 | 0x0500, 0, "0000:05:00.0"),
    ],
)
def test_a_kfd_node_is_at_a_pci_address(location: int, domain: int, pci: str) -> None:
    """Bus, device and function; the partition's number in the upper bits is none of them."""
    node = parse_node("7", properties(simd_count=416, simd_per_cu=4, location_id=location, domain=domain))
    assert node is not None
    assert (node.pci, node.compute_units, node.with_cpu) == (pci, 104, False)


@pytest.mark.parametrize(
    ("gpu_id", "text"),
    [("0", properties(cpu_cores_count=64)), ("12", ""), ("12", "simd_count many\n"), ("", "simd_count 4\n")],
)
def test_what_is_no_gpu_is_no_node(gpu_id: str, text: str) -> None:
    assert parse_node(gpu_id, text) is None


def test_the_sum_of_shares_is_what_the_clients_counted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whatever the counts do, over time no client is credited more than its highest count."""

    @given(st.lists(st.integers(0, 20), min_size=1, max_size=8))
    def check(seconds: list[int]) -> None:
        host = Host(tmp_path_factory.mktemp("host"))
        host.shows(100, 5, 1, engine_gfx="0 ns")
        host.clients.start()
        credited = 0
        for count in seconds:
            host.shows(100, 5, 1, engine_gfx=f"{count * S} ns")
            credited += sum(host.busy().values())
        assert credited == max(seconds) * S

    run: Callable[[], None] = check
    run()
