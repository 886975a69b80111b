"""What the simulated silicon draws, and which thread it draws it for: arithmetic without clock or chance.

Nothing here knows how Wattledger splits energy. The power of a socket is built bottom up:

- a core that runs costs leakage(V) + a*f*V^2, `a` being the work's switching activity
  (Weste and Harris, CMOS VLSI Design, ch. 5); V rises with f;
- f follows the core's own load by 1.25*u (Linux, Documentation/scheduler/schedutil.rst), below a turbo
  ceiling that sinks with the number of busy cores and with vector work, and below the power limit;
- a core that sleeps is in C6, and each wake-up from it costs the target residency of 600 us at C1 power
  (Linux, drivers/idle/intel_idle.c, icx_cstates);
- both threads of a core together draw the larger power plus SMT_EXTRA of the smaller;
- the mesh and caches cost more as soon as any core is awake, and more per byte moved
  (orders of magnitude: Schoene et al., Energy Efficiency Features of the Intel Skylake-SP, 2019);
- leakage grows with temperature, that is with the room and with the heat of the last minutes;
- memory costs standby, a step out of power-down, and energy per byte (Micron TN-40-07, DDR4 power).

Fair split where power is not additive: each thread pays for its core at the frequency it really had; of two
on one core each gets its Shapley value (the mean over both orders of arrival of what it adds); the awake mesh
goes by presence, traffic by bytes, and warmth by the heat that each workload left behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

MIN_GHZ, TURBO_ONE_GHZ, TURBO_ALL_GHZ = 0.8, 3.6, 3.1  # Xeon Platinum 8300 class
GOVERNOR_MARGIN = 1.25
VECTOR_SLOWDOWN = 0.15  # ceiling of heavy AVX-512 against scalar code
SWITCHING_W = 1.4  # a core at 1 GHz and 1 V running scalar code
CORE_LEAK_W = 0.6  # a core out of C6, at 1 V
CORE_SLEEP_W = 0.12  # a core in C6
WAKE_J = 600e-6 * 1.0  # target residency of C6 at 1 W
SMT_EXTRA = 0.27
MESH_SLEEP_W, MESH_AWAKE_W = 17.0, 14.0
MESH_J_PER_GB = 0.09
LEAK_W, LEAK_PER_K, ROOM_C = 14.0, 0.012, 24.0
KELVIN_PER_W, COOLING_S = 0.18, 75.0
DRAM_STANDBY_W, DRAM_AWAKE_W, DRAM_J_PER_GB = 9.0, 2.5, 0.16  # eight RDIMMs
DRAM_AWAKE_GB = 1.5  # traffic per second at which most ranks left power-down
SOCKET_GB = 120.0  # bandwidth of eight channels
GPU_IDLE_W, GPU_HELD_W, GPU_BUSY_W, GPU_LIMIT_W = 68.0, 42.0, 560.0, 700.0  # H100 SXM class
BOARD_W, FAN_W, PSU_FIXED_W, PSU_LOSS = 70.0, 22.0, 14.0, 0.045  # fans, disks, NIC; 80 PLUS Titanium


@dataclass(frozen=True, slots=True)
class Work:
    """A kind of code: switching activity, bytes moved and wake-ups per CPU second, share of vector code."""

    activity: float
    gb_per_cpu_s: float
    wakes_per_cpu_s: float = 0.0
    vector: float = 0.0


@dataclass(slots=True)
class Socket:
    """What a socket remembers from one step to the next."""

    cores: int
    tdp_w: float
    busy_cores: float = 0.0
    power_cap: float = 1.0


@dataclass(frozen=True, slots=True)
class Draw:
    """One step of one socket, watts; the lists are per task, in the order of the tasks given."""

    cpu_idle_w: float
    cpu_w: list[float]
    dram_idle_w: float
    dram_w: list[float]
    ran: list[float]


def voltage(ghz: float) -> float:
    """Supply voltage at a frequency: near 0.7 V at the bottom, 1.07 V at full turbo."""
    return 0.6 + 0.13 * ghz


def share_core(first_w: float, second_w: float) -> tuple[float, float]:
    """Shapley values of two threads that run on one core at once and would draw these powers alone."""
    half = 0.5 * (1.0 - SMT_EXTRA) * min(first_w, second_w)
    return first_w - half, second_w - half


def socket_draw(
    socket: Socket,
    layout: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    load: Sequence[float],
    works: Sequence[Work],
    heat: list[float],
    room_c: float,
    dt_s: float,
) -> Draw:
    """Power of one socket over a step of `dt_s` seconds during which nothing changes.

    `layout` names for each core in use the tasks whose threads sit on its two hardware threads;
    `load[i]` is the CPU that each thread of task i asks for (0 to 1), `works[i]` its kind of code.
    `heat[i]` is the watts of task i that the heat sink still holds; it is brought forward in place.
    """
    count = len(load)
    ran, watts = [0.0] * count, [0.0] * count
    ceiling = TURBO_ONE_GHZ - (TURBO_ONE_GHZ - TURBO_ALL_GHZ) * min(1.0, socket.busy_cores / socket.cores)
    busy_cores = 0.0
    all_asleep = 1.0
    for first, second in layout:
        use_a, use_b = _demand(first, load), _demand(second, load)
        fit_a, fit_b = 1.0 / max(1.0, use_a), 1.0 / max(1.0, use_b)
        use_a, use_b = use_a * fit_a, use_b * fit_b
        busy = use_a + use_b - use_a * use_b
        if busy <= 0.0:
            continue
        busy_cores += busy
        all_asleep *= 1.0 - busy
        vector = max([works[i].vector for i in (*first, *second) if load[i] > 0.0])
        wanted = MIN_GHZ + (TURBO_ONE_GHZ - MIN_GHZ) * GOVERNOR_MARGIN * max(use_a, use_b)
        ghz = max(MIN_GHZ, min(wanted, ceiling * (1.0 - VECTOR_SLOWDOWN * vector) * socket.power_cap))
        volts = voltage(ghz)
        leak_w, switch_w = CORE_LEAK_W * volts - CORE_SLEEP_W, SWITCHING_W * ghz * volts * volts
        alone_a = leak_w + switch_w * _activity(first, load, works)
        alone_b = leak_w + switch_w * _activity(second, load, works)
        shared_a, shared_b = share_core(alone_a, alone_b)
        part_a = fit_a * ((1.0 - use_b) + use_b * shared_a / alone_a)
        part_b = fit_b * ((1.0 - use_a) + use_a * shared_b / alone_b)
        for tasks, part, fit in ((first, part_a, fit_a), (second, part_b, fit_b)):
            for i in tasks:
                work, want = works[i], load[i]
                ran[i] += want * fit
                watts[i] += want * part * (leak_w + switch_w * work.activity)
                watts[i] += want * fit * work.wakes_per_cpu_s * WAKE_J * (1.0 - busy)
    dram_idle_w = DRAM_STANDBY_W * (1.0 + 0.002 * (room_c - ROOM_C))
    moved = _traffic(ran, works)
    dram_w = _memory(moved)
    present = sum(ran)
    if present > 0.0:
        awake_w = MESH_AWAKE_W * (1.0 - all_asleep) / present
        for i, cpu in enumerate(ran):
            watts[i] += awake_w * cpu + MESH_J_PER_GB * moved[i]
    warmth = LEAK_W * LEAK_PER_K * KELVIN_PER_W
    keep = exp(-dt_s / COOLING_S)
    for i, power_w in enumerate(watts):
        heat[i] = power_w + (heat[i] - power_w) * keep
        watts[i] = power_w + warmth * heat[i]
    idle_w = MESH_SLEEP_W + socket.cores * CORE_SLEEP_W + LEAK_W * (1.0 + LEAK_PER_K * (room_c - ROOM_C))
    socket.busy_cores = busy_cores
    over = (idle_w + sum(watts)) / socket.tdp_w
    socket.power_cap = min(1.0, max(0.4, socket.power_cap * (over**-0.4 if over > 1.0 else 1.02)))
    return Draw(idle_w, watts, dram_idle_w, dram_w, ran)


def gpu_draw(held: bool, busy: float) -> float:
    """Watts of a board above its idle power: a held context keeps clocks up, work adds to it."""
    return min(GPU_LIMIT_W - GPU_IDLE_W, GPU_HELD_W * held + GPU_BUSY_W * busy)


def wall_power(parts_w: float, parts_max_w: float) -> float:
    """Watts at the plug of a node whose CPUs, memory and GPUs draw `parts_w` of at most `parts_max_w`.

    Fans follow the cube of their speed and that the load; the supply loses a fixed part and a share.
    """
    load = min(1.0, parts_w / parts_max_w)
    inside_w = parts_w + BOARD_W + FAN_W * (1.0 + 6.0 * load**3)
    return PSU_FIXED_W + inside_w * (1.0 + PSU_LOSS)


def _demand(tasks: Sequence[int], load: Sequence[float]) -> float:
    total = 0.0
    for i in tasks:
        total += load[i]
    return total


def _activity(tasks: Sequence[int], load: Sequence[float], works: Sequence[Work]) -> float:
    """Mean switching activity of what one hardware thread runs; 1 when it runs nothing."""
    use = total = 0.0
    for i in tasks:
        use += load[i]
        total += load[i] * works[i].activity
    return total / use if use > 0.0 else 1.0


def _traffic(ran: Sequence[float], works: Sequence[Work]) -> list[float]:
    """Gigabytes per second that each task moves, squeezed to what the channels carry."""
    wanted = [cpu * work.gb_per_cpu_s for cpu, work in zip(ran, works, strict=True)]
    squeeze = min(1.0, SOCKET_GB / (sum(wanted) or 1.0))
    return [gb * squeeze for gb in wanted]


def _memory(moved: Sequence[float]) -> list[float]:
    """Watts of memory above standby per task: by bytes."""
    total = sum(moved)
    if total <= 0.0:
        return [0.0] * len(moved)
    per_gb = DRAM_J_PER_GB + DRAM_AWAKE_W * (1.0 - exp(-total / DRAM_AWAKE_GB)) / total
    return [gb * per_gb for gb in moved]
