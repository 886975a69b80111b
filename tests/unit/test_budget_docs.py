"""What docs/budgets.md shows is what the agent does."""

import re
from datetime import UTC, datetime

from tests.command_line import REPOSITORY
from wattledger.carbon.budgets.book import Budgets
from wattledger.carbon.budgets.feasibility import Idle, infeasible, refuse
from wattledger.cli.load import load_settings
from wattledger.exposition.catalogue import BY_SAMPLE_NAME
from wattledger.settings import BudgetSettings

PAGE = (REPOSITORY / "docs/budgets.md").read_text()
MARCH = round(datetime(2026, 3, 10, tzinfo=UTC).timestamp()) * 1_000_000_000
IDLE = Idle(power_w=150.0, pue=1.2, grams_per_kwh=400.0)


def block(language):
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)
    return text


def test_the_settings_are_accepted_and_can_be_kept(tmp_path):
    file = tmp_path / "wattledger.yaml"
    file.write_text(block("yaml"))
    settings = load_settings({"config.file": str(file)}, {})
    rows = Budgets(settings.budgets).rows(MARCH)
    assert [(row.name, row.limit_g, row.selects) for row in rows] == [
        ("node-month", 60_000.0, ""),
        ("ml-day", 2000.0, "pod_namespace=ml"),
        ("training-week", 40_000.0, "kind=container|job,user=ada|team-ml-*"),
    ]
    refuse(settings.budgets, IDLE, MARCH)


def test_the_refusal_is_the_one_that_is_shown():
    budget = BudgetSettings(name="node-month", limit_g=50_000.0, period="month")
    assert block("text").strip() == infeasible(budget, IDLE, MARCH)


def test_every_metric_is_in_the_catalogue():
    assert set(re.findall(r"\bwattledger_\w+", PAGE)) <= set(BY_SAMPLE_NAME)


def test_every_page_that_is_linked_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert links
    assert [link for link in links if not (REPOSITORY / "docs" / link).exists()] == []
