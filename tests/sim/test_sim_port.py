"""Ports: rate, delay, queue, MTU, and faults that come and go, each to the nanosecond."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from rawproto.errors import ConfigError
from rawproto.link.chance import derive_rng
from rawproto.link.impairment import Impairment
from rawproto.link.queue import CoDel, DropTail
from rawproto.sim.network import Simulation
from rawproto.sim.port import Line, Port

MS = 1_000_000
SECOND = 1_000_000_000


class Wire:
    """A port, and a note of what arrives at its far end."""

    def __init__(self, seed: int = 1, **options: Any) -> None:
        self.simulation = Simulation()
        self.arrivals: list[tuple[int, bytes]] = []
        self.batches: list[int] = []
        self.port = Port(self.simulation, "a->b", Line(**options), self.arrive, partial(derive_rng, seed, "a->b"))

    def arrive(self, frames: list[bytes], now: int) -> None:
        self.batches.append(len(frames))
        self.arrivals += [(now, frame) for frame in frames]

    def at(self, now: int, frames: Sequence[bytes]) -> None:
        self.simulation.at(now, lambda: self.port.send(frames, now))

    def run(self) -> list[tuple[int, int]]:
        """When each frame arrived, and its number."""
        self.simulation.run_idle()
        return [(now, int.from_bytes(frame[:4])) for now, frame in self.arrivals]


def numbered(count: int, length: int = 1000, first: int = 0) -> list[bytes]:
    return [n.to_bytes(4).ljust(length, b"\0") for n in range(first, first + count)]


def test_without_anything_frames_arrive_at_once_and_together() -> None:
    wire = Wire()
    wire.at(5, numbered(3))
    assert wire.run() == [(5, 0), (5, 1), (5, 2)]
    assert wire.batches == [3]
    assert (wire.port.meter.sent, wire.port.meter.sent_bytes) == (3, 3000)


def test_a_delay_keeps_batches_together() -> None:
    wire = Wire(delay_ns=100)
    wire.at(5, numbered(2))
    wire.at(6, numbered(1, first=2))
    assert wire.run() == [(105, 0), (105, 1), (106, 2)]
    assert wire.batches == [2, 1]


def test_the_rate_is_exact_over_any_number_of_frames() -> None:
    wire = Wire(rate_bps=7_000_003, delay_ns=MS)
    wire.at(0, numbered(2000, length=997))
    arrivals = wire.run()
    # Frame n has left once (n + 1) * 997 * 8 bits have, rounded up to whole ns, and nothing more.
    assert arrivals == [(-(-(n + 1) * 997 * 8 * SECOND // 7_000_003) + MS, n) for n in range(2000)]


def test_an_idle_line_starts_at_once() -> None:
    wire = Wire(rate_bps=8_000_000_000)
    wire.at(0, numbered(1))
    wire.at(5000, numbered(1, first=1))
    assert wire.run() == [(1000, 0), (6000, 1)]


def test_what_does_not_fit_the_queue_is_dropped_and_the_frame_under_way_does_not_count() -> None:
    wire = Wire(rate_bps=8_000_000_000, queue=partial(DropTail, 2000))
    wire.at(0, numbered(5))
    wire.at(999, numbered(1, first=5))
    wire.at(1000, numbered(2, first=6))  # the second frame has just begun to leave: there is room for one
    assert wire.run() == [(1000, 0), (2000, 1), (3000, 2), (4000, 6)]
    meter = wire.port.meter
    assert (meter.dropped, meter.longest_bytes, meter.sent) == ({"tail": 4}, 2000, 4)
    assert (meter.sojourn_longest_ns, meter.sojourn_total_ns) == (2000, 1000 + 2000 + 2000)


def test_without_a_queue_only_an_idle_line_takes_a_frame() -> None:
    wire = Wire(rate_bps=8_000_000_000, queue=partial(DropTail, 0))
    wire.at(0, numbered(3))
    assert wire.run() == [(1000, 0)]


def test_looking_at_the_queue_changes_nothing() -> None:
    def run(looks: bool) -> tuple[list[tuple[int, int]], int]:
        wire = Wire(rate_bps=10_000_000, delay_ns=20 * MS, queue=partial(CoDel, 100_000, max_packet=1000))
        for ms in range(0, 800, 2):
            wire.at(ms * MS, numbered(3, first=ms * 3))
        if looks:
            for at in range(0, 900 * MS, 333_333):
                wire.simulation.at(at, wire.port.waiting_bytes)
        return wire.run(), wire.port.meter.dropped["codel"]

    unseen = run(False)
    assert unseen[1] > 3
    assert run(True) == unseen


def test_the_queue_can_be_read_at_any_time() -> None:
    wire = Wire(rate_bps=8_000_000_000)
    wire.at(0, numbered(4))
    waiting: list[int] = []
    for at in (0, 999, 1000, 2500, 3000):
        wire.simulation.at(at, lambda: waiting.append(wire.port.waiting_bytes()))
    wire.run()
    assert waiting == [3000, 3000, 2000, 1000, 0]


def test_events_of_a_port_are_told_in_the_order_of_time() -> None:
    wire = Wire(rate_bps=10_000_000, delay_ns=20 * MS, queue=partial(DropTail, 5000))
    told: list[tuple[int, str]] = []
    wire.port.meter.on_event = lambda now, kind, *_: told.append((now, kind))
    for ms in range(0, 40, 2):
        wire.at(ms * MS, numbered(4))
    wire.run()
    assert [now for now, _ in told] == sorted(now for now, _ in told)
    kinds = [kind for _, kind in told]
    assert kinds.count("send") == wire.port.meter.sent == len(wire.arrivals)
    assert kinds.count("tail") == wire.port.meter.dropped["tail"] == 80 - len(wire.arrivals) > 0


def test_what_is_longer_than_the_mtu_vanishes_and_is_counted() -> None:
    wire = Wire(mtu=1000)
    wire.at(0, [*numbered(1, length=1000), *numbered(1, length=1001, first=1), *numbered(1, length=10, first=2)])
    assert wire.run() == [(0, 0), (0, 2)]
    assert wire.port.meter.dropped == {"mtu_drop": 1}


def test_the_mtu_can_change_in_mid_flight() -> None:
    wire = Wire(delay_ns=50)
    wire.at(10, numbered(1))
    wire.simulation.at(20, lambda: wire.port.set_mtu(999))
    wire.at(20, numbered(1, first=1))
    wire.simulation.at(30, lambda: wire.port.set_mtu(1000))
    wire.at(30, numbered(1, first=2))
    assert wire.run() == [(60, 0), (80, 2)]


def test_a_blackhole_swallows_from_its_start_to_before_its_end() -> None:
    wire = Wire(delay_ns=50)
    wire.port.blackhole(100, 200)
    for n, now in enumerate((99, 100, 199, 200)):
        wire.at(now, numbered(1, first=n))
    assert wire.run() == [(149, 0), (250, 3)]
    assert wire.port.meter.dropped == {"blackhole": 2}


def test_a_blackhole_comes_back_with_its_period() -> None:
    wire = Wire()
    wire.port.blackhole(5 * SECOND, 7 * SECOND, period_ns=7 * SECOND)
    for second in range(22):
        wire.at(second * SECOND, numbered(1, first=second))
    assert [n for _, n in wire.run()] == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 21]


@pytest.mark.parametrize("times", [(5, 5), (6, 5), (0, 10, 9)])
def test_an_outage_in_impossible_times_is_refused(times: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="in this order"):
        Wire().port.blackhole(*times)


def test_a_shorter_delay_lets_no_frame_overtake_another() -> None:
    wire = Wire(delay_ns=1000)
    wire.at(0, numbered(1))
    wire.simulation.at(10, lambda: wire.port.set_delay(100))
    wire.at(10, numbered(1, first=1))
    wire.at(1000, numbered(1, first=2))
    assert wire.run() == [(1000, 0), (1000, 1), (1100, 2)]


@pytest.mark.parametrize("delay_ns", [0, 50_000])
def test_another_rate_holds_from_the_next_frame_on(delay_ns: int) -> None:
    wire = Wire(rate_bps=8_000_000_000, delay_ns=delay_ns)
    wire.at(0, numbered(4))
    wire.simulation.at(1500, lambda: wire.port.set_rate(1_000_000_000))
    assert wire.run() == [(now + delay_ns, n) for n, now in enumerate((1000, 2000, 10_000, 18_000))]


def test_another_delay_holds_from_the_next_frame_on() -> None:
    wire = Wire(rate_bps=8_000_000_000, delay_ns=50_000)
    wire.at(0, numbered(4))
    wire.simulation.at(1500, lambda: wire.port.set_delay(70_000))
    assert wire.run() == [(51_000, 0), (52_000, 1), (73_000, 2), (74_000, 3)]


def test_a_rate_can_not_be_given_to_a_port_without() -> None:
    with pytest.raises(ConfigError, match="from None to 5"):
        Wire().port.set_rate(5)
    with pytest.raises(ConfigError, match="from 5 to 0"):
        Wire(rate_bps=5).port.set_rate(0)


def test_moderation_gathers_what_arrives_within_its_time() -> None:
    wire = Wire(rate_bps=8_000_000_000, delay_ns=100, moderation_ns=2500)
    wire.at(0, numbered(5))
    assert wire.run() == [(3600, 0), (3600, 1), (3600, 2), (6600, 3), (6600, 4)]


def test_faults_of_the_wire_strike_behind_the_queue() -> None:
    wire = Wire(rate_bps=8_000_000_000, delay_ns=100, impairment=Impairment(loss=0.5, jitter_ns=50, delay_ns=7))
    wire.at(0, numbered(100))
    arrivals = wire.run()
    assert wire.port.impaired is not None
    assert len(arrivals) == 100 - wire.port.impaired.fired["loss"]
    assert 20 < len(arrivals) < 80
    assert all((n + 1) * 1000 + 107 <= now <= (n + 1) * 1000 + 157 for now, n in arrivals)
    assert wire.port.meter.sent == 100


def test_faults_come_from_the_seed() -> None:
    def run(seed: int) -> list[tuple[int, int]]:
        wire = Wire(seed, impairment=Impairment(loss=0.3, jitter_ns=5000))
        wire.at(0, numbered(50))
        return wire.run()

    assert run(1) == run(1) != run(2)


def test_hosts_that_are_a_little_ahead_of_each_other_share_a_port() -> None:
    wire = Wire(rate_bps=8_000_000_000)
    told: list[int] = []
    wire.port.meter.on_event = lambda now, *_: told.append(now)
    wire.port.send(numbered(1), 7)
    wire.port.send(numbered(1, first=1), 3)
    assert wire.run() == [(1007, 0), (2007, 1)]
    assert told == [7, 7, 1007]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rate_bps": 0}, "rate_bps is 0"),
        ({"delay_ns": -1}, "delay_ns is -1"),
        ({"mtu": 0}, "mtu is 0"),
        ({"moderation_ns": -1}, "moderation_ns is -1"),
        ({"queue": CoDel}, "without rate_bps"),
    ],
)
def test_a_line_that_can_not_be_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Line(**options)


def test_actions_are_called_in_time_and_in_the_order_given() -> None:
    simulation = Simulation()
    called: list[tuple[str, int]] = []
    for name, at in (("c", 20), ("a", 10), ("b", 10)):
        simulation.at(at, lambda name=name: called.append((name, simulation.now)))  # type: ignore[misc]
    simulation.at(15, lambda: simulation.at(5, lambda: called.append(("late", simulation.now))))
    simulation.run_idle()
    assert called == [("a", 10), ("b", 10), ("late", 15), ("c", 20)]


def test_actions_beyond_the_end_of_a_run_wait_for_the_next_one() -> None:
    simulation = Simulation()
    called: list[int] = []
    simulation.at(10, lambda: called.append(simulation.now))
    simulation.run_idle(until=9)
    assert called == []
    simulation.run_idle()
    assert called == [10]
