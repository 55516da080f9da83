"""Packets to dpkt's and back, byte for byte.

    to_dpkt(packet).data.data.dport
    from_dpkt(dpkt.ip.IP(dst=b"\\xc0\\0\\2\\1", p=17, data=dpkt.udp.UDP(dport=53)))

dpkt reads and writes the bytes, so a value is what dpkt makes of it; where dpkt would write other bytes than it has
read, that layer's data stays bytes. dpkt computes a checksum that is 0 when it packs: that is what None becomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import dpkt

from rawproto.errors import WireError
from rawproto.wire.arp import AnyARP
from rawproto.wire.cooked import LinuxCooked
from rawproto.wire.dissect import dissect
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.header import Header
from rawproto.wire.icmp import ICMP, ICMPv6
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

__all__ = ["PaddedEthernet", "from_dpkt", "to_dpkt"]


class PaddedEthernet(dpkt.ethernet.Ethernet):  # type: ignore[misc]
    """An Ethernet frame that keeps what follows the packet in it, as `trailer`; dpkt's own drops it."""

    def __bytes__(self) -> bytes:
        return bytes(super().__bytes__()) + bytes(self.trailer)

    def __len__(self) -> int:
        return int(super().__len__()) + len(self.trailer)


KINDS: dict[type[Any], type[Header]] = {
    dpkt.ethernet.Ethernet: Ethernet,
    PaddedEthernet: Ethernet,
    dpkt.sll.SLL: LinuxCooked,
    dpkt.arp.ARP: AnyARP,
    dpkt.ip.IP: IPv4,
    dpkt.ip6.IP6: IPv6,
    dpkt.icmp.ICMP: ICMP,
    dpkt.icmp6.ICMP6: ICMPv6,
    dpkt.tcp.TCP: TCP,
    dpkt.udp.UDP: UDP,
}
"""dpkt's class, and ours."""
CLASSES = {ours: theirs for theirs, ours in KINDS.items() if theirs is not PaddedEthernet}


def to_dpkt(packet: Packet | Header) -> Any:
    """The packet as dpkt has it, with the same bytes; plain bytes if it has no class for the first header.

    A checksum that is None is 0 there, for dpkt to compute, where dpkt does so alike.
    """
    if isinstance(packet, Header):
        packet = Packet((packet,))
    data, layers = bytes(packet), packet.layers
    theirs = next((CLASSES[base] for base in type(layers[0]).__mro__ if base in CLASSES), None) if layers else None
    read = None if theirs is None else _read(theirs, packet, data)
    if read is None:
        return data
    for at, layer in _pairs(read, layers):  # IP's first: dpkt computes no other one without it
        if hasattr(layer, "sum") and layers[at].raw("checksum") is None:
            number, layer.sum = layer.sum, 0
            if not _gives(read, data):
                layer.sum = number
    return read


def from_dpkt(packet: Any) -> Packet:
    """dpkt's packet as ours, with the same bytes; a checksum that dpkt computes is None.

    The link type is what the first layer decides. Raises WireError for what we have no header for.
    """
    kind = next((KINDS[base] for base in type(packet).__mro__ if base in KINDS), None)
    if kind is None:
        raise WireError(f"from_dpkt: {type(packet).__name__} is none of {', '.join(each.__name__ for each in KINDS)}")
    zeros = [layer for layer in _chain(packet) if getattr(layer, "sum", None) == 0]
    data = bytes(packet)  # which fills in the checksums that are 0
    layout = dissect(data, 0, kind)
    end = max(layout.payload_start, layout.payload_end)
    ours = Packet(layout.layers, data[layout.payload_start : end], trailer=data[end:])
    for at, layer in _pairs(packet, layout.layers):
        if any(layer is each for each in zeros) and layer.sum:
            layers = list(ours.layers)
            layers[at] = layers[at].replace(checksum=None)
            opened = Packet(layers, ours.payload, trailer=ours.trailer)
            ours = opened if bytes(opened) == data else ours
    return ours


def _read(theirs: type[Any], packet: Packet, data: bytes) -> Any:
    """`data` as dpkt reads it, as far up as it writes the same again; None if it does not even for the first layer."""
    layout = packet.layout
    stop = len(data) - len(packet.trailer)
    is_ethernet = theirs is dpkt.ethernet.Ethernet
    try:
        read = theirs(data)
        if is_ethernet and stop < len(data) and not _gives(read, data):
            read = PaddedEthernet(data[:stop])
            read.trailer = data[stop:]
    except Exception:  # whatever dpkt raises for bytes that it can't read
        return _bare(theirs, data)
    if _gives(read, data):
        return read
    ends = (*layout.offsets, layout.payload_start)[1:]
    for at, layer in reversed(_pairs(read, packet.layers)):
        layer.data = data[ends[at] : stop]
        if _gives(read, data):
            return read
    return _bare(theirs, data)


def _bare(theirs: type[Any], data: bytes) -> Any:
    """A header of dpkt's in front of bytes; None if dpkt can't write even that."""
    read = theirs()
    if len(data) < theirs.__hdr_len__:
        return None
    dpkt.Packet.unpack(read, data)  # what the class itself would do next is look into the payload
    return read if _gives(read, data) else None


def _gives(packet: Any, data: bytes) -> bool:
    """Whether dpkt writes it as `data`. Of a copy, because writing fills in checksums."""
    try:
        return bytes(deepcopy(packet)) == data
    except Exception:  # a layer that dpkt has read and can't write
        return False


def _chain(packet: Any) -> list[Any]:
    """The layers, lowest first."""
    layers = []
    while isinstance(packet, dpkt.Packet):
        layers.append(packet)
        packet = packet.data
    return layers


def _pairs(packet: Any, layers: Sequence[Header]) -> list[tuple[int, Any]]:
    """The layers of dpkt's that we have headers for, with the place of ours among `layers`."""
    pairs = []
    at = 0
    for layer in _chain(packet):
        kind = KINDS.get(type(layer))
        found = next((n for n in range(at, len(layers)) if kind and isinstance(layers[n], kind)), None)
        if found is not None:
            pairs.append((found, layer))
            at = found + 1
    return pairs
