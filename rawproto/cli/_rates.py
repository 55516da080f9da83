"""How fast, as people type it: "1000/s", "10mbit", "2x". What a ValueError says completes "--option: ..."."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, NamedTuple

__all__ = ["Rate", "parse_pace", "parse_speed"]

PACE = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([a-zA-Z/]*)\s*", re.ASCII)
SPEED = re.compile(r"\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*[xX×]?\s*", re.ASCII)
FRAMES = {"/s": 1, "k/s": 10**3, "m/s": 10**6, "pps": 1, "kpps": 10**3, "mpps": 10**6}
BITS = {"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
FASTEST = 10**12


class Rate(NamedTuple):
    """So many frames, or bits, a second."""

    value: Fraction
    unit: Literal["frames", "bits"]


def parse_pace(text: str) -> Rate:
    """Frames a second, "1000/s" or "10k/s", or bits a second, "10mbit"."""
    match = PACE.fullmatch(text)
    value, name = (Fraction(match[1]), match[2].lower()) if match else (Fraction(0), "")
    rate = Rate(value * BITS.get(name.removesuffix("/s"), 0), "bits")
    if name in FRAMES:
        rate = Rate(value * FRAMES[name], "frames")
    if not 0 < rate.value <= FASTEST:
        raise ValueError(f"{text!r} is not a rate: give frames a second, such as 1000/s, or bits, such as 10mbit")
    return rate


def parse_speed(text: str) -> Fraction:
    """How many times as fast as it was recorded: "2x", "0.5x"."""
    match = SPEED.fullmatch(text)
    if match is None or not Fraction(match[1]):
        raise ValueError(f"{text!r} is not a speed: give a number above 0, such as 2x or 0.5x")
    return Fraction(match[1])
