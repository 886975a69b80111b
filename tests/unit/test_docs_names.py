"""What the pages name is there: metrics, recorded series, alerts, commands and their flags."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from tests.command_line import REPOSITORY
from tests.unit.test_docs_links import PAGES
from wattledger.carbon.providers.registry import PROVIDERS
from wattledger.cli.group import wattledger
from wattledger.exposition.catalogue import BY_SAMPLE_NAME, FAMILIES

RULES = REPOSITORY / "deploy/prometheus"
BY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
_METRIC = re.compile(r"(?:\b[a-z]+:)?(?<!\w)wattledger_[a-z0-9_]*[a-z0-9](?:_?\*|:\w+|(?!\w))")


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Metrics by both of their names, recorded series and alerts, those of `wattledger rules` included."""
    written = CliRunner().invoke(wattledger, ["rules", "--config", str(RULES / "budgets.example.yml")])
    assert written.exit_code == 0, written.output
    texts = [written.stdout, *(path.read_text() for path in RULES.glob("*.yml"))]
    groups = [group for text in texts for group in yaml.safe_load(text).get("groups", ())]
    ruled = {rule.get("record") or rule["alert"] for group in groups for rule in group["rules"]}
    return set(BY_SAMPLE_NAME) | {family.openmetrics_name for family in FAMILIES} | ruled


@BY_PAGE
def test_every_metric_and_rule_of_a_page_exists(page: Path, known: set[str]) -> None:
    """Or, where a name ends in `*`, something that begins so."""
    text = page.read_text()
    named = set(_METRIC.findall(text)) | set(re.findall(r"\bWattledger(?:[A-Z][a-z]+){2,}\b", text))
    groups = {name for name in named if name.endswith("*")}
    assert named - groups - known == set()
    assert {group for group in groups if not any(name.startswith(group[:-1]) for name in known)} == set()


@BY_PAGE
def test_every_command_and_flag_of_a_page_exists(page: Path) -> None:
    """What follows ` -- ` is somebody else's."""
    text = page.read_text().replace("\\\n", " ")
    assert set(re.findall(r"`(?:\S*/)?wattledger ([a-z-]+)", text)) <= set(wattledger.commands)
    for call in re.findall(r"\bwattledger ([a-z-]+\b[^`|;)#\n]*)", text):
        words = call.partition(" -- ")[0].split()
        command: click.Command = wattledger
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert command is wattledger or used <= known, call


def test_the_readme_counts_right() -> None:
    """Zones of the tables, and live services."""
    data = REPOSITORY / "exporter/wattledger/carbon/offline/data"
    lines = [
        line
        for name in ("countries", "us_states", "cloud_regions")
        for line in (data / f"{name}.csv").read_text().splitlines()
        if not line.startswith("#")
    ]
    text = (REPOSITORY / "README.md").read_text()
    assert f"a table of {len(lines) - 3} countries, states and cloud regions" in text
    assert len(PROVIDERS) == 7
    assert "live from seven services" in text
