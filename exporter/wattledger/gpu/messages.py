"""What the NVML worker and the agent say to each other: one message per packet, as msgpack.

Energies and busy times are cumulative, so a message that is lost or skipped loses nothing.
"""

from __future__ import annotations

import msgspec

from .records import MigInstance

HUNG_AFTER_NS = 10_000_000_000
"""No message for so long: the driver does not answer."""

HUNG = "hung"
ASLEEP = "asleep"
LOST = "gpu_is_lost"
"""Failures of boards that are no answers of NVML's: avoided, runtime-suspended, or missing from the list."""

FINDING = "find "
"""Goes before what is touched while boards are found, which takes longer: 1.5 s for each that was off."""

FINDING_HUNG_AFTER_NS = 60_000_000_000
"""Finding the boards may take this long."""

ABSENT = "absent"
"""The farewell of a host without NVIDIA's library or the binding: nothing to try again soon."""

MAX_MESSAGE = 1 << 20
"""More than any report: eight boards with forty processes each make about 10 kB."""


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker is to run, given as its only argument.

    It sends on the inherited socket `channel_fd` and notes what it is about to touch in the inherited file
    `progress_fd`. `avoid` are such notes: boards on which an earlier worker hung.
    """

    channel_fd: int
    progress_fd: int
    procfs: str = "/proc"
    sysfs: str = "/sys"
    interval_ns: int = 900_000_000
    avoid: tuple[str, ...] = ()


class BoardReport(msgspec.Struct, frozen=True, kw_only=True):
    """One board at one moment; `at_ns` is CLOCK_BOOTTIME at the energy call.

    `energy_uj` comes from `source`: the board's own `counter`, or power integrated by the worker (`samples`,
    `average`, `power`, or `module` where only the power of a whole module is told, its CPU included).
    `load` names what the energy counts from: the load of the driver, or the worker for integrated power.
    It is None when it could not be had, and `failure` says why in a bounded word.
    `busy_us` is the work of each process so far in microseconds, a MIG instance's times its multiprocessors,
    pid 0 standing for work of no known process; it means nothing unless `use_known`.
    `watched_us` is how much time they tell of so far, what the driver's ring knew at first included.
    `holders` are (pid, bytes) of contexts. `check_ratio` is the energy counter over integrated power.
    """

    uuid: str
    index: int
    pci: str
    model: str
    at_ns: int
    energy_uj: int | None = None
    failure: str = ""
    source: str = "counter"
    load: str = ""
    check_ratio: float | None = None
    limit_mw: int | None = None
    persistent: bool | None = None
    mig: bool = False
    use_known: bool = False
    busy_us: dict[int, int] = {}
    watched_us: int = 0
    holders: tuple[tuple[int, int], ...] = ()
    quality: str = ""
    instances: tuple[MigInstance, ...] = ()


class Unnamed(msgspec.Struct, frozen=True, kw_only=True):
    """A board that tells not even its UUID; `where` is its PCI address or `#` and its index."""

    where: str
    failure: str


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """All boards of one cycle. What counts from the start of something counts from that of `generation`."""

    generation: str
    sequence: int
    driver: str = ""
    boards: tuple[BoardReport, ...] = ()
    unnamed: tuple[Unnamed, ...] = ()
    rss_bytes: int = 0


class Farewell(msgspec.Struct, frozen=True, kw_only=True, tag="farewell"):
    """The worker's last message: why it ends, in a bounded word and for a person."""

    reason: str
    detail: str = ""


Message = Report | Farewell
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    """One packet."""
    return _encoder.encode(message)


def decode(packet: bytes) -> Message:
    """The message in a packet; raises msgspec.DecodeError."""
    return _decoder.decode(packet)
