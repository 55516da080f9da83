"""The rows of bytes and headers: `parse`, `read`, `build` and `render`, beside dpkt and scapy, in this process.

`parse` and `build` make objects, as the peers do; `read` and `render` are what a program with many alike frames would
take instead, a compiled reader and a template. What all of them read and build is compared before it is measured.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

from benchmarks.raw_rows import row
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet
from rawproto.wire.reader import reader
from rawproto.wire.tcp import TCP
from rawproto.wire.template import template

SRC_MAC, DST_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
SRC, DST = "10.9.0.1", "10.9.0.2"
PAYLOAD = b"x" * 20
WINDOW = 0.1
TURN = 0.005
"""Seconds that each road is measured each time, and in one go."""
FIELDS = ("ipv4.src", "ipv4.dst", "tcp.sport", "tcp.dport", "tcp.flags")

Road = Callable[[int], object]
"""Does what is measured, once, given a number that makes it another packet than before."""


def build(number: int) -> bytes:
    """From the values of the fields to bytes with checksums, by objects made anew."""
    return bytes(
        Ethernet(dst=DST_MAC, src=SRC_MAC)
        / IPv4(src=SRC, dst=DST)
        / TCP(sport=number & 0xFFFF, dport=80, seq=5, ack=6, flags=0x18)
        / PAYLOAD
    )


FRAMES = [build(number) for number in range(1024)]


def parse(number: int) -> object:
    """Five fields of a packet."""
    packet = Packet.parse(FRAMES[number & 1023])
    ip, tcp = packet[IPv4], packet[TCP]
    return ip.src, ip.dst, tcp.sport, tcp.dport, tcp.flags


def dpkt_roads() -> dict[str, Road]:
    """The same with dpkt, whose addresses are bytes."""
    import dpkt  # noqa: PLC0415 - measured only if it is there

    src_mac, dst_mac = bytes.fromhex(SRC_MAC.replace(":", "")), bytes.fromhex(DST_MAC.replace(":", ""))
    src, dst = bytes(map(int, SRC.split("."))), bytes(map(int, DST.split(".")))

    def parse(number: int) -> object:
        ip = dpkt.ethernet.Ethernet(FRAMES[number & 1023]).data
        tcp = ip.data
        return ip.src, ip.dst, tcp.sport, tcp.dport, tcp.flags

    def build(number: int) -> bytes:
        tcp = dpkt.tcp.TCP(sport=number & 0xFFFF, dport=80, seq=5, ack=6, flags=0x18, win=65535, data=PAYLOAD)
        ip = dpkt.ip.IP(src=src, dst=dst, p=6, data=tcp)
        return bytes(dpkt.ethernet.Ethernet(src=src_mac, dst=dst_mac, data=ip))

    return {"parse": parse, "build": build}


def scapy_roads() -> dict[str, Road]:
    """The same with scapy."""
    from scapy.layers.inet import IP, TCP, Ether  # noqa: PLC0415 - takes a second to import

    def parse(number: int) -> object:
        packet = Ether(FRAMES[number & 1023])
        ip, tcp = packet[IP], packet[TCP]
        return ip.src, ip.dst, tcp.sport, tcp.dport, int(tcp.flags)

    def build(number: int) -> bytes:
        tcp = TCP(sport=number & 0xFFFF, dport=80, seq=5, ack=6, flags=0x18, window=65535)
        return bytes(Ether(src=SRC_MAC, dst=DST_MAC) / IP(src=SRC, dst=DST, id=0) / tcp / PAYLOAD)

    return {"parse": parse, "build": build}


PEERS: dict[str, Callable[[], dict[str, Road]]] = {"dpkt": dpkt_roads, "scapy": scapy_roads}


def rows(runs: int, only: str = "") -> Iterator[dict[str, Any]]:
    """A row for each road and peer, in packets/s; `read` and `render` beside dpkt alone."""
    read = reader(*FIELDS).read
    render = template(Packet.parse(FRAMES[0]).recompute(), "tcp.sport").render
    ours: dict[str, tuple[str, Road]] = {
        "parse": ("parse", parse),
        "read": ("parse", lambda number: read(FRAMES[number & 1023])),
        "build": ("build", build),
        "render": ("build", lambda number: render(number & 0xFFFF)),
    }
    for name, (like, road) in ours.items():
        for peer, roads in PEERS.items():
            if only not in ("", f"{name}/{peer}") or (name != like and peer == "scapy"):
                continue
            other: Road | None = None
            if find_spec(peer) is None:
                print(f"bench: no {peer}, so its row has no value: scripts/bench --setup", file=sys.stderr)
            else:
                other = roads()[like]
                agree(name, road(77), other(77))
            mine, theirs = zip(*(rates(road, other) for _ in range(runs)), strict=True)
            yield row(f"{name}/{peer}", "packets/s", mine, peer, theirs if other is not None else ())


def rates(road: Road, other: Road | None) -> tuple[float, float]:
    """How often a second, of both, in turns so short that what disturbs the one disturbs the other."""
    counts, times = [0, 0], [0.0, 0.0]
    while times[0] < WINDOW:
        for side, each in enumerate((road, other)):
            if each is None:
                continue
            start = now = time.perf_counter()
            while now - start < TURN:
                for number in range(counts[side], counts[side] + 20):
                    each(number)
                counts[side] += 20
                now = time.perf_counter()
            times[side] += now - start
    return counts[0] / times[0], counts[1] / times[1] if other is not None else 0.0


def agree(name: str, mine: Any, theirs: Any) -> None:
    """Refuse to measure what does not do the same."""
    if name in ("parse", "read"):
        mine = (*(bytes(map(int, text.split("."))) for text in mine[:2]), *mine[2:])
        packed = (value if isinstance(value, bytes) else bytes(map(int, value.split("."))) for value in theirs[:2])
        theirs = (*packed, *theirs[2:])
    if mine != theirs:
        raise SystemExit(f"bench: {name}: we have {mine!r}, the peer has {theirs!r}")
