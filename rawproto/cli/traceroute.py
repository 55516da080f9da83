"""`rawproto traceroute`: which routers a packet passes on its way, all probes being one flow to them."""

from __future__ import annotations

import contextlib
import json
import random
import socket
from collections.abc import Iterator
from typing import Annotated, Any

from cyclopts import Parameter

from rawproto.cli import FailedError, UsageError
from rawproto.cli._hosts import Host, family_of, link_errors, resolve_host
from rawproto.cli._options import flag, unit
from rawproto.cli._quantities import time_within, whole_within
from rawproto.link.base import Link
from rawproto.sockets.driver import wall_clock
from rawproto.sockets.hops import Hop, HopAnswer, Hops, HopsPlan, Method
from rawproto.sockets.probe import drive, open_raw, reserve_port, source_for

__all__ = ["traceroute"]

PORTS: dict[Method, int] = {"udp": 33434, "tcp": 80, "icmp": 0}
"""33434 is IANA's for traceroute: nobody listens there."""
MILLISECOND, MINUTE = 10**6, 60 * 10**9


def traceroute(
    host: str,
    /,
    *,
    method: Method = "udp",
    port: Annotated[int | None, unit(whole_within(1, 65_535, "a port"), "PORT", "--port", "-p")] = None,
    max_hops: Annotated[
        int, unit(whole_within(1, 255, "a number of hops"), "NUMBER", "--max-hops", "-m", default="30")
    ] = 30,
    queries: Annotated[
        int, unit(whole_within(1, 10, "a number of queries"), "NUMBER", "--queries", "-q", default="3")
    ] = 3,
    timeout: Annotated[
        int, unit(time_within(MILLISECOND, MINUTE), "TIME", "--timeout", "-w", default="5s")
    ] = 5_000_000_000,
    ipv4: Annotated[bool, flag("-4")] = False,
    ipv6: Annotated[bool, flag("-6")] = False,
    as_object: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Find the routers on the way to a host, by packets whose hops run out there.

    One line a hop: who answered, and after what time. All probes have the same addresses, ports and checksum, as far as
    routers look at these to balance load: so what is shown is one way, and not a mixture of several (Paris traceroute).

    Marks: `*` no answer, `!H` host, `!N` network, `!P` protocol unreachable, `!X` administratively prohibited, `!S`
    source route failed, `!F-MTU` too big for the next wire, `!NUMBER` another code. Needs CAP_NET_RAW.

    Exit status: 0 if the host was reached, 1 if not, 2 for a wrong call or a host that no route leads to, 130 after
    Ctrl-C, with the hops so far.

    Examples:

    ```
    sudo rawproto traceroute 192.0.2.1
    sudo rawproto traceroute example.org --method tcp --port 443
    sudo rawproto traceroute 2001:db8::1 --method icmp -q 1 -m 12
    sudo rawproto traceroute example.org --json | jq '.hops[].answers[].address'
    ```

    Parameters
    ----------
    host
        A name or an address.
    method
        What to send: udp (to a port that nobody listens at), icmp (echo requests) or tcp (SYNs, to a port that
        firewalls let through; nothing is ever connected).
    port
        The destination port for udp (33434) and tcp (80).
    max_hops
        Where to stop at the latest.
    queries
        Probes for each hop.
    timeout
        How long to wait for an answer. A silent hop does not hold up the others for so long.
    ipv4
        Only IPv4 addresses of the name.
    ipv6
        Only IPv6 addresses of the name.
    as_object
        Print one JSON object at the end, and nothing else; times in nanoseconds.
    """
    if port is not None and method == "icmp":
        raise UsageError("--port has no meaning for --method icmp: leave it out, or use udp or tcp")
    target = resolve_host(host, family_of(ipv4=ipv4, ipv6=ipv6))
    chance = random.SystemRandom()
    found: list[Hop] = []
    interrupted = False
    with link_errors():
        source = source_for(target.scoped)
        with _opened(method, source, chance) as (local, links):
            plan = HopsPlan(
                source=source.partition("%")[0],
                target=target.address,
                method=method,
                local=local,
                port=port or PORTS[method],
                base=chance.randrange(1 << 32),
                max_hops=max_hops,
                queries=queries,
                timeout_ns=timeout,
            )
            if not as_object:
                print(_head(target, plan), flush=True)
            hops = Hops(plan, wall_clock())
            try:
                for hop in drive(hops, links):
                    found.append(hop)
                    if not as_object:
                        print(_line(hop), flush=True)
            except KeyboardInterrupt:
                interrupted = True
                rest = hops.unfinished()
                found += rest
                if not as_object:
                    print("\n".join(map(_line, rest)), flush=True)
    if as_object:
        print(json.dumps(_as_json(target, hops, found), indent=2))
    if interrupted:
        raise KeyboardInterrupt
    if not hops.reached:
        raise FailedError(f"{target} was not reached{_why(hops, found)}")
    return 0


def _why(hops: Hops, found: list[Hop]) -> str:
    if found and found[-1].error:
        return f": {found[-1].error}"
    if hops.blocked is not None:
        return f": {hops.blocked.address} says {hops.blocked.note}"
    return f" within {hops.plan.max_hops} hops"


@contextlib.contextmanager
def _opened(method: Method, source: str, chance: random.Random) -> Iterator[tuple[int, dict[str, Link]]]:
    """The ICMP id or source port to send from, and the links on which answers come."""
    with contextlib.ExitStack() as stack:
        links: dict[str, Link] = {"icmp": stack.enter_context(open_raw(source, "icmp"))}
        if method == "icmp":
            local = chance.randrange(1, 1 << 16)
        else:
            kind = socket.SOCK_DGRAM if method == "udp" else socket.SOCK_STREAM
            local = stack.enter_context(reserve_port(source, kind))
            links[method] = stack.enter_context(open_raw(source, method, f"{method} dst port {local}"))
        yield local, links


def _head(target: Host, plan: HopsPlan) -> str:
    what = {"icmp": "ICMP echo", "udp": f"UDP port {plan.port}", "tcp": f"TCP port {plan.port}"}[plan.method]
    return f"traceroute to {target} from {plan.source}, {what}, {plan.max_hops} hops at most"


def _line(hop: Hop) -> str:
    """As traceroutes print it: an address stands before the times of all answers that it gave in a row."""
    parts = [f"{hop.ttl:2d} "]
    before = ""
    for answer in hop.answers:
        if answer is None:
            parts.append("*")
            continue
        if answer.address != before:
            parts.append(answer.address)
            before = answer.address
        parts.append(f"{answer.rtt_ns / 1e6:.3f} ms{_mark(answer)}")
    return f"{parts[0]} {hop.error}" if hop.error else "  ".join(parts)


def _mark(answer: HopAnswer) -> str:
    if answer.mark:
        return f" {answer.mark}"
    return f" [{answer.note}]" if answer.note in ("open", "closed") else ""


def _as_json(target: Host, hops: Hops, found: list[Hop]) -> dict[str, Any]:
    plan = hops.plan
    return {
        "host": target.name,
        "address": target.scoped,
        "source": plan.source,
        "method": plan.method,
        "port": plan.port or None,
        "reached": hops.reached,
        "hops": [
            {
                "ttl": hop.ttl,
                "error": hop.error,
                "answers": [
                    None
                    if answer is None
                    else {
                        "address": answer.address,
                        "rtt_ns": answer.rtt_ns,
                        "reached": answer.reached,
                        "mark": answer.mark,
                        "note": answer.note,
                    }
                    for answer in hop.answers
                ],
            }
            for hop in found
        ],
    }
