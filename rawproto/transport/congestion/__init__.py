"""Congestion control: how much may be in flight. One class a file, behind one interface and a registry."""

from rawproto.transport.congestion.base import CongestionControl, create, names, register
from rawproto.transport.congestion.reno import Reno
from rawproto.transport.congestion.unlimited import Unlimited

__all__ = ["CongestionControl", "create", "names", "register"]

register("none", Unlimited)
register("reno", Reno)
