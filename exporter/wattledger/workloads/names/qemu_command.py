"""A virtual machine's names out of qemu's command line (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What `-name` and `-uuid` said; "" where they said nothing."""

    name: str = ""
    uuid: str = ""


def read_guest(arguments: Sequence[str]) -> Guest | None:
    """The guest of a command line, None if that has neither `-name` nor `-uuid`.

    Options may have one dash or two, and the last one counts, as in qemu.
    """
    name = uuid = ""
    for option, value in pairwise(arguments):
        if option in {"-name", "--name"}:
            name = _guest_name(value) or name
        elif option in {"-uuid", "--uuid"}:
            uuid = value
    return Guest(name=name, uuid=uuid) if name or uuid else None


def _guest_name(value: str) -> str:
    """`guest` out of `guest=NAME,debug-threads=on`, where the first key may be left out.

    A comma within a value is doubled (get_opt_value in qemu's util/qemu-option.c).
    """
    parts = value.replace(",,", "\0").split(",")
    for position, part in enumerate(parts):
        key, equals, text = part.partition("=")
        if key == "guest" and equals:
            return text.replace("\0", ",")
        if position == 0 and not equals:
            return part.replace("\0", ",")
    return ""
