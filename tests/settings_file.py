"""Settings read from YAML text, and the messages with which it is refused."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from wattledger.cli.load import load_settings
from wattledger.errors import SettingsError
from wattledger.settings import Settings


def settings_of(text: str, flags: Mapping[str, str] | None = None, **environ: str) -> Settings:
    """The settings that a file with this text gives, below flags by key and environment variables."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w.yaml")
        path.write_text(text)
        return load_settings({"config.file": str(path), **(flags or {})}, environ)


def refusal_of(text: str, flags: Mapping[str, str] | None = None, **environ: str) -> str:
    """The message that a file with this text gives, one line, without the folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w.yaml")
        path.write_text(text)
        with pytest.raises(SettingsError) as caught:
            load_settings({"config.file": str(path), **(flags or {})}, environ)
    message = str(caught.value).replace(f"{folder}/", "")
    assert "\n" not in message
    return message
