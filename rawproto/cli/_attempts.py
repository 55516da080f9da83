"""What `rawproto doctor` can tell only by trying: sockets, a ring, and in another process namespaces and rules.

Nothing is sent, and all is given back at once. What would change the machine (a namespace, an nftables rule) is tried
by a child process, inside a network namespace that ends with it: `python -m rawproto.cli._attempts` prints one JSON
object, for each attempt why it failed and what to do, or two empty texts.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rawproto.cli._checks import WANTED_BUFFER, Check, Status
from rawproto.errors import LinkError
from rawproto.link._privilege import privilege_error
from rawproto.link.guard import Flow, Guard
from rawproto.link.netns import Lab, Namespace, enter_user_namespace
from rawproto.link.packet import PacketLink

__all__ = ["attempt_checks", "capabilities", "capability_checks", "in_first_user_namespace"]

CAPABILITIES = {"CAP_NET_RAW": 13, "CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
"""linux/capability.h."""
USES = {
    "CAP_NET_RAW": "raw sockets",
    "CAP_NET_ADMIN": "promiscuous mode, TUN, guards, large buffers",
    "CAP_SYS_ADMIN": "network namespaces, for --raw demos",
}
ALL_USERS = "0 0 4294967295"
RAW = 255
"""An IP protocol number that nobody uses (RFC 5237)."""
SMALLEST_RING = 1 << 20
CHILD_TIMEOUT = 30.0


def capabilities() -> set[str]:
    """Those of `CAPABILITIES` that this process has effectively."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
    return {name for name, bit in CAPABILITIES.items() if effective >> bit & 1}


def in_first_user_namespace() -> bool:
    """Whether capabilities are those of the machine, and not of a user namespace (a container, `unshare -Ur`)."""
    return " ".join(Path("/proc/self/uid_map").read_text().split()) == ALL_USERS


def capability_checks() -> Iterator[Check]:
    """Which capabilities there are."""
    have = capabilities()
    for name, use in USES.items():
        if name in have:
            where = "" if in_first_user_namespace() else ", in this user namespace only"
            yield Check("privileges", name, "ok", f"effective{where}: {use}")
        else:
            _, fix = _parted(privilege_error(use, name))
            yield Check("privileges", name, "missing", f"not effective: {use}", fix)


def attempt_checks() -> Iterator[Check]:
    """What can be opened, here and in namespaces."""
    yield _attempt("AF_PACKET", "whole frames", _open_packet)
    yield _attempt("SOCK_RAW, IPv4", "whole IPv4 packets", lambda: _open_raw(socket.AF_INET))
    yield _attempt("SOCK_RAW, IPv6", "whole IPv6 packets", lambda: _open_raw(socket.AF_INET6))
    yield _ring()
    yield _tun()
    results, failure = _ask_child()
    names = {
        "network namespace": "for demos and tests with real frames",
        "user namespace": "real frames for every user, inside it",
        "nftables": "guards, which keep the kernel's own answers back",
    }
    for name, use in names.items():
        if name not in results:
            yield Check("attempts", name, "unknown", failure or "can't be tried without a namespace")
            continue
        trouble, fix = results[name]
        yield Check("attempts", name, "missing" if trouble else "ok", trouble or use, fix)


def _attempt(name: str, use: str, attempt: Callable[[], None]) -> Check:
    try:
        attempt()
    except LinkError as error:
        found, fix = _parted(error)
        return Check("attempts", name, "missing", found, fix)
    except OSError as error:
        return Check("attempts", name, "missing", f"{use}: {error.strerror}")
    return Check("attempts", name, "ok", use)


def _parted(error: LinkError) -> tuple[str, str]:
    """What is wrong, and what to do, of which the text says one before and the other behind a colon."""
    found, _, fix = (error.strerror or str(error)).partition(": ")
    return found, fix


def _open_packet() -> None:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError as error:
        raise privilege_error("AF_PACKET") from error


def _open_raw(family: socket.AddressFamily) -> None:
    try:
        socket.socket(family, socket.SOCK_RAW, RAW).close()
    except PermissionError as error:
        raise privilege_error("SOCK_RAW") from error


def _ring() -> Check:
    """The largest receive ring that the kernel gives on the loopback interface."""
    name, size = "receive ring", WANTED_BUFFER
    while True:
        try:
            with PacketLink("lo", ring_size=size) as link:
                got = link.ring.size if link.ring is not None else 0
        except LinkError as error:
            if isinstance(error, PermissionError) or size <= SMALLEST_RING:
                found, fix = _parted(error)
                return Check("attempts", name, "missing", found, fix)
            size //= 2
        else:
            status: Status = "ok" if size == WANTED_BUFFER else "limited"
            fix = "" if status == "ok" else "free memory, or let the program ask for less: PacketLink(ring_size=...)"
            return Check("attempts", name, status, f"{got >> 20} MiB on lo", fix)


def _tun() -> Check:
    path = Path("/dev/net/tun")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return Check("attempts", str(path), "missing", "not there", "sudo modprobe tun")
    except OSError as error:
        return Check("attempts", str(path), "missing", f"{error.strerror}", f"sudo chmod a+rw {path}")
    return Check("attempts", str(path), "ok", "TUN and TAP interfaces")


def _ask_child() -> tuple[dict[str, tuple[str, str]], str]:
    """What the child process says, or why it says nothing."""
    failed = "the process that was to try it failed"
    # -P: what lies in the current directory is not to be taken for a module.
    command = [sys.executable, "-P", "-m", "rawproto.cli._attempts"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_TIMEOUT, check=False)
        results: dict[str, tuple[str, str]] = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {}, f"{failed}: {error}"
    except ValueError:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        return {}, f"{failed}: {last[0]}"
    return results, ""


def _outcome(attempt: Callable[[], object]) -> tuple[str, str]:
    try:
        attempt()
    except LinkError as error:
        return _parted(error)
    except OSError as error:
        return str(error.strerror or error), ""
    return "", ""


def _guard_inside() -> None:
    """An nftables rule in a network namespace of its own."""
    with Namespace() as namespace, namespace.entered():
        Guard([Flow(local_port=RAW, protocol=6)]).close()


def _packets_as_user() -> None:
    """What any user has: root in a user namespace, and there a wire."""
    enter_user_namespace()
    _open_packet()
    Lab().close()


def _attempt_in_namespaces() -> dict[str, tuple[str, str]]:
    """To be called in a process that does nothing else: there is no way back from a user namespace."""
    results = {"network namespace": _outcome(lambda: Namespace().close())}
    if not any(results["network namespace"]):
        results["nftables"] = _outcome(_guard_inside)
    results["user namespace"] = _outcome(_packets_as_user)
    if "nftables" not in results and not any(results["user namespace"]):
        results["nftables"] = _outcome(_guard_inside)  # as its root
    return results


if __name__ == "__main__":
    print(json.dumps(_attempt_in_namespaces()))
