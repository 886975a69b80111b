"""docs/configuration.md: what it shows is accepted, and it leaves nothing out."""

from __future__ import annotations

import re
import textwrap

import pytest

from tests.command_line import REPOSITORY
from tests.settings_file import settings_of
from wattledger.cli.carbon_facts import PROVIDER_NAMES
from wattledger.cli.carbon_options import ROLES, key_variable
from wattledger.settings import Settings

PAGE = (REPOSITORY / "docs/configuration.md").read_text()
EXAMPLES = [textwrap.dedent(block) for block in re.findall(r"^ *```yaml\n(.*?)^ *```$", PAGE, re.M | re.S)]
TITLES = {
    "intensity": "Grid intensity",
    "fallback": "Fallback",
    "market": "Market-based intensity",
    "signal": "Signal",
}


def section(title: str) -> str:
    """The text under a heading."""
    (text,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    return text


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_accepted_and_sets_something(example: str) -> None:
    """What people copy from the page works by itself."""
    settings = settings_of(example)
    assert (settings.carbon, settings.budgets) != (Settings().carbon, Settings().budgets)


def test_each_part_of_carbon_has_an_example() -> None:
    """Sources, schedules, embodied emissions and budgets are lists and mappings that one has to see."""
    for title in ("Carbon", *TITLES.values(), "Embodied emissions", "Budgets"):
        assert "```yaml" in section(title)


@pytest.mark.parametrize("role", ROLES)
def test_each_source_has_a_section_that_names_its_providers_and_its_key(role: str) -> None:
    """All providers are explained where the books are; the fallback asks nobody, so it has no key."""
    text = section(TITLES[role])
    for provider in PROVIDER_NAMES:
        offline = provider in ("static", "table", "mix", "schedule", "file")
        if role == "intensity":
            assert f"\n| `{provider}` |" in text
        elif role == "fallback":
            assert (f"`{provider}`" in text) == offline or provider == "energy-charts"
    keys = section(TITLES["intensity"])
    assert (f"| `carbon.{role}` | `{key_variable(role)}` |" in keys) == (role != "fallback")
