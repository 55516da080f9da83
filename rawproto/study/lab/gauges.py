"""What is measured in a world that has been played: one figure each, read off the link, the accounts or a queue.

None looks into an engine. Times are named by their unit, and counted from when the client called connect; the client
is who sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import fmean

from rawproto.sim.applications import Account
from rawproto.sim.world import World
from rawproto.study.onlink import Header, read_header
from rawproto.transport.config import MILLISECOND, SECOND
from rawproto.wire.rdt_format import ACK, SYN

__all__ = [
    "Gauge",
    "accepted_ms",
    "answers_to_forgery",
    "burst_after_pause",
    "client_datagrams",
    "delivery_ms",
    "greeting_octets",
    "longest_queue",
    "lost_in_queue",
    "mean_payload",
    "mean_reading_ms",
    "octets",
    "pause_in_repair_ms",
    "ports_held_s",
    "sent_again",
    "sent_in_silence",
    "server_datagrams",
    "until_resumed_ms",
]

Gauge = Callable[[World], float]


def _account(world: World, side: str, talk: int = 0) -> Account:
    return next(account for account in world.run.accounts if (account.side, account.talk) == (side, talk))


def _headers(world: World, side: str) -> Iterator[tuple[int, Header]]:
    """When each datagram of `side` was sent, and its header; forgeries left out."""
    for sent in world.run.log.sent:
        if sent.side == side and sent.number:
            yield sent.time_ns, read_header(sent.frame, side == "client")


def _data(world: World) -> Iterator[tuple[int, Header]]:
    """The client's datagrams with payload."""
    return ((time_ns, header) for time_ns, header in _headers(world, "client") if header.length)


def delivery_ms(world: World) -> float:
    """From connect until the server has read all."""
    return (_account(world, "server").eof_ns - _account(world, "client").began_ns) / MILLISECOND


def mean_reading_ms(world: World) -> float:
    """When, after connect, the server read an octet, on average over all octets."""
    server = _account(world, "server")
    mean_ns = sum(time_ns * len(data) for time_ns, data in server.got) / server.read
    return (mean_ns - _account(world, "client").began_ns) / MILLISECOND


def accepted_ms(world: World) -> float:
    """From connect until the server's application is given the connection."""
    return (_account(world, "server").began_ns - _account(world, "client").began_ns) / MILLISECOND


def client_datagrams(world: World) -> float:
    """The client's datagrams with payload."""
    return len(list(_data(world)))


def server_datagrams(world: World) -> float:
    """Less those of the handshake."""
    return sum(not header.flags & SYN for _, header in _headers(world, "server"))


def octets(world: World) -> float:
    """All that was sent by both, IP headers included."""
    return sum(len(sent.frame) for sent in world.run.log.sent)


def sent_again(world: World) -> float:
    """Octets of payload that the client sent more than once."""
    total = top = 0
    for _, header in _data(world):
        end = header.seq + header.length
        top = top or header.seq
        total += min(header.length, max(top - header.seq, 0))
        top = max(top, end)
    return total


def greeting_octets(world: World) -> float:
    """The length of the listener's first answer to a SYN, without the IP header."""
    return next(header.size for _, header in _headers(world, "server") if header.flags & (SYN | ACK) == SYN | ACK)


def mean_payload(world: World) -> float:
    """The payload of the client's datagrams that have any, on average."""
    return fmean(header.length for _, header in _data(world))


def longest_queue(world: World) -> float:
    """The most octets that ever waited at the bottleneck on the client's way out."""
    return world.ports["client->server"].meter.longest_bytes


def lost_in_queue(world: World) -> float:
    """Datagrams that were dropped there."""
    return world.ports["client->server"].meter.dropped.total()


def pause_in_repair_ms(world: World) -> float:
    """The longest between two of the client's datagrams, within a round trip from its first repetition."""
    top, began, times = -1, 0, []
    for time_ns, header in _data(world):
        if header.seq < top and not began:
            began = time_ns
        top = max(top, header.seq)
        if began and time_ns <= began + 2 * world.scenario.road.delay_ns:
            times.append(time_ns)
    return max(after - before for before, after in pairwise(times)) / MILLISECOND


def burst_after_pause(world: World) -> float:
    """The client's datagrams with payload in the first round trip after its longest pause."""
    times = [time_ns for time_ns, _ in _data(world)]
    pause = max(range(1, len(times)), key=lambda number: times[number] - times[number - 1])
    end_ns = times[pause] + 2 * world.scenario.road.delay_ns
    return sum(time_ns < end_ns for time_ns in times[pause:])


def until_resumed_ms(world: World) -> float:
    """From the end of the outage until the next datagram with payload arrives."""
    (outage,) = world.scenario.events
    arrived = (
        entry.time_ns
        for entry in world.run.log.arrived
        if entry.side == "server" and entry.time_ns > outage.end_ns and read_header(entry.frame, True).length
    )
    return (next(arrived) - outage.end_ns) / MILLISECOND


def ports_held_s(world: World) -> float:
    """From when both had closed until the next connection between the same ports could begin."""
    over_ns = max(_account(world, side).closed_ns for side in ("client", "server"))
    return (_account(world, "client", 1).began_ns - over_ns) / SECOND


def sent_in_silence(world: World) -> float:
    """Datagrams of both in the middle of a long silence: later than 1 s, before the applications go on."""
    wait_ns = max(step.for_ns for talk in world.scenario.talks for step in (*talk.client.steps, *talk.server.steps))
    return sum(SECOND < sent.time_ns < wait_ns for sent in world.run.log.sent)


def answers_to_forgery(world: World) -> float:
    """The server's datagrams within 1 ms of the forged one's arrival."""
    forged = next(sent.frame for sent in world.run.log.sent if not sent.number)
    came_ns = next(entry.time_ns for entry in world.run.log.arrived if entry.frame == forged)
    return sum(came_ns <= time_ns < came_ns + MILLISECOND for time_ns, _ in _headers(world, "server"))
