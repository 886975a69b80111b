"""The background resolver: asks every source about every new workload, again while one is not ready.

One thread works off a queue. A source that hangs costs only its own names: after `STUCK_NS` it is set
aside, another thread goes on without it, and it comes back when its call returns.
"""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import NamedTuple

from ...clock import Clock
from ...model import S_NS, Workload
from ...snapshot import SourceHealth
from .base import ASKED_KINDS, Names, NotYet, Resolver, ResolverError, Subject

log = logging.getLogger(__name__)

Key = tuple[str, str]
Folders = Callable[[Collection[Workload]], Mapping[Workload, str]]

RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0)
STUCK_NS = 10 * S_NS
PENDING_LIMIT = 10_000


class Answer(NamedTuple):
    """What is known of a workload now; `final` when every source has had its say."""

    key: Key
    names: Workload
    final: bool


@dataclass(slots=True)
class _State:
    up: bool = True
    answers: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    error: str = ""


@dataclass(slots=True)
class _Task:
    """A workload in the queue. `waiting` are the sources still to be asked in this round."""

    subject: Subject
    waiting: tuple[Resolver, ...]
    found: Workload
    attempts: int = 0
    published: Answer | None = None
    ended: bool = False


class NameService:
    """Names for workloads, off the sampling path.

    `folders` tells the cgroup folders of workloads, where the source of workloads knows them.
    `ask`, `forget` and `drain` only touch queues and never wait for a source; they belong to the sampler's
    thread. Answers are merged over the sources in their order, first non-empty field first.
    """

    def __init__(
        self,
        resolvers: Sequence[Resolver],
        clock: Clock,
        *,
        folders: Folders | None = None,
        refresh_ns: int = 120 * S_NS,
        stuck_ns: int = STUCK_NS,
    ) -> None:
        self.folders = folders or (lambda _: {})
        self._resolvers = tuple(resolvers)
        self._clock = clock
        self._refresh_ns = refresh_ns
        self._stuck_ns = stuck_ns
        self._lock = threading.Condition()
        self._sequence = count()
        self._queue: list[tuple[int, int, _Task]] = []
        self._tasks: dict[Key, _Task] = {}
        self._answers: list[Answer] = []
        self._health = {resolver.name: _State() for resolver in self._resolvers}
        self._set_aside: set[str] = set()
        self._calling: tuple[Resolver, _Task, int] | None = None
        self._generation = 0
        self._stopping = False
        self.refused = 0

    def start(self) -> None:
        """Begin to answer."""
        self._spawn()

    def stop(self) -> None:
        """End without waiting for a source that may hang."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()

    def ask(self, workloads: Iterable[Workload]) -> None:
        """Have new workloads named; those of kinds that name themselves are passed over."""
        wanted = [workload for workload in workloads if workload.kind in ASKED_KINDS]
        if not wanted:
            return
        folders = self.folders(wanted)
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            for workload in wanted:
                if workload.key in self._tasks:
                    continue
                if len(self._tasks) >= PENDING_LIMIT:
                    self.refused += 1
                    continue
                subject = Subject(workload=workload, cgroup=folders.get(workload, ""))
                task = self._tasks[workload.key] = _Task(subject, self._resolvers, workload)
                heapq.heappush(self._queue, (now_ns, next(self._sequence), task))
            self._lock.notify_all()

    def forget(self, workloads: Iterable[Workload]) -> None:
        """Stop asking about workloads that ended; what is already under way may still answer."""
        with self._lock:
            for workload in workloads:
                task = self._tasks.get(workload.key)
                if task is not None and task.published is not None:
                    del self._tasks[workload.key]
                elif task is not None:
                    task.ended = True  # one try: what names it may still be there

    def drain(self) -> list[Answer]:
        """The answers since the last call; also notices a source that hangs."""
        with self._lock:
            answers, self._answers = self._answers, []
            calling = self._calling
        if calling is not None and self._clock.monotonic_ns() - calling[2] > self._stuck_ns:
            self._abandon(calling[0], calling[1])
        return answers

    def settle(self, timeout_s: float) -> None:
        """Wait until everything asked was tried once; for the start, when no tick waits behind it."""
        deadline_ns = self._clock.monotonic_ns() + round(timeout_s * S_NS)
        with self._lock:
            while any(task.published is None for task in self._tasks.values()):
                left_ns = deadline_ns - self._clock.monotonic_ns()
                if left_ns <= 0:
                    return
                self._lock.wait(left_ns / S_NS)

    def health(self) -> dict[str, SourceHealth]:
        """Each source's state, by name."""
        with self._lock:
            return {
                name: SourceHealth(
                    up=state.up and name not in self._set_aside,
                    answers=state.answers,
                    errors=dict(state.errors),
                    error=state.error,
                )
                for name, state in self._health.items()
            }

    def counts(self) -> dict[str, int]:
        """The counters of all sources, flat, for whoever keeps them over a restart."""
        flat: dict[str, int] = {}
        with self._lock:
            for name, state in self._health.items():
                flat[f"names/{name}"] = state.answers
                for reason, number in state.errors.items():
                    flat[f"names/{name}/{reason}"] = number
        return flat

    def restore(self, counts: Mapping[str, int]) -> None:
        """Go on from the counters of an earlier process; those of sources that are gone are dropped."""
        for key, number in counts.items():
            kind, _, rest = key.partition("/")
            name, _, reason = rest.partition("/")
            state = self._health.get(name) if kind == "names" else None
            if state is not None and reason:
                state.errors[reason] = number
            elif state is not None:
                state.answers = number

    def _spawn(self) -> None:
        with self._lock:
            self._generation += 1
            generation = self._generation
        threading.Thread(target=self._work, args=(generation,), name="names", daemon=True).start()

    def _abandon(self, resolver: Resolver, task: _Task) -> None:
        """Go on without a source whose call does not return; its workload is taken up again."""
        with self._lock:
            if resolver.name in self._set_aside:
                return
            self._set_aside.add(resolver.name)
            self._calling = None
            heapq.heappush(self._queue, (self._clock.monotonic_ns(), next(self._sequence), task))
        self._note(resolver, "stuck", f"no answer for {self._stuck_ns / S_NS:g} s")
        self._spawn()

    def _work(self, generation: int) -> None:
        while True:
            with self._lock:
                task = self._next(generation)
            if task is None:
                return
            waiting = tuple(r for r in task.waiting if self._consult(r, task, generation))
            with self._lock:
                if generation != self._generation:
                    return
                self._finish(task, waiting)
                self._lock.notify_all()

    def _next(self, generation: int) -> _Task | None:
        """The next due task, waiting for it; None when this worker's time is over."""
        while not self._stopping and generation == self._generation:
            now_ns = self._clock.monotonic_ns()
            if not self._queue:
                self._lock.wait()
                continue
            due_ns, _, task = self._queue[0]
            if self._tasks.get(task.subject.workload.key) is not task:
                heapq.heappop(self._queue)  # forgotten, and perhaps asked anew since
            elif due_ns > now_ns:
                self._lock.wait((due_ns - now_ns) / S_NS)
            else:
                heapq.heappop(self._queue)
                return task
        return None

    def _consult(self, resolver: Resolver, task: _Task, generation: int) -> bool:
        """Ask one source; whether it has to be asked again."""
        with self._lock:
            if generation != self._generation or resolver.name in self._set_aside:
                return True
            self._calling = (resolver, task, self._clock.monotonic_ns())
        names: Names | None = None
        failure: ResolverError | None = None
        again = False
        try:
            names = resolver.resolve(task.subject)
        except NotYet:
            again = True
        except ResolverError as error:
            failure, again = error, True
        except Exception as error:  # noqa: BLE001 - a defect in one source must not end the others
            failure, again = ResolverError("defect", repr(error)), True
        with self._lock:
            if generation != self._generation:
                self._set_aside.discard(resolver.name)
                return True
            self._calling = None
            if names is not None:
                task.found = _merge(task.found, names, task.subject.workload)
                self._health[resolver.name].answers += 1
        if failure is not None:
            self._note(resolver, failure.reason, str(failure))
        elif not again:
            self._works(resolver)
        return again

    def _finish(self, task: _Task, waiting: tuple[Resolver, ...]) -> None:
        """Publish what is new and plan the next look: soon while a source is not ready, later for renames."""
        key = task.subject.workload.key
        if self._tasks.get(key) is not task:
            return
        exhausted = task.attempts >= len(RETRY_S)
        answer = Answer(key, task.found, final=not waiting or exhausted)
        if answer != task.published:
            self._answers.append(answer)
            task.published = answer
        if task.ended:
            del self._tasks[key]
            return
        now_ns = self._clock.monotonic_ns()
        if waiting and not exhausted:
            due_ns = now_ns + round(RETRY_S[task.attempts] * S_NS)
            task.attempts += 1
            task.waiting = waiting
        else:
            due_ns = now_ns + self._refresh_ns
            task.attempts = len(RETRY_S)
            task.waiting = self._resolvers
            task.found = task.subject.workload
        heapq.heappush(self._queue, (due_ns, next(self._sequence), task))

    def _works(self, resolver: Resolver) -> None:
        with self._lock:
            state = self._health[resolver.name]
            was_up, state.up = state.up, True
        if not was_up:
            log.info("name source works again", extra={"source": resolver.name})

    def _note(self, resolver: Resolver, reason: str, message: str) -> None:
        """Count a failure, and say it once until the source works again."""
        with self._lock:
            state = self._health[resolver.name]
            state.errors[reason] = state.errors.get(reason, 0) + 1
            state.error = message
            was_up, state.up = state.up, False
        if was_up:
            log.warning(
                "name source failed",
                extra={"source": resolver.name, "reason": reason, "error": message},
            )


def _merge(found: Workload, names: Names, given: Workload) -> Workload:
    """`found` with its empty fields filled from `names`.

    A source's name takes the place of the one in the cgroup's path, which may be cut or escaped (`given`),
    and a user's name that of the number.
    """
    answers, known = dict(names.facts), dict(found.facts)
    if known.get("user", "").isdigit():
        known["user"] = answers.get("user", known["user"])
    return replace(
        found,
        name=names.name if names.name and found.name == given.name else found.name,
        pod_namespace=found.pod_namespace or names.pod_namespace,
        pod_name=found.pod_name or names.pod_name,
        container_name=found.container_name or names.container_name,
        facts=tuple({**answers, **known}.items()),
    )
