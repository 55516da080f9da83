"""Congestion control: how much may be in flight. One class a file, behind one interface and a registry."""

from rawproto.transport.congestion.base import AckSample, CongestionControl, RateSample
from rawproto.transport.congestion.bbr import Bbr
from rawproto.transport.congestion.cubic import Cubic, CubicClassic
from rawproto.transport.congestion.registry import create, names, register
from rawproto.transport.congestion.reno import Reno
from rawproto.transport.congestion.unlimited import Unlimited

__all__ = ["AckSample", "CongestionControl", "RateSample", "create", "names", "register"]

register("none", Unlimited)
register("reno", Reno)
register("cubic", Cubic)
register("cubic-classic", CubicClassic)
register("bbr", Bbr)
