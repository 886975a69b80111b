"""The simulated host: physics and load carried forward in time, counters and the truth behind them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import cos, pi, sin
from random import Random

from ..clock import Clock
from ..model import COMPONENTS, OTHER, S_NS, Component, Workload
from . import physics
from .cast import roles
from .load import DAY_S, HOUR_S, Population, Task
from .placement import Layout, place
from .profile import HostProfile

REPLACE_STEPS = 10  # load balancing, besides at every birth and end
COOLED_W = 0.05
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday
KEEP_ENDED = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What really was drawn since the host began, in microjoules.

    `dynamic_uj` is, per workload and component, the energy the host would not have drawn without it,
    split fairly where power is not additive (see `physics`); `idle_uj` is what the empty host would have
    drawn in the same room. Together they are everything, to a microjoule per step and workload.
    """

    dynamic_uj: Mapping[Workload, Mapping[Component, int]]
    idle_uj: Mapping[Component, int]

    def node_uj(self, component: Component) -> int:
        """All energy of a component."""
        return self.idle_uj[component] + sum(of[component] for of in self.dynamic_uj.values())


class SimulatedHost:
    """A host that draws power and runs workloads, advanced to its clock whenever it is looked at.

    Deterministic: the same profile, seed and start give the same microjoules at the same time, however
    often the host is looked at in between. Steps of one second have constant load and are interpolated
    linearly. The host runs on the monotonic clock: a suspended machine draws nothing and does no work.
    It is not made for use from several threads at once.
    `step_s` makes the steps longer, so that a month passes quickly; such a host is another one.
    The truth of workloads that ended is kept apart for the last `keep_ended` of them.
    """

    def __init__(
        self,
        profile: HostProfile,
        clock: Clock,
        seed: int,
        *,
        step_s: int = 1,
        keep_ended: int = KEEP_ENDED,
    ) -> None:
        self.profile = profile
        self.clock = clock
        self._step_s, self._step_ns = step_s, step_s * S_NS
        self.start_ns = clock.boottime_ns()
        self._wall_ns = clock.wall_ns()
        self._begin_ns = self._edge_ns = clock.monotonic_ns()
        self._now_ns = self._edge_ns
        rng = Random(f"{seed} {profile.name}")  # noqa: S311 - a play, not a secret
        self._population = Population(roles(profile), profile.sockets, rng)
        self._sockets = [physics.Socket(profile.cores, profile.tdp_w) for _ in range(profile.sockets)]
        self._layouts: list[Layout] = []
        self._placed: list[Task] = []
        self._steps = 0
        channels = 2 * profile.sockets + profile.gpus + 1
        self._channel_uj = [0] * channels
        self._channel_uw = [0] * channels
        self._idle_uj, self._idle_uw = [0] * len(COMPONENTS), [0] * len(COMPONENTS)
        self._keep_ended = keep_ended
        self._ended: deque[Task] = deque()
        self._forgotten_uj = [0] * len(COMPONENTS)
        self._gone_cpu_ns = 0
        self._begin_step()

    def advance(self) -> None:
        """Bring the host to its clock; a large host costs 0.25 ms per second passed."""
        self._now_ns = self.clock.monotonic_ns()
        while self._edge_ns + self._step_ns <= self._now_ns:
            self._end_step()
            self._begin_step()

    @property
    def passed_ns(self) -> int:
        """How long the host has been running."""
        return self._now_ns - self._begin_ns

    @property
    def tasks(self) -> list[Task]:
        """The workloads alive at the start of the current step."""
        return self._population.tasks

    @property
    def gone_cpu_ns(self) -> int:
        """CPU time of every workload that ended."""
        return self._gone_cpu_ns

    def cpu_ns(self, task: Task) -> int:
        """CPU time of a task up to now."""
        return task.cpu_ns + task.cpu_rate_ns * (self._now_ns - self._edge_ns) // S_NS

    def package_uj(self, socket: int) -> int:
        """Energy of a CPU package since the host began; never wraps."""
        return self._channel(2 * socket)

    def dram_uj(self, socket: int) -> int:
        """Energy of the memory at a package since the host began."""
        return self._channel(2 * socket + 1)

    def gpu_uj(self, board: int) -> int:
        """Energy of a GPU board since the host began."""
        return self._channel(2 * self.profile.sockets + board)

    def wall_uj(self) -> int:
        """Energy at the plug since the host began."""
        return self._channel(len(self._channel_uj) - 1)

    def wall_uj_at_step(self) -> int:
        """Energy at the plug at the start of the current step, which is all a service processor knows."""
        return self._channel_uj[-1]

    def energy_uj(self) -> dict[Component, int]:
        """True energy per component since the host began, whatever meters there are."""
        sockets = range(self.profile.sockets)
        cpu = sum(self.package_uj(socket) for socket in sockets)
        dram = sum(self.dram_uj(socket) for socket in sockets)
        gpu = sum(self.gpu_uj(board) for board in range(self.profile.gpus))
        return {"cpu": cpu, "dram": dram, "gpu": gpu, "other": self.wall_uj() - cpu - dram - gpu}

    def truth(self) -> Truth:
        """Who really drew what; of workloads long ended only the sum, under `other`."""
        passed_ns = self._now_ns - self._edge_ns
        dynamic: dict[Workload, dict[Component, int]] = {}
        for task in self._everyone():
            into = dynamic.setdefault(task.workload, dict.fromkeys(COMPONENTS, 0))
            for component, uj, uw in zip(COMPONENTS, task.energy_uj, task.power_uw, strict=True):
                into[component] += uj + uw * passed_ns // S_NS
        if any(self._forgotten_uj):
            dynamic[OTHER] = dict(zip(COMPONENTS, self._forgotten_uj, strict=True))
        return Truth(dynamic_uj=dynamic, idle_uj=self.idle_uj())

    def idle_uj(self) -> dict[Component, int]:
        """What the empty host would have drawn since it began."""
        passed_ns = self._now_ns - self._edge_ns
        idle = zip(COMPONENTS, self._idle_uj, self._idle_uw, strict=True)
        return {component: uj + uw * passed_ns // S_NS for component, uj, uw in idle}

    def _everyone(self) -> Iterator[Task]:
        yield from self._population.tasks
        yield from self._population.ended
        yield from self._ended

    def _channel(self, channel: int) -> int:
        return self._channel_uj[channel] + self._channel_uw[channel] * (self._now_ns - self._edge_ns) // S_NS

    def _end_step(self) -> None:
        self._edge_ns += self._step_ns
        self._steps += 1
        _add(self._channel_uj, self._channel_uw, self._step_s)
        _add(self._idle_uj, self._idle_uw, self._step_s)
        for task in self._placed:
            task.cpu_ns += task.cpu_rate_ns * self._step_s
            _add(task.energy_uj, task.power_uw, self._step_s)

    def _begin_step(self) -> None:
        at_s = (self._edge_ns - self._begin_ns) / S_NS
        days, hour_s = divmod(self._wall_ns / S_NS + at_s, DAY_S)
        hour = hour_s / HOUR_S
        alive = len(self._population.tasks)
        left = self._population.step(at_s, int(days) + EPOCH_WEEKDAY, hour)
        self._gone_cpu_ns += sum(task.cpu_ns for task in left)
        changed = bool(left) or len(self._population.tasks) != alive
        if changed or self._steps % REPLACE_STEPS == 0:
            self._forget_cooled()
            self._placed = [*self._population.tasks, *self._population.ended]
            self._layouts = place(self._placed, self.profile.sockets, self.profile.cores)
        self._draw(_room_c(hour, at_s))

    def _forget_cooled(self) -> None:
        """Ended workloads whose warmth is gone draw nothing any more."""
        still = []
        for task in self._population.ended:
            if max(task.heat) > COOLED_W:
                still.append(task)
            else:
                task.power_uw = [0] * len(COMPONENTS)
                self._ended.append(task)
        self._population.ended[:] = still
        while len(self._ended) > self._keep_ended:
            _add(self._forgotten_uj, self._ended.popleft().energy_uj)

    def _draw(self, room_c: float) -> None:
        """Fix the power of everything for the step that begins."""
        tasks = self._placed
        loads, works = [task.load for task in tasks], [task.work for task in tasks]
        cpu_w, dram_w, gpu_w = [0.0] * len(tasks), [0.0] * len(tasks), [0.0] * len(tasks)
        ran = [0.0] * len(tasks)
        idle_w = [0.0, 0.0, 0.0]
        channels: list[float] = []
        for number, socket in enumerate(self._sockets):
            heat = [task.heat[number] for task in tasks]
            draw = physics.socket_draw(
                socket,
                self._layouts[number],
                load=loads,
                works=works,
                heat=heat,
                room_c=room_c,
                dt_s=float(self._step_s),
            )
            for i, task in enumerate(tasks):
                task.heat[number] = heat[i]
                cpu_w[i] += draw.cpu_w[i]
                dram_w[i] += draw.dram_w[i]
                ran[i] += draw.ran[i]
            idle_w[0] += draw.cpu_idle_w
            idle_w[1] += draw.dram_idle_w
            channels += [draw.cpu_idle_w + sum(draw.cpu_w), draw.dram_idle_w + sum(draw.dram_w)]
        boards_w = self._boards(tasks, gpu_w, room_c)
        idle_w[2] = len(boards_w) * _board_idle_w(room_c)
        channels += boards_w
        other_idle_w, other_w = self._other(sum(idle_w), sum(channels))
        channels.append(sum(channels) + other_idle_w + other_w)
        self._channel_uw = [round(watts * 1e6) for watts in channels]
        self._idle_uw = [round(watts * 1e6) for watts in (*idle_w, other_idle_w)]
        dynamic_w = sum(channels[:-1]) - sum(idle_w)
        per_watt = other_w / dynamic_w if dynamic_w > 0.0 else 0.0
        for i, task in enumerate(tasks):
            parts_w = (cpu_w[i], dram_w[i], gpu_w[i], per_watt * (cpu_w[i] + dram_w[i] + gpu_w[i]))
            task.power_uw = [round(watts * 1e6) for watts in parts_w]
            task.cpu_rate_ns = round(ran[i] * S_NS)

    def _boards(self, tasks: list[Task], gpu_w: list[float], room_c: float) -> list[float]:
        """Watts per GPU board; what is above idle is added to the task that holds it."""
        boards_w = [_board_idle_w(room_c)] * self.profile.gpus
        for i, task in enumerate(tasks):
            if task.role.gpu and task.load > 0.0:
                watts = physics.gpu_draw(True, task.gpu_busy)
                for board in task.role.gpu:
                    boards_w[board] += watts
                    gpu_w[i] += watts
        return boards_w

    def _other(self, idle_w: float, parts_w: float) -> tuple[float, float]:
        """Board, fans and supply: what they draw on the idle host, and what they draw beyond it."""
        most_w = most_power_w(self.profile)
        empty_w = physics.wall_power(idle_w, most_w) - idle_w
        return empty_w, physics.wall_power(parts_w, most_w) - parts_w - empty_w


def most_power_w(profile: HostProfile) -> float:
    """What a host's CPUs, memory and boards draw together at most."""
    return profile.sockets * (profile.tdp_w + 40.0) + profile.gpus * physics.GPU_LIMIT_W


def _add(into: list[int], amounts: list[int], times: int = 1) -> None:
    for i, amount in enumerate(amounts):
        into[i] += amount * times


def _board_idle_w(room_c: float) -> float:
    return physics.GPU_IDLE_W * (1.0 + 0.003 * (room_c - physics.ROOM_C))


def _room_c(hour: float, at_s: float) -> float:
    """Air at the inlet: warmest at 16:00 UTC, with the saw of an air conditioner on top."""
    return (
        physics.ROOM_C + 2.5 * cos((hour - 16.0) * (2.0 * pi / 24.0)) + 0.8 * sin(at_s * (2.0 * pi / 2820.0))
    )
