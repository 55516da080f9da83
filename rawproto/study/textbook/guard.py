"""Calls a machine that somebody has written, and says in one line what was wrong if that goes wrong.

A call that never returns is ended after so many lines of its own Python, not after so much time: the same on every
machine. Under a debugger or a coverage tool, which count lines themselves, it is not.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from rawproto.study.textbook.machine import Machine, Settings

__all__ = ["Guarded", "MachineError"]

MOST_LINES = 50_000
"""No call of a textbook protocol comes near."""
HERE = str(Path(__file__).parent)
"""Lines of these files end by themselves: they are not counted."""


class MachineError(Exception):
    """A machine has not kept to the interface; the message says how, and when."""


class EndlessCall(BaseException):
    """Not an Exception: a machine that catches those in a loop would go on."""


class Guarded:
    """A machine of class `kind`, the "sender" or the "receiver", which may do whatever it likes."""

    def __init__(self, kind: type[Machine], settings: Settings, role: str) -> None:
        self.role = role
        self.now = 0
        self._watched = not kind.__module__.startswith(__package__ or "-")
        self.machine: Any = self._run("__init__()", "", lambda: kind(settings))

    def call(self, name: str, *arguments: object, on: str = "") -> Any:
        """What the method `name` gives. Raises MachineError; `on` says there what it was given."""
        return self._run(f"{name}()", on, lambda: getattr(self.machine, name)(*arguments))

    def says(self, name: str) -> bool:
        """Whether the attribute or property `name` is true. Raises MachineError, also for what is neither."""
        said = self._run(name, "", lambda: getattr(self.machine, name))
        if callable(said):
            raise self.fault(f"has a method {name}(): write @property above it")
        if not isinstance(said, bool):
            raise self.fault(f"has {said!r} as {name}: give True or False")
        return said

    def fault(self, text: str) -> MachineError:
        """What to raise for something else that is wrong."""
        return MachineError(f"your {self.role} {text}, at {self.now / 1e6:g} ms")

    def _run(self, where: str, on: str, function: Callable[[], Any]) -> Any:
        watched = self._watched and sys.gettrace() is None
        if watched:
            sys.settrace(_counter())
        try:
            return function()
        except EndlessCall:
            raise self.fault(f"is still in {where} after {MOST_LINES:,} lines: it seems to loop for ever{on}") from None
        except (Exception, SystemExit) as error:
            said = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
            raise self.fault(f"raised {said} in {where}{_line(error)}{on}") from error
        finally:
            if watched:
                sys.settrace(None)


def _counter() -> Callable[[FrameType, str, object], Any]:
    """Ends what it watches after `MOST_LINES`."""
    left = MOST_LINES

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if event == "call" and frame.f_code.co_filename.startswith(HERE):
            return None
        left -= 1
        if left < 0:
            raise EndlessCall
        return count

    return count


def _line(error: BaseException) -> str:
    """Where in the machine's own file it was raised; "" if nowhere there."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith(HERE):
            place = f", {Path(file).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
