"""What simulated nodes are held to: limits from their own mean power, and a past that spent some of them."""

from __future__ import annotations

import sys
import zoneinfo
from datetime import UTC, datetime, timedelta, timezone

import pytest

from wattledger.carbon.budgets.book import Budgets
from wattledger.carbon.budgets.period import period_at, zone
from wattledger.carbon.intensity import Static
from wattledger.carbon.pricing import Constant, Pricing
from wattledger.clock import ManualClock
from wattledger.errors import SettingsError
from wattledger.model import IDLE, Intensity
from wattledger.settings import BudgetSettings, EmbodiedSettings
from wattledger.simulation.expectation import expected_draws
from wattledger.simulation.host import SimulatedHost
from wattledger.simulation.past import Past
from wattledger.simulation.plans import budgets_of, embodied_of, evening_zone, spent
from wattledger.simulation.profile import HostProfile, fleet

S = 1_000_000_000
HOUR_NS = 3600 * S
DAY_NS = 24 * HOUR_NS
THURSDAY_NS = 1_767_225_600 * S  # 2026-01-01T00:00:00Z
HALF_KILO = Pricing(intensity=Static(Intensity(grams_per_kwh=500.0, provider="static")), pue=Constant(2.0))
NODE_DAY = BudgetSettings(name="node-day", limit_g=1.0, period="day")
NO_EMBODIED = EmbodiedSettings()
PLAIN = fleet(2)[1]


def watts(profile, hour, *, working=True, namespace=None):
    """Expected power of a host, or of one of its namespaces."""
    return sum(
        draw.watts
        for draw in expected_draws(profile, working=working, hour=hour)
        if namespace in (None, draw.workload.pod_namespace)
    )


class TestExpectation:
    @pytest.mark.parametrize("index", [1, 2, 5, 7], ids=lambda index: f"node-{index + 1:02d}")
    def test_it_is_near_what_the_host_really_draws(self, index):
        """An hour from 15:00 on a Thursday, by the meters there are; none of these has jobs."""
        profile = fleet(index + 1)[index]
        clock = ManualClock(now_ns=15 * HOUR_NS)
        host = SimulatedHost(profile, clock, seed=1)
        clock.advance(3600)
        host.advance()
        real_uj = host.energy_uj()
        if not profile.rapl:
            used_s = (host.gone_cpu_ns + sum(host.cpu_ns(task) for task in host.tasks)) / S
            drawn_w = 1.2 * profile.cpus + 2.8 * used_s / 3600
        else:
            drawn_w = (real_uj["cpu"] + real_uj["dram"]) / 3.6e9
        assert watts(profile, 15.5) == pytest.approx(drawn_w, rel=0.1)

    def test_power_is_idle_and_everybodys_part(self):
        draws = expected_draws(PLAIN, working=True, hour=15.0)
        assert draws[0].workload is IDLE
        assert 60 < draws[0].watts < 100
        assert all(draw.watts >= 0 for draw in draws)

    def test_it_follows_the_day_and_the_week(self):
        assert watts(PLAIN, 3.0) < watts(PLAIN, 15.0)
        assert watts(PLAIN, 15.0, working=False) < watts(PLAIN, 15.0)

    def test_more_load_is_more_power_up_to_what_the_host_can(self):
        """Ten times the work on a busy host is far less than ten times the power."""
        once, thrice, ten = (
            watts(HostProfile(name="", casts=("base", "media"), load=load), 12.0, namespace="media")
            for load in (1.0, 3.0, 10.0)
        )
        assert 2 * once < thrice < 3 * once
        assert thrice < ten < 5 * once

    def test_only_what_has_a_meter_counts(self):
        """Memory, boards and the whole node add to the CPUs; a lost package leaves nearly half of them."""
        cpu = HostProfile(name="", dram=False, casts=("base", "shop"))
        memory, lost, whole = (
            HostProfile(name="", casts=cpu.casts, **more)
            for more in ({"dram": True}, {"dram": False, "lost": ("package-1",)}, {"whole_node": "bmc"})
        )
        assert watts(cpu, 12.0) + 15 < watts(memory, 12.0) < watts(whole, 12.0) - 90
        assert 0.4 < watts(lost, 12.0) / watts(cpu, 12.0) < 0.6


class TestPast:
    def test_grams_are_mean_power_times_price(self):
        """A Thursday from 08:00 to 11:00 at 500 g/kWh and a PUE of 2: a gram per watt and hour."""
        grams = Past().grams(
            PLAIN, HALF_KILO, NODE_DAY, THURSDAY_NS + 8 * HOUR_NS, THURSDAY_NS + 11 * HOUR_NS
        )
        assert grams == pytest.approx(2 * watts(PLAIN, 9.0) + 1 * watts(PLAIN, 11.0))

    def test_weekends_count_as_weekends(self):
        """2026-01-03 is a Saturday."""
        start_ns = THURSDAY_NS + 2 * DAY_NS + 12 * HOUR_NS
        grams = Past().grams(PLAIN, HALF_KILO, NODE_DAY, start_ns, start_ns + 2 * HOUR_NS)
        assert grams == pytest.approx(2 * watts(PLAIN, 13.0, working=False))

    def test_a_selector_counts_its_workloads_only(self):
        shop = BudgetSettings(
            name="shop", limit_g=1.0, period="day", select={"pod_namespace": ("sh*",), "kind": ("container",)}
        )
        grams = Past().grams(PLAIN, HALF_KILO, shop, THURSDAY_NS, THURSDAY_NS + 2 * HOUR_NS)
        assert grams == pytest.approx(2 * watts(PLAIN, 1.0, namespace="shop"))

    def test_the_load_of_the_play_is_not_that_of_the_past(self):
        """Whoever starts a demo at three times the load raised it just now."""
        past, span = Past(), (THURSDAY_NS, THURSDAY_NS + DAY_NS)
        raised = fleet(2, load=3.0)[1]
        assert past.grams(raised, HALF_KILO, NODE_DAY, *span) == past.grams(PLAIN, HALF_KILO, NODE_DAY, *span)

    def test_nothing_happens_in_no_time(self):
        assert Past().grams(PLAIN, HALF_KILO, NODE_DAY, THURSDAY_NS, THURSDAY_NS) == 0


class TestLimits:
    @pytest.mark.parametrize("hour", range(24))
    def test_the_budgets_zone_is_where_it_is_past_eight_in_the_evening(self, hour):
        """At any minute of any hour; five sixths of a day have passed."""
        wall_ns = THURSDAY_NS + hour * HOUR_NS + 59 * 60 * S
        name = evening_zone(wall_ns)
        local = datetime.fromtimestamp(wall_ns / S, zone(name))

        assert local.hour == 20
        assert timedelta(hours=-12) <= local.utcoffset() <= timedelta(hours=14)
        start_ns, end_ns = period_at("day", name, wall_ns)
        assert (wall_ns - start_ns) / (end_ns - start_ns) > 5 / 6

    def test_the_zone_is_called_as_posix_calls_it(self):
        """16:30 UTC is 20:30 four hours to the east; at 20:30 UTC it is UTC itself."""
        assert evening_zone(THURSDAY_NS + 16 * HOUR_NS) == "Etc/GMT-4"
        assert evening_zone(THURSDAY_NS + 20 * HOUR_NS) == "UTC"
        assert zone("Etc/GMT-4").utcoffset(datetime(2026, 1, 1, tzinfo=UTC)) == timezone(
            timedelta(hours=4)
        ).utcoffset(None)

    def test_without_a_time_zone_database_it_is_utc(self, monkeypatch):
        """Neither the system's nor the one that the package tzdata brings along."""
        for name in ("tzdata", *(loaded for loaded in sys.modules if loaded.startswith("tzdata."))):
            monkeypatch.setitem(sys.modules, name, None)
        zoneinfo.reset_tzpath(to=[])
        zoneinfo.ZoneInfo.clear_cache()
        try:
            assert evening_zone(THURSDAY_NS + 16 * HOUR_NS) == "UTC"
        finally:
            zoneinfo.reset_tzpath()

    @pytest.mark.parametrize("index", range(12), ids=lambda index: f"node-{index + 1:02d}")
    def test_a_limit_is_what_the_node_will_draw_and_some_more(self, index):
        """65 to 92 % are spent when the period ends, or more than all on the one that is over."""
        profile, past = fleet(12)[index], Past()
        for budget in budgets_of(profile, HALF_KILO, past, THURSDAY_NS, "UTC"):
            span = period_at(budget.period, budget.timezone, THURSDAY_NS)
            used = past.grams(profile, HALF_KILO, budget, *span) / budget.limit_g
            if index == 4:
                wanted = {"node-day": 1.8, "node-month": 1.3, "media-day": 2.5}[budget.name]
                assert used == pytest.approx(wanted, rel=0.01)
            else:
                assert 0.64 < used < 0.93

    def test_every_node_has_a_budget_for_a_namespace_it_has(self):
        for profile in fleet(14):
            (selecting,) = (one for one in budgets_of(profile, HALF_KILO, Past(), 0, "UTC") if one.select)
            (namespace,) = selecting.select["pod_namespace"]
            assert selecting.name == f"{namespace}-day"
            assert watts(profile, 12.0, namespace=namespace) > 0

    def test_limits_have_three_digits(self):
        for budget in budgets_of(PLAIN, HALF_KILO, Past(), 0, "UTC"):
            assert float(f"{budget.limit_g:.3g}") == budget.limit_g


class TestSpent:
    def test_a_budget_book_takes_it_up(self):
        """Six hours of a Thursday are spent of a day budget, in the period that lasts."""
        now_ns, past = THURSDAY_NS + 6 * HOUR_NS, Past()
        dump = spent([NODE_DAY], PLAIN, HALF_KILO, past, embodied=NO_EMBODIED, wall_ns=now_ns)
        book = Budgets([NODE_DAY])
        book.open(now_ns)
        book.load(dump)
        (row,) = book.rows(now_ns)

        assert row.consumed_g == past.grams(PLAIN, HALF_KILO, NODE_DAY, THURSDAY_NS, now_ns) > 0
        assert (row.start_ns, row.end_ns) == (THURSDAY_NS, THURSDAY_NS + DAY_NS)

    def test_what_counts_embodied_emissions_spent_them_as_well(self):
        """87.6 kg in 365 days are 10 g an hour."""
        total = BudgetSettings(name="all", limit_g=1.0, period="day", scope="total")
        embodied = EmbodiedSettings(total_g=87_600.0, lifespan_ns=365 * DAY_NS)
        now_ns = THURSDAY_NS + 6 * HOUR_NS
        grams = [
            spent([budget], PLAIN, HALF_KILO, Past(), embodied=embodied, wall_ns=now_ns)[budget.name][
                "slots"
            ][0][2]
            for budget in (NODE_DAY, total)
        ]
        assert grams[1] - grams[0] == pytest.approx(60.0)

    def test_an_unknown_zone_is_refused(self):
        nowhere = BudgetSettings(name="x", limit_g=1.0, period="day", timezone="Mars/Olympus")
        with pytest.raises(SettingsError, match="Mars/Olympus"):
            spent([nowhere], PLAIN, HALF_KILO, Past(), embodied=NO_EMBODIED, wall_ns=0)


def test_what_a_node_embodies_goes_by_its_parts():
    """Two sockets with 32 cores and eight boards; a virtual machine is a share of some host."""
    gpu, _, virtual = fleet(3)
    assert embodied_of(gpu).components == {"cpus": 2.0, "memory_gb": 512.0, "ssds": 2.0, "gpus": 8.0}
    assert embodied_of(virtual).total_g == 60_000.0
