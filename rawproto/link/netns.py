"""Network namespaces for demos, benches and tests: wires that touch no other network and leave nothing behind.

A `Namespace` is anonymous: it is held by one descriptor of this process and by whoever runs inside, and has no
name in /run/netns. When the last holder is gone, killed included, the kernel removes it, and with it every
interface that it had; a veth takes its other end along. So there is nothing to clean up after a crash.

A `Lab` is two namespaces joined by a veth. Without addresses the kernel on either side owns nothing on that wire
and answers nothing (no RST, no ICMP); with them it is usable at once: no duplicate address detection, no router
solicitation, and unless `silent=False` no ARP, neighbour discovery or multicast reports either.

Needs CAP_SYS_ADMIN and CAP_NET_ADMIN. `enter_user_namespace` gives both to any user, valid only inside.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import ipaddress
import os
import re
import select
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyroute2 import IPRoute
from pyroute2.ethtool import Ethtool

from rawproto.errors import LinkError, PrivilegeError
from rawproto.link import sockopt
from rawproto.link._interface import interface_facts
from rawproto.link._netlink import give_address, netlink_errors
from rawproto.link._privilege import privilege_error

__all__ = ["Lab", "Namespace", "enter_user_namespace", "set_offloads", "veth_pair"]

_THIS_NETNS = "/proc/thread-self/ns/net"
_SYSCTL = Path("/proc/sys/net")
_NUD_PERMANENT = 0x80
"""linux/neighbour.h: an entry that does not age."""
_PATIENCE_MS = 5000
_OFFLOADS = re.compile("(tx|rx)-checksum.*|tx-scatter-gather.*|tx-.*segmentation|tx-gso-.*|rx-gro")
"""The kernel's features (net/ethtool/common.c) that `set_offloads` switches."""

_libc = ctypes.CDLL(None, use_errno=True)  # os.unshare and os.setns came with Python 3.12


def _call(name: str, *arguments: int) -> None:
    """Call a function of libc that takes ints and gives -1 with errno; raise OSError then."""
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


class Namespace:
    """A network namespace of its own, loopback up, nothing else in it. A `with` statement closes it.

    Raises PrivilegeError when the kernel refuses for want of CAP_SYS_ADMIN.
    """

    def __init__(self) -> None:
        self._fd = -1
        origin = os.open(_THIS_NETNS, os.O_RDONLY | os.O_CLOEXEC)
        try:
            try:
                _call("unshare", sockopt.CLONE_NEWNET)
            except OSError as error:
                if error.errno != errno.EPERM:
                    raise LinkError(error.errno, f"can't make a network namespace: {error.strerror}") from error
                raise privilege_error("making a network namespace", "CAP_SYS_ADMIN") from error
            try:
                self._fd = os.open(_THIS_NETNS, os.O_RDONLY | os.O_CLOEXEC)
                _raise_interface("lo")
            finally:
                _call("setns", origin, sockopt.CLONE_NEWNET)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(origin)

    def fileno(self) -> int:
        """The descriptor that holds the namespace; -1 when closed."""
        return self._fd

    @contextlib.contextmanager
    def entered(self) -> Iterator[Self]:
        """Put the calling thread, and no other, into the namespace for the length of a `with` block.

        Sockets opened inside stay in the namespace for good, wherever they are used.
        """
        if self._fd < 0:
            raise LinkError(errno.EBADF, "the namespace is closed")
        origin = os.open(_THIS_NETNS, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call("setns", self._fd, sockopt.CLONE_NEWNET)
            try:
                yield self
            finally:
                _call("setns", origin, sockopt.CLONE_NEWNET)
        finally:
            os.close(origin)

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a process inside. `options` are those of `subprocess.Popen`."""
        with self.entered():  # a child is born where the thread that forks is
            return subprocess.Popen(command, **options)

    def run(self, command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a process inside to its end. `options` are those of `subprocess.run`."""
        with self.entered():
            return subprocess.run(command, **options)  # noqa: PLW1510 - `check` is the caller's to give

    def close(self) -> None:
        """Let go of the namespace. The kernel removes it once no process is inside. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def veth_pair(
    left: Namespace,
    right: Namespace,
    *,
    names: tuple[str, str] = ("veth0", "veth0"),
    macs: tuple[str, str] = ("02:00:00:00:00:01", "02:00:00:00:00:02"),
    mtu: int = 1500,
    offloads: bool = True,
    silent: bool = True,
) -> None:
    """Join two namespaces by a veth called `names[0]` on the left and `names[1]` on the right; both ends are up.

    The MAC addresses are fixed, so that captures of the same run are the same. `mtu` in bytes, without the 14 of
    Ethernet. `offloads=False` switches off checksum and segmentation offloads
    at both ends, so that every frame is cut and summed as on a plain wire. `silent` turns ARP and neighbour
    discovery off. No IPv6 address comes by itself. Raises PrivilegeError or LinkError.
    """
    with netlink_errors(f"joining two namespaces by {names[0]} and {names[1]}"):
        with left.entered(), IPRoute() as netlink:
            peer = {"ifname": names[1], "address": macs[1], "net_ns_fd": right.fileno(), "mtu": mtu}
            netlink.link("add", ifname=names[0], kind="veth", address=macs[0], mtu=mtu, peer=peer)
        for namespace, name in ((left, names[0]), (right, names[1])):
            with namespace.entered():
                _quieten(name)
                if not offloads:
                    set_offloads(name, on=False)
                _raise_interface(name, arp=not silent)
        for namespace, name in ((left, names[0]), (right, names[1])):
            with namespace.entered():
                _await_queue(name)


class Lab:
    """Two namespaces, `left` and `right`, joined by a veth whose ends are both called `interface`.

    `addresses` are pairs (left, right) with a prefix length, IPv4 or IPv6: `[("10.0.0.1/24", "10.0.0.2/24"),
    ("fd00::1/64", "fd00::2/64")]`. With `silent` (the default) each side has the other's MAC in its neighbour
    table and nothing but what is sent appears on the wire; `silent=False` leaves ARP and neighbour discovery on.
    `mtu` and `offloads` as for `veth_pair`. All is gone when the `with` block ends or the process does.
    """

    def __init__(
        self,
        *,
        addresses: Sequence[tuple[str, str]] = (),
        interface: str = "veth0",
        mtu: int = 1500,
        offloads: bool = True,
        silent: bool = True,
    ) -> None:
        self.interface = interface
        with contextlib.ExitStack() as undo:
            self.left = undo.enter_context(Namespace())
            self.right = undo.enter_context(Namespace())
            veth_pair(self.left, self.right, names=(interface, interface), mtu=mtu, offloads=offloads, silent=silent)
            with self.left.entered():
                self.left_address = interface_facts(interface).address
            with self.right.entered():
                self.right_address = interface_facts(interface).address
            for left, right in addresses:
                _address(self.left, interface, left, right, self.right_address if silent else "")
                _address(self.right, interface, right, left, self.left_address if silent else "")
            undo.pop_all()

    def close(self) -> None:
        """Remove the veth at once and let go of both namespaces. May be called twice."""
        if self.left.fileno() >= 0:
            # Closing alone would do, but the kernel takes its time; and processes may still be inside.
            with contextlib.suppress(Exception), self.left.entered(), IPRoute() as netlink:
                netlink.link("del", ifname=self.interface)
        self.left.close()
        self.right.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def set_offloads(interface: str, *, on: bool) -> None:
    """Switch checksum, scatter-gather and segmentation offloads of `interface`, in this thread's namespace.

    Those that the device does not have, or can't change, are left alone. By netlink: no ethtool binary needed.
    """
    ethtool = Ethtool()
    try:
        features = ethtool.get_features(interface)
        for name, feature in features.features.items():
            if feature.available and _OFFLOADS.fullmatch(name):
                feature.enable = on
        ethtool.set_features(interface, features)
    finally:
        ethtool.close()


def enter_user_namespace() -> None:
    """Become root of a user namespace of our own, with a network namespace in it; loopback is up.

    Afterwards this process may open AF_PACKET and SOCK_RAW sockets and make further `Namespace`s, all without
    any privilege on the host; it can't go back. To be called before any thread starts (user_namespaces(7)).
    Raises PrivilegeError when the host forbids it, LinkError (EINVAL) when there are threads.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        _call("unshare", sockopt.CLONE_NEWUSER | sockopt.CLONE_NEWNET)
        # An unprivileged user may write gid_map only after giving up setgroups.
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            Path("/proc/self", name).write_text(text)
        _raise_interface("lo")
    except OSError as error:
        raise _user_namespace_error(error) from error


def _user_namespace_error(error: OSError) -> LinkError:
    """Say why the kernel made no user namespace, and what to do."""
    if error.errno == errno.EINVAL:
        text = "a user namespace must be entered before any thread starts: call enter_user_namespace() first"
        return LinkError(errno.EINVAL, text)
    if error.errno in (errno.ENOSPC, errno.EUSERS):
        text = "the host's limit of user namespaces is reached: raise sysctl user.max_user_namespaces"
        return LinkError(error.errno, text)
    return PrivilegeError(
        errno.EPERM,
        f"the host forbids user namespaces ({error.strerror}): see sysctl kernel.unprivileged_userns_clone, "
        "kernel.apparmor_restrict_unprivileged_userns and the container's seccomp profile, or run as root",
    )


def _raise_interface(name: str, *, arp: bool = True) -> None:
    """Set the interface up, by ioctl, with or without ARP and neighbour discovery."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16s24s", name.encode(), b"")
        flags = int.from_bytes(fcntl.ioctl(probe, sockopt.SIOCGIFFLAGS, request)[16:18], "little")
        flags |= sockopt.IFF_UP
        flags = flags & ~sockopt.IFF_NOARP if arp or name == "lo" else flags | sockopt.IFF_NOARP
        fcntl.ioctl(probe, sockopt.SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), flags))


def _await_queue(name: str) -> None:
    """Wait until the interface really sends.

    The end that came up first had no carrier then. The kernel gives it its queue in its own time
    (net/core/link_watch.c), and until then its queue is "noop", which drops every frame without a word.
    """
    index = socket.if_nametoindex(name)
    with IPRoute() as netlink:
        _await(
            lambda: netlink.get_links(index)[0].get_attr("IFLA_QDISC") != "noop",
            f"{name} is up but has no queue to send from",
        )


def _await(condition: Callable[[], bool], complaint: str) -> None:
    """Ask once a millisecond until `condition` holds. Raises LinkError (ETIMEDOUT) with `complaint`."""
    for _ in range(_PATIENCE_MS):
        if condition():
            return
        select.poll().poll(1)
    raise LinkError(errno.ETIMEDOUT, f"{complaint} after {_PATIENCE_MS} ms")


def _quieten(interface: str) -> None:
    """Keep the kernel from sending anything of its own on `interface` of this thread's namespace."""
    settings = {
        "accept_ra": "0",
        "autoconf": "0",
        "router_solicitations": "0",
        "dad_transmits": "0",
        "addr_gen_mode": "1",  # no link-local address: IN6_ADDR_GEN_MODE_NONE
    }
    for name, value in settings.items():
        # A kernel without IPv6 has none of them, and sends none of it.
        with contextlib.suppress(FileNotFoundError):
            (_SYSCTL / "ipv6" / "conf" / interface / name).write_text(value)


def _address(namespace: Namespace, interface: str, own: str, other: str, other_mac: str) -> None:
    """Give `interface` the address `own`, and the MAC of `other` into its neighbour table if there is one."""
    theirs = ipaddress.ip_interface(other)
    family = socket.AF_INET if theirs.version == 4 else socket.AF_INET6
    with namespace.entered():
        give_address(interface, own)
        if not other_mac:
            return
        with netlink_errors(f"telling {interface} where {other} is"), IPRoute() as netlink:
            netlink.neigh(
                "replace",
                dst=str(theirs.ip),
                lladdr=other_mac,
                ifindex=interface_facts(interface).index,
                family=family,
                state=_NUD_PERMANENT,
            )
