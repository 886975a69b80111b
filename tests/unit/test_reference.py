"""The catalogue and the page generated from it."""

from __future__ import annotations

import re
from pathlib import Path

from wattledger.exposition.catalogue import BY_SAMPLE_NAME, FAMILIES
from wattledger.exposition.family import MAX_LABELS
from wattledger.exposition.reference import markdown

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
CLASHING = {"region", "zone", "cluster", "job", "instance", "host", "env", "service", "team", "owner"}


def test_the_committed_page_is_the_generated_one():
    assert PAGE.read_text(encoding="utf-8") == markdown(), (
        "run: python -m wattledger.exposition.reference > docs/metrics.md"
    )


def test_every_family_is_on_the_page_once():
    names = re.findall(r"^\| `(\w+)` \|", markdown(), re.MULTILINE)
    assert sorted(names) == sorted(BY_SAMPLE_NAME)
    assert len(FAMILIES) == len(BY_SAMPLE_NAME)


def test_names_follow_the_conventions():
    """Counters end in _total, info in _info, gauges in neither; the unit is the suffix."""
    for family in FAMILIES:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.sample_name)
        assert family.name.endswith("_total") == (family.type == "counter")
        assert family.name.endswith("_info") == (family.type == "info")
        if family.unit:
            assert family.openmetrics_name.endswith("_" + family.unit)


def test_no_two_families_share_an_openmetrics_name():
    assert len({family.openmetrics_name for family in FAMILIES}) == len(FAMILIES)


def test_help_fits_a_tooltip_and_needs_no_escape():
    for family in FAMILIES:
        assert len(family.help) <= 110
        assert family.help.endswith(".")
        assert not set(family.help) & set("\n\\")


def test_labels_are_few_and_do_not_clash_with_those_of_targets():
    for family in FAMILIES:
        assert len(family.labels) <= MAX_LABELS
        assert len(set(family.labels)) == len(family.labels)
        assert not CLASHING & set(family.labels)
