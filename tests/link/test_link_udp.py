"""UdpLink on loopback, without any privilege."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from select import POLLIN, poll
from typing import Any

import pytest

from rawproto.errors import LinkError
from rawproto.link.udp import UdpLink
from rawproto.wire.checksum import internet_checksum, pseudo_header
from rawproto.wire.frame import Direction, Frame, LinkType

HOSTS = ["127.0.0.1", "::1"]


def text(link: UdpLink) -> str:
    return f"[{link.host}]:{link.port}" if ":" in link.host else f"{link.host}:{link.port}"


def gather(link: UdpLink, count: int, now: int = 0) -> list[Frame]:
    poller = poll()
    poller.register(link.fileno(), POLLIN)
    frames: list[Frame] = []
    while len(frames) < count:
        assert poller.poll(3000), f"{len(frames)} of {count} datagrams came"
        frames += link.receive(now)
    return frames


@pytest.fixture(params=HOSTS)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[UdpLink, UdpLink]]:
    with UdpLink(request.param, 0) as left, UdpLink(request.param, 0) as right:
        yield left, right


def test_datagrams_cross_with_boundaries_and_sender(pair: tuple[UdpLink, UdpLink]) -> None:
    left, right = pair
    sizes = [1200] * 130 + [7, 0, 0, 1200, 1201, 3, 3, 2, 4, 40000, 40000, 1]
    sent = [bytes([number & 0xFF]) * size for number, size in enumerate(sizes)]
    for one, other in ((left, right), (right, left)):
        one.send(sent, 0, peer=text(other))
        frames = gather(other, len(sent), now=42)
        assert [frame.data for frame in frames] == sent
        assert {frame[1:6] + frame[8:] for frame in frames} == {
            (42, LinkType.USER0, "lo", Direction.INBOUND, None, text(one))
        }
    assert left.receive(0) == []


def test_a_sender_s_name_serves_as_a_peer(pair: tuple[UdpLink, UdpLink]) -> None:
    left, right = pair
    left.send([b"question"], 0, peer=text(right))
    right.send([b"answer"], 0, peer=gather(right, 1)[0].peer)
    assert gather(left, 1)[0].data == b"answer"


@pytest.mark.rdt("4-5")
@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("10.0.0.2", ("10.0.0.2", 25300)),
        ("10.0.0.2:99", ("10.0.0.2", 99)),
        ("::1", ("::1", 25300, 0, 0)),
        ("[::1]", ("::1", 25300, 0, 0)),
        ("[::1]:99", ("::1", 99, 0, 0)),
    ],
)
def test_the_port_of_a_peer_may_be_left_out(
    monkeypatch: pytest.MonkeyPatch, peer: str, address: tuple[str | int, ...]
) -> None:
    with UdpLink("::1" if "::" in peer else "127.0.0.1", 0) as link:
        seen = sendto_calls(link, monkeypatch)
        link.send([b"x"], 0, peer=peer)
        assert seen == [address]


@pytest.mark.parametrize(
    ("peer", "number"),
    [
        ("", errno.EDESTADDRREQ),
        ("localhost:1", errno.EINVAL),
        ("10.0.0.2:0", errno.EINVAL),
        ("10.0.0.2:70000", errno.EINVAL),
        ("10.0.0.2:x", errno.EINVAL),
        ("[::1]:99", errno.EAFNOSUPPORT),
    ],
)
def test_a_peer_that_is_none_is_an_error(peer: str, number: int) -> None:
    with UdpLink(port=0) as link, pytest.raises(LinkError) as caught:
        link.send([b"x"], 0, peer=peer)
    assert caught.value.errno == number


def test_runs_go_out_in_one_call(pair: tuple[UdpLink, UdpLink], monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = pair
    calls = count_calls(left, monkeypatch)
    left.send([bytes(100)] * 64 + [bytes(50)], 0, peer=text(right))
    assert calls == {"sendmsg": 1, "sendto": 1}
    assert len(gather(right, 65)) == 65


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP])
def test_where_the_kernel_can_not_cut_runs_go_out_one_by_one(
    pair: tuple[UdpLink, UdpLink], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    left, right = pair
    calls = count_calls(left, monkeypatch, refuse=number)
    for _ in range(2):
        left.send([bytes(100)] * 10 + [bytes(50)], 0, peer=text(right))
        assert [len(frame.data) for frame in gather(right, 11)] == [100] * 10 + [50]
    assert calls == {"sendmsg": 1 if number == errno.EIO else 2, "sendto": 22}


def test_a_datagram_over_the_mtu_is_refused_and_those_before_it_are_sent() -> None:
    with UdpLink(port=0, mtu=1000) as left, UdpLink(port=0) as right:
        for frames in ([bytes(1000), bytes(1001)], [bytes(1000), bytes(1000), bytes(1001), b"x"]):
            with pytest.raises(LinkError, match="1001 bytes is over the MTU of lo, 1000 bytes") as caught:
                left.send(frames, 0, peer=text(right))
            assert caught.value.errno == errno.EMSGSIZE
            assert {len(frame.data) for frame in gather(right, len(frames) // 2)} == {1000}


@pytest.mark.parametrize("host", HOSTS)
def test_the_mtu_is_the_interface_s_without_headers_and_fits_one_datagram(host: str) -> None:
    with UdpLink(host, 0) as left, UdpLink(host, 0) as right:
        assert left.mtu == {"127.0.0.1": 65507, "::1": 65488}[host]
        left.send([bytes(left.mtu)], 0, peer=text(right))
        assert [len(frame.data) for frame in gather(right, 1)] == [left.mtu]


@pytest.mark.parametrize("host", HOSTS)
def test_refusals_are_counted_and_break_neither_send_nor_receive(host: str) -> None:
    with UdpLink(host, 0) as left, UdpLink(host, 0) as right:
        with UdpLink(host, 0) as gone:
            nobody = text(gone)
        left.send([b"a"], 0, peer=nobody)
        left.send([b"b"] * 3, 0, peer=text(right))
        left.send([b"c"], 0, peer=nobody)
        right.send([b"d"], 0, peer=text(left))
        assert [frame.data for frame in gather(right, 3)] == [b"b"] * 3
        assert [frame.data for frame in gather(left, 1)] == [b"d"]
        assert left.refused == 2
        poller = poll()
        poller.register(left.fileno(), POLLIN)
        assert poller.poll(0) == []  # no error is left behind that would keep a poller awake


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    with UdpLink(port=0) as link:
        with pytest.raises(LinkError, match=rf"127\.0\.0\.1 UDP port {link.port} is in use: choose") as caught:
            UdpLink(port=link.port)
        assert caught.value.errno == errno.EADDRINUSE


def test_an_address_that_is_none_is_refused() -> None:
    for host, number in (("example.org", errno.EINVAL), ("192.0.2.1", errno.EADDRNOTAVAIL)):
        with pytest.raises(LinkError) as caught:
            UdpLink(host)
        assert caught.value.errno == number


def test_a_receive_ends_with_a_batch() -> None:
    with UdpLink(port=0) as left, UdpLink(port=0, batch=10) as right:
        left.send([bytes(size) for size in range(1, 26)], 0, peer=text(right))
        assert [len(right.receive(0)) for _ in range(4)] == [10, 10, 5, 0]


@pytest.mark.parametrize("outbound", [True, False])
@pytest.mark.parametrize("host", HOSTS)
def test_on_wire_puts_headers_with_right_checksums_back(host: str, outbound: bool) -> None:
    with UdpLink(host, 0) as link:
        peer = "[::1]:7" if ":" in host else "127.0.0.1:7"
        packet, linktype = link.on_wire(b"odd", peer=peer, outbound=outbound)
        ports = (link.port, 7) if outbound else (7, link.port)
    assert linktype is LinkType.RAW
    header = 40 if ":" in host else 20
    udp = packet[header:]
    assert (int.from_bytes(udp[:2]), int.from_bytes(udp[2:4])) == ports
    ends = (packet[8:24], packet[24:40]) if header == 40 else (packet[12:16], packet[16:20])
    assert internet_checksum(pseudo_header(*ends, 17, len(udp)), udp) == 0
    if header == 20:
        assert internet_checksum(packet[:20]) == 0
        assert int.from_bytes(packet[2:4]) == len(packet)
    else:
        assert int.from_bytes(packet[4:6]) == len(udp)


def test_a_computed_checksum_of_zero_is_sent_as_ffff() -> None:
    with UdpLink(port=0) as link:

        def checksum(payload: bytes) -> int:
            return int.from_bytes(link.on_wire(payload, peer="127.0.0.1:7", outbound=True)[0][26:28])

        assert checksum(checksum(bytes(2)).to_bytes(2)) == 0xFFFF  # RFC 768


def test_on_wire_finds_the_source_of_a_link_bound_to_all_addresses() -> None:
    with UdpLink("0.0.0.0", 0) as link:
        packet, _ = link.on_wire(b"x", peer="127.0.0.1:7", outbound=True)
    assert packet[12:16] == socket.inet_aton("127.0.0.1")


def test_close_may_be_repeated() -> None:
    link = UdpLink(port=0)
    link.close()
    link.close()
    assert link.fileno() == -1


class Watched:
    """A socket whose sending calls are seen by a test, which may refuse `sendmsg`."""

    def __init__(self, inner: socket.socket, seen: Callable[[str, Any], bool]) -> None:
        self._inner = inner
        self._seen = seen

    def sendmsg(self, *arguments: Any) -> int:
        self._seen("sendmsg", arguments[-1])
        return self._inner.sendmsg(*arguments)

    def sendto(self, data: bytes, address: Any) -> int:
        return len(data) if self._seen("sendto", address) else self._inner.sendto(data, address)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def count_calls(link: UdpLink, monkeypatch: pytest.MonkeyPatch, refuse: int = 0) -> dict[str, int]:
    calls = {"sendmsg": 0, "sendto": 0}

    def seen(name: str, address: Any) -> bool:
        calls[name] += 1
        if refuse and name == "sendmsg":
            raise OSError(refuse, "refused by the test")
        return False

    monkeypatch.setattr(link, "_socket", Watched(link._socket, seen))
    return calls


def sendto_calls(link: UdpLink, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keep datagrams from going out, and give the addresses that they would have gone to."""
    addresses: list[Any] = []

    def seen(name: str, address: Any) -> bool:
        addresses.append(address)
        return True

    monkeypatch.setattr(link, "_socket", Watched(link._socket, seen))
    return addresses


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_outside_sixteen_bits_is_one_clear_line(port: int) -> None:
    with pytest.raises(LinkError, match=f"UDP port {port} can't be") as caught:
        UdpLink("127.0.0.1", port)
    assert caught.value.errno == errno.EINVAL
