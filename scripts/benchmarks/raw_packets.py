"""The rows `parse/...` and `build/...`: one Ethernet/IPv4/TCP packet of 64 bytes, by us, dpkt and scapy.

Parsing reads five fields: both addresses, both ports, the flags. Building makes new objects from values each time,
checksums included. Each gives addresses and flags in its own way; before anything is measured it is looked at whether
all mean the same.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import dpkt

from benchmarks.raw_rows import ADDRESSES, is_there, row
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPFlags

MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
PAYLOAD = b"0123456789"
ID, SEQ, ACK, WINDOW, TTL, DPORT = 7, 1_000_000, 2_000_000, 8192, 64, 443
SECONDS = 0.08
PEERS = ("dpkt", "scapy")

Doer = Callable[[int], Any]
"""Parses or builds the packet with this source port."""


def rows(runs: int, only: str = "") -> Iterator[dict[str, Any]]:
    """Two rows for each peer, in packets/s."""
    for what, makers in (("parse", PARSERS), ("build", BUILDERS)):
        wanted = [peer for peer in PEERS if only in ("", f"{what}/{peer}")]
        if not wanted:
            continue
        doers = {name: makers[name]() for name in ("ours", *filter(is_there, wanted))}
        check(what, doers)
        rates: dict[str, list[float]] = {name: [] for name in doers}
        for _ in range(runs):
            for name, do in doers.items():
                rates[name].append(measure(do))
        for peer in wanted:
            yield row(f"{what}/{peer}", "packets/s", rates["ours"], peer, rates.get(peer, ()))


def measure(do: Doer) -> float:
    """Calls a second."""
    count, ports = 0, range(1024, 1024 + 50)
    begin = now = time.perf_counter()
    while now < begin + SECONDS:
        for port in ports:
            do(port)
        count += len(ports)
        now = time.perf_counter()
    return count / (now - begin)


def check(what: str, doers: dict[str, Doer]) -> None:
    """Raises RuntimeError when they don't agree."""
    results = {name: do(1030) if what == "build" else plain(do(1030)) for name, do in doers.items()}
    for name, result in results.items():
        if result != results["ours"]:
            raise RuntimeError(f"{what}: we get {results['ours']!r}, but {name} {result!r}")


def plain(fields: tuple[Any, ...]) -> tuple[Any, ...]:
    """Addresses as text, flags as a number."""
    src, dst, sport, dport, flags = fields
    texts = (one if isinstance(one, str) else socket.inet_ntoa(one) for one in (src, dst))
    return (*texts, sport, dport, int(flags))


def frames() -> dict[int, bytes]:
    """The packets to parse, by source port."""
    build = build_ours()
    return {port: build(port) for port in range(1024, 1024 + 50)}


def parse_ours() -> Doer:
    data = frames()

    def parse(port: int) -> Any:
        packet = Packet.parse(data[port])
        ip, tcp = packet[IPv4], packet[TCP]
        return ip.src, ip.dst, tcp.sport, tcp.dport, tcp.flags

    return parse


def parse_dpkt() -> Doer:
    data, ethernet = frames(), dpkt.ethernet.Ethernet

    def parse(port: int) -> Any:
        ip = ethernet(data[port]).data
        tcp = ip.data
        return ip.src, ip.dst, tcp.sport, tcp.dport, tcp.flags

    return parse


def parse_scapy() -> Doer:
    from scapy.all import IP as ScapyIP  # noqa: N811, PLC0415 - takes a second
    from scapy.all import TCP as ScapyTCP  # noqa: N811, PLC0415
    from scapy.all import Ether  # noqa: PLC0415

    data = frames()

    def parse(port: int) -> Any:
        packet = Ether(data[port])
        ip, tcp = packet[ScapyIP], packet[ScapyTCP]
        return ip.src, ip.dst, tcp.sport, tcp.dport, tcp.flags

    return parse


def build_ours() -> Doer:
    def build(port: int) -> bytes:
        return bytes(
            Ethernet(dst=MACS[1], src=MACS[0])
            / IPv4(src=ADDRESSES[0], dst=ADDRESSES[1], id=ID, ttl=TTL)
            / TCP(sport=port, dport=DPORT, seq=SEQ, ack=ACK, flags=TCPFlags.ACK, window=WINDOW)
            / PAYLOAD
        )

    return build


def build_dpkt() -> Doer:
    ethernet, ip, tcp = dpkt.ethernet.Ethernet, dpkt.ip.IP, dpkt.tcp.TCP
    source, target = (bytes.fromhex(mac.replace(":", "")) for mac in MACS)
    src, dst = map(socket.inet_aton, ADDRESSES)

    def build(port: int) -> bytes:
        segment = tcp(sport=port, dport=DPORT, seq=SEQ, ack=ACK, flags=dpkt.tcp.TH_ACK, win=WINDOW, data=PAYLOAD)
        packet = ip(src=src, dst=dst, id=ID, ttl=TTL, p=dpkt.ip.IP_PROTO_TCP, data=segment)
        return bytes(ethernet(dst=target, src=source, type=dpkt.ethernet.ETH_TYPE_IP, data=packet))

    return build


def build_scapy() -> Doer:
    from scapy.all import IP as ScapyIP  # noqa: N811, PLC0415
    from scapy.all import TCP as ScapyTCP  # noqa: N811, PLC0415
    from scapy.all import Ether  # noqa: PLC0415

    def build(port: int) -> bytes:
        return bytes(
            Ether(dst=MACS[1], src=MACS[0])
            / ScapyIP(src=ADDRESSES[0], dst=ADDRESSES[1], id=ID, ttl=TTL)
            / ScapyTCP(sport=port, dport=DPORT, seq=SEQ, ack=ACK, flags="A", window=WINDOW)
            / PAYLOAD
        )

    return build


PARSERS: dict[str, Callable[[], Doer]] = {"ours": parse_ours, "dpkt": parse_dpkt, "scapy": parse_scapy}
BUILDERS: dict[str, Callable[[], Doer]] = {"ours": build_ours, "dpkt": build_dpkt, "scapy": build_scapy}
