"""Budgets that the idle floor alone would exceed are told with the arithmetic."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from wattledger.carbon.budgets.feasibility import Doubts, Idle, infeasible, refuse
from wattledger.errors import SettingsError
from wattledger.settings import BudgetSettings


def at(text):
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


MARCH = at("2026-03-10")
MONTH = BudgetSettings(name="node-month", limit_g=50_000.0, period="month")
IDLE = Idle(power_w=150.0, pue=1.2, grams_per_kwh=400.0)


def test_the_message_has_the_whole_sum_and_the_ways_out():
    """0.15 kW x 1.2 x 400 g/kWh x 744 h = 53,568 g; 50 kg / 744 h / 480 g/kWh = 140.01 W."""
    assert infeasible(MONTH, IDLE, MARCH) == (
        "budgets: node-month: 150 W idle x PUE 1.2 x 400 g/kWh over 31 d = 53.6 kg,"
        " more than the limit of 50 kg per month: raise the limit above 53.6 kg,"
        " or bring the idle power below 140 W, or give the budget a select, so that idle power does not count"
    )


def test_the_current_period_counts_as_it_is():
    """100 W at 1000 g/kWh: 72 kg in 30 days, 67.2 kg in February, 69.6 kg in a leap year's."""
    idle = Idle(power_w=100.0, grams_per_kwh=1000.0)
    budget = replace(MONTH, limit_g=70_000.0)
    assert infeasible(budget, idle, at("2026-02-10")) is None
    assert infeasible(budget, idle, at("2028-02-10")) is None
    assert "over 30 d = 72 kg" in infeasible(budget, idle, at("2026-11-10"))
    assert "over 29 d = 69.6 kg" in infeasible(replace(budget, limit_g=69_000.0), idle, at("2028-02-10"))


@pytest.mark.parametrize(
    ("date", "limit_g", "sum_"),
    [("2026-03-29", 2250.0, "over 23 h = 2.3 kg"), ("2026-10-25", 2450.0, "over 25 h = 2.5 kg")],
)
def test_a_day_has_the_hours_that_it_has(date, limit_g, sum_):
    """100 W at 1000 g/kWh are 100 g an hour."""
    budget = BudgetSettings(name="day", limit_g=limit_g, period="day", timezone="Europe/Berlin")
    assert sum_ in infeasible(budget, Idle(power_w=100.0, grams_per_kwh=1000.0), at(f"{date}T12:00"))


def test_a_month_with_a_change_of_the_clocks():
    """March in Berlin has 743 h, which are 30.96 days."""
    budget = replace(MONTH, timezone="Europe/Berlin")
    assert "over 30.96 d = 53.5 kg" in infeasible(budget, IDLE, MARCH)


def test_a_limit_of_exactly_the_idle_floor_can_be_kept():
    """100 W at 1000 g/kWh over a day are 2400 g."""
    budget, idle = replace(MONTH, period="day", limit_g=2400.0), Idle(power_w=100.0, grams_per_kwh=1000.0)
    assert infeasible(budget, idle, MARCH) is None
    reason = infeasible(replace(budget, limit_g=2399.9), idle, MARCH)
    assert "= 2.4 kg, more than the limit of 2.3999 kg" in reason


def test_what_is_shown_is_never_less_than_the_limit_it_exceeds():
    """2400.1 g over 2400 g: rounded to the nearest they would look the same."""
    budget = replace(MONTH, period="day", limit_g=2400.0)
    reason = infeasible(budget, Idle(power_w=100.005, grams_per_kwh=1000.0), MARCH)
    assert "= 2.41 kg, more than the limit of 2.4 kg" in reason
    assert "raise the limit above 2.41 kg" in reason
    assert "below 100 W" in reason


def test_embodied_emissions_count_where_the_scope_is_total():
    """100 W at 500 g/kWh: 1.2 kg a day; 0.01 g/s more: 864 g a day."""
    idle = Idle(power_w=100.0, grams_per_kwh=500.0, embodied_g_per_s=0.01)
    budget = replace(MONTH, period="day", limit_g=2100.0)
    assert infeasible(budget, idle, MARCH) is None
    assert infeasible(replace(budget, scope="total"), idle, MARCH) is None
    tight = replace(budget, limit_g=1464.0)
    assert infeasible(tight, idle, MARCH) is None
    reason = infeasible(replace(tight, scope="total"), idle, MARCH)
    assert "over 24 h (1.2 kg) + 864 g embodied = 2.07 kg, more than the limit of 1.464 kg" in reason
    assert "below 50 W" in reason  # (1464 - 864) / 1200 of 100 W
    hopeless = infeasible(replace(tight, scope="total", limit_g=800.0), idle, MARCH)
    assert "idle power below" not in hopeless


def test_a_selection_is_never_judged():
    assert infeasible(replace(MONTH, limit_g=0.001, select={"kind": ("job",)}), IDLE, MARCH) is None


def test_a_node_without_a_known_floor_is_not_judged():
    assert infeasible(replace(MONTH, limit_g=0.001), Idle(power_w=0.0, grams_per_kwh=400.0), MARCH) is None


def test_large_figures_are_in_tonnes():
    """10 kW at 1000 g/kWh are 87.6 t in 2026."""
    year = replace(MONTH, period="year", limit_g=5e6)
    reason = infeasible(year, Idle(power_w=10_000.0, grams_per_kwh=1000.0), MARCH)
    assert "10000 W idle x PUE 1 x 1000 g/kWh over 365 d = 87.6 t, more than the limit of 5 t" in reason


def test_the_settings_are_refused_with_every_such_budget():
    small, fine = replace(MONTH, name="small", limit_g=1000.0), replace(MONTH, name="fine", limit_g=60_000.0)
    with pytest.raises(SettingsError) as raised:
        refuse([small, fine, MONTH], IDLE, MARCH)
    small_line, month_line = str(raised.value).split("; ")
    assert small_line.startswith("budgets: small: 150 W")
    assert month_line.startswith("budgets: node-month: 150 W")
    refuse([fine], IDLE, MARCH)


def test_a_floor_learned_late_is_told_once_per_budget():
    doubts = Doubts()
    fine = replace(MONTH, name="fine", limit_g=60_000.0)
    lower = replace(IDLE, power_w=100.0)
    assert doubts.judge([MONTH, fine], lower, MARCH) == ()
    (reason,) = doubts.judge([MONTH, fine], IDLE, MARCH)
    assert "node-month" in reason
    assert doubts.names == {"node-month"}
    assert doubts.judge([MONTH, fine], IDLE, MARCH) == ()
    assert doubts.names == {"node-month"}


def test_a_floor_that_wavers_around_the_limit_is_not_told_again():
    doubts = Doubts()
    doubts.judge([MONTH], IDLE, MARCH)
    assert doubts.judge([MONTH], replace(IDLE, power_w=100.0), MARCH) == ()
    assert doubts.names == frozenset()
    assert doubts.judge([MONTH], IDLE, MARCH) == ()
    assert doubts.names == {"node-month"}


def test_another_limit_that_cannot_be_kept_either_is_told_anew():
    doubts = Doubts()
    doubts.judge([MONTH], IDLE, MARCH)
    (reason,) = doubts.judge([replace(MONTH, limit_g=51_000.0)], IDLE, MARCH)
    assert "limit of 51 kg" in reason
