"""Namespaces and labs: usable at once, silent, and gone afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rawproto.errors import LinkError
from rawproto.link.base import Link
from rawproto.link.netns import Lab, Namespace
from rawproto.link.packet import PacketLink
from rawproto.wire.frame import Frame

pytestmark = pytest.mark.root

THIS = "/proc/thread-self/ns/net"


def inode(fd: int) -> int:
    return os.fstat(fd).st_ino


def here() -> int:
    return Path(THIS).stat().st_ino


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_entering_changes_this_thread_only_for_the_block() -> None:
    before = here()
    with Namespace() as namespace:
        assert here() == before
        with pytest.raises(KeyError), namespace.entered():
            assert here() == inode(namespace.fileno()) != before
            assert [name for _, name in socket.if_nameindex()] == ["lo"]
            raise KeyError
        assert here() == before


def test_a_process_runs_inside() -> None:
    program = f"import os; print(os.stat({THIS!r}).st_ino)"
    with Namespace() as namespace:
        done = namespace.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert int(done.stdout) == inode(namespace.fileno())


def test_nothing_is_left_after_an_exception() -> None:
    interfaces, open_before, names = socket.if_nameindex(), descriptors(), Path("/run/netns")
    named = sorted(names.iterdir()) if names.exists() else []
    with pytest.raises(KeyboardInterrupt), Lab(addresses=[("10.0.0.1/24", "10.0.0.2/24")]) as lab:
        held = os.dup(lab.right.fileno())
        raise KeyboardInterrupt
    # The namespace lives as long as this test holds it, but its end of the veth is gone.
    program = "import socket; print(*(name for _, name in socket.if_nameindex()))"
    command = [sys.executable, "-c", f"import ctypes; ctypes.CDLL(None).setns({held}, 0); {program}"]
    done = subprocess.run(command, pass_fds=[held], capture_output=True, text=True, check=True)
    os.close(held)
    assert done.stdout.split() == ["lo"]
    assert socket.if_nameindex() == interfaces
    assert descriptors() == open_before
    assert (sorted(names.iterdir()) if names.exists() else []) == named


def test_a_lab_that_can_not_be_made_leaves_nothing() -> None:
    open_before = descriptors()
    with pytest.raises(LinkError):
        Lab(interface="a-name-that-is-too-long")
    assert descriptors() == open_before


def test_a_killed_process_leaves_nothing() -> None:
    program = """
import sys, time
from rawproto.link.netns import Lab
lab = Lab()
print(lab.left.fileno(), lab.right.fileno(), flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left, right = process.stdout.readline().split()
        held = os.open(f"/proc/{process.pid}/fd/{right}", os.O_RDONLY)
        try:
            process.send_signal(signal.SIGKILL)
            process.wait()
            # What held the left end is gone, so the kernel takes the veth away, right end included, in its own time.
            watch = """
import ctypes, socket, sys, time
ctypes.CDLL(None).setns(int(sys.argv[1]), 0)
for _ in range(500):
    if [name for _, name in socket.if_nameindex()] == ["lo"]:
        print("gone"); break
    time.sleep(0.01)
"""
            command = [sys.executable, "-c", watch, str(held)]
            done = subprocess.run(command, pass_fds=[held], capture_output=True, text=True, check=True)
        finally:
            os.close(held)
    assert done.stdout == "gone\n"
    assert left != right


def test_a_silent_wire_carries_only_what_is_sent(lab: Lab) -> None:
    with lab.right.entered():
        wire = PacketLink("veth0", outgoing=True)
    with wire:
        for family, address in ((socket.AF_INET, "10.0.0.2"), (socket.AF_INET6, "fd00::2")):
            with lab.right.entered(), socket.socket(family, socket.SOCK_DGRAM) as receiver:
                receiver.bind((address, 9))
                receiver.settimeout(3)
                with lab.left.entered(), socket.socket(family, socket.SOCK_DGRAM) as sender:
                    sender.sendto(b"ping", (address, 9))
                assert receiver.recv(16) == b"ping"
        assert [frame.data[12:14].hex() for frame in wire.receive(0)] == ["0800", "86dd"]
    # What the kernel has joined it reports (MLD), up to a second later: nothing but all-nodes, which is never.
    with lab.right.entered():
        groups = Path("/proc/thread-self/net/igmp6").read_text().splitlines()
    joined = {line.split()[2] for line in groups if "veth0" in line}
    assert joined == {"ff020000000000000000000000000001", "ff010000000000000000000000000001"}


def test_without_silence_neighbours_are_asked_for() -> None:
    with Lab(addresses=[("10.0.0.1/24", "10.0.0.2/24")], silent=False) as lab:
        with lab.right.entered():
            wire = PacketLink("veth0", ethertype=0x0806)
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            receiver.bind(("10.0.0.2", 9))
            receiver.settimeout(3)
        with wire, receiver, lab.left.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"ping", ("10.0.0.2", 9))
            assert receiver.recv(16) == b"ping"
            assert [frame.data[20:22] for frame in wire.receive(0)] == [b"\0\1"]


def test_without_addresses_the_kernel_answers_nothing(gather: Callable[[Link, int], list[Frame]]) -> None:
    with Lab() as lab:
        with lab.left.entered():
            left = PacketLink("veth0")
        with lab.right.entered():
            right = PacketLink("veth0", outgoing=True)
        syn = bytes.fromhex(
            "020000000002020000000001" "0800" "45000028000040004006" "66ce" "0a000001" "0a000002"
            "0400" "0050" "00000001" "00000000" "5002" "2000" "0000" "0000"
        )  # fmt: skip
        with left, right:
            left.send([syn], 0)
            assert [frame.data for frame in gather(right, 1)] == [syn]
            assert right.receive(0) == []
            assert left.receive(0) == []


def test_an_unprivileged_user_has_it_all_in_a_user_namespace(run_as_nobody: Callable[[str], str]) -> None:
    program = """
import select
enter_user_namespace()
with Lab(addresses=[("10.0.0.1/24", "10.0.0.2/24")], offloads=False) as lab:
    with lab.left.entered():
        left = PacketLink("veth0")
    with lab.right.entered():
        right = PacketLink("veth0")
    with left, right:
        left.send([bytes(60)], 0)
        select.select([right], [], [], 3)
        print([len(frame.data) for frame in right.receive(0)])
"""
    assert run_as_nobody(program) == "[60]\n"


def test_entering_a_user_namespace_with_threads_says_what_is_wrong(run_as_nobody: Callable[[str], str]) -> None:
    program = """
import threading
done = threading.Event()
thread = threading.Thread(target=done.wait)
thread.start()
try:
    enter_user_namespace()
except OSError as error:
    print(error.strerror)
done.set()
thread.join()
"""
    assert "before any thread starts" in run_as_nobody(program)


def test_without_privilege_a_namespace_says_what_is_missing(run_as_nobody: Callable[[str], str]) -> None:
    program = """
try:
    Namespace()
except PermissionError as error:
    print(error.strerror)
"""
    told = run_as_nobody(program)
    assert "CAP_SYS_ADMIN" in told
    assert "unshare -Urn" in told
