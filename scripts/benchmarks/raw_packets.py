"""The rows `parse/...` and `build/...`: one Ethernet/IPv4/TCP packet of 64 bytes, by us, dpkt and scapy.

Parsing reads five fields: both addresses, both ports, the flags. Building makes new objects from values each time,
checksums included. Before anything is measured it is looked at whether all agree.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import dpkt

from benchmarks.raw_rows import ADDRESSES, row
from benchmarks.raw_send import is_there
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPFlags

MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
PACKED_MACS = tuple(bytes.fromhex(mac.replace(":", "")) for mac in MACS)
PACKED = tuple(map(socket.inet_aton, ADDRESSES))
PAYLOAD = b"0123456789"
SECONDS = 0.1
PEERS = ("dpkt", "scapy")


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


def measure(do: Callable[[int], object]) -> float:
    """Calls a second."""
    count, step = 0, 20
    begin = time.perf_counter()
    while (now := time.perf_counter()) < begin + SECONDS:
        for port in range(1024, 1024 + step):
            do(port)
        count += step
    return count / (now - begin)


def check(what: str, doers: dict[str, Callable[[int], object]]) -> None:
    results = {name: do(4242) for name, do in doers.items()}
    wrong = [name for name, result in results.items() if result != results["ours"]]
    if wrong:
        raise RuntimeError(f"{what}: we get {results['ours']!r}, {wrong[0]} {results[wrong[0]]!r}")


def frames() -> list[bytes]:
    build = build_ours()
    return [bytes(build(port)) for port in range(1 << 13)]  # type: ignore[call-overload]


def parse_ours() -> Callable[[int], object]:
    data = frames()

    def parse(port: int) -> object:
        packet = Packet.parse(data[port])
        ip, tcp = packet[IPv4], packet[TCP]
        return str(ip.src), str(ip.dst), tcp.sport, tcp.dport, int(tcp.flags)

    return parse
