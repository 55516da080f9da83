"""`rawproto scan`: who is on the network, and which ports are open, by ARP, ICMP echo and TCP SYN."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated

from cyclopts import Parameter

from rawproto.cli import FailedError, UsageError
from rawproto.cli._hosts import LocalNetwork, family_of, link_errors, local_networks
from rawproto.cli._options import flag, unit
from rawproto.cli._quantities import parse_ports, parse_rate_per_second, time_within, whole_within
from rawproto.cli._scanned import Scan, as_json, as_text
from rawproto.cli._sweeping import Progress, sweep_echo, sweep_neighbors, sweep_ports
from rawproto.cli._targets import expand_targets, foreign, network_of
from rawproto.sockets.driver import wall_clock
from rawproto.sockets.sweep import SweepPlan

__all__ = ["scan"]

MILLISECOND, MINUTE = 10**6, 60 * 10**9


def scan(
    *targets: str,
    arp: Annotated[bool, flag()] = False,
    icmp: Annotated[bool, flag()] = False,
    syn: Annotated[tuple[int, ...] | None, unit(parse_ports, "PORTS"), Parameter(negative="")] = None,
    rate: Annotated[Fraction, unit(parse_rate_per_second, "NUMBER", default="200")] = Fraction(200),
    retries: Annotated[int, unit(whole_within(0, 10, "a number of retries"), "NUMBER", default="1")] = 1,
    timeout: Annotated[int, unit(time_within(MILLISECOND, MINUTE), "TIME", default="1s")] = 1_000_000_000,
    i_am_allowed: Annotated[bool, flag()] = False,
    ipv4: Annotated[bool, flag("-4")] = False,
    ipv6: Annotated[bool, flag("-6")] = False,
    as_object: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> int:
    """Find the hosts of a network and their open TCP ports.

    Targets are addresses, names and ranges: 10.0.0.5, 10.0.0.0/24, 10.0.0.1-20, fd00::/120. Without --arp, --icmp or
    --syn they are asked by ARP if all are on our own Ethernet, otherwise by ICMP. With --syn as well as one of
    the others, only hosts that were found are asked for ports. Needs CAP_NET_RAW.

    A port is open if SYN-ACK comes back, closed if RST does, filtered if an ICMP error comes or nothing. No
    connection is ever made: the SYN is handmade, so our own kernel, which knows nothing of it, answers the SYN-ACK
    with RST, and that frees the other side. So no rule keeps that RST back.

    Anything that is not on a subnet of this machine's interfaces is refused unless you say --i-am-allowed. Scan what is
    yours, or what its owner has permitted you to.

    Exit status: 0 if a host answered, 1 if none did, 2 for a wrong call, 130 after Ctrl-C, with what was found so far.

    Examples:

    ```
    sudo rawproto scan 192.168.1.0/24
    sudo rawproto scan 192.168.1.0/24 --arp --syn 22,80,8000-8010
    sudo rawproto scan fd00::1-fd00::20 --icmp --rate 50
    sudo rawproto scan 192.168.1.7 --syn 1-1024 --json | jq '.hosts[].ports'
    ```

    Parameters
    ----------
    targets
        What to scan.
    arp
        Ask the wire who has each address: ARP, for IPv6 neighbour discovery. Gives MAC addresses, and their vendors.
    icmp
        Ask each address for an echo.
    syn
        Ask for connections at these TCP ports.
    rate
        Questions a second, at most.
    retries
        How often to ask again where nothing comes.
    timeout
        How long to wait for each answer.
    i_am_allowed
        Scan beyond this machine's own networks.
    ipv4
        Only IPv4 addresses of names.
    ipv6
        Only IPv6 addresses of names.
    as_object
        Print one JSON object at the end, and nothing else; times in nanoseconds.
    """
    if not targets:
        raise UsageError("scan what? Give addresses, names or ranges, such as 192.168.1.0/24")
    wanted = expand_targets(targets, family_of(ipv4=ipv4, ipv6=ipv6))
    networks = local_networks()
    stranger = foreign(wanted, networks)
    if stranger is not None and not i_am_allowed:
        raise UsageError(
            f"{stranger.address} is on no network of this machine: scan others' only with their permission, "
            "and then say --i-am-allowed"
        )
    if not (arp or icmp or syn):
        arp = all((one := network_of(target, networks)) is not None and one.mac for target in wanted)
        icmp = not arp
    outcome = Scan(wanted, arp=arp, icmp=icmp, ports=syn or ())
    plan = SweepPlan(rate=rate, retries=retries, timeout_ns=timeout)
    begin = wall_clock()
    with link_errors():
        _run(outcome, networks, plan, quiet=as_object)
    outcome.elapsed_ns = wall_clock() - begin
    print(json.dumps(as_json(outcome), indent=2) if as_object else as_text(outcome))
    if outcome.interrupted:
        raise KeyboardInterrupt
    if not outcome.answered:
        raise FailedError("no host answered")
    return 0


def _run(outcome: Scan, networks: list[LocalNetwork], plan: SweepPlan, *, quiet: bool) -> None:
    """The stages that are asked for, one after the other, until one is interrupted."""
    targets = outcome.targets
    if outcome.arp:
        with _bar("ARP", quiet=quiet) as progress:
            outcome.add(sweep_neighbors(targets, networks, plan, progress))
    if outcome.icmp and not outcome.interrupted:
        with _bar("ICMP", quiet=quiet) as progress:
            outcome.add(sweep_echo(targets, plan, progress))
    if outcome.ports and not outcome.interrupted:
        if outcome.arp or outcome.icmp:
            targets = [target for target in targets if target.address in outcome.answered]
        with _bar("TCP", quiet=quiet) as progress:
            outcome.add_ports(sweep_ports(targets, outcome.ports, plan, progress))


@contextlib.contextmanager
def _bar(what: str, *, quiet: bool) -> Iterator[Progress]:
    """A progress bar, if somebody looks on."""
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415 - not needed for --json
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
