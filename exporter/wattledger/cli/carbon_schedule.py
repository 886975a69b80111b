"""Weekly schedules in the settings file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..settings import WeeklyRule
from .kinds import Number
from .structure import Structure

if TYPE_CHECKING:
    from .structured_part import Part

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_MOST_RULES = 100
_TIME = re.compile(r"(\d{1,2}):(\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Days:
    """Days of the week, 0 is Monday: names, spans of names, or all; as text separated by commas."""

    metavar: str = "DAYS"
    is_text: bool = True
    is_list: bool = True
    accepts: str = f"days of {', '.join(DAYS)}, such as mon-fri, fri-mon, [sat, sun] or all"

    def parse(self, text: str) -> frozenset[int]:
        return frozenset(day for word in text.split(",") for day in _days(word.strip().lower()))

    def show(self, value: frozenset[int]) -> str:
        return ",".join(DAYS[day] for day in sorted(value))


def _days(word: str) -> list[int]:
    if word == "all":
        return list(range(7))
    first, _, last = word.partition("-")
    start = DAYS.index(first)
    end = DAYS.index(last) if last or "-" in word else start
    return [(start + offset) % 7 for offset in range((end - start) % 7 + 1)]


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """A time as minutes since midnight; 24:00 only where it ends something."""

    is_end: bool
    metavar: str = "TIME"
    is_text: bool = True
    is_list: bool = False

    @property
    def accepts(self) -> str:
        return f'a time from "00:00" to "{"24:00" if self.is_end else "23:59"}", such as "08:00"'

    def parse(self, text: str) -> int:
        match = _TIME.fullmatch(text)
        if match is None or int(match[2]) > 59:
            raise ValueError(text)
        minute = int(match[1]) * 60 + int(match[2])
        if minute > _DAY_MINUTES - (not self.is_end):
            raise ValueError(text)
        return minute

    def show(self, value: int) -> str:
        return f"{value // 60:02}:{value % 60:02}"


@dataclass(frozen=True, slots=True)
class Schedule(Structure):
    """Rules by day and time with a number under `value_key` each, as WeeklyRules.

    The last rule that holds counts.
    A rule that ends before it begins goes on past midnight and becomes two. Without days it holds on all
    of them, without times all day.
    """

    value_key: str
    number: Number
    example_value: str

    @property
    def accepts(self) -> str:
        return f"a list of rules such as {self._example}"

    @property
    def _example(self) -> str:
        return f'{{days: mon-fri, from: "08:00", to: "20:00", {self.value_key}: {self.example_value}}}'

    def read(self, part: Part) -> tuple[WeeklyRule, ...]:
        items = part.items(self.accepts, _MOST_RULES)
        return tuple(rule for item in items for rule in self._rule(item))

    def _rule(self, item: Part) -> list[WeeklyRule]:
        known = ("days", "from", "to", self.value_key)
        accepts = f"a rule such as {self._example}"
        _check_no_stray_day(item, accepts)
        fields = item.fields(known, accepts)
        if self.value_key not in fields:
            raise item.missing(self.value_key, self.number.accepts)
        value = fields[self.value_key].value(self.number)
        days = fields["days"].value(Days()) if "days" in fields else frozenset(range(7))
        start = fields["from"].value(TimeOfDay(is_end=False)) if "from" in fields else 0
        end = fields["to"].value(TimeOfDay(is_end=True)) if "to" in fields else _DAY_MINUTES
        if start < end:
            return [WeeklyRule(days, start, end, value)]
        if start == end:
            raise SettingsError(
                f"{item.origin}: begins and ends at {TimeOfDay(is_end=True).show(end)};"
                " give an end that differs, or leave out from and to for the whole day"
            )
        tomorrow = frozenset((day + 1) % 7 for day in days)
        rules = [WeeklyRule(days, start, _DAY_MINUTES, value), WeeklyRule(tomorrow, 0, end, value)]
        return [rule for rule in rules if rule.start_minute < rule.end_minute]


def _check_no_stray_day(item: Part, accepts: str) -> None:
    """In braces, `days: sat,sun` is the day sat and a key sun."""
    for key, part in item.entries(accepts).items():
        if key.lower() in DAYS and part.is_null:
            raise SettingsError(
                f"{item.origin}: {key} stands alone; in braces, several days need brackets or quotes,"
                " as in days: [sat, sun]"
            )
