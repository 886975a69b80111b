"""The rule files that are shipped: valid, tested in every state, and about metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command_line import REPOSITORY
from tests.promtool import needs_promtool, promtool
from wattledger.exposition.catalogue import BY_SAMPLE_NAME
from wattledger.rules.check import metric_names
from wattledger.rules.generate import RUNBOOKS
from wattledger.rules.pace import OVERRUN_RATIO, PACES, SECONDS

FOLDER = REPOSITORY / "deploy/prometheus"
RULE_FILES = ("wattledger.rules.yml", "wattledger.alerts.yml", "sci.example.yml")
TEST_FILES = sorted((FOLDER / "tests").glob("*_test.yml"))


def rules_of(name: str) -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / name).read_text())["groups"]
    return [{"interval": group["interval"], **rule} for group in groups for rule in group["rules"]]


ALERTS = rules_of("wattledger.alerts.yml")
ALERT_NAMES = sorted({rule["alert"] for rule in ALERTS})


def seconds(duration: str) -> int:
    """A duration of Prometheus, such as `1h30m`."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smhdw])", duration))


@needs_promtool
@pytest.mark.parametrize("name", RULE_FILES)
def test_promtool_accepts_the_file(name: str) -> None:
    """Also its lints: no two rules record or alert the same."""
    done = promtool("check", "rules", "--lint-fatal", FOLDER / name)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name)
def test_promtool_passes_the_tests(path: Path) -> None:
    """Every figure and alert in them is as written."""
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_file_has_tests() -> None:
    """None is shipped untried."""
    tried = {
        Path(name).name for path in TEST_FILES for name in yaml.safe_load(path.read_text())["rule_files"]
    }
    assert tried == set(RULE_FILES)


def states_of(alert: str) -> set[str]:
    """The states of an alert that the tests look at, each in one script: before it fires, firing, after."""
    states: set[str] = set()
    for path in TEST_FILES:
        for script in yaml.safe_load(path.read_text())["tests"]:
            looks = [look for look in script.get("alert_rule_test", ()) if look["alertname"] == alert]
            looks.sort(key=lambda look: seconds(look["eval_time"]))
            fires = [bool(look["exp_alerts"]) for look in looks]
            if True in fires:
                first, last = fires.index(True), len(fires) - 1 - fires[::-1].index(True)
                states |= {"firing"} | ({"quiet"} if first > 0 else set())
                states |= {"cleared"} if last < len(fires) - 1 else set()
    return states


@pytest.mark.parametrize("alert", ALERT_NAMES)
def test_every_alert_is_tested_in_its_three_states(alert: str) -> None:
    """Quiet, firing and cleared."""
    assert states_of(alert) == {"quiet", "firing", "cleared"}


@pytest.mark.parametrize("rule", [rule for rule in ALERTS if "window" in rule["labels"]], ids=str)
def test_every_window_of_a_budget_alert_is_tested(rule: dict[str, Any]) -> None:
    """Each of the rules of one name fires in a test, told by its window and, where it has one, its period."""
    wanted = {key: rule["labels"][key] for key in ("window", "period") if key in rule["labels"]}
    fired = [
        one["exp_labels"]
        for path in TEST_FILES
        for script in yaml.safe_load(path.read_text())["tests"]
        for look in script.get("alert_rule_test", ())
        if look["alertname"] == rule["alert"]
        for one in look["exp_alerts"]
    ]
    assert any(wanted.items() <= labels.items() for labels in fired)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_know(rule: dict[str, Any]) -> None:
    """A summary that is one sentence, a description, the runbook, a severity that pages nobody."""
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert notes["summary"].endswith(".")
    assert "{{" not in notes["summary"]
    assert notes["description"].endswith(".")
    assert notes["runbook_url"] == f"{RUNBOOKS}{rule['alert']}.md"
    assert rule["labels"]["severity"] in ("warning", "info")


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_waits_for_two_evaluations_at_least(rule: dict[str, Any]) -> None:
    """One odd sample alerts nobody."""
    assert seconds(rule["for"]) >= 2 * seconds(rule["interval"])


def test_every_metric_exists() -> None:
    """In the catalogue, or recorded by a rule of the same file."""
    for name in RULE_FILES:
        rules = rules_of(name)
        recorded = {rule["record"] for rule in rules if "record" in rule}
        read = {metric for rule in rules for metric in metric_names(rule["expr"])}
        assert read - recorded <= set(BY_SAMPLE_NAME), name


def test_every_label_in_a_selector_exists() -> None:
    """A matcher on a label that a family does not have selects nothing, or everything."""
    for name in RULE_FILES:
        for rule in rules_of(name):
            for metric, matchers in re.findall(r"\b(wattledger_\w+)\{([^}]*)\}", rule["expr"]):
                family = BY_SAMPLE_NAME[metric]
                for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
                    assert label in family.labels or family.more, f"{metric}: {label}"


def test_counters_of_errors_with_a_reason_alert_nobody() -> None:
    """They appear with their first error, which increase() cannot see."""
    born_late = {name for name, family in BY_SAMPLE_NAME.items() if "reason" in family.labels}
    assert born_late
    for rule in ALERTS:
        assert not metric_names(rule["expr"]) & born_late


@pytest.mark.parametrize("name", ["wattledger.rules.yml", "sci.example.yml"])
def test_recorded_names_are_level_metric_operation(name: str) -> None:
    """As Prometheus recommends, and each once."""
    recorded = [rule["record"] for rule in rules_of(name)]
    assert all(re.fullmatch(r"[a-z]+:\w+:\w+", record) for record in recorded)
    assert len(set(recorded)) == len(recorded)


def test_recorded_levels_are_the_documented_ones() -> None:
    """docs/alerts.md lists them."""
    levels = {rule["record"].split(":")[0] for rule in rules_of("wattledger.rules.yml")}
    assert levels == {"instance", "namespace", "pod", "unit", "user", "account", "fleet"}


def test_the_shipped_alerts_have_the_thresholds_of_the_generated_ones() -> None:
    """One table holds the numbers: what a fleet's budget is told by is what a node's is told by."""
    for period, pace in PACES.items():
        for alert, burn in (("WattledgerBudgetBurnFast", pace.fast), ("WattledgerBudgetBurnSlow", pace.slow)):
            (rule,) = [
                rule for rule in ALERTS if rule["alert"] == alert and rule["labels"]["period"] == period
            ]
            assert rule["labels"]["window"] == burn.window
            assert rule["for"] == burn.hold
            assert f"[{burn.window}]" in rule["expr"]
            assert f"offset {burn.short}\n" in rule["expr"]
            assert re.findall(r"> (\S+)", rule["expr"]) == [f"{burn.fraction:g}"] * 2
            assert rule["expr"].endswith(f"> {burn.fraction:g} / 12")
        projections = [
            rule
            for rule in ALERTS
            if rule["alert"] == "WattledgerBudgetProjectedOverrun"
            and re.search(rf'period=~?"[^"]*\b{period}\b', rule["expr"])
        ]
        (rule,) = projections
        assert rule["labels"]["window"] == pace.projection.window
        assert rule["for"] == pace.projection.hold
        assert f"> {OVERRUN_RATIO:g}\n" in rule["expr"]
        assert rule["expr"].endswith(f"> {pace.projection.settle_s}")


def test_thresholds_can_be_reached_and_are_above_the_even_pace() -> None:
    """A node whose mean is half of its peak, on a grid that doubles, burns four times its mean at most."""
    days = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}
    for period, pace in PACES.items():
        span_s = days[period] * 86400
        fast, slow = (burn.fraction * span_s / SECONDS[burn.window] for burn in (pace.fast, pace.slow))
        assert 2.9 <= fast <= 3.6
        assert 1.4 <= slow <= 1.51
        for burn in (pace.fast, pace.slow):
            assert SECONDS[burn.window] == 12 * SECONDS[burn.short]
