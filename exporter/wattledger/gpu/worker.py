"""The process that talks to NVML, so that a driver call that never returns holds up nobody else.

Run as `python -m wattledger.gpu.worker ORDERS`.
It looks at every board about once a second and sends a report.
It ends when its standard input is closed, which the agent's end does, however the agent ended.
"""

from __future__ import annotations

import os
import sys
import threading

import msgspec

from ..errors import SensorError
from .channel import Channel
from .messages import ABSENT, Farewell, Orders


def main(arguments: list[str]) -> int:
    """Work until the agent ends, or until only a new process can help: then a farewell says why."""
    orders = msgspec.json.decode(arguments[0], type=Orders)
    threading.Thread(target=_end_with_agent, name="lifeline", daemon=True).start()
    channel = Channel(orders)
    try:
        from .watch import watch  # noqa: PLC0415 - without the binding there is still a farewell to say
    except ImportError as error:
        channel.send(Farewell(reason=ABSENT, detail=f"nvidia-ml-py is missing: {error}"))
        return 0
    try:
        watch(orders, channel)
    except SensorError as error:
        reason = ABSENT if error.reason == "library_not_found" else error.reason
        channel.send(Farewell(reason=reason, detail=str(error)))
    return 0


def _end_with_agent() -> None:
    """Wait for the end of standard input and end at once, even while a call hangs."""
    while os.read(0, 64):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
