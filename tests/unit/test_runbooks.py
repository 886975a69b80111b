"""Every alert has a page that helps, and the table of alerts is the truth."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command_line import REPOSITORY
from tests.promtool import needs_promtool, promtool
from wattledger.exposition.catalogue import BY_SAMPLE_NAME
from wattledger.rules.budget import FleetBudget
from wattledger.rules.generate import groups
from wattledger.rules.load import load_budgets
from wattledger.rules.pace import PACES, SECONDS

PAGES = sorted((REPOSITORY / "docs/runbooks").glob("*.md"))
TABLE = (REPOSITORY / "docs/alerts.md").read_text()
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def rules(name: str) -> list[dict[str, Any]]:
    text = (REPOSITORY / "deploy/prometheus" / name).read_text()
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


ALERTS = rules("wattledger.alerts.yml")
FLEETS = [
    rule for period in PACES for rule in groups([FleetBudget(name="b", limit_g=1, period=period)])[0]["rules"]
]
RECORDED = {rule["record"] for rule in [*rules("wattledger.rules.yml"), *FLEETS] if "record" in rule}


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    """By the alert's name, where `runbook_url` points."""
    assert {page.stem for page in PAGES} == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_its_four_sections(page: Path) -> None:
    """In this order, each with something in it, and one sentence per line."""
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.*)$", text, re.M) == SECTIONS
    for section in re.split(r"^## .*$", text, flags=re.M)[1:]:
        assert len(section.split()) >= 2
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    assert [line for line in prose.splitlines() if re.search(r"[a-z]\. [A-Z]", line)] == []


@needs_promtool
def test_every_query_in_the_pages_is_valid_and_about_known_metrics(tmp_path: Path) -> None:
    """What is copied in the night gives an answer."""
    texts = [page.read_text() for page in PAGES] + [TABLE]
    blocks = [block for text in texts for block in re.findall(r"^```promql\n(.*?)^```$", text, re.M | re.S)]
    queries = [query for block in blocks for query in block.strip().split("\n\n")]
    assert len(queries) > 40
    found = [{"record": f"page:query:n{n}", "expr": query} for n, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "pages", "rules": found}]}))
    done = promtool("check", "rules", tmp_path / "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    names = {name for query in queries for name in re.findall(r"\b(?:\w+:)?wattledger_[\w:]+", query)}
    assert names <= set(BY_SAMPLE_NAME) | RECORDED


@pytest.mark.parametrize("page", [*PAGES, REPOSITORY / "docs/alerts.md"], ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    """No dead links between the pages."""
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_table_lists_every_alert_with_its_severity() -> None:
    """In the order of the file."""
    rows = re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\) \|.*\| (\w+) \|$", TABLE, re.M)
    listed = list(dict.fromkeys((rule["alert"], rule["labels"]["severity"]) for rule in ALERTS))
    assert sorted(rows) == sorted(listed)


def test_the_table_says_how_long_an_alert_waits() -> None:
    """For those with one rule; the others say a span."""
    units = {"m": "min", "h": "h"}
    for rule in ALERTS:
        if "window" in rule["labels"]:
            continue
        number, unit = rule["for"][:-1], units[rule["for"][-1]]
        assert re.search(rf"^\| \[{rule['alert']}\].*\| {number} {unit} \| \w+ \|$", TABLE, re.M)


def test_the_table_of_budgets_has_the_numbers_of_the_rules() -> None:
    """Fractions, windows and the pace they stand for."""
    days = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}
    for period, pace in PACES.items():
        cells = [period]
        for burn in (pace.fast, pace.slow):
            cells.append(f"{burn.fraction * 100:g} % in {burn.window} ({burn.short})")
            cells.append(f"{burn.fraction * days[period] * 86400 / SECONDS[burn.window]:.1f}")
        assert f"| {' | '.join(cells)} |" in TABLE


def test_the_settings_in_the_page_can_be_used(tmp_path: Path) -> None:
    """The list of budgets loads, and the other blocks are YAML."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", TABLE, re.M | re.S)
    for block in blocks:
        assert yaml.safe_load(block)
    (budgets,) = [block for block in blocks if "budgets:" in block]
    (tmp_path / "budgets.yml").write_text(budgets)
    assert [budget.limit_g for budget in load_budgets(str(tmp_path / "budgets.yml"))] == [12.5e6, 500e3]


def test_the_inhibited_alerts_exist() -> None:
    """Names and patterns in the example of Alertmanager's settings stand for alerts there are."""
    names = {rule["alert"] for rule in ALERTS}
    patterns = re.findall(r"alertname (?:=|!=|=~) \"?([\w.+()|]+)", TABLE)
    assert len(patterns) >= 9
    for pattern in patterns:
        assert any(re.fullmatch(pattern, name) for name in names), pattern
