"""The names of congestion controls, and how one is made from a name.

A name is one that was registered, or the place of a class of one's own: "module:Class" or "module:Class.attribute".
"""

from __future__ import annotations

import importlib
from typing import Any

from rawproto.errors import ConfigError
from rawproto.transport.congestion.base import CongestionControl

__all__ = ["create", "names", "register"]

_REGISTRY: dict[str, type[CongestionControl]] = {}


def register(name: str, kind: type[CongestionControl]) -> None:
    """Make `kind` known as `name`, in place of what had that name. Raises ConfigError if it is no such class."""
    _REGISTRY[name] = _checked(kind, repr(kind))


def names() -> list[str]:
    """The names that `create` knows, sorted."""
    return sorted(_REGISTRY)


def create(name: str, mss: int, initial_window: int) -> CongestionControl:
    """Make the congestion control called `name`; sizes in octets.

    Raises ConfigError for a name that is not registered, for a place where there is no such class, and for a
    class that can't be made.
    """
    kind = _REGISTRY.get(name)
    if kind is None:
        if ":" not in name:
            raise ConfigError(
                f"no congestion control is called {name!r}; there are: {', '.join(names())}, and module:Class for "
                "one of your own"
            )
        kind = _found(name)
    try:
        return kind(mss, initial_window)
    except Exception as error:
        raise ConfigError(f"congestion control {name!r} could not be made: {_line(error)}") from error


def _found(name: str) -> type[CongestionControl]:
    """The class that stands at `name`, "module:Class.attribute"."""
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # whatever the module's own code raises, too
        message = f"congestion control {name!r}: module {module_name!r} can't be imported: {_line(error)}"
        raise ConfigError(message) from error
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise ConfigError(f"congestion control {name!r}: {_line(error)}") from error
    return _checked(found, f"congestion control {name!r}")


def _checked(kind: Any, what: str) -> type[CongestionControl]:
    if isinstance(kind, type) and issubclass(kind, CongestionControl):
        return kind
    raise ConfigError(f"{what} is not a subclass of rawproto.transport.congestion.CongestionControl")


def _line(error: Exception) -> str:
    """An exception in one line: some, a SyntaxError's for one, have several."""
    return " ".join(f"{type(error).__name__}: {error}".split())
