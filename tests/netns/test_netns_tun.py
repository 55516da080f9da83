"""TunLink and TapLink: the kernel's own ping, connect and ARP, answered by hand."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from rawproto.errors import LinkError
from rawproto.link.base import Link
from rawproto.link.netns import Namespace
from rawproto.link.rawip import RawIpLink
from rawproto.link.tun import TapLink, TunLink
from rawproto.sockets.host import Host
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import VLAN, Ethernet
from rawproto.wire.frame import Direction, Frame, LinkType
from rawproto.wire.icmp import ICMPEcho, ICMPv6Echo
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.udp import UDP

pytestmark = pytest.mark.root

Gather = Callable[[Link, int], list[Frame]]
PATIENCE = 5.0
OUR_MAC = "02:00:00:00:00:99"


DISABLE_IPV6 = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")


@pytest.fixture
def space() -> Iterator[Namespace]:
    """A namespace, entered; without IPv6, of which the kernel has things to say by itself."""
    with Namespace() as namespace, namespace.entered():
        DISABLE_IPV6.write_text("1")
        yield namespace


@pytest.fixture
def space6(space: Namespace) -> Namespace:
    """With IPv6, but no address by itself."""
    DISABLE_IPV6.write_text("0")
    DISABLE_IPV6.with_name("addr_gen_mode").write_text("1")
    return space


@pytest.fixture
def of_kind(gather: Gather) -> Callable[[Link, type], Packet]:
    """Wait for the first packet with a header of that kind; the kernel may send multicast reports besides."""

    def wait(link: Link, kind: type) -> Packet:
        for _ in range(20):
            for frame in gather(link, 1):
                if kind in (packet := Packet.parse(frame)):
                    return packet
        pytest.fail(f"no {kind.__name__} came")

    return wait


OfKind = Callable[[Link, type], Packet]


def pinging(address: str) -> socket.socket:
    """The kernel's own ping: it keeps the identifier and takes only the reply that belongs to it (icmp(7))."""
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 0")
    if ":" in address:
        ping = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)
        ping.connect((address, 0))
        ping.send(b"\x80\0\0\0\0\0\0\x07payload")
    else:
        ping = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
        ping.connect((address, 0))
        ping.send(b"\x08\0\0\0\0\0\0\x07payload")
    ping.settimeout(PATIENCE)
    return ping


def test_the_kernel_s_ping_is_answered_by_hand(space: Namespace, of_kind: OfKind) -> None:
    with TunLink(addresses=("10.9.0.1/24",)) as link, pinging("10.9.0.2") as ping:
        asked = of_kind(link, ICMPEcho)
        assert (str(asked[IPv4].src), str(asked[IPv4].dst)) == ("10.9.0.1", "10.9.0.2")
        assert set(asked.checksums.values()) == {"ok"}  # the kernel left none out
        echo = asked[ICMPEcho]
        reply = ICMPEcho(type=0, id=echo.id, seq=echo.seq) / bytes(asked.payload)
        link.send([bytes(IPv4(src="10.9.0.2", dst="10.9.0.1") / reply)], 0)
        assert ping.recv(100)[6:] == b"\0\x07payload"


def test_so_is_its_ping_over_ipv6(space6: Namespace, of_kind: OfKind) -> None:
    with TunLink(addresses=("fd00::1/64",)) as link, pinging("fd00::2") as ping:
        echo = of_kind(link, ICMPv6Echo)[ICMPv6Echo]
        reply = ICMPv6Echo(type=129, id=echo.id, seq=echo.seq) / b"payload"
        link.send([bytes(IPv6(src="fd00::2", dst="fd00::1") / reply)], 0)
        assert ping.recv(100)[6:] == b"\0\x07payload"


def test_the_kernel_s_connect_is_seen_and_refused_by_hand(space: Namespace, of_kind: OfKind) -> None:
    with TunLink(addresses=("10.9.0.1/24",)) as link, socket.socket() as caller:
        caller.setblocking(False)
        assert caller.connect_ex(("10.9.0.2", 80)) == errno.EINPROGRESS
        syn = of_kind(link, TCP)
        assert (syn[TCP].dport, syn[TCP].flags) == (80, TCPFlags.SYN)
        reset = TCP(sport=80, dport=syn[TCP].sport, ack=syn[TCP].seq + 1, flags=TCPFlags.RST | TCPFlags.ACK)
        link.send([bytes(IPv4(src="10.9.0.2", dst="10.9.0.1") / reset / b"")], 0)
        assert caller.connect_ex(("10.9.0.2", 80)) == errno.ECONNREFUSED


def test_a_frame_tells_what_is_known_of_it(space: Namespace, gather: Gather) -> None:
    with TunLink("wire", addresses=("10.9.0.1/24",)) as link, socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("10.9.0.2", 9))
        (frame,) = gather(link, 1)
        assert frame == Frame(frame.data, 0, LinkType.RAW, "wire", Direction.INBOUND)
        sender.sendto(b"x", ("10.9.0.2", 9))
        assert [frame.time_ns for frame in link.receive(42)] == [42]


def test_on_a_tap_the_kernel_asks_by_arp_and_takes_the_answer(space: Namespace, of_kind: OfKind) -> None:
    with TapLink(addresses=("10.9.0.1/24",)) as link, socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(b"hello", ("10.9.0.2", 9))
        asked = of_kind(link, ARP)
        assert (str(asked[ARP].target_ip), str(asked[Ethernet].src)) == ("10.9.0.2", link.kernel_address)
        answer = ARP(
            operation=2,
            sender_mac=OUR_MAC,
            sender_ip="10.9.0.2",
            target_mac=link.kernel_address,
            target_ip="10.9.0.1",
        )
        link.send([bytes(Ethernet(dst=link.kernel_address, src=OUR_MAC) / answer)], 0)
        datagram = of_kind(link, UDP)
        assert (str(datagram[Ethernet].dst), bytes(datagram.payload)) == (OUR_MAC, b"hello")


def test_what_is_sent_is_received_by_the_kernel_in_order(space: Namespace) -> None:
    with TunLink(addresses=("10.9.0.1/24",)) as link, socket.socket(type=socket.SOCK_DGRAM) as receiver:
        receiver.bind(("10.9.0.1", 9))
        receiver.settimeout(PATIENCE)
        header = IPv4(src="10.9.0.2", dst="10.9.0.1") / UDP(sport=1, dport=9)
        link.send([bytes(header / number.to_bytes(2)) for number in range(200)], 0)
        assert [int.from_bytes(receiver.recv(9)) for _ in range(200)] == list(range(200))


def test_a_receive_ends_with_a_batch(space: Namespace) -> None:
    with TunLink(addresses=("10.9.0.1/24",), batch=10) as link, socket.socket(type=socket.SOCK_DGRAM) as sender:
        for _ in range(25):
            sender.sendto(b"x", ("10.9.0.2", 9))
        assert [len(link.receive(0)) for _ in range(4)] == [10, 10, 5, 0]


def test_the_largest_frame_comes_whole_even_when_the_mtu_grew_meanwhile(space: Namespace, of_kind: OfKind) -> None:
    with TunLink(addresses=("10.9.0.1/24",), mtu=600) as link, socket.socket(type=socket.SOCK_DGRAM) as sender:
        assert link.mtu == 600
        with IPRoute() as netlink:
            netlink.link("set", index=socket.if_nametoindex(link.interface), mtu=65535)
        sender.sendto(bytes(65507), ("10.9.0.2", 9))
        assert len(of_kind(link, UDP).payload) == 65507


def test_the_interface_has_what_it_was_given_and_goes_with_the_link(space6: Namespace) -> None:
    with (
        TunLink("given", addresses=("10.9.0.1/24", "fd00::1/64"), mtu=1400) as link,
        IPRoute() as netlink,
    ):
        assert link.interface == "given"
        (facts,) = netlink.link("get", ifname="given")
        addresses = {one.get_attr("IFA_ADDRESS") for one in netlink.get_addr(index=facts["index"])}
        assert {"10.9.0.1", "fd00::1"} <= addresses
        assert (facts.get_attr("IFLA_MTU"), facts["flags"] & 1) == (1400, 1)
    assert "given" not in [name for _, name in socket.if_nameindex()]
    link.close()
    assert link.fileno() == -1


@pytest.mark.parametrize("kind", [TunLink, TapLink])
def test_an_ipv6_address_is_delivered_to_at_once(space6: Namespace, kind: type[TunLink] | type[TapLink]) -> None:
    packet = IPv6(src="fd00::2", dst="fd00::1") / UDP(sport=1, dport=9) / b"first"
    for _ in range(25):
        with kind(addresses=("fd00::1/64",)) as link, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("fd00::1", 9))
            receiver.settimeout(PATIENCE)
            frame = packet if kind is TunLink else Ethernet(dst=link.kernel_address, src=OUR_MAC) / packet
            link.send([bytes(frame)], 0)
            assert receiver.recv(9) == b"first"
            # Nor did the kernel ask whether somebody has the address: no neighbour solicitation (RFC 4861 §4.3).
            assert not [frame for frame in link.receive(0) if b"\x87\0" in (frame.data[40:42], frame.data[54:56])]


def test_names_are_chosen_by_the_kernel_on_demand(space: Namespace) -> None:
    with TunLink() as first, TunLink() as second, TapLink() as third:
        assert [link.interface for link in (first, second, third)] == ["tun0", "tun1", "tap0"]


def test_it_may_be_left_down(space: Namespace) -> None:
    with TunLink(up=False) as link, pytest.raises(LinkError, match="tun0 is down: ip link set tun0 up") as caught:
        link.send([bytes(IPv4())], 0)
    assert caught.value.errno == errno.ENETDOWN


def test_an_interface_that_is_removed_is_told(space: Namespace) -> None:
    with TunLink() as link:
        with IPRoute() as netlink:
            netlink.link("del", index=socket.if_nametoindex("tun0"))
        for call in (lambda: link.receive(0), lambda: link.send([bytes(IPv4())], 0)):
            with pytest.raises(LinkError, match="tun0 was removed") as caught:
                call()
            assert caught.value.errno == errno.ENODEV


TAGGED = bytes(Ethernet() / VLAN(vid=5) / bytes(1500))


@pytest.mark.parametrize(
    ("kind", "fits", "over"),
    [
        (TunLink, [bytes(IPv4() / bytes(1480))], [bytes(IPv4() / bytes(1481))]),
        (TapLink, [bytes(Ethernet() / bytes(1500)), TAGGED], [bytes(Ethernet() / bytes(1501)), TAGGED + b"x"]),
    ],
)
def test_a_frame_over_the_mtu_is_refused(
    space: Namespace, kind: type[TunLink] | type[TapLink], fits: list[bytes], over: list[bytes]
) -> None:
    with kind() as link:
        link.send(fits, 0)
        for frame in over:
            with pytest.raises(LinkError, match=f"{len(frame)} bytes is over the MTU of {link.interface}, 1500") as got:
                link.send([frame], 0)
            assert got.value.errno == errno.EMSGSIZE


def test_what_is_no_frame_is_refused(space: Namespace) -> None:
    with TunLink() as tun, TapLink() as tap:
        for link, frame, text in (
            (tun, b"", "IPv4 or IPv6 packet"),
            (tun, bytes(40), "IPv4 or IPv6 packet"),
            (tap, bytes(13), "Ethernet header of 14 bytes"),
        ):
            with pytest.raises(LinkError, match=text) as caught:
                link.send([frame], 0)
            assert caught.value.errno == errno.EINVAL


def test_what_can_not_be_opened_is_told(space: Namespace) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with TunLink("taken"), pytest.raises(LinkError, match="interface taken is in use by another process") as caught:
        TunLink("taken")
    assert caught.value.errno == errno.EBUSY
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"name": "lo"}, "of an interface of another kind"),
        ({"name": "x" * 16}, "at most 15 bytes"),
        ({"addresses": ("10.9.0.1",), "mtu": 1}, "to mtu 1: Invalid argument"),
        ({"addresses": ("nowhere/24",)}, "'nowhere/24' is no address with a prefix length"),
        ({"addresses": ("10.9.0.1/24", "10.9.0.1/24")}, "giving 10.9.0.1/24 to tun0: File exists"),
    )
    for options, text in cases:
        with pytest.raises(LinkError, match=text):
            TunLink(**options)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert [name for _, name in socket.if_nameindex()] == ["lo"]


def test_a_missing_device_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawproto.link.tun._DEVICE", "/dev/net/nothing")
    with pytest.raises(LinkError, match="/dev/net/nothing is not there: modprobe tun") as caught:
        TunLink()
    assert caught.value.errno == errno.ENOENT


def test_without_the_capability_the_error_says_how_to_get_it(run_as_nobody: Callable[[str], str]) -> None:
    program = """
from rawproto.link.tun import TunLink
try:
    TunLink()
except PermissionError as error:
    print(type(error).__name__, error.errno, error.strerror)
"""
    told = run_as_nobody(program)
    assert told.startswith(f"PrivilegeError {errno.EPERM} ")
    assert "needs CAP_NET_ADMIN" in told


def test_an_interface_made_to_stay_is_taken_and_left(space: Namespace) -> None:
    with IPRoute() as netlink:
        netlink.link("add", ifname="stays", kind="tuntap", mode="tun")
        for _ in range(2):
            with TunLink("stays") as link:
                assert link.interface == "stays"
        assert netlink.link_lookup(ifname="stays")


def test_the_transport_runs_over_it(space: Namespace) -> None:
    data = os.urandom(300_000)
    link = TunLink(addresses=("10.9.0.1/24",))
    with Host(link, "10.9.0.2") as far, Host(RawIpLink("10.9.0.1"), "10.9.0.1") as near:
        listener = far.socket()
        listener.bind(("", 7))
        listener.listen()
        received: list[bytes] = []

        def take() -> None:
            connection, _ = listener.accept()
            with connection:
                while block := connection.recv(1 << 16):
                    received.append(block)

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        with near.socket() as caller:
            caller.settimeout(PATIENCE)
            caller.connect(("10.9.0.2", 7))
            caller.sendall(data)
        thread.join(30)
        assert b"".join(received) == data
