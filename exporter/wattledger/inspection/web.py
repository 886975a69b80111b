"""Whether the addresses to serve on are free, for `wattledger check`."""

from __future__ import annotations

import errno
import http.client

from ..errors import SettingsError
from ..exposition.server import bind_all
from ..model import Finding
from ..settings import WebSettings

NAME = "web"
ASK_S = 1.0
_TITLE = b"<title>Wattledger"
_LIMIT_BYTES = 4096


def web_findings(settings: WebSettings) -> list[Finding]:
    """Each address: free, served by an agent already, or why it cannot be used."""
    return [_finding(address, settings) for address in settings.listen_addresses]


def _finding(address: str, settings: WebSettings) -> Finding:
    try:
        bound = bind_all([address])
    except SettingsError as error:
        why = str(error).partition(f"{address}: ")[2] or str(error)
        number = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
        if number == errno.EADDRINUSE and _serves(address):
            return Finding(sensor=NAME, subject=address, status="usable", why="an agent serves there already")
        if number == errno.EADDRINUSE and settings.config_file is not None:
            why += "; it may be an agent, which cannot be asked through its TLS or password"
        denied = number == errno.EACCES
        return Finding(sensor=NAME, subject=address, status="denied" if denied else "failed", why=why)
    for one in bound:
        one.close()
    return Finding(sensor=NAME, subject=address, status="usable", why="free to serve on")


def _serves(address: str) -> bool:
    """Whether what has the address shows the landing page."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]") or "localhost", int(port), timeout=ASK_S)
    try:
        connection.request("GET", "/")
        return _TITLE in connection.getresponse().read(_LIMIT_BYTES)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
