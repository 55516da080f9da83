"""What the datagrams on a link say: each log is written by hand, and just on one side of a limit or on the other."""

from __future__ import annotations

from typing import Any

import pytest

from rawproto.link.script import Arrived, Event, Sent, WireLog
from rawproto.sim.applications import Account
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.sim.world import Run, run_scenario
from rawproto.study.checker import check
from rawproto.study.onlink import LinkView, read_header
from rawproto.transport.config import SECOND
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.rdt import ACK, FIN, PSH, RDT, SYN, Sack

MS = 1_000_000
ISS, IRS = 1_000_000, 5_000_000
MSS = 1000
INITIAL = 11 * 1500 + 2
"""What `Road().mtu` and `Config.initial_window` allow at first, one for a probe, and twice the SYN that has arrived."""


class Wire:
    """A log, written datagram by datagram. Numbers of octets count from 0 in each direction."""

    def __init__(self, bits: int = 64, iss: int = ISS, port: int = 50_000, log: WireLog | None = None) -> None:
        self.log = WireLog() if log is None else log
        self.bits, self.iss, self.port = bits, iss, port
        self.numbers = {"client": 0, "server": 0}

    def frame(self, side: str, flags: int, seq: int, ack: int, window: int, size: int, options: bytes) -> bytes:
        mask = (1 << self.bits) - 1
        ports = (self.port, 7000) if side == "client" else (7000, self.port)
        source, destination = ("10.0.0.1", "10.1.0.1") if side == "client" else ("10.1.0.1", "10.0.0.1")
        self.numbers[side] += 1
        mine, other = (self.iss, IRS) if side == "client" else (IRS, self.iss)
        header = RDT(
            sport=ports[0],
            dport=ports[1],
            flags=flags,
            packet_number=self.numbers[side],
            seq=(mine + seq) & mask,
            ack=(other + ack) & mask if flags & ACK else 0,
            window=window,
            options=options,
        )
        return bytes(IPv4(src=source, dst=destination) / header / bytes(size))

    def goes(
        self,
        side: str,
        at: int,
        seq: int = 1,
        size: int = 0,
        *,
        ack: int = 1,
        window: int = 1 << 20,
        flags: int = ACK,
        options: bytes = b"",
        arrives: bool = True,
        forged: bool = False,
    ) -> Sent:
        """A datagram is sent at `at`, and arrives at the same moment if it does."""
        frame = self.frame(side, flags, seq, ack, window, size, options)
        sent = Sent(at, side, 0 if forged else self.numbers[side], frame, ())
        self.log.sent.append(sent)
        if arrives:
            self.log.arrived.append(Arrived(at, "server" if side == "client" else "client", frame))
        return sent

    def opens(self, at: int = 0, window: int = 1 << 20) -> None:
        """Three ways, each of no time."""
        self.goes("client", at, 0, flags=SYN, window=window)
        self.goes("server", at + 1, 0, flags=SYN | ACK, window=window)
        self.goes("client", at + 2, window=window)

    def found(self, **settings: Any) -> list[tuple[str, Sent | None]]:
        settings = {"sequence_bits": self.bits, **settings}
        run = Run(Scenario("by hand", settings=settings, road=Road()), 1, [], self.log)
        return [(guarantee, sent) for guarantee, _, _, sent in LinkView(run).violations()]


# -- headers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("carrier", ["ipv4", "ipv6", "ethernet"])
@pytest.mark.parametrize("from_client", [True, False])
def test_a_header_is_read_whatever_carries_it(carrier: str, from_client: bool) -> None:
    client, server = (b"\x0a\0\0\x01", 50_000), (b"\x0a\x01\0\x01", 7000)
    v6 = carrier == "ipv6"
    addresses = ("fd00::1", "fd00::2") if v6 else ("10.0.0.1", "10.1.0.1")
    source, destination = addresses if from_client else addresses[::-1]
    ports = (client[1], server[1]) if from_client else (server[1], client[1])
    rdt = RDT(
        sport=ports[0], dport=ports[1], flags=ACK | PSH, packet_number=9, seq=5, ack=6, window=7, options=bytes(4)
    )
    ip = IPv6(src=source, dst=destination) if v6 else IPv4(src=source, dst=destination)
    frame = bytes(ip / rdt / b"xyz")
    if carrier == "ethernet":
        frame = bytes(Ethernet(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / ip / rdt / b"xyz")
    header = read_header(frame, from_client)
    address = b"\xfd" + bytes(14) + b"\x01" if v6 else client[0]
    assert header.peer[:2] == (address, 50_000)
    assert (header.flags, header.seq, header.ack, header.wnd) == (ACK | PSH, 5, 6, 7)
    assert (header.length, header.size, header.number) == (3, 47, 9)


# -- flow control ------------------------------------------------------------------------------------------------------


def test_as_much_as_the_window_may_be_sent() -> None:
    wire = Wire()
    wire.opens(window=2 * MSS)
    wire.goes("client", 10, 1, MSS)
    wire.goes("client", 11, 1 + MSS, MSS)
    assert wire.found() == []


def test_an_octet_more_may_not() -> None:
    wire = Wire()
    wire.opens(window=2 * MSS)
    wire.goes("client", 10, 1, MSS)
    beyond = wire.goes("client", 11, 1 + MSS, MSS + 1)
    assert wire.found() == [("flow_control", beyond)]


def test_the_server_is_held_to_the_clients_window_as_well() -> None:
    wire = Wire()
    wire.opens(window=MSS)
    beyond = wire.goes("server", 10, 1, MSS + 1)
    assert wire.found() == [("flow_control", beyond)]


def test_it_is_told_once_for_a_connection() -> None:
    wire = Wire()
    wire.opens(window=MSS)
    for number in range(3):
        wire.goes("client", 10, 1 + number * MSS, MSS + 1)
    assert len(wire.found()) == 1


def test_a_window_that_opens_at_the_same_instant_counts() -> None:
    wire = Wire()
    wire.opens(window=MSS)
    wire.goes("client", 10, 1, MSS)
    wire.goes("client", 20, 1 + MSS, MSS)  # noted before what had arrived at its time
    wire.goes("server", 20, 1, ack=1 + MSS, window=MSS)
    assert wire.found() == []


def test_a_window_that_opens_later_does_not_count() -> None:
    wire = Wire()
    wire.opens(window=MSS)
    wire.goes("client", 10, 1, MSS)
    beyond = wire.goes("client", 20, 1 + MSS, MSS)
    wire.goes("server", 21, 1, ack=1 + MSS, window=MSS)
    assert wire.found() == [("flow_control", beyond)]


def test_a_window_that_never_arrived_does_not_count() -> None:
    wire = Wire()
    wire.opens(window=MSS)
    wire.goes("client", 10, 1, MSS)
    wire.goes("server", 11, 1, ack=1 + MSS, window=MSS, arrives=False)
    assert [guarantee for guarantee, _ in (wire.goes("client", 12, 1 + MSS, MSS), wire.found())[1]] == ["flow_control"]


def test_a_window_that_arrived_damaged_does_not_count() -> None:
    wire = Wire()
    wire.opens(window=MSS)
    wire.goes("client", 10, 1, MSS)
    sent = wire.goes("server", 11, 1, ack=1 + MSS, window=MSS, arrives=False)
    wire.log.arrived.append(Arrived(11, "client", sent.frame[:-1] + bytes((sent.frame[-1] ^ 1,))))
    beyond = wire.goes("client", 12, 1 + MSS, MSS)
    assert wire.found() == [("flow_control", beyond)]


def test_a_window_that_shrinks_later_takes_nothing_back() -> None:
    wire = Wire()
    wire.opens(window=2 * MSS)
    wire.goes("server", 5, 1, ack=1, window=0)
    wire.goes("client", 10, 1, 2 * MSS)
    assert wire.found() == []


def test_what_is_sent_once_more_needs_no_room() -> None:
    wire = Wire()
    wire.opens(window=MSS)
    wire.goes("client", 10, 1, MSS, arrives=False)
    wire.goes("client", 11, 1, MSS)
    wire.goes("server", 12, 1, ack=1 + MSS, window=0)
    wire.goes("client", 13, 1, MSS)
    assert wire.found() == []


def test_probes_of_a_closed_window_that_carry_nothing_new_are_no_violation() -> None:
    wire = Wire()
    wire.opens(window=MSS)
    wire.goes("client", 10, 1, MSS)
    wire.goes("server", 11, 1, ack=1 + MSS, window=0)
    for number in range(6):
        wire.goes("client", (1 << number) * SECOND, MSS, 1)
        wire.goes("server", (1 << number) * SECOND, 1, ack=1 + MSS, window=0)
    assert wire.found() == []


def test_an_end_takes_no_room_of_the_window() -> None:
    wire = Wire()
    wire.opens(window=MSS)
    wire.goes("client", 10, 1, MSS, flags=ACK | FIN)
    assert wire.found() == []


# -- numbers that wrap -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 10, 32, 64])
def test_numbers_may_wrap(bits: int) -> None:
    half = min(1 << (bits - 1), 2000)
    wire = Wire(bits, iss=(1 << bits) - 3)
    wire.opens(window=half)
    for number in range(12):
        wire.goes("client", 10 + 2 * number, 1 + number * half, half)
        wire.goes("server", 11 + 2 * number, 1, ack=1 + (number + 1) * half, window=half)
    assert wire.found() == []


def test_beyond_the_window_is_seen_behind_a_wrap() -> None:
    wire = Wire(10, iss=1000)
    wire.opens(window=100)
    wire.goes("client", 10, 1, 100)
    wire.goes("server", 11, 1, ack=101, window=100)
    beyond = wire.goes("client", 12, 101, 101)
    assert wire.found() == [("flow_control", beyond)]


def test_the_first_of_half_of_all_numbers_may_be_sent_again() -> None:
    wire = Wire(10)
    wire.opens(window=512)
    for number in range(4):
        wire.goes("client", 10, 1 + 128 * number, 128, arrives=False)
    wire.goes("client", 11, 1, 128)
    wire.goes("server", 12, 1, ack=513, window=512)
    wire.goes("client", 13, 513, 512)
    assert wire.found() == []


# -- in flight ---------------------------------------------------------------------------------------------------------


def flight(wire: Wire, at: int, start: int, size: int) -> Sent:
    """`size` octets at once."""
    last = None
    for seq in range(start, start + size, MSS):
        last = wire.goes("client", at, seq, min(MSS, start + size - seq))
    assert last is not None
    return last


def test_a_first_window_may_be_in_flight() -> None:
    wire = Wire()
    wire.opens()
    flight(wire, 10, 1, INITIAL)
    assert wire.found() == []


def test_more_than_a_first_window_may_not() -> None:
    wire = Wire()
    wire.opens()
    last = flight(wire, 10, 1, INITIAL + 1)
    assert wire.found() == [("restraint", last)]


def test_twice_of_what_arrived_may_be_added() -> None:
    wire = Wire()
    wire.opens()
    flight(wire, 10, 1, 5000)
    wire.goes("server", 11, 1, ack=5001)
    flight(wire, 12, 5001, INITIAL + 10_000)
    assert wire.found() == []
    last = flight(wire, 12, 5001 + INITIAL + 10_000, 1)
    assert wire.found() == [("restraint", last)]


def test_what_arrived_out_of_order_is_not_in_flight() -> None:
    wire = Wire()
    wire.opens()
    flight(wire, 10, 1, INITIAL)
    sack = bytes(Sack(((MSS, 6 * MSS),))) + bytes(2)
    wire.goes("server", 11, 1, ack=1, options=sack)
    flight(wire, 12, 1 + INITIAL, 15 * MSS)
    assert wire.found() == []
    last = flight(wire, 12, 1 + INITIAL + 15 * MSS, 1)
    assert wire.found() == [("restraint", last)]


def test_a_second_connection_on_the_same_ports_begins_small_again() -> None:
    for side in ("client", "server"):
        wire = Wire()
        wire.opens()
        wire.goes("client", 10, 1, INITIAL // 2)
        wire.goes("server", 11, 1, INITIAL // 2, ack=1 + INITIAL // 2)
        again = Wire(iss=ISS + 10_000_000, log=wire.log)
        again.goes("client", 100, 0, flags=SYN)
        again.goes("server", 101, 10_000_000, flags=SYN | ACK)
        again.goes("client", 102, ack=10_000_001)
        first = 1 if side == "client" else 10_000_001
        last = again.goes(side, 103, first, INITIAL + 1, ack=1 if side == "server" else 10_000_001)
        assert again.found() == [("restraint", last)], side


# -- into silence ------------------------------------------------------------------------------------------------------


def repeated(waits: list[int], *, flags: int = ACK, heard: bool = False) -> list[str]:
    """What is found when the client sends the same again and again, so many ms apart."""
    wire = Wire()
    if flags & SYN:
        wire.goes("client", 0, 0, flags=SYN, arrives=False)
    else:
        wire.opens()
        wire.goes("client", 5, 1, MSS, arrives=False)
    at = 10
    for wait in waits:
        at += wait * MS
        wire.goes("client", at, 0 if flags & SYN else 1, 0 if flags & SYN else MSS, flags=flags, arrives=False)
        if heard:
            wire.goes("server", at, 1)
    return [guarantee for guarantee, _ in wire.found()]


def test_a_timeout_that_doubles_is_restraint() -> None:
    assert repeated([200 << number for number in range(9)]) == []


def test_the_same_pace_into_silence_is_none() -> None:
    assert repeated([200] * 12) == ["restraint"]


def test_the_same_pace_is_allowed_to_who_hears_something() -> None:
    assert repeated([200] * 12, heard=True) == []


def test_a_first_datagram_that_is_sent_at_the_same_pace_into_silence_is_none_either() -> None:
    assert repeated([1000] * 12, flags=SYN) == ["restraint"]


def test_a_first_datagram_that_is_sent_after_ever_longer_is_restraint() -> None:
    assert repeated([1000 << number for number in range(7)], flags=SYN) == []


def test_a_new_connection_starts_with_no_tries() -> None:
    wire = Wire()
    for number in range(12):
        again = Wire(iss=ISS + 1000 * number, log=wire.log)
        again.goes("client", number * SECOND, 0, flags=SYN, arrives=False)
    assert wire.found() == []


# -- answers to nobody -------------------------------------------------------------------------------------------------


def syn_with(options: int) -> tuple[Wire, int]:
    wire = Wire()
    wire.goes("client", 0, 0, flags=SYN)
    return wire, 40 + options


def test_three_times_what_came_may_be_answered() -> None:
    wire, size = syn_with(0)
    wire.goes("server", 1, 0, flags=SYN | ACK, options=bytes(3 * size - 40))
    assert wire.found() == []


def test_more_than_three_times_may_not() -> None:
    wire, size = syn_with(0)
    last = wire.goes("server", 1, 0, flags=SYN | ACK, options=bytes(3 * size - 40 + 4))
    assert wire.found() == [("restraint", last)]


def test_who_has_proved_its_address_may_be_sent_more() -> None:
    wire = Wire()
    wire.opens()
    wire.goes("server", 10, 1, 1000)
    assert wire.found() == []


def test_a_forgery_proves_nothing() -> None:
    wire = Wire()
    wire.goes("client", 0, 0, flags=SYN)
    wire.goes("server", 1, 0, flags=SYN | ACK)
    wire.goes("client", 2, 1, ack=1, forged=True)
    last = wire.goes("server", 10, 1, 1000)
    assert wire.found() == [("restraint", last)]


def test_what_a_client_sends_is_nobodys_answer() -> None:
    wire = Wire()
    for number in range(4):
        wire.goes("client", number << 32, 0, flags=SYN, arrives=False)
    assert wire.found() == []


# -- which datagram ----------------------------------------------------------------------------------------------------


def view_of(wire: Wire) -> LinkView:
    return LinkView(Run(Scenario("by hand"), 1, [], wire.log))


def test_the_last_arrival_is_that_of_the_connection_by_then() -> None:
    wire = Wire()
    mine = wire.goes("client", 10, 1, 5)
    Wire(port=50_001, log=wire.log).goes("client", 11, 1, 6)
    wire.goes("client", 5_000_000, 6, 7)
    assert view_of(wire).last_arrival(Account("server", 0, port=50_000), 20) == mine


def test_where_nothing_came_for_the_connection_it_is_the_last_of_all() -> None:
    wire = Wire()
    last = wire.goes("client", 10, 1, 5)
    assert view_of(wire).last_arrival(Account("server", 0, port=50_009), 20) == last


def test_nothing_has_arrived_where_nothing_was_sent() -> None:
    assert view_of(Wire()).last_arrival(Account("server", 0), 20) is None


def test_the_last_that_was_struck_is_the_sides_own_if_it_has_any() -> None:
    wire = Wire()
    for side, number, fate in (("client", 1, ("drop",)), ("server", 1, ("flip",)), ("client", 2, ())):
        wire.log.sent.append(Sent(number, side, number, b"", fate))
    view = view_of(wire)
    assert [view.struck_last(side) for side in ("client", "server", "")] == [
        wire.log.sent[0],
        wire.log.sent[1],
        wire.log.sent[1],
    ]


def test_a_listener_that_offered_two_initial_numbers_is_held_to_the_one_that_was_taken() -> None:
    """A SYN came twice, two milliseconds apart: the second answer begins 500 octets later, and nobody takes it.

    What has arrived out of order counts all the same.
    """
    server = Party(("send 60000",))
    scenario = Scenario(
        "two answers",
        (Talk(Party(("send 200",)), server),),
        (Event("duplicate", "client", 1, for_ns=2_000_000), Event("delay", "server", 3, for_ns=150_000_000)),
        road=Road(mtu=576),
    )
    assert check(run_scenario(scenario, 1)).violations == ()
