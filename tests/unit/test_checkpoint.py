"""The checkpoint: whatever moment a process dies at, the last whole slot is read back."""

import os

import pytest

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
