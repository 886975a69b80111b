"""How a report says names and times to a person (pure)."""

from __future__ import annotations

import re
from datetime import datetime

from ..carbon.budgets.period import zone
from ..model import S_NS
from .records import By, Row, Source

COLUMN: dict[By, str] = {
    "workload": "Workload",
    "namespace": "Namespace",
    "user": "User",
    "account": "Account",
    "component": "Component",
}
DELETED = (
    "they were older than storage.retention and were deleted;"
    " 800d or more keeps a calendar year until the next one is over"
)
"""What retention did, and what to set."""

_CONTAINER = re.compile(r"[0-9a-f]{64}")
_NONE: dict[By, str] = {
    "workload": "(none)",
    "namespace": "(no namespace)",
    "user": "(no user)",
    "account": "(no account)",
    "component": "(none)",
}


def name_of(row: Row, by: By) -> str:
    """What a person calls a group: a workload by pod and container, else its name, else its id."""
    workload = row.workload
    if workload is None:
        return row.group or _NONE[by]
    pod = (workload.pod_namespace, workload.pod_name, workload.container_name)
    return "/".join(part for part in pod if part) or workload.name or workload.id or workload.kind


def short_id(id: str) -> str:
    """The first twelve digits of a container's id, as container tools show it; any other id as it is."""
    return id[:12] if _CONTAINER.fullmatch(id) else id


def plain(text: str) -> str:
    """`text` with every character escaped that could hide, move the cursor or turn the line around."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def rest_of(rest: Row) -> str:
    """What the folded rows are called."""
    if not rest.members:
        return "all others"
    return f"all others ({rest.members} {'workload' if rest.members == 1 else 'workloads'})"


def moment(wall_ns: int, timezone: str, form: str = "%Y-%m-%d %H:%M") -> str:
    """A time in the time zone of the report."""
    return datetime.fromtimestamp(wall_ns // S_NS, zone(timezone)).strftime(form)


def iso(wall_ns: int, timezone: str) -> str:
    """A time as ISO 8601 with its offset."""
    return datetime.fromtimestamp(wall_ns // S_NS, zone(timezone)).isoformat()


def length(time_ns: int) -> str:
    """`2 d 3 h`, `1 h 20 min` or `45 s`: the two largest units."""
    seconds = round(time_ns / S_NS)
    for size, unit, small, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            whole, left = divmod(seconds, size)
            return f"{whole} {unit}" + (f" {left // small} {part}" if left // small else "")
    return f"{seconds} s"


def share(ratio: float) -> str:
    """`12.3 %`; what is not all is never 100, and what is not nothing never 0."""
    percent = ratio * 100
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    if 0 < percent < 0.05:
        return "< 0.1 %"
    return f"{percent:.1f} %"


def source_of(source: Source) -> str:
    """Provider and zone, and what kind of intensity it is."""
    where = " ".join(part for part in (source.provider, source.grid_zone) if part)
    nature = [source.kind, source.basis, source.flow, "fallback" if source.fallback else ""]
    return f"{where} ({', '.join(part for part in nature if part)})"
