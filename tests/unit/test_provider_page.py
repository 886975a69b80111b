"""docs/providers.md: its settings load and make providers, and it says what the agent does."""

from __future__ import annotations

import re

import pytest

from tests.command_line import REPOSITORY
from wattledger.carbon.build import build_grid
from wattledger.carbon.live.fetch import FetchError
from wattledger.carbon.providers.registry import PROVIDERS, build_provider
from wattledger.cli.load import load_settings
from wattledger.clock import SystemClock
from wattledger.exposition.catalogue import BY_SAMPLE_NAME
from wattledger.settings import IntensitySettings

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


@pytest.mark.parametrize(
    ("line", "step_s"),
    [
        ("`electricity-maps`, `eco2mix` and `energi-data-service` always", 400 * 86_400),
        ("`uk-carbon-intensity` within a half-hour", 1_800),
        ("`energy-charts` within a day", 86_400),
    ],
)
def test_agents_of_a_zone_send_the_same_request(line, step_s):
    """At the start of the step and at its end, as the page says: one cache answers them all."""
    assert line in PAGE
    for name in re.findall(r"`([\w-]+)`", line):
        zone = {"eco2mix": "FR", "energi-data-service": "DK1", "uk-carbon-intensity": "GB"}.get(name, "DE")
        asked = []

        def get(request, asked=asked):
            asked.append(request)
            raise FetchError("connect", "only asked")

        for time_s in (0, step_s - 1):
            settings = IntensitySettings(provider=name, grid_zone=zone, key_file="/key")
            with pytest.raises(FetchError):
                build_provider(settings, lambda: "secret").fetch(get, (1_782_864_000 + time_s) * 10**9)
        first, last = asked
        assert first == last
