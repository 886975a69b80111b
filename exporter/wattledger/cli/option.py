"""One setting as flag, environment variable and key of the settings file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .kinds import Kind

_ENVIRONMENT_PREFIX = "WATTLEDGER_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting.

    `key` is its dotted place in the settings file; `in_file` is False where only flag and environment
    may set it. `flag` is the flag's name without dashes, "" where only the file may set it.
    `default` is the value when nobody sets it; `default_note` says it where it is not a constant.
    """

    key: str
    kind: Kind
    default: Any
    help: str
    flag: str = ""
    in_file: bool = True
    default_note: str = ""

    @property
    def environment(self) -> str:
        """The environment variable that sets it, "" where none does."""
        return _ENVIRONMENT_PREFIX + self._flag_word.upper() if self.flag else ""

    @property
    def parameter(self) -> str:
        """The name click passes the flag's value under."""
        return self._flag_word

    @property
    def _flag_word(self) -> str:
        return self.flag.replace(".", "_").replace("-", "_")

    @property
    def section(self) -> str:
        return self.key.partition(".")[0]

    @property
    def default_text(self) -> str:
        """The default as a person would write it."""
        if self.default_note:
            return self.default_note
        return "" if self.default is None else self.kind.show(self.default)
