"""A source of intensity that asks a live provider, off the sampling path."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from ...model import S_NS, FeedHealth, Intensity
from ...settings import IntensitySettings, Role
from ..intensity import IntensitySource, Static, world_average
from ..known import intensity_of, known_at, mean_known, next_change, stamp, why_unknown
from ..providers.base import Provider
from ..series import Series
from .cache import SeriesCache
from .fetch import FetchError, Get
from .history import between, fault_of, overlay
from .pace import Pace

log = logging.getLogger(__name__)

CLOCK_TOLERANCE_NS = 3600 * S_NS
# What an answer that nobody expected can raise, and what a provider may not have thought of. Any other
# exception is a defect of this program.
_UNEXPECTED = (OSError, ValueError, ArithmeticError, LookupError, RecursionError, msgspec.MsgspecError)


@dataclass(frozen=True, slots=True)
class _Known:
    """The newest series, which prices, and the course around it, which ranks."""

    fresh: Series
    course: Series


@dataclass(frozen=True, slots=True)
class _Step:
    """What holds from a moment to the next change of something known."""

    known: _Known
    start_ns: int
    end_ns: int
    intensity: Intensity


class LiveSource:
    """An IntensitySource whose values come from `provider`, and a `watch.Feed`.

    Only the newest fetched series prices; what earlier ones said of the past week is kept for the outlook's
    ranking. What is too old by `settings.max_age_ns` gives way to `fallback` (the world average where there
    is none), marked as such. `at`, `over` and `series` look at one reference and never wait; they are
    for any thread. The other methods belong to one background thread.
    For every role but `signal` a series has to be an average in g/kWh, or is refused.
    """

    def __init__(
        self,
        role: Role,
        provider: Provider,
        get: Get,
        settings: IntensitySettings,
        *,
        fallback: IntensitySource | None = None,
        cache: SeriesCache | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._role = role
        self._provider = provider
        self._get = get
        self._max_age_ns = settings.max_age_ns
        self._fallback = fallback or Static(world_average())
        self._cache = cache
        self._pace = Pace(settings.refresh_ns, provider.min_refresh_ns, rng or random.Random())  # noqa: S311
        self._known: _Known | None = None
        self._step: _Step | None = None
        self._marked: tuple[Intensity | None, Intensity] = (None, world_average())
        self._given_up = False
        self._clock_doubted = False
        self._complained: set[str] = set()
        self._looked = False
        self._health = FeedHealth(role=role, provider=provider.name, up=False, last_success_ns=0, errors={})

    @property
    def health(self) -> FeedHealth:
        """How the requests fare; for any thread."""
        return self._health

    def at(self, wall_ns: int) -> Intensity:
        step = self._step
        if step is not None and step.known is self._known and step.start_ns <= wall_ns < step.end_ns:
            return step.intensity
        step = self._find(wall_ns)
        return step.intensity if step is not None else self._mark(self._fallback.at(wall_ns))

    def over(self, start_ns: int, end_ns: int) -> Intensity:
        step = self._step
        if (
            step is not None
            and step.known is self._known
            and step.start_ns <= start_ns < end_ns <= step.end_ns
        ):
            return step.intensity
        if end_ns <= start_ns:
            return self.at(end_ns)
        known = self._known
        step = self._find(start_ns)
        if step is not None and end_ns <= step.end_ns:
            return step.intensity
        if known is None or (
            step is None
            and next_change(known.fresh, start_ns, known.fresh.fetched_ns, self._max_age_ns) >= end_ns
        ):
            return self._mark(self._fallback.over(start_ns, end_ns))
        return mean_known(
            known.fresh,
            start_ns,
            end_ns,
            fresh_ns=known.fresh.fetched_ns,
            max_age_ns=self._max_age_ns,
            fallback=self._fallback,
        )

    def series(self, start_ns: int, end_ns: int) -> Series | None:
        """The course over a span; that of the fallback once what is known was found too old (`notice`)."""
        known = self._known
        if known is None or self._given_up:
            return self._fallback.series(start_ns, end_ns)
        return between(known.course, start_ns, end_ns)

    def first_due_s(self, now_ns: int) -> float:
        """Seconds until the first refresh: none, unless what an earlier process fetched is still young.

        Takes up what that process left on disk, as the first refresh does otherwise.
        """
        self._take_up()
        known = self._known
        if known is None or self.at(now_ns).fallback:
            return 0.0
        return self._pace.rest_s(now_ns - known.fresh.fetched_ns)

    def refresh(self, now_ns: int) -> float:
        """Ask the provider; seconds until it is due again. Only a defect of this program raises."""
        self._take_up()
        try:
            series = self._fetch(now_ns)
        except FetchError as error:
            wait_s = self._failed(error)
        except _UNEXPECTED as error:  # its words may repeat what was sent, so they are left out
            what = f"{self._provider.name}: the answer cannot be understood ({type(error).__name__})"
            wait_s = self._failed(FetchError("bad_data", what))
        else:
            wait_s = self._succeeded(series, now_ns)
        self.notice(now_ns)
        return wait_s

    def notice(self, now_ns: int) -> None:
        """Log when what is known has become too old, and when it is young again."""
        intensity = self.at(now_ns)
        given_up = intensity.fallback
        if given_up and not self._given_up:
            log.warning(
                "carbon source on fallback",
                extra={
                    **self._names(),
                    "fallback": intensity.provider,
                    "fallback_g_per_kwh": intensity.grams_per_kwh,
                },
            )
        elif self._given_up and not given_up:
            log.info("carbon source off fallback", extra=self._names())
        self._given_up = given_up

    def _take_up(self) -> None:
        """What is on disk, once."""
        if self._looked or self._cache is None:
            return
        self._looked = True
        cached = self._cache.load()
        if cached is not None and not self._refusal(cached[0]):
            self._known = _Known(*cached)
            self._health = replace(self._health, up=True, last_success_ns=cached[0].fetched_ns)

    def _fetch(self, now_ns: int) -> Series:
        """A series that may be used; raises FetchError and what `_UNEXPECTED` lists."""
        given = self._provider.fetch(self._get, now_ns)
        refusal = self._refusal(given)
        if refusal:
            raise FetchError("bad_data", f"{self._provider.name}: {refusal}")
        series = msgspec.structs.replace(given, fetched_ns=now_ns)
        doubt = _clock_doubt(series, now_ns)
        if known_at(series, now_ns, now_ns, self._max_age_ns) is None:
            raise FetchError(
                "no_data", f"{self._provider.name}: {why_unknown(series, now_ns)}{doubt and '; '}{doubt}"
            )
        if series.generated_ns > now_ns and doubt and not self._clock_doubted:
            log.warning("carbon source from the future", extra={**self._names(), "error": doubt})
        self._clock_doubted = bool(doubt)
        return series

    def _refusal(self, series: Series) -> str:
        """Why a series is not for this role, or damaged."""
        if self._role != "signal" and (series.kind != "average" or series.unit != "g/kWh"):
            what = "percentiles" if series.unit != "g/kWh" else "a marginal intensity"
            return f"gives {what}, which is never booked; put it under carbon.signal"
        return fault_of(series)

    def _succeeded(self, series: Series, now_ns: int) -> float:
        course = overlay(self._known.course if self._known else None, series, now_ns)
        self._known = _Known(series, course)
        if self._cache is not None:
            self._cache.store(series, course)
        if self._complained:
            log.info("carbon source works again", extra=self._names())
        self._complained.clear()
        self._health = replace(self._health, up=True, last_success_ns=now_ns, error="")
        return self._pace.succeeded()

    def _failed(self, error: FetchError) -> float:
        wait_s = self._pace.failed(error.reason, error.retry_after_s)
        errors: Mapping[str, int] = self._health.errors
        errors = {**errors, error.reason: errors.get(error.reason, 0) + 1}
        self._health = replace(self._health, up=False, errors=errors, error=str(error))
        if error.reason not in self._complained:  # each reason once until it works again
            self._complained.add(error.reason)
            log.warning(
                "carbon source failed",
                extra={
                    **self._names(),
                    "reason": error.reason,
                    "error": str(error),
                    "retry_s": round(wait_s),
                },
            )
        return wait_s

    def _find(self, wall_ns: int) -> _Step | None:
        """What is known from a moment on, remembered for the next look; None when that is nothing."""
        known, last = self._known, self._step
        if known is None:
            return None
        series, fresh_ns = known.fresh, known.fresh.fetched_ns
        point = known_at(series, wall_ns, fresh_ns, self._max_age_ns)
        if point is None:
            return None
        intensity = intensity_of(series, point, fresh_ns, self._max_age_ns)
        if last is not None and last.intensity == intensity:
            intensity = last.intensity
        # Younger still at the point's begin, so it is known from there on.
        step = _Step(
            known, point.start_ns, next_change(series, wall_ns, fresh_ns, self._max_age_ns), intensity
        )
        self._step = step
        return step

    def _mark(self, given: Intensity) -> Intensity:
        """A value of the fallback, marked; the same object for the same one."""
        last, marked = self._marked
        if given is not last:
            marked = given if given.fallback else replace(given, fallback=True)
            self._marked = (given, marked)
        return marked

    def _names(self) -> dict[str, str]:
        return {"role": self._role, "provider": self._provider.name}


def _clock_doubt(series: Series, now_ns: int) -> str:
    """What to say when the provider's time and ours are far apart, else nothing."""
    if not series.generated_ns or abs(series.generated_ns - now_ns) <= CLOCK_TOLERANCE_NS:
        return ""
    return (
        f"made at {stamp(series.generated_ns)} by the provider's clock, and it is {stamp(now_ns)} by this "
        "host's: check the clock (timedatectl)"
    )
