"""One look at the whole host, for `wattledger check`."""

from .look import Inspection, inspect

__all__ = ["Inspection", "inspect"]
