"""Other people's tools: tshark, dpkt, scapy, each imported or started only when it is asked for.

    from rawproto.interop import from_dpkt, from_scapy, to_dpkt, to_scapy

May import `wire`, `capture` and `errors`; the core never imports it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rawproto.interop.dpkt_bridge import from_dpkt, to_dpkt
    from rawproto.interop.scapy_bridge import from_scapy, register, to_scapy
    from rawproto.interop.scapy_names import MissingToolError

_HOMES = {
    "MissingToolError": "scapy_names",
    "from_dpkt": "dpkt_bridge",
    "from_scapy": "scapy_bridge",
    "register": "scapy_bridge",
    "to_dpkt": "dpkt_bridge",
    "to_scapy": "scapy_bridge",
}

__all__ = ["MissingToolError", "from_dpkt", "from_scapy", "register", "to_dpkt", "to_scapy"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rawproto.interop' has no attribute {name!r}")
    return getattr(import_module(f"rawproto.interop.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
