"""A part of the settings file that knows where it stands, for values that are more than one text."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ..errors import SettingsError
from .kinds import Kind, quoted, read_text

_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True)
class Part:
    """A YAML node with its file and its key path, such as `budgets[1].limit`.

    Every method that cannot give what it promises raises SettingsError with file, line and key path.
    """

    file: str
    path: str
    node: Node

    @property
    def origin(self) -> str:
        """File, line and key path, as the start of a message."""
        return f"{self.file}:{self.node.start_mark.line + 1}: {self.path}"

    @property
    def is_null(self) -> bool:
        """Whether there is a key without a value."""
        return isinstance(self.node, ScalarNode) and self.node.tag == _NULL and self.node.style is None

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, SequenceNode)

    def value(self, kind: Kind) -> Any:
        """The value of a leaf."""
        return read_text(kind, self.text(kind), self.origin)

    def text(self, kind: Kind) -> str:
        """The text of a leaf; a wrong type is told here, a wrong value when the text is read."""
        if kind.is_list and isinstance(self.node, SequenceNode) and self.node.value:
            return ",".join(Part(self.file, self.path, item).text(kind) for item in self.node.value)
        # An unquoted NO is Norway where a text is wanted, and false only where a switch is.
        if (
            isinstance(self.node, ScalarNode)
            and (kind.is_text or self.node.style is None)
            and not self.is_null
        ):
            return str(self.node.value)
        raise self.wrong_type(kind.accepts)

    def items(self, accepts: str, most: int) -> list[Part]:
        """The members of a list."""
        if not isinstance(self.node, SequenceNode):
            raise self.wrong_type(accepts)
        if len(self.node.value) > most:
            raise SettingsError(f"{self.origin}: {len(self.node.value)} are too many; give at most {most}")
        return [Part(self.file, f"{self.path}[{index}]", node) for index, node in enumerate(self.node.value)]

    def entries(self, accepts: str) -> dict[str, Part]:
        """The members of a mapping by key, those without a value included."""
        if not isinstance(self.node, MappingNode):
            raise self.wrong_type(accepts)
        found: dict[str, Part] = {}
        for key_node, node in self.node.value:
            here = Part(self.file, self.path, key_node)
            if not isinstance(key_node, ScalarNode):
                raise SettingsError(f"{here.origin}: a key must be plain text")
            key = str(key_node.value)
            if key in found:
                raise SettingsError(f"{here.origin}.{shown_key(key)}: given twice; keep one of them")
            found[key] = Part(self.file, f"{self.path}.{shown_key(key)}", node)
        return found

    def fields(self, known: Collection[str], accepts: str) -> dict[str, Part]:
        """The members of a mapping with only `known` keys; those without a value are left out."""
        entries = self.entries(accepts)
        for (key, part), (key_node, _) in zip(entries.items(), self.node.value, strict=True):
            if key not in known:
                nearest = difflib.get_close_matches(key[:64], known, n=1, cutoff=0.0)[0]
                origin = f"{self.file}:{key_node.start_mark.line + 1}: {part.path}"
                raise SettingsError(
                    f"{origin}: unknown key; the nearest valid key is {nearest};"
                    f" accepted under {self.path}: {', '.join(known)}"
                )
        return {key: part for key, part in entries.items() if not part.is_null}

    def missing(self, key: str, accepts: str) -> SettingsError:
        """That a mapping lacks a key it needs."""
        return SettingsError(f"{self.origin}: {key} is missing; give {accepts}")

    def wrong_type(self, accepts: str) -> SettingsError:
        """That this is a mapping, a list or a text where something else is wanted."""
        if isinstance(self.node, ScalarNode):
            text = quoted(self.node.value)
            shown = "nothing" if self.is_null else text if self.node.style is None else f"the text {text}"
        else:
            shown = "a list" if isinstance(self.node, SequenceNode) else "a mapping"
        return SettingsError(f"{self.origin}: {shown} is not accepted; give {accepts}")


def shown_key(key: str) -> str:
    """A key as one short piece of a line, whatever it holds."""
    return key if key.isprintable() and len(key) <= 64 else quoted(key)
