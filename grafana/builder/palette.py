"""The colours: Okabe and Ito's where they show on Grafana's dark and light panels alike.

Of their eight, sky blue, orange and yellow fade on white and black on the dark theme, so those are left out.
Each set below is told apart with normal vision, protanopia, deuteranopia and tritanopia, and every colour
has a contrast of at least 3 to 1 with both backgrounds (WCAG 2.1, 1.4.11); tests/unit/test_dashboards.py
checks both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
GREY = "#7F7F7F"
AMBER = "#C08A00"
RED = "#C4312B"

DARK_PANEL = "#181B1F"
LIGHT_PANEL = "#FFFFFF"

COMPONENTS: Mapping[str, str] = MappingProxyType(
    {"cpu": BLUE, "dram": PURPLE, "gpu": VERMILLION, "other": GREEN}
)
"""By the value of the label `component`."""

SHARES: Mapping[str, str] = MappingProxyType({"dynamic": BLUE, "idle": GREY, "unattributed": VERMILLION})
"""What energy was for."""

STATES: Mapping[str, str] = MappingProxyType({"good": BLUE, "warning": AMBER, "bad": RED})
"""Thresholds and mappings; the text or the height says the same, so colour is never alone."""

SCOPES: Mapping[str, str] = MappingProxyType(
    {"location-based": BLUE, "market-based": VERMILLION, "embodied": GREEN}
)
"""Kinds of emissions that are never added up."""

WINDOWS: Mapping[str, str] = MappingProxyType({"1h": VERMILLION, "6h": PURPLE, "1d": BLUE})
"""Time windows of a rate."""

SETS: tuple[Mapping[str, str], ...] = (COMPONENTS, SHARES, STATES, SCOPES, WINDOWS)

OPEN_SET = "continuous-YlBl"
"""For series whose names nobody knows beforehand: light yellow is small, dark blue is large."""
