"""The ASGI application: metrics, landing pages, health and service discovery."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from ..clock import Clock
from ..errors import SettingsError
from ..snapshot import Snapshot
from .freshness import Freshness, SnapshotSource, wait_of
from .messages import Receive, Request, Response, Scope, Send, send_response
from .negotiate import Format, accepts_gzip, choose_format
from .own import OwnProcess, build_labels
from .render import Renderer
from .server import Server

__all__ = ["App", "NodeView", "Server", "SnapshotSource", "make_app"]

GZIP_LEVEL = 1  # level 6 takes three times as long and saves a tenth
MAX_REQUESTS = 40  # in flight; more get 503, as in node_exporter


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One node as the web sees it. `own` gives the standard process metrics that go with it, if any."""

    source: SnapshotSource
    renderer: Renderer = field(default_factory=lambda: Renderer(build_labels()))
    own: Callable[[], Mapping[str, float]] | None = None


Route = Callable[[Request], Awaitable[Response]]


class _Node:
    """The routes of one node, with the rendered bodies of its last snapshot."""

    def __init__(self, name: str, view: NodeView, clock: Clock, metrics_path: str) -> None:
        self._name = name
        self._view = view
        self._clock = clock
        self._metrics_path = metrics_path
        self._own = view.own
        self.freshness = Freshness(view.source, clock)
        self._rendered: Snapshot | None = None
        self._bodies: dict[tuple[bool, bool], bytes] = {}

    async def metrics(self, request: Request) -> Response:
        wait_s = wait_of(request.headers.get("x-prometheus-scrape-timeout-seconds", ""))
        snapshot = await self.freshness.snapshot(wait_s)
        if snapshot is None:
            return Response(
                status=503, body=b"no snapshot yet: the meters are being read for the first time\n"
            )
        chosen = choose_format(request.headers.get("accept", ""))
        gzipped = accepts_gzip(request.headers.get("accept-encoding", ""))
        headers = [("Vary", "Accept, Accept-Encoding")]
        if gzipped:
            headers.append(("Content-Encoding", "gzip"))
        return Response(
            status=200,
            body=self._body(snapshot, chosen, gzipped),
            content_type=chosen.content_type,
            headers=tuple(headers),
        )

    async def landing(self, request: Request) -> Response:
        # A node that is only scraped need not hold the pages for people; so below.
        from .landing import node_page  # noqa: PLC0415

        page = node_page(
            self.freshness.latest(),
            name=self._name,
            metrics_path=self._metrics_path,
            now_ns=self._clock.boottime_ns(),
            refresh=_refresh(request),
            to_root="../../" if self._name else "",
        )
        return _page(page)

    def _body(self, snapshot: Snapshot, chosen: Format, gzipped: bool) -> bytes:
        """Rendered once per snapshot and format, compressed once."""
        if snapshot is not self._rendered:
            self._bodies.clear()
            self._rendered = snapshot
        key = (chosen.openmetrics, gzipped)
        body = self._bodies.get(key)
        if body is None:
            if gzipped:
                body = gzip.compress(self._body(snapshot, chosen, False), GZIP_LEVEL, mtime=0)
            else:
                own = self._own() if self._own else None
                body = self._view.renderer.render(snapshot, openmetrics=chosen.openmetrics, own=own)
            self._bodies[key] = body
        return body


class App:
    """Routes by exact path; nothing here blocks on the sampler for longer than a scrape may wait."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = routes
        self._in_flight = 0

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"only HTTP is served here, not {scope['type']}")
        request = Request.of(scope)
        if self._in_flight >= MAX_REQUESTS:
            busy = Response(status=503, body=b"too many requests at once\n", headers=(("Retry-After", "1"),))
            await send_response(send, request, busy)
            return
        self._in_flight += 1
        try:
            await send_response(send, request, await self._answer(request))
        finally:
            self._in_flight -= 1

    async def _answer(self, request: Request) -> Response:
        route = self._routes.get(request.path)
        if route is None:
            return Response(status=404, body=b"not found\n")
        if request.method not in ("GET", "HEAD"):
            return Response(status=405, body=b"only GET and HEAD\n", headers=(("Allow", "GET, HEAD"),))
        return await route(request)


def make_app(nodes: Mapping[str, NodeView], *, clock: Clock, telemetry_path: str = "/metrics") -> App:
    """The application for one node, named "" and served at `/`, or several under `/nodes/NAME/`.

    Several nodes get an index at `/` and a Prometheus service-discovery document at `/sd`.
    Raises SettingsError when the telemetry path cannot be served.
    """
    taken = ("/-/", "/nodes/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", telemetry_path) or telemetry_path.startswith(taken):
        raise SettingsError(
            f"--web.telemetry-path: {telemetry_path!r} cannot be used; give a path such as /metrics,"
            " of letters, digits and ._~-, outside /-/ and /nodes/"
        )
    routes: dict[str, Route] = {"/-/healthy": _healthy, "/docs": _docs}
    served: dict[str, _Node] = {}
    for name, view in nodes.items():
        if name:
            node = _Node(name, view, clock, telemetry_path)
            base = f"/nodes/{name}"
            routes[base] = _slash(quote(name, safe=""))
        else:
            node = _Node(name, _with_own(view), clock, telemetry_path)
            base = ""
        routes[f"{base}/"] = node.landing
        routes[base + telemetry_path] = node.metrics
        served[name] = node
    if "" not in nodes:
        routes["/"] = _index(served)
        routes["/sd"] = _discovery(tuple(nodes), telemetry_path)
    routes["/-/ready"] = _ready(served)
    return App(routes)


def _with_own(view: NodeView) -> NodeView:
    return view if view.own else replace(view, own=OwnProcess().values)


async def _healthy(_: Request) -> Response:
    return Response(status=200, body=b"healthy\n")


async def _docs(_: Request) -> Response:
    from .landing import reference_page  # noqa: PLC0415

    return _page(reference_page())


def _ready(nodes: Mapping[str, _Node]) -> Route:
    async def ready(_: Request) -> Response:
        waiting = [name for name, node in nodes.items() if node.freshness.latest() is None]
        if not waiting:
            return Response(status=200, body=b"ready\n")
        names = ", ".join(name for name in waiting if name)
        text = "not ready: no snapshot yet" + (f" of {names}" if names else "") + "\n"
        return Response(status=503, body=text.encode())

    return ready


def _index(nodes: Mapping[str, _Node]) -> Route:
    async def index(request: Request) -> Response:
        from .landing import index_page  # noqa: PLC0415

        rows = [
            (name, f"nodes/{quote(name, safe='')}/", node.freshness.latest()) for name, node in nodes.items()
        ]
        return _page(index_page(rows, refresh=_refresh(request)))

    return index


def _discovery(names: tuple[str, ...], telemetry_path: str) -> Route:
    async def discovery(request: Request) -> Response:
        groups = [
            {
                "targets": [request.authority],
                "labels": {
                    # Unquoted: Prometheus quotes the path itself.
                    "__metrics_path__": f"{request.root_path}/nodes/{name}{telemetry_path}",
                    "instance": name,
                },
            }
            for name in names
        ]
        return Response(status=200, body=json.dumps(groups).encode(), content_type="application/json")

    return discovery


def _slash(last: str) -> Route:
    async def redirect(_: Request) -> Response:
        return Response(status=308, body=b"", headers=(("Location", f"{last}/"),))

    return redirect


def _refresh(request: Request) -> bool:
    return request.query.get("refresh", [""])[-1] != "off"


def _page(html: str) -> Response:
    from .page import content_security_policy  # noqa: PLC0415

    return Response(
        status=200,
        body=html.encode("utf-8", "replace"),
        content_type="text/html; charset=utf-8",
        headers=(
            ("Content-Security-Policy", content_security_policy()),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
        ),
    )
