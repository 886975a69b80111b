"""The agent on this machine as it is: no configuration, real containers, a real Prometheus.

Three podman containers burn 1, 1/4 and 1/20 of a core; a plain cgroup runs 200 short processes a second.
What PromQL says of 24 s of this is compared with CPU times the agent had no part in: the scheduler's
own count of each container's process, and rusage of the short-lived ones.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess, Scrape
from tests.podman_containers import Podman, needs_podman
from tests.prometheus_server import PrometheusServer, needs_prometheus, scrape_config
from tests.short_lived import ShortLived
from wattledger.hostfs import HostFS
from wattledger.workloads.hierarchy import find_hierarchy

WINDOW_S = 24  # and up to one scrape
SCRAPE_INTERVAL = "1500ms"  # longer than a snapshot is fresh: each scrape shows the moment it is made
BURN = "while :; do :; done"
WORLD_AVERAGE_G_PER_KWH = 473

ENERGY = "wattledger_workload_energy_joules_total"
EMISSIONS = "wattledger_workload_emissions_grams_total"
EXPIRED = "wattledger_workload_expired_energy_joules"
NODE = "wattledger_node_energy_joules_total"
NODE_EMISSIONS = "wattledger_node_emissions_grams_total"

CPUS = sorted(os.sched_getaffinity(0))

pytestmark = [
    pytest.mark.e2e,
    needs_prometheus,
    needs_podman,
    pytest.mark.skipif(len(CPUS) < 2, reason="one core and a quarter need two CPUs"),
]


@dataclass(frozen=True, kw_only=True)
class Run:
    """The steady part of the run: who burned how much, and where to ask what the agent made of it.

    It lies between two scrapes, the latter at `at`; `window` is its length as PromQL writes it.
    `cpu_s` is the true CPU time within the window by workload id, `host_cpu_s` that of the whole machine.
    """

    agent: AgentProcess
    prometheus: PrometheusServer
    at: float
    seconds: float
    one_core: str
    quarter: str
    bystander: str
    short_lived: str
    cpu_s: dict[str, float]
    host_cpu_s: float
    processes: int

    @property
    def window(self) -> str:
        return f"{round(self.seconds * 1000) + 100}ms"  # a little more, to hold the scrapes at both ends

    def value(self, expression: str) -> float:
        return self.prometheus.value(expression, self.at)

    def by(self, label: str, expression: str) -> dict[str, float]:
        return self.prometheus.by(label, expression, self.at)

    def dynamic_j(self, component: str) -> dict[str, float]:
        """Dynamic energy within the window by workload id, what is not the burners' under "rest".

        The total is taken from the node: increase() misses what a series has when it is born.
        """
        mine = f'component="{component}",mode="dynamic",id=~"{"|".join(self.cpu_s)}"'
        found = self.by("id", f"sum by (id) (increase({ENERGY}{{{mine}}}[{self.window}]))")
        node = f'increase({NODE}{{component="{component}"}}[{self.window}])'
        idle = f'sum(increase({ENERGY}{{component="{component}",mode!="dynamic"}}[{self.window}]))'
        total_j = self.value(f"{node} - on () ({idle} or vector(0))")
        return found | {"rest": total_j - sum(found.values())}

    def split_components(self) -> list[str]:
        """The components whose dynamic energy goes by CPU time."""
        return [name for name in self.by("component", NODE) if name in ("cpu", "dram", "other")]


@pytest.fixture(scope="module")
def podman():
    with Podman() as podman:
        yield podman


@pytest.fixture(scope="module")
def run(podman, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with ExitStack() as stack:
        agent = stack.enter_context(AgentProcess(folder=folder))
        scrapes = [scrape_config(agent.address, interval=SCRAPE_INTERVAL)]
        prometheus = stack.enter_context(PrometheusServer(folder, scrape_configs=scrapes))
        load = stack.enter_context(ShortLived(f"wattledger-test-{os.getpid()}", per_second=200, cpu=CPUS[1]))
        apart = [f"--cpuset-cpus={cpu}" for cpu in CPUS[:2]]
        containers = [
            podman.run(BURN, "--cpus=1", apart[0]),
            podman.run(BURN, "--cpus=0.25", apart[1]),
            podman.run(BURN, "--cpus=0.05", apart[1]),
        ]
        for container in containers:
            stack.callback(podman.remove, container)
        podman.favour()
        ids = [*(container.id for container in containers), load.path]
        seen = f'{ENERGY}{{component="cpu",mode="dynamic",id=~"{"|".join(ids)}"}}'
        prometheus.wait_for(f"count(count_over_time({seen}[1m]) >= 3) == {len(ids)}")

        def truth():
            work = load.read()
            return work.processes, _host_cpu_s(), [*(each.cpu_s for each in containers), work.cpu_s]

        start = _next_scrape(prometheus)
        before = truth()
        time.sleep(WINDOW_S)
        end = _next_scrape(prometheus)
        after = truth()
        yield Run(
            agent=agent,
            prometheus=prometheus,
            at=end,
            seconds=end - start,
            one_core=ids[0],
            quarter=ids[1],
            bystander=ids[2],
            short_lived=ids[3],
            cpu_s={ident: late - early for ident, early, late in zip(ids, before[2], after[2], strict=True)},
            host_cpu_s=after[1] - before[1],
            processes=after[0] - before[0],
        )


def _next_scrape(prometheus: PrometheusServer) -> float:
    """Wait for the next scrape and return when it was, as soon as it is there."""
    latest = "timestamp(wattledger_build_info)"
    return prometheus.wait_for(f"{latest} > {prometheus.value(latest)}")[0].value


def _host_cpu_s() -> float:
    """CPU time of the machine since boot: of the root cgroup where that is exact, else by /proc/stat."""
    hierarchy = find_hierarchy(HostFS())
    if hierarchy is not None and hierarchy.exact_total:
        return hierarchy.usage_ns(Path(hierarchy.root, hierarchy.usage_file).read_bytes()) / 1e9
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def test_the_machine_ran_what_was_asked_of_it(run):
    """Else nothing below means anything: one core, a quarter, 200 processes a second."""
    assert run.cpu_s[run.one_core] / run.seconds == pytest.approx(1, rel=0.1)
    assert run.cpu_s[run.quarter] / run.seconds == pytest.approx(0.25, rel=0.05)
    assert run.processes / run.seconds == pytest.approx(200, rel=0.05)


def test_workload_energy_sums_to_node_energy(run):
    """Per component, for joules and for grams, in every scrape of the window."""
    for workloads, node, expired in (
        (ENERGY, NODE, EXPIRED),
        (EMISSIONS, NODE_EMISSIONS, EXPIRED.replace("energy_joules", "emissions_grams")),
    ):
        total = f"sum by (component) ({workloads}) + sum by (component) ({expired})"
        gap = f"max_over_time(abs({total} - sum by (component) ({node}))[{run.window}:{SCRAPE_INTERVAL}])"
        gaps = run.by("component", gap)
        print(gaps)
        assert gaps.keys() == run.by("component", f"{node} > 0").keys()
        assert max(gaps.values()) < 1e-6


def test_rates_of_workloads_sum_to_the_nodes_rate(run):
    """increase() over all workloads is increase() over the node, apart from what newcomers came with."""
    by = "sum by (component)"
    born = f"{by} ({ENERGY} unless {ENERGY} offset {round(run.seconds * 1000)}ms)"
    newcomers = run.by("component", f"{born} or {by} (0 * {NODE})")
    node = run.by("component", f"increase({NODE}[{run.window}])")
    # What is held for names that are not known yet is a gauge, and not yet or no more any workload's.
    held = f"{by} (delta({EXPIRED}[{run.window}]))"
    workloads = run.by("component", f"{by} (increase({ENERGY}[{run.window}])) + {held}")
    assert workloads.keys() == node.keys()
    for component, energy_j in node.items():
        assert energy_j > 0
        slack_j = 2 * newcomers[component]
        print(
            f"{component}: {workloads[component]:.4f} J of {energy_j:.4f} J, newcomers {newcomers[component]}"
        )
        assert workloads[component] == pytest.approx(energy_j, abs=energy_j * 0.001 + slack_j), component


def test_no_counter_ever_goes_down(run):
    """Over the whole window."""
    counters = run.by("__name__", 'count by (__name__) ({__name__=~"wattledger_.+_total"})')
    assert {ENERGY, NODE, EMISSIONS, NODE_EMISSIONS} < counters.keys()
    for name in counters:
        assert run.value(f"max(resets({name}[{run.window}]))") == 0, name


def test_containers_are_found_under_their_full_ids(run):
    """All were started after the agent."""
    containers = [run.one_core, run.quarter, run.bystander]
    assert all(len(ident) == 64 for ident in containers)
    for ident in containers:
        info = run.prometheus.query(f'wattledger_workload_info{{id="{ident}"}}', run.at)
        assert [(each.labels["kind"], each.labels["runtime"]) for each in info] == [("container", "podman")]


def test_one_core_and_a_quarter_are_charged_4_to_1(run):
    """The ratio of energies is that of the CPU times, in every component that goes by CPU time."""
    for component in run.split_components():
        energy_j = run.dynamic_j(component)
        ratio = energy_j[run.one_core] / energy_j[run.quarter]
        print(f"{component}: {ratio:.4f} to 1")
        assert ratio == pytest.approx(run.cpu_s[run.one_core] / run.cpu_s[run.quarter], rel=0.05)
        assert ratio == pytest.approx(4, rel=0.1)


def test_short_lived_work_lands_on_its_own_cgroup_and_nowhere_else(run):
    """Every share of the dynamic energy is the share of CPU time: of the burners, the bystander, the rest."""
    rest_s = run.host_cpu_s - sum(run.cpu_s.values())
    for component in run.split_components():
        energy_j = run.dynamic_j(component)
        total_j = sum(energy_j.values())
        for ident, cpu_s in run.cpu_s.items():
            share, true_share = energy_j[ident] / total_j, cpu_s / run.host_cpu_s
            print(f"{component} {ident[:24]}: {share:.4f} of energy, {true_share:.4f} of CPU time")
            assert share == pytest.approx(true_share, rel=0.05)
        share, true_share = energy_j["rest"] / total_j, rest_s / run.host_cpu_s
        print(f"{component} rest: {share:.4f} of energy, {true_share:.4f} of CPU time")
        # The rest comes in bursts, and a second of CPU time costs less in a busy interval than in a calm one.
        assert share == pytest.approx(true_share, abs=0.02)


def test_short_lived_work_is_one_plain_cgroup(run):
    """Of 4,800 processes there is one workload, and it has all of their CPU time."""
    mine = f'wattledger_workload_info{{kind="cgroup",id=~"{run.short_lived}.*"}}'
    assert [sample.labels["id"] for sample in run.prometheus.query(mine, run.at)] == [run.short_lived]
    cpu_s = run.value(
        f'increase(wattledger_workload_cpu_seconds_total{{id="{run.short_lived}"}}[{run.window}])'
    )
    # On a machine that is overloaded besides, a scrape may show the snapshot before: one in sixteen.
    assert cpu_s == pytest.approx(run.cpu_s[run.short_lived], rel=0.1)


def test_every_joule_is_priced_with_the_world_average(run):
    """473 g/kWh are 473 / 3.6e6 grams a joule; that it is a fallback shows."""
    grams_per_joule = WORLD_AVERAGE_G_PER_KWH / 3.6e6
    assert run.by("component", f"{NODE_EMISSIONS} / {NODE}") == pytest.approx(
        dict.fromkeys(run.by("component", NODE), grams_per_joule)
    )
    per_joule = f'{EMISSIONS}{{id=~".{{64}}"}} / {ENERGY}'
    assert [sample.value for sample in run.prometheus.query(per_joule, run.at)] == pytest.approx(
        [grams_per_joule] * int(run.value(f"count({per_joule})"))
    )
    assert run.value("wattledger_grid_carbon_intensity_grams_per_kilowatt_hour") == WORLD_AVERAGE_G_PER_KWH
    assert run.value("wattledger_grid_carbon_intensity_fallback") == 1


def test_cpu_energy_is_measured_where_there_is_a_meter_and_else_estimated(run):
    """And says so, with an uncertainty."""
    meters = ("class/powercap/intel-rapl:0/energy_uj", "bus/event_source/devices/power/events")
    has_meter = any(Path("/sys", path).exists() for path in meters) or any(
        Path("/sys/class/hwmon").glob("hwmon*/energy1_input")
    )
    info = run.prometheus.query('wattledger_sensor_info{covers="cpu"}', run.at)
    assert {each.labels["method"] for each in info} == {"measured" if has_meter else "estimated"}
    doubt = run.value(
        "max(wattledger_sensor_uncertainty_ratio * on (sensor, zone_name, device) "
        'wattledger_sensor_info{covers="cpu"})'
    )
    assert doubt <= 0.1 if has_meter else doubt >= 0.2
    assert (
        run.value(
            'min(wattledger_sensor_up * on (sensor, zone_name, device) wattledger_sensor_info{covers="cpu"})'
        )
        == 1
    )


def test_the_page_passes_promtool_and_the_strict_parser(run):
    """In both formats."""
    page = run.agent.get("/metrics").body
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    strict = run.agent.scrape(openmetrics=True)
    assert strict.sum(NODE) > 0
    assert strict.select(ENERGY, id=run.quarter)


def test_two_scrapers_see_the_same_values(run):
    """Eight at once: whoever gets the same snapshot gets the same bytes."""
    pages: list[bytes] = []

    def scrape() -> None:
        for _ in range(5):
            pages.append(run.agent.get("/metrics").body)

    scrapers = [threading.Thread(target=scrape) for _ in range(8)]
    for scraper in scrapers:
        scraper.start()
    for scraper in scrapers:
        scraper.join()
    ticks = [Scrape.of_text(page.decode()).value("wattledger_sampler_ticks_total") for page in pages]
    assert len(ticks) == 40
    assert len(set(pages)) == len(set(ticks)) < 40


def test_a_removed_container_leaves_after_its_grace(podman, tmp_path):
    """Its joules are then in the gauge of what expired, and the balance holds in every scrape."""
    settings = tmp_path / "wattledger.yml"
    settings.write_text("sampling: {interval: 1s}\nattribution: {grace: 2s}\n")
    with AgentProcess(f"--config.file={settings}", folder=tmp_path) as agent:
        container = podman.run(BURN, "--cpus=0.1")
        last_uj: dict[tuple[str, str], int] = {}
        removed = False
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            scrape = agent.scrape()
            shown_uj = _by_workload(scrape)
            assert sum(shown_uj.values()) + scrape.sum_uj(EXPIRED) == scrape.sum_uj(NODE)
            last_uj |= shown_uj
            gone_uj = sum(uj for key, uj in last_uj.items() if key not in shown_uj)
            assert scrape.sum_uj(EXPIRED) >= gone_uj  # more where others came and went unseen
            key = ("container", container.id)
            if not removed and shown_uj.get(key, 0) > 0:
                podman.remove(container)
                removed = True
            elif removed and key not in shown_uj:
                break
            time.sleep(0.2)
        assert removed
        assert key not in shown_uj
        assert gone_uj >= last_uj[key] > 0


def _by_workload(scrape: Scrape) -> dict[tuple[str, str], int]:
    """Energy in microjoules by (kind, id), over components and modes."""
    found: dict[tuple[str, str], int] = {}
    for series, value in scrape.select(ENERGY).items():
        labels = scrape.labels[series]
        key = (labels["kind"], labels.get("id", ""))
        found[key] = found.get(key, 0) + round(value * 1e6)
    return found
