"""Who has which MAC address: ARP (RFC 826) and IPv6 neighbour discovery (RFC 4861) for one host, sans-I/O.

A cache with the two states that matter here. An entry is confirmed by a valid datagram from its address; one that
was not confirmed for a while is still used, and asked for again meanwhile, because an ARP answer has no checksum: if
a bit of it was flipped on the way, nothing but the silence that follows would tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rawproto.wire.address import ip_text, mac_text
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.neighbor import (
    NeighborAdvertisement,
    NeighborMessage,
    NeighborSolicitation,
    multicast_mac,
    solicited_node,
    source_link_address,
    target_link_address,
)
from rawproto.wire.packet import Packet

__all__ = ["Neighbors"]

SECOND = 1_000_000_000
RETRY_NS = SECOND
"""Between two questions for one address: RFC 1122 §2.3.2.1 (one a second), RFC 4861 §10 (RETRANS_TIMER)."""
REACHABLE_NS = 30 * SECOND
"""RFC 4861 §10, REACHABLE_TIME: how long a confirmation is good for while nothing is sent in vain."""
SUSPECT_NS = 2 * SECOND
"""After that long without a word from a neighbour that is being sent to, its address is asked for again."""
QUESTIONS = 3
"""RFC 4861 §10, MAX_MULTICAST_SOLICIT: then what waits is dropped, and asked for anew with the next datagram."""
MAX_NEIGHBORS = 1024
"""Entries kept; the oldest goes first. Anybody can invent source addresses, and each gets an entry."""
MAX_WAITING = 64
"""Datagrams kept for a neighbour whose address is not known yet."""

BROADCAST = b"\xff" * 6


def link_address(message: NeighborMessage) -> bytes | None:
    """The packed MAC address that `message` tells; None without one, or for an address of another kind of link."""
    mac = bytes.fromhex((message.link_address or "").replace(":", ""))
    return mac if len(mac) == 6 else None


@dataclass(slots=True)
class Entry:
    """What is known of one neighbour; times in ns."""

    mac: bytes | None = None
    confirmed_ns: int = 0
    asked_ns: int = 0
    questions: int = 0
    waiting: list[bytes] = field(default_factory=list)


class Neighbors:
    """The neighbour cache of the host with `ip` and `mac` (packed). Frames to send gather in `outbox`."""

    def __init__(self, ip: bytes, mac: bytes) -> None:
        self.ip = ip
        self.mac = mac
        self.outbox: list[bytes] = []
        self.unresolved = 0
        """Datagrams dropped because nobody said whose their address is."""
        self._entries: dict[bytes, Entry] = {}

    def lookup(self, ip: bytes, now: int) -> bytes | None:
        """Give the MAC address of `ip`, None if it is not known yet. Asks where there is reason to."""
        entry = self._entries.get(ip)
        if entry is None:
            entry = self._create(ip)
        if entry.mac is None:
            if not entry.questions:
                self._ask(ip, entry, now)
        elif now - entry.confirmed_ns > SUSPECT_NS and now - entry.asked_ns >= RETRY_NS:
            self._ask(ip, entry, now)
        return entry.mac

    def wait(self, ip: bytes, datagrams: Sequence[bytes]) -> None:
        """Keep `datagrams` until the address of `ip` is known; `lookup` has just said that it is not."""
        waiting = self._entries[ip].waiting
        room = MAX_WAITING - len(waiting)
        self.unresolved += max(0, len(datagrams) - room)
        waiting.extend(datagrams[:room])

    def confirm(self, ip: bytes, mac: bytes, now: int) -> None:
        """Note that a valid datagram came from `ip` with the source address `mac`."""
        entry = self._entries.get(ip)
        if entry is not None and entry.mac == mac:
            entry.confirmed_ns = now
            entry.questions = 0

    def resolved(self) -> list[tuple[bytes, list[bytes]]]:
        """Take out the datagrams that waited for what is known by now."""
        ready = [(ip, entry.waiting) for ip, entry in self._entries.items() if entry.waiting and entry.mac]
        for ip, _ in ready:
            self._entries[ip].waiting = []
        return ready

    def next_timeout(self) -> int | None:
        """When the next question is due, in ns; None for never."""
        return min((entry.asked_ns + RETRY_NS for entry in self._entries.values() if entry.questions), default=None)

    def handle_timeout(self, now: int) -> None:
        """Ask again where no answer came; after the last question, drop what waits."""
        for ip, entry in self._entries.items():
            if not entry.questions or now < entry.asked_ns + RETRY_NS:
                continue
            if entry.questions < QUESTIONS:
                self._ask(ip, entry, now)
                continue
            entry.questions = 0
            self.unresolved += len(entry.waiting)
            entry.waiting = []

    def receive_arp(self, data: bytes, now: int) -> str:
        """Process an Ethernet frame that holds ARP; give the reason if it is discarded (RFC 826)."""
        packet = Packet.parse(data)
        if ARP not in packet or packet.problems:
            return "malformed ARP"
        arp = packet[ARP]
        sender, sender_mac = arp.raw("sender_ip"), arp.raw("sender_mac")
        if arp.raw("target_ip") != self.ip or sender == self.ip:
            return ""
        if any(sender):  # RFC 5227 §1.1: a probe comes from 0.0.0.0, and is answered
            self._learn(sender, sender_mac, now, create=arp.operation == 1)
        if arp.operation == 1:
            reply = ARP(operation=2, sender_mac=self.mac, sender_ip=self.ip, target_mac=sender_mac, target_ip=sender)
            self.outbox.append(bytes(Ethernet(dst=sender_mac, src=self.mac) / reply))
        return ""

    def receive_icmpv6(self, data: bytes, now: int) -> str:
        """Process an Ethernet frame that holds ICMPv6; give the reason if it is discarded (RFC 4861 §7.1)."""
        packet = Packet.parse(data)
        if packet.problems or packet.checksums.get("ICMPv6") != "ok":
            return "malformed ICMPv6"
        if NeighborSolicitation in packet and packet[IPv6].hop_limit == 255:
            self._answer(packet, now)
        elif NeighborAdvertisement in packet and packet[IPv6].hop_limit == 255:
            message = packet[NeighborAdvertisement]
            mac = link_address(message)
            if mac is not None:
                self._learn(message.raw("target"), mac, now, create=False)
        return ""

    def _answer(self, packet: Packet, now: int) -> None:
        """RFC 4861 §7.2.3, §7.2.4."""
        question = packet[NeighborSolicitation]
        sender = packet[IPv6].raw("src")
        mac = link_address(question)
        if question.raw("target") != self.ip or mac is None or not any(sender):
            return
        self._learn(sender, mac, now, create=True)
        answer = NeighborAdvertisement(
            solicited=1, override=1, target=self.ip, options=bytes(target_link_address(self.mac))
        )
        ip = IPv6(src=self.ip, dst=sender, hop_limit=255)
        self.outbox.append(bytes(Ethernet(dst=mac, src=self.mac) / ip / answer))

    def _learn(self, ip: bytes, mac: bytes, now: int, *, create: bool) -> None:
        entry = self._entries.get(ip)
        if entry is None:
            if not create:
                return
            entry = self._create(ip)
        entry.mac = mac
        entry.confirmed_ns = now
        entry.questions = 0

    def _create(self, ip: bytes) -> Entry:
        if len(self._entries) >= MAX_NEIGHBORS:
            oldest = self._entries.pop(next(iter(self._entries)))
            self.unresolved += len(oldest.waiting)
        entry = self._entries[ip] = Entry()
        return entry

    def _ask(self, ip: bytes, entry: Entry, now: int) -> None:
        entry.asked_ns = now
        entry.questions += 1
        if len(ip) == 4:
            question = ARP(operation=1, sender_mac=self.mac, sender_ip=self.ip, target_ip=ip)
            self.outbox.append(bytes(Ethernet(dst=BROADCAST, src=self.mac) / question))
            return
        group = solicited_node(ip)
        packet = (
            Ethernet(dst=multicast_mac(group), src=self.mac)
            / IPv6(src=self.ip, dst=group, hop_limit=255)
            / NeighborSolicitation(target=ip, options=bytes(source_link_address(self.mac)))
        )
        self.outbox.append(bytes(packet))

    def describe(self) -> str:
        """The cache for people, one neighbour a line."""
        return "\n".join(
            f"{ip_text(ip)} at {mac_text(entry.mac) if entry.mac else 'unknown'}" for ip, entry in self._entries.items()
        )
