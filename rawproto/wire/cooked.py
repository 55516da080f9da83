"""Linux cooked captures: what `tcpdump -i any` records in place of each device's own header.

They are never on a wire. `LinuxCooked` is LINKTYPE_LINUX_SLL, `LinuxCooked2` LINKTYPE_LINUX_SLL2.
"""

from __future__ import annotations

from rawproto.wire.ethernet import Ethernet
from rawproto.wire.field import Octets, computed, field, octets
from rawproto.wire.frame import LinkType
from rawproto.wire.header import ETHERTYPES, Header
from rawproto.wire.llc import LLC, LOCAL_EXPERIMENTAL
from rawproto.wire.names import ETHERTYPE_NAMES, HARDWARE_NAMES

__all__ = ["LinuxCooked", "LinuxCooked2"]

SLL, SLL2 = "tcpdump.org LINKTYPE_LINUX_SLL", "tcpdump.org LINKTYPE_LINUX_SLL2"
PACKET_TYPES = {0: "to us", 1: "broadcast", 2: "multicast", 3: "to another host", 4: "from us"}
NOVELL, ETHERNET, LLC_HEADER = 1, 3, 4
PROTOCOLS = {**ETHERTYPE_NAMES, NOVELL: "Novell 802.3", ETHERNET: "Ethernet", LLC_HEADER: "LLC"}
NETLINK = 824
"""The hardware type of netlink's own device: the protocol is one of netlink's then."""


class LinuxCooked(Header, linktype=LinkType.LINUX_SLL, source=SLL):
    """The header of a cooked capture, 16 bytes."""

    __slots__ = ()
    type_field = "protocol"
    packet_type: int = field(16, 0, "whose it is", SLL, names=PACKET_TYPES)
    hardware_type: int = field(16, 1, "kind of device", SLL, names=HARDWARE_NAMES)
    address_length: int = field(16, 6, "bytes of the sender's hardware address", SLL)
    address: Octets = octets(8, "the sender's hardware address, or its first 8 bytes", SLL)
    protocol: int | None = computed(16, "type of the payload", SLL, names=PROTOCOLS, base=16)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the type of `above`."""
        return self.pack(protocol=_protocol_of(above))

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """What the protocol stands for."""
        return _above(self.hardware_type, self.protocol or 0)


class LinuxCooked2(Header, linktype=LinkType.LINUX_SLL2, source=SLL2):
    """The header of a cooked capture that also tells the interface, 20 bytes."""

    __slots__ = ()
    type_field = "protocol"
    protocol: int | None = computed(16, "type of the payload", SLL2, names=PROTOCOLS, base=16)
    reserved: int = field(16, 0, "reserved", SLL2)
    interface: int = field(32, 0, "index of the interface", SLL2)
    hardware_type: int = field(16, 1, "kind of device", SLL2, names=HARDWARE_NAMES)
    packet_type: int = field(8, 0, "whose it is", SLL2, names=PACKET_TYPES)
    address_length: int = field(8, 6, "bytes of the sender's hardware address", SLL2)
    address: Octets = octets(8, "the sender's hardware address, or its first 8 bytes", SLL2)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the type of `above`."""
        return self.pack(protocol=_protocol_of(above))

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """What the protocol stands for."""
        return _above(self.hardware_type, self.protocol or 0)


def _above(hardware_type: int, protocol: int) -> type[Header] | None:
    if hardware_type == NETLINK:
        return None
    if protocol == LLC_HEADER:
        return LLC
    return Ethernet if protocol == ETHERNET else ETHERTYPES.get(protocol)


def _protocol_of(above: Header | None) -> int:
    """The number that announces `above`."""
    if isinstance(above, LLC):
        return LLC_HEADER
    if isinstance(above, Ethernet):
        return ETHERNET
    number = above.ether_number if above is not None else None
    return LOCAL_EXPERIMENTAL if number is None else number
