"""Values with units, as people type them: sizes, probabilities, durations, rates. Each gives an int of the base unit.

All raise ValueError with a text that completes "--option: ...": what was wrong, and what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from rawproto.sim.quantities import RATES, SIZES, TIMES, scaled, split

__all__ = ["parse_duration", "parse_probability", "parse_rate", "parse_seed", "parse_size"]

SIZE_LIMITS = (1, 1 << 30)
DURATION_LIMITS = (0, 10 * 10**9)
RATE_LIMITS = (10**4, 10**12)


def parse_size(text: str) -> int:
    """Bytes: "1MiB" and "64Ki" are powers of 1024, "10MB" and "64k" powers of 1000."""
    value = _scaled(text, SIZES, "a size, such as 64k, 10MB or 1MiB")
    return _whole_within(text, value, SIZE_LIMITS, "from 1 byte to 1GiB")


def parse_probability(text: str) -> float:
    """0.0 to 1.0: "5%" or "0.05"."""
    number, unit = split(text)
    if number is None or unit not in ("", "%"):
        raise ValueError(f"{text!r} is not a probability: give one such as 5% or 0.05")
    value = number / 100 if unit else number
    if value > 1:
        hint = f"; did you mean {text.strip()}%?" if not unit and number <= 100 else ""
        raise ValueError(f"{text!r} is more than 100%: give 0% to 100%{hint}")
    return float(value)


def parse_duration(text: str) -> int:
    """Nanoseconds: "20ms", "1.5s", "0"."""
    number, unit = split(text)
    if number == 0 and not unit:
        return 0
    value = _scaled(text, TIMES, "a duration with its unit, such as 20ms, 500us or 1.5s")
    return _whole_within(text, value, DURATION_LIMITS, "from 0 to 10s")


def parse_rate(text: str) -> int | None:
    """Bits a second: "100mbit", "1gbit"; None for "none"."""
    if text.strip().lower() == "none":
        return None
    value = _scaled(text, RATES, "a rate with its unit, such as 100mbit, 1gbit or none")
    return _whole_within(text, value, RATE_LIMITS, "from 10kbit to 1000gbit, or none")


def parse_seed(text: str) -> int:
    """A whole number, 0 or more."""
    if not re.fullmatch(r"\s*[0-9]{1,40}\s*", text, re.ASCII):
        raise ValueError(f"{text!r} is not a seed: give a whole number, 0 or more")
    return int(text)


def _scaled(text: str, units: Mapping[str, int], what: str) -> Fraction:
    value = scaled(text, units)
    if value is None:
        raise ValueError(f"{text!r} is not {what}")
    return value


def _whole_within(text: str, value: Fraction, limits: tuple[int, int], what: str) -> int:
    if not limits[0] <= value <= limits[1]:
        raise ValueError(f"{text!r} is out of range: give a value {what}")
    return round(value)
