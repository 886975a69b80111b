"""Rule files as text: the same groups always give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines as blocks, lists indented, no references between equal parts."""

    yaml_representers = {  # noqa: RUF012 - how PyYAML wants it
        **yaml.SafeDumper.yaml_representers,
        str: lambda dumper, text: dumper.represent_scalar(
            "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
        ),
    }

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def render(groups: Sequence[Mapping[str, Any]], head: Sequence[str] = ()) -> str:
    """A rule file of `groups` after `head` as comments, a line each whatever they hold."""
    comments = "".join(f"# {_shown(line)}".rstrip() + "\n" for line in head)
    plain = MappingProxyType({"groups": list(groups)})
    body: str = yaml.dump(
        dict(plain),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=1 << 20,
        default_flow_style=False,
    )
    return comments + body


def _shown(line: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in line)
