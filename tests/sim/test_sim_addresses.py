"""What hosts on a simulated Ethernet make of addresses that no answer may go to, of port 0 and of ICMP."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from rawproto.link.impairment import Impairment
from rawproto.sim.lan import Lan
from rawproto.sim.network import Condition, Host
from rawproto.sim.stream import ConnectionEndedError, accept, connect, listen
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import End
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import Direction, Frame
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMPError, ICMPRedirect, ICMPv6Error, PacketTooBig, ParameterProblem
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT, Flags, Mss

Wait = Generator[Condition, None, None]
SERVER_MAC, STRANGER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
HERE, STRANGER = {4: "10.0.0.1", 6: "fd00::1"}, {4: "10.0.0.2", 6: "fd00::2"}
ALL_HOSTS = {4: "01:00:5e:00:00:01", 6: "33:33:00:00:00:01"}
NAMES = ("client", "server")
PORT = 80


class Noting:
    """Keeps what a host sends, without the notes of its calls."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def write(self, frame: Frame) -> None:
        if frame.direction is Direction.OUTBOUND:
            self.frames.append(frame)

    def packets(self) -> list[Packet]:
        """Those with RDT."""
        return [packet for frame in self.frames if RDT in (packet := Packet.parse(frame.data))]


def introduction() -> bytes:
    """A question by which a host learns whose address the stranger's is."""
    arp = ARP(sender_mac=STRANGER_MAC, sender_ip=STRANGER[4], target_ip=HERE[4])
    return bytes(Ethernet(dst=SERVER_MAC, src=STRANGER_MAC) / arp)


class Listening:
    """A host that listens, and a stranger on its segment who writes his own frames."""

    def __init__(self, version: int = 4) -> None:
        self.version = version
        self.lan = Lan(1)
        self.server = self.lan.host("server", HERE[version])
        self.stranger = self.lan.segment.attach("stranger")
        listen(self.server, PORT)
        if version == 4:
            assert len(self.told(introduction())) == 1

    def syn(self, *, src: str = "", dst: str = "", mac: str = SERVER_MAC, sport: int = 1, dport: int = PORT) -> bytes:
        ends = {"src": src or STRANGER[self.version], "dst": dst or HERE[self.version]}
        rdt = RDT(sport=sport, dport=dport, flags=Flags.SYN, seq=1000, options=[Mss(1400)])
        ip = IPv4(protocol=253, **ends) if self.version == 4 else IPv6(next_header=253, **ends)
        return bytes(Ethernet(dst=mac, src=STRANGER_MAC) / ip / rdt)

    def told(self, frame: bytes) -> list[Frame]:
        """What the host sends after `frame`: an answer, or a question for whom it would go to."""
        self.stranger.send([frame], self.lan.simulation.now)
        self.lan.simulation.run_idle()
        return self.stranger.receive(self.lan.simulation.now)


@pytest.mark.rdt("4-7")
@pytest.mark.rfc("9293", "MUST-63")
@pytest.mark.parametrize(
    ("version", "source"),
    [(4, "224.0.0.1"), (4, "239.255.255.255"), (4, "255.255.255.255"), (4, "0.0.0.0"), (6, "ff02::1"), (6, "::")],
)
def test_what_comes_from_no_host_is_not_answered(version: int, source: str) -> None:
    hosts = Listening(version)
    assert hosts.told(hosts.syn(src=source)) == []
    assert hosts.server.stack.carrier.discarded == {"source address": 1}
    assert hosts.told(hosts.syn()) != []  # the same from a host is


@pytest.mark.rfc("9293", "MUST-57")
@pytest.mark.parametrize(
    ("version", "target", "mac"),
    [
        (4, "224.0.0.1", ALL_HOSTS[4]),
        (4, "224.0.0.1", SERVER_MAC),
        (4, "255.255.255.255", "ff:ff:ff:ff:ff:ff"),
        (4, "10.0.0.255", "ff:ff:ff:ff:ff:ff"),
        (4, HERE[4], "ff:ff:ff:ff:ff:ff"),
        (6, "ff02::1", ALL_HOSTS[6]),
        (6, "ff02::1", SERVER_MAC),
        (6, HERE[6], ALL_HOSTS[6]),
    ],
)
def test_what_comes_to_many_hosts_is_discarded_in_silence(version: int, target: str, mac: str) -> None:
    hosts = Listening(version)
    assert hosts.told(hosts.syn(dst=target, mac=mac)) == []
    assert not hosts.server.stack.endpoint.discarded
    assert hosts.told(hosts.syn()) != []


@pytest.mark.rdt("3.2-5")
@pytest.mark.parametrize(("sport", "dport", "flags"), [(0, PORT, Flags.SYN), (1, 0, Flags.RST)])
def test_a_receiver_does_not_treat_port_0_specially(sport: int, dport: int, flags: Flags) -> None:
    hosts = Listening()
    (frame,) = hosts.told(hosts.syn(sport=sport, dport=dport))
    answer = Packet.parse(frame.data)[RDT]
    assert (answer.sport, answer.dport, answer.ack) == (dport, sport, 1001)
    assert answer.flags & (Flags.SYN | Flags.RST) == flags


# -- ICMP --------------------------------------------------------------------------------------------------------------

ERRORS4: list[Header] = [ICMPError(type=3, code=code, mtu=68) for code in range(16)]
ERRORS4 += [ICMPError(type=kind, code=code) for kind, code in ((4, 0), (11, 0), (11, 1), (12, 0), (12, 1))]
ERRORS4 += [ICMPRedirect(code=code, gateway="10.0.0.9") for code in (0, 1)]
ERRORS6: list[Header] = [ICMPv6Error(type=1, code=code) for code in range(7)]
ERRORS6 += [ICMPv6Error(type=3, code=code) for code in (0, 1)]
ERRORS6 += [PacketTooBig(mtu=68), *(ParameterProblem(code=code) for code in (0, 1, 2))]


class Transfer:
    """A client sends, the server sends it back; somebody who sees all of it may send errors about each packet."""

    def __init__(self, version: int, *errors: Header) -> None:
        self.version = version
        self.errors = errors
        self.lan = Lan(1)
        self.sent = Noting(), Noting()
        wire = Impairment(delay_ns=5 * MS, rate_bps=20_000_000)
        self.hosts = [
            self.lan.host(name, address, impairment=wire, recording=sent)
            for name, address, sent in zip(NAMES, (HERE[version], STRANGER[version]), self.sent, strict=True)
        ]
        self.forger = self.lan.segment.attach("forger")
        self.told = 0
        self.received = b""
        client, server = self.hosts
        server.spawn(self.serve(server))
        client.spawn(self.request(client))

    def request(self, host: Host) -> Wait:
        stream = yield from connect(host, STRANGER[self.version], PORT)
        yield from stream.sendall(bytes(range(250)) * 400)
        stream.shutdown()
        self.received = yield from stream.recv_all()
        stream.close()

    def serve(self, host: Host) -> Wait:
        stream = yield from accept(host, listen(host, PORT))
        yield from stream.sendall((yield from stream.recv_all()))
        stream.close()

    def run(self) -> Transfer:
        for now in range(MS, SECOND, MS):
            self.lan.simulation.run(until=now)
            for frame in self.forger.receive(now):
                self.forge(Packet.parse(frame.data), frame.data[14:], now)
        self.lan.simulation.run_idle()
        assert self.received == bytes(range(250)) * 400
        return self

    def forge(self, packet: Packet, quoted: bytes, now: int) -> None:
        if RDT not in packet:
            return
        ip = packet[IPv4] if self.version == 4 else packet[IPv6]
        router = {4: "10.0.0.9", 6: "fd00::9"}[self.version]
        for error in self.errors:
            header = IPv4(src=router, dst=ip.src, protocol=1) if self.version == 4 else None
            below = header or IPv6(src=router, dst=ip.src, next_header=58)
            forged = Ethernet(dst=packet[Ethernet].src, src="02:00:00:00:00:99") / below / error / quoted[:64]
            self.forger.send([bytes(forged)], now)
            self.told += 1


@pytest.mark.rdt("4-8")
@pytest.mark.rfc("9293", "MUST-55", "MUST-56")
@pytest.mark.parametrize(("version", "errors"), [(4, ERRORS4), (6, ERRORS6)])
def test_icmp_errors_about_every_packet_change_no_byte_of_what_is_sent(version: int, errors: list[Header]) -> None:
    plain, forged = Transfer(version).run(), Transfer(version, *errors).run()
    assert forged.told > 100 * len(errors)
    for told, not_told in zip(forged.sent, plain.sent, strict=True):
        assert [frame.data for frame in told.frames] == [frame.data for frame in not_told.frames]
    assert not any(host.stack.endpoint.discarded for host in forged.hosts)


# -- one address for a connection, one way to begin it -----------------------------------------------------------------


@pytest.mark.rfc("9293", "MUST-45")
@pytest.mark.parametrize("version", [4, 6])
def test_all_segments_of_a_connection_come_from_one_address(version: int) -> None:
    transfer = Transfer(version).run()
    for sent, address in zip(transfer.sent, (HERE[version], STRANGER[version]), strict=True):
        packets = sent.packets()
        assert len(packets) > 30
        assert {str((packet[IPv4] if version == 4 else packet[IPv6]).src) for packet in packets} == {address}


@pytest.mark.rfc("9293", "MUST-22")
def test_a_syn_is_repeated_and_given_up_as_data_is() -> None:
    lan, sent, ends = Lan(1), Noting(), list[End]()
    client = lan.host("client", HERE[4], config=Config(connect_timeout=20 * SECOND), recording=sent)
    lan.segment.attach("stranger").send([introduction()], 0)

    def go() -> Wait:
        try:
            yield from connect(client, STRANGER[4], PORT)
        except ConnectionEndedError as error:
            ends.append(error.end)

    lan.simulation.run(until=MS)
    client.spawn(go())
    lan.simulation.run()
    syns = [frame.time_ns for frame in sent.frames if RDT in Packet.parse(frame.data)]
    assert [round((at - syns[0]) / MS) for at in syns] == [0, 1000, 3000, 7000, 15000]
    assert [end.cause for end in ends] == ["timeout"]
