"""A YAML file as plain texts, lists and mappings, with the line of every key path."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ..errors import SettingsError

_LARGEST_BYTES = 1 << 20
_DEEPEST = 8


class Document:
    """`data` holds every scalar as the text that stands there, so that a namespace may be called `no`."""

    def __init__(self, path: str, data: Any, lines: dict[str, int]) -> None:
        self.data = data
        self._path = path
        self._lines = lines

    def error(self, path: str, message: str) -> SettingsError:
        """What is wrong at a key path, with its line or that of what it stands in."""
        known = path
        while known and known not in self._lines:
            known = known[: max(known.rfind("."), known.rfind("["), 0)]
        return SettingsError(f"{self._path}:{self._lines.get(known, 1)}: {path}: {message}")


def read(path: str) -> Document:
    """The file at `path`. Raises SettingsError where it cannot be read or is not YAML of a plain kind."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot read the list of budgets: {error.strerror}") from error
    if len(content) > _LARGEST_BYTES:
        raise SettingsError(f"{path}: larger than 1 MiB, so surely not a list of budgets")
    try:
        root = yaml.compose(content, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise SettingsError(
            f"{path}{line}: not valid YAML: {' '.join((error.problem or '').split())}"
        ) from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise SettingsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise SettingsError(f"{path}: not valid YAML: nested too deeply") from None
    if root is None:
        raise SettingsError(f"{path}: the file is empty; list the budgets under `budgets:`")
    lines: dict[str, int] = {}
    return Document(path, _plain(path, root, "", lines, depth=0), lines)


def _plain(path: str, node: Node, place: str, lines: dict[str, int], depth: int) -> Any:
    """What a node holds; `lines` takes the line of each key path below it."""
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    if depth > _DEEPEST:
        raise SettingsError(f"{path}:{line}: {place}: nested too deeply")
    if len(lines) > 100_000:
        raise SettingsError(f"{path}:{line}: {place}: more than 100,000 values")
    if isinstance(node, ScalarNode):
        return str(node.value)
    if isinstance(node, SequenceNode):
        return [
            _plain(path, item, f"{place}[{number}]", lines, depth + 1)
            for number, item in enumerate(node.value)
        ]
    assert isinstance(node, MappingNode)  # noqa: S101 - there are no other kinds of node
    found: dict[str, Any] = {}
    for key_node, item in node.value:
        at = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            raise SettingsError(f"{path}:{at}: {place or 'the file'}: a key must be plain text")
        key = str(key_node.value)
        below = f"{place}.{key}".lstrip(".")
        if key in found:
            raise SettingsError(f"{path}:{at}: {below}: given twice; keep one of them")
        lines[below] = at
        found[key] = _plain(path, item, below, lines, depth + 1)
    return found
