"""A live source: what it prices with, when it asks again, and what it says."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hostile_server import Exchange, HostileServer, answer
from tests.scripted_provider import EPOCH_NS, HOUR_NS, ScriptedProvider, hour, hourly
from wattledger.carbon.intensity import IntensitySource, Static, world_average
from wattledger.carbon.live.cache import SeriesCache
from wattledger.carbon.live.fetch import FetchError, Request
from wattledger.carbon.live.http import HttpGet
from wattledger.carbon.live.pace import Pace
from wattledger.carbon.live.source import LiveSource
from wattledger.carbon.providers.registry import build_provider
from wattledger.carbon.series import Point, Series
from wattledger.model import Intensity
from wattledger.settings import IntensitySettings, Role

S_NS = 10**9
FALLBACK = Intensity(grams_per_kwh=400, provider="table", grid_zone="DE")


def no_network(request: Request) -> None:
    raise AssertionError("a scripted provider asks nobody")


def live(provider: object, role: Role = "intensity", max_age_h: float = 6, **given: object) -> LiveSource:
    configured = IntensitySettings(
        provider="energy-charts", grid_zone="DE", refresh_ns=900 * S_NS, max_age_ns=round(max_age_h * HOUR_NS)
    )
    arguments = {"fallback": Static(FALLBACK), "rng": random.Random(1), **given}
    return LiveSource(role, provider, no_network, configured, **arguments)


def known(*values: float, at: float = 0, **given: object) -> LiveSource:
    """A source that fetched these hours once, at the hour `at`."""
    source = live(ScriptedProvider(hourly(*values)), **given)
    source.refresh(hour(at))
    return source


def grams(source: IntensitySource, at: float) -> tuple[float, bool]:
    """Value and whether it is a fallback, at an hour."""
    intensity = source.at(hour(at))
    return intensity.grams_per_kwh, intensity.fallback


class TestValues:
    """What holds at a moment."""

    def test_before_the_first_answer_it_is_the_fallback_marked_as_such(self) -> None:
        source = live(ScriptedProvider(hourly(1)))
        assert source.at(hour(0)) == replace(FALLBACK, fallback=True)
        assert source.over(hour(0), hour(1)) == replace(FALLBACK, fallback=True)
        assert source.at(hour(0)) is source.over(hour(0), hour(1))
        assert source.series(hour(0), hour(1)) is None

    def test_without_a_fallback_it_is_the_world_average(self) -> None:
        """Never zero."""
        source = live(ScriptedProvider(FetchError("timeout", "x")), fallback=None)
        source.refresh(hour(0))
        assert source.at(hour(0)) == world_average()

    def test_a_point_holds_until_the_next_begins_and_then_until_it_is_too_old(self) -> None:
        """Hours 0 and 1 are known at hour 0; the second ends at 2, and six hours later is given up."""
        source = known(100, 200)
        assert [grams(source, at) for at in (0, 0.99, 1, 1.99, 2, 5.99)] == [
            (100, False),
            (100, False),
            (200, False),
            (200, False),
            (200, False),
            (200, False),
        ]
        assert grams(source, 6) == (200, False)  # six hours after the fetch, to the nanosecond
        assert source.at(hour(6) + 1).fallback
        assert grams(source, -0.01) == (400, True)

    def test_a_forecast_is_believed_no_longer_than_its_fetch(self) -> None:
        """A day of forecast does not stand in for a source that is gone."""
        source = known(*range(100, 124))
        assert grams(source, 5.5) == (105, False)
        assert grams(source, 6.5) == (400, True)

    def test_an_old_value_counts_from_its_end(self) -> None:
        """Fetched at hour 7, but the newest point ended at 2: usable until 8."""
        source = known(100, 200, at=7)
        assert grams(source, 7.9) == (200, False)
        assert source.at(hour(7)).updated_ns == hour(2)
        assert grams(source, 8.1) == (400, True)

    def test_provenance(self) -> None:
        """A point that begins after the fetch is a forecast, which is an estimate."""
        source = live(ScriptedProvider(hourly(1, 2, flow="consumption", basis="direct", licence="CC0")))
        source.refresh(hour(0.5))
        now = source.at(hour(0.5))
        assert now == Intensity(
            grams_per_kwh=1,
            provider="energy-charts",
            grid_zone="DE",
            basis="direct",
            estimated=False,
            updated_ns=hour(0.5),
            flow="consumption",
            licence="CC0",
            max_age_ns=6 * HOUR_NS,
        )
        assert source.at(hour(1)).estimated

    def test_zero_is_a_value(self) -> None:
        assert grams(known(0.0), 0.5) == (0.0, False)


class TestIntervals:
    """The mean over an interval."""

    def test_it_is_exact_over_a_step(self) -> None:
        """A quarter of an hour at 100 and three quarters at 200."""
        source = known(100, 200)
        mean = source.over(hour(0.75), hour(1.75))
        assert mean.grams_per_kwh == 175
        assert mean == replace(source.at(hour(1.75)), grams_per_kwh=175)

    def test_it_is_exact_where_the_source_is_given_up(self) -> None:
        """Half an hour at 200 until hour 6, half an hour at 400."""
        mean = known(100, 200).over(hour(5.5), hour(6.5))
        assert mean.grams_per_kwh == pytest.approx(300, rel=1e-12)
        assert mean.fallback

    @pytest.mark.parametrize(
        "price",
        [lambda source: source.at(hour(0.2)), lambda source: source.over(hour(0.1), hour(0.2))],
        ids=("at", "over"),
    )
    def test_a_new_answer_counts_at_once(self, price: Callable[[LiveSource], Intensity]) -> None:
        """Within the point that was just priced with, and already while the answer is put on disk."""
        seen: list[float] = []

        class Looking(SeriesCache):
            def store(self, fresh: Series, course: Series) -> None:
                seen.append(price(source).grams_per_kwh)

        provider = ScriptedProvider(hourly(100, 200), hourly(110, 210))
        source = live(provider, cache=Looking(None, "intensity", IntensitySettings()))
        source.refresh(hour(0))
        assert price(source).grams_per_kwh == 100
        source.refresh(hour(0.1))
        assert price(source).grams_per_kwh == 110
        assert seen == [100, 110]

    def test_an_empty_or_backward_interval_has_the_value_at_its_end(self) -> None:
        source = known(100, 200)
        assert source.over(hour(1.5), hour(1.5)).grams_per_kwh == 200
        assert source.over(hour(1.5), hour(0.5)).grams_per_kwh == 100

    def test_nothing_changed_is_the_same_object(self) -> None:
        """In one point, over a step between equal points, and on the fallback."""
        source = known(100, 100, 200)
        first = source.over(hour(0), hour(0.1))
        assert source.over(hour(0.1), hour(0.2)) is first
        assert source.at(hour(0.2)) is first
        second = source.over(hour(1.1), hour(1.2))  # a forecast: another provenance
        assert source.over(hour(1.2), hour(1.3)) is second
        away = source.over(hour(7), hour(7.1))
        assert source.over(hour(7.1), hour(7.2)) is away

    def test_a_fallback_with_steps_of_its_own_is_exact_too(self) -> None:
        """The fallback is 50 in hour 7 and 150 from 8 on."""
        weekly = live(ScriptedProvider(hourly(*[10] * 7, 50, 150)), max_age_h=100, fallback=None)
        weekly.refresh(hour(0))
        source = known(100, 200, fallback=weekly)
        assert source.over(hour(7.5), hour(8.5)) == replace(
            weekly.at(hour(8.5)), grams_per_kwh=100, fallback=True
        )
        # 5.5 to 6 at 200, 6 to 7 at 10, 7 to 8 at 50, 8 to 8.5 at 150: 235 over 3 hours
        assert source.over(hour(5.5), hour(8.5)).grams_per_kwh == pytest.approx(235 / 3, rel=1e-9)

    @settings(max_examples=200, deadline=None)
    @given(
        lengths=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), min_size=1, max_size=6),
        fetched_s=st.integers(0, 30),
        max_age_s=st.integers(0, 12),
        start_s=st.integers(-5, 40),
        length_s=st.integers(1, 20),
    )
    def test_it_is_the_integral_of_the_moments(
        self, lengths: list[tuple[int, int]], fetched_s: int, max_age_s: int, start_s: int, length_s: int
    ) -> None:
        """Whatever the gaps and ages; all steps lie on seconds, but for giving up, which is 1 ns later."""
        points, end_s = [], 0
        for index, (length, gap) in enumerate(lengths):
            begin = EPOCH_NS + end_s * S_NS
            points.append(Point(begin, begin + length * S_NS, 10.0 * (index + 1)))
            end_s += length + gap
        source = live(
            ScriptedProvider(Series(points=tuple(points), provider="energy-charts")),
            max_age_h=max_age_s / 3600,
        )
        source.refresh(EPOCH_NS + fetched_s * S_NS)
        start_ns = EPOCH_NS + start_s * S_NS
        moments = [source.at(start_ns + second * S_NS + 1).grams_per_kwh for second in range(length_s)]
        mean = source.over(start_ns, start_ns + length_s * S_NS)
        assert mean.grams_per_kwh == pytest.approx(sum(moments) / length_s, rel=1e-6)
        assert mean.fallback == source.at(start_ns + length_s * S_NS - 1).fallback


class TestPace:
    """When it asks again."""

    def test_a_success_waits_the_interval_a_tenth_more_or_less(self) -> None:
        pace = Pace(900 * S_NS, 300 * S_NS, random.Random(1))
        waits = [pace.succeeded() for _ in range(200)]
        assert 810 <= min(waits) < 820
        assert 980 < max(waits) <= 990

    def test_never_sooner_than_the_provider_allows(self) -> None:
        """Nor in step with other nodes then."""
        pace = Pace(60 * S_NS, 300 * S_NS, random.Random(1))
        waits = [pace.succeeded() for _ in range(200)]
        assert min(waits) == 300
        assert 325 < max(waits) <= 330

    def test_failures_back_off_to_an_hour(self) -> None:
        """Between 30 s and a bound that doubles; a success starts anew."""
        pace = Pace(900 * S_NS, 300 * S_NS, random.Random(1))
        for bound_s in (60, 120, 240, 480, 960, 1920, 3600, 3600, 3600):
            assert 30 <= pace.failed("timeout", None) <= bound_s
        many = [pace.failed("timeout", None) for _ in range(200)]
        assert max(many) > 3000
        assert max(many) <= 3600
        pace.succeeded()
        assert pace.failed("timeout", None) <= 60

    @pytest.mark.parametrize("reason", ["no_key", "unauthorized", "plan"])
    def test_what_a_person_must_mend_is_asked_for_rarely(self, reason: str) -> None:
        pace = Pace(900 * S_NS, 300 * S_NS, random.Random(1))
        assert 900 <= pace.failed(reason, None) <= 1800
        waits = [pace.failed(reason, None) for _ in range(200)]
        assert min(waits) >= 900
        assert max(waits) <= 3600

    def test_the_server_says_how_long_at_least(self) -> None:
        pace = Pace(900 * S_NS, 300 * S_NS, random.Random(1))
        assert pace.failed("rate_limited", 7200) == 7200
        assert pace.failed("rate_limited", 10**9) == 86400
        assert pace.failed("rate_limited", None) >= 300
        assert pace.failed("server_error", 5) >= 30

    def test_the_source_goes_by_it(self) -> None:
        steps = (FetchError("rate_limited", "x", 5000), hourly(1))
        source = live(ScriptedProvider(*steps))
        assert source.refresh(hour(0)) == 5000
        assert 810 <= source.refresh(hour(0.5)) <= 990


class TestRefusals:
    """Answers that are not used."""

    @pytest.mark.parametrize("role", ["intensity", "market"])
    @pytest.mark.parametrize(
        ("series", "words"),
        [
            (hourly(1, kind="marginal"), "marginal"),
            (hourly(1, unit="percentile"), "percentiles"),
        ],
    )
    def test_a_steering_signal_is_never_booked(self, role: Role, series: Series, words: str) -> None:
        source = live(ScriptedProvider(series), role)
        source.refresh(hour(0))
        assert source.at(hour(0)).fallback
        assert source.health.errors == {"bad_data": 1}
        assert words in source.health.error
        assert "carbon.signal" in source.health.error

    def test_a_steering_signal_may_steer(self) -> None:
        source = live(ScriptedProvider(hourly(30, 60, unit="percentile", kind="marginal")), "signal")
        source.refresh(hour(0))
        assert source.health.up
        assert source.series(hour(0), hour(2)).unit == "percentile"

    @pytest.mark.parametrize(
        "points",
        [
            (),
            (Point(hour(0), hour(1), -1.0),),
            (Point(hour(0), hour(1), float("nan")),),
            (Point(hour(0), hour(1), float("inf")),),
            (Point(hour(0), hour(1), 5000.1),),
            (Point(hour(0), hour(0), 1.0),),
            (Point(hour(0), hour(2), 1.0), Point(hour(1), hour(3), 1.0)),
            (Point(hour(1), hour(2), 1.0), Point(hour(0), hour(1), 1.0)),
            tuple(Point(hour(0) + i, hour(0) + i + 1, 1.0) for i in range(20_001)),
        ],
    )
    def test_a_damaged_series_is_not_used(self, points: tuple[Point, ...]) -> None:
        source = live(ScriptedProvider(hourly(7), Series(points=points, provider="energy-charts")))
        source.refresh(hour(0))
        source.refresh(hour(0.2))
        assert source.health.errors == {"bad_data": 1}
        assert grams(source, 0.3) == (7, False)

    @pytest.mark.parametrize(
        "error",
        [ValueError("k3y"), KeyError("k3y"), OverflowError("k3y"), OSError("k3y"), RecursionError("k3y")],
    )
    def test_an_answer_nobody_thought_of_is_bad_data_and_not_repeated(
        self, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        source = live(ScriptedProvider(error))
        source.refresh(hour(0))
        assert source.health.errors == {"bad_data": 1}
        assert type(error).__name__ in source.health.error
        assert "k3y" not in source.health.error + caplog.text

    def test_stale_data_is_no_data_and_what_was_known_stays(self) -> None:
        """At hour 8 the new answer ends at hour 1, the old one at 6."""
        source = live(ScriptedProvider(hourly(1, 2, 3, 4, 5, 6), hourly(9)))
        source.refresh(hour(5))
        source.refresh(hour(8))
        assert source.health.errors == {"no_data": 1}
        assert "too old: it held until 2026-01-01T01:00:00Z" in source.health.error
        assert grams(source, 8) == (6, False)

    def test_a_clock_that_is_far_off_is_named(self, caplog: pytest.LogCaptureFixture) -> None:
        """The provider lives a day ahead of us, then five hours ahead with a value that still covers."""
        ahead = hourly(1, 2, first=24, generated_ns=hour(24))
        overlapping = hourly(*[1] * 6, generated_ns=hour(5.5))
        source = live(ScriptedProvider(ahead, overlapping, overlapping))
        source.refresh(hour(0))
        assert source.health.errors == {"no_data": 1}
        assert "all values lie in the future, from 2026-01-02T00:00:00Z on" in source.health.error
        assert "check the clock" in source.health.error
        assert source.at(hour(0)).fallback
        caplog.clear()
        source.refresh(hour(0.5))
        source.refresh(hour(0.7))
        doubts = [line for line in caplog.records if line.message == "carbon source from the future"]
        assert len(doubts) == 1
        assert "check the clock" in doubts[0].error
        assert source.health.up


class TestCourse:
    """What the outlook sees."""

    def test_the_new_word_wins_and_the_past_is_kept(self) -> None:
        """Hour 1 is revised from 20 to 25, hour 0 is only in the first answer, its hour 3 is gone."""
        source = live(ScriptedProvider(hourly(10, 20, 30, 40), hourly(25, 35, first=1)))
        source.refresh(hour(0))
        source.refresh(hour(1.5))
        course = source.series(hour(-9), hour(9))
        assert [(p.start_ns, p.end_ns, p.value) for p in course.points] == [
            (hour(0), hour(1), 10),
            (hour(1), hour(2), 25),
            (hour(2), hour(3), 35),
        ]
        assert course.fetched_ns == hour(1.5)

    def test_a_forecast_that_nobody_revised_stays_an_estimate(self) -> None:
        """Hour 1 was forecast at hour 0; the next answer, at 2, begins with hour 2."""
        source = live(ScriptedProvider(hourly(10, 20), hourly(30, first=2)))
        source.refresh(hour(0))
        source.refresh(hour(2))
        assert [(p.value, p.estimated) for p in source.series(hour(0), hour(9)).points] == [
            (10, False),
            (20, True),
            (30, False),
        ]

    def test_only_the_newest_answer_prices(self) -> None:
        """At hour 1.5 the first answer's forecast of hour 3 is no word on prices any more."""
        source = live(ScriptedProvider(hourly(10, 20, 30, 40), hourly(25, first=1)), max_age_h=1)
        source.refresh(hour(0))
        assert grams(source, 0.9) == (10, False)
        source.refresh(hour(1.5))
        assert grams(source, 2.4) == (25, False)
        assert grams(source, 3.1) == (400, True)

    def test_a_point_is_cut_where_the_new_ones_begin_and_end(self) -> None:
        """One old point of six hours around a new hour: two pieces are left."""
        wide = Series(points=(Point(hour(0), hour(6), 1.0),), provider="energy-charts", grid_zone="DE")
        source = live(ScriptedProvider(wide, hourly(2, first=2)))
        source.refresh(hour(0))
        source.refresh(hour(5))
        assert [(p.start_ns, p.end_ns, p.value) for p in source.series(hour(0), hour(9)).points] == [
            (hour(0), hour(2), 1),
            (hour(2), hour(3), 2),
            (hour(3), hour(5), 1),
        ]

    def test_a_week_is_kept(self) -> None:
        """Of ten days in steps of an hour, asked every hour, seven days and the present are left."""
        source = live(ScriptedProvider(*(hourly(number, first=number) for number in range(241))))
        for number in range(241):
            source.refresh(hour(number))
        course = source.series(0, 1 << 62)
        assert course.points[0].start_ns == hour(240 - 7 * 24)
        assert len(course.points) == 7 * 24 + 1

    def test_a_span_has_the_points_that_reach_into_it(self) -> None:
        source = known(1, 2, 3, 4)
        assert [p.value for p in source.series(hour(1), hour(2.5)).points] == [2, 3]
        assert source.series(hour(9), hour(10)) is None

    def test_what_was_given_up_has_no_course(self) -> None:
        """An outlook from a source that has been gone for six hours would be one of the past."""
        source = known(*range(100, 124))
        source.notice(hour(5))
        assert source.series(hour(5), hour(9)) is not None
        source.notice(hour(7))
        assert source.series(hour(7), hour(9)) is None

    def test_another_kind_of_series_starts_anew(self) -> None:
        """Lifecycle and direct are not ranked against each other."""
        source = live(ScriptedProvider(hourly(10), hourly(20, first=1, basis="direct")))
        source.refresh(hour(0))
        source.refresh(hour(1))
        assert [p.value for p in source.series(hour(0), hour(9)).points] == [20]


class TestWords:
    """What is logged and exported."""

    def test_each_change_is_said_once(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "wattledger")
        timeout, refused = FetchError("timeout", "grid/: slow"), FetchError("unauthorized", "check the key")
        steps = (
            hourly(1),
            timeout,
            timeout,
            refused,
            timeout,
            timeout,
            hourly(2, first=9),
            hourly(3, first=9),
        )
        source = live(ScriptedProvider(*steps))
        for at in (0, 1, 2, 3, 4, 8, 9, 9.5):
            source.refresh(hour(at))
        lines = [(line.levelname, line.message) for line in caplog.records]
        assert lines == [
            ("WARNING", "carbon source failed"),
            ("WARNING", "carbon source failed"),
            ("WARNING", "carbon source on fallback"),
            ("INFO", "carbon source works again"),
            ("INFO", "carbon source off fallback"),
        ]
        first, second, fallback = caplog.records[:3]
        assert (first.role, first.provider, first.reason, first.error) == (
            "intensity",
            "energy-charts",
            "timeout",
            "grid/: slow",
        )
        assert second.reason == "unauthorized"
        assert (fallback.fallback, fallback.fallback_g_per_kwh) == ("table", 400)

    def test_time_alone_puts_prices_on_the_fallback(self, caplog: pytest.LogCaptureFixture) -> None:
        """Between two tries that are far apart."""
        source = known(100)
        source.notice(hour(5))
        assert "on fallback" not in caplog.text
        source.notice(hour(7.1))
        source.notice(hour(7.2))
        assert caplog.text.count("on fallback") == 1

    def test_health(self) -> None:
        source = live(ScriptedProvider(FetchError("timeout", "slow"), hourly(1), FetchError("tls", "bad")))
        assert (source.health.up, source.health.last_success_ns, source.health.errors) == (False, 0, {})
        before = source.health
        source.refresh(hour(0))
        assert (source.health.up, source.health.errors, source.health.error) == (
            False,
            {"timeout": 1},
            "slow",
        )
        assert before.errors == {}
        source.refresh(hour(0.1))
        assert (source.health.up, source.health.last_success_ns, source.health.error) == (True, hour(0.1), "")
        source.refresh(hour(0.2))
        assert (source.health.up, source.health.last_success_ns) == (False, hour(0.1))
        assert source.health.errors == {"timeout": 1, "tls": 1}


def test_nobody_waits_while_a_request_hangs() -> None:
    """Prices are asked for by the hundred, and the request that began before them is still under way."""
    arrived = threading.Event()

    def hang(exchange: Exchange) -> None:
        arrived.set()
        exchange.hang()

    body = b'{"unix_seconds":[%d,%d],"co2eq":[100,200],"co2eq_forecast":[null,null]}'
    body = body % (EPOCH_NS // S_NS, hour(1) // S_NS)
    with HostileServer(answer(body)) as server:
        configured = IntensitySettings(
            provider="energy-charts", grid_zone="de", url=server.url, max_age_ns=6 * HOUR_NS
        )
        provider = build_provider(configured, lambda: "")
        source = LiveSource("intensity", provider, HttpGet(environ={}, total_s=60), configured)
        source.refresh(hour(0))
        assert source.at(hour(0)).grams_per_kwh == 100
        server.behave = hang
        refreshing = threading.Thread(target=source.refresh, args=(hour(0.5),))
        refreshing.start()
        assert arrived.wait(30)
        for tick in range(500):
            moment = hour(0.5) + tick * 5 * S_NS
            assert source.over(moment, moment + 5 * S_NS).grams_per_kwh in {100, 200}
            assert source.at(moment).grams_per_kwh in {100, 200}
            assert source.series(moment, moment + HOUR_NS) is not None
            assert source.health.up
        assert refreshing.is_alive()
    refreshing.join(30)
    assert source.health.errors == {"connect": 1}
