"""Files are read below a root that nothing leads out of, whether the kernel helps or not."""

from __future__ import annotations

import errno
import gc
import os
import socket

import pytest

from tests.unprivileged import as_nobody
from tests.without_openat2 import without_openat2
from wattledger.workloads.names.base import ResolverError
from wattledger.workloads.names.openat2 import OpenInRoot
from wattledger.workloads.names.rooted import Rooted
from wattledger.workloads.names.walk import walk_in_root


def kernel_has_openat2():
    fd = os.open("/", os.O_PATH)
    try:
        os.close(OpenInRoot()(fd, ".", True))
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EPERM):
            return False
        raise
    finally:
        os.close(fd)
    return True


OPENERS = [
    pytest.param(
        OpenInRoot(),
        id="kernel",
        marks=pytest.mark.skipif(not kernel_has_openat2(), reason="this kernel or sandbox has no openat2"),
    ),
    pytest.param(walk_in_root, id="by-hand"),
]


@pytest.fixture
def host(tmp_path):
    """A root `host` with a file outside it, `secret`."""
    (tmp_path / "secret").write_text("outside")
    root = tmp_path / "host"
    (root / "etc").mkdir(parents=True)
    (root / "var/lib").mkdir(parents=True)
    (root / "etc/name").write_text("inside")
    return root


@pytest.fixture(params=OPENERS)
def rooted(request, host):
    """Reading below `host`, both with openat2 and by hand."""
    return Rooted(str(host), request.param)


def reason(function, *arguments):
    with pytest.raises(ResolverError) as caught:
        function(*arguments)
    return caught.value.reason


@pytest.mark.parametrize(
    "path", ["etc/name", "/etc/name", "//etc/./name", "/../../etc/name", "var/../etc/name"]
)
def test_paths_start_at_the_root(rooted, path):
    """Absolute, relative and with too many `..`: the same file."""
    assert rooted.read(path) == b"inside"


@pytest.mark.parametrize(
    "target",
    [
        "/etc/name",
        "../etc/name",
        "../../../../../../etc/name",
        "/../etc/name",
        "/var/../etc//name",
        "/etc/./name",
    ],
)
def test_links_stay_inside(rooted, host, target):
    """An absolute link begins at the root, and `..` ends there."""
    (host / "var/link").symlink_to(target)
    assert rooted.read("var/link") == b"inside"


def test_links_in_the_middle_stay_inside(rooted, host):
    """A directory on the way may be a link too, and links may lead to links."""
    (host / "run").symlink_to("/var/run")
    (host / "var/run").symlink_to("lib/../../etc")
    assert rooted.read("run/name") == b"inside"
    assert rooted.listdir("/run") == ["name"]


@pytest.mark.parametrize("target", ["../secret", "/../secret", "{outside}", "../../../../../..{outside}"])
def test_what_lies_outside_is_not_there(rooted, host, target):
    """Neither a relative nor an absolute link reaches a file outside, and neither does the path itself."""
    outside = host.parent / "secret"
    (host / "link").symlink_to(target.format(outside=outside))
    (host / "folder").symlink_to("..")
    for path in ("link", "../secret", str(outside), "folder/secret"):
        with pytest.raises(FileNotFoundError):
            rooted.read(path)


@pytest.mark.parametrize("path", ["etc/none", "none/name", "etc/name/below", "dangling"])
def test_absence_is_file_not_found(rooted, host, path):
    """A missing file, a missing folder, a file in place of a folder and a dangling link."""
    (host / "dangling").symlink_to("nowhere")
    for function in (rooted.read, rooted.listdir, rooted.stamp):
        with pytest.raises(FileNotFoundError):
            function(path)
    assert not rooted.exists(path)


def test_a_circle_of_links_is_an_error(rooted, host):
    """Links that lead to each other end, with the errno's name as the reason."""
    (host / "a").symlink_to("b")
    (host / "b").symlink_to("/a")
    (host / "self").symlink_to("self/self")
    assert [reason(rooted.read, path) for path in ("a", "b", "self", "a/name")] == ["eloop"] * 4


@pytest.mark.parametrize("count", [40, 41])
def test_forty_links_are_followed_and_not_one_more(rooted, host, count):
    """The limit of the kernel is that of the walk by hand."""
    (host / "0").symlink_to("etc/name")
    for number in range(1, count):
        (host / str(number)).symlink_to(str(number - 1))
    if count == 40:
        assert rooted.read("39") == b"inside"
    else:
        assert reason(rooted.read, "40") == "eloop"


def test_only_regular_files_are_read(rooted, host):
    """FIFOs, sockets, directories and links to devices end at once: nothing is opened."""
    os.mkfifo(host / "fifo")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(host / "socket"))
    (host / "link").symlink_to("fifo")
    reasons = {path: reason(rooted.read, path) for path in ("fifo", "socket", "etc", "link")}
    server.close()
    assert set(reasons.values()) == {"not_regular"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make device nodes")
def test_devices_are_not_opened(rooted, host):
    """A device is no file to read, even one that would answer: opening some starts things."""
    os.mknod(host / "null", 0o20666, os.makedev(1, 3))
    assert reason(rooted.read, "null") == "not_regular"


def test_nobody_waits_for_a_fifo(host):
    """With a writer that says nothing the answer comes as well."""
    os.mkfifo(host / "fifo")
    writer = os.open(host / "fifo", os.O_RDWR)
    try:
        assert reason(Rooted(str(host)).read, "fifo") == "not_regular"
    finally:
        os.close(writer)


def test_size_is_limited(rooted, host):
    """Up to the limit and not a byte more; 50 MB are refused without being read."""
    (host / "ten").write_bytes(b"0123456789")
    assert rooted.read("ten", 10) == b"0123456789"
    assert reason(rooted.read, "ten", 9) == "too_large"
    with open(host / "huge", "wb") as file:
        file.truncate(50_000_000)
    assert reason(rooted.read, "huge") == "too_large"


def test_files_that_claim_to_be_empty_are_limited_too():
    """Files of /proc have size 0 and content."""
    proc = Rooted("/proc")
    assert proc.read("sys/kernel/ostype") == b"Linux\n"
    assert reason(proc.read, "sys/kernel/ostype", 5) == "too_large"


def test_listings_are_limited(rooted, host):
    """Three names are not listed where two are allowed."""
    for name in "abc":
        (host / "var/lib" / name).touch()
    assert sorted(rooted.listdir("var/lib", 3)) == ["a", "b", "c"]
    assert reason(rooted.listdir, "var/lib", 2) == "too_large"


def test_a_file_cannot_be_listed_and_only_a_link_has_a_target(rooted, host):
    """The wrong kind of file is said to be that."""
    (host / "link").symlink_to("/anywhere/at all")
    assert rooted.readlink("link") == "/anywhere/at all"
    assert reason(rooted.readlink, "etc/name") == "einval"
    with pytest.raises(FileNotFoundError):
        rooted.listdir("etc/name")


def test_stamp_changes_with_the_file(rooted, host):
    """Writing and replacing change it, reading does not."""
    first = rooted.stamp("etc/name")
    rooted.read("etc/name")
    assert rooted.stamp("etc/name") == first
    (host / "etc/name").write_text("longer than before")
    second = rooted.stamp("etc/name")
    (host / "etc/new").write_text("longer than before")
    (host / "etc/new").rename(host / "etc/name")
    assert len({first, second, rooted.stamp("etc/name")}) == 3


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "x" * 300, "/".join(["etc/.."] * 2000)])
def test_odd_paths_are_errors_not_exceptions(rooted, path):
    """NUL, a lone surrogate, a name and a path that are too long."""
    assert reason(rooted.read, path) in {"einval", "enametoolong"}


def test_a_very_deep_path_holds_few_descriptors(host):
    """By hand no more than 128 folders are entered at a time."""
    (host / "d").mkdir()
    (host / "d/up").symlink_to("../d")
    deep = host
    for _ in range(150):
        deep = deep / "x"
        deep.mkdir()
    assert reason(Rooted(str(host), walk_in_root).listdir, "x/" * 150) == "enametoolong"
    assert Rooted(str(host), walk_in_root).listdir("x/" * 100) == ["x"]


def test_descriptors_are_given_back(rooted, host):
    """After errors of every kind as many are open as before."""
    (host / "a").symlink_to("a")
    os.mkfifo(host / "fifo")
    gc.collect()  # what earlier tests left closes its files now and not meanwhile
    before = len(os.listdir("/proc/self/fd"))
    for path in ("etc/name", "etc/none", "a", "fifo", "etc", "x\0", "var/../../../etc/name"):
        for function in (rooted.read, rooted.listdir, rooted.stamp, rooted.readlink):
            try:
                function(path)
            except (FileNotFoundError, ResolverError):
                pass
    inner = rooted.below("var")
    assert not inner.exists("none")
    assert inner.exists("lib")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_root_inside_the_root_is_a_root(rooted, host):
    """Links in a volume stay in the volume, and the way to it stays in the host."""
    volume = host / "var/lib/volume"
    (volume / "log").mkdir(parents=True)
    (volume / "log/name").write_text("volume")
    (volume / "link").symlink_to("/log/name")
    (volume / "out").symlink_to("../../../etc/name")
    (host / "data").symlink_to("/var/lib")
    inner = rooted.below("/data/volume")
    assert inner.read("link") == b"volume"
    with pytest.raises(FileNotFoundError):
        inner.read("out")
    with pytest.raises(FileNotFoundError):
        rooted.below("/nowhere").read("link")


def test_magic_links_of_proc_lead_nowhere(rooted, host):
    """/proc/PID/root and its kin would leave the root."""
    (host / "proc").symlink_to("/proc")
    with pytest.raises((FileNotFoundError, ResolverError)):
        rooted.read("proc/self/root/etc/passwd")
    whole = Rooted("/", rooted._opener)
    descriptor = os.open(host / "etc/name", os.O_RDONLY)
    (host / "etc/name").unlink()
    with pytest.raises((FileNotFoundError, ResolverError)):
        whole.read(f"/proc/self/fd/{descriptor}")
    os.close(descriptor)


@pytest.mark.skipif(os.geteuid() != 0, reason="there is no one to be kept from reading")
def test_a_refusal_is_an_error_of_that_name(host):
    """What may not be read is `eacces`, not absent."""
    (host / "etc/name").chmod(0o600)
    for folder in (host, host.parent):
        folder.chmod(0o755)
    assert as_nobody(lambda: _reason_or_content(Rooted(str(host)), "etc/name")) == "eacces"


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_without_openat2_the_walk_takes_over(host, code):
    """An old kernel says ENOSYS, an old seccomp profile EPERM: reading goes on, and stays inside."""
    (host / "link").symlink_to("/etc/name")
    (host / "out").symlink_to("../secret")
    rooted = Rooted(str(host))

    def read_both():
        fd = os.open(host, os.O_PATH)
        try:
            OpenInRoot()(fd, "etc", True)
        except OSError as error:
            return error.errno, _reason_or_content(rooted, "link"), _reason_or_content(rooted, "out")
        return None

    assert without_openat2(read_both, code) == (code, b"inside", "absent")


def _reason_or_content(rooted, path):
    try:
        return rooted.read(path)
    except FileNotFoundError:
        return "absent"
    except ResolverError as error:
        return error.reason
