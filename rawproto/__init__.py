"""Handmade frames on a real wire, and a readable reliable transport on top of them.

The names below are the ones that most programs need; each is imported when it is first asked for, so that
`import rawproto` costs next to nothing. All the rest is in the packages of its layer.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rawproto.capture import PcapngWriter, open_capture
    from rawproto.link.impair import ImpairedLink
    from rawproto.link.impairment import Impairment
    from rawproto.link.memory import memory_pair
    from rawproto.link.packet import PacketLink
    from rawproto.link.rawip import RawIpLink
    from rawproto.link.udp import UdpLink
    from rawproto.link.unix import UnixLink
    from rawproto.sim.lan import Lan
    from rawproto.sockets.host import Host
    from rawproto.testing.replay import replay
    from rawproto.transport.config import Config
    from rawproto.transport.congestion.base import CongestionControl
    from rawproto.transport.trace import Trace
    from rawproto.wire.ethernet import Ethernet
    from rawproto.wire.ipv4 import IPv4
    from rawproto.wire.ipv6 import IPv6
    from rawproto.wire.packet import Packet
    from rawproto.wire.rdt import RDT
    from rawproto.wire.tcp import TCP
    from rawproto.wire.udp import UDP

__version__ = "0.1.0"

_HOMES = {
    "Config": "transport.config",
    "CongestionControl": "transport.congestion",
    "Ethernet": "wire.ethernet",
    "Host": "sockets.host",
    "IPv4": "wire.ipv4",
    "IPv6": "wire.ipv6",
    "ImpairedLink": "link.impair",
    "Impairment": "link.impairment",
    "Lan": "sim.lan",
    "Packet": "wire.packet",
    "PacketLink": "link.packet",
    "PcapngWriter": "capture",
    "RDT": "wire.rdt",
    "RawIpLink": "link.rawip",
    "TCP": "wire.tcp",
    "Trace": "transport.trace",
    "UDP": "wire.udp",
    "UdpLink": "link.udp",
    "UnixLink": "link.unix",
    "memory_pair": "link.memory",
    "open_capture": "capture",
    "replay": "testing.replay",
}

__all__ = [
    "RDT",
    "TCP",
    "UDP",
    "Config",
    "CongestionControl",
    "Ethernet",
    "Host",
    "IPv4",
    "IPv6",
    "ImpairedLink",
    "Impairment",
    "Lan",
    "Packet",
    "PacketLink",
    "PcapngWriter",
    "RawIpLink",
    "Trace",
    "UdpLink",
    "UnixLink",
    "memory_pair",
    "open_capture",
    "replay",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rawproto' has no attribute {name!r}")
    return getattr(import_module(f"rawproto.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
