"""The values of a web configuration file in YAML, each with its place for messages.

No message repeats a value: keys, hashes and passwords stand in this file.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ..errors import SettingsError
from ..model import S_NS

LARGEST_BYTES = 1 << 20
_NULL = "tag:yaml.org,2002:null"
# Units of Go's time.ParseDuration, in nanoseconds.
_UNITS_NS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 10**6, "s": S_NS, "m": 60 * S_NS, "h": 3600 * S_NS}
_DURATION_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Value:
    """A YAML node with its file and its key path, such as `tls_server_config.cert_file`.

    Every method that cannot give what it promises raises SettingsError with file, line and key path.
    """

    file: str
    path: str
    node: Node = field(repr=False)

    @property
    def origin(self) -> str:
        """File, line and key path, as the start of a message."""
        return f"{self.file}:{self.node.start_mark.line + 1}: {self.path or 'the file'}"

    @property
    def is_null(self) -> bool:
        """Whether there is a key without a value."""
        return isinstance(self.node, ScalarNode) and self.node.tag == _NULL and self.node.style is None

    def error(self, message: str) -> SettingsError:
        """What is wrong with this value."""
        return SettingsError(f"{self.origin}: {message}")

    def fields(self, known: Collection[str]) -> dict[str, Value]:
        """The members of a mapping with only `known` keys; those without a value are left out."""
        entries = self.entries(f"a mapping with {', '.join(known)}")
        for key, (place, _) in entries.items():
            if key not in known:
                nearest = difflib.get_close_matches(key[:64], known, n=1, cutoff=0.0)[0]
                where = f"under {self.path}" if self.path else "at the top"
                raise place.error(
                    f"unknown key; the nearest valid key is {nearest}; accepted {where}: {', '.join(known)}"
                )
        return {key: value for key, (_, value) in entries.items() if not value.is_null}

    def entries(self, accepts: str) -> dict[str, tuple[Value, Value]]:
        """The members of a mapping by key, each as the place of the key and the value."""
        if self.is_null:
            return {}
        if not isinstance(self.node, MappingNode):
            raise self.error(f"not what is expected here; give {accepts}")
        found: dict[str, tuple[Value, Value]] = {}
        for key_node, node in self.node.value:
            if not isinstance(key_node, ScalarNode):
                raise Value(self.file, self.path, key_node).error("a key must be plain text")
            key = str(key_node.value)
            shown = key if key.isprintable() and len(key) <= 64 else "(a key that cannot be shown)"
            path = f"{self.path}.{shown}" if self.path else shown
            place = Value(self.file, path, key_node)
            if key in found:
                raise place.error("given twice; keep one of them")
            found[key] = (place, Value(self.file, path, node))
        return found

    def text(self, accepts: str) -> str:
        """A text that is not empty, and can be a path or be sent."""
        text = "" if self.is_null or not isinstance(self.node, ScalarNode) else str(self.node.value)
        if not text or "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise self.error(f"not what is expected here; give {accepts}")
        return text

    def texts(self, accepts: str) -> tuple[tuple[str, Value], ...]:
        """The members of a list of texts, each with its place."""
        if not isinstance(self.node, SequenceNode):
            raise self.error(f"not what is expected here; give a list of {accepts}")
        members = [Value(self.file, f"{self.path}[{i}]", node) for i, node in enumerate(self.node.value)]
        return tuple((member.text(accepts), member) for member in members)

    def choice(self, words: Collection[str]) -> str:
        """One of a few words, to the letter."""
        accepts = f"one of {', '.join(words)}"
        text = self.text(accepts)
        if text not in words:
            nearest = difflib.get_close_matches(text[:64], words, n=1, cutoff=0.6)
            hint = f"; the nearest is {nearest[0]}" if nearest else ""
            raise self.error(f"not accepted; give {accepts}{hint}")
        return text

    def switch(self) -> bool:
        """True or false."""
        text = self.node.value if isinstance(self.node, ScalarNode) and self.node.style is None else ""
        if text.lower() not in ("true", "false"):
            raise self.error("not accepted; give true or false")
        return bool(text.lower() == "true")

    def whole(self, lowest: int, highest: int) -> int:
        """A whole number within bounds, both included."""
        text = self.node.value if isinstance(self.node, ScalarNode) else ""
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not lowest <= int(text) <= highest:
            raise self.error(f"not accepted; give a whole number from {lowest} to {highest}")
        return int(text)

    def duration_ns(self, longest_ns: int) -> int:
        """Nanoseconds of a duration as Go writes it, such as `1m30s`; 0 needs no unit."""
        text = self.node.value if isinstance(self.node, ScalarNode) else ""
        parts = _DURATION_PART.findall(text) if len(text) <= 40 else []
        total_ns = int(sum(Decimal(number) * _UNITS_NS[unit] for number, unit in parts))
        whole = parts and "".join(number + unit for number, unit in parts) == text
        if text != "0" and (not whole or total_ns > longest_ns):
            raise self.error(
                f"not accepted; give a duration up to {longest_ns // S_NS}s, such as 1s or 250ms"
            )
        return total_ns


def read_yaml(path: str) -> Value | None:
    """The document in the file at `path`, None when it is empty. Raises SettingsError."""
    try:
        content = read_file(path)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot read the web configuration: {error.strerror};"
            " give a file that this user may read to --web.config.file"
        ) from error
    if content is None:
        raise SettingsError(f"{path}: larger than 1 MiB, so surely not a web configuration")
    try:
        node: Node | None = yaml.compose(content, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        problem = re.sub(r"'[^']*'", "...", " ".join((error.problem or "").split()))
        raise SettingsError(f"{path}{line}: not valid YAML: {problem}") from None
    except (yaml.YAMLError, UnicodeError):
        raise SettingsError(f"{path}: not valid YAML: not a text in UTF-8") from None
    except RecursionError:
        raise SettingsError(f"{path}: not valid YAML: nested too deeply") from None
    return None if node is None else Value(path, "", node)


def read_file(path: str) -> bytes | None:
    """All of a regular file, None when it is larger than 1 MiB; raises OSError, for a pipe too."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "not a regular file")
        content = file.read(LARGEST_BYTES + 1)
    return content if len(content) <= LARGEST_BYTES else None
