"""What the landing page says of carbon, in words: budgets, prices, trouble and the hours ahead."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from html import unescape

import pytest

from tests.snapshots import HEALTH, WALL_NS, node_row, rich_snapshot, snapshot
from wattledger.exposition import amounts, moments
from wattledger.exposition.landing import node_page
from wattledger.exposition.landing_budgets import budget_warnings, standing, worst
from wattledger.exposition.landing_carbon import carbon_warnings
from wattledger.exposition.landing_outlook import ahead
from wattledger.model import S_NS, BudgetRow, FeedHealth, Intensity, Outlook, Price, Window

HOUR_NS = 3600 * S_NS
PRICE = Price(intensity=Intensity(grams_per_kwh=500.0, provider="static", grid_zone="DE"), pue=2.0)


@pytest.fixture(autouse=True)
def _utc(monkeypatch) -> Iterator[None]:
    """This process's time zone is UTC, wherever the tests run."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def budget(**changes) -> BudgetRow:
    """10 kg per day, of which 1 kg is used after 6 hours."""
    row = BudgetRow(
        name="node-day",
        period="day",
        limit_g=10_000.0,
        consumed_g=1000.0,
        start_ns=WALL_NS - 6 * HOUR_NS,
        end_ns=WALL_NS + 18 * HOUR_NS,
        timezone="UTC",
        scope="operational",
        selects="",
    )
    return replace(row, **changes)


def text_of(html: str) -> str:
    """What a person reads, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def page_of(shot) -> str:
    return text_of(node_page(shot, name="", metrics_path="/metrics", now_ns=shot.boottime_ns, refresh=False))


def test_the_nodes_budget_is_projected_with_the_power_and_price_of_now() -> None:
    """100 W at 500 g/kWh and a PUE of 2 are 100 g/h: 1 kg and 18 hours more make 2.8 kg, 28 %."""
    found = standing(budget(), snapshot(price=PRICE))
    assert (found.spent, found.plan, found.by) == (0.1, 0.25, "at the power and price of now")
    assert found.projected == pytest.approx(0.28)
    assert found.verdict == "within plan"


@pytest.mark.parametrize("changes", [{"selects": "pod_namespace=ml"}, {"scope": "total"}])
def test_any_other_budget_is_projected_at_its_mean_rate(changes) -> None:
    """1 kg in a quarter of the day makes 4 kg in all of it."""
    found = standing(budget(**changes), snapshot(price=PRICE))
    assert (found.projected, found.by) == (0.4, "at the mean rate of this period")


def test_so_is_that_of_a_node_whose_power_is_not_known() -> None:
    assert standing(budget(), snapshot(nodes=(node_row(power_w=None),))).projected == 0.4


def test_a_period_that_has_just_begun_tells_no_rate() -> None:
    """After a minute of a day, one gram is no forecast."""
    young = budget(selects="name=a", start_ns=WALL_NS - 60 * S_NS, end_ns=WALL_NS + 24 * HOUR_NS)
    assert standing(young, snapshot()).projected is None


@pytest.mark.parametrize(
    ("consumed_g", "power_w", "verdict"),
    [
        (2500.0, 0.0, "within plan"),
        (2501.0, 0.0, "ahead of plan"),
        (1000.0, 501.0, "heading over"),  # 1 kg + 18 h x 501 g/h
        (10_000.0, 0.0, "ahead of plan"),
        (10_001.0, 0.0, "over budget"),
    ],
)
def test_how_a_budget_stands_in_words(consumed_g, power_w, verdict) -> None:
    shot = snapshot(price=PRICE, nodes=(node_row(power_w=power_w),))
    assert standing(budget(consumed_g=consumed_g), shot).verdict == verdict


def test_a_clock_outside_the_period_stays_within_it() -> None:
    """The wall clock may be set between the tick and the next period."""
    late = budget(start_ns=WALL_NS - 25 * HOUR_NS, end_ns=WALL_NS - HOUR_NS)
    assert standing(late, snapshot()).plan == 1.0
    early = budget(start_ns=WALL_NS + HOUR_NS, end_ns=WALL_NS + 25 * HOUR_NS)
    assert standing(early, snapshot()).plan == 0.0


def test_exceeded_budgets_are_named_up_to_three() -> None:
    over = [budget(name=name, consumed_g=10_001.0) for name in "abcd"]
    (one,) = budget_warnings(snapshot(budgets=(over[0], budget())))
    assert "The budget a is exceeded." in one
    (four,) = budget_warnings(snapshot(budgets=tuple(over)))
    assert "4 budgets are exceeded: a, b, c and others." in four
    assert budget_warnings(snapshot(budgets=(budget(consumed_g=10_000.0),))) == []


def test_the_most_pressing_budget_comes_first() -> None:
    """What is over its limit, then what leads furthest."""
    rows = (budget(name="calm"), budget(name="wild", selects="a=b", consumed_g=9_000.0))
    rows += (budget(name="gone", consumed_g=11_000.0),)
    page = page_of(snapshot(budgets=rows, price=PRICE))
    assert page.index("gone over") < page.index("wild ahead") < page.index("calm within")


def test_a_list_of_nodes_shows_the_budget_nearest_its_limit() -> None:
    assert worst((budget(), budget(name="b", consumed_g=4000.0))) == "40 %<small>b</small>"
    assert worst(()) == amounts.NOTHING


def test_a_budget_ends_in_its_own_time_zone() -> None:
    """The limit, the pace and the end of the period, with UTC beside it."""
    page = page_of(snapshot(budgets=(budget(timezone="Europe/Berlin"),), price=PRICE))
    assert "1.00 kg of 10.0 kg used (10 %). Even pace: 2.50 kg (25 %)." in page
    assert "On course for 2.80 kg (28 %), at the power and price of now." in page
    assert "Until Thu 01 Jan 19:00 CET (18:00 UTC) , 18 h from now" in page
    assert moments.zone_of("Nowhere/Atlantis").utcoffset(None).total_seconds() == 0


FEED = FeedHealth(
    role="intensity",
    provider="energy-charts",
    up=False,
    last_success_ns=WALL_NS - 2 * HOUR_NS,
    errors={"timeout": 3},
    error="api.energy-charts.info: timed out",
)


def trouble(intensity: Intensity, *feeds: FeedHealth) -> list[str]:
    shot = snapshot(price=Price(intensity=intensity), health=replace(HEALTH, feeds=feeds))
    return [text_of(one) for one in carbon_warnings(shot)]


TABLE = Intensity(grams_per_kwh=381.0, provider="table", grid_zone="DE", fallback=True)


def test_a_fallback_says_what_to_set_where_nothing_is_configured() -> None:
    (told,) = trouble(replace(TABLE, provider="default"))
    assert "is a fallback, not that of your grid. Set carbon.intensity" in told


def test_a_fallback_says_why_the_live_source_is_not_used() -> None:
    """Once, not again for the source itself."""
    (told,) = trouble(TABLE, FEED)
    assert told == (
        "Warning: The carbon intensity is a fallback (table, DE), because energy-charts gives no value now:"
        " api.energy-charts.info: timed out. wattledger check asks it once and says what is wrong."
    )


def test_a_source_that_fails_is_told_while_its_last_value_is_still_used() -> None:
    (told,) = trouble(replace(TABLE, fallback=False), FEED)
    assert told.startswith(
        "Warning: energy-charts (intensity) does not answer: api.energy-charts.info: timed out."
        " It last answered 2 h ago."
    )
    (told,) = trouble(replace(TABLE, fallback=False), replace(FEED, role="signal", last_success_ns=0))
    assert "energy-charts (signal) does not answer" in told
    assert "last answered" not in told


def test_a_source_that_works_is_not_worth_a_word() -> None:
    assert trouble(replace(TABLE, fallback=False), replace(FEED, up=True, error="")) == []


def test_the_price_says_whose_it_is_and_how_old() -> None:
    """With the market-based one, PUE and water beside it."""
    page = page_of(rich_snapshot(wall_ns=WALL_NS + 72 * 60 * S_NS))
    assert "Now 445 g/kWh Market-based 30 g/kWh PUE 1.2 Water 0.4 l/kWh" in page
    assert (
        "table, WORLD : lifecycle, average, production, fallback;"
        " the value of Thu 01 Jan 00:00 UTC , 1 h 12 min old, used until it is 6 h old. CC BY 4.0, Ember"
    ) in page
    assert "Market-based: static : lifecycle, average; a fixed value." in page


def test_every_way_of_accounting_stands_beside_the_usual_one() -> None:
    """Only where it is configured."""
    page = page_of(rich_snapshot())
    assert "Operational, location-based 750 mg Operational, market-based 25.0 mg" in page
    assert "Embodied in the hardware 28.5 g Water 0.10 ml" in page
    assert "Emissions so far" not in page_of(snapshot())


def test_a_signal_of_percentiles_shows_no_grams() -> None:
    shown = text_of(
        "".join(
            ahead(
                Outlook(
                    source=Intensity(grams_per_kwh=42.0, provider="watttime", grid_zone="X", kind="marginal"),
                    generated_ns=WALL_NS - 600 * S_NS,
                    windows=(
                        Window(
                            duration_ns=HOUR_NS, start_ns=WALL_NS, grams_per_kwh=7.0, now_grams_per_kwh=7.0
                        ),
                    ),
                    state="green",
                    unit="percentile",
                ),
                WALL_NS,
            )
        )
    )
    assert "g/kWh" not in shown
    assert "Saving" not in shown
    assert "1 h now 7" in shown
    assert "watttime, X, marginal; made 10 min ago; a signal of percentiles" in shown


def test_a_source_that_lost_its_course_says_so() -> None:
    lost = Outlook(source=Intensity(grams_per_kwh=300.0, provider="energy-charts"), generated_ns=0)
    shown = text_of("".join(ahead(lost, WALL_NS)))
    assert shown == (
        "Signal: unknown , too little is known to rank this hour."
        " By energy-charts, average; without a forecast at the moment."
    )


def test_a_simulated_host_says_that_it_is_one() -> None:
    assert "UTC , of a simulated host" in page_of(snapshot(node_info={"simulated": "true"}))
    assert "simulated" not in page_of(snapshot())


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.0, "0 %"),
        (0.624, "62 %"),
        (0.9999, "99.9 %"),
        (1.0, "100 %"),
        (1.00001, "100.1 %"),
        (12.345, "1,234 %"),
    ],
)
def test_only_a_whole_share_is_shown_as_100(ratio, text) -> None:
    assert amounts.share(ratio) == text


def test_volumes_and_intensities() -> None:
    assert [amounts.volume(liters) for liters in (0.0001, 1.5, 2500.0)] == ["0.10 ml", "1.50 l", "2.50 m³"]
    assert [amounts.intensity(grams) for grams in (0.0, 9.94, 1234.4)] == [
        "0 g/kWh",
        "9.9 g/kWh",
        "1,234 g/kWh",
    ]


def test_figures_of_a_year_show_their_date_instead_of_an_age() -> None:
    """The tables' figures are years old when they are new; a time of day would say nothing."""
    year_ns = WALL_NS - 365 * 86400 * S_NS
    intensity = Intensity(grams_per_kwh=381.0, provider="table", grid_zone="DE", updated_ns=year_ns)
    page = page_of(snapshot(price=Price(intensity=intensity)))
    assert "table, DE : lifecycle, average; figures as of 2025-01-01." in page
