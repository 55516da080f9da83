"""A frame: bytes, plus what the wire knew of them.

Links receive frames, captures store them, the parser reads them. A frame is a value; it holds no socket,
no file and no view of a buffer that somebody will write over.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Self

__all__ = ["ChecksumStatus", "Direction", "Frame", "LinkType"]


class OpenIntEnum(IntEnum):
    """An IntEnum that keeps a number it has no name for, as a member made on the spot."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member


class LinkType(OpenIntEnum):
    """What the first byte of a frame belongs to: the LINKTYPE_ numbers of pcap and pcapng.

    Frames of a type that nothing here can read are kept as bytes.
    """

    NULL = 0
    ETHERNET = 1
    AX25 = 3
    IEEE802_5 = 6
    SLIP = 8
    PPP = 9
    FDDI = 10
    RAW_BSD = 12
    """`RAW` as FreeBSD, macOS and Linux number it in old files."""
    RAW_OPENBSD = 14
    """`RAW` as OpenBSD numbers it in old files."""
    PPP_HDLC = 50
    PPP_ETHER = 51
    ATM_RFC1483 = 100
    RAW = 101
    C_HDLC = 104
    IEEE802_11 = 105
    FRELAY = 107
    LOOP = 108
    LINUX_SLL = 113
    PFLOG = 117
    IEEE802_11_PRISM = 119
    IEEE802_11_RADIOTAP = 127
    USER0 = 147
    IEEE802_11_AVS = 163
    BLUETOOTH_HCI_H4 = 187
    USB_LINUX = 189
    IEEE802_15_4_WITHFCS = 195
    ERF = 197
    BLUETOOTH_HCI_H4_WITH_PHDR = 201
    USB_LINUX_MMAPPED = 220
    CAN_SOCKETCAN = 227
    IPV4 = 228
    IPV6 = 229
    IEEE802_15_4_NOFCS = 230
    DBUS = 231
    NFLOG = 239
    SCTP = 248
    USBPCAP = 249
    WIRESHARK_UPPER_PDU = 252
    NETLINK = 253
    BLUETOOTH_LINUX_MONITOR = 254
    VSOCK = 271
    NORDIC_BLE = 272
    ETHERNET_MPACKET = 274
    LINUX_SLL2 = 276


class Direction(IntEnum):
    """Which way the frame went, seen from the host that recorded it (pcapng `epb_flags` bits 0-1)."""

    UNKNOWN = 0
    INBOUND = 1
    OUTBOUND = 2


class ChecksumStatus(IntEnum):
    """What is known of the transport checksum before looking at it."""

    UNKNOWN = 0
    VERIFIED = 1
    """The kernel or the card has checked it."""
    OFFLOADED = 2
    """It was left for hardware to fill in (TP_STATUS_CSUMNOTREADY): its value means nothing."""


class Frame(NamedTuple):
    """One frame. A tuple, because links make hundreds of thousands of them a second.

    `original_length` is the length on the wire; `None` means that `data` is all of it. `peer` is the address
    a datagram came from, for links whose frames carry none in their bytes (UDP, AF_UNIX).
    """

    data: bytes
    time_ns: int = 0
    linktype: LinkType = LinkType.ETHERNET
    interface: str = ""
    direction: Direction = Direction.UNKNOWN
    original_length: int | None = None
    vlan_tci: int | None = None
    checksum: ChecksumStatus = ChecksumStatus.UNKNOWN
    peer: str = ""

    @property
    def wire_length(self) -> int:
        """Bytes that the frame had on the wire."""
        return len(self.data) if self.original_length is None else self.original_length
