"""Forgeries: what an attacker beside the path sends is well formed, and says what it is meant to say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rawproto.link.forgery import FORGED_DATA, FORGERIES, NEAR, forge, rdt_offset
from rawproto.transport.checksums import make_checksum
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import ChecksumVerdict, Packet
from rawproto.wire.rdt import ACK, FIN, HEADER_LENGTH, PSH, RDT, RST, SYN, Mss, datagram_crc

PAYLOAD = b"x" * 100
SEQ = 5_000


def rdt(flags: int = ACK | PSH, seq: int = SEQ) -> RDT:
    return RDT(sport=50_000, dport=7000, flags=flags, packet_number=9, seq=seq, ack=77, window=4096)


V4 = IPv4(src="10.0.0.1", dst="10.1.0.1", id=0x1234)
V6 = IPv6(src="fd00::1", dst="fd00::2")
ETHER = Ethernet(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
CARRIERS: dict[str, tuple[LinkType, Callable[[Packet], bytes]]] = {
    "ipv4": (LinkType.RAW, lambda inner: bytes(V4 / inner)),
    "ipv6": (LinkType.RAW, lambda inner: bytes(V6 / inner)),
    "ethernet, ipv4": (LinkType.ETHERNET, lambda inner: bytes(ETHER / V4 / inner)),
    "ethernet, ipv6": (LinkType.ETHERNET, lambda inner: bytes(ETHER / V6 / inner)),
    "bare": (LinkType.USER0, bytes),
}


def forged(what: str, carrier: str = "ipv4", *, offset: int = 0, flags: int = ACK | PSH, bits: int = 64) -> Packet:
    linktype, carry = CARRIERS[carrier]
    model = carry(rdt(flags) / PAYLOAD)
    return Packet.parse(forge(what, model, rdt_offset(model, linktype), offset, datagram_crc, bits), linktype)


# -- what any of them is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("what", FORGERIES)
def test_a_forgery_is_well_formed_whatever_carries_it(what: str, carrier: str) -> None:
    packet = forged(what, carrier)
    assert packet.problems == ()
    assert set(packet.checksums.values()) == {ChecksumVerdict.OK}
    assert not packet.trailer
    assert (packet[RDT].sport, packet[RDT].dport) == (50_000, 7000)


@pytest.mark.parametrize(
    ("what", "flags", "payload"),
    [
        ("blind-data", ACK | PSH, FORGED_DATA),
        ("blind-reset", RST, b""),
        ("near-reset", RST, b""),
        ("near-syn", SYN, b""),
        ("syn-from-nobody", SYN, b""),
    ],
)
def test_each_forgery_is_what_its_name_says(what: str, flags: int, payload: bytes) -> None:
    packet = forged(what)
    assert packet[RDT].flags == flags
    assert packet.payload == payload
    assert packet[RDT].payload_length == len(payload)


def test_each_forgery_is_tested_here() -> None:
    assert set(FORGERIES) == {"blind-data", "blind-reset", "near-reset", "near-syn", "syn-from-nobody"}


@pytest.mark.parametrize("what", FORGERIES)
def test_its_packet_number_is_news(what: str) -> None:
    assert forged(what)[RDT].packet_number > 9


def test_only_what_acknowledges_has_an_acknowledgement_and_a_window() -> None:
    told = {what: (forged(what)[RDT].ack, forged(what)[RDT].window) for what in FORGERIES}
    assert told.pop("blind-data") == (1, 0xFFFF)
    assert set(told.values()) == {(0, 0)}


# -- where in the stream -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["blind-data", "blind-reset", "syn-from-nobody"])
def test_who_is_blind_counts_from_0(what: str) -> None:
    assert forged(what, offset=3)[RDT].seq == 3


@pytest.mark.parametrize("what", ["near-reset", "near-syn"])
@pytest.mark.parametrize(("flags", "more"), [(ACK, 0), (SYN, 1), (ACK | FIN, 1)])
def test_who_is_near_counts_from_behind_what_was_sent_last(what: str, flags: int, more: int) -> None:
    assert forged(what, offset=3, flags=flags)[RDT].seq == SEQ + len(PAYLOAD) + more + NEAR + 3


def test_the_number_is_as_wide_as_numbers_are() -> None:
    assert forged("near-reset", bits=10)[RDT].seq == (SEQ + len(PAYLOAD) + NEAR) % 1024


# -- from whom ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", FORGERIES)
@pytest.mark.parametrize(("carrier", "header"), [("ipv4", V4), ("ipv6", V6), ("ethernet, ipv6", V6)])
def test_only_what_comes_from_nobody_has_another_source(what: str, carrier: str, header: IPv4 | IPv6) -> None:
    ip = forged(what, carrier)[type(header)]
    assert ip.dst == header.dst
    assert (ip.src != header.src) == (what == "syn-from-nobody")


def test_the_rest_of_the_outer_headers_is_the_models() -> None:
    packet = forged("blind-data", "ethernet, ipv4")
    assert (packet[Ethernet].src, packet[Ethernet].dst) == (ETHER.src, ETHER.dst)
    assert (packet[IPv4].id, packet[IPv4].ttl) == (0x1234, V4.ttl)


# -- checksums ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", FORGERIES)
@pytest.mark.parametrize("name", ["internet", "none"])
def test_a_forgery_passes_whatever_checks_datagrams(what: str, name: str) -> None:
    checksum = make_checksum(name)
    assert checksum is not None
    model = bytes(V4 / rdt() / PAYLOAD)
    datagram = forge(what, model, 20, 0, checksum.compute)[20:]
    field = int.from_bytes(datagram[36:40])
    assert checksum.fits(field, datagram[:36], datagram[40:])
    assert bool(field) == (name == "internet")


# -- where a datagram begins -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("carrier", "at"), [("ipv4", 20), ("ipv6", 40), ("ethernet, ipv4", 34), ("ethernet, ipv6", 54), ("bare", 0)]
)
def test_it_is_known_where_the_datagram_begins(carrier: str, at: int) -> None:
    linktype, carry = CARRIERS[carrier]
    assert rdt_offset(carry(rdt() / b""), linktype) == at


@pytest.mark.parametrize("carrier", [name for name in CARRIERS if name != "bare"])
def test_a_header_that_is_cut_is_none(carrier: str) -> None:
    linktype, carry = CARRIERS[carrier]
    whole = carry(rdt() / b"")
    assert rdt_offset(whole[:-1], linktype) == -1


def test_on_a_link_of_bare_datagrams_each_is_one() -> None:
    assert rdt_offset(b"not even RDT", LinkType.USER0) == 0


OTHERS: dict[str, tuple[LinkType, Callable[[], bytes]]] = {
    "nothing": (LinkType.RAW, lambda: b""),
    "another protocol": (LinkType.RAW, lambda: bytes(V4.replace(protocol=17) / bytes(60))),
    "another protocol over IPv6": (LinkType.RAW, lambda: bytes(V6.replace(next_header=17) / bytes(60))),
    "options of IPv4": (LinkType.RAW, lambda: b"\x46" + bytes(V4 / rdt() / b"")[1:]),
    "another EtherType": (LinkType.ETHERNET, lambda: bytes(12) + b"\x08\x06" + bytes(V4 / rdt() / b"")),
    "a VLAN tag": (LinkType.ETHERNET, lambda: bytes(12) + b"\x81\x00\x00\x01\x08\x00" + bytes(V4 / rdt() / b"")),
    "another link": (LinkType.LINUX_SLL2, lambda: bytes(V4 / rdt() / b"")),
}


@pytest.mark.parametrize("other", OTHERS)
def test_what_holds_no_rdt_has_no_offset(other: str) -> None:
    linktype, make = OTHERS[other]
    assert rdt_offset(make(), linktype) == -1


def test_a_model_may_have_options_that_the_forgery_does_not_have() -> None:
    header = rdt(SYN).replace(options=bytes(Mss(1400)))
    model = bytes(V4 / header / b"")
    assert len(forge("near-syn", model, 20, 0, datagram_crc)) == 20 + HEADER_LENGTH < len(model)
