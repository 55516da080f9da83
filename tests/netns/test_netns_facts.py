"""What Linux does to handcrafted packets, one test a fact, with plain sockets: what rawproto.link is built upon."""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rawproto.link import sockopt
from rawproto.link.base import Link
from rawproto.link.netns import Lab, Namespace
from rawproto.link.packet import PacketLink
from rawproto.wire.checksum import internet_checksum
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.frame import Frame
from rawproto.wire.icmp import ICMP, ICMPv6
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.udp import UDP

pytestmark = pytest.mark.root

Gather = Callable[[Link, int], list[Frame]]
Open = Callable[..., socket.socket]
HERE, THERE, NOBODY = {4: "10.0.0.1", 6: "fd00::1"}, {4: "10.0.0.2", 6: "fd00::2"}, {4: "10.0.0.9", 6: "fd00::9"}
ANSWER_TO_PROTOCOL = {4: (ICMP, 3, 2), 6: (ICMPv6, 4, 1)}
"""ICMP destination unreachable, protocol; ICMPv6 parameter problem, unrecognized next header."""
LEFT, RIGHT = "02:00:00:00:00:01", "02:00:00:00:00:02"
EXPERIMENT = 253
PATIENCE = 3.0
AUXDATA_SPACE = socket.CMSG_SPACE(20)


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open sockets in a namespace; they are closed at the end."""
    with ExitStack() as stack:

        def make(namespace: Namespace, *kind: int) -> socket.socket:
            with namespace.entered():
                made = stack.enter_context(socket.socket(*kind))
            made.settimeout(PATIENCE)
            return made

        yield make


@pytest.fixture
def wire(lab: Lab) -> Iterator[PacketLink]:
    """What comes to the right side."""
    with lab.right.entered():
        link = PacketLink("veth0")
    with link:
        yield link


def hdrincl(opened: Open, namespace: Namespace) -> socket.socket:
    made = opened(namespace, socket.AF_INET, socket.SOCK_RAW, EXPERIMENT)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
    return made


def packet_socket(
    opened: Open, namespace: Namespace, interface: str, protocol: int = sockopt.ETH_P_ALL
) -> socket.socket:
    made = opened(namespace, socket.AF_PACKET, socket.SOCK_RAW, 0)
    with namespace.entered():
        made.bind((interface, protocol))
    return made


def ip(version: int, src: str = "", dst: str = "") -> IPv4 | IPv6:
    ends = {"src": src or HERE[version], "dst": dst or THERE[version]}
    return IPv4(id=7, protocol=EXPERIMENT, **ends) if version == 4 else IPv6(next_header=EXPERIMENT, **ends)


def numbered(number: int) -> bytes:
    return bytes(Ethernet(src=LEFT, dst=RIGHT) / number.to_bytes(46))


# ldb [59]; jeq #3, accept, drop: the number in the frame is 3
STEPS = ((0x30, 0, 0, 59), (0x15, 0, 1, 3), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0))
PROGRAM = ctypes.create_string_buffer(b"".join(struct.pack("@HBBI", *step) for step in STEPS))
ONLY_NUMBER_THREE = struct.pack("@HP", len(STEPS), ctypes.addressof(PROGRAM))


# --- IPv4 with IP_HDRINCL ---------------------------------------------------------------------------------------


def test_ipv4_total_length_and_checksum_are_always_overwritten(
    lab: Lab, opened: Open, wire: PacketLink, gather: Gather
) -> None:
    given = ip(4).replace(total_length=999, checksum=0xBAD)
    hdrincl(opened, lab.left).sendto(bytes(given / b"data"), (THERE[4], 0))
    arrived = Packet.parse(gather(wire, 1)[0])[IPv4]
    assert arrived == (Packet((ip(4),)) / b"data").computed()[IPv4]
    assert (arrived.total_length, internet_checksum(bytes(arrived))) == (24, 0)


@pytest.mark.parametrize(("number", "flags", "kept"), [(0, 0, False), (0, 2, True), (7, 0, True), (7, 2, True)])
def test_ipv4_identification_is_written_only_when_zero_and_only_without_dont_fragment(
    lab: Lab, opened: Open, wire: PacketLink, gather: Gather, number: int, flags: int, kept: bool
) -> None:
    sender = hdrincl(opened, lab.left)
    for _ in range(2):  # the kernel's choice may be zero once
        sender.sendto(bytes(ip(4).replace(id=number, flags=flags) / b"data"), (THERE[4], 0))
    arrived = {Packet.parse(frame)[IPv4].id for frame in gather(wire, 2)}
    assert (arrived == {number}) == kept


@pytest.mark.parametrize(
    ("given", "arrives"), [("0.0.0.0", HERE[4]), (NOBODY[4], NOBODY[4]), ("127.0.0.1", "127.0.0.1")]
)
def test_ipv4_source_is_written_only_when_zero(
    lab: Lab, opened: Open, wire: PacketLink, gather: Gather, given: str, arrives: str
) -> None:
    hdrincl(opened, lab.left).sendto(bytes(ip(4, src=given) / b"data"), (THERE[4], 0))
    assert Packet.parse(gather(wire, 1)[0])[IPv4].src == arrives


@pytest.mark.parametrize("words", range(5))
def test_ipv4_header_length_below_5_is_refused(lab: Lab, opened: Open, words: int) -> None:
    with pytest.raises(OSError, match="Invalid argument") as caught:
        hdrincl(opened, lab.left).sendto(bytes(ip(4).replace(ihl=words) / bytes(40)), (THERE[4], 0))
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("flags", [0, 2])
def test_ipv4_is_not_fragmented_at_the_interface_s_mtu(
    lab: Lab, opened: Open, wire: PacketLink, gather: Gather, flags: int
) -> None:
    sender = hdrincl(opened, lab.left)
    with pytest.raises(OSError, match="too long") as caught:
        sender.sendto(bytes(ip(4).replace(flags=flags) / bytes(1481)), (THERE[4], 0))
    assert caught.value.errno == errno.EMSGSIZE
    sender.sendto(bytes(ip(4).replace(flags=flags) / bytes(1480)), (THERE[4], 0))
    assert len(gather(wire, 1)[0].data) == 1514


def test_by_af_packet_all_of_that_is_sent_wrong_as_given(
    lab: Lab, opened: Open, wire: PacketLink, gather: Gather
) -> None:
    wrong = ip(4).replace(ihl=3, total_length=999, checksum=0xBAD, id=0, src="0.0.0.0")
    frame = bytes(Ethernet(src=LEFT, dst=RIGHT) / wrong / b"data")
    packet_socket(opened, lab.left, "veth0").send(frame)
    assert gather(wire, 1)[0].data == frame


# --- IPv6 -------------------------------------------------------------------------------------------------------


def test_ipv6_ipproto_raw_takes_the_whole_header_and_nothing_is_changed(
    lab: Lab, opened: Open, wire: PacketLink, gather: Gather
) -> None:
    odd = IPv6(
        version=5, dscp=63, ecn=3, flow_label=0xFFFFF, payload_length=9, next_header=6, hop_limit=0, dst=THERE[6]
    )
    given = bytes(odd / b"data")
    opened(lab.left, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW).sendto(given, (THERE[6], 0))
    assert gather(wire, 1)[0].data[14:] == given


@pytest.mark.parametrize("included", [True, False])
def test_ipv6_other_protocols_need_ipv6_hdrincl(
    lab: Lab, opened: Open, wire: PacketLink, gather: Gather, included: bool
) -> None:
    sender = opened(lab.left, socket.AF_INET6, socket.SOCK_RAW, EXPERIMENT)
    if included:
        sender.setsockopt(sockopt.SOL_IPV6, sockopt.IPV6_HDRINCL, 1)
    given = bytes(ip(6, src=NOBODY[6]) / b"data")
    sender.sendto(given, (THERE[6], 0))
    arrived = gather(wire, 1)[0].data[14:]
    assert arrived == given if included else (arrived[40:] == given and Packet.parse(arrived, 101)[IPv6].src == HERE[6])


@pytest.mark.parametrize("version", [4, 6])
def test_a_raw_receive_strips_the_header_of_ipv6_only(lab: Lab, opened: Open, version: int) -> None:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    receiver = opened(lab.right, family, socket.SOCK_RAW, EXPERIMENT)
    opened(lab.left, family, socket.SOCK_RAW, EXPERIMENT).sendto(b"data", (THERE[version], 0))
    arrived = receiver.recv(100)
    assert arrived[20:] == b"data" if version == 4 else arrived == b"data"


@pytest.mark.parametrize(
    ("protocol", "port", "number"),
    [
        (EXPERIMENT, 0, 0),
        (EXPERIMENT, EXPERIMENT, 0),
        (EXPERIMENT, 9, errno.EINVAL),
        (socket.IPPROTO_RAW, 0, 0),
        (socket.IPPROTO_RAW, 256, errno.EINVAL),
    ],
)
def test_the_port_of_a_raw_ipv6_destination_is_0_or_the_protocol(
    lab: Lab, opened: Open, protocol: int, port: int, number: int
) -> None:
    sender = opened(lab.left, socket.AF_INET6, socket.SOCK_RAW, protocol)
    given = bytes(ip(6) / b"data")
    if not number:
        assert sender.sendto(given, (THERE[6], port)) == 44
        return
    with pytest.raises(OSError, match="Invalid argument") as caught:
        sender.sendto(given, (THERE[6], port))
    assert caught.value.errno == number


# --- what the kernel answers by itself --------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6])
def test_a_protocol_that_nobody_holds_is_answered_and_an_open_raw_socket_stops_that(
    lab: Lab, opened: Open, wire: PacketLink, gather: Gather, version: int
) -> None:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    sender = opened(lab.right, family, socket.SOCK_RAW, EXPERIMENT)
    other = opened(lab.right, family, socket.SOCK_RAW, EXPERIMENT + 1)
    sender.sendto(b"data", (HERE[version], 0))
    icmp, kind, code = ANSWER_TO_PROTOCOL[version]
    answer = Packet.parse(gather(wire, 1)[0])[icmp]
    assert (answer.type, answer.code) == (kind, code)
    opened(lab.left, family, socket.SOCK_RAW, EXPERIMENT)
    sender.sendto(b"data", (HERE[version], 0))
    other.sendto(b"data", (HERE[version], 0))
    (answered,) = gather(wire, 1)
    protocol_at = 9 if version == 4 else 6
    assert Packet.parse(answered).payload[protocol_at] == EXPERIMENT + 1


@pytest.mark.parametrize("version", [4, 6])
def test_tcp_that_the_kernel_does_not_know_is_answered_by_rst_unless_the_address_is_not_its_own(
    lab: Lab, opened: Open, wire: PacketLink, gather: Gather, version: int
) -> None:
    sender = packet_socket(opened, lab.right, "veth0")
    for target, port in ((NOBODY[version], 1), (HERE[version], 2)):
        syn_ack = TCP(sport=80, dport=port, flags=TCPFlags.SYN | TCPFlags.ACK, ack=5)
        kind = IPv4 if version == 4 else IPv6
        sender.send(bytes(Ethernet(src=RIGHT, dst=LEFT) / kind(src=THERE[version], dst=target) / syn_ack))
    (frame,) = gather(wire, 1)
    answer = Packet.parse(frame)[TCP]
    assert (answer.flags, answer.sport, answer.seq) == (TCPFlags.RST, 2, 5)


# --- AF_PACKET --------------------------------------------------------------------------------------------------


def test_a_vlan_tag_is_removed_and_in_the_auxdata(lab: Lab, opened: Open) -> None:
    receiver = packet_socket(opened, lab.right, "veth0")
    receiver.setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_AUXDATA, 1)
    tagged = Packet((Ethernet(src=LEFT, dst=RIGHT), VLAN(pcp=5, vid=7, ethertype=0x88B5))) / bytes(46)
    packet_socket(opened, lab.left, "veth0").send(bytes(tagged))
    data, ((level, kind, value),), _, _ = receiver.recvmsg(2000, AUXDATA_SPACE)
    assert data == bytes(Ethernet(src=LEFT, dst=RIGHT, ethertype=0x88B5) / bytes(46))
    status, *_, tci, tpid = struct.unpack("@IIIHHHH", value)
    assert (level, kind) == (sockopt.SOL_PACKET, sockopt.PACKET_AUXDATA)
    assert status & sockopt.TP_STATUS_VLAN_VALID
    assert status & sockopt.TP_STATUS_VLAN_TPID_VALID
    assert (tci, tpid) == (5 << 13 | 7, sockopt.ETH_P_8021Q)


@pytest.mark.parametrize("offloads", [True, False])
def test_a_checksum_left_to_hardware_is_marked(opened: Open, offloads: bool) -> None:
    with Lab(addresses=[("10.0.0.1/24", "10.0.0.2/24")], offloads=offloads) as lab:
        receiver = packet_socket(opened, lab.right, "veth0")
        receiver.setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_AUXDATA, 1)
        opened(lab.left, socket.AF_INET, socket.SOCK_DGRAM).sendto(b"data", (THERE[4], 9))
        data, ((_, _, value),), _, _ = receiver.recvmsg(2000, AUXDATA_SPACE)
    (status,) = struct.unpack_from("@I", value)
    assert bool(status & sockopt.TP_STATUS_CSUMNOTREADY) == offloads
    assert Packet.parse(data).checksums["UDP"] == ("bad" if offloads else "ok")


@pytest.mark.parametrize("ignored", [False, True])
def test_frames_on_lo_are_seen_twice_unless_outgoing_ones_are_ignored(opened: Open, ignored: bool) -> None:
    with Namespace() as namespace:
        receiver = packet_socket(opened, namespace, "lo")
        if ignored:
            receiver.setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_IGNORE_OUTGOING, 1)
        packet_socket(opened, namespace, "lo", 0).send(bytes(60))
        seen = [receiver.recvfrom(100)[1][2]]
        receiver.setblocking(False)
        try:
            while True:
                seen.append(receiver.recvfrom(100)[1][2])
        except BlockingIOError:
            pass
    assert seen == ([sockopt.PACKET_HOST] if ignored else [sockopt.PACKET_OUTGOING, sockopt.PACKET_HOST])


@pytest.mark.parametrize("route_localnet", [0, 1])
@pytest.mark.parametrize("accept_local", [0, 1])
def test_raw_ipv4_on_lo_is_dropped_unless_it_has_route_localnet_and_accept_local(
    opened: Open, route_localnet: int, accept_local: int
) -> None:
    with Namespace() as namespace:
        with namespace.entered():
            for name, value in (("route_localnet", route_localnet), ("accept_local", accept_local)):
                Path(f"/proc/sys/net/ipv4/conf/lo/{name}").write_text(str(value))
        receiver = opened(namespace, socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("127.0.0.1", 7))
        zero = "00:00:00:00:00:00"
        handmade = Ethernet(src=zero, dst=zero) / IPv4(src="127.0.0.1", dst="127.0.0.1") / UDP(sport=9, dport=7)
        packet_socket(opened, namespace, "lo", 0).send(bytes(handmade / b"handmade"))
        opened(namespace, socket.AF_INET, socket.SOCK_DGRAM).sendto(b"the kernel's", ("127.0.0.1", 7))
        passes = bool(route_localnet and accept_local)
        assert receiver.recv(100) == (b"handmade" if passes else b"the kernel's")


def test_raw_ipv6_on_lo_is_not_dropped(opened: Open) -> None:
    with Namespace() as namespace:
        receiver = opened(namespace, socket.AF_INET6, socket.SOCK_DGRAM)
        receiver.bind(("::1", 7))
        zero = "00:00:00:00:00:00"
        handmade = Ethernet(src=zero, dst=zero) / IPv6(src="::1", dst="::1") / UDP(sport=9, dport=7) / b"handmade"
        packet_socket(opened, namespace, "lo", 0).send(bytes(handmade))
        assert receiver.recv(100) == b"handmade"


def test_packet_statistics_are_zero_again_once_read(lab: Lab, opened: Open) -> None:
    receiver = packet_socket(opened, lab.right, "veth0")
    sender = packet_socket(opened, lab.left, "veth0", 0)
    for number in range(3):
        sender.send(numbered(number))
    for number in range(3):
        assert receiver.recv(100) == numbered(number)
    read = [receiver.getsockopt(sockopt.SOL_PACKET, sockopt.PACKET_STATISTICS, 8) for _ in range(2)]
    assert read == [struct.pack("@II", 3, 0), bytes(8)]


def test_what_comes_before_the_filter_is_queued_unless_the_socket_is_bound_after_it(lab: Lab, opened: Open) -> None:
    hasty = packet_socket(opened, lab.right, "veth0")
    careful = opened(lab.right, socket.AF_PACKET, socket.SOCK_RAW, 0)
    sender = packet_socket(opened, lab.left, "veth0", 0)
    sender.send(numbered(1))
    for receiver in (hasty, careful):
        receiver.setsockopt(socket.SOL_SOCKET, sockopt.SO_ATTACH_FILTER, ONLY_NUMBER_THREE)
    with lab.right.entered():
        careful.bind(("veth0", sockopt.ETH_P_ALL))
    for number in (2, 3):
        sender.send(numbered(number))
    assert [hasty.recv(100) for _ in range(2)] == [numbered(1), numbered(3)]
    assert careful.recv(100) == numbered(3)


# --- privilege --------------------------------------------------------------------------------------------------


def test_so_rcvbufforce_needs_real_privilege_and_so_rcvbuf_is_cut(run_as_nobody: Callable[[str], str]) -> None:
    program = """
import socket
from pathlib import Path
limit = int(Path("/proc/sys/net/core/rmem_max").read_text())
def ask():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.setsockopt(socket.SOL_SOCKET, 33, 4 * limit)
            return "forced"
        except PermissionError:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * limit)
            return asking.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * limit
print(ask())
enter_user_namespace()  # root here, but of nothing that the host counts
print(ask())
"""
    assert run_as_nobody(program) == "True\nTrue\n"


def test_a_user_namespace_opens_af_packet_without_any_privilege(run_as_nobody: Callable[[str], str]) -> None:
    """What `unshare -Urn` does."""
    program = """
import socket
def attempt():
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as made:
            made.bind(("lo", 3))
            return made.send(bytes(60))
    except PermissionError as error:
        return error.strerror
print(attempt())
enter_user_namespace()
print(attempt())
"""
    assert run_as_nobody(program) == "Operation not permitted\n60\n"


def test_our_constants_are_those_of_python_s_socket_module_where_it_has_them() -> None:
    ours = {name: value for name, value in vars(sockopt).items() if name.isupper()}
    assert {"SOL_PACKET", "PACKET_AUXDATA", "PACKET_VERSION", "PACKET_VNET_HDR", "PACKET_QDISC_BYPASS"} <= ours.keys()
    assert {"PACKET_IGNORE_OUTGOING", "PACKET_FANOUT", "SO_TIMESTAMPNS", "UDP_SEGMENT", "UDP_GRO"} <= ours.keys()
    known = {name: getattr(socket, name) for name in ours if hasattr(socket, name)}
    assert known == {name: ours[name] for name in known}


@pytest.mark.parametrize(
    ("family", "kind", "level", "option", "given"),
    [
        (socket.AF_PACKET, socket.SOCK_RAW, sockopt.SOL_PACKET, sockopt.PACKET_AUXDATA, 1),
        (socket.AF_PACKET, socket.SOCK_RAW, sockopt.SOL_PACKET, sockopt.PACKET_VERSION, sockopt.TPACKET_V2),
        (socket.AF_PACKET, socket.SOCK_RAW, sockopt.SOL_PACKET, sockopt.PACKET_VNET_HDR, 1),
        (socket.AF_PACKET, socket.SOCK_RAW, sockopt.SOL_PACKET, sockopt.PACKET_QDISC_BYPASS, 1),
        (socket.AF_PACKET, socket.SOCK_RAW, sockopt.SOL_PACKET, sockopt.PACKET_IGNORE_OUTGOING, 1),
        (socket.AF_INET, socket.SOCK_DGRAM, socket.SOL_SOCKET, sockopt.SO_TIMESTAMPNS, 1),
        (socket.AF_INET, socket.SOCK_DGRAM, sockopt.SOL_UDP, sockopt.UDP_SEGMENT, 1400),
        (socket.AF_INET, socket.SOCK_DGRAM, sockopt.SOL_UDP, sockopt.UDP_GRO, 1),
        (socket.AF_INET6, socket.SOCK_RAW, sockopt.SOL_IPV6, sockopt.IPV6_HDRINCL, 1),
    ],
)
def test_the_kernel_knows_the_options_that_python_does_not(
    lab: Lab, opened: Open, family: int, kind: int, level: int, option: int, given: int
) -> None:
    made = opened(lab.left, family, kind, EXPERIMENT if kind == socket.SOCK_RAW and family == socket.AF_INET6 else 0)
    before = made.getsockopt(level, option)
    made.setsockopt(level, option, given)
    assert (made.getsockopt(level, option), before) == (given, 0)
