"""The thread behind the live sources."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.hostile_server import Exchange, HostileServer
from tests.scripted_provider import ScriptedProvider, hourly
from wattledger.carbon.intensity import world_average
from wattledger.carbon.live.http import HttpGet
from wattledger.carbon.live.source import LiveSource
from wattledger.carbon.providers.registry import build_provider
from wattledger.carbon.watch import CarbonWatch
from wattledger.clock import ManualClock, SystemClock
from wattledger.model import FeedHealth, Outlook
from wattledger.settings import IntensitySettings

WAIT_S = 30.0


class Tracked:
    """A feed that is due every `every_s` and calls `act` each time."""

    def __init__(
        self, every_s: float = 900, first_s: float = 0, act: Callable[[int], None] = lambda _: None
    ) -> None:
        self.every_s = every_s
        self.first_s = first_s
        self.act = act
        self.refreshed_ns: list[int] = []
        self.noticed_ns: list[int] = []
        self.health = FeedHealth(role="intensity", provider="table", up=True, last_success_ns=1, errors={})

    def first_due_s(self, now_ns: int) -> float:
        return self.first_s

    def refresh(self, now_ns: int) -> float:
        self.refreshed_ns.append(now_ns)
        self.act(now_ns)
        return self.every_s

    def notice(self, now_ns: int) -> None:
        self.noticed_ns.append(now_ns)


def outlook_of(now_ns: int) -> Outlook:
    return Outlook(source=world_average(), generated_ns=now_ns)


def test_feeds_are_refreshed_when_they_are_due_and_the_outlook_every_minute() -> None:
    clock = ManualClock()
    often, rarely, later = Tracked(every_s=100), Tracked(every_s=1000), Tracked(first_s=30)
    watch = CarbonWatch((often, rarely, later), clock, outlook_of)
    assert watch.outlook is None
    assert watch.turn() == 30
    assert [len(feed.refreshed_ns) for feed in (often, rarely, later)] == [1, 1, 0]
    assert watch.outlook.generated_ns == clock.wall_ns()
    first = watch.outlook
    clock.advance(29)
    assert watch.turn() == 1
    assert watch.outlook is first
    clock.advance(1)
    assert watch.turn() == 60
    assert [len(feed.refreshed_ns) for feed in (often, rarely, later)] == [1, 1, 1]
    assert watch.outlook.generated_ns == clock.wall_ns()
    clock.advance(60)
    watch.turn()
    assert watch.outlook.generated_ns == clock.wall_ns()
    assert often.noticed_ns[-1] == clock.wall_ns()
    clock.advance(10)
    watch.turn()
    assert [len(feed.refreshed_ns) for feed in (often, rarely, later)] == [2, 1, 1]
    assert watch.outlook.generated_ns == clock.wall_ns()


def test_without_feeds_or_outlook_there_is_nothing_to_do() -> None:
    watch = CarbonWatch((), ManualClock())
    assert watch.turn() == 60
    assert (watch.outlook, watch.health()) == (None, ())


def test_a_clock_that_is_set_does_not_change_when_a_feed_is_due() -> None:
    """Due by the time since boot, asked with wall time."""
    clock = ManualClock()
    feed = Tracked(every_s=100)
    watch = CarbonWatch((feed,), clock)
    watch.turn()
    clock.epoch_ns -= 10**18
    clock.advance(50)
    watch.turn()
    assert len(feed.refreshed_ns) == 1
    clock.advance(50)
    watch.turn()
    assert feed.refreshed_ns[1] == clock.wall_ns()


def test_a_suspended_machine_finds_its_feeds_due() -> None:
    clock = ManualClock()
    feed = Tracked(every_s=100)
    watch = CarbonWatch((feed,), clock)
    watch.turn()
    clock.suspend(3600)
    watch.turn()
    assert len(feed.refreshed_ns) == 2


def test_the_start_waits_for_the_first_answer_and_the_end_for_nothing() -> None:
    source = LiveSource(
        "intensity",
        ScriptedProvider(hourly(50)),
        HttpGet(environ={}),
        IntensitySettings(max_age_ns=1 << 62),
    )
    watch = CarbonWatch((source,), ManualClock(), outlook_of)
    watch.start(WAIT_S)
    try:
        assert source.at(ManualClock().wall_ns()).grams_per_kwh == 50
        assert watch.outlook is not None
        assert [feed.up for feed in watch.health()] == [True]
    finally:
        watch.stop()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "carbon"] or [None]
    if thread is not None:
        thread.join(WAIT_S)
        assert not thread.is_alive()


def test_a_request_that_hangs_holds_up_neither_start_nor_stop_nor_a_reader() -> None:
    """The server never answers; the request is still under way after all of that."""
    arrived = threading.Event()

    def hang(exchange: Exchange) -> None:
        arrived.set()
        exchange.hang()

    with HostileServer(hang) as server:
        configured = IntensitySettings(provider="energy-charts", grid_zone="de", url=server.url)
        source = LiveSource(
            "intensity",
            build_provider(configured, lambda: ""),
            HttpGet(environ={}, total_s=600),
            configured,
        )
        watch = CarbonWatch((source,), SystemClock(), outlook_of)
        watch.start(0.05)
        assert arrived.wait(WAIT_S)
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "carbon"]
        assert source.at(0) == world_average()
        assert [feed.up for feed in watch.health()] == [False]
        assert watch.outlook is None
        watch.stop()
        assert thread.is_alive()
        assert thread.daemon
    thread.join(WAIT_S)
    assert not thread.is_alive()


class Shown:
    """What `threading.excepthook` was shown, the first of which can be waited for."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._first = threading.Event()

    def __call__(self, shown: threading.ExceptHookArgs) -> None:
        self.words.append(str(shown.exc_value))
        self._first.set()

    def settle(self) -> list[str]:
        assert self._first.wait(WAIT_S)
        return self.words


@pytest.fixture
def defects(monkeypatch: pytest.MonkeyPatch) -> Shown:
    shown = Shown()
    monkeypatch.setattr(threading, "excepthook", shown)
    return shown


def raising(_: int) -> None:
    raise AttributeError("defect")


def test_a_defect_in_one_feed_is_shown_and_leaves_the_others_alone(defects: Shown) -> None:
    """The first refreshes of both happen, in two threads one after the other."""
    done = threading.Event()
    broken, good = Tracked(act=raising), Tracked(act=lambda _: done.set())
    clock = ManualClock()
    watch = CarbonWatch((broken, good), clock, outlook_of)
    watch.start(WAIT_S)
    try:
        assert done.wait(WAIT_S)
        assert defects.settle() == ["defect"]
        assert [feed.up for feed in watch.health()] == [False, True]
        assert "defect" in watch.health()[0].error
        assert len(broken.refreshed_ns) == 1
    finally:
        watch.stop()


def test_what_raised_rests_for_an_hour() -> None:
    clock = ManualClock()
    broken, good = Tracked(act=raising), Tracked(every_s=100)
    watch = CarbonWatch((broken, good), clock, outlook_of)
    with pytest.raises(AttributeError):
        watch.turn()
    watch.turn()
    clock.advance(3599)
    watch.turn()
    assert (len(broken.refreshed_ns), len(good.refreshed_ns)) == (1, 2)
    broken.act = lambda _: None
    clock.advance(1)
    watch.turn()
    assert len(broken.refreshed_ns) == 2
    assert watch.health()[0].up


def test_an_outlook_that_raises_is_taken_back(defects: Shown) -> None:
    """The one before would be shown for an hour otherwise; prices go on."""
    clock = ManualClock()
    feed = Tracked(every_s=900)
    watch = CarbonWatch((feed,), clock, outlook_of)
    watch.turn()
    assert watch.outlook is not None
    watch._make_outlook = raising
    clock.advance(61)
    watch.start(WAIT_S)
    assert defects.settle() == ["defect"]
    watch.stop()
    assert watch.outlook is None
    assert watch.health()[0].up


def test_an_outlook_that_raised_rests_while_the_feeds_go_on() -> None:
    """Looked at every minute all the same: a machine that was suspended finds its feeds due."""
    clock = ManualClock()
    feed = Tracked(every_s=900)
    watch = CarbonWatch((feed,), clock, raising)
    with pytest.raises(AttributeError):
        watch.turn()
    assert watch.turn() == 60
    clock.advance(900)
    watch.turn()
    assert len(feed.refreshed_ns) == 2
    watch._make_outlook = outlook_of
    clock.advance(2700)
    watch.turn()
    assert watch.outlook.generated_ns == clock.wall_ns()
