"""What `wattledger intensity` and `wattledger best-window` plan, say and wait for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from tests.carbon_courses import HOUR_NS, MIDNIGHT_NS, course_of
from wattledger.carbon.intensity import IntensitySource, Static, world_average
from wattledger.carbon.live.fetch import FetchError, Get, Reply, Request
from wattledger.carbon.live.source import LiveSource
from wattledger.carbon.series import Point, Series
from wattledger.cli import grid_words
from wattledger.cli.best_window import NO_FORECAST_STATUS, WAIT_STATUS, run_then, show
from wattledger.cli.best_window_report import as_json as plan_as_json
from wattledger.cli.best_window_report import as_line, as_unix
from wattledger.cli.best_window_report import as_text as plan_as_text
from wattledger.cli.grid_source import Grid
from wattledger.cli.intensity_report import as_json, as_text, look
from wattledger.cli.window_plan import LOOK_S, Plan, Wish, plan, wait
from wattledger.clock import ManualClock
from wattledger.exposition.amounts import NOTHING
from wattledger.model import S_NS, FeedHealth
from wattledger.settings import IntensitySettings, Settings

MINUTE_NS = 60 * S_NS
VALLEY = [200.0] * 12 + [100.0] * 2 + [200.0] * 11  # from noon to two o'clock


def at(hours: float) -> int:
    return MIDNIGHT_NS + round(hours * HOUR_NS)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is an hour ahead of UTC."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@dataclass
class Scripted:
    """A provider that answers what it is told to; None is a failure."""

    answer: Series | None
    name: str = "energy-charts"
    min_refresh_ns: int = MINUTE_NS
    asked: int = 0

    def fetch(self, get: Get, now_ns: int) -> Series:
        self.asked += 1
        if self.answer is None:
            raise FetchError("connect", "energy-charts: nobody answers")
        return self.answer


def never(request: Request) -> Reply:
    raise AssertionError("no request is made")


@dataclass
class Host:
    """A clock that sleeping moves on, and a live source that is asked again every quarter of an hour."""

    provider: Scripted
    clock: ManualClock = field(default_factory=lambda: ManualClock(now_ns=0))
    max_age_ns: int = 6 * HOUR_NS
    fallback: IntensitySource | None = None
    naps: list[float] = field(default_factory=list)
    events: dict[int, Callable[[], object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = IntensitySettings(provider="energy-charts", max_age_ns=self.max_age_ns)
        self.source = LiveSource("signal", self.provider, never, settings, fallback=self.fallback)
        self.source.refresh(self.clock.wall_ns())
        self._refreshed_ns = self.clock.wall_ns()

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.clock.advance(seconds)
        now_ns = self.clock.wall_ns()
        for when in [when for when in self.events if when <= now_ns]:
            self.events.pop(when)()
        if now_ns - self._refreshed_ns >= 15 * MINUTE_NS:
            self.source.refresh(now_ns)
            self._refreshed_ns = now_ns
        self.source.notice(now_ns)

    def open(self, settings: Settings) -> AbstractContextManager[Grid]:
        return grid_of(self.source, self.clock, feeds=(self.source.health,))


@contextmanager
def grid_of(
    steers: IntensitySource,
    clock: ManualClock,
    books: IntensitySource | None = None,
    feeds: tuple[FeedHealth, ...] = (),
) -> Iterator[Grid]:
    yield Grid(books=books or steers, steers=steers, clock=clock, feeds=feeds)


def two_hours(now_ns: int, deadline: float = 24) -> Wish:
    return Wish(duration_ns=2 * HOUR_NS, latest_start_ns=at(deadline) - 2 * HOUR_NS)


def planned(host: Host, wish: Wish | None = None) -> Plan:
    now_ns = host.clock.wall_ns()
    found = plan(host.source, wish or two_hours(now_ns), now_ns)
    assert found is not None
    return found


def waited(host: Host, wish: Wish | None = None) -> tuple[Plan, list[str]]:
    """What was waited for, and what was told on the way."""
    told: list[str] = []
    wish = wish or two_hours(host.clock.wall_ns())
    held = wait(
        planned(host, wish),
        lambda now_ns: plan(host.source, wish, now_ns),
        host.clock,
        host.sleep,
        lambda newer: told.append(as_line(newer)),
    )
    return held, told


def test_the_plan_is_the_valley() -> None:
    """Two hours at 100 from noon instead of 200 now."""
    found = planned(Host(Scripted(course_of(VALLEY))))
    assert (found.start_ns, found.mean, found.now_mean) == (at(12), 100.0, 200.0)
    assert (found.savings_ratio, found.wait_ns) == (0.5, 12 * HOUR_NS)
    assert found.known_until_ns == at(24)


def test_the_deadline_comes_first() -> None:
    """Done by 13:00 means one of the two low hours."""
    host = Host(Scripted(course_of(VALLEY)))
    found = planned(host, two_hours(at(0), deadline=13))
    assert (found.start_ns, found.mean) == (at(11), 150.0)


def test_the_deadline_comes_first_within_a_step_too() -> None:
    """Done by 12:30 means half of the first low hour, though the forecast has the whole of it."""
    host = Host(Scripted(course_of(VALLEY)))
    found = planned(host, two_hours(at(0), deadline=12.5))
    assert (found.start_ns, found.mean) == (at(10.5), 175.0)


def test_a_saving_too_small_is_not_waited_for() -> None:
    """50 % are there: they are waited for at 50, and not at 51."""
    host = Host(Scripted(course_of(VALLEY)))
    assert planned(host, replace(two_hours(at(0)), min_saving=0.50)).start_ns == at(12)
    found = planned(host, replace(two_hours(at(0)), min_saving=0.51))
    assert (found.start_ns, found.mean, found.wait_ns) == (at(0), 200.0, 0)


def test_without_a_course_there_is_no_plan() -> None:
    """A static source, and a forecast that is shorter than what is to run."""
    assert plan(Static(world_average()), two_hours(at(0)), at(0)) is None
    short = Host(Scripted(course_of([100.0])))
    assert plan(short.source, two_hours(at(0)), at(0)) is None


def test_percentiles_plan_without_a_saving() -> None:
    """The lowest mean percentile is the best time; a ratio of percentiles says nothing."""
    values = [value / 10 for value in VALLEY]
    found = planned(Host(Scripted(course_of(values, unit="percentile", kind="marginal"))))
    assert (found.start_ns, found.mean, found.savings_ratio) == (at(12), 10.0, None)
    assert "saving" not in plan_as_text(found)
    assert "percentile 10, percentile 20 if started now" in plan_as_text(found)


def test_waiting_ends_at_the_start_and_sleeps_a_minute_at_most() -> None:
    """By the wall clock, to the nanosecond."""
    host = Host(Scripted(course_of(VALLEY)))
    held, told = waited(host)
    assert (held.start_ns, host.clock.wall_ns()) == (at(12), at(12))
    assert told == []
    assert max(host.naps) == LOOK_S


def test_waiting_follows_the_forecast() -> None:
    """At six the valley is forecast for eight instead of noon."""
    host = Host(Scripted(course_of(VALLEY)))
    earlier = course_of([200.0] * 8 + [100.0] * 2 + [200.0] * 15)

    def change() -> None:
        host.provider.answer = earlier

    host.events[at(6)] = change
    held, told = waited(host)
    assert host.clock.wall_ns() == held.start_ns == at(8)
    assert len(told) == 1
    assert "09:00 CET (08:00 UTC)" in told[0]


def test_forecasts_that_always_promise_better_do_not_pass_the_deadline() -> None:
    """Every answer has its valley six hours ahead; once that is too late, now is as good as any time."""
    host = Host(Scripted(None))

    def promise(now_ns: int) -> Series:
        hour = (now_ns - MIDNIGHT_NS) // HOUR_NS
        return course_of([200.0] * (hour + 6) + [100.0] + [200.0] * 40)

    host.provider.answer = promise(at(0))
    host.source.refresh(at(0))
    for hour in range(1, 30):
        host.events[at(hour)] = lambda hour=hour: setattr(host.provider, "answer", promise(at(hour)))
    held, told = waited(host, two_hours(at(0), deadline=20))
    assert held.start_ns == host.clock.wall_ns() == at(14)  # from then on the valley is past the deadline
    assert len(told) > 5


def test_the_last_moment_is_not_missed() -> None:
    """Where it gets better and better until the deadline and beyond."""
    host = Host(Scripted(course_of([400.0 - 10 * hour for hour in range(36)])))
    held, _ = waited(host, two_hours(at(0), deadline=20))
    assert held.start_ns == host.clock.wall_ns() == at(18)


def test_waiting_goes_on_through_a_failing_provider() -> None:
    """All fail from one o'clock on, and from seven on what is known counts as too old: the plan holds."""
    host = Host(Scripted(course_of(VALLEY)))
    host.events[at(1)] = lambda: setattr(host.provider, "answer", None)
    held, told = waited(host)
    assert host.clock.wall_ns() == held.start_ns == at(12)
    assert told == []
    assert host.source.at(at(12)).fallback
    assert plan(host.source, two_hours(at(0)), at(12)) is None


def test_a_fallback_does_not_overrule_the_source() -> None:
    """Its week has another valley, which counts only while there is nothing better."""
    week = Host(Scripted(course_of([200.0] * 9 + [50.0] * 2 + [200.0] * 14))).source
    host = Host(Scripted(course_of(VALLEY)), max_age_ns=HOUR_NS, fallback=week)
    host.events[at(1)] = lambda: setattr(host.provider, "answer", None)
    held, _ = waited(host)
    assert (held.start_ns, held.source.fallback) == (at(12), False)


def test_the_source_overrules_a_fallback() -> None:
    """A provider that comes back is what counts."""
    week = Host(Scripted(course_of([200.0] * 9 + [50.0] * 2 + [200.0] * 14))).source
    host = Host(Scripted(None), fallback=week)
    first = planned(host)
    assert (first.start_ns, first.source.fallback) == (at(9), True)
    host.events[at(1)] = lambda: setattr(host.provider, "answer", course_of(VALLEY))
    held, told = waited(host)
    assert (held.start_ns, held.source.fallback) == (at(12), False)
    assert len(told) == 1


def test_a_forecast_that_got_shorter_does_not_hasten() -> None:
    """At one the answer ends at five: nothing in it is as good as what was planned for noon."""
    host = Host(Scripted(course_of(VALLEY)))
    host.events[at(1)] = lambda: setattr(
        host.provider, "answer", course_of([200.0, 200.0, 200.0, 180.0, 180.0])
    )
    held, _ = waited(host)
    assert held.start_ns == at(12)


def test_a_clock_that_is_set_forward_ends_the_wait() -> None:
    """What counts is the wall clock: after a suspend, or a step, of a day it is time."""
    host = Host(Scripted(course_of(VALLEY)))
    host.events[at(2)] = lambda: host.clock.suspend(24 * 3600)
    waited(host)
    assert host.clock.wall_ns() - at(26) < 2 * MINUTE_NS


def run_on(
    host: Host, *command: str, otherwise: str = "run", deadline: float = 24
) -> tuple[int, list[tuple[str, ...]]]:
    """The exit status and what was run."""
    ran: list[tuple[str, ...]] = []

    def run(started: Sequence[str]) -> int:
        ran.append(tuple(started))
        return 7

    status = run_then(
        command,
        Settings(),
        lambda now_ns: two_hours(now_ns, deadline),
        host.open,
        otherwise=otherwise,
        sleep=host.sleep,
        run=run,
    )
    return status, ran


def test_the_command_is_run_at_the_best_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Its status is the result; what is said goes to standard error."""
    host = Host(Scripted(course_of(VALLEY)))
    assert run_on(host, "true", "--flag") == (7, [("true", "--flag")])
    assert host.clock.wall_ns() == at(12)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "wattledger: waiting 12 h until Thu 01 Jan 13:00 CET (12:00 UTC): 100 g/kWh, 200 g/kWh if started"
        " now; saves 50 % (estimated, average basis)\n"
    )


def test_now_may_be_the_best_time(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is waited for then."""
    host = Host(Scripted(course_of([100.0] * 24)))
    assert run_on(host, "true") == (7, [("true",)])
    assert host.naps == []
    assert capsys.readouterr().err == "wattledger: the best time is now: 100 g/kWh\n"


def test_without_a_forecast_the_command_is_run_at_once_with_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And with `--otherwise fail` not at all."""
    host = Host(Scripted(None))
    assert run_on(host, "true") == (7, [("true",)])
    err = capsys.readouterr().err
    assert "no forecast: energy-charts (signal) failed: nobody answers" in err
    assert err.endswith("wattledger: starting at once\n")
    assert run_on(host, "true", otherwise="fail") == (NO_FORECAST_STATUS, [])
    assert host.naps == []


def test_a_command_that_does_not_exist_is_told_before_the_wait(capsys: pytest.CaptureFixture[str]) -> None:
    """Not twelve hours later."""
    host = Host(Scripted(course_of(VALLEY)))
    assert run_on(host, "no-such-command-here") == (127, [])
    assert host.naps == []
    assert capsys.readouterr().err == "wattledger: no-such-command-here: no such command\n"


def shown(host: Host, shape: str = "text", *, check: bool = False, otherwise: str = "fail") -> int:
    return show(Settings(), two_hours, host.open, shape=shape, check=check, otherwise=otherwise)


def test_the_check_is_an_exit_status() -> None:
    """75 while a better time is to come, 0 in it, 69 where nobody knows."""
    host = Host(Scripted(course_of(VALLEY)))
    assert shown(host) == 0
    assert shown(host, check=True) == WAIT_STATUS == 75
    host.clock.advance(12 * 3600)
    assert shown(host, check=True) == 0
    host.clock.advance(600)
    assert shown(host, check=True) == 0
    assert shown(Host(Scripted(None)), check=True) == NO_FORECAST_STATUS == 69
    assert shown(Host(Scripted(None)), check=True, otherwise="run") == 0


def test_the_text_says_when_what_and_from_whom(capsys: pytest.CaptureFixture[str]) -> None:
    """In local time and UTC."""
    shown(Host(Scripted(course_of(VALLEY, flow="consumption", licence="CC0"))))
    assert capsys.readouterr().out == (
        "start   Thu 01 Jan 13:00 CET (12:00 UTC), in 12 h\n"
        "end     Thu 01 Jan 15:00 CET (14:00 UTC)\n"
        "mean    100 g/kWh, 200 g/kWh if started now\n"
        "saving  50 %, estimated, average basis\n"
        "source  schedule, zone DE, lifecycle, average, consumption, estimated\n"
    )


def test_a_forecast_that_ends_before_the_deadline_is_told() -> None:
    """What comes after it may be better."""
    text = plan_as_text(planned(Host(Scripted(course_of(VALLEY[:20])))))
    assert "the forecast ends at Thu 01 Jan 21:00 CET, before the deadline" in text


def test_the_start_in_unix_time_is_never_before_the_window() -> None:
    """1767268800 is noon; half a second after it is the next second."""
    found = planned(Host(Scripted(course_of(VALLEY))))
    assert as_unix(found) == "1767268800\n"
    assert as_unix(replace(found, start_ns=found.start_ns + S_NS // 2)) == "1767268801\n"


def test_the_plan_as_json() -> None:
    """Base units, UTC, and the source."""
    told = plan_as_json(planned(Host(Scripted(course_of(VALLEY)))))
    source = told.pop("source")
    assert told == {
        "schema": 1,
        "time": "2026-01-01T00:00:00Z",
        "start": "2026-01-01T12:00:00Z",
        "end": "2026-01-01T14:00:00Z",
        "wait_seconds": 43200.0,
        "duration_seconds": 7200.0,
        "deadline": "2026-01-02T00:00:00Z",
        "forecast_until": "2026-01-02T00:00:00Z",
        "mean": 100.0,
        "now_mean": 200.0,
        "unit": "g/kWh",
        "savings_ratio": 0.5,
    }
    assert (source["provider"], source["kind"], source["fallback"]) == ("schedule", "average", False)


def replace_points(series: Series, *earlier: Point) -> Series:
    return msgspec.structs.replace(series, points=(*earlier, *series.points))


def page(host: Host, books: IntensitySource | None = None, width: int = 80) -> str:
    with grid_of(host.source, host.clock, books, (host.source.health,)) as grid:
        return as_text(look(grid), width)


def test_the_page_shows_now_the_next_day_and_the_best_times() -> None:
    """One line an hour, from the hour that it is."""
    host = Host(Scripted(course_of(VALLEY, flow="consumption", licence="CC0")))
    lines = page(host).splitlines()
    assert lines[:6] == [
        "now          200 g/kWh",
        "             schedule, zone DE, lifecycle, average, consumption",
        "             up to date, given up at 6 h",
        "             licence: CC0",
        "signal       amber",
        "",
    ]
    assert lines[6] == f"next 24 h    {'█' * 12}▁▁{'█' * 10}  100 to 200 g/kWh"
    assert lines[7] == "  01:00    200  " + "█" * 40
    assert lines[19] == "  13:00    100  " + "█" * 20
    assert len([line for line in lines if line.startswith("  ") and ":00 " in line]) == 24
    assert lines[-6].split() == ["best", "time", "start", "wait", "mean", "saving"]
    assert " ".join(lines[-4].split()) == "2 h Thu 01 Jan 13:00 CET 12 h 100 g/kWh 50 %"
    assert lines[-1] == "savings against starting now, estimated, average basis"


def test_the_page_fits_a_narrow_terminal() -> None:
    """No bar is broken, and the best times keep their start; how long to wait gives way."""
    assert max(map(len, page(Host(Scripted(course_of(VALLEY))), width=60).splitlines())) <= 60
    lines = page(Host(Scripted(course_of(VALLEY))), width=55).splitlines()
    assert max(map(len, lines)) <= 55
    assert lines[-6].split() == ["best", "time", "start", "mean", "saving"]
    assert " ".join(lines[-4].split()) == "2 h Thu 01 Jan 13:00 CET 100 g/kWh 50 %"
    narrow = page(Host(Scripted(course_of(VALLEY))), width=40).splitlines()
    bars = [line for line in narrow if line.startswith("  ") and line.endswith("█")]
    assert len(bars) == 24
    assert max(map(len, bars)) <= 40


def test_the_page_tells_what_steers_apart_from_what_is_booked() -> None:
    """Energy is priced with one source and planned by another."""
    host = Host(Scripted(course_of(VALLEY, kind="marginal", basis="direct")))
    text = page(host, books=Static(replace(world_average(), provider="static", fallback=False)))
    assert text.startswith("now          473 g/kWh\n             static, zone WORLD")
    assert "\nsteering by  200 g/kWh\n             schedule, zone DE, direct, marginal\n" in text
    assert text.endswith("savings against starting now, estimated, marginal basis\n")


def test_the_page_says_that_a_fallback_stands_in_and_why() -> None:
    """With what the provider said."""
    text = page(Host(Scripted(None)))
    assert "FALLBACK: the configured source gives no value now; this one stands in" in " ".join(text.split())
    assert "energy-charts (signal) failed: nobody answers\n" in text
    assert text.endswith("\n\nno forecast while that lasts\n")


def test_a_source_that_does_not_steer_is_not_why_there_is_no_forecast() -> None:
    """The market-based price fails, and the books have one number: its failure is told, and what to set."""
    failing = FeedHealth(
        role="market",
        provider="energy-charts",
        up=False,
        last_success_ns=0,
        errors={},
        error="nobody answers",
    )
    books = Static(replace(world_average(), provider="static", fallback=False))
    with grid_of(books, ManualClock(now_ns=0), feeds=(failing,)) as grid:
        text = as_text(look(grid), 80)
    assert "energy-charts (market) failed: nobody answers\n" in text
    assert "no forecast: the source that steers has no known course" in text


def test_with_nothing_configured_the_page_says_what_to_do() -> None:
    """The world average is shown as what it is."""
    with grid_of(Static(world_average()), ManualClock(now_ns=0)) as grid:
        text = as_text(look(grid), 80)
    words = " ".join(text.split())
    assert "FALLBACK: no source is configured, so this is the world average; set carbon.intensity," in words
    assert "such as {provider: table, grid_zone: DE}" in words
    assert "set carbon.signal.provider" in words
    assert "signal" not in words.split("no forecast")[0]
    assert max(map(len, text.splitlines())) <= 80


def test_hours_that_are_not_known_stay_empty() -> None:
    """A gap is a dash, not a zero."""
    lines = page(Host(Scripted(course_of([200.0, None, 100.0])))).splitlines()
    assert f"  02:00      {NOTHING}" in lines
    assert "next 24 h    █ ▁" + " " * 21 + "  100 to 200 g/kWh" in lines


def test_the_last_value_holds_until_the_forecast_begins() -> None:
    """At 200 up to 00:30, with a forecast of 100 from 01:00 on, looked at a quarter of an hour before it."""
    past = Point(at(0), at(0.5), 200.0)
    ahead = course_of([100.0] * 24, start_ns=at(1))
    host = Host(Scripted(replace_points(ahead, past)), clock=ManualClock(now_ns=round(0.75 * HOUR_NS)))
    with grid_of(host.source, host.clock) as grid:
        report = look(grid)
    assert report.hours[0].mean == 200.0
    assert report.outlook is not None
    assert [window.start_ns for window in report.outlook.windows] == [at(1)] * 4
    found = planned(host)
    assert (found.start_ns, found.now_mean) == (at(1), 112.5)  # an eighth of two hours at 200


def test_the_current_hour_is_what_is_left_of_it() -> None:
    """At half past, with 100 until then and 200 after, it is 200."""
    host = Host(Scripted(course_of(VALLEY)), clock=ManualClock(now_ns=1800 * S_NS))
    with grid_of(host.source, host.clock) as grid:
        hours = look(grid).hours
    assert (hours[0].start_ns, hours[0].mean) == (at(0), 200.0)
    assert hours[12].mean == 100.0
    assert len(hours) == 24


def test_the_report_as_json() -> None:
    """What is not known is null, and all of it is JSON."""
    host = Host(Scripted(course_of(VALLEY)))
    with grid_of(host.source, host.clock, Static(world_average()), (host.source.health,)) as grid:
        told = json.loads(json.dumps(as_json(look(grid)), allow_nan=False))
    assert (told["schema"], told["time"]) == (1, "2026-01-01T00:00:00Z")
    assert (told["intensity"]["value"], told["intensity"]["fallback"]) == (473.0, True)
    assert (told["steering"]["value"], told["steering"]["licence"]) == (200.0, None)
    outlook = told["outlook"]
    assert (outlook["signal"], outlook["unit"]) == ("amber", "g/kWh")
    assert outlook["means"] == {
        "1h": 200.0,
        "3h": 200.0,
        "6h": 200.0,
        "12h": 200.0,
        "24h": 191.66666666666666,
    }
    assert outlook["hours"][12] == {"start": "2026-01-01T12:00:00Z", "mean": 100.0}
    assert outlook["best_windows"][0] == {
        "duration_seconds": 3600.0,
        "start": "2026-01-01T12:00:00Z",
        "mean": 100.0,
        "now_mean": 200.0,
        "savings_ratio": 0.5,
    }
    (feed,) = told["feeds"]
    assert feed == {
        "role": "signal",
        "provider": "energy-charts",
        "up": True,
        "last_success": "2026-01-01T00:00:00Z",
        "error": None,
    }


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (18720, "5 h 12 min"),
        (86400, "24 h"),
        (183600, "2 d 3 h"),
        (-5, "0 s"),
    ],
)
def test_spans_of_time_as_a_person_says_them(seconds: int, said: str) -> None:
    """Two units at most."""
    assert grid_words.span(seconds * S_NS) == said


def test_a_sparkline_goes_from_the_lowest_to_the_highest() -> None:
    """Flat is low, nothing is nothing."""
    assert grid_words.sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert grid_words.sparkline([5, 5, None]) == "▁▁ "
    assert grid_words.sparkline([None]) == ""
    assert grid_words.bar(0, 0, 40) == ""
