"""What `rawproto scan` found, host by host, and how it is shown: as text for people, as an object for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from netaddr import EUI, NotRegisteredError

from rawproto.cli._sweeping import Stage
from rawproto.cli._targets import Target
from rawproto.sockets.sweep import Finding
from rawproto.wire.names import PORT_NAMES

__all__ = ["FoundHost", "Scan", "as_json", "as_text", "vendor"]

FEW_PORTS = 20
"""Up to so many, each port has its line whatever its state; of more, only those that are open."""


@dataclass(slots=True)
class FoundHost:
    """What is known of one target: how it answered (None if it was not asked, or did not), and its ports."""

    target: Target
    seen: Finding | None = None
    macs: list[str] = field(default_factory=list)
    ports: list[Finding] = field(default_factory=list)
    silence: str = "no answer"

    @property
    def alive(self) -> bool:
        """Whether it has answered anything."""
        return self.seen is not None or any(port.alive for port in self.ports)


@dataclass(slots=True)
class Scan:
    """A scan: what it was to do, and what it has found so far."""

    targets: Sequence[Target]
    arp: bool
    icmp: bool
    ports: Sequence[int]
    interrupted: bool = False
    elapsed_ns: int = 0
    hosts: dict[str, FoundHost] = field(default_factory=dict)

    def add(self, stage: Stage) -> None:
        """Take in who is there."""
        self.interrupted |= stage.interrupted
        for finding in stage.findings:
            host = self._host(finding)
            host.macs += [mac for mac in finding.macs if mac not in host.macs]
            if finding.state == "up":
                host.seen = host.seen or finding
            else:
                host.silence = finding.reason

    def add_ports(self, stage: Stage) -> None:
        """Take in which ports are open."""
        self.interrupted |= stage.interrupted
        for finding in stage.findings:
            self._host(finding).ports.append(finding)

    @property
    def answered(self) -> list[str]:
        """The addresses that have answered."""
        return [target.address for target in self.targets if (host := self.hosts.get(target.address)) and host.alive]

    @property
    def shown(self) -> list[FoundHost]:
        """The hosts to tell about: those that answered, and those that were asked for by name."""
        asked = (self.hosts.get(target.address) for target in self.targets)
        return [host for host in asked if host is not None and (host.alive or host.target.named)]

    def _host(self, finding: Finding) -> FoundHost:
        if not self.hosts:
            self.hosts.update((target.address, FoundHost(target)) for target in self.targets)
        return self.hosts[finding.target]


def vendor(mac: str) -> str:
    """Who made the card, by the first half of its address; "" for one that IEEE has not assigned."""
    try:
        return str(EUI(mac).oui.registration().org)
    except NotRegisteredError:
        return ""


def as_text(scan: Scan) -> str:
    """For people: a line a host, below it a line a port, and a summary."""
    lines: list[str] = []
    rows = [_host_row(host) for host in scan.shown]
    for host, line in zip(scan.shown, _columns(rows), strict=True):
        lines.append(line)
        if len(host.macs) > 1:
            others = ", ".join(host.macs[1:])
            lines.append(f"  warning: {others} says that it has this address as well")
        lines += _port_lines(host.ports)
    if lines:
        lines.append("")
    return "\n".join([*lines, _summary(scan)])


def _host_row(host: FoundHost) -> list[str]:
    mac = host.macs[0] if host.macs else ""
    if host.seen is not None:
        how = host.seen.reason + _took(host.seen)
    elif host.alive:
        how = "up"
    else:
        how = "" if host.ports else host.silence
    return [host.target.scoped, how, mac, vendor(mac) if mac else ""]


def _port_lines(ports: Sequence[Finding]) -> list[str]:
    each = [port for port in ports if len(ports) <= FEW_PORTS or port.state == "open"]
    rows = [[f"  {port.port}/tcp", port.state, PORT_NAMES.get(port.port, ""), _reason(port)] for port in each]
    rest = Counter(port.state for port in ports) - Counter(port.state for port in each)
    lines = list(_columns(rows))
    if rest:
        lines.append(f"  not shown: {', '.join(f'{number} {state}' for state, number in sorted(rest.items()))}")
    return lines


def _reason(port: Finding) -> str:
    by = f" by {port.by}" if port.by and port.by != port.target else ""
    return f"{port.reason}{by}{_took(port)}"


def _took(finding: Finding) -> str:
    return "" if finding.rtt_ns is None else f" in {finding.rtt_ns / 1e6:.3f} ms"


def _summary(scan: Scan) -> str:
    count = len(scan.answered)
    asked = f"{len(scan.targets):,} address{'es' if len(scan.targets) != 1 else ''}"
    text = f"{count:,} of {asked} answered, in {scan.elapsed_ns / 1e9:.2f} s."
    if scan.ports:
        found = Counter(port.state for host in scan.hosts.values() for port in host.ports)
        text += f" Ports: {', '.join(f'{found[state]:,} {state}' for state in ('open', 'closed', 'filtered'))}."
    return f"{text} Interrupted: that is not all." if scan.interrupted else text


def _columns(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """The rows with their cells below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def as_json(scan: Scan) -> dict[str, Any]:
    """For programs: the same hosts, with every port."""
    return {
        "asked": len(scan.targets),
        "answered": len(scan.answered),
        "methods": [name for name, used in (("arp", scan.arp), ("icmp", scan.icmp), ("syn", bool(scan.ports))) if used],
        "interrupted": scan.interrupted,
        "elapsed_ns": scan.elapsed_ns,
        "hosts": [_host_as_json(host) for host in scan.shown],
    }


def _host_as_json(host: FoundHost) -> dict[str, Any]:
    return {
        "address": host.target.scoped,
        "up": host.alive,
        "reason": host.seen.reason if host.seen else "" if host.alive else host.silence,
        "rtt_ns": host.seen.rtt_ns if host.seen else None,
        "macs": [{"mac": mac, "vendor": vendor(mac)} for mac in host.macs],
        "ports": [
            {
                "port": port.port,
                "state": port.state,
                "service": PORT_NAMES.get(port.port, ""),
                "reason": port.reason,
                "by": port.by,
                "rtt_ns": port.rtt_ns,
            }
            for port in host.ports
        ],
    }
