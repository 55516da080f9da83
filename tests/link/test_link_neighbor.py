"""Who has which MAC address: ARP and neighbour discovery, by hand."""

from __future__ import annotations

import pytest

from rawproto.link.neighbor import MAX_NEIGHBORS, MAX_WAITING, QUESTIONS, RETRY_NS, SUSPECT_NS, Neighbors
from rawproto.wire.address import pack_ip, pack_mac
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.neighbor import (
    NeighborAdvertisement,
    NeighborOption,
    NeighborSolicitation,
    solicited_node,
    source_link_address,
    target_link_address,
)
from rawproto.wire.packet import Packet

MY_MAC, PEER_MAC, WRONG_MAC = (pack_mac(f"02:00:00:00:00:0{digit}") for digit in (1, 2, 9))
ME, PEER = pack_ip("10.0.0.1"), pack_ip("10.0.0.2")
ME6, PEER6 = pack_ip("fd00::1"), pack_ip("fd00::2")
BROADCAST = b"\xff" * 6


@pytest.fixture
def arp() -> Neighbors:
    return Neighbors(ME, MY_MAC)


@pytest.fixture
def nd() -> Neighbors:
    return Neighbors(ME6, MY_MAC)


def take(neighbors: Neighbors) -> list[Packet]:
    frames, neighbors.outbox = neighbors.outbox, []
    packets = [Packet.parse(frame) for frame in frames]
    assert not any(packet.problems for packet in packets)
    return packets


def arp_frame(operation: int, *, sender: bytes = PEER, mac: bytes = PEER_MAC, target: bytes = ME) -> bytes:
    message = ARP(operation=operation, sender_mac=mac, sender_ip=sender, target_mac=MY_MAC, target_ip=target)
    return bytes(Ethernet(dst=MY_MAC, src=mac) / message)


def solicitation(target: bytes = ME6, *, sender: bytes = PEER6, options: bytes | None = None, hops: int = 255) -> bytes:
    options = bytes(source_link_address(PEER_MAC)) if options is None else options
    message = NeighborSolicitation(target=target, options=options)
    return bytes(
        Ethernet(dst=MY_MAC, src=PEER_MAC) / IPv6(src=sender, dst=solicited_node(target), hop_limit=hops) / message
    )


def advertisement(target: bytes = PEER6, *, options: bytes | None = None, hops: int = 255) -> bytes:
    options = bytes(target_link_address(PEER_MAC)) if options is None else options
    message = NeighborAdvertisement(solicited=1, override=1, target=target, options=options)
    return bytes(Ethernet(dst=MY_MAC, src=PEER_MAC) / IPv6(src=PEER6, dst=ME6, hop_limit=hops) / message)


def test_an_unknown_address_is_asked_for_by_broadcast(arp: Neighbors) -> None:
    assert arp.lookup(PEER, 0) is None
    (question,) = take(arp)
    assert question[Ethernet].raw("dst") == BROADCAST
    message = question[ARP]
    assert (message.operation, message.raw("target_ip"), message.raw("sender_mac")) == (1, PEER, MY_MAC)


def test_the_reply_is_learnt_and_releases_what_waited(arp: Neighbors) -> None:
    arp.lookup(PEER, 0)
    arp.wait(PEER, [b"one", b"two"])
    assert arp.receive_arp(arp_frame(2), 5) == ""
    assert arp.lookup(PEER, 6) == PEER_MAC
    assert arp.resolved() == [(PEER, [b"one", b"two"])]
    assert arp.resolved() == []
    assert arp.next_timeout() is None


def test_a_request_for_this_host_is_answered_and_its_sender_learnt(arp: Neighbors) -> None:
    arp.receive_arp(arp_frame(1), 0)
    (reply,) = take(arp)
    assert reply[Ethernet].raw("dst") == PEER_MAC
    assert (reply[ARP].operation, reply[ARP].raw("sender_ip"), reply[ARP].raw("sender_mac")) == (2, ME, MY_MAC)
    assert arp.lookup(PEER, 1) == PEER_MAC
    assert take(arp) == []


def test_a_request_for_another_host_is_not_answered(arp: Neighbors) -> None:
    arp.receive_arp(arp_frame(1, target=pack_ip("10.0.0.3")), 0)
    assert take(arp) == []


def test_a_probe_is_answered_and_teaches_nothing(arp: Neighbors) -> None:
    """RFC 5227 §1.1: it comes from 0.0.0.0."""
    arp.receive_arp(arp_frame(1, sender=bytes(4)), 0)
    assert len(take(arp)) == 1
    assert arp.describe() == ""


def test_a_reply_that_was_not_asked_for_teaches_nothing(arp: Neighbors) -> None:
    arp.receive_arp(arp_frame(2), 0)
    assert arp.describe() == ""


def test_nobody_takes_this_hosts_address(arp: Neighbors) -> None:
    arp.receive_arp(arp_frame(1, sender=ME, mac=WRONG_MAC), 0)
    assert take(arp) == []
    assert arp.describe() == ""


def test_a_question_is_repeated_then_what_waits_is_dropped(arp: Neighbors) -> None:
    arp.lookup(PEER, 0)
    arp.wait(PEER, [b"a", b"b"])
    asked = len(take(arp))
    now = 0
    while (due := arp.next_timeout()) is not None:
        assert due == now + RETRY_NS
        now = due
        arp.handle_timeout(now)
        asked += len(take(arp))
    assert (asked, now, arp.unresolved) == (QUESTIONS, QUESTIONS * RETRY_NS, 2)
    arp.receive_arp(arp_frame(2), now)
    assert arp.resolved() == []


def test_the_next_datagram_asks_anew(arp: Neighbors) -> None:
    arp.lookup(PEER, 0)
    for attempt in range(1, QUESTIONS + 1):
        arp.handle_timeout(attempt * RETRY_NS)
    take(arp)
    arp.lookup(PEER, 10 * RETRY_NS)
    assert len(take(arp)) == 1
    assert arp.next_timeout() == 11 * RETRY_NS


def test_one_question_is_enough_for_many_datagrams(arp: Neighbors) -> None:
    for _ in range(10):
        arp.lookup(PEER, 0)
    assert len(take(arp)) == 1


def test_only_so_many_datagrams_wait(arp: Neighbors) -> None:
    arp.lookup(PEER, 0)
    arp.wait(PEER, [b"x"] * (MAX_WAITING - 1))
    arp.wait(PEER, [b"y"] * 5)
    assert arp.unresolved == 4
    arp.receive_arp(arp_frame(2), 1)
    assert len(arp.resolved()[0][1]) == MAX_WAITING


def test_a_poisoned_entry_heals_itself(arp: Neighbors) -> None:
    arp.lookup(PEER, 0)
    arp.receive_arp(arp_frame(2, mac=WRONG_MAC), 0)
    take(arp)
    assert arp.lookup(PEER, SUSPECT_NS) == WRONG_MAC
    assert take(arp) == []
    assert arp.lookup(PEER, SUSPECT_NS + 1) == WRONG_MAC  # still used, and asked for again
    assert len(take(arp)) == 1
    arp.receive_arp(arp_frame(2), SUSPECT_NS + 2)
    assert arp.lookup(PEER, SUSPECT_NS + 3) == PEER_MAC
    assert arp.next_timeout() is None


def test_a_neighbour_that_is_heard_is_not_suspected(arp: Neighbors) -> None:
    arp.lookup(PEER, 0)
    arp.receive_arp(arp_frame(2), 0)
    take(arp)
    arp.confirm(PEER, PEER_MAC, 10 * SUSPECT_NS)
    arp.lookup(PEER, 11 * SUSPECT_NS)
    assert take(arp) == []
    arp.confirm(PEER, WRONG_MAC, 20 * SUSPECT_NS)  # somebody else confirms nothing
    arp.lookup(PEER, 20 * SUSPECT_NS)
    assert len(take(arp)) == 1


def test_invented_neighbours_don_t_fill_the_memory(arp: Neighbors) -> None:
    for number in range(3 * MAX_NEIGHBORS):
        address = pack_ip(f"10.1.{number // 250}.{number % 250}")
        if number % 2:
            arp.receive_arp(arp_frame(1, sender=address), 0)
        else:
            arp.lookup(address, 0)
            arp.wait(address, [b"x"])
    assert len(arp.describe().splitlines()) == MAX_NEIGHBORS


def test_the_cache_can_be_shown(arp: Neighbors) -> None:
    arp.receive_arp(arp_frame(1), 0)
    arp.lookup(pack_ip("10.0.0.7"), 0)
    assert arp.describe() == "10.0.0.2 at 02:00:00:00:00:02\n10.0.0.7 at unknown"


@pytest.mark.parametrize("cut", [0, 1, 27])
def test_malformed_arp_has_its_reason(arp: Neighbors, cut: int) -> None:
    assert arp.receive_arp(arp_frame(1)[: 14 + cut], 0) == "malformed ARP"


def test_a_solicitation_goes_to_the_solicited_node(nd: Neighbors) -> None:
    nd.lookup(PEER6, 0)
    (question,) = take(nd)
    assert question[Ethernet].raw("dst") == pack_mac("33:33:ff:00:00:02")
    assert (question[IPv6].raw("dst"), question[IPv6].hop_limit) == (pack_ip("ff02::1:ff00:2"), 255)
    assert question[NeighborSolicitation].raw("target") == PEER6
    assert question[NeighborSolicitation].link_address == "02:00:00:00:00:01"
    assert question.checksums["ICMPv6"] == "ok"


def test_an_advertisement_is_learnt(nd: Neighbors) -> None:
    nd.lookup(PEER6, 0)
    nd.wait(PEER6, [b"x"])
    assert nd.receive_icmpv6(advertisement(), 1) == ""
    assert nd.resolved() == [(PEER6, [b"x"])]
    assert nd.lookup(PEER6, 2) == PEER_MAC


def test_a_solicitation_is_answered(nd: Neighbors) -> None:
    assert nd.receive_icmpv6(solicitation(), 0) == ""
    (answer,) = take(nd)
    message = answer[NeighborAdvertisement]
    assert (answer[Ethernet].raw("dst"), answer[IPv6].raw("dst"), answer[IPv6].hop_limit) == (PEER_MAC, PEER6, 255)
    assert (message.solicited, message.override, message.raw("target")) == (1, 1, ME6)
    assert message.link_address == "02:00:00:00:00:01"
    assert answer.checksums["ICMPv6"] == "ok"
    assert nd.lookup(PEER6, 1) == PEER_MAC


@pytest.mark.parametrize(
    "frame",
    [
        solicitation(PEER6),
        solicitation(hops=254),
        solicitation(options=b""),
        solicitation(sender=bytes(16)),
        solicitation(options=bytes(NeighborOption(1, bytes(14)))),
    ],
    ids=["for another", "routed", "without an address", "from nobody", "with a long address"],
)
def test_such_a_solicitation_is_not_answered(nd: Neighbors, frame: bytes) -> None:
    nd.receive_icmpv6(frame, 0)
    assert take(nd) == []
    assert nd.describe() == ""


@pytest.mark.parametrize(
    "frame",
    [
        advertisement(hops=64),
        advertisement(options=b""),
        advertisement(pack_ip("fd00::3")),
        advertisement(options=bytes(NeighborOption(2, bytes(14)))),
    ],
    ids=["routed", "without an address", "of another", "with a long address"],
)
def test_such_an_advertisement_teaches_nothing(nd: Neighbors, frame: bytes) -> None:
    nd.lookup(PEER6, 0)
    nd.receive_icmpv6(frame, 0)
    assert nd.lookup(PEER6, 1) is None


def test_a_damaged_message_has_its_reason(nd: Neighbors) -> None:
    frame = bytearray(advertisement())
    frame[-1] ^= 1
    assert nd.receive_icmpv6(bytes(frame), 0) == "malformed ICMPv6"
