"""Writes the result of a command to the file that `--output` names."""

from __future__ import annotations

import os
import tempfile

from ..errors import SettingsError


def replace_file(path: str, body: bytes) -> None:
    """Put a file in the place of `path` as a whole, readable by all: nobody ever reads half of it.

    A link stays a link, and what it names is replaced. Raises SettingsError, also for no regular file, as a
    device is, which would be gone.
    """
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):
        raise SettingsError(f"--output: {path} is no regular file, so it cannot be replaced")
    try:
        descriptor, made = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".wattledger-")
        try:
            with open(descriptor, "wb") as file:
                file.write(body)
            os.chmod(made, 0o644)  # mkstemp's 0600 would keep other users out
            os.replace(made, target)
        except OSError:
            os.unlink(made)
            raise
    except OSError as error:
        raise SettingsError(f"--output: {path} cannot be written: {error.strerror}") from error
