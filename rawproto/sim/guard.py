"""No real clock and no chance of the machine's inside a simulation: whoever asks for one is told so, in one line.

It only wraps: nothing here looks at a clock or draws a number. While a simulation runs in a thread, what is asked for
in that thread by the application, the scenario, a test or rawproto itself raises RealClockError. Other threads, and
callers in the standard library or among the installed packages, get what they have always got: a progress bar that
refreshes itself, a test runner that times its tests, a socket that another thread drives. `random`, `secrets` and
`uuid` ask for whoever has called them.

The stand-ins are put in place when a run begins and taken away when the last one ends, so that outside of simulations
the process is as it was: nobody pays for a wrapper that is not needed, and what a test has put in the place of a clock
(a fake) is neither replaced nor lost. That costs some microseconds a run. A wrapper that stays would cost less there,
and every caller in the process two or three times the price of the call, for good; it would also be gone for good when
a test puts back what it had saved before. While a run lasts, other threads do pay for the wrapper.

Covered are the functions of `time`, `os` and `random` in these modules themselves, and under whatever name one of our
or the user's modules has imported them. The classes of `datetime` can't be changed, and others hold on to them (pickle
looks them up by name): their stand-ins are put into our and the user's modules only, where `isinstance` and subclasses
work as ever, but `type(x) is datetime` does not. Not seen are a class imported inside a function, a clock kept as a
default argument or an attribute, a wait inside a C function (`lock.acquire(timeout=1)`), and `Random()` without a seed.
"""

from __future__ import annotations

import datetime
import os
import random
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from functools import cache, wraps
from operator import itemgetter
from threading import RLock, get_ident
from types import FrameType, ModuleType, TracebackType
from typing import Any

from rawproto.errors import RawprotoError

__all__ = ["Guard", "Lifted", "RealClockError"]

TELL = "take the time from host.now"
SLEEP = "wait with `yield from rawproto.sim.stream.sleep(host, ns)`"
DRAW = "draw from a generator that comes from the seed, such as rawproto.link.chance.derive_rng(seed, name)"

CLOCKS = {
    **dict.fromkeys(
        (
            *("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time"),
            *("process_time_ns", "thread_time", "thread_time_ns", "clock_gettime", "clock_gettime_ns", "sleep"),
        ),
        99,
    ),
    **{"localtime": 1, "gmtime": 1, "ctime": 1, "asctime": 1, "strftime": 2},
}
"""Of `time`: what asks the clock, and from how many arguments on it does not because it was given the time."""
OF_THE_MACHINE = ("urandom", "getrandom")
KEPT = ("seed", "getstate", "setstate")
"""Of the generator that `random` hides: what draws nothing. Test runners put its state back."""
CLASSES = {"datetime": ("now", "utcnow", "today"), "date": ("today",)}

GO_BETWEENS = ("random", "secrets", "uuid")
"""What these modules ask for, they ask for their caller."""
LIBRARIES = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib"))
INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))


class RealClockError(RawprotoError, RuntimeError):
    """A clock or the chance of the real machine was asked for inside a simulation. The text says what to use."""


class Place:
    """The names of one module that stand for what must not be called, `found` with what is real and what stands in."""

    def __init__(self, names: dict[str, Any], found: dict[str, tuple[object, object]]) -> None:
        self.names = names
        self.real = {name: real for name, (real, _) in found.items()}
        self.stand_ins = {name: stand_in for name, (_, stand_in) in found.items()}
        self._read = itemgetter(*found)
        self._all_real = self._read(self.real)
        self._all_stand_in = self._read(self.stand_ins)

    def guard(self) -> None:
        """Put in what stands in for the real ones, where those are."""
        self._swap(self._all_real, self.real, self.stand_ins)

    def restore(self) -> None:
        """Put the real ones back, where there is what stood in for them."""
        self._swap(self._all_stand_in, self.stand_ins, self.real)

    def _swap(self, expected: object, old: dict[str, object], new: dict[str, object]) -> None:
        names = self.names
        try:
            if self._read(names) == expected:  # all at once: the common case, and faster than the loop
                names.update(new)
                return
        except KeyError:
            pass  # somebody has taken a name away
        for name, value in new.items():
            if names.get(name) is old[name]:
                names[name] = value


class Guard:
    """One run of a simulation in this thread: `enter` before it, `leave` after it, whatever happens in between.

    Both may be called in a run within a run. No context manager: an interrupt may come in the middle of `enter`, and
    `leave` undoes what there is to undo.
    """

    __slots__ = ("_counted", "_nested")

    def __init__(self) -> None:
        self._nested = get_ident() in _guarded
        self._counted = False

    def enter(self) -> None:
        """From now on nothing in this thread gets at a real clock."""
        global _runs  # noqa: PLW0603
        with _lock:
            _runs += 1
            self._counted = True
            if _runs == 1:
                _look_around()
                for place in _places.values():
                    place.guard()
        _guarded.add(get_ident())

    def leave(self) -> None:
        """Give the clocks back, unless a run around this one still wants them kept away."""
        global _runs  # noqa: PLW0603
        if not self._nested:
            _guarded.discard(get_ident())
        if not self._counted:
            return
        with _lock:
            _runs -= 1
            if _runs == 0:
                for place in _places.values():
                    place.restore()


class Lifted:
    """`with Lifted():` inside a run, for what belongs to the real world, such as a progress bar."""

    __slots__ = ("_was",)

    def __enter__(self) -> None:
        self._was = get_ident() in _guarded
        _guarded.discard(get_ident())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._was:
            _guarded.add(get_ident())


# -- who asks ----------------------------------------------------------------------------------------------------------


def _check(called: str, advice: str, frame: FrameType | None) -> None:
    """Raise RealClockError if the code of `frame`, in a simulation, may not call what it has called."""
    while frame is not None and frame.f_globals.get("__name__") in GO_BETWEENS:
        called = f"{frame.f_globals['__name__']}.{frame.f_code.co_name}"
        frame = frame.f_back
    if frame is not None and _is_covered(frame.f_globals.get("__name__", ""), frame.f_code.co_filename):
        raise RealClockError(f"{called}() was called inside a simulation: {advice}")


@cache
def _is_covered(module: str, file: str) -> bool:
    """Whether `module` is rawproto's or the user's; what was installed is someone else's, rawproto excepted."""
    if module.partition(".")[0] == "rawproto":
        return True
    return not any(part in file for part in INSTALLED) and not file.startswith(("<frozen ", *LIBRARIES))


# -- stand-ins ---------------------------------------------------------------------------------------------------------


def _wrap(real: Callable[..., Any], called: str, advice: str, harmless_from: int = 99) -> Callable[..., Any]:
    """`real`, but for those who may not call it with fewer than `harmless_from` arguments."""

    @wraps(real)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        if get_ident() in _guarded and (len(args) < harmless_from or args[-1] is None):
            _check(called, advice, sys._getframe(1))
        return real(*args, **kwargs)

    return stand_in


class _LikeReal(type):
    """The type of a class that stands in for its base: what is an instance of the one is one of the other."""

    real: type

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.real) if "real" in cls.__dict__ else super().__instancecheck__(instance)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.real) if "real" in cls.__dict__ else super().__subclasscheck__(other)


def _wrap_class(real: type, asking: tuple[str, ...]) -> type:
    """`real`, but for its class methods `asking`. All that it makes is of the real class."""

    def make(cls: type, *args: Any, **kwargs: Any) -> Any:
        return real(*args, **kwargs) if "real" in cls.__dict__ else real.__new__(cls, *args, **kwargs)

    def guarded(name: str) -> Any:
        def ask(cls: type, *args: Any, **kwargs: Any) -> Any:
            if get_ident() in _guarded:
                _check(f"{real.__name__}.{name}", TELL, sys._getframe(1))
            return getattr(super(stand_in, cls), name)(*args, **kwargs)

        return classmethod(ask)

    body = {"__slots__": (), "__new__": make, "__doc__": real.__doc__, "__module__": real.__module__, "real": real}
    stand_in = _LikeReal(real.__name__, (real,), body | {name: guarded(name) for name in asking})
    return stand_in


def _shared() -> Iterator[Place]:
    """The functions that are replaced for all, in the modules that they belong to."""
    found: dict[str, tuple[object, object]] = {}
    for name, harmless_from in CLOCKS.items():
        if (real := getattr(time, name, None)) is not None:
            advice = SLEEP if name == "sleep" else TELL
            found[name] = real, _wrap(real, f"time.{name}", advice, harmless_from)
    yield Place(vars(time), found)
    hidden = random.random.__self__  # type: ignore[attr-defined]
    drawn: dict[str, tuple[object, object]] = {
        name: (real, _wrap(real, f"random.{name}", DRAW))
        for name, real in list(vars(random).items())
        if getattr(real, "__self__", None) is hidden and name not in KEPT
    }
    given: dict[str, tuple[object, object]] = {
        name: (getattr(os, name), _wrap(getattr(os, name), f"os.{name}", DRAW))
        for name in OF_THE_MACHINE
        if hasattr(os, name)
    }
    yield Place(vars(os), given)
    # SystemRandom, and with it `secrets`, holds it under a name of its own.
    yield Place(vars(random), drawn | {"_urandom": given["urandom"]})


def _of_datetime() -> Iterator[tuple[object, object]]:
    module = ModuleType("datetime", datetime.__doc__)
    vars(module).update(vars(datetime))
    for name, asking in CLASSES.items():
        stand_in = _wrap_class(getattr(datetime, name), asking)
        setattr(module, name, stand_in)
        yield getattr(datetime, name), stand_in
    yield datetime, module


# -- where they go -----------------------------------------------------------------------------------------------------

_lock = RLock()
_runs = 0
"""How many runs there are now, in all threads, those within others included."""
_guarded: set[int] = set()
"""The threads that must not get at a real clock now."""
_places: dict[int, Place] = {id(place.names): place for place in _shared()}
_stand_ins = {
    id(place.real[name]): (place.real[name], place.stand_ins[name]) for place in _places.values() for name in place.real
}
_stand_ins |= {id(real): (real, stand_in) for real, stand_in in _of_datetime()}
_known = {__name__}
"""The modules that need not be looked at again: this one keeps the real ones."""
_last = (0, 0)


def _look_around() -> None:
    """Find the names in modules new since the last time that stand for something that has a stand-in."""
    global _last  # noqa: PLW0603
    main = sys.modules.get("__main__")
    size = len(sys.modules), len(vars(main)) if main is not None else 0
    if size == _last:  # there are thousands of runs a second, and hardly ever a new module
        return
    _last = size
    for key, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or not _is_open(key, module):
            continue
        names = vars(module)
        found = {name: _stand_ins[id(value)] for name, value in list(names.items()) if id(value) in _stand_ins}
        if found:
            _places[id(names)] = Place(names, found)


def _is_open(key: str, module: ModuleType) -> bool:
    """Whether `module` is covered, and not known to the end: `__main__` may grow, and so may one being imported."""
    if key in _known and key != "__main__":
        return False
    if not getattr(getattr(module, "__spec__", None), "_initializing", False):
        _known.add(key)
    file = getattr(module, "__file__", None)
    return key == "__main__" if not file else _is_covered(key, file)
