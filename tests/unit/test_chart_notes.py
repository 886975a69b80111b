"""What Helm says after an installation of the chart."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helm_chart import needs_helm, renderer, value_set

pytestmark = needs_helm


def notes(values: dict[str, Any]) -> str:
    """What Helm says after an installation."""
    try:
        text: str = renderer.notes(values)
    except renderer.RenderError as error:
        if "helm-python-sdk" not in str(error):
            raise
        pytest.skip(str(error))
    return text


def test_the_notes_name_commands_that_work() -> None:
    """The object, the port and the scheme are those of the release."""
    said = notes({"port": 29190, "fullnameOverride": "meter"})
    assert "exec daemonset/meter -- wattledger check\n" in said
    assert "port-forward daemonset/meter 29190:29190" in said
    assert "http://localhost:29190/" in said
    assert "https://localhost:19190/" in notes(value_set("web-config"))
    assert "port-forward deployment/wattledger" in notes(value_set("demo"))
    assert "in /var/lib/wattledger." in said
    assert "/var/lib/wattledger" not in notes(value_set("minimal"))


@pytest.mark.parametrize(
    ("values", "warned"),
    [
        ({"config": {"carbon": {"intensity": {"provider": "energy-charts"}}}}, True),
        ({"config": {"carbon": {"signal": {"provider": "watttime"}}}}, True),
        ({"config": {"carbon": {"intensity": {"provider": "table", "grid_zone": "DE"}}}}, False),
        ({"config": {"carbon": {"intensity": 250}}}, False),
        ({"config": {"carbon": {"intensity": {"grams_per_kwh": 250}}}}, False),
        ({"kubelet": {"enabled": True}}, True),
        ({}, False),
    ],
)
def test_the_notes_warn_of_a_policy_that_keeps_the_agents_from_asking(
    values: dict[str, Any], warned: bool
) -> None:
    """Where something has to be asked and nobody may be."""
    closed = {**values, "networkPolicy": {"enabled": True}}
    assert ("lets the agents ask nobody" in notes(closed)) == warned
    opened = {**values, "networkPolicy": {"enabled": True, "egress": [{"ports": [{"port": 443}]}]}}
    assert "lets the agents ask nobody" not in notes(opened)
