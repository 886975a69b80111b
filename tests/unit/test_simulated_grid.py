"""The simulated grid: a course that looks like one, a forecast that errs, and the truth behind its grams."""

from __future__ import annotations

from statistics import mean

import pytest

from wattledger.clock import ManualClock
from wattledger.settings import CarbonSettings
from wattledger.simulation.grid import SimulatedGrid
from wattledger.simulation.weather import Mix, forecast, grams_per_kwh
from wattledger.simulation.zones import SITES, simulated_grid, simulated_grids

S = 1_000_000_000
HOUR_NS = 3600 * S
DAY = 48
THURSDAY = 20_454 * DAY  # 2026-01-01, where a ManualClock begins
MONTH = range(THURSDAY, THURSDAY + 28 * DAY)
WINDY, STEADY, BURNING = (SITES[zone].mix for zone in ("DEMO-A", "DEMO-B", "DEMO-C"))


def course(mix, steps=MONTH, seed=1):
    return [grams_per_kwh(mix, seed, step) for step in steps]


class TestCourse:
    @pytest.mark.parametrize("mix", [WINDY, STEADY, BURNING], ids=lambda mix: mix.zone)
    def test_it_stays_between_20_and_900_all_year(self, mix):
        values = course(mix, range(THURSDAY, THURSDAY + 365 * DAY, 7))
        assert 20 <= min(values) < max(values) <= 900

    def test_a_mix_beyond_the_bounds_is_cut_off(self):
        """Nothing but fuel of 2,000 g/kWh; nothing but wind and water in abundance."""
        filthy = Mix(zone="x", firm=0.01, sun=0.0, wind=0.0, fuel_g=2000.0)
        clean = Mix(zone="x", firm=3.0, sun=0.0, wind=3.0, fuel_g=100.0)
        assert {*course(filthy, range(DAY))} == {900}
        assert {*course(clean, range(DAY))} == {20}

    def test_the_zones_differ_much(self):
        steady, windy, burning = (mean(course(mix)) for mix in (STEADY, WINDY, BURNING))
        assert 2 * steady < windy
        assert 2 * windy < burning

    def test_the_sun_makes_a_dip_and_the_evening_a_peak(self):
        """DEMO-A at noon against 19:00, over four weeks."""
        values = course(WINDY)
        noon, evening = mean(values[24::DAY]), mean(values[38::DAY])
        assert noon < 0.4 * evening

    def test_weekends_are_cleaner(self):
        """The month begins on a Thursday: days 2, 3, 9, 10 and so on are weekends."""
        days = [mean(course(STEADY, range(day, day + DAY))) for day in MONTH[::DAY]]
        weekend = [value for number, value in enumerate(days) if number % 7 in (2, 3)]
        working = [value for number, value in enumerate(days) if number % 7 not in (2, 3)]
        assert mean(weekend) < 0.8 * mean(working)

    def test_the_wind_changes_over_days(self):
        days = [mean(course(WINDY, range(day, day + DAY))) for day in MONTH[::DAY]]
        assert max(days) > 2 * min(days)

    def test_zone_seed_and_time_alone_decide(self):
        """On every machine: these three values never change."""
        assert [grams_per_kwh(mix, 1, THURSDAY) for mix in (WINDY, STEADY, BURNING)] == [290.0, 27.0, 626.5]
        assert course(WINDY, range(DAY)) != course(WINDY, range(DAY), seed=2)


class TestForecast:
    def errors(self, ahead):
        """Relative errors of all forecasts of a month that look so many half hours ahead."""
        return [
            abs(forecast(BURNING, 1, made + ahead, made) / grams_per_kwh(BURNING, 1, made + ahead) - 1)
            for made in MONTH
        ]

    def test_it_errs_by_more_the_further_it_looks(self):
        two_hours, a_day, two_days = (mean(self.errors(ahead)) for ahead in (4, DAY, 2 * DAY))
        assert 0 < two_hours < 0.5 * a_day < 0.5 * two_days

    def test_it_errs_by_no_more_than_it_says(self):
        """At most 15 % a day ahead, to the rounding of a tenth of a gram."""
        assert max(self.errors(DAY)) <= 0.15 + 1e-3
        assert max(self.errors(0)) == 0

    def test_it_is_made_anew_every_six_hours(self):
        """Within a run the error only shrinks with the horizon; the next run errs in another way."""
        target = THURSDAY + DAY

        def error(made):
            return forecast(BURNING, 1, target, made) / grams_per_kwh(BURNING, 1, target) - 1

        assert abs(error(THURSDAY + 11)) < abs(error(THURSDAY))
        assert error(THURSDAY + 11) * error(THURSDAY) > 0
        runs = {round(error(THURSDAY + 12 * run), 2) for run in range(4)}
        assert len(runs) > 2


@pytest.fixture
def clock():
    """14:10 on a Thursday."""
    return ManualClock(now_ns=14 * HOUR_NS + 600 * S)


@pytest.fixture
def grid(clock):
    return SimulatedGrid(WINDY, clock)


class TestSource:
    def test_a_value_holds_for_half_an_hour_and_says_so(self, grid, clock):
        now_ns = clock.wall_ns()
        now = grid.at(now_ns)

        assert (now.provider, now.grid_zone, now.flow) == ("simulated", "DEMO-A", "consumption")
        assert now.updated_ns == now_ns - 600 * S
        assert not now.estimated
        assert not now.fallback
        assert grid.at(now_ns + 1199 * S) == now
        assert grid.at(now_ns + 1200 * S) != now

    def test_an_interval_over_an_edge_is_weighted_by_time(self, grid, clock):
        """Ten minutes of one half hour and five of the next."""
        edge_ns = clock.wall_ns() + 1200 * S
        first, second = grid.at(edge_ns - 1).grams_per_kwh, grid.at(edge_ns).grams_per_kwh

        over = grid.over(edge_ns - 600 * S, edge_ns + 300 * S).grams_per_kwh
        assert over == pytest.approx((2 * first + second) / 3)

    def test_the_integral_is_in_grams(self, grid, clock):
        """1 kW for half an hour at g grams per kWh is g / 2."""
        start_ns = clock.wall_ns() - 600 * S
        assert grid.integral(start_ns, start_ns + 1800 * S, 1000.0) == grid.at(start_ns).grams_per_kwh / 2
        assert grid.integral(start_ns, start_ns, 1000.0) == 0

    def test_the_series_has_a_week_behind_and_two_days_ahead(self, grid, clock):
        now_ns = clock.wall_ns()
        series = grid.series(now_ns - 1000 * HOUR_NS, now_ns + 1000 * HOUR_NS)
        known = [point for point in series.points if not point.estimated]

        assert len(known) == 7 * DAY + 1
        assert len(series.points) - len(known) == 2 * DAY
        assert all(
            one.end_ns == two.start_ns for one, two in zip(series.points, series.points[1:], strict=False)
        )
        assert all(point.value == grid.at(point.start_ns).grams_per_kwh for point in known)
        assert series.at(now_ns) == known[-1]
        assert all(point.start_ns > series.fetched_ns for point in series.points if point.estimated)

    def test_the_series_is_cut_to_what_was_asked_for(self, grid, clock):
        now_ns = clock.wall_ns()
        series = grid.series(now_ns - HOUR_NS, now_ns + HOUR_NS)

        assert series.points[0].start_ns <= now_ns - HOUR_NS < series.points[0].end_ns
        assert series.points[-1].start_ns < now_ns + HOUR_NS <= series.points[-1].end_ns
        assert len(series.points) == 5
        assert grid.series(now_ns - HOUR_NS, now_ns + HOUR_NS) is series

    def test_a_forecast_becomes_what_really_came(self, grid, clock):
        """Half an hour later the first point ahead is known, and is what is booked."""
        ahead_ns = clock.wall_ns() + 1800 * S
        told = grid.series(0, 1 << 62).at(ahead_ns)
        clock.advance(1800)
        came = grid.series(0, 1 << 62).at(ahead_ns)

        assert told.estimated
        assert not came.estimated
        assert came.value == grid.at(ahead_ns).grams_per_kwh


class TestZones:
    def test_a_grid_prices_with_pue_market_and_water(self, clock):
        now_ns = clock.wall_ns()
        price = simulated_grid("DEMO-A", clock).pricing.price(now_ns, now_ns + 5 * S)

        assert price.pue == 1.2
        assert price.market.grams_per_kwh == 35.0
        assert (price.market.provider, price.market.grid_zone) == ("simulated", "DEMO-A")
        assert price.wue_l_per_kwh == 0.4

    def test_pue_and_water_of_the_settings_win(self, clock):
        carbon = CarbonSettings(pue=1.5, wue_l_per_kwh=2.0)
        price = simulated_grid("DEMO-A", clock, carbon).pricing.price(0, 1)
        assert (price.pue, price.wue_l_per_kwh) == (1.5, 2.0)

    def test_its_watch_makes_an_outlook(self, clock):
        """All horizons, all windows, and a colour."""
        grid = simulated_grid("DEMO-A", clock)
        grid.watch.turn()
        outlook = grid.watch.outlook

        assert set(outlook.means) == {1, 3, 6, 12, 24}
        assert [window.duration_ns // HOUR_NS for window in outlook.windows] == [1, 2, 4, 8]
        assert outlook.state in ("green", "amber", "red")
        assert outlook.source.grams_per_kwh == grid.pricing.intensity.at(clock.wall_ns()).grams_per_kwh

    def test_a_source_that_works_is_up(self, clock):
        grid = simulated_grid("DEMO-B", clock)
        grid.watch.turn()
        (feed,) = grid.watch.health()

        assert feed.up
        assert feed.last_success_ns == clock.wall_ns()
        assert not feed.errors

    def test_a_source_that_fails_leaves_the_fallback_and_no_outlook(self, clock):
        """It was heard of nine hours ago, and is asked again every five minutes."""
        grid = simulated_grid("DEMO-C", clock, failing=True)
        begin_ns = clock.wall_ns()
        grid.watch.turn()
        for _ in range(10):
            clock.advance(60)
            grid.watch.turn()
        (feed,) = grid.watch.health()
        price = grid.pricing.price(begin_ns, clock.wall_ns())

        assert not feed.up
        assert feed.last_success_ns == begin_ns - 9 * HOUR_NS
        assert feed.errors == {"timeout": 3}
        assert (price.intensity.grams_per_kwh, price.intensity.fallback) == (700.0, True)
        assert price.intensity.grid_zone == "DEMO-C"
        assert not price.market.fallback
        assert grid.watch.outlook is None

    def test_nodes_of_one_place_share_their_grid(self, clock):
        places = [("DEMO-A", False), ("DEMO-B", False), ("DEMO-A", False), ("DEMO-A", True)]
        assert len(simulated_grids(places, clock)) == 3
