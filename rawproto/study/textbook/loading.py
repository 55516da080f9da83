"""Finds a class of somebody's own by its place, "module:Class", or says in one line why it can't be had."""

from __future__ import annotations

import importlib
from typing import Any, TypeVar

from rawproto.errors import ConfigError
from rawproto.study.textbook.machine import Machine

__all__ = ["load_class"]

M = TypeVar("M", bound=Machine)


def load_class(place: str, base: type[M]) -> type[M]:
    """The subclass of `base` (Sender or Receiver) at `place`, "module:Class" or "module:Class.attribute".

    Raises ConfigError. The module is looked for where Python looks: whoever takes `place` from a command line sees to
    it that the current directory is among that.
    """
    role = base.__name__.lower()
    module_name, colon, path = place.partition(":")
    if not (module_name and colon and path):
        raise ConfigError(f"{role} {place!r} is no place of a class: give module:Class, such as mine:My{base.__name__}")
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the module's own code raises, too
        raise ConfigError(f"{role} {place!r}: module {module_name!r} can't be imported: {_line(error)}") from error
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise ConfigError(f"{role} {place!r}: {_line(error)}") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(f"{role} {place!r} is not a subclass of rawproto.study.textbook.{base.__name__}")
    return found


def _line(error: BaseException) -> str:
    """An exception in one line: some, a SyntaxError's for one, have several."""
    return " ".join(f"{type(error).__name__}: {error}".split())
