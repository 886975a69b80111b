"""The service manager hears what it should, over a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wattledger.systemd import Notifier, listening_sockets, watchdog_interval_ns


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """A socket as systemd has it; `address` begins with NUL for an abstract one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(address)
        bound.setblocking(False)
        yield bound


@pytest.mark.parametrize(
    ("send", "message"),
    [
        (lambda n: n.ready(), "READY=1"),
        (lambda n: n.ready("2 zones"), "READY=1\nSTATUS=2 zones"),
        (lambda n: n.status("12.5 W"), "STATUS=12.5 W"),
        (lambda n: n.watchdog(), "WATCHDOG=1"),
        (lambda n: n.reloading(1_234_567_891), "RELOADING=1\nMONOTONIC_USEC=1234567"),
        (lambda n: n.stopping(), "STOPPING=1"),
        (lambda n: n.stopping("checkpoint"), "STOPPING=1\nSTATUS=checkpoint"),
    ],
)
def test_each_message_arrives_as_one_datagram(tmp_path: Path, send, message: str) -> None:
    """One datagram per message, its fields on lines of their own."""
    path = str(tmp_path / "notify")
    with manager(path) as bound:
        assert send(Notifier(path))
        assert bound.recv(4096).decode() == message


def test_an_abstract_socket_is_reached_by_its_at_sign() -> None:
    """systemd writes the leading NUL of an abstract address as @."""
    name = f"wattledger-test-{os.getpid()}"
    with manager("\0" + name) as bound:
        assert Notifier.from_environment({"NOTIFY_SOCKET": "@" + name}).ready()
        assert bound.recv(4096) == b"READY=1"


def test_a_status_of_several_lines_cannot_forge_a_field(tmp_path: Path) -> None:
    """A line break in the status would begin another field."""
    path = str(tmp_path / "notify")
    with manager(path) as bound:
        Notifier(path).status("a\nREADY=1")
        assert bound.recv(4096) == b"STATUS=a READY=1"


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "relative"])
def test_without_a_manager_nothing_is_sent(address: str | None) -> None:
    """Outside systemd every message is a quiet no."""
    notifier = Notifier(address)
    assert not notifier.enabled
    assert not notifier.ready("up")


def test_a_manager_that_is_gone_is_not_an_error(tmp_path: Path) -> None:
    """The agent outlives whatever listened."""
    assert Notifier(str(tmp_path / "gone")).watchdog() is False


def test_an_empty_status_sends_nothing(tmp_path: Path) -> None:
    """There is nothing to say, so nothing is said."""
    path = str(tmp_path / "notify")
    with manager(path) as bound:
        assert Notifier(path).status(" \n ") is False
        with pytest.raises(BlockingIOError):
            bound.recv(4096)


def test_a_full_queue_does_not_block_the_sampler(tmp_path: Path) -> None:
    """When the manager does not read, a send fails at once instead of waiting."""
    path = str(tmp_path / "notify")
    with manager(path):
        notifier = Notifier(path)
        results = [notifier.watchdog() for _ in range(1000)]
        assert results[0] is True
        assert results[-1] is False


@pytest.mark.parametrize(
    ("environ", "interval_ns"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30_000_000_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 30_000_000_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "41"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_for_the_process_it_names(environ: dict[str, str], interval_ns: int | None) -> None:
    """A child that inherited the variables is not watched; senseless values mean no watchdog."""
    assert watchdog_interval_ns(environ, pid=42) == interval_ns


def test_only_listening_sockets_meant_for_this_process_are_taken() -> None:
    """LISTEN_PID has to be ours; a datagram socket or a closed descriptor among them is left alone."""
    with socket.create_server(("127.0.0.1", 0)) as bound, socket.socket(type=socket.SOCK_DGRAM) as other:
        base = 200
        try:
            os.dup2(bound.fileno(), base)
            os.dup2(other.fileno(), base + 1)
            environ = {"LISTEN_FDS": "3", "LISTEN_PID": "42"}
            assert listening_sockets(environ, pid=7, first_fd=base) == ()
            assert listening_sockets({"LISTEN_PID": "7", "LISTEN_FDS": "x"}, pid=7, first_fd=base) == ()
            (taken,) = listening_sockets(environ, pid=42, first_fd=base)
            with taken:
                assert taken.getsockname() == bound.getsockname()
                assert not taken.get_inheritable()
            assert os.fstat(base + 1)
        finally:
            os.close(base + 1)
