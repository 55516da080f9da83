"""The three stages of `rawproto scan`: who is on the wire, who answers an echo, which ports are open.

Each opens what it needs, asks all its targets by one `Sweep`, and gives what it found, whole or interrupted.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rawproto.cli import UsageError
from rawproto.cli._hosts import LocalNetwork
from rawproto.cli._targets import Target, network_of
from rawproto.errors import LinkError
from rawproto.link.base import Link
from rawproto.link.packet import PacketLink
from rawproto.sockets.driver import wall_clock
from rawproto.sockets.probe import drive, open_raw, reserve_port, source_for
from rawproto.sockets.sweep import Finding, Question, Sweep, SweepPlan, ask_echo, ask_neighbor, ask_port

__all__ = ["Progress", "Stage", "sweep_echo", "sweep_neighbors", "sweep_ports"]

Progress = Callable[[int, int], None]
"""Is told how many questions were asked at least once, and how many there are."""

ETHERTYPES = {4: 0x0806, 6: 0x86DD}
"""ARP; and all of IPv6, of which neighbour advertisements are a part."""


@dataclass(slots=True)
class Stage:
    """What a sweep found, in the order of its questions; `interrupted` by Ctrl-C if it is not all."""

    findings: list[Finding] = field(default_factory=list)
    interrupted: bool = False


def sweep_neighbors(
    targets: Sequence[Target], networks: Sequence[LocalNetwork], plan: SweepPlan, progress: Progress
) -> Stage:
    """Ask the wire who has these addresses: ARP, for IPv6 neighbour discovery. Raises UsageError and LinkError."""
    groups: dict[LocalNetwork, list[str]] = {}
    stage = Stage()
    for target in targets:
        network = network_of(target, networks)
        if network is None or not network.mac:
            raise UsageError(f"{target.address} is on no Ethernet of this machine: ARP can't ask for it, use --icmp")
        own = [one for one in networks if one.address == target.ip and target.zone in ("", one.interface)]
        if own:  # nobody else answers for it
            stage.findings.append(_this_host(target, own[0]))
        else:
            groups.setdefault(network, []).append(target.address)
    with contextlib.ExitStack() as stack:
        links: dict[str, Link] = {}
        questions: list[Iterable[Question]] = []
        for network, addresses in groups.items():
            road = f"{network.interface}/{network.network.version}"
            if road not in links:
                ethertype = ETHERTYPES[network.network.version]
                links[road] = stack.enter_context(PacketLink(network.interface, ring=False, ethertype=ethertype))
            questions.append(ask_neighbor(addresses, str(network.address), network.mac, road))
        total = sum(map(len, groups.values()))
        return _run(stage, plan, (one for group in questions for one in group), total, links, progress)


def sweep_echo(targets: Sequence[Target], plan: SweepPlan, progress: Progress) -> Stage:
    """Ask for an echo, by ICMP or ICMPv6. Raises LinkError."""
    identification = random.SystemRandom().randrange(1, 1 << 16)
    with contextlib.ExitStack() as stack:
        links: dict[str, Link] = {}
        questions: list[Iterable[Question]] = []
        groups, stage = _by_source(targets)
        for source, addresses in groups.items():
            links[source] = stack.enter_context(open_raw(source, "icmp"))
            questions.append(ask_echo(addresses, source.partition("%")[0], identification, source))
        total = sum(map(len, groups.values()))
        return _run(stage, plan, (one for group in questions for one in group), total, links, progress)


def sweep_ports(targets: Sequence[Target], ports: Sequence[int], plan: SweepPlan, progress: Progress) -> Stage:
    """Ask for a connection at each of the ports, and never complete one. Raises LinkError."""
    seq = random.SystemRandom().randrange(1 << 32)
    with contextlib.ExitStack() as stack:
        links: dict[str, Link] = {}
        groups: list[tuple[list[str], str, int]] = []
        for source, addresses in _by_source(targets)[0].items():
            sport = stack.enter_context(reserve_port(source, socket.SOCK_STREAM))
            links[source] = stack.enter_context(open_raw(source, "tcp", f"tcp dst port {sport}"))
            links[f"{source} icmp"] = stack.enter_context(open_raw(source, "icmp"))
            groups.append((addresses, source, sport))

        def questions() -> Iterator[Question]:
            for port in ports:  # so that no host gets all of it at once
                for addresses, source, sport in groups:
                    pairs = ((address, port) for address in addresses)
                    yield from ask_port(pairs, source.partition("%")[0], sport, seq, source)

        total = len(ports) * sum(len(addresses) for addresses, _, _ in groups)
        return _run(Stage(), plan, questions(), total, links, progress)


def _by_source(targets: Iterable[Target]) -> tuple[dict[str, list[str]], Stage]:
    """The targets by the local address from which the kernel would send to them; and those that it would not send to.

    These are errors if they were named, or if there are no others. In a range a broadcast address may be among them.
    """
    groups: dict[str, list[str]] = {}
    stage = Stage()
    last: LinkError | None = None
    for target in targets:
        try:
            groups.setdefault(source_for(target.scoped), []).append(target.address)
        except LinkError as error:
            last = error
            if target.named:
                raise
            stage.findings.append(Finding(target=target.address, reason=error.strerror or str(error)))
    if last is not None and not groups:
        raise last
    return groups, stage


def _this_host(target: Target, network: LocalNetwork) -> Finding:
    return Finding(target=target.address, state="up", reason="this host", by=target.address, macs=[network.mac])


def _run(
    stage: Stage, plan: SweepPlan, questions: Iterable[Question], total: int, links: dict[str, Link], progress: Progress
) -> Stage:
    sweep = Sweep(plan, _counted(questions, total, progress), wall_clock())
    try:
        for _ in drive(sweep, links):
            pass
    except KeyboardInterrupt:
        stage.interrupted = True
    stage.findings += sweep.findings
    return stage


def _counted(questions: Iterable[Question], total: int, progress: Progress) -> Iterator[Question]:
    """The questions, each told to `progress` when it is taken."""
    for number, question in enumerate(questions, 1):
        progress(number, total)
        yield question
