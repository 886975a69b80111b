"""The checkpoint: whatever moment a process dies at, the last whole slot is read back."""

import errno
import os

import pytest

from tests.scripted import J, ScriptedNode, node_uj, package
from wattledger.errors import StorageError
from wattledger.ledger.checkpoint import HEADER, MIN_SLOT, Checkpoint


def reopened(folder):
    checkpoint = Checkpoint(folder)
    saved = checkpoint.open()
    checkpoint.close()
    return saved


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "state")


def write(folder, *states):
    checkpoint = Checkpoint(folder)
    checkpoint.open()
    for state in states:
        checkpoint.write(state)
    checkpoint.close()
    return checkpoint.path


def asides(folder):
    return [name for name in os.listdir(folder) if "unreadable" in name]


def test_a_new_directory_holds_nothing(folder):
    assert reopened(folder) is None
    assert reopened(folder) is None
    assert asides(folder) == []


def test_the_newest_state_is_read_back(folder):
    write(folder, {"n": 1}, {"n": 2}, {"n": 3})
    assert reopened(folder) == {"n": 3}


def test_writing_goes_on_after_reopening(folder):
    write(folder, {"n": 1}, {"n": 2})
    write(folder, {"n": 3})
    assert reopened(folder) == {"n": 3}


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_a_torn_write_leaves_the_previous_slot(folder, cut):
    """The process dies after `cut` bytes of the third write."""
    path = write(folder, {"n": 1}, {"n": 2}, {"n": 3})
    with open(path, "r+b") as file:
        file.seek(1 * MIN_SLOT)
        third = file.read(HEADER.size + 4)
        file.seek(1 * MIN_SLOT)
        file.write(b"\xaa" * len(third))
        file.seek(1 * MIN_SLOT)
        file.write(third[:cut])
    assert reopened(folder) == {"n": 2}


def test_a_state_that_outgrows_its_slot_moves_to_a_larger_file(folder):
    big = {"text": "x" * (3 * MIN_SLOT)}
    path = write(folder, {"n": 1}, big)
    assert reopened(folder) == big
    assert os.path.getsize(path) > 2 * MIN_SLOT
    write(folder, {"n": 2})
    assert reopened(folder) == {"n": 2}


def test_growing_keeps_the_old_state_until_the_new_one_is_whole(folder):
    """Dying between the growth and the write leaves what was there."""
    checkpoint = Checkpoint(folder)
    checkpoint.open()
    checkpoint.write({"n": 1})
    checkpoint._create(4 * MIN_SLOT)
    checkpoint.close()
    assert reopened(folder) == {"n": 1}


@pytest.mark.parametrize("content", [b"garbage", b"\x01" * 4096, os.urandom(2 * MIN_SLOT)])
def test_a_file_that_is_not_a_checkpoint_is_moved_aside_never_overwritten(folder, content):
    os.makedirs(folder)
    with open(os.path.join(folder, "ledger.ckpt"), "wb") as file:
        file.write(content)
    assert reopened(folder) is None
    (aside,) = asides(folder)
    with open(os.path.join(folder, aside), "rb") as file:
        assert file.read() == content


def test_a_checkpoint_of_a_newer_version_is_moved_aside(folder):
    path = write(folder, {"n": 1}, {"n": 2})
    with open(path, "r+b") as file:
        for slot in (0, MIN_SLOT):
            file.seek(slot + 8)
            file.write((99).to_bytes(4, "little"))
    assert reopened(folder) is None
    assert len(asides(folder)) == 1


def test_a_second_agent_is_refused_and_told_what_to_do(folder):
    first = Checkpoint(folder)
    first.open()
    with pytest.raises(StorageError, match="another wattledger is using"):
        Checkpoint(folder).open()
    first.close()
    assert reopened(folder) is None


def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot use the state directory"):
        Checkpoint(str(tmp_path / "file" / "state")).open()


def test_a_file_that_cannot_be_opened_is_a_directory_moved_aside(folder):
    os.makedirs(os.path.join(folder, "ledger.ckpt"))
    assert reopened(folder) is None
    assert len(asides(folder)) == 1


def test_writes_that_fail_one_after_the_other_leave_the_last_whole_slot(folder, monkeypatch):
    """A disk that fails twice must not tear both slots."""
    checkpoint = Checkpoint(folder)
    checkpoint.open()
    for number in (1, 2):
        checkpoint.write({"n": str(number) * 100})
    whole_write = os.pwrite

    def torn(fd, data, offset):
        whole_write(fd, bytes(data)[:80], offset)
        raise OSError(errno.EIO, "the disk fails")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", torn)
        for number in (3, 4, 5):
            with pytest.raises(OSError, match="the disk fails"):
                checkpoint.write({"n": str(number) * 100})
    checkpoint.close()
    assert reopened(folder) == {"n": "2" * 100}


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("meters", {"envelope": [0, 0, 0], "meters": []}),
        ("meters", {"envelope": [0, 0], "meters": [[1, 2]]}),
        ("processes", 3),
        ("counts", 3),
        ("accounts", []),
        ("accounts", {"node": {"cpu": [1, 0.0]}, "expired": {}, "limited": 0, "open": [[1]], "dormant": []}),
    ],
)
def test_a_whole_slot_of_senseless_content_is_moved_aside_and_stops_nothing(folder, part, content):
    """Every part is looked at before any of it is taken up: half of an account does not balance."""
    node = ScriptedNode([package()], folder=folder)
    node.step()
    node.sensor.spend(package(), 50 * J)
    assert node_uj(node.step()) == 50 * J
    node.ledger.close()
    checkpoint = Checkpoint(folder)
    saved = checkpoint.open()
    checkpoint.write({**saved, part: content})
    checkpoint.close()
    node.restart()
    assert node_uj(node.step()) == 0
    assert len(asides(folder)) == 1
