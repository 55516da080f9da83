"""Sends 64-byte UDP frames without end, the source port and with it the checksum another in each: `raw_sender.py WHO`.

WHO is `ours` or `scapy`. Both build every frame while they send.
"""

from __future__ import annotations

import sys

from benchmarks.raw_rows import ADDRESSES, DISCARD, FRAME, PAYLOAD, TARGET_MAC

PORTS = range(1024, 65536)
AT_ONCE = 1024
"""Frames in a block of ours."""
SCAPY_LIST = 256
"""Packets in a list of scapy's."""


def ours() -> None:
    from rawproto.link.packet import PacketLink  # noqa: PLC0415 - not measured, but scapy's start would take it too
    from rawproto.wire.template import template  # noqa: PLC0415

    opened = template(FRAME, "udp.sport")
    with PacketLink("veth0") as link:
        while True:
            for start in range(0, len(PORTS), AT_ONCE):
                link.send_block(opened.block(PORTS[start : start + AT_ONCE]), opened.size, 0)


def scapy() -> None:
    from scapy.all import IP, UDP, Ether, conf, sendp  # noqa: PLC0415

    conf.verb = 0
    base = Ether(dst=TARGET_MAC, src="02:00:00:00:00:01") / IP(src=ADDRESSES[0], dst=ADDRESSES[1])
    while True:
        for start in range(0, len(PORTS), SCAPY_LIST):
            ports = PORTS[start : start + SCAPY_LIST]
            sendp([base / UDP(sport=port, dport=DISCARD) / PAYLOAD for port in ports], iface="veth0")


if __name__ == "__main__":
    {"ours": ours, "scapy": scapy}[sys.argv[1]]()
