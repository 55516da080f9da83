"""`rawproto ping`: handmade echo requests to one host, and what becomes of each."""

from __future__ import annotations

import json
import random
from typing import Annotated, Any, assert_never

from cyclopts import Parameter

from rawproto.cli import FailedError
from rawproto.cli._hosts import Host, family_of, link_errors, resolve_host
from rawproto.cli._options import flag, parse_count, unit
from rawproto.cli._quantities import parse_dscp, time_text, time_within, whole_within
from rawproto.sockets.driver import wall_clock
from rawproto.sockets.echo import Echo, EchoError, EchoEvent, EchoLost, EchoPlan, EchoReply
from rawproto.sockets.probe import drive, open_raw, source_for

__all__ = ["ping"]

LONGEST = 65_507
"""Bytes of data for which the packet still has its length in 16 bits: 65535 less the headers of IPv4 and ICMP."""
MILLISECOND, HOUR = 10**6, 3600 * 10**9


def ping(
    host: str,
    /,
    *,
    count: Annotated[int | None, unit(parse_count, "NUMBER", "--count", "-c")] = None,
    interval: Annotated[
        int, unit(time_within(MILLISECOND, HOUR), "TIME", "--interval", "-i", default="1s")
    ] = 1_000_000_000,
    size: Annotated[
        int, unit(whole_within(0, LONGEST, "a number of bytes"), "BYTES", "--size", "-s", default="56")
    ] = 56,
    ttl: Annotated[int, unit(whole_within(1, 255, "a TTL"), "NUMBER", "--ttl", "-t", default="64")] = 64,
    timeout: Annotated[
        int, unit(time_within(MILLISECOND, HOUR), "TIME", "--timeout", "-W", default="2s")
    ] = 2_000_000_000,
    dscp: Annotated[int, unit(parse_dscp, "CODE", default="0")] = 0,
    df: Annotated[bool, flag()] = False,
    ipv4: Annotated[bool, flag("-4")] = False,
    ipv6: Annotated[bool, flag("-6")] = False,
    as_object: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Send ICMP or ICMPv6 echo requests to a host, and tell what becomes of each.

    One line a reply, with the time from sending to the kernel's receiving of it. Said as well: what came twice, late,
    out of order, shorter or damaged, errors that routers report, and what nothing came for. Ctrl-C ends it with the
    summary so far. Needs CAP_NET_RAW.

    Exit status: 0 if a reply came, 1 if none did, 2 for a wrong call or a host that no route leads to.

    Examples:

    ```
    sudo rawproto ping 192.0.2.1
    sudo rawproto ping example.org -6 -c 5 -i 200ms
    sudo rawproto ping 192.0.2.1 --size 1472 --df --dscp EF
    sudo rawproto ping fe80::1%eth0 -c 1 --json | jq .rtt_ns.avg
    ```

    Parameters
    ----------
    host
        A name or an address; of a link-local IPv6 address also the interface, as in fe80::1%eth0.
    count
        How many requests; without it until Ctrl-C.
    interval
        From one request to the next: 200ms, 0.5 (seconds), 1ms at least.
    size
        Bytes of data in each request; with 8 more of ICMP, and an IP header. Over the MTU it goes in fragments.
    ttl
        How many hops it may take (IPv6: hop limit).
    timeout
        After how long a request is told lost. A reply that still comes is counted.
    dscp
        Differentiated services code point: 0 to 63, or a name such as EF, AF41, CS1.
    df
        Never cut into fragments: set IPv4's DF flag.
    ipv4
        Only IPv4 addresses of the name.
    ipv6
        Only IPv6 addresses of the name.
    as_object
        Print one JSON object at the end, and nothing else; times in nanoseconds.
    """
    target = resolve_host(host, family_of(ipv4=ipv4, ipv6=ipv6))
    with link_errors():
        source = source_for(target.scoped)
        with open_raw(source, "icmp") as link:
            plan = EchoPlan(
                source=source.partition("%")[0],
                target=target.address,
                id=random.SystemRandom().randrange(1, 1 << 16),
                payload=bytes(at & 0xFF for at in range(size)),
                count=count,
                interval_ns=interval,
                timeout_ns=timeout,
                ttl=ttl,
                dscp=dscp,
                dont_fragment=df,
                mtu=link.mtu,
            )
            if not as_object:
                print(f"PING {target} from {plan.source}: {size} data bytes", flush=True)
            begin = wall_clock()
            echo = Echo(plan, begin)
            events: list[EchoEvent] = []
            try:
                for event in drive(echo, {"icmp": link}):
                    if as_object:
                        events.append(event)
                    else:
                        print(_line(event, timeout), flush=True)
            except KeyboardInterrupt:
                pass  # that is how a ping without a count ends
    elapsed = wall_clock() - begin
    if as_object:
        print(json.dumps(_as_json(target, echo, events, elapsed), indent=2))
    else:
        print(_summary(target, echo, elapsed))
    if not echo.totals.received:
        raise FailedError(f"{target} did not answer")
    return 0


def _line(event: EchoEvent, timeout_ns: int) -> str:
    match event:
        case EchoReply():
            marks = "".join(f" ({mark})" for mark in _marks(event))
            return (
                f"{event.length} bytes from {event.sender}: icmp_seq={event.seq} ttl={event.ttl} "
                f"time={event.rtt_ns / 1e6:.3f} ms{marks}"
            )
        case EchoError():
            return f"{event.sender}: {event.text} (icmp_seq={event.seq})".removeprefix(": ")
        case EchoLost():
            return f"icmp_seq={event.seq}: no answer within {time_text(timeout_ns)}"
        case _:
            assert_never(event)


def _marks(reply: EchoReply) -> list[str]:
    """What is unusual about a reply."""
    found = {
        "duplicate": reply.duplicate,
        "out of order": reply.reordered,
        "late": reply.late,
        "truncated": reply.truncated,
        reply.damage: bool(reply.damage),
    }
    return [mark for mark, is_so in found.items() if is_so]


def _summary(target: Host, echo: Echo, elapsed_ns: int) -> str:
    totals = echo.totals
    extras = {
        "duplicates": totals.duplicates,
        "out of order": totals.reordered,
        "damaged": totals.damaged,
        "errors": totals.errors,
    }
    parts = [f"{totals.transmitted} packets transmitted", f"{totals.received} received"]
    parts += [f"{'' if name == 'out of order' else '+'}{number} {name}" for name, number in extras.items() if number]
    parts += [f"{100 * totals.loss:.4g}% packet loss", f"time {elapsed_ns / 1e6:.0f} ms"]
    text = f"\n--- {target.name} ping statistics ---\n{', '.join(parts)}"
    if totals.received:
        times = (totals.min_ns, totals.average_ns, totals.max_ns, totals.mdev_ns)
        text += f"\nrtt min/avg/max/mdev = {'/'.join(f'{time_ns / 1e6:.3f}' for time_ns in times)} ms"
    return text


def _as_json(target: Host, echo: Echo, events: list[EchoEvent], elapsed_ns: int) -> dict[str, Any]:
    totals = echo.totals
    times = {"min": totals.min_ns, "avg": totals.average_ns, "max": totals.max_ns, "mdev": totals.mdev_ns}
    return {
        "host": target.name,
        "address": target.scoped,
        "source": echo.plan.source,
        "data_bytes": len(echo.plan.payload),
        "transmitted": totals.transmitted,
        "received": totals.received,
        "loss": totals.loss,
        "duplicates": totals.duplicates,
        "reordered": totals.reordered,
        "damaged": totals.damaged,
        "errors": totals.errors,
        "elapsed_ns": elapsed_ns,
        "rtt_ns": times if totals.received else None,
        "events": [_event_as_json(event) for event in events],
    }


def _event_as_json(event: EchoEvent) -> dict[str, Any]:
    match event:
        case EchoReply():
            return {
                "event": "reply",
                "seq": event.seq,
                "from": event.sender,
                "bytes": event.length,
                "ttl": event.ttl,
                "rtt_ns": event.rtt_ns,
                "marks": _marks(event),
            }
        case EchoError():
            return {"event": "error", "seq": event.seq, "from": event.sender, "text": event.text}
        case EchoLost():
            return {"event": "lost", "seq": event.seq}
        case _:
            assert_never(event)
