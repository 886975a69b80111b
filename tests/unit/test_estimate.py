"""CPU energy from utilisation, and the curve it is taken from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from tests.host_copies import HOSTS, copy_host
from wattledger.clock import ManualClock
from wattledger.errors import SettingsError
from wattledger.hostfs import HostFS
from wattledger.sensors.cpu_curves import CpuCurve, CpuCurves
from wattledger.sensors.cpu_identity import identify
from wattledger.sensors.estimate import Estimate
from wattledger.settings import EstimateSettings

ROUND = EstimateSettings(idle_watts=1.0, max_watts=10.0)
"""1 W idle, 3 W at 10 %, 7.3 W at 50 % and 10 W busy, per logical CPU, whatever the row."""


class Host:
    """A host of `cpus` logical CPUs whose CPU times a test sets."""

    def __init__(self, root: Path, cpus: int = 4, settings: EstimateSettings = ROUND) -> None:
        self.root = root
        self.cpus = cpus
        self.busy_s = 0.0
        self.fields = dict.fromkeys(
            ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"), 0
        )
        (root / "proc").mkdir(parents=True, exist_ok=True)
        self.write()
        self.clock = ManualClock()
        self.sensor = Estimate(HostFS.at(str(root)), self.clock, settings)

    def write(self, tail: str = "intr 1 2 3\nctxt 4\nprocesses 5\n") -> None:
        times = " ".join(str(value) for value in self.fields.values())
        lines = [f"cpu  {times}"] + [f"cpu{cpu} {times}" for cpu in range(self.cpus)]
        (self.root / "proc/stat").write_text("\n".join(lines) + "\n" + tail)

    def pass_time(self, seconds: float, **spent: float) -> None:
        """Let `seconds` pass in which the CPUs together spent so many seconds in each state."""
        for state, cpu_seconds in spent.items():
            self.fields[state] += round(cpu_seconds * 100)
        self.write()
        self.clock.advance(seconds)

    def energy_j(self) -> float:
        (reading,) = self.sensor.read()
        assert reading.raw_uj is not None
        return reading.raw_uj / 1e6


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    host.sensor.probe()
    host.sensor.read()
    return host


def test_idle_draws_idle_watts(host: Host) -> None:
    """4 CPUs of 1 W for 10 s are 40 J."""
    host.pass_time(10, idle=40)
    assert host.energy_j() == 40


def test_busy_draws_max_watts(host: Host) -> None:
    """4 CPUs of 10 W for 10 s are 400 J."""
    host.pass_time(10, user=40)
    assert host.energy_j() == 400


def test_half_busy_draws_the_halfway_point(host: Host) -> None:
    """4 CPUs of 7.3 W for 10 s are 292 J."""
    host.pass_time(10, user=20)
    assert host.energy_j() == pytest.approx(292, abs=0.1)


def test_every_kind_of_work_is_busy_and_nothing_else(host: Host) -> None:
    """4 s each of user, nice, system, irq and softirq are half of 40 s; waiting and stolen time are not.

    Guest time is inside user and must not count again.
    """
    host.pass_time(10, user=4, nice=4, system=4, irq=4, softirq=4, guest=4, iowait=9, steal=9, idle=2)
    assert host.energy_j() == pytest.approx(292, abs=0.1)


def test_energy_adds_up_over_uneven_reads(host: Host) -> None:
    """1 s idle, 3 s busy and 6 s idle: 4 + 120 + 24 J."""
    for seconds, busy in ((1, 0), (3, 12), (6, 0)):
        host.pass_time(seconds, user=busy)
        host.sensor.read()
    assert host.energy_j() == 148


def test_sleep_adds_no_energy(host: Host) -> None:
    host.clock.suspend(3600)
    host.pass_time(10, idle=40)
    assert host.energy_j() == 40


def test_a_cpu_that_comes_online_counts_from_the_next_read(host: Host) -> None:
    """8 CPUs of 1 W for 10 s are 80 J."""
    host.cpus = 8
    host.pass_time(10, idle=80)
    assert host.energy_j() == 80


def test_more_busy_time_than_time_is_full_load(host: Host) -> None:
    """Tick accounting may be ahead by a tick or two; the curve ends at 100 %."""
    host.pass_time(1, user=5)
    assert host.energy_j() == 40


def test_busy_time_that_runs_backwards_counts_as_none(host: Host) -> None:
    host.pass_time(1, user=4)
    assert host.energy_j() == 40
    host.pass_time(1, user=-1)
    assert host.energy_j() == 44


def test_a_read_too_soon_repeats_the_value_and_loses_nothing(host: Host) -> None:
    """99 ms after the last read the value stands still; the next one spans both."""
    host.pass_time(0.099)
    assert host.energy_j() == 0
    host.pass_time(9.901, user=40)
    assert host.energy_j() == 400


def test_a_failed_read_has_no_value_and_the_next_one_spans_it(host: Host) -> None:
    host.pass_time(5, user=20)
    (host.root / "proc/stat").rename(host.root / "proc/away")
    (failed,) = host.sensor.read()
    assert (failed.raw_uj, failed.failure) == (None, "enoent")
    (host.root / "proc/stat").write_text("nonsense\n")
    assert host.sensor.read()[0].failure == "parse"
    host.pass_time(5, user=20)
    assert host.energy_j() == 400


def test_a_very_large_host_is_read_whole(tmp_path: Path) -> None:
    """1,024 CPUs and a long interrupt line do not fit one small buffer."""
    host = Host(tmp_path, cpus=1024)
    host.sensor.probe()
    host.sensor.read()
    host.write(tail="intr " + "0 " * 50_000 + "\n")
    host.clock.advance(10)
    assert host.energy_j() == 10_240


def test_the_lineage_belongs_to_the_process(tmp_path: Path) -> None:
    lineages = []
    for _ in range(2):
        host = Host(tmp_path)
        host.sensor.probe()
        lineages.append(host.sensor.read()[0].lineage)
        host.sensor.probe()
        assert host.sensor.read()[0].lineage == lineages[-1]
    assert lineages[0] != lineages[1]


def test_the_zone_says_it_is_an_estimate(host: Host) -> None:
    (zone,) = host.sensor.probe().zones
    assert zone.key == ("estimate", "cpu", "estimate")
    assert (zone.covers, zone.method, zone.idle_power_w) == ("cpu", "estimated", 4.0)
    assert zone.max_power_w >= 40


def test_no_stat_is_a_finding_and_no_zone(tmp_path: Path) -> None:
    sensor = Estimate(HostFS.at(str(tmp_path)), ManualClock(), EstimateSettings())
    probe = sensor.probe()
    assert (probe.zones, probe.findings[0].status) == ((), "failed")
    assert list(sensor.read()) == []


@pytest.mark.parametrize(
    ("name", "row", "uncertainty_ratio", "idle_power_w", "because"),
    [
        ("vm-sapphire-rapids", "sapphire-rapids", 0.3, 4 * 1.036, "flag amx_tile and 107520 KiB of cache"),
        ("vm-unknown", "unknown", 0.5, 2 * 0.740, "QEMU Virtual CPU"),
        ("arm-graviton", "neoverse-v1", 0.5, 4 * 0.474, "implementer 0x41 part 0xd40"),
        ("hwmon-acpi", "cascade-lake", 0.3, 4 * 0.690, "brand string"),
        ("hwmon-jetson", "unknown-arm", 0.5, 4 * 0.474, "part 0xd42"),
    ],
)
def test_the_row_is_chosen_by_what_the_cpu_says(
    name: str, row: str, uncertainty_ratio: float, idle_power_w: float, because: str
) -> None:
    sensor = Estimate(HostFS.at(str(HOSTS / name)), ManualClock(), EstimateSettings())
    probe = sensor.probe()
    (zone,) = probe.zones
    assert zone.uncertainty_ratio == uncertainty_ratio
    assert zone.idle_power_w == pytest.approx(idle_power_w)
    (finding,) = probe.findings
    assert finding.status == "usable"
    assert "estimated" in finding.why
    assert f"row {row} " in finding.why
    assert because in finding.why


def test_the_configured_row_goes_before_the_detected_one() -> None:
    settings = EstimateSettings(microarchitecture="EPYC 3rd Gen")
    sensor = Estimate(HostFS.at(str(HOSTS / "vm-sapphire-rapids")), ManualClock(), settings)
    assert "row epyc-3rd-gen " in sensor.probe().findings[0].why


def test_an_unreadable_cpuinfo_is_the_average_row(tmp_path: Path) -> None:
    root = copy_host("vm-sapphire-rapids", tmp_path)
    (root / "proc/cpuinfo").unlink()
    sensor = Estimate(HostFS.at(str(root)), ManualClock(), EstimateSettings())
    assert "row unknown " in sensor.probe().findings[0].why
    assert "cpuinfo cannot be read (enoent)" in sensor.probe().findings[0].why


def test_ends_of_the_user_make_an_unknown_cpu_less_uncertain() -> None:
    sensor = Estimate(HostFS.at(str(HOSTS / "vm-unknown")), ManualClock(), ROUND)
    (zone,) = sensor.probe().zones
    assert (zone.uncertainty_ratio, zone.idle_power_w) == (0.3, 2.0)


def test_an_unknown_microarchitecture_names_the_nearest() -> None:
    settings = EstimateSettings(microarchitecture="saphire-rapids")
    with pytest.raises(SettingsError, match=r"sensors\.estimate\.microarchitecture.*'sapphire-rapids'"):
        Estimate(HostFS(), ManualClock(), settings)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (EstimateSettings(idle_watts=-1), "idle_watts"),
        (EstimateSettings(max_watts=0), "max_watts"),
        (EstimateSettings(max_watts=float("nan")), "max_watts"),
        (EstimateSettings(idle_watts=3, max_watts=2), "idle_watts"),
    ],
)
def test_impossible_watts_name_their_key(settings: EstimateSettings, key: str) -> None:
    with pytest.raises(SettingsError, match=rf"^sensors\.estimate\.{key}: "):
        Estimate(HostFS(), ManualClock(), settings)


def test_every_row_is_the_standard_shape_between_its_ends() -> None:
    """2/9 of the way from idle to max at 10 %, 7/10 at 50 %, within the table's milliwatts."""
    rows = list(CpuCurves())
    assert len(rows) > 15
    for row in rows:
        span = row.max_watts - row.idle_watts
        assert span > 0
        assert row.watts[1] == pytest.approx(row.idle_watts + span * 2 / 9, abs=0.0011)
        assert row.watts[2] == pytest.approx(row.idle_watts + span * 7 / 10, abs=0.0011)


def test_product_names_mean_their_core() -> None:
    curves = CpuCurves()
    assert curves.named("Graviton3").microarchitecture == "neoverse-v1"
    assert curves.named("milan") == curves["epyc-3rd-gen"]
    assert curves.named("Sapphire_Rapids") == curves["sapphire-rapids"]


CURVE = CpuCurve("test", (1.0, 3.0, 7.0, 10.0), 0.3, "")


@pytest.mark.parametrize(
    ("utilisation", "watts"),
    [(-1, 1), (0, 1), (0.05, 2), (0.1, 3), (0.3, 5), (0.5, 7), (0.75, 8.5), (1, 10), (2, 10)],
)
def test_the_curve_is_straight_between_its_points(utilisation: float, watts: float) -> None:
    assert CURVE.at(utilisation) == pytest.approx(watts)


@pytest.mark.parametrize(
    ("idle_watts", "max_watts", "watts"),
    [
        (None, None, (1, 3, 7, 10)),
        (2, 20, (2, 6, 14, 20)),
        (None, 19, (1, 5, 13, 19)),
        (5.5, None, (5.5, 6.5, 8.5, 10)),
        (12, None, (12, 12, 12, 12)),
        (None, 0.5, (0.5, 0.5, 0.5, 0.5)),
        (0, 9, (0, 2, 6, 9)),
    ],
)
def test_other_ends_keep_the_shape(
    idle_watts: float | None, max_watts: float | None, watts: tuple[float, ...]
) -> None:
    assert CURVE.with_ends(idle_watts, max_watts).watts == pytest.approx(watts)


def cpuinfo(**facts: object) -> str:
    return (
        "".join(f"{key.replace('_', ' ')}\t: {value}\n" for key, value in facts.items())
        + "\nprocessor\t: 1\n"
    )


def intel(model: int, stepping: int = 1, brand: str = "", flags: str = "", cache: str = "0 KB") -> str:
    text = cpuinfo(
        cpu_family=6, model=model, model_name=brand, stepping=stepping, cache_size=cache, flags=flags
    )
    return "vendor_id\t: GenuineIntel\n" + text


def amd(family: int, model: int, brand: str = "", flags: str = "") -> str:
    return "vendor_id\t: AuthenticAMD\n" + cpuinfo(
        cpu_family=family, model=model, model_name=brand, flags=flags
    )


@pytest.mark.parametrize(
    ("text", "row"),
    [
        (intel(0x55, 4), "skylake"),
        (intel(0x55, 7), "cascade-lake"),
        (intel(0x55, 11), "cooper-lake"),
        (intel(0x6A), "ice-lake"),
        (intel(0xCF), "emerald-rapids"),
        (intel(6, brand="Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz"), "ice-lake"),
        (intel(6, brand="Intel(R) Xeon(R) Platinum 8124M CPU @ 3.00GHz"), "skylake"),
        (intel(6, brand="Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz"), "cascade-lake"),
        (intel(6, brand="Intel(R) Xeon(R) Platinum 8380H CPU @ 2.90GHz"), "cooper-lake"),
        (intel(6, brand="Intel(R) Xeon(R) Platinum 8488C"), "sapphire-rapids"),
        (intel(6, brand="Intel(R) Xeon(R) 6972P"), "granite-rapids"),
        (intel(6, brand="Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz"), "broadwell"),
        (intel(6, brand="Intel(R) Xeon(R) CPU E5-2670 0 @ 2.60GHz"), "sandy-bridge"),
        (intel(6, brand="Intel Xeon Processor (Skylake, IBRS)"), "skylake"),
        (intel(6, flags="avx avx2 adx avx512f avx512_vnni"), "cascade-lake"),
        (intel(6, flags="avx avx2"), "haswell"),
        (intel(6, flags="avx avx2 adx avx_vnni"), "unknown"),
        (intel(6, flags="amx_tile", cache="327680 KB"), "emerald-rapids"),
        (intel(167, flags="avx512f amx_tile", cache="491520 KB"), "granite-rapids"),
        (intel(167, flags="avx512f"), "coffee-lake"),
        (intel(0xAF), "unknown"),
        (amd(23, 1), "epyc-1st-gen"),
        (amd(23, 49), "epyc-2nd-gen"),
        (amd(25, 1), "epyc-3rd-gen"),
        (amd(25, 17), "epyc-4th-gen"),
        (amd(25, 0xA0), "epyc-4th-gen"),
        (amd(26, 2), "epyc-5th-gen"),
        (amd(15, 107, brand="AMD EPYC 7R13 Processor"), "epyc-3rd-gen"),
        (amd(15, 107, brand="AMD EPYC 9R14"), "epyc-4th-gen"),
        (amd(15, 107, brand="AMD EPYC-Rome Processor"), "epyc-2nd-gen"),
        (amd(15, 107, flags="avx2 clwb vaes"), "epyc-3rd-gen"),
        (cpuinfo(CPU_implementer="0x41", CPU_part="0xd0c"), "neoverse-n1"),
        (cpuinfo(CPU_implementer="0xc0", CPU_part="0xac3"), "unknown-arm"),
        (cpuinfo(cpu="POWER9, altivec supported"), "unknown"),
        ("", "unknown"),
    ],
)
def test_cpus_are_told_apart(text: str, row: str) -> None:
    identity = identify(text)
    assert identity.microarchitecture == row
    assert identity.why
    assert CpuCurves()[row]


def test_the_table_names_its_sources() -> None:
    """The table is a resource of the package; its header carries what its licence asks for."""
    table = resources.files("wattledger.sensors").joinpath("cpu_curves.csv").read_text("utf-8")
    header = "\n".join(line for line in table.splitlines() if line.startswith("#"))
    for needed in ("Cloud Carbon Footprint", "2026-04", "SPECpower", "Apache-2.0", "Teads"):
        assert needed in header
