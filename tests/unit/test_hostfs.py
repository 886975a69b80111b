"""How small files and long lists of the kernel are read."""

from __future__ import annotations

import os

import pytest

from wattledger.hostfs import read_bytes, read_whole


def test_a_list_of_the_kernel_is_read_to_its_end():
    """The kernel hands out a page at a time; a list of mappings is several, and ends with its last line."""
    maps = "/proc/self/maps"
    once, whole = read_bytes(maps, 1 << 20), read_whole(maps)
    assert len(once) <= os.sysconf("SC_PAGESIZE") < len(whole)
    assert whole.endswith(b"\n")


def test_no_more_than_the_limit_is_read(tmp_path):
    """A list without an end costs a bounded amount of memory."""
    (tmp_path / "list").write_bytes(b"0123456789")
    assert read_whole(str(tmp_path / "list"), 4) == b"0123"
    with pytest.raises(FileNotFoundError):
        read_whole(str(tmp_path / "nothing"))


def test_a_fifo_is_not_waited_for(tmp_path):
    """A pipe in the place of a list has nothing in it and does not block."""
    os.mkfifo(tmp_path / "pipe")
    assert read_whole(str(tmp_path / "pipe")) == b""
