"""The one exception tree of the project."""

from __future__ import annotations


class WattledgerError(Exception):
    """Base of every error this package raises on purpose."""


class SettingsError(WattledgerError):
    """A setting the user gave cannot be used.

    The message names the file or flag, the key path and what is accepted.
    The command line ends with exit status 2 on it.
    """


class StorageError(WattledgerError):
    """The state directory cannot be used (locked by another agent, not writable)."""


class SensorError(WattledgerError):
    """A meter that exists could not be read.

    `reason` is a short bounded word for the `reason` label of
    `wattledger_sensor_read_errors_total`, such as `eacces`, `eio`, `enodata`,
    `enodev`, `enoent` or `parse`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
