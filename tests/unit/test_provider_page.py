"""docs/providers.md: its settings load and make providers, and it says what the agent does."""

from __future__ import annotations

import re

import pytest

from tests.command_line import REPOSITORY
from wattledger.carbon.build import build_grid
from wattledger.carbon.providers.registry import PROVIDERS
from wattledger.cli.load import load_settings
from wattledger.clock import SystemClock
from wattledger.exposition.catalogue import BY_SAMPLE_NAME

PAGE = (REPOSITORY / "docs/providers.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=lambda example: example.split("provider: ")[1].split(",")[0]
)
def test_an_example_is_accepted(example, tmp_path):
    """By the loader of the settings and by what makes the sources."""
    file = tmp_path / "wattledger.yaml"
    file.write_text(example)
    settings = load_settings({"config.file": str(file)}, {}).carbon
    grid = build_grid(settings, SystemClock(), None, {})
    assert len(grid.watch.health()) == 1


def test_every_provider_has_a_chapter_with_an_example():
    """And no other has."""
    assert set(re.findall(r"^## `(.+)`$", PAGE, re.M)) == set(PROVIDERS)
    assert {provider for text in EXAMPLES for provider in re.findall(r"provider: ([\w-]+)", text)} == set(
        PROVIDERS
    )


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_row_says_what_the_agent_does(name):
    """How often it asks at most, and whether a key is needed."""
    (row,) = re.findall(rf"^\| \[`{name}`\].*\|$", PAGE, re.M)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    facts = PROVIDERS[name]
    assert cells[-1] == f"{facts.min_refresh_ns // (60 * 10**9)} min"
    assert (cells[2] != "no") == facts.needs_key
    assert (cells[-2] != "none") == facts.forecast
    for basis in facts.bases if name != "carbon-aware-sdk" else ():
        assert basis in cells[3]
    assert (facts.kind == "marginal" and name == "watttime") == ("marginal" in cells[3])


def test_every_metric_of_the_page_is_in_the_catalogue():
    """A query that is copied gives an answer."""
    named = set(re.findall(r"\bwattledger_\w+", PAGE))
    assert named
    assert named <= set(BY_SAMPLE_NAME)
