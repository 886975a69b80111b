"""Looks a rule file over before it is handed out."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

import yaml

from ..errors import SettingsError
from ..exposition.catalogue import BY_SAMPLE_NAME

_NAMES = re.compile(r"\b(?:wattledger_\w+|\w+:\w+:\w+)")
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_PROMTOOL_S = 60.0


def metric_names(expression: str) -> set[str]:
    """The names of our metrics and of recorded series in a PromQL expression."""
    return set(_NAMES.findall(_STRINGS.sub('""', expression)))


def unknown_names(text: str) -> list[str]:
    """The metrics that the rules in `text` read, but neither the agent exposes nor the rules record."""
    rules = list(_rules(text))
    recorded = {rule["record"] for rule in rules if "record" in rule}
    read = {name for rule in rules for name in metric_names(rule["expr"])}
    return sorted(read - recorded - set(BY_SAMPLE_NAME))


def check(text: str) -> bool:
    """Raise SettingsError where a rule file cannot be right; says whether promtool has looked at it too.

    promtool knows regular expressions as Prometheus does, and only where it is on PATH.
    """
    unknown = unknown_names(text)
    if unknown:
        raise SettingsError(f"the rules read metrics that do not exist: {', '.join(unknown)}")
    promtool = shutil.which("promtool")
    if promtool is None:
        return False
    command = [promtool, "check", "rules", "--lint-fatal", "/dev/stdin"]
    try:
        done = subprocess.run(  # noqa: S603 - what PATH calls promtool
            command, input=text, capture_output=True, encoding="utf-8", check=False, timeout=_PROMTOOL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SettingsError(f"promtool could not look at the rules: {error}") from error
    if done.returncode != 0:
        raise SettingsError(f"promtool refuses the rules: {_first_fault(done.stderr or done.stdout)}")
    return True


def _first_fault(output: str) -> str:
    """One of the faults that promtool found: a pattern that it does not know is in most rules of a budget."""
    lines = [line.strip().removeprefix("/dev/stdin: ") for line in output.splitlines()]
    return next((line for line in lines if line and line != "FAILED:"), "it gave no reason")


def _rules(text: str) -> Iterator[dict[str, str]]:
    for group in yaml.safe_load(text)["groups"]:
        yield from group["rules"]
