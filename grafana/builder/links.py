"""Links that keep the time and what was chosen."""

from __future__ import annotations

from .fields import JSON

TAG = "wattledger"
THERE = "var-cluster=${__data.fields.cluster:percentencode}"
"""The cluster of the row, as nodes of two clusters may have one name; empty where there is no such label."""
KEPT = f"{THERE}&${{datasource:queryparam}}&${{job:queryparam}}&${{__url_time_range}}"
TO_NODE = (
    "Show the node",
    f"/d/wattledger-node/wattledger-node?var-instance=${{__data.fields.instance:percentencode}}&{KEPT}",
)
TO_NAMESPACE = (
    "Show the namespace",
    (
        "/d/wattledger-workloads/wattledger-workloads?var-namespace=${__data.fields.pod_namespace:percentencode}"
        f"&${{instance:queryparam}}&{KEPT}"
    ),
)


def data_link(link: tuple[str, str]) -> JSON:
    """A link on a value."""
    title, url = link
    return {"title": title, "url": url, "targetBlank": False}


def dropdown() -> JSON:
    """The menu of all dashboards with our tag."""
    return {
        "type": "dashboards",
        "title": "Wattledger",
        "tags": [TAG],
        "asDropdown": True,
        "keepTime": True,
        "includeVars": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "The other dashboards, with the same time and selection",
        "url": "",
    }
