"""Reads the list of budgets; a mistake is told with file, line, key path and what is accepted."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec

from ..errors import SettingsError
from ..settings import Period
from .budget import INFO_LABELS, SERIES_LABELS, TARGET_LABELS, FleetBudget, Matcher
from .document import Document, read

_GRAMS = {"mg": 1e-3, "g": 1.0, "kg": 1e3, "t": 1e6}
_MASS = re.compile(r"(\d+(?:\.\d+)?) *(mg|g|kg|t)", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?", re.ASCII)
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_TAKEN = ("budget", "period", "severity", "window", "alertname")
_SELECTABLE = (*TARGET_LABELS, *SERIES_LABELS, *INFO_LABELS, "team")
# What Python's regular expressions have and RE2 has not: some escapes; and, once the escapes are out of the
# way, looking around, atomic groups, references back, flags, and repeating more than a thousand times.
_ESCAPE = re.compile(r"\\(.)")
_NOT_RE2_ESCAPE = re.compile(r"[1-9NuUZ]|[^\x00-\x7f]")
_NOT_RE2 = re.compile(r"\(\?(?!P<[A-Za-z_]\w*>|[ims]*(?:-[ims]+)?[:)])|[*+?}]\+", re.ASCII)
_TIMES = re.compile(r"\{(\d+)(?:,(\d*))?\}", re.ASCII)
_MOST_TIMES = 1000
_NAMED_CLASS = re.compile(r"\[:\^?\w+:\]")  # of RE2 alone, such as [[:alpha:]]
_SHELL_STAR = re.compile(r"(?:^|(?<!\\)[\w-])\*")
_LINES = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,200}")

Values = str | list[str]


class _Budget(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    limit: str
    period: str
    timezone: str = "UTC"
    severity: str = ""
    scope: str = "operational"
    labels: dict[str, str] = {}
    select: dict[str, Values] = {}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    budgets: list[_Budget]
    teams: dict[str, Values] = {}


def load_budgets(path: str) -> tuple[FleetBudget, ...]:
    """The budgets in the YAML file at `path`, in its order. Raises SettingsError for what cannot be used."""
    document = read(path)
    try:
        listed = msgspec.convert(document.data, _File)
    except msgspec.ValidationError as error:
        raise _misshapen(document, str(error)) from None
    if not listed.budgets:
        raise document.error("budgets", "no budget is given; list one or more")
    teams = {team: _exactly(document, f"teams.{team}", given) for team, given in listed.teams.items()}
    budgets = tuple(
        _budget(document, f"budgets[{number}]", one, teams) for number, one in enumerate(listed.budgets)
    )
    seen: set[str] = set()
    for number, budget in enumerate(budgets):
        if budget.name in seen:
            raise document.error(
                f"budgets[{number}].name", f'another budget is called "{budget.name}" already'
            )
        seen.add(budget.name)
    return budgets


def _budget(
    document: Document, path: str, given: _Budget, teams: Mapping[str, tuple[str, ...]]
) -> FleetBudget:
    check = _Checker(document, path)
    check.that("name", given.name, _NAME.fullmatch, "up to 64 letters, digits and . _ -, such as ml-month")
    check.that("period", given.period, get_args(Period).__contains__, f"one of {', '.join(get_args(Period))}")
    check.that(
        "timezone",
        given.timezone,
        ("UTC", "Etc/UTC", "Z").__contains__,
        "UTC: rules of Prometheus know no other time zone; an agent's own budgets do",
    )
    check.that("scope", given.scope, ("operational", "total").__contains__, "one of operational, total")
    check.that("severity", given.severity, _usable_severity, "a word such as warning, info or none")
    for label, text in given.labels.items():
        key = f"labels.{label}"
        check.that(key, label, _usable_label, f"a name of a label other than {', '.join(_TAKEN)}")
        check.that(key, text, _usable_text, "a text of 1 to 200 characters on one line, without {{")
    labels = dict(given.labels)
    select: dict[str, Matcher] = {}
    for label, values in given.select.items():
        key = f"{path}.select.{label}"
        if label == "team":
            team = values if isinstance(values, str) else ""
            if team not in teams:
                known = f"one of {', '.join(teams)}" if teams else "a team that is listed under teams"
                raise document.error(key, f"{_quoted(values)} is not accepted; give {known}")
            if "pod_namespace" in given.select:
                raise document.error(key, "a team is a list of namespaces; leave out pod_namespace beside it")
            check.that("select.team", team, _usable_text, "a name without {{, for it becomes a label")
            select["pod_namespace"] = Matcher(exactly=teams[team])
            labels.setdefault("team", team)
        elif label in _SELECTABLE:
            select[label] = _matcher(document, key, values)
        else:
            raise document.error(key, f"unknown label; accepted are {', '.join(_SELECTABLE)}")
    return FleetBudget(
        name=given.name,
        limit_g=_mass(document, f"{path}.limit", given.limit),
        period=msgspec.convert(given.period, Period),
        severity=given.severity or None,
        scope="total" if given.scope == "total" else "operational",
        labels=labels,
        select=select,
    )


class _Checker:
    """Refuses values of one budget."""

    def __init__(self, document: Document, path: str) -> None:
        self._document = document
        self._path = path

    def that(self, key: str, value: str, accepts: Callable[[str], object], accepted: str) -> None:
        """Raise SettingsError unless `accepts` is true of the value."""
        if not accepts(value):
            message = f"{_quoted(value)} is not accepted; give {accepted}"
            raise self._document.error(f"{self._path}.{key}", message)


def _usable_severity(text: str) -> bool:
    return not text or _LABEL.fullmatch(text) is not None


def _usable_label(label: str) -> bool:
    return _LABEL.fullmatch(label) is not None and not label.startswith("__") and label not in _TAKEN


def _usable_text(text: str) -> bool:
    """Whether it can be a label of alerts, which Prometheus reads as a template."""
    return _LINES.fullmatch(text) is not None and "{{" not in text


def _mass(document: Document, path: str, text: str) -> float:
    match = _MASS.fullmatch(text.strip())
    grams = float(match[1]) * _GRAMS[match[2]] if match else 0.0
    if not (0 < grams <= 1e15 and math.isfinite(grams)):
        raise document.error(
            path, f"{_quoted(text)} is not accepted; give a mass with its unit (g, kg, t), such as 500 kg"
        )
    return grams


def _matcher(document: Document, path: str, given: Values) -> Matcher:
    if not isinstance(given, str):
        return Matcher(exactly=_exactly(document, path, given))
    accepted = "a name, a regular expression of RE2 such as ml-.*, or a list of names"
    if not _LINES.fullmatch(given) or _is_not_re2(given):
        raise document.error(path, f"{_quoted(given)} is not accepted; give {accepted}")
    if _SHELL_STAR.search(given):
        raise document.error(
            path, f"{_quoted(given)} is a pattern of the shell; give {accepted}, with .* for anything"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of sets in sets, which RE2 has not either
            empty = re.compile(_NAMED_CLASS.sub(r"\\w", given)).fullmatch("") is not None
    except (re.error, RecursionError, OverflowError):
        raise document.error(path, f"{_quoted(given)} is not accepted; give {accepted}") from None
    if empty:
        raise document.error(
            path,
            f"{_quoted(given)} matches what has no such label too; give .+ for any value, or leave it out",
        )
    return Matcher(like=given)


def _is_not_re2(pattern: str) -> bool:
    """Whether Prometheus would refuse what Python takes."""
    if any(_NOT_RE2_ESCAPE.match(escape[1]) for escape in _ESCAPE.finditer(pattern)):
        return True
    bare = _ESCAPE.sub("_", pattern)
    times = [int(number) for pair in _TIMES.findall(bare) for number in pair if number]
    return _NOT_RE2.search(bare) is not None or any(number > _MOST_TIMES for number in times)


def _exactly(document: Document, path: str, given: Values) -> tuple[str, ...]:
    names = [given] if isinstance(given, str) else given
    if not names or not all(_LINES.fullmatch(name) for name in names):
        raise document.error(path, "give one or more names, none of them empty")
    return tuple(dict.fromkeys(names))


def _quoted(value: Values) -> str:
    text = value if isinstance(value, str) else "a list"
    shown = text if len(text) <= 60 else text[:57] + "..."
    return f'"{shown}"' if isinstance(value, str) else shown


def _misshapen(document: Document, message: str) -> SettingsError:
    """What msgspec found, in our words."""
    what, _, place = message.partition(" - at `$")
    path = place.rstrip("`").removeprefix(".")
    path = re.sub(r"\[\.\.\.\]", "", path)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what)
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    fields = _Budget.__struct_fields__ if path.startswith("budgets[") else _File.__struct_fields__
    if unknown:
        key = f"{path}.{unknown[1]}".lstrip(".")
        return document.error(key, f"unknown key; accepted are {', '.join(fields)}")
    if missing:
        return document.error(path or "the file", f"{missing[1]} is missing")
    accepted: Any = {"budgets": "a list of budgets", "teams": "a list of namespaces for each team"}.get(path)
    return document.error(
        path or "the file", f"not what is expected here; give {accepted or _shape(path, fields)}"
    )


def _shape(path: str, fields: tuple[str, ...]) -> str:
    field = path.rpartition("].")[2].split(".")[0].split("[")[0]
    if field in ("labels", "select"):
        return "a mapping of labels to texts" + (" or lists of texts" if field == "select" else "")
    return "one text" if field in fields else f"a mapping with {', '.join(fields)}"
