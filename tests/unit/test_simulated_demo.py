"""The demo on a manual clock: its account against the truth, and what its nodes show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wattledger.app.demo import build_demo
from wattledger.carbon.embodied import rate_g_per_s
from wattledger.clock import ManualClock
from wattledger.errors import SettingsError
from wattledger.exposition.catalogue import FAMILIES
from wattledger.exposition.render import Renderer
from wattledger.settings import (
    BudgetSettings,
    CarbonSettings,
    EmbodiedSettings,
    IntensitySettings,
    Settings,
)
from wattledger.simulation.weather import grams_per_kwh
from wattledger.simulation.zones import SITES

S = 1_000_000_000
HOUR_NS = 3600 * S
PUE = 1.2

NOT_SHOWN = {
    "wattledger_process_energy_joules_total": "opt-in, and a simulated host has workloads but no processes",
    "wattledger_process_emissions_grams_total": "opt-in, and a simulated host has workloads but no processes",
    "wattledger_journal_last_success_timestamp_seconds": "the demo keeps everything in memory",
    "wattledger_name_source_up": "simulated workloads are born with their names",
    "wattledger_name_source_answers_total": "simulated workloads are born with their names",
    "wattledger_name_source_errors_total": "simulated workloads are born with their names",
    "process_cpu_seconds_total": "several nodes share one process; `--nodes 1` shows it",
    "process_resident_memory_bytes": "several nodes share one process; `--nodes 1` shows it",
    "process_virtual_memory_bytes": "several nodes share one process; `--nodes 1` shows it",
    "process_start_time_seconds": "several nodes share one process; `--nodes 1` shows it",
    "process_open_fds": "several nodes share one process; `--nodes 1` shows it",
    "process_max_fds": "several nodes share one process; `--nodes 1` shows it",
}


def turn(nodes):
    """What the threads of the demo do: each watch once, each sampler one tick."""
    for watch in {id(node.grid): node.grid.watch for node in nodes}.values():
        watch.turn()
    return [node.sampler.tick() for node in nodes]


def run(nodes, clock, seconds, step=5.0):
    """Ticks until `seconds` have passed; the last snapshots."""
    snapshots = turn(nodes)
    for _ in range(round(seconds / step)):
        clock.advance(step)
        snapshots = turn(nodes)
    return snapshots


def body(snapshot):
    return Renderer({}).render(snapshot, openmetrics=False).decode()


def names(text):
    return set(re.findall(r"^([a-z_]+)[{ ]", text, re.MULTILINE))


@pytest.fixture
def clock():
    """14:40 on a Thursday: twenty minutes before the intensity changes."""
    return ManualClock(now_ns=14 * HOUR_NS + 2400 * S)


class TestTruth:
    def test_grams_are_true_energy_times_the_integral_of_the_grid(self, clock):
        """Over an hour and a quarter with two changes of intensity; every component to 1e-9.

        Packages and memory are metered to the microjoule and boards to the millijoule. The whole node's meter
        knows whole joules of whole seconds, so `other` is held against the energy that was booked.
        """
        (node,) = build_demo(Settings(), 1, clock)
        grid, host = node.grid.pricing.intensity, node.simulated.host
        turn([node])
        before, expected, seen = host.energy_uj(), dict.fromkeys(("cpu", "dram", "gpu", "other"), 0.0), set()
        booked = 0
        for _ in range(409):
            clock.advance(11)
            (snapshot,) = turn([node])
            now_ns, energy_uj = clock.wall_ns(), host.energy_uj()
            rows = {row.component: row for row in snapshot.nodes}
            drawn_uj = {name: energy_uj[name] - before[name] for name in ("cpu", "dram", "gpu")}
            drawn_uj["other"] = rows["other"].energy_uj - booked
            for component, uj in drawn_uj.items():
                watts = uj / 11e6
                expected[component] += PUE * grid.integral(now_ns - 11 * S, now_ns, watts)
            before, booked = energy_uj, rows["other"].energy_uj
            seen.add(snapshot.price.intensity.updated_ns)

        assert len(seen) == 3
        for component, grams in expected.items():
            assert rows[component].emissions_g == pytest.approx(grams, rel=1e-9)

    def test_a_node_on_fallback_pays_the_fallback(self, clock):
        """700 g/kWh and a PUE of 1.2, whatever its zone really has."""
        nodes = build_demo(Settings(), 6, clock)
        snapshot = run(nodes[5:], clock, 60)[0]
        energy_uj, grams = (
            sum(getattr(row, name) for row in snapshot.nodes) for name in ("energy_uj", "emissions_g")
        )
        assert snapshot.price.intensity.fallback
        assert grams == pytest.approx(energy_uj / 3.6e12 * 700 * PUE)

    def test_budgets_go_on_with_what_is_booked(self, clock):
        """The node's day grows by the node's grams, a namespace's by those of its pods."""
        (node,) = build_demo(Settings(), 3, clock)[2:]
        first, last = turn([node])[0], run([node], clock, 120)[0]
        grown = {
            one.name: two.consumed_g - one.consumed_g
            for one, two in zip(first.budgets, last.budgets, strict=True)
        }
        pods_g = sum(
            cell.emissions_g
            for row in last.workloads
            if row.workload.pod_namespace == "shop"
            for cell in row.cells
        )
        node_g = sum(row.emissions_g for row in last.nodes)

        assert grown["node-day"] == pytest.approx(node_g)
        assert grown["node-month"] == pytest.approx(node_g)
        assert grown["shop-day"] == pytest.approx(pods_g)
        assert 0 < pods_g < node_g

    def test_the_same_start_gives_the_same_fleet(self):
        """Two demos agree in all but what they cost themselves, and a third at another time does not."""
        shown = []
        for hour in (9, 9, 10):
            clock = ManualClock(now_ns=hour * HOUR_NS)
            snapshots = run(build_demo(Settings(), 8, clock), clock, 30)
            shown.append([re.sub(r"(?m)^wattledger_self_.*", "", body(one)) for one in snapshots])
        assert shown[0] == shown[1]
        assert all(one != two for one, two in zip(shown[0], shown[2], strict=True))


@pytest.fixture(scope="module")
def fleet():
    """Eight nodes after two minutes."""
    clock = ManualClock(now_ns=14 * HOUR_NS + 2400 * S)
    nodes = build_demo(Settings(), 8, clock)
    return dict(zip([node.name for node in nodes], run(nodes, clock, 120), strict=True))


class TestFleet:
    def test_together_they_show_every_family_that_a_demo_can(self, fleet):
        """What none of them shows has a reason; a new family of the catalogue needs one or the other."""
        shown = set.union(*(names(body(snapshot)) for snapshot in fleet.values()))
        every = {family.sample_name for family in FAMILIES}
        assert every - shown == NOT_SHOWN.keys()

    def test_every_node_has_grid_budgets_and_embodied_emissions(self, fleet):
        for name, snapshot in fleet.items():
            assert len(snapshot.budgets) >= 3, name
            assert {budget.period for budget in snapshot.budgets} == {"day", "month"}
            assert snapshot.embodied_g > 0
            assert snapshot.price.market is not None
            assert snapshot.price.pue == PUE
            assert all(row.water_l > 0 for row in snapshot.nodes)
            assert snapshot.node_info == {"simulated": "true"}
        zones = {snapshot.price.intensity.grid_zone for snapshot in fleet.values()}
        assert zones == {"DEMO-A", "DEMO-B", "DEMO-C"}

    def test_all_but_one_have_an_outlook_and_a_source_that_works(self, fleet):
        assert [name for name, one in fleet.items() if one.outlook is None] == ["node-06"]
        assert [name for name, one in fleet.items() if not one.health.feeds[0].up] == ["node-06"]
        assert [name for name, one in fleet.items() if one.price.intensity.fallback] == ["node-06"]
        assert fleet["node-06"].health.feeds[0].errors == {"timeout": 1}

    def test_one_is_estimated_through_the_same_faces(self, fleet):
        (cpu,) = fleet["node-03"].nodes
        (zone,) = (row.zone for row in fleet["node-03"].sensors)
        assert (cpu.component, cpu.estimated, cpu.idle_source) == ("cpu", True, "estimated")
        assert (zone.method, zone.uncertainty_ratio) == ("estimated", 0.3)
        assert [name for name, one in fleet.items() if one.nodes[0].estimated] == ["node-03"]

    def test_one_lost_a_sensor_and_goes_on(self, fleet):
        down = [(name, row.zone.name) for name, one in fleet.items() for row in one.sensors if not row.up]
        lost = next(row for row in fleet["node-04"].sensors if row.zone.name == "package-1")
        assert down == [("node-04", "package-1")]
        assert lost.read_errors == {"eio": 25}
        assert lost.energy_uj == 0
        assert {row.component for row in fleet["node-04"].nodes if row.energy_uj > 0} == {"cpu", "dram"}

    def test_one_has_eight_boards_of_which_one_is_shared_and_one_is_cut(self, fleet):
        boards = {name: len(one.boards) for name, one in fleet.items() if one.boards}
        qualities = [board.quality for board in fleet["node-01"].boards]
        assert boards == {"node-01": 8}
        assert qualities.count("mps") == 1
        assert qualities[-1] == "mig-equal"
        assert len(fleet["node-01"].boards[-1].instances) == 3
        assert all(0.99 <= board.check_ratio <= 1.01 for board in fleet["node-01"].boards)

    def test_one_is_over_its_day_budgets(self, fleet):
        """On the first day of a month; its month follows in the last week."""
        over = {
            (name, budget.name)
            for name, one in fleet.items()
            for budget in one.budgets
            if budget.consumed_g > budget.limit_g
        }
        assert over == {("node-05", "node-day"), ("node-05", "media-day")}

    def test_workloads_and_node_add_up(self, fleet):
        """Energy, exactly; embodied emissions, which also reach workloads by what they reserved."""
        for snapshot in fleet.values():
            for row in snapshot.nodes:
                cells = [cell for one in snapshot.workloads for cell in one.cells]
                shown_uj = sum(cell.energy_uj for cell in cells if cell.component == row.component)
                assert shown_uj + row.expired_uj == row.energy_uj
            embodied_g = sum(row.embodied_g for row in snapshot.workloads) + snapshot.expired_embodied_g
            assert embodied_g == pytest.approx(snapshot.embodied_g)
            assert sum(row.embodied_g > 0 for row in snapshot.workloads) > 3


@pytest.mark.parametrize("hour", [0.1, 7.5, 13.0, 23.9])
def test_most_day_budgets_are_well_used_whenever_the_demo_starts(hour):
    """Between 40 and 90 % on every node but the one that is over all the time."""
    clock = ManualClock(now_ns=round(hour * HOUR_NS))
    for node in build_demo(Settings(), 8, clock):
        rows = node.sampler.ledger.budgets.rows(clock.wall_ns())
        used = {row.name: row.consumed_g / row.limit_g for row in rows if row.period == "day"}
        if node.name == "node-05":
            assert min(used.values()) > 1.2
        else:
            assert all(0.4 < share < 0.9 for share in used.values()), (node.name, used)


class TestLoad:
    def burns(self, clock, load, nodes=slice(None), minutes=20):
        """Share of each day budget's limit that is used in an hour, by node and budget."""
        chosen = build_demo(Settings(), 8, clock, load)[nodes]
        first = turn(chosen)
        last = run(chosen, clock, 60 * minutes, 15)
        return {
            (node.name, one.name): (two.consumed_g - one.consumed_g) / one.limit_g * 60 / minutes
            for node, before, after in zip(chosen, first, last, strict=True)
            for one, two in zip(before.budgets, after.budgets, strict=True)
            if one.period == "day"
        }

    def test_at_the_usual_load_no_budget_burns_fast(self, clock):
        """WattledgerBudgetBurnFast: 15 % of a day's limit within an hour."""
        assert max(self.burns(clock, 1.0).values()) < 0.12

    @pytest.mark.parametrize("hour", [3, 10, 15])
    def test_at_three_times_the_load_one_does(self, hour):
        clock = ManualClock(now_ns=hour * HOUR_NS)
        assert self.burns(clock, 3.0, slice(4, 5))["node-05", "media-day"] > 0.15

    def test_hardware_bounds_what_load_can_do(self, clock):
        """Twice over the top is no more power than the parts can draw, and no more CPU time than there is."""
        nodes = build_demo(Settings(), 2, clock, 5.0)
        for node, snapshot in zip(nodes, run(nodes, clock, 60), strict=True):
            profile = node.simulated.host.profile
            power_w = {row.component: row.power_w for row in snapshot.nodes}
            assert power_w["cpu"] < 1.05 * profile.sockets * profile.tdp_w
            assert power_w.get("gpu", 0.0) <= 700 * profile.gpus
            assert sum(row.cpu_ns for row in snapshot.workloads) <= 60 * S * profile.cpus

    def test_a_tenth_of_the_load_draws_less(self, clock):
        power_w = []
        for load in (0.1, 1.0):
            (snapshot,) = run(build_demo(Settings(), 2, clock, load)[1:], clock, 30)
            power_w.append(sum(row.power_w for row in snapshot.nodes))
        assert power_w[0] < 0.8 * power_w[1]


class TestSettings:
    def test_a_source_of_the_users_prices_every_node(self, clock):
        """With the user's PUE and without market or water; no zone of the demo is left."""
        carbon = CarbonSettings(
            pue=1.5, intensity=IntensitySettings(provider="static", grams_per_kwh=250.0, grid_zone="HERE")
        )
        nodes = build_demo(Settings(carbon=carbon), 6, clock)
        for snapshot in run(nodes, clock, 10):
            price = snapshot.price
            assert (price.intensity.grams_per_kwh, price.intensity.grid_zone) == (250.0, "HERE")
            assert not price.intensity.fallback
            assert (price.pue, price.market, price.wue_l_per_kwh) == (1.5, None, None)
            assert snapshot.budgets
            assert snapshot.embodied_g > 0

    def test_a_market_alone_is_a_source_too(self, clock):
        """As for an agent without intensity: the world average, marked as fallback."""
        market = IntensitySettings(provider="static", grams_per_kwh=0.0)
        (node,) = build_demo(Settings(carbon=CarbonSettings(market=market)), 1, clock)
        price = node.grid.pricing.price(0, 1)
        assert price.market.grams_per_kwh == 0
        assert price.intensity.grid_zone == "WORLD"
        assert price.intensity.fallback

    def test_pue_alone_leaves_the_simulated_grid(self, clock):
        nodes = build_demo(Settings(carbon=CarbonSettings(pue=1.6)), 3, clock)
        assert [node.grid.pricing.price(0, 1).pue for node in nodes] == [1.6] * 3
        assert [node.grid.pricing.price(0, 1).intensity.provider for node in nodes] == ["simulated"] * 3

    def test_budgets_of_the_users_take_the_place_of_all(self, clock):
        """And begin with what each node would have spent of them."""
        mine = BudgetSettings(name="mine", limit_g=500.0, period="day", select={"pod_namespace": ("shop",)})
        for node in build_demo(Settings(budgets=(mine,)), 3, clock):
            (row,) = node.sampler.ledger.budgets.rows(clock.wall_ns())
            assert (row.name, row.limit_g, row.timezone) == ("mine", 500.0, "UTC")
            assert row.consumed_g > 0

    def test_a_budget_that_cannot_be_used_is_refused(self, clock):
        bad = BudgetSettings(name="bad", limit_g=1.0, period="day", timezone="Mars/Olympus")
        with pytest.raises(SettingsError, match="Mars/Olympus"):
            build_demo(Settings(budgets=(bad,)), 1, clock)

    def test_embodied_emissions_of_the_users_hold_for_all(self, clock):
        """1,000 kg in four years are 7.93 mg a second."""
        embodied = EmbodiedSettings(total_g=1_000_000.0)
        nodes = build_demo(Settings(carbon=CarbonSettings(embodied=embodied)), 3, clock)
        for snapshot in run(nodes, clock, 100):
            assert snapshot.embodied_g == pytest.approx(100 * rate_g_per_s(embodied))

    def test_nodes_of_a_zone_share_one_watch(self, clock):
        """Forty nodes: three zones, and one whose source fails."""
        nodes = build_demo(Settings(), 40, clock)
        assert len({id(node.grid.watch) for node in nodes}) == 4


class TestPage:
    """docs/demo.md tells of the demo that there is."""

    page = (Path(__file__).parents[2] / "docs" / "demo.md").read_text()

    def rows(self, first):
        """The cells of the table rows that begin with a pattern, without their backticks."""
        lines = re.findall(rf"(?m)^\| `{first}.*\|$", self.page)
        return [[cell.strip() for cell in line.replace("`", "").strip("|").split("|")] for line in lines]

    def test_nodes_zones_and_budgets(self, clock):
        nodes = build_demo(Settings(), 8, clock)
        known = [
            [node.name, node.simulated.place[0], ", ".join(budget.name for budget in snapshot.budgets)]
            for node, snapshot in zip(nodes, turn(nodes), strict=True)
        ]
        assert [[row[0], row[1], row[3]] for row in self.rows("node-")] == known

    def test_zones(self):
        """The range leaves out the lowest and the highest twentieth of a year, to ten grams."""
        for zone, _, span, market, water in self.rows("DEMO-"):
            site = SITES[zone]
            low, high = (float(bound) for bound in span.split(" to "))
            year = sorted(grams_per_kwh(site.mix, 1, step) for step in range(981_000, 998_520, 5))
            rare = len(year) // 20
            assert (low, high) == (round(year[rare], -1), round(year[-rare], -1))
            assert (float(market), float(water)) == (site.market_g, site.wue_l_per_kwh)

    def test_every_family_that_is_not_shown_is_named_with_its_reason(self):
        table = self.page.partition("## What no demo node shows")[2]
        for family, reason in NOT_SHOWN.items():
            name = "process_*" if family.startswith("process_") else family
            line = next(line for line in table.splitlines() if f"`{name}`" in line)
            assert reason.replace("shows it", "shows them") in line

    def test_alerts_are_those_that_there_are(self):
        rules = (Path(__file__).parents[2] / "deploy/prometheus/wattledger.alerts.yml").read_text()
        named = [row[0] for row in self.rows("Wattledger")]
        assert len(named) == 8
        assert set(named) <= set(re.findall(r"alert: (\w+)", rules))
