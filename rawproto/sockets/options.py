"""The options of `setsockopt` and `getsockopt`, as socket(7) and tcp(7) have them: one table, a row for each.

    SOL_SOCKET      SO_KEEPALIVE, SO_LINGER, SO_REUSEADDR
        to be read  SO_TYPE, SO_ERROR, SO_ACCEPTCONN, SO_RCVBUF, SO_SNDBUF
    IPPROTO_TCP     TCP_NODELAY, TCP_QUICKACK, TCP_KEEPIDLE and TCP_KEEPINTVL (s), TCP_KEEPCNT, TCP_USER_TIMEOUT (ms),
                    TCP_CONGESTION
        to be read  TCP_MAXSEG

Most are settings of a connection (rawproto.transport.connection.OPTIONS) under the names and in the units of the
kernel. What is set before `connect` or `listen` holds for the connection that comes; those that a listener accepts
begin with what it has. TCP_INFO is no option here: the sockets have `stats()`.
"""

from __future__ import annotations

import errno
import socket as stdlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rawproto.transport.config import MILLISECOND, SECOND

__all__ = ["SETTINGS", "Key", "Option", "Setting", "Value", "as_bytes", "as_value", "find"]

Key = tuple[int, int]
"""A level and the number of an option."""
Value = int | bytes

_INT = struct.Struct("i")
_LARGEST_INT = (1 << 31) - 1
_LEVELS = {stdlib.SOL_SOCKET: "SO_", stdlib.IPPROTO_TCP: "TCP_"}
_ELSEWHERE = {(stdlib.IPPROTO_TCP, stdlib.TCP_INFO): "; call stats() instead"}


@dataclass(frozen=True, slots=True)
class Option:
    """How one option is read and written, given the socket. Without `write` it can only be read.

    Its value is an int, or bytes of the struct or text that the kernel has there.
    """

    name: str
    read: Callable[[Any], Value]
    write: Callable[[Any, Any], None] | None = None
    text: bool = False
    """The value is bytes."""

    def set(self, socket: Any, value: Value) -> None:
        """Write it. Raises OSError (ENOPROTOOPT) if it can only be read."""
        if self.write is None:
            raise OSError(errno.ENOPROTOOPT, f"{self.name} can only be read")
        self.write(socket, value)


@dataclass(frozen=True, slots=True)
class Setting:
    """An option that is a setting of the engine: `unit` ns, or so many of whatever it counts, are 1 in the option."""

    name: str
    field: str
    """The name in Config."""
    unit: int = 0
    """0: it is a switch."""
    most: int = _LARGEST_INT
    inverted: bool = False
    """The option switches off what the setting switches on."""
    zero_is_default: bool = False
    """0 stands for what the host has."""

    def value(self, option: int, default: int | bool) -> int | bool:
        """The setting for the option's value. Raises OSError (EINVAL) out of range."""
        if not self.unit:
            return bool(option) is not self.inverted
        if option == 0 and self.zero_is_default:
            return default
        if not 0 < option <= self.most:
            raise OSError(errno.EINVAL, f"{self.name} is {option}; it must be 1 to {self.most}")
        return option * self.unit

    def option(self, value: int | bool) -> int:
        """The option's value for the setting's."""
        return value // self.unit if self.unit else int(bool(value) is not self.inverted)


SETTINGS: dict[Key, Setting] = {
    (stdlib.SOL_SOCKET, stdlib.SO_KEEPALIVE): Setting("SO_KEEPALIVE", "keep_alive"),
    (stdlib.IPPROTO_TCP, stdlib.TCP_NODELAY): Setting("TCP_NODELAY", "nagle", inverted=True),
    (stdlib.IPPROTO_TCP, stdlib.TCP_QUICKACK): Setting("TCP_QUICKACK", "delayed_ack", inverted=True),
    (stdlib.IPPROTO_TCP, stdlib.TCP_KEEPIDLE): Setting("TCP_KEEPIDLE", "keep_alive_idle", SECOND, 32767),
    (stdlib.IPPROTO_TCP, stdlib.TCP_KEEPINTVL): Setting("TCP_KEEPINTVL", "keep_alive_interval", SECOND, 32767),
    (stdlib.IPPROTO_TCP, stdlib.TCP_KEEPCNT): Setting("TCP_KEEPCNT", "keep_alive_count", 1, 127),
    (stdlib.IPPROTO_TCP, stdlib.TCP_USER_TIMEOUT): Setting(
        "TCP_USER_TIMEOUT", "user_timeout", MILLISECOND, zero_is_default=True
    ),
}
"""The bounds are those of tcp(7)."""


def find(options: Mapping[Key, Option], level: int, number: int) -> Option:
    """The row of the table. Raises OSError (ENOPROTOOPT) if there is none."""
    option = options.get((level, number))
    if option is None:
        known = ", ".join(each.name for each in options.values())
        more = _ELSEWHERE.get((level, number), f"; there are: {known}")
        raise OSError(errno.ENOPROTOOPT, f"this socket has no option {_name(level, number)}{more}")
    return option


def as_value(option: Option, given: int | bytes | bytearray | memoryview) -> Value:
    """What a caller gave as the option's own type. Raises OSError (EINVAL), OverflowError if it can't be."""
    if option.text:
        if isinstance(given, int):
            raise OSError(errno.EINVAL, f"the value of {option.name} is bytes, not {given!r}")
        return bytes(given)
    if isinstance(given, int):
        if not -_LARGEST_INT <= given <= _LARGEST_INT:
            raise OverflowError(f"{option.name} is {given}; it must fit 32 bits")
        return int(given)
    if len(given) < _INT.size:
        raise OSError(errno.EINVAL, f"the value of {option.name} is {_INT.size} bytes long, not {len(given)}")
    return int(_INT.unpack_from(given)[0])


def as_bytes(option: Option, value: Value, buflen: int) -> Value:
    """`value` as it goes into a buffer of `buflen` bytes; as it is if that is 0 and the value an int.

    Raises OSError (EINVAL) for a buffer that can't be.
    """
    if not 0 <= buflen <= 1024:
        raise OSError(errno.EINVAL, f"buflen is {buflen}; it must be 0 to 1024")
    if isinstance(value, int):
        return _INT.pack(value)[:buflen] if buflen else value
    if not buflen:
        raise OSError(errno.EINVAL, f"the value of {option.name} is bytes; give a buflen")
    return value[:buflen]


def _name(level: int, number: int) -> str:
    """What the `socket` module calls it, for a message."""
    prefix = _LEVELS.get(level)
    names = [] if prefix is None else [name for name in dir(stdlib) if name.startswith(prefix)]
    name = next((name for name in names if getattr(stdlib, name) == number), "")
    return name or f"{number} at level {level}"
