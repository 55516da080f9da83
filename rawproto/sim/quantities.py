"""Times, sizes and rates with their units, as people write them: "10 ms", "64 KiB", "100 Mbit/s".

Exact: nothing is rounded away, and `time_text` writes what `parse_time` reads. All raise ValueError with a text that
completes "KEY: ..." or "--option: ...": what was wrong, and what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

__all__ = ["RATES", "SIZES", "TIMES", "parse_rate", "parse_size", "parse_time", "scaled", "split", "time_text"]

# Thirty digits are enough for anything, and few enough to be worked out at once.
NUMBER = re.compile(r"\s*([0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})\s*([a-zA-Zµ%/]*)\s*")

TIMES = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9}
SIZES = {
    "": 1, "b": 1,
    "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9,
    "ki": 1 << 10, "kib": 1 << 10, "mi": 1 << 20, "mib": 1 << 20, "gi": 1 << 30, "gib": 1 << 30,
}  # fmt: skip
RATES = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}


def split(text: str) -> tuple[Fraction | None, str]:
    """The number in `text` and the unit behind it, in lower case; None if it begins with no number."""
    match = NUMBER.fullmatch(text)
    if match is None:
        return None, ""
    return Fraction(match[1]), match[2].lower()


def scaled(text: str, units: Mapping[str, int]) -> Fraction | None:
    """A number and one of `units` as what both make; None if it is no such thing."""
    number, unit = split(text)
    return None if number is None or unit not in units else number * units[unit]


def parse_time(text: str) -> int:
    """Nanoseconds: "250 us", "1.5s", "-5 s"."""
    size = _whole(text, text.strip().removeprefix("-"), TIMES, TIME)
    return -size if text.strip().startswith("-") else size


def parse_size(text: str) -> int:
    """Bytes: "1 MiB" and "64Ki" are powers of 1024, "10 MB" and "64k" powers of 1000."""
    return _whole(text, text, SIZES, SIZE)


def parse_rate(text: str) -> int:
    """Bits a second: "10 Mbit/s", "64kbit"."""
    return _whole(text, text.strip().removesuffix("/s"), RATES, RATE)


TIME = "a time with its unit, such as 10 ms, 250 us or 1.5 s, in whole nanoseconds"
SIZE = "a size, such as 1500, 64 KiB or 10 MB, in whole bytes"
RATE = "a rate with its unit, such as 64 kbit/s or 10 Mbit/s, in whole bits"


def _whole(text: str, positive: str, units: Mapping[str, int], what: str) -> int:
    value = scaled(positive, units)
    if value is None or value.denominator != 1:
        raise ValueError(f"{text!r} is not {what}")
    return value.numerator


def time_text(time_ns: int) -> str:
    """The shortest exact way to write it, in the largest unit that it has one of: "1.5 ms", "0 s"."""
    size = abs(time_ns)
    unit = next((unit for unit in ("s", "ms", "us") if size >= TIMES[unit]), "ns" if size else "s")
    whole, rest = divmod(size, TIMES[unit])
    digits = str(TIMES[unit] + rest)[1:].rstrip("0")
    return f"{'-' if time_ns < 0 else ''}{whole}{'.' if digits else ''}{digits} {unit}"
