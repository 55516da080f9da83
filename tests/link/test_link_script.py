"""The scripted wire: each event strikes the datagram it names and no other, and what was done is noted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rawproto.errors import ConfigError
from rawproto.link.base import Link
from rawproto.link.script import KINDS, WIRE_KINDS, Event, ScriptedLink, WireLog
from rawproto.wire.arp import ARP
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.rdt import ACK, HEADER_LENGTH, PSH, RDT

MS = 1_000_000
IP = 20
PAYLOAD = bytes(range(100))


class Sink(Link):
    """Keeps what is sent, and gives what it was told to give."""

    def __init__(self, linktype: LinkType = LinkType.RAW, due: int | None = None) -> None:
        self.linktype = linktype
        self.mtu = 1500
        self.due = due
        self.called: list[int] = []
        self.arrivals: list[tuple[int, bytes]] = []
        self.peers: list[str] = []
        self.incoming: list[bytes] = []
        self.closed = False

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        self.arrivals += [(now, frame) for frame in frames]
        self.peers += [peer] * len(frames)

    def receive(self, now: int) -> list[Frame]:
        incoming, self.incoming = self.incoming, []
        return [Frame(data, now, self.linktype) for data in incoming]

    def next_timeout(self) -> int | None:
        return self.due

    def handle_timeout(self, now: int) -> None:
        self.called.append(now)

    def close(self) -> None:
        self.closed = True

    @property
    def frames(self) -> list[bytes]:
        return [frame for _, frame in self.arrivals]


def datagram(number: int = 1, payload: bytes = PAYLOAD) -> bytes:
    header = RDT(sport=50_000, dport=7000, flags=ACK | PSH, packet_number=number, seq=1000 + number, ack=1, window=5)
    return bytes(IPv4(src="10.0.0.1", dst="10.1.0.1") / header / payload)


DATAGRAMS = [datagram(number) for number in range(1, 5)]
FIRST, SECOND, THIRD, FOURTH = DATAGRAMS


def scripted(*events: Event, **options: Any) -> tuple[ScriptedLink, Sink]:
    sink = Sink()
    return ScriptedLink(sink, "client", events, **options), sink


def let_go(link: ScriptedLink) -> None:
    """Let all that is held go, each when it is due."""
    while (due := link.next_timeout()) is not None:
        link.handle_timeout(due)


# -- what strikes, and what does not -----------------------------------------------------------------------------------


def test_without_events_all_passes_as_it_is() -> None:
    link, sink = scripted()
    link.send(DATAGRAMS, 7, "peer")
    assert sink.arrivals == [(7, frame) for frame in DATAGRAMS]
    assert sink.peers == ["peer"] * 4


def test_a_dropped_datagram_is_the_one_that_was_named() -> None:
    link, sink = scripted(Event("drop", packet=2))
    link.send(DATAGRAMS, 0)
    assert sink.frames == [FIRST, THIRD, FOURTH]


def test_datagrams_are_counted_over_all_calls() -> None:
    link, sink = scripted(Event("drop", packet=3))
    for frame in DATAGRAMS:
        link.send([frame], 0)
    assert sink.frames == [FIRST, SECOND, FOURTH]
    assert link.count == 4


def test_what_holds_no_rdt_passes_uncounted() -> None:
    sink = Sink(LinkType.ETHERNET)
    link = ScriptedLink(sink, "client", [Event("drop", packet=1)])
    ether = Ethernet(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    question = bytes(ether / ARP())
    other = bytes(ether / IPv4(src="10.0.0.1", dst="10.1.0.1", protocol=17) / bytes(60))
    first, second = (bytes(12) + b"\x08\x00" + frame for frame in (FIRST, SECOND))
    link.send([question, other, first, second], 0)
    assert sink.frames == [question, other, second]
    assert link.count == 2
    assert len(link.log.sent) == 2


def test_the_other_side_is_not_struck() -> None:
    link, sink = scripted(Event("drop", "server", 1), Event("outage", "server", start_ns=0, for_ns=MS))
    link.send([FIRST], 0)
    assert sink.frames == [FIRST]
    assert link.fired == {}


def test_what_befalls_a_host_is_not_the_links_business() -> None:
    link, _ = scripted(Event("restart", start_ns=5), Event("drop", packet=1))
    assert list(link.fired) == [Event("drop", packet=1)]


# -- each kind ---------------------------------------------------------------------------------------------------------


def test_a_duplicate_follows_its_original_at_once() -> None:
    link, sink = scripted(Event("duplicate", packet=1))
    link.send([FIRST, SECOND], 3)
    assert sink.arrivals == [(3, FIRST), (3, FIRST), (3, SECOND)]


def test_a_late_duplicate_comes_when_it_is_due_and_not_before() -> None:
    link, sink = scripted(Event("duplicate", packet=1, for_ns=10))
    link.send([FIRST, SECOND], 3, "peer")
    assert link.next_timeout() == 13
    link.handle_timeout(12)
    assert sink.frames == [FIRST, SECOND]
    link.handle_timeout(13)
    assert sink.arrivals[-1] == (13, FIRST)
    assert sink.peers == ["peer"] * 3


def test_a_delayed_datagram_is_overtaken() -> None:
    link, sink = scripted(Event("delay", packet=1, for_ns=10))
    link.send([FIRST, SECOND], 3)
    let_go(link)
    assert sink.arrivals == [(3, SECOND), (13, FIRST)]


@pytest.mark.parametrize(("at", "byte", "bit"), [(0, 0, 0), (7, 0, 7), (40 * 8 + 3, 40, 3)])
def test_a_flip_changes_the_bit_that_it_names_within_the_rdt_datagram(at: int, byte: int, bit: int) -> None:
    link, sink = scripted(Event("flip", packet=1, at=at))
    link.send([FIRST], 0)
    wanted = bytearray(FIRST)
    wanted[IP + byte] ^= 1 << bit
    assert sink.frames == [bytes(wanted)]


def test_the_bits_of_a_flip_are_counted_round_and_round() -> None:
    size = (len(FIRST) - IP) * 8
    link, sink = scripted(Event("flip", packet=1, at=size + 5), Event("flip", packet=2, at=5))
    link.send([FIRST, FIRST], 0)
    assert sink.frames[0] == sink.frames[1] != FIRST


def test_a_swap_exchanges_two_words_of_the_rdt_datagram() -> None:
    link, sink = scripted(Event("swap", packet=1, at=20, to=22))
    link.send([FIRST], 0)
    payload = PAYLOAD[4:6] + PAYLOAD[2:4] + PAYLOAD[:2] + PAYLOAD[6:]
    assert sink.frames == [FIRST[: IP + HEADER_LENGTH] + payload]


def test_a_swap_of_equal_words_has_not_struck() -> None:
    event = Event("swap", packet=1, at=20, to=22)
    link, sink = scripted(event)
    alike = datagram(payload=bytes(20))
    link.send([alike], 0)
    assert sink.frames == [alike]
    assert link.fired[event] == 0
    assert link.log.sent[0].fate == ()


def test_a_swap_of_a_word_with_itself_has_not_struck() -> None:
    event = Event("swap", packet=1, at=3, to=3)
    link, _ = scripted(event)
    link.send([FIRST], 0)
    assert link.fired[event] == 0


def test_a_truncation_leaves_so_many_octets_of_the_rdt_datagram() -> None:
    link, sink = scripted(Event("truncate", packet=1, at=50))
    link.send([FIRST], 0)
    assert sink.frames == [FIRST[: IP + 50]]


def test_a_truncation_always_takes_something_away() -> None:
    size = len(FIRST) - IP
    link, sink = scripted(Event("truncate", packet=1, at=size), Event("truncate", packet=2, at=size + 3))
    link.send([FIRST, SECOND], 0)
    assert [len(frame) - IP for frame in sink.frames] == [0, 3]


def test_a_forgery_follows_what_it_was_made_like() -> None:
    link, sink = scripted(Event("forge", packet=1, what="blind-reset", at=5))
    link.send([FIRST, SECOND], 3, "peer")
    assert sink.frames == [FIRST, SECOND]
    let_go(link)
    assert [now for now, _ in sink.arrivals] == [3, 3, 3]
    assert sink.peers == ["peer"] * 3
    assert len(sink.frames[2]) == IP + HEADER_LENGTH


def test_a_forgery_is_noted_as_nobodys_with_the_time_at_which_it_leaves() -> None:
    link, _ = scripted(Event("forge", packet=1, what="blind-data", for_ns=10))
    link.send([FIRST], 3)
    forged = next(sent for sent in link.log.sent if not sent.number)
    assert (forged.time_ns, forged.side, forged.fate) == (13, "client", ("forge",))
    assert [sent.fate for sent in link.log.sent if sent.number] == [()]


def test_an_outage_takes_what_is_sent_while_it_lasts() -> None:
    link, sink = scripted(Event("outage", start_ns=10, for_ns=10))
    for now, frame in zip((9, 10, 19, 20), DATAGRAMS, strict=True):
        link.send([frame], now)
    assert sink.frames == [FIRST, FOURTH]
    assert list(link.fired.values()) == [2]


def test_a_smaller_mtu_takes_what_is_longer_from_then_on() -> None:
    link, sink = scripted(Event("shrink_mtu", start_ns=10, at=len(FIRST)))
    longer = datagram(payload=PAYLOAD + b"!")
    for now, frame in ((9, longer), (10, longer), (10, FIRST), (1 << 60, longer)):
        link.send([frame], now)
    assert sink.arrivals == [(9, longer), (10, FIRST)]


def test_the_header_of_ethernet_does_not_count_for_the_mtu() -> None:
    sink = Sink(LinkType.ETHERNET)
    link = ScriptedLink(sink, "client", [Event("shrink_mtu", at=len(FIRST))])
    fits = bytes(12) + b"\x08\x00" + FIRST
    link.send([fits, fits + b"!"], 0)
    assert sink.frames == [fits]


def test_times_of_events_count_from_when_the_link_began() -> None:
    link, sink = scripted(Event("outage", start_ns=10, for_ns=10), start_ns=1000)
    link.send([FIRST], 15)
    link.send([SECOND], 1010)
    link.send([THIRD], 1020)
    assert sink.frames == [FIRST, THIRD]


# -- several events for one datagram -----------------------------------------------------------------------------------


def test_all_damage_to_a_datagram_adds_up() -> None:
    link, sink = scripted(Event("flip", packet=1, at=0), Event("truncate", packet=1, at=50))
    link.send([FIRST], 0)
    assert sink.frames == [FIRST[:IP] + bytes((FIRST[IP] ^ 1,)) + FIRST[IP + 1 : IP + 50]]
    assert link.log.sent[0].fate == ("flip", "truncate")


def test_damage_to_a_datagram_that_is_dropped_has_struck() -> None:
    events = (Event("flip", packet=1, at=9), Event("drop", packet=1))
    link, sink = scripted(*events)
    link.send([FIRST], 0)
    assert sink.frames == []
    assert link.fired == dict.fromkeys(events, 1)


@pytest.mark.parametrize("kind", ["delay", "duplicate"])
def test_a_dropped_datagram_can_be_neither_late_nor_doubled(kind: str) -> None:
    event = Event(kind, packet=1, for_ns=5)
    link, sink = scripted(event, Event("drop", packet=1))
    link.send([FIRST], 0)
    let_go(link)
    assert sink.frames == []
    assert link.fired[event] == 0


def test_beside_a_dropped_datagram_a_forgery_still_comes() -> None:
    event = Event("forge", packet=1, what="near-reset")
    link, sink = scripted(event, Event("drop", packet=1))
    link.send([FIRST], 0)
    let_go(link)
    assert len(sink.frames) == 1
    assert link.fired[event] == 1


def test_a_copy_is_damaged_like_its_original() -> None:
    link, sink = scripted(Event("duplicate", packet=1, for_ns=5), Event("flip", packet=1, at=0))
    link.send([FIRST], 0)
    let_go(link)
    assert sink.frames[0] == sink.frames[1] != FIRST


@pytest.mark.parametrize("delay_first", [True, False])
@pytest.mark.parametrize("copy_ns", [0, 20])
def test_a_delayed_datagram_keeps_its_copy(delay_first: bool, copy_ns: int) -> None:
    events = (Event("delay", packet=1, for_ns=5), Event("duplicate", packet=1, for_ns=copy_ns))
    link, sink = scripted(*(events if delay_first else events[::-1]))
    link.send([FIRST], 0)
    assert sink.frames == []
    let_go(link)
    assert sink.arrivals == [(5, FIRST), (copy_ns or 5, FIRST)]
    assert link.fired == dict.fromkeys(events, 1)


def test_a_forgery_is_made_like_what_was_handed_over_not_like_its_damage() -> None:
    link, sink = scripted(Event("flip", packet=1, at=33), Event("forge", packet=1, what="blind-reset"))
    link.send([FIRST], 0)
    let_go(link)
    assert sink.frames[1][IP + 4 : IP + 8] == FIRST[IP + 4 : IP + 8]  # the ports


def test_outages_that_overlap_have_both_struck() -> None:
    events = (Event("outage", start_ns=0, for_ns=10), Event("outage", start_ns=5, for_ns=10))
    link, sink = scripted(*events)
    link.send([FIRST], 7)
    assert sink.frames == []
    assert link.fired == dict.fromkeys(events, 1)


# -- what is held ------------------------------------------------------------------------------------------------------


def test_what_is_held_goes_in_the_order_in_which_it_is_due() -> None:
    delays = (30, 10, 20, 10)
    link, sink = scripted(*(Event("delay", packet=n + 1, for_ns=delay) for n, delay in enumerate(delays)))
    link.send(DATAGRAMS, 0)
    let_go(link)
    assert sink.arrivals == [(10, SECOND), (10, FOURTH), (20, THIRD), (30, FIRST)]


def test_the_latest_of_what_is_held_is_known() -> None:
    link, _ = scripted(Event("delay", packet=1, for_ns=30), Event("delay", packet=2, for_ns=20))
    assert link.latest_ns == 0
    link.send([FIRST, SECOND], 5)
    assert link.latest_ns == 35
    let_go(link)
    assert link.latest_ns == 0


def test_the_inner_link_is_still_called_when_it_wants_to_be() -> None:
    sink = Sink(due=50)
    link = ScriptedLink(sink, "client", [Event("delay", packet=1, for_ns=70), Event("delay", packet=2, for_ns=20)])
    assert link.next_timeout() == 50
    link.send([FIRST], 0)
    assert link.next_timeout() == 50
    link.send([SECOND], 0)
    assert link.next_timeout() == 20
    link.handle_timeout(20)
    assert sink.called == [20]


def test_closing_forgets_what_is_held() -> None:
    link, sink = scripted(Event("delay", packet=1, for_ns=30))
    link.send([FIRST], 0)
    link.close()
    link.handle_timeout(30)
    assert sink.frames == []
    assert sink.closed


# -- what is noted -----------------------------------------------------------------------------------------------------


def test_the_log_has_every_datagram_as_it_was_handed_over() -> None:
    link, _ = scripted(Event("flip", packet=1, at=1), Event("drop", packet=2), Event("duplicate", packet=3))
    link.send(DATAGRAMS, 9)
    assert [sent.frame for sent in link.log.sent] == DATAGRAMS
    assert [sent.number for sent in link.log.sent] == [1, 2, 3, 4]
    assert [sent.fate for sent in link.log.sent] == [("flip",), ("drop",), ("duplicate",), ()]
    assert {(sent.time_ns, sent.side) for sent in link.log.sent} == {(9, "client")}


def test_what_comes_is_given_and_noted_if_it_holds_rdt() -> None:
    link, sink = scripted()
    other = bytes(IPv4(src="10.0.0.1", dst="10.1.0.1", protocol=17) / bytes(60))
    sink.incoming = [FIRST, other]
    assert [frame.data for frame in link.receive(4)] == [FIRST, other]
    assert [tuple(arrived) for arrived in link.log.arrived] == [(4, "client", FIRST)]


def test_both_sides_may_share_a_log() -> None:
    log = WireLog()
    for side in ("client", "server"):
        ScriptedLink(Sink(), side, log=log).send([FIRST], 0)
    assert [sent.side for sent in log.sent] == ["client", "server"]


def test_each_stroke_is_told_with_its_time() -> None:
    told: list[tuple[str, int]] = []
    link, _ = scripted(
        Event("drop", packet=2),
        Event("outage", start_ns=50, for_ns=10),
        on_fired=lambda event, now: told.append((event.kind, now)),
    )
    for now, frame in zip((0, 10, 50, 59), DATAGRAMS, strict=True):
        link.send([frame], now)
    assert told == [("drop", 10), ("outage", 50), ("outage", 59)]


def test_an_event_for_a_datagram_that_is_never_sent_has_not_struck() -> None:
    event = Event("drop", packet=5)
    link, _ = scripted(event)
    link.send(DATAGRAMS, 0)
    assert link.fired == {event: 0}


# -- events as values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "lose"}, "there is no event 'lose'; there are: drop, .+"),
        ({"kind": "drop", "packet": 1, "side": "both"}, "drop: side is 'both'; it must be client or server"),
        ({"kind": "drop"}, "drop: packet is 0; the first one is 1"),
        ({"kind": "drop", "packet": -1}, "drop: packet is -1; give a whole number, 0 or more"),
        ({"kind": "drop", "packet": "2"}, "drop: packet is '2'; give a whole number, 0 or more"),
        ({"kind": "drop", "packet": 1, "for_ns": 5}, "drop has no for_ns; it takes: side, packet"),
        ({"kind": "delay", "packet": 1, "for_ns": -5}, "delay: for_ns is -5; give a whole number, 0 or more"),
        ({"kind": "outage", "packet": 1, "for_ns": 5}, "outage has no packet; it takes: side, start_ns, for_ns"),
        ({"kind": "forge", "packet": 1}, "forge: what is ''; it must be one of: blind-data, .+"),
        ({"kind": "forge", "packet": 1, "what": "gold"}, "forge: what is 'gold'; it must be one of: .+"),
        ({"kind": "swap", "packet": 1, "what": "gold"}, "swap has no what; it takes: .+"),
    ],
)
def test_an_event_that_cant_be_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        Event(**options)


def test_only_a_clock_goes_back() -> None:
    assert Event("jump", for_ns=-5).for_ns == -5


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_written_down_and_read_again(kind: str) -> None:
    given: dict[str, Any] = dict.fromkeys(KINDS[kind], 3)
    if "what" in given:
        given["what"] = "near-syn"
    event = Event(kind, "server", **given)
    assert event.as_dict() == {"kind": kind, "side": "server", **given}
    assert Event(**event.as_dict()) == event  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "end_ns"),
    [
        (Event("outage", start_ns=5, for_ns=7), 12),
        (Event("jump", start_ns=5, for_ns=-7), 12),
        (Event("shrink_mtu", start_ns=5, at=7), 5),
        (Event("delay", packet=1, for_ns=7), 0),
    ],
)
def test_an_event_is_over_when_the_clock_says_so(event: Event, end_ns: int) -> None:
    assert event.end_ns == end_ns


def test_every_kind_of_the_wire_is_tested_here() -> None:
    assert set(WIRE_KINDS) == {
        *("drop", "duplicate", "delay", "flip", "swap", "truncate", "forge", "outage", "shrink_mtu"),
    }
