"""What a live provider is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ...settings import ProviderName
from ..live.fetch import Get
from ..series import Series

Key = Callable[[], str]
"""Reads the key anew, so that a rotated one is taken up; raises FetchError `no_key` when there is none."""


class Provider(Protocol):
    """One service that is asked over HTTP.

    `min_refresh_ns` is how often it may be asked at most.
    """

    @property
    def name(self) -> ProviderName:
        """As in the settings, and the label `provider`."""

    @property
    def min_refresh_ns(self) -> int: ...

    def fetch(self, get: Get, now_ns: int) -> Series:
        """Past, current and forecast points around `now_ns` (wall time), as far as the service has them.

        Raises FetchError. Never a zero for a null, never a point with a value that is negative, not finite or
        beyond 5000 g/kWh; percentiles are 0 to 100.
        """
