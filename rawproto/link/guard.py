"""Keeps the kernel's own answers away from flows that this program speaks itself: its RST, its ICMP unreachable.

The kernel knows nothing of a handmade connection from an address of its own, so it answers the peer's SYN-ACK with
RST and a datagram with "port unreachable". `Guard` has nftables drop exactly those on their way out:

- TCP segments with RST set, between the ends of a guarded flow,
- ICMP "protocol unreachable" and "port unreachable", ICMPv6 "port unreachable" and "unrecognized next header", that
  quote a packet of a guarded flow.

Only what the kernel sends by itself is dropped. A packet from a socket of some process passes, a handmade RST
included; and so does the RST of a socket that listens on the flow's own port: such a port is not ours to speak from.

The rules are in a table that belongs to a netlink socket of this process (NFT_TABLE_F_OWNER). The kernel removes the
table when that socket is closed, by `close` or by the death of the process in whatever way: there are no leftovers to
look for, and no other program can change or flush the table meanwhile. That is why the messages are written here and
not left to the `nft` command, which would have to stay alive to own anything, or to a library, which would add
another thing to install for some twenty messages.

What is quoted behind IPv6 extension headers is not found, nor the ports of a later fragment.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple, Self

from rawproto.errors import LinkError
from rawproto.link._interface import resolve
from rawproto.link._privilege import privilege_error

__all__ = ["Flow", "Guard"]

TCP: Final = 6
UDP: Final = 17
PORTED: Final = frozenset({TCP, UDP, 33, 132, 136})
"""Protocols that begin with the two ports: TCP, UDP, DCCP, SCTP, UDP-Lite."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The packets between `local` (ours, IPv4 or IPv6 text) and `remote`, and their ports; None stands for any.

    `protocol` is the IP protocol number; None stands for any, with ports for TCP and UDP. Raises LinkError (EINVAL) for
    what can't be: an address of no version or of both, a port over 65535, ports of a protocol that has none, or a
    flow of which nothing is said, because that would be all of the host's traffic.
    """

    local: str | None = None
    local_port: int | None = None
    remote: str | None = None
    remote_port: int | None = None
    protocol: int | None = None

    def __post_init__(self) -> None:
        if all(part is None for part in self._parts()):
            raise LinkError(
                errno.EINVAL, "a guard for any flow would silence the whole host: name an address or a port"
            )
        for port in (self.local_port, self.remote_port):
            if port is not None and not 0 <= port <= 0xFFFF:
                raise LinkError(
                    errno.EINVAL, f"a guarded flow can't have port {port}: give 0 to 65535, or None for any"
                )
        if self.protocol is not None and not 0 <= self.protocol <= 0xFF:
            raise LinkError(errno.EINVAL, f"a guarded flow can't have protocol {self.protocol}: give 0 to 255, or None")
        if self.has_ports and self.protocol not in PORTED and self.protocol is not None:
            raise LinkError(
                errno.EINVAL, f"IP protocol {self.protocol} has no ports that a rule can see: leave them out"
            )
        if not self.versions:
            raise LinkError(
                errno.EINVAL, f"{self.local} and {self.remote} are of different IP versions: no flow has both"
            )

    @property
    def has_ports(self) -> bool:
        """Whether a port is said."""
        return self.local_port is not None or self.remote_port is not None

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions it can be in. Raises LinkError (EINVAL) for an address that is none."""
        said = {4 if resolve(end)[0] == socket.AF_INET else 6 for end in (self.local, self.remote) if end is not None}
        return tuple(said) if len(said) == 1 else () if said else (4, 6)

    def _parts(self) -> tuple[str | int | None, ...]:
        return self.local, self.local_port, self.remote, self.remote_port, self.protocol


class Guard:
    """Guards `flows` from construction until `close`, the end of the `with` block or of the process.

    It belongs to the network namespace of the thread that makes it. A child process that was forked, and did not
    call exec, keeps the guard up as long as it lives. Each flow costs up to 28 rules, and what the kernel sends by
    itself is held against all of them: that is nothing for some hundred flows; for more, leave a part of them open.

    Raises PrivilegeError without CAP_NET_ADMIN, LinkError (EOPNOTSUPP) where the kernel has no nftables or none with
    owned tables (before Linux 5.12).
    """

    def __init__(self, flows: Iterable[Flow]) -> None:
        self.flows = tuple(flows)
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        except OSError as error:
            raise _refusal(error.errno or errno.EIO) from error
        try:
            self._socket.settimeout(PATIENCE)
            self._socket.bind((0, 0))
            self._sequence = 0
            # The number of the socket: no two of a namespace have the same, mostly it is that of the process.
            self.table = f"rawproto_guard_{self._socket.getsockname()[0]}"
            """The name of the nftables table (family inet), as `nft list tables` shows it."""
            self._transact(self._base())
            for flow in self.flows:
                self._transact([self._drop(counter, conditions) for counter, conditions in _rules(flow)])
        except BaseException:
            self.close()
            raise

    @property
    def resets(self) -> int:
        """How many RSTs it has kept back so far. Raises LinkError (EBADF) once it is closed."""
        return self._count("resets")

    @property
    def unreachables(self) -> int:
        """How many ICMP and ICMPv6 errors it has kept back so far. Raises LinkError (EBADF) once it is closed."""
        return self._count("unreachables")

    def close(self) -> None:
        """Let the kernel answer again. May be called twice."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _base(self) -> list[Message]:
        """The table, its two counters, and the chain at the output hook, which lets all that processes send pass."""
        table = _text(1, self.table)
        chain = table + _text(3, CHAIN) + _number(5, NF_ACCEPT) + _text(7, "filter")
        hook = _nest(4, _number(1, NF_INET_LOCAL_OUT) + _number(2, PRIORITY_RAW))
        counters = [table + _text(2, name) + _number(3, OBJECT_COUNTER) + _nest(4, b"") for name in COUNTERS]
        return [
            Message(NEWTABLE, table + _number(2, TABLE_OWNER), NLM_F_CREATE | NLM_F_EXCL),
            *(Message(NEWOBJ, counter, NLM_F_CREATE) for counter in counters),
            Message(NEWCHAIN, chain + hook, NLM_F_CREATE),
            # The user id of the socket's owner: where no process is behind the packet there is none, and no match.
            self._rule(_meta(META_SKUID) + _verdict(NF_ACCEPT)),
        ]

    def _drop(self, counter: str, conditions: bytes) -> Message:
        """The message for a rule: what meets all `conditions` is counted and dropped."""
        counted = _expression("objref", _number(1, OBJECT_COUNTER) + _text(2, counter))
        return self._rule(conditions + counted + _verdict(NF_DROP))

    def _rule(self, expressions: bytes) -> Message:
        """The message for a rule at the end of the chain."""
        place = _text(1, self.table) + _text(2, CHAIN)
        return Message(NEWRULE, place + _nest(4, expressions), NLM_F_CREATE | NLM_F_APPEND)

    def _transact(self, messages: Sequence[Message]) -> None:
        """Have the kernel do all of `messages`, or none of them and raise LinkError."""
        begin, end = (Message(kind, b"", subsystem=NFTABLES) for kind in (BATCH_BEGIN, BATCH_END))
        last = messages[-1]._replace(flags=messages[-1].flags | NLM_F_ACK)
        self._ask([begin, *messages[:-1], last, end], awaited=len(messages))

    def _count(self, counter: str) -> int:
        """The packets that the counter of this name has counted."""
        if self._socket.fileno() < 0:
            raise LinkError(errno.EBADF, "the guard is closed: ask what it has kept back before")
        request = _text(1, self.table) + _text(2, counter) + _number(3, OBJECT_COUNTER)
        answer = self._ask([Message(GETOBJ, request)], awaited=0)
        data = dict(_attributes(answer, 20))
        return int.from_bytes(dict(_attributes(data[4]))[2])

    def _ask(self, messages: Sequence[Message], awaited: int) -> bytes:
        """Send `messages` in one call; give the kernel's answer to number `awaited`. Raises LinkError for a no."""
        first, self._sequence = self._sequence, self._sequence + len(messages)
        try:
            self._socket.send(b"".join(message.pack(first + place) for place, message in enumerate(messages)))
            while True:
                for answer in _split(self._socket.recv(65_536)):
                    kind, _, sequence = struct.unpack_from("=HHI", answer, 4)
                    if kind == NLMSG_ERROR and (number := -struct.unpack_from("=i", answer, 16)[0]):
                        raise _refusal(number)
                    if sequence == first + awaited:
                        return answer
        except LinkError:
            raise
        except OSError as error:
            raise _refusal(error.errno or errno.ETIMEDOUT) from error


def _rules(flow: Flow) -> Iterator[tuple[str, bytes]]:
    """For each rule that guards `flow`: the counter it counts in, and its conditions."""
    for version in flow.versions:
        here, there = (None if end is None else _packed(end) for end in (flow.local, flow.remote))
        local, remote = (None if port is None else port.to_bytes(2) for port in (flow.local_port, flow.remote_port))
        family = _meta(META_NFPROTO) + _is(bytes([socket.AF_INET if version == 4 else socket.AF_INET6]))
        if flow.protocol in (None, TCP):
            ends = _at(NETWORK, SOURCE_AT[version], here) + _at(NETWORK, TARGET_AT[version], there)
            ports = _at(TRANSPORT, 0, local) + _at(TRANSPORT, 2, remote)
            reset = _load(TRANSPORT, 13, 1) + _masked(b"\x04") + _is(b"\x04")
            yield "resets", family + _meta(META_L4PROTO) + _is(bytes([TCP])) + ends + ports + reset
        # What is quoted came in: its source is the other side.
        quoted = _at(TRANSPORT, QUOTE + SOURCE_AT[version], there) + _at(TRANSPORT, QUOTE + TARGET_AT[version], here)
        for error in _errors(version):
            for what in _quoted_payload(version, flow, remote, local):
                yield "unreachables", family + error + quoted + what


def _errors(version: int) -> list[bytes]:
    """The conditions, one of which holds for the ICMP errors that are kept back."""
    if version == 4:  # destination unreachable (3): protocol (2) or port (3)
        return [_meta(META_L4PROTO) + _is(b"\x01") + _load(TRANSPORT, 0, 2) + _masked(b"\xff\xfe") + _is(b"\x03\x02")]
    # destination unreachable (1), port (4); parameter problem (4), unrecognized next header (1)
    return [_meta(META_L4PROTO) + _is(b"\x3a") + _at(TRANSPORT, 0, code) for code in (b"\x01\x04", b"\x04\x01")]


def _quoted_payload(version: int, flow: Flow, source: bytes | None, target: bytes | None) -> Iterator[bytes]:
    """The conditions for protocol and ports of the quoted packet, for each place where its ports can be."""
    protocol_at = QUOTE + (9 if version == 4 else 6)
    if not flow.has_ports:
        yield _at(TRANSPORT, protocol_at, None if flow.protocol is None else bytes([flow.protocol]))
        return
    for protocol in (TCP, UDP) if flow.protocol is None else (flow.protocol,):
        known = _at(TRANSPORT, protocol_at, bytes([protocol]))
        if version == 6:
            yield known + _at(TRANSPORT, QUOTE + 40, source) + _at(TRANSPORT, QUOTE + 42, target)
            continue
        for words in range(5, 16):  # a rule can't compute an offset: one for each length of the quoted header
            start = QUOTE + 4 * words
            length = _at(TRANSPORT, QUOTE, bytes([0x40 | words]))
            yield known + length + _at(TRANSPORT, start, source) + _at(TRANSPORT, start + 2, target)


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address.partition("%")[0]).packed


def _refusal(number: int) -> LinkError:
    """Say what the kernel's errno `number` for one of our messages means."""
    if number == errno.EPERM:
        return privilege_error("guarding flows from the kernel's answers", "CAP_NET_ADMIN")
    if number in (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EINVAL, errno.ENOENT):
        return LinkError(
            errno.EOPNOTSUPP,
            f"the kernel refuses the guard's rules ({os.strerror(number)}): it takes nftables of Linux 5.12 or later, "
            "CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET (modprobe nf_tables)",
        )
    return LinkError(number, f"the kernel refuses the guard's rules: {os.strerror(number)}")


# --- the messages of linux/netlink.h, linux/netfilter/nfnetlink.h and linux/netfilter/nf_tables.h ---------------

NETLINK_NETFILTER: Final = 12
NLMSG_ERROR: Final = 2
NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800
NFTABLES: Final = 10
BATCH_BEGIN: Final = 0x10
BATCH_END: Final = 0x11
NEWTABLE: Final = NFTABLES << 8 | 0
NEWCHAIN: Final = NFTABLES << 8 | 3
NEWRULE: Final = NFTABLES << 8 | 6
NEWOBJ: Final = NFTABLES << 8 | 18
GETOBJ: Final = NFTABLES << 8 | 19
TABLE_OWNER: Final = 2
OBJECT_COUNTER: Final = 1
NFPROTO_INET: Final = 1
NF_DROP: Final = 0
NF_ACCEPT: Final = 1
NF_INET_LOCAL_OUT: Final = 3
PRIORITY_RAW: Final = -300
"""Before connection tracking, which would otherwise take the RST for the end of the connection."""
META_SKUID: Final = 10
META_NFPROTO: Final = 15
META_L4PROTO: Final = 16
NETWORK: Final = 1
TRANSPORT: Final = 2
CHAIN: Final = "output"
COUNTERS: Final = ("resets", "unreachables")
QUOTE: Final = 8
"""Where the quoted packet starts in an ICMP error (RFC 792 p4, RFC 4443 §3.1)."""
SOURCE_AT: Final = {4: 12, 6: 8}
TARGET_AT: Final = {4: 16, 6: 24}
PATIENCE: Final = 5.0
"""Seconds; the kernel answers before the call that asks returns."""


class Message(NamedTuple):
    """A request to nftables, of family inet."""

    kind: int
    body: bytes
    flags: int = 0
    subsystem: int = 0

    def pack(self, sequence: int) -> bytes:
        """The bytes: struct nlmsghdr, struct nfgenmsg, the attributes."""
        flags = self.flags | NLM_F_REQUEST
        head = struct.pack("=IHHII", 20 + len(self.body), self.kind, flags, sequence, 0)
        return head + struct.pack("!BBH", NFPROTO_INET, 0, self.subsystem) + self.body


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _nest(kind: int, value: bytes) -> bytes:
    return _attribute(kind | 0x8000, value)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("!I", value & 0xFFFF_FFFF))


def _expression(name: str, data: bytes) -> bytes:
    return _nest(1, _text(1, name) + _nest(2, data))


def _meta(key: int) -> bytes:
    """Load what is known of the packet besides its bytes into register 1."""
    return _expression("meta", _number(2, key) + _number(1, 1))


def _load(base: int, offset: int, length: int) -> bytes:
    """Load `length` bytes at `offset` of the network or transport header into register 1."""
    return _expression("payload", _number(1, 1) + _number(2, base) + _number(3, offset) + _number(4, length))


def _masked(mask: bytes) -> bytes:
    """Keep the bits of `mask` in register 1."""
    data = _nest(4, _attribute(1, mask)) + _nest(5, _attribute(1, bytes(len(mask))))
    return _expression("bitwise", _number(1, 1) + _number(2, 1) + _number(3, len(mask)) + data)


def _is(value: bytes) -> bytes:
    """Go on if register 1 holds `value`."""
    return _expression("cmp", _number(1, 1) + _number(2, 0) + _nest(3, _attribute(1, value)))


def _at(base: int, offset: int, value: bytes | None) -> bytes:
    """Go on if the packet has `value` there; nothing at all for None."""
    return b"" if value is None else _load(base, offset, len(value)) + _is(value)


def _verdict(code: int) -> bytes:
    return _expression("immediate", _number(1, 0) + _nest(2, _nest(2, _number(1, code))))


def _split(data: bytes) -> Iterator[bytes]:
    """The messages in what one call has received."""
    while len(data) >= 16:
        (length,) = struct.unpack_from("=I", data)
        yield data[:length]
        data = data[length + -length % 4 :]


def _attributes(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Kind and value of each attribute from `start` on."""
    while start + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, start)
        yield kind & 0x3FFF, data[start + 4 : start + length]
        start += length + -length % 4
