"""Wattledger: which workload drew this energy, and what did it emit."""

__version__ = "0.1.0"
