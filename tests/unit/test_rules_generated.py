"""Rules for budgets over many nodes, tried by promtool on small fleets."""

from __future__ import annotations

import calendar as stdlib_calendar
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.promtool import expect, needs_promtool, promtool, run_test
from wattledger.rules import calendar
from wattledger.rules.budget import FleetBudget, Matcher
from wattledger.rules.check import unknown_names
from wattledger.rules.generate import END, groups
from wattledger.rules.selection import increase
from wattledger.rules.text import render
from wattledger.settings import Period

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PERIODS: tuple[Period, ...] = ("day", "week", "month", "quarter", "year")


def budget(**more: Any) -> FleetBudget:
    return FleetBudget(**{"name": "b", "limit_g": 10_000.0, "period": "month", **more})


def rules(*budgets: FleetBudget) -> str:
    return render(groups(budgets))


def node(name: str, **labels: str) -> str:
    more = "".join(f', {label}="{value}"' for label, value in labels.items())
    return f'wattledger_node_emissions_grams_total{{instance="{name}", job="w", component="cpu"{more}}}'


def workload(name: str, id: str, namespace: str = "", kind: str = "container") -> str:
    return (
        f'wattledger_workload_emissions_grams_total{{instance="{name}", job="w", kind="{kind}", id="{id}",'
        f' pod_namespace="{namespace}", component="cpu", mode="dynamic"}}'
    )


def consumed(at: str, value: float | None, period: str = "month") -> dict[str, Any]:
    """That so many grams were consumed at a time; None for no value at all."""
    samples = [] if value is None else [(f'{{budget="b", period="{period}"}}', value)]
    return expect('round(budget:wattledger_budget_consumed_grams:hourly{budget="b"}, 0.001)', at, *samples)


def firing(alert: str, at: str, window: str | None = None, severity: str = "warning", **labels: str) -> Any:
    """That an alert of the budget of a day fires at a time, or with window None that it does not."""
    query = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    if window is None:
        return expect(query, at)
    more = {"budget": "b", "period": "day", "severity": severity, "window": window, **labels}
    written = ", ".join(f'{label}="{value}"' for label, value in more.items() if value)
    return expect(query, at, (f'ALERTS{{alertname="{alert}", alertstate="firing", {written}}}', 1))


def bounds(period: Period, at: datetime) -> tuple[datetime, datetime]:
    """The calendar period around a moment, by the standard library."""
    day = at.replace(hour=0, minute=0, second=0)
    if period == "day":
        return day, day + timedelta(days=1)
    if period == "week":
        start = day - timedelta(days=day.weekday())
        return start, start + timedelta(days=7)
    months = {"month": 1, "quarter": 3, "year": 12}[period]
    first = (day.month - 1) // months * months + 1
    start = day.replace(month=first, day=1)
    days = sum(stdlib_calendar.monthrange(day.year, first + more)[1] for more in range(months))
    return start, start + timedelta(days=days)


@needs_promtool
@pytest.mark.parametrize("period", PERIODS)
def test_periods_begin_and_end_as_in_the_calendar(tmp_path: Path, period: Period) -> None:
    """In the first and last second of every month of four years, a leap year among them, and on leap day."""
    moments = [datetime(year, month, 1, tzinfo=UTC) for year in range(1970, 1974) for month in range(1, 13)]
    moments += [moment - timedelta(seconds=1) for moment in moments[1:]]
    moments += [datetime(1972, 2, 29, 12, tzinfo=UTC), datetime(1971, 7, 5, tzinfo=UTC)]  # a Monday
    moments += [datetime(1971, 7, 4, 23, 59, 59, tzinfo=UTC)]
    expectations = []
    for moment in moments:
        start, end = bounds(period, moment)
        at = f"{int((moment - EPOCH).total_seconds())}s"
        expectations.append(expect(calendar.start(period), at, ("{}", (start - EPOCH).total_seconds())))
        expectations.append(expect(calendar.end(period), at, ("{}", (end - EPOCH).total_seconds())))
    assert run_test(tmp_path, '{"groups": []}', [], expectations, interval="30d") == ""


@needs_promtool
def test_a_month_of_a_fleet_that_changes(tmp_path: Path) -> None:
    """Nodes of 60 and 120 g an hour: the one reboots on day 5, the other is there from day 10 to day 20.

    An hour counts once it is over; the new month begins with 0 and without the last hour of the old one.
    """
    series = [
        (node("n1"), "0+30x240 30+30x1400"),
        (node("n2"), "_x480 0+60x480 stale"),
    ]
    expectations = [
        consumed("30m", 0),
        consumed("1h", 60),
        consumed("1h30m", 60),
        consumed("10d", 240 * 60),
        consumed("20d1h", 481 * 60 + 240 * 120),
        consumed("30d23h30m", 743 * 60 + 240 * 120),
        consumed("31d", 0),
        consumed("31d30m", 0),
        consumed("31d1h", 60),
        consumed("31d2h30m", 120),
        expect(f"{END} / 86400", "31d", ('{budget="b", period="month"}', 59)),
    ]
    assert run_test(tmp_path, rules(budget()), series, expectations, interval="30m") == ""


@needs_promtool
def test_a_quarter_and_a_week_go_on_over_the_end_of_a_month(tmp_path: Path) -> None:
    """The quarter holds January and February; the week that began on Monday 26 January ends on 2 February."""
    both = rules(budget(name="b", period="quarter"), budget(name="w", period="week"))
    week = 'round(budget:wattledger_budget_consumed_grams:hourly{budget="w"}, 0.001)'
    expectations = [
        consumed("31d12h", (31 * 24 + 12) * 60, period="quarter"),
        expect(week, "31d12h", ('{budget="w", period="week"}', (6 * 24 + 12) * 60)),
        expect(week, "32d30m", ('{budget="w", period="week"}', 0)),
        expect(week, "32d1h", ('{budget="w", period="week"}', 60)),
    ]
    assert run_test(tmp_path, both, [(node("n1"), "0+30x1600")], expectations, interval="30m") == ""


@needs_promtool
def test_a_budget_goes_on_when_its_labels_and_its_period_are_changed(tmp_path: Path) -> None:
    """The hours from before keep their labels and still count: 3 as a week's of owner a, 3 as a month's."""
    series = [
        ('budget:wattledger_emissions_grams:increase1h{budget="b", period="week", owner="a"}', "60x6 stale"),
        (node("n1"), "_x6 180+30x20"),
    ]
    changed = rules(budget(labels={"owner": "b"}))
    total = 'budget:wattledger_budget_consumed_grams:hourly{budget="b", owner="b", period="month"}'
    expectations = [expect("budget:wattledger_budget_consumed_grams:hourly", "6h30m", (total, 360))]
    assert run_test(tmp_path, changed, series, expectations, interval="30m") == ""


@needs_promtool
def test_no_account_is_no_consumption_of_zero(tmp_path: Path) -> None:
    """Where nothing was ever counted there is no value, so that nothing looks good for lack of data."""
    assert run_test(tmp_path, rules(budget()), [("up", "1x100")], [consumed("1h30m", None)]) == ""


@needs_promtool
def test_an_agent_that_is_scraped_again_brings_the_rest_of_its_hour(tmp_path: Path) -> None:
    """20 minutes without scrapes within an hour lose nothing, since the counter went on."""
    series = [(node("n1"), "0+1x70 _x20 91+1x200")]
    assert run_test(tmp_path, rules(budget()), series, [consumed("2h30m", 120), consumed("3h", 180)]) == ""


@needs_promtool
def test_alerts_on_a_day_fire_and_clear(tmp_path: Path) -> None:
    """2.4 kg a day are 100 g an hour: 60 g for 2 h, 480 g for 2 h, 60 g again; told within 45 minutes."""
    series = [(node("n1"), "0+1x120 128+8x119 1081+1x600")]
    fast, exceeded = "WattledgerBudgetBurnFast", "WattledgerBudgetExceeded"
    projected = "WattledgerBudgetProjectedOverrun"
    expectations = [
        firing(fast, "2h40m"),
        firing(fast, "2h50m", "1h", team="ml"),
        firing(fast, "4h10m"),
        firing(projected, "1h"),
        firing(projected, "5h", "6h", severity="info", team="ml"),
        firing(projected, "14h"),
        firing(exceeded, "4h10m"),
    ]
    text = rules(budget(period="day", limit_g=2400.0, labels={"team": "ml"}))
    assert run_test(tmp_path, text, series, expectations) == ""


@needs_promtool
def test_slow_burn_and_exceeded_fire_and_clear_with_the_day(tmp_path: Path) -> None:
    """Twice the even pace for 13 h: 37.5 % of 2.88 kg after 4 h 30 min, all of it after 12 h."""
    series = [(node("n1"), "0+4x780 3120x900")]
    slow, exceeded = "WattledgerBudgetBurnSlow", "WattledgerBudgetExceeded"
    expectations = [
        firing(slow, "4h30m"),
        firing(slow, "5h", "6h", severity="info"),
        firing(slow, "14h"),
        firing(exceeded, "12h30m"),
        firing(exceeded, "13h10m", "", severity="info"),
        firing(exceeded, "1d10m"),
    ]
    text = rules(budget(period="day", limit_g=2880.0, severity="info"))
    assert run_test(tmp_path, text, series, expectations) == ""


@needs_promtool
def test_selecting_by_cluster_by_team_and_by_user(tmp_path: Path) -> None:
    """Each counts its own 60 g an hour and nobody else's, over a rename and after the end of a job."""
    info = 'wattledger_workload_info{instance="n1", job="w", kind="job", id="7"'
    series = [
        (node("n1", cluster="eu"), "0+1x400"),
        (node("n2", cluster="us"), "0+5x400"),
        (workload("n1", "a", "ml-train"), "0+0.25x400"),
        (workload("n2", "b", "ml-serve"), "0+0.75x400"),
        (workload("n2", "c", "ml.serve"), "0+9x400"),
        (workload("n2", "d", "xml-train"), "0+9x400"),
        (workload("n1", "7", kind="job"), "0+1x150 stale"),
        (workload("n1", "8", kind="job"), "0+9x400"),
        (f'{info}, user="1000"}}', "1x20 stale"),
        (f'{info}, user="alice"}}', "_x21 1x60 stale"),
        (f'{info}, user="alice", image="b"}}', "_x82 1x68 stale"),
        ('wattledger_workload_info{instance="n1", job="w", kind="job", id="8", user="malice"}', "1x400"),
    ]
    text = rules(
        budget(name="cluster", select={"cluster": Matcher(exactly=("eu",))}),
        budget(name="team", select={"pod_namespace": Matcher(exactly=("ml-train", "ml-serve"))}),
        budget(name="like", select={"pod_namespace": Matcher(like="ml-(train|serve)")}),
        budget(name="user", select={"user": Matcher(like="ali.+|bob"), "job": Matcher(exactly=("w",))}),
    )

    def hour(name: str, at: str, value: float) -> dict[str, Any]:
        expr = f'round(budget:wattledger_emissions_grams:increase1h{{budget="{name}"}}, 0.01)'
        return expect(expr, at, (f'{{budget="{name}", period="month"}}', value))

    expectations = [hour(name, "1h20m", 60) for name in ("cluster", "team", "like", "user")]
    expectations += [hour("user", "3h", 30.5), hour("team", "5h", 60)]
    assert run_test(tmp_path, text, series, expectations) == ""


@needs_promtool
def test_embodied_emissions_count_where_they_are_asked_for(tmp_path: Path) -> None:
    """60 g operational and 30 g embodied an hour; on nodes that have none configured, 60 g."""
    embodied = 'wattledger_node_embodied_emissions_grams_total{instance="n1", job="w"}'
    text = rules(budget(scope="total"))
    assert run_test(tmp_path, text, [(node("n1"), "0+1x200")], [consumed("3h", 180)]) == ""
    both = [(node("n1"), "0+1x200"), (embodied, "0+0.5x200")]
    assert run_test(tmp_path, text, both, [consumed("3h", 270)]) == ""


@needs_promtool
@pytest.mark.parametrize("period", PERIODS)
def test_promtool_accepts_every_period(tmp_path: Path, period: Period) -> None:
    """Two budgets of a period beside each other, with every kind of selector, lints included."""
    text = rules(
        budget(name="one", period=period, scope="total"),
        budget(name="two", period=period, select={"user": Matcher(like="a.*")}, labels={"team": 'x "y" \\z'}),
    )
    (tmp_path / "rules.yml").write_text(text)
    done = promtool("check", "rules", "--lint-fatal", tmp_path / "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert unknown_names(text) == []


def test_exact_names_are_taken_literally() -> None:
    """Also those with the characters of regular expressions and of strings in them."""
    expr = increase(budget(select={"pod_namespace": Matcher(exactly=("a.b", 'c"d\\e'))}), "1h")
    assert expr == (
        r'sum(increase(wattledger_workload_emissions_grams_total{pod_namespace=~"a\\.b|c\"d\\\\e"}[1h]))'
    )
    one = increase(budget(select={"cluster": Matcher(exactly=("a.b",))}), "1h")
    assert one == 'sum(increase(wattledger_node_emissions_grams_total{cluster="a.b"}[1h]))'


def test_the_same_budgets_give_the_same_bytes() -> None:
    """A rule file can be kept under version control."""
    assert rules(budget(), budget(name="c")) == rules(budget(), budget(name="c"))


def test_rules_that_read_unknown_metrics_are_noticed() -> None:
    """The check on the generator's own work can fail."""
    assert unknown_names(rules(budget()).replace("node_emissions", "node_emission")) == [
        "wattledger_node_emission_grams_total"
    ]
