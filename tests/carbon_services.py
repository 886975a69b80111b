"""Stand-ins for the services that know the grid's intensity, on loopback, by their documentation.

    with ElectricityMapsService(NOW_NS, key="...") as service:
        service.url                # what settings.url gets
        service.asked              # every request: path, query, headers
        service.change = lambda path, payload: ...  # spoil an answer before it is sent
        service.fault = Status(429, retry_after="120")

Each keeps the paths, parameters, headers and status rules of its model, and refuses what that would refuse.
None of them was compared with the real service.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Answer = tuple[int, Any]
QUARTER = timedelta(minutes=15)
HALF_HOUR = timedelta(minutes=30)
HOUR = timedelta(hours=1)
FIVE_MINUTES = timedelta(minutes=5)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Asked:
    """One request as it arrived, header names in lower case."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Status:
    """Answer every request with this status; the body repeats the request's headers: careless servers do."""

    code: int
    retry_after: str | None = None
    location: str | None = None


@dataclass(frozen=True)
class Body:
    """Answer every request with 200 and these bytes."""

    data: bytes


Fault = Status | Body


def ns(text: str) -> int:
    """Nanoseconds since 1970 of a whole second, `2026-11-20T12:10:00Z`."""
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


NOW_NS = ns("2026-11-20T12:10:00Z")


def nothing_changed(path: str, payload: Any) -> Any:
    """The default of `CarbonService.change`."""
    return payload


class CarbonService:
    """Serves from entry to exit; `now` is the service's own clock and may be moved in between.

    The first `spared` requests are answered well, whatever `fault` says.
    """

    prefix = ""

    def __init__(self, now_ns: int, key: str = "", context: ssl.SSLContext | None = None) -> None:
        self.now = datetime.fromtimestamp(now_ns // 10**9, UTC)
        self.key = key
        self.change: Callable[[str, Any], Any] = nothing_changed
        self.fault: Fault | None = None
        self.spared = 0
        self.asked: list[Asked] = []
        self._scheme = "https" if context else "http"
        self._server = _Server(self, context)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}{self.prefix}"

    def paths(self) -> list[str]:
        """The paths asked for so far, in order."""
        return [asked.path for asked in self.asked]

    def answer(self, asked: Asked) -> Answer:
        """Status and JSON of one request."""
        raise NotImplementedError

    def reply(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body, faults and changes included."""
        self.asked.append(asked)
        match self.fault if len(self.asked) > self.spared else None:
            case Body(data=data):
                return 200, {}, data
            case Status(code=code, retry_after=retry_after, location=location):
                headers = {}
                if retry_after is not None:
                    headers["Retry-After"] = retry_after
                if location is not None:
                    headers["Location"] = location
                return code, headers, json.dumps(dict(asked.headers)).encode()
        status, payload = self.answer(asked)
        if status == 200:
            payload = self.change(asked.path, payload)
        return status, {}, b"" if status == 204 else json.dumps(payload).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, service: CarbonService, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = service
        self.context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is None:
            super().finish_request(request, client_address)
            return
        with contextlib.suppress(OSError), self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that give up are what some tests are about


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        service: CarbonService = self.server.service  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = unquote(parts.path)
        if not path.startswith(service.prefix):
            self.send_error(404)
            return
        status, extra, body = service.reply(Asked(path.removeprefix(service.prefix), query, headers))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in extra.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def iso(moment: datetime) -> str:
    """`2026-11-20T12:00:00.000Z`, as Electricity Maps writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def floor(moment: datetime, step: timedelta) -> datetime:
    """The last multiple of `step` since 1970."""
    return moment - (moment - datetime(1970, 1, 1, tzinfo=UTC)) % step


def steps(first: datetime, count: int, step: timedelta) -> list[datetime]:
    return [first + index * step for index in range(count)]


class ElectricityMapsService(CarbonService):
    """v3 and v4. DE has 100 g plus the UTC hour, lifecycle and consumption; direct 50, production 10 less.

    `plan` is what the key may call, for the zones `covered`. A refused call is a 401, whatever the reason,
    and an unknown zone is answered with the caller's unless that is switched off.
    """

    known = ("DE", "FR", "US-CAL-CISO")

    def __init__(self, now_ns: int, key: str = "", context: ssl.SSLContext | None = None) -> None:
        super().__init__(now_ns, key, context)
        self.plan = ["carbon-intensity/latest", "carbon-intensity/history", "carbon-intensity/forecast"]
        self.covered: tuple[str, ...] = ("DE", "FR")
        self.lists_for_strangers = False
        self.granularity = "hourly"

    def answer(self, asked: Asked) -> Answer:
        match = re.fullmatch(r"/(v[34])/(.+)", asked.path)
        if match is None:
            return 404, {"error": "Not Found"}
        version, path = match.groups()
        token = asked.headers.get("auth-token")
        if path == "zones":
            return self._zones(token)
        if token != self.key:
            return 401, {"error": "Invalid auth-token"}
        zone = asked.query.get("zone", "")
        if zone not in self.known:
            off = ("disableCallerLookup", "true") if version == "v4" else _V3_OFF
            if asked.query.get(off[0]) == off[1]:
                return 404, {"error": f"Zone '{zone}' does not exist."}
            zone = "US-CAL-CISO"
        if path not in self.plan or zone not in self.covered:
            return 401, {"error": f"Request unauthorized for zoneKey={zone}"}
        factors = asked.query.get("emissionFactorType", "lifecycle")
        traced = asked.query.get("flowTraced", "true") == "true"
        current = floor(self.now, HOUR)
        match path:
            case "carbon-intensity/latest":
                return 200, self._row(zone, current, factors, traced)
            case "carbon-intensity/history":
                rows = [self._row(zone, at, factors, traced) for at in steps(current - 23 * HOUR, 24, HOUR)]
                return 200, {"zone": zone, "history" if version == "v3" else "data": rows}
            case "carbon-intensity/forecast":
                row = [
                    {"carbonIntensity": self._grams(at, factors, traced), "datetime": iso(at)}
                    for at in steps(current, 25, HOUR)
                ]
                key = "forecast" if version == "v3" else "data"
                return 200, {"zone": zone, key: row, "updatedAt": iso(self.now)}
        return 404, {"error": "Not Found"}

    def _zones(self, token: str | None) -> Answer:
        public = {zone: {"zoneName": zone} for zone in self.known}
        if token == self.key:
            return 200, {zone: {"zoneName": zone, "access": list(self.plan)} for zone in self.covered}
        if token is None or self.lists_for_strangers:
            return 200, public
        return 401, {"error": "Invalid auth-token"}

    def _grams(self, at: datetime, factors: str, traced: bool) -> int:
        return 100 + at.hour - (0 if factors == "lifecycle" else 50) - (0 if traced else 10)

    def _row(self, zone: str, at: datetime, factors: str, traced: bool) -> dict[str, Any]:
        return {
            "zone": zone,
            "carbonIntensity": self._grams(at, factors, traced),
            "datetime": iso(at),
            "updatedAt": iso(self.now),
            "createdAt": iso(at - DAY),
            "emissionFactorType": factors,
            "flowTraced": traced,
            "isEstimated": at == floor(self.now, HOUR),
            "estimationMethod": "TIME_SLICER_AVERAGE",
            "temporalGranularity": self.granularity,
        }


_V3_OFF = ("shouldUseFallbackCallerLookup", "false")


class WattTimeService(CarbonService):
    """v3. The forecast is 1000 lb/MWh for an hour, then 500; the past day 2000; the percentile 37.

    `subscribed` are the regions with full data; the index is there for all. A token holds 30 minutes.
    """

    known = ("CAISO_NORTH", "PJM_DC")
    username = "ledger"

    def __init__(self, now_ns: int, key: str = "", context: ssl.SSLContext | None = None) -> None:
        super().__init__(now_ns, key, context)
        self.subscribed: tuple[str, ...] = ("CAISO_NORTH",)
        self.tokens: dict[str, datetime] = {}

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/login":
            pair = base64.b64encode(f"{self.username}:{self.key}".encode()).decode()
            if asked.headers.get("authorization") != f"Basic {pair}":
                return 401, {"detail": "Unauthorized"}
            token = f"token-of-{self.key}-{len(self.tokens)}"
            self.tokens[token] = self.now
            return 200, {"token": token}
        issued = self.tokens.get(asked.headers.get("authorization", "").removeprefix("Bearer "))
        if issued is None or self.now - issued > timedelta(minutes=30):
            return 401, {"error": "token invalid or expired"}
        region = asked.query.get("region", "")
        if region not in self.known or asked.query.get("signal_type") != "co2_moer":
            return 400, {"error": "invalid region or signal_type"}
        current = floor(self.now, FIVE_MINUTES)
        if asked.path == "/v3/signal-index":
            return 200, self._envelope(region, "percentile", [(current, 37.0)])
        if region not in self.subscribed:
            return 403, {"error": "INVALID_SCOPE", "message": "not part of your subscription"}
        if asked.path == "/v3/forecast":
            hours = int(asked.query["horizon_hours"])
            ahead = steps(current, 12 * hours, FIVE_MINUTES)
            rows = [(at, 1000.0 if at < current + HOUR else 500.0) for at in ahead]
            return 200, self._envelope(region, "lbs_co2_per_mwh", rows)
        if asked.path == "/v3/historical":
            start, end = (datetime.fromisoformat(asked.query[name]) for name in ("start", "end"))
            if start.tzinfo is None or end.tzinfo is None or end - start > 32 * DAY:
                return 400, {"error": "start and end need a timezone"}
            count = (end - start) // FIVE_MINUTES
            rows = [(at, 2000.0) for at in steps(floor(start, FIVE_MINUTES), count, FIVE_MINUTES)]
            return 200, self._envelope(region, "lbs_co2_per_mwh", rows)
        return 404, {"error": "not found"}

    def _envelope(self, region: str, units: str, rows: list[tuple[datetime, float]]) -> dict[str, Any]:
        return {
            "data": [{"point_time": at.isoformat(), "value": value} for at, value in rows],
            "meta": {
                "data_point_period_seconds": 300,
                "region": region,
                "warnings": [],
                "signal_type": "co2_moer",
                "model": {"date": "2023-03-01"},
                "units": units,
                "generated_at_period_seconds": 300,
                "generated_at": floor(self.now, FIVE_MINUTES).isoformat(),
            },
        }


class UkCarbonIntensityService(CarbonService):
    """National half-hours: actual 200 g when past, forecast 210 g; regions: 100 g plus their number."""

    _national = re.compile(r"/intensity/(\d{4}-\d\d-\d\dT\d\d:\d\dZ)/(fw48h|pt24h)")
    _regional = re.compile(
        r"/regional/intensity/(\d{4}-\d\d-\d\dT\d\d:\d\dZ)/(fw48h|pt24h)/(regionid|postcode)/(\w+)"
    )

    def answer(self, asked: Asked) -> Answer:
        if match := self._national.fullmatch(asked.path):
            moment, span = match.groups()
            return 200, {"data": [self._period(at) for at in self._starts(moment, span)]}
        if match := self._regional.fullmatch(asked.path):
            moment, span, by, which = match.groups()
            region = int(which) if by == "regionid" else {"OX1": 12, "SW1A": 13}.get(which, 0)
            if not 1 <= region <= 17:
                return 400, {"error": {"code": "400 Bad Request", "message": "Please enter a valid region."}}
            found = {
                "regionid": region,
                "dnoregion": "SSE South",
                "shortname": "South England",
                "data": [self._part(at, region) for at in self._starts(moment, span)],
            }
            if by == "postcode":
                found["postcode"] = which
            return 200, {"data": found}
        return 400, {"error": {"code": "400 Bad Request", "message": "Please enter a valid date."}}

    def _starts(self, moment: str, span: str) -> list[datetime]:
        """Half-hours, the one that ends at the moment asked for included."""
        at = floor(datetime.fromisoformat(moment), HALF_HOUR)
        if span == "fw48h":
            return steps(at - HALF_HOUR, 97, HALF_HOUR)
        return steps(at - DAY - HALF_HOUR, 49, HALF_HOUR)

    def _times(self, at: datetime) -> dict[str, Any]:
        form = "%Y-%m-%dT%H:%MZ"
        return {"from": at.strftime(form), "to": (at + HALF_HOUR).strftime(form)}

    def _period(self, at: datetime) -> dict[str, Any]:
        actual = 200 if at + HALF_HOUR <= self.now else None
        return self._times(at) | {"intensity": {"forecast": 210, "actual": actual, "index": "moderate"}}

    def _part(self, at: datetime, region: int) -> dict[str, Any]:
        return self._times(at) | {
            "intensity": {"forecast": 100 + region, "index": "low"},
            "generationmix": [{"fuel": "wind", "perc": 100}],
        }


class EnergyChartsService(CarbonService):
    """Quarter-hours: 300.5 g measured when past, 310.5 forecast to the end of today, null after it."""

    countries = ("de", "fr", "at")

    def answer(self, asked: Asked) -> Answer:
        if asked.path != "/co2eq":
            return 404, {"detail": "Not Found"}
        if asked.query.get("country") not in self.countries:
            return 404, {"detail": "Country not found"}
        first, last = (
            datetime.fromisoformat(asked.query[name]).replace(tzinfo=UTC) for name in ("start", "end")
        )
        times = steps(first, (last + DAY - first) // QUARTER, QUARTER)
        midnight = floor(self.now, DAY) + DAY
        measured = [300.5 if at + QUARTER <= self.now else None for at in times]
        forecast = [310.5 if self.now < at + QUARTER <= midnight else None for at in times]
        return 200, {
            "unix_seconds": [int(at.timestamp()) for at in times],
            "co2eq": measured,
            "co2eq_forecast": forecast,
            "deprecated": False,
        }


class Eco2mixService(CarbonService):
    """Quarter-hours of 21 g up to an hour ago; the rest of the day is there with nulls."""

    prefix = "/api/explore/v2.1"

    def answer(self, asked: Asked) -> Answer:
        if asked.path != "/catalog/datasets/eco2mix-national-tr/records":
            return 404, {"error_code": "DatasetNotFound"}
        query = asked.query
        limit = int(query.get("limit", "10"))
        if limit > 100 or query.get("timezone", "UTC") != "UTC":
            return 400, {"error_code": "InvalidRESTParameterError", "message": "limit is at most 100"}
        first = floor(self.now, DAY) - DAY
        rows = [self._row(at) for at in steps(first, 192, QUARTER)]
        if query.get("where") == "taux_co2 is not null":
            rows = [row for row in rows if row["taux_co2"] is not None]
        if query.get("order_by") == "date_heure desc":
            rows.reverse()
        return 200, {"total_count": len(rows), "results": rows[:limit]}

    def _row(self, at: datetime) -> dict[str, Any]:
        known = at <= self.now - HOUR
        return {
            "perimetre": "France",
            "nature": "Données temps réel",
            "date": at.strftime("%Y-%m-%d"),
            "heure": at.strftime("%H:%M"),
            "date_heure": at.isoformat(),
            "nucleaire": 40000 if known else None,
            "taux_co2": 21 if known else None,
        }


class EnergiDataServiceService(CarbonService):
    """Five minutes: 80 g measured up to ten minutes ago, 90 g forecast over yesterday, today and tomorrow."""

    def answer(self, asked: Asked) -> Answer:
        today = floor(self.now, DAY)
        match asked.path:
            case "/dataset/CO2Emis":
                count = (self.now - timedelta(minutes=10) - (today - DAY)) // FIVE_MINUTES
                times, grams = steps(today - DAY, count, FIVE_MINUTES), 80.0
            case "/dataset/CO2EmisProg":
                times, grams = steps(today - DAY, 3 * 288, FIVE_MINUTES), 90.0
            case _:
                return 404, "Dataset not found"
        areas = json.loads(asked.query["filter"])["PriceArea"]
        rows = [self._row(at, area, grams) for at in times for area in ("DK1", "DK2") if area in areas]
        if asked.query.get("sort") == "Minutes5UTC desc":
            rows.reverse()
        limit = int(asked.query.get("limit", "100"))
        dataset = asked.path.rpartition("/")[2]
        return 200, {"total": len(rows), "limit": limit, "dataset": dataset, "records": rows[:limit]}

    def _row(self, at: datetime, area: str, grams: float) -> dict[str, Any]:
        form = "%Y-%m-%dT%H:%M:%S"
        return {
            "Minutes5UTC": at.strftime(form),
            "Minutes5DK": (at + HOUR).strftime(form),
            "PriceArea": area,
            "CO2Emission": grams,
        }


class CarbonAwareSdkService(CarbonService):
    """The Web API over a source that calls `eastus` PJM_ROANOKE: 545.5 g in the past, 500.25 ahead."""

    def __init__(self, now_ns: int, key: str = "", context: ssl.SSLContext | None = None) -> None:
        super().__init__(now_ns, key, context)
        self.has_emissions = True
        self.has_forecast = True

    def answer(self, asked: Asked) -> Answer:
        location = asked.query.get("location")
        if location != "eastus":
            return 404, {"title": "LocationConversionException", "status": 404}
        if asked.path == "/emissions/bylocation":
            start, end = (datetime.fromisoformat(asked.query[name]) for name in ("time", "toTime"))
            if not self.has_emissions:
                return 204, None
            times = steps(floor(start, FIVE_MINUTES), (end - start) // FIVE_MINUTES, FIVE_MINUTES)
            return 200, [
                {
                    "location": "PJM_ROANOKE",
                    "time": at.isoformat(),
                    "rating": 545.5,
                    "duration": "00:05:00",
                }
                for at in times
            ]
        if asked.path == "/emissions/forecasts/current":
            if not self.has_forecast:
                return 501, {"title": "NotImplementedException", "status": 501}
            first = floor(self.now, FIVE_MINUTES) + FIVE_MINUTES
            points = [
                {"location": "PJM_ROANOKE", "timestamp": at.isoformat(), "duration": 5, "value": 500.25}
                for at in steps(first, 288, FIVE_MINUTES)
            ]
            return 200, [
                {
                    "generatedAt": floor(self.now, FIVE_MINUTES).isoformat(),
                    "requestedAt": self.now.isoformat(),
                    "location": location,
                    "dataStartAt": first.isoformat(),
                    "dataEndAt": (first + DAY).isoformat(),
                    "windowSize": 5,
                    "optimalDataPoints": points[:1],
                    "forecastData": points,
                }
            ]
        return 404, {"title": "Not Found", "status": 404}
