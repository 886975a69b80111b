"""Requests and responses, between ASGI's dictionaries and the routes."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_AUTHORITY = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?\Z|\[[0-9A-Fa-f:.]+\](:[0-9]+)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer; Content-Length and Cache-Control are added when it is sent."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the routes need of a request.

    `path` is relative to where the application is mounted.

    `authority` is the host and port the client used, or those of our socket if it names none we can trust.
    Repeated headers are joined by commas.
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    root_path: str
    authority: str

    @classmethod
    def of(cls, scope: Scope) -> Request:
        """The request of an ASGI `http` scope."""
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1").lower()
            text = value.decode("latin-1")
            headers[key] = f"{headers[key]},{text}" if key in headers else text
        root_path = scope.get("root_path", "").rstrip("/")
        path: str = scope["path"]
        if root_path and (path == root_path or path.startswith(root_path + "/")):
            path = path[len(root_path) :]
        return cls(
            method=scope["method"],
            path=path or "/",
            query=parse_qs(scope.get("query_string", b"").decode("latin-1")),
            headers=headers,
            root_path=root_path,
            authority=_authority(headers.get("host", ""), scope),
        )


def _authority(host_header: str, scope: Scope) -> str:
    if _AUTHORITY.match(host_header):
        return host_header
    host, port = scope.get("server") or ("localhost", None)
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


async def send_response(send: Send, request: Request, response: Response) -> None:
    """Send the whole response; a HEAD request gets its headers only."""
    headers = [
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        ("Cache-Control", "no-store"),
        *response.headers,
    ]
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    body = b"" if request.method == "HEAD" else response.body
    await send({"type": "http.response.body", "body": body})
