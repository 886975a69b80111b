"""Runs a function as the user nobody, for root may read every file."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

NOBODY = 65534
T = TypeVar("T")


def as_nobody(function: Callable[[], T]) -> T:
    """The result of `function()`, run in a forked child that gave up root (or as we are, if we are not)."""
    if os.geteuid() != 0:
        return function()
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(function, theirs))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        child.join()


def _child(function: Callable[[], object], result: Connection) -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    result.send(function())
