"""The guard: what the kernel would answer on flows of ours stays at home, what it answers on others goes out."""

from __future__ import annotations

import errno
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from pyroute2.nftables.main import NFTables

from rawproto.errors import LinkError, PrivilegeError
from rawproto.link import guard as guard_module
from rawproto.link.base import Link
from rawproto.link.guard import Flow, Guard
from rawproto.link.netns import Lab, Namespace
from rawproto.link.packet import PacketLink
from rawproto.link.rawip import RawIpLink
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.icmp import ICMP, ICMPv6
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.udp import UDP

pytestmark = pytest.mark.root

Gather = Callable[[Link, int], list[Frame]]
Until = Callable[[Callable[[], bool]], None]
HERE, THERE = {4: "10.0.0.1", 6: "fd00::1"}, {4: "10.0.0.2", 6: "fd00::2"}
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
OURS, OTHERS, SERVER = 1000, 1001, 80
NOPS = b"\x01\x01\x01\x01"


@dataclass
class Wire:
    """The left side speaks by hand, the right side is the kernel's; all that the left kernel answers is seen."""

    lab: Lab
    left: PacketLink
    right: PacketLink
    servers: dict[int, socket.socket]
    gather: Gather

    def guard(self, *flows: Flow) -> Guard:
        with self.lab.left.entered():
            return Guard(flows)

    def syn(self, version: int, sport: int) -> None:
        ip = (IPv4 if version == 4 else IPv6)(src=HERE[version], dst=THERE[version])
        self.left.send([bytes(Ethernet(**MACS) / ip / TCP(sport=sport, dport=SERVER, flags=TCPFlags.SYN))], 0)

    def datagram(self, version: int, dport: int, options: bytes = b"") -> None:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with self.lab.right.entered(), socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.bind((THERE[version], SERVER))
            if options:
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, options)
            sender.sendto(b"hello", (HERE[version], dport))

    def answers(self, count: int) -> list[Packet]:
        """The next `count` packets that come to the right side and are no SYN of ours."""
        found: list[Packet] = []
        while len(found) < count:
            packets = [Packet.parse(frame) for frame in self.gather(self.right, 1)]
            found += [packet for packet in packets if TCP not in packet or packet[TCP].flags != TCPFlags.SYN]
        return found

    def reset_ports(self, count: int) -> list[int]:
        """The ports from which the next `count` RSTs come."""
        resets = self.answers(count)
        assert {packet[TCP].flags for packet in resets} == {TCPFlags.RST}
        return [packet[TCP].sport for packet in resets]


@pytest.fixture
def wire(lab: Lab, gather: Gather) -> Iterator[Wire]:
    servers = {}
    with ExitStack() as stack:
        with lab.left.entered():
            left = stack.enter_context(PacketLink("veth0"))
        with lab.right.entered():
            right = stack.enter_context(PacketLink("veth0"))
            for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
                server = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                server.bind((THERE[version], SERVER))
                server.listen()
                server.settimeout(3)
                servers[version] = server
        yield Wire(lab, left, right, servers, gather)


def tables(namespace: Namespace) -> list[str]:
    with namespace.entered():
        reader = NFTables(nfgen_family=1)
        try:
            return [str(table.get_attr("NFTA_TABLE_NAME")) for table in reader.get_tables()]
        finally:
            reader.close()


def flow(version: int, **others: int | None) -> Flow:
    ends = {"local_port": OURS, "remote_port": SERVER, **others}
    return Flow(HERE[version], ends["local_port"], THERE[version], ends["remote_port"], others.get("protocol"))


@pytest.mark.parametrize("version", [4, 6])
def test_the_kernel_s_rst_is_kept_back_on_our_flow_only(wire: Wire, version: int) -> None:
    wire.syn(version, OURS)
    assert wire.reset_ports(1) == [OURS]  # what happens without
    with wire.guard(flow(version)) as guard:
        wire.syn(version, OURS)
        wire.syn(version, OTHERS)
        assert wire.reset_ports(1) == [OTHERS]
        assert (guard.resets, guard.unreachables) == (1, 0)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    "other",
    [
        Flow(HERE[4], OTHERS, THERE[4], SERVER),
        Flow(HERE[4], OURS, THERE[4], SERVER + 1),
        Flow("10.0.0.9", OURS, THERE[4], SERVER),
        Flow(HERE[4], OURS, "10.0.0.9", SERVER),
        Flow(HERE[6], OTHERS, THERE[6], SERVER),
        Flow(HERE[6], OURS, THERE[6], SERVER + 1),
        Flow("fd00::9", OURS, THERE[6], SERVER),
        Flow(HERE[6], OURS, "fd00::9", SERVER),
        Flow(local_port=OURS, protocol=17),
    ],
)
def test_a_flow_that_differs_in_one_part_is_not_guarded(wire: Wire, version: int, other: Flow) -> None:
    with wire.guard(other) as guard:
        wire.syn(version, OURS)
        assert wire.reset_ports(1) == [OURS]
        assert guard.resets == 0


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    "part",
    [{"local": HERE}, {"remote": THERE}, {"local_port": OURS}, {"remote_port": SERVER}, {"protocol": 6}],
    ids=str,
)
def test_what_is_left_open_matches_any(wire: Wire, version: int, part: dict[str, dict[int, str] | int]) -> None:
    said = {name: value[version] if isinstance(value, dict) else value for name, value in part.items()}
    with wire.guard(Flow(**said)) as guard:  # type: ignore[arg-type]
        wire.syn(version, OURS)
        wire.gather(wire.left, 1)  # the SYN-ACK: the kernel has seen it by now
        wire.datagram(version, OTHERS, b"")
        wire.gather(wire.left, 1)
        assert guard.resets == 1


@pytest.mark.parametrize(("version", "options"), [(4, b""), (4, NOPS), (4, NOPS * 10), (6, b"")])
@pytest.mark.parametrize("protocol", [None, 17])
def test_port_unreachable_is_kept_back_on_our_flow_only(
    wire: Wire, version: int, options: bytes, protocol: int | None
) -> None:
    error = ICMP if version == 4 else ICMPv6
    wire.datagram(version, OURS, options)
    assert error in wire.answers(1)[0]
    with wire.guard(flow(version, protocol=protocol)) as guard:
        wire.datagram(version, OURS, options)
        wire.datagram(version, OTHERS, options)
        (answer,) = wire.answers(1)
        quoted = Packet.parse(answer.payload, LinkType.RAW)
        assert quoted[UDP].dport == OTHERS
        assert (guard.resets, guard.unreachables) == (0, 1)


@pytest.mark.parametrize("version", [4, 6])
def test_protocol_unreachable_is_kept_back_for_our_protocol_only(wire: Wire, version: int) -> None:
    family = socket.AF_INET if version == 4 else socket.AF_INET6

    def send(protocol: int) -> None:
        with wire.lab.right.entered(), socket.socket(family, socket.SOCK_RAW, protocol) as sender:
            sender.sendto(b"hello", (HERE[version], 0))

    with wire.guard(Flow(HERE[version], remote=THERE[version], protocol=253)) as guard:
        send(253)
        send(254)
        (answer,) = wire.answers(1)
        protocol_at = 9 if version == 4 else 6
        assert answer.payload[protocol_at] == 254
        assert guard.unreachables == 1


@pytest.mark.parametrize("version", [4, 6])
def test_a_handmade_rst_of_our_own_passes(wire: Wire, version: int) -> None:
    with wire.lab.left.entered():
        link = RawIpLink(HERE[version])
    ip = (IPv4 if version == 4 else IPv6)(src=HERE[version], dst=THERE[version])
    with link, wire.guard(flow(version)) as guard:
        link.send([bytes(ip / TCP(sport=OURS, dport=SERVER, flags=TCPFlags.RST))], 0)
        assert wire.reset_ports(1) == [OURS]
        assert guard.resets == 0


@pytest.mark.parametrize("version", [4, 6])
def test_what_the_kernel_sends_of_its_own_and_is_no_rst_passes(wire: Wire, version: int) -> None:
    """The last acknowledgement of a connection comes from no process: its socket is closed."""
    with wire.lab.left.entered():
        client = socket.create_connection((THERE[version], SERVER), 3, (HERE[version], OURS))
    far, _ = wire.servers[version].accept()
    with wire.guard(flow(version)) as guard:
        wire.gather(wire.right, 2)
        client.close()
        assert far.recv(1) == b""
        far.close()
        assert [packet[TCP].flags for packet in wire.answers(2)] == [TCPFlags.FIN | TCPFlags.ACK, TCPFlags.ACK]
        assert guard.resets == 0


def test_several_flows_and_several_guards_stand_side_by_side(wire: Wire) -> None:
    with wire.guard(flow(4), flow(6)) as both, wire.guard(flow(4, local_port=OTHERS)) as one:
        assert len({both.table, one.table}) == 2
        for version, port in ((4, OURS), (6, OURS), (4, OTHERS), (6, OTHERS)):
            wire.syn(version, port)
        (reset,) = wire.answers(1)
        assert (reset[IPv6].src, reset[TCP].sport) == (HERE[6], OTHERS)
        assert (both.resets, one.resets) == (2, 1)


def test_a_guard_is_gone_after_its_block_and_may_be_closed_twice(wire: Wire) -> None:
    with wire.guard(flow(4)) as guard:
        assert tables(wire.lab.left) == [guard.table]
    assert tables(wire.lab.left) == []
    guard.close()
    wire.syn(4, OURS)
    assert wire.reset_ports(1) == [OURS]
    with pytest.raises(LinkError, match="the guard is closed") as caught:
        _ = guard.resets
    assert caught.value.errno == errno.EBADF


def test_a_guard_is_gone_after_an_exception(wire: Wire) -> None:
    with pytest.raises(KeyboardInterrupt), wire.guard(flow(4)):
        raise KeyboardInterrupt
    assert tables(wire.lab.left) == []


def test_a_guard_that_can_not_be_made_leaves_nothing(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(flow: Flow) -> Iterator[tuple[str, bytes]]:
        yield "no such counter", b""

    monkeypatch.setattr(guard_module, "_rules", broken)
    with pytest.raises(LinkError):
        wire.guard(flow(4))
    assert tables(wire.lab.left) == []


def test_a_guard_is_gone_when_its_process_is_killed(wire: Wire, until: Until) -> None:
    program = """
import time
from rawproto.link.guard import Flow, Guard
guard = Guard([Flow("10.0.0.1", 1000, "10.0.0.2", 80)])
print(guard.table, flush=True)
time.sleep(60)
"""
    with wire.lab.left.popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            name = process.stdout.readline().strip()
            assert tables(wire.lab.left) == [name]
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    until(lambda: tables(wire.lab.left) == [])
    wire.syn(4, OURS)
    assert wire.reset_ports(1) == [OURS]


def test_nobody_else_can_take_the_guard_away(wire: Wire) -> None:
    with wire.guard(flow(4)) as guard, wire.lab.left.entered():
        firewall = NFTables(nfgen_family=1)
        try:
            with pytest.raises(Exception, match="Operation not permitted"):
                firewall.table("del", name=guard.table)
        finally:
            firewall.close()
        assert tables(wire.lab.left) == [guard.table]


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((), "silence the whole host"),
        (("10.0.0.1", 65536), "port 65536"),
        (("10.0.0.1", None, None, -1), "port -1"),
        (("10.0.0.1", None, None, None, 256), "protocol 256"),
        (("10.0.0.1", 7, None, None, 253), "253 has no ports"),
        (("10.0.0.1", None, "fd00::1"), "different IP versions"),
        (("localhost",), "not an IPv4 or IPv6 address"),
    ],
)
def test_a_flow_that_can_not_be_is_refused(parts: Sequence[str | int | None], text: str) -> None:
    with pytest.raises(LinkError, match=text) as caught:
        Flow(*parts)  # type: ignore[arg-type]
    assert caught.value.errno == errno.EINVAL


def test_without_the_capability_the_error_names_it(run_as_nobody: Callable[[str], str]) -> None:
    program = """
from rawproto.link.guard import Flow, Guard
try:
    Guard([Flow("10.0.0.1")])
except PermissionError as error:
    print(type(error).__name__, error.strerror)
"""
    told = run_as_nobody(program)
    assert told.startswith(PrivilegeError.__name__)
    for word in ("guarding flows", "CAP_NET_ADMIN", "unshare -Urn"):
        assert word in told


def test_an_unprivileged_user_may_guard_in_a_user_namespace(run_as_nobody: Callable[[str], str]) -> None:
    program = """
from rawproto.link.guard import Flow, Guard
enter_user_namespace()
with Guard([Flow("10.0.0.1")]) as guard:
    print(guard.resets)
"""
    assert run_as_nobody(program) == "0\n"


@pytest.mark.parametrize("number", [errno.EPROTONOSUPPORT, errno.EOPNOTSUPP])
def test_a_kernel_without_nftables_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*arguments: int) -> socket.socket:
        raise OSError(number, "no")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(LinkError, match=r"nftables of Linux 5.12 or later.*CONFIG_NF_TABLES_INET") as caught:
        Guard([Flow("10.0.0.1")])
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_child_that_has_called_exec_does_not_keep_the_guard(wire: Wire, until: Until) -> None:
    with wire.guard(flow(4)):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        until(lambda: tables(wire.lab.left) == [])
        assert child.poll() is None
    finally:
        child.communicate(b"\n")


def test_the_rules_name_both_ends_in_both_places() -> None:
    """Of the conditions for one flow: the RST's ends, and those of what is quoted, the other way round."""
    ends = Flow("10.0.0.1", 0x1234, "10.0.0.2", 0x5678, 6)
    reset, *unreachable = [conditions for _, conditions in guard_module._rules(ends)]
    parts = [socket.inet_aton("10.0.0.1"), socket.inet_aton("10.0.0.2"), b"\x12\x34", b"\x56\x78"]
    assert [part in reset for part in parts] == [True] * 4
    assert len(unreachable) == 11
    for rule in unreachable:
        places = [rule.index(struct.pack("=HH", 4 + len(part), 1) + part) for part in parts]
        assert places[1] < places[0] < places[3] < places[2]
