"""Who a virtual machine is, from libvirt's files and qemu's command line."""

from __future__ import annotations

import os

import pytest

from tests.cgroup_subjects import describe
from tests.host_copies import HOSTS
from wattledger.hostfs import HostFS
from wattledger.model import Workload
from wattledger.workloads.names.base import Names, NotYet, ResolverError, Subject
from wattledger.workloads.names.libvirt import LibvirtNames
from wattledger.workloads.names.libvirt_xml import DEPTH_LIMIT, Domain, read_domain
from wattledger.workloads.names.qemu_command import Guest, read_guest
from wattledger.workloads.names.rooted import Rooted

UUID = "00000003-1111-4222-8333-944444444444"


def libvirt(root):
    return LibvirtNames(HostFS.at(str(root)), Rooted(str(root)))


def vm(ident, runtime="libvirt", cgroup=""):
    return Subject(workload=Workload(kind="vm", id=ident, facts=(("runtime", runtime),)), cgroup=cgroup)


def running(number, name, uuid=UUID):
    names = f"<name>{name}</name><uuid>{uuid}</uuid>"
    return f"<domstatus pid='1'><domain id='{number}'>{names}</domain></domstatus>"


def test_machines_of_a_host(golden):
    """Names that the cgroup had to escape, shorten or cut, OpenStack's, one defined but without a state,
    one just starting, one whose only namesake is another machine, one without machined, and Proxmox's.
    """
    root = HOSTS / "names-libvirt"
    golden("names-libvirt.txt", describe(root / "sys/fs/cgroup", [libvirt(root)]))


@pytest.fixture
def files(tmp_path):
    """Writes libvirt's state of a running domain."""
    folder = tmp_path / "run/libvirt/qemu"
    folder.mkdir(parents=True)

    def write(name, text):
        (folder / f"{name}.xml").write_text(text)

    return write


def test_other_workloads_are_passed_over(tmp_path):
    """Containers of libvirt's LXC driver among them."""
    resolver = libvirt(tmp_path)
    container = Workload(kind="container", id="lxc-1-web", facts=(("runtime", "libvirt"),))
    assert resolver.resolve(Subject(workload=container)) is None
    assert resolver.resolve(vm("104", "bhyve")) is None


def test_the_number_decides_between_namesakes(tmp_path, files):
    """`web1` is what is left of `web_1`, and the name of another machine; 3 is the former."""
    files("web1", running(2, "web1"))
    files("web_1", running(3, "web_1"))
    assert libvirt(tmp_path).resolve(vm("qemu-3-web1")).name == "web_1"
    assert libvirt(tmp_path).resolve(vm("qemu-2-web1")).name == "web1"
    assert libvirt(tmp_path).resolve(vm("qemu-4-web1")) is None


def test_a_number_is_used_again_after_a_restart_of_libvirt(tmp_path, files):
    """The same resolver sees the file that took its place."""
    resolver = libvirt(tmp_path)
    files("a_1", running(3, "a_1"))
    assert resolver.resolve(vm("qemu-3-a1")).name == "a_1"
    os.unlink(tmp_path / "run/libvirt/qemu/a_1.xml")
    files("a+1", running(3, "a+1", UUID.replace("3", "4")))
    assert resolver.resolve(vm("qemu-3-a1")).name == "a+1"


def test_broken_files_do_not_hide_the_others(tmp_path, files):
    """One is cut off, one is a FIFO, one is too large, one leads out of the root."""
    files("a1", running(3, "a1")[:40])
    os.mkfifo(tmp_path / "run/libvirt/qemu/b1.xml")
    files("c1", running(3, "c1") + " " * (1 << 20))
    (tmp_path / "run/libvirt/qemu/d1.xml").symlink_to("/../../etc/passwd")
    files("z_1", running(3, "z_1"))
    assert libvirt(tmp_path).resolve(vm("qemu-3-z1")).name == "z_1"


def test_a_broken_file_of_the_very_machine_is_said(tmp_path, files):
    """Unless its qemu tells the name, nobody does."""
    files("a1", "<domstatus>")
    with pytest.raises(ResolverError) as caught:
        libvirt(tmp_path).resolve(vm("qemu-3-a1"))
    assert caught.value.reason == "parse"


@pytest.fixture
def cgroup(tmp_path):
    """Puts a qemu with these arguments into a cgroup, and tells its folder."""

    def start(*arguments):
        process = tmp_path / "proc/9"
        process.mkdir(parents=True)
        (process / "status").write_text("Name:\tqemu\nUid:\t1\t1\t1\t1\n")
        (process / "cmdline").write_text("".join(f"{argument}\0" for argument in ("qemu", *arguments)))
        (tmp_path / "cgroup.procs").write_text("9\n")
        return str(tmp_path)

    return start


def test_a_machine_in_a_container_is_not_looked_up_on_the_host(tmp_path, files, cgroup):
    """The host's libvirt has another machine of that number and name; its uuid is not this one's."""
    files("web", running(3, "web"))
    folder = cgroup("-name", "guest=web")
    assert libvirt(tmp_path).resolve(vm("qemu-3-web", cgroup=folder)).facts == (("uuid", UUID),)
    assert libvirt(tmp_path).resolve(vm("abc/qemu-3-web", cgroup=folder)) == Names(name="web")


def test_a_machine_without_file_and_process_is_not_ready(tmp_path):
    with pytest.raises(NotYet):
        libvirt(tmp_path).resolve(vm("qemu-3-web", cgroup=str(tmp_path)))


def test_names_with_slashes_leave_the_folder_alone(tmp_path, cgroup):
    """qemu may be told any name; libvirt has no file for such a one."""
    (tmp_path / "secret.xml").write_text(running(3, "secret"))
    folder = cgroup("-name", "guest=../../../secret")
    assert libvirt(tmp_path).resolve(vm("qemu-3-x", cgroup=folder)) == Names(name="../../../secret")


@pytest.mark.parametrize(
    ("options", "guest"),
    [
        (["-name", "guest=a,debug-threads=on"], Guest(name="a")),
        (["-name", "a,process=x"], Guest(name="a")),
        (["-name", "debug-threads=on,guest=a"], Guest(name="a")),
        (["--name", "a"], Guest(name="a")),
        (["-name", "guest=a,,b,,,debug-threads=on"], Guest(name="a,b,")),
        (["-name", "a=b"], None),
        (["-name", "first", "-name", "second"], Guest(name="second")),
        (["-uuid", UUID], Guest(uuid=UUID)),
        (["-name"], None),
        ([], None),
    ],
    ids=str,
)
def test_guest_names_on_the_command_line(options, guest):
    """The forms that qemu accepts; a comma in a name is doubled."""
    assert read_guest(["/usr/bin/qemu-system-x86_64", *options]) == guest


def test_only_the_domain_itself_names_it():
    """Elements of the same name elsewhere, snapshots' and devices' among them, say nothing."""
    xml = b"""<domain type='kvm' id='3'>
      <devices><name>disk</name><domain id='9'><name>inner</name></domain></devices>
      <name> web </name><name>twice</name><title>a&lt;b<i>not</i></title>
    </domain>"""
    assert read_domain(xml) == Domain(name="web", number="3", title="a<b")


def test_openstack_of_any_version():
    """The namespace carries a version, and any prefix may stand for it."""
    for version in ("1.0", "1.1", "2.0"):
        xml = f"""<domain><name>instance-1</name><metadata>
          <n:instance xmlns:n="http://openstack.org/xmlns/libvirt/nova/{version}">
            <n:name>web</n:name><n:owner><n:project uuid="1">shop</n:project></n:owner>
          </n:instance>
          <o:instance xmlns:o="http://example.org/other"><o:name>no</o:name></o:instance>
        </metadata></domain>"""
        assert read_domain(xml.encode()) == Domain(name="instance-1", display_name="web", project="shop")


@pytest.mark.parametrize(
    "xml",
    [
        '<!DOCTYPE domain [<!ENTITY a "b">]><domain><name>&a;</name></domain>',
        '<!DOCTYPE domain SYSTEM "file:///etc/passwd"><domain><name>x</name></domain>',
        "<domain><name>&undeclared;</name></domain>",
        "<domain>" + "<a>" * (DEPTH_LIMIT - 1) + "</a>" * (DEPTH_LIMIT - 1) + "</domain>x",
        "<domain>" + "<a>" * DEPTH_LIMIT + "</a>" * DEPTH_LIMIT + "</domain>",
        "<domain><name>x</name>",
        "<network><name>x</name></network>",
        "",
        "\x00\x01",
    ],
    ids=["entity", "external", "undeclared", "trailing", "deep", "cut", "other", "empty", "binary"],
)
def test_what_is_no_plain_domain_is_a_parse_error(xml):
    """Document types are refused as such, whatever they contain."""
    with pytest.raises(ResolverError) as caught:
        read_domain(xml.encode())
    assert caught.value.reason == "parse"


def test_texts_are_bounded():
    assert len(read_domain(b"<domain><title>" + b"x" * 500_000 + b"</title></domain>").title) == 4096
