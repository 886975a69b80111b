"""Chooses the format and encoding of an exposition from request headers (RFC 9110, section 12.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_QUALITY = re.compile(r"(?:0(?:\.[0-9]*)?|1(?:\.0*)?)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format we can write; `version` is that of the media type."""

    media_type: str
    version: str
    openmetrics: bool

    @property
    def content_type(self) -> str:
        """The value of the Content-Type header."""
        return f"{self.media_type}; version={self.version}; charset=utf-8"


TEXT = Format(media_type="text/plain", version="0.0.4", openmetrics=False)
OPENMETRICS_1 = Format(media_type="application/openmetrics-text", version="1.0.0", openmetrics=True)
OPENMETRICS_0 = Format(media_type="application/openmetrics-text", version="0.0.1", openmetrics=True)

_NAMED = (OPENMETRICS_1, OPENMETRICS_0, TEXT)  # best first, for a client that names several alike
_UNNAMED = (TEXT, OPENMETRICS_1, OPENMETRICS_0)  # best first, for a client that takes anything


@dataclass(frozen=True, slots=True)
class _Range:
    """One element of an Accept header: `media_type` may hold wildcards, `version` be empty."""

    media_type: str
    version: str
    quality: float

    def specificity(self, offer: Format) -> int:
        """How closely the range names the offer: 3 with its version, 2, 1, 0 for anything, -1 not at all."""
        if self.media_type == offer.media_type:
            if self.version:
                return 3 if self.version == offer.version else -1
            return 2
        if self.media_type == offer.media_type.split("/")[0] + "/*":
            return 1
        return 0 if self.media_type == "*/*" else -1


def choose_format(accept: str) -> Format:
    """The format an Accept header asks for; text 0.0.4 when it names none of ours or makes no sense.

    Each format has the quality of the most specific range that matches it. The highest quality wins,
    then the format that was named most closely. Parameters other than `version` and `q` (`escaping`,
    `charset`) do not matter: our names need no escaping.
    """
    ranges = [
        _Range(name, parameters.get("version", ""), quality)
        for name, parameters, quality in _elements(accept)
    ]
    best = TEXT
    best_rank = (0.0, -1, 0)
    for offer in _NAMED:
        matches = [(one.specificity(offer), one.quality) for one in ranges]
        specificity, quality = max(matches, default=(-1, 0.0))
        order = _NAMED if specificity > 0 else _UNNAMED
        rank = (quality, specificity, -order.index(offer))
        if specificity >= 0 and quality > 0 and rank > best_rank:
            best, best_rank = offer, rank
    return best


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether gzip is allowed and not less wanted than the plain body."""
    qualities = {name: quality for name, _, quality in _elements(accept_encoding)}
    gzip = qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0)))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _elements(header: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Each element's name, parameters and quality; elements with a malformed quality are skipped."""
    for element in header.lower().split(","):
        name, *rest = (part.strip() for part in element.split(";"))
        parameters = {}
        for part in rest:
            key, _, value = part.partition("=")
            parameters[key.strip()] = value.strip().strip('"')
        quality = parameters.get("q", "1")
        if name and _QUALITY.match(quality):
            yield name, parameters, float(quality)
