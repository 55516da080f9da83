"""Values of ping, traceroute and scan as people type them: whole numbers with bounds, times, ports, code points.

All raise ValueError with a text that completes "--option: ...", as those in `units` do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from rawproto.cli._rates import parse_pace

__all__ = ["parse_dscp", "parse_ports", "parse_rate_per_second", "time_text", "time_within", "whole_within"]

WHOLE = re.compile(r"\s*([0-9]{1,9})\s*", re.ASCII)
TIME = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})\s*(us|µs|ms|s|min)?\s*", re.ASCII)
TIME_UNITS = {"us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, None: 10**9}
PLAIN = re.compile(r"\s*[0-9.]+\s*", re.ASCII)
PORTS = re.compile(r"\s*([0-9]{1,5})\s*(?:-\s*([0-9]{1,5})\s*)?", re.ASCII)
FASTEST = 100_000
LAST_PORT = 65_535

DSCP_NAMES = {
    **{f"cs{number}": number << 3 for number in range(8)},
    **{f"af{group}{drop}": group << 3 | drop << 1 for group in range(1, 5) for drop in range(1, 4)},
    "le": 1,
    "va": 44,
    "ef": 46,
}
"""IANA's "Differentiated Services Field Codepoints" (RFC 2474, 2597, 3246, 5865, 8622)."""


def whole_within(least: int, most: int, what: str) -> Callable[[str], int]:
    """A parser for a whole number; `what` names it: "a TTL"."""

    def parse(text: str) -> int:
        match = WHOLE.fullmatch(text)
        if match is None or not least <= int(match[1]) <= most:
            raise ValueError(f"{text!r} is not {what}: give a whole number from {least} to {most}")
        return int(match[1])

    return parse


def time_within(least_ns: int, most_ns: int) -> Callable[[str], int]:
    """A parser for a time in ns: "200ms", "1.5s", "2min"; a plain number is seconds, as for ping."""

    def parse(text: str) -> int:
        match = TIME.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a time: give one such as 200ms, 1.5s or 2 (seconds)")
        value = round(float(match[1]) * TIME_UNITS[match[2]])
        if not least_ns <= value <= most_ns:
            raise ValueError(f"{text!r} is out of range: give {time_text(least_ns)} to {time_text(most_ns)}")
        return value

    return parse


def time_text(time_ns: int) -> str:
    """ "200 ms", "1.5 s"."""
    for limit, unit in ((10**9, "s"), (10**6, "ms"), (10**3, "us")):
        if time_ns >= limit:
            return f"{time_ns / limit:g} {unit}"
    return f"{time_ns} ns"


def parse_dscp(text: str) -> int:
    """A differentiated services code point: 0 to 63, or a name such as EF, AF41, CS1."""
    name = text.strip().lower()
    if name in DSCP_NAMES:
        return DSCP_NAMES[name]
    match = WHOLE.fullmatch(text)
    if match is None or int(match[1]) > 63:
        raise ValueError(f"{text!r} is not a code point: give 0 to 63, or a name such as EF, AF41 or CS1")
    return int(match[1])


def parse_ports(text: str) -> tuple[int, ...]:
    """Ports and ranges of them, each port once, in the order given: "22,80,8000-8010"."""
    ports: dict[int, None] = {}
    for part in text.split(","):
        match = PORTS.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= LAST_PORT:
            raise ValueError(
                f"{part!r} is not a port or a range of them: give 1 to {LAST_PORT}, such as 22,80,8000-8010"
            )
        ports.update(dict.fromkeys(range(first, last + 1)))
    return tuple(ports)


def parse_rate_per_second(text: str) -> Fraction:
    """How many a second: "200", "0.5", "1000/s", "2k/s"."""
    try:
        rate = parse_pace(f"{text}/s" if PLAIN.fullmatch(text) else text)
    except ValueError:
        rate = None
    if rate is None or rate.unit != "frames" or rate.value > FASTEST:
        raise ValueError(f"{text!r} is not a rate: give how many a second, above 0 and up to {FASTEST}")
    return rate.value
