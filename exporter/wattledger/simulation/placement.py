"""Which hardware thread of the simulated host runs which task, as a fair scheduler would spread them."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace

from .load import Task

Layout = list[tuple[tuple[int, ...], tuple[int, ...]]]
STAY_HOME = 0.4  # a core this much emptier is worth leaving the memory's socket for
SIBLING = 1.0  # an idle core is preferred to the idle sibling of a busy one


def place(tasks: Sequence[Task], sockets: int, cores: int) -> list[Layout]:
    """Put every thread of every task on a hardware thread; per socket, the cores in use.

    The heaviest threads choose first: an idle core, then the idle sibling of the least busy core,
    then the least busy thread; on the socket their memory is on unless the other is much emptier.
    """
    slots: list[list[tuple[list[int], list[int]]]] = [
        [([], []) for _ in range(cores)] for _ in range(sockets)
    ]
    queues = [[(0.0, core, 0.0, 0.0) for core in range(cores)] for _ in range(sockets)]
    for queue in queues:
        heapify(queue)
    for index in sorted(range(len(tasks)), key=lambda i: -tasks[i].load):
        task = tasks[index]
        load = task.load
        if load <= 0.0:
            continue
        for number in range(task.role.threads):
            socket = (task.home + number // cores) % sockets
            for other in range(sockets):
                if queues[other][0][0] + STAY_HOME < queues[socket][0][0]:
                    socket = other
            queue = queues[socket]
            _, core, first, second = queue[0]
            if first <= second:
                slots[socket][core][0].append(index)
                first += load
            else:
                slots[socket][core][1].append(index)
                second += load
            heapreplace(queue, (first + second + SIBLING * min(1.0, max(first, second)), core, first, second))
    return [
        [(tuple(first), tuple(second)) for first, second in socket if first or second] for socket in slots
    ]
