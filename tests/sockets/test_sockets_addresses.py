"""Which addresses and ports an application may name, and what carriers give and take, over the Berkeley calls."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rawproto.errors import ConfigError, ProtocolError
from rawproto.link.base import Link
from rawproto.link.memory import Segment, memory_pair
from rawproto.link.udp import UdpLink
from rawproto.sockets.host import Host
from rawproto.transport.config import MILLISECOND, Config
from rawproto.wire.frame import LinkType

Make = Callable[..., Any]
Until = Callable[[Callable[[], bool]], None]
PORT = 7
PATIENCE = 10.0
QUICK = Config(initial_rto=20 * MILLISECOND, min_rto=20 * MILLISECOND)
NO_CHECK = getattr(socket, "SO_NO_CHECK", 11)
"""asm-generic/socket.h: UDP datagrams are sent without a checksum."""


@pytest.fixture
def hosts() -> Iterator[Callable[[Link, str], Host]]:
    """Make hosts; they are closed at the end."""
    made: list[Host] = []

    def make(link: Link, address: str = "") -> Host:
        made.append(Host(link, address, config=QUICK))
        return made[-1]

    yield make
    for host in made:
        host.close(linger=0)


def connected(client: Host, server: Host, address: str = "", bound: str = "") -> tuple[Any, Any]:
    """A connection to `server` by that `address`, from the local address `bound`: the client's end and the other."""
    listener, near = server.socket(), client.socket()
    listener.bind(("", PORT))
    listener.listen()
    for each in (listener, near):
        each.settimeout(PATIENCE)
    if bound:
        near.bind((bound, 0))
    near.connect((address or server.address, PORT))
    far, _ = listener.accept()
    far.settimeout(PATIENCE)
    listener.close()
    return near, far


# -- local addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-43", "MUST-45")
@pytest.mark.parametrize("local", ["127.0.0.2", "127.0.0.3"])
def test_a_connection_comes_from_the_local_address_that_was_given(hosts: Callable[..., Host], local: str) -> None:
    client, server = hosts(UdpLink(local, 0)), hosts(UdpLink("127.0.0.1", 0))
    near, far = connected(client, server, bound=client.address)
    assert far.getpeername() == near.getsockname()
    assert far.getpeername()[0].startswith(f"{local}:")
    near.sendall(b"question")
    assert far.recv(100) == b"question"
    far.sendall(b"answer")
    assert near.recv(100) == b"answer"  # all of it was from and to that one address: another is another peer


@pytest.mark.rfc("9293", "MUST-44")
def test_without_one_the_ip_layer_chooses(hosts: Callable[..., Host]) -> None:
    client, server = hosts(UdpLink("0.0.0.0", 0)), hosts(UdpLink("127.0.0.1", 0))
    _, far = connected(client, server)
    assert far.getpeername()[0] == f"127.0.0.1:{client.address.rpartition(':')[2]}"


# -- addresses of many hosts -------------------------------------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-46")
@pytest.mark.parametrize(
    ("road", "target"),
    [
        ("ipv4", "224.0.0.1"),
        ("ipv4", "239.255.255.255"),
        ("ipv4", "255.255.255.255"),
        ("ipv6", "ff02::1"),
        ("udp", "224.0.0.1"),
        ("udp", "255.255.255.255"),
        ("udp", "127.255.255.255"),
        ("udp6", "ff02::1"),
    ],
)
def test_a_connection_to_many_hosts_is_refused(
    hosts: Callable[..., Host], until: Until, road: str, target: str
) -> None:
    if road.startswith("udp"):
        client = hosts(UdpLink("::1" if road == "udp6" else "127.0.0.1", 0))
    else:
        client = hosts(memory_pair()[0], "10.0.0.1" if road == "ipv4" else "fd00::1")
    caller = client.socket()
    caller.settimeout(0)
    with pytest.raises(OSError, match=target.replace(".", r"\.")) as caught:
        caller.connect((target, PORT))
    assert caught.value.errno == errno.EACCES
    until(lambda: client.stack.endpoint.connections == {})


# -- ports -------------------------------------------------------------------------------------------------------------


@pytest.mark.rdt("3.2-5")
def test_nothing_is_sent_from_or_to_port_0(make: Make) -> None:
    pair = make()
    with pytest.raises(OverflowError):
        pair.client.socket().connect((pair.server.address, 0))
    near, far = connected(pair.client, pair.server, bound=pair.client.address)
    assert near.getsockname()[1] == far.getpeername()[1] != 0


@pytest.mark.rfc("9293", "MUST-41")
def test_a_second_listener_on_a_port_is_refused_and_the_first_goes_on(make: Make) -> None:
    pair = make()
    listener = pair.listen(PORT)
    near, waiting = pair.connect(PORT), pair.connect(PORT)
    far, _ = listener.accept()
    second = pair.server.socket()
    second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with pytest.raises(OSError, match="in use") as caught:
        second.bind(("", PORT))
    assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(ProtocolError, match="in use"):
        pair.server.stack.listen(PORT, 1, pair.server.driver.clock())
    near.sendall(b"as before")
    assert far.recv(100) == b"as before"
    assert listener.accept()[1] == waiting.getsockname()
    later = pair.connect(PORT)
    assert listener.accept()[1] == later.getsockname()


# -- carriers ----------------------------------------------------------------------------------------------------------


@pytest.mark.rdt("4-1")
@pytest.mark.parametrize(
    ("linktype", "ends", "headers"),
    [
        (LinkType.USER0, ("a", "b"), 0),
        (LinkType.RAW, ("10.0.0.1", "10.0.0.2"), 20),
        (LinkType.RAW, ("fd00::1", "fd00::2"), 40),
    ],
)
def test_a_carrier_of_104_bytes_is_enough_and_of_less_is_none(
    hosts: Callable[..., Host], linktype: LinkType, ends: tuple[str, str], headers: int
) -> None:
    narrow = Segment(linktype, 103 + headers).attach("a")
    with pytest.raises(ConfigError, match="RDT needs 104"):
        Host(narrow, ends[0])
    narrow.close()
    segment = Segment(linktype, 104 + headers)
    near, far = connected(*(hosts(segment.attach(end), end) for end in ends))
    near.sendall(bytes(range(200)))
    near.shutdown(socket.SHUT_WR)
    assert b"".join(iter(lambda: far.recv(1000), b"")) == bytes(range(200))


@pytest.mark.rdt("4-5")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_over_udp_the_checksum_is_sent_and_the_crc_is_checked(
    hosts: Callable[..., Host], until: Until, host: str
) -> None:
    server, stranger = hosts(UdpLink(host, 0)), UdpLink(host, 0)
    with stranger:
        assert stranger._socket.getsockopt(socket.SOL_SOCKET, NO_CHECK) == 0
        stranger.send([bytes.fromhex("010a0002") + bytes(36)], 0, peer=server.address)
        until(lambda: server.discarded() == {"checksum": 1})
        assert stranger.receive(0) == []


@pytest.mark.rdt("4-5")
def test_the_udp_port_of_rdt_is_25300() -> None:
    with UdpLink("127.25.30.1") as link:
        assert link.address == "127.25.30.1:25300"


@pytest.mark.rdt("4-8")
@pytest.mark.rfc("9293", "MUST-56")
def test_that_nobody_holds_the_peer_s_udp_port_ends_no_connection(hosts: Callable[..., Host], until: Until) -> None:
    link = UdpLink("127.0.0.1", 0)
    client, server = hosts(link), hosts(UdpLink("127.0.0.1", 0))
    near, _ = connected(client, server)
    server.close(linger=0)
    near.sendall(b"is anybody there?")
    until(lambda: link.refused >= 2)  # ICMP port unreachable, and it was sent again all the same
    assert near.connection.end is None
    assert near.connection.established
