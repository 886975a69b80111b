"""Kinds of values that only the settings file can hold, and who gave a value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .structured_part import Part  # it brings YAML, for those who have a settings file


@dataclass(frozen=True, slots=True)
class Given:
    """A value, and who gave it, as the start of a message: a text, or a part of the file for a structure."""

    text: str
    origin: str
    part: Part | None = None


class Structure(ABC):
    """A kind of value that only the settings file can hold: lists and mappings instead of one text."""

    metavar = ""
    is_text = False
    is_list = False

    @property
    @abstractmethod
    def accepts(self) -> str:
        """What may be given, for a message and for the reference."""

    @abstractmethod
    def read(self, part: Part) -> Any:
        """The value that a part of the file stands for; raises SettingsError."""

    def parse(self, text: str) -> Any:
        """Never accepts anything: there is no flag and no variable for it."""
        raise ValueError(text)

    def show(self, value: Any) -> str:  # noqa: ARG002 - the protocol's parameter
        """Its default is said by the option's note."""
        return ""
